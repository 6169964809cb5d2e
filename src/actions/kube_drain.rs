//! `kube.drain`: all pods leave a node.

use super::kube_eviction::{
    all_gone, bound, evictions, grace, held_up, lost, needs, notes, patience, refusal, risk,
};
use super::kube_object::Of;
use super::{ANY_NAMESPACE, Action, Compiled, Decision, Eviction, Look, Needs, Patience, Place};
use crate::drain::{DrainNode, OnBlocked, Options, Preview, Stays, away};
use crate::fault::Fault;
use crate::model::{
    Detail, Effect, Exception, FieldChange, FieldPath, ObjectRef, Prior, Risk, Settled, UndoClass,
};
use crate::transport::PodsOf;
use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How long a drain may take, where nobody says.
const WITHIN: Duration = Duration::from_secs(30 * 60);

/// Cordons a node and evicts its pods, as `kubectl drain` does, many at a time; pods that come meanwhile go too.
/// Of the control plane's nodes, one is drained in a run, and none while another one is cordoned or not Ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How long each pod is given to end: `own`, as it says itself, or a duration; `own` if left out. One that is
    /// being deleted already keeps the time that it was given.
    grace_period: Option<String>,
    /// How long all of it may take, and 0s for without end; 30m if left out.
    within: Option<String>,
    /// Let pods of DaemonSets stay; without it, they are in the way.
    #[serde(default)]
    ignore_daemonsets: bool,
    /// Evict pods with emptyDir volumes, whose data is lost; without it, they are in the way.
    #[serde(default)]
    delete_emptydir_data: bool,
    /// Evict pods that nothing makes again; without it, they are in the way.
    #[serde(default)]
    force: bool,
    /// Do not wait for pods whose grace period has been over for longer than this, and 0s for waiting; 0s if left out.
    skip_terminating_longer_than: Option<String>,
    /// Only pods with these labels, such as `app=web`; all if left out.
    selector: Option<String>,
    /// Pods of lower priority first; those of higher ones once they are gone.
    #[serde(default)]
    by_priority: bool,
    /// What becomes of pods that a PodDisruptionBudget holds; `wait` if left out.
    #[serde(default)]
    on_blocked: OnBlocked,
}

/// Whether a cordon comes with it.
pub struct Drain {
    options: Options,
    within: Option<Duration>,
}

pub struct Seen {
    node: ObjectRef,
    /// `spec.unschedulable`, as it stands.
    unschedulable: Option<Value>,
    nodes: Vec<DrainNode>,
    preview: Preview,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    node: ObjectRef,
    before: Option<Value>,
    cordons: bool,
    /// It was cordoned before this run, and an undo leaves it so.
    stays_cordoned: bool,
    preview: Preview,
    /// Nodes that are drained before, and whose pods may come here.
    after: Vec<String>,
}

#[async_trait]
impl Action for Drain {
    const USES: &'static str = "kube.drain";
    const EVICTS: bool = true;
    const NEWCOMERS: bool = true;
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let skip = args.skip_terminating_longer_than.as_deref();
        let selector = args.selector.as_deref().unwrap_or_default();
        Ok(Self {
            options: Options {
                grace: grace(args.grace_period.as_deref())?,
                ignore_daemonsets: args.ignore_daemonsets,
                of_daemonsets_too: false,
                delete_emptydir_data: args.delete_emptydir_data,
                force: args.force,
                skip_terminating_longer_than: bound(
                    "skip_terminating_longer_than",
                    skip,
                    Duration::ZERO,
                )?,
                selector: selector.parse().map_err(|e| format!("`selector`: {e}"))?,
                by_priority: args.by_priority,
                on_blocked: args.on_blocked,
            },
            within: bound("within", args.within.as_deref(), WITHIN)?,
        })
    }

    fn lost(_with: &Value) -> Option<&'static str> {
        Some("evicted pods do not come back: their controllers have made others by then")
    }

    fn needs(with: &Value) -> Needs {
        needs(with, ANY_NAMESPACE).fields(&Of::targets())
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let name = &place.target()?.name;
        let of = PodsOf::Node(name.clone());
        let (node, seen, nodes) =
            futures::join!(look.node_object(name), look.pods(&of), look.drain_nodes());
        let ((node, now), seen) = (node?, seen?);
        let protects = (&seen.daemons, seen.budgets.as_slice());
        Ok(Seen {
            node,
            unschedulable: now.pointer("/spec/unschedulable").cloned(),
            nodes: nodes?,
            preview: Preview::of(seen.pods, &self.options, protects, Timestamp::now()),
        })
    }

    fn decide(&self, seen: &Seen, place: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let refuse = |(why, next): (String, String)| Decision::Refuse {
            why,
            next: Some(next),
        };
        if let Some(refusal) = one_of_the_control_plane(seen, place)
            .or_else(|| refusal(&seen.preview))
            .or_else(|| held_up(&seen.preview, &self.options))
        {
            return refuse(refusal);
        }
        let path = FieldPath::root().key("spec").key("unschedulable");
        let before = match prior.change_of(&seen.node, &path) {
            Some(change) => change.after.clone(),
            None => seen.unschedulable.clone(),
        };
        let cordons = before != Some(Value::Bool(true));
        let name = &seen.node.name;
        let preview = &seen.preview;
        let drained = drained_before(prior, name);
        if !cordons && drained.is_empty() && preview.goes.is_empty() {
            return Decision::NoChange {
                why: format!("{name} is cordoned already, and no pod has to leave it"),
            };
        }
        Decision::Change(Change {
            node: seen.node.clone(),
            before,
            cordons,
            stays_cordoned: seen.unschedulable == Some(Value::Bool(true)),
            preview: preview.clone(),
            after: drained,
        })
    }

    fn compile(&self, change: Change) -> Compiled {
        let name = change.node.name.clone();
        let mut compiled = Compiled::nothing();
        if change.cordons {
            compiled.details.push(Detail {
                subject: change.node.to_string(),
                before: Some("takes new pods".to_owned()),
                after: Some("cordoned".to_owned()),
                ..Detail::default()
            });
            compiled.effects.push(Effect::SetFields {
                object: change.node,
                fields: vec![FieldChange {
                    path: FieldPath::root().key("spec").key("unschedulable"),
                    before: change.before,
                    after: Some(Value::Bool(true)),
                }],
            });
        }
        evictions(
            &mut compiled,
            &change.preview,
            &self.options,
            (format!("Pods of {name}"), Self::NEWCOMERS),
        );
        compiled.follows.push(format!(
            "it waits until they are gone; pods that come onto {name} meanwhile go by the same rules"
        ));
        compiled.undo = match (lost(&change.preview), change.cordons) {
            (None, _) => UndoClass::BestEffort {
                lost: "pods that come meanwhile, and are evicted, do not come back".to_owned(),
            },
            (Some(lost), true) => UndoClass::BestEffort { lost },
            (Some(lost), false) if change.stays_cordoned => UndoClass::None {
                why: format!("{name} was cordoned before, and stays so; {lost}"),
            },
            (Some(lost), false) => UndoClass::None { why: lost },
        };
        compiled.predicted = match (change.after.as_slice(), compiled.effects.is_empty()) {
            ([], false) => None,
            ([], true) => Some(
                "all of its pods are being deleted already; those that come meanwhile are evicted"
                    .to_owned(),
            ),
            (after, _) => Some(format!(
                "pods that leave {} may come here first, and then go from here too",
                after.join(", ")
            )),
        };
        compiled
    }

    fn notes(&self, seen: &Seen, _: &Decision<Change>) -> Vec<String> {
        let mut notes = notes(&seen.preview, &self.options);
        let back: Vec<String> = seen
            .preview
            .to_evict()
            .filter(|pod| pod.comes_back && pod.controller.is_some())
            .map(crate::drain::Pod::name)
            .collect();
        if !back.is_empty() {
            notes.push(format!(
                "a cordon does not keep off the successors of {}, which tolerate it",
                back.join(", ")
            ));
        }
        let long = seen.preview.long_gone();
        notes.extend(long.map(|pod| format!("{}: {}", pod.name(), Stays::LongGone)));
        let here = seen.nodes.iter().find(|node| node.name == seen.node.name);
        if here.is_some_and(|node| !node.ready) {
            notes.push(format!(
                "{} is not Ready: its kubelet may not end what is evicted, and then that is being deleted without end",
                seen.node.name
            ));
        }
        notes
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        all_gone(seen.preview.goes.iter().map(|(pod, _)| pod))
    }

    fn patience(&self) -> Patience {
        patience(self.within)
    }

    fn eviction(&self, place: Place<'_>) -> Result<Eviction, Fault> {
        let name = &place.target()?.name;
        Ok(Eviction {
            pods: PodsOf::Node(name.clone()),
            place: name.clone(),
            options: self.options.clone(),
            newcomers: Self::NEWCOMERS,
            within: self.within,
        })
    }

    fn risk(&self) -> Option<Risk> {
        risk(&self.options)
    }
}

/// Nodes whose pods earlier steps of the plan evict.
fn drained_before(prior: Prior<'_>, here: &str) -> Vec<String> {
    let mut nodes: Vec<String> = prior
        .effects()
        .filter_map(|effect| match effect {
            Effect::EvictPod { node, .. } if node != here => Some(node.clone()),
            _ => None,
        })
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Why a node of the control plane is left alone: etcd bears that one of three is away, and not two.
fn one_of_the_control_plane(seen: &Seen, place: Place<'_>) -> Option<(String, String)> {
    let is_control_plane = |name: &str| {
        let node = seen.nodes.iter().find(|node| node.name == name);
        node.is_some_and(|node| node.control_plane)
    };
    let here = &seen.node.name;
    if !is_control_plane(here) {
        return None;
    }
    let targets: Vec<&str> = place
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .filter(|name| is_control_plane(name))
        .collect();
    if targets.len() > 1 {
        return Some((
            format!(
                "{} are nodes of the control plane, and of these one is drained in a run",
                targets.join(", ")
            ),
            "drain one, bring it back, and see the control plane healthy; then the next".to_owned(),
        ));
    }
    let away = away(&seen.nodes, here);
    (!away.is_empty()).then(|| {
        (
            format!(
                "{here} is a node of the control plane, and another one is not Ready or cordoned: {}",
                away.join(", ")
            ),
            "bring that one back first".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests;
