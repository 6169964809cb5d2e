//! What people read. Views render plans and records, and nothing else; they ask nothing and change
//! nothing.

mod by_hand;
mod confirm;
mod end;
mod facts;
mod fault;
mod history;
mod live;
mod page;
mod plan;
mod print;
mod rbac;
mod runbook;
mod tell;
mod text;

pub use by_hand::render_by_hand;
pub use confirm::render_confirmation;
pub use end::{Words, render_end, what_was_seen};
pub use facts::render_facts;
pub use fault::render_fault;
pub use history::{State, render_history, render_run};
pub use live::{Live, beside, clear_live};
pub use plan::{render_differences, render_plan, render_question};
pub(crate) use print::inform;
pub use print::{LogLines, to_output, to_people};
pub use rbac::{Subject, render_rbac};
pub use runbook::{render_list, render_override, render_runbook, render_runbook_help};
pub use tell::{Telling, Told};
pub use text::{clean, seconds};
