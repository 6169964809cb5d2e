//! Who else keeps the fields of an object: other managers of its fields, and the manifest that was
//! applied last.

use crate::model::{Detail, FieldChange, FieldPath, ObjectRef, Segment};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The name under which this program writes.
pub const OWN: &str = "runbook";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const CLIENT_SIDE: &str = "kubectl-client-side-apply";

/// A field that is changed, and one who keeps it as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    pub path: FieldPath,
    pub manager: String,
    pub when: When,
}

/// When a manager puts back what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    Applied,
    Perhaps,
}

impl When {
    const fn words(self, many: bool) -> &'static str {
        match (self, many) {
            (Self::Applied, false) => "which puts it back when its manifest is applied again",
            (Self::Applied, true) => "which puts them back when its manifest is applied again",
            (Self::Perhaps, false) => "which wrote it, and may put it back",
            (Self::Perhaps, true) => "which wrote them, and may put them back",
        }
    }
}

/// Who else keeps the fields that are changed, one line for each field and manager.
pub fn keepers(object: &Value, changes: &[FieldChange]) -> Vec<Keeper> {
    let metadata = |key: &str| object.get("metadata").and_then(|m| m.get(key));
    let managers = metadata("managedFields").and_then(Value::as_array);
    let applied: Option<Value> = metadata("annotations")
        .and_then(|all| all.get(LAST_APPLIED)?.as_str())
        .and_then(|text| serde_json::from_str(text).ok());
    let mut found: Vec<Keeper> = Vec::new();
    for change in changes {
        let mut by: BTreeMap<&str, When> = BTreeMap::new();
        for entry in managers.into_iter().flatten() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let manager = text("manager");
            let status = text("subresource") == "status";
            let fields = entry.get("fieldsV1").unwrap_or(&Value::Null);
            // What was once typed by hand is put back by nobody.
            let by_hand = text("operation") == "Update"
                && manager.starts_with("kubectl-")
                && ![CLIENT_SIDE, "kubectl-replace"].contains(&manager);
            if manager == OWN
                || status
                || by_hand
                || !owns(fields, change.path.segments(), Some(object))
            {
                continue;
            }
            let when = match (manager, text("operation")) {
                (_, "Apply") | (CLIENT_SIDE, _) => When::Applied,
                _ => When::Perhaps,
            };
            by.insert(manager, when);
        }
        if applied
            .as_ref()
            .is_some_and(|a| change.path.read(a).is_some())
        {
            by.insert(CLIENT_SIDE, When::Applied);
        }
        found.extend(by.into_iter().map(|(manager, when)| Keeper {
            path: change.path.clone(),
            manager: manager.to_owned(),
            when,
        }));
    }
    found
}

/// Whether a set of fields (FieldsV1) has the field of a path, or something below it, or all of what it
/// is a part of; `at` is the object there.
fn owns(set: &Value, path: &[Segment], at: Option<&Value>) -> bool {
    let Some(set) = set.as_object() else {
        return false;
    };
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let (next, at) = match first {
        Segment::Key(key) => (set.get(&format!("f:{key}")), at.and_then(|at| at.get(key))),
        Segment::Item { by, is } => {
            let named = |item: &Value| item.get(by).and_then(Value::as_str) == Some(is);
            let items = at.and_then(Value::as_array);
            let item = items.and_then(|items| items.iter().find(|item| named(item)));
            let below = set.iter().find_map(|(key, below)| {
                let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
                // Ports, for one, are not told by their names.
                let same = |item: &Value| {
                    let keys = key.as_object();
                    keys.is_some_and(|keys| {
                        !keys.is_empty() && keys.iter().all(|(k, v)| item.get(k) == Some(v))
                    })
                };
                (named(&key) || item.is_some_and(same)).then_some(below)
            });
            (below, item)
        }
    };
    match next.and_then(Value::as_object) {
        // It keeps all of what is below as one.
        Some(below) if below.is_empty() => true,
        Some(_) => next.is_some_and(|next| owns(next, rest, at)),
        None => false,
    }
}

/// What the operator should know of those who keep fields of an object.
pub fn notes(object: &ObjectRef, keepers: &[Keeper]) -> Vec<String> {
    let mut of: BTreeMap<(&str, When), Vec<String>> = BTreeMap::new();
    for keeper in keepers {
        let paths = of.entry((&keeper.manager, keeper.when)).or_default();
        paths.push(keeper.path.to_string());
    }
    of.into_iter()
        .map(|((manager, when), paths)| {
            let many = paths.len() > 1;
            let verb = if many { "are" } else { "is" };
            let when = when.words(many);
            format!(
                "{object}: {} {verb} kept by `{manager}` too, {when}",
                paths.join(", ")
            )
        })
        .collect()
}

/// The fields that others keep, as they are to stand in the source manifest.
pub fn source_lines(
    object: &ObjectRef,
    changes: &[FieldChange],
    keepers: &[Keeper],
) -> Option<Detail> {
    let kept: Vec<&FieldChange> = changes
        .iter()
        .filter(|change| keepers.iter().any(|keeper| keeper.path == change.path))
        .collect();
    if kept.is_empty() {
        return None;
    }
    let mut metadata = json!({"name": object.name});
    if let (Some(namespace), Some(map)) = (&object.namespace, metadata.as_object_mut()) {
        map.insert("namespace".to_owned(), json!(namespace));
    }
    let mut manifest = json!({
        "apiVersion": object.api_version, "kind": object.kind, "metadata": metadata,
    });
    let mut gone = Vec::new();
    for change in kept {
        match &change.after {
            Some(after) => insert(&mut manifest, change.path.segments(), after),
            None => gone.push(format!("  (without {})", change.path)),
        }
    }
    let text = serde_yaml::to_string(&manifest).unwrap_or_default();
    let lines = text.lines().map(|line| format!("  {line}"));
    Some(Detail {
        subject: format!("in the source manifest of {object}"),
        lines: lines.chain(gone).collect(),
        ..Detail::default()
    })
}

fn insert(at: &mut Value, path: &[Segment], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value.clone();
        return;
    };
    match first {
        Segment::Key(key) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            if let Some(map) = at.as_object_mut() {
                insert(map.entry(key.clone()).or_insert(Value::Null), rest, value);
            }
        }
        Segment::Item { by, is } => {
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            let Some(items) = at.as_array_mut() else {
                return;
            };
            let found = items
                .iter()
                .position(|item| item.get(by).and_then(Value::as_str) == Some(is));
            let index = found.unwrap_or_else(|| {
                let item: Map<String, Value> = [(by.clone(), json!(is))].into_iter().collect();
                items.push(Value::Object(item));
                items.len() - 1
            });
            if let Some(item) = items.get_mut(index) {
                insert(item, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ObjectRef {
        ObjectRef::for_test("apps/v1", "Deployment", "x", "y")
    }

    fn change(path: FieldPath, after: Value) -> FieldChange {
        FieldChange {
            path,
            before: Some(json!("before")),
            after: (!after.is_null()).then_some(after),
        }
    }

    fn replicas() -> FieldPath {
        FieldPath::root().key("spec").key("replicas")
    }

    fn image() -> FieldPath {
        let template = FieldPath::root().key("spec").key("template").key("spec");
        template.key("containers").item("name", "c").key("image")
    }

    fn managed(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields})
    }

    #[test]
    fn other_managers_of_a_field_keep_it() {
        let containers =
            |below: Value| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": below}}}});
        let all = [replicas(), image()];
        for (entry, kept) in [
            (
                managed("argocd", "Apply", "", json!({"f:spec": {"f:replicas": {}}})),
                vec!["spec.replicas"],
            ),
            (
                managed(
                    "runbook",
                    "Update",
                    "",
                    json!({"f:spec": {"f:replicas": {}}}),
                ),
                vec![],
            ),
            (
                managed(
                    "x",
                    "Update",
                    "status",
                    json!({"f:spec": {"f:replicas": {}}}),
                ),
                vec![],
            ),
            (
                managed(
                    "x",
                    "Update",
                    "scale",
                    json!({"f:spec": {"f:replicas": {}}}),
                ),
                vec!["spec.replicas"],
            ),
            (
                managed(
                    "x",
                    "Update",
                    "",
                    containers(
                        json!({"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}}}),
                    ),
                ),
                vec!["spec.template.spec.containers[name=c].image"],
            ),
            (
                managed(
                    "x",
                    "Update",
                    "",
                    containers(json!({"k:{\"name\":\"d\"}": {".": {}, "f:image": {}}})),
                ),
                vec![],
            ),
            // The list as one.
            (
                managed("x", "Update", "", containers(json!({}))),
                vec!["spec.template.spec.containers[name=c].image"],
            ),
            // The map itself is no field of it.
            (
                managed("x", "Update", "", json!({"f:spec": {".": {}}})),
                vec![],
            ),
        ] {
            let object = json!({"metadata": {"managedFields": [entry]}});
            let changes: Vec<FieldChange> =
                all.iter().map(|p| change(p.clone(), json!(1))).collect();
            let found: Vec<String> = keepers(&object, &changes)
                .iter()
                .map(|k| k.path.to_string())
                .collect();
            assert_eq!(found, kept, "{object}");
        }
    }

    #[test]
    fn items_that_are_not_told_by_their_names_are_kept_too() {
        let port = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "TCP", "targetPort": 1});
        let ports = json!({"f:spec": {"f:ports": {
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:targetPort": {}}}}});
        let service = json!({
            "metadata": {"managedFields": [managed("argocd", "Apply", "", ports)]},
            "spec": {"ports": [port("https", 443), port("http", 80)]},
        });
        let target = |name: &str| {
            let ports = FieldPath::root().key("spec").key("ports");
            change(ports.item("name", name).key("targetPort"), json!(2))
        };
        let kept = keepers(&service, &[target("http"), target("https")]);
        let paths: Vec<String> = kept.iter().map(|k| k.path.to_string()).collect();
        assert_eq!(paths, ["spec.ports[name=http].targetPort"]);
    }

    #[test]
    fn what_was_applied_last_keeps_its_fields_and_the_plan_says_what_to_write_there() {
        let object_now = json!({"metadata": {
            "annotations": {LAST_APPLIED: json!({"spec": {"replicas": 1, "paused": true}}).to_string()},
            "managedFields": [managed("flux", "Apply", "", json!({"f:spec": {"f:replicas": {}}})),
                managed("kubectl-edit", "Update", "", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
                managed("manager", "Update", "", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}))],
        }});
        let changes = [
            change(replicas(), json!(3)),
            change(image(), json!("i:2")),
            change(FieldPath::root().key("spec").key("paused"), Value::Null),
        ];
        let kept = keepers(&object_now, &changes);
        insta::assert_snapshot!(notes(&object(), &kept).join("\n"), @"
        Deployment x/y: spec.replicas is kept by `flux` too, which puts it back when its manifest is applied again
        Deployment x/y: spec.replicas, spec.paused are kept by `kubectl-client-side-apply` too, which puts them back when its manifest is applied again
        Deployment x/y: spec.replicas, spec.paused are kept by `manager` too, which wrote them, and may put them back
        ");
        let detail = source_lines(&object(), &changes, &kept).unwrap();
        insta::assert_snapshot!(format!("{}\n{}", detail.subject, detail.lines.join("\n")));
        assert_eq!(source_lines(&object(), &changes, &[]), None);
        let mut manifest = json!({});
        insert(&mut manifest, image().segments(), &json!("i:2"));
        assert_eq!(image().read(&manifest), Some(&json!("i:2")));
        assert!(keepers(&json!({}), &changes).is_empty());
    }
}
