//! What `nft -a list ruleset` prints (nftables 1.0.6).

use super::rules::{
    Chain, Does, Names, Networks, PortOf, Rule, Rules, Spot, Way, has_port, is_protocol_4, is_tcp,
    reached,
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
    narrowed: bool,
    packets: Option<u64>,
    does: Option<Does>,
}

fn rule(line: &str, words: &[String], chain: &mut Chain, port: u16) {
    if chain.over {
        return;
    }
    let mut asks = Asks::default();
    let mut rest = words;
    let mut of_pods = false;
    let mut jumps = Vec::new();
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
                2 + used
            }
            ("ip" | "ip6", "saddr" | "daddr") => {
                let (value, used) = value(rest, 2);
                let networks = value.networks();
                asks.narrowed |= networks.list.is_empty();
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
                asks.other_port |= !hit;
                if hit {
                    asks.port_of.source |= second == "sport";
                    asks.port_of.destination |= second == "dport";
                    asks.does = verdict.flatten().or(asks.does);
                }
                jumps.extend(value.jumps());
                2 + used
            }
            ("iifname" | "iif", _) => {
                let (value, used) = value(rest, 1);
                asks.narrowed = true;
                of_pods |= value.one().is_some_and(|w| w.starts_with("\"cali"));
                asks.aside |= value.one().is_some_and(|w| w.trim_matches('"') == "lo");
                1 + used
            }
            ("oifname" | "oif", _) => {
                let (value, used) = value(rest, 1);
                asks.narrowed = true;
                asks.aside |= value.one().is_some_and(|w| w.trim_matches('"') == "lo");
                1 + used
            }
            ("icmp" | "icmpv6" | "igmp" | "arp" | "ether", _) => {
                asks.narrowed = true;
                asks.aside = true;
                1
            }
            ("ct", "state") => {
                let (value, used) = value(rest, 2);
                asks.narrowed = true;
                asks.aside |= value.affirms() && !value.has(|w| matches!(w, "new" | "untracked"));
                jumps.extend(value.jumps());
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
            ("return", _) => 1,
            ("jump" | "goto", _) => {
                jumps.push(second);
                2
            }
            ("vmap" | "{", _) => {
                let (value, used) = value(rest, 0);
                asks.narrowed = true;
                jumps.extend(value.jumps());
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
    if !of_pods {
        chain.jumps.extend(jumps.iter().cloned());
    }
    let named = asks.port_of.source || asks.port_of.destination;
    let anyone = asks.from == Networks::default() && asks.to == Networks::default();
    let anything = !(named || asks.four || asks.other_port || asks.aside || asks.narrowed);
    let all = anyone && anything && asks.tcp.is_none();
    let may_be_bgp = !(of_pods || asks.aside || asks.four || asks.other_port && !named);
    let has = |word: &str| words.iter().any(|w| w == word);
    if has("return") {
        match all {
            true => return chain.returns_all(),
            false => chain.returns |= may_be_bgp,
        }
    }
    // What goes does not come back here.
    chain.returns |= has("goto") && may_be_bgp && !all;
    // Some of what a map looks up may be accepted.
    if asks.does.is_none() && has("vmap") && has("accept") && may_be_bgp && !named {
        asks.does = Some(Does::Accept);
    }
    let led = asks.does.is_none() && !jumps.is_empty();
    if led && of_pods {
        return;
    }
    let Some(does) = asks.does.or(led.then_some(Does::Accept)) else {
        return;
    };
    if led && all {
        chain.hands_over(&jumps);
    }
    if does != Does::Accept && all {
        chain.ends_all(does);
        return;
    }
    if does != Does::Accept && anyone && anything && asks.tcp == Some(true) {
        chain.ends_tcp(does);
    }
    let names = match named {
        true if asks.any_transport && asks.tcp == Some(false) => return,
        _ if led && (asks.aside || asks.four) => return,
        true => Names::Bgp,
        false if led => Names::Chains,
        false if asks.four && !asks.other_port => Names::Protocol4,
        false if does != Does::Accept || asks.aside || asks.other_port => return,
        false if asks.tcp == Some(true) => Names::Tcp,
        false => Names::All,
    };
    let shown = line.trim();
    chain.rules.push(Rule {
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
        leads: if led { jumps } else { Vec::new() },
        returns: false,
    });
}

/// What something is compared with.
struct Value<'w> {
    /// `!=`, `<`, … or nothing.
    operator: &'w str,
    /// Each with the verdict that a map gives it.
    items: Vec<Vec<&'w str>>,
    set: bool,
}

/// The value that begins at a place, and how many words it has.
fn value(words: &[String], at: usize) -> (Value<'_>, usize) {
    let word = |i: usize| words.get(i).map(String::as_str).unwrap_or_default();
    let mut next = at;
    let mut operator = "";
    if matches!(word(next), "!=" | "==" | "<" | ">" | "<=" | ">=") {
        operator = word(next);
        next += 1;
    }
    if word(next) == "vmap" {
        next += 1;
    }
    let mut items = Vec::new();
    let set = word(next) == "{";
    if word(next) == "." {
        // Several things are looked up together: their values are not read.
        while next < words.len() && !matches!(word(next), "{" | "#") && !word(next).starts_with('@')
        {
            next += 1;
        }
        let end = |w: &String| w == "}";
        let more = words.get(next..).unwrap_or_default();
        if word(next) == "{" {
            next += more.iter().position(end).unwrap_or(more.len());
        }
        next += 1;
    } else if set {
        next += 1;
        let mut item = Vec::new();
        while next < words.len() && word(next) != "}" {
            match word(next) {
                "," => items.push(std::mem::take(&mut item)),
                other => item.push(other),
            }
            next += 1;
        }
        items.push(item);
        next += 1;
    } else {
        items.push(vec![word(next)]);
        next += 1;
        // A list without braces, such as `established,related`.
        while word(next) == "," {
            items.push(vec![word(next + 1)]);
            next += 2;
        }
    }
    let value = Value {
        operator,
        items,
        set,
    };
    (value, next - at)
}

impl<'w> Value<'w> {
    fn affirms(&self) -> bool {
        matches!(self.operator, "" | "==")
    }

    /// Whether it asks for one of these.
    fn any(&self, is: fn(&str) -> bool) -> bool {
        let first = |item: &Vec<&str>| item.first().is_some_and(|w| is(w));
        self.affirms() && self.items.iter().any(first)
    }

    /// Whether it names one of these, be it to exclude it.
    fn has(&self, is: fn(&str) -> bool) -> bool {
        self.items
            .iter()
            .any(|item| item.first().is_some_and(|w| is(w)))
    }

    /// The addresses that it asks for; none where it says others than networks, or verdicts.
    fn networks(&self) -> Networks {
        let network = |item: &Vec<&str>| match item.as_slice() {
            [word] => word.parse().ok(),
            _ => None,
        };
        let list: Option<Vec<_>> = self.items.iter().map(network).collect();
        let known = matches!(self.operator, "" | "==" | "!=");
        Networks {
            list: list.filter(|_| known).unwrap_or_default(),
            not: self.operator == "!=",
        }
    }

    /// The only one that it asks for.
    fn one(&self) -> Option<&'w str> {
        match self.items.as_slice() {
            [item] if self.affirms() => item.first().copied(),
            _ => None,
        }
    }

    /// Whether it names a port, with the verdict that it has for that.
    fn port(&self, port: u16) -> Option<Option<Does>> {
        let first = |item: &Vec<&str>| item.first().and_then(|w| w.parse::<u16>().ok());
        if !self.affirms() {
            let number = self.items.first().and_then(first)?;
            let fits = match self.operator {
                "<" => port < number,
                "<=" => port <= number,
                ">" => port > number,
                ">=" => port >= number,
                _ => false,
            };
            return fits.then_some(None);
        }
        let named = |item: &&Vec<&str>| item.first().is_some_and(|w| has_port(w, '-', port));
        let item = self.items.iter().find(named)?;
        let does = match (self.set, item.as_slice()) {
            (true, [_, ":", "drop"]) => Some(Does::Drop),
            (true, [_, ":", "accept"]) => Some(Does::Accept),
            // It leads elsewhere, or does nothing of this kind.
            (true, [_, ":", ..]) => return None,
            _ => None,
        };
        Some(does)
    }

    /// Chains to which its verdicts lead.
    fn jumps(&self) -> Vec<String> {
        let jump = |item: &Vec<&str>| match item.as_slice() {
            [_, ":", "jump" | "goto", chain, ..] => Some((*chain).to_owned()),
            _ => None,
        };
        self.items.iter().filter_map(jump).collect()
    }
}

/// Words; a text in quotes is one and keeps them, braces and commas stand alone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            _ if quoted => word.push(c),
            ' ' | '\t' | ',' | '{' | '}' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if !c.is_whitespace() {
                    words.push(c.to_string());
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
