//! Where runbooks come from: the ones that ship with the program, and files.

use super::model::Runbook;
use super::read::{ReadError, read};
use crate::fault::{Fault, nearest};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const SHIPPED: &[(&str, &str)] = &[(
    "fix-bgp-wrong-ip",
    include_str!("../../runbooks/fix-bgp-wrong-ip.yaml"),
)];

/// The runbooks that can be named.
#[derive(Debug, Default)]
pub struct Library;

impl Library {
    /// The names of the shipped runbooks.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// Finds a runbook by its name, or by the path of its file.
    pub fn find(&self, name: &str) -> Result<Runbook, Fault> {
        if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
            let path = PathBuf::from(name);
            let text = read_file(&path)?;
            let mut runbook = read(&text, name)?;
            runbook.untrusted = untrusted(&path);
            return Ok(runbook);
        }
        match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((_, text)) => Ok(read(text, name)?),
            None => {
                let fault =
                    Fault::input("unknown_runbook", format!("there is no runbook `{name}`"));
                let list = "`runbook list` shows what there is; a file is given by its path";
                Err(match nearest(name, self.names()) {
                    Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
                    None => fault.next(list),
                })
            }
        }
    }
}

/// Why a file's programs are not to be run for a mere look: somebody else can put into it what they
/// like. `None`: only its owner can, who is this user or root.
pub fn untrusted(path: &Path) -> Option<String> {
    let own = rustix::process::getuid().as_raw();
    let unseen = || Some("who can write to it cannot be told".to_owned());
    let Ok(path) = std::fs::canonicalize(path) else {
        return unseen();
    };
    // Whoever can write to the folder can put another file in its place.
    let folder = path.parent().unwrap_or(Path::new("/"));
    for (place, what) in [(path.as_path(), "it"), (folder, "its folder")] {
        let Ok(found) = std::fs::metadata(place) else {
            return unseen();
        };
        let (owner, mode) = (found.uid(), found.mode());
        let shared = mode & 0o022 != 0 && !(what == "its folder" && mode & 0o1000 != 0);
        if (owner != own && owner != 0) || shared {
            return Some(format!(
                "others than you can write to {} ({what})",
                place.display()
            ));
        }
    }
    None
}

fn read_file(path: &Path) -> Result<String, Fault> {
    let unreadable = |why: String| {
        Fault::input(
            "runbook_unreadable",
            format!("the runbook {} cannot be read: {why}", path.display()),
        )
    };
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| unreadable(format!("it is not UTF-8: {e}")))
}

impl From<ReadError> for Fault {
    fn from(e: ReadError) -> Self {
        Self::input("runbook_wrong", e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_runbook_is_read_under_its_own_name() {
        let library = Library;
        for name in library.names() {
            assert_eq!(library.find(name).unwrap().name, name);
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_with_a_suggestion() {
        let fault = Library.find("fix-bgp-wrong-pi").unwrap_err();
        assert!(fault.next.unwrap().contains("`fix-bgp-wrong-ip`"));
        assert_eq!(
            Library.find("./none.yaml").unwrap_err().code,
            "runbook_unreadable"
        );
    }
}
