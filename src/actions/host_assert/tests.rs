use super::*;
use crate::journal::test_events::{change as change_of, host, ran, step as step_of};
use crate::model::{Effect, FileRef, FileState, PlannedStep, Scope};
use serde_json::{Value, json};

fn made(args: Value) -> Result<HostAssert, String> {
    HostAssert::new(serde_json::from_value(args).map_err(|e| e.to_string())?)
}

fn decided(args: Value, ran: Result<Ran, String>, earlier: &[PlannedStep]) -> String {
    let step = made(args).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = Seen {
        ran: ran.map(Some),
        facts: None,
    };
    let settled = Action::verify(&step, &seen, Prior { steps: &[] }, &[]);
    let decision = match step.decide(&seen, place, Prior { steps: earlier }) {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Check { expects, .. } => format!("check: {expects}"),
        Decision::Unknown { why, .. } => format!("unknown: {why}"),
        Decision::Late { why } => format!("late: {why}"),
        Decision::Foreseen => "foreseen".to_owned(),
        Decision::Refuse { why, .. } => format!("refused: {why}"),
        Decision::Change(never) => match never {},
    };
    format!("{decision}\n    {settled:?}")
}

#[test]
fn it_holds_or_the_run_does_not_begin() {
    let args = || json!({"reads": "df -P /", "that": "output.contains('9%')", "because": "the disk is full"});
    let effect = Effect::PutFile {
        file: FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: FileState::Absent,
        after: FileState::Absent,
    };
    let earlier = [step_of("earlier", Scope::Run, change_of(vec![effect]))];
    let mut cut = ran(0, "x");
    cut.left_out = 5;
    let mut late = ran(0, "x");
    late.exit = Exit::Timeout;
    let all = [
        decided(args(), Ok(ran(0, "9%")), &[]),
        decided(args(), Ok(ran(0, "100")), &[]),
        decided(args(), Ok(ran(0, "100")), &earlier),
        decided(args(), Ok(cut), &[]),
        decided(args(), Ok(late), &[]),
        decided(args(), Err("X can be changed".into()), &[]),
        decided(
            json!({"reads": ["test", "-e", "/x"], "because": "no /x"}),
            Ok(ran(0, "")),
            &[],
        ),
        decided(
            json!({"reads": ["test", "-e", "/x"], "because": "no /x"}),
            Ok(ran(1, "")),
            &[],
        ),
        decided(
            json!({"reads": "x", "that": "code + 1", "because": "b"}),
            Ok(ran(1, "")),
            &[],
        ),
        decided(
            json!({"reads": "x", "sensitive": true, "because": "b"}),
            Ok(ran(1, "secret")),
            &[],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn its_arguments_are_checked() {
    let wrong = |args: Value| made(args).err().unwrap();
    let all = [
        wrong(json!({"reads": "x", "because": " "})),
        wrong(json!({"reads": "x", "because": "b", "that": "exit == 0"})),
        wrong(json!({"reads": "x", "because": "b", "within": "soon"})),
        wrong(json!({"reads": "", "because": "b"})),
        wrong(json!({"reads": [], "because": "b"})),
        wrong(json!({"because": "b"})),
        wrong(json!({"that": "code == 0", "because": "b"})),
        wrong(json!({"that": "facts.swap.onn", "because": "b"})),
        wrong(json!({"that": "facts.kubelet.fail_swap_on != 'false'", "because": "b"})),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn it_is_waited_for_as_long_as_it_says() {
    let within = |args: Value| Action::patience(&made(args).unwrap()).within.as_secs();
    assert_eq!(
        within(json!({"reads": "x", "because": "b", "within": "5m"})),
        300
    );
    assert_eq!(within(json!({"reads": "x", "because": "b"})), 60);
}

#[test]
fn it_holds_of_facts_or_the_run_does_not_begin() {
    let mut parts = crate::model::facts::Parts::default();
    for (line, text) in [
        ("got swaps", "Filename\n"),
        ("got kubelet_running 7", "kubelet\0--fail-swap-on=false\0"),
        ("no machine_id no permission to read it", ""),
        ("none units no systemd", ""),
    ] {
        parts.take(line, text.as_bytes());
    }
    let facts = crate::model::facts::Facts::new(&parts, 0.0);
    let facts = Arc::new(FactNames::new(&facts));
    let effect = Effect::PutFile {
        file: FileRef {
            host: host(),
            path: "/x".into(),
        },
        before: FileState::Absent,
        after: FileState::Absent,
    };
    let earlier = [step_of("earlier", Scope::Run, change_of(vec![effect]))];
    let decided = |that: &str, earlier: &[PlannedStep]| {
        let step = made(json!({"that": that, "because": "kubelet runs with swap here"})).unwrap();
        let seen = Seen {
            ran: Ok(None),
            facts: Some(facts.clone()),
        };
        let place = Place::for_test(&Scope::Run, &[]);
        let decision = step.decide(&seen, place, Prior { steps: earlier });
        let notes = step.notes(&seen, &decision);
        let words = match decision {
            Decision::NoChange { why } => format!("no change: {why}"),
            Decision::Check { expects, .. } => format!("check: {expects} {notes:?}"),
            Decision::Refuse { why, next } => format!("refused: {why} {next:?}"),
            _ => "something else".to_owned(),
        };
        let settled = Action::verify(&step, &seen, Prior { steps: &[] }, &[]);
        format!("{words}\n    {settled:?}")
    };
    let all = [
        decided("facts.kubelet.fail_swap_on", &[]),
        decided("!facts.kubelet.fail_swap_on", &[]),
        decided("facts.swap.on", &earlier),
        decided("facts.machine_id != 'x'", &[]),
        decided("!facts.units.kubelet.active", &[]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    refused: kubelet runs with swap here (`facts.kubelet.fail_swap_on` is false) None
        NotYet("kubelet runs with swap here (`facts.kubelet.fail_swap_on` is false)")
    no change: it is so
        Yes
    check: `facts.swap.on` holds of the host ["now `facts.swap.on` is false"]
        NotYet("kubelet runs with swap here (`facts.swap.on` is false)")
    refused: it cannot be told whether it is so: `facts.machine_id` could not be read: no permission to read it Some("see what is known of the host: runbook inventory facts HOST")
        NotYet("`facts.machine_id` could not be read: no permission to read it")
    refused: it cannot be told whether it is so: `facts.units` does not apply to this host: no systemd Some("see what is known of the host: runbook inventory facts HOST")
        NotYet("`facts.units` does not apply to this host: no systemd")
    "#);
}
