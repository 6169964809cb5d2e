//! Pods on nodes that have no kubelet.

use serde_json::{Value, json};

/// A pod on a node, which the object `keeper` controls: nobody makes another in its place.
pub fn kept(namespace: &str, name: &str, node: &str, keeper: &str) -> Value {
    let mut pod = bare(namespace, name, node);
    pod["metadata"]["labels"] = json!({"app": "web"});
    pod["metadata"]["ownerReferences"] = json!([owner("v1", "ConfigMap", "keeper", keeper)]);
    pod
}

/// A pod on a node, and nothing else.
pub fn bare(namespace: &str, name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"nodeName": node, "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "nothing"}]}})
}

pub fn owner(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// The status of a pod that is well.
pub fn ready() -> Value {
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}
