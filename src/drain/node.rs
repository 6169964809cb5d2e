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
    fn a_node_is_read() {
        let raw = json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}});
        let node = DrainNode::new(&raw).unwrap();
        assert!(node.cordoned && !node.ready && node.silent && !node.control_plane);
        assert_eq!(node.since, "2026-01-02T03:04:05Z".parse().ok());
    }
}
