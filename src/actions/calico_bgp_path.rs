//! `calico.bgp_path`: why sessions of BGP are not established although the addresses are right. It only reads.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::Mesh;
use crate::calico::path::{
    Cause, Certain, HostPath, Hosts, Judgement, NoHost, Setup, judge, open, pairs,
};
use crate::fault::{Class, Fault};
use crate::model::{Prior, Verb};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many hosts are asked at a time.
const HOSTS_AT_ONCE: usize = 32;
/// How many peers a host tries at most, so that it ends within a minute.
const PEERS: usize = 48;

/// How many causes are told at a time.
const CAUSES: usize = 6;

/// Looks why BGP sessions of the targets are not established: from each end the route, a ping, TCP 179 and
/// the firewall's rules for it and for IP protocol 4, and whether BIRD listens. It only reads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {}

pub struct BgpPath;

pub struct Seen {
    targets: Vec<String>,
    /// Of which the mesh knows no address.
    absent: Vec<String>,
    judgement: Judgement,
    /// Why sessions of nodes are not known.
    unread: Vec<String>,
    /// Why there may be sessions besides.
    open: Vec<String>,
    port: u16,
    /// Whether a pool uses IPIP; `None`: nobody could read it.
    ipip: Option<bool>,
    /// Where calico-node is.
    namespace: String,
}

#[async_trait]
impl Action for BgpPath {
    const USES: &'static str = "calico.bgp_path";
    type Args = Args;
    type Seen = Seen;
    /// It changes nothing.
    type Change = std::convert::Infallible;

    fn new(_: Args) -> Result<Self, String> {
        Ok(Self)
    }

    fn needs(_with: &Value) -> Needs {
        let pods = Of::any_of("v1", "Pod", "kube-system");
        let of_calico = |kind: &str| Of {
            namespace: None,
            ..Of::any_of("crd.projectcalico.org/v1", kind, "")
        };
        Needs::default()
            .mesh()
            .look(Verb::List, &of_calico("BGPConfiguration"))
            .wide("all of them: nodes may have one of their own")
            .look(Verb::List, &of_calico("IPPool"))
            .wide("all of them: any may wrap pods' traffic in IPIP")
            .look(Verb::List, &pods)
            .wide("not for single objects: a pod gets its name when it is made")
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        place.run()?;
        let owner = look.calico().await?.node.object.clone();
        let (mesh, unread) = look.mesh().await?;
        let port = look.bgp_port().await?;
        let own_ports = look.bgp_ports().await?;
        let ipip = look.has_ipip().await?;
        let namespace = owner.namespace.clone().unwrap_or_default();
        let targets: Vec<String> = place.targets.iter().map(|t| t.name.clone()).collect();
        let pairs = pairs(&mesh, &targets);
        let mut wanted: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for target in targets.iter().filter(|t| mesh.node(t).is_some()) {
            wanted.insert(target.clone(), BTreeSet::new());
        }
        // BIRD sees whoever connects: where a session is established, nobody does.
        for pair in pairs.iter().filter(|p| !p.is_established()) {
            for (from, to) in pair.both().into_iter().filter(|(from, _)| from.is_node) {
                let peers = wanted.entry(from.name.clone()).or_default();
                if pair.is_down() && peers.len() < PEERS {
                    peers.insert(to.address);
                }
            }
        }
        let silent = |node: &str| {
            let fault = unread.iter().find(|(name, _)| name == node)?;
            (fault.1.class == Class::Unreachable).then(|| no_host(&fault.1))
        };
        let ask = async |(node, peers): (String, BTreeSet<IpAddr>)| {
            // Who has just not answered is not waited for again.
            if let Some(no) = silent(&node) {
                return (node, Err(no));
            }
            let peers: Vec<IpAddr> = peers.into_iter().collect();
            let said = look.bgp_path(&node, place.identity, port, &peers).await;
            let host = said.map(|parts| HostPath::of(&parts, port));
            (node, host.map_err(|fault| no_host(&fault)))
        };
        let hosts: Hosts = stream::iter(wanted.into_iter().map(ask))
            .buffer_unordered(HOSTS_AT_ONCE)
            .collect()
            .await;
        let mut pods = BTreeMap::new();
        for node in without_bird(&mesh, &hosts) {
            let pod = look.pod_of(&owner, &node).await?;
            pods.insert(node, pod.is_some());
        }
        Ok(Seen {
            absent: targets
                .iter()
                .filter(|t| mesh.node(t).is_none())
                .cloned()
                .collect(),
            open: open(&mesh, &targets),
            targets,
            judgement: judge(
                &mesh,
                &pairs,
                &hosts,
                &Setup {
                    pods: &pods,
                    port,
                    own_ports: &own_ports,
                    namespace: &namespace,
                },
            ),
            ipip,
            namespace,
            unread: unread
                .iter()
                .map(|(node, fault)| format!("{node}: {fault}"))
                .collect(),
            port,
        })
    }

    fn decide(
        &self,
        seen: &Seen,
        _: Place<'_>,
        _: Prior<'_>,
    ) -> Decision<std::convert::Infallible> {
        let judgement = &seen.judgement;
        let of = seen.targets.join(", ");
        if let Some(absent) = seen.absent.first() {
            return Decision::Refuse {
                why: format!(
                    "{absent} takes no part in the mesh: it advertises no address, and so nobody has a session with it"
                ),
                next: Some(format!(
                    "look at calico-node there: kubectl -n {} get pods -o wide -l k8s-app=calico-node \
                     --field-selector spec.nodeName={absent}, and its logs",
                    seen.namespace
                )),
            };
        }
        let down = match judgement.down {
            0 => String::new(),
            n => format!(
                "{n} of the {} sessions of {of} {} not established: ",
                judgement.total,
                if n == 1 { "is" } else { "are" }
            ),
        };
        if let Some(first) = judgement.causes.first() {
            return Decision::Refuse {
                why: format!("{down}{}", first.cause.said),
                next: Some(first.cause.next.clone()),
            };
        }
        if judgement.down > 0 {
            return Decision::Refuse {
                why: format!(
                    "{down}nothing of what was seen is the cause for certain; the notes have all of it, and what is unknown"
                ),
                next: Some(format!(
                    "see where the packets end: `tcpdump -ni any tcp port {}` on both ends",
                    seen.port
                )),
            };
        }
        let mut unknown = Vec::new();
        if !judgement.unknown.is_empty() {
            let sessions = listed(&judgement.unknown);
            let why = seen
                .unread
                .first()
                .map_or(String::new(), |why| format!(" ({why})"));
            unknown.push(format!(
                "whether sessions are established is not known: {sessions}{why}"
            ));
        }
        if let Some(why) = seen.open.first() {
            unknown.push(format!(
                "whether all sessions of {of} are known is open: {why}"
            ));
        }
        // Without IPIP it is in nobody's way.
        let stops = |rule: &&Cause| seen.ipip == Some(true) && rule.certain < Certain::Perhaps;
        if let Some(rule) = judgement.protocol_4.iter().find(stops) {
            let stand = match unknown.is_empty() {
                true => format!(
                    "{}, and yet pods may not reach each other: ",
                    established(seen)
                ),
                false => String::new(),
            };
            return Decision::Refuse {
                why: format!("{stand}{}", rule.said),
                next: Some(rule.next.clone()),
            };
        }
        if seen.ipip != Some(false)
            && let Some(why) = judgement.unread.first()
        {
            unknown.push(format!(
                "whether a rule drops IP protocol 4, and with it pods' traffic, is not known of {why}"
            ));
        }
        match unknown.is_empty() {
            true => Decision::NoChange {
                why: match judgement.protocol_4.is_empty() {
                    true => format!(
                        "{}, and no rule there names IP protocol 4 to drop it",
                        established(seen)
                    ),
                    false => established(seen),
                },
            },
            false => Decision::Unknown {
                why: unknown.join("; "),
                otherwise: None,
            },
        }
    }

    fn compile(&self, change: std::convert::Infallible) -> Compiled {
        match change {}
    }

    fn notes(&self, seen: &Seen, decision: &Decision<std::convert::Infallible>) -> Vec<String> {
        let judgement = &seen.judgement;
        let mut notes = Vec::new();
        for (at, found) in judgement.causes.iter().take(CAUSES).enumerate() {
            let sessions = listed(&found.sessions);
            notes.push(match at {
                0 => format!("it explains {sessions}"),
                _ => format!(
                    "{}: {} ({sessions}); {}",
                    found.cause.certain.word(),
                    found.cause.said,
                    found.cause.next
                ),
            });
        }
        if judgement.causes.len() > CAUSES {
            let more = judgement.causes.len() - CAUSES;
            notes.push(format!(
                "and {more} causes more: heal these first, and look again"
            ));
        }
        if !judgement.unexplained.is_empty() {
            notes.push(format!(
                "no cause is seen of {}",
                listed(&judgement.unexplained)
            ));
        }
        let told =
            |cause: &str| matches!(decision, Decision::Refuse { why, .. } if why.ends_with(cause));
        for rule in judgement.protocol_4.iter().filter(|rule| !told(&rule.said)) {
            let pools = match seen.ipip {
                Some(true) => {
                    "a pool uses IPIP, and pods may not reach each other although sessions stand"
                }
                Some(false) => "no pool uses IPIP, and so it is in nobody's way",
                None => {
                    "pods may not reach each other where a pool uses IPIP, which could not be read"
                }
            };
            notes.push(format!("{}: {pools}; {}", rule.said, rule.next));
        }
        notes.extend(judgement.table.iter().cloned());
        if !judgement.unknown.is_empty() {
            notes.push(format!("not known of: {}", listed(&judgement.unknown)));
        }
        let unread: BTreeSet<&String> = seen
            .unread
            .iter()
            .chain(&judgement.unread)
            .chain(&seen.open)
            .collect();
        notes.extend(unread.iter().map(|why| format!("not read: {why}")));
        notes
    }
}

fn established(seen: &Seen) -> String {
    match seen.judgement.total {
        0 => format!(
            "{} has no session to have: it is alone",
            seen.targets.join(", ")
        ),
        1 => format!(
            "the one session of {} is established",
            seen.targets.join(", ")
        ),
        n => format!(
            "all {n} sessions of {} are established",
            seen.targets.join(", ")
        ),
    }
}

/// The first few of them.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 6 {
        text.push_str(&format!(" and {} more", names.len() - 6));
    }
    text
}

fn no_host(fault: &Fault) -> NoHost {
    NoHost {
        reached: fault.class != Class::Unreachable || answered(fault),
        why: fault.message.clone(),
    }
}

/// Whether a host that cannot be reached by ssh did answer.
fn answered(fault: &Fault) -> bool {
    matches!(
        fault.code.as_str(),
        "host_key_changed" | "host_key_unknown" | "host_login"
    ) || fault.message.contains("Connection refused")
}

/// Nodes whose BIRD is missed: whether its pod is there tells what heals it.
fn without_bird(mesh: &Mesh, hosts: &Hosts) -> Vec<String> {
    let missed = |node: &str, host: &HostPath| {
        let status = mesh.readings.get(node).map(|r| &r.sessions);
        let own = mesh.node(node).map(|n| n.addresses()).unwrap_or_default();
        matches!(status, Some(Err(_)))
            || own.iter().any(|ip| host.listens_at(*ip) == Some(false))
            || host.bird.as_ref().is_some_and(Vec::is_empty)
    };
    let read = hosts
        .iter()
        .filter_map(|(node, host)| Some((node, host.as_ref().ok()?)));
    let missing = read.filter(|(node, host)| missed(node, host));
    missing.map(|(node, _)| node.clone()).collect()
}

#[cfg(test)]
mod tests;
