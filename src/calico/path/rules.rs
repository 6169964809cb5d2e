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
    /// It sends back to where its chain was led to from, or leaves it to the chain's policy.
    Return,
}

impl Does {
    /// Whether nothing that it matches gets through.
    pub fn stops(self) -> bool {
        matches!(self, Self::Drop | Self::Reject)
    }
}

/// What a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// BGP's port of TCP.
    Bgp,
    /// IP protocol 4, in which Calico's IPIP wraps pods' traffic.
    Protocol4,
    /// TCP of any port; only of rules that accept or return.
    Tcp,
    /// Anything; only of rules that accept or return.
    All,
    /// Nothing itself: it leads to other chains.
    Chains,
}

impl Names {
    /// Whether what accepts this accepts that, too.
    pub(super) fn accepts(self, that: Self) -> bool {
        self == that || self == Self::All || self == Self::Tcp && that == Self::Bgp
    }
}

/// Of which end of its packets a rule names the port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortOf {
    pub source: bool,
    pub destination: bool,
}

impl PortOf {
    pub const BOTH: Self = Self {
        source: true,
        destination: true,
    };

    fn has(self, other: Self) -> bool {
        self.source >= other.source && self.destination >= other.destination
    }

    fn meets(self, other: Self) -> bool {
        self.source && other.source || self.destination && other.destination
    }
}

/// Addresses that a rule asks for; without any, it asks for none, or for some that are not said inline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    pub list: Vec<Cidr>,
    /// All but those.
    pub not: bool,
}

impl Networks {
    fn fit(&self, ip: IpAddr) -> bool {
        self.list.is_empty() || self.list.iter().any(|n| covers(*n, ip)) != self.not
    }
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
    pub(super) fn same_table(&self, other: &Self) -> bool {
        (&self.family, &self.table) == (&other.family, &other.table)
    }

    fn same_chain(&self, other: &Self) -> bool {
        self.same_table(other) && self.chain == other.chain
    }

    /// Another chain of the same table.
    pub(super) fn beside(&self, chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            ..self.clone()
        }
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
    /// The ends whose port is BGP's; both where it names no port.
    pub port_of: PortOf,
    /// The packets' source and destination.
    pub from: Networks,
    pub to: Networks,
    /// It asks for more than addresses, protocol and port.
    pub narrowed: bool,
    /// How many packets it has matched, where it counts.
    pub packets: Option<u64>,
    /// Which of a host's own packets come by.
    pub ways: BTreeSet<Way>,
    /// Chains to which it leads.
    pub leads: Vec<String>,
    /// The one of them that does what it does.
    pub through: Option<Spot>,
}

impl Rule {
    /// The ways on which it may match packets between a host's address and a peer's.
    fn ways_of(&self, own: IpAddr, peer: IpAddr) -> Vec<Way> {
        let fits = |way: &Way| match way {
            Way::In => self.from.fit(peer) && self.to.fit(own),
            Way::Out => self.from.fit(own) && self.to.fit(peer),
        };
        let ways = self.ways.iter().filter(|way| fits(way));
        ways.filter(|_| self.spot.sees(peer)).copied().collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        self.spot.same_chain(&other.spot)
            && (self.names, self.does, self.port_of, &self.from, &self.to)
                == (
                    other.names,
                    other.does,
                    other.port_of,
                    &other.from,
                    &other.to,
                )
            && self.leads == other.leads
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
    /// What a rule for all does; without one, it is the chain's policy that drops.
    pub by_rule: Option<Does>,
    /// The chain to which that rule leads.
    pub through: Option<Spot>,
}

/// What was found in a host's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub rules: Vec<Rule>,
    pub policies: Vec<Policy>,
}

/// A rule against a session.
#[derive(Debug, Clone)]
pub struct Against<'r> {
    pub rule: &'r Rule,
    /// The ways on which it may match.
    pub ways: Vec<Way>,
    /// A rule before it accepts some of the same packets, or sends them back, or may.
    pub partly: bool,
}

impl Rules {
    /// Rules that drop or reject what they name, between a host's address and a peer's.
    pub fn against(&self, names: Names, own: IpAddr, peer: IpAddr) -> Vec<Against<'_>> {
        let mut against = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let mut ways = rule.ways_of(own, peer);
            if !rule.does.stops() || rule.names != names || ways.is_empty() {
                continue;
            }
            let mut partly = false;
            for (place, before) in self.rules.iter().enumerate() {
                let comes_before = before.spot == rule.spot && place < at
                    || rule.through.as_ref() == Some(&before.spot);
                if before.does.stops()
                    || !comes_before
                    || !before.names.accepts(names)
                    || !before.port_of.meets(rule.port_of)
                {
                    continue;
                }
                let accepts = before.ways_of(own, peer);
                partly |= ways.iter().any(|way| accepts.contains(way));
                if !before.narrowed && before.port_of.has(rule.port_of) {
                    ways.retain(|way| !accepts.contains(way));
                }
            }
            if !ways.is_empty() {
                against.push(Against { rule, ways, partly });
            }
        }
        against
    }

    /// Chains that drop BGP between a host's address and a peer's unless a rule accepts it, where none is
    /// seen that does.
    pub fn policies_against(&self, own: IpAddr, peer: IpAddr) -> Vec<&Policy> {
        let accepts = |rule: &Rule, policy: &Policy| {
            let sent_back =
                rule.does == Does::Return && policy.through.as_ref() == Some(&rule.spot);
            (rule.does == Does::Accept || sent_back)
                // Another table's are no way past this one.
                && rule.spot.same_table(&policy.spot)
                && rule.names.accepts(Names::Bgp)
                // One that asks for more is as good as any where it names the port.
                && (rule.names == Names::Bgp || !rule.narrowed || sent_back)
                && rule.port_of.destination
                && rule.ways_of(own, peer).contains(&policy.way)
        };
        let of = |p: &&Policy| p.spot.sees(peer) && !self.rules.iter().any(|r| accepts(r, p));
        // Of a chain, the first that stops it.
        let mut found: Vec<&Policy> = Vec::new();
        for policy in self.policies.iter().filter(of) {
            if !found
                .iter()
                .any(|f| (&f.spot, f.way) == (&policy.spot, policy.way))
            {
                found.push(policy);
            }
        }
        found
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
        let old = self.policies.len();
        for policy in more.policies {
            let twin = |p: &Policy| p.spot.same_chain(&policy.spot) && p.way == policy.way;
            if !(same_tables && self.policies.iter().take(old).any(twin)) {
                self.policies.push(policy);
            }
        }
    }
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
