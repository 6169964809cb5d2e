//! Where runbooks come from: files, folders, and the ones that ship with the program.

use super::beside::Beside;
use super::include::include;
use super::kind::Kinds;
use super::model::Runbook;
use super::problem::{Found, Problems};
use super::read::read_beside;
use super::source::Source;
use super::yaml::{MAX_BYTES, check_bytes, too_large};
use crate::fault::{Fault, nearest};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A runbook that ships with the program.
struct Shipped {
    name: &'static str,
    text: &'static str,
    /// The files beside it, by their names.
    beside: &'static [(&'static str, &'static str)],
}

const fn alone(name: &'static str, text: &'static str) -> Shipped {
    Shipped {
        name,
        text,
        beside: &[],
    }
}

const SHIPPED: &[Shipped] = &[
    alone(
        "check-bgp-path",
        include_str!("../../runbooks/check-bgp-path.yaml"),
    ),
    alone(
        "cordon-node",
        include_str!("../../runbooks/cordon-node.yaml"),
    ),
    alone(
        "delete-pods",
        include_str!("../../runbooks/delete-pods.yaml"),
    ),
    alone("drain-node", include_str!("../../runbooks/drain-node.yaml")),
    alone(
        "fix-bgp-wrong-ip",
        include_str!("../../runbooks/fix-bgp-wrong-ip.yaml"),
    ),
    alone(
        "install-calicoctl",
        include_str!("../../runbooks/install-calicoctl.yaml"),
    ),
    alone(
        "networkmanager-unmanaged-devices",
        include_str!("../../runbooks/networkmanager-unmanaged-devices.yaml"),
    ),
    alone(
        "restart-calico-node",
        include_str!("../../runbooks/restart-calico-node.yaml"),
    ),
    alone(
        "set-ip-autodetection",
        include_str!("../../runbooks/set-ip-autodetection.yaml"),
    ),
    alone("swapoff", include_str!("../../runbooks/swapoff.yaml")),
    alone(
        "sysctl-conntrack",
        include_str!("../../runbooks/sysctl-conntrack.yaml"),
    ),
    alone(
        "uncordon-node",
        include_str!("../../runbooks/uncordon-node.yaml"),
    ),
];

/// How the names of their files end.
const ENDINGS: [&str; 2] = ["yaml", "yml"];

/// A folder of runbooks, each in a file that is called as it is.
#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    /// Somebody named it, so that it is a mistake if it is not there.
    pub named: bool,
}

/// Where a runbook comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Shipped,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Shipped => f.write_str("the one that ships with runbook"),
        }
    }
}

/// A runbook that was found.
#[derive(Debug, Clone)]
pub struct Located {
    pub runbook: Runbook,
    pub origin: Origin,
    /// Others of the same name, which have another text.
    pub overrides: Vec<Origin>,
}

/// A name, and what stands behind it.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    pub origin: Origin,
    pub overrides: Vec<Origin>,
    pub runbook: Result<Runbook, Fault>,
}

/// The runbooks that can be named. What comes first counts: the folders in their order, and then what
/// ships with the program.
#[derive(Debug, Default)]
pub struct Library {
    kinds: Kinds,
    folders: Vec<Folder>,
}

/// A text under a name.
struct Candidate {
    origin: Origin,
    text: Result<String, Fault>,
}

impl Library {
    pub fn new(kinds: Kinds, folders: Vec<Folder>) -> Self {
        Self { kinds, folders }
    }

    /// The kinds of steps that its runbooks may have.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Finds a runbook by its name, or by the path of its file, with all that it includes.
    pub fn find(&self, name: &str) -> Result<Located, Fault> {
        let mut found = self.locate(name)?;
        self.include(&mut found.runbook, &found.origin)?;
        Ok(found)
    }

    /// Finds the runbooks that this one includes. Where it is given by the path of its file, those in the
    /// same folder come first.
    fn include(&self, runbook: &mut Runbook, origin: &Origin) -> Result<(), Fault> {
        let beside = match origin {
            Origin::File(path) => path.parent(),
            Origin::Shipped => None,
        };
        include(runbook, &|name| {
            let files = ENDINGS.iter().filter_map(|ending| {
                let file = format!("{name}.{ending}");
                Some(beside?.join(file)).filter(|path| path.is_file())
            });
            match (path_of(name), files.into_iter().next()) {
                (Some(_), _) => Err(Fault::input(
                    "include_name",
                    format!("`{name}` is a path; a runbook is included by its name"),
                )
                .next(
                    "leave out folders and `.yaml`: what lies in the same folder is found first",
                )),
                (None, Some(path)) => self.read_path_alone(&path),
                (None, None) => Ok(self.locate(name)?.runbook),
            }
        })?;
        let why = runbook.untrusted.clone();
        runbook.distrust(why.as_deref());
        Ok(())
    }

    /// What a name stands for, without what it includes.
    fn locate(&self, name: &str) -> Result<Located, Fault> {
        if let Some(path) = path_of(name) {
            return Ok(Located {
                runbook: self.read_path_alone(path)?,
                origin: Origin::File(path.to_owned()),
                overrides: Vec::new(),
            });
        }
        let mut candidates = Vec::new();
        for folder in &self.folders {
            folder.check()?;
            for ending in ENDINGS {
                let path = folder.path.join(format!("{name}.{ending}"));
                candidates.extend(candidate(path));
            }
        }
        candidates.extend(shipped(name));
        let entry = self
            .entry(name, candidates)
            .ok_or_else(|| self.unknown(name))?;
        let runbook = entry.runbook?;
        // Whoever can write there would decide what is done under a name that somebody trusts.
        if let (Some(why), Some(other)) = (&runbook.untrusted, entry.overrides.first()) {
            let fault = Fault::refused(
                "runbook_untrusted",
                format!(
                    "{} would stand in the place of {other}, and {why}",
                    entry.origin
                ),
            );
            return Err(fault.next("take it away, let only you write to it, or give its path"));
        }
        Ok(Located {
            runbook,
            origin: entry.origin,
            overrides: entry.overrides,
        })
    }

    /// Reads a runbook's file, wherever it is, and all that it includes.
    pub fn read_path(&self, path: &Path) -> Result<Runbook, Fault> {
        let mut runbook = self.read_path_alone(path)?;
        self.include(&mut runbook, &Origin::File(path.to_owned()))?;
        Ok(runbook)
    }

    fn read_path_alone(&self, path: &Path) -> Result<Runbook, Fault> {
        let text = read_file(path)?;
        self.read_text(&text, "", &Origin::File(path.to_owned()))
    }

    /// All runbooks, by their names, and the folders that cannot be read.
    pub fn list(&self) -> (Vec<Entry>, Vec<Fault>) {
        let mut names: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        let mut faults = Vec::new();
        for folder in &self.folders {
            match folder.files() {
                Ok(files) => {
                    for (name, path) in files {
                        names.entry(name).or_default().extend(candidate(path));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        for Shipped { name, .. } in SHIPPED {
            names
                .entry((*name).to_owned())
                .or_default()
                .extend(shipped(name));
        }
        let entries = names.into_iter();
        let entries = entries.filter_map(|(name, candidates)| self.entry(&name, candidates));
        (entries.collect(), faults)
    }

    /// What the first of the candidates gives.
    fn entry(&self, name: &str, candidates: Vec<Candidate>) -> Option<Entry> {
        let mut candidates = candidates.into_iter();
        let Candidate { origin, text } = candidates.next()?;
        let same = |other: &Candidate| matches!((&text, &other.text), (Ok(a), Ok(b)) if a == b);
        let (same, others): (Vec<_>, Vec<_>) = candidates.partition(same);
        // What is word for word the same is as good as where it is a copy of.
        let origin = match same.iter().any(|other| other.origin == Origin::Shipped) {
            true => Origin::Shipped,
            false => origin,
        };
        let runbook = text
            .and_then(|text| self.read_text(&text, name, &origin))
            .and_then(|runbook| match runbook.name == name {
                true => Ok(runbook),
                false => Err(Fault::input(
                    "runbook_name",
                    format!(
                        "{origin}: its name is `{}`, and its file is called `{name}`",
                        runbook.name
                    ),
                )
                .next("call both the same")),
            });
        Some(Entry {
            name: name.to_owned(),
            origin,
            overrides: others.into_iter().map(|other| other.origin).collect(),
            runbook,
        })
    }

    /// `name` tells which of the shipped ones it is.
    fn read_text(&self, text: &str, name: &str, origin: &Origin) -> Result<Runbook, Fault> {
        let (file, beside) = match origin {
            Origin::File(path) => (path.display().to_string(), Beside::file(path)),
            Origin::Shipped => {
                let own = SHIPPED.iter().filter(|shipped| shipped.name == name);
                let files = own.flat_map(|shipped| shipped.beside);
                let files = files.map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
                ("a shipped runbook".to_owned(), Beside::texts(files))
            }
        };
        let mut runbook = read_beside(text, &file, &self.kinds, beside)?;
        if let Origin::File(path) = origin {
            let folder = path.parent().unwrap_or(Path::new(""));
            let beside = runbook.beside.keys().map(|file| folder.join(file));
            runbook.untrusted = std::iter::once(path.clone())
                .chain(beside)
                .find_map(|path| untrusted(&path));
        }
        Ok(runbook)
    }

    fn unknown(&self, name: &str) -> Fault {
        let shipped = SHIPPED.iter().map(|shipped| shipped.name.to_owned());
        let in_folders = self
            .folders
            .iter()
            .flat_map(|f| f.files().unwrap_or_default());
        let known: Vec<String> = in_folders.map(|(name, _)| name).chain(shipped).collect();
        let fault = Fault::input("unknown_runbook", format!("there is no runbook `{name}`"));
        let list = "`runbook list` shows what there is; a file is given by its path";
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
            None => fault.next(list),
        }
    }
}

impl Folder {
    fn check(&self) -> Result<(), Fault> {
        match self.named && !self.path.is_dir() {
            true => Err(self.unreadable("it is not a folder")),
            false => Ok(()),
        }
    }

    fn unreadable(&self, why: &str) -> Fault {
        Fault::input(
            "library_folder",
            format!(
                "the folder {} of runbooks cannot be read: {why}",
                self.path.display()
            ),
        )
        .next("look at --path, or at RUNBOOK_PATH in the environment")
    }

    /// The files of runbooks, and how these should be called.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, Fault> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound && !self.named => return Ok(Vec::new()),
            Err(e) => return Err(self.unreadable(&e.to_string())),
        };
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let ending = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            let Some(stem) = path.file_stem().map(|s| s.to_string_lossy().into_owned()) else {
                continue;
            };
            if ENDINGS.contains(&ending) && !stem.starts_with('.') && !path.is_dir() {
                files.push((stem, path));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The path in a name, where it is one.
fn path_of(name: &str) -> Option<&Path> {
    let is = name.contains('/') || ENDINGS.iter().any(|e| name.ends_with(&format!(".{e}")));
    is.then(|| Path::new(name))
}

fn shipped(name: &str) -> Option<Candidate> {
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == name)?;
    Some(Candidate {
        origin: Origin::Shipped,
        text: Ok(shipped.text.to_owned()),
    })
}

/// A file, if it is there.
fn candidate(path: PathBuf) -> Option<Candidate> {
    if !path.is_symlink() && !path.exists() {
        return None;
    }
    Some(Candidate {
        text: read_file(&path),
        origin: Origin::File(path),
    })
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
mod tests;
