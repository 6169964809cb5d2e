use super::*;
use crate::journal::test_events::{effect, entries, start, step};
use crate::journal::{Event, Outcome};
use crate::model::{FieldPath, Programs};
use serde_json::json;

fn daemonset() -> ObjectRef {
    ObjectRef {
        uid: "ds".into(),
        ..ObjectRef::for_test("apps/v1", "DaemonSet", "kube-system", "calico-node")
    }
}

fn inverse() -> Effect {
    let entry = |value: &str| json!({"name": "METHOD", "value": value});
    Effect::SetFields {
        object: daemonset(),
        fields: vec![FieldChange {
            path: FieldPath::container_env("calico-node", "METHOD"),
            before: Some(entry("by the run")),
            after: Some(entry("before")),
        }],
    }
}

fn done() -> EffectRecord {
    let (id, _) = effect("method");
    let events = vec![
        start(crate::model::RunId::generate()),
        Event::Intent {
            id: id.clone(),
            effect: inverse().inverse().unwrap(),
        },
        Event::Outcome {
            id,
            outcome: Outcome::Done,
        },
    ];
    RunRecord::fold(entries(events)).unwrap().effects[0].clone()
}

fn now(value: &str) -> Now {
    Now::Object(Some(json!({
        "metadata": {"uid": "ds"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "calico-node", "env": [{"name": "METHOD", "value": value}]},
        ]}}},
        "status": {"desiredNumberScheduled": 3},
    })))
}

#[test]
fn what_is_as_the_run_left_it_is_put_back() {
    let verdicts = take_back(&done(), inverse(), None, &now("by the run"));
    let [
        Verdict::Change {
            effects,
            details,
            follows,
            ..
        },
    ] = verdicts.as_slice()
    else {
        panic!()
    };
    assert_eq!(*effects, [inverse()]);
    insta::assert_json_snapshot!(details, @r#"
    [
      {
        "subject": "DaemonSet kube-system/calico-node: spec.template.spec.containers[name=calico-node].env[name=METHOD]",
        "before": "`by the run`",
        "before_is": "as the run left it",
        "after": "`before`",
        "after_is": "as it was before the run"
      }
    ]
    "#);
    insta::assert_snapshot!(follows.join("\n"), @"its controller replaces up to 3 pods; that is not waited for, as a fault that comes back may hold it up");
}

#[test]
fn what_is_as_before_needs_nothing_and_what_is_neither_is_left_alone() {
    assert!(matches!(
        take_back(&done(), inverse(), None, &now("before")).as_slice(),
        [Verdict::NoChange { .. }]
    ));
    let verdicts = take_back(&done(), inverse(), None, &now("by someone"));
    let [Verdict::Refused { why, .. }] = verdicts.as_slice() else {
        panic!()
    };
    insta::assert_snapshot!(why, @"it is no longer what the run left, so it is left alone: spec.template.spec.containers[name=calico-node].env[name=METHOD] is `by someone` (left alone: spec.template.spec.containers[name=calico-node].env[name=METHOD])");
    assert!(matches!(
        take_back(&done(), inverse(), None, &Now::Object(None)).as_slice(),
        [Verdict::Refused { .. }]
    ));
}

#[test]
fn an_effect_belongs_to_the_step_of_its_id_and_its_place() {
    let mut plan = crate::journal::test_events::plan();
    let places = [Scope::Run, Scope::Target(Target::node("n1", "1"))];
    for (id, scope) in [("a", &places[0]), ("a", &places[1]), ("b", &places[1])] {
        let mut step = earlier();
        step.id = StepId::new(id).unwrap();
        step.scope = scope.clone();
        step.name = format!("{id} of {scope}");
        plan.steps.push(step);
    }
    let name = |id: &str, scope: &Scope| {
        let (mut effect_id, _) = effect(id);
        effect_id.scope = scope.clone();
        plan.step(&effect_id.step, &effect_id.scope)
            .map(|step| step.name.clone())
    };
    assert_eq!(name("a", &places[0]).as_deref(), Some("a of the run"));
    assert_eq!(name("a", &places[1]).as_deref(), Some("a of n1"));
    assert_eq!(name("b", &places[1]).as_deref(), Some("b of n1"));
    assert_eq!(name("b", &places[0]), None);
}

#[test]
fn the_undo_of_one_target_has_nothing_of_the_others_nor_of_the_run() {
    let (one, two) = (Target::node("n1", "1"), Target::node("n2", "2"));
    let of = Extent::Of(one.clone());
    assert!(of.has(&Scope::Target(one)));
    assert!(!of.has(&Scope::Target(two.clone())));
    assert!(!of.has(&Scope::Run));
    assert!(Extent::All.has(&Scope::Target(two)) && Extent::All.has(&Scope::Run));
}

/// Of two labels somebody has changed one: the other is put back.
#[test]
fn a_field_that_others_wrote_keeps_none_of_the_rest() {
    let field = |name: &str| FieldChange {
        path: FieldPath::annotation(name),
        before: Some("run".into()),
        after: Some("old".into()),
    };
    let inverse = Effect::SetFields {
        object: daemonset(),
        fields: vec![field("a"), field("b"), field("c")],
    };
    let now = Now::Object(Some(json!({"metadata": {
        "uid": "ds", "annotations": {"a": "run", "b": "theirs", "c": "old"}}})));
    let verdicts = take_back(&done(), inverse.clone(), None, &now);
    let [
        Verdict::Change { effects, .. },
        Verdict::Refused { why, .. },
    ] = verdicts.as_slice()
    else {
        panic!("{verdicts:?}")
    };
    let Effect::SetFields { fields, .. } = &effects[0] else {
        panic!()
    };
    assert_eq!(*fields, [field("a")]);
    insta::assert_snapshot!(why);
    // All of it by others: nothing is put back.
    let now = Now::Object(Some(json!({"metadata": {
        "uid": "ds", "annotations": {"a": "x", "b": "y", "c": "z"}}})));
    assert!(matches!(
        take_back(&done(), inverse, None, &now).as_slice(),
        [Verdict::Refused { .. }]
    ));
}

/// Cordoned and uncordoned again: each is taken back from what the other leaves.
#[test]
fn what_was_written_twice_is_taken_back_twice() {
    let path = || FieldPath::root().key("spec").key("unschedulable");
    let set = |before: Option<bool>, after: Option<bool>| Effect::SetFields {
        object: daemonset(),
        fields: vec![FieldChange {
            path: path(),
            before: before.map(Value::Bool),
            after: after.map(Value::Bool),
        }],
    };
    let now = || Now::Object(Some(json!({"metadata": {"uid": "ds"}, "spec": {}})));
    let second = set(Some(true), None).inverse().unwrap();
    let first = set(None, Some(true)).inverse().unwrap();
    let mut steps = Vec::new();
    for inverse in [second, first] {
        let now = after(now(), &inverse, &steps);
        let verdicts = take_back(&done(), inverse.clone(), None, &now);
        let [verdict @ Verdict::Change { effects, .. }] = verdicts.as_slice() else {
            panic!("{verdicts:?}")
        };
        assert_eq!(*effects, [inverse]);
        let mut step = restart(&earlier(), daemonset(), &daemonset(), "n");
        step.verdict = verdict.clone();
        steps.push(step);
    }
}

fn earlier() -> PlannedStep {
    step(
        "again",
        Scope::Run,
        Verdict::NoChange { why: String::new() },
    )
}

#[test]
fn a_restart_is_that_of_the_successor_under_the_same_step() {
    let step = earlier();
    let pod = ObjectRef {
        kind: "Pod".into(),
        uid: "p2".into(),
        ..daemonset()
    };
    let restarted = restart(&step, pod.clone(), &daemonset(), "node02");
    assert_eq!(restarted.id, step.id);
    assert_eq!(
        restarted.verdict.effects(),
        [Effect::ReplacePod {
            pod,
            owner: "ds".into(),
            node: "node02".into()
        }]
    );
}

fn map(uid: &str, before: bool) -> Effect {
    let image = || Some(json!({"metadata": {"name": "c"}, "data": {"a": "1"}}));
    Effect::PutObject {
        object: ObjectRef {
            kind: "ConfigMap".into(),
            uid: uid.into(),
            ..daemonset()
        },
        before: before.then(image).flatten(),
        after: (!before).then(image).flatten(),
        propagation: crate::model::Propagation::Background,
    }
}

#[test]
fn what_was_made_is_deleted_and_what_was_deleted_is_made_again_where_nobody_was_there_since() {
    let there = |data: &str| {
        Now::Object(Some(
            json!({"metadata": {"name": "c", "uid": "new"}, "data": {"a": data}}),
        ))
    };
    let back = |effect: Effect, now: &Now| {
        let inverse = effect.inverse().unwrap();
        match take_back(&done(), inverse, None, now).remove(0) {
            Verdict::Change { undo, .. } => match undo {
                UndoClass::Exact => "exact",
                _ => "best effort",
            },
            Verdict::NoChange { .. } => "no change",
            _ => "left alone",
        }
    };
    let made = || map("", false);
    assert_eq!(back(made(), &there("1")), "best effort");
    assert_eq!(back(made(), &there("2")), "left alone");
    assert_eq!(back(made(), &Now::Object(None)), "no change");
    let deleted = || map("old", true);
    assert_eq!(back(deleted(), &Now::Object(None)), "exact");
    assert_eq!(back(deleted(), &there("1")), "no change");
    assert_eq!(back(deleted(), &there("2")), "left alone");
}

/// Made, and then changed by the same run: it is deleted once the change is taken back.
#[test]
fn what_a_run_made_and_changed_is_taken_back_change_by_change() {
    let Effect::PutObject { object, .. } = map("new", false) else {
        panic!()
    };
    let put_back = Effect::SetFields {
        object,
        fields: vec![FieldChange {
            path: FieldPath::root().key("data").key("a"),
            before: Some(json!("2")),
            after: Some(json!("1")),
        }],
    };
    let mut step = restart(&earlier(), daemonset(), &daemonset(), "n");
    step.verdict = change(put_back, &Now::Object(None), "");
    let now = Now::Object(Some(
        json!({"metadata": {"name": "c", "uid": "new"}, "data": {"a": "2"}}),
    ));
    let inverse = map("", false).inverse().unwrap();
    assert!(matches!(inverse.standing(&now), Standing::Other { .. }));
    let then = after(now, &inverse, &[step]);
    assert_eq!(inverse.standing(&then), Standing::Before);
}

#[test]
fn what_is_not_put_back_by_its_plan_is_left_as_it_is() {
    let mut step = restart(&earlier(), daemonset(), &daemonset(), "n");
    let Some(Verdict::NoChange { why }) = lasting(&step) else {
        panic!()
    };
    assert_eq!(
        why,
        "it is left as it is: a start leaves nothing behind that could be put back"
    );
    step.verdict = change(inverse(), &now("by the run"), "");
    assert_eq!(lasting(&step), None);
}

#[test]
fn of_pods_it_is_said_what_went_what_is_there_and_what_nobody_knows() {
    let said = [(1, 0, 0), (5, 0, 0), (0, 1, 0), (2, 3, 1), (0, 0, 2)]
        .map(|(gone, there, unknown)| stays_away(gone, there, unknown));
    insta::assert_snapshot!(said.join("\n"), @r"
    the pod that was evicted does not come back: its controller, if it has one, has made another
    the 5 pods that were evicted do not come back: their controllers, where they have one, have made others
    the pod whose eviction was cut short is still there
    the 2 pods that were evicted do not come back: their controllers, where they have one, have made others; the 3 pods whose evictions were cut short are still there; of 1 pod nobody knows whether it was evicted
    of 2 pods nobody knows whether they were evicted
    ");
}

#[test]
fn what_programs_of_ours_left_is_put_back_or_left_alone() {
    let inverse = Effect::RunProgram {
        programs: Box::new(Programs::own_for_test().inverse().unwrap()),
    };
    let is = |now: ProgramNow| take_back(&done(), inverse.clone(), None, &Now::Program(now));
    let [
        Verdict::Change {
            details,
            undo,
            predicted,
            ..
        },
    ] = &is(ProgramNow::Is { done: true })[..]
    else {
        panic!()
    };
    assert_eq!((undo, predicted), (&UndoClass::Exact, &None));
    assert_eq!(details[0].subject, "back");
    let [Verdict::Refused { why, next }] = &is(ProgramNow::Unclear("it is x".into()))[..] else {
        panic!()
    };
    insta::assert_snapshot!(format!("{why}; {}", next.as_deref().unwrap()), @"it is no longer what the run left, so it is left alone: it is x; put it right by hand: `--force` does not overwrite it either, as it could not be put back");
}
