//! What can go wrong with a journal.

use crate::fault::{Class, Fault};
use crate::model::Digest;
use std::path::PathBuf;

use super::store::FORMAT;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal's folder {path} cannot be used: {source}")]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path} is on a network file system ({kind}), which does not promise that what is written stays written"
    )]
    Network { path: PathBuf, kind: &'static str },
    #[error("{path} has room for {free} KiB, and this run's journal may need {needed} KiB")]
    NoRoom {
        path: PathBuf,
        free: u64,
        needed: u64,
    },
    #[error("the journal {path} failed: {source}")]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("the journal {path} is damaged: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{0} is not a journal of runbook")]
    NotAJournal(PathBuf),
    #[error("the journal {path} has format {found}; this version reads up to {FORMAT}")]
    TooNew { path: PathBuf, found: i64 },
    #[error("{0} does not begin with the start of a run")]
    NoStart(PathBuf),
    #[error("{path} lacks the file content {}, which is needed to go on", digest.short())]
    NoBlob { path: PathBuf, digest: Digest },
    #[error(
        "{path} is no longer the file that the plan was made with, whose sha256 begins with {}",
        digest.short()
    )]
    Another { path: PathBuf, digest: Digest },
    #[error("an event cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
    #[error("run {run} is under way: {holder}")]
    Held { run: String, holder: String },
    #[error(
        "there is no run `{id}` in {runs} (an id may be cut to 4 characters of its beginning or end, no fewer)"
    )]
    NoSuchRun { id: String, runs: PathBuf },
    #[error("`{id}` fits several runs: {candidates}")]
    Ambiguous { id: String, candidates: String },
    #[error("{file} is not the export of a run: {what}")]
    NotAnExport { file: PathBuf, what: String },
    #[error("run {run} is here already, and went on differently than in {file}")]
    Diverged { run: String, file: PathBuf },
}

impl JournalError {
    /// An error of SQLite; damage is told from what may pass.
    pub(super) fn of(path: &std::path::Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged {
                path,
                what: source.to_string(),
            },
            _ => Self::Database { path, source },
        }
    }
}

impl From<JournalError> for Fault {
    fn from(e: JournalError) -> Self {
        let (class, code, next) = match &e {
            JournalError::Folder { .. } => (
                Class::Refused,
                "journal_folder",
                "nothing is done without a journal: give a writable folder with --state-dir",
            ),
            JournalError::Network { .. } => (
                Class::Refused,
                "journal_network",
                "give a folder on a local disk with --state-dir",
            ),
            JournalError::NoRoom { .. } => (
                Class::Refused,
                "journal_room",
                "make room there (`runbook history prune`), or give another folder with --state-dir",
            ),
            JournalError::Database { .. } => (
                Class::Refused,
                "journal_database",
                "nothing more is done without a journal: look for a full disk, then resume the run",
            ),
            JournalError::Damaged { .. }
            | JournalError::NotAJournal(_)
            | JournalError::NoBlob { .. }
            | JournalError::NoStart(_) => (
                Class::Refused,
                "journal_damaged",
                "other runs are not touched by this; keep the folder for a look at what happened",
            ),
            JournalError::Another { .. } => (
                Class::Refused,
                "source_changed",
                "see what writes that file, and make the plan again once it rests",
            ),
            JournalError::TooNew { .. } => (
                Class::Refused,
                "journal_too_new",
                "use the version of runbook that wrote it",
            ),
            JournalError::Encode(_) => (Class::Internal, "internal", "please report it"),
            JournalError::Held { .. } => (
                Class::Refused,
                "run_under_way",
                "wait until it has ended, or end it there with Ctrl-C",
            ),
            JournalError::NoSuchRun { .. } | JournalError::Ambiguous { .. } => (
                Class::Input,
                "no_such_run",
                "`runbook history` lists the runs",
            ),
            JournalError::NotAnExport { .. } => (
                Class::Input,
                "not_an_export",
                "make it with `runbook history export RUN`, and carry it over whole",
            ),
            JournalError::Diverged { .. } => (
                Class::Refused,
                "run_diverged",
                "somebody went on with it in two places; look at both with `runbook history show`",
            ),
        };
        Self::new(class, code, e.to_string()).next(next)
    }
}
