//! `runbook validate`

use super::Global;
use super::exit::Exit;
use crate::fault::Fault;
use crate::runbook::Library;
use crate::views::{clean, inform, render_fault};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Validate {
    /// A runbook's file
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Validate {
    /// Says of each file whether it is a runbook. Asks no cluster and no host.
    pub fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let library = global.library();
        let mut exit = Exit::Done;
        for path in &self.files {
            match validate(&library, path) {
                Ok(line) => super::say(&line),
                Err(faults) => {
                    exit = Exit::Input;
                    for fault in faults {
                        inform!("{}", render_fault(&fault));
                    }
                }
            }
        }
        Ok(exit)
    }
}

/// One line for a runbook that is well-formed, or all that is wrong with it.
fn validate(library: &Library, path: &Path) -> Result<String, Vec<Fault>> {
    let runbook = library.read_path(path).map_err(|fault| vec![fault])?;
    let steps = match runbook.steps.len() {
        1 => "1 step".to_owned(),
        n => format!("{n} steps"),
    };
    Ok(format!(
        "{}: well-formed, {steps}\n",
        clean(&path.display().to_string())
    ))
}
