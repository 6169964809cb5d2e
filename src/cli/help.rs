//! `--help` behind the name of a runbook.

use super::exit::Exit;
use super::plan::saved_path;
use super::{Cli, Command, say};
use crate::views::{inform, render_fault, render_runbook_help};
use clap::Parser;
use std::ffi::OsString;

/// After the usual help: what the runbook that `plan` or `apply` names says of itself.
pub fn of_runbook(arguments: impl Iterator<Item = OsString>) -> Exit {
    let rest = arguments.filter(|argument| argument != "--help" && argument != "-h");
    // Without a name it is no command, and there is no more to say.
    let Ok(cli) = Cli::try_parse_from(rest) else {
        return Exit::Done;
    };
    let Some(name) = cli
        .command
        .runbook()
        .filter(|name| saved_path(name).is_none())
    else {
        return Exit::Done;
    };
    match cli.global.library().find(name) {
        Ok(found) => {
            say(&format!("\n{}", render_runbook_help(&found.runbook)));
            Exit::Done
        }
        Err(fault) => {
            inform!("\n{}", render_fault(&fault));
            Exit::of(fault.class)
        }
    }
}

impl Command {
    /// The runbook that it would plan or apply.
    fn runbook(&self) -> Option<&str> {
        match self {
            Self::Plan(command) => Some(command.runbook()),
            Self::Apply(command) => Some(command.runbook()),
            _ => None,
        }
    }
}
