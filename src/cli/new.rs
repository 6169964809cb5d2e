//! `runbook new`

use super::exit::Exit;
use crate::fault::Fault;
use crate::runbook::start;
use crate::views::clean;
use clap::Args;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct New {
    /// What the runbook is called: lower-case letters, digits and -
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder to write it to (./runbooks if there is one, else this folder)
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl New {
    /// Writes the start of a runbook, and says what comes next.
    pub fn run(&self) -> Result<Exit, Fault> {
        let usual = Path::new("runbooks");
        let (folder, found_by_name) = match &self.to {
            Some(folder) => (folder.clone(), false),
            None if usual.is_dir() => (PathBuf::from("./runbooks"), true),
            None => (PathBuf::from("."), false),
        };
        let path = folder.join(format!("{}.yaml", self.name));
        let shown = clean(&path.display().to_string());
        write(&path, &start(&self.name, &shown)?)?;
        let path = shown;
        let called = match found_by_name {
            true => self.name.as_str(),
            false => path.as_str(),
        };
        super::say(&format!(
            "Wrote {path}. Change it to what you need, and then:\n  \
             runbook validate {path}\n  \
             runbook plan {called} --node NODE\n  \
             runbook apply {called} --node NODE\n  \
             runbook undo RUN\n"
        ));
        Ok(Exit::Done)
    }
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| {
        let path = path.display();
        match e.kind() {
            ErrorKind::AlreadyExists => Fault::input(
                "exists",
                format!("{path} is there already: nothing was written"),
            )
            .next("choose another name, or another folder with --to"),
            _ => Fault::input("unwritable", format!("{path} cannot be written: {e}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::kinds;
    use crate::runbook::{Folder, Library};

    fn new(name: &str, folder: &Path) -> Result<Exit, Fault> {
        let new = New {
            name: name.to_owned(),
            to: Some(folder.to_owned()),
        };
        new.run()
    }

    #[test]
    fn what_is_written_is_a_runbook_of_that_name_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        new("clean-up", dir.path()).unwrap();
        let folder = Folder {
            path: dir.path().to_owned(),
            named: true,
        };
        let found = Library::new(kinds(), vec![folder])
            .find("clean-up")
            .unwrap();
        assert_eq!(found.runbook.name, "clean-up");
        let path = dir.path().join("clean-up.yaml");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(new("clean-up", dir.path()).unwrap_err().code, "exists");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
        let none = dir.path().join("none");
        assert_eq!(new("clean-up", &none).unwrap_err().code, "unwritable");
    }

    #[test]
    fn a_name_is_one_that_a_file_and_a_runbook_may_have() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "../x", "Big", "-x", "a b", "x.yaml", "1x", "x/y"] {
            assert_eq!(
                new(bad, dir.path()).unwrap_err().code,
                "runbook_name",
                "{bad}"
            );
        }
    }
}
