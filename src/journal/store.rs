//! A run's journal on disk: one SQLite database in one folder per run, so that a broken file blocks
//! no other run.

use super::event::Event;
use super::fold::RunRecord;
use super::permit::Permit;
use crate::fault::{Class, Fault};
use crate::model::{Effect, EffectId, RunId};
use rusqlite::{Connection, OpenFlags, params};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `RBJ1`: tells a journal from other databases.
const APPLICATION_ID: i64 = 0x5242_4a31;
/// Version of the database's own form.
const FORMAT: i64 = 1;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal's folder {path} cannot be used: {source}")]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the journal {path} failed: {source}")]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{0} is not a journal of runbook")]
    NotAJournal(PathBuf),
    #[error("the journal {path} has format {found}; this version reads up to {FORMAT}")]
    TooNew { path: PathBuf, found: i64 },
    #[error("event {seq} of {path} cannot be read: {source}")]
    Event {
        path: PathBuf,
        seq: i64,
        source: serde_json::Error,
    },
    #[error("{0} does not begin with the start of a run")]
    NoStart(PathBuf),
    #[error("an event cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
    #[error(
        "there is no run `{id}` in {runs} (an id may be cut to 4 characters of its beginning or end, no fewer)"
    )]
    NoSuchRun { id: String, runs: PathBuf },
    #[error("`{id}` fits several runs: {candidates}")]
    Ambiguous { id: String, candidates: String },
}

impl From<JournalError> for Fault {
    fn from(e: JournalError) -> Self {
        let (class, code, next) = match &e {
            JournalError::Folder { .. } => (
                Class::Refused,
                "journal_folder",
                "nothing is done without a journal: give a writable folder with --state-dir",
            ),
            JournalError::Database { .. } => (
                Class::Refused,
                "journal_database",
                "nothing more is done without a journal: look for a full disk or a damaged file",
            ),
            JournalError::NotAJournal(_)
            | JournalError::Event { .. }
            | JournalError::NoStart(_) => (
                Class::Refused,
                "journal_damaged",
                "other runs are not touched by this; keep the folder for a look at what happened",
            ),
            JournalError::TooNew { .. } => (
                Class::Refused,
                "journal_too_new",
                "use the version of runbook that wrote it",
            ),
            JournalError::Encode(_) => (Class::Internal, "internal", "please report it"),
            JournalError::NoSuchRun { .. } | JournalError::Ambiguous { .. } => (
                Class::Input,
                "no_such_run",
                "`runbook undo` without a run lists the latest ones",
            ),
        };
        Self::new(class, code, e.to_string()).next(next)
    }
}

/// Where the runs' folders are.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    fn folder(&self, run: RunId) -> PathBuf {
        self.runs().join(run.to_string())
    }

    /// The runs there are, newest first.
    pub fn list(&self) -> Result<Vec<RunId>, JournalError> {
        let runs = self.runs();
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
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

    /// Reads a run's journal.
    pub fn read(&self, run: RunId) -> Result<RunRecord, JournalError> {
        let path = self.folder(run).join("journal.db");
        let open = || {
            let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            db.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0))
                .map(|id| (db, id))
        };
        let (db, id) = open().map_err(|source| JournalError::Database {
            path: path.clone(),
            source,
        })?;
        if id != APPLICATION_ID {
            return Err(JournalError::NotAJournal(path));
        }
        let events = read_events(&db, &path)?;
        RunRecord::fold(events).ok_or(JournalError::NoStart(path))
    }
}

fn read_events(db: &Connection, path: &Path) -> Result<Vec<Event>, JournalError> {
    let failed = |source| JournalError::Database {
        path: path.to_owned(),
        source,
    };
    let format: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    if format > FORMAT {
        return Err(JournalError::TooNew {
            path: path.to_owned(),
            found: format,
        });
    }
    let mut rows = db
        .prepare("SELECT seq, payload FROM events ORDER BY seq")
        .map_err(failed)?;
    let rows = rows
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .map_err(failed)?;
    rows.map(|row| {
        let (seq, payload) = row.map_err(failed)?;
        serde_json::from_str(&payload).map_err(|source| JournalError::Event {
            path: path.to_owned(),
            seq,
            source,
        })
    })
    .collect()
}

/// The journal of the run that is under way.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    path: PathBuf,
    /// Events that ride in the next commit.
    pending: Vec<Event>,
}

impl Journal {
    /// Makes the folder and the database of a run, for its owner alone, durable with its first event.
    pub fn create(state: &StateDir, run: RunId, start: Event) -> Result<Self, JournalError> {
        let folder = state.folder(run);
        let folder_error = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Folder { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(folder_error(&folder))?;
        let path = folder.join("journal.db");
        // Made here, so that no moment has it readable by others; SQLite gives its other files the
        // database's mode.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(folder_error(&path))?;
        let failed = |source| JournalError::Database {
            path: path.clone(),
            source,
        };
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(failed)?;
        db.pragma_update(None, "journal_mode", "WAL")
            .map_err(failed)?;
        db.pragma_update(None, "synchronous", "FULL")
            .map_err(failed)?;
        db.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
        db.pragma_update(None, "user_version", FORMAT)
            .map_err(failed)?;
        db.execute_batch(
            "CREATE TABLE events (
                seq INTEGER PRIMARY KEY,
                at TEXT NOT NULL,
                effect TEXT,
                kind TEXT NOT NULL,
                schema_version INTEGER NOT NULL,
                payload TEXT NOT NULL
            ) STRICT;",
        )
        .map_err(failed)?;
        let mut journal = Self {
            db,
            path: path.clone(),
            pending: vec![start],
        };
        journal.flush()?;
        // The names of the new folder and file must survive a power cut as well.
        for dir in [Some(folder.as_path()), folder.parent(), Some(&state.0)]
            .into_iter()
            .flatten()
        {
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(folder_error(dir))?;
        }
        Ok(journal)
    }

    /// Takes an event down; it becomes durable with the next intent or [`Self::flush`].
    pub fn record(&mut self, event: Event) {
        self.pending.push(event);
    }

    /// Makes the intent durable, and all that was recorded before it. The permit that comes back is
    /// the right to carry the effect out, once.
    pub fn intend(&mut self, id: EffectId, effect: Effect) -> Result<Permit, JournalError> {
        self.pending.push(Event::Intent {
            id: id.clone(),
            effect: effect.clone(),
        });
        self.flush()?;
        Ok(Permit::new(id, effect))
    }

    /// Makes everything recorded so far durable.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let failed = |source| JournalError::Database {
            path: self.path.clone(),
            source,
        };
        let transaction = self.db.transaction().map_err(failed)?;
        for event in &self.pending {
            let payload = serde_json::to_string(event).map_err(JournalError::Encode)?;
            transaction
                .prepare_cached(
                    "INSERT INTO events (at, effect, kind, schema_version, payload) VALUES (?, ?, ?, ?, ?)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![
                        jiff::Timestamp::now().to_string(),
                        event.effect().map(ToString::to_string),
                        event.kind(),
                        Event::SCHEMA_VERSION,
                        payload,
                    ])
                })
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{EffectState, Ending, Outcome};
    use crate::model::{Actor, ClusterId, ObjectRef, Plan, PlanKind, Risk, Scope, StepId};
    use std::os::unix::fs::PermissionsExt;

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        (dir, state)
    }

    fn start(run: RunId) -> Event {
        Event::RunStarted {
            run,
            plan: Box::new(Plan {
                schema: Plan::SCHEMA.into(),
                engine: "0".into(),
                kind: PlanKind::Apply,
                runbook: "x".into(),
                summary: String::new(),
                runbook_digest: String::new(),
                params: serde_json::Map::new(),
                risk: Risk::Low,
                cluster: ClusterId {
                    context: String::new(),
                    server: String::new(),
                    uid: String::new(),
                },
                actor: Actor {
                    user: String::new(),
                    host: String::new(),
                },
                targets: vec![],
                steps: vec![],
            }),
            reason: None,
            runbook_text: String::new(),
        }
    }

    fn effect(name: &str) -> (EffectId, Effect) {
        let id = EffectId {
            step: StepId::new(name).unwrap(),
            scope: Scope::Run,
            item: String::new(),
            attempt: 1,
        };
        let effect = Effect::SetFields {
            object: ObjectRef {
                api_version: "v1".into(),
                kind: "Node".into(),
                resource: "nodes".into(),
                namespace: None,
                name: name.into(),
                uid: "u".into(),
            },
            fields: vec![],
        };
        (id, effect)
    }

    #[test]
    fn an_intent_is_durable_before_its_permit_exists() {
        let (_dir, state) = state();
        let run = RunId::generate();
        let mut journal = Journal::create(&state, run, start(run)).unwrap();
        let (id, e) = effect("one");
        let permit = journal.intend(id.clone(), e.clone()).unwrap();
        assert_eq!((permit.id(), permit.effect()), (&id, &e));
        // Another reader sees it while the run goes on.
        let seen = state.read(run).unwrap();
        assert_eq!(seen.effects, vec![(id.clone(), e, EffectState::Open)]);
        // An outcome alone is not yet durable; it rides in the next commit.
        journal.record(Event::Outcome {
            id,
            outcome: Outcome::Done,
        });
        assert_eq!(state.read(run).unwrap().effects[0].2, EffectState::Open);
        let (id, e) = effect("two");
        journal.intend(id, e).unwrap();
        let seen = state.read(run).unwrap();
        assert_eq!(seen.effects[0].2, EffectState::Done);
        assert_eq!(seen.effects[1].2, EffectState::Open);
        assert_eq!(seen.ending, None);
    }

    #[test]
    fn what_was_not_done_is_not_taken_back() {
        let (_dir, state) = state();
        let run = RunId::generate();
        let mut journal = Journal::create(&state, run, start(run)).unwrap();
        for (name, outcome) in [
            ("done", Some(Outcome::Done)),
            (
                "not_done",
                Some(Outcome::NotDone {
                    fault: Fault::definite("x", "x"),
                }),
            ),
            (
                "unknown",
                Some(Outcome::Unknown {
                    fault: Fault::indeterminate("x", "x"),
                }),
            ),
            ("open", None),
        ] {
            let (id, e) = effect(name);
            journal.intend(id.clone(), e).unwrap();
            if let Some(outcome) = outcome {
                journal.record(Event::Outcome { id, outcome });
            }
        }
        let (id, _) = effect("by_others");
        journal.record(Event::Outcome {
            id,
            outcome: Outcome::AlreadySo,
        });
        journal.record(Event::RunEnded {
            ending: Ending::Unknown,
            fault: None,
        });
        journal.flush().unwrap();
        let record = state.read(run).unwrap();
        let back: Vec<&str> = record
            .to_take_back()
            .map(|(id, ..)| id.step.as_str())
            .collect();
        assert_eq!(back, ["open", "unknown", "done"]);
        assert_eq!(record.ending, Some((Ending::Unknown, None)));
    }

    #[test]
    fn folders_and_files_are_for_their_owner_alone() {
        let (_dir, state) = state();
        let run = RunId::generate();
        let _journal = Journal::create(&state, run, start(run)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = state.folder(run);
        assert_eq!(mode(&folder), 0o700);
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_run_is_found_by_a_part_of_its_id() {
        let (_dir, state) = state();
        let run = RunId::generate();
        Journal::create(&state, run, start(run)).unwrap();
        let id = run.to_string();
        assert_eq!(state.find(&id).unwrap(), run);
        assert_eq!(state.find(&id[20..].to_lowercase()).unwrap(), run);
        assert!(matches!(
            state.find("0000"),
            Err(JournalError::NoSuchRun { .. })
        ));
        assert!(matches!(
            state.find(""),
            Err(JournalError::NoSuchRun { .. })
        ));
        let other = loop {
            let other = RunId::generate();
            if other.to_string()[..6] == id[..6] {
                break other;
            }
        };
        Journal::create(&state, other, start(other)).unwrap();
        assert!(matches!(
            state.find(&id[..6]),
            Err(JournalError::Ambiguous { .. })
        ));
        let mut newest_first = vec![run, other];
        newest_first.sort_by(|a, b| b.cmp(a));
        assert_eq!(state.list().unwrap(), newest_first);
    }

    #[test]
    fn a_damaged_journal_says_so_and_others_are_read() {
        let (_dir, state) = state();
        let (good, bad) = (RunId::generate(), RunId::generate());
        Journal::create(&state, good, start(good)).unwrap();
        fs::create_dir_all(state.folder(bad)).unwrap();
        fs::write(state.folder(bad).join("journal.db"), "not a database").unwrap();
        assert!(state.read(bad).is_err());
        assert!(state.read(good).is_ok());
        let empty = RunId::generate();
        fs::create_dir_all(state.folder(empty)).unwrap();
        Connection::open(state.folder(empty).join("journal.db")).unwrap();
        assert!(matches!(
            state.read(empty),
            Err(JournalError::NotAJournal(_))
        ));
    }

    #[test]
    fn a_journal_of_a_later_format_is_refused() {
        let (_dir, state) = state();
        let run = RunId::generate();
        let journal = Journal::create(&state, run, start(run)).unwrap();
        journal
            .db
            .pragma_update(None, "user_version", FORMAT + 1)
            .unwrap();
        assert!(matches!(
            state.read(run),
            Err(JournalError::TooNew { found: 2, .. })
        ));
    }
}
