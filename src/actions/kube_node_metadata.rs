//! `kube.node_metadata`: labels and annotations of a node.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, FieldChange, FieldPath, ObjectRef, Prior, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// `null` takes an entry away.
type Entries = BTreeMap<String, Option<String>>;

/// Sets labels and annotations of a node, or takes them away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Labels by name; `null` takes one away. Those of Kubernetes and Calico are not set by hand.
    #[serde(default)]
    labels: Entries,
    /// Annotations by name; `null` takes one away. Those of Kubernetes and Calico are not set by hand.
    #[serde(default)]
    annotations: Entries,
}

pub struct NodeMetadata {
    wanted: Vec<(FieldPath, Option<String>)>,
}

pub struct Seen {
    object: ObjectRef,
    now: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    fields: Vec<FieldChange>,
    predicted: bool,
}

/// Labels and annotations by which Kubernetes and Calico steer themselves have kinds of their own.
fn reserved(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io", "projectcalico.org"]
        .iter()
        .any(|own| domain == *own || domain.ends_with(&format!(".{own}")))
        && !domain.starts_with("node-role.")
}

#[async_trait]
impl Action for NodeMetadata {
    const USES: &'static str = "kube.node_metadata";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let of =
            |kind: &'static str, entries: Entries| {
                entries.into_iter().map(move |(name, value)| {
                if name.is_empty() || name.contains(char::is_whitespace) {
                    return Err(format!("{kind}: `{name}` is not a name"));
                }
                if reserved(&name) {
                    return Err(format!(
                        "{kind}: `{name}` belongs to Kubernetes or Calico and is not set by hand"
                    ));
                }
                Ok((FieldPath::root().key("metadata").key(kind).key(&name), value))
            })
            };
        let wanted = of("labels", args.labels)
            .chain(of("annotations", args.annotations))
            .collect::<Result<Vec<_>, String>>()?;
        if wanted.is_empty() {
            return Err("give `labels` or `annotations`, or both".to_owned());
        }
        Ok(Self { wanted })
    }

    fn needs(_with: &Value) -> Needs {
        Needs::default().fields(&Of::targets())
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let (object, now) = look.node_object(&place.target()?.name).await?;
        Ok(Seen { object, now })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let earlier = |path: &FieldPath| prior.change_of(&seen.object, path);
        let predicted = self.wanted.iter().any(|(path, _)| earlier(path).is_some());
        let fields: Vec<FieldChange> = self
            .wanted
            .iter()
            .filter_map(|(path, value)| {
                let before = match earlier(path) {
                    Some(change) => change.after.clone(),
                    None => path.read(&seen.now).cloned(),
                };
                let after = value.clone().map(Value::String);
                (before != after).then(|| FieldChange {
                    path: path.clone(),
                    before,
                    after,
                })
            })
            .collect();
        match fields.is_empty() {
            true => Decision::NoChange {
                why: format!("{} has them so already", seen.object.name),
            },
            false => Decision::Change(Change {
                object: seen.object.clone(),
                fields,
                predicted,
            }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let text =
            |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        Compiled {
            details: change
                .fields
                .iter()
                .map(|field| Detail {
                    subject: format!("{}: {}", change.object, field.path),
                    before: text(&field.before),
                    after: text(&field.after),
                    ..Detail::default()
                })
                .collect(),
            effects: vec![Effect::SetFields {
                object: change.object,
                fields: change.fields,
            }],
            blobs: Blobs::default(),
            follows: Vec::new(),
            undo: UndoClass::Exact,
            predicted: change
                .predicted
                .then(|| "an earlier step changes it first".to_owned()),
            heals: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use serde_json::json;

    fn made(args: Value) -> Result<NodeMetadata, String> {
        NodeMetadata::new(serde_json::from_value(args).unwrap())
    }

    #[test]
    fn only_what_differs_is_written() {
        let seen = Seen {
            object: ObjectRef::node_for_test("node02"),
            now: json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        };
        let place = Place::for_test(&Scope::Run, &[]);
        let decide = |args: Value| {
            made(args)
                .unwrap()
                .decide(&seen, place, Prior { steps: &[] })
        };
        let Decision::Change(change) = decide(json!({
            "labels": {"a": "1", "b": "3", "c": null}, "annotations": {"d": "4"}
        })) else {
            panic!()
        };
        let shown: Vec<String> = change
            .fields
            .iter()
            .map(|f| format!("{} {:?} {:?}", f.path, f.before, f.after))
            .collect();
        assert_eq!(
            shown,
            [
                r#"metadata.labels.b Some(String("2")) Some(String("3"))"#,
                r#"metadata.annotations.d None Some(String("4"))"#
            ]
        );
        assert!(matches!(
            decide(json!({"labels": {"a": "1", "c": null}})),
            Decision::NoChange { .. }
        ));
    }

    #[test]
    fn what_an_earlier_step_writes_is_where_it_begins() {
        let object = ObjectRef::node_for_test("node02");
        let seen = Seen {
            object: object.clone(),
            now: json!({"metadata": {}}),
        };
        let path = FieldPath::annotation("a");
        let fields = vec![FieldChange {
            path: path.clone(),
            before: None,
            after: Some(json!("x")),
        }];
        let effects = vec![Effect::SetFields { object, fields }];
        let verdict = crate::journal::test_events::change(effects);
        let steps = [crate::journal::test_events::step(
            "one",
            Scope::Run,
            verdict,
        )];
        let place = Place::for_test(&Scope::Run, &[]);
        let decide = |args: Value| {
            made(args)
                .unwrap()
                .decide(&seen, place, Prior { steps: &steps })
        };
        let Decision::Change(change) = decide(json!({"annotations": {"a": null}})) else {
            panic!()
        };
        assert!(change.predicted);
        assert_eq!(change.fields[0].before, Some(json!("x")));
        assert_eq!(change.fields[0].after, None);
        assert!(matches!(
            decide(json!({"annotations": {"a": "x"}})),
            Decision::NoChange { .. }
        ));
    }

    #[test]
    fn names_that_steer_others_are_refused() {
        for name in [
            "kubernetes.io/hostname",
            "node.kubernetes.io/x",
            "projectcalico.org/IPv4Address",
            "a b",
            "",
        ] {
            assert!(made(json!({"labels": {name: "x"}})).is_err(), "{name}");
        }
        for name in ["node-role.kubernetes.io/worker", "example.com/x", "plain"] {
            assert!(made(json!({"labels": {name: "x"}})).is_ok(), "{name}");
        }
        assert!(made(json!({})).is_err());
    }
}
