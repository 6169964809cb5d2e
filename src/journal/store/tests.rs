use super::*;
use crate::fault::Fault;
use crate::journal::test_events::{effect, host, start};
use crate::journal::{EffectState, Ending, Outcome};
use std::os::unix::fs::PermissionsExt;

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path().join("state"));
    (dir, state)
}

#[test]
fn an_intent_is_durable_before_its_permit_exists() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let (id, e) = effect("one");
    let permit = journal.intend(id.clone(), e.clone()).unwrap();
    assert_eq!((permit.id(), permit.effect()), (&id, &e));
    // Another reader sees it while the run goes on.
    let seen = state.read(run).unwrap();
    assert_eq!(seen.effects.len(), 1);
    assert_eq!((&seen.effects[0].id, &seen.effects[0].effect), (&id, &e));
    assert_eq!(seen.effects[0].state, EffectState::Open);
    // An outcome alone is not yet durable; it rides in the next commit.
    journal.record(Event::Outcome {
        id,
        outcome: Outcome::Done,
    });
    assert_eq!(state.read(run).unwrap().effects[0].state, EffectState::Open);
    let (id, e) = effect("two");
    journal.intend(id, e).unwrap();
    let seen = state.read(run).unwrap();
    assert_eq!(seen.effects[0].state, EffectState::Done);
    assert_eq!(seen.effects[1].state, EffectState::Open);
    assert_eq!(seen.ending, None);
}

#[test]
fn what_was_not_done_is_not_taken_back() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
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
    let back: Vec<&str> = record.to_take_back().map(|e| e.id.step.as_str()).collect();
    assert_eq!(back, ["open", "unknown", "done"]);
    assert_eq!(record.ending, Some((Ending::Unknown, None)));
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let _journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = state.folder(run);
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }
}

#[test]
fn a_run_is_found_by_a_part_of_its_id() {
    let (_dir, state) = state();
    let run = RunId::generate();
    Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
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
    Journal::create(&state, other, start(other), &Blobs::default()).unwrap();
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
    Journal::create(&state, good, start(good), &Blobs::default()).unwrap();
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
    assert!(matches!(state.read(bad), Err(JournalError::Damaged { .. })));
}

/// Every way in which one event can be spoilt is found, and named by its number.
#[test]
fn a_spoilt_event_is_named() {
    let spoilt = |sql: &str| {
        let (_dir, state) = state();
        let run = RunId::generate();
        let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
        for name in ["one", "two"] {
            let (id, e) = effect(name);
            journal.intend(id, e).unwrap();
        }
        journal.db.execute_batch(sql).unwrap();
        match state.read(run).unwrap_err() {
            JournalError::Damaged { what, .. } => what,
            other => panic!("{other}"),
        }
    };
    insta::assert_snapshot!(spoilt("DELETE FROM events WHERE seq = 2"), @"event 2 cannot be read: it is missing");
    insta::assert_snapshot!(spoilt("UPDATE events SET payload = '{' WHERE seq = 3"), @"event 3 cannot be read: EOF while parsing an object at line 1 column 1");
    insta::assert_snapshot!(spoilt("UPDATE events SET at = 'then' WHERE seq = 1"), @"event 1 cannot be read: failed to parse four digit integer as year: invalid digit, expected 0-9 but got t");
}

/// As a crash leaves it: without the end of SQLite's own housekeeping.
#[test]
fn a_run_that_was_cut_short_is_taken_up_again_by_one_only() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    assert!(state.is_under_way(run));
    let Err(JournalError::Held { holder, .. }) = Journal::reopen(&state, run) else {
        panic!()
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    drop(journal);
    assert!(!state.is_under_way(run));
    let (mut journal, record) = Journal::reopen(&state, run).unwrap();
    assert_eq!(record.run, run);
    let (id, e) = effect("one");
    journal.intend(id, e).unwrap();
    assert_eq!(state.read(run).unwrap().effects.len(), 1);
    assert!(
        !state
            .folder(run)
            .join(RESERVE_FILE)
            .metadata()
            .unwrap()
            .is_dir()
    );
    drop(journal);
    assert!(!state.folder(run).join(RESERVE_FILE).exists());
}

fn file_effect(content: &Digest) -> (EffectId, Effect) {
    use crate::model::{FileRef, FileState};
    let (id, _) = effect("file");
    let effect = Effect::PutFile {
        file: FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: FileState::Absent,
        after: FileState::Present {
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 1,
            content: content.clone(),
        },
    };
    (id, effect)
}

#[test]
fn a_run_without_room_for_what_it_is_yet_to_keep_does_not_begin() {
    use crate::journal::test_events::{change, plan, start_of, step};
    use crate::model::{FileState, Scope};
    let (_dir, state) = state();
    let (run, mut blobs) = (RunId::generate(), Blobs::default());
    let (_, mut effect) = file_effect(&blobs.insert(b"x".to_vec()));
    if let Effect::PutFile { before, .. } = &mut effect {
        *before = FileState::Present {
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 1 << 60,
            content: Digest::of(b"old"),
        };
    }
    let mut plan = plan();
    plan.steps
        .push(step("one", Scope::Run, change(vec![effect])));
    let begun = Journal::create(&state, run, start_of(run, plan), &blobs);
    assert!(matches!(begun, Err(JournalError::NoRoom { .. })));
    assert_eq!(state.list().unwrap(), []);
}

#[test]
fn an_effect_whose_content_is_not_kept_is_not_begun() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut blobs = Blobs::default();
    let kept = blobs.insert(b"x".to_vec());
    let mut journal = Journal::create(&state, run, start(run), &blobs).unwrap();
    assert_eq!(journal.blob(&kept).unwrap(), b"x");
    let (id, e) = file_effect(&Digest::of(b"y"));
    assert!(matches!(
        journal.intend(id, e),
        Err(JournalError::NoBlob { .. })
    ));
    let (id, e) = file_effect(&kept);
    journal.intend(id.clone(), e.clone()).unwrap();
    // Other bytes under its name are not it.
    fs::write(state.blobs(run).join(kept.as_str()), "z").unwrap();
    assert!(matches!(
        journal.intend(id, e),
        Err(JournalError::NoBlob { .. })
    ));
    assert!(state.blob(run, &kept).is_err());
}

/// What a crash left of a run's beginning, or of its removal, is no run and in nobody's way.
#[test]
fn half_a_folder_is_no_run_and_is_swept_up() {
    let (_dir, state) = state();
    let young = state
        .runs()
        .join(format!("{BEING_BUILT}{}", RunId::generate()));
    let old = state
        .runs()
        .join(format!("{BEING_BUILT}01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    let going = state
        .runs()
        .join(format!("{BEING_REMOVED}{}", RunId::generate()));
    for folder in [&young, &old, &going] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(DATABASE), "half of one").unwrap();
    }
    let run = RunId::generate();
    Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    assert_eq!(state.list().unwrap(), [run]);
    // What is younger than an hour may be just beginning.
    assert_eq!(state.sweep().unwrap(), 2);
    assert!(young.exists() && !old.exists() && !going.exists());
    assert_eq!(state.sweep().unwrap(), 0);
}

/// A run that cannot begin leaves nothing behind.
#[test]
fn a_failed_beginning_leaves_nothing() {
    let (_dir, state) = state();
    let run = RunId::generate();
    // In the way of the last step, the renaming.
    fs::create_dir_all(state.folder(run)).unwrap();
    fs::write(state.folder(run).join("x"), "").unwrap();
    assert!(Journal::create(&state, run, start(run), &Blobs::default()).is_err());
    assert_eq!(fs::read_dir(state.runs()).unwrap().count(), 1);
}

/// As it is left by one who is killed while a content comes in.
#[test]
fn what_is_left_of_half_a_content_goes_when_its_run_is_taken_up() {
    let (_dir, state) = state();
    let (run, mut blobs) = (RunId::generate(), Blobs::default());
    let kept = blobs.insert(b"x".to_vec());
    drop(Journal::create(&state, run, start(run), &blobs).unwrap());
    let left = state.blobs(run).join(kept.as_str()).with_extension("part");
    fs::write(&left, "half").unwrap();
    let (journal, _) = Journal::reopen(&state, run).unwrap();
    assert!(!left.exists());
    assert_eq!(journal.blob(&kept).unwrap(), b"x");
}

#[test]
fn what_was_decided_on_the_way_is_not_kept_without_room() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let mut blobs = Blobs::default();
    let content = Content::File {
        path: "/dev/null".into(),
        size: 1 << 60,
    };
    blobs.add(Digest::of(b""), content);
    assert!(matches!(
        journal.keep(&blobs),
        Err(JournalError::NoRoom { .. })
    ));
}

#[test]
fn a_content_that_is_whole_is_not_written_again() {
    let (dir, _) = state();
    let folder = dir.path();
    fs::create_dir_all(folder.join(BLOBS)).unwrap();
    let digest = Digest::of(b"x");
    let path = folder.join(BLOBS).join(digest.as_str());
    let x = Content::Bytes(b"x".to_vec());
    write_blob(folder, &digest, &x).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    write_blob(folder, &digest, &x).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    fs::write(&path, "spoilt").unwrap();
    write_blob(folder, &digest, &x).unwrap();
    assert_eq!(read_blob(folder, &digest).unwrap(), b"x");
    assert_eq!(fs::read_dir(folder.join(BLOBS)).unwrap().count(), 1);
}

#[test]
fn a_removed_run_is_gone_and_one_that_is_under_way_is_not_removed() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let seen = state.read(run).unwrap();
    assert!(matches!(
        state.remove(&seen),
        Err(JournalError::Held { .. })
    ));
    drop(journal);
    // It went on since it was looked at.
    let (mut journal, _) = Journal::reopen(&state, run).unwrap();
    let (id, e) = effect("one");
    journal.intend(id, e).unwrap();
    drop(journal);
    assert!(!state.remove(&seen).unwrap());
    assert_eq!(state.list().unwrap(), [run]);
    assert!(state.remove(&state.read(run).unwrap()).unwrap());
    assert_eq!(state.list().unwrap(), []);
    assert_eq!(fs::read_dir(state.runs()).unwrap().count(), 0);
}

/// Where the disk is full, the reserve is what the last words are written into.
#[test]
fn the_reserve_is_given_up_for_the_last_words() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let pages: i64 = journal
        .db
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    // SQLite's own bound says "full" as a disk would; nothing but a smaller journal helps there.
    journal
        .db
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
    let reserve = state.folder(run).join(RESERVE_FILE);
    assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
    let long = "x".repeat(100_000);
    journal.record(Event::RunEnded {
        ending: Ending::Failed,
        fault: Some(Fault::definite("x", long)),
    });
    assert!(journal.flush().is_err());
    assert!(!reserve.exists());
    // What could not be written is kept until it can.
    journal
        .db
        .pragma_update(None, "max_page_count", pages + 1000)
        .unwrap();
    journal.flush().unwrap();
    assert!(state.read(run).unwrap().ending.is_some());
}

#[test]
fn a_journal_of_a_later_format_is_refused() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    journal
        .db
        .pragma_update(None, "user_version", FORMAT + 1)
        .unwrap();
    assert!(matches!(
        state.read(run),
        Err(JournalError::TooNew { found: 2, .. })
    ));
}
