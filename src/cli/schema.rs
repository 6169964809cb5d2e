//! `runbook schema`

use super::exit::Exit;
use crate::actions::kinds;
use crate::fault::Fault;
use crate::runbook::schema;

/// Prints the schema by which editors complete and check runbooks.
pub fn run() -> Result<Exit, Fault> {
    super::say(&format!("{:#}\n", schema(&kinds())));
    Ok(Exit::Done)
}
