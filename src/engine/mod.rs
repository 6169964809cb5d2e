//! The run: the only place from which effects are carried out.

mod drive;
mod machine;

pub use drive::{Observer, Question, Stop, Waiting, run, stopped};
pub use machine::{Ask, End, Input, Machine, Turn};
