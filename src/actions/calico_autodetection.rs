//! `calico.autodetection`: how calico-node finds a node's address, for the whole fleet.

use super::calico_address_change::address_changes;
use super::kube_keepers::{keepers, notes as keeper_notes};
use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{
    CalicoNode, Chooser, Cidr, Detection, Family, Install, Installation, Link, MeshNode, Method,
    Pick, Rendered, Sight, pick,
};
use crate::fault::Fault;
use crate::model::{Blobs, Detail, Effect, FieldChange, FieldPath, ObjectRef, Prior, UndoClass};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Sets the method by which calico-node finds the address of its node, for all nodes. The plan shows what each
/// node would pick by it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The method, as Calico writes it: `kubernetes-internal-ip`, `first-found`, `interface=eth0`,
    /// `skip-interface=docker.*`, `can-reach=192.0.2.1`, `cidr=10.0.0.0/16`. Names of links are matched whole:
    /// `eth0` becomes `^eth0$`.
    method: String,
    /// `ipv4` or `ipv6`.
    #[serde(default)]
    family: Family,
}

pub struct Autodetection {
    method: Method,
    family: Family,
}

/// A node, and what it would pick.
struct Looked {
    node: MeshNode,
    links: Vec<Link>,
    pick: Pick,
    /// Whether all its sessions are established.
    content: bool,
}

pub struct Seen {
    install: Install,
    nodes: Vec<Looked>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    path: FieldPath,
    /// What stands there, as it is shown.
    method_before: String,
    before_is: &'static str,
    before: Option<Value>,
    after: Value,
    follows: Vec<String>,
    /// Nodes that get another address by this, besides those of earlier steps, and what they advertise.
    bystanders: Vec<(String, String)>,
    /// Of those, the ones whose address now is not their own.
    healed: Vec<(String, String)>,
}

/// What a node's pick means for it.
enum Outcome {
    Keeps(String),
    Gets { line: String, doubt: Option<String> },
    Doubt { line: String, doubt: String },
    Never(String),
}

#[async_trait]
impl Action for Autodetection {
    const USES: &'static str = "calico.autodetection";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let method: Method = args
            .method
            .trim()
            .parse()
            .map_err(|e| format!("`method`: {e}"))?;
        let named = match &method {
            Method::CanReach(to) => !to.is_empty(),
            Method::Interface(names) | Method::SkipInterface(names) => {
                !names.iter().any(String::is_empty)
            }
            _ => true,
        };
        if !named {
            return Err(format!("`method`: `{method}` names nothing"));
        }
        Ok(Self {
            method: method.anchored(),
            family: args.family,
        })
    }

    fn lost(_with: &Value) -> Option<&'static str> {
        Some("the method is put back exactly; nodes that detect their address by it do so anew")
    }

    fn needs(_with: &Value) -> Needs {
        let daemonset = Of::any_of("apps/v1", "DaemonSet", "kube-system").named("calico-node");
        Needs::default().mesh().fields(&daemonset)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        place.run()?;
        let install = look.calico().await?.clone();
        let (mesh, _) = look.mesh().await?;
        let mut nodes = Vec::new();
        for node in look
            .mesh_nodes()
            .await?
            .iter()
            .filter(|n| n.in_kubernetes())
        {
            if !node.takes_part() && !mesh.absent.iter().any(|absent| absent == node.name()) {
                continue;
            }
            let content = mesh.faults_of(node.name()).is_empty();
            let (links, pick) = match look.reading(node.name()).await {
                Ok(reading) => {
                    let pick = self.pick(look, &install, node, &reading.links).await?;
                    (reading.links.clone(), pick)
                }
                Err(fault) => (Vec::new(), Pick::Unknown { why: fault.message }),
            };
            nodes.push(Looked {
                node: node.clone(),
                links,
                pick,
                content,
            });
        }
        Ok(Seen { install, nodes })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let refuse = |why: String, next: &str| Decision::Refuse {
            why,
            next: Some(next.to_owned()),
        };
        let (install, family) = (&seen.install, self.family);
        let wanted = self.method.to_string();
        let before = match install.detection(family) {
            Ok(Detection::Method(method)) if method == wanted => {
                let rendered = Rendered {
                    variable: family.method_variable(),
                    value: Some(wanted.clone()),
                };
                if install.operator.is_some() && !rendered.is_in(&install.node) {
                    return Decision::Unknown {
                        why: format!(
                            "the Installation says `{wanted}`, and {} has another method: Calico's operator has not brought it there, or does not run",
                            install.node.object
                        ),
                        otherwise: None,
                    };
                }
                return Decision::NoChange {
                    why: format!("calico-node detects by `{wanted}` already"),
                };
            }
            Ok(Detection::Method(method)) => method,
            Ok(Detection::Kept) => {
                return Decision::NoChange {
                    why: format!(
                        "calico-node keeps the address that a node has ({} is not set): a method would serve only nodes that have none yet, and none is written",
                        family.variable()
                    ),
                };
            }
            Ok(Detection::Literal(ip)) => {
                return refuse(
                    format!(
                        "calico-node is given its address and does not detect it: {} is {ip}",
                        family.variable()
                    ),
                    "take it out of the DaemonSet's env, or set it to `autodetect`, where that was not meant",
                );
            }
            Ok(Detection::Off) => {
                return refuse(
                    format!("calico-node has {family} switched off"),
                    "a mesh over it needs it",
                );
            }
            Err(why) => return refuse(why, "change it where it comes from"),
        };
        if !install.node.rolls_by_itself() {
            return refuse(
                "the DaemonSet's update strategy is OnDelete: its pods would keep the old method until each is deleted by hand".to_owned(),
                "set the update strategy to RollingUpdate, or change the method by hand",
            );
        }
        let mut doubts = Vec::new();
        if let Some(since) = self.method.since() {
            match install.node.version() {
                Some(version) if version < since => {
                    return refuse(
                        format!(
                            "calico-node v{}.{} does not know `{wanted}`, which came with v{}.{}, and would end at its start",
                            version.major, version.minor, since.major, since.minor
                        ),
                        "choose `interface=` for this version",
                    );
                }
                Some(_) => {}
                None => doubts.push(format!(
                    "which version of calico-node this is cannot be told from its image `{}`, and before v{}.{} it would end at its start",
                    install.node.image().unwrap_or_default(),
                    since.major,
                    since.minor
                )),
            }
        }
        let down: Vec<&str> = seen
            .nodes
            .iter()
            .filter(|n| !n.node.ready)
            .map(|n| n.node.name())
            .collect();
        if !down.is_empty() {
            doubts.push(format!(
                "{} not Ready: calico-node does not come up anew there, and the rollout may stop at it",
                down.join(", ")
            ));
        }
        let mut lines = (Vec::new(), Vec::new());
        let (mut bystanders, mut healed) = (Vec::new(), Vec::new());
        for looked in &seen.nodes {
            let given = given(looked, family, prior);
            let now = looked.node.advertises(family).unwrap_or("nothing");
            match self.outcome(seen, looked, given) {
                Outcome::Never(why) => {
                    return refuse(
                        why,
                        "choose another method: runbook plan set-ip-autodetection shows what each node would pick",
                    );
                }
                Outcome::Keeps(line) => lines.1.push(line),
                Outcome::Doubt { line, doubt } => {
                    lines.0.push(line);
                    doubts.push(doubt);
                }
                Outcome::Gets { line, doubt } => {
                    lines.0.push(line);
                    doubts.extend(doubt);
                    if given.is_none() {
                        let of = (looked.node.name().to_owned(), now.to_owned());
                        if looked.node.strays_in(family) {
                            healed.push(of.clone());
                        }
                        bystanders.push(of);
                    }
                }
            }
        }
        let (object, path, held, after) = self.written(install);
        let before_is = match held {
            Some(_) => "",
            None => "Calico's default, as it is not set",
        };
        let mut follows = vec![self.rollout(install)];
        follows.extend(lines.0);
        follows.extend(lines.1);
        let change = Decision::Change(Change {
            object,
            path,
            method_before: before,
            before_is,
            before: held,
            after,
            follows,
            bystanders,
            healed,
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
        let change = match decision {
            Decision::Change(change) => change,
            Decision::Unknown {
                otherwise: Some(otherwise),
                ..
            } => match &**otherwise {
                Decision::Change(change) => change,
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        if let Some(installation) = &seen.install.operator {
            let field = field(change);
            let kept = keepers(&installation.raw, std::slice::from_ref(&field));
            return keeper_notes(&installation.object, &kept);
        }
        let managers = seen.install.node.managers();
        if managers.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "This DaemonSet is also managed by {}, which may take the change back. Put it into the source manifest too: env of container calico-node: {{name: {}, value: {}}}",
            managers.join(", "),
            self.family.method_variable(),
            yaml_word(&self.method.to_string())
        )]
    }

    fn compile(&self, change: Change) -> Compiled {
        let field = field(&change);
        let subject = match change.object.kind.as_str() {
            "DaemonSet" => format!("{}: env {}", change.object, self.family.method_variable()),
            _ => format!("{}: {}", change.object, change.path),
        };
        Compiled {
            blobs: Blobs::default(),
            details: vec![Detail {
                subject,
                before: Some(change.method_before.clone()),
                before_is: change.before_is.to_owned(),
                after: Some(self.method.to_string()),
                after_is: match self.method {
                    Method::KubernetesInternalIp => {
                        "the InternalIP that kubelet registered".to_owned()
                    }
                    _ => String::new(),
                },
                lines: Vec::new(),
            }],
            effects: vec![Effect::SetFields {
                object: change.object,
                fields: vec![field],
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
            heals: (!change.healed.is_empty()).then(|| {
                let healed = change.healed.iter().map(|(node, address)| {
                    format!("{node} advertises {address}, which is not its own address")
                });
                healed.collect::<Vec<_>>().join("; ")
            }),
        }
    }
}

impl Autodetection {
    /// What a node would pick, from its links and by the way that its kernel chooses.
    async fn pick(
        &self,
        look: &Look<'_>,
        install: &Install,
        node: &MeshNode,
        links: &[Link],
    ) -> Result<Pick, Fault> {
        let mut sight = Sight {
            links,
            internal_ips: &node.internal_ips,
            reached: None,
        };
        // What a name stands for in calico-node's pod is not known here.
        if let Method::CanReach(text) = &self.method
            && let Ok(to) = text.parse::<IpAddr>()
        {
            if !self.family.has(to) {
                return Ok(Pick::Nothing {
                    why: format!("{to} is no {} address", self.family),
                });
            }
            let root = crate::model::Identity::root();
            let of = look.host(node.name(), &root).await?;
            sight.reached = look.reached(&of, to).await?;
            if sight.reached.is_none() {
                return Ok(Pick::Nothing {
                    why: format!("it has no way to {to}"),
                });
            }
        }
        Ok(pick(
            &self.method,
            self.family,
            install.node.version(),
            &sight,
        ))
    }

    /// What is written where, and what is there now.
    fn written(&self, install: &Install) -> (ObjectRef, FieldPath, Option<Value>, Value) {
        let family = self.family;
        match &install.operator {
            Some(installation) => {
                let path = Installation::method_path(family);
                let held = path.read(&installation.raw).cloned();
                let after = self.method.to_installation();
                (installation.object.clone(), path, held, after)
            }
            None => {
                let variable = family.method_variable();
                (
                    install.node.object.clone(),
                    CalicoNode::env_path(variable),
                    install.node.env_entry(variable).cloned(),
                    json!({"name": variable, "value": self.method.to_string()}),
                )
            }
        }
    }

    fn rollout(&self, install: &Install) -> String {
        let (pods, at_once) = (install.node.pods(), install.node.max_unavailable());
        let who = match &install.operator {
            Some(_) => format!(
                "Calico's operator writes it into {}, whose controller",
                install.node.object
            ),
            None => "its controller".to_owned(),
        };
        format!("{who} replaces the calico-node pods of all {pods} nodes, {at_once} at a time")
    }

    fn outcome(&self, seen: &Seen, looked: &Looked, given: Option<Cidr>) -> Outcome {
        let (node, family) = (&looked.node, self.family);
        let name = node.name();
        let now = node.advertises(family).unwrap_or("nothing");
        let (picked, link) = match &looked.pick {
            Pick::Address { cidr, link } => (*cidr, link.as_deref()),
            Pick::Ends { why } => {
                return Outcome::Never(format!(
                    "calico-node would end at its start on {name}: {why}"
                ));
            }
            Pick::Nothing { why } if given.is_some() => {
                return Outcome::Doubt {
                    line: format!("{name} finds nothing by it, and keeps what it has (predicted)"),
                    doubt: format!("{name} finds nothing by it: {why}"),
                };
            }
            // calico-node ends where it has no address and finds none (calico v3.31, startup.go).
            Pick::Nothing { why } if node.advertises(family).is_none() => {
                return Outcome::Doubt {
                    line: format!(
                        "{name} finds nothing by it, and has no address: calico-node ends at its start there (predicted)"
                    ),
                    doubt: format!("{name} finds nothing by it, and has no address: {why}"),
                };
            }
            Pick::Nothing { why } => {
                return Outcome::Doubt {
                    line: format!("{name} finds nothing by it, and keeps {now} (predicted)"),
                    doubt: format!("{name} finds nothing by it: {why}"),
                };
            }
            Pick::Unknown { why } => {
                return Outcome::Doubt {
                    line: format!("what {name} picks is not known"),
                    doubt: format!("what {name} picks is not known: {why}"),
                };
            }
        };
        let on = match link {
            Some(link) => format!("{picked} on {link}"),
            None => format!("{picked}, which is on none of its links"),
        };
        if let Some(given) = given {
            return match picked.ip == given.ip {
                true => Outcome::Keeps(format!("{name} picks {on}, which it was given before")),
                false => Outcome::Never(format!(
                    "by `{}`, {name} would pick {on}, and not {given}, which it is given before this",
                    self.method
                )),
            };
        }
        let advertised = node.address(family);
        if advertised.is_some_and(|a| a.ip == picked.ip) {
            let line = format!("{name} keeps {now}: it picks {on} (predicted)");
            return match looked.content || !node.strays_in(family) {
                true => Outcome::Keeps(line),
                false => Outcome::Doubt {
                    line,
                    doubt: format!(
                        "{name} would go on to advertise {now}, which is not its InternalIP"
                    ),
                },
            };
        }
        let others: Vec<MeshNode> = seen
            .nodes
            .iter()
            .filter(|other| other.node.name() != name)
            .map(|other| other.node.clone())
            .collect();
        let chooser = Chooser {
            family,
            node,
            links: &looked.links,
            others: &others,
        };
        let against = chooser.named(&picked.ip.to_string()).ok();
        let against = against.map(|named| named.against).unwrap_or_default();
        let doubt = if !node.internal_ips.contains(&picked.ip) {
            Some(format!(
                "{name} would pick {on}, which is not its InternalIP"
            ))
        } else if let Some(objection) = against.first() {
            Some(format!("{name} would pick {on}, and {objection}"))
        } else if looked.content && advertised.is_some() {
            Some(format!(
                "{name} advertises {now} and not its InternalIP, and its sessions are established: it would lose that address"
            ))
        } else {
            None
        };
        Outcome::Gets {
            line: format!("{name} picks {on} instead of {now} (predicted)"),
            doubt,
        }
    }
}

/// What an earlier step gives a node to advertise.
fn given(looked: &Looked, family: Family, prior: Prior<'_>) -> Option<Cidr> {
    address_changes(prior)
        .filter(|change| change.node == looked.node.name() && change.family == family)
        .filter_map(|change| change.after)
        .last()?
        .parse()
        .ok()
}

fn field(change: &Change) -> FieldChange {
    FieldChange {
        path: change.path.clone(),
        before: change.before.clone(),
        after: Some(change.after.clone()),
    }
}

/// A text as it may stand in a flow mapping of YAML.
fn yaml_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=/".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

fn names(nodes: &[(String, String)]) -> String {
    let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
