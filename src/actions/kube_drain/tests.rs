use super::*;
use crate::drain::{Budget, Daemons, Pod};
use crate::journal::test_events::{change, step};
use crate::model::{Scope, Target};
use serde_json::json;

fn action(args: Value) -> Drain {
    Drain::new(serde_json::from_value(args).unwrap()).unwrap()
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]},
        "spec": {"nodeName": "node02"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn node(name: &str, control_plane: bool, ready: bool) -> DrainNode {
    DrainNode {
        name: name.to_owned(),
        control_plane,
        cordoned: false,
        ready,
        silent: !ready,
        since: None,
    }
}

fn seen(action: &Drain, pods: &[Value], unschedulable: Option<Value>, budgets: &[Budget]) -> Seen {
    let pods: Vec<Pod> = pods.iter().filter_map(Pod::new).collect();
    let daemons = Daemons::default();
    Seen {
        node: ObjectRef::node_for_test("node02"),
        unschedulable,
        nodes: vec![node("node02", false, true)],
        preview: Preview::of(
            pods,
            &action.options,
            (&daemons, budgets),
            Timestamp::UNIX_EPOCH,
        ),
    }
}

fn decide(action: &Drain, seen: &Seen) -> Decision<Change> {
    let scope = Scope::Target(Target::node("node02", "u"));
    action.decide(seen, Place::for_test(&scope, &[]), Prior { steps: &[] })
}

fn compiled(action: &Drain, seen: &Seen) -> Compiled {
    match decide(action, seen) {
        Decision::Change(change) => action.compile(change),
        other => panic!("{other:?}"),
    }
}

fn cordoned() -> Option<Value> {
    Some(json!(true))
}

fn budget(allowed: i64) -> Budget {
    Budget::new(&json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 3},
    }))
    .unwrap()
}

#[test]
fn a_node_is_cordoned_and_then_its_pods_are_evicted() {
    let drain = action(json!({"grace_period": "7s"}));
    let compiled = compiled(&drain, &seen(&drain, &[pod("b"), pod("a")], None, &[]));
    let [
        Effect::SetFields { fields, .. },
        Effect::EvictPod { pod, grace, .. },
        Effect::EvictPod { .. },
    ] = &compiled.effects[..]
    else {
        panic!("{:?}", compiled.effects)
    };
    assert_eq!(
        (fields[0].before.clone(), fields[0].after.clone()),
        (None, cordoned())
    );
    assert_eq!((pod.name.as_str(), *grace), ("a", Some(7)));
    assert!(
        matches!(&compiled.undo, UndoClass::BestEffort { lost } if lost.contains("do not come back"))
    );
}

#[test]
fn what_was_cordoned_before_stays_so() {
    let drain = action(json!({}));
    let compiled = compiled(&drain, &seen(&drain, &[pod("a")], cordoned(), &[]));
    assert!(matches!(
        &compiled.effects[..],
        [Effect::EvictPod { grace: None, .. }]
    ));
    assert!(matches!(&compiled.undo, UndoClass::None { why } if why.contains("stays so")));
    // Without a pod, the cordon alone can be taken back whole.
    let empty = seen(&drain, &[], None, &[]);
    let undo = super::tests::compiled(&drain, &empty).undo;
    assert!(matches!(undo, UndoClass::BestEffort { lost } if lost.contains("come meanwhile")));
}

#[test]
fn what_an_earlier_step_cordons_its_own_undo_gives_back() {
    let drain = action(json!({}));
    let seen = seen(&drain, &[pod("a")], None, &[]);
    let cordon = Effect::SetFields {
        object: seen.node.clone(),
        fields: vec![FieldChange {
            path: FieldPath::root().key("spec").key("unschedulable"),
            before: None,
            after: cordoned(),
        }],
    };
    let scope = Scope::Target(Target::node("node02", "u"));
    let earlier = [step("cordon", scope.clone(), change(vec![cordon]))];
    let place = Place::for_test(&scope, &[]);
    let Decision::Change(change) = drain.decide(&seen, place, Prior { steps: &earlier }) else {
        panic!()
    };
    let compiled = drain.compile(change);
    assert!(matches!(&compiled.effects[..], [Effect::EvictPod { .. }]));
    let UndoClass::None { why } = &compiled.undo else {
        panic!("{:?}", compiled.undo)
    };
    assert!(
        why.contains("do not come back") && !why.contains("stays so"),
        "{why}"
    );
}

#[test]
fn where_nothing_has_to_leave() {
    let drain = action(json!({}));
    let nothing = decide(&drain, &seen(&drain, &[], cordoned(), &[]));
    assert!(matches!(nothing, Decision::NoChange { .. }), "{nothing:?}");
    let mut ending = pod("a");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let going = seen(&drain, &[ending], cordoned(), &[]);
    // What comes meanwhile is evicted, and who keeps them is told.
    let compiled = super::tests::compiled(&drain, &going);
    assert!(compiled.effects.is_empty());
    assert!(
        compiled
            .predicted
            .unwrap()
            .contains("being deleted already")
    );
    let waits = Action::verify(&drain, &going, Prior { steps: &[] }, &[]);
    assert_eq!(waits, Settled::NotYet("still there: shop/a".to_owned()));
    let gone = Action::verify(
        &drain,
        &seen(&drain, &[], cordoned(), &[]),
        Prior { steps: &[] },
        &[],
    );
    assert_eq!(gone, Settled::Yes);
}

#[test]
fn what_is_in_the_way_refuses_it_with_what_would_allow_it() {
    let drain = action(json!({}));
    let mut alone = pod("a");
    alone["metadata"]["ownerReferences"] = json!([]);
    let Decision::Refuse { why, next } = decide(&drain, &seen(&drain, &[alone.clone()], None, &[]))
    else {
        panic!()
    };
    assert!(why.contains("shop/a"), "{why}");
    assert!(next.unwrap().contains("`force: true`"));
    let forced = action(json!({"force": true}));
    let compiled = compiled(&forced, &seen(&forced, &[alone], None, &[]));
    let losses: Vec<&str> = compiled.effects.iter().flat_map(Effect::loses).collect();
    assert_eq!(losses, ["no_controller"]);
}

#[test]
fn budgets_that_are_not_waited_for_refuse_it_before_anything_is_done() {
    let drain = |on_blocked: &str| action(json!({"on_blocked": on_blocked}));
    let refused = |drain: &Drain, budgets: &[Budget]| {
        let seen = seen(drain, &[pod("a"), pod("b")], None, budgets);
        matches!(decide(drain, &seen), Decision::Refuse { .. })
    };
    assert!(refused(&drain("fail"), &[budget(1)]));
    assert!(!refused(&drain("fail"), &[budget(2)]));
    assert!(!refused(&drain("wait"), &[budget(0)]));
    assert!(!refused(&drain("force"), &[budget(0)]));
    // No eviction ever takes away a pod that has two.
    assert!(refused(&drain("wait"), &[budget(2), budget(2)]));
    assert!(!refused(&drain("force"), &[budget(2), budget(2)]));
    let held = seen(&drain("wait"), &[pod("a")], None, &[budget(0)]);
    let notes = drain("wait").notes(&held, &decide(&drain("wait"), &held));
    assert!(
        notes[0].contains("PodDisruptionBudget shop/web"),
        "{notes:?}"
    );
}

#[test]
fn deleting_over_budgets_is_a_high_risk() {
    assert_eq!(
        Action::risk(&action(json!({"on_blocked": "force"}))),
        Some(Risk::High)
    );
    assert_eq!(Action::risk(&action(json!({"on_blocked": "wait"}))), None);
}

#[test]
fn one_node_of_the_control_plane_in_a_run_and_none_while_another_is_away() {
    let drain = action(json!({}));
    let scope = Scope::Target(Target::node("node02", "u"));
    let decide = |nodes: Vec<DrainNode>, targets: &[&str]| {
        let targets: Vec<Target> = targets
            .iter()
            .map(|name| Target::node(name, name))
            .collect();
        let seen = Seen {
            nodes,
            ..seen(&drain, &[], None, &[])
        };
        let place = Place::for_test(&scope, &targets);
        match drain.decide(&seen, place, Prior { steps: &[] }) {
            Decision::Refuse { why, .. } => Some(why),
            _ => None,
        }
    };
    let plane = |ready: bool| vec![node("node02", true, true), node("node03", true, ready)];
    assert_eq!(decide(plane(true), &["node02"]), None);
    let two = decide(plane(true), &["node02", "node03"]).unwrap();
    assert!(
        two.starts_with("node02, node03 are nodes of the control plane"),
        "{two}"
    );
    let away = decide(plane(false), &["node02"]).unwrap();
    assert!(away.ends_with("is not Ready or cordoned: node03"), "{away}");
    let mut cordoned = plane(true);
    cordoned[1].cordoned = true;
    assert!(decide(cordoned, &["node02"]).is_some());
    // Workers are as many as one likes, whatever the control plane does.
    let workers = vec![node("node02", false, true), node("node03", true, false)];
    assert_eq!(decide(workers, &["node02", "node03"]), None);
}

#[test]
fn pods_of_nodes_that_are_drained_before_may_come_here() {
    let drain = action(json!({}));
    let evicts = Effect::EvictPod {
        pod: ObjectRef::for_test("v1", "Pod", "shop", "x"),
        node: "node01".into(),
        grace: None,
        deletes: false,
        owner: None,
        loses: vec![],
    };
    let earlier = [step("drain", Scope::Run, change(vec![evicts]))];
    let scope = Scope::Target(Target::node("node02", "u"));
    let seen = seen(&drain, &[], cordoned(), &[]);
    let place = Place::for_test(&scope, &[]);
    let Decision::Change(change) = drain.decide(&seen, place, Prior { steps: &earlier }) else {
        panic!()
    };
    assert!(drain.compile(change).predicted.unwrap().contains("node01"));
}

#[test]
fn what_comes_back_and_a_node_that_is_down_are_said() {
    let drain = action(json!({}));
    let mut tolerant = pod("a");
    tolerant["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let mut seen = seen(&drain, &[tolerant, pod("b")], None, &[]);
    seen.nodes = vec![node("node02", false, false)];
    let notes = drain.notes(&seen, &Decision::Foreseen);
    assert_eq!(notes.len(), 2);
    assert!(
        notes[0].contains("shop/a,") && notes[1].contains("node02 is not Ready"),
        "{notes:?}"
    );
}

#[test]
fn wrong_arguments() {
    for args in [
        json!({"grace_period": "soon"}),
        json!({"within": "x"}),
        json!({"skip_terminating_longer_than": "1"}),
        json!({"selector": "a b"}),
    ] {
        assert!(
            Drain::new(serde_json::from_value(args.clone()).unwrap()).is_err(),
            "{args}"
        );
    }
    let place = Scope::Target(Target::node("node02", "u"));
    let eviction =
        |args: Value| Action::eviction(&action(args), Place::for_test(&place, &[])).unwrap();
    assert_eq!(eviction(json!({})).within, Some(WITHIN));
    assert_eq!(eviction(json!({"within": "0s"})).within, None);
    assert_eq!(eviction(json!({})).pods, PodsOf::Node("node02".to_owned()));
}
