use super::*;
use crate::model::{Scope, UndoClass};
use serde_json::json;

const PATH: &str = "/etc/x.conf";

fn made(more: Value) -> Result<HostTemplate, String> {
    let mut args = json!({"path": PATH, "source": "x.hbs", "template": "a\n"});
    for (key, value) in more.as_object().unwrap() {
        args[key] = value.clone();
    }
    HostTemplate::new(serde_json::from_value(args).unwrap())
}

fn decide(args: Value, content: Option<&[u8]>) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = Seen::for_test(PATH, content);
    made(args)
        .unwrap()
        .decide(&seen, place, Prior { steps: &[] })
}

#[test]
fn the_file_becomes_what_the_template_gave_and_once() {
    for (args, now, then) in [
        (json!({}), None::<&[u8]>, Some(&b"a\n"[..])),
        (json!({}), Some(b"\xff\r\n"), Some(b"a\n")),
        (json!({}), Some(b"a\n"), None),
        (json!({"mode": "0600"}), Some(b"a\n"), Some(b"a\n")),
        (json!({"template": ""}), None, Some(b"")),
        // What it gave is not looked at any more.
        (json!({"template": "{{ x }}"}), None, Some(b"{{ x }}")),
    ] {
        let change = match decide(args.clone(), now) {
            Decision::Change(change) => Some(change),
            Decision::NoChange { .. } => None,
            other => panic!("{other:?}"),
        };
        let after = change.as_ref().map(|change| change.after.1.as_slice());
        assert_eq!(after, then, "{args}");
        if let Some(change) = change {
            assert_eq!(change.compile(false).undo, UndoClass::Exact);
        }
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let wrong = |args: Value| made(args).err().unwrap();
    let all = [
        wrong(json!({"path": "etc/x"})),
        wrong(json!({"mode": "rw"})),
        wrong(json!({"owner": "a b"})),
        wrong(json!({"template": null})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    `path` must be absolute, and `etc/x` is not
    `mode` is octal, such as "0644", and `rw` is not
    `owner` is a name or a number, and `a b` is neither
    the file of `source` was not read
    "#);
}

#[test]
fn the_text_is_not_given_by_hand() {
    let schema = schemars::schema_for!(Args);
    let known = schema.get("properties").unwrap();
    assert!(known.get("source").is_some());
    assert!(known.get("template").is_none());
}
