//! Rules of a firewall that name BGP's port or IP protocol 4, as far as they are said inline, and which of
//! them concern a session.

use crate::calico::{Cidr, Family};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// From a host's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    In,
    Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Accept,
    Drop,
    Reject,
}

/// What a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// BGP's port of TCP.
    Bgp,
    /// IP protocol 4, in which Calico's IPIP wraps pods' traffic.
    Protocol4,
}

/// Where a rule or a policy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spot {
    /// Whose output it was read in.
    pub tool: String,
    /// `ip`, `ip6`, `inet`, …, as nftables has them.
    pub family: String,
    pub table: String,
    pub chain: String,
}

impl Spot {
    fn same_chain(&self, other: &Self) -> bool {
        (&self.family, &self.table, &self.chain) == (&other.family, &other.table, &other.chain)
    }

    fn sees(&self, ip: IpAddr) -> bool {
        match self.family.as_str() {
            "ip" => Family::Ipv4.has(ip),
            "ip6" => Family::Ipv6.has(ip),
            _ => true,
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "table {} {}, chain {}",
            self.family, self.table, self.chain
        )
    }
}

/// One rule, as its tool printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub spot: Spot,
    pub handle: Option<String>,
    pub text: String,
    pub names: Names,
    pub does: Does,
    /// The packets' source and destination, where each is one network.
    pub from: Option<Cidr>,
    pub to: Option<Cidr>,
    /// It asks for more than addresses, protocol and port.
    pub narrowed: bool,
    /// How many packets it has matched, where it counts.
    pub packets: Option<u64>,
    /// Which of a host's own packets come by.
    pub ways: BTreeSet<Way>,
}

impl Rule {
    /// Whether it may match packets between a host's address and a peer's.
    fn concerns(&self, own: IpAddr, peer: IpAddr) -> bool {
        let fits = |network: &Option<Cidr>, ip| network.is_none_or(|n| covers(n, ip));
        let (sees, ways) = (self.spot.sees(peer), &self.ways);
        sees && (ways.contains(&Way::In) && fits(&self.from, peer) && fits(&self.to, own)
            || ways.contains(&Way::Out) && fits(&self.from, own) && fits(&self.to, peer))
    }

    fn is_like(&self, other: &Self) -> bool {
        self.spot.same_chain(&other.spot)
            && (self.names, self.does, self.from, self.to)
                == (other.names, other.does, other.from, other.to)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.text, self.spot)?;
        if let Some(handle) = &self.handle {
            write!(f, ", handle {handle}")?;
        }
        write!(f, " (as {} shows it", self.spot.tool)?;
        match self.packets {
            None => f.write_str(")"),
            Some(1) => f.write_str("; it has matched 1 packet)"),
            Some(n) => write!(f, "; it has matched {n} packets)"),
        }
    }
}

/// A chain that begins with packets of the host's own, and drops what none of its rules decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub spot: Spot,
    pub way: Way,
}

/// What was found in a host's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: Vec<Rule>,
    pub policies: Vec<Policy>,
}

/// A rule against a session.
#[derive(Debug, Clone, Copy)]
pub struct Against<'r> {
    pub rule: &'r Rule,
    /// A rule before it accepts some of the same packets.
    pub partly: bool,
}

impl Rules {
    /// Rules that drop or reject what they name, between a host's address and a peer's.
    pub fn against(&self, names: Names, own: IpAddr, peer: IpAddr) -> Vec<Against<'_>> {
        let of = |r: &&Rule| r.names == names && r.concerns(own, peer);
        let mut against = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.does == Does::Accept || !of(&rule) {
                continue;
            }
            let before = self.rules.iter().take(at).filter(of);
            let mut accepts = before
                .filter(|r| r.does == Does::Accept && r.spot == rule.spot)
                .peekable();
            let partly = accepts.peek().is_some();
            if accepts.all(|r| r.narrowed) {
                against.push(Against { rule, partly });
            }
        }
        against
    }

    /// Chains that drop BGP between a host's address and a peer's unless a rule accepts it, where none is
    /// seen that names its port and does.
    pub fn policies_against(&self, own: IpAddr, peer: IpAddr) -> Vec<&Policy> {
        let accepted = self
            .rules
            .iter()
            .any(|r| r.names == Names::Bgp && r.does == Does::Accept && r.concerns(own, peer));
        let of = |p: &&Policy| !accepted && p.spot.sees(peer);
        self.policies.iter().filter(of).collect()
    }

    /// Adds what another tool shows of the same or of other tables. What both show is there once.
    pub fn add(&mut self, more: Self, same_tables: bool) {
        let mut known: Vec<bool> = self.rules.iter().map(|_| !same_tables).collect();
        for rule in more.rules {
            let twin = self
                .rules
                .iter()
                .zip(&mut known)
                .find(|(old, taken)| !**taken && old.is_like(&rule));
            match twin {
                Some((_, taken)) => *taken = true,
                None => self.rules.push(rule),
            }
        }
        for policy in more.policies {
            let twin = |p: &Policy| p.spot.same_chain(&policy.spot) && p.way == policy.way;
            if !(same_tables && self.policies.iter().any(twin)) {
                self.policies.push(policy);
            }
        }
    }
}

/// A chain as it was read.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub spot: Spot,
    /// It begins with a host's own packets.
    pub way: Option<Way>,
    /// What no rule decides is dropped.
    pub drops: bool,
    /// Chains to which it leads.
    pub jumps: Vec<String>,
    /// Their ways are not known yet.
    pub rules: Vec<Rule>,
}

/// What of these chains a host's own packets come by.
pub(super) fn reached(chains: Vec<Chain>) -> Rules {
    let mut ways: Vec<BTreeSet<Way>> = chains.iter().map(|c| c.way.into_iter().collect()).collect();
    // A chain may come before those that lead to it.
    loop {
        let mut more = Vec::new();
        for (chain, from) in chains
            .iter()
            .zip(&ways)
            .filter(|(_, from)| !from.is_empty())
        {
            for (at, (to, has)) in chains.iter().zip(&ways).enumerate() {
                let table = |c: &Chain| (c.spot.family.clone(), c.spot.table.clone());
                if chain.jumps.contains(&to.spot.chain)
                    && table(chain) == table(to)
                    && !from.is_subset(has)
                {
                    more.push((at, from.clone()));
                }
            }
        }
        if more.is_empty() {
            break;
        }
        for (at, from) in more {
            if let Some(has) = ways.get_mut(at) {
                has.extend(from);
            }
        }
    }
    let mut found = Rules::default();
    for (chain, ways) in chains.into_iter().zip(ways) {
        if let Some(way) = chain.way.filter(|_| chain.drops) {
            let spot = chain.spot;
            found.policies.push(Policy { spot, way });
        }
        let rules = chain.rules.into_iter().filter(|_| !ways.is_empty());
        found.rules.extend(rules.map(|rule| Rule {
            ways: ways.clone(),
            ..rule
        }));
    }
    found
}

fn covers(network: Cidr, ip: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let differ = bits(network.ip) ^ bits(ip);
    network.ip.is_ipv4() == ip.is_ipv4() && differ.leading_zeros() >= u32::from(network.prefix)
}

/// Whether a port is one of a list such as `22` or `100-200`, with `between` inside ranges.
pub(super) fn has_port(word: &str, between: char, port: u16) -> bool {
    let number = |text: &str| match text {
        // Where services are shown by name.
        "bgp" => Some(super::BGP),
        other => other.parse::<u16>().ok(),
    };
    match word.split_once(between) {
        None => number(word) == Some(port),
        Some((first, last)) => {
            let first = if first.is_empty() {
                Some(0)
            } else {
                number(first)
            };
            let last = if last.is_empty() {
                Some(u16::MAX)
            } else {
                number(last)
            };
            matches!((first, last), (Some(first), Some(last)) if (first..=last).contains(&port))
        }
    }
}

/// Whether a protocol is IP in IP: its number, or what /etc/protocols calls it (`ipip` is another one there).
pub(super) fn is_protocol_4(word: &str) -> bool {
    matches!(word, "4" | "ipencap" | "ipv4" | "IP-ENCAP" | "IPv4")
}

pub(super) fn is_tcp(word: &str) -> bool {
    matches!(word, "6" | "tcp")
}
