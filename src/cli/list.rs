//! `runbook list`

use super::exit::Exit;
use crate::fault::Fault;
use crate::runbook::Library;

pub fn run() -> Result<Exit, Fault> {
    let library = Library;
    for name in library.names() {
        let (runbook, _) = library.find(name)?;
        println!("{name:<24} {}", runbook.summary);
    }
    Ok(Exit::Done)
}
