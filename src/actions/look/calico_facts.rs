//! Calico's facts: how it is installed, before anything is done about it.

use super::Look;
use crate::calico::{CalicoFacts, CalicoctlFacts, Datastore, Detection, Family, Install, MeshNode};
use crate::fault::Fault;
use crate::model::facts::Fact;
use crate::transport::Calicoctl;

impl Look<'_> {
    /// What is known of Calico, and of a host's part in it. What cannot be read says why.
    pub async fn calico_facts(&self, node: &str, calicoctl: Fact<CalicoctlFacts>) -> CalicoFacts {
        match self.install().await {
            Ok(install) => self.facts_of_install(node, install, calicoctl).await,
            Err(fault) if fault.code == "calico_absent" => {
                let mut facts = CalicoFacts::unknown(&fault.message, calicoctl);
                facts.installed_by = Fact::NotApplicable(fault.message);
                facts
            }
            Err(fault) => CalicoFacts::unknown(&fault.message, calicoctl),
        }
    }

    async fn facts_of_install(
        &self,
        node: &str,
        install: &Install,
        calicoctl: Fact<CalicoctlFacts>,
    ) -> CalicoFacts {
        let node = self.mesh_node(node).await;
        let advertised = |family: Family| match &node {
            Ok(node) => match node.advertises(family) {
                Some(address) => Fact::Is(address.to_owned()),
                None => Fact::not_applicable("it advertises none"),
            },
            Err(fault) => Fact::unknown(fault.message.as_str()),
        };
        let detection = |family: Family| match install.detection(family) {
            Ok(Detection::Method(method)) => Fact::Is(method),
            Ok(Detection::Literal(ip)) => Fact::Is(format!("none: it is given {ip}")),
            Ok(Detection::Kept) => Fact::Is("none: what the node holds is kept".to_owned()),
            Ok(Detection::Off) => Fact::not_applicable("it is switched off"),
            Err(why) => Fact::Unknown(why),
        };
        CalicoFacts {
            installed_by: Fact::Is(install.kind().to_owned()),
            datastore: Fact::Is(match &install.datastore {
                store @ Datastore::Etcd { endpoints } => format!("{store} at {endpoints}"),
                store => store.to_string(),
            }),
            version: match install.node.tag() {
                Some(tag) => Fact::Is(tag.to_owned()),
                None => Fact::unknown(format!(
                    "its image has no tag: {}",
                    install.node.image().unwrap_or_default()
                )),
            },
            backend: Fact::Is(install.backend.clone().unwrap_or_else(|| "bird".to_owned())),
            full_mesh: match self.full_mesh().await {
                Ok(full) => Fact::Is(full),
                Err(fault) => Fact::unknown(fault.message),
            },
            ipv4_detection: detection(Family::Ipv4),
            ipv6_detection: detection(Family::Ipv6),
            managed_by: Fact::Is(install.managers()),
            ipv4: advertised(Family::Ipv4),
            ipv6: advertised(Family::Ipv6),
            node: node_name(&node),
            calicoctl,
        }
    }
}

/// A host's calicoctl, as it was read.
pub fn calicoctl_fact(read: Result<Option<Calicoctl>, Fault>) -> Fact<CalicoctlFacts> {
    let found = match read {
        Ok(Some(found)) => found,
        Ok(None) => return Fact::not_applicable("there is no calicoctl"),
        Err(fault) => return Fact::unknown(fault.message),
    };
    Fact::Is(CalicoctlFacts {
        path: found.path,
        version: told(&found.version, "it names none"),
        datastore: match (&found.config, found.stores.as_str()) {
            (None, _) => Fact::not_applicable("it has no configuration file"),
            (Some(_), "") => Fact::unknown("its configuration file names none"),
            (Some(_), stores) => Fact::Is(stores.to_owned()),
        },
        config: match found.config {
            Some(config) => Fact::Is(config),
            None => Fact::not_applicable("there is no /etc/calico/calicoctl.cfg"),
        },
    })
}

fn node_name(node: &Result<&MeshNode, Fault>) -> Fact<String> {
    match node {
        Ok(node) => Fact::Is(node.calico_name.clone()),
        Err(fault) => Fact::unknown(fault.message.as_str()),
    }
}

fn told(text: &str, otherwise: &str) -> Fact<String> {
    match text {
        "" => Fact::unknown(otherwise),
        text => Fact::Is(text.to_owned()),
    }
}
