//! What one end of a session does not do: its address, its way out, its BIRD, its host.

use super::cause::{Cause, Certain};
use super::judge::{Judge, named};
use super::reading::{Ping, Route, Tcp};
use super::sessions::{End, Pair, State};
use crate::calico::{Cidr, Family, MeshNode, StatusError};
use std::collections::BTreeSet;

impl Judge<'_> {
    pub(super) fn addresses(&self, pair: &Pair) -> BTreeSet<Cause> {
        let ends = pair.ends.iter().filter(|end| end.is_node);
        let causes = ends.filter_map(|end| {
            let node = self.mesh.node(&end.name)?;
            if !node.in_kubernetes() {
                return Some(Cause::left_over(&end.name, &node.calico_name));
            }
            let links = self
                .mesh
                .readings
                .get(&end.name)
                .map(|r| r.links.as_slice());
            let links = links.unwrap_or_default();
            let family = Family::of(end.address);
            if strays(node, end) && !self.own.has(&end.name, family) {
                let here = links.iter().find_map(|link| {
                    let address = link.addresses.iter().find(|a| a.cidr.ip == end.address)?;
                    Some((link.name.as_str(), address.cidr))
                });
                return Some(match here {
                    Some((link, cidr)) => {
                        let certain = match self.is_wrong(node, cidr) {
                            true => Certain::Seen,
                            false => Certain::Perhaps,
                        };
                        Cause::not_internal(certain, &end.name, end.address, link)
                    }
                    None => Cause::stray(&end.name, end.address),
                });
            }
            let mut addresses = links.iter().flat_map(|link| &link.addresses);
            (!links.is_empty() && !addresses.any(|a| a.cidr.ip == end.address)).then(|| {
                let (name, ip) = (&end.name, end.address);
                Cause::new(
                    Certain::Seen,
                    format!("{name} advertises {ip}, and none of its links has that address"),
                    format!(
                        "look on {name} (`ip address`) why the link that had {ip} has not any more"
                    ),
                )
            })
        });
        causes.collect()
    }

    /// Whether an address that a node advertises and kubelet did not register is wrong, whatever the way to it is
    /// like: it is of no use, and in another network than the addresses that others advertise by right, while its
    /// InternalIP is in one with them.
    fn is_wrong(&self, node: &MeshNode, cidr: Cidr) -> bool {
        let family = Family::of(cidr.ip);
        let registered = |n: &&MeshNode| n.internal_ips.iter().any(|ip| family.has(*ip));
        let others = self.mesh.nodes.iter().filter(registered);
        let rightly = others.filter(|n| !n.strays_in(family));
        let networks: Vec<Cidr> = rightly
            .filter_map(|n| n.address(family))
            .filter(|other| other.prefix != family.longest_prefix())
            .collect();
        let internal = |other: &Cidr| node.internal_ips.iter().any(|ip| other.contains(*ip));
        let shares = |other: &Cidr| cidr.contains(other.ip) || other.contains(cidr.ip);
        networks.iter().any(internal)
            && !networks.iter().any(shares)
            && !self.mesh.works_in(node, family)
    }

    pub(super) fn route(&self, from: &End, to: &End) -> Option<Cause> {
        match &self.tried(from, to)?.route {
            Route::None { what, lines } => {
                let there = named(to);
                Some(Cause::no_route(&from.name, &there, to.address, what, lines))
            }
            Route::Own => Some(Cause::own_address(&from.name, &to.name, to.address)),
            Route::Out { .. } | Route::Unknown(_) => None,
        }
    }

    /// What BIRD fails to do at an end.
    pub(super) fn bird(&self, end: &End) -> Option<Cause> {
        let port = self.place.port;
        let sessions = self.mesh.readings.get(&end.name).map(|r| &r.sessions);
        let host = self.host(end);
        let family = Family::of(end.address);
        let waits = host.and_then(|h| h.bird.as_ref());
        let idle = waits.is_some_and(|families| !families.contains(&family));
        let what = match sessions {
            Some(Err(StatusError::BirdSilent(said))) if !idle => {
                format!("BIRD is there and does not answer ({said})")
            }
            Some(Err(e @ (StatusError::NotRunning | StatusError::NoBird))) => e.to_string(),
            _ if idle => {
                format!("BIRD for {family} does not run (nobody waits on its control socket)")
            }
            _ if host?.listens_at(end.address) == Some(false) => {
                let others = host?.listens.iter().flatten();
                let others: Vec<String> = others.map(ToString::to_string).collect();
                match others.is_empty() {
                    true => format!("BIRD runs, and nothing listens on TCP {port}"),
                    false => format!(
                        "nothing listens on TCP {port} at {}, only at {}",
                        end.address,
                        others.join(", ")
                    ),
                }
            }
            _ => return None,
        };
        Some(match self.place.pods.get(&end.name) {
            Some(false) => Cause::no_pod(&end.name, self.place.namespace),
            Some(true) => {
                let what = format!("{what}, while calico-node's pod is there");
                Cause::bird(&end.name, &what, Certain::Seen)
            }
            None => Cause::bird(&end.name, &what, Certain::Seen),
        })
    }

    /// Whether an end does not answer anybody.
    pub(super) fn down(&self, end: &End) -> Option<Cause> {
        let why = match self.hosts.get(&end.name)? {
            Err(no) if !no.reached => &no.why,
            _ => return None,
        };
        let mut unanswered = Vec::new();
        for (name, host) in self.hosts {
            let Some(tried) = host.as_ref().ok().and_then(|h| h.peer(end.address)) else {
                continue;
            };
            // A port that refuses answers, too.
            if matches!(tried.tcp, Tcp::Connected | Tcp::Refused) {
                return None;
            }
            match (&tried.ping, &tried.route) {
                (Ping::Answers, _) => return None,
                // Where no way leads to it, silence is the way's.
                (Ping::Silent, Route::Out { .. }) => unanswered.push(name.as_str()),
                _ => {}
            }
        }
        let ready = self.mesh.node(&end.name).is_some_and(|n| n.ready);
        (!unanswered.is_empty()).then(|| Cause::down(&end.name, why, &unanswered, ready))
    }

    /// A node whose BIRD may not have been told of a peer.
    pub(super) fn not_configured(&self, pair: &Pair) -> BTreeSet<Cause> {
        let missing = pair.ends.iter().filter(|end| end.says == State::Missing);
        let causes = missing.map(|end| {
            let what =
                "its BIRD shows no such session: not configured, or down with nothing to say";
            Cause::bird(&end.name, what, Certain::Perhaps)
        });
        causes.collect()
    }
}

/// Whether an end advertises another address than kubelet registered. Where that has none of its family,
/// nobody can tell.
fn strays(node: &MeshNode, end: &End) -> bool {
    let family = Family::of(end.address);
    let mut own = node.internal_ips.iter().filter(|ip| family.has(**ip));
    own.clone().next().is_some() && own.all(|ip| *ip != end.address)
}
