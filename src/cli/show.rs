//! `runbook show`

use super::Global;
use super::exit::Exit;
use super::plan::saved_path;
use crate::fault::Fault;
use crate::plan::{SavedPlan, digest};
use crate::views::{clean, render_plan, render_runbook};
use clap::Args;

#[derive(Debug, Args)]
pub struct Show {
    /// Name of a runbook, the path of its file, or a saved plan (FILE.json)
    #[arg(value_name = "RUNBOOK")]
    name: String,
    /// Print the text of the runbook as it is
    #[arg(long)]
    text: bool,
}

impl Show {
    pub fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let Some(path) = saved_path(&self.name) else {
            let library = global.library();
            let found = library.find(&self.name)?;
            super::say(&match self.text {
                true => found.runbook.text,
                false => render_runbook(&found, library.kinds()),
            });
            return Ok(Exit::Done);
        };
        let saved = SavedPlan::read(path)?;
        if self.text {
            super::say(&saved.runbook_text);
            return Ok(Exit::Done);
        }
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
