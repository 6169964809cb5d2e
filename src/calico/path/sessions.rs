//! The sessions in which some nodes have a part, each once, with what its two ends say.

use crate::calico::{Daemon, Family, Mesh, MeshNode};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What one end says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Established,
    Down(String),
    /// There should be one, and its BIRD shows none: calicoctl leaves out one that is down with nothing to say.
    Missing,
    /// Its own sessions are not known, or it is no node.
    Unknown,
}

impl State {
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Missing)
    }
}

/// One end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// A node, or the address where it is none.
    pub name: String,
    pub is_node: bool,
    /// The one under which it takes part.
    pub address: IpAddr,
    pub says: State,
}

/// A session between two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub ends: [End; 2],
}

impl Pair {
    /// Each end, with the other one.
    pub fn both(&self) -> [(&End, &End); 2] {
        let [one, other] = &self.ends;
        [(one, other), (other, one)]
    }

    pub fn name(&self) -> String {
        let [one, other] = &self.ends;
        format!("{} ↔ {}", one.name, other.name)
    }

    /// Whether an end says so, and none denies it.
    pub fn is_established(&self) -> bool {
        let says = |state: &State| self.ends.iter().any(|end| end.says == *state);
        says(&State::Established) && !self.is_down()
    }

    pub fn is_down(&self) -> bool {
        self.ends.iter().any(|end| end.says.is_down())
    }
}

/// The sessions in which a target has a part: those that a node has, and those that a full
/// mesh or a BGPPeer gives it.
pub fn pairs(mesh: &Mesh, targets: &[String]) -> Vec<Pair> {
    let mut found: BTreeMap<(String, String, Family), Pair> = BTreeMap::new();
    for node in &mesh.nodes {
        let status = mesh.readings.get(node.name()).map(|r| &r.sessions);
        let mut seen: Vec<(IpAddr, State)> = Vec::new();
        if let Some(Ok(status)) = status {
            seen.extend(status.peers.iter().map(|peer| {
                let state = match peer.is_established() {
                    true => State::Established,
                    false => State::Down(format!("{} {}", peer.state, peer.info)),
                };
                (peer.address, state)
            }));
        }
        let meshed = mesh.full && !node.reflector;
        let others = mesh.nodes.iter().filter(|n| n.name() != node.name());
        let of_mesh = others.filter(|n| meshed && !n.reflector);
        let of_mesh = of_mesh.flat_map(MeshNode::addresses);
        let peers = mesh.peers.iter();
        let of_peers = peers.flat_map(|peer| peer.sessions_of(node, &mesh.nodes));
        for address in of_mesh.chain(of_peers) {
            let listed = seen.iter().any(|(peer, _)| *peer == address);
            if !listed && own(node, Family::of(address)).is_some() {
                seen.push((address, unlisted(mesh, node, Family::of(address))));
            }
        }
        for (address, says) in seen {
            let family = Family::of(address);
            let Some(own) = own(node, family) else {
                continue;
            };
            let other = owner(mesh, address).filter(|n| n.name() != node.name());
            let there_name = other.map(MeshNode::name);
            let here = End {
                name: node.name().to_owned(),
                is_node: true,
                address: own,
                says,
            };
            let there = End {
                name: there_name.map_or_else(|| address.to_string(), str::to_owned),
                is_node: other.is_some(),
                address,
                // It may have no such session by its own lights: only a BIRD that is dead tells.
                says: match other.map(|n| unlisted(mesh, n, family)) {
                    Some(dead @ State::Down(_)) => dead,
                    _ => State::Unknown,
                },
            };
            if !targets.iter().any(|t| *t == here.name || *t == there.name) {
                continue;
            }
            let key = match here.name <= there.name {
                true => (here.name.clone(), there.name.clone(), family),
                false => (there.name.clone(), here.name.clone(), family),
            };
            match found.get_mut(&key) {
                None => {
                    let ends = [here, there];
                    found.insert(key, Pair { ends });
                }
                Some(pair) => take(pair, here),
            }
        }
    }
    found.into_values().collect()
}

/// What an end says itself; the worst where it says more than one thing.
fn take(pair: &mut Pair, said: End) {
    if let Some(end) = pair.ends.iter_mut().find(|end| end.name == said.name)
        && !end.says.is_down()
    {
        end.says = said.says;
    }
}

/// What a node says of a session that it does not list.
fn unlisted(mesh: &Mesh, node: &MeshNode, family: Family) -> State {
    match mesh.readings.get(node.name()).map(|r| &r.sessions) {
        Some(Ok(status)) => match status.daemon(family) {
            Daemon::Answers => State::Missing,
            Daemon::NotRunning => State::Down(format!("its BIRD for {family} does not run")),
            Daemon::Silent(_) | Daemon::NotSaid => State::Unknown,
        },
        Some(Err(e)) if !e.leaves_open() => State::Down(e.to_string()),
        Some(Err(_)) | None => State::Unknown,
    }
}

/// Why there may be sessions of some nodes besides those that are known.
pub fn open(mesh: &Mesh, targets: &[String]) -> Vec<String> {
    let nodes = targets.iter().filter_map(|target| mesh.node(target));
    let unread = nodes.filter_map(|node| {
        let name = node.name();
        match mesh.readings.get(name).map(|r| &r.sessions) {
            Some(Ok(status)) => {
                let mut spoken = Family::BOTH
                    .into_iter()
                    .filter(|f| node.advertises(*f).is_some());
                let silent = spoken.find(|f| *status.daemon(*f) != Daemon::Answers)?;
                Some(format!(
                    "{name}: its BIRD for {silent} says nothing of its sessions"
                ))
            }
            Some(Err(e)) => Some(format!("{name}: {e}")),
            None => Some(format!("{name}: its sessions were not read")),
        }
    });
    unread.chain(mesh.unclear.iter().cloned()).collect()
}

fn own(node: &MeshNode, family: Family) -> Option<IpAddr> {
    node.addresses().into_iter().find(|ip| family.has(*ip))
}

/// The node that advertises an address; where two do, the one whose own it is.
fn owner(mesh: &Mesh, address: IpAddr) -> Option<&MeshNode> {
    let owners = || {
        mesh.nodes
            .iter()
            .filter(|n| n.addresses().contains(&address))
    };
    owners()
        .find(|n| n.internal_ips.contains(&address))
        .or(owners().next())
}
