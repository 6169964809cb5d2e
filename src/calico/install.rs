//! How Calico is installed: by manifests or by its operator, and over which datastore.

use super::daemonset::{CalicoNode, Detection, EnvValue};
use super::family::Family;
use super::method::Method;
use crate::model::{Effect, FieldPath, ObjectRef, Subject};
use serde_json::Value;
use std::fmt;

/// Where Calico keeps its nodes, pools and peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datastore {
    /// In objects of Kubernetes; a node's address is an annotation.
    Kubernetes,
    /// In an etcd of its own, which calicoctl reaches from the nodes.
    Etcd {
        /// As calico-node is given them, with commas between.
        endpoints: String,
    },
    /// Calico 2.x.
    EtcdV2,
    /// A word that no Calico is known to take.
    Other(String),
}

impl Datastore {
    /// By calico-node's `DATASTORE_TYPE` and `ETCD_ENDPOINTS`, of which the first may be left out (Calico
    /// v3.31, libcalico-go/lib/apiconfig), and by its major version.
    pub fn new(kind: Option<&str>, endpoints: Option<&str>, major: Option<u32>) -> Self {
        let endpoints = endpoints.unwrap_or_default();
        match (kind.unwrap_or_default(), endpoints) {
            ("etcdv2", _) => Self::EtcdV2,
            _ if major.is_some_and(|major| major < 3) => Self::EtcdV2,
            ("kubernetes", _) | ("", "") => Self::Kubernetes,
            ("etcdv3" | "", endpoints) => Self::Etcd {
                endpoints: endpoints.split_whitespace().collect(),
            },
            (other, _) => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubernetes => f.write_str("kubernetes"),
            Self::Etcd { .. } => f.write_str("etcdv3"),
            Self::EtcdV2 => f.write_str("etcdv2"),
            Self::Other(other) => f.write_str(other),
        }
    }
}

/// What the operator installs by.
#[derive(Debug, Clone)]
pub struct Installation {
    pub object: ObjectRef,
    pub raw: Value,
}

impl Installation {
    /// The one that counts: the operator looks at no other (tigera/operator v1.40).
    pub const NAME: &'static str = "default";
    pub const API_VERSION: &'static str = "operator.tigera.io/v1";

    /// `None` where what was read has no name or UID.
    pub fn new(raw: Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let object = ObjectRef {
            api_version: Self::API_VERSION.to_owned(),
            kind: "Installation".to_owned(),
            resource: "installations".to_owned(),
            namespace: None,
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
        };
        Some(Self { object, raw })
    }

    /// Where the method stands by which addresses of a family are detected.
    pub fn method_path(family: Family) -> FieldPath {
        FieldPath::root()
            .key("spec")
            .key("calicoNetwork")
            .key(family.installation_field())
    }

    /// How the address of a family is found. The operator writes its own choice into the Installation: where
    /// there is none, calico-node itself tells.
    ///
    /// # Errors
    /// Says what is wrong with what stands there.
    pub fn detection(&self, family: Family, node: &CalicoNode) -> Result<Detection, String> {
        match Self::method_path(family).read(&self.raw) {
            None | Some(Value::Null) => node.detection(family),
            Some(method) => {
                Method::from_installation(method).map(|m| Detection::Method(m.to_string()))
            }
        }
    }
}

/// What the operator makes of a change of an Installation: a variable of calico-node, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub variable: &'static str,
    /// `None`: it is not set, or its address is not detected at all.
    pub value: Option<String>,
}

impl Rendered {
    /// `None` where the change is none of an Installation's detection.
    pub fn of(effect: &Effect) -> Option<Self> {
        let Effect::SetFields { object, fields } = effect else {
            return None;
        };
        if object.kind != "Installation" || object.api_version != Installation::API_VERSION {
            return None;
        }
        Family::BOTH.into_iter().find_map(|family| {
            let path = Installation::method_path(family);
            let field = fields.iter().find(|field| field.path == path)?;
            let method = field.after.as_ref().map(Method::from_installation);
            Some(Self {
                variable: family.method_variable(),
                value: method.and_then(Result::ok).map(|method| method.to_string()),
            })
        })
    }

    /// Whether calico-node has it so. What is the default need not be written.
    pub fn is_in(&self, node: &CalicoNode) -> bool {
        let default = Method::FirstFound.to_string();
        let found = match node.env(self.variable) {
            EnvValue::Is(value) if !value.is_empty() => Some(value),
            EnvValue::From(_) => return false,
            _ => None,
        };
        found.as_ref().unwrap_or(&default) == self.value.as_ref().unwrap_or(&default)
    }
}

/// Whether an effect has calico-node started anew on all nodes: by the controller of its DaemonSet, or by the
/// operator.
pub fn rolls_calico_node(effect: &Effect) -> bool {
    let daemonset = |object: &ObjectRef| object.kind == "DaemonSet" && object.name == "calico-node";
    let workload = match effect.subject() {
        Subject::Object(object) => daemonset(object) && effect.rolls_pods(),
        _ => false,
    };
    workload || Rendered::of(effect).is_some()
}

/// How Calico is installed here.
#[derive(Debug, Clone)]
pub struct Install {
    pub node: CalicoNode,
    /// Where its operator installs it.
    pub operator: Option<Installation>,
    pub datastore: Datastore,
    /// `bird` unless it says otherwise.
    pub backend: Option<String>,
    /// A variable about addresses that comes from a ConfigMap as a whole, and that ConfigMap.
    pub elsewhere: Option<(String, String)>,
}

impl Install {
    pub fn kind(&self) -> &'static str {
        match self.operator {
            Some(_) => "operator",
            None => "manifests",
        }
    }

    /// How the address of a family is found.
    ///
    /// # Errors
    /// Says why that cannot be told.
    pub fn detection(&self, family: Family) -> Result<Detection, String> {
        match &self.operator {
            None => self.node.detection(family),
            Some(installation) => installation.detection(family, &self.node),
        }
    }

    /// Who else writes how calico-node is set up.
    pub fn managers(&self) -> Vec<String> {
        let mut managers = self.node.managers();
        if self.operator.is_some() && !managers.iter().any(|m| m.contains("operator")) {
            managers.push("tigera-operator".to_owned());
        }
        managers
    }

    /// The endpoints of Calico's etcd, where that is its datastore.
    pub fn etcd(&self) -> Option<&str> {
        match &self.datastore {
            Datastore::Etcd { endpoints } => Some(endpoints),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_datastore_follows_from_what_calico_node_is_given() {
        let of = |kind, endpoints, major| Datastore::new(kind, endpoints, major).to_string();
        assert_eq!(of(Some("kubernetes"), None, Some(3)), "kubernetes");
        // As the DaemonSet of Calico's manifests for etcd has it.
        assert_eq!(of(None, Some("https://a:2379"), Some(3)), "etcdv3");
        assert_eq!(
            of(Some("kubernetes"), Some("https://a:2379"), Some(3)),
            "kubernetes"
        );
        assert_eq!(of(None, None, None), "kubernetes");
        assert_eq!(of(Some(""), Some(""), Some(3)), "kubernetes");
        assert_eq!(of(None, Some("http://a:2379"), Some(2)), "etcdv2");
        assert_eq!(of(Some("etcdv2"), None, None), "etcdv2");
        assert_eq!(of(Some("consul"), None, None), "consul");
        let etcd = Datastore::new(None, Some("https://a:2379, https://b:2379"), Some(3));
        assert_eq!(
            etcd,
            Datastore::Etcd {
                endpoints: "https://a:2379,https://b:2379".into()
            }
        );
    }
}
