//! `calico.node_restart`: a new start of calico-node on one node.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{Mesh, rolls_calico_node};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, ObjectRef, Prior, UndoClass, Verb, is_ready};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Starts calico-node on a node anew, and waits until it is ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Leave it alone where nothing shows that it is stuck: its pod is ready, and all its sessions are
    /// established.
    #[serde(default)]
    only_if_stuck: bool,
}

pub struct NodeRestart {
    only_if_stuck: bool,
}

pub struct Seen {
    node: String,
    owner: String,
    pod: Option<ObjectRef>,
    /// What shows that it is stuck, where that was looked for.
    signs: Vec<String>,
    /// What may show it, or something else: sessions that nobody could read, or with a node that is down.
    doubts: Vec<String>,
    /// Whether its pod is ready.
    ready: bool,
    /// Nodes that advertise an address that is not their own, and are at the ends of its sessions.
    strays: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    node: String,
    owner: String,
    pod: ObjectRef,
    rolled: bool,
}

impl Seen {
    /// Takes in what the mesh shows of the node.
    fn of_mesh(&mut self, mesh: &Mesh) {
        let own = mesh.own_network();
        for fault in mesh.faults_of(&self.node) {
            self.strays.extend(fault.strays.iter().cloned());
            let other = if fault.from == self.node {
                fault.to_name()
            } else {
                fault.from.as_str()
            };
            let down = mesh.node(other).is_some_and(|other| !other.ready);
            // Whether it is the address or a new start that is missing, sessions with a wrong one do not tell.
            let suspect = fault.strays.is_empty() && !mesh.suspects(&own, &fault).is_empty();
            match fault.unread || suspect || down && other != self.node {
                true => self.doubts.push(fault.to_string()),
                false => self.signs.push(fault.to_string()),
            }
        }
    }
}

#[async_trait]
impl Action for NodeRestart {
    const USES: &'static str = "calico.node_restart";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self {
            only_if_stuck: args.only_if_stuck,
        })
    }

    fn lost(_with: &serde_json::Value) -> Option<&'static str> {
        Some("a start leaves nothing behind that could be put back")
    }

    fn needs(with: &Value) -> Needs {
        let pods = Of::any_of("v1", "Pod", "kube-system");
        let signs = with.get("only_if_stuck");
        let base = match signs.and_then(Value::as_bool).unwrap_or(signs.is_some()) {
            true => Needs::default().mesh(),
            false => Needs::default().calico(),
        };
        base.look(Verb::List, &pods)
            .look(Verb::Get, &pods)
            .wide("not for single objects: a pod gets its name when it is made")
            .apply(Verb::Delete, &pods)
            // Where the undo of another step puts the DaemonSet back, it is started anew with that.
            .undo(Verb::Delete, &pods)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let node = &place.target()?.name;
        let owner = &look.calico().await?.node.object;
        let pod = look.pod_of(owner, node).await?;
        let mut seen = Seen {
            node: node.clone(),
            owner: owner.uid.clone(),
            pod: pod.as_ref().map(|(pod, _)| pod.clone()),
            signs: Vec::new(),
            doubts: Vec::new(),
            ready: true,
            strays: BTreeSet::new(),
        };
        if let Some((pod, now)) = pod.filter(|_| self.only_if_stuck) {
            seen.ready = is_ready(&now);
            if !seen.ready {
                seen.signs.push(format!("{} is not ready", pod.name));
            }
            let (mesh, _) = look.mesh().await?;
            seen.of_mesh(&mesh);
        }
        Ok(seen)
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let refuse = |why: String, next: String| Decision::Refuse {
            why,
            next: Some(next),
        };
        let node = &seen.node;
        let Some(pod) = &seen.pod else {
            return refuse(
                format!("there is no calico-node pod on {node}"),
                "look why: kubectl get daemonset -A; kubectl describe daemonset calico-node, in its namespace".to_owned(),
            );
        };
        if self.only_if_stuck && seen.signs.is_empty() && seen.doubts.is_empty() {
            return Decision::NoChange {
                why: format!(
                    "nothing shows that it is stuck: {} is ready, and all sessions of {node} are established",
                    pod.name
                ),
            };
        }
        // A pod that is not ready itself is another matter, unless it is the one that strays.
        if !seen.strays.is_empty() && (seen.ready || seen.strays.contains(node)) {
            let names: Vec<&str> = seen.strays.iter().map(String::as_str).collect();
            let nodes: String = names.iter().map(|name| format!(" --node {name}")).collect();
            return refuse(
                format!(
                    "a new start heals no wrong address, and {} advertises one that is not its own",
                    names.join(", ")
                ),
                format!("runbook plan fix-bgp-wrong-ip{nodes}"),
            );
        }
        let change = Decision::Change(Change {
            node: node.clone(),
            owner: seen.owner.clone(),
            pod: pod.clone(),
            rolled: prior.effects().any(rolls_calico_node),
        });
        if self.only_if_stuck && seen.signs.is_empty() {
            return Decision::Unknown {
                why: format!(
                    "whether it is stuck cannot be told, as a new start may heal none of this: {}",
                    seen.doubts.join("; ")
                ),
                otherwise: Some(Box::new(change)),
            };
        }
        change
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        if seen.signs.is_empty() || !matches!(decision, Decision::Change(_)) {
            return Vec::new();
        }
        let more = match seen.signs.len().saturating_sub(4) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let signs: Vec<&str> = seen.signs.iter().take(4).map(String::as_str).collect();
        vec![
            format!("What shows that it is stuck: {}{more}.", signs.join("; ")),
            "Where the way between the hosts is at fault, a new start heals nothing: runbook plan check-bgp-path tells.".to_owned(),
        ]
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
    use crate::calico::{test_healthy, test_stray, test_stray_together};
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

    fn seen(pod: Option<ObjectRef>) -> Seen {
        Seen {
            node: "node02".into(),
            owner: "ds".into(),
            pod,
            signs: Vec::new(),
            doubts: Vec::new(),
            ready: true,
            strays: BTreeSet::new(),
        }
    }

    #[test]
    fn sessions_with_wrong_addresses_are_no_sign() {
        let signs = |mesh: &Mesh, node: &str| {
            let mut seen = Seen {
                node: node.into(),
                ..seen(None)
            };
            seen.of_mesh(mesh);
            (seen.signs.len(), seen.doubts.len(), seen.strays.len())
        };
        assert_eq!(signs(&test_stray_together(), "node01"), (0, 4, 0));
        assert_eq!(signs(&test_stray(), "node01"), (2, 0, 1));
        assert_eq!(signs(&test_healthy(), "node01"), (0, 0, 0));
    }

    const ALWAYS: NodeRestart = NodeRestart {
        only_if_stuck: false,
    };

    fn decide(pod: Option<ObjectRef>, steps: &[PlannedStep]) -> Decision<Change> {
        let place = Place::for_test(&Scope::Run, &[]);
        ALWAYS.decide(&seen(pod), place, Prior { steps })
    }

    fn rollout_of(name: &str) -> PlannedStep {
        let effects = vec![Effect::SetFields {
            object: ObjectRef {
                api_version: "apps/v1".into(),
                name: name.into(),
                ..object("DaemonSet", "ds")
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
            (vec![rollout_of("calico-node")], true),
            (vec![rollout_of("another")], false),
        ] {
            let Decision::Change(change) = decide(Some(object("Pod", "p")), &steps) else {
                panic!()
            };
            let compiled = ALWAYS.compile(change);
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

    #[test]
    fn where_nothing_shows_that_it_is_stuck_it_is_left_alone() {
        let action = NodeRestart {
            only_if_stuck: true,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        let decide = |seen: &Seen| match action.decide(seen, place, Prior { steps: &[] }) {
            Decision::NoChange { why } => format!("no change: {why}"),
            Decision::Refuse { why, next } => format!("refused: {why} ({})", next.unwrap()),
            decision @ Decision::Change(_) => action.notes(seen, &decision).join("\n"),
            Decision::Unknown { why, otherwise } => {
                assert!(matches!(otherwise.as_deref(), Some(Decision::Change(_))));
                format!("unknown: {why}")
            }
            other => panic!("{other:?}"),
        };
        let mut s = seen(Some(object("Pod", "p")));
        insta::assert_snapshot!(decide(&s), @"no change: nothing shows that it is stuck: calico-node-x is ready, and all sessions of node02 are established");
        s.doubts = vec!["node02: its sessions were not read".to_owned()];
        insta::assert_snapshot!(decide(&s), @"unknown: whether it is stuck cannot be told, as a new start may heal none of this: node02: its sessions were not read");
        s.signs = (1..7).map(|n| format!("sign {n}")).collect();
        insta::assert_snapshot!(decide(&s), @"
        What shows that it is stuck: sign 1; sign 2; sign 3; sign 4; and 2 more.
        Where the way between the hosts is at fault, a new start heals nothing: runbook plan check-bgp-path tells.
        ");
        s.strays.insert("node03".into());
        insta::assert_snapshot!(decide(&s), @"refused: a new start heals no wrong address, and node03 advertises one that is not its own (runbook plan fix-bgp-wrong-ip --node node03)");
        s.ready = false;
        assert!(decide(&s).starts_with("What shows"));
    }
}
