use super::*;
use crate::fault::Fault;
use crate::journal::test_events::{change, effect, host, plan, start, start_of, step};
use crate::journal::{Ending, Journal, Outcome};
use crate::model::{Content, Effect, FileRef, FileState, LARGE, Scope};
use proptest::prelude::*;

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path().join("state"));
    (dir, state)
}

fn file() -> &'static Path {
    Path::new("x.runbook-run")
}

/// A run with one file that it puts in the place of another.
fn with_blobs(run: RunId) -> (Event, Blobs) {
    let mut blobs = Blobs::default();
    let mut put = |text: &str| FileState::Present {
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: text.len() as u64,
        content: blobs.insert(text.as_bytes().to_vec()),
    };
    let effect = Effect::PutFile {
        file: FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: put("old\n"),
        after: put("new\n"),
    };
    let mut plan = plan();
    plan.steps
        .push(step("one", Scope::Run, change(vec![effect])));
    (start_of(run, plan), blobs)
}

/// What is large is kept right before it is overwritten: until then a run has it not, and is whole.
#[test]
fn a_run_is_carried_over_before_and_after_it_has_kept_what_is_large() {
    let ((_here, here), (_there, there)) = (state(), state());
    let old: Vec<u8> = (0..=LARGE).map(|n| (n % 251) as u8).collect();
    let mut blobs = Blobs::default();
    let present = |size: usize, content: Digest| FileState::Present {
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: size as u64,
        content,
    };
    let effect = Effect::PutFile {
        file: FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: present(old.len(), Digest::of(&old)),
        after: present(3, blobs.insert(b"new".to_vec())),
    };
    let mut plan = plan();
    plan.steps
        .push(step("one", Scope::Run, change(vec![effect.clone()])));
    let run = RunId::generate();
    let mut journal = Journal::create(&here, run, start_of(run, plan), &blobs).unwrap();
    let text = here.export(run).unwrap();
    assert_eq!(there.import(&text, file()).unwrap(), (run, Imported::New));

    let (id, _) = crate::journal::test_events::effect("one");
    assert!(journal.intend(id.clone(), effect.clone()).is_err());
    let digest = Digest::of(&old);
    let size = old.len() as u64;
    assert!(!journal.has(&digest));
    let mut keeping = journal.keep_pieces(&digest, size).unwrap();
    keeping.add(&old).unwrap();
    assert!(keeping.end().unwrap() && journal.has(&digest));
    journal.intend(id, effect).unwrap();
    let text = here.export(run).unwrap();
    assert_eq!(
        there.import(&text, file()).unwrap(),
        (run, Imported::Longer)
    );
    let Content::File { path, .. } = there.content(run, &digest).unwrap() else {
        panic!()
    };
    assert_eq!(std::fs::read(path).unwrap(), old);
}

#[test]
fn a_run_is_carried_over_whole_and_goes_on_in_one_place() {
    let ((_here, here), (_there, there)) = (state(), state());
    let run = RunId::generate();
    let (first, blobs) = with_blobs(run);
    let mut journal = Journal::create(&here, run, first, &blobs).unwrap();
    let text = here.export(run).unwrap();
    assert_eq!(there.import(&text, file()).unwrap(), (run, Imported::New));
    assert_eq!(there.entries(run).unwrap(), here.entries(run).unwrap());
    for (digest, content) in blobs.iter() {
        assert_eq!(there.content(run, digest).unwrap(), *content);
    }
    assert_eq!(there.import(&text, file()).unwrap(), (run, Imported::Known));

    // It goes on here, and what is new is added there.
    let (id, e) = effect("one");
    journal.intend(id.clone(), e).unwrap();
    let longer = here.export(run).unwrap();
    assert_eq!(
        there.import(&longer, file()).unwrap(),
        (run, Imported::Longer)
    );
    assert_eq!(there.entries(run).unwrap(), here.entries(run).unwrap());
    assert_eq!(there.import(&text, file()).unwrap(), (run, Imported::Known));

    // It goes on in both places: neither is lost.
    journal.record(Event::Outcome {
        id,
        outcome: Outcome::Done,
    });
    journal.flush().unwrap();
    let (mut other, _) = Journal::reopen(&there, run).unwrap();
    other.record(Event::RunEnded {
        ending: Ending::Failed,
        fault: Some(Fault::definite("x", "x")),
    });
    other.flush().unwrap();
    drop(other);
    assert!(matches!(
        there.import(&here.export(run).unwrap(), file()),
        Err(JournalError::Diverged { .. })
    ));
}

#[test]
fn what_is_no_export_says_why() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let (first, blobs) = with_blobs(run);
    Journal::create(&state, run, first, &blobs).unwrap();
    let text = state.export(run).unwrap();
    let sealed = |body: &str| {
        let end = Line::End {
            lines: body.lines().count(),
            sha256: Digest::of(body.as_bytes()),
        };
        format!("{body}{}\n", serde_json::to_string(&end).unwrap())
    };
    let lines: Vec<&str> = text.lines().collect();
    let body = |keep: &dyn Fn(usize, &str) -> bool| {
        let kept: String = lines[..lines.len() - 1]
            .iter()
            .enumerate()
            .filter(|(n, line)| keep(*n, line))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        sealed(&kept)
    };
    let wrong = |text: &str| parse(text).map(|_| ()).unwrap_err();
    assert!(parse(&body(&|_, _| true)).is_ok());
    insta::assert_snapshot!(wrong(""), @"it is cut short: its last line does not end");
    insta::assert_snapshot!(wrong("x\n"), @"it has one line only");
    insta::assert_snapshot!(wrong(&text.replace("/x", "/y")), @"it was changed since it was made");
    insta::assert_snapshot!(wrong(&body(&|n, _| n != 0)), @"it does not say which run it is");
    insta::assert_snapshot!(wrong(&body(&|n, _| n != 1)), @"its first event is not the start of that run");
    assert!(
        wrong(&body(&|_, line| !line.contains("base64"))).starts_with("it lacks the file content")
    );
    insta::assert_snapshot!(wrong(&sealed(&lines[0].replace("run/v1", "run/v2").replace('}', "}\n"))), @"line 1: its form is `runbook.run/v2`, and this version reads `runbook.run/v1`");
    insta::assert_snapshot!(wrong(&sealed(&format!("{0}\n{0}\n", lines[0]))), @"line 2: it does not belong there");
    let other = text.replace(&run.to_string(), &RunId::generate().to_string());
    let other: Vec<&str> = other.lines().collect();
    let mixed = format!("{}\n{}\n", other[0], lines[1..lines.len() - 1].join("\n"));
    insta::assert_snapshot!(wrong(&sealed(&mixed)), @"its first event is not the start of that run");
}

/// Every event follows the one before: what was taken out of the middle is missed.
#[test]
fn an_event_that_is_missing_is_missed() {
    let (_dir, state) = state();
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    for name in ["one", "two"] {
        let (id, e) = effect(name);
        journal.intend(id, e).unwrap();
    }
    let text = state.export(run).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let body = format!("{}\n{}\n{}\n", lines[0], lines[1], lines[3]);
    let end = Line::End {
        lines: 3,
        sha256: Digest::of(body.as_bytes()),
    };
    let text = format!("{body}{}\n", serde_json::to_string(&end).unwrap());
    insta::assert_snapshot!(parse(&text).unwrap_err(), @"line 3: it does not belong there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Cut or changed anywhere, it is never taken for a run.
    #[test]
    fn no_damage_goes_unnoticed(at in 0usize..100_000, with in "[a-z0-9{}\":]") {
        let (_dir, state) = state();
        let run = RunId::generate();
        Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
        let text = state.export(run).unwrap();
        let at = at % text.len();
        prop_assert!(parse(&text[..at]).is_err());
        let mut broken = text.clone();
        broken.replace_range(at..=at, &with);
        prop_assert!(broken == text || parse(&broken).is_err());
    }
}
