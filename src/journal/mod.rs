//! What is durable: the events of each run, written before and after every effect.

mod error;
mod event;
mod fold;
mod kept;
mod permit;
mod portable;
mod room;
mod secret_key;
mod state_dir;
mod store;
#[cfg(test)]
pub(crate) mod test_events;

pub use error::JournalError;
pub use event::{Ending, Entry, Event, Outcome, StepResult};
pub use fold::{EffectRecord, EffectState, RunRecord};
pub use kept::Keeping;
pub use permit::{ClaimPermit, Permit};
pub use portable::Imported;
pub use secret_key::SameSecret;
pub use state_dir::{Held, StateDir};
pub use store::Journal;
