use super::*;
use crate::journal::test_events::{change as change_of, step as step_of};
use crate::model::{Scope, UndoClass};
use serde_json::{Value, json};

const SIZE: u64 = 60 << 20;

fn new() -> Digest {
    Digest::of(b"new")
}

fn args() -> Value {
    json!({"path": "/usr/local/bin/x", "source": "/tmp/x", "sha256": new()})
}

fn made(args: Value) -> Result<HostBinary, String> {
    HostBinary::new(serde_json::from_value(args).unwrap())
}

fn with(key: &str, value: &str) -> Value {
    let mut args = args();
    args[key] = json!(value);
    args
}

/// Its owner is known to the host, and the source is what it should be.
fn seen(content: Option<&[u8]>) -> Seen {
    let mut on_host = OnHost::for_test("/usr/local/bin/x", content);
    (on_host.reading.uid, on_host.reading.gid) = (Some(0), Some(0));
    Seen {
        on_host,
        source: Ok((new(), SIZE)),
        no_room: None,
    }
}

fn large(mode: u32, uid: u32, content: Digest) -> Seen {
    let mut seen = seen(None);
    seen.on_host.reading.now = FileNow::Is(FileState::Present {
        mode,
        uid,
        gid: 0,
        size: SIZE,
        content,
    });
    seen.on_host.reading.content = None;
    seen
}

fn decide(args: Value, seen: &Seen) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    made(args)
        .unwrap()
        .decide(seen, place, Prior { steps: &[] })
}

fn changed(args: Value, seen: &Seen) -> Compiled {
    match decide(args.clone(), seen) {
        Decision::Change(change) => made(args).unwrap().compile(change),
        other => panic!("{other:?}"),
    }
}

fn refused(seen: &Seen) -> String {
    match decide(args(), seen) {
        Decision::Refuse { why, next } => format!("{why}; {}", next.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let wrong = |key, value| made(with(key, value)).err().unwrap();
    let all = [
        wrong("sha256", "abc"),
        wrong("sha256", &format!("{}  x", new())),
        wrong("source", ""),
        wrong("source", "~/x"),
        wrong("path", "usr/bin/x"),
        wrong("mode", "9"),
        wrong("owner", "a b"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    `sha256`: `abc` is not a SHA-256 in hexadecimal
    `sha256`: `11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437  x` is not a SHA-256 in hexadecimal
    `source` is the path of a file
    `source` is a whole path, and `~` is not expanded: `~/x`
    `path` must be absolute, and `usr/bin/x` is not
    `mode` is octal, such as "0644", and `9` is not
    `owner` is a name or a number, and `a b` is neither
    "#);
    // Some programs print it so.
    assert!(made(with("sha256", &new().as_str().to_uppercase())).is_ok());
}

#[test]
fn a_new_one_can_be_run_by_everybody_and_is_roots() {
    let compiled = changed(args(), &seen(None));
    let [detail] = compiled.details.as_slice() else {
        panic!()
    };
    assert_eq!(detail.before, None);
    insta::assert_snapshot!(detail.after.clone().unwrap(), @"62914560 bytes, sha256 11507a0e2f5e, mode 0755, owner 0:0");
    assert_eq!(detail.lines, Vec::<String>::new());
    assert_eq!(compiled.undo, UndoClass::Exact);
    // Its content stays in its file until the run keeps it.
    let all: Vec<_> = compiled.blobs.iter().collect();
    let path = PathBuf::from("/tmp/x");
    assert_eq!(all, [(&new(), &Content::File { path, size: SIZE })]);
}

#[test]
fn what_is_so_already_is_left() {
    for (seen, so) in [
        (large(0o755, 0, new()), true),
        (large(0o700, 0, new()), false),
        (large(0o755, 7, new()), false),
        (large(0o755, 0, Digest::of(b"old")), false),
    ] {
        let decision = decide(args(), &seen);
        let is = matches!(decision, Decision::NoChange { .. });
        assert_eq!(is, so, "{decision:?}");
    }
    let given = json!({"path": "/usr/local/bin/x", "source": "/tmp/x", "sha256": new(),
        "mode": "0700", "owner": "7", "group": "8"});
    let mut seen = large(0o700, 7, new());
    (seen.on_host.reading.uid, seen.on_host.reading.gid) = (Some(7), Some(0));
    assert!(matches!(decide(given, &seen), Decision::NoChange { .. }));
}

#[test]
fn an_old_one_is_kept_now_where_it_is_small_and_later_where_it_is_large() {
    let kept = |seen: &Seen| {
        let compiled = changed(args(), seen);
        let [effect] = compiled.effects.as_slice() else {
            panic!()
        };
        let late = effect
            .kept_late()
            .map(|(digest, size)| (digest.clone(), size));
        for digest in effect.contents() {
            let is_late = late.as_ref().is_some_and(|(late, _)| late == digest);
            assert!(compiled.blobs.has(digest) != is_late, "{digest}");
        }
        late
    };
    let old = Digest::of(b"old");
    assert_eq!(kept(&seen(Some(b"old"))), None);
    assert_eq!(kept(&seen(None)), None);
    assert_eq!(kept(&large(0o755, 0, old.clone())), Some((old, SIZE)));
    // It gets another mode: what is overwritten is what is put there.
    assert_eq!(kept(&large(0o700, 0, new())), None);
}

#[test]
fn another_file_than_the_one_that_is_meant_is_not_put_anywhere() {
    let mut seen = seen(None);
    seen.source = Ok((Digest::of(b"another"), SIZE));
    insta::assert_snapshot!(refused(&seen), @"file /usr/local/bin/x of node02 is not written: /tmp/x is another file than it should be, as its sha256 is ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, and not 11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437; fetch the file again, or give the digest that its publisher names");
    seen.source = Err("No such file or directory (os error 2)".to_owned());
    insta::assert_snapshot!(refused(&seen), @"file /usr/local/bin/x of node02 is not written: /tmp/x cannot be read here: No such file or directory (os error 2); give the path of the file on the machine where runbook runs");
}

#[test]
fn what_could_not_be_put_back_or_has_no_room_is_refused() {
    let mut room = seen(None);
    room.no_room = Some("node02 has 5 MiB free at /usr, and 60 MiB are needed".to_owned());
    insta::assert_snapshot!(refused(&room), @"file /usr/local/bin/x of node02 is not written: node02 has 5 MiB free at /usr, and 60 MiB are needed; make room there");
    // What is there already needs none.
    let mut there = large(0o755, 0, new());
    there.no_room = room.no_room;
    assert!(matches!(decide(args(), &there), Decision::NoChange { .. }));

    let mut torn = seen(Some(b"old"));
    torn.on_host.reading.content = None;
    insta::assert_snapshot!(refused(&torn), @"file /usr/local/bin/x of node02 was written while it was read: it could not be put back; see what writes it, and try again once it rests");
    torn.on_host.reading.now = FileNow::Strange("a symbolic link".to_owned());
    insta::assert_snapshot!(refused(&torn), @"file /usr/local/bin/x of node02 is a symbolic link: that is not replaced by a file;");
    let mut user = seen(None);
    user.on_host.reading.reader = 7;
    insta::assert_snapshot!(refused(&user), @"file /usr/local/bin/x of node02 would belong to another user, and only root can give files away;");
}

#[test]
fn two_steps_do_not_write_the_same_file() {
    let effects = changed(args(), &seen(None)).effects;
    let earlier = [step_of("one", Scope::Run, change_of(effects))];
    let place = Place::for_test(&Scope::Run, &[]);
    let step = made(args()).unwrap();
    let second = step.decide(&seen(None), place, Prior { steps: &earlier });
    assert!(matches!(second, Decision::Refuse { .. }));
}
