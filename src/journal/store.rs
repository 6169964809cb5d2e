//! A run's journal on disk: one SQLite database in one folder per run, with its blobs beside it, so
//! that a broken file blocks no other run.

use super::error::JournalError;
use super::event::{Entry, Event};
use super::fold::RunRecord;
use super::kept::{Keeping, check_blob, content, read_blob, sweep, write_blob};
use super::permit::{ClaimPermit, Permit};
use super::room;
use super::state_dir::{Held, StateDir};
use crate::model::{Blobs, Content, Digest, Effect, EffectId, RunId, Sitting};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, params};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `RBJ1`: tells a journal from other databases.
const APPLICATION_ID: i64 = 0x5242_4a31;
/// Version of the database's own form.
pub(super) const FORMAT: i64 = 1;
/// Room that a run keeps for its end, in bytes: what was done must be written down even where
/// something else has filled the disk meanwhile.
const RESERVE: u64 = 256 << 10;
/// What an empty database and its log need at least, in bytes.
const BASE: u64 = 256 << 10;

pub(super) const DATABASE: &str = "journal.db";
const RESERVE_FILE: &str = "reserve";
/// Before the name of a run's folder that is not whole yet, and one that is on its way out.
pub(super) const BEING_BUILT: &str = ".new-";
pub(super) const BEING_REMOVED: &str = ".old-";
pub(super) const BLOBS: &str = "blobs";

/// The journal of the run that is under way.
#[derive(Debug)]
pub struct Journal {
    run: RunId,
    db: Connection,
    folder: PathBuf,
    path: PathBuf,
    /// Tells this state directory from copies of it on other machines.
    place: String,
    /// Events that ride in the next commit.
    pending: Vec<(Timestamp, Event)>,
    /// Nobody else writes to it meanwhile.
    _held: Held,
}

impl Journal {
    /// Makes the folder of a run, for its owner alone, durable with its first event and its blobs: it
    /// is there whole or not at all.
    pub fn create(
        state: &StateDir,
        run: RunId,
        start: Event,
        blobs: &Blobs,
    ) -> Result<Self, JournalError> {
        let size = serde_json::to_vec(&start)
            .map_err(JournalError::Encode)?
            .len() as u64;
        // Each effect is written down as plan, intent and outcome, and once more in SQLite's log.
        let needed = BASE + RESERVE + 6 * size + blobs.size() + yet_to_be_kept(&start, blobs);
        let entry = Entry {
            seq: 1,
            at: Timestamp::now(),
            event: start,
        };
        build(state, run, &[entry], blobs, needed)?;
        let held = state.hold(run)?;
        Self::writing(state, run, held)
    }

    /// Takes the journal of an earlier run up again.
    pub fn reopen(state: &StateDir, run: RunId) -> Result<(Self, RunRecord), JournalError> {
        let held = state.hold(run)?;
        room::check(&state.folder(run), RESERVE)?;
        let record = state.read(run)?;
        let journal = Self::writing(state, run, held)?;
        Ok((journal, record))
    }

    fn writing(state: &StateDir, run: RunId, held: Held) -> Result<Self, JournalError> {
        let folder = state.folder(run);
        let path = folder.join(DATABASE);
        let failed = |source| JournalError::of(&path, source);
        let db = open(&path)?;
        db.pragma_update(None, "journal_mode", "WAL")
            .map_err(failed)?;
        db.pragma_update(None, "synchronous", "FULL")
            .map_err(failed)?;
        reserve(&folder)?;
        sweep(&folder);
        Ok(Self {
            run,
            db,
            path,
            folder,
            place: state.place(),
            pending: Vec::new(),
            _held: held,
        })
    }

    pub fn run(&self) -> RunId {
        self.run
    }

    /// Keeps the bytes that effects need which were decided only now.
    pub fn keep(&mut self, blobs: &Blobs) -> Result<(), JournalError> {
        let lacking = blobs.iter().filter(|(digest, _)| !self.has(digest));
        let size: u64 = lacking.map(|(_, content)| content.size()).sum();
        if size > 0 {
            room::check(&self.folder, RESERVE + size)?;
        }
        for (digest, content) in blobs.iter() {
            write_blob(&self.folder, digest, content)?;
        }
        sync(&self.folder.join(BLOBS))
    }

    /// Takes an event down; it becomes durable with the next intent or [`Self::flush`].
    pub fn record(&mut self, event: Event) {
        self.pending.push((Timestamp::now(), event));
    }

    /// Makes the intent durable, and all that was recorded before it. The permit that comes back is
    /// the right to carry the effect out, once.
    pub fn intend(&mut self, id: EffectId, effect: Effect) -> Result<Permit, JournalError> {
        let intent = (id, effect);
        self.make_durable(std::slice::from_ref(&intent))?;
        Ok(Permit::new(intent.0, intent.1))
    }

    /// The same of several, in one commit.
    pub fn intend_all(
        &mut self,
        intents: Vec<(EffectId, Effect)>,
    ) -> Result<Vec<Permit>, JournalError> {
        self.make_durable(&intents)?;
        let permits = intents.into_iter();
        Ok(permits
            .map(|(id, effect)| Permit::new(id, effect))
            .collect())
    }

    fn make_durable(&mut self, intents: &[(EffectId, Effect)]) -> Result<(), JournalError> {
        let mut contents = intents
            .iter()
            .flat_map(|(_, effect)| effect.contents())
            .peekable();
        let any = contents.peek().is_some();
        // Without its content, an effect could be begun and neither ended nor taken back.
        for digest in contents {
            check_blob(&self.folder, digest)?;
        }
        // Nor where a power cut may take its name away: a sitting that was killed may have given it, and
        // not lived to put that on the disk.
        if any {
            sync(&self.folder.join(BLOBS))?;
        }
        for (id, effect) in intents {
            self.record(Event::Intent {
                id: id.clone(),
                effect: effect.clone(),
            });
        }
        self.flush()
    }

    /// Makes it durable that a new sitting claims the run's targets, and those of the runs that it takes
    /// over from.
    pub fn claim(&mut self, over: Vec<RunId>) -> Result<ClaimPermit, JournalError> {
        let sitting = Sitting::generate();
        let place = self.place.clone();
        self.record(Event::Claiming {
            sitting,
            place,
            over,
        });
        self.flush()?;
        Ok(ClaimPermit::new(self.run, sitting))
    }

    /// Takes down that the targets were let go.
    pub fn released(&mut self, permit: ClaimPermit) -> Result<(), JournalError> {
        self.record(Event::Released {
            sitting: permit.sitting(),
        });
        self.flush()
    }

    /// Bytes that an effect of this run needs.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>, JournalError> {
        read_blob(&self.folder, digest)
    }

    /// The same, in their file where they are many.
    pub fn content(&self, digest: &Digest) -> Result<Content, JournalError> {
        content(&self.folder, digest)
    }

    /// Whether they are there and whole.
    pub fn has(&self, digest: &Digest) -> bool {
        check_blob(&self.folder, digest).is_ok()
    }

    /// Begins to keep what comes in pieces, `size` bytes in all.
    pub fn keep_pieces(&self, digest: &Digest, size: u64) -> Result<Keeping, JournalError> {
        room::check(&self.folder, RESERVE + size)?;
        Keeping::begin(&self.folder, digest)
    }

    /// Makes everything recorded so far durable. Where the disk is full, the run's own reserve is
    /// given up for it.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let result = match self.commit() {
            Err(e)
                if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
                    && fs::remove_file(self.folder.join(RESERVE_FILE)).is_ok() =>
            {
                self.commit()
            }
            other => other,
        };
        result.map_err(|source| JournalError::of(&self.path, source))?;
        self.pending.clear();
        Ok(())
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        let transaction = self.db.transaction()?;
        for (at, event) in &self.pending {
            insert(&transaction, *at, event)?;
        }
        transaction.commit()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The run has ended: its room is free for others. Left behind, it does no harm.
        let _ = fs::remove_file(self.folder.join(RESERVE_FILE));
    }
}

/// How many bytes a run is yet to keep, as they are read only right before they are overwritten.
fn yet_to_be_kept(start: &Event, blobs: &Blobs) -> u64 {
    let Event::RunStarted { plan, .. } = start else {
        return 0;
    };
    let late = plan.effects().filter_map(Effect::kept_late);
    let late: BTreeMap<&Digest, u64> = late.filter(|(digest, _)| !blobs.has(digest)).collect();
    late.values().sum()
}

fn insert(db: &Connection, at: Timestamp, event: &Event) -> rusqlite::Result<()> {
    let payload = serde_json::to_string(event)
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    db.prepare_cached(
        "INSERT INTO events (at, effect, kind, schema_version, payload) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![
        at.to_string(),
        event.effect().map(ToString::to_string),
        event.kind(),
        Event::SCHEMA_VERSION,
        payload,
    ])?;
    Ok(())
}

/// Makes a run's folder beside its final place and moves it there, so that no crash leaves half of
/// one.
pub(super) fn build(
    state: &StateDir,
    run: RunId,
    entries: &[Entry],
    blobs: &Blobs,
    needed: u64,
) -> Result<(), JournalError> {
    let runs = state.runs();
    make_dir(&runs)?;
    room::check(&runs, needed)?;
    // Of each attempt its own: what an earlier one left is in nobody's way.
    let folder = runs.join(format!("{BEING_BUILT}{}", RunId::generate()));
    let home = state.folder(run);
    let built =
        fill(&folder, entries, blobs).and_then(|()| fs::rename(&folder, &home).map_err(at(&home)));
    if built.is_err() {
        // The error counts; what is left of the attempt is swept up later.
        let _ = fs::remove_dir_all(&folder);
    }
    built?;
    // The names of the new folders must survive a power cut as well.
    for dir in [
        Some(runs.as_path()),
        runs.parent(),
        runs.parent().and_then(Path::parent),
    ]
    .into_iter()
    .flatten()
    {
        sync(dir)?;
    }
    Ok(())
}

/// Writes all of a run's folder, down to the disk.
fn fill(folder: &Path, entries: &[Entry], blobs: &Blobs) -> Result<(), JournalError> {
    make_dir(&folder.join(BLOBS))?;
    for (digest, content) in blobs.iter() {
        write_blob(folder, digest, content)?;
    }
    let path = folder.join(DATABASE);
    // Made here, so that no moment has it readable by others; SQLite gives its other files the
    // database's mode.
    private().create_new(true).open(&path).map_err(at(&path))?;
    let write = || -> rusqlite::Result<()> {
        let mut db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // It is synced as a whole below, before anybody can see it.
        db.pragma_update(None, "synchronous", "OFF")?;
        db.pragma_update(None, "application_id", APPLICATION_ID)?;
        db.pragma_update(None, "user_version", FORMAT)?;
        let transaction = db.transaction()?;
        transaction.execute_batch(
            "CREATE TABLE events (
                seq INTEGER PRIMARY KEY,
                at TEXT NOT NULL,
                effect TEXT,
                kind TEXT NOT NULL,
                schema_version INTEGER NOT NULL,
                payload TEXT NOT NULL
            ) STRICT;",
        )?;
        for entry in entries {
            insert(&transaction, entry.at, &entry.event)?;
        }
        transaction.commit()
    };
    write().map_err(|source| JournalError::of(&path, source))?;
    sync(&path)?;
    sync(&folder.join(BLOBS))?;
    sync(folder)
}

/// Opens a journal that is there.
pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    let failed = |source| JournalError::of(path, source);
    let db =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id").map_err(failed)? != APPLICATION_ID {
        return Err(JournalError::NotAJournal(path.to_owned()));
    }
    let found = number("user_version").map_err(failed)?;
    match found > FORMAT {
        true => Err(JournalError::TooNew {
            path: path.to_owned(),
            found,
        }),
        false => Ok(db),
    }
}

/// All events, in their order.
pub(super) fn read_entries(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let db = open(path)?;
    let failed = |source| JournalError::of(path, source);
    let damaged = |seq: i64, what: &dyn std::fmt::Display| JournalError::Damaged {
        path: path.to_owned(),
        what: format!("event {seq} cannot be read: {what}"),
    };
    let mut rows = db
        .prepare("SELECT seq, at, payload FROM events ORDER BY seq")
        .map_err(failed)?;
    let rows = rows
        .query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(failed)?;
    let mut entries = Vec::new();
    for row in rows {
        let (seq, at, payload) = row.map_err(failed)?;
        // Every event follows the one before: what is missing was taken away.
        if seq != entries.len() as i64 + 1 {
            return Err(damaged(entries.len() as i64 + 1, &"it is missing"));
        }
        entries.push(Entry {
            seq,
            at: at.parse().map_err(|e| damaged(seq, &e))?,
            event: serde_json::from_str(&payload).map_err(|e| damaged(seq, &e))?,
        });
    }
    Ok(entries)
}

/// Adds events that another copy of the same run has.
pub(super) fn append(path: &Path, entries: &[Entry]) -> Result<(), JournalError> {
    let mut db = open(path)?;
    let mut add = || -> rusqlite::Result<()> {
        db.pragma_update(None, "synchronous", "FULL")?;
        let transaction = db.transaction()?;
        for entry in entries {
            insert(&transaction, entry.at, &entry.event)?;
        }
        transaction.commit()
    };
    add().map_err(|source| JournalError::of(path, source))
}

/// Sets room aside where there is any, so that the run can be written down to its end.
fn reserve(folder: &Path) -> Result<(), JournalError> {
    let path = folder.join(RESERVE_FILE);
    let file = private()
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(at(&path))?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE) {
        // Some file systems cannot; then there is no reserve.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(at(&path)(e.into())),
    }
}

pub(super) fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

pub(super) fn make_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

pub(super) fn sync(path: &Path) -> Result<(), JournalError> {
    // A folder above that is not ours to read is not ours to sync.
    match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened.and_then(|file| file.sync_all()).map_err(at(path)),
    }
}

pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Folder { path, source }
}

#[cfg(test)]
mod tests;
