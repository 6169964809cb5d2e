//! The fields of an object that a step owns: where they are, what they were, what they become.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// One part of the way to a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Key(String),
    /// The item of a list whose field `by` is `is`: positions move when others edit the list.
    Item {
        by: String,
        is: String,
    },
}

/// The way from an object to one of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    pub fn root() -> Self {
        Self(Vec::new())
    }

    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Segment::Key(key.to_owned()));
        self
    }

    #[must_use]
    pub fn item(mut self, by: &str, is: &str) -> Self {
        self.0.push(Segment::Item {
            by: by.to_owned(),
            is: is.to_owned(),
        });
        self
    }

    pub fn annotation(name: &str) -> Self {
        Self::root().key("metadata").key("annotations").key(name)
    }

    /// Where an environment variable of a workload's container stands, whole: its value or where
    /// the value comes from.
    pub fn container_env(container: &str, variable: &str) -> Self {
        Self::root()
            .key("spec")
            .key("template")
            .key("spec")
            .key("containers")
            .item("name", container)
            .key("env")
            .item("name", variable)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The field's present value.
    pub fn read<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |at, segment| match segment {
            Segment::Key(key) => at.get(key),
            Segment::Item { by, is } => at
                .as_array()?
                .iter()
                .find(|item| item.get(by).and_then(Value::as_str) == Some(is)),
        })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if n == 0 => f.write_str(key)?,
                Segment::Key(key) if key.contains(['.', '/']) => write!(f, "[{key}]")?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Item { by, is } => write!(f, "[{by}={is}]")?,
            }
        }
        Ok(())
    }
}

/// A field with its before-image and what it becomes; `None` is absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: FieldPath,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl FieldChange {
    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            path: self.path.clone(),
            before: self.after.clone(),
            after: self.before.clone(),
        }
    }
}

/// Why no patch could be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    #[error("{path} is {now} and not {before}, as it was when this was planned")]
    Drift {
        path: String,
        now: String,
        before: String,
    },
    #[error("there is no {0} in which the field could stand")]
    NoPlace(String),
}

/// A JSON Patch (RFC 6902) that makes the changes on `object` as it was just read, and fails at the
/// API server if anything it rests on is no longer so: UID and resourceVersion are tested, and each
/// field's before-image.
pub fn json_patch(object: &Value, changes: &[FieldChange]) -> Result<Vec<Value>, PatchError> {
    patched(object, changes).map(|(patch, _)| patch)
}

/// The object as it is once the changes are made.
pub fn with_changes(object: &Value, changes: &[FieldChange]) -> Result<Value, PatchError> {
    patched(object, changes).map(|(_, changed)| changed)
}

/// The patch, and the object after it.
fn patched(object: &Value, changes: &[FieldChange]) -> Result<(Vec<Value>, Value), PatchError> {
    let mut patch = Vec::new();
    for name in ["uid", "resourceVersion"] {
        if let Some(value) = object.pointer(&format!("/metadata/{name}")) {
            patch.push(json!({"op": "test", "path": format!("/metadata/{name}"), "value": value}));
        }
    }
    // Later changes must see the places that earlier ones made.
    let mut scratch = object.clone();
    for change in changes {
        let now = change.path.read(&scratch);
        if now != change.before.as_ref() {
            return Err(PatchError::Drift {
                path: change.path.to_string(),
                now: shown(now),
                before: shown(change.before.as_ref()),
            });
        }
        match (&change.before, &change.after) {
            (None, None) => {}
            (Some(before), after) => {
                let at = pointer(&scratch, change.path.segments())
                    .ok_or_else(|| PatchError::NoPlace(change.path.to_string()))?;
                patch.push(json!({"op": "test", "path": at, "value": before}));
                match after {
                    Some(after) => {
                        patch.push(json!({"op": "replace", "path": at, "value": after}));
                        if let Some(place) = scratch.pointer_mut(&at) {
                            *place = after.clone();
                        }
                    }
                    None => {
                        patch.push(json!({"op": "remove", "path": at}));
                        remove(&mut scratch, &at);
                    }
                }
            }
            (None, Some(after)) => add(&mut scratch, &change.path, after, &mut patch)?,
        }
    }
    Ok((patch, scratch))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

/// The JSON Pointer of an existing field.
fn pointer(object: &Value, segments: &[Segment]) -> Option<String> {
    let mut at = object;
    let mut pointer = String::new();
    for segment in segments {
        let token = match segment {
            Segment::Key(key) => {
                at = at.get(key)?;
                key.replace('~', "~0").replace('/', "~1")
            }
            Segment::Item { by, is } => {
                let items = at.as_array()?;
                let index = items
                    .iter()
                    .position(|item| item.get(by).and_then(Value::as_str) == Some(is))?;
                at = items.get(index)?;
                index.to_string()
            }
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    Some(pointer)
}

/// Adds an absent field; the map or list that holds it is made where it is missing, nothing above.
fn add(
    scratch: &mut Value,
    path: &FieldPath,
    value: &Value,
    patch: &mut Vec<Value>,
) -> Result<(), PatchError> {
    let no_place = || PatchError::NoPlace(path.to_string());
    let (last, parents) = path.segments().split_last().ok_or_else(no_place)?;
    let parent = match pointer(scratch, parents) {
        Some(parent) => parent,
        None => {
            let (holder, above) = parents.split_last().ok_or_else(no_place)?;
            let above = pointer(scratch, above).ok_or_else(no_place)?;
            let Segment::Key(holder) = holder else {
                return Err(no_place());
            };
            let empty = match last {
                Segment::Key(_) => json!({}),
                Segment::Item { .. } => json!([]),
            };
            let at = format!("{above}/{}", holder.replace('~', "~0").replace('/', "~1"));
            patch.push(json!({"op": "add", "path": at, "value": empty}));
            scratch
                .pointer_mut(&above)
                .and_then(Value::as_object_mut)
                .ok_or_else(no_place)?
                .insert(holder.clone(), empty);
            at
        }
    };
    let place = scratch.pointer_mut(&parent).ok_or_else(no_place)?;
    match (last, place) {
        (Segment::Key(key), Value::Object(map)) => {
            map.insert(key.clone(), value.clone());
            let key = key.replace('~', "~0").replace('/', "~1");
            patch.push(json!({"op": "add", "path": format!("{parent}/{key}"), "value": value}));
        }
        (Segment::Item { .. }, Value::Array(items)) => {
            items.push(value.clone());
            patch.push(json!({"op": "add", "path": format!("{parent}/-"), "value": value}));
        }
        _ => return Err(no_place()),
    }
    Ok(())
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            let _: Option<Value> = Map::remove(map, &last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn daemonset(env: Value) -> Value {
        json!({
            "metadata": {"uid": "u", "resourceVersion": "7"},
            "spec": {"template": {"spec": {"containers": [
                {"name": "other"},
                {"name": "calico-node", "env": env},
            ]}}},
        })
    }

    fn method() -> FieldPath {
        FieldPath::container_env("calico-node", "IP_AUTODETECTION_METHOD")
    }

    /// Applies a patch as the API server would: tests must hold.
    pub(in crate::model) fn apply(object: &Value, patch: &[Value]) -> Value {
        let mut object = object.clone();
        for op in patch {
            let path = op["path"].as_str().unwrap();
            let (parent, last) = path.rsplit_once('/').unwrap();
            let key = last.replace("~1", "/").replace("~0", "~");
            match op["op"].as_str().unwrap() {
                "test" => assert_eq!(object.pointer(path), Some(&op["value"]), "{path}"),
                "replace" => *object.pointer_mut(path).unwrap() = op["value"].clone(),
                "remove" => remove(&mut object, path),
                "add" => match object.pointer_mut(parent).unwrap() {
                    Value::Object(map) => {
                        map.insert(key, op["value"].clone());
                    }
                    Value::Array(items) => {
                        assert_eq!(last, "-");
                        items.push(op["value"].clone());
                    }
                    other => panic!("add into {other}"),
                },
                other => panic!("{other}"),
            }
        }
        object
    }

    #[test]
    fn an_env_entry_is_replaced_in_its_place() {
        let object = daemonset(json!([
            {"name": "IP", "value": "autodetect"},
            {"name": "IP_AUTODETECTION_METHOD", "value": "interface=.*"},
        ]));
        let change = FieldChange {
            path: method(),
            before: Some(json!({"name": "IP_AUTODETECTION_METHOD", "value": "interface=.*"})),
            after: Some(
                json!({"name": "IP_AUTODETECTION_METHOD", "value": "kubernetes-internal-ip"}),
            ),
        };
        let patch = json_patch(&object, std::slice::from_ref(&change)).unwrap();
        assert_eq!(
            patch[0],
            json!({"op": "test", "path": "/metadata/uid", "value": "u"})
        );
        assert_eq!(
            patch[1],
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"})
        );
        let changed = apply(&object, &patch);
        assert_eq!(method().read(&changed), change.after.as_ref());
        let back = json_patch(&changed, &[change.inverse()]).unwrap();
        assert_eq!(apply(&changed, &back), object);
    }

    #[test]
    fn an_absent_entry_is_appended_and_taken_away_again() {
        let object = daemonset(json!([{"name": "IP", "value": "autodetect"}]));
        let change = FieldChange {
            path: method(),
            before: None,
            after: Some(json!({"name": "IP_AUTODETECTION_METHOD", "value": "x"})),
        };
        let patch = json_patch(&object, std::slice::from_ref(&change)).unwrap();
        let changed = apply(&object, &patch);
        assert_eq!(method().read(&changed), change.after.as_ref());
        assert_eq!(
            apply(
                &changed,
                &json_patch(&changed, &[change.inverse()]).unwrap()
            ),
            object
        );
    }

    #[test]
    fn a_missing_map_is_made() {
        let object = json!({"metadata": {"uid": "u", "resourceVersion": "1"}});
        let change = FieldChange {
            path: FieldPath::annotation("projectcalico.org/IPv4Address"),
            before: None,
            after: Some(json!("10.0.0.5/24")),
        };
        let changed = apply(
            &object,
            &json_patch(&object, std::slice::from_ref(&change)).unwrap(),
        );
        assert_eq!(change.path.read(&changed), change.after.as_ref());
    }

    #[test]
    fn a_before_image_that_no_longer_holds_is_drift() {
        let object = daemonset(json!([]));
        let change = FieldChange {
            path: method(),
            before: Some(json!({"name": "IP_AUTODETECTION_METHOD"})),
            after: None,
        };
        assert!(matches!(
            json_patch(&object, &[change]),
            Err(PatchError::Drift { .. })
        ));
    }

    #[test]
    fn a_field_without_a_place_is_an_error() {
        let change = FieldChange {
            path: method(),
            before: None,
            after: Some(json!({})),
        };
        let error = json_patch(&json!({"metadata": {}}), &[change]).unwrap_err();
        insta::assert_snapshot!(error, @"there is no spec.template.spec.containers[name=calico-node].env[name=IP_AUTODETECTION_METHOD] in which the field could stand");
    }

    #[test]
    fn a_path_reads_as_people_write_it() {
        insta::assert_snapshot!(FieldPath::annotation("projectcalico.org/IPv4Address"), @"metadata.annotations[projectcalico.org/IPv4Address]");
    }

    proptest! {
        /// Whatever stood in an annotation or was absent: there and back again is where we were.
        #[test]
        fn there_and_back_is_identity(
            others in proptest::collection::btree_map("[a-z~/.]{1,6}", "[a-z]{0,4}", 0..4),
            key in "[a-z~/.]{1,8}",
            before in proptest::option::of("[a-z]{0,4}"),
            after in proptest::option::of("[a-z]{0,4}"),
        ) {
            let mut annotations: Map<String, Value> =
                others.into_iter().map(|(k, v)| (k, json!(v))).collect();
            annotations.remove(&key);
            if let Some(before) = &before {
                annotations.insert(key.clone(), json!(before));
            }
            let object = json!({"metadata": {"uid": "u", "annotations": annotations}});
            let change = FieldChange {
                path: FieldPath::annotation(&key),
                before: before.map(Value::from),
                after: after.map(Value::from),
            };
            let changed = apply(&object, &json_patch(&object, std::slice::from_ref(&change)).unwrap());
            prop_assert_eq!(change.path.read(&changed), change.after.as_ref());
            let back = apply(&changed, &json_patch(&changed, &[change.inverse()]).unwrap());
            prop_assert_eq!(back, object);
        }
    }
}
