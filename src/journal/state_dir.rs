//! Where the runs' folders are.

use super::error::JournalError;
use super::event::Entry;
use super::fold::RunRecord;
use super::kept::{check_blob, content, read_blob};
use super::store::{BEING_BUILT, BEING_REMOVED, BLOBS, DATABASE, read_entries};
use crate::model::{Content, Digest, RunId};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

/// The right to write to a run's journal; nobody else has it meanwhile. It ends with the process,
/// however that ends.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl StateDir {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    pub(super) fn folder(&self, run: RunId) -> PathBuf {
        self.runs().join(run.to_string())
    }

    pub(super) fn database(&self, run: RunId) -> PathBuf {
        self.folder(run).join(DATABASE)
    }

    /// Tells this state directory from copies of it: by this machine, and by the folder itself.
    pub fn place(&self) -> String {
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let inode = fs::metadata(&self.0).map_or(0, |found| found.ino());
        let place = format!("{} {} {inode}", machine.trim(), self.0.display());
        Digest::of(place.as_bytes()).short().to_owned()
    }

    /// The runs there are, newest first.
    pub fn list(&self) -> Result<Vec<RunId>, JournalError> {
        let runs = self.runs();
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(JournalError::Folder { path: runs, source }),
        };
        let mut found: Vec<RunId> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The run that `text` names: its id or an unambiguous beginning or end of it.
    pub fn find(&self, text: &str) -> Result<RunId, JournalError> {
        let wanted = text.to_ascii_uppercase();
        let candidates: Vec<RunId> = self
            .list()?
            .into_iter()
            .filter(|run| {
                let run = run.to_string();
                wanted.len() >= 4 && (run.starts_with(&wanted) || run.ends_with(&wanted))
            })
            .collect();
        match candidates.as_slice() {
            [one] => Ok(*one),
            [] => Err(JournalError::NoSuchRun {
                id: text.to_owned(),
                runs: self.runs(),
            }),
            several => Err(JournalError::Ambiguous {
                id: text.to_owned(),
                candidates: several
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// All events of a run.
    pub fn entries(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        read_entries(&self.database(run))
    }

    /// Reads a run's journal.
    pub fn read(&self, run: RunId) -> Result<RunRecord, JournalError> {
        RunRecord::fold(self.entries(run)?).ok_or_else(|| JournalError::NoStart(self.database(run)))
    }

    /// Bytes that an effect of a run needs.
    pub fn blob(&self, run: RunId, digest: &Digest) -> Result<Vec<u8>, JournalError> {
        read_blob(&self.folder(run), digest)
    }

    /// The same, in their file where they are many; they are whole.
    pub fn content(&self, run: RunId, digest: &Digest) -> Result<Content, JournalError> {
        let folder = self.folder(run);
        check_blob(&folder, digest)?;
        content(&folder, digest)
    }

    /// The folder in which the contents are that a run's effects need, each under its digest.
    pub fn blobs(&self, run: RunId) -> PathBuf {
        self.folder(run).join(BLOBS)
    }

    /// Takes the right to write to a run's journal.
    pub fn hold(&self, run: RunId) -> Result<Held, JournalError> {
        let path = self.folder(run).join("lock");
        let failed = |source| JournalError::Folder {
            path: path.clone(),
            source,
        };
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        // Somebody may just be looking whether it is held.
        let mut tries = 0;
        let taken = loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) if tries < 20 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        match taken {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Err(JournalError::Held {
                    run: run.to_string(),
                    holder: match holder.trim() {
                        "" => "another process holds its journal".to_owned(),
                        holder => holder.to_owned(),
                    },
                });
            }
            Err(e) => return Err(failed(e.into())),
        }
        let text = format!("process {} on this machine", std::process::id());
        file.set_len(0)
            .and_then(|()| writeln!(file, "{text}"))
            .map_err(failed)?;
        Ok(Held(file))
    }

    /// Whether somebody is writing to a run's journal just now.
    pub fn is_under_way(&self, run: RunId) -> bool {
        // Shared, so that looking keeps nobody from looking.
        let lock = File::open(self.folder(run).join("lock"));
        lock.is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared)
                == Err(rustix::io::Errno::WOULDBLOCK)
        })
    }

    /// Removes a run, unless it went on since `seen` was read of it: what it did can no longer be
    /// taken back from here. Whether it was removed.
    pub fn remove(&self, seen: &RunRecord) -> Result<bool, JournalError> {
        let run = seen.run;
        let _held = self.hold(run)?;
        let now = self.read(run)?;
        if (now.latest, now.effects.len()) != (seen.latest, seen.effects.len()) {
            return Ok(false);
        }
        let (folder, going) = (
            self.folder(run),
            self.runs().join(format!("{BEING_REMOVED}{run}")),
        );
        let failed = |source| JournalError::Folder {
            path: folder.clone(),
            source,
        };
        // Gone as a whole at once, however long its files take.
        fs::rename(&folder, &going).map_err(failed)?;
        fs::remove_dir_all(&going).map_err(failed)?;
        Ok(true)
    }

    /// Removes what crashes left: folders of runs that never began, and of runs that were being
    /// removed.
    pub fn sweep(&self) -> Result<usize, JournalError> {
        let runs = self.runs();
        let Ok(entries) = fs::read_dir(&runs) else {
            return Ok(0);
        };
        let mut swept = 0;
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let built = name.strip_prefix(BEING_BUILT);
            let id = built.or_else(|| name.strip_prefix(BEING_REMOVED));
            let Some(id) = id.and_then(|id| id.parse::<RunId>().ok()) else {
                continue;
            };
            // What is just being built is not swept away; its name tells since when.
            if built.is_some() && id.age() < Duration::from_secs(3600) {
                continue;
            }
            fs::remove_dir_all(entry.path()).map_err(|source| JournalError::Folder {
                path: entry.path(),
                source,
            })?;
            swept += 1;
        }
        Ok(swept)
    }
}
