//! What is durable: the events of each run, written before and after every effect.

mod event;
mod fold;
mod permit;
mod store;

pub use event::{Ending, Event, Outcome, StepResult};
pub use fold::{EffectState, RunRecord};
pub use permit::Permit;
pub use store::{Journal, JournalError, StateDir};
