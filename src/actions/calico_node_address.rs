//! `calico.node_address`: the address that a node advertises to the mesh.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{Cidr, MeshNode, OwnAddress, SessionFault, own_address};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, FieldChange, FieldPath, ObjectRef, Prior, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Which address is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The InternalIP that kubelet registered, with the prefix of its link.
    InternalIp,
}

/// Has Calico advertise the right address of a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Which address is the right one.
    #[serde(rename = "address")]
    _address: Choice,
}

pub struct NodeAddress;

/// What the decision rests on.
pub struct Seen {
    node: MeshNode,
    own: Result<OwnAddress, String>,
    /// The link that has the advertised address.
    holder: Option<String>,
    /// Sessions of this node that are not established.
    faults: Vec<SessionFault>,
    others: Vec<MeshNode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    before: String,
    own: Cidr,
    own_link: String,
    holder: Option<String>,
}

#[async_trait]
impl Action for NodeAddress {
    const USES: &'static str = "calico.node_address";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(_: Args) -> Result<Self, String> {
        Ok(Self)
    }

    fn needs(_with: &Value) -> Needs {
        Needs::default().mesh().fields(&Of::targets())
    }

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        let target = place.target()?;
        look.calico().await?;
        let node = look.node(&target.name).await?.clone();
        if node.advertised.is_none() {
            return Ok(Seen {
                node,
                own: Err(String::new()),
                holder: None,
                faults: Vec::new(),
                others: Vec::new(),
            });
        }
        let reading = look.reading(&target.name).await?;
        let (mesh, _) = look.mesh().await?;
        let advertised = node
            .advertised
            .as_ref()
            .and_then(|t| t.parse::<Cidr>().ok());
        Ok(Seen {
            own: own_address(&node.internal_ips, &reading.links),
            holder: advertised.and_then(|cidr| {
                reading
                    .links
                    .iter()
                    .find(|link| link.addresses.iter().any(|a| a.cidr.ip == cidr.ip))
                    .map(crate::calico::Link::described)
            }),
            faults: mesh.faults_of(&target.name),
            others: mesh
                .nodes
                .into_iter()
                .filter(|n| n.name() != target.name)
                .collect(),
            node,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Change> {
        let refuse = |why: String, next: Option<&str>| Decision::Refuse {
            why,
            next: next.map(str::to_owned),
        };
        let name = seen.node.name();
        let Some(before) = &seen.node.advertised else {
            return refuse(
                format!(
                    "{name} advertises no IPv4 address: calico-node has not come up there, or gave its address up as another node has it"
                ),
                Some(
                    "look at its log: kubectl -n kube-system logs -l k8s-app=calico-node --prefix",
                ),
            );
        };
        let own = match &seen.own {
            Ok(own) => own,
            Err(why) => {
                return refuse(
                    format!("{name}: {why}"),
                    Some(
                        "which address is its own cannot be told: look at kubelet's --node-ip and at the host's links",
                    ),
                );
            }
        };
        let advertised = before.parse::<Cidr>().ok();
        if advertised.is_some_and(|a| a.ip == own.cidr.ip) {
            return Decision::NoChange {
                why: format!("it advertises {before}, its InternalIP on {}", own.link),
            };
        }
        if seen.faults.is_empty() {
            return Decision::NoChange {
                why: format!(
                    "it advertises {before} and not its InternalIP {}, and all its sessions are established: that is no fault",
                    own.cidr.ip
                ),
            };
        }
        if let Some(other) = seen
            .others
            .iter()
            .find(|o| o.addresses().contains(&own.cidr.ip))
        {
            return refuse(
                format!("{} already advertises {}", other.name(), own.cidr.ip),
                Some("two nodes cannot have one address: look which of them really has it"),
            );
        }
        let change = Decision::Change(Change {
            object: seen.node.object.clone(),
            before: before.clone(),
            own: own.cidr,
            own_link: own.link.clone(),
            holder: seen.holder.clone(),
        });
        // One healthy neighbour is enough; how many others go astray proves nothing.
        if !seen.others.is_empty() && seen.others.iter().all(MeshNode::strays) {
            return Decision::Unknown {
                why: format!(
                    "no node at all advertises its InternalIP: the mesh may have a network of its own, and then {} would be wrong",
                    own.cidr
                ),
                otherwise: Some(Box::new(change)),
            };
        }
        change
    }

    fn compile(&self, change: Change) -> Compiled {
        let name = change.object.name.clone();
        let after = change.own.to_string();
        Compiled {
            blobs: Blobs::default(),
            details: vec![Detail {
                subject: format!("{}: annotation {}", change.object, MeshNode::ADDRESS),
                before: Some(change.before.clone()),
                before_is: match &change.holder {
                    Some(link) => format!("on {link}; not what kubelet registered"),
                    None => "on none of its links".to_owned(),
                },
                after: Some(after.clone()),
                after_is: format!(
                    "its InternalIP, with the prefix of its link {}",
                    change.own_link
                ),
                lines: Vec::new(),
            }],
            heals: Some(format!(
                "{name} advertises {}, which is not its own address",
                change.before
            )),
            effects: vec![Effect::SetFields {
                object: change.object,
                fields: vec![FieldChange {
                    path: FieldPath::annotation(MeshNode::ADDRESS),
                    before: Some(Value::from(change.before)),
                    after: Some(Value::from(after)),
                }],
            }],
            follows: Vec::new(),
            undo: UndoClass::Exact,
            predicted: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    fn node(name: &str, internal: &str, advertised: Option<&str>) -> MeshNode {
        crate::calico::test_node(name, internal, advertised)
    }

    /// node02 advertises `advertised`; it has 10.0.0.2/24 on eth0 and one session is down.
    fn seen(advertised: Option<&str>) -> Seen {
        Seen {
            node: node("node02", "10.0.0.2", advertised),
            own: Ok(OwnAddress {
                cidr: "10.0.0.2/24".parse().unwrap(),
                link: "eth0".into(),
            }),
            holder: Some("ens9 (dummy, up)".into()),
            faults: vec![SessionFault {
                from: "node02".into(),
                to: "node01 (10.0.0.1)".into(),
                state: "start Passive".into(),
                strays: vec!["node02".into()],
            }],
            others: vec![
                node("node01", "10.0.0.1", Some("10.0.0.1/24")),
                node("node03", "10.0.0.3", Some("172.18.0.2/16")),
            ],
        }
    }

    fn decide(seen: &Seen) -> Decision<Change> {
        let place = Place::for_test(&Scope::Run, &[]);
        NodeAddress.decide(seen, place, Prior { steps: &[] })
    }

    fn why(decision: Decision<Change>) -> String {
        match decision {
            Decision::NoChange { why } => format!("no change: {why}"),
            Decision::Unknown { why, otherwise } => {
                assert!(matches!(otherwise.as_deref(), Some(Decision::Change(_))));
                format!("unknown: {why}")
            }
            Decision::Refuse { why, .. } => format!("refused: {why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stray_address_becomes_the_nodes_own() {
        let Decision::Change(change) = decide(&seen(Some("172.18.0.1/16"))) else {
            panic!()
        };
        let compiled = NodeAddress.compile(change);
        insta::assert_json_snapshot!(compiled.effects, @r#"
        [
          {
            "effect": "set_fields",
            "object": {
              "api_version": "v1",
              "kind": "Node",
              "resource": "nodes",
              "name": "node02",
              "uid": "uid-node02"
            },
            "fields": [
              {
                "path": [
                  {
                    "key": "metadata"
                  },
                  {
                    "key": "annotations"
                  },
                  {
                    "key": "projectcalico.org/IPv4Address"
                  }
                ],
                "before": "172.18.0.1/16",
                "after": "10.0.0.2/24"
              }
            ]
          }
        ]
        "#);
        insta::assert_json_snapshot!(compiled.details, @r#"
        [
          {
            "subject": "Node node02: annotation projectcalico.org/IPv4Address",
            "before": "172.18.0.1/16",
            "before_is": "on ens9 (dummy, up); not what kubelet registered",
            "after": "10.0.0.2/24",
            "after_is": "its InternalIP, with the prefix of its link eth0"
          }
        ]
        "#);
        assert_eq!(compiled.undo, UndoClass::Exact);
        assert!(compiled.heals.unwrap().contains("172.18.0.1/16"));
    }

    #[test]
    fn its_own_address_is_left_alone_whatever_the_sessions() {
        insta::assert_snapshot!(why(decide(&seen(Some("10.0.0.2/24")))), @"no change: it advertises 10.0.0.2/24, its InternalIP on eth0");
        // Another prefix is no other address.
        assert!(why(decide(&seen(Some("10.0.0.2/32")))).starts_with("no change"));
    }

    #[test]
    fn another_address_that_works_is_no_fault() {
        let mut seen = seen(Some("10.9.0.2/24"));
        seen.faults.clear();
        insta::assert_snapshot!(why(decide(&seen)), @"no change: it advertises 10.9.0.2/24 and not its InternalIP 10.0.0.2, and all its sessions are established: that is no fault");
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        insta::assert_snapshot!(why(decide(&seen(None))), @"refused: node02 advertises no IPv4 address: calico-node has not come up there, or gave its address up as another node has it");
        let mut s = seen(Some("172.18.0.1/16"));
        s.own = Err("its InternalIP 10.0.0.2 is on none of its links".into());
        insta::assert_snapshot!(why(decide(&s)), @"refused: node02: its InternalIP 10.0.0.2 is on none of its links");
        let mut s = seen(Some("172.18.0.1/16"));
        s.others[0] = node("node01", "10.0.0.1", Some("10.0.0.2/24"));
        insta::assert_snapshot!(why(decide(&s)), @"refused: node01 already advertises 10.0.0.2");
        let mut s = seen(Some("172.18.0.1/16"));
        s.others[0] = node("node01", "10.0.0.1", Some("172.18.0.3/16"));
        insta::assert_snapshot!(why(decide(&s)), @"unknown: no node at all advertises its InternalIP: the mesh may have a network of its own, and then 10.0.0.2/24 would be wrong");
    }

    #[test]
    fn a_cluster_of_one_has_no_neighbour_to_ask() {
        let mut s = seen(Some("172.18.0.1/16"));
        s.others.clear();
        assert!(matches!(decide(&s), Decision::Change(_)));
    }

    #[test]
    fn an_address_that_is_none_is_replaced() {
        assert!(matches!(
            decide(&seen(Some("nonsense"))),
            Decision::Change(_)
        ));
    }
}
