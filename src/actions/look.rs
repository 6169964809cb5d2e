//! One look at the world: everything is read once, when it is first needed, so that all that is
//! decided in one look rests on the same reading. Looks only read, and take no locks.

mod bgp_path;
mod calico;
mod calico_facts;
mod objects;
mod pods;

use super::world::World;
use crate::calico::MeshNode;
use crate::fault::{API_SILENT, Fault};
use crate::model::facts::Facts;
use crate::model::{
    Digest, DropIn, FileRef, HostRef, Identity, ObjectRef, Program, Ran, SettingRef, SettingState,
    owned_by,
};
use crate::runbook::FactNames;
use crate::transport::{FileReading, NetworkManagerReading, OwnerNames, UnitReading, another_host};
use objects::Kinds;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// What a host is and has, and the names by which runbooks know it.
type FactsOfHost = (Arc<Facts>, Arc<FactNames>);

pub use calico_facts::calicoctl_fact;

/// One look.
pub struct Look<'w> {
    world: &'w World,
    nodes: OnceCell<Vec<MeshNode>>,
    calico: calico::Seen,
    kinds: Kinds,
    /// Why the API server is not asked at all.
    silent: Option<Fault>,
    /// What hosts themselves say that they are.
    machine_ids: Mutex<BTreeMap<String, String>>,
    /// What hosts are and have, as whoever read it may see it.
    facts: Mutex<BTreeMap<(String, Identity), FactsOfHost>>,
    /// Digest and size of files of this machine, or why they cannot be read.
    local_files: Mutex<BTreeMap<PathBuf, LocalFile>>,
}

type LocalFile = Result<(Digest, u64), String>;

impl<'w> Look<'w> {
    /// Of hosts alone: the API server was found not to answer.
    pub fn at_hosts(world: &'w World, silent: Fault) -> Self {
        Self {
            silent: Some(silent),
            ..Self::new(world)
        }
    }

    /// Why the API server is not asked.
    pub fn silent(&self) -> Option<&Fault> {
        self.silent.as_ref()
    }

    pub fn new(world: &'w World) -> Self {
        Self {
            world,
            silent: None,
            machine_ids: Mutex::default(),
            facts: Mutex::default(),
            local_files: Mutex::default(),
            nodes: OnceCell::new(),
            calico: calico::Seen::default(),
            kinds: Kinds::default(),
        }
    }

    /// All nodes of the cluster.
    pub async fn nodes(&self) -> Result<&[MeshNode], Fault> {
        let nodes = self
            .nodes
            .get_or_try_init(async || {
                if let Some(silent) = &self.silent {
                    return Err(silent.clone());
                }
                let raw = self.world.cluster.list("/api/v1/nodes").await?;
                Ok::<_, Fault>(raw.iter().filter_map(MeshNode::new).collect())
            })
            .await?;
        Ok(nodes)
    }

    pub async fn node(&self, name: &str) -> Result<&MeshNode, Fault> {
        self.nodes()
            .await?
            .iter()
            .find(|node| node.name() == name)
            .ok_or_else(|| Fault::refused("node_gone", format!("there is no node {name} any more")))
    }

    /// The host of a node, as an identity. While the API server does not say which host that is, the one
    /// that is reached says so itself.
    pub async fn host(&self, node: &str, identity: &Identity) -> Result<HostRef, Fault> {
        let machine_id = match self.node(node).await {
            Ok(node) => node.machine_id.clone(),
            Err(fault) if fault.code == API_SILENT => self.machine_id(node, identity).await?,
            Err(fault) => return Err(fault),
        };
        Ok(HostRef {
            node: node.to_owned(),
            machine_id,
            identity: identity.clone(),
        })
    }

    /// The host that was reached is not that of the node.
    pub fn another_host(&self, node: &str, found: &str, wanted: &str) -> Fault {
        let host = self.world.inventory.destination(node);
        another_host(&host, node, found, wanted)
    }

    async fn machine_id(&self, node: &str, identity: &Identity) -> Result<String, Fault> {
        let mut known = self.machine_ids.lock().await;
        if let Some(id) = known.get(node) {
            return Ok(id.clone());
        }
        let host = self.world.inventory.destination(node);
        let id = self.world.hosts.machine_id(&host, identity).await?;
        known.insert(node.to_owned(), id.clone());
        Ok(id)
    }

    /// What a host is and has, by the names that runbooks know.
    pub async fn fact_names(&self, of: &HostRef) -> Result<Arc<FactNames>, Fault> {
        Ok(self.facts_of(of).await?.1)
    }

    /// What a host is and has.
    pub async fn facts(&self, of: &HostRef) -> Result<Arc<Facts>, Fault> {
        Ok(self.facts_of(of).await?.0)
    }

    async fn facts_of(&self, of: &HostRef) -> Result<FactsOfHost, Fault> {
        let mut known = self.facts.lock().await;
        let key = (of.node.clone(), of.identity.clone());
        if let Some(facts) = known.get(&key) {
            return Ok(facts.clone());
        }
        let host = self.world.inventory.destination(&of.node);
        let facts = self.world.hosts.facts(&host, of).await?;
        let names = Arc::new(FactNames::new(&facts));
        let facts = (Arc::new(facts), names);
        known.insert(key, facts.clone());
        Ok(facts)
    }

    /// A file of a host, with its content.
    pub async fn file(&self, file: &FileRef, owner: &OwnerNames) -> Result<FileReading, Fault> {
        let host = self.world.inventory.destination(&file.host.node);
        self.world.hosts.read_file(&host, file, owner).await
    }

    /// The digest and the size of a file of this machine, or why it cannot be read.
    pub async fn local_file(&self, path: &Path) -> LocalFile {
        let mut known = self.local_files.lock().await;
        if let Some(file) = known.get(path) {
            return file.clone();
        }
        let of = path.to_owned();
        let summed = tokio::task::spawn_blocking(move || match std::fs::metadata(&of) {
            // Whoever opens a pipe waits for its writer.
            Ok(found) if !found.is_file() => Err("it is no file".to_owned()),
            Ok(_) => File::open(&of)
                .and_then(Digest::of_all)
                .map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        });
        let file = summed.await.unwrap_or_else(|e| Err(e.to_string()));
        known.insert(path.to_owned(), file.clone());
        file
    }

    /// What is short where a host has no room for so many bytes more at the path of a file.
    pub async fn room_for(&self, file: &FileRef, size: u64) -> Result<Option<String>, Fault> {
        let host = self.world.inventory.destination(&file.host.node);
        self.world.hosts.room_for(&host, file, size).await
    }

    /// How a setting of a host stands.
    pub async fn setting(&self, of: &SettingRef) -> Result<SettingState, Fault> {
        let host = self.world.inventory.destination(&of.host.node);
        self.world.hosts.read_setting(&host, of).await
    }

    /// The files in folders of a host that are read one after another.
    pub async fn drop_ins(&self, of: &HostRef, folders: &[&str]) -> Result<Vec<DropIn>, Fault> {
        let host = self.world.inventory.destination(&of.node);
        self.world.hosts.read_drop_ins(&host, of, folders).await
    }

    /// A unit of a host's systemd.
    pub async fn unit(&self, of: &HostRef, name: &str) -> Result<UnitReading, Fault> {
        let host = self.world.inventory.destination(&of.node);
        self.world.hosts.read_unit(&host, of, name).await
    }

    /// How NetworkManager is set up on a host.
    pub async fn network_manager(&self, of: &HostRef) -> Result<NetworkManagerReading, Fault> {
        let host = self.world.inventory.destination(&of.node);
        self.world.hosts.read_network_manager(&host, of).await
    }

    /// What a program that only reads gives, for at most `limit` seconds.
    pub async fn program(&self, of: &HostRef, program: &Program, limit: u64) -> Result<Ran, Fault> {
        let host = self.world.inventory.destination(&of.node);
        let read = self.world.hosts.read_program(&host, of, program, limit);
        read.await
    }

    /// A node's object, whole.
    pub async fn node_object(&self, name: &str) -> Result<(ObjectRef, Value), Fault> {
        let object = self.node(name).await?.object.clone();
        let now = self.world.cluster.object(&object).await?;
        now.map(|now| (object, now))
            .ok_or_else(|| Fault::refused("node_gone", format!("there is no node {name} any more")))
    }

    /// The pod of a controller on a node, and how it is.
    pub async fn pod_of(
        &self,
        owner: &ObjectRef,
        node: &str,
    ) -> Result<Option<(ObjectRef, Value)>, Fault> {
        let namespace = owner.namespace.as_deref().unwrap_or("default");
        let pods = self.world.cluster.pods_on(namespace, node).await?;
        Ok(pods
            .into_iter()
            .filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none())
            .find(|pod| owned_by(pod, &owner.uid))
            .and_then(|pod| Some((pod_ref(&pod)?, pod))))
    }
}

fn pod_ref(pod: &Value) -> Option<ObjectRef> {
    let text = |at: &str| pod.pointer(at).and_then(Value::as_str).map(str::to_owned);
    Some(ObjectRef {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        resource: "pods".to_owned(),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name")?,
        uid: text("/metadata/uid")?,
    })
}
