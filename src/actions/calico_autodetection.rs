//! `calico.autodetection`: how calico-node finds a node's address, for the whole fleet.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{CalicoNode, Cidr, Detection, MeshNode, Version, own_address};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, FieldChange, ObjectRef, Prior, Subject, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The methods that can be set, as Calico names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Method {
    /// The InternalIP that kubelet registered; from Calico v3.22 on.
    #[serde(rename = "kubernetes-internal-ip")]
    KubernetesInternalIp,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::KubernetesInternalIp => "kubernetes-internal-ip",
        }
    }

    /// An older calico-node does not know the method and ends at its start.
    const fn since(self) -> Version {
        match self {
            Self::KubernetesInternalIp => Version {
                major: 3,
                minor: 22,
            },
        }
    }
}

/// Sets the method by which calico-node finds the address of its node, for all nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The method that is set.
    method: Method,
}

pub struct Autodetection {
    method: Method,
}

pub struct Seen {
    calico: CalicoNode,
    nodes: Vec<MeshNode>,
    /// What each node that goes astray would detect by InternalIP, or why nothing.
    own: BTreeMap<String, Result<Cidr, String>>,
    /// Nodes that go astray and whose sessions are all established.
    content: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    method_before: String,
    before: Option<Value>,
    after: Value,
    follows: Vec<String>,
    /// Nodes that get another address by this, besides those of earlier steps, and what they advertise.
    bystanders: Vec<(String, String)>,
}

#[async_trait]
impl Action for Autodetection {
    const USES: &'static str = "calico.autodetection";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self {
            method: args.method,
        })
    }

    fn lost(_with: &serde_json::Value) -> Option<&'static str> {
        Some("the method is put back exactly; nodes that detect their address by it do so anew")
    }

    fn needs(_with: &Value) -> Needs {
        let daemonset = Of::any_of("apps/v1", "DaemonSet", "kube-system").named("calico-node");
        Needs::default().mesh().fields(&daemonset)
    }

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        place.run()?;
        let nodes = look.nodes().await?.to_vec();
        let (mesh, _) = look.mesh().await?;
        let mut own = BTreeMap::new();
        let mut content = Vec::new();
        for node in nodes.iter().filter(|n| n.strays()) {
            let name = node.name().to_owned();
            let detected = match look.reading(&name).await {
                Ok(reading) => own_address(&node.internal_ips, &reading.links).map(|o| o.cidr),
                Err(fault) => Err(fault.message),
            };
            if mesh.faults_of(&name).is_empty() {
                content.push(name.clone());
            }
            own.insert(name, detected);
        }
        Ok(Seen {
            calico: look.calico().await?.clone(),
            nodes,
            own,
            content,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let refuse = |why: String, next: &str| Decision::Refuse {
            why,
            next: Some(next.to_owned()),
        };
        let calico = &seen.calico;
        let wanted = self.method.as_str();
        let before = match calico.detection() {
            Ok(Detection::Method(method)) if method == wanted => {
                return Decision::NoChange {
                    why: format!("calico-node detects by `{wanted}` already"),
                };
            }
            Ok(Detection::Method(method)) => method,
            Ok(Detection::Kept) => {
                return Decision::NoChange {
                    why:
                        "calico-node keeps the address it finds (IP is not set): no method is used"
                            .to_owned(),
                };
            }
            Ok(Detection::Literal(ip)) => {
                return refuse(
                    format!("calico-node is given its address and does not detect it: IP is {ip}"),
                    "take IP out of the DaemonSet's env, or set it to `autodetect`, where that was not meant",
                );
            }
            Ok(Detection::Off) => {
                return refuse(
                    "calico-node has IPv4 switched off: IP is `none`".to_owned(),
                    "a mesh over IPv4 needs it",
                );
            }
            Err(why) => return refuse(why, "change it where it comes from"),
        };
        if !calico.rolls_by_itself() {
            return refuse(
                "the DaemonSet's update strategy is OnDelete: its pods would keep the old method until each is deleted by hand".to_owned(),
                "set the update strategy to RollingUpdate, or change the method by hand",
            );
        }
        let since = self.method.since();
        let mut doubts = Vec::new();
        match calico.version() {
            Some(version) if version < since => {
                return refuse(
                    format!(
                        "calico-node v{}.{} does not know `{wanted}`, which came with v{}.{}, and would end at its start",
                        version.major, version.minor, since.major, since.minor
                    ),
                    "choose `interface=` or `cidr=` for this version, by hand",
                );
            }
            Some(_) => {}
            None => doubts.push(format!(
                "which version of calico-node this is cannot be told from its image `{}`, and before v{}.{} it would end at its start",
                calico.image().unwrap_or_default(),
                since.major,
                since.minor
            )),
        }
        let down: Vec<&str> = seen
            .nodes
            .iter()
            .filter(|n| !n.ready)
            .map(MeshNode::name)
            .collect();
        if !down.is_empty() {
            doubts.push(format!(
                "{} not Ready: calico-node does not come up anew there, and the rollout may stop at it",
                down.join(", ")
            ));
        }
        let bystanders: Vec<&MeshNode> = seen
            .nodes
            .iter()
            .filter(|n| {
                n.strays()
                    && !prior
                        .effects()
                        .any(|e| e.subject() == Subject::Object(&n.object))
            })
            .collect();
        for node in &bystanders {
            if seen.content.iter().any(|name| name == node.name()) {
                doubts.push(format!(
                    "{} advertises {} and not its InternalIP, and its sessions are established: it would lose that address",
                    node.name(),
                    node.advertised.as_deref().unwrap_or_default()
                ));
            }
        }
        let change = Decision::Change(Change {
            object: calico.object.clone(),
            method_before: before,
            before: calico.env_entry(CalicoNode::METHOD).cloned(),
            after: json!({"name": CalicoNode::METHOD, "value": wanted}),
            follows: follows(seen, &bystanders),
            bystanders: bystanders
                .iter()
                .filter(|n| matches!(seen.own.get(n.name()), Some(Ok(_))))
                .map(|n| {
                    let advertised = n.advertised.clone().unwrap_or_default();
                    (n.name().to_owned(), advertised)
                })
                .collect(),
        });
        match doubts.is_empty() {
            true => change,
            false => Decision::Unknown {
                why: doubts.join("; "),
                otherwise: Some(Box::new(change)),
            },
        }
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        let managers = seen.calico.managers();
        let planned = matches!(decision, Decision::Change(_) | Decision::Unknown { .. });
        if managers.is_empty() || !planned {
            return Vec::new();
        }
        vec![format!(
            "This DaemonSet is also managed by {}, which may take the change back. Put it into the source manifest too: env of container calico-node: {{name: {}, value: {}}}",
            managers.join(", "),
            CalicoNode::METHOD,
            self.method.as_str()
        )]
    }

    fn compile(&self, change: Change) -> Compiled {
        let before_is = match &change.before {
            Some(_) => String::new(),
            None => "Calico's default, as it is not set".to_owned(),
        };
        Compiled {
            blobs: Blobs::default(),
            details: vec![Detail {
                subject: format!("{}: env {}", change.object, CalicoNode::METHOD),
                before: Some(change.method_before.clone()),
                before_is,
                after: Some(self.method.as_str().to_owned()),
                after_is: "the InternalIP that kubelet registered".to_owned(),
                lines: Vec::new(),
            }],
            effects: vec![Effect::SetFields {
                object: change.object,
                fields: vec![FieldChange {
                    path: CalicoNode::env_path(CalicoNode::METHOD),
                    before: change.before,
                    after: Some(change.after),
                }],
            }],
            follows: change.follows,
            undo: match change.bystanders.as_slice() {
                [] => UndoClass::Exact,
                nodes => UndoClass::BestEffort {
                    lost: format!(
                        "the method is put back exactly; {} then detects its address anew",
                        names(nodes)
                    ),
                },
            },
            predicted: None,
            heals: (!change.bystanders.is_empty()).then(|| {
                change
                    .bystanders
                    .iter()
                    .map(|(node, address)| {
                        format!("{node} advertises {address}, which is not its own address")
                    })
                    .collect::<Vec<_>>()
                    .join("; ")
            }),
        }
    }
}

fn names(nodes: &[(String, String)]) -> String {
    let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
    names.join(", ")
}

/// What the change brings about by itself: the rollout, and which nodes it gives another address.
fn follows(seen: &Seen, bystanders: &[&MeshNode]) -> Vec<String> {
    let mut follows = vec![format!(
        "its controller replaces the calico-node pods of all {} nodes, {} at a time",
        seen.calico.pods(),
        seen.calico.max_unavailable()
    )];
    for node in bystanders {
        let now = node.advertised.as_deref().unwrap_or("nothing");
        follows.push(match seen.own.get(node.name()) {
            Some(Ok(own)) => {
                format!(
                    "{} detects {own} and no longer {now} (predicted)",
                    node.name()
                )
            }
            Some(Err(why)) => format!("{} keeps {now} (predicted): {why}", node.name()),
            None => format!("what {} detects instead of {now} is not known", node.name()),
        });
    }
    follows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    fn seen(image: &str, strategy: &str, env: Value) -> Seen {
        Seen {
            calico: CalicoNode::new(json!({
                "metadata": {"name": "calico-node", "namespace": "kube-system", "uid": "ds",
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
                "spec": {
                    "updateStrategy": {"type": strategy},
                    "template": {"spec": {"containers": [{"name": "calico-node", "image": image, "env": env}]}},
                },
                "status": {"desiredNumberScheduled": 3},
            }))
            .unwrap(),
            nodes: vec![
                crate::calico::test_node("node01", "10.0.0.1", Some("10.0.0.1/24")),
                crate::calico::test_node("node03", "10.0.0.3", Some("172.18.0.2/16")),
            ],
            own: [("node03".to_owned(), Ok("10.0.0.3/24".parse().unwrap()))].into(),
            content: vec![],
        }
    }

    const NODE: &str = "calico/node:v3.31.0";

    fn auto(method: Option<&str>) -> Value {
        let mut env = vec![json!({"name": "IP", "value": "autodetect"})];
        env.extend(method.map(|m| json!({"name": "IP_AUTODETECTION_METHOD", "value": m})));
        Value::from(env)
    }

    fn action() -> Autodetection {
        Autodetection {
            method: Method::KubernetesInternalIp,
        }
    }

    fn decide(seen: &Seen) -> Decision<Change> {
        let place = Place::for_test(&Scope::Run, &[]);
        action().decide(seen, place, Prior { steps: &[] })
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
    fn a_method_replaces_another_or_the_default() {
        for (method, before) in [
            (None, "first-found"),
            (Some("interface=.*"), "interface=.*"),
        ] {
            let seen = seen(NODE, "RollingUpdate", auto(method));
            let Decision::Change(change) = decide(&seen) else {
                panic!()
            };
            assert_eq!(change.method_before, before);
            assert_eq!(change.before.is_some(), method.is_some());
            let compiled = action().compile(change.clone());
            assert!(compiled.effects[0].rolls_pods());
            assert_eq!(compiled.details[0].before.as_deref(), Some(before));
            insta::allow_duplicates! {
                insta::assert_snapshot!(compiled.follows.join("\n"), @"
                its controller replaces the calico-node pods of all 3 nodes, 1 at a time
                node03 detects 10.0.0.3/24 and no longer 172.18.0.2/16 (predicted)
                ");
                insta::assert_snapshot!(action().notes(&seen, &Decision::Change(change)).join("\n"), @"This DaemonSet is also managed by kubectl apply, which may take the change back. Put it into the source manifest too: env of container calico-node: {name: IP_AUTODETECTION_METHOD, value: kubernetes-internal-ip}");
            }
        }
    }

    #[test]
    fn where_no_method_is_used_or_it_is_right_nothing_is_done() {
        insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", auto(Some("kubernetes-internal-ip"))))), @"no change: calico-node detects by `kubernetes-internal-ip` already");
        let kept = seen(NODE, "RollingUpdate", json!([]));
        insta::assert_snapshot!(why(decide(&kept)), @"no change: calico-node keeps the address it finds (IP is not set): no method is used");
        assert!(action().notes(&kept, &decide(&kept)).is_empty());
    }

    #[test]
    fn what_would_not_work_is_refused() {
        insta::assert_snapshot!(why(decide(&seen("calico/node:v3.21.5", "RollingUpdate", auto(None)))), @"refused: calico-node v3.21 does not know `kubernetes-internal-ip`, which came with v3.22, and would end at its start");
        assert!(matches!(
            decide(&seen("calico/node:v3.22.0", "RollingUpdate", auto(None))),
            Decision::Change(_)
        ));
        insta::assert_snapshot!(why(decide(&seen("calico/node@sha256:0", "RollingUpdate", auto(None)))), @"unknown: which version of calico-node this is cannot be told from its image `calico/node@sha256:0`, and before v3.22 it would end at its start");
        insta::assert_snapshot!(why(decide(&seen(NODE, "OnDelete", auto(None)))), @"refused: the DaemonSet's update strategy is OnDelete: its pods would keep the old method until each is deleted by hand");
        insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", json!([{"name": "IP", "value": "10.0.0.9"}])))), @"refused: calico-node is given its address and does not detect it: IP is 10.0.0.9");
        insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", json!([{"name": "IP", "value": "none"}])))), @"refused: calico-node has IPv4 switched off: IP is `none`");
        let from = json!([{"name": "IP", "value": "autodetect"}, {"name": "IP_AUTODETECTION_METHOD", "valueFrom": {"configMapKeyRef": {"name": "x"}}}]);
        insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", from))), @"refused: IP_AUTODETECTION_METHOD is not written in the DaemonSet but comes from ConfigMap x");
    }

    #[test]
    fn a_bystander_makes_undo_a_best_effort_and_comes_back_with_it() {
        let Decision::Change(change) = decide(&seen(NODE, "RollingUpdate", auto(None))) else {
            panic!()
        };
        let compiled = action().compile(change);
        insta::assert_snapshot!(format!("{:?}\n{:?}", compiled.undo, compiled.heals), @r#"
        BestEffort { lost: "the method is put back exactly; node03 then detects its address anew" }
        Some("node03 advertises 172.18.0.2/16, which is not its own address")
        "#);
        let mut s = seen(NODE, "RollingUpdate", auto(None));
        s.nodes.pop();
        let Decision::Change(change) = decide(&s) else {
            panic!()
        };
        let compiled = action().compile(change);
        assert_eq!((compiled.undo, compiled.heals), (UndoClass::Exact, None));
    }

    #[test]
    fn what_the_rollout_may_do_to_others_is_unknown_until_allowed() {
        let mut s = seen(NODE, "RollingUpdate", auto(None));
        s.content = vec!["node03".into()];
        insta::assert_snapshot!(why(decide(&s)), @"unknown: node03 advertises 172.18.0.2/16 and not its InternalIP, and its sessions are established: it would lose that address");
        let mut s = seen(NODE, "RollingUpdate", auto(None));
        s.nodes[0].ready = false;
        insta::assert_snapshot!(why(decide(&s)), @"unknown: node01 not Ready: calico-node does not come up anew there, and the rollout may stop at it");
        let mut s = seen(NODE, "RollingUpdate", auto(None));
        s.own = [("node03".to_owned(), Err("it has no such link".to_owned()))].into();
        let Decision::Change(change) = decide(&s) else {
            panic!()
        };
        insta::assert_snapshot!(change.follows.join("\n"), @"
        its controller replaces the calico-node pods of all 3 nodes, 1 at a time
        node03 keeps 172.18.0.2/16 (predicted): it has no such link
        ");
        assert!(change.bystanders.is_empty());
    }
}
