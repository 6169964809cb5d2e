//! The judgement: for each session that is not established, what is seen at its two ends, and what of it
//! is the cause.

use super::cause::{Cause, Certain};
use super::reading::{HostPath, PeerPath, Tcp};
use super::sessions::{End, Pair};
use super::table;
use crate::calico::{BgpPeer, Mesh, OwnNetwork};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Why nobody knows what a host would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoHost {
    /// Something was there and answered.
    pub reached: bool,
    pub why: String,
}

/// What the hosts say, by their nodes.
pub type Hosts = BTreeMap<String, Result<HostPath, NoHost>>;

/// A cause, and the sessions that it explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub cause: Cause,
    pub sessions: Vec<String>,
}

/// What became of looking.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    pub total: usize,
    pub established: usize,
    pub down: usize,
    /// Sessions of which neither end says anything.
    pub unknown: Vec<String>,
    /// The most certain first.
    pub causes: Vec<Found>,
    /// Sessions that are down for no reason that is seen.
    pub unexplained: Vec<String>,
    /// Rules against IP protocol 4.
    pub protocol_4: Vec<Cause>,
    /// What could not be read, and where.
    pub unread: Vec<String>,
    pub table: Vec<String>,
}

/// How Calico is set up, as far as it matters here.
#[derive(Debug)]
pub struct Setup<'s> {
    /// Nodes of which it is known whether calico-node's pod is there.
    pub pods: &'s BTreeMap<String, bool>,
    pub port: u16,
    /// Nodes whose BIRD is told to listen on a port of their own (BGPConfiguration `node.<name>`).
    pub own_ports: &'s BTreeMap<String, u16>,
    /// Where calico-node is.
    pub namespace: &'s str,
}

pub(super) struct Judge<'s> {
    pub mesh: &'s Mesh,
    pub hosts: &'s Hosts,
    pub place: &'s Setup<'s>,
    /// Who is in a network that the mesh has for itself.
    pub own: OwnNetwork<'s>,
}

/// Judges the sessions of some nodes.
pub fn judge(mesh: &Mesh, pairs: &[Pair], hosts: &Hosts, place: &Setup<'_>) -> Judgement {
    let port = place.port;
    let own = mesh.own_network();
    let judge = Judge {
        mesh,
        hosts,
        place,
        own,
    };
    let mut judgement = Judgement {
        total: pairs.len(),
        ..Judgement::default()
    };
    let mut causes: BTreeMap<Cause, Vec<String>> = BTreeMap::new();
    let mut shown = Vec::new();
    for pair in pairs {
        if pair.is_established() {
            judgement.established += 1;
            continue;
        }
        shown.push(pair);
        let found = match judge.other_port(pair) {
            None => judge.causes(pair),
            Some(why) => {
                judgement.unread.push(why);
                judge.addresses_and_routes(pair)
            }
        };
        match (pair.is_down(), found.is_empty()) {
            (true, empty) => {
                judgement.down += 1;
                if empty {
                    judgement.unexplained.push(pair.name());
                }
            }
            (false, _) => judgement.unknown.push(pair.name()),
        }
        for cause in found {
            causes.entry(cause).or_default().push(pair.name());
        }
    }
    judgement.causes = causes
        .into_iter()
        .map(|(cause, sessions)| Found { cause, sessions })
        .collect();
    judgement
        .causes
        .sort_by_key(|found| (found.cause.certain, Reverse(found.sessions.len())));
    judgement.protocol_4 = judge.protocol_4();
    judgement.unread.extend(judge.unread());
    judgement.unread.dedup();
    judgement.table = table::rows(&shown, hosts, port);
    judgement
}

impl Judge<'_> {
    pub(super) fn host(&self, end: &End) -> Option<&HostPath> {
        self.hosts.get(&end.name)?.as_ref().ok()
    }

    /// What was tried from one end to the other.
    pub(super) fn tried(&self, from: &End, to: &End) -> Option<&PeerPath> {
        self.host(from)?.peer(to.address)
    }

    fn causes(&self, pair: &Pair) -> BTreeSet<Cause> {
        let mut causes = self.addresses(pair);
        // The way to an address that is nobody's says nothing.
        if causes.iter().any(|c| c.certain == Certain::Seen) {
            return causes;
        }
        for (from, to) in pair.both() {
            causes.extend(self.route(from, to));
            causes.extend(self.bird(from));
            causes.extend(self.down(from));
        }
        if causes.iter().any(|c| c.certain == Certain::Seen) {
            causes.extend(
                self.rules(pair)
                    .into_iter()
                    .filter(|c| c.certain == Certain::Seen),
            );
            return causes;
        }
        let rules = self.rules(pair);
        let idle = !rules.is_empty();
        causes.extend(rules);
        causes.extend(self.not_configured(pair));
        if !causes.iter().any(|c| c.certain <= Certain::Likely) {
            let policies = self.policies(pair);
            causes.extend(self.on_the_way(pair, idle, !policies.is_empty()));
            causes.extend(policies);
        }
        causes
    }

    /// Why what was tried at BGP's usual port says nothing of a session.
    fn other_port(&self, pair: &Pair) -> Option<String> {
        let usual = self.place.port;
        let of_node = pair.ends.iter().find_map(|end| {
            let port = self.place.own_ports.get(&end.name)?;
            (*port != usual).then(|| {
                format!(
                    "{}: {} listens on TCP {port} by its own BGPConfiguration, and TCP {usual} was tried",
                    pair.name(),
                    end.name
                )
            })
        });
        of_node.or_else(|| {
            let peers = self.mesh.peers.iter();
            let mut named = peers.filter_map(|peer| Some((peer, peer.at_port()?)));
            let (peer, (_, port)) = named.find(|(_, (address, port))| {
                *port != usual && pair.ends.iter().any(|end| end.address == *address)
            })?;
            Some(format!(
                "{}: BGPPeer {} names TCP {port}, and TCP {usual} was tried",
                pair.name(),
                peer.name
            ))
        })
    }

    fn addresses_and_routes(&self, pair: &Pair) -> BTreeSet<Cause> {
        let mut causes = self.addresses(pair);
        for (from, to) in pair.both() {
            causes.extend(self.route(from, to));
        }
        causes
    }

    /// Where TCP gets through both ways, no rule is in the way of it.
    pub(super) fn connects(&self, pair: &Pair) -> bool {
        let [there, back] = pair.both().map(|(from, to)| self.tried(from, to));
        let connected = |tried: Option<&PeerPath>| tried.is_some_and(|t| t.tcp == Tcp::Connected);
        let [(_, to), _] = pair.both();
        connected(there) && (connected(back) || !to.is_node)
    }

    /// What gives a session a password: then the kernel at either end answers nobody who tries without it
    /// (tcp(7), TCP_MD5SIG).
    fn secured(&self, pair: &Pair) -> Option<String> {
        let mesh = self.mesh;
        let nodes = pair.ends.iter().filter_map(|end| mesh.node(&end.name));
        if mesh.password && mesh.full && nodes.filter(|n| !n.reflector).count() == 2 {
            return Some("BGPConfiguration default".to_owned());
        }
        let has = |peer: &BgpPeer, from: &End, to: &End| {
            let node = mesh.node(&from.name).filter(|_| from.is_node);
            node.is_some_and(|n| peer.sessions_of(n, &mesh.nodes).contains(&to.address))
        };
        let mut of_peers = mesh.peers.iter().filter(|peer| peer.password);
        let peer = of_peers.find(|peer| pair.both().into_iter().any(|(a, b)| has(peer, a, b)))?;
        Some(format!("BGPPeer {}", peer.name))
    }

    /// The same where nobody has answered a try: that tells nothing then.
    pub(super) fn mute(&self, pair: &Pair) -> Option<String> {
        let answers = |(from, to): (&End, &End)| {
            let tried = self.tried(from, to);
            tried.is_some_and(|t| !matches!(t.tcp, Tcp::Silent | Tcp::Untried))
        };
        self.secured(pair)
            .filter(|_| !pair.both().into_iter().any(answers))
    }

    fn unread(&self) -> Vec<String> {
        let mut unread = Vec::new();
        for (name, host) in self.hosts {
            match host {
                Ok(host) => unread.extend(host.unread.iter().map(|why| told(name, why))),
                Err(no) => unread.push(told(name, &no.why)),
            }
        }
        unread
    }
}

/// With the node that it is about, unless it names that itself.
pub(super) fn told(node: &str, why: &str) -> String {
    match why.contains(node) {
        true => why.to_owned(),
        false => format!("{node}: {why}"),
    }
}

/// An end, with its address.
pub(super) fn named(end: &End) -> String {
    match end.is_node {
        true => format!("{} ({})", end.name, end.address),
        false => end.name.clone(),
    }
}
