//! `runbook show`

use super::exit::Exit;
use super::plan::saved_path;
use crate::fault::Fault;
use crate::plan::{SavedPlan, digest};
use crate::runbook::Library;
use crate::views::{clean, render_plan};
use clap::Args;

#[derive(Debug, Args)]
pub struct Show {
    /// Name of a runbook, the path of its file, or a saved plan (FILE.json)
    #[arg(value_name = "RUNBOOK")]
    name: String,
}

impl Show {
    pub fn run(&self) -> Result<Exit, Fault> {
        let Some(path) = saved_path(&self.name) else {
            super::say(&Library.find(&self.name, &crate::actions::kinds())?.text);
            return Ok(Exit::Done);
        };
        let saved = SavedPlan::read(path)?;
        console::set_colors_enabled_stderr(console::colors_enabled());
        super::say(&render_plan(&saved.plan));
        super::say(&format!(
            "Saved by {}, digest {}. It is applied as it is, or not at all: runbook apply {}\n",
            clean(&saved.plan.actor.to_string()),
            digest(&saved.plan).short(),
            path.display()
        ));
        if let Err(fault) = saved.check_engine() {
            super::say(&format!("But {}.\n", clean(&fault.message)));
        }
        Ok(Exit::Done)
    }
}
