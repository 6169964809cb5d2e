//! `runbook list`

use super::Global;
use super::exit::Exit;
use crate::fault::Fault;
use crate::views::{inform, render_fault, render_list};

pub fn run(global: &Global) -> Result<Exit, Fault> {
    let (entries, faults) = global.library().list();
    super::say(&render_list(&entries));
    // A folder that somebody named and that is not there must not pass for an empty one.
    let exit = match faults.is_empty() {
        true => Exit::Done,
        false => Exit::Input,
    };
    for fault in faults {
        inform!("{}", render_fault(&fault));
    }
    Ok(exit)
}
