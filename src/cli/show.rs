//! `runbook show`

use super::exit::Exit;
use crate::fault::Fault;
use crate::runbook::Library;
use clap::Args;

#[derive(Debug, Args)]
pub struct Show {
    /// Name of a runbook, or the path of its file
    #[arg(value_name = "RUNBOOK")]
    name: String,
}

impl Show {
    pub fn run(&self) -> Result<Exit, Fault> {
        super::say(&Library.find(&self.name)?.text);
        Ok(Exit::Done)
    }
}
