//! Nodes, as draining sees them.

use crate::model::is_ready;
use jiff::Timestamp;
use serde_json::Value;

/// The label and the taint of control-plane nodes; the second name is that of servers before 1.24.
const CONTROL_PLANE: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// By its label or its taint.
pub fn is_control_plane(raw: &Value) -> bool {
    let labels = raw.pointer("/metadata/labels").and_then(Value::as_object);
    let taints = raw.pointer("/spec/taints").and_then(Value::as_array);
    let mut keys = taints
        .into_iter()
        .flatten()
        .filter_map(|taint| taint.get("key")?.as_str());
    labels.is_some_and(|labels| CONTROL_PLANE.iter().any(|key| labels.contains_key(*key)))
        || keys.any(|key| CONTROL_PLANE.contains(&key))
}

/// What of a node matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainNode {
    pub name: String,
    pub control_plane: bool,
    pub cordoned: bool,
    pub ready: bool,
    /// Its kubelet has not said for a while how it is.
    pub silent: bool,
    /// Since when it is ready, or not.
    pub since: Option<Timestamp>,
}

impl DrainNode {
    pub fn new(raw: &Value) -> Option<Self> {
        let conditions = raw.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"));
        Some(Self {
            name: raw.pointer("/metadata/name")?.as_str()?.to_owned(),
            control_plane: is_control_plane(raw),
            cordoned: raw.pointer("/spec/unschedulable") == Some(&Value::Bool(true)),
            ready: is_ready(raw),
            silent: ready.and_then(|ready| ready.get("status")?.as_str()) == Some("Unknown"),
            since: ready
                .and_then(|ready| ready.get("lastTransitionTime")?.as_str())
                .and_then(|at| at.parse().ok()),
        })
    }
}

/// Other nodes of the control plane that are away, or are about to be.
pub fn away<'n>(nodes: &'n [DrainNode], besides: &str) -> Vec<&'n str> {
    let is_away = |node: &&DrainNode| {
        node.control_plane && (!node.ready || node.cordoned) && node.name != besides
    };
    let away = nodes.iter().filter(is_away);
    away.map(|node| node.name.as_str()).collect()
}

/// Where somebody lets a node take pods.
pub fn uncordoned(nodes: &[DrainNode], name: &str) -> Option<String> {
    let mut nodes = nodes.iter();
    nodes
        .any(|node| node.name == name && !node.cordoned)
        .then(|| format!("{name} takes new pods: somebody has uncordoned it since"))
}

/// Why a node is not drained although it was planned: it is no longer as it was then.
pub fn no_longer(nodes: &[DrainNode], name: &str) -> Option<String> {
    let Some(node) = nodes.iter().find(|node| node.name == name) else {
        return Some(format!("there is no node {name} any more"));
    };
    if let Some(why) = uncordoned(nodes, name) {
        return Some(why);
    }
    let away = away(nodes, name);
    (node.control_plane && !away.is_empty()).then(|| {
        format!(
            "{name} is a node of the control plane, and another one is not Ready or cordoned by now: {}",
            away.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_control_plane_is_known_by_label_or_taint_old_and_new() {
        for key in CONTROL_PLANE {
            assert!(is_control_plane(
                &json!({"metadata": {"labels": {key: ""}}})
            ));
            let taint = json!([{"key": "x"}, {"key": key, "effect": "NoSchedule"}]);
            assert!(is_control_plane(&json!({"spec": {"taints": taint}})));
        }
        assert!(!is_control_plane(
            &json!({"metadata": {"labels": {"a": ""}}})
        ));
        assert!(!is_control_plane(
            &json!({"spec": {"taints": [{"key": "a"}]}})
        ));
    }

    #[test]
    fn what_keeps_a_node_from_being_drained_when_its_turn_comes() {
        let node = |name: &str, control_plane: bool, cordoned: bool, ready: bool| DrainNode {
            name: name.to_owned(),
            control_plane,
            cordoned,
            ready,
            silent: false,
            since: None,
        };
        let worker = |cordoned| node("n", false, cordoned, true);
        assert_eq!(no_longer(&[worker(true)], "n"), None);
        let why = |nodes: &[DrainNode]| no_longer(nodes, "n").unwrap();
        assert!(why(&[worker(false)]).contains("uncordoned"));
        assert!(why(&[]).contains("no node n"));
        // Of a worker, the control plane is no concern.
        let other = node("cp", true, true, true);
        assert_eq!(no_longer(&[worker(true), other.clone()], "n"), None);
        let own = node("n", true, true, true);
        assert_eq!(no_longer(std::slice::from_ref(&own), "n"), None);
        assert!(why(&[own.clone(), other]).contains("cp"));
        assert!(why(&[own.clone(), node("cp", true, false, false)]).contains("cp"));
        assert_eq!(no_longer(&[own, node("cp", true, false, true)], "n"), None);
    }

    #[test]
    fn a_node_is_read() {
        let raw = json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}});
        let node = DrainNode::new(&raw).unwrap();
        assert!(node.cordoned && !node.ready && node.silent && !node.control_plane);
        assert_eq!(node.since, "2026-01-02T03:04:05Z".parse().ok());
    }
}
