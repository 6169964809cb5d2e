//! What a step needs in the cluster, as its arguments tell it before they are rendered.

use super::kube_object::Of;
use crate::model::Verb;
use serde_json::Value;

/// What a right is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To plan, to wait, to verify, to resume: all that only reads.
    Look,
    Apply,
    Undo,
}

/// Something that a step does to objects of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Of which object. A part that has a template in it, or is [`ANY`], may be anything.
    pub of: Of,
    pub verb: Verb,
    pub purpose: Purpose,
    /// Why it is for more than one object, where that is no template's doing.
    pub wide: Option<&'static str>,
}

/// A part of an object's name that only the cluster tells.
pub const ANY: &str = "*";

/// Whether a part of an object's name may be anything.
pub fn is_any(part: &str) -> bool {
    part == ANY || part.contains("{{")
}

/// All that a step needs in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether it changes something, on a host or in the cluster.
    pub writes: bool,
    pub all: Vec<Need>,
}

impl Needs {
    /// Of a step that changes something on a host, and nothing in the cluster.
    pub fn of_host(writes: bool) -> Self {
        Self {
            writes,
            all: Vec::new(),
        }
    }

    fn add(mut self, of: &Of, verb: Verb, purpose: Purpose) -> Self {
        self.writes |= purpose == Purpose::Apply;
        self.all.push(Need {
            of: of.clone(),
            verb,
            purpose,
            wide: None,
        });
        self
    }

    /// Says of the last one why it is for more than one object.
    pub fn wide(mut self, why: &'static str) -> Self {
        if let Some(last) = self.all.last_mut() {
            last.wide = Some(why);
        }
        self
    }

    pub fn look(self, verb: Verb, of: &Of) -> Self {
        self.add(of, verb, Purpose::Look)
    }

    pub fn apply(self, verb: Verb, of: &Of) -> Self {
        self.add(of, verb, Purpose::Apply)
    }

    pub fn undo(self, verb: Verb, of: &Of) -> Self {
        self.add(of, verb, Purpose::Undo)
    }

    /// Fields of an object are written, and put back.
    pub fn fields(self, of: &Of) -> Self {
        self.look(Verb::Get, of)
            .apply(Verb::Patch, of)
            .undo(Verb::Patch, of)
    }

    /// What every kind reads that is about Calico: how it is set up.
    pub fn calico(self) -> Self {
        let daemonset = Of::any_of("apps/v1", "DaemonSet", ANY).named("calico-node");
        self.look(Verb::Get, &daemonset)
            .wide("in every namespace: it is looked for in calico-system too, where Calico's operator has it")
            .look(Verb::Get, &Of::any_of("v1", "ConfigMap", "kube-system"))
            .wide("not for single objects: the DaemonSet calico-node names them")
    }

    /// What every kind reads that is about the mesh, besides hosts.
    pub fn mesh(self) -> Self {
        let configuration = Of {
            api_version: "crd.projectcalico.org/v1".to_owned(),
            kind: "BGPConfiguration".to_owned(),
            namespace: None,
            name: "default".to_owned(),
        };
        let peers = Of {
            kind: "BGPPeer".to_owned(),
            name: ANY.to_owned(),
            ..configuration.clone()
        };
        self.calico()
            .look(Verb::Get, &configuration)
            .look(Verb::List, &peers)
            .wide("all of them: which nodes one is about stands in it")
    }
}

impl Of {
    /// All objects of a kind in a namespace.
    pub fn any_of(api_version: &str, kind: &str, namespace: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: ANY.to_owned(),
        }
    }

    pub fn named(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
        }
    }

    /// The nodes of the run.
    pub fn targets() -> Self {
        Self::node("{{ target.node }}".to_owned())
    }

    /// The object that arguments name by `of` or `node`.
    pub fn told(with: &Value) -> Self {
        if let Some(node) = with.get("node").and_then(Value::as_str) {
            return Self::node(node.to_owned());
        }
        let of = with.get("of").unwrap_or(&Value::Null);
        let text = |key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
        match of {
            Value::Object(_) => Self {
                api_version: text("api_version").unwrap_or_else(|| "v1".to_owned()),
                kind: text("kind").unwrap_or_else(|| ANY.to_owned()),
                namespace: text("namespace"),
                name: text("name").unwrap_or_else(|| ANY.to_owned()),
            },
            other => Self::told_by_template(other),
        }
    }

    /// The objects that arguments name by `manifest` or `manifests`.
    pub fn told_by_manifests(with: &Value) -> Vec<Self> {
        let one = with.get("manifest").map(Self::told_by_manifest);
        let more: Vec<Self> = match with.get("manifests") {
            None => Vec::new(),
            Some(Value::Array(all)) => all.iter().map(Self::told_by_manifest).collect(),
            Some(other) => vec![Self::told_by_template(other)],
        };
        one.into_iter().chain(more).collect()
    }

    fn told_by_manifest(manifest: &Value) -> Self {
        if !manifest.is_object() {
            return Self::told_by_template(manifest);
        }
        // `metadata` as a whole may be a template.
        let below = manifest.get("metadata").filter(|at| at.is_string());
        let text = |at: &str| {
            let found = manifest.pointer(at).or(below).and_then(Value::as_str);
            found.map(str::to_owned)
        };
        Self {
            api_version: manifest
                .get("apiVersion")
                .and_then(Value::as_str)
                .unwrap_or(ANY)
                .to_owned(),
            kind: manifest
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or(ANY)
                .to_owned(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_else(|| ANY.to_owned()),
        }
    }

    /// Nothing is known of it but the template that stands for it.
    fn told_by_template(template: &Value) -> Self {
        let text = template.as_str().unwrap_or(ANY);
        Self {
            api_version: text.to_owned(),
            kind: text.to_owned(),
            namespace: Some(text.to_owned()),
            name: text.to_owned(),
        }
    }
}
