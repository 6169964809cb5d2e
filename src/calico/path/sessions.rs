//! The sessions in which some nodes have a part, each once, with what its two ends say.

use crate::calico::{Family, Mesh, MeshNode};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What one end says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Established,
    Down(String),
    /// Its own sessions are not known, or it is no node.
    Unknown,
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
        let down = |end: &End| matches!(end.says, State::Down(_));
        self.ends.iter().any(down)
    }
}

/// The sessions in which a target has a part: those that a node has, and those that a full mesh gives it.
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
        let missing = match status {
            Some(Ok(_)) => State::Down("no such session".to_owned()),
            _ => State::Unknown,
        };
        let meshed = mesh.full && !node.reflector;
        for other in mesh.nodes.iter().filter(|n| meshed && !n.reflector) {
            for address in other
                .addresses()
                .into_iter()
                .filter(|_| other.name() != node.name())
            {
                let listed = seen.iter().any(|(peer, _)| *peer == address);
                if !listed && own(node, Family::of(address)).is_some() {
                    seen.push((address, missing.clone()));
                }
            }
        }
        for (address, says) in seen {
            let family = Family::of(address);
            let Some(own) = own(node, family) else {
                continue;
            };
            let other = owner(mesh, address).filter(|n| n.name() != node.name());
            let other = other.map(MeshNode::name);
            let here = End {
                name: node.name().to_owned(),
                is_node: true,
                address: own,
                says,
            };
            let there = End {
                name: other.map_or_else(|| address.to_string(), str::to_owned),
                is_node: other.is_some(),
                address,
                says: State::Unknown,
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
        && !matches!(end.says, State::Down(_))
    {
        end.says = said.says;
    }
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
