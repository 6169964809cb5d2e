//! `calico.node_status`: calico-node itself says how its sessions are, where there is no calicoctl to ask.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{StatusError, Version};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, ObjectRef, Prior, Propagation, UndoClass, Verb, bare};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const API_VERSION: &str = "crd.projectcalico.org/v1";
const KIND: &str = "CalicoNodeStatus";
const SINCE: Version = Version {
    major: 3,
    minor: 21,
};
/// What the names of those begin with that are made here.
const PREFIX: &str = "runbook-";
/// Seconds after which calico-node writes it anew.
const PERIOD: u32 = 10;

/// Whether there are objects in which calico-node itself says how its sessions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// One for each node without calicoctl.
    Present,
    /// None of those that were made so.
    Absent,
}

/// Has calico-node say how its sessions are, in a CalicoNodeStatus for each node on which there is no
/// calicoctl (Calico v3.21 and later, with Kubernetes as its datastore), or takes these objects away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Whether they are there.
    state: State,
}

pub struct NodeStatuses {
    state: State,
}

pub struct Seen {
    /// Whether this Calico knows the kind.
    knows: bool,
    /// Whether Calico's nodes are objects of Kubernetes.
    in_kubernetes: bool,
    /// Nodes without calicoctl, of which nothing is known either from such an object.
    lacking: Vec<String>,
    /// Those that were made here, as they are.
    made: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    effects: Vec<Effect>,
}

#[async_trait]
impl Action for NodeStatuses {
    const USES: &'static str = "calico.node_status";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self { state: args.state })
    }

    fn needs(_with: &Value) -> Needs {
        let all = Of {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            namespace: None,
            name: super::rights::ANY.to_owned(),
        };
        let why = "not for single objects: each is named after its node";
        [Verb::Get, Verb::List]
            .into_iter()
            .fold(Needs::default().mesh(), |needs, verb| {
                needs.look(verb, &all).wide(why)
            })
            .look(Verb::List, &Of::any_of("v1", "Pod", "kube-system"))
            .wide("not for single objects: a pod gets its name when it is made")
            .apply(Verb::Create, &all)
            .apply(Verb::Delete, &all)
            .wide(why)
            .undo(Verb::Create, &all)
            .undo(Verb::Delete, &all)
            .wide(why)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        place.run()?;
        let install = look.calico().await?;
        let in_kubernetes = install.etcd().is_none();
        let knows = install
            .node
            .version()
            .is_none_or(|version| version >= SINCE);
        let (mesh, _) = look.mesh().await?;
        let lacking = mesh.readings.iter();
        let lacking = lacking
            .filter(|(_, reading)| {
                matches!(
                    reading.sessions,
                    Err(StatusError::NoCalicoctl | StatusError::NotReported(_))
                )
            })
            .map(|(node, _)| node.clone())
            .collect();
        let made = look.node_statuses().await?.iter();
        let ours = |status: &&Value| {
            let name = status.pointer("/metadata/name").and_then(Value::as_str);
            name.is_some_and(|name| name.starts_with(PREFIX))
        };
        Ok(Seen {
            knows,
            in_kubernetes,
            lacking,
            made: made.filter(ours).cloned().collect(),
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        if !seen.in_kubernetes {
            return Decision::Refuse {
                why: "Calico's nodes are in an etcd of its own here, and no object of Kubernetes says how their sessions are".to_owned(),
                next: Some("put calicoctl on the nodes: runbook plan install-calicoctl".to_owned()),
            };
        }
        if !seen.knows {
            return Decision::Refuse {
                why: "this Calico does not know CalicoNodeStatus, which came with v3.21".to_owned(),
                next: Some("put calicoctl on the nodes: runbook plan install-calicoctl".to_owned()),
            };
        }
        match self.state {
            State::Present => self.made(seen),
            State::Absent => {
                let is_there = |name: &str| {
                    let name_of = |made: &Value| made.pointer("/metadata/name").cloned();
                    seen.made
                        .iter()
                        .any(|made| name_of(made).is_some_and(|of| of == name))
                };
                // Of an earlier run there may be others.
                let mut makes = prior.effects().filter_map(|effect| match effect {
                    Effect::PutObject {
                        object,
                        after: Some(_),
                        ..
                    } if object.kind == KIND => Some(object.name.as_str()),
                    _ => None,
                });
                let makes = makes
                    .next()
                    .is_some_and(|first| !is_there(first) && !makes.any(is_there));
                match seen.made.as_slice() {
                    _ if makes => Decision::Foreseen,
                    [] => Decision::NoChange {
                        why: "there is none that was made by a run".to_owned(),
                    },
                    all => Decision::Change(Change {
                        effects: all.iter().filter_map(taken_away).collect(),
                    }),
                }
            }
        }
    }

    fn notes(&self, _: &Seen, decision: &Decision<Change>) -> Vec<String> {
        match decision {
            Decision::Foreseen => {
                vec!["Those that an earlier step makes are deleted again.".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let detail = |effect: &Effect| {
            let Effect::PutObject { object, after, .. } = effect else {
                return Detail::default();
            };
            let there = || Some("there".to_owned());
            let absent = || Some("absent".to_owned());
            let (before, after) = match after {
                Some(_) => (absent(), there()),
                None => (there(), absent()),
            };
            Detail {
                subject: object.to_string(),
                before,
                after,
                ..Detail::default()
            }
        };
        Compiled {
            blobs: Blobs::default(),
            details: change.effects.iter().map(detail).collect(),
            follows: match self.state {
                State::Present => vec![format!(
                    "calico-node on each of these nodes writes its sessions there, every {PERIOD} s"
                )],
                State::Absent => Vec::new(),
            },
            undo: UndoClass::Exact,
            effects: change.effects,
            predicted: None,
            heals: None,
        }
    }
}

impl NodeStatuses {
    fn made(&self, seen: &Seen) -> Decision<Change> {
        let known = |node: &&String| {
            let name = name_of(node);
            !seen
                .made
                .iter()
                .any(|made| made.pointer("/metadata/name") == Some(&Value::from(name.as_str())))
        };
        let effects: Vec<Effect> = seen.lacking.iter().filter(known).map(|n| made(n)).collect();
        match (effects.is_empty(), seen.lacking.is_empty()) {
            (true, true) => Decision::NoChange {
                why: "the sessions of every node can be read".to_owned(),
            },
            (true, false) => Decision::NoChange {
                why: format!(
                    "they are there, and calico-node has yet to write its sessions: {}",
                    seen.lacking.join(", ")
                ),
            },
            _ => Decision::Change(Change { effects }),
        }
    }
}

fn name_of(node: &str) -> String {
    format!("{PREFIX}{node}")
}

fn made(node: &str) -> Effect {
    let name = name_of(node);
    Effect::PutObject {
        after: Some(json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name},
            "spec": {"node": node, "classes": ["Agent", "BGP"], "updatePeriodSeconds": PERIOD},
        })),
        object: object(name, String::new()),
        before: None,
        propagation: Propagation::Background,
    }
}

fn taken_away(now: &Value) -> Option<Effect> {
    let text = |at: &str| Some(now.pointer(at)?.as_str()?.to_owned());
    // What calico-node writes there is none of it. In a list, objects do not say of which kind they are.
    let mut before = bare(now);
    if let Some(map) = before.as_object_mut() {
        map.insert("apiVersion".to_owned(), API_VERSION.into());
        map.insert("kind".to_owned(), KIND.into());
    }
    Some(Effect::PutObject {
        object: object(text("/metadata/name")?, text("/metadata/uid")?),
        before: Some(before),
        after: None,
        propagation: Propagation::Background,
    })
}

fn object(name: String, uid: String) -> ObjectRef {
    ObjectRef {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        resource: "caliconodestatuses".to_owned(),
        namespace: None,
        name,
        uid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, step};
    use crate::model::{PlannedStep, Scope};

    fn seen(lacking: &[&str], made: &[&str]) -> Seen {
        let status = |node: &&str| {
            json!({
                "metadata": {"name": format!("runbook-{node}"), "uid": format!("u-{node}"), "resourceVersion": "7"},
                "spec": {"node": node, "classes": ["Agent", "BGP"], "updatePeriodSeconds": 10},
                "status": {"bgp": {"numberNotEstablishedV4": 0}},
            })
        };
        Seen {
            knows: true,
            in_kubernetes: true,
            lacking: lacking.iter().map(|n| (*n).to_owned()).collect(),
            made: made.iter().map(status).collect(),
        }
    }

    fn decide(state: State, seen: &Seen, steps: &[PlannedStep]) -> Decision<Change> {
        let place = Place::for_test(&Scope::Run, &[]);
        NodeStatuses { state }.decide(seen, place, Prior { steps })
    }

    fn effects(decision: Decision<Change>) -> Vec<Effect> {
        match decision {
            Decision::Change(change) => change.effects,
            other => panic!("{other:?}"),
        }
    }

    fn why(decision: Decision<Change>) -> String {
        match decision {
            Decision::NoChange { why } | Decision::Refuse { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_is_made_for_each_node_that_has_no_other_voice() {
        let effects = effects(decide(
            State::Present,
            &seen(&["node01", "node02"], &["node01"]),
            &[],
        ));
        insta::assert_json_snapshot!(effects, @r#"
        [
          {
            "effect": "put_object",
            "object": {
              "api_version": "crd.projectcalico.org/v1",
              "kind": "CalicoNodeStatus",
              "resource": "caliconodestatuses",
              "name": "runbook-node02",
              "uid": ""
            },
            "before": null,
            "after": {
              "apiVersion": "crd.projectcalico.org/v1",
              "kind": "CalicoNodeStatus",
              "metadata": {
                "name": "runbook-node02"
              },
              "spec": {
                "classes": [
                  "Agent",
                  "BGP"
                ],
                "node": "node02",
                "updatePeriodSeconds": 10
              }
            }
          }
        ]
        "#);
        assert!(
            why(decide(State::Present, &seen(&[], &[]), &[])).contains("every node can be read")
        );
        assert!(
            why(decide(State::Present, &seen(&["a"], &["a"]), &[])).contains("has yet to write")
        );
        let mut etcd = seen(&["a"], &[]);
        etcd.in_kubernetes = false;
        assert!(why(decide(State::Present, &etcd, &[])).contains("an etcd of its own"));
        let mut old = seen(&["a"], &[]);
        old.knows = false;
        assert!(why(decide(State::Present, &old, &[])).contains("v3.21"));
    }

    #[test]
    fn those_that_were_made_are_taken_away_and_no_others() {
        let seen = seen(&[], &["node02"]);
        let effects = effects(decide(State::Absent, &seen, &[]));
        let [
            Effect::PutObject {
                object,
                before,
                after: None,
                ..
            },
        ] = effects.as_slice()
        else {
            panic!("{effects:?}")
        };
        assert_eq!(
            (object.name.as_str(), object.uid.as_str()),
            ("runbook-node02", "u-node02")
        );
        let before = before.as_ref().unwrap();
        assert_eq!(before["kind"], "CalicoNodeStatus");
        assert_eq!(before.get("status"), None);
        // As the API server gives it: it stands as before, whatever calico-node wrote since.
        let mut now = seen.made[0].clone();
        now["apiVersion"] = before["apiVersion"].clone();
        now["kind"] = before["kind"].clone();
        now["status"] = json!({"lastUpdated": "x"});
        let now = crate::model::Now::Object(Some(now));
        assert_eq!(effects[0].standing(&now), crate::model::Standing::Before);
    }

    #[test]
    fn what_an_earlier_step_makes_is_taken_away_when_its_turn_comes() {
        let makes = || step("status", Scope::Run, change(vec![made("node02")]));
        assert_eq!(
            decide(State::Absent, &seen(&["node02"], &[]), &[makes()]),
            Decision::Foreseen
        );
        assert!(why(decide(State::Absent, &seen(&[], &[]), &[])).starts_with("there is none"));
        // One that an earlier run left does not keep those of this one; at its turn, all are there.
        let left = seen(&["node02"], &["node01"]);
        assert_eq!(decide(State::Absent, &left, &[makes()]), Decision::Foreseen);
        let all = seen(&["node02"], &["node01", "node02"]);
        assert_eq!(effects(decide(State::Absent, &all, &[makes()])).len(), 2);
    }
}
