//! Calico: how it is installed, its nodes wherever it keeps them, and the mesh.

use super::Look;
use crate::calico::{
    BgpPeer, CalicoNode, Datastore, Detection, EnvValue, Family, Install, Installation, Mesh,
    MeshNode, NodeStatus, Reading, StatusError, Version, has_password, items_of_store,
    nodes_of_store, parse_calico_node_status, parse_links, parse_node_status,
};
use crate::fault::{Class, Fault};
use crate::model::{HostRef, Identity, is_ready};
use crate::transport::{CalicoStore, DockerNetwork, no_calicoctl};
use futures::{StreamExt, stream};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use tokio::sync::OnceCell;

/// How many hosts are read at a time.
const HOSTS_AT_ONCE: usize = 32;
/// How many hosts are asked for Calico's datastore before it counts as unreadable.
const STORE_TRIES: usize = 3;

/// What was seen of Calico, each part once.
#[derive(Default)]
pub(super) struct Seen {
    install: OnceCell<Install>,
    members: OnceCell<Vec<MeshNode>>,
    store: OnceCell<CalicoStore>,
    configuration: OnceCell<Option<Value>>,
    peers: OnceCell<Vec<Value>>,
    statuses: OnceCell<Vec<Value>>,
    readings: OnceCell<BTreeMap<String, Result<Reading, Fault>>>,
}

/// ConfigMaps, each with the variables that it gives.
type EnvSources = Vec<(String, BTreeMap<String, String>)>;

impl Look<'_> {
    /// How Calico is installed, where this is an install that can be healed: one with a BGP mesh, of a
    /// version and over a datastore that are known.
    pub async fn calico(&self) -> Result<&Install, Fault> {
        let install = self.install().await?;
        match &install.datastore {
            Datastore::Kubernetes | Datastore::Etcd { .. } => {}
            Datastore::EtcdV2 => {
                return Err(Fault::refused(
                    "calico_too_old",
                    "this is Calico 2.x, which keeps its nodes in etcd's version 2: it is too old to be healed from here",
                )
                .next("Calico 3 is the oldest that is known here"));
            }
            Datastore::Other(other) => {
                return Err(Fault::refused(
                    "calico_datastore",
                    format!("calico-node's DATASTORE_TYPE is `{other}`, which no Calico is known to take"),
                )
                .next("known are kubernetes and etcdv3"));
            }
        }
        if let Some(other) = install.backend.as_deref().filter(|b| *b != "bird") {
            return Err(Fault::refused(
                "calico_no_bgp",
                format!("Calico's networking backend is `{other}` here: there is no BGP mesh"),
            )
            .next("what is amiss here is no matter of BGP"));
        }
        if let Some((variable, map)) = &install.elsewhere {
            return Err(Fault::refused(
                "calico_env_from",
                format!("calico-node has {variable} from ConfigMap {map}, not from the DaemonSet"),
            )
            .next("change it there"));
        }
        Ok(install)
    }

    /// How Calico is installed, whatever can be done with that.
    pub async fn install(&self) -> Result<&Install, Fault> {
        self.calico
            .install
            .get_or_try_init(|| self.detect_install())
            .await
    }

    async fn detect_install(&self) -> Result<Install, Fault> {
        let at = |namespace: &str| {
            format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/calico-node")
        };
        if let Some(silent) = &self.silent {
            return Err(silent.clone());
        }
        let cluster = &self.world.cluster;
        let (raw, of_operator) = match cluster.get(&at("calico-system")).await? {
            Some(raw) => (raw, true),
            None => match cluster.get(&at("kube-system")).await? {
                Some(raw) => (raw, false),
                None => {
                    return Err(Fault::refused(
                        "calico_absent",
                        "there is no DaemonSet calico-node, neither in kube-system nor in calico-system",
                    )
                    .next("look whether this is the right cluster (--context), and how Calico runs in it"));
                }
            },
        };
        let node = CalicoNode::new(raw).ok_or_else(|| {
            Fault::refused(
                "calico_foreign",
                "the DaemonSet calico-node has no container calico-node",
            )
            .next("look what it is: kubectl get daemonset -A calico-node -o yaml")
        })?;
        let operator = match of_operator {
            true => Some(self.installation().await?),
            false => None,
        };
        let sources = self.env_sources(&node).await?;
        let elsewhere = Family::BOTH
            .into_iter()
            .flat_map(|f| [f.variable(), f.method_variable()])
            .filter(|variable| node.env(variable) == EnvValue::Absent)
            .find_map(|variable| {
                let (map, _) = sources
                    .iter()
                    .find(|(_, data)| data.contains_key(variable))?;
                Some((variable.to_owned(), map.clone()))
            });
        let env = async |variable: &str| self.env(&node, &sources, variable).await;
        let major = node.version().map(|v: Version| v.major);
        let datastore = Datastore::new(
            env("DATASTORE_TYPE").await?.as_deref(),
            env("ETCD_ENDPOINTS").await?.as_deref(),
            major,
        );
        let backend = env("CALICO_NETWORKING_BACKEND").await?;
        Ok(Install {
            node,
            operator,
            datastore,
            backend,
            elsewhere,
        })
    }

    async fn installation(&self) -> Result<Installation, Fault> {
        let path = format!(
            "/apis/{}/installations/{}",
            Installation::API_VERSION,
            Installation::NAME
        );
        let raw = self.world.cluster.get(&path).await?;
        raw.and_then(Installation::new).ok_or_else(|| {
            Fault::refused(
                "calico_installation",
                "calico-node is in calico-system, where its operator puts it, and there is no Installation `default` that says how",
            )
            .next("look who installs Calico here: kubectl get installations")
        })
    }

    /// What ConfigMaps give calico-node's environment as a whole: their names and entries.
    async fn env_sources(&self, calico: &CalicoNode) -> Result<EnvSources, Fault> {
        let sources = calico.env_from().map_err(|why| {
            Fault::refused(
                "calico_env",
                format!("what calico-node's environment is cannot be told: {why}"),
            )
            .next("look at it: kubectl get daemonset -A -o yaml, container calico-node")
        })?;
        let mut read = Vec::new();
        for source in sources {
            let data = self.config_map(calico, &source.config_map).await?;
            let data = data
                .into_iter()
                .map(|(key, value)| (format!("{}{key}", source.prefix), value))
                .collect();
            read.push((source.config_map, data));
        }
        Ok(read)
    }

    async fn config_map(
        &self,
        calico: &CalicoNode,
        name: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let namespace = calico.object.namespace.as_deref().unwrap_or("kube-system");
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
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
                    (Some(map), Some(key)) => {
                        let value = self.config_map(calico, map).await?.remove(key);
                        let optional = "/valueFrom/configMapKeyRef/optional";
                        if value.is_none() && entry.pointer(optional) != Some(&Value::Bool(true)) {
                            return Err(untold(variable, &format!("ConfigMap {map} has no {key}")));
                        }
                        value
                    }
                    _ if entry.get("valueFrom").is_some() => {
                        let why = "it comes from neither the DaemonSet nor a ConfigMap";
                        return Err(untold(variable, why));
                    }
                    _ => text("/value").map(str::to_owned),
                }
            }
        };
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// All nodes, with what each advertises as Calico's datastore has it, and Calico's own that Kubernetes
    /// does not have.
    pub async fn mesh_nodes(&self) -> Result<&[MeshNode], Fault> {
        let nodes = self
            .calico
            .members
            .get_or_try_init(async || {
                let nodes = self.nodes().await?;
                if self.install().await?.etcd().is_none() {
                    return Ok::<_, Fault>(nodes.to_vec());
                }
                let store = self.store().await?;
                nodes_of_store(&store.nodes, nodes).map_err(unreadable)
            })
            .await?;
        Ok(nodes)
    }

    /// One node, with what it advertises.
    pub async fn mesh_node(&self, name: &str) -> Result<&MeshNode, Fault> {
        self.mesh_nodes()
            .await?
            .iter()
            .find(|node| node.name() == name)
            .ok_or_else(|| Fault::refused("node_gone", format!("there is no node {name} any more")))
    }

    /// Calico's own datastore, by the first host whose calicoctl reads it.
    async fn store(&self) -> Result<&CalicoStore, Fault> {
        self.calico
            .store
            .get_or_try_init(async || {
                let endpoints = self.install().await?.etcd().unwrap_or_default().to_owned();
                let mut nodes: Vec<&MeshNode> = self.nodes().await?.iter().collect();
                nodes.sort_by_key(|node| !node.ready);
                let mut first: Option<Fault> = None;
                for node in nodes.into_iter().take(STORE_TRIES) {
                    let host = self.world.inventory.destination(node.name());
                    let of = host_of(node);
                    let read = self.world.hosts.read_calico_store(&host, &of, &endpoints);
                    match read.await {
                        Ok(store) => return Ok(store),
                        // What is wrong with calicoctl says more than a host that is away.
                        Err(fault) => {
                            let better = first.as_ref().is_none_or(|first| {
                                first.class == Class::Unreachable
                                    && fault.class != Class::Unreachable
                            });
                            if better {
                                first = Some(fault);
                            }
                        }
                    }
                }
                Err(first.unwrap_or_else(|| {
                    Fault::refused(
                        "calico_store",
                        "there is no node by which Calico's datastore could be read",
                    )
                }))
            })
            .await
    }

    /// Calico's BGPConfiguration for all nodes, where there is one.
    pub(super) async fn bgp_configuration(&self) -> Result<Option<&Value>, Fault> {
        let configuration = self.calico.configuration.get_or_try_init(async || {
            if self.install().await?.etcd().is_none() {
                let path = "/apis/crd.projectcalico.org/v1/bgpconfigurations/default";
                return self.world.cluster.get(path).await;
            }
            let all = items_of_store(&self.store().await?.configurations).map_err(unreadable)?;
            let usual =
                |c: &Value| c.pointer("/metadata/name").and_then(Value::as_str) == Some("default");
            Ok(all.into_iter().find(usual))
        });
        Ok(configuration.await?.as_ref())
    }

    /// All BGPConfigurations, those of single nodes too; none where nobody may read them.
    pub(super) async fn bgp_configurations(&self) -> Result<Vec<Value>, Fault> {
        if self.calico().await?.etcd().is_some() {
            return items_of_store(&self.store().await?.configurations).map_err(unreadable);
        }
        match self.all_of("bgpconfigurations").await {
            Err(fault) if fault.code == "api_forbidden" => Ok(Vec::new()),
            all => all,
        }
    }

    /// Whether every node peers with every other one, which is so unless it is switched off.
    pub(super) async fn full_mesh(&self) -> Result<bool, Fault> {
        let configuration = self.bgp_configuration().await?;
        let enabled = configuration.and_then(|c| c.pointer("/spec/nodeToNodeMeshEnabled"));
        Ok(enabled != Some(&Value::Bool(false)))
    }

    /// The BGPPeers, as they are written.
    async fn bgp_peers(&self) -> Result<&[Value], Fault> {
        let peers = self
            .calico
            .peers
            .get_or_try_init(async || match self.calico().await?.etcd() {
                None => self.all_of("bgppeers").await,
                Some(_) => items_of_store(&self.store().await?.peers).map_err(unreadable),
            });
        Ok(peers.await?)
    }

    /// What calico-node itself says of its sessions, where somebody asked for it: the CalicoNodeStatus
    /// objects. Without the right to read them there is none.
    pub async fn node_statuses(&self) -> Result<&[Value], Fault> {
        let statuses = self.calico.statuses.get_or_try_init(async || {
            if self.calico().await?.etcd().is_some() {
                return Ok(Vec::new());
            }
            match self.all_of("caliconodestatuses").await {
                Err(fault) if fault.code == "api_forbidden" => Ok(Vec::new()),
                statuses => statuses,
            }
        });
        Ok(statuses.await?)
    }

    /// All objects of one of Calico's kinds; none where the cluster does not know it.
    pub(super) async fn all_of(&self, plural: &str) -> Result<Vec<Value>, Fault> {
        let path = format!("/apis/crd.projectcalico.org/v1/{plural}");
        let list = self.world.cluster.get(&path).await?;
        Ok(list
            .and_then(|mut list| match list.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => Some(items),
                _ => None,
            })
            .unwrap_or_default())
    }

    /// Nodes that should take part in the mesh and advertise nothing. Where calico-node is not meant to run,
    /// none does, and is none the worse.
    async fn absent(&self) -> Result<Vec<String>, Fault> {
        let nodes = self.mesh_nodes().await?.iter();
        let (members, bare): (Vec<&MeshNode>, Vec<&MeshNode>) = nodes
            .filter(|node| node.in_kubernetes())
            .partition(|node| node.takes_part());
        let wanted = usize::try_from(self.calico().await?.node.pods()).unwrap_or(0);
        Ok(match members.len() < wanted {
            true => bare.iter().map(|n| n.name().to_owned()).collect(),
            false => Vec::new(),
        })
    }

    /// Members that advertise nothing of a family in which calico-node is to find an address.
    async fn lacking(&self, members: &[MeshNode]) -> Result<Vec<(String, Family)>, Fault> {
        let install = self.calico().await?;
        let mut lacking = Vec::new();
        for family in Family::BOTH {
            if !matches!(install.detection(family), Ok(Detection::Method(_))) {
                continue;
            }
            let without = |n: &&MeshNode| n.in_kubernetes() && n.advertises(family).is_none();
            let without = members.iter().filter(without);
            lacking.extend(without.map(|n| (n.name().to_owned(), family)));
        }
        Ok(lacking)
    }

    /// What was read on the host of every node that takes part in the mesh, or should.
    async fn readings(&self) -> Result<&BTreeMap<String, Result<Reading, Fault>>, Fault> {
        self.calico
            .readings
            .get_or_try_init(async || {
                let absent = self.absent().await?;
                let nodes = self.mesh_nodes().await?.iter();
                let members = nodes.filter(|n| {
                    n.in_kubernetes() && (n.takes_part() || absent.iter().any(|a| a == n.name()))
                });
                let reading = |node: &'_ MeshNode| {
                    let node = node.clone();
                    async move { (node.name().to_owned(), self.read_member(&node).await) }
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

    async fn read_member(&self, node: &MeshNode) -> Result<Reading, Fault> {
        let (host, of) = (self.world.inventory.destination(node.name()), host_of(node));
        let read = self.world.hosts.read_calico_host(&host, &of).await?;
        let unreadable = |what: String| {
            Fault::refused("host_read", format!("reading from {}: {what}", node.name()))
                .next("its links are read by `ip -json address show`, of iproute2 4.13 or later")
        };
        Ok(Reading {
            links: parse_links(&read.links).map_err(unreadable)?,
            sessions: match &read.sessions {
                Some(text) => parse_node_status(text),
                None => self.sessions_by_status(node).await?,
            },
        })
    }

    /// What a node's CalicoNodeStatus says, where there is one.
    async fn sessions_by_status(
        &self,
        node: &MeshNode,
    ) -> Result<Result<NodeStatus, StatusError>, Fault> {
        let of = |status: &&Value| {
            let named = status.pointer("/spec/node").and_then(Value::as_str);
            let asked = status.pointer("/spec/classes").and_then(Value::as_array);
            named == Some(node.calico_name.as_str())
                && asked.is_some_and(|classes| classes.iter().any(|class| class == "BGP"))
        };
        let Some(status) = self.node_statuses().await?.iter().find(of) else {
            return Ok(Err(StatusError::NoCalicoctl));
        };
        // A calico-node that is gone leaves behind what it wrote last, and the time in it is that of the last
        // change.
        let owner = &self.calico().await?.node.object;
        Ok(match self.pod_of(owner, node.name()).await? {
            Some((_, pod)) if is_ready(&pod) => {
                parse_calico_node_status(status).map(|(status, _)| status)
            }
            _ => Err(StatusError::NotReported(
                "its pod is not ready, and what it wrote may be old".to_owned(),
            )),
        })
    }

    /// What was read on the host of a node that takes part in the mesh, or should.
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
                    if reading.sessions == Err(StatusError::NoCalicoctl) {
                        unread.push((node.clone(), no_calicoctl(node, node)));
                    }
                    read.insert(node.clone(), reading.clone());
                }
                Err(fault) => unread.push((node.clone(), fault.clone())),
            }
        }
        let absent = self.absent().await?;
        // What takes no part in the mesh is not missed in it.
        unread.retain(|(node, _)| !absent.contains(node));
        let members = self.mesh_nodes().await?.iter();
        let members: Vec<MeshNode> = members.filter(|n| n.takes_part()).cloned().collect();
        let (mut peers, mut unclear) = (Vec::new(), Vec::new());
        for raw in self.bgp_peers().await? {
            match BgpPeer::new(raw) {
                Ok(peer) => peers.push(peer),
                Err(why) => unclear.push(why),
            }
        }
        let mesh = Mesh {
            lacking: self.lacking(&members).await?,
            nodes: members,
            full: self.full_mesh().await?,
            password: self
                .bgp_configuration()
                .await?
                .is_some_and(|c| has_password(c, "nodeMeshPassword")),
            peers,
            unclear,
            absent,
            readings: read,
        };
        Ok((mesh, unread))
    }

    /// The address by which a node reaches another one, as its kernel chooses it; `None` where it has no way
    /// there.
    pub async fn reached(&self, of: &HostRef, to: IpAddr) -> Result<Option<IpAddr>, Fault> {
        let host = self.world.inventory.destination(&of.node);
        let source = self.world.hosts.route_source(&host, of, to).await?;
        Ok(source.and_then(|source| source.parse().ok()))
    }

    /// Which of docker's networks is on a bridge of a host.
    pub async fn docker_network(&self, of: &HostRef, bridge: &str) -> Result<DockerNetwork, Fault> {
        let host = self.world.inventory.destination(&of.node);
        self.world.hosts.docker_network(&host, of, bridge).await
    }
}

/// The host of a node, as root: BIRD's socket and calicoctl's keys are root's.
fn host_of(node: &MeshNode) -> HostRef {
    HostRef {
        node: node.name().to_owned(),
        machine_id: node.machine_id.clone(),
        identity: Identity::root(),
    }
}

/// What a variable is cannot be told, and so it is not taken for unset.
fn untold(variable: &str, why: &str) -> Fault {
    Fault::refused(
        "calico_env",
        format!("what calico-node has as {variable} cannot be told: {why}"),
    )
    .next("look at it: kubectl get daemonset -A -o yaml, container calico-node")
}

fn unreadable(what: String) -> Fault {
    Fault::refused("calico_store", format!("Calico's datastore: {what}"))
        .next("look at it on a node: calicoctl get nodes -o json")
}
