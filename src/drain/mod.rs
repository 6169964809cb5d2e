//! Who leaves a node and who stays: kubectl's filters, budgets, and which nodes are of the control plane.

mod budget;
mod filter;
mod label_selector;
mod node;
mod pod;
mod preview;

pub use budget::{Budget, Claims, Never, Simulated, simulate};
pub use filter::{Daemons, Grace, InTheWay, Judged, Loss, OnBlocked, Options, Stays};
pub use label_selector::{LabelSelector, UnreadableSelector};
pub use node::{DrainNode, away, is_control_plane, no_longer, uncordoned};
pub use pod::{Pod, PodUid};
pub use preview::{Preview, lines_of, not_waited_for, sentence};
