//! The mesh: what every node advertises, which sessions there should be, and which there are.

use super::address::Cidr;
use super::family::Family;
use super::link::Link;
use super::node_status::{Daemon, NodeStatus, StatusError};
use super::peering::BgpPeer;
use crate::model::{FieldPath, ObjectRef};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A node with what it advertises. With Kubernetes as Calico's datastore, its annotations hold that; else
/// Calico's own node does.
#[derive(Debug, Clone)]
pub struct MeshNode {
    /// Without a UID where Kubernetes has no such node, although Calico has.
    pub object: ObjectRef,
    /// Its name in Calico's datastore, which need not be the one in Kubernetes.
    pub calico_name: String,
    /// Whether kubelet reports it Ready.
    pub ready: bool,
    /// What kubelet read from /etc/machine-id; empty where it read nothing.
    pub machine_id: String,
    /// Route reflectors have no sessions of the mesh.
    pub reflector: bool,
    pub labels: BTreeMap<String, String>,
    pub internal_ips: Vec<IpAddr>,
    /// As written.
    pub advertised: Option<String>,
    pub advertised_v6: Option<String>,
}

impl MeshNode {
    /// Of a Kubernetes Node.
    pub fn new(raw: &Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let annotation = |name: &str| {
            FieldPath::annotation(name)
                .read(raw)
                .and_then(Value::as_str)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let name = text("/metadata/name")?;
        Some(Self {
            object: ObjectRef {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                resource: "nodes".to_owned(),
                namespace: None,
                name: name.clone(),
                uid: text("/metadata/uid")?,
            },
            calico_name: name,
            ready: crate::model::is_ready(raw),
            labels: labels(raw),
            internal_ips: raw
                .pointer("/status/addresses")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter(|a| a.get("type").and_then(Value::as_str) == Some("InternalIP"))
                .filter_map(|a| a.get("address")?.as_str()?.parse().ok())
                .collect(),
            machine_id: text("/status/nodeInfo/machineID").unwrap_or_default(),
            reflector: annotation("projectcalico.org/RouteReflectorClusterID").is_some(),
            advertised: annotation(Family::Ipv4.annotation()),
            advertised_v6: annotation(Family::Ipv6.annotation()),
        })
    }

    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// Whether Kubernetes has it.
    pub fn in_kubernetes(&self) -> bool {
        !self.object.uid.is_empty()
    }

    /// What it advertises, as written.
    pub fn advertises(&self, family: Family) -> Option<&str> {
        match family {
            Family::Ipv4 => self.advertised.as_deref(),
            Family::Ipv6 => self.advertised_v6.as_deref(),
        }
    }

    /// The address that it advertises; `None` where it is none, too.
    pub fn address(&self, family: Family) -> Option<Cidr> {
        self.advertises(family)?.parse().ok()
    }

    /// Whether it advertises anything, and so takes part.
    pub fn takes_part(&self) -> bool {
        self.advertised.is_some() || self.advertised_v6.is_some()
    }

    /// The addresses under which the others must have a session with it.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let all = Family::BOTH.into_iter();
        all.filter_map(|family| Some(self.address(family)?.ip))
            .collect()
    }

    /// Whether it advertises another address than the one that kubelet registered.
    pub fn strays(&self) -> bool {
        Family::BOTH
            .into_iter()
            .any(|family| self.strays_in(family))
    }

    /// The same of one family. Where kubelet registered no address of it, nobody can tell.
    pub fn strays_in(&self, family: Family) -> bool {
        let mut own = self.internal_ips.iter().filter(|ip| family.has(**ip));
        if self.advertises(family).is_none() || own.clone().next().is_none() {
            return false;
        }
        match self.address(family) {
            Some(cidr) => !own.any(|ip| *ip == cidr.ip),
            None => true,
        }
    }
}

pub(super) fn labels(raw: &Value) -> BTreeMap<String, String> {
    let labels = raw.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

/// What was read on one node's host.
#[derive(Debug, Clone)]
pub struct Reading {
    pub links: Vec<Link>,
    pub sessions: Result<NodeStatus, StatusError>,
}

/// A session that should be established and is not, or a node whose sessions are not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionFault {
    pub from: String,
    /// The node at the other end, or the address if it is no node's; empty where none is known.
    pub to: String,
    /// What the one end says.
    pub state: String,
    /// The ends that advertise a stray address, which then is the likely cause.
    pub strays: Vec<String>,
    /// Nobody could look: whether the sessions are established is not known.
    pub unread: bool,
    /// Where it is known to be of one family alone.
    pub family: Option<Family>,
}

impl SessionFault {
    /// Whether a node is one of its ends.
    pub fn involves(&self, name: &str) -> bool {
        self.from == name || self.to_name() == name
    }

    /// The other end, without the address by which it is seen.
    pub fn to_name(&self) -> &str {
        self.to.split(" (").next().unwrap_or_default()
    }
}

impl std::fmt::Display for SessionFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.to.is_empty() {
            write!(f, "{}: {}", self.from, self.state)
        } else {
            write!(f, "{} → {}: {}", self.from, self.to, self.state)
        }
    }
}

/// The nodes that are in a network which the mesh has for itself, of each family.
#[derive(Debug, Default)]
pub struct OwnNetwork<'m> {
    v4: BTreeSet<&'m str>,
    v6: BTreeSet<&'m str>,
}

impl OwnNetwork<'_> {
    pub fn has(&self, node: &str, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.v4.contains(node),
            Family::Ipv6 => self.v6.contains(node),
        }
    }
}

/// The mesh as it was read.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// The nodes that take part.
    pub nodes: Vec<MeshNode>,
    /// Whether every node peers with every other one (BGPConfiguration `nodeToNodeMeshEnabled`).
    pub full: bool,
    /// Its sessions have a password (BGPConfiguration `nodeMeshPassword`).
    pub password: bool,
    /// What else is configured, whether or not there is a full mesh.
    pub peers: Vec<BgpPeer>,
    /// BGPPeers that are not understood, and why: which sessions they configure is not known.
    pub unclear: Vec<String>,
    /// Nodes that should take part, by the DaemonSet's count, and advertise nothing.
    pub absent: Vec<String>,
    /// Nodes that advertise nothing of a family in which calico-node is to find an address.
    pub lacking: Vec<(String, Family)>,
    pub readings: BTreeMap<String, Reading>,
}

impl Mesh {
    pub fn node(&self, name: &str) -> Option<&MeshNode> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// All sessions that are not as they should be. A node at which nothing is wrong sees every
    /// address of every other node, established, and no other session that is not.
    pub fn faults(&self) -> Vec<SessionFault> {
        let mut faults = BTreeSet::new();
        for name in &self.absent {
            faults.insert(SessionFault {
                from: name.clone(),
                to: String::new(),
                state: "it advertises no address: calico-node does not come up there, or gave its address up".to_owned(),
                strays: Vec::new(),
                unread: false,
                family: None,
            });
        }
        for (name, family) in &self.lacking {
            faults.insert(SessionFault {
                from: name.clone(),
                to: String::new(),
                state: format!("it advertises no {family} address, although calico-node is to find one: it gave its address up, or found none"),
                strays: Vec::new(),
                unread: false,
                family: Some(*family),
            });
        }
        let own = self.own_network();
        for node in &self.nodes {
            self.faults_at(node, &own, &mut faults);
        }
        faults.into_iter().collect()
    }

    fn faults_at(
        &self,
        node: &MeshNode,
        own: &OwnNetwork<'_>,
        faults: &mut BTreeSet<SessionFault>,
    ) {
        let fault = |to: &str, state: String, other: Option<&MeshNode>, family: Option<Family>| {
            SessionFault {
                from: node.name().to_owned(),
                to: to.to_owned(),
                state,
                strays: self.astray(own, [Some(node), other], family),
                unread: false,
                family,
            }
        };
        let of_node = |state: String| fault("", state, None, None);
        let unread = |state: String| SessionFault {
            unread: true,
            ..of_node(state)
        };
        let status = match self.readings.get(node.name()).map(|r| &r.sessions) {
            Some(Ok(status)) => status,
            Some(Err(e)) if e.leaves_open() => {
                faults.insert(unread(e.to_string()));
                return;
            }
            Some(Err(e)) => {
                faults.insert(of_node(e.to_string()));
                return;
            }
            None => {
                let why = match node.in_kubernetes() {
                    true => "its sessions were not read",
                    false => "Calico still has it as a node, and Kubernetes has no such node",
                };
                faults.insert(unread(why.to_owned()));
                return;
            }
        };
        for peer in status.peers.iter().filter(|p| !p.is_established()) {
            let other = self.owner(peer.address);
            let to = other.map_or_else(
                || peer.address.to_string(),
                |n| format!("{} ({})", n.name(), peer.address),
            );
            let state = format!("{} {}", peer.state, peer.info);
            faults.insert(fault(&to, state, other, Some(Family::of(peer.address))));
        }
        let others = self.nodes.iter().filter(|n| n.name() != node.name());
        if !self.full && status.peers.is_empty() && others.clone().next().is_some() {
            faults.insert(of_node("it has no session at all".to_owned()));
        }
        for family in Family::BOTH {
            // Where a family is not used, its BIRD need not run.
            let why = match status.daemon(family) {
                _ if node.advertises(family).is_none() => continue,
                Daemon::NotRunning => format!("its BIRD for {family} does not run"),
                Daemon::Silent(said) => format!("its BIRD for {family} does not answer: {said}"),
                Daemon::NotSaid | Daemon::Answers => continue,
            };
            faults.insert(fault("", why, None, Some(family)));
        }
        self.configured_at(node, status, own, faults);
        if !self.full || node.reflector {
            return;
        }
        for other in others.filter(|n| !n.reflector) {
            for address in other.addresses() {
                let spoken = node
                    .addresses()
                    .iter()
                    .any(|own| own.is_ipv4() == address.is_ipv4());
                if spoken && !status.peers.iter().any(|p| p.address == address) {
                    let to = format!("{} ({address})", other.name());
                    let state = "no such session".to_owned();
                    faults.insert(fault(&to, state, Some(other), Some(Family::of(address))));
                }
            }
        }
    }

    /// Sessions that a BGPPeer configures, and of which there is nothing.
    fn configured_at(
        &self,
        node: &MeshNode,
        status: &NodeStatus,
        own: &OwnNetwork<'_>,
        faults: &mut BTreeSet<SessionFault>,
    ) {
        for peer in &self.peers {
            for address in peer.sessions_of(node, &self.nodes) {
                if status.peers.iter().any(|p| p.address == address) {
                    continue;
                }
                let other = self.owner(address);
                let to = other.map_or_else(
                    || address.to_string(),
                    |n| format!("{} ({address})", n.name()),
                );
                let family = Some(Family::of(address));
                faults.insert(SessionFault {
                    from: node.name().to_owned(),
                    to,
                    state: format!("no such session, and BGPPeer {} configures it", peer.name),
                    strays: self.astray(own, [Some(node), other], family),
                    unread: false,
                    family,
                });
            }
        }
    }

    /// Those that advertise an address of a family which is not their own, and of no use either.
    fn astray(
        &self,
        own: &OwnNetwork<'_>,
        ends: [Option<&MeshNode>; 2],
        family: Option<Family>,
    ) -> Vec<String> {
        let families = Family::BOTH.into_iter();
        let families = families.filter(|f| family.is_none_or(|family| family == *f));
        let strays = |node: &&MeshNode| {
            let mut families = families.clone();
            families.any(|f| self.is_suspect(own, node, f) && !self.works_in(node, f))
        };
        let ends = ends.into_iter().flatten().filter(strays);
        ends.map(|node| node.name().to_owned()).collect()
    }

    /// Whether a node advertises another address than kubelet registered, and not one of the mesh's own network.
    pub fn is_suspect(&self, own: &OwnNetwork<'_>, node: &MeshNode, family: Family) -> bool {
        node.strays_in(family) && !own.has(node.name(), family)
    }

    /// Who is in a network that the mesh has for itself: no node at all advertises its InternalIP, and sessions are
    /// established all the same. Whoever has none, and is in no network with those that have, is not in it.
    pub fn own_network(&self) -> OwnNetwork<'_> {
        let of = |family: Family| -> BTreeSet<&str> {
            let registered = |n: &&MeshNode| n.internal_ips.iter().any(|ip| family.has(*ip));
            let speak = self.nodes.iter().filter(|n| n.advertises(family).is_some());
            let mut known = speak.filter(registered).peekable();
            if known.peek().is_none() || known.any(|node| !node.strays_in(family)) {
                return BTreeSet::new();
            }
            let works = |node: &&MeshNode| self.works_in(node, family);
            let working: Vec<Cidr> = self
                .nodes
                .iter()
                .filter(works)
                .filter_map(|node| node.address(family))
                .collect();
            let is_with = |cidr: Cidr| {
                let mut working = working.iter();
                working.any(|other| other.contains(cidr.ip) || cidr.contains(other.ip))
            };
            let nodes = self.nodes.iter();
            nodes
                .filter(|node| node.address(family).is_some_and(is_with))
                .map(MeshNode::name)
                .collect()
        };
        OwnNetwork {
            v4: of(Family::Ipv4),
            v6: of(Family::Ipv6),
        }
    }

    /// The ends of a fault whose address may be a wrong one although it is of use: nodes that are on a wrong
    /// network together have sessions with each other.
    pub fn suspects(&self, own: &OwnNetwork<'_>, fault: &SessionFault) -> Vec<&MeshNode> {
        let of_fault = |family: &Family| fault.family.is_none_or(|of| of == *family);
        let families = Family::BOTH.into_iter().filter(of_fault);
        let ends = self.nodes.iter().filter(|node| fault.involves(node.name()));
        ends.filter(|node| families.clone().any(|f| self.is_suspect(own, node, f)))
            .collect()
    }

    /// Whether some session with what a node advertises is established: then the address is of use, whosever it
    /// is.
    pub fn works_in(&self, node: &MeshNode, family: Family) -> bool {
        let sessions = |name: &str| {
            let reading = self.readings.get(name)?;
            reading.sessions.as_ref().ok()
        };
        let own = sessions(node.name())
            .is_some_and(|own| own.peers_of(family).any(super::Peer::is_established));
        let address = node.address(family).map(|cidr| cidr.ip);
        own || self.nodes.iter().any(|other| {
            other.name() != node.name()
                && sessions(other.name()).is_some_and(|theirs| {
                    let mut peers = theirs.peers_of(family);
                    peers.any(|p| Some(p.address) == address && p.is_established())
                })
        })
    }

    /// The faults in which a node has a part.
    pub fn faults_of(&self, name: &str) -> Vec<SessionFault> {
        self.faults()
            .into_iter()
            .filter(|f| f.involves(name))
            .collect()
    }

    /// The node that advertises an address; where two do, the one whose own it is.
    fn owner(&self, address: IpAddr) -> Option<&MeshNode> {
        let mut owners = self
            .nodes
            .iter()
            .filter(|node| node.addresses().contains(&address));
        let first = owners.clone().next();
        owners
            .find(|node| node.internal_ips.contains(&address))
            .or(first)
    }

    /// Whether some node has the address by right.
    pub fn is_some_nodes_own(&self, address: IpAddr) -> bool {
        self.nodes
            .iter()
            .any(|node| node.internal_ips.contains(&address))
    }

    /// Where an address still appears: at a node that advertises it, or in a node's sessions.
    pub fn traces_of(&self, address: IpAddr) -> Vec<String> {
        let mut traces = Vec::new();
        for node in &self.nodes {
            if node.addresses().contains(&address) {
                traces.push(format!("{} advertises {address}", node.name()));
            }
            let peers = self
                .readings
                .get(node.name())
                .and_then(|r| r.sessions.as_ref().ok());
            if peers.is_some_and(|s| s.peers.iter().any(|p| p.address == address)) {
                traces.push(format!(
                    "{} still has a session with {address}",
                    node.name()
                ));
            }
        }
        traces
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::node_status::Peer;
    use super::*;
    use serde_json::json;

    pub fn node(name: &str, internal: &str, advertised: Option<&str>) -> MeshNode {
        let mut raw = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "annotations": {}},
            "status": {
                "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": internal}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        if let Some(advertised) = advertised {
            raw["metadata"]["annotations"][Family::Ipv4.annotation()] = json!(advertised);
        }
        MeshNode::new(&raw).unwrap()
    }

    pub fn sees(peers: &[(&str, &str, &str)]) -> Reading {
        Reading {
            links: vec![],
            sessions: Ok(NodeStatus {
                peers: peers
                    .iter()
                    .map(|(address, state, info)| Peer {
                        address: address.parse().unwrap(),
                        kind: "node-to-node mesh".into(),
                        state: (*state).into(),
                        since: "10:00:00".into(),
                        info: (*info).into(),
                    })
                    .collect(),
                bird: Daemon::Answers,
                bird6: Daemon::Answers,
            }),
        }
    }

    /// node02 advertises a stray address; the other two are well.
    pub fn stray() -> Mesh {
        let up = |a| (a, "up", "Established");
        Mesh {
            nodes: vec![
                node("node01", "10.0.0.1", Some("10.0.0.1/24")),
                node("node02", "10.0.0.2", Some("172.18.0.1/16")),
                node("node03", "10.0.0.3", Some("10.0.0.3/24")),
            ],
            full: true,
            password: false,
            peers: vec![],
            unclear: vec![],
            absent: vec![],
            lacking: vec![],
            readings: [
                (
                    "node01",
                    sees(&[("172.18.0.1", "start", "Passive"), up("10.0.0.3")]),
                ),
                (
                    "node02",
                    sees(&[
                        ("10.0.0.1", "start", "Active Socket: Connection refused"),
                        ("10.0.0.3", "start", "Connect"),
                    ]),
                ),
                (
                    "node03",
                    sees(&[("172.18.0.1", "start", "Passive"), up("10.0.0.1")]),
                ),
            ]
            .map(|(name, reading)| (name.to_owned(), reading))
            .into(),
        }
    }

    /// node02 and node03 are on a wrong network together.
    pub fn stray_together() -> Mesh {
        let up = |a| (a, "up", "Established");
        let mut mesh = stray();
        mesh.nodes[2] = node("node03", "10.0.0.3", Some("172.18.0.3/16"));
        let down = |a| (a, "start", "Connect");
        mesh.readings = [
            ("node01", sees(&[down("172.18.0.1"), down("172.18.0.3")])),
            ("node02", sees(&[down("10.0.0.1"), up("172.18.0.3")])),
            ("node03", sees(&[down("10.0.0.1"), up("172.18.0.1")])),
        ]
        .map(|(name, reading)| (name.to_owned(), reading))
        .into();
        mesh
    }

    pub fn healthy() -> Mesh {
        let up = |a| (a, "up", "Established");
        let mut mesh = stray();
        mesh.nodes[1] = node("node02", "10.0.0.2", Some("10.0.0.2/24"));
        mesh.readings = [
            ("node01", sees(&[up("10.0.0.2"), up("10.0.0.3")])),
            ("node02", sees(&[up("10.0.0.1"), up("10.0.0.3")])),
            ("node03", sees(&[up("10.0.0.1"), up("10.0.0.2")])),
        ]
        .map(|(name, reading)| (name.to_owned(), reading))
        .into();
        mesh
    }

    fn lines(faults: &[SessionFault]) -> String {
        faults
            .iter()
            .map(|f| match f.strays.join(", ") {
                strays if strays.is_empty() => format!("{f}\n"),
                strays => format!("{f} (stray: {strays})\n"),
            })
            .collect()
    }

    #[test]
    fn a_healthy_mesh_has_no_faults() {
        assert_eq!(healthy().faults(), []);
        assert!(healthy().nodes.iter().all(|n| !n.strays()));
    }

    #[test]
    fn a_stray_address_shows_at_both_ends() {
        let mesh = stray();
        assert!(mesh.node("node02").unwrap().strays());
        insta::assert_snapshot!(lines(&mesh.faults()), @"
        node01 → node02 (172.18.0.1): start Passive (stray: node02)
        node02 → node01 (10.0.0.1): start Active Socket: Connection refused (stray: node02)
        node02 → node03 (10.0.0.3): start Connect (stray: node02)
        node03 → node02 (172.18.0.1): start Passive (stray: node02)
        ");
        assert_eq!(mesh.faults_of("node02").len(), 4);
        assert_eq!(mesh.faults_of("node01").len(), 2);
        assert_eq!(
            mesh.traces_of("172.18.0.1".parse().unwrap()),
            [
                "node01 still has a session with 172.18.0.1",
                "node02 advertises 172.18.0.1",
                "node03 still has a session with 172.18.0.1"
            ]
        );
        assert!(
            healthy()
                .traces_of("172.18.0.1".parse().unwrap())
                .is_empty()
        );
    }

    #[test]
    fn a_session_that_is_not_there_is_a_fault_in_a_full_mesh_only() {
        let mut mesh = healthy();
        mesh.readings
            .insert("node01".into(), sees(&[("10.0.0.2", "up", "Established")]));
        insta::assert_snapshot!(lines(&mesh.faults()), @"node01 → node03 (10.0.0.3): no such session");
        mesh.full = false;
        assert_eq!(mesh.faults(), []);
        // Without the mesh, a node with no session at all has one too few.
        mesh.readings.insert("node01".into(), sees(&[]));
        insta::assert_snapshot!(lines(&mesh.faults()), @"node01: it has no session at all");
    }

    #[test]
    fn what_a_bgp_peer_configures_is_missed() {
        let mut mesh = healthy();
        let peer =
            json!({"metadata": {"name": "tor"}, "spec": {"peerIP": "192.0.2.1", "node": "node02"}});
        mesh.peers.push(BgpPeer::new(&peer).unwrap());
        insta::assert_snapshot!(lines(&mesh.faults()), @"node02 → 192.0.2.1: no such session, and BGPPeer tor configures it");
        let established = sees(&[
            ("10.0.0.1", "up", "Established"),
            ("10.0.0.3", "up", "Established"),
            ("192.0.2.1", "up", "Established"),
        ]);
        mesh.readings.insert("node02".into(), established);
        assert_eq!(mesh.faults(), []);
        // Without the mesh it is missed all the same.
        mesh.full = false;
        mesh.readings
            .insert("node02".into(), sees(&[("10.0.0.1", "up", "Established")]));
        assert_eq!(mesh.faults().len(), 1);
    }

    #[test]
    fn route_reflectors_have_no_sessions_of_the_mesh() {
        let mut mesh = healthy();
        mesh.nodes[2].reflector = true;
        for name in ["node01", "node02"] {
            let other = if name == "node01" {
                "10.0.0.2"
            } else {
                "10.0.0.1"
            };
            mesh.readings
                .insert(name.into(), sees(&[(other, "up", "Established")]));
        }
        mesh.readings
            .insert("node03".into(), sees(&[("10.0.0.1", "up", "Established")]));
        assert_eq!(mesh.faults(), []);
    }

    #[test]
    fn sessions_are_expected_in_the_families_that_both_speak() {
        let mut mesh = healthy();
        mesh.nodes[2].advertised_v6 = Some("fd00::3/64".into());
        assert_eq!(mesh.faults(), []);
        mesh.nodes[1].advertised_v6 = Some("fd00::2/64".into());
        insta::assert_snapshot!(lines(&mesh.faults()), @"
        node02 → node03 (fd00::3): no such session
        node03 → node02 (fd00::2): no such session
        ");
    }

    #[test]
    fn each_family_goes_astray_by_itself() {
        let mut mesh = healthy();
        for (at, n) in [(0, 1), (1, 2), (2, 3)] {
            mesh.nodes[at].advertised_v6 = Some(format!("fd00::{n}/64"));
            mesh.nodes[at]
                .internal_ips
                .push(format!("fd00::{n}").parse().unwrap());
        }
        mesh.nodes[1].advertised_v6 = Some("fd99::1/64".into());
        let up = |a| (a, "up", "Established");
        mesh.readings.insert(
            "node01".into(),
            sees(&[
                up("10.0.0.2"),
                up("10.0.0.3"),
                up("fd00::3"),
                ("fd99::1", "start", "Passive"),
            ]),
        );
        insta::assert_snapshot!(lines(&mesh.faults_of("node01")), @"
        node01 → node02 (fd99::1): start Passive (stray: node02)
        node02 → node01 (fd00::1): no such session (stray: node02)
        node03 → node01 (fd00::1): no such session
        ");
        // An address by which sessions are established is of use.
        mesh.readings.insert(
            "node03".into(),
            sees(&[up("10.0.0.1"), up("10.0.0.2"), up("fd00::1"), up("fd99::1")]),
        );
        assert!(mesh.faults().iter().all(|fault| fault.strays.is_empty()));
    }

    #[test]
    fn a_node_that_should_take_part_and_does_not_is_a_fault() {
        let mut mesh = healthy();
        mesh.absent = vec!["node04".into()];
        insta::assert_snapshot!(lines(&mesh.faults()), @"node04: it advertises no address: calico-node does not come up there, or gave its address up");
    }

    #[test]
    fn an_address_that_two_advertise_is_its_owners() {
        let mut mesh = healthy();
        mesh.nodes[0] = node("node01", "10.0.0.1", Some("10.0.0.3/24"));
        assert_eq!(
            mesh.owner("10.0.0.3".parse().unwrap()).unwrap().name(),
            "node03"
        );
        assert!(mesh.is_some_nodes_own("10.0.0.3".parse().unwrap()));
        assert!(!mesh.is_some_nodes_own("172.18.0.1".parse().unwrap()));
    }

    #[test]
    fn a_node_that_cannot_be_read_is_a_fault() {
        let mut mesh = healthy();
        mesh.readings.remove("node01");
        mesh.readings.get_mut("node02").unwrap().sessions = Err(StatusError::NoBird);
        insta::assert_snapshot!(lines(&mesh.faults()), @"
        node01: its sessions were not read
        node02: BIRD does not run there
        ");
    }

    #[test]
    fn a_path_at_fault_is_not_stray() {
        let mut mesh = healthy();
        mesh.readings.insert(
            "node01".into(),
            sees(&[
                ("10.0.0.2", "start", "Active Socket: Connection refused"),
                ("10.0.0.3", "up", "Established"),
            ]),
        );
        insta::assert_snapshot!(lines(&mesh.faults()), @"node01 → node02 (10.0.0.2): start Active Socket: Connection refused");
    }

    #[test]
    fn nodes_that_are_on_a_wrong_network_together_are_suspect() {
        let mesh = stray_together();
        let faults = mesh.faults();
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.strays.is_empty()));
        let own = mesh.own_network();
        let suspects = faults.iter().flat_map(|f| mesh.suspects(&own, f));
        let suspects: BTreeSet<&str> = suspects.map(MeshNode::name).collect();
        assert_eq!(suspects, ["node02", "node03"].into());
        let mut other = faults[0].clone();
        other.family = Some(Family::Ipv6);
        assert!(mesh.suspects(&own, &other).is_empty());
    }

    #[test]
    fn in_a_mesh_with_a_network_of_its_own_nobody_strays() {
        let (up, down) = (|a| (a, "up", "Established"), |a| (a, "start", "Connect"));
        let mut mesh = stray();
        for (n, node) in mesh.nodes.iter_mut().enumerate() {
            node.advertised = Some(format!("192.0.2.{}/24", n + 1));
        }
        mesh.readings = [
            ("node01", sees(&[up("192.0.2.2"), down("192.0.2.3")])),
            ("node02", sees(&[up("192.0.2.1"), down("192.0.2.3")])),
            ("node03", sees(&[down("192.0.2.1"), down("192.0.2.2")])),
        ]
        .map(|(name, reading)| (name.to_owned(), reading))
        .into();
        let faults = mesh.faults();
        assert_eq!(faults.len(), 4);
        assert!(faults.iter().all(|fault| fault.strays.is_empty()));
        let own = mesh.own_network();
        assert!(
            faults
                .iter()
                .all(|fault| mesh.suspects(&own, fault).is_empty())
        );
        // One of which nobody knows the InternalIP does not speak for the others.
        let mut with_other = mesh.clone();
        with_other
            .nodes
            .push(node("old", "fd00::9", Some("192.0.2.9/24")));
        assert!(with_other.own_network().has("node01", Family::Ipv4));
        // Nor is one in it that picked another network.
        let mut docker = mesh.clone();
        docker.nodes[2].advertised = Some("172.18.0.1/16".into());
        assert!(!docker.own_network().has("node03", Family::Ipv4));
        let strays = |mesh: &Mesh| -> BTreeSet<String> {
            let faults = mesh.faults().into_iter();
            faults.flat_map(|fault| fault.strays).collect()
        };
        assert_eq!(strays(&docker), ["node03".to_owned()].into());
        // Where no session is established, all of them may be wrong.
        for reading in mesh.readings.values_mut() {
            reading.sessions = Ok(NodeStatus {
                peers: vec![],
                bird: Daemon::Answers,
                bird6: Daemon::Answers,
            });
        }
        assert!(mesh.faults().iter().all(|fault| fault.strays.len() == 2));
    }

    #[test]
    fn a_name_that_begins_another_is_not_it() {
        let mut mesh = stray();
        mesh.nodes[1].object.name = "node0".into();
        assert!(mesh.faults_of("node").is_empty());
    }
}
