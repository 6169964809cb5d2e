use super::*;
use crate::journal::test_events::{change, step};
use crate::model::{PlannedStep, Scope};
use crate::transport::Rejection;
use serde_json::json;

fn applied(args: Value) -> Result<Apply, String> {
    Apply::new(serde_json::from_value(args).unwrap())
}

fn manifest(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": {"a": "1"}})
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: kind.into(),
        resource: "x".into(),
        namespace: (kind != "Namespace").then(|| "n".into()),
        name: name.into(),
        uid: String::new(),
    }
}

fn absent(name: &str, tried: Tried) -> Found {
    Found {
        object: object("ConfigMap", name),
        now: None,
        tried,
    }
}

/// As the API server gives back what is made.
fn filled(name: &str) -> Value {
    let mut object = manifest(name);
    object["metadata"]["uid"] = json!("random");
    object["metadata"]["creationTimestamp"] = json!("now");
    object["immutable"] = json!(false);
    object
}

fn rejected(message: &str) -> Tried {
    Tried::Rejected(Rejection {
        message: message.into(),
        conflicts: vec![],
    })
}

fn decide(names: &[&str], seen: Vec<Found>, steps: &[PlannedStep]) -> Decision<Vec<Part>> {
    let manifests: Vec<Value> = names.iter().map(|name| manifest(name)).collect();
    let place = Place::for_test(&Scope::Run, &[]);
    let action = applied(json!({"manifests": manifests})).unwrap();
    action.decide(&seen, place, Prior { steps })
}

#[test]
fn manifests_name_objects_each_once_and_no_secret() {
    assert!(applied(json!({"manifest": manifest("a")})).is_ok());
    let with_status = |status: Value| {
        let mut manifest = manifest("a");
        manifest["status"] = status;
        applied(json!({"manifest": manifest}))
    };
    assert!(with_status(json!({})).is_ok());
    let error = with_status(json!({"phase": "Ready"})).err().unwrap();
    assert!(
        error.contains("`status` is written by controllers"),
        "{error}"
    );
    let mut secret = manifest("s");
    secret["kind"] = json!("Secret");
    for args in [
        json!({}),
        json!({"manifest": manifest("a"), "manifests": [manifest("b")]}),
        json!({"manifests": [manifest("a"), manifest("a")]}),
        json!({"manifest": secret}),
        json!({"manifest": {"kind": "x"}}),
        json!({"manifest": "text"}),
    ] {
        assert!(applied(args.clone()).is_err(), "{args}");
    }
}

/// Two dry runs give two UIDs: a saved plan holds neither.
#[test]
fn what_is_made_has_the_fields_of_its_manifest_alone() {
    let seen = vec![absent("a", Tried::Accepted(filled("a")))];
    let Decision::Change(parts) = decide(&["a"], seen, &[]) else {
        panic!()
    };
    let compiled = applied(json!({"manifest": manifest("a")}))
        .unwrap()
        .compile(parts);
    let UndoClass::BestEffort { lost } = &compiled.undo else {
        panic!()
    };
    assert_eq!(lost, "what others add to ConfigMap n/a goes with it");
    let [Effect::PutObject { before, after, .. }] = compiled.effects.as_slice() else {
        panic!()
    };
    assert_eq!((before, after.as_ref().unwrap()), (&None, &manifest("a")));
    assert_eq!(compiled.details[0].lines[0], "+ apiVersion: v1");
}

#[test]
fn what_is_there_is_changed_where_it_differs() {
    let now = filled("a");
    let mut after = filled("a");
    after["data"]["a"] = json!("2");
    let found = |tried: &Value| Found {
        object: ObjectRef {
            uid: "random".into(),
            ..object("ConfigMap", "a")
        },
        now: Some(now.clone()),
        tried: Tried::Accepted(tried.clone()),
    };
    let Decision::Change(parts) = decide(&["a"], vec![found(&after)], &[]) else {
        panic!()
    };
    assert!(matches!(&parts[..], [Part::Set(fields)] if fields.changes.len() == 1));
    let Decision::NoChange { why } = decide(&["a"], vec![found(&now)], &[]) else {
        panic!()
    };
    assert_eq!(why, "ConfigMap n/a is so already");
    let deleted = Effect::PutObject {
        object: object("ConfigMap", "a"),
        before: Some(json!({})),
        after: None,
        propagation: Propagation::Background,
    };
    let steps = [step("gone", Scope::Run, change(vec![deleted]))];
    let again = decide(&["a"], vec![found(&after)], &steps);
    assert!(matches!(again, Decision::Refuse { .. }));
}

#[test]
fn a_rejection_refuses_all_of_it_unless_its_namespace_is_yet_to_be_made() {
    let seen = || {
        vec![
            absent("a", Tried::Accepted(filled("a"))),
            absent("b", rejected("namespaces \"n\" not found")),
        ]
    };
    let Decision::Refuse { why, .. } = decide(&["a", "b"], seen(), &[]) else {
        panic!()
    };
    assert_eq!(
        why,
        "ConfigMap n/b: the API server would not take it: namespaces \"n\" not found"
    );
    let namespace = Effect::PutObject {
        object: object("Namespace", "n"),
        before: None,
        after: Some(json!({})),
        propagation: Propagation::Background,
    };
    let steps = [step("room", Scope::Run, change(vec![namespace]))];
    let late = decide(&["a", "b"], seen(), &steps);
    let Decision::Late { why } = &late else {
        panic!()
    };
    assert_eq!(
        why,
        "what the API server makes of ConfigMap n/b is not known before its namespace is there"
    );
    // It is not made of its manifest alone, but decided once the namespace is there.
    let action = applied(json!({"manifest": manifest("b")})).unwrap();
    let verdict = crate::actions::verdict(&action, late, &mut Blobs::default());
    let planned = step("b", Scope::Run, verdict);
    assert!(planned.is_late() && !planned.verdict.changes());
}

/// When its turn came, the namespace would not be there either.
#[test]
fn a_namespace_is_not_made_by_the_step_that_fills_it() {
    let room = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let action = applied(json!({"manifests": [room, manifest("a")]})).unwrap();
    let seen = vec![
        Found {
            object: object("Namespace", "n"),
            now: None,
            tried: Tried::Accepted(room),
        },
        absent("a", rejected("namespaces \"n\" not found")),
    ];
    let place = Place::for_test(&Scope::Run, &[]);
    let Decision::Refuse { why, next } = action.decide(&seen, place, Prior { steps: &[] }) else {
        panic!()
    };
    assert_eq!(
        why,
        "ConfigMap n/a cannot be tried before its namespace is there"
    );
    assert!(next.is_some());
}

#[test]
fn what_others_put_things_into_does_not_go_alone() {
    let parts = vec![Part::Make {
        object: object("Namespace", "n"),
        after: json!({}),
    }];
    let compiled = applied(json!({"manifest": manifest("a")}))
        .unwrap()
        .compile(parts);
    let UndoClass::BestEffort { lost } = &compiled.undo else {
        panic!()
    };
    assert!(lost.ends_with("and with Namespace n whatever they have put there"));
}
