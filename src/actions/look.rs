//! One look at the world: everything is read once, when it is first needed, so that all that is
//! decided in one look rests on the same reading. Looks only read, and take no locks.

mod objects;

use super::world::World;
use crate::calico::{
    CalicoNode, EnvValue, Mesh, MeshNode, Reading, parse_links, parse_node_status,
};
use crate::fault::{API_SILENT, Fault};
use crate::model::facts::Facts;
use crate::model::{
    Digest, DropIn, FileRef, HostRef, Identity, ObjectRef, Program, Ran, SettingRef, SettingState,
    owned_by,
};
use crate::runbook::FactNames;
use crate::transport::{FileReading, NetworkManagerReading, OwnerNames, UnitReading, another_host};
use futures::{StreamExt, stream};
use objects::Kinds;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};
use ulid::Ulid;

/// How many hosts are read at a time.
const HOSTS_AT_ONCE: usize = 32;

/// What a host is and has, and the names by which runbooks know it.
type FactsOfHost = (Arc<Facts>, Arc<FactNames>);

/// One look.
pub struct Look<'w> {
    world: &'w World,
    nodes: OnceCell<Vec<MeshNode>>,
    calico: OnceCell<CalicoNode>,
    full_mesh: OnceCell<bool>,
    readings: OnceCell<BTreeMap<String, Result<Reading, Fault>>>,
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
            calico: OnceCell::new(),
            full_mesh: OnceCell::new(),
            readings: OnceCell::new(),
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

    /// The DaemonSet calico-node, where this is an install that can be healed: from manifests, with
    /// Kubernetes as its datastore, and BGP.
    pub async fn calico(&self) -> Result<&CalicoNode, Fault> {
        self.calico.get_or_try_init(|| self.detect_calico()).await
    }

    async fn detect_calico(&self) -> Result<CalicoNode, Fault> {
        let at = |namespace: &str| {
            format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/calico-node")
        };
        let cluster = &self.world.cluster;
        let Some(raw) = cluster.get(&at("kube-system")).await? else {
            if cluster.get(&at("calico-system")).await?.is_some() {
                return Err(Fault::refused(
                    "calico_operator",
                    "Calico is managed by its operator here, which takes changes of the DaemonSet back within minutes",
                )
                .next(
                    "set it in the Installation: kubectl patch installation default --type merge -p \
                     '{\"spec\":{\"calicoNetwork\":{\"nodeAddressAutodetectionV4\":{\"firstFound\":null,\"kubernetes\":\"NodeInternalIP\"}}}}'",
                ));
            }
            return Err(Fault::refused(
                "calico_absent",
                "there is no DaemonSet calico-node, neither in kube-system nor in calico-system",
            ));
        };
        let calico = CalicoNode::new(raw).ok_or_else(|| {
            Fault::refused(
                "calico_foreign",
                "the DaemonSet kube-system/calico-node has no container calico-node",
            )
        })?;
        let sources = self.env_sources(&calico).await?;
        for variable in ["IP", CalicoNode::METHOD] {
            if let Some((map, _)) = sources.iter().find(|(_, data)| data.contains_key(variable))
                && calico.env(variable) == EnvValue::Absent
            {
                return Err(Fault::refused(
                    "calico_env_from",
                    format!(
                        "calico-node has {variable} from ConfigMap {map}, not from the DaemonSet"
                    ),
                )
                .next("change it there"));
            }
        }
        let env = async |variable: &str| self.env(&calico, &sources, variable).await;
        match (env("DATASTORE_TYPE").await?, env("ETCD_ENDPOINTS").await?) {
            (Some(kind), _) if kind == "kubernetes" => {}
            (None, None) => {}
            (kind, _) => {
                return Err(Fault::refused(
                    "calico_etcd",
                    format!(
                        "Calico keeps its nodes in {} here; only Kubernetes as its datastore can be healed so far",
                        kind.as_deref().unwrap_or("etcd")
                    ),
                )
                .next("set the address with `calicoctl patch node`, and the method on the DaemonSet"));
            }
        }
        let backend = env("CALICO_NETWORKING_BACKEND").await?;
        if let Some(other) = backend.filter(|b| b != "bird" && !b.is_empty()) {
            return Err(Fault::refused(
                "calico_no_bgp",
                format!("Calico's networking backend is `{other}` here: there is no BGP mesh"),
            ));
        }
        Ok(calico)
    }

    /// What ConfigMaps give calico-node's environment as a whole: their names and entries.
    async fn env_sources(&self, calico: &CalicoNode) -> Result<EnvSources, Fault> {
        let sources = calico.env_from().map_err(|why| {
            Fault::refused(
                "calico_env",
                format!("what calico-node's environment is cannot be told: {why}"),
            )
        })?;
        let mut read = Vec::new();
        for source in sources {
            let data = self.config_map(&source.config_map).await?;
            let data = data
                .into_iter()
                .map(|(key, value)| (format!("{}{key}", source.prefix), value))
                .collect();
            read.push((source.config_map, data));
        }
        Ok(read)
    }

    async fn config_map(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let path = format!("/api/v1/namespaces/kube-system/configmaps/{name}");
        let map = self.world.cluster.get(&path).await?;
        let data = map.as_ref().and_then(|m| m.get("data")?.as_object());
        Ok(data
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect())
    }

    /// A variable's value, looked up in the ConfigMap that it comes from.
    async fn env(
        &self,
        calico: &CalicoNode,
        sources: &EnvSources,
        variable: &str,
    ) -> Result<Option<String>, Fault> {
        let value = match calico.env_entry(variable) {
            // The last source wins.
            None => sources
                .iter()
                .rev()
                .find_map(|(_, data)| data.get(variable).cloned()),
            Some(entry) => {
                let text = |at: &str| entry.pointer(at).and_then(Value::as_str);
                match (
                    text("/valueFrom/configMapKeyRef/name"),
                    text("/valueFrom/configMapKeyRef/key"),
                ) {
                    (Some(map), Some(key)) => self.config_map(map).await?.remove(key),
                    _ => text("/value").map(str::to_owned),
                }
            }
        };
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Whether every node peers with every other one, which is so unless it is switched off.
    async fn full_mesh(&self) -> Result<bool, Fault> {
        self.full_mesh
            .get_or_try_init(async || {
                let config = self
                    .world
                    .cluster
                    .get("/apis/crd.projectcalico.org/v1/bgpconfigurations/default")
                    .await?;
                let off = config
                    .as_ref()
                    .and_then(|c| c.pointer("/spec/nodeToNodeMeshEnabled"))
                    == Some(&Value::Bool(false));
                Ok::<_, Fault>(!off)
            })
            .await
            .copied()
    }

    /// What was read on the host of every node that takes part in the mesh.
    async fn readings(&self) -> Result<&BTreeMap<String, Result<Reading, Fault>>, Fault> {
        self.readings
            .get_or_try_init(async || {
                let members = self.nodes().await?.iter().filter(|n| n.takes_part());
                let reading = |node: &'_ MeshNode| {
                    let node = node.clone();
                    async move { (node.name().to_owned(), self.read_host(&node).await) }
                };
                Ok::<_, Fault>(
                    stream::iter(members.map(reading).collect::<Vec<_>>())
                        .buffer_unordered(HOSTS_AT_ONCE)
                        .collect()
                        .await,
                )
            })
            .await
    }

    /// What was read on the host of a node that takes part in the mesh.
    pub async fn reading(&self, node: &str) -> Result<&Reading, Fault> {
        match self.readings().await?.get(node) {
            Some(Ok(reading)) => Ok(reading),
            Some(Err(fault)) => Err(fault.clone()),
            None => Err(Fault::internal(format!("{node} was not read"))),
        }
    }

    /// The mesh, and which nodes' hosts could not be read.
    pub async fn mesh(&self) -> Result<(Mesh, Vec<(String, Fault)>), Fault> {
        let mut unread = Vec::new();
        let mut read = BTreeMap::new();
        for (node, reading) in self.readings().await? {
            match reading {
                Ok(reading) => {
                    read.insert(node.clone(), reading.clone());
                }
                Err(fault) => unread.push((node.clone(), fault.clone())),
            }
        }
        let (members, bare): (Vec<MeshNode>, Vec<MeshNode>) = self
            .nodes()
            .await?
            .iter()
            .cloned()
            .partition(MeshNode::takes_part);
        // Nodes on which calico-node is not meant to run advertise nothing and are none the worse.
        let wanted = usize::try_from(self.calico().await?.pods()).unwrap_or(0);
        let absent = match members.len() < wanted {
            true => bare.iter().map(|n| n.name().to_owned()).collect(),
            false => Vec::new(),
        };
        let mesh = Mesh {
            nodes: members,
            full: self.full_mesh().await?,
            absent,
            readings: read,
        };
        Ok((mesh, unread))
    }

    async fn read_host(&self, node: &MeshNode) -> Result<Reading, Fault> {
        let (machine_id, node) = (&node.machine_id, node.name());
        let host = self.world.inventory.destination(node);
        // Told apart from whatever a host may print besides.
        let mark = Ulid::generate();
        let script = format!(
            "echo {mark} machine; cat /etc/machine-id 2>/dev/null\n\
             echo; echo {mark} links; ip -json -details address show 2>/dev/null\n\
             echo; echo {mark} sessions\n\
             if command -v calicoctl >/dev/null; then calicoctl node status 2>&1; else echo {mark} absent; fi\n\
             exit 0"
        );
        let text = self.world.hosts.read_as_root(&host, &script).await?;
        let mark = mark.to_string();
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("{mark} {name}\n"))?;
            Some(rest.split(&mark).next().unwrap_or(rest))
        };
        let unreadable =
            |what: String| Fault::refused("host_read", format!("reading from {node}: {what}"));
        let found = part("machine").unwrap_or_default().trim();
        if !found.is_empty() && !machine_id.is_empty() && found != machine_id {
            return Err(another_host(&host, node, found, machine_id));
        }
        let links = part("links").ok_or_else(|| unreadable("it printed no links".to_owned()))?;
        if text.contains(&format!("{mark} absent")) {
            return Err(Fault::refused(
                "no_calicoctl",
                format!(
                    "calicoctl is not on {node}, and without it its BGP sessions cannot be read"
                ),
            )
            .next(format!(
                "put calicoctl of Calico's own version there: runbook apply install-calicoctl --node {node}"
            )));
        }
        let sessions =
            part("sessions").ok_or_else(|| unreadable("it printed no sessions".to_owned()))?;
        Ok(Reading {
            links: parse_links(links).map_err(unreadable)?,
            sessions: parse_node_status(sessions),
        })
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

    /// The pod of a controller on a node.
    pub async fn pod_of(&self, owner: &ObjectRef, node: &str) -> Result<Option<ObjectRef>, Fault> {
        let namespace = owner.namespace.as_deref().unwrap_or("default");
        let pods = self.world.cluster.pods_on(namespace, node).await?;
        Ok(pods
            .iter()
            .filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none())
            .find(|pod| owned_by(pod, &owner.uid))
            .and_then(pod_ref))
    }
}

/// ConfigMaps, each with the variables that it gives.
type EnvSources = Vec<(String, BTreeMap<String, String>)>;

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
