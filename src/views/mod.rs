//! What people read. Views render plans and records, and nothing else; they ask nothing and change
//! nothing.

mod fault;
mod live;
mod plan;
mod text;

pub use fault::render_fault;
pub use live::Live;
pub use plan::render_plan;
pub use text::{clean, seconds};
