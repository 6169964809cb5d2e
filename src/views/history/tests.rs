use super::*;
use crate::fault::Fault;
use crate::journal::test_events::{self, change, effect, plan, start_of};
use crate::journal::{Event, Outcome, StepResult};
use crate::model::{PlannedStep, Ran, Scope, StepId, Target};

fn run() -> RunId {
    "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

fn step(id: &str, scope: Scope) -> PlannedStep {
    let (_, effect) = effect(id);
    PlannedStep {
        name: format!("Do {id}"),
        ..test_events::step(id, scope, change(vec![effect]))
    }
}

/// Events, each with the second at which the clock stood.
fn story(events: Vec<(i64, Event)>) -> (RunRecord, Vec<Entry>) {
    let target = Scope::Target(Target::node("node02", "u"));
    let mut plan = plan();
    plan.runbook = "fix".into();
    plan.summary = "Fix it".into();
    plan.targets = vec![Target::node("node02", "u")];
    plan.steps = vec![step("one", target), step("two", Scope::Run)];
    let mut all = vec![(0, start_of(run(), plan))];
    all.extend(events);
    let entries: Vec<Entry> = (1..)
        .zip(all)
        .map(|(seq, (second, event))| Entry {
            seq,
            at: Timestamp::from_second(second).unwrap(),
            event,
        })
        .collect();
    (RunRecord::fold(entries.clone()).unwrap(), entries)
}

fn began(id: &str) -> Event {
    let step = step(id, scope(id));
    Event::StepStarted {
        step: step.id,
        scope: step.scope,
    }
}

fn scope(id: &str) -> Scope {
    match id {
        "one" => Scope::Target(Target::node("node02", "u")),
        _ => Scope::Run,
    }
}

fn ended(id: &str, result: StepResult) -> Event {
    Event::StepEnded {
        step: StepId::new(id).unwrap(),
        scope: scope(id),
        result,
    }
}

fn intent(id: &str) -> Event {
    let (mut effect_id, effect) = effect(id);
    effect_id.scope = scope(id);
    Event::Intent {
        id: effect_id,
        effect,
    }
}

fn outcome(id: &str, outcome: Outcome) -> Event {
    let (mut effect_id, _) = effect(id);
    effect_id.scope = scope(id);
    Event::Outcome {
        id: effect_id,
        outcome,
    }
}

fn shown(events: Vec<(i64, Event)>, state: State) -> String {
    let (record, entries) = story(events);
    // The time zone is the reader's.
    render_history(&record, &entries, state)
        .lines()
        .filter(|line| !line.contains("started"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn half() -> Vec<(i64, Event)> {
    vec![
        (1, began("one")),
        (2, intent("one")),
        (8, outcome("one", Outcome::Done)),
        (8, ended("one", StepResult::Verified { changed: true })),
        (9, began("two")),
        (9, intent("two")),
    ]
}

#[test]
fn a_run_that_was_cut_short_says_what_is_not_known() {
    insta::assert_snapshot!(shown(half(), State::Ended));
}

#[test]
fn a_run_that_was_resumed_failed_and_was_taken_back() {
    let fault = || Fault::definite("api_rejected", "the API server said no");
    let mut events = half();
    events.extend([
        (
            100,
            Event::RunResumed {
                actor: plan().actor,
                engine: "0".into(),
                reason: None,
            },
        ),
        (100, began("two")),
        (101, outcome("two", Outcome::NotDone { fault: fault() })),
        (101, ended("two", StepResult::Failed { fault: fault() })),
        (
            101,
            Event::RunEnded {
                ending: Ending::Failed,
                fault: Some(fault()),
            },
        ),
    ]);
    let by = State::TakenBack {
        by: run(),
        whole: true,
    };
    insta::assert_snapshot!(shown(events, by));
}

/// A clock that was set back makes no nonsense of how long things took.
#[test]
fn a_clock_that_jumps_is_not_believed() {
    let events = vec![
        (1_000_000, began("one")),
        (500, ended("one", StepResult::Verified { changed: true })),
        (
            -500,
            Event::RunEnded {
                ending: Ending::Done,
                fault: None,
            },
        ),
    ];
    insta::assert_snapshot!(shown(events, State::Ended));
}

#[test]
fn each_state_has_its_words_in_the_list() {
    let listed = |events: Vec<(i64, Event)>, state| {
        let (record, _) = story(events);
        let line = render_run(run(), Some(&record), state);
        line.split(" on ").nth(1).unwrap().to_owned()
    };
    let over = |ending| {
        let mut events = half();
        events.push((10, outcome("two", Outcome::Done)));
        events.push((
            10,
            Event::RunEnded {
                ending,
                fault: None,
            },
        ));
        events
    };
    let back = |whole| State::TakenBack { by: run(), whole };
    let all = [
        listed(vec![], State::UnderWay),
        listed(vec![], State::Ended),
        listed(half(), State::Ended),
        listed(over(Ending::Done), State::Ended),
        listed(over(Ending::Stopped), State::Ended),
        listed(over(Ending::Failed), State::Ended),
        listed(over(Ending::Done), back(true)),
        listed(over(Ending::Done), back(false)),
        render_run(run(), None, State::Ended),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

/// The end of what was printed is shown, and what a check prints only where it tells nothing.
#[test]
fn what_programs_print_is_shown_at_its_end() {
    let (id, _) = effect("one");
    let printed = |name: &str, code, lines: usize, held| Event::Printed {
        id: id.clone(),
        ran: Ran {
            name: name.into(),
            held,
            ..test_events::ran(code, &"line\n".repeat(lines))
        },
    };
    let events = vec![
        (1, began("one")),
        (1, printed("check", 1, 1, false)),
        (2, printed("apply", 0, 10, true)),
        (2, printed("verify", 0, 0, false)),
        (3, printed("check", 2, 1, false)),
        (3, ended("one", StepResult::Verified { changed: true })),
    ];
    insta::assert_snapshot!(shown(events, State::Ended), @"
    Run 01ARZ3NDEKTSV4RRFFQ69G5FAV
      runbook  fix: Fix it
      nodes    node02
      cluster   ()
      by       @

          │ … 2 lines before these
          │ line
          │ line
          │ line
          │ line
          │ line
          │ line
          │ line
          │ line
          │ line
      ✓ node02: Do one (2 s)

    It was cut short: its program ended before it did.
    ");
}
