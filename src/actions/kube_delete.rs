//! `kube.delete`: an object is deleted, of any kind.

use super::kube_fields::{Refusal, predicted};
use super::kube_object::{Earlier, Of, earlier};
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Detail, Effect, Exception, ObjectRef, Prior, Propagation, Settled, UndoClass, Verb,
    gone, restorable,
};
use crate::transport::{Trial, Tried};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Deletes one object, and waits until it is gone. Where its content can come back, an undo makes it
/// again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The object; where it is not there, there is nothing to do. Not a Secret.
    of: Of,
    /// What becomes of the objects that belong to it; `background` if left out.
    #[serde(default)]
    propagation: Propagation,
}

pub struct Delete {
    of: Of,
    propagation: Propagation,
}

pub struct Seen {
    object: ObjectRef,
    /// As it is, and what the API server says of deleting it.
    there: Option<(Value, Tried)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    before: Value,
    undo: UndoClass,
    predicted: bool,
}

#[async_trait]
impl Action for Delete {
    const USES: &'static str = "kube.delete";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self {
            of: args.of.checked()?.not_secret()?,
            propagation: args.propagation,
        })
    }

    fn needs(with: &Value) -> Needs {
        let of = Of::told(with);
        let needs = Needs::default()
            .look(Verb::Get, &of)
            .apply(Verb::Delete, &of);
        match stays_gone(&of.kind) {
            Some(_) => needs,
            None => needs.undo(Verb::Create, &of),
        }
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>, _: Prior<'_>) -> Result<Seen, Fault> {
        let (object, now) = look.object_of(&self.of).await?;
        let there = match now {
            None => None,
            Some(now) => {
                let tried = look.tried(&object, Trial::Delete(self.propagation)).await?;
                Some((now, tried))
            }
        };
        Ok(Seen { object, there })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let object = &seen.object;
        let before_this = earlier(prior, object);
        let Some((now, tried)) = &seen.there else {
            return match before_this {
                Some(Earlier::Makes) => Decision::Refuse {
                    why: format!("an earlier step of this runbook makes {object}"),
                    next: Some("make another runbook of what deletes it".to_owned()),
                },
                _ => Decision::NoChange {
                    why: format!("there is no {object}"),
                },
            };
        };
        if before_this == Some(Earlier::Deletes) {
            return Decision::NoChange {
                why: format!("an earlier step deletes {object}"),
            };
        }
        if now.pointer("/metadata/deletionTimestamp").is_some() {
            return Decision::Check {
                expects: format!("{object}, which is being deleted already, is gone"),
                except: Vec::new(),
            };
        }
        if let Tried::Rejected(rejection) = tried {
            let Refusal { why, next } = Refusal::rejected(object, rejection);
            return Decision::Refuse { why, next };
        }
        match predicted(object, now, prior) {
            Err(Refusal { why, next }) => Decision::Refuse { why, next },
            Ok((state, predicted)) => {
                let undo = undo(object, &state, self.propagation);
                let before = match &undo {
                    UndoClass::None { .. } => identity(object),
                    _ => restorable(state),
                };
                Decision::Change(Change {
                    object: object.clone(),
                    before,
                    undo,
                    predicted,
                })
            }
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let follows = match self.propagation {
            Propagation::Orphan => "what belongs to it, if anything, stays and belongs to nothing",
            Propagation::Background => "what belongs to it, if anything, is deleted after it",
            Propagation::Foreground => "what belongs to it, if anything, is deleted before it",
        };
        Compiled {
            details: vec![Detail {
                subject: change.object.to_string(),
                before: Some("there".to_owned()),
                after: None,
                ..Detail::default()
            }],
            effects: vec![Effect::PutObject {
                object: change.object,
                before: Some(change.before),
                after: None,
                propagation: self.propagation,
            }],
            blobs: Blobs::default(),
            follows: vec![follows.to_owned()],
            undo: change.undo,
            predicted: change
                .predicted
                .then(|| "an earlier step changes the object first".to_owned()),
            heals: None,
        }
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match &seen.there {
            None => Settled::Yes,
            Some((now, _)) => gone(&seen.object, now),
        }
    }

    fn patience(&self) -> Patience {
        Patience::default()
    }
}

/// Why no object of a kind is made again.
fn stays_gone(kind: &str) -> Option<&'static str> {
    match kind {
        "Namespace" => Some("all that was in the namespace is gone with it"),
        "PersistentVolume" | "PersistentVolumeClaim" => Some("the data may be gone with it"),
        "CustomResourceDefinition" => Some("all objects of its kind are gone with it"),
        "Node" => Some("its kubelet registers it anew"),
        _ => None,
    }
}

/// What of a deleted object can come back.
fn undo(object: &ObjectRef, state: &Value, propagation: Propagation) -> UndoClass {
    let controlled = state
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|owners| {
            let controller = |owner: &Value| owner.get("controller") == Some(&Value::Bool(true));
            owners.iter().any(controller)
        });
    let none = match (stays_gone(&object.kind), object.kind.as_str()) {
        (Some(why), _) => why,
        (None, "Pod") if controlled => "its controller puts another in its place",
        _ => {
            let belongs = match propagation {
                Propagation::Orphan => "and what belonged to it does not belong to it any more",
                _ => "and without what belonged to it, which its controller may make again",
            };
            return UndoClass::BestEffort {
                lost: format!("it is made again with another UID, without its status, {belongs}"),
            };
        }
    };
    UndoClass::None {
        why: none.to_owned(),
    }
}

/// What tells the object, where its content is of no use.
fn identity(object: &ObjectRef) -> Value {
    let mut metadata = json!({"name": object.name});
    if let (Some(namespace), Some(map)) = (&object.namespace, metadata.as_object_mut()) {
        map.insert("namespace".to_owned(), json!(namespace));
    }
    json!({"apiVersion": object.api_version, "kind": object.kind, "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use crate::transport::Rejection;

    fn object(kind: &str) -> ObjectRef {
        ObjectRef {
            api_version: "v1".into(),
            kind: kind.into(),
            resource: "x".into(),
            namespace: None,
            name: "o".into(),
            uid: "u".into(),
        }
    }

    fn now(kind: &str) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "data": {"a": "1"}, "status": {"x": 1},
            "metadata": {"name": "o", "uid": "u", "resourceVersion": "7"}})
    }

    fn decide(kind: &str, there: Option<(Value, Tried)>) -> Decision<Change> {
        let of = json!({"of": {"kind": kind, "name": "o"}});
        let action = Delete::new(serde_json::from_value(of).unwrap()).unwrap();
        let seen = Seen {
            object: object(kind),
            there,
        };
        action.decide(
            &seen,
            Place::for_test(&Scope::Run, &[]),
            Prior { steps: &[] },
        )
    }

    fn accepted(now: Value) -> Option<(Value, Tried)> {
        Some((now, Tried::Accepted(json!({}))))
    }

    #[test]
    fn what_is_there_is_deleted_with_its_image_kept() {
        let Decision::Change(change) = decide("ConfigMap", accepted(now("ConfigMap"))) else {
            panic!()
        };
        assert_eq!(
            change.before,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o"}, "data": {"a": "1"}})
        );
        assert!(matches!(change.undo, UndoClass::BestEffort { .. }));
        assert!(matches!(
            decide("ConfigMap", None),
            Decision::NoChange { .. }
        ));
        let rejection = Tried::Rejected(Rejection {
            message: "x".into(),
            conflicts: vec![],
        });
        let rejected = decide("ConfigMap", Some((now("ConfigMap"), rejection)));
        assert!(matches!(rejected, Decision::Refuse { .. }));
        let mut ending = now("ConfigMap");
        ending["metadata"]["deletionTimestamp"] = json!("t");
        let waits = decide("ConfigMap", accepted(ending));
        assert!(matches!(waits, Decision::Check { .. }));
    }

    #[test]
    fn what_cannot_come_back_is_said_to_be_gone() {
        for kind in [
            "Namespace",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "CustomResourceDefinition",
            "Node",
        ] {
            let Decision::Change(change) = decide(kind, accepted(now(kind))) else {
                panic!()
            };
            assert!(matches!(change.undo, UndoClass::None { .. }), "{kind}");
            assert_eq!(change.before.get("data"), None);
        }
        let mut pod = now("Pod");
        let class = |pod: &Value| undo(&object("Pod"), pod, Propagation::Background);
        assert!(matches!(class(&pod), UndoClass::BestEffort { .. }));
        pod["metadata"]["ownerReferences"] = json!([{"uid": "r", "controller": true}]);
        assert!(matches!(class(&pod), UndoClass::None { .. }));
    }
}
