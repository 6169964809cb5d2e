use super::*;
use crate::journal::test_events::{change as change_of, step as step_of};
use crate::model::{FileNow, Scope, UndoClass};
use proptest::prelude::*;
use serde_json::{Value, json};

const PATH: &str = "/etc/x.conf";

fn made(mut args: Value) -> Result<HostLine, String> {
    args["path"] = json!(PATH);
    HostLine::new(serde_json::from_value(args).unwrap())
}

fn decide(args: &Value, content: Option<&[u8]>) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = Seen::for_test(PATH, content);
    let prior = Prior { steps: &[] };
    made(args.clone()).unwrap().decide(&seen, place, prior)
}

/// What becomes of a text; `None`: it stays.
fn becomes(args: &Value, content: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match decide(args, Some(content)) {
        Decision::NoChange { .. } => Ok(None),
        Decision::Change(change) => {
            assert_eq!(change.before.1, content);
            Ok(Some(change.after.1))
        }
        Decision::Refuse { why, next } => Err(format!("{why} [{}]", next.unwrap_or_default())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_added_replaced_or_removed_and_all_else_stays() {
    let line = || json!({"line": "b = 2"});
    let instead = || json!({"line": "b = 2", "match": r"^#?b\b"});
    let all = || json!({"line": "b = 2", "match": r"^#?b\b", "all": true});
    let absent = || json!({"line": "b = 2", "state": "absent"});
    let no_match = || json!({"match": "^b", "state": "absent", "all": true});
    let after = || json!({"line": "b = 2", "after": "^a"});
    let before = || json!({"line": "b = 2", "before": "^a"});
    let several = || json!({"lines": ["a", "b", "c"]});
    for (args, now, then) in [
        (line(), &b""[..], Some(&b"b = 2\n"[..])),
        (line(), b"a\n", Some(b"a\nb = 2\n")),
        (line(), b"a", Some(b"a\nb = 2")),
        (line(), b"a\r\n", Some(b"a\r\nb = 2\r\n")),
        (line(), b"\xff\x00\n", Some(b"\xff\x00\nb = 2\n")),
        (line(), b"b = 2\r\na\n", None),
        (line(), b"a\nb = 2", None),
        (line(), b" b = 2\n", Some(b" b = 2\nb = 2\n")),
        (line(), b"b = 2 \n", Some(b"b = 2 \nb = 2\n")),
        (instead(), b"a\n#b = 1\nc\n", Some(b"a\nb = 2\nc\n")),
        (instead(), b"a\r\nb=\xff\r\nc\n", Some(b"a\r\nb = 2\r\nc\n")),
        (instead(), b"a\nb", Some(b"a\nb = 2")),
        (instead(), b"b = 2\n", None),
        (instead(), b"bb\n", Some(b"bb\nb = 2\n")),
        (all(), b"b\na\n#b\nb = 2\nc", Some(b"b = 2\na\nc")),
        (all(), b"a\nb = 2\n", None),
        (absent(), b"b = 2\na\nb = 2\n", Some(b"a\n")),
        (absent(), b"a\nb = 2", Some(b"a\n")),
        (absent(), b"b = 2", Some(b"")),
        (absent(), b"b = 22\n", None),
        (no_match(), b"b\na\r\nbb\n", Some(b"a\r\n")),
        (no_match(), b"a\n", None),
        (after(), b"a1\na2\nc\n", Some(b"a1\na2\nb = 2\nc\n")),
        (after(), b"a", Some(b"a\nb = 2")),
        (after(), b"b = 2\n", None),
        (before(), b"c\na1\na2\n", Some(b"c\nb = 2\na1\na2\n")),
        (several(), b"b\nx\n", Some(b"b\nx\na\nc\n")),
        (several(), b"c\nb\na\n", None),
    ] {
        let shown = String::from_utf8_lossy(now);
        assert_eq!(
            becomes(&args, now),
            Ok(then.map(<[u8]>::to_vec)),
            "{args} {shown:?}"
        );
    }
}

#[test]
fn what_is_not_clear_is_refused() {
    let refused = |args: Value, now: &[u8]| becomes(&args, now).unwrap_err();
    let all = [
        refused(json!({"line": "b", "match": "^b"}), b"b\na\nb2\n"),
        refused(json!({"match": "a", "state": "absent"}), b"a\na\n"),
        refused(json!({"line": "b", "after": "^a"}), b"c\n"),
        refused(json!({"line": "b", "match": "b", "before": "^a"}), b"c\n"),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    file /etc/x.conf of node02 has several lines that `match` fits: lines 1 and 3 [let `match` say which, or `all: true` that it is all of them: one line stands for them, or none with `state: absent`]
    file /etc/x.conf of node02 has several lines that `match` fits: lines 1 and 2 [let `match` say which, or `all: true` that it is all of them: one line stands for them, or none with `state: absent`]
    file /etc/x.conf of node02 has no line that `after` fits [look whether it is the file that is meant]
    file /etc/x.conf of node02 has no line that `before` fits [look whether it is the file that is meant]
    ");
}

#[test]
fn a_file_that_is_not_there_is_made_where_that_is_said() {
    let Decision::Refuse { why, next } = decide(&json!({"line": "a"}), None) else {
        panic!()
    };
    insta::assert_snapshot!(format!("{why} [{}]", next.unwrap()), @"file /etc/x.conf of node02 is not there [look at `path`, or let `create: true` make the file]");
    let Decision::Change(change) = decide(&json!({"line": "a", "create": true}), None) else {
        panic!()
    };
    assert_eq!(change.after.1, b"a\n");
    for gone in [
        json!({"line": "a", "state": "absent"}),
        json!({"match": "a", "state": "absent"}),
    ] {
        assert!(matches!(decide(&gone, None), Decision::NoChange { .. }));
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let wrong = |args: Value| made(args).err().unwrap();
    let all = [
        wrong(json!({})),
        wrong(json!({"line": ""})),
        wrong(json!({"line": "a\nb"})),
        wrong(json!({"line": "a\r"})),
        wrong(json!({"lines": []})),
        wrong(json!({"lines": ["a", "b", "a"]})),
        wrong(json!({"line": "a", "lines": ["b"]})),
        wrong(json!({"line": "a", "match": "^b"})),
        wrong(json!({"line": "a", "match": "("})),
        wrong(json!({"line": "a", "match": "(a{1000}){1000}"})),
        wrong(json!({"lines": ["a", "b"], "match": "^b"})),
        wrong(json!({"match": "^b"})),
        wrong(json!({"line": "a", "all": true})),
        wrong(json!({"line": "a", "after": "a", "before": "b"})),
        wrong(json!({"line": "a", "after": "[", "before": null})),
        wrong(json!({"state": "absent"})),
        wrong(json!({"state": "absent", "line": "a", "match": "a"})),
        wrong(json!({"state": "absent", "line": "a", "after": "a"})),
        wrong(json!({"state": "absent", "line": "a", "create": true})),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    give `line` or `lines`
    an empty line is not told from others: `line` has at least one character
    `line` is one line, and this has a line break or a NUL in it; several are `lines`
    `line` is one line, and this has a line break or a NUL in it; several are `lines`
    `lines` has no line
    `lines` has `a` twice
    give either `line` or `lines`
    `match` does not fit `a`, so that a second run would not know its line again: write it so that it fits both
    `match` is a regular expression, and `(` is none: unclosed group
    `match` is a regular expression, and `(a{1000}){1000}` is none: it is too large
    `match` is replaced by one `line`, not by `lines`
    give `line` or `lines`
    `all` says what becomes of several lines that `match` fits
    give either `after` or `before`
    `after` is a regular expression, and `[` is none: unclosed character class
    with `state: absent`, give one of `line`, `lines` and `match`
    with `state: absent`, give one of `line`, `lines` and `match`
    what is absent is not added: leave out `after`, `before` and `create`
    what is absent is not added: leave out `after`, `before` and `create`
    ");
}

#[test]
fn the_plan_shows_the_lines_and_undo_is_exact() {
    let args = json!({"line": "b = 2", "match": "^b"});
    let Decision::Change(change) = decide(&args, Some(b"a\nb = 1\nc\n")) else {
        panic!()
    };
    let compiled = made(args).unwrap().compile(change);
    assert_eq!(compiled.undo, UndoClass::Exact);
    insta::assert_snapshot!(compiled.details[0].lines.join("\n"), @"
      a
    - b = 1
    + b = 2
      c
    ");
    for effect in &compiled.effects {
        for digest in effect.contents() {
            assert!(compiled.blobs.get(digest).is_some());
        }
    }
    let args = json!({"line": "password = 2", "sensitive": true});
    let Decision::Change(change) = decide(&args, Some(b"password = 1\n")) else {
        panic!()
    };
    let compiled = made(args).unwrap().compile(change);
    assert!(!format!("{:?}", compiled.details).contains("password"));
}

#[test]
fn a_file_that_another_step_writes_and_what_is_no_file_is_refused() {
    let args = json!({"line": "a"});
    let step = made(args.clone()).unwrap();
    let Decision::Change(change) = decide(&args, Some(b"")) else {
        panic!()
    };
    let effects = step.compile(change).effects;
    let earlier = [step_of("one", Scope::Run, change_of(effects))];
    let place = Place::for_test(&Scope::Run, &[]);
    let mut seen = Seen::for_test(PATH, Some(b"a\n"));
    let prior = Prior { steps: &earlier };
    assert!(matches!(
        step.decide(&seen, place, prior),
        Decision::Refuse { .. }
    ));
    seen.reading.now = FileNow::Strange("a symbolic link".into());
    let prior = Prior { steps: &[] };
    assert!(matches!(
        step.decide(&seen, place, prior),
        Decision::Refuse { .. }
    ));
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let parts: [&[u8]; 7] = [b"\n", b"\r\n", b"a", b"b", b"#b", b" ", b"\xff"];
    let part = proptest::sample::select(parts.to_vec());
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn steps() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"line": "b"})),
        Just(json!({"lines": ["b", "a", "ab"]})),
        Just(json!({"line": "b", "match": "^#?b"})),
        Just(json!({"line": "b", "match": "b", "all": true})),
        Just(json!({"line": "b", "after": "a"})),
        Just(json!({"line": "b", "match": "^#?b", "before": "a"})),
        Just(json!({"line": "b", "state": "absent"})),
        Just(json!({"match": "b", "state": "absent", "all": true})),
    ]
}

proptest! {
    #[test]
    fn a_second_run_does_nothing_and_only_what_is_meant_is_touched(now in texts(), args in steps()) {
        let Ok(Some(then)) = becomes(&args, &now) else { return Ok(()) };
        prop_assert_eq!(becomes(&args, &then), Ok(None));
        // Lines without a `b` stay as they are and in their order, but for the end of the last one.
        let others = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let all = lines(bytes);
            let meant = |line: &&Line<'_>| !line.text.contains(&b'b') && line.text != b"a";
            all.iter().filter(meant).map(|line| line.text.to_vec()).collect()
        };
        prop_assert_eq!(others(&then), others(&now));
        let wanted = args["state"] != "absent";
        let there = lines(&then).iter().filter(|line| line.text == b"b").count();
        prop_assert!(if wanted { there >= 1 } else { there == 0 }, "{}", there);
        if args["all"] == true && wanted {
            prop_assert_eq!(there, 1);
        }
    }
}
