//! Objects of a cluster as people write them: without what the API server keeps of its own.

use super::fields::FieldPath;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What the API server alone writes into `metadata`.
const OWN: [&str; 8] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The object without `status` and what the API server writes into `metadata`.
#[must_use]
pub fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| !OWN.contains(&key.as_str()));
        }
    }
    object
}

/// What the API server would take again. A Job's selector and labels are given to it by its UID.
#[must_use]
pub fn restorable(mut state: Value) -> Value {
    let is = |at: &str, text: &str| state.pointer(at).and_then(Value::as_str) == Some(text);
    let manual = state.pointer("/spec/manualSelector") == Some(&Value::Bool(true));
    if is("/kind", "Job") && !manual {
        if let Some(spec) = state.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("selector");
        }
        for at in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = state.pointer_mut(at).and_then(Value::as_object_mut) {
                labels.remove("controller-uid");
                labels.remove("batch.kubernetes.io/controller-uid");
            }
        }
    }
    state
}

/// Kinds whose content cannot come back once they are deleted. A Pod only where it has a controller.
const LOST: [&str; 6] = [
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "Node",
    "Pod",
];

/// Whether an image says only which object it is of, as its content could not come back.
pub(crate) fn tells_only_which(image: &Value) -> bool {
    let only = |value: Option<&Value>, keys: &[&str]| {
        value
            .and_then(Value::as_object)
            .is_some_and(|map| map.keys().all(|key| keys.contains(&key.as_str())))
    };
    let kind = image.get("kind").and_then(Value::as_str);
    kind.is_some_and(|kind| LOST.contains(&kind))
        && only(Some(image), &["apiVersion", "kind", "metadata"])
        && only(image.get("metadata"), &["name", "namespace"])
}

/// The fields that `manifest` names, with the values that they have in `object`.
#[must_use]
pub fn named_by(manifest: &Value, object: &Value) -> Value {
    match (manifest, object) {
        (Value::Object(named), Value::Object(object)) => Value::Object(
            named
                .iter()
                .filter_map(|(key, named)| {
                    let value = named_by(named, object.get(key)?);
                    Some((key.clone(), value))
                })
                .collect::<Map<String, Value>>(),
        ),
        (Value::Array(named), Value::Array(items)) => {
            match (named_names(named), named_names(items)) {
                (Some(names), Some(_)) => Value::Array(
                    named
                        .iter()
                        .zip(names)
                        .filter_map(|(named, name)| Some(named_by(named, item(items, name)?)))
                        .collect(),
                ),
                _ if named.len() == items.len() => {
                    let both = named.iter().zip(items);
                    Value::Array(both.map(|(named, item)| named_by(named, item)).collect())
                }
                _ => object.clone(),
            }
        }
        _ => object.clone(),
    }
}

/// Where `object` is not as `wanted` has it; what `wanted` does not name is not looked at.
#[must_use]
pub fn differing(object: &Value, wanted: &Value) -> Vec<FieldPath> {
    let mut found = Vec::new();
    compare(Some(object), wanted, FieldPath::root(), &mut found);
    found
}

fn compare(now: Option<&Value>, wanted: &Value, at: FieldPath, found: &mut Vec<FieldPath>) {
    match (now, wanted) {
        (Some(Value::Object(now)), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                compare(now.get(key), wanted, at.clone().key(key), found);
            }
        }
        (Some(Value::Array(now)), Value::Array(wanted)) => {
            match (named_names(now), named_names(wanted)) {
                (Some(_), Some(names)) => {
                    for (wanted, name) in wanted.iter().zip(names) {
                        let at = at.clone().item("name", name);
                        compare(item(now, name), wanted, at, found);
                    }
                }
                _ => {
                    let same = |(now, wanted): (&Value, &Value)| differing(now, wanted).is_empty();
                    if now.len() != wanted.len() || !now.iter().zip(wanted).all(same) {
                        found.push(at);
                    }
                }
            }
        }
        (now, wanted) if now == Some(wanted) => {}
        _ => found.push(at),
    }
}

/// The names of a list's items, where each has one of its own.
pub(crate) fn named_names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Option<Vec<&str>> = items
        .iter()
        .map(|item| item.get("name").and_then(Value::as_str))
        .collect();
    let names = names?;
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    (!names.is_empty() && unique.len() == names.len()).then_some(names)
}

fn item<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    let is = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(name);
    items.iter().find(is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_keeps_of_its_own_is_left_out() {
        let object = json!({
            "metadata": {"name": "x", "uid": "u", "resourceVersion": "1", "generation": 2,
                "managedFields": [], "creationTimestamp": "t", "ownerReferences": [{"uid": "o"}]},
            "spec": {"a": 1},
            "status": {"b": 2},
        });
        assert_eq!(
            bare(&object),
            json!({"metadata": {"name": "x", "ownerReferences": [{"uid": "o"}]}, "spec": {"a": 1}})
        );
        assert_eq!(bare(&json!({})), json!({}));
    }

    #[test]
    fn of_what_the_server_fills_in_only_what_the_manifest_names_is_kept() {
        let manifest = json!({
            "metadata": {"name": "x", "creationTimestamp": null},
            "spec": {
                "cpu": "1000m",
                "containers": [{"name": "a", "image": "i"}],
                "ports": [{"port": 80}],
                "dropped": false,
            },
        });
        let made = json!({
            "metadata": {"name": "x"},
            "spec": {
                "cpu": "1",
                "containers": [{"name": "sidecar"}, {"name": "a", "image": "i", "policy": "Always"}],
                "ports": [{"port": 80, "protocol": "TCP"}],
                "clusterIP": "10.0.0.1",
            },
        });
        let named = named_by(&manifest, &made);
        assert_eq!(
            named,
            json!({
                "metadata": {"name": "x"},
                "spec": {"cpu": "1", "containers": [{"name": "a", "image": "i"}], "ports": [{"port": 80}]},
            })
        );
        assert!(differing(&made, &named).is_empty());
    }

    #[test]
    fn what_differs_is_named() {
        let wanted = json!({"a": {"b": 1}, "list": [{"name": "x", "v": 1}], "plain": [1, 2]});
        let shown = |now: Value| {
            let found = differing(&now, &wanted);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(
                json!({"a": {"b": 1, "c": 2}, "list": [{"name": "y"}, {"name": "x", "v": 1}], "plain": [1, 2]})
            ),
            Vec::<String>::new()
        );
        assert_eq!(
            shown(json!({"a": {}, "list": [{"name": "x", "v": 2}], "plain": [2, 1]})),
            ["a.b", "list[name=x].v", "plain"]
        );
        assert_eq!(
            shown(json!({"list": [{"name": "y"}]})),
            ["a", "list[name=x]", "plain"]
        );
    }

    #[test]
    fn a_job_comes_back_without_what_its_uid_gave_it() {
        let labels =
            json!({"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "a": "b"});
        let job = json!({"kind": "Job", "metadata": {"name": "j", "labels": labels},
            "spec": {"selector": {}, "template": {"metadata": {"labels": labels}}}});
        assert_eq!(
            restorable(job),
            json!({"kind": "Job", "metadata": {"name": "j", "labels": {"a": "b"}},
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})
        );
    }
}
