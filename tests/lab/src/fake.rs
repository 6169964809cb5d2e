//! Fake nodes, and pods on them: for what needs many of either. Of a lab with [`Profile::Fake`](crate::Profile).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Lab;
use crate::calico::items;
use crate::error::Result;
use crate::status::ready_status;

/// A fake node has this label as long as something plays its kubelet.
pub(crate) const KUBELET: &str = "lab/kubelet";
/// The label that all fake nodes have.
const FAKE: &str = "lab/fake";
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

const SOON: Duration = Duration::from_millis(200);

/// A node that is there in the API only.
#[derive(Clone, Debug)]
pub struct FakeNode {
    name: String,
    labels: Map<String, Value>,
    taints: Vec<Value>,
}

impl FakeNode {
    /// A worker.
    pub fn named(name: &str) -> Self {
        let node = Self {
            name: name.into(),
            labels: Map::new(),
            taints: Vec::new(),
        };
        node.label(FAKE, "")
            .label(KUBELET, "")
            .label("kubernetes.io/hostname", name)
            .label("kubernetes.io/os", "linux")
            .label("kubernetes.io/arch", "amd64")
    }

    /// Workers: fake-1, fake-2 and so on.
    pub fn numbered(count: usize) -> Vec<Self> {
        (1..=count)
            .map(|number| Self::named(&format!("fake-{number}")))
            .collect()
    }

    /// With the label and the taint that kubeadm gives a node of the control plane.
    pub fn of_control_plane(self) -> Self {
        self.label(CONTROL_PLANE, "")
            .taint(CONTROL_PLANE, "NoSchedule")
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    pub fn taint(mut self, key: &str, effect: &str) -> Self {
        self.taints.push(json!({"key": key, "effect": effect}));
        self
    }

    fn object(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {"taints": self.taints},
        })
    }
}

/// How many pods may be missing, each a number or a share such as `10%`.
#[derive(Clone, Copy, Debug)]
pub enum Budget<'a> {
    MinAvailable(&'a str),
    MaxUnavailable(&'a str),
}

/// The pods of a ReplicaSet, all on one node.
#[derive(Clone, Debug)]
pub struct FakePods<'a> {
    /// Of the ReplicaSet and of its budget, and the value of the pods' label `app`.
    pub name: &'a str,
    pub namespace: &'a str,
    pub node: &'a str,
    pub count: usize,
    pub budget: Option<Budget<'a>>,
    /// What the spec of the pods has besides, such as a priority or a volume.
    pub spec: Value,
}

impl<'a> FakePods<'a> {
    /// Without a budget, in the namespace `default`.
    pub fn new(name: &'a str, node: &'a str, count: usize) -> Self {
        Self {
            name,
            namespace: "default",
            node,
            count,
            budget: None,
            spec: json!({}),
        }
    }

    /// What selects these pods.
    pub fn selector(&self) -> String {
        format!("app={}", self.name)
    }

    fn objects(&self) -> Value {
        let labels = json!({"app": self.name});
        let metadata = json!({"name": self.name, "namespace": self.namespace});
        let mut spec = json!({
            // The scheduler is not asked; the ones that replace them, it places.
            "nodeName": self.node,
            "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "fake"}],
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), self.spec.as_object()) {
            spec.extend(more.clone());
        }
        let mut objects = vec![json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata,
                "spec": {
                    "replicas": self.count,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
        })];
        if self.namespace != "default" {
            let metadata = json!({"name": self.namespace});
            objects.insert(
                0,
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
            );
        }
        let (key, value) = match self.budget {
            Some(Budget::MinAvailable(value)) => ("minAvailable", value),
            Some(Budget::MaxUnavailable(value)) => ("maxUnavailable", value),
            None => return list(objects),
        };
        let value = value
            .parse::<u32>()
            .map_or_else(|_| json!(value), |n| json!(n));
        objects.push(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, key: value},
        }));
        list(objects)
    }
}

impl Lab {
    /// Makes nodes, and waits until they are Ready.
    pub fn make_fake_nodes(&self, nodes: &[FakeNode]) -> Result<()> {
        let objects = list(nodes.iter().map(FakeNode::object).collect());
        self.kubectl_feed(&["create", "--validate=false"], &objects.to_string())?;
        self.until_every(SOON, "Ready of the fake nodes", 60, || {
            let there = self.kubectl_json(&["get", "nodes", "-l", FAKE])?;
            let is_ready = |node: &FakeNode| {
                items(&there).any(|object| {
                    let name = object.pointer("/metadata/name").and_then(Value::as_str);
                    name == Some(&node.name)
                        && ready_status(object) == Some("True")
                        // Until it is gone, nothing is scheduled there.
                        && !object.to_string().contains("node.kubernetes.io/not-ready")
                })
            };
            Ok(nodes.iter().all(is_ready).then_some(()))
        })
    }

    /// Removes all fake nodes; their pods, the cluster would remove after a while.
    pub fn remove_fake_nodes(&self) -> Result<()> {
        self.kubectl_text(&["delete", "nodes", "-l", FAKE])
            .map(drop)
    }

    /// Lets a fake node's kubelet end: nothing that is to happen there does so any more, and 20 s later it is NotReady.
    pub fn stop_fake_kubelet(&self, node: &str) -> Result<()> {
        self.kubectl_text(&["label", "node", node, &format!("{KUBELET}-")])
            .map(drop)
    }

    /// Starts it again.
    pub fn start_fake_kubelet(&self, node: &str) -> Result<()> {
        let label = format!("{KUBELET}=");
        self.kubectl_text(&["label", "node", node, &label, "--overwrite"])
            .map(drop)
    }

    /// Makes pods on their node, and waits until all are Ready and their budget knows it. One that is evicted is
    /// replaced by one that comes up wherever the scheduler places it.
    pub fn make_fake_pods(&self, pods: &FakePods) -> Result<()> {
        let replica_set = format!("replicaset/{}", pods.name);
        let of = ["-n", pods.namespace];
        self.kubectl_feed(&["apply", "--validate=false"], &pods.objects().to_string())?;
        self.until_every(SOON, "Ready of the fake pods", 120, || {
            let object = self.kubectl_json(&[&of[..], &["get", &replica_set]].concat())?;
            let is_so = number(&object, "/status/readyReplicas") == count(pods);
            Ok(is_so.then_some(()))
        })?;
        // A ReplicaSet does not look at pods that are there: only the next ones are of this template.
        let anywhere = r#"[{"op": "remove", "path": "/spec/template/spec/nodeName"}]"#;
        self.kubectl_text(
            &[
                &of[..],
                &["patch", &replica_set, "--type=json", "-p", anywhere],
            ]
            .concat(),
        )?;
        self.until_every(SOON, "the ReplicaSet's new template", 60, || {
            let object = self.kubectl_json(&[&of[..], &["get", &replica_set]].concat())?;
            let seen = number(&object, "/status/observedGeneration");
            Ok((seen == number(&object, "/metadata/generation")).then_some(()))
        })?;
        if pods.budget.is_none() {
            return Ok(());
        }
        self.until_every(SOON, "the budget's count of its pods", 60, || {
            let object = self.kubectl_json(&[&of[..], &["get", "pdb", pods.name]].concat())?;
            let is_so = ["/status/expectedPods", "/status/currentHealthy"]
                .iter()
                .all(|pointer| number(&object, pointer) == count(pods));
            Ok(is_so.then_some(()))
        })
    }

    /// Removes them, wherever they are by now, and waits until they are gone.
    pub fn remove_fake_pods(&self, pods: &FakePods) -> Result<()> {
        let of = ["-n", pods.namespace, "delete", "--ignore-not-found"];
        let objects = [
            format!("replicaset/{}", pods.name),
            format!("pdb/{}", pods.name),
        ];
        let [replica_set, budget] = &objects;
        // Nobody is to replace them; that they end is not left to the collector of garbage, which takes its time.
        self.kubectl_text(&[&of[..], &["--wait=false", replica_set, budget]].concat())?;
        let path = format!("/api/v1/namespaces/{}/pods", pods.namespace);
        let selected = format!("{path}?labelSelector=app%3D{}", pods.name);
        self.until_every(SOON, "the end of the fake pods", 60, || {
            self.kubectl_text(&[
                "delete",
                "--raw",
                &format!("{selected}&gracePeriodSeconds=0"),
            ])?;
            let left = self.kubectl_text(&["get", "--raw", &format!("{selected}&limit=1")])?;
            Ok(left.contains(r#""items":[]"#).then_some(()))
        })
    }
}

fn list(objects: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

fn count(pods: &FakePods) -> Option<u64> {
    u64::try_from(pods.count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_or_a_share() {
        let with = |budget| {
            let pods = FakePods {
                budget: Some(budget),
                ..FakePods::new("web", "fake-1", 3)
            };
            pods.objects()["items"][1]["spec"].clone()
        };
        assert_eq!(with(Budget::MinAvailable("2"))["minAvailable"], json!(2));
        assert_eq!(
            with(Budget::MaxUnavailable("10%"))["maxUnavailable"],
            json!("10%")
        );
    }

    #[test]
    fn a_spec_has_what_is_asked_for_besides() {
        let pods = FakePods {
            spec: json!({"priorityClassName": "high"}),
            ..FakePods::new("web", "fake-1", 3)
        };
        let spec = pods.objects()["items"][0]["spec"]["template"]["spec"].clone();
        assert_eq!(spec["priorityClassName"], "high");
        assert_eq!(spec["nodeName"], "fake-1");
    }
}
