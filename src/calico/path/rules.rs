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
    /// TCP of any port; only of rules that accept.
    Tcp,
    /// Anything; only of rules that accept.
    All,
    /// Nothing itself: it leads to other chains.
    Chains,
}

impl Names {
    /// Whether what accepts this accepts that, too.
    fn accepts(self, that: Self) -> bool {
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
    fn same_chain(&self, other: &Self) -> bool {
        (&self.family, &self.table, &self.chain) == (&other.family, &other.table, &other.chain)
    }

    /// Another chain of the same table.
    fn beside(&self, chain: &str) -> Self {
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
    /// There, some may be sent back before it does anything.
    pub returns: bool,
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
    /// A rule before it accepts some of the same packets, or may.
    pub partly: bool,
}

impl Rules {
    /// Rules that drop or reject what they name, between a host's address and a peer's.
    pub fn against(&self, names: Names, own: IpAddr, peer: IpAddr) -> Vec<Against<'_>> {
        let mut against = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let mut ways = rule.ways_of(own, peer);
            if rule.does == Does::Accept || rule.names != names || ways.is_empty() {
                continue;
            }
            let mut partly = false;
            for before in self.rules.iter().take(at) {
                if before.does != Does::Accept
                    || before.spot != rule.spot
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
        let accepts = |rule: &Rule, way: Way| {
            rule.does == Does::Accept
                && rule.names.accepts(Names::Bgp)
                // One that asks for more is as good as any where it names the port.
                && (rule.names == Names::Bgp || !rule.narrowed)
                && rule.port_of.destination
                && rule.ways_of(own, peer).contains(&way)
        };
        let of = |p: &&Policy| p.spot.sees(peer) && !self.rules.iter().any(|r| accepts(r, p.way));
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
    /// What a rule for all does.
    pub ends: Option<Does>,
    /// What a rule for all of TCP does, before that.
    pub ends_tcp: Option<Does>,
    /// Nothing comes as far as here any more.
    pub over: bool,
    /// A rule sends some that may be of BGP back to where they came from.
    pub returns: bool,
    /// Chains to which it leads.
    pub jumps: Vec<String>,
    /// Those of them to which all leads that comes so far, with how many rules are before that.
    pub hands_over: Vec<(String, usize)>,
    /// Their ways are not known yet.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A rule drops or rejects whatever comes so far.
    pub fn ends_all(&mut self, does: Does) {
        self.ends = Some(does);
        self.over = true;
    }

    /// The same for TCP alone.
    pub fn ends_tcp(&mut self, does: Does) {
        self.ends_tcp.get_or_insert(does);
    }

    /// All that comes so far is sent back.
    pub fn returns_all(&mut self) {
        self.over = true;
    }

    /// All that comes so far is sent to other chains.
    pub fn hands_over(&mut self, to: &[String]) {
        let before = self.rules.len();
        let to = to.iter().map(|to| (to.clone(), before));
        self.hands_over.extend(to);
    }

    /// What is done to BGP that no rule before decides.
    fn end(&self) -> Option<Does> {
        self.ends_tcp.or(self.ends)
    }
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
    let accepting = accepting(&chains);
    let mut ending = chains.iter().filter_map(Ending::of).collect::<Vec<_>>();
    ending.retain(|ending| !accepting.contains(&ending.spot));
    let mut found = Rules::default();
    for (chain, ways) in chains.into_iter().zip(ways) {
        let mut chain = chain;
        let to = chain.hands_over.iter();
        let mut to = to.map(|(to, before)| (chain.spot.beside(to), *before));
        let handed_over = to.find_map(|(to, before)| {
            let ending = ending.iter().find(|e| e.spot == to && !e.returns)?;
            Some((ending, before))
        });
        let mut by_rule = chain.end();
        if let Some((ending, before)) = handed_over {
            by_rule = Some(ending.does);
            if ending.all {
                chain.rules.truncate(before);
            }
        }
        // Who is sent back from here is left to the policy.
        let by_rule = by_rule.filter(|_| !chain.returns);
        if let Some(way) = chain.way.filter(|_| chain.drops || by_rule.is_some()) {
            let spot = chain.spot;
            found.policies.push(Policy { spot, way, by_rule });
        }
        let rules = chain.rules.into_iter().filter(|_| !ways.is_empty());
        let rules = rules.filter_map(|rule| led(rule, &accepting, &ending));
        found.rules.extend(rules.map(|rule| Rule {
            ways: ways.clone(),
            ..rule
        }));
    }
    found
}

/// A chain that drops or rejects whatever of BGP comes to its end.
struct Ending {
    spot: Spot,
    does: Does,
    /// Not of TCP alone.
    all: bool,
    returns: bool,
}

impl Ending {
    fn of(chain: &Chain) -> Option<Self> {
        Some(Self {
            spot: chain.spot.clone(),
            does: chain.end()?,
            all: chain.ends.is_some(),
            returns: chain.returns,
        })
    }
}

/// What a rule does by the chains to which it leads; `None` where that is not seen.
fn led(rule: Rule, accepting: &[Spot], ending: &[Ending]) -> Option<Rule> {
    if rule.leads.is_empty() {
        return Some(rule);
    }
    let spots: Vec<Spot> = rule
        .leads
        .iter()
        .map(|chain| rule.spot.beside(chain))
        .collect();
    if spots.iter().any(|spot| accepting.contains(spot)) {
        // Some of TCP may be accepted there.
        return Some(Rule {
            names: Names::Tcp,
            narrowed: true,
            ..rule
        });
    }
    // Such as one that logs and drops whatever is sent to it.
    let [to] = spots.as_slice() else { return None };
    let ending = ending.iter().find(|ending| ending.spot == *to)?;
    (rule.names == Names::Bgp).then_some(Rule {
        does: ending.does,
        returns: ending.returns,
        ..rule
    })
}

/// Chains in which TCP may be accepted, or in those to which they lead.
fn accepting(chains: &[Chain]) -> Vec<Spot> {
    let accepts = |rule: &Rule| {
        // What one does that leads elsewhere, the chains there tell.
        rule.leads.is_empty() && rule.does == Does::Accept && rule.names.accepts(Names::Bgp)
    };
    let own = chains.iter().filter(|c| c.rules.iter().any(accepts));
    let mut found: Vec<Spot> = own.map(|c| c.spot.clone()).collect();
    loop {
        let leads = |chain: &&Chain| {
            let to = |spot: &Spot| {
                (&spot.family, &spot.table) == (&chain.spot.family, &chain.spot.table)
                    && chain.jumps.contains(&spot.chain)
            };
            !found.contains(&chain.spot) && found.iter().any(to)
        };
        let more: Vec<Spot> = chains
            .iter()
            .filter(leads)
            .map(|c| c.spot.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
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
