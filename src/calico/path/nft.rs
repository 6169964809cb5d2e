//! What `nft -a list ruleset` prints (nftables 1.0.6).

use super::chains::{Chain, reached};
use super::nft_words::{Value, value, words};
use super::rules::{
    Does, Names, Networks, PortOf, Rule, Rules, Spot, Way, has_port, is_protocol_4, is_tcp,
};
use std::collections::BTreeSet;

/// Reads the rules that name BGP's port or protocol 4.
pub fn parse(text: &str, port: u16) -> Rules {
    let mut chains: Vec<Chain> = Vec::new();
    let (mut family, mut table) = (String::new(), String::new());
    // Within a block that is no chain, such as a set.
    let mut inside = false;
    for line in text.lines() {
        let words = words(line);
        let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        match word(0) {
            "" => {}
            "table" => {
                word(1).clone_into(&mut family);
                word(2).clone_into(&mut table);
                inside = false;
            }
            "chain" => {
                let spot = Spot {
                    tool: "nft".to_owned(),
                    family: family.clone(),
                    table: table.clone(),
                    chain: word(1).to_owned(),
                };
                chains.push(Chain {
                    spot,
                    ..Chain::default()
                });
                inside = true;
            }
            "}" => inside = false,
            first if inside => {
                if let Some(chain) = chains.last_mut() {
                    match first {
                        "type" => base(&words, chain),
                        _ => rule(line, &words, chain, port),
                    }
                }
            }
            _ => {}
        }
    }
    reached(chains)
}

/// `type filter hook input priority filter; policy drop;`.
fn base(words: &[String], chain: &mut Chain) {
    let after = |name: &str| {
        let at = words.iter().position(|w| w == name)?;
        words.get(at + 1).map(|w| w.trim_end_matches(';'))
    };
    chain.way = match after("hook") {
        Some("input" | "prerouting" | "ingress") => Some(Way::In),
        Some("output" | "postrouting" | "egress") => Some(Way::Out),
        _ => None,
    };
    chain.drops = after("policy") == Some("drop");
}

/// What a rule asks for, as it is read from left to right.
#[derive(Default)]
struct Asks {
    /// The ends whose port is BGP's, of TCP or of any protocol that the rule names.
    port_of: PortOf,
    /// Of `th`, whose protocol is named elsewhere.
    any_transport: bool,
    other_port: bool,
    tcp: Option<bool>,
    four: bool,
    from: Networks,
    to: Networks,
    /// Another protocol; or nothing of a new connection that comes from elsewhere.
    aside: bool,
    /// A port of its destination that is not BGP's.
    elsewhere: bool,
    /// A protocol of IPv4 or of IPv6 alone, where both come by.
    one_family: bool,
    /// What a map may do to BGP.
    may_accept: bool,
    may_return: bool,
    jumps: Vec<String>,
    narrowed: bool,
    packets: Option<u64>,
    does: Option<Does>,
}

impl Asks {
    /// Takes what a map does to those of its keys that fit.
    fn looks_up(&mut self, value: &Value<'_>, fits: impl Fn(&str) -> bool) {
        self.may_accept |= value.says("accept", &fits);
        self.may_return |= value.says("return", &fits);
        self.jumps.extend(value.jumps());
    }
}

fn rule(line: &str, words: &[String], chain: &mut Chain, port: u16) {
    if chain.over {
        return;
    }
    let mut asks = Asks::default();
    let mut rest = words;
    let (mut of_pods, mut returns, mut goes) = (false, false, false);
    let mut handle = None;
    let text = |at: &[String], i: usize| at.get(i).cloned().unwrap_or_default();
    while let Some(first) = rest.first() {
        let second = text(rest, 1);
        let used = match (first.as_str(), second.as_str()) {
            ("#", "handle") => {
                handle = rest.get(2).cloned();
                3
            }
            ("counter", "packets") => {
                asks.packets = text(rest, 2).parse().ok();
                5
            }
            ("counter", "name") | ("comment", _) => 2,
            ("counter", _) => 1,
            ("prefix" | "level" | "group" | "snaplen" | "queue-threshold", _) => 2,
            ("log", _) => 1,
            ("meta", "l4proto") | ("ip", "protocol") | ("ip6", "nexthdr") => {
                let (value, used) = value(rest, 2);
                asks.tcp = Some(value.any(is_tcp));
                asks.four = value.any(is_protocol_4);
                asks.aside |= value.affirms() != value.has(is_tcp);
                asks.looks_up(&value, is_tcp);
                let both = !matches!(chain.spot.family.as_str(), "ip" | "ip6");
                asks.one_family |= first != "meta" && both;
                asks.narrowed |= value.is_map();
                2 + used
            }
            ("ip" | "ip6", "saddr" | "daddr") => {
                let (value, used) = value(rest, 2);
                let networks = value.networks();
                asks.narrowed |= networks.list.is_empty();
                asks.looks_up(&value, |_| true);
                match second.as_str() {
                    "saddr" => asks.from = networks,
                    _ => asks.to = networks,
                }
                2 + used
            }
            (proto @ ("tcp" | "th" | "udp" | "sctp" | "dccp"), "dport" | "sport") => {
                let (value, used) = value(rest, 2);
                let verdict = value.port(port);
                let hit = verdict.is_some() && matches!(proto, "tcp" | "th");
                asks.any_transport |= hit && proto == "th";
                // What is in a named set is not read.
                let unread = value.one().is_some_and(|w| w.starts_with('@'));
                asks.narrowed |= unread;
                asks.other_port |= !hit && !unread;
                if proto == "tcp" {
                    asks.tcp.get_or_insert(true);
                }
                // What comes to BGP's port has it as its destination, and comes from any.
                let is_named = value.has(|w| has_port(w, '-', port));
                let others = second == "dport" && value.affirms() && !is_named && !unread;
                asks.elsewhere |= others || !matches!(proto, "tcp" | "th");
                asks.looks_up(&value, |w| second == "sport" || has_port(w, '-', port));
                if hit {
                    asks.port_of.source |= second == "sport";
                    asks.port_of.destination |= second == "dport";
                    asks.does = verdict.flatten().or(asks.does);
                }
                2 + used
            }
            ("iifname" | "iif", _) => {
                let (value, used) = value(rest, 1);
                asks.narrowed = true;
                of_pods |= value.one().is_some_and(|w| w.starts_with("\"cali"));
                asks.aside |= value.one().is_some_and(|w| w.trim_matches('"') == "lo");
                asks.looks_up(&value, |w| w.trim_matches('"') != "lo");
                1 + used
            }
            ("oifname" | "oif", _) => {
                let (value, used) = value(rest, 1);
                asks.narrowed = true;
                asks.aside |= value.one().is_some_and(|w| w.trim_matches('"') == "lo");
                asks.looks_up(&value, |w| w.trim_matches('"') != "lo");
                1 + used
            }
            ("icmp" | "icmpv6" | "igmp" | "arp", _) => {
                asks.narrowed = true;
                asks.aside = true;
                1
            }
            ("ct", "state") => {
                let (value, used) = value(rest, 2);
                asks.narrowed = true;
                let is_new = |w: &str| matches!(w, "new" | "untracked");
                asks.aside |= value.affirms() && !value.has(is_new);
                asks.looks_up(&value, is_new);
                2 + used
            }
            ("drop", _) => {
                asks.does = Some(Does::Drop);
                1
            }
            ("accept", _) => {
                asks.does = Some(Does::Accept);
                1
            }
            // What it answers with comes after it.
            ("reject", _) => {
                asks.does = Some(Does::Reject);
                let end = rest.iter().position(|w| w == "#" || w == "comment");
                end.unwrap_or(rest.len())
            }
            ("return", _) => {
                returns = true;
                1
            }
            (how @ ("jump" | "goto"), _) => {
                goes = how == "goto";
                asks.jumps.push(second);
                2
            }
            ("vmap" | "{", _) => {
                let (value, used) = value(rest, 0);
                asks.narrowed = true;
                asks.looks_up(&value, |_| true);
                used.max(1)
            }
            _ => {
                asks.narrowed = true;
                1
            }
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    // What Calico leads to its chains of pods' packets is not the host's own.
    if of_pods && !asks.jumps.is_empty() {
        return;
    }
    chain.jumps.extend(asks.jumps.iter().cloned());
    let named = asks.port_of.source || asks.port_of.destination;
    let anyone = asks.from == Networks::default() && asks.to == Networks::default();
    let anything = !(named || asks.four || asks.other_port || asks.aside || asks.narrowed);
    let all = anyone && anything && asks.tcp.is_none();
    let may_be_bgp = !(of_pods || asks.aside || asks.four || asks.elsewhere);
    if returns && all {
        chain.over = true;
        return;
    }
    let led = asks.does.is_none() && !asks.jumps.is_empty();
    let does = match asks.does {
        Some(does) => does,
        None if may_be_bgp && asks.may_accept => Does::Accept,
        None if may_be_bgp && (returns || asks.may_return) => Does::Return,
        // What goes does not come back here.
        None if led && goes && !all => Does::Return,
        None if led => Does::Accept,
        None => return,
    };
    let by_map = may_be_bgp && asks.does.is_none() && (asks.may_accept || asks.may_return);
    asks.narrowed |= by_map;
    let led = led && !by_map;
    if led && all {
        chain.hands_over(&asks.jumps);
    }
    if does.stops() && all {
        chain.ends_all(does);
        return;
    }
    if does.stops() && anyone && anything && asks.tcp == Some(true) && !asks.one_family {
        chain.ends_tcp(does);
    }
    let names = match named {
        true if asks.any_transport && asks.tcp == Some(false) => return,
        _ if led && !may_be_bgp => return,
        true => Names::Bgp,
        false if led => Names::Chains,
        false if does == Does::Return && asks.tcp == Some(true) => Names::Tcp,
        false if does == Does::Return => Names::All,
        false if asks.four && !asks.other_port => Names::Protocol4,
        false if does != Does::Accept || asks.aside || asks.other_port => return,
        false if asks.tcp == Some(true) => Names::Tcp,
        false => Names::All,
    };
    let shown = line.trim();
    chain.push(Rule {
        spot: chain.spot.clone(),
        text: match &handle {
            Some(_) => shown
                .rsplit_once(" # handle ")
                .map_or(shown, |(t, _)| t)
                .to_owned(),
            None => shown.to_owned(),
        },
        handle,
        names,
        does,
        port_of: match names {
            Names::Bgp => asks.port_of,
            _ => PortOf::BOTH,
        },
        from: asks.from,
        to: asks.to,
        narrowed: asks.narrowed || asks.other_port,
        packets: asks.packets,
        ways: BTreeSet::new(),
        leads: if led { asks.jumps } else { Vec::new() },
        through: None,
    });
}
