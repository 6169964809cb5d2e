//! What Calico's parts say, and what it means. Pure: text and objects in, judgement out.

mod address;
mod calico_node_status;
mod choice;
mod daemonset;
mod facts;
mod family;
mod go_regex;
mod install;
mod link;
mod mesh;
mod method;
mod node_status;
pub mod path;
mod peering;
mod pick;
mod selector;
mod store;

pub use address::{Cidr, OwnAddress};
pub use calico_node_status::parse_calico_node_status;
pub use choice::{Candidate, Chooser, Named, Objection, Unclear, is_global};
pub use daemonset::{CalicoNode, Detection, EnvFrom, EnvValue, Version};
pub use facts::{CalicoFacts, CalicoctlFacts};
pub use family::Family;
pub use install::{Datastore, Install, Installation, Rendered, rolls_calico_node};
pub use link::{Link, LinkAddress, parse_links};
pub use mesh::{Mesh, MeshNode, OwnNetwork, Reading, SessionFault};
pub use method::Method;
pub use node_status::{Daemon, NodeStatus, Peer, StatusError, parse_node_status};
pub use peering::{BgpPeer, has_password};
pub use pick::{Pick, Sight, pick};
pub use selector::Selector;
pub use store::{items_of_store, nodes_of_store};

#[cfg(test)]
pub(crate) use mesh::tests::{
    healthy as test_healthy, node as test_node, sees as test_sees, stray as test_stray,
    stray_together as test_stray_together,
};
