//! `kube.cordon`: whether a node takes new pods.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, FieldChange, FieldPath, ObjectRef, Prior, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What becomes of new pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The node takes no new pods.
    Cordoned,
    /// The node takes new pods.
    Schedulable,
}

/// Says whether a node takes new pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// What becomes of new pods.
    state: State,
}

pub struct Cordon(State);

pub struct Seen {
    object: ObjectRef,
    /// `spec.unschedulable`, as it stands.
    unschedulable: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    before: Option<Value>,
    after: Option<Value>,
    /// It rests on what an earlier step of the plan will have done.
    predicted: bool,
}

#[async_trait]
impl Action for Cordon {
    const USES: &'static str = "kube.cordon";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self(args.state))
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
        Ok(Seen {
            object,
            unschedulable: now.pointer("/spec/unschedulable").cloned(),
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let path = FieldPath::root().key("spec").key("unschedulable");
        // An earlier step of the same plan may have changed it by then.
        let earlier = prior.change_of(&seen.object, &path);
        let before = match earlier {
            Some(change) => change.after.clone(),
            None => seen.unschedulable.clone(),
        };
        let cordoned = before == Some(Value::Bool(true));
        // The API server leaves the field out where it is false.
        let after = match self.0 {
            State::Cordoned if cordoned => {
                return Decision::NoChange {
                    why: format!("{} is cordoned already", seen.object.name),
                };
            }
            State::Schedulable if !cordoned => {
                return Decision::NoChange {
                    why: format!("{} takes pods already", seen.object.name),
                };
            }
            State::Cordoned => Some(Value::Bool(true)),
            State::Schedulable => None,
        };
        Decision::Change(Change {
            object: seen.object.clone(),
            before,
            after,
            predicted: earlier.is_some(),
        })
    }

    fn compile(&self, change: Change) -> Compiled {
        let words = |value: &Option<Value>| match value {
            Some(Value::Bool(true)) => "cordoned".to_owned(),
            _ => "takes new pods".to_owned(),
        };
        Compiled {
            details: vec![Detail {
                subject: change.object.to_string(),
                before: Some(words(&change.before)),
                after: Some(words(&change.after)),
                ..Detail::default()
            }],
            effects: vec![Effect::SetFields {
                object: change.object,
                fields: vec![FieldChange {
                    path: FieldPath::root().key("spec").key("unschedulable"),
                    before: change.before,
                    after: change.after,
                }],
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

    fn decide(state: State, unschedulable: Option<Value>) -> Decision<Change> {
        let seen = Seen {
            object: ObjectRef::node_for_test("node02"),
            unschedulable,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        Cordon(state).decide(&seen, place, Prior { steps: &[] })
    }

    #[test]
    fn what_is_so_already_is_left_and_what_is_not_is_changed_from_what_it_is() {
        let changes = |state, now: Option<Value>| match decide(state, now) {
            Decision::Change(change) => Some((change.before, change.after)),
            Decision::NoChange { .. } => None,
            other => panic!("{other:?}"),
        };
        let yes = || Some(json!(true));
        assert_eq!(changes(State::Cordoned, None), Some((None, yes())));
        assert_eq!(
            changes(State::Cordoned, Some(json!(false))),
            Some((Some(json!(false)), yes()))
        );
        assert_eq!(changes(State::Cordoned, yes()), None);
        assert_eq!(changes(State::Schedulable, yes()), Some((yes(), None)));
        assert_eq!(changes(State::Schedulable, None), None);
        assert_eq!(changes(State::Schedulable, Some(json!(false))), None);
    }
}
