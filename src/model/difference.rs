//! The difference between two states of an object, field by field.

use super::fields::{FieldChange, FieldPath, Segment};
use super::object::named_names;
use serde_json::Value;

/// The changes that turn `before` into `after`, each at the smallest field that differs. A list is
/// one field, unless it has the same names in the same order in both. Labels and annotations are one
/// field each: the API server does not keep a map of them that is empty.
#[must_use]
pub fn difference(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk(before, after, FieldPath::root(), &mut changes);
    let version = before.get("apiVersion").and_then(Value::as_str);
    let has_pods = version.is_some_and(|v| ["v1", "apps/v1", "batch/v1"].contains(&v));
    changes
        .into_iter()
        .flat_map(|change| match is_metadata(&change.path, has_pods) {
            true => entries(change),
            false => vec![change],
        })
        .collect()
}

/// Whether it is where an object, or the template of its pods, has its labels or annotations.
fn is_metadata(path: &FieldPath, has_pods: bool) -> bool {
    let keys: Option<Vec<&str>> = path
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Item { .. } => None,
        })
        .collect();
    match keys.as_deref() {
        Some(["metadata", map]) => ["labels", "annotations"].contains(map),
        Some(["spec", "template", "metadata", map]) => {
            has_pods && ["labels", "annotations"].contains(map)
        }
        _ => false,
    }
}

/// Each entry of a map that comes or goes as a whole.
fn entries(change: FieldChange) -> Vec<FieldChange> {
    let (map, comes) = match (&change.before, &change.after) {
        (None, Some(Value::Object(map))) => (map, true),
        (Some(Value::Object(map)), None) => (map, false),
        _ => return vec![change],
    };
    let entry = |(key, value): (&String, &Value)| FieldChange {
        path: change.path.clone().key(key),
        before: (!comes).then(|| value.clone()),
        after: comes.then(|| value.clone()),
    };
    map.iter().map(entry).collect()
}

fn walk(before: &Value, after: &Value, at: FieldPath, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, before) in old {
                let at = at.clone().key(key);
                match new.get(key) {
                    Some(after) => walk(before, after, at, changes),
                    None => changes.push(FieldChange {
                        path: at,
                        before: Some(before.clone()),
                        after: None,
                    }),
                }
            }
            for (key, after) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push(FieldChange {
                    path: at.clone().key(key),
                    before: None,
                    after: Some(after.clone()),
                });
            }
        }
        (Value::Array(old), Value::Array(new)) => match (named_names(old), named_names(new)) {
            (Some(names), Some(same)) if names == same => {
                for ((before, after), name) in old.iter().zip(new).zip(names) {
                    walk(before, after, at.clone().item("name", name), changes);
                }
            }
            _ => changes.push(whole(before, after, at)),
        },
        _ => changes.push(whole(before, after, at)),
    }
}

fn whole(before: &Value, after: &Value, path: FieldPath) -> FieldChange {
    FieldChange {
        path,
        before: Some(before.clone()),
        after: Some(after.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::json_patch;
    use super::super::fields::tests::apply;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    fn shown(before: &Value, after: &Value) -> Vec<String> {
        let text = |value: &Option<Value>| {
            let value = value.as_ref();
            value.map_or("-".to_owned(), Value::to_string)
        };
        difference(before, after)
            .iter()
            .map(|c| format!("{} {} {}", c.path, text(&c.before), text(&c.after)))
            .collect()
    }

    #[test]
    fn the_smallest_fields_that_differ_are_named() {
        let before = json!({"spec": {"replicas": 1, "old": true, "same": {"x": 1},
            "containers": [{"name": "a", "image": "1"}, {"name": "b"}], "args": ["x"]}});
        let after = json!({"metadata": {"annotations": {"k": "v"}}, "spec": {"replicas": 2, "same": {"x": 1},
            "containers": [{"name": "a", "image": "2"}, {"name": "b"}], "args": ["x", "y"]}});
        insta::assert_snapshot!(shown(&before, &after).join("\n"), @r#"
        spec.args ["x"] ["x","y"]
        spec.containers[name=a].image "1" "2"
        spec.old true -
        spec.replicas 1 2
        metadata - {"annotations":{"k":"v"}}
        "#);
        assert!(difference(&before, &before).is_empty());
    }

    #[test]
    fn a_list_whose_names_are_not_the_same_is_one_field() {
        for (before, after) in [
            (json!([{"name": "a"}]), json!([{"name": "b"}])),
            (
                json!([{"name": "a"}, {"name": "b"}]),
                json!([{"name": "b"}, {"name": "a"}]),
            ),
            (
                json!([{"name": "a"}]),
                json!([{"name": "a"}, {"name": "b"}]),
            ),
            (
                json!([{"name": "a", "x": 1}, {"name": "a"}]),
                json!([{"name": "a"}, {"name": "a"}]),
            ),
            (json!([{"name": 1}]), json!([{"name": 2}])),
        ] {
            let changes = difference(&json!({"l": before}), &json!({"l": after}));
            assert_eq!(changes.len(), 1);
            assert_eq!(changes[0].path.to_string(), "l");
        }
    }

    #[test]
    fn labels_and_annotations_come_and_go_one_by_one() {
        let of = |version: &str, labels: Value| json!({"apiVersion": version, "metadata": {"labels": labels}, "spec": {"template": {"metadata": {"labels": labels}}}});
        let without = |version: &str| json!({"apiVersion": version, "metadata": {}, "spec": {"template": {"metadata": {}}}});
        let two = json!({"a": "1", "b": "2"});
        insta::assert_snapshot!(shown(&without("apps/v1"), &of("apps/v1", two.clone())).join("\n"), @r#"
        metadata.labels.a - "1"
        metadata.labels.b - "2"
        spec.template.metadata.labels.a - "1"
        spec.template.metadata.labels.b - "2"
        "#);
        insta::assert_snapshot!(shown(&of("example.com/v1", two.clone()), &without("example.com/v1")).join("\n"), @r#"
        metadata.labels.a "1" -
        metadata.labels.b "2" -
        spec.template.metadata.labels {"a":"1","b":"2"} -
        "#);
        // There and back: what is left is an empty map, which the API server drops.
        let before = without("apps/v1");
        let changes = difference(&before, &of("apps/v1", two.clone()));
        let changed = apply(&before, &json_patch(&before, &changes).unwrap());
        assert_eq!(changed, of("apps/v1", two));
        let back: Vec<FieldChange> = changes.iter().rev().map(FieldChange::inverse).collect();
        let back = apply(&changed, &json_patch(&changed, &back).unwrap());
        assert_eq!(back, of("apps/v1", json!({})));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3i64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = "[a-c~/.]{1,2}";
            let map = proptest::collection::btree_map(key, inner.clone(), 0..4);
            let named = proptest::collection::vec(("[a-c]", map.clone()), 0..4);
            prop_oneof![
                map.prop_map(|m| Value::Object(m.into_iter().collect())),
                proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
                named.prop_map(|items| Value::Array(
                    items
                        .into_iter()
                        .map(|(name, map)| {
                            let mut map: Map<String, Value> = map.into_iter().collect();
                            map.insert("name".to_owned(), name.into());
                            Value::Object(map)
                        })
                        .collect()
                )),
            ]
        })
    }

    fn object(spec: Option<Value>, data: Option<Value>) -> Value {
        let mut object = json!({"metadata": {"uid": "u", "resourceVersion": "1"}});
        for (key, value) in [("spec", spec), ("data", data)] {
            if let Some(value) = value {
                object[key] = value;
            }
        }
        object
    }

    proptest! {
        /// Whatever an object is turned into: the patch does it, and its inverse is where we were.
        #[test]
        fn there_and_back_is_identity(
            spec in proptest::option::of(tree()), data in proptest::option::of(tree()),
            other_spec in proptest::option::of(tree()), other_data in proptest::option::of(tree()),
        ) {
            let (before, after) = (object(spec, data), object(other_spec, other_data));
            let changes = difference(&before, &after);
            let changed = apply(&before, &json_patch(&before, &changes).unwrap());
            prop_assert_eq!(&changed, &after);
            let back: Vec<FieldChange> = changes.iter().rev().map(FieldChange::inverse).collect();
            let back = apply(&changed, &json_patch(&changed, &back).unwrap());
            prop_assert_eq!(back.to_string(), before.to_string());
        }
    }
}
