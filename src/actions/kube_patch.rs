//! `kube.patch`: a patch of one object, of any kind.

use super::kube_fields::{Fields, Refusal, Says};
use super::kube_keepers::notes;
use super::kube_object::{Earlier, Of, earlier};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{ObjectRef, Prior, UndoClass};
use crate::transport::{Trial, Tried};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// How `patch` is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Type {
    /// A JSON Merge Patch: maps are merged, `null` takes a field away, lists are replaced.
    #[default]
    Merge,
    /// Kubernetes' own: lists are merged by the names of their items. Not for custom resources.
    Strategic,
    /// A JSON Patch: a list of operations.
    Json,
}

/// Patches one object. The API server tries the patch for the plan, which shows each field that changes;
/// what is written then is exactly these fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The object; it must be there. Not a Secret.
    of: Of,
    /// How `patch` is meant; `merge` if left out.
    #[serde(default)]
    r#type: Type,
    /// The patch: a map, or for `json` a list of operations.
    patch: Value,
}

pub struct Patch {
    of: Of,
    kind: Type,
    patch: Value,
    pointers: Vec<String>,
}

pub struct Seen {
    object: ObjectRef,
    /// As it is, and what the API server would make of it.
    there: Option<(Value, Tried)>,
}

#[async_trait]
impl Action for Patch {
    const USES: &'static str = "kube.patch";
    type Args = Args;
    type Seen = Seen;
    type Change = Fields;

    fn new(args: Args) -> Result<Self, String> {
        let mut pointers = Vec::new();
        match (args.r#type, &args.patch) {
            (Type::Json, Value::Array(operations)) if !operations.is_empty() => {
                for operation in operations {
                    for key in ["path", "from"] {
                        let pointer = operation.get(key).and_then(Value::as_str);
                        pointers.extend(pointer.map(str::to_owned));
                    }
                }
                if pointers.is_empty() {
                    return Err("`patch`: its operations have no `path`".to_owned());
                }
            }
            (Type::Json, _) => {
                return Err("`patch` is a list of operations where `type` is json".to_owned());
            }
            (_, Value::Object(map)) if !map.is_empty() => {}
            _ => return Err("`patch` is a map of the fields that change".to_owned()),
        }
        let status = |pointer: &String| pointer == "/status" || pointer.starts_with("/status/");
        if args.patch.get("status").is_some() || pointers.iter().any(status) {
            return Err("`patch`: `status` is written by controllers alone".to_owned());
        }
        Ok(Self {
            of: args.of.checked()?.not_secret()?,
            kind: args.r#type,
            patch: args.patch,
            pointers,
        })
    }

    fn needs(with: &Value) -> Needs {
        Needs::default().fields(&Of::told(with))
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>, _: Prior<'_>) -> Result<Seen, Fault> {
        let (object, now) = look.object_of(&self.of).await?;
        let Some(now) = now else {
            return Ok(Seen {
                object,
                there: None,
            });
        };
        let trial = match self.kind {
            Type::Merge => Trial::Merge(&self.patch),
            Type::Strategic => Trial::Strategic(&self.patch),
            Type::Json => Trial::Json(&self.patch),
        };
        let tried = look.tried(&object, trial).await?;
        Ok(Seen {
            object,
            there: Some((now, tried)),
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Fields> {
        match self.fields(seen, prior) {
            Ok(fields) if fields.changes.is_empty() => Decision::NoChange {
                why: format!("{} is so already", seen.object),
            },
            // What is written to it besides goes with it.
            Ok(fields) if fields.ending && !fields.effect().lets_go() => {
                let Refusal { why, next } = Refusal::ending(&seen.object);
                Decision::Refuse { why, next }
            }
            Ok(fields) => Decision::Change(fields),
            Err(Refusal { why, next }) => Decision::Refuse { why, next },
        }
    }

    fn compile(&self, fields: Fields) -> Compiled {
        let undo = match fields.ending {
            // No finalizer can be put back, and without them it is gone.
            true => UndoClass::None {
                why: "it goes when nothing holds it".to_owned(),
            },
            false => UndoClass::Exact,
        };
        fields.compiled(undo)
    }

    fn notes(&self, _: &Seen, decision: &Decision<Fields>) -> Vec<String> {
        match decision {
            Decision::Change(fields) => notes(&fields.object, &fields.keepers),
            _ => Vec::new(),
        }
    }
}

impl Patch {
    fn fields(&self, seen: &Seen, prior: Prior<'_>) -> Result<Fields, Refusal> {
        let object = &seen.object;
        let Some((now, tried)) = &seen.there else {
            return Err(match earlier(prior, object) {
                Some(Earlier::Makes) => Refusal::new(
                    format!("{object} is yet to be made by an earlier step"),
                    "put what the patch changes into its manifest",
                ),
                _ => Refusal::new(format!("there is no {object}"), "make it with kube.apply"),
            });
        };
        let tried = match tried {
            Tried::Accepted(tried) => tried,
            Tried::Rejected(rejection) => {
                return Err(Refusal::rejected(object, rejection));
            }
        };
        let says = match self.kind {
            Type::Json => Says::Pointers(&self.pointers),
            Type::Merge => Says::Merge(&self.patch),
            Type::Strategic => Says::Map(&self.patch),
        };
        Fields::decide(object, now, tried, says, prior)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use crate::transport::Rejection;
    use serde_json::json;

    fn made(args: Value) -> Result<Patch, String> {
        Patch::new(serde_json::from_value(args).unwrap())
    }

    fn of() -> Value {
        json!({"kind": "ConfigMap", "namespace": "n", "name": "c"})
    }

    fn decide(there: Option<(Value, Tried)>) -> Decision<Fields> {
        decide_with(json!({"data": {"a": "2"}}), there)
    }

    fn decide_with(patch: Value, there: Option<(Value, Tried)>) -> Decision<Fields> {
        let seen = Seen {
            object: ObjectRef::for_test("v1", "ConfigMap", "n", "c"),
            there,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        made(json!({"of": of(), "patch": patch})).unwrap().decide(
            &seen,
            place,
            Prior { steps: &[] },
        )
    }

    #[test]
    fn a_patch_has_the_form_of_its_type_and_is_of_no_secret() {
        let patch = |kind: &str, patch: Value| json!({"of": of(), "type": kind, "patch": patch});
        for args in [
            patch("merge", json!({"data": {}})),
            patch("strategic", json!({"data": {}})),
            patch(
                "json",
                json!([{"op": "add", "path": "/data/x", "value": "1"}]),
            ),
        ] {
            assert!(made(args.clone()).is_ok(), "{args}");
        }
        for args in [
            patch("merge", json!({})),
            patch("merge", json!([])),
            patch("merge", json!({"status": {}})),
            patch("json", json!({"data": {}})),
            patch("json", json!([])),
            patch("json", json!([{"op": "remove", "path": "/status/x"}])),
            json!({"of": {"kind": "Secret", "namespace": "n", "name": "s"}, "patch": {"data": {}}}),
        ] {
            assert!(made(args.clone()).is_err(), "{args}");
        }
    }

    #[test]
    fn what_is_tried_is_what_is_decided() {
        let now = json!({"metadata": {"uid": "u", "resourceVersion": "1"}, "data": {"a": "1"}});
        let after = json!({"metadata": {"uid": "u", "resourceVersion": "2"}, "data": {"a": "2"}});
        let Decision::Change(fields) = decide(Some((now.clone(), Tried::Accepted(after)))) else {
            panic!()
        };
        assert_eq!(fields.changes.len(), 1);
        let same = decide(Some((now.clone(), Tried::Accepted(now.clone()))));
        assert!(matches!(same, Decision::NoChange { .. }));
        let rejection = Rejection {
            message: "x".into(),
            conflicts: vec![],
        };
        let rejected = decide(Some((now, Tried::Rejected(rejection))));
        assert!(matches!(rejected, Decision::Refuse { .. }));
        let Decision::Refuse { why, .. } = decide(None) else {
            panic!()
        };
        assert_eq!(why, "there is no ConfigMap n/c");
    }

    /// Without its finalizers, it goes: they cannot be put back.
    #[test]
    fn of_what_is_being_deleted_only_finalizers_are_taken() {
        let now = |held: &[&str], a: &str| json!({"metadata": {"uid": "u", "deletionTimestamp": "t", "finalizers": held}, "data": {"a": a}});
        let patched = |patch: Value, after: Value| {
            decide_with(
                patch,
                Some((now(&["a/b", "c/d"], "1"), Tried::Accepted(after))),
            )
        };
        let mut none = now(&[], "1");
        none["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("finalizers");
        for after in [none, now(&["c/d"], "1")] {
            let Decision::Change(fields) = patched(json!({"metadata": {}}), after) else {
                panic!()
            };
            let undo = made(json!({"of": of(), "patch": {"metadata": {}}}))
                .unwrap()
                .compile(fields)
                .undo;
            let UndoClass::None { why } = undo else {
                panic!()
            };
            assert_eq!(why, "it goes when nothing holds it");
        }
        for after in [now(&["a/b", "c/d"], "2"), now(&["c/d"], "2")] {
            let Decision::Refuse { why, .. } = patched(json!({"data": {}}), after) else {
                panic!()
            };
            assert_eq!(why, "ConfigMap n/c is being deleted");
        }
    }
}
