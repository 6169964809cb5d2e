use super::super::host_command::HostCommand;
use super::super::host_script::HostScript;
use super::*;
use crate::journal::test_events::{change as change_of, host, programs, ran, step as step_of};
use crate::model::{PlannedStep, Scope};
use serde_json::{Value, json};

fn script(args: Value) -> Result<HostScript, String> {
    HostScript::new(serde_json::from_value(args).map_err(|e| e.to_string())?)
}

fn command(args: Value) -> Result<HostCommand, String> {
    HostCommand::new(serde_json::from_value(args).map_err(|e| e.to_string())?)
}

fn decided(args: Value, looked: Result<Option<Ran>, String>, earlier: &[PlannedStep]) -> String {
    let step = script(args).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = Seen {
        host: host(),
        looked,
        no_switch: None,
    };
    let decision = step.decide(&seen, place, Prior { steps: earlier });
    let notes = step.notes(&seen, &decision);
    let shown = match decision {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Change(change) => {
            let compiled = step.compile(change);
            format!("change {:?}, undo {:?}", compiled.predicted, compiled.undo)
        }
        Decision::Check { expects, .. } => format!("check: {expects}"),
        Decision::Unknown { why, otherwise } => {
            format!("unknown: {why}; otherwise {}", otherwise.is_some())
        }
        Decision::Late { why } => format!("late: {why}"),
        Decision::Foreseen => "foreseen".to_owned(),
        Decision::Refuse { why, .. } => format!("refused: {why}"),
    };
    [vec![shown], notes].concat().join("\n")
}

#[test]
fn it_says_what_it_is_or_is_refused() {
    let wrong = |args: Value| script(args).err().unwrap();
    let all = [
        wrong(json!({})),
        wrong(json!({"check": "true"})),
        wrong(json!({"reads": "true", "apply": "true"})),
        wrong(json!({"apply": " \n"})),
        wrong(json!({"apply": "a\u{0}b"})),
        wrong(json!({"apply": "true", "timeout": "2h"})),
        wrong(json!({"apply": "true", "env": {"1x": "a"}})),
        wrong(json!({"apply": ["true"]})),
        command(json!({"apply": []})).err().unwrap(),
        command(json!({"apply": ["-x"]})).err().unwrap(),
        command(json!({"apply": ["x"], "args": ["y"]}))
            .err()
            .unwrap(),
        command(json!({"apply": "x"})).err().unwrap(),
    ];
    insta::assert_snapshot!(all.join("\n"));
    assert!(command(json!({"apply": ["sleep", 1, true, 1.5]})).is_ok());
}

#[test]
fn what_it_would_do_follows_from_its_check() {
    let args = || json!({"check": "c", "apply": "a"});
    let exact = json!({"check": "c", "apply": "a", "undo": "u"});
    let effect = Effect::RunProgram {
        programs: Box::new(programs()),
    };
    let earlier = [step_of("earlier", Scope::Run, change_of(vec![effect]))];
    let all = [
        decided(args(), Ok(Some(ran(0, ""))), &[]),
        decided(args(), Ok(Some(ran(1, ""))), &[]),
        decided(exact, Ok(Some(ran(1, ""))), &[]),
        decided(args(), Ok(Some(ran(2, "cannot\n"))), &[]),
        decided(args(), Ok(Some(ran(0, ""))), &earlier),
        decided(args(), Ok(Some(ran(1, ""))), &earlier),
        decided(args(), Err("X can be changed".into()), &[]),
        decided(json!({"apply": "a"}), Ok(None), &[]),
        decided(
            json!({"check": "c", "apply": "a", "sensitive": true}),
            Ok(Some(ran(2, "secret"))),
            &[],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_only_reads_is_shown_and_stops_where_it_fails() {
    let args = || json!({"reads": "# note\nr"});
    let effect = Effect::PutFile {
        file: crate::model::FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: crate::model::FileState::Absent,
        after: crate::model::FileState::Absent,
    };
    let earlier = [step_of("earlier", Scope::Run, change_of(vec![effect]))];
    let many: String = (0..12).map(|n| format!("line {n}\n")).collect();
    let all = [
        decided(args(), Ok(Some(ran(0, "one\ntwo\n"))), &[]),
        decided(args(), Ok(Some(ran(0, &many))), &[]),
        decided(args(), Ok(Some(ran(3, "broken\n"))), &[]),
        decided(args(), Ok(Some(ran(3, "broken\n"))), &earlier),
        decided(args(), Err("X can be changed".into()), &[]),
        decided(
            json!({"reads": "r", "sensitive": true}),
            Ok(Some(ran(0, "secret"))),
            &[],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_check_in_a_run_holds_with_exit_code_0_alone() {
    let step = script(json!({"reads": "r"})).unwrap();
    let settled = |looked| {
        let seen = Seen {
            host: host(),
            looked,
            no_switch: None,
        };
        Action::verify(&step, &seen, Prior { steps: &[] }, &[])
    };
    assert_eq!(settled(Ok(Some(ran(0, "")))), Settled::Yes);
    assert_eq!(
        settled(Ok(Some(ran(1, "no\n")))),
        Settled::NotYet("exit code 1: no".into())
    );
    assert!(matches!(settled(Err("x".into())), Settled::NotYet(_)));
}

#[test]
fn a_host_puts_back_only_what_it_can_and_what_can_be_seen() {
    let armed = |more: Value| {
        let mut args = json!({"apply": "a", "put_back_after": "60s"});
        args.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        script(args).map(|step| step.put_back_after)
    };
    assert_eq!(armed(json!({"undo": "u", "check": "c"})), Ok(Some(60)));
    assert_eq!(armed(json!({"undo": "u", "verify": "v"})), Ok(Some(60)));
    for (more, why) in [
        (json!({"check": "c"}), "needs `undo`"),
        (json!({"undo": "u"}), "needs `check` or `verify`"),
        (
            json!({"undo": "u", "check": "c", "put_back_after": "9s"}),
            "from 10s to 1h",
        ),
        (
            json!({"undo": "u", "check": "c", "env": {"A": {"secret": "s"}}}),
            "no secret",
        ),
    ] {
        let refused = armed(more).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let reads = json!({"reads": "r", "put_back_after": "60s"});
    assert!(script(reads).is_err());
}

#[test]
fn where_a_host_cannot_put_it_back_nothing_is_planned() {
    let args = json!({"apply": "a", "undo": "u", "check": "c", "put_back_after": "60s"});
    let step = script(args).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let decide = |no_switch: Option<&str>, code| {
        let seen = Seen {
            host: host(),
            looked: Ok(Some(ran(code, ""))),
            no_switch: no_switch.map(|why| (why.to_owned(), "do".to_owned())),
        };
        step.decide(&seen, place, Prior { steps: &[] })
    };
    assert!(matches!(decide(Some("why"), 1), Decision::Refuse { why, .. } if why == "why"));
    // Also where it is done: what is armed may take that back.
    assert!(matches!(decide(Some("why"), 0), Decision::Refuse { .. }));
    let Decision::Change(change) = decide(None, 1) else {
        panic!()
    };
    assert_eq!(change.programs.put_back_after, Some(60));
    let shown: Vec<String> = details(&change.programs)
        .into_iter()
        .map(|detail| detail.subject)
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}
