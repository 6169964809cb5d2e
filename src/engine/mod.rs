//! The run: the only place from which effects are carried out.

mod claim;
#[cfg(test)]
mod dice;
mod draining;
mod drive;
mod machine;

pub use claim::{Claim, GivingWay, Silent, Taken, Terms, wait_until_free, who_has};
pub use drive::{Observer, Question, Stop, Waiting, run, stopped};
pub use machine::{Ask, Drained, End, Input, Machine, Turn};
