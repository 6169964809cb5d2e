//! Which rule of a firewall is the cause, and how certain that is.

use super::cause::{Cause, Certain};
use super::judge::Judge;
use super::reading::{Neighbour, PeerPath, Tcp};
use super::rules::{Against, Does, Names, Policy, Rule, Way};
use super::sessions::{End, Pair};
use crate::calico::MeshNode;
use std::collections::BTreeSet;

impl Judge<'_> {
    pub(super) fn rules(&self, pair: &Pair) -> BTreeSet<Cause> {
        let mut causes = BTreeSet::new();
        if self.connects(pair) {
            return causes;
        }
        // Where nobody answers anyhow, silence does not tell that a rule drops what is tried.
        let doubt = match self.mute(pair) {
            Some(_) => Certain::Likely,
            None => Certain::Seen,
        };
        for (end, other) in pair.both() {
            let Some(host) = self.host(end) else { continue };
            for against in host.rules.against(Names::Bgp, end.address, other.address) {
                let Some(tells) = self.tells(end, other, &against) else {
                    continue;
                };
                let certain = match (against.rule.packets, loose(&against)) {
                    (Some(0), _) => Certain::Hardly,
                    (Some(_), false) => Certain::Seen,
                    (Some(_), true) | (None, false) => Certain::Likely,
                    (None, true) => Certain::Perhaps,
                };
                causes.insert(rule(
                    certain.max(tells).max(doubt),
                    &end.name,
                    &format!("TCP {}", self.place.port),
                    &against,
                ));
            }
        }
        causes
    }

    pub(super) fn policies(&self, pair: &Pair) -> BTreeSet<Cause> {
        let mut causes = BTreeSet::new();
        for (end, other) in pair.both() {
            let Some(host) = self.host(end) else { continue };
            let stopped = |policy: &Policy| {
                let tried = match policy.way {
                    Way::In => self.tried(other, end),
                    Way::Out => self.tried(end, other),
                };
                // Who is not there at the link drops nothing.
                tried.is_some_and(|t| {
                    let rejects = policy.by_rule == Some(Does::Reject);
                    let stopped = match t.tcp {
                        Tcp::Silent => !rejects,
                        Tcp::NoWay(_) | Tcp::Refused => rejects,
                        _ => false,
                    };
                    stopped && !is_missing(t)
                })
            };
            for policy in host.rules.policies_against(end.address, other.address) {
                if stopped(policy) {
                    let (name, port, spot) = (&end.name, self.place.port, &policy.spot);
                    let (does, by) = match policy.by_rule {
                        None => ("drops", "its policy"),
                        Some(Does::Reject) => ("rejects", "a rule for all"),
                        Some(_) => ("drops", "a rule for all"),
                    };
                    causes.insert(Cause::new(
                        Certain::Perhaps,
                        format!(
                            "{name} {does} what no rule accepts ({spot}, by {by}, as {} shows it), and no rule is seen \
                             that accepts TCP {port}",
                            spot.tool
                        ),
                        format!(
                            "have TCP {port} of the other nodes accepted on {name}, where its rules come from{}",
                            origin(&spot.table, &spot.chain)
                        ),
                    ));
                }
            }
        }
        causes
    }

    /// How certain a rule can be the cause by the tries whose packets come by it; `None`: they get through.
    fn tells(&self, end: &End, other: &End, against: &Against<'_>) -> Option<Certain> {
        let port_of = against.rule.port_of;
        let mut best = None;
        for way in &against.ways {
            let (towards, away) = match way {
                Way::In => ((other, end), (end, other)),
                Way::Out => ((end, other), (other, end)),
            };
            // What has the port as its source answers who tries the other way.
            let asked = port_of.destination.then_some((towards, false));
            let answers = port_of.source.then_some((away, true));
            for ((from, to), answer) in asked.into_iter().chain(answers) {
                let certain = match self.tried(from, to) {
                    None => Certain::Likely,
                    Some(tried) if is_missing(tried) => Certain::Hardly,
                    Some(tried) => match (against.rule.does, &tried.tcp) {
                        (_, Tcp::Connected) => continue,
                        (_, Tcp::Untried) => Certain::Likely,
                        (Does::Reject, Tcp::Refused | Tcp::NoWay(_))
                        | (Does::Drop, Tcp::Silent) => Certain::Seen,
                        (Does::Reject, Tcp::Silent) if answer => Certain::Seen,
                        (_, Tcp::Silent) => Certain::Perhaps,
                        _ => Certain::Hardly,
                    },
                };
                best = best.map_or(Some(certain), |b: Certain| Some(b.min(certain)));
            }
        }
        best
    }

    pub(super) fn protocol_4(&self) -> Vec<Cause> {
        let address = |node: &MeshNode| node.addresses().into_iter().find(|ip| ip.is_ipv4());
        let mut causes = BTreeSet::new();
        for (name, host) in self.hosts {
            let own = self.mesh.node(name).and_then(address);
            let (Ok(host), Some(own)) = (host, own) else {
                continue;
            };
            let others = self.mesh.nodes.iter().filter(|n| n.name() != name);
            for peer in others.filter_map(address) {
                let against = host.rules.against(Names::Protocol4, own, peer);
                // Felix accepts it from Calico's nodes before it drops the rest (Calico v3.31, felix/rules/static.go).
                for against in against.iter().filter(|a| !a.partly) {
                    let passes = against.rule.narrowed || against.rule.packets == Some(0);
                    let certain = match passes {
                        true => Certain::Perhaps,
                        false => Certain::Likely,
                    };
                    causes.insert(rule(certain, name, "IP protocol 4", against));
                }
            }
        }
        causes.into_iter().collect()
    }
}

fn is_missing(tried: &PeerPath) -> bool {
    tried.neighbour.as_ref().is_some_and(Neighbour::is_missing)
}

/// It may pass over the session's packets for a reason that is not looked into.
fn loose(against: &Against<'_>) -> bool {
    against.partly || against.rule.narrowed
}

fn rule(certain: Certain, node: &str, what: &str, against: &Against<'_>) -> Cause {
    let Against { rule, partly, .. } = against;
    let does = if rule.does == Does::Reject {
        "rejects"
    } else {
        "drops"
    };
    let mut said = rule.to_string();
    if *partly {
        said.push_str(", where no rule before it accepts it or sends it back");
    } else if rule.narrowed {
        said.push_str(", where all fits that it asks for besides");
    }
    Cause::rule(certain, node, does, what, &said, &from(rule))
}

fn from(rule: &Rule) -> String {
    origin(&rule.spot.table, &rule.spot.chain)
}

/// Who makes chains of such names.
fn origin(table: &str, chain: &str) -> String {
    let who = match chain {
        _ if table == "firewalld" => "firewalld",
        _ if chain.starts_with("cali") => "a network policy of Calico's",
        _ if chain.starts_with("ufw") => "ufw",
        _ if chain.starts_with("KUBE") => "kube-proxy or kubelet",
        _ if chain.starts_with("DOCKER") => "docker",
        _ => return String::new(),
    };
    format!(" (by the name of its chain, {who})")
}
