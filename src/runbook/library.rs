//! Where runbooks come from: the ones that ship with the program, and files.

use super::kind::Kinds;
use super::model::Runbook;
use super::problem::{Found, Problems};
use super::read::read;
use super::source::Source;
use super::yaml::{MAX_BYTES, check_bytes, too_large};
use crate::fault::{Fault, nearest};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
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
    pub fn find(&self, name: &str, kinds: &Kinds) -> Result<Runbook, Fault> {
        if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
            let path = PathBuf::from(name);
            let text = read_file(&path)?;
            let mut runbook = read(&text, name, kinds)?;
            runbook.untrusted = untrusted(&path);
            return Ok(runbook);
        }
        match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((_, text)) => Ok(read(text, name, kinds)?),
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
    let refused = |bytes: u64| {
        let name = path.display().to_string();
        let mut found = Found::default();
        found.push(too_large(bytes));
        Fault::from(found.into_problems(&Source::new(&name, "")))
    };
    let found = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
    let kind = found.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    // Nothing of what is too large is read.
    if found.len() > MAX_BYTES as u64 {
        return Err(refused(found.len()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
    // It may grow, and a pipe has no length.
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() > MAX_BYTES {
        return Err(refused(bytes.len() as u64));
    }
    check_bytes(bytes, &path.display().to_string()).map_err(Problems::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Result<Runbook, Fault> {
        Library.find(name, &Kinds::default())
    }

    #[test]
    fn every_shipped_runbook_is_read_under_its_own_name() {
        for (name, text) in SHIPPED {
            let uses = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("uses: "));
            let kinds = Kinds::that_take_anything(&uses.collect::<Vec<_>>());
            assert_eq!(Library.find(name, &kinds).unwrap().name, *name);
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_with_a_suggestion() {
        let fault = find("fix-bgp-wrong-pi").unwrap_err();
        assert!(fault.next.unwrap().contains("`fix-bgp-wrong-ip`"));
        assert_eq!(find("./none.yaml").unwrap_err().code, "runbook_unreadable");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        for no_file in ["/dev/zero", "/tmp/"] {
            let fault = find(no_file).unwrap_err();
            assert_eq!(fault.code, "runbook_unreadable", "{no_file}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.yaml");
        // Ten megabytes that take no room.
        std::fs::File::create(&path)
            .unwrap()
            .set_len(10_000_000)
            .unwrap();
        let fault = find(&path.display().to_string()).unwrap_err();
        assert!(fault.excerpt.unwrap().contains("it has 10000000 bytes"));
        std::fs::write(&path, b"name: \xff").unwrap();
        let fault = find(&path.display().to_string()).unwrap_err();
        assert!(fault.excerpt.unwrap().contains("0xff is not UTF-8"));
    }
}
