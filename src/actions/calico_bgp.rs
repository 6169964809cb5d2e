//! `calico.bgp`: every node sees every peer established, and nothing of a wrong address is left.
//! It only reads.

use super::calico_address_change::address_changes;
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place};
use crate::calico::{Cidr, Family, Mesh, MeshNode, SessionFault, rolls_calico_node};
use crate::fault::Fault;
use crate::model::{Effect, Exception, Prior, Settled, Target};
use crate::runbook::{DURATION_FORMAT, parse_duration};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Reads until every node sees every peer of Calico's BGP mesh established. It only reads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How long the mesh must hold without a break, such as 65s.
    #[schemars(extend("format" = DURATION_FORMAT))]
    settle: String,
    /// How long it may take until it holds, such as 5m.
    #[schemars(extend("format" = DURATION_FORMAT))]
    within: String,
}

pub struct MeshEstablished {
    patience: Patience,
}

pub struct Seen {
    mesh: Mesh,
    /// Which nodes' hosts could not be read, and why.
    unread: Vec<(String, Fault)>,
}

#[async_trait]
impl Action for MeshEstablished {
    const USES: &'static str = "calico.bgp";
    const FORMERLY: Option<&'static str> = Some("calico.mesh");
    type Args = Args;
    type Seen = Seen;
    /// It changes nothing.
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        let read = |name: &str, text: &str| {
            parse_duration(text).ok_or_else(|| format!("{name}: `{text}` is not a duration"))
        };
        let patience = Patience {
            within: read("within", &args.within)?,
            settle: read("settle", &args.settle)?,
        };
        if patience.settle >= patience.within {
            return Err(format!(
                "the mesh cannot hold for {} within {}: `settle` must be shorter than `within`",
                args.settle, args.within
            ));
        }
        Ok(Self { patience })
    }

    fn needs(_with: &Value) -> Needs {
        Needs::default().mesh()
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        place.run()?;
        look.calico().await?;
        let (mesh, unread) = look.mesh().await?;
        Ok(Seen { mesh, unread })
    }

    fn decide(
        &self,
        seen: &Seen,
        place: Place<'_>,
        prior: Prior<'_>,
    ) -> Decision<std::convert::Infallible> {
        let faults = seen.mesh.faults();
        if prior.changes_anything() {
            return self.check(seen, &faults, prior);
        }
        if let Some((_, fault)) = seen.unread.first() {
            return Decision::Unknown {
                why: format!("not every node's sessions can be read: {}", told(fault)),
                otherwise: None,
            };
        }
        if faults.is_empty() {
            let nodes = seen.mesh.nodes.len();
            return Decision::NoChange {
                why: format!(
                    "all {nodes} nodes see {} established{}",
                    self.peers(seen),
                    unclear(seen)
                ),
            };
        }
        if faults.iter().all(|fault| fault.unread) {
            return Decision::Unknown {
                why: format!("not every node's sessions are known: {}", listed(&faults)),
                otherwise: None,
            };
        }
        refuse(&seen.mesh, &faults, place.targets)
    }

    fn compile(&self, change: std::convert::Infallible) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, prior: Prior<'_>, except: &[Exception]) -> Settled {
        let excepted = |node: &str| except.iter().any(|e| e.item.is_none() && e.node == node);
        if let Some((_, fault)) = seen.unread.iter().find(|(node, _)| !excepted(node)) {
            return Settled::NotYet(fault.message.clone());
        }
        for (name, family, after) in given(prior) {
            let now = seen.mesh.node(name).and_then(|n| n.advertises(family));
            if now != Some(after) {
                return Settled::NotYet(format!(
                    "{name} advertises {} and not {after}",
                    now.unwrap_or("nothing")
                ));
            }
        }
        let traces: Vec<String> = gone(&seen.mesh, prior)
            .into_iter()
            .flat_map(|address| seen.mesh.traces_of(address))
            .collect();
        if !traces.is_empty() {
            return Settled::NotYet(traces.join("; "));
        }
        let faults: Vec<SessionFault> = seen
            .mesh
            .faults()
            .into_iter()
            .filter(|fault| {
                !except.iter().any(|e| match &e.item {
                    Some(item) => fault.from == e.node && fault.to == *item,
                    None => fault.involves(&e.node),
                })
            })
            .collect();
        match faults.is_empty() {
            true => Settled::Yes,
            false => Settled::NotYet(listed(&faults)),
        }
    }

    fn patience(&self) -> Patience {
        self.patience
    }
}

impl MeshEstablished {
    fn peers(&self, seen: &Seen) -> &'static str {
        match seen.mesh.full {
            true => "every peer",
            false => "every configured peer",
        }
    }

    /// After changes: what is awaited, and what these changes cannot bring about.
    fn check(
        &self,
        seen: &Seen,
        faults: &[SessionFault],
        prior: Prior<'_>,
    ) -> Decision<std::convert::Infallible> {
        // A new method has every calico-node detect its address again.
        let rolled = prior.effects().any(rolls_calico_node);
        let healed: Vec<&str> = given(prior).map(|(node, ..)| node).collect();
        // Where no address is changed, a new start is the remedy.
        let started: Vec<&str> = started(prior)
            .filter(|node| !healed.contains(node))
            .collect();
        let unexplained: Vec<&SessionFault> = faults
            .iter()
            .filter(|fault| !seen.unread.iter().any(|(node, _)| *node == fault.from))
            .filter(|fault| {
                let stray = fault
                    .strays
                    .iter()
                    .any(|s| rolled || healed.contains(&s.as_str()));
                let comes_up_anew = rolled && seen.mesh.absent.contains(&fault.from)
                    || started.iter().any(|node| fault.involves(node));
                !(stray || comes_up_anew)
            })
            .collect();
        let unread: Vec<&(String, Fault)> = seen
            .unread
            .iter()
            .filter(|(node, _)| !asked_of(prior).any(|asked| asked == node))
            .collect();
        let nodes = unread.iter().map(|(node, _)| Exception {
            node: node.clone(),
            item: None,
        });
        let sessions = unexplained.iter().map(|fault| Exception {
            node: fault.from.clone(),
            item: (!fault.to.is_empty()).then(|| fault.to.clone()),
        });
        let except: Vec<Exception> = nodes.chain(sessions).collect();
        let mut expects = format!(
            "all {} nodes see {} established",
            seen.mesh.nodes.len(),
            self.peers(seen)
        );
        let addresses: Vec<String> = gone(&seen.mesh, prior)
            .iter()
            .map(ToString::to_string)
            .collect();
        if !addresses.is_empty() {
            expects.push_str(&format!(
                ", and nothing of {} is left",
                addresses.join(", ")
            ));
        }
        expects.push_str(&format!(
            ", for {} s without a break{}",
            self.patience.settle.as_secs(),
            unclear(seen)
        ));
        let mut why = Vec::new();
        if let Some((_, first)) = unread.first() {
            let more = match unread.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            why.push(format!(
                "not every node's sessions can be read: {}{more}",
                told(first)
            ));
        }
        if !unexplained.is_empty() {
            let unexplained: Vec<SessionFault> = unexplained.into_iter().cloned().collect();
            why.push(format!(
                "there is more amiss than this run heals: {}",
                listed(&unexplained)
            ));
        }
        if why.is_empty() {
            return Decision::Check { expects, except };
        }
        let excepted: Vec<String> = except.iter().map(ToString::to_string).collect();
        expects.push_str(&format!("; not looked at: {}", excepted.join(", ")));
        Decision::Unknown {
            why: why.join("; "),
            otherwise: Some(Box::new(Decision::Check { expects, except })),
        }
    }
}

/// Nothing is changed, and yet sessions are down: says where the fault is, since it is not here.
fn refuse(
    mesh: &Mesh,
    faults: &[SessionFault],
    targets: &[Target],
) -> Decision<std::convert::Infallible> {
    let strays: BTreeSet<&str> = faults
        .iter()
        .flat_map(|f| f.strays.iter().map(String::as_str))
        .filter(|name| !targets.iter().any(|t| t.name == *name))
        .collect();
    if !strays.is_empty() {
        let names: Vec<&str> = strays.iter().copied().collect();
        return Decision::Refuse {
            why: format!(
                "the address is right here, and the fault is elsewhere: {} advertises an address that is not its own",
                names.join(", ")
            ),
            next: Some(format!(
                "runbook plan fix-bgp-wrong-ip{}",
                arguments(&strays)
            )),
        };
    }
    let (mut nodes, sessions): (Vec<SessionFault>, Vec<SessionFault>) =
        faults.iter().cloned().partition(|f| f.to.is_empty());
    // Of whom nobody knows anything, that is not said.
    nodes.retain(|fault| !fault.unread);
    let own = mesh.own_network();
    let of_fault = faults.iter().flat_map(|fault| mesh.suspects(&own, fault));
    let suspects: BTreeMap<&str, &MeshNode> = of_fault.map(|node| (node.name(), node)).collect();
    if nodes.is_empty() && !suspects.is_empty() {
        let names: Vec<&str> = suspects.keys().copied().collect();
        let works = |node: &&MeshNode| {
            let mut families = Family::BOTH.into_iter();
            families.any(|f| node.strays_in(f) && mesh.works_in(node, f))
        };
        let although = match suspects.values().any(works) {
            true => ", although some sessions with it are established",
            false => "",
        };
        Decision::Refuse {
            why: format!(
                "sessions are not established, and whether the addresses are right is not known: what {} {} is not the InternalIP{although}: {}",
                names.join(", "),
                if names.len() == 1 {
                    "advertises"
                } else {
                    "advertise"
                },
                listed(&sessions)
            ),
            next: Some(format!(
                "where the InternalIP is right: runbook plan fix-bgp-wrong-ip{}; where it is not, what is in the way: \
                 runbook plan check-bgp-path{}",
                arguments(&names),
                nodes_of(&sessions)
            )),
        }
    } else if nodes.is_empty() {
        Decision::Refuse {
            why: format!(
                "the addresses are right, and yet sessions are not established: the path is at fault, not the addresses: {}",
                listed(&sessions)
            ),
            next: Some(
                "other addresses would not help; what is in the way: runbook plan check-bgp-path"
                    .to_owned()
                    + &nodes_of(&sessions),
            ),
        }
    } else {
        Decision::Refuse {
            why: format!(
                "{}these nodes do not take part in the mesh: {}",
                if suspects.is_empty() { "no address is wrong; " } else { "" },
                listed(&nodes)
            ),
            next: Some(
                "look at calico-node there: kubectl get pods -A -o wide -l k8s-app=calico-node, and its logs"
                    .to_owned(),
            ),
        }
    }
}

/// The nodes at which sessions are not established, as arguments.
fn nodes_of(faults: &[SessionFault]) -> String {
    let from: BTreeSet<&str> = faults.iter().map(|fault| fault.from.as_str()).collect();
    arguments(&from)
}

/// Names of nodes, as arguments.
fn arguments<'n>(names: impl IntoIterator<Item = &'n &'n str>) -> String {
    let names = names.into_iter();
    names.map(|name| format!(" --node {name}")).collect()
}

/// The first few faults, in a sentence.
fn listed(faults: &[SessionFault]) -> String {
    let mut text = faults
        .iter()
        .take(4)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    if faults.len() > 4 {
        text.push_str(&format!("; and {} more", faults.len() - 4));
    }
    text
}

/// The addresses that earlier steps take away, and that must appear nowhere any more, unless they
/// are another node's by right.
fn gone(mesh: &Mesh, prior: Prior<'_>) -> Vec<IpAddr> {
    address_changes(prior)
        .filter_map(|change| change.before?.parse::<Cidr>().ok())
        .map(|cidr| cidr.ip)
        .filter(|ip| !mesh.is_some_nodes_own(*ip))
        .collect()
}

/// Nodes of which earlier steps have calico-node itself say how its sessions are.
fn asked_of<'a>(prior: Prior<'a>) -> impl Iterator<Item = &'a str> {
    prior.effects().filter_map(|effect| match effect {
        Effect::PutObject {
            object,
            after: Some(after),
            ..
        } if object.kind == "CalicoNodeStatus" => after.pointer("/spec/node")?.as_str(),
        _ => None,
    })
}

/// Why a node's sessions are not read, with what to do about it.
fn told(fault: &Fault) -> String {
    match &fault.next {
        Some(next) => format!("{fault} ({next})"),
        None => fault.to_string(),
    }
}

/// What of the configuration is not understood, in words.
fn unclear(seen: &Seen) -> String {
    match seen.mesh.unclear.as_slice() {
        [] => String::new(),
        all => format!(
            "; which sessions there are besides is not known: {}",
            all.join("; ")
        ),
    }
}

/// On which nodes earlier steps start calico-node anew.
fn started<'a>(prior: Prior<'a>) -> impl Iterator<Item = &'a str> {
    prior.effects().filter_map(|effect| match effect {
        Effect::ReplacePod { node, .. } => Some(node.as_str()),
        _ => None,
    })
}

/// Which node must advertise what, since earlier steps gave it to it.
fn given<'a>(prior: Prior<'a>) -> impl Iterator<Item = (&'a str, Family, &'a str)> {
    address_changes(prior).filter_map(|change| Some((change.node, change.family, change.after?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calico::{test_healthy, test_node, test_sees, test_stray, test_stray_together};
    use crate::journal::test_events::{change, step};
    use crate::model::{FieldChange, FieldPath, ObjectRef, PlannedStep, Scope, Verdict};
    use std::time::Duration;

    fn action() -> MeshEstablished {
        MeshEstablished::new(Args {
            settle: "65s".into(),
            within: "5m".into(),
        })
        .unwrap()
    }

    fn seen(mesh: Mesh) -> Seen {
        Seen {
            mesh,
            unread: vec![],
        }
    }

    /// An earlier step that gives node02 its address back.
    fn heals_node02() -> Vec<PlannedStep> {
        let effects = vec![Effect::SetFields {
            object: ObjectRef {
                name: "node02".into(),
                ..test_node("node02", "10.0.0.2", None).object
            },
            fields: vec![FieldChange {
                path: FieldPath::annotation(Family::Ipv4.annotation()),
                before: Some("172.18.0.1/16".into()),
                after: Some("10.0.0.2/24".into()),
            }],
        }];
        vec![step("address", Scope::Run, change(effects))]
    }

    fn decide(seen: &Seen, steps: &[PlannedStep]) -> String {
        let place = Place::for_test(&Scope::Run, &[]);
        match action().decide(seen, place, Prior { steps }) {
            Decision::NoChange { why } => format!("no change: {why}"),
            Decision::Check { expects, except } => {
                assert!(except.is_empty());
                format!("check: {expects}")
            }
            Decision::Unknown { why, otherwise } => match otherwise.as_deref() {
                Some(Decision::Check { expects, .. }) => format!("unknown: {why}; then {expects}"),
                None => format!("unknown: {why}"),
                other => panic!("{other:?}"),
            },
            Decision::Refuse { why, next } => format!("refused: {why} ({})", next.unwrap()),
            Decision::Late { .. } | Decision::Foreseen | Decision::Change(_) => unreachable!(),
        }
    }

    fn verify(mesh: Mesh, steps: &[PlannedStep]) -> String {
        verify_but(mesh, steps, &[])
    }

    fn verify_but(mesh: Mesh, steps: &[PlannedStep], except: &[Exception]) -> String {
        match Action::verify(&action(), &seen(mesh), Prior { steps }, except) {
            Settled::Yes => "yes".to_owned(),
            Settled::NotYet(what) => what,
        }
    }

    #[test]
    fn a_mesh_that_is_established_needs_nothing() {
        insta::assert_snapshot!(decide(&seen(test_healthy()), &[]), @"no change: all 3 nodes see every peer established");
    }

    #[test]
    fn after_a_change_it_is_checked() {
        insta::assert_snapshot!(decide(&seen(test_stray()), &heals_node02()), @"check: all 3 nodes see every peer established, and nothing of 172.18.0.1 is left, for 65 s without a break");
    }

    #[test]
    fn a_path_at_fault_is_refused_by_its_cause() {
        let mut mesh = test_healthy();
        let down = ("10.0.0.2", "start", "Active Socket: Connection refused");
        mesh.readings.insert(
            "node01".into(),
            test_sees(&[down, ("10.0.0.3", "up", "Established")]),
        );
        insta::assert_snapshot!(decide(&seen(mesh.clone()), &[]), @"refused: the addresses are right, and yet sessions are not established: the path is at fault, not the addresses: node01 → node02 (10.0.0.2): start Active Socket: Connection refused (other addresses would not help; what is in the way: runbook plan check-bgp-path --node node01)");
        // With another change planned, it is what the run will not heal.
        insta::assert_snapshot!(decide(&seen(mesh), &heals_node02()), @"unknown: there is more amiss than this run heals: node01 → node02 (10.0.0.2): start Active Socket: Connection refused; then all 3 nodes see every peer established, and nothing of 172.18.0.1 is left, for 65 s without a break; not looked at: node01 → node02 (10.0.0.2)");
    }

    #[test]
    fn a_node_that_only_calico_has_is_not_said_to_take_no_part() {
        let mut mesh = test_healthy();
        let mut old = test_node("old", "10.0.0.9", Some("10.0.0.9/24"));
        old.object.uid.clear();
        mesh.nodes.push(old);
        for name in ["node01", "node02", "node03"] {
            if let Ok(status) = &mut mesh.readings.get_mut(name).unwrap().sessions {
                let peer = status.peers[0].clone();
                status.peers.push(crate::calico::Peer {
                    address: "10.0.0.9".parse().unwrap(),
                    state: "start".into(),
                    info: "Connect".into(),
                    ..peer
                });
            }
        }
        let said = decide(&seen(mesh), &[]);
        assert!(
            said.contains("node01 → old (10.0.0.9): start Connect"),
            "{said}"
        );
        assert!(!said.contains("do not take part"), "{said}");
    }

    #[test]
    fn sessions_of_wrong_addresses_with_each_other_prove_nothing() {
        insta::assert_snapshot!(decide(&seen(test_stray_together()), &[]), @"refused: sessions are not established, and whether the addresses are right is not known: what node02, node03 advertise is not the InternalIP, although some sessions with it are established: node01 → node02 (172.18.0.1): start Connect; node01 → node03 (172.18.0.3): start Connect; node02 → node01 (10.0.0.1): start Connect; node03 → node01 (10.0.0.1): start Connect (where the InternalIP is right: runbook plan fix-bgp-wrong-ip --node node02 --node node03; where it is not, what is in the way: runbook plan check-bgp-path --node node01 --node node02 --node node03)");
    }

    #[test]
    fn a_stray_neighbour_is_named() {
        insta::assert_snapshot!(decide(&seen(test_stray()), &[]), @"refused: the address is right here, and the fault is elsewhere: node02 advertises an address that is not its own (runbook plan fix-bgp-wrong-ip --node node02)");
    }

    #[test]
    fn a_host_that_cannot_be_read_leaves_it_unknown() {
        let seen = Seen {
            mesh: test_healthy(),
            unread: vec![
                (
                    "node03".into(),
                    Fault::unreachable("x", "node03 cannot be reached over SSH"),
                ),
                ("node04".into(), Fault::unreachable("x", "node04 too")),
            ],
        };
        insta::assert_snapshot!(decide(&seen, &[]), @"unknown: not every node's sessions can be read: node03 cannot be reached over SSH");
        insta::assert_snapshot!(decide(&seen, &heals_node02()), @"unknown: not every node's sessions can be read: node03 cannot be reached over SSH (and 1 more); then all 3 nodes see every peer established, and nothing of 172.18.0.1 is left, for 65 s without a break; not looked at: node03, node04");
        assert!(matches!(
            Action::verify(&action(), &seen, Prior { steps: &[] }, &[]),
            Settled::NotYet(_)
        ));
        let except = ["node03", "node04"].map(|node| Exception {
            node: node.into(),
            item: None,
        });
        assert_eq!(
            Action::verify(&action(), &seen, Prior { steps: &[] }, &except),
            Settled::Yes
        );
    }

    #[test]
    fn what_is_let_be_is_that_and_no_more() {
        let mut mesh = test_healthy();
        mesh.readings.insert(
            "node01".into(),
            test_sees(&[
                ("10.0.0.2", "start", "Connect"),
                ("10.0.0.3", "start", "Idle"),
            ]),
        );
        let except = |node: &str, item: Option<&str>| {
            [Exception {
                node: node.into(),
                item: item.map(str::to_owned),
            }]
        };
        let verify = |except: &[Exception]| verify_but(mesh.clone(), &[], except);
        assert_eq!(verify(&except("node01", None)), "yes");
        insta::assert_snapshot!(verify(&except("node02", None)), @"node01 → node03 (10.0.0.3): start Idle");
        insta::assert_snapshot!(verify(&except("node01", Some("node03 (10.0.0.3)"))), @"node01 → node02 (10.0.0.2): start Connect");
        insta::assert_snapshot!(verify(&except("node03", Some("node01 (10.0.0.1)"))), @"node01 → node02 (10.0.0.2): start Connect; node01 → node03 (10.0.0.3): start Idle");
    }

    #[test]
    fn a_stray_that_this_run_does_not_heal_is_not_explained_by_it() {
        let mut mesh = test_stray();
        mesh.nodes[2] = test_node("node03", "10.0.0.3", Some("172.18.0.2/16"));
        mesh.readings.insert(
            "node01".into(),
            test_sees(&[
                ("172.18.0.1", "start", "Passive"),
                ("172.18.0.2", "start", "Passive"),
            ]),
        );
        insta::assert_snapshot!(decide(&seen(mesh), &heals_node02()), @"unknown: there is more amiss than this run heals: node01 → node03 (172.18.0.2): start Passive; then all 3 nodes see every peer established, and nothing of 172.18.0.1 is left, for 65 s without a break; not looked at: node01 → node03 (172.18.0.2)");
    }

    #[test]
    fn nodes_that_do_not_take_part_are_named() {
        let mut mesh = test_healthy();
        mesh.absent = vec!["node04".into()];
        insta::assert_snapshot!(decide(&seen(mesh), &[]), @"refused: no address is wrong; these nodes do not take part in the mesh: node04: it advertises no address: calico-node does not come up there, or gave its address up (look at calico-node there: kubectl get pods -A -o wide -l k8s-app=calico-node, and its logs)");
        let mut mesh = test_healthy();
        mesh.readings.get_mut("node03").unwrap().sessions = Err(crate::calico::StatusError::NoBird);
        insta::assert_snapshot!(decide(&seen(mesh), &[]), @"refused: no address is wrong; these nodes do not take part in the mesh: node03: BIRD does not run there (look at calico-node there: kubectl get pods -A -o wide -l k8s-app=calico-node, and its logs)");
    }

    #[test]
    fn an_address_that_is_another_nodes_own_need_not_vanish() {
        let mut steps = heals_node02();
        if let Verdict::Change { effects, .. } = &mut steps[0].verdict
            && let Effect::SetFields { fields, .. } = &mut effects[0]
        {
            fields[0].before = Some("10.0.0.3/24".into());
        }
        assert_eq!(verify(test_healthy(), &steps), "yes");
    }

    #[test]
    fn the_targets_own_other_address_is_not_sent_back_to_it() {
        // node02 advertises another address that works, and node01 and node03 do not reach each other.
        let mut mesh = test_healthy();
        mesh.nodes[1] = test_node("node02", "10.0.0.2", Some("10.9.0.2/24"));
        let up = |a| (a, "up", "Established");
        mesh.readings.insert(
            "node01".into(),
            test_sees(&[up("10.9.0.2"), ("10.0.0.3", "start", "Connect")]),
        );
        mesh.readings.insert(
            "node03".into(),
            test_sees(&[up("10.9.0.2"), up("10.0.0.1")]),
        );
        insta::assert_snapshot!(decide(&seen(mesh), &[]), @"refused: the addresses are right, and yet sessions are not established: the path is at fault, not the addresses: node01 → node03 (10.0.0.3): start Connect (other addresses would not help; what is in the way: runbook plan check-bgp-path --node node01)");
    }

    #[test]
    fn verified_is_address_traces_and_sessions() {
        let steps = heals_node02();
        assert_eq!(verify(test_healthy(), &steps), "yes");
        insta::assert_snapshot!(verify(test_stray(), &steps), @"node02 advertises 172.18.0.1/16 and not 10.0.0.2/24");
        let mut mesh = test_healthy();
        mesh.readings.insert(
            "node03".into(),
            test_sees(&[
                ("10.0.0.1", "up", "Established"),
                ("10.0.0.2", "up", "Established"),
                ("172.18.0.1", "start", "Passive"),
            ]),
        );
        insta::assert_snapshot!(verify(mesh, &steps), @"node03 still has a session with 172.18.0.1");
        let mut mesh = test_healthy();
        mesh.readings.insert(
            "node03".into(),
            test_sees(&[
                ("10.0.0.1", "up", "Established"),
                ("10.0.0.2", "start", "Connect"),
            ]),
        );
        insta::assert_snapshot!(verify(mesh, &steps), @"node03 → node02 (10.0.0.2): start Connect");
        let mut mesh = test_healthy();
        mesh.nodes.remove(1);
        insta::assert_snapshot!(verify(mesh, &steps), @"node02 advertises nothing and not 10.0.0.2/24");
    }

    #[test]
    fn its_patience_is_read() {
        assert_eq!(
            Action::patience(&action()),
            Patience {
                within: Duration::from_secs(300),
                settle: Duration::from_secs(65)
            }
        );
        for (settle, within) in [("5m", "5m"), ("x", "5m"), ("5s", "x")] {
            assert!(
                MeshEstablished::new(Args {
                    settle: settle.into(),
                    within: within.into()
                })
                .is_err()
            );
        }
    }
}
