//! How Calico is installed, as its DaemonSet tells it.

use super::family::Family;
use crate::model::{FieldPath, ObjectRef};
use serde_json::Value;
use std::collections::BTreeSet;

/// The container in which calico-node runs, in manifests and operator installs alike.
pub const CONTAINER: &str = "calico-node";

/// A value in a container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    Absent,
    Is(String),
    /// From a field, a ConfigMap or a Secret; says which.
    From(String),
}

/// A ConfigMap whose entries become variables, each with a prefix to its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFrom {
    pub config_map: String,
    pub prefix: String,
}

/// Calico's version, as far as it is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// How calico-node finds its IPv4 address (Calico v3.31, node/pkg/lifecycle/startup).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// Detected at each start, and every 60 s, by this method.
    Method(String),
    /// What the Node holds is kept.
    Kept,
    /// Given; detection plays no part.
    Literal(String),
    /// Switched off.
    Off,
}

/// The DaemonSet calico-node of a manifest install.
#[derive(Debug, Clone)]
pub struct CalicoNode {
    pub object: ObjectRef,
    raw: Value,
}

impl CalicoNode {
    /// `None` where what was read is no such DaemonSet.
    pub fn new(raw: Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let object = ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "DaemonSet".to_owned(),
            resource: "daemonsets".to_owned(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
        };
        let node = Self { object, raw };
        node.container().is_some().then_some(node)
    }

    fn container(&self) -> Option<&Value> {
        self.raw
            .pointer("/spec/template/spec/containers")?
            .as_array()?
            .iter()
            .find(|c| c.get("name").and_then(Value::as_str) == Some(CONTAINER))
    }

    /// The path of a variable, whole.
    pub fn env_path(variable: &str) -> FieldPath {
        FieldPath::container_env(CONTAINER, variable)
    }

    /// A variable's entry as it stands.
    pub fn env_entry(&self, variable: &str) -> Option<&Value> {
        Self::env_path(variable).read(&self.raw)
    }

    pub fn env(&self, variable: &str) -> EnvValue {
        match self.env_entry(variable) {
            None => EnvValue::Absent,
            Some(entry) => match (
                entry.get("value").and_then(Value::as_str),
                entry.get("valueFrom"),
            ) {
                (_, Some(from)) => EnvValue::From(source(from)),
                (Some(value), None) => EnvValue::Is(value.to_owned()),
                (None, None) => EnvValue::Is(String::new()),
            },
        }
    }

    /// The ConfigMaps from which variables come besides the list, which overrides them.
    ///
    /// # Errors
    /// Says what stands in the way of knowing the environment: a Secret as its source, or a
    /// variable that the list names twice.
    pub fn env_from(&self) -> Result<Vec<EnvFrom>, String> {
        let list = |key: &str| {
            self.container()
                .and_then(|c| c.get(key))
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice)
        };
        let mut names = BTreeSet::new();
        for entry in list("env") {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or("");
            if !names.insert(name) {
                return Err(format!("its environment names {name} twice"));
            }
        }
        list("envFrom")
            .iter()
            .map(|source| {
                let prefix = source.get("prefix").and_then(Value::as_str).unwrap_or("");
                match source.pointer("/configMapRef/name").and_then(Value::as_str) {
                    Some(name) => Ok(EnvFrom {
                        config_map: name.to_owned(),
                        prefix: prefix.to_owned(),
                    }),
                    None => Err("its environment comes in part from a Secret".to_owned()),
                }
            })
            .collect()
    }

    /// How the address of a family is found. An IPv6 address is detected only where that is asked for.
    ///
    /// # Errors
    /// Says where the method comes from, where that is not the DaemonSet.
    pub fn detection(&self, family: Family) -> Result<Detection, String> {
        let variable = family.method_variable();
        let method = || match self.env(variable) {
            EnvValue::Absent => Ok("first-found".to_owned()),
            EnvValue::Is(method) if method.is_empty() => Ok("first-found".to_owned()),
            EnvValue::Is(method) => Ok(method),
            EnvValue::From(from) => Err(format!(
                "{variable} is not written in the DaemonSet but comes from {from}"
            )),
        };
        match self.env(family.variable()) {
            EnvValue::Is(ip) if ip == "autodetect" => method().map(Detection::Method),
            EnvValue::Absent => Ok(Detection::Kept),
            EnvValue::Is(ip) if ip.is_empty() => Ok(Detection::Kept),
            EnvValue::Is(ip) if ip == "none" => Ok(Detection::Off),
            EnvValue::Is(ip) => Ok(Detection::Literal(ip)),
            EnvValue::From(from) => Ok(Detection::Literal(from)),
        }
    }

    /// From the image's tag: `v3.31.0`, `3.31`, `v3.31.0-amd64`.
    pub fn version(&self) -> Option<Version> {
        let tag = self.tag()?;
        let mut parts = tag.strip_prefix('v').unwrap_or(tag).split(['.', '-']);
        Some(Version {
            major: parts.next()?.parse().ok()?,
            minor: parts.next()?.parse().ok()?,
        })
    }

    /// The image's tag; a colon may stand before a port, too.
    pub fn tag(&self) -> Option<&str> {
        let image = self.image()?.split('@').next()?;
        let (_, tag) = image.rsplit_once(':')?;
        (!tag.contains('/')).then_some(tag)
    }

    pub fn image(&self) -> Option<&str> {
        self.container()?.get("image")?.as_str()
    }

    /// Whether a change of the template makes the controller replace the pods.
    pub fn rolls_by_itself(&self) -> bool {
        self.raw
            .pointer("/spec/updateStrategy/type")
            .and_then(Value::as_str)
            != Some("OnDelete")
    }

    /// How many pods may be missing at a time while it rolls, as it is written there.
    pub fn max_unavailable(&self) -> String {
        match self
            .raw
            .pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable")
        {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "1".to_owned(),
        }
    }

    pub fn pods(&self) -> i64 {
        self.raw
            .pointer("/status/desiredNumberScheduled")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    /// Who would put back what is changed here: a manifest that was applied, or a tool that owns
    /// fields of the object.
    pub fn managers(&self) -> Vec<String> {
        let mut managers = Vec::new();
        if self
            .raw
            .pointer("/metadata/annotations")
            .and_then(|a| a.get("kubectl.kubernetes.io/last-applied-configuration"))
            .is_some()
        {
            managers.push("kubectl apply".to_owned());
        }
        let fields = self
            .raw
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        for field in fields.into_iter().flatten() {
            let name = field.get("manager").and_then(Value::as_str).unwrap_or("");
            let known = ["helm", "argocd", "argo", "flux", "kustomize", "operator"];
            if known.iter().any(|k| name.to_ascii_lowercase().contains(k))
                && !managers.iter().any(|m| m == name)
            {
                managers.push(name.to_owned());
            }
        }
        managers
    }
}

/// Where a value comes from, in words.
fn source(from: &Value) -> String {
    let text = |at: &str| from.pointer(at).and_then(Value::as_str);
    if let Some(path) = text("/fieldRef/fieldPath") {
        return format!("the pod's field {path}");
    }
    for (key, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
        if let Some(name) = text(&format!("/{key}/name")) {
            return format!("{kind} {name}");
        }
    }
    "elsewhere".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calico(env: Value) -> CalicoNode {
        CalicoNode::new(json!({
            "metadata": {"name": "calico-node", "namespace": "kube-system", "uid": "u"},
            "spec": {
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}},
                "template": {"spec": {"containers": [
                    {"name": "calico-node", "image": "reg:5000/calico/node:v3.31.0", "env": env},
                ]}},
            },
            "status": {"desiredNumberScheduled": 3},
        }))
        .unwrap()
    }

    #[test]
    fn how_the_address_is_found() {
        let detection = |env: Value| calico(env).detection(Family::Ipv4);
        let method = |m: &str| Ok(Detection::Method(m.to_owned()));
        let auto = json!({"name": "IP", "value": "autodetect"});
        assert_eq!(detection(json!([auto])), method("first-found"));
        let with = |value: &str| json!([auto, {"name": "IP_AUTODETECTION_METHOD", "value": value}]);
        assert_eq!(detection(with("interface=.*")), method("interface=.*"));
        assert_eq!(detection(with("")), method("first-found"));
        let six = |env: Value| calico(env).detection(Family::Ipv6);
        assert_eq!(six(with("interface=.*")), Ok(Detection::Kept));
        assert_eq!(
            six(json!([{"name": "IP6", "value": "autodetect"}])),
            method("first-found")
        );
        assert!(
            detection(json!([auto, {"name": "IP_AUTODETECTION_METHOD", "valueFrom": {"configMapKeyRef": {}}}]))
                .is_err()
        );
        assert_eq!(detection(json!([])), Ok(Detection::Kept));
        assert_eq!(detection(json!([{"name": "IP"}])), Ok(Detection::Kept));
        assert_eq!(
            detection(json!([{"name": "IP", "value": "none"}])),
            Ok(Detection::Off)
        );
        assert_eq!(
            detection(json!([{"name": "IP", "value": "10.0.0.1"}])),
            Ok(Detection::Literal("10.0.0.1".into()))
        );
        assert!(matches!(
            detection(
                json!([{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}])
            ),
            Ok(Detection::Literal(_))
        ));
    }

    #[test]
    fn the_version_is_read_from_the_tag() {
        let version = |image: &str| {
            let mut raw = calico(json!([])).raw;
            *raw.pointer_mut("/spec/template/spec/containers/0/image")
                .unwrap() = json!(image);
            CalicoNode::new(raw)
                .unwrap()
                .version()
                .map(|v| (v.major, v.minor))
        };
        assert_eq!(version("docker.io/calico/node:v3.31.0"), Some((3, 31)));
        assert_eq!(version("reg:5000/calico-node:3.9-amd64"), Some((3, 9)));
        assert_eq!(version("calico/node:v3.22.1@sha256:00"), Some((3, 22)));
        assert_eq!(version("calico/node:latest"), None);
        assert_eq!(version("calico/node@sha256:00"), None);
    }

    #[test]
    fn how_it_rolls_and_who_manages_it() {
        let node = calico(json!([]));
        assert_eq!(node.max_unavailable(), "2");
        assert_eq!(node.pods(), 3);
        assert!(node.rolls_by_itself());
        assert!(node.managers().is_empty());
        assert_eq!(node.env_from(), Ok(vec![]));
        let mut raw = node.raw;
        raw["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        raw["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
        raw["metadata"]["managedFields"] = json!([{"manager": "kubectl"}, {"manager": "argocd-controller"}, {"manager": "argocd-controller"}]);
        raw["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "kubernetes-services-endpoint"}, "prefix": "X_"}]);
        let mut secret = raw.clone();
        secret["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"secretRef": {"name": "x"}}]);
        assert!(CalicoNode::new(secret).unwrap().env_from().is_err());
        let mut twice = raw.clone();
        twice["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "IP"}, {"name": "IP"}]);
        assert!(CalicoNode::new(twice).unwrap().env_from().is_err());
        let node = CalicoNode::new(raw).unwrap();
        assert!(!node.rolls_by_itself());
        assert_eq!(node.max_unavailable(), "1");
        assert_eq!(node.managers(), ["kubectl apply", "argocd-controller"]);
        let from = node.env_from().unwrap();
        assert_eq!(
            (from[0].config_map.as_str(), from[0].prefix.as_str()),
            ("kubernetes-services-endpoint", "X_")
        );
    }

    #[test]
    fn another_daemonset_is_not_calico() {
        assert!(CalicoNode::new(json!({"metadata": {"name": "x", "uid": "u"}})).is_none());
    }
}
