//! What `iptables-save -c` and its like print (iptables 1.8.9).

use super::chains::{Chain, reached};
use super::rules::{
    Does, Names, Networks, PortOf, Rule, Rules, Spot, Way, has_port, is_protocol_4, is_tcp,
};
use std::collections::BTreeSet;
use std::iter::Peekable;

/// Reads the rules that name BGP's port or protocol 4.
pub fn parse(text: &str, tool: &str, family: &str, port: u16) -> Rules {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let name = words.next().unwrap_or_default();
            let policy = words.next().unwrap_or_default();
            chains.push(Chain {
                spot: Spot {
                    tool: tool.to_owned(),
                    family: family.to_owned(),
                    table: table.clone(),
                    chain: name.to_owned(),
                },
                way: match name {
                    "INPUT" | "PREROUTING" => Some(Way::In),
                    "OUTPUT" | "POSTROUTING" => Some(Way::Out),
                    _ => None,
                },
                drops: policy == "DROP",
                ..Chain::default()
            });
        } else if let Some((name, line)) = of_chain(line)
            && let Some(chain) = chains
                .iter_mut()
                .find(|c| c.spot.table == table && c.spot.chain == name)
        {
            rule(line, chain, port);
        }
    }
    reached(chains)
}

/// A line with a rule, and its chain; it may begin with counters.
fn of_chain(line: &str) -> Option<(&str, &str)> {
    let at = match line.starts_with('[') {
        true => line.find("] ")? + 2,
        false => 0,
    };
    let rest = line.get(at..)?.strip_prefix("-A ")?;
    Some((rest.split(' ').next()?, line))
}

fn rule(line: &str, chain: &mut Chain, port: u16) {
    if chain.over {
        return;
    }
    let mut words = split(line).into_iter().peekable();
    let mut packets = None;
    if let Some(counters) = words.next_if(|w| w.starts_with('[')) {
        let number = counters.trim_start_matches('[').split(':').next();
        packets = number.and_then(|n| n.parse().ok());
    }
    let (mut tcp, mut four) = (false, false);
    let (mut hit, mut other_port, mut narrowed, mut of_pods) = (false, false, false, false);
    let (mut from, mut to, mut target) = (Networks::default(), Networks::default(), None);
    let mut port_of = PortOf::default();
    // Another protocol; or nothing of a new connection that comes from elsewhere.
    let mut aside = false;
    let mut elsewhere = false;
    let mut goes = false;
    // -A and the chain.
    words.next();
    words.next();
    while let Some(word) = words.next() {
        let not = word == "!";
        let option = match not {
            true => words.next().unwrap_or_default(),
            false => word,
        };
        match option.as_str() {
            "-p" | "--protocol" => {
                let protocol = words.next().unwrap_or_default();
                tcp = !not && is_tcp(&protocol);
                four = !not && is_protocol_4(&protocol);
                aside |= not == is_tcp(&protocol);
            }
            "-m" | "--match" => {
                let name = words.next().unwrap_or_default();
                narrowed |= !matches!(name.as_str(), "tcp" | "udp" | "multiport" | "comment");
            }
            "--comment" | "--reject-with" => {
                words.next();
            }
            "--dport" | "--sport" | "--dports" | "--sports" | "--ports" | "--destination-port"
            | "--source-port" => {
                let list = words.next().unwrap_or_default();
                let has = !not && list.split(',').any(|word| has_port(word, ':', port));
                hit |= has;
                let source = option.starts_with("--s");
                let both = option == "--ports";
                port_of.source |= has && (source || both);
                port_of.destination |= has && (!source || both);
                other_port |= !has;
                // What comes to BGP's port has it as its destination, and comes from any.
                elsewhere |= !has && !not && !source;
            }
            "-s" | "--source" | "-d" | "--destination" => {
                let network = words.next().and_then(|w| w.parse().ok());
                narrowed |= network.is_none();
                let list = network.into_iter().collect();
                match option.starts_with("-s") || option == "--source" {
                    true => from = Networks { list, not },
                    false => to = Networks { list, not },
                }
            }
            "-i" | "--in-interface" => {
                let link = words.next().unwrap_or_default();
                // What does not come by itself is all that comes from elsewhere.
                narrowed |= !(not && link == "lo");
                of_pods |= !not && link.starts_with("cali");
                aside |= !not && link == "lo";
            }
            "-o" | "--out-interface" => {
                aside |= !not && words.next().is_some_and(|link| link == "lo");
                narrowed = true;
            }
            "--ctstate" | "--state" => {
                let states = words.next().unwrap_or_default();
                let new = states.split(',').any(|s| matches!(s, "NEW" | "UNTRACKED"));
                aside |= !not && !new;
                narrowed = true;
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                goes = option.starts_with("-g") || option == "--goto";
                target = words.next();
            }
            _ => {
                narrowed = true;
                skip_values(&mut words);
            }
        }
    }
    let anyone = from == Networks::default() && to == Networks::default();
    let anything = !(tcp || four || hit || other_port || aside || narrowed);
    let may_be_bgp = !(aside || four || elsewhere || of_pods);
    let mut leads = Vec::new();
    let does = match target.as_deref() {
        Some("DROP") => Does::Drop,
        Some("REJECT") => Does::Reject,
        Some("ACCEPT") => Does::Accept,
        Some("RETURN") if anyone && anything => {
            chain.over = true;
            return;
        }
        Some("RETURN") if may_be_bgp => Does::Return,
        Some("RETURN") => return,
        Some(to) => {
            // What Calico leads to its chains of pods' packets is not the host's own.
            if of_pods {
                return;
            }
            chain.jumps.push(to.to_owned());
            if !may_be_bgp {
                return;
            }
            leads.push(to.to_owned());
            // What goes does not come back here.
            match goes && !(anyone && anything) {
                true => Does::Return,
                false => Does::Accept,
            }
        }
        None => return,
    };
    if anyone && anything {
        chain.hands_over(&leads);
    }
    if does.stops() && anyone && anything {
        chain.ends_all(does);
        return;
    }
    if does.stops() && anyone && tcp && !(hit || other_port || aside || narrowed) {
        chain.ends_tcp(does);
    }
    let names = match (tcp && hit, four) {
        (true, _) => Names::Bgp,
        (_, true) if !hit && !other_port => Names::Protocol4,
        _ if !leads.is_empty() => Names::Chains,
        _ if does == Does::Return => match tcp {
            true => Names::Tcp,
            false => Names::All,
        },
        _ if does != Does::Accept || aside || hit || other_port || four => return,
        (false, _) if tcp => Names::Tcp,
        _ => Names::All,
    };
    chain.push(Rule {
        spot: chain.spot.clone(),
        handle: None,
        text: line
            .get(line.find("-A ").unwrap_or(0)..)
            .unwrap_or(line)
            .to_owned(),
        names,
        does,
        port_of: match names {
            Names::Bgp => port_of,
            _ => PortOf::BOTH,
        },
        from,
        to,
        narrowed: narrowed || other_port,
        packets,
        ways: BTreeSet::new(),
        leads,
        through: None,
    });
}

/// The values of an option that is not known.
fn skip_values(words: &mut Peekable<impl Iterator<Item = String>>) {
    while words.next_if(|w| !w.starts_with('-') && w != "!").is_some() {}
}

/// Words; those in quotes are one, with their backslashes taken as they are meant.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
