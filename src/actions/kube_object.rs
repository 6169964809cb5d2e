//! Which object of the cluster a step is about.

use crate::model::{Effect, ObjectRef, Prior};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// One object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// The API group and version, such as `apps/v1`; `v1` if left out.
    #[serde(default = "core")]
    pub api_version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The namespace; needed for kinds that are in one, and refused for those that are not.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

fn core() -> String {
    "v1".to_owned()
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl Of {
    /// Checks the names: they become parts of a path of the API server.
    pub fn checked(self) -> Result<Self, String> {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let wrong = |what: &str, text: &str| Err(format!("`{what}`: `{text}` is not one"));
        let version = |text: &str| !text.is_empty() && text.bytes().all(lower);
        let group = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| lower(b) || b == b'.' || b == b'-')
        };
        let known = match self.api_version.split_once('/') {
            None => self.api_version == "v1",
            Some((of, text)) => group(of) && version(text) && !of.starts_with('.'),
        };
        if !known {
            return wrong("api_version", &self.api_version);
        }
        if self.kind.is_empty() || !self.kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return wrong("kind", &self.kind);
        }
        if let Some(namespace) = &self.namespace {
            let fits = namespace.bytes().all(|b| lower(b) || b == b'-');
            if namespace.is_empty() || namespace.len() > 63 || !fits {
                return wrong("namespace", namespace);
            }
        }
        // Names of roles have colons in them.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        let name = &self.name;
        let dots = name.bytes().all(|b| b == b'.');
        if dots || name.len() > 253 || !name.bytes().all(fits) {
            return wrong("name", name);
        }
        Ok(self)
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// A node of the cluster.
    pub fn node(name: String) -> Self {
        Self {
            api_version: core(),
            kind: "Node".to_owned(),
            namespace: None,
            name,
        }
    }

    /// The one that is named, in one of both ways.
    pub fn one(of: Option<Self>, node: Option<String>) -> Result<Self, String> {
        match (of, node) {
            (Some(of), None) => of.checked(),
            (None, Some(node)) => Self::node(node).checked(),
            _ => Err("give `of` or `node`, and not both".to_owned()),
        }
    }

    /// The object that a manifest is about.
    pub fn manifest(manifest: &Value) -> Result<Self, String> {
        let text = |at: &str| manifest.pointer(at).and_then(Value::as_str);
        let needed = |at: &str, name: &str| {
            text(at)
                .map(str::to_owned)
                .ok_or_else(|| format!("the manifest has no `{name}`"))
        };
        Self {
            api_version: needed("/apiVersion", "apiVersion")?,
            kind: needed("/kind", "kind")?,
            namespace: text("/metadata/namespace").map(str::to_owned),
            name: needed("/metadata/name", "metadata.name")?,
        }
        .checked()
    }

    pub fn is_secret(&self) -> bool {
        self.kind == "Secret" && self.api_version == "v1"
    }

    /// Refuses to write what the journal would keep.
    pub fn not_secret(self) -> Result<Self, String> {
        match self.is_secret() {
            true => Err(format!(
                "{self} is not written, as the journal would keep its content: write it with kubectl"
            )),
            false => Ok(self),
        }
    }
}

/// What earlier steps of a plan do to an object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    Makes,
    Deletes,
}

/// What the last of the earlier steps does that makes or deletes the object.
pub fn earlier(prior: Prior<'_>, object: &ObjectRef) -> Option<Earlier> {
    prior
        .effects()
        .filter_map(|effect| match effect {
            Effect::PutObject {
                object: of, after, ..
            } if of.same(object) => Some(match after {
                Some(_) => Earlier::Makes,
                None => Earlier::Deletes,
            }),
            _ => None,
        })
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_cannot_lead_to_another_path() {
        let of = |key: &str, value: &str| {
            let mut args = json!({"api_version": "apps/v1", "kind": "Deployment", "namespace": "n", "name": "x"});
            args[key] = json!(value);
            serde_json::from_value::<Of>(args).unwrap().checked()
        };
        for (key, value) in [
            ("api_version", "v1"),
            ("api_version", "crd.projectcalico.org/v1"),
            ("name", "system:node.x-Y"),
            ("name", "10.0.0.0-16"),
        ] {
            assert!(of(key, value).is_ok(), "{key} {value}");
        }
        for (key, value) in [
            ("api_version", ""),
            ("api_version", "v2"),
            ("api_version", "apps/v1/x"),
            ("api_version", "../v1"),
            ("api_version", "apps/"),
            ("kind", "Deployment/scale"),
            ("kind", ""),
            ("namespace", ""),
            ("namespace", "a/b"),
            ("namespace", "a.b"),
            ("name", ""),
            ("name", ".."),
            ("name", "a/b"),
            ("name", "a?b"),
            ("name", "a%2fb"),
            ("name", "a b"),
        ] {
            assert!(of(key, value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn an_object_is_named_in_one_way_and_a_manifest_names_its_own() {
        let node = Of::one(None, Some("node02".into())).unwrap();
        assert_eq!(node.to_string(), "Node node02");
        assert!(Of::one(None, None).is_err());
        assert!(Of::one(Some(node.clone()), Some("x".into())).is_err());
        let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}});
        let secret = Of::manifest(&manifest).unwrap();
        assert_eq!(secret.to_string(), "Secret n/s");
        assert!(secret.not_secret().is_err() && node.not_secret().is_ok());
        let error = Of::manifest(&json!({"kind": "X", "apiVersion": "v1"})).unwrap_err();
        insta::assert_snapshot!(error, @"the manifest has no `metadata.name`");
    }

    /// What the reference of the kinds is made from.
    #[test]
    fn every_argument_of_these_kinds_is_described() {
        use schemars::schema_for;
        for schema in [
            schema_for!(Of),
            schema_for!(crate::actions::kube_apply::Args),
            schema_for!(crate::actions::kube_assert::Args),
            schema_for!(crate::actions::kube_cordon::Args),
            schema_for!(crate::actions::kube_delete::Args),
            schema_for!(crate::actions::kube_node_metadata::Args),
            schema_for!(crate::actions::kube_patch::Args),
            schema_for!(crate::actions::kube_rollout::Args),
            schema_for!(crate::actions::kube_wait::Args),
        ] {
            let schema = schema.to_value();
            assert!(schema["description"].is_string(), "{schema}");
            assert_eq!(schema["additionalProperties"], json!(false), "{schema}");
            for (name, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{name}: {property}");
            }
        }
    }
}
