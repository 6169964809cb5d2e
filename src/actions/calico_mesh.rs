//! `calico.mesh`: every node sees every peer established, and nothing of a wrong address is left.
//! It only reads.

use super::{Action, Compiled, Decision, Look, Patience, Place};
use crate::calico::{Cidr, Mesh, MeshNode, SessionFault};
use crate::fault::Fault;
use crate::model::{Effect, FieldPath, Prior, Settled};
use crate::runbook::parse_duration;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    settle: String,
    within: String,
}

pub struct MeshEstablished {
    patience: Patience,
}

pub struct Seen {
    mesh: Mesh,
    /// Why hosts could not be read.
    unread: Vec<Fault>,
}

#[async_trait]
impl Action for MeshEstablished {
    const USES: &'static str = "calico.mesh";
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

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        place.run()?;
        look.calico().await?;
        let (mesh, unread) = look.mesh().await?;
        Ok(Seen { mesh, unread })
    }

    fn decide(
        &self,
        seen: &Seen,
        _: Place<'_>,
        prior: Prior<'_>,
    ) -> Decision<std::convert::Infallible> {
        let faults = seen.mesh.faults();
        let nodes = seen.mesh.nodes.len();
        let expects = format!(
            "all {nodes} nodes see every peer established{}, for {} s without a break",
            match before(prior) {
                addresses if addresses.is_empty() => String::new(),
                addresses => format!(
                    ", and nothing of {} is left",
                    addresses
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            },
            self.patience.settle.as_secs()
        );
        let check = Some(Box::new(Decision::Check {
            expects: expects.clone(),
        }));
        if let Some(first) = seen.unread.first() {
            let more = match seen.unread.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            return Decision::Unknown {
                why: format!("not every node's sessions can be read: {first}{more}"),
                otherwise: check,
            };
        }
        if prior.changes_anything() {
            let unexplained: Vec<SessionFault> =
                faults.into_iter().filter(|fault| !fault.stray).collect();
            return if unexplained.is_empty() {
                Decision::Check { expects }
            } else {
                Decision::Unknown {
                    why: format!(
                        "there are sessions that this run will not heal, since both ends advertise their own address: {}",
                        listed(&unexplained)
                    ),
                    otherwise: check,
                }
            };
        }
        if faults.is_empty() {
            return Decision::NoChange {
                why: format!("all {nodes} nodes see every peer established"),
            };
        }
        let strays: Vec<&str> = seen
            .mesh
            .nodes
            .iter()
            .filter(|n| n.strays())
            .map(MeshNode::name)
            .collect();
        if strays.is_empty() {
            Decision::Refuse {
                why: format!(
                    "every node advertises its own address, and yet sessions are not established: the path is at fault, not the addresses: {}",
                    listed(&faults)
                ),
                next: Some(
                    "look whether the hosts reach each other, whether BIRD runs, and whether a firewall stops TCP port 179 or IP protocol 4; other addresses would not help"
                        .to_owned(),
                ),
            }
        } else {
            Decision::Refuse {
                why: format!(
                    "this node's address is right, and the fault is elsewhere: {} advertises an address that is not its own",
                    strays.join(", ")
                ),
                next: Some(format!(
                    "runbook plan fix-bgp-wrong-ip{}",
                    strays
                        .iter()
                        .map(|s| format!(" --node {s}"))
                        .collect::<String>()
                )),
            }
        }
    }

    fn compile(&self, change: std::convert::Infallible) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, prior: Prior<'_>) -> Settled {
        if let Some(fault) = seen.unread.first() {
            return Settled::NotYet(fault.message.clone());
        }
        for (name, after) in given(prior) {
            let now = seen.mesh.node(name).and_then(|n| n.advertised.as_deref());
            if now != Some(after) {
                return Settled::NotYet(format!(
                    "{name} advertises {} and not {after}",
                    now.unwrap_or("nothing")
                ));
            }
        }
        let traces: Vec<String> = before(prior)
            .into_iter()
            .flat_map(|address| seen.mesh.traces_of(address))
            .collect();
        if !traces.is_empty() {
            return Settled::NotYet(traces.join("; "));
        }
        match seen.mesh.faults() {
            faults if faults.is_empty() => Settled::Yes,
            faults => Settled::NotYet(listed(&faults)),
        }
    }

    fn patience(&self) -> Patience {
        self.patience
    }
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

/// The changes of addresses among earlier steps: node, before, after.
fn address_changes<'a>(
    prior: Prior<'a>,
) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)> {
    let path = FieldPath::annotation(MeshNode::ADDRESS);
    prior.effects().flat_map(move |effect| {
        let fields = match effect {
            Effect::SetFields { fields, .. } => fields.as_slice(),
            Effect::ReplacePod { .. } => &[],
        };
        let found: Vec<_> = fields
            .iter()
            .filter(|f| f.path == path)
            .map(|f| {
                (
                    effect.object().name.as_str(),
                    f.before.as_ref().and_then(Value::as_str),
                    f.after.as_ref().and_then(Value::as_str),
                )
            })
            .collect();
        found
    })
}

/// The addresses that earlier steps take away, and that must appear nowhere any more.
fn before(prior: Prior<'_>) -> Vec<IpAddr> {
    address_changes(prior)
        .filter_map(|(_, before, _)| before?.parse::<Cidr>().ok())
        .map(|cidr| cidr.ip)
        .collect()
}

/// Which node must advertise what, since earlier steps gave it to it.
fn given<'a>(prior: Prior<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    address_changes(prior).filter_map(|(node, _, after)| Some((node, after?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calico::{test_healthy, test_node, test_sees, test_stray};
    use crate::model::{FieldChange, ObjectRef, PlannedStep, Scope, StepId, UndoClass, Verdict};
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
        vec![PlannedStep {
            id: StepId::new("address").unwrap(),
            name: String::new(),
            uses: String::new(),
            with: Value::Null,
            scope: Scope::Run,
            verdict: Verdict::Change {
                effects: vec![Effect::SetFields {
                    object: ObjectRef {
                        name: "node02".into(),
                        ..test_node("node02", "10.0.0.2", None).object
                    },
                    fields: vec![FieldChange {
                        path: FieldPath::annotation(MeshNode::ADDRESS),
                        before: Some("172.18.0.1/16".into()),
                        after: Some("10.0.0.2/24".into()),
                    }],
                }],
                details: vec![],
                follows: vec![],
                undo: UndoClass::Exact,
                predicted: None,
                heals: None,
            },
            notes: vec![],
        }]
    }

    fn decide(seen: &Seen, steps: &[PlannedStep]) -> String {
        let place = Place {
            scope: &Scope::Run,
            targets: &[],
        };
        match action().decide(seen, place, Prior { steps }) {
            Decision::NoChange { why } => format!("no change: {why}"),
            Decision::Check { expects } => format!("check: {expects}"),
            Decision::Unknown { why, otherwise } => {
                assert!(matches!(otherwise.as_deref(), Some(Decision::Check { .. })));
                format!("unknown: {why}")
            }
            Decision::Refuse { why, next } => format!("refused: {why} ({})", next.unwrap()),
            Decision::Change(_) => unreachable!(),
        }
    }

    fn verify(mesh: Mesh, steps: &[PlannedStep]) -> String {
        match Action::verify(&action(), &seen(mesh), Prior { steps }) {
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
        insta::assert_snapshot!(decide(&seen(mesh.clone()), &[]), @"refused: every node advertises its own address, and yet sessions are not established: the path is at fault, not the addresses: node01 → node02 (10.0.0.2): start Active Socket: Connection refused (look whether the hosts reach each other, whether BIRD runs, and whether a firewall stops TCP port 179 or IP protocol 4; other addresses would not help)");
        // With another change planned, it is what the run will not heal.
        insta::assert_snapshot!(decide(&seen(mesh), &heals_node02()), @"unknown: there are sessions that this run will not heal, since both ends advertise their own address: node01 → node02 (10.0.0.2): start Active Socket: Connection refused");
    }

    #[test]
    fn a_stray_neighbour_is_named() {
        insta::assert_snapshot!(decide(&seen(test_stray()), &[]), @"refused: this node's address is right, and the fault is elsewhere: node02 advertises an address that is not its own (runbook plan fix-bgp-wrong-ip --node node02)");
    }

    #[test]
    fn a_host_that_cannot_be_read_leaves_it_unknown() {
        let seen = Seen {
            mesh: test_healthy(),
            unread: vec![
                Fault::unreachable("x", "node03 cannot be reached over SSH"),
                Fault::unreachable("x", "node04 too"),
            ],
        };
        insta::assert_snapshot!(decide(&seen, &heals_node02()), @"unknown: not every node's sessions can be read: node03 cannot be reached over SSH (and 1 more)");
        assert!(matches!(
            Action::verify(&action(), &seen, Prior { steps: &[] }),
            Settled::NotYet(_)
        ));
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
