//! How Calico was installed: by its manifests, as the lab does it, or so that it looks like an operator's work.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Lab;
use crate::calico::SELECTOR;
use crate::error::{Error, Result};
use crate::machine::NODES;

const BY_MANIFEST: &str = "kube-system";
const BY_OPERATOR: &str = "calico-system";
const OBJECTS: &str = "daemonset/calico-node,deployment/calico-kube-controllers";

impl Lab {
    /// The namespace of calico-node.
    pub fn calico_namespace(&self) -> &'static str {
        if self.operator_file().exists() {
            BY_OPERATOR
        } else {
            BY_MANIFEST
        }
    }

    /// Makes the API server know the kinds of Tigera's operator, as `manifests/operator-crds.yaml` of Calico v3.31 has
    /// them; the operator itself does not run here. `heal` takes them away again.
    pub fn installation_crd(&self) -> Result<()> {
        let _held = self.lock()?;
        self.need_up()?;
        self.installation_crd_held()
    }

    fn installation_crd_held(&self) -> Result<()> {
        let record = self.operator_crds_file();
        if !record.exists() {
            // Before anything is there: whatever comes of it, `heal` is to take it away.
            fs::write(&record, "").map_err(Error::file("write", &record))?;
            let definitions = operator_definitions(&self.definitions("operator-crds.yaml")?);
            // Too large for what `apply` would write down.
            self.kubectl_feed(&["create", "--validate=false"], &definitions)?;
        }
        self.until("the kind Installation", 60, || {
            let list = self.kubectl(&["get", "installations.operator.tigera.io"])?;
            Ok(list.status.success().then_some(()))
        })
    }

    /// Turns the install into one as an operator would have made it: calico-node in `calico-system`, owned by an
    /// Installation `default`, and nothing of it in `kube-system`. Nobody acts on the Installation. `heal` turns it
    /// back.
    pub fn become_operator_install(&self) -> Result<()> {
        let _held = self.lock()?;
        self.need_machines()?;
        if self.operator_file().exists() {
            return Ok(());
        }
        self.progress.part("the operator's definitions", || {
            self.installation_crd_held()
        })?;
        self.progress
            .part("calico-node in calico-system", || self.move_to_operator())?;
        self.progress
            .part("BGP mesh established", || self.wait_for_mesh(300))
    }

    fn move_to_operator(&self) -> Result<()> {
        let record = self.operator_file();
        // Before anything is moved: whatever comes of it, `heal` is to move it back.
        fs::write(&record, "").map_err(Error::file("write", &record))?;
        let installation = json!({
            "apiVersion": "operator.tigera.io/v1", "kind": "Installation", "metadata": {"name": "default"},
            "spec": {
                "variant": "Calico",
                "calicoNetwork": {
                    "bgp": "Enabled", "linuxDataplane": "Iptables",
                    "nodeAddressAutodetectionV4": {"firstFound": true},
                },
            },
        });
        self.kubectl_feed(&["create"], &installation.to_string())?;
        let uid = self
            .kubectl_json(&["get", "installation", "default"])?
            .pointer("/metadata/uid")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.delete_calico(BY_MANIFEST)?;
        let manifest = self.calico_manifest()?.replace(
            &format!("namespace: {BY_MANIFEST}"),
            &format!("namespace: {BY_OPERATOR}"),
        );
        let namespace =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {BY_OPERATOR}}}\n---\n");
        self.kubectl_feed(&["apply", "--validate=false"], &(namespace + &manifest))?;
        let owned = json!({"metadata": {
            "labels": {"app.kubernetes.io/name": "calico-node"},
            "ownerReferences": [{
                "apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default", "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        }});
        self.kubectl_text(&[
            "-n",
            BY_OPERATOR,
            "patch",
            "daemonset/calico-node",
            "--type=merge",
            "-p",
            &owned.to_string(),
        ])?;
        NODES
            .iter()
            .try_for_each(|node| self.wait_for_right_address(*node))
    }

    /// Turns an operator's install back; says whether it was one.
    pub(crate) fn leave_operator(&self) -> Result<bool> {
        let (moved, defined) = (self.operator_file(), self.operator_crds_file());
        if moved.exists() {
            self.delete_calico(BY_OPERATOR)?;
            self.kubectl_text(&["delete", "namespace", BY_OPERATOR, "--ignore-not-found"])?;
        }
        if !defined.exists() {
            return Ok(false);
        }
        // With all objects of these kinds.
        let definitions = operator_definitions(&self.definitions("operator-crds.yaml")?);
        self.kubectl_feed(&["delete", "--ignore-not-found"], &definitions)?;
        let was = moved.exists();
        for record in [moved, defined]
            .into_iter()
            .filter(|record| record.exists())
        {
            fs::remove_file(&record).map_err(Error::file("remove", &record))?;
        }
        if was {
            self.replace_manifests()?;
        }
        Ok(true)
    }

    /// Ends Calico in a namespace, and waits until its pods are gone: two of them on a node would be in each other's
    /// way.
    fn delete_calico(&self, namespace: &str) -> Result<()> {
        let mut delete = vec!["-n", namespace, "delete", "--ignore-not-found"];
        delete.extend(OBJECTS.split(','));
        self.kubectl_text(&delete)?;
        self.kubectl_text(&[
            "-n",
            namespace,
            "wait",
            "--for=delete",
            "--timeout=120s",
            "pod",
            "-l",
            SELECTOR,
        ])
        .map(drop)
    }

    fn operator_file(&self) -> PathBuf {
        self.run.join("operator-install")
    }

    fn operator_crds_file(&self) -> PathBuf {
        self.run.join("operator-definitions")
    }
}

/// The definitions of the operator's own kinds; the file has Calico's as well.
fn operator_definitions(all: &str) -> String {
    all.split("\n---\n")
        .filter(|one| one.contains("\n  group: operator.tigera.io\n"))
        .collect::<Vec<_>>()
        .join("\n---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operators_own_kinds() {
        let one = |name: &str, group: &str| {
            format!(
                "kind: CustomResourceDefinition\nmetadata:\n  name: {name}\nspec:\n  group: {group}\n  names: {{}}"
            )
        };
        let (own, other) = (
            one("installations", "operator.tigera.io"),
            one("nodes", "crd.projectcalico.org"),
        );
        assert_eq!(
            operator_definitions(&format!("{other}\n---\n{own}\n---\n{other}")),
            own
        );
    }
}
