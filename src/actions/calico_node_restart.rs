//! `calico.node_restart`: a new start of calico-node on one node.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, ObjectRef, Prior, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Starts calico-node on a node anew, and waits until it is ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {}

pub struct NodeRestart;

pub struct Seen {
    node: String,
    owner: String,
    pod: Option<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    node: String,
    owner: String,
    pod: ObjectRef,
    rolled: bool,
}

#[async_trait]
impl Action for NodeRestart {
    const USES: &'static str = "calico.node_restart";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(_: Args) -> Result<Self, String> {
        Ok(Self)
    }

    fn lost(_with: &serde_json::Value) -> Option<&'static str> {
        Some("a start leaves nothing behind that could be put back")
    }

    fn needs(_with: &Value) -> Needs {
        let pods = Of::any_of("v1", "Pod", "kube-system");
        Needs::default()
            .calico()
            .look("list", &pods)
            .look("get", &pods)
            .wide("not for single objects: a pod gets its name when it is made")
            .apply("delete", &pods)
            // Where the undo of another step puts the DaemonSet back, it is started anew with that.
            .undo("delete", &pods)
    }

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        let node = &place.target()?.name;
        let owner = &look.calico().await?.object;
        Ok(Seen {
            node: node.clone(),
            owner: owner.uid.clone(),
            pod: look.pod_of(owner, node).await?,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        match &seen.pod {
            None => Decision::Refuse {
                why: format!("there is no calico-node pod on {}", seen.node),
                next: Some(
                    "look why: kubectl -n kube-system describe daemonset calico-node".to_owned(),
                ),
            },
            Some(pod) => Decision::Change(Change {
                node: seen.node.clone(),
                owner: seen.owner.clone(),
                pod: pod.clone(),
                rolled: prior
                    .effects()
                    .filter(|e| e.rolls_pods())
                    .filter_map(Effect::on_object)
                    .any(|(object, _)| object.uid == seen.owner),
            }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        Compiled {
            blobs: Blobs::default(),
            details: vec![Detail {
                subject: change.pod.to_string(),
                before: Some("runs".to_owned()),
                before_is: String::new(),
                after: Some("replaced by a new one, and that is ready".to_owned()),
                ..Detail::default()
            }],
            predicted: change.rolled.then(|| {
                "the rollout before this replaces the pod; only if it has not, this does".to_owned()
            }),
            effects: vec![Effect::ReplacePod {
                pod: change.pod,
                owner: change.owner,
                node: change.node,
            }],
            follows: Vec::new(),
            undo: UndoClass::None {
                why: "a start leaves nothing behind that could be put back".to_owned(),
            },
            heals: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, step};
    use crate::model::{FieldChange, FieldPath, PlannedStep, Scope};

    fn object(kind: &str, uid: &str) -> ObjectRef {
        ObjectRef {
            api_version: "v1".into(),
            kind: kind.into(),
            resource: "x".into(),
            namespace: Some("kube-system".into()),
            name: "calico-node-x".into(),
            uid: uid.into(),
        }
    }

    fn decide(pod: Option<ObjectRef>, steps: &[PlannedStep]) -> Decision<Change> {
        let seen = Seen {
            node: "node02".into(),
            owner: "ds".into(),
            pod,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        NodeRestart.decide(&seen, place, Prior { steps })
    }

    fn rollout_of(uid: &str) -> PlannedStep {
        let effects = vec![Effect::SetFields {
            object: ObjectRef {
                api_version: "apps/v1".into(),
                ..object("DaemonSet", uid)
            },
            fields: vec![FieldChange {
                path: FieldPath::container_env("calico-node", "X"),
                before: None,
                after: None,
            }],
        }];
        step("method", Scope::Run, change(effects))
    }

    #[test]
    fn the_pod_is_replaced_and_a_rollout_before_makes_that_a_prediction() {
        for (steps, predicted) in [
            (vec![], false),
            (vec![rollout_of("ds")], true),
            (vec![rollout_of("another")], false),
        ] {
            let Decision::Change(change) = decide(Some(object("Pod", "p")), &steps) else {
                panic!()
            };
            let compiled = NodeRestart.compile(change);
            assert_eq!(compiled.predicted.is_some(), predicted);
            assert!(
                matches!(&compiled.effects[..], [Effect::ReplacePod { pod, owner, node }]
                    if pod.uid == "p" && owner == "ds" && node == "node02")
            );
            assert!(matches!(compiled.undo, UndoClass::None { .. }));
        }
    }

    #[test]
    fn without_a_pod_there_is_nothing_to_start() {
        assert!(matches!(decide(None, &[]), Decision::Refuse { .. }));
    }
}
