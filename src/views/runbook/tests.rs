use super::*;
use crate::actions::kinds;
use crate::fault::Fault;
use crate::model::Retry;
use crate::runbook::{Library, read};
use std::path::PathBuf;
use std::time::Duration;

const TEXT: &str = r#"
apiVersion: runbook/v1
name: look-after
summary: "Say who looks after it\e[31m"
risk: high
targets: nodes
become: {user: root}
params:
  who: {type: string, pattern: '[a-z ]+', help: "Who\nlooks after it"}
  peers: {type: list, items: ip, default: [192.0.2.1, 192.0.2.2]}
  mode: {type: enum, values: [enforce, warn], default: warn, help: How strictly}
  within: {type: duration, min: 5s, max: 10m, default: 5m}
  token: {type: secret}
  note: {type: string, required: false}
steps:
  - id: room
    uses: host.assert
    with: {reads: df, that: 'true', because: full}
  - id: motd
    name: Write it into the message of the day
    uses: host.file
    when: params.mode == 'enforce'
    with: {path: /etc/motd, state: absent}
  - id: tag
    uses: host.script
    become: {user: keeper, method: su}
    with: {apply: 'true'}
  - id: label
    uses: kube.patch
    scope: run
    with: {of: {kind: Node, name: n}, patch: {metadata: {labels: {a: b}}}}
"#;

fn found() -> Located {
    let mut runbook = read(TEXT, "look-after.yaml", &kinds()).unwrap();
    let step = &mut runbook.steps[1];
    step.for_each = Some(Value::from("{{ params.peers }}"));
    step.retry = Some(Retry {
        attempts: 3,
        every: 5,
    });
    step.timeout = Some(Duration::from_secs(60));
    step.on_failure = OnFailure::Continue;
    runbook.steps[3].keep = Some("a label does no harm".to_owned());
    runbook.steps[3].on_failure = OnFailure::Stop;
    runbook.untrusted = Some("others than you can write to it".to_owned());
    Located {
        runbook,
        origin: Origin::File(PathBuf::from("./runbooks/look-after.yaml")),
        overrides: vec![Origin::Shipped],
    }
}

#[test]
fn a_runbook_is_shown_with_all_that_its_text_tells() {
    insta::assert_snapshot!(render_runbook(&found(), &kinds()));
}

#[test]
fn the_shipped_runbook_is_shown() {
    let library = Library::new(kinds(), Vec::new());
    let found = library.find("fix-bgp-wrong-ip").unwrap();
    insta::assert_snapshot!(render_runbook(&found, &kinds()));
}

#[test]
fn an_override_is_said() {
    let mut found = found();
    found
        .overrides
        .insert(0, Origin::File(PathBuf::from("other.yaml")));
    insta::assert_snapshot!(render_override(&found).unwrap(), @"look-after is read from ./runbooks/look-after.yaml, which overrides other.yaml and the one that ships with runbook.");
    found.overrides.clear();
    assert_eq!(render_override(&found), None);
}

#[test]
fn what_undo_brings_back_is_not_mentioned() {
    let mut found = found();
    found.runbook.steps.truncate(1);
    let text = render_runbook(&found, &kinds());
    assert!(text.contains("undo brings everything back"), "{text}");
}

#[test]
fn help_has_the_parameters() {
    insta::assert_snapshot!(render_runbook_help(&found().runbook));
}

#[test]
fn the_list_says_where_each_comes_from() {
    let entry = |name: &str, origin, overrides, runbook| Entry {
        name: name.to_owned(),
        origin,
        overrides,
        runbook,
    };
    let file = |path: &str| Origin::File(PathBuf::from(path));
    let wrong = Fault::input("x", "bad.yaml: risk: unknown variant").list(vec!["one".into()]);
    insta::assert_snapshot!(render_list(&[
        entry(
            "bad\u{1b}",
            file("bad.yaml"),
            vec![Origin::Shipped],
            Err(wrong)
        ),
        entry(
            "look-after",
            file("./runbooks/look-after.yaml"),
            vec![Origin::Shipped],
            Ok(found().runbook)
        ),
        entry("x", Origin::Shipped, Vec::new(), Ok(found().runbook)),
    ]));
}
