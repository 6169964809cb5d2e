use super::*;
use crate::actions::line_difference::SHOWN_LINES;
use crate::journal::test_events::{change as change_of, host, step as step_of};
use crate::model::{Digest, FileNow, FileRef, FileState, Scope, UndoClass};
use crate::transport::FileReading;
use serde_json::{Value, json};

fn made(args: Value) -> Result<HostFile, String> {
    HostFile::new(serde_json::from_value(args).unwrap())
}

fn file() -> FileRef {
    FileRef {
        host: host(),
        path: "/etc/x.conf".into(),
    }
}

fn present(mode: u32, content: &str) -> Seen {
    Seen {
        file: file(),
        reading: FileReading {
            now: FileNow::Is(FileState::Present {
                mode,
                uid: 7,
                gid: 8,
                size: content.len() as u64,
                content: Digest::of(content.as_bytes()),
            }),
            content: Some(content.as_bytes().to_vec()),
            reader: 0,
            reader_group: 0,
            uid: None,
            gid: None,
            keeps_attributes: true,
        },
    }
}

fn absent() -> Seen {
    Seen {
        file: file(),
        reading: FileReading {
            now: FileNow::Is(FileState::Absent),
            content: Some(Vec::new()),
            reader: 0,
            reader_group: 0,
            uid: None,
            gid: None,
            keeps_attributes: true,
        },
    }
}

fn decide(args: Value, seen: &Seen) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    made(args)
        .unwrap()
        .decide(seen, place, Prior { steps: &[] })
}

fn after(args: Value, seen: &Seen) -> (FileState, String) {
    match decide(args, seen) {
        Decision::Change(change) => (change.after.0, String::from_utf8(change.after.1).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        json!({"path": "etc/x", "content": ""}),
        json!({"path": "/etc/../x", "content": ""}),
        json!({"path": "/etc//x", "content": ""}),
        json!({"path": "/etc/", "content": ""}),
        json!({"path": "/", "content": ""}),
        json!({"path": "/etc/a\nb", "content": ""}),
        json!({"path": "/proc/sys/x", "content": ""}),
        json!({"path": "/etc/x"}),
        json!({"path": "/etc/x", "state": "absent", "content": ""}),
        json!({"path": "/etc/x", "state": "absent", "mode": "0644"}),
        json!({"path": "/etc/x", "mode": "9"}),
        json!({"path": "/etc/x", "mode": "64"}),
        json!({"path": "/etc/x", "mode": "10644"}),
        json!({"path": "/etc/x", "content": "x".repeat(1 + (1 << 20))}),
    ] {
        assert!(made(args.clone()).is_err(), "{args}");
    }
}

#[test]
fn an_old_file_keeps_its_owner_and_its_mode_and_a_new_one_is_roots() {
    let content = json!({"path": "/etc/x.conf", "content": "new\n"});
    let state = |mode, uid, gid, text: &str| FileState::Present {
        mode,
        uid,
        gid,
        size: text.len() as u64,
        content: Digest::of(text.as_bytes()),
    };
    assert_eq!(
        after(content.clone(), &present(0o600, "old\n")),
        (state(0o600, 7, 8, "new\n"), "new\n".into())
    );
    assert_eq!(
        after(content.clone(), &absent()),
        (state(0o644, 0, 0, "new\n"), "new\n".into())
    );
    assert_eq!(
        after(
            json!({"path": "/etc/x.conf", "mode": "0640"}),
            &present(0o644, "old\n")
        ),
        (state(0o640, 7, 8, "old\n"), "old\n".into())
    );
    assert_eq!(
        after(
            json!({"path": "/etc/x.conf", "state": "absent"}),
            &present(0o644, "old\n")
        ),
        (FileState::Absent, String::new())
    );
    for (args, seen) in [
        (content, present(0o640, "new\n")),
        (json!({"path": "/etc/x.conf", "state": "absent"}), absent()),
        (
            json!({"path": "/etc/x.conf", "mode": "0640"}),
            present(0o640, "old\n"),
        ),
    ] {
        assert!(matches!(decide(args, &seen), Decision::NoChange { .. }));
    }
}

#[test]
fn what_could_not_be_put_back_is_refused() {
    let args = || json!({"path": "/etc/x.conf", "content": "x"});
    let refused = |seen: &Seen, args: Value| match decide(args, seen) {
        Decision::Refuse { why, .. } => why,
        other => panic!("{other:?}"),
    };
    let mut seen = present(0o644, "x");
    seen.reading.content = None;
    insta::assert_snapshot!(refused(&seen, args()), @"file /etc/x.conf of node02 has more than 1048576 bytes, or was written while it was read: it could not be put back");
    seen.reading.now = FileNow::Strange("a symbolic link".into());
    insta::assert_snapshot!(refused(&seen, args()), @"file /etc/x.conf of node02 is a symbolic link: that is not replaced by a file");
    insta::assert_snapshot!(refused(&absent(), json!({"path": "/etc/x.conf", "mode": "0600"})), @"file /etc/x.conf of node02 is absent, and the step gives no `content`");
}

#[test]
fn two_steps_do_not_write_the_same_file() {
    let Decision::Change(change) =
        decide(json!({"path": "/etc/x.conf", "content": "x"}), &absent())
    else {
        panic!()
    };
    let step = made(json!({"path": "/etc/x.conf", "state": "absent"})).unwrap();
    let compiled = step.compile(change);
    let earlier = [step_of("one", Scope::Run, change_of(compiled.effects))];
    let place = Place::for_test(&Scope::Run, &[]);
    assert!(matches!(
        step.decide(&present(0o644, "x"), place, Prior { steps: &earlier }),
        Decision::Refuse { .. }
    ));
}

#[test]
fn the_difference_is_shown_but_not_of_secrets_and_not_without_end() {
    let shown = |seen: &Seen, content: &str| {
        let Decision::Change(change) =
            decide(json!({"path": "/etc/x.conf", "content": content}), seen)
        else {
            panic!()
        };
        change.lines().join("\n")
    };
    insta::assert_snapshot!(shown(&present(0o644, "a\nb\nc\nd\ne\nf\n"), "a\nb\nc\nD\ne\nf"), @r"
      b
      c
    - d
    + D
      e
    - f
    + f  (no newline at its end)
    ");
    insta::assert_snapshot!(shown(&present(0o640, "secret\n"), "another\n"), @"  (not shown, as not everybody may read it)");
    let many: String = (0..100).map(|n| format!("{n}\n")).collect();
    let long = shown(&absent(), &many);
    assert_eq!(long.lines().count(), SHOWN_LINES + 1);
    assert!(long.ends_with("… and 60 lines more"), "{long}");
    let mut binary = present(0o644, "x");
    binary.reading.content = Some(vec![0xff, 0xfe]);
    insta::assert_snapshot!(shown(&binary, "a"), @"  (not shown, as it is no text)");
}

#[test]
fn before_and_after_are_kept_for_doing_and_undoing() {
    let Decision::Change(change) = decide(
        json!({"path": "/etc/x.conf", "content": "new"}),
        &present(0o644, "old"),
    ) else {
        panic!()
    };
    let compiled = made(json!({"path": "/etc/x.conf", "mode": "0600"}))
        .unwrap()
        .compile(change);
    for effect in &compiled.effects {
        assert_eq!(effect.contents().count(), 2);
        for digest in effect.contents() {
            assert!(compiled.blobs.get(digest).is_some());
        }
    }
}

fn compiled(args: Value, seen: &Seen) -> Compiled {
    match decide(args.clone(), seen) {
        Decision::Change(change) => made(args).unwrap().compile(change),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_is_a_name_or_a_number_and_only_root_gives_files_away() {
    let wrong = |args: Value| made(args).err().unwrap();
    let all = [
        wrong(json!({"path": "/etc/x", "owner": ""})),
        wrong(json!({"path": "/etc/x", "owner": "-x"})),
        wrong(json!({"path": "/etc/x", "group": "a b"})),
        wrong(json!({"path": "/etc/x", "state": "absent", "owner": "a"})),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    `owner` is a name or a number, and `` is neither
    `owner` is a name or a number, and `-x` is neither
    `group` is a name or a number, and `a b` is neither
    an absent file has no `content`, `mode`, `owner` or `group`
    ");
    let step = made(json!({"path": "/etc/x", "owner": "www-data", "group": "12"})).unwrap();
    assert_eq!(
        (
            step.attributes.owner.user.as_str(),
            step.attributes.owner.group.as_str()
        ),
        ("www-data", "12")
    );

    let args = || json!({"path": "/etc/x.conf", "owner": "somebody", "content": "x"});
    let mut seen = present(0o644, "x");
    (seen.reading.uid, seen.reading.gid) = (Some(70), Some(80));
    let FileState::Present { uid, gid, mode, .. } = after(args(), &seen).0 else {
        panic!()
    };
    assert_eq!((uid, gid, mode), (70, 80, 0o644));
    seen.reading.reader = 7;
    assert!(matches!(decide(args(), &seen), Decision::Refuse { .. }));
    seen.reading.uid = None;
    assert!(matches!(decide(args(), &seen), Decision::Change(_)));
    // A new one belongs to whoever writes it.
    let mut new = absent();
    (new.reading.reader, new.reading.reader_group) = (5, 6);
    let FileState::Present { uid, gid, .. } = after(args(), &new).0 else {
        panic!()
    };
    assert_eq!((uid, gid), (5, 6));
}

#[test]
fn what_an_undo_does_not_bring_back_is_said() {
    let content = || json!({"path": "/etc/x.conf", "content": "new"});
    let undo = |args: Value, seen: &Seen| match compiled(args, seen).undo {
        UndoClass::Exact => "exact".to_owned(),
        UndoClass::BestEffort { lost } => lost,
        UndoClass::None { why } => why,
    };
    let mut busybox = present(0o644, "old");
    busybox.reading.keeps_attributes = false;
    let mut new = absent();
    new.reading.keeps_attributes = false;
    let all = [
        undo(content(), &present(0o644, "old")),
        undo(content(), &busybox),
        undo(content(), &new),
        undo(
            json!({"path": "/etc/x.conf", "state": "absent"}),
            &present(0o644, "old"),
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    exact
    content, mode and owner come back; an ACL, a label or other attributes are lost when it is written, as this host's busybox does not keep them
    exact
    content, mode and owner come back; an ACL, a label or other attributes do not
    ");
}

#[test]
fn what_is_sensitive_is_not_shown_though_everybody_may_read_it() {
    let args = json!({"path": "/etc/x.conf", "content": "secret", "sensitive": true});
    let shown = format!(
        "{:?}",
        compiled(args, &present(0o644, "old secret")).details
    );
    insta::assert_snapshot!(shown, @r#"[Detail { subject: "file /etc/x.conf of node02", before: Some("content not shown, mode 0644, owner 7:8"), before_is: "", after: Some("content not shown, mode 0644, owner 7:8"), after_is: "", lines: ["  (not shown, as it is sensitive)"] }]"#);
}

#[test]
fn another_file_may_be_written_by_an_earlier_step() {
    let mut other = present(0o644, "x");
    other.file.path = "/etc/y.conf".into();
    let mut elsewhere = present(0o644, "x");
    elsewhere.file.host.node = "node03".into();
    // Whoever writes it, it is the same file.
    let mut as_another = present(0o644, "x");
    as_another.file.host.identity = crate::model::Identity::Login;
    let step = made(json!({"path": "/etc/x.conf", "content": "y"})).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let after = |seen: &Seen| {
        let effects = compiled(json!({"path": "/etc/x.conf", "content": "z"}), seen).effects;
        let earlier = [step_of("one", Scope::Run, change_of(effects))];
        let prior = Prior { steps: &earlier };
        matches!(
            step.decide(&present(0o644, "x"), place, prior),
            Decision::Change(_)
        )
    };
    assert!(after(&other) && after(&elsewhere));
    assert!(!after(&as_another));
}
