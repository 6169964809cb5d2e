//! `runbook list`

use super::exit::Exit;
use crate::fault::Fault;
use crate::runbook::Library;

pub fn run() -> Result<Exit, Fault> {
    let library = Library;
    for name in library.names() {
        let runbook = library.find(name, &crate::actions::kinds())?;
        super::say(&format!("{name:<24} {}\n", runbook.summary));
    }
    Ok(Exit::Done)
}
