//! What of a pod decides whether it is evicted.

use crate::model::{ObjectRef, Owner, is_ready};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// A pod's UID: one that was made again under the same name is another.
pub type PodUid = String;

/// kubelet's own mark of a pod that the API server only shows (k8s.io/api v0.34, MirrorPodAnnotationKey).
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The taint by which the scheduler keeps pods off a cordoned node.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub object: ObjectRef,
    pub node: Option<String>,
    pub phase: String,
    pub labels: BTreeMap<String, String>,
    pub controller: Option<Owner>,
    pub mirror: bool,
    /// Volumes whose data goes with the pod.
    pub empty_dirs: Vec<String>,
    /// It is being deleted; by then its grace period is over.
    pub ends: Option<Timestamp>,
    pub finalizers: Vec<String>,
    pub ready: bool,
    pub priority: i64,
    /// A cordon does not keep its successor off the node.
    pub comes_back: bool,
}

impl Pod {
    /// `None`: it is no pod.
    pub fn new(raw: &Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let list = |at: &str| {
            let list = raw.pointer(at).and_then(Value::as_array);
            list.into_iter().flatten()
        };
        let controls = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
        let labels = raw.pointer("/metadata/labels").and_then(Value::as_object);
        Some(Self {
            object: ObjectRef {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                resource: "pods".to_owned(),
                namespace: Some(text("/metadata/namespace")?),
                name: text("/metadata/name")?,
                uid: text("/metadata/uid")?,
            },
            node: text("/spec/nodeName").filter(|node| !node.is_empty()),
            phase: text("/status/phase").unwrap_or_default(),
            labels: labels
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            controller: list("/metadata/ownerReferences")
                .find(controls)
                .and_then(|owner| serde_json::from_value(renamed(owner)).ok()),
            mirror: raw
                .pointer("/metadata/annotations")
                .and_then(|all| all.get(MIRROR))
                .is_some(),
            empty_dirs: list("/spec/volumes")
                .filter(|volume| volume.get("emptyDir").is_some())
                .filter_map(|volume| Some(volume.get("name")?.as_str()?.to_owned()))
                .collect(),
            ends: text("/metadata/deletionTimestamp").and_then(|at| at.parse().ok()),
            finalizers: list("/metadata/finalizers")
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect(),
            ready: is_ready(raw),
            priority: raw
                .pointer("/spec/priority")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            comes_back: list("/spec/tolerations").any(tolerates_a_cordon),
        })
    }

    pub fn uid(&self) -> &str {
        &self.object.uid
    }

    pub fn namespace(&self) -> &str {
        self.object.namespace.as_deref().unwrap_or_default()
    }

    /// `namespace/name`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace(), self.object.name)
    }

    /// What runs in it has ended, well or not.
    pub fn finished(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.phase.as_str())
    }

    /// Whether it is being deleted.
    pub fn is_going(&self) -> bool {
        self.ends.is_some()
    }

    /// Whether its eviction asks no budget (kubernetes v1.34, eviction.go, canIgnorePDB).
    pub fn needs_no_budget(&self) -> bool {
        self.finished() || self.phase == "Pending" || self.is_going()
    }

    /// The controller, for people.
    pub fn controller_name(&self) -> String {
        match &self.controller {
            Some(owner) => format!("{} {}/{}", owner.kind, self.namespace(), owner.name),
            None => "no controller".to_owned(),
        }
    }
}

/// An owner as the API has it, with the names of its fields that are ours.
fn renamed(owner: &Value) -> Value {
    let of = |key: &str| owner.get(key).cloned().unwrap_or_default();
    serde_json::json!({
        "api_version": of("apiVersion"), "kind": of("kind"), "name": of("name"), "uid": of("uid"),
    })
}

/// Kubernetes v1.34, ToleratesTaint, for the taint of a cordoned node.
fn tolerates_a_cordon(toleration: &Value) -> bool {
    let text = |key: &str| {
        let text = toleration.get(key).and_then(Value::as_str);
        text.unwrap_or_default()
    };
    let effect = ["", "NoSchedule"].contains(&text("effect"));
    let exists = text("operator") == "Exists";
    let key = text("key") == UNSCHEDULABLE || text("key").is_empty() && exists;
    effect && key && (exists || text("value").is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A running, ready pod of a ReplicaSet, with more laid over it.
    pub(crate) fn raw(name: &str, more: Value) -> Value {
        let mut pod = json!({
            "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": {"app": "web"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": true}]},
            "spec": {"nodeName": "node02"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        merge(&mut pod, more);
        pod
    }

    pub(crate) fn pod(name: &str, more: Value) -> Pod {
        Pod::new(&raw(name, more)).unwrap()
    }

    fn merge(into: &mut Value, more: Value) {
        match (into, more) {
            (Value::Object(into), Value::Object(more)) => {
                for (key, value) in more {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, more) => *into = more,
        }
    }

    #[test]
    fn what_counts_is_read() {
        let one = pod(
            "a",
            json!({
                "metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["x/y"],
                    "annotations": {"kubernetes.io/config.mirror": "h"}},
                "spec": {"priority": 7, "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "c", "configMap": {}}]},
            }),
        );
        assert_eq!(one.name(), "shop/a");
        assert_eq!(one.controller_name(), "ReplicaSet shop/web-1");
        assert_eq!(one.empty_dirs, ["tmp"]);
        assert_eq!(one.finalizers, ["x/y"]);
        assert_eq!(one.priority, 7);
        assert!(one.mirror && one.is_going() && one.ready && one.needs_no_budget());
        assert_eq!(one.node.as_deref(), Some("node02"));
        let other = pod(
            "b",
            json!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "uid": "x"}]}}),
        );
        assert_eq!(other.controller, None);
        assert!(!other.mirror && !other.is_going() && !other.needs_no_budget());
        assert_eq!(Pod::new(&json!({"metadata": {"name": "x"}})), None);
    }

    #[test]
    fn whom_a_cordon_does_not_keep_away() {
        let comes =
            |toleration: Value| pod("a", json!({"spec": {"tolerations": [toleration]}})).comes_back;
        assert!(comes(json!({"operator": "Exists"})));
        assert!(comes(json!({"operator": "Exists", "effect": "NoSchedule"})));
        assert!(comes(json!({"key": UNSCHEDULABLE, "operator": "Exists"})));
        assert!(comes(json!({"key": UNSCHEDULABLE})));
        assert!(!comes(json!({"operator": "Exists", "effect": "NoExecute"})));
        assert!(!comes(
            json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists"})
        ));
        assert!(!comes(json!({"key": UNSCHEDULABLE, "value": "x"})));
        assert!(!comes(json!({"value": ""})));
    }
}
