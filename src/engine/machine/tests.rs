use super::*;
use crate::fault::{API_SILENT, Class, NOT_VERIFIED, PUT_BACK};
use crate::journal::test_events::{self, step};
use crate::model::{FieldChange, FieldPath, ObjectRef, OnFailure, Retry, RunId, Scope};
use serde_json::Value;

fn effect(name: &str) -> Effect {
    Effect::SetFields {
        object: ObjectRef::node_for_test(name),
        fields: vec![FieldChange {
            path: FieldPath::annotation("a"),
            before: Some(Value::from("old")),
            after: Some(Value::from("new")),
        }],
    }
}

fn change(effects: &[&str]) -> Verdict {
    test_events::change(effects.iter().map(|e| effect(e)).collect())
}

fn refused() -> Verdict {
    Verdict::Refused {
        why: "no".into(),
        next: None,
    }
}

fn unchanged() -> Verdict {
    Verdict::NoChange { why: "so".into() }
}

fn check() -> Verdict {
    Verdict::Check {
        expects: "x".into(),
        except: vec![],
    }
}

fn machine_of(kind: PlanKind, verdicts: Vec<Verdict>, allowed: &[&str]) -> Machine {
    let steps = verdicts
        .into_iter()
        .enumerate()
        .map(|(n, verdict)| step(&format!("s{n}"), Scope::Run, verdict))
        .collect();
    let plan = Plan {
        kind,
        steps,
        ..test_events::plan()
    };
    let allowed = allowed.iter().map(|a| StepId::new(a).unwrap()).collect();
    Machine::new(plan, allowed)
}

/// A world that answers from a script, and writes down what it was asked.
struct Script {
    looks: Vec<Result<Standing, Fault>>,
    writes: Vec<Result<(), Fault>>,
    settles: Vec<Result<(), Fault>>,
    rests: Vec<Result<(), Fault>>,
    decided: Vec<Result<Vec<PlannedStep>, Fault>>,
    answers: Vec<Result<bool, Fault>>,
    drains: Vec<Result<(), Fault>>,
    log: Vec<String>,
}

impl Script {
    fn new() -> Self {
        Self {
            looks: vec![],
            writes: vec![],
            settles: vec![],
            rests: vec![],
            decided: vec![],
            answers: vec![],
            drains: vec![],
            log: vec![],
        }
    }

    /// What is not scripted goes well.
    fn run(&mut self, machine: &mut Machine) -> End {
        let mut input = Input::Begin;
        let take = |list: &mut Vec<Result<(), Fault>>| match list.is_empty() {
            true => Ok(()),
            false => list.remove(0),
        };
        loop {
            let turn = machine.on(input);
            for event in &turn.records {
                self.log.push(match event {
                    Event::StepStarted { step, .. } => format!("start {step}"),
                    Event::Outcome { id, outcome } => format!(
                        "outcome {id} {}",
                        match outcome {
                            Outcome::Done => "done",
                            Outcome::AlreadySo => "already so",
                            Outcome::NotDone { .. } => "not done",
                            Outcome::Unknown { .. } => "unknown",
                        }
                    ),
                    Event::StepEnded { step, result, .. } => format!(
                        "end {step} {}",
                        match result {
                            StepResult::Unchanged { .. } => "unchanged".to_owned(),
                            StepResult::Verified { changed } =>
                                format!("verified changed={changed}"),
                            StepResult::Failed { fault } => format!("failed {}", fault.code),
                            StepResult::Unverified { .. } => "not verified".to_owned(),
                        }
                    ),
                    Event::RunEnded { ending, .. } => format!("over {ending:?}"),
                    Event::Retrying { step, attempt, .. } => {
                        format!("again {step} after {attempt}")
                    }
                    Event::Decided { step, steps, .. } => {
                        let ids: Vec<&str> = steps.iter().map(|s| s.id.as_str()).collect();
                        format!("decided {step}: {}", ids.join(" "))
                    }
                    other => panic!("{other:?}"),
                });
            }
            input = match turn.ask {
                ask @ (Ask::Look(_) | Ask::Find(..)) => {
                    self.log.push(match ask {
                        Ask::Find(..) => "find".into(),
                        _ => "look".into(),
                    });
                    Input::Looked(match self.looks.is_empty() {
                        true => Ok(Standing::Before),
                        false => self.looks.remove(0),
                    })
                }
                Ask::Intend(id, effect) => {
                    self.log.push(format!("intend {id}"));
                    Input::Permitted(Box::new(Permit::for_test(id, effect)))
                }
                Ask::Perform(permit) => {
                    self.log.push(format!("write {}", permit.id()));
                    Input::Performed(take(&mut self.writes))
                }
                Ask::Settle(_) => {
                    self.log.push("settle".into());
                    Input::Settled(take(&mut self.settles))
                }
                Ask::Watch(at) => {
                    self.log.push(format!("watch {at}"));
                    Input::Settled(take(&mut self.settles))
                }
                Ask::Drain(at, begun, attempts) => {
                    let tries: Vec<u32> = attempts.values().copied().collect();
                    self.log
                        .push(format!("drain {at} begun={} tries={tries:?}", begun.len()));
                    let tried = attempts.get("shop/a a").copied().unwrap_or_default() + 1;
                    Input::Drained(Drained {
                        made: vec![id(&format!("s{at}"), "shop/a a", tried)],
                        attempts: [("shop/a a".to_owned(), tried)].into(),
                        left: vec![],
                        result: take(&mut self.drains),
                    })
                }
                Ask::Decide(at) => {
                    self.log.push(format!("decide {at}"));
                    Input::Decided(self.decided.remove(0))
                }
                Ask::Confirm(at) => {
                    self.log.push(format!("ask {at}"));
                    Input::Answered(self.answers.remove(0))
                }
                Ask::Rest(at) => {
                    self.log.push(format!("rest {at}"));
                    Input::Rested(take(&mut self.rests))
                }
                Ask::End(end) => return end,
            };
        }
    }
}

fn conflict() -> Fault {
    Fault::definite("api_conflict", "x")
}

fn lost() -> Fault {
    Fault::indeterminate("api_lost", "x")
}

#[test]
fn a_run_looks_intends_writes_and_waits_in_this_order() {
    let mut script = Script::new();
    let mut machine = machine_of(
        PlanKind::Apply,
        vec![unchanged(), change(&["a", "b"]), check()],
        &[],
    );
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made, end.fault), (Ending::Done, 2, None));
    insta::assert_snapshot!(script.log.join("\n"), @"
    end s0 unchanged
    start s1
    look
    intend s1@run[Node a]#1
    write s1@run[Node a]#1
    outcome s1@run[Node a]#1 done
    settle
    look
    intend s1@run[Node b]#1
    write s1@run[Node b]#1
    outcome s1@run[Node b]#1 done
    settle
    end s1 verified changed=true
    start s2
    watch 2
    end s2 verified changed=false
    over Done
    ");
}

#[test]
fn what_is_already_so_is_not_written() {
    let mut script = Script::new();
    script.looks = vec![Ok(Standing::After)];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Done, 0));
    assert!(
        !script
            .log
            .iter()
            .any(|l| l.starts_with("write") || l.starts_with("intend"))
    );
    assert!(
        script
            .log
            .contains(&"end s0 verified changed=false".to_owned())
    );
}

#[test]
fn drift_stops_everything_after_it() {
    let mut script = Script::new();
    script.looks = vec![
        Ok(Standing::Before),
        Ok(Standing::Other { now: "z".into() }),
    ];
    let end = script.run(&mut machine_of(
        PlanKind::Apply,
        vec![change(&["a"]), change(&["b"]), change(&["c"])],
        &[],
    ));
    assert_eq!((end.ending, end.made), (Ending::Drifted, 1));
    assert_eq!(end.fault.unwrap().code, "drift");
    assert!(!script.log.iter().any(|l| l.contains("s2")));
}

#[test]
fn a_conflict_is_tried_again_a_few_times() {
    let mut script = Script::new();
    script.writes = vec![Err(conflict()), Err(Fault::definite("drift", "x")), Ok(())];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    look
    intend s0@run#1
    write s0@run#1
    outcome s0@run#1 not done
    look
    intend s0@run#2
    write s0@run#2
    outcome s0@run#2 not done
    look
    intend s0@run#3
    write s0@run#3
    outcome s0@run#3 done
    settle
    end s0 verified changed=true
    over Done
    ");

    let mut script = Script::new();
    script.writes = (0..20).map(|_| Err(conflict())).collect();
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
    let writes = script.log.iter().filter(|l| l.starts_with("write")).count();
    assert_eq!(writes, ATTEMPTS as usize);
}

#[test]
fn an_effect_that_was_rejected_ends_the_run() {
    let mut script = Script::new();
    script.writes = vec![Err(Fault::definite("api_rejected", "x"))];
    let end = script.run(&mut machine_of(
        PlanKind::Apply,
        vec![change(&["a"]), change(&["b"])],
        &[],
    ));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
    assert_eq!(
        script.log,
        [
            "start s0",
            "look",
            "intend s0@run#1",
            "write s0@run#1",
            "outcome s0@run#1 not done",
            "end s0 failed api_rejected",
            "over Failed"
        ]
    );
}

#[test]
fn a_lost_answer_is_found_by_looking_or_stays_unknown() {
    let mut script = Script::new();
    script.writes = vec![Err(lost())];
    script.looks = vec![Ok(Standing::Before), Ok(Standing::After)];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));

    for looked in [
        Ok(Standing::Before),
        Ok(Standing::Other { now: "z".into() }),
        Err(Fault::unreachable("api_unreachable", "x")),
    ] {
        let mut script = Script::new();
        script.writes = vec![Err(lost())];
        script.looks = vec![Ok(Standing::Before), looked];
        let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
        assert_eq!((end.ending, end.made), (Ending::Unknown, 1));
        assert!(script.log.contains(&"outcome s0@run#1 unknown".to_owned()));
    }
}

/// On a host, whoever has looked knows that the attempt cannot begin any more.
#[test]
fn an_effect_on_a_host_whose_answer_was_lost_is_begun_anew_unless_it_happened() {
    let on_host = || {
        let effect = Effect::PutFile {
            file: crate::model::FileRef {
                host: test_events::host(),
                path: "/f".into(),
            },
            before: crate::model::FileState::Absent,
            after: crate::model::FileState::Absent,
        };
        machine_of(
            PlanKind::Apply,
            vec![test_events::change(vec![effect])],
            &[],
        )
    };
    let host_lost = || Err(Fault::indeterminate("host_lost", "x"));
    let mut script = Script::new();
    script.writes = vec![host_lost()];
    let end = script.run(&mut on_host());
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    look
    intend s0@run#1
    write s0@run#1
    find
    outcome s0@run#1 not done
    intend s0@run#2
    write s0@run#2
    outcome s0@run#2 done
    settle
    end s0 verified changed=true
    over Done
    ");

    let mut script = Script::new();
    script.writes = vec![host_lost()];
    script.looks = vec![Ok(Standing::Before), Ok(Standing::After)];
    let end = script.run(&mut on_host());
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    assert_eq!(
        script.log.iter().filter(|l| l.starts_with("write")).count(),
        1
    );

    // Not for ever, and only where it was the connection.
    let mut script = Script::new();
    script.writes = vec![host_lost(); 9];
    let end = script.run(&mut on_host());
    assert_eq!((end.ending, end.made), (Ending::Unknown, 1));
    assert_eq!(
        script.log.iter().filter(|l| l.starts_with("write")).count(),
        5
    );
    let mut script = Script::new();
    script.writes = vec![Err(Fault::indeterminate("program_failed", "x"))];
    let end = script.run(&mut on_host());
    assert_eq!((end.ending, end.made), (Ending::Unknown, 1));
}

#[test]
fn what_nobody_can_tell_ends_the_run_and_is_not_done_again() {
    let unclear = || Ok(Standing::Unclear { why: "cut".into() });
    let mut script = Script::new();
    script.looks = vec![unclear()];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Unknown, 0));
    assert_eq!(end.fault.unwrap().code, "unclear");

    let first = id("s0", "Node a", 1);
    let record = sitting(two_steps(), vec![intent(&first, "a")]);
    let mut script = Script::new();
    script.looks = vec![unclear()];
    let end = script.run(&mut Machine::resume(&record));
    assert_eq!((end.ending, end.made), (Ending::Unknown, 1));
    assert!(!script.log.iter().any(|line| line.starts_with("intend")));
}

#[test]
fn what_does_not_settle_fails_with_its_effect_made() {
    let mut script = Script::new();
    script.settles = vec![Err(Fault::definite("timeout", "x"))];
    let end = script.run(&mut machine_of(
        PlanKind::Apply,
        vec![change(&["a"]), check()],
        &[],
    ));
    assert_eq!((end.ending, end.made), (Ending::Failed, 1));
    assert_eq!(end.fault.unwrap().code, "timeout");
}

#[test]
fn a_look_that_fails_ends_the_run_before_any_intent() {
    let mut script = Script::new();
    script.looks = vec![Err(Fault::unreachable("api_unreachable", "x"))];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
    assert!(!script.log.iter().any(|l| l.starts_with("intend")));
}

#[test]
fn refused_and_unknown_steps_are_not_done() {
    for verdict in [
        refused(),
        Verdict::Unknown {
            why: "?".into(),
            otherwise: Some(Box::new(change(&["a"]))),
        },
        Verdict::Unknown {
            why: "?".into(),
            otherwise: None,
        },
    ] {
        let mut script = Script::new();
        let end = script.run(&mut machine_of(
            PlanKind::Apply,
            vec![verdict, change(&["b"])],
            &["s1"],
        ));
        assert_eq!((end.ending, end.made), (Ending::Failed, 0));
        assert!(!script.log.contains(&"look".to_owned()));
    }
}

#[test]
fn an_unknown_step_that_is_allowed_is_done() {
    let unknown = |otherwise| Verdict::Unknown {
        why: "?".into(),
        otherwise: Some(Box::new(otherwise)),
    };
    let mut script = Script::new();
    let end = script.run(&mut machine_of(
        PlanKind::Apply,
        vec![unknown(change(&["a"])), unknown(check())],
        &["s0", "s1"],
    ));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    assert!(script.log.contains(&"watch 1".to_owned()));
}

#[test]
fn an_undo_leaves_alone_what_it_must_and_goes_on() {
    let mut script = Script::new();
    let kind = PlanKind::Undo {
        of: RunId::generate(),
        only: None,
    };
    let end = script.run(&mut machine_of(kind, vec![refused(), change(&["b"])], &[]));
    assert_eq!((end.ending, end.made, end.left), (Ending::Done, 1, 1));
}

#[test]
fn a_stop_lets_the_step_end() {
    let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"]), change(&["b"])], &[]);
    machine.on(Input::Begin);
    machine.stop();
    machine.on(Input::Looked(Ok(Standing::Before)));
    let id = EffectId {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        item: String::new(),
        attempt: 1,
    };
    machine.on(Input::Permitted(Box::new(Permit::for_test(
        id,
        effect("a"),
    ))));
    machine.on(Input::Performed(Ok(())));
    let turn = machine.on(Input::Settled(Ok(())));
    let Ask::End(end) = turn.ask else { panic!() };
    assert_eq!((end.ending, end.made), (Ending::Stopped, 1));
}

#[test]
fn a_check_can_be_stopped() {
    let mut script = Script::new();
    script.settles = vec![Err(Fault::refused("stopped", "x"))];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![check()], &[]));
    assert_eq!(end.ending, Ending::Stopped);
}

/// While what is large comes here, or goes there.
#[test]
fn a_transfer_can_be_stopped_and_nothing_is_done_then() {
    let stopped = || Fault::refused("stopped", "x");
    let mut reading = Script::new();
    reading.looks = vec![Err(stopped())];
    let mut sending = Script::new();
    sending.writes = vec![Err(stopped())];
    for mut script in [reading, sending] {
        let mut machine = machine_with(vec![change(&["a"])], three_times);
        let end = script.run(&mut machine);
        assert_eq!((end.ending, end.made), (Ending::Stopped, 0));
    }
}

#[test]
fn an_input_out_of_turn_ends_the_run_as_a_mistake_of_the_program() {
    let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"])], &[]);
    machine.on(Input::Begin);
    let turn = machine.on(Input::Performed(Ok(())));
    let Ask::End(end) = turn.ask else { panic!() };
    assert_eq!(end.fault.unwrap().class, Class::Internal);
}

#[test]
fn a_journal_that_fails_ends_the_run_and_what_was_made_is_counted() {
    let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"]), change(&["b"])], &[]);
    machine.on(Input::Begin);
    machine.on(Input::Looked(Ok(Standing::Before)));
    let id = EffectId {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        item: String::new(),
        attempt: 1,
    };
    machine.on(Input::Permitted(Box::new(Permit::for_test(
        id,
        effect("a"),
    ))));
    machine.on(Input::Performed(Ok(())));
    let end = machine.broke(Fault::refused("journal_database", "disk full"));
    assert_eq!((end.ending, end.made), (Ending::Failed, 1));
    let turn = machine.on(Input::Settled(Ok(())));
    assert!(matches!(turn.ask, Ask::End(_)));
}

#[test]
fn what_was_evicted_before_its_journal_failed_is_counted() {
    let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"])], &[]);
    machine.on(Input::Begin);
    machine.may_have_evicted(vec![id("s0", "shop/a a", 1), id("s0", "shop/b b", 1)]);
    machine.may_have_evicted(vec![id("s0", "shop/a a", 2)]);
    let end = machine.broke(Fault::refused("journal_database", "disk full"));
    assert_eq!(end.made, 2);
}

#[test]
fn an_object_that_vanished_is_looked_at_again() {
    let mut script = Script::new();
    script.looks = vec![Ok(Standing::Before), Ok(Standing::After)];
    script.writes = vec![Err(Fault::definite("gone", "x"))];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![change(&["a"])], &[]));
    assert_eq!((end.ending, end.made), (Ending::Done, 0));
}

/// The events of a first sitting, as its journal keeps them.
fn sitting(plan: Plan, events: Vec<Event>) -> RunRecord {
    use crate::journal::test_events::{entries, start_of};
    let mut all = vec![start_of(RunId::generate(), plan)];
    all.extend(events);
    RunRecord::fold(entries(all)).unwrap()
}

fn two_steps() -> Plan {
    machine_of(
        PlanKind::Apply,
        vec![change(&["a"]), change(&["b", "c"]), check()],
        &[],
    )
    .plan
}

fn id(step: &str, item: &str, attempt: u32) -> EffectId {
    EffectId {
        step: StepId::new(step).unwrap(),
        scope: Scope::Run,
        item: item.into(),
        attempt,
    }
}

fn intent(id: &EffectId, name: &str) -> Event {
    Event::Intent {
        id: id.clone(),
        effect: effect(name),
    }
}

fn verified(step: &str) -> Event {
    Event::StepEnded {
        step: StepId::new(step).unwrap(),
        scope: Scope::Run,
        result: StepResult::Verified { changed: true },
    }
}

fn outcome(id: &EffectId, outcome: Outcome) -> Event {
    Event::Outcome {
        id: id.clone(),
        outcome,
    }
}

#[test]
fn a_resumed_run_leaves_what_is_verified_and_goes_on_after_it() {
    let (a, b, c) = (
        id("s0", "", 1),
        id("s1", "Node b", 1),
        id("s1", "Node c", 1),
    );
    let record = sitting(
        two_steps(),
        vec![
            intent(&a, "a"),
            outcome(&a, Outcome::Done),
            verified("s0"),
            intent(&b, "b"),
            outcome(&b, Outcome::Done),
            intent(&c, "c"),
        ],
    );
    let mut script = Script::new();
    // What was done is found done; of what was begun, nothing had happened.
    script.looks = vec![Ok(Standing::After), Ok(Standing::Before)];
    let end = script.run(&mut Machine::resume(&record));
    assert_eq!((end.ending, end.made), (Ending::Done, 3));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s1
    find
    settle
    find
    intend s1@run[Node c]#2
    write s1@run[Node c]#2
    outcome s1@run[Node c]#2 done
    settle
    end s1 verified changed=true
    start s2
    watch 2
    end s2 verified changed=false
    over Done
    ");
}

#[test]
fn an_open_intent_that_happened_is_not_done_again() {
    let a = id("s0", "", 1);
    let record = sitting(two_steps(), vec![intent(&a, "a")]);
    let mut script = Script::new();
    script.looks = vec![Ok(Standing::After)];
    let end = script.run(&mut Machine::resume(&record));
    assert_eq!((end.ending, end.made), (Ending::Done, 3));
    assert_eq!(
        script.log[1..4],
        ["find", "outcome s0@run#1 done", "settle"]
    );
}

#[test]
fn what_was_certainly_not_done_is_tried_again_as_a_new_attempt() {
    let a = id("s0", "", 1);
    let not_done = Outcome::NotDone {
        fault: Fault::definite("api_rejected", "x"),
    };
    let record = sitting(two_steps(), vec![intent(&a, "a"), outcome(&a, not_done)]);
    let mut script = Script::new();
    let end = script.run(&mut Machine::resume(&record));
    assert_eq!((end.ending, end.made), (Ending::Done, 3));
    assert_eq!(script.log[1..3], ["look", "intend s0@run#2"]);
}

#[test]
fn a_resume_that_meets_something_else_or_nobody_stops_and_says_so() {
    let a = id("s0", "", 1);
    let open = || sitting(two_steps(), vec![intent(&a, "a")]);
    let done = || {
        sitting(
            two_steps(),
            vec![intent(&a, "a"), outcome(&a, Outcome::Done)],
        )
    };
    let other = || {
        Ok(Standing::Other {
            now: "x is y".into(),
        })
    };
    let silent = || Err(Fault::unreachable("api_unreachable", "x"));
    for (record, looked, ending, code) in [
        (open(), other(), Ending::Drifted, "drift"),
        (open(), silent(), Ending::Unknown, "api_unreachable"),
        (done(), other(), Ending::Drifted, "drift"),
        (done(), Ok(Standing::Before), Ending::Drifted, "drift"),
        (done(), silent(), Ending::Failed, "api_unreachable"),
    ] {
        let mut script = Script::new();
        script.looks = vec![looked];
        let end = script.run(&mut Machine::resume(&record));
        assert_eq!(end.ending, ending);
        assert_eq!(end.made, 1);
        assert_eq!(end.fault.unwrap().code, code);
        assert!(!script.log.iter().any(|l| l.starts_with("write")));
    }
}

#[test]
fn a_resumed_undo_counts_again_what_it_left_alone() {
    let plan = machine_of(
        PlanKind::Undo {
            of: RunId::generate(),
            only: None,
        },
        vec![refused(), change(&["a"])],
        &[],
    )
    .plan;
    let failed = Event::StepEnded {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        result: StepResult::Failed {
            fault: Fault::refused("refused", "no"),
        },
    };
    let record = sitting(plan, vec![failed]);
    let mut script = Script::new();
    let end = script.run(&mut Machine::resume(&record));
    assert_eq!((end.ending, end.made, end.left), (Ending::Done, 1, 1));
    assert_eq!(script.log[0], "start s1");
}

#[test]
fn the_end_of_a_run_is_the_same_from_its_journal() {
    let a = id("s0", "", 1);
    let over = |ending: Ending| Event::RunEnded {
        ending,
        fault: None,
    };
    assert_eq!(End::of(&sitting(two_steps(), vec![intent(&a, "a")])), None);
    let record = sitting(two_steps(), vec![intent(&a, "a"), over(Ending::Unknown)]);
    let end = End::of(&record).unwrap();
    assert_eq!((end.ending, end.made, end.left), (Ending::Unknown, 1, 0));
    let undo = machine_of(
        PlanKind::Undo {
            of: RunId::generate(),
            only: None,
        },
        vec![refused(), change(&["a"])],
        &[],
    )
    .plan;
    let left = Event::StepEnded {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        result: StepResult::Failed {
            fault: Fault::refused("refused", "no"),
        },
    };
    let end = |events| End::of(&sitting(undo.clone(), events)).unwrap();
    assert_eq!(end(vec![over(Ending::Failed)]).left, 0);
    assert_eq!(end(vec![left, over(Ending::Done)]).left, 1);
}

/// Steps of which each is as `with` makes it.
fn machine_with(verdicts: Vec<Verdict>, with: impl Fn(&mut PlannedStep)) -> Machine {
    let mut machine = machine_of(PlanKind::Apply, verdicts, &[]);
    machine.plan.steps.iter_mut().for_each(with);
    machine
}

fn three_times(step: &mut PlannedStep) {
    step.retry = Some(Retry {
        attempts: 3,
        every: 5,
    });
}

fn rejected() -> Fault {
    Fault::definite("api_rejected", "x")
}

#[test]
fn a_step_that_certainly_failed_is_tried_again_as_often_as_its_runbook_says() {
    let mut script = Script::new();
    script.writes = vec![Err(rejected()), Err(rejected()), Ok(())];
    let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    look
    intend s0@run#1
    write s0@run#1
    outcome s0@run#1 not done
    again s0 after 1
    rest 0
    look
    intend s0@run#2
    write s0@run#2
    outcome s0@run#2 not done
    again s0 after 2
    rest 0
    look
    intend s0@run#3
    write s0@run#3
    outcome s0@run#3 done
    settle
    end s0 verified changed=true
    over Done
    ");

    let mut script = Script::new();
    script.writes = vec![Err(rejected()), Err(rejected()), Err(rejected())];
    let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
    assert_eq!(
        script.log.iter().filter(|l| l.starts_with("rest")).count(),
        2
    );
}

#[test]
fn a_check_is_tried_again_and_begins_only_once() {
    let mut script = Script::new();
    script.settles = vec![Err(Fault::definite("timeout", "x")), Ok(())];
    let end = script.run(&mut machine_with(vec![check()], three_times));
    assert_eq!(end.ending, Ending::Done);
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    watch 0
    again s0 after 1
    rest 0
    watch 0
    end s0 verified changed=false
    over Done
    ");
}

#[test]
fn nothing_is_tried_again_that_is_not_certain_or_was_stopped() {
    for (writes, rests) in [
        (vec![Err(Fault::refused("x", "x"))], vec![]),
        (
            vec![Err(rejected())],
            vec![Err(Fault::refused("stopped", "x"))],
        ),
    ] {
        let mut script = Script::new();
        (script.writes, script.rests) = (writes, rests);
        let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
        assert_ne!(end.ending, Ending::Done);
        assert_eq!(
            script.log.iter().filter(|l| l.starts_with("write")).count(),
            1
        );
    }
    let mut script = Script::new();
    script.writes = vec![Err(lost())];
    script.looks = vec![Ok(Standing::Before), Ok(Standing::Before)];
    let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
    assert_eq!(end.ending, Ending::Unknown);
    let mut script = Script::new();
    script.rests = vec![Err(Fault::refused("stopped", "x"))];
    script.writes = vec![Err(rejected())];
    let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
    assert_eq!(end.ending, Ending::Stopped);
}

#[test]
fn a_run_goes_on_without_a_step_only_where_its_runbook_says_so() {
    let goes_on = |step: &mut PlannedStep| step.on_failure = OnFailure::Continue;
    let mut script = Script::new();
    script.writes = vec![Err(rejected()), Ok(())];
    let end = script.run(&mut machine_with(
        vec![change(&["a"]), change(&["b"])],
        goes_on,
    ));
    assert_eq!((&end.ending, end.made), (&Ending::Failed, 1));
    let fault = end.fault.unwrap();
    assert_eq!(fault.code, PASSED_OVER);
    insta::assert_snapshot!(fault.message, @"step `s0` failed, and the run went on without it, as its runbook says");
    assert!(
        script
            .log
            .contains(&"end s1 verified changed=true".to_owned())
    );

    // Whether it happened is not known: nothing goes on from there.
    let mut script = Script::new();
    script.writes = vec![Err(lost())];
    let end = script.run(&mut machine_with(
        vec![change(&["a"]), change(&["b"])],
        goes_on,
    ));
    assert_eq!(end.ending, Ending::Unknown);
    assert!(!script.log.iter().any(|l| l.contains("s1")));
}

#[test]
fn a_gate_that_is_not_passed_ends_the_run() {
    let gate = || Verdict::Gate {
        message: "sure?".into(),
    };
    let goes_on = |step: &mut PlannedStep| step.on_failure = OnFailure::Continue;
    let mut script = Script::new();
    script.answers = vec![Ok(true)];
    let end = script.run(&mut machine_with(vec![gate(), change(&["a"])], goes_on));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    ask 0
    end s0 verified changed=false
    start s1
    look
    intend s1@run#1
    write s1@run#1
    outcome s1@run#1 done
    settle
    end s1 verified changed=true
    over Done
    ");
    for answer in [Ok(false), Err(Fault::refused("not_confirmed", "x"))] {
        let mut script = Script::new();
        script.answers = vec![answer];
        let end = script.run(&mut machine_with(vec![gate(), change(&["a"])], goes_on));
        assert_eq!((end.ending, end.made), (Ending::Failed, 0));
        assert!(!script.log.iter().any(|l| l.contains("s1")));
    }
}

#[test]
fn what_is_decided_late_stands_in_the_place_of_its_step() {
    let decided = || {
        let item = |key: &str, verdict| {
            let id = StepId::new("s0").unwrap().item(key);
            PlannedStep::new(id, Scope::Run, "", "", verdict)
        };
        vec![item("x", change(&["a"])), item("y", unchanged())]
    };
    let mut script = Script::new();
    script.decided = vec![Ok(decided())];
    let mut machine = machine_with(vec![Verdict::Late, change(&["b"])], |_| {});
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Done, 2));
    insta::assert_snapshot!(script.log.join("\n"), @"
    decide 0
    decided s0: s0[x] s0[y]
    start s0[x]
    look
    intend s0[x]@run#1
    write s0[x]@run#1
    outcome s0[x]@run#1 done
    settle
    end s0[x] verified changed=true
    end s0[y] unchanged
    start s1
    look
    intend s1@run#1
    write s1@run#1
    outcome s1@run#1 done
    settle
    end s1 verified changed=true
    over Done
    ");
    let ids: Vec<&str> = machine.plan().steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["s0[x]", "s0[y]", "s1"]);

    let mut script = Script::new();
    script.decided = vec![Err(Fault::unreachable("x", "x"))];
    let end = script.run(&mut machine_with(
        vec![Verdict::Late, change(&["b"])],
        |_| {},
    ));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
}

#[test]
fn what_is_late_is_decided_only_where_it_was_allowed() {
    let unknown = || Verdict::Unknown {
        why: "x".into(),
        otherwise: Some(Box::new(Verdict::Late)),
    };
    let mut script = Script::new();
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![unknown()], &[]));
    assert_eq!(end.ending, Ending::Failed);
    let mut script = Script::new();
    script.decided = vec![Ok(vec![step("s0", Scope::Run, unchanged())])];
    let end = script.run(&mut machine_of(PlanKind::Apply, vec![unknown()], &["s0"]));
    assert_eq!(end.ending, Ending::Done);
}

fn on_host() -> Verdict {
    let programs = Box::new(test_events::programs());
    test_events::change(vec![Effect::RunProgram { programs }])
}

fn failed() -> Fault {
    Fault::indeterminate("program_failed", "x")
}

fn unclear() -> Standing {
    Standing::Unclear { why: "x".into() }
}

#[test]
fn a_program_is_tried_again_only_after_its_last_attempt_was_looked_at_whole() {
    // It says that it failed, and is found to be done all the same.
    let mut script = Script::new();
    script.writes = vec![Err(failed())];
    script.looks = vec![
        Ok(Standing::Before),
        Ok(Standing::Before),
        Ok(Standing::After),
    ];
    let end = script.run(&mut machine_with(vec![on_host()], three_times));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    look
    intend s0@run#1
    write s0@run#1
    find
    outcome s0@run#1 unknown
    again s0 after 1
    rest 0
    find
    outcome s0@run#1 done
    settle
    end s0 verified changed=true
    over Done
    ");
    // What verifies it goes on to disagree: it is never called done.
    let mut script = Script::new();
    script.writes = vec![Err(failed()), Err(failed()), Err(failed())];
    script.looks = vec![Ok(Standing::Before)];
    script.looks.extend((0..5).map(|_| Ok(unclear())));
    let mut machine = machine_with(vec![on_host()], three_times);
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Unknown, 1));
    assert_eq!(
        script.log.iter().filter(|l| l.starts_with("write")).count(),
        3
    );
    assert!(machine.blind);
}

#[test]
fn what_an_earlier_attempt_did_is_a_change_of_the_step() {
    let mut script = Script::new();
    script.writes = vec![Ok(())];
    script.settles = vec![Err(Fault::definite("overwritten", "x"))];
    script.looks = vec![Ok(Standing::Before), Ok(Standing::After)];
    let end = script.run(&mut machine_with(vec![change(&["a"])], three_times));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    assert!(
        script
            .log
            .contains(&"end s0 verified changed=true".to_owned())
    );
}

#[test]
fn a_run_goes_on_without_a_program_that_has_ended_also_after_it_was_killed() {
    let goes_on = |step: &mut PlannedStep| step.on_failure = OnFailure::Continue;
    let mut script = Script::new();
    script.writes = vec![Err(failed())];
    script.looks = vec![Ok(Standing::Before), Ok(unclear())];
    let end = script.run(&mut machine_with(vec![on_host(), unchanged()], goes_on));
    assert_eq!(end.fault.unwrap().code, PASSED_OVER);

    let mut machine = machine_with(vec![on_host(), unchanged()], goes_on);
    let effect = machine.plan.steps[0].verdict.effects()[0].clone();
    let id = EffectId {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        item: String::new(),
        attempt: 1,
    };
    let start = test_events::start_of(RunId::generate(), machine.plan.clone());
    let intent = Event::Intent { id, effect };
    let record = RunRecord::fold(test_events::entries(vec![start, intent])).unwrap();
    machine = Machine::resume(&record);
    let mut script = Script::new();
    script.looks = vec![Ok(unclear())];
    let end = script.run(&mut machine);
    assert_eq!(end.fault.unwrap().code, PASSED_OVER);
    assert!(script.log.contains(&"end s1 unchanged".to_owned()));
}

#[test]
fn what_rests_on_a_step_that_failed_is_decided_anew() {
    let mut machine = machine_with(vec![change(&["a"]), change(&["b"]), change(&["c"])], |_| {});
    machine.plan.steps[0].on_failure = OnFailure::Continue;
    machine.plan.steps[1].rests_on = vec![StepId::new("s0").unwrap()];
    let mut script = Script::new();
    script.writes = vec![Err(rejected())];
    script.decided = vec![Ok(vec![step("s1", Scope::Run, unchanged())])];
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Failed, 1));
    assert!(script.log.contains(&"decided s1: s1".to_owned()));
    assert!(
        script
            .log
            .contains(&"end s2 verified changed=true".to_owned())
    );
}

#[test]
fn ctrl_c_at_a_gate_stops_the_run() {
    let gate = Verdict::Gate {
        message: "sure?".into(),
    };
    let mut script = Script::new();
    script.answers = vec![Err(Fault::refused("stopped", "x"))];
    let end = script.run(&mut machine_with(vec![gate], |_| {}));
    assert_eq!(end.ending, Ending::Stopped);
}

#[test]
fn each_attempt_has_a_number_of_its_own() {
    let intents = |script: &Script| -> Vec<String> {
        let intents = script.log.iter().filter(|l| l.starts_with("intend"));
        intents.cloned().collect()
    };
    for found in [Standing::Before, unclear()] {
        let mut script = Script::new();
        script.writes = vec![Err(failed()), Ok(())];
        script.looks = vec![Ok(Standing::Before), Ok(unclear()), Ok(found)];
        let end = script.run(&mut machine_with(vec![on_host()], three_times));
        assert_eq!((end.ending, end.made), (Ending::Done, 1));
        assert_eq!(intents(&script), ["intend s0@run#1", "intend s0@run#2"]);
    }
}

#[test]
fn what_an_earlier_sitting_did_is_a_change_of_the_step() {
    let first = id("s0", "", 1);
    let outcome = Event::Outcome {
        id: first.clone(),
        outcome: Outcome::Done,
    };
    let mut record = sitting(two_steps(), vec![intent(&first, "a"), outcome]);
    record.plan.steps.iter_mut().for_each(three_times);
    let mut script = Script::new();
    let away = Fault::unreachable("api_unreachable", "x");
    script.looks = vec![Err(away), Ok(Standing::After), Ok(Standing::After)];
    let mut machine = Machine::resume(&record);
    let end = script.run(&mut machine);
    assert_eq!(end.ending, Ending::Done);
    assert!(
        script
            .log
            .contains(&"end s0 verified changed=true".to_owned())
    );
}

#[test]
fn the_last_word_on_each_step_is_kept_once() {
    let fault = rejected();
    let earlier = Event::StepEnded {
        step: StepId::new("s0").unwrap(),
        scope: Scope::Run,
        result: StepResult::Failed { fault },
    };
    let mut machine = Machine::resume(&sitting(two_steps(), vec![earlier]));
    Script::new().run(&mut machine);
    let ended: Vec<String> = machine
        .ended()
        .iter()
        .map(|(step, _, result)| {
            format!("{step} {}", matches!(result, StepResult::Verified { .. }))
        })
        .collect();
    assert_eq!(ended, ["s0 true", "s1 true", "s2 true"]);
}

#[test]
fn what_a_step_finds_is_written_down_and_known_to_later_ones() {
    let mut machine = machine_with(vec![check(), change(&["a"])], |_| {});
    machine.on(Input::Begin);
    let outputs = serde_json::json!({"output": "x"});
    let outputs = outputs.as_object().unwrap();
    let Some(Event::Found {
        step,
        outputs: kept,
        ..
    }) = machine.learn(outputs.clone())
    else {
        panic!()
    };
    assert_eq!((step.as_str(), &kept), ("s0", outputs));
    assert_eq!(&machine.plan().steps[0].outputs, outputs);
}

fn silent() -> Fault {
    Fault::unreachable(API_SILENT, "the API server does not answer")
}

fn unanswered() -> Verdict {
    Verdict::Unanswered { why: "x".into() }
}

#[test]
fn what_only_reads_and_does_not_answer_leaves_the_run_unverified() {
    let mut script = Script::new();
    script.decided = vec![Err(silent())];
    let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"]), unanswered()], &[]);
    let end = script.run(&mut machine);
    assert_eq!((&end.ending, end.made), (&Ending::Unverified, 1));
    assert_eq!(end.fault.unwrap().code, NOT_VERIFIED);
    assert_eq!(
        script.log.last_chunk::<4>().unwrap(),
        &[
            "start s1",
            "decide 1",
            "end s1 not verified",
            "over Unverified"
        ]
    );
}

#[test]
fn what_answers_when_its_turn_comes_is_verified_and_announced_once() {
    let mut script = Script::new();
    script.decided = vec![Ok(vec![step("s0", Scope::Run, check())])];
    let mut machine = machine_of(PlanKind::Apply, vec![unanswered()], &[]);
    assert_eq!(script.run(&mut machine).ending, Ending::Done);
    assert_eq!(
        script.log,
        [
            "start s0",
            "decide 0",
            "decided s0: s0",
            "watch 0",
            "end s0 verified changed=false",
            "over Done"
        ]
    );
}

#[test]
fn a_check_that_gets_no_answer_ends_the_run_where_changes_would_follow() {
    for (later, ending) in [
        (unchanged(), Ending::Unverified),
        (change(&["b"]), Ending::Failed),
    ] {
        let mut script = Script::new();
        script.settles = vec![Ok(()), Err(silent())];
        let mut machine = machine_of(PlanKind::Apply, vec![change(&["a"]), check(), later], &[]);
        assert_eq!(script.run(&mut machine).ending, ending);
    }
    // What the operator knew beforehand keeps nothing from being done.
    let mut script = Script::new();
    script.decided = vec![Err(silent())];
    let known = Verdict::Unknown {
        why: "x".into(),
        otherwise: Some(Box::new(unanswered())),
    };
    let mut machine = machine_of(PlanKind::Apply, vec![known, change(&["a"])], &["s0"]);
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Unverified, 1));
}

#[test]
fn a_write_that_gets_no_answer_ends_the_run() {
    let mut script = Script::new();
    script.decided = vec![Err(silent())];
    let late = Verdict::Unknown {
        why: "x".into(),
        otherwise: Some(Box::new(Verdict::Late)),
    };
    let mut machine = machine_of(PlanKind::Apply, vec![late, change(&["a"])], &["s0"]);
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));
}

#[test]
fn a_resumed_run_looks_again_at_what_was_not_verified() {
    let plan = machine_of(PlanKind::Apply, vec![change(&["a"]), unanswered()], &[])
        .plan()
        .clone();
    let ended = |n: usize, result| Event::StepEnded {
        step: StepId::new(&format!("s{n}")).unwrap(),
        scope: Scope::Run,
        result,
    };
    let events = vec![
        ended(0, StepResult::Verified { changed: true }),
        ended(1, StepResult::Unverified { why: "x".into() }),
    ];
    let record = sitting(plan, events);
    let mut machine = Machine::resume(&record);
    let mut script = Script::new();
    script.decided = vec![Ok(vec![step("s1", Scope::Run, check())])];
    assert_eq!(script.run(&mut machine).ending, Ending::Done);
    assert_eq!(script.log[..2], ["start s1", "decide 1"]);
}

fn put_back() -> Fault {
    Fault::definite(PUT_BACK, "x")
}

fn was_put_back() -> Standing {
    Standing::PutBack { fault: put_back() }
}

#[test]
fn what_its_host_has_put_back_fails_and_leaves_nothing() {
    // Whether that is answered, or found when the answer is lost.
    let lost = Fault::indeterminate("host_lost", "x");
    for (answer, looks) in [
        (put_back(), vec![Ok(Standing::Before)]),
        (lost, vec![Ok(Standing::Before), Ok(was_put_back())]),
    ] {
        let mut script = Script::new();
        script.writes = vec![Err(answer)];
        script.looks = looks;
        let end = script.run(&mut machine_with(vec![on_host()], |_| {}));
        assert_eq!((end.ending, end.made), (Ending::Failed, 0));
        assert_eq!(end.fault.unwrap().code, PUT_BACK);
        assert!(script.log.contains(&"outcome s0@run#1 not done".to_owned()));
    }
}

#[test]
fn what_was_put_back_while_nobody_lived_is_recognised_and_done_anew() {
    let plan = machine_with(vec![on_host()], |_| {}).plan;
    let effect = plan.steps[0].verdict.effects()[0].clone();
    let start = || test_events::start_of(RunId::generate(), plan.clone());
    let id = id("s0", "", 1);
    let intent = Event::Intent {
        id: id.clone(),
        effect,
    };
    let record = |more: Vec<Event>| {
        let events = [vec![start(), intent.clone()], more].concat();
        RunRecord::fold(test_events::entries(events)).unwrap()
    };
    let mut script = Script::new();
    script.looks = vec![Ok(was_put_back()), Ok(Standing::Before)];
    let end = script.run(&mut Machine::resume(&record(vec![])));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
    insta::assert_snapshot!(script.log.join("\n"), @"
    start s0
    find
    outcome s0@run#1 not done
    look
    intend s0@run#2
    write s0@run#2
    outcome s0@run#2 done
    settle
    end s0 verified changed=true
    over Done
    ");

    // It fails again: nothing is left of it.
    let mut script = Script::new();
    script.looks = vec![Ok(was_put_back()), Ok(Standing::Before)];
    script.writes = vec![Err(put_back())];
    let end = script.run(&mut Machine::resume(&record(vec![])));
    assert_eq!((end.ending, end.made), (Ending::Failed, 0));

    // What the journal says is done was not to be put back any more: that is no longer as it was.
    let done = Event::Outcome {
        id,
        outcome: Outcome::Done,
    };
    let mut script = Script::new();
    script.looks = vec![Ok(was_put_back())];
    let end = script.run(&mut Machine::resume(&record(vec![done])));
    assert_eq!(end.ending, Ending::Drifted);
}

#[test]
fn what_was_put_back_is_tried_again_where_its_runbook_says_so() {
    let mut script = Script::new();
    script.writes = vec![Err(put_back()), Ok(())];
    script.looks = vec![Ok(Standing::Before), Ok(was_put_back())];
    let end = script.run(&mut machine_with(vec![on_host()], three_times));
    assert_eq!((end.ending, end.made), (Ending::Done, 1));
}

fn evict(name: &str) -> Effect {
    Effect::EvictPod {
        pod: ObjectRef::for_test("v1", "Pod", "shop", name),
        node: "n".into(),
        grace: None,
        deletes: false,
        owner: None,
        loses: vec![],
    }
}

/// A step that cordons, and evicts two pods.
fn draining() -> Verdict {
    test_events::change(vec![effect("node"), evict("a"), evict("b")])
}

#[test]
fn evictions_begin_together_after_the_other_effects_of_their_step() {
    let mut machine = machine_with(vec![draining(), change(&["after"])], |step| {
        step.evicts = step.id.as_str() == "s0";
    });
    let mut script = Script::new();
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Done, 3));
    insta::assert_snapshot!(script.log.join("\n"), @r"
    start s0
    look
    intend s0@run[Node node]#1
    write s0@run[Node node]#1
    outcome s0@run[Node node]#1 done
    settle
    drain 0 begun=0 tries=[]
    end s0 verified changed=true
    start s1
    look
    intend s1@run#1
    write s1@run#1
    outcome s1@run#1 done
    settle
    end s1 verified changed=true
    over Done
    ");
}

#[test]
fn a_step_evicts_though_its_plan_has_no_pod() {
    let cordon = test_events::change(vec![effect("node")]);
    let mut machine = machine_with(vec![cordon], |step| step.evicts = true);
    let mut script = Script::new();
    script.run(&mut machine);
    assert!(
        script.log.iter().any(|line| line.starts_with("drain 0")),
        "{:?}",
        script.log
    );
}

#[test]
fn a_drain_that_fails_ends_as_its_fault_says() {
    for (fault, ending) in [
        (Fault::refused("drift", "x"), Ending::Drifted),
        (Fault::refused("stopped", "x"), Ending::Stopped),
        (Fault::indeterminate("api_lost", "x"), Ending::Unknown),
        (Fault::definite("timeout", "x"), Ending::Failed),
    ] {
        let mut machine = machine_with(vec![draining()], |step| step.evicts = true);
        let mut script = Script {
            drains: vec![Err(fault)],
            ..Script::new()
        };
        let end = script.run(&mut machine);
        assert_eq!((end.ending, end.made), (ending, 2));
    }
}

#[test]
fn a_drain_that_is_tried_again_counts_its_attempts_on() {
    let mut machine = machine_with(vec![draining()], |step| {
        step.evicts = true;
        three_times(step);
    });
    let mut script = Script {
        drains: vec![Err(rejected()), Ok(())],
        ..Script::new()
    };
    assert_eq!(script.run(&mut machine).ending, Ending::Done);
    let drains: Vec<&String> = script
        .log
        .iter()
        .filter(|l| l.starts_with("drain"))
        .collect();
    assert_eq!(
        drains,
        ["drain 0 begun=0 tries=[]", "drain 0 begun=0 tries=[1]"]
    );
    // Its other effects are not done again.
    assert_eq!(
        script.log.iter().filter(|l| l.starts_with("write")).count(),
        1
    );
}

#[test]
fn a_resumed_drain_knows_what_was_begun_of_it() {
    let mut plan = two_steps();
    plan.steps = vec![step("s0", Scope::Run, draining())];
    plan.steps[0].evicts = true;
    let cordon = id("s0", &effect("node").subject().to_string(), 1);
    let first = id("s0", "shop/a a", 1);
    let events = vec![
        Event::StepStarted {
            step: StepId::new("s0").unwrap(),
            scope: Scope::Run,
        },
        intent(&cordon, "node"),
        outcome(&cordon, Outcome::Done),
        Event::Intent {
            id: first,
            effect: evict("a"),
        },
    ];
    let mut machine = Machine::resume(&sitting(plan, events));
    let mut script = Script {
        looks: vec![Ok(Standing::After)],
        ..Script::new()
    };
    let end = script.run(&mut machine);
    assert_eq!((end.ending, end.made), (Ending::Done, 2));
    assert!(
        script.log.contains(&"drain 0 begun=1 tries=[]".to_owned()),
        "{:?}",
        script.log
    );
}
