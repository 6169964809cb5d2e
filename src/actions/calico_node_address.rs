//! `calico.node_address`: the address that a node advertises to the mesh.

use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::calico::{
    Candidate, Chooser, Cidr, Detection, Family, Link, MeshNode, OwnAddress, SessionFault, Unclear,
};
use crate::fault::Fault;
use crate::model::{
    Ask, Blobs, Detail, Effect, FieldChange, FieldPath, HostRef, Identity, ObjectRef, Prior,
    Setting, SettingRef, SettingState, UndoClass,
};
use crate::transport::DockerNetwork;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The choice that is no address: what kubelet registered.
const INTERNAL_IP: &str = "internal_ip";

/// Has Calico advertise the right address of a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Which address is the right one: `internal_ip`, the one that kubelet registered, with the prefix of its
    /// link; or an address of the node, with its prefix where it is on no link. One that is named counts,
    /// whatever speaks against it.
    address: String,
    /// `ipv4` or `ipv6`; a node that advertises nothing of it is left alone for `ipv6`.
    #[serde(default)]
    family: Family,
}

pub struct NodeAddress {
    /// `None`: the InternalIP.
    named: Option<String>,
    family: Family,
}

/// What the decision rests on.
pub struct Seen {
    node: MeshNode,
    links: Vec<Link>,
    /// Where Calico's datastore keeps the address.
    place: Kept,
    /// Sessions of this node that are not established.
    faults: Vec<SessionFault>,
    others: Vec<MeshNode>,
    /// Docker's network on the link that has the advertised address.
    docker: Option<DockerNetwork>,
    /// How calico-node finds an address of this family; `None`: that cannot be told.
    detection: Option<Detection>,
    /// Whether some session with what it advertises is established.
    works: bool,
    /// Whether it is the only target.
    alone: bool,
    namespace: String,
}

/// Where an address is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    /// In an annotation of the Kubernetes Node.
    Annotation,
    /// In Calico's own datastore, reached by calicoctl on the host.
    Store(SettingRef),
}

/// The address that it is to be, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    cidr: Cidr,
    is: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    object: ObjectRef,
    place: Kept,
    before: String,
    after: Wanted,
    holder: Option<String>,
    named: bool,
}

#[async_trait]
impl Action for NodeAddress {
    const USES: &'static str = "calico.node_address";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let family = args.family;
        let named = match args.address.trim() {
            INTERNAL_IP => None,
            text => match text.parse::<Cidr>() {
                Ok(cidr) if family.has(cidr.ip) => Some(text.to_owned()),
                Ok(_) => return Err(format!("`address`: `{text}` is no {family} address")),
                Err(why) => {
                    return Err(format!(
                        "`address`: {why}; it is `{INTERNAL_IP}` or an address such as 10.0.0.5"
                    ));
                }
            },
        };
        Ok(Self { named, family })
    }

    fn needs(_with: &Value) -> Needs {
        Needs::default().mesh().fields(&Of::targets())
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let target = place.target()?;
        if self.named.is_some() && place.targets.len() > 1 {
            return Err(Fault::input(
                "one_address",
                "one address is named, and there are several nodes: two nodes cannot have one address",
            )
            .next("name one node, or leave the address out"));
        }
        let install = look.calico().await?;
        let node = look.mesh_node(&target.name).await?.clone();
        let kept = match install.etcd() {
            None => Kept::Annotation,
            Some(endpoints) => Kept::Store(
                Setting::CalicoNode {
                    node: node.calico_name.clone(),
                    field: self.family.field().to_owned(),
                    endpoints: endpoints.to_owned(),
                }
                .of(&HostRef {
                    node: target.name.clone(),
                    machine_id: node.machine_id.clone(),
                    identity: Identity::root(),
                }),
            ),
        };
        let mut seen = Seen {
            node,
            links: Vec::new(),
            place: kept,
            faults: Vec::new(),
            others: Vec::new(),
            docker: None,
            detection: install.detection(self.family).ok(),
            works: false,
            alone: place.targets.len() <= 1,
            namespace: install.node.object.namespace.clone().unwrap_or_default(),
        };
        if seen.node.advertises(self.family).is_none() {
            return Ok(seen);
        }
        seen.links
            .clone_from(&look.reading(&target.name).await?.links);
        let (mesh, _) = look.mesh().await?;
        seen.faults = mesh.faults_of(&target.name);
        seen.works = mesh.works_in(&seen.node, self.family);
        if let Kept::Store(setting) = &seen.place {
            // What another host reads of the datastore says nothing of whether this one can write there.
            let here = look.setting(setting).await?;
            let there = seen.node.advertises(self.family).map(SettingState::value);
            if Some(&here) != there.as_ref() {
                return Err(Fault::refused(
                    "calico_store",
                    format!(
                        "calicoctl on {} says that {setting} is {here}, and elsewhere it is {}",
                        target.name,
                        there.map(|t| t.to_string()).unwrap_or_default()
                    ),
                )
                .next(
                    "look at /etc/calico/calicoctl.cfg there, or try again if it has just changed",
                ));
            }
        }
        let others = look.mesh_nodes().await?.iter();
        seen.others = others
            .filter(|n| n.name() != target.name)
            .cloned()
            .collect();
        if let Some(link) = self.holder(&seen).filter(|link| is_dockers(link)) {
            let of = look.host(&target.name, &Identity::root()).await?;
            seen.docker = Some(look.docker_network(&of, &link.name).await?);
        }
        Ok(seen)
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Change> {
        let refuse = |why: String, next: Option<&str>| Decision::Refuse {
            why,
            next: next.map(str::to_owned),
        };
        let name = seen.node.name();
        let Some(before) = seen.node.advertises(self.family) else {
            if self.named.is_none() && self.is_unused(seen) {
                return Decision::NoChange {
                    why: format!(
                        "it advertises no {} address: Calico uses none there",
                        self.family
                    ),
                };
            }
            return refuse(
                format!(
                    "{name} advertises no {} address: calico-node has not come up there, or gave its address up as another node has it",
                    self.family
                ),
                Some(&format!(
                    "look at its log: kubectl logs -n {} -l k8s-app=calico-node --prefix",
                    seen.namespace
                )),
            );
        };
        // Whatever speaks against it: it is what kubelet registered, and nothing better is known.
        if self.named.is_none()
            && let Some(link) = self.holder(seen)
            && let Some(advertised) = seen.node.address(self.family)
            && seen.node.internal_ips.contains(&advertised.ip)
        {
            return Decision::NoChange {
                why: format!("it advertises {before}, its InternalIP on {}", link.name),
            };
        }
        let faulty = seen.faults.iter().any(|fault| self.is_of_family(fault));
        let seen_faulty = |fault: &SessionFault| !fault.unread && self.is_of_family(fault);
        let known = seen.faults.iter().any(seen_faulty);
        let wanted = match self.wanted(seen) {
            Ok(wanted) => wanted,
            // Where only IPv4 is registered, nothing speaks against what works.
            Err(unclear) if self.family == Family::Ipv6 && !faulty && self.named.is_none() => {
                return Decision::NoChange {
                    why: format!(
                        "it advertises {before}, and its sessions are established; whether that is its own cannot be told: {}",
                        unclear.why
                    ),
                };
            }
            Err(unclear) => {
                let thief = self.thief(seen);
                let next = match unclear.candidates.as_slice() {
                    _ if thief.is_some() => format!(
                        "runbook plan fix-bgp-wrong-ip --node {}",
                        thief.unwrap_or_default()
                    ),
                    [] => "look at kubelet's --node-ip and at the host's links".to_owned(),
                    candidates => format!(
                        "name the right one (--param {}=…): {}",
                        match self.family {
                            Family::Ipv4 => "address",
                            Family::Ipv6 => "address_v6",
                        },
                        listed(candidates)
                    ),
                };
                return refuse(format!("{name}: {}", unclear.why), Some(&next));
            }
        };
        let advertised = seen.node.address(self.family);
        let right = match self.named {
            None => advertised.is_some_and(|a| a.ip == wanted.cidr.ip),
            Some(_) => advertised == Some(wanted.cidr),
        };
        if right {
            return Decision::NoChange {
                why: format!("it advertises {before}, {}", wanted.is),
            };
        }
        if !faulty && self.named.is_none() {
            return Decision::NoChange {
                why: format!(
                    "it advertises {before} and not its InternalIP {}, and all its sessions are established: that is no fault",
                    wanted.cidr.ip
                ),
            };
        }
        let change = Decision::Change(Change {
            object: seen.node.object.clone(),
            place: seen.place.clone(),
            before: before.to_owned(),
            after: wanted,
            holder: self.holder(seen).map(Link::described),
            named: self.named.is_some(),
        });
        // One healthy neighbour is enough; how many others go astray proves nothing.
        let speak = || seen.others.iter().filter(|n| n.takes_part());
        if self.named.is_none()
            && speak().next().is_some()
            && speak().all(|other| other.strays_in(self.family))
        {
            return Decision::Unknown {
                why: format!(
                    "no node at all advertises its InternalIP: the mesh may have a network of its own, and then {} would be wrong",
                    self.internal_ip(seen)
                        .map(|own| own.cidr.to_string())
                        .unwrap_or_default()
                ),
                otherwise: Some(Box::new(change)),
            };
        }
        if seen.works && self.named.is_none() {
            return Decision::Unknown {
                why: format!(
                    "some of its sessions are established with {before}, and so the address may be the right one: {}",
                    seen.faults
                        .iter()
                        .find(|fault| self.is_of_family(fault))
                        .map(ToString::to_string)
                        .unwrap_or_default()
                ),
                otherwise: Some(Box::new(change)),
            };
        }
        if faulty && !known && self.named.is_none() {
            return Decision::Unknown {
                why: format!(
                    "whether its sessions are established cannot be read, and an address that works is no fault: {}",
                    seen.faults
                        .first()
                        .map(ToString::to_string)
                        .unwrap_or_default()
                ),
                otherwise: Some(Box::new(change)),
            };
        }
        change
    }

    fn ask(&self, seen: &Seen, decision: &Decision<Change>) -> Option<Ask> {
        let refused = matches!(decision, Decision::Refuse { .. });
        if !refused || self.named.is_some() || !seen.alone || self.thief(seen).is_some() {
            return None;
        }
        seen.node.advertises(self.family)?;
        let unclear = self.internal_ip(seen).err()?;
        let among = unclear.candidates.iter();
        let among: Vec<(String, String)> = among
            .map(|c| (c.cidr.ip.to_string(), c.to_string()))
            .collect();
        (!among.is_empty()).then(|| Ask {
            argument: "address".to_owned(),
            among,
        })
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        if !matches!(decision, Decision::Change(_) | Decision::Unknown { .. }) {
            return Vec::new();
        }
        let mut notes = Vec::new();
        if let Some(Ok(named)) = self
            .named
            .as_ref()
            .map(|text| self.chooser(seen).named(text))
        {
            notes.extend(
                named
                    .against
                    .iter()
                    .map(|objection| format!("{} was named, although {objection}.", named.cidr)),
            );
        }
        if let Some(link) = self.holder(seen) {
            notes.extend(
                seen.docker
                    .as_ref()
                    .and_then(|docker| docker_note(link, docker)),
            );
        }
        notes
    }

    fn compile(&self, change: Change) -> Compiled {
        let name = change.object.name.clone();
        let after = change.after.cidr.to_string();
        let (subject, effect) = match change.place {
            Kept::Annotation => {
                let annotation = self.family.annotation();
                let fields = vec![FieldChange {
                    path: FieldPath::annotation(annotation),
                    before: Some(Value::from(change.before.as_str())),
                    after: Some(Value::from(after.as_str())),
                }];
                let object = change.object;
                let subject = format!("{object}: annotation {annotation}");
                (subject, Effect::SetFields { object, fields })
            }
            Kept::Store(setting) => {
                let subject = format!("{setting}, by calicoctl on {}", setting.host.node);
                let effect = Effect::PutSetting {
                    before: SettingState::value(&change.before),
                    after: SettingState::value(&after),
                    setting,
                };
                (subject, effect)
            }
        };
        Compiled {
            blobs: Blobs::default(),
            details: vec![Detail {
                subject,
                before: Some(change.before.clone()),
                before_is: match (&change.holder, change.named) {
                    (Some(link), false) => format!("on {link}; not what kubelet registered"),
                    (Some(link), true) => format!("on {link}"),
                    (None, _) => "on none of its links".to_owned(),
                },
                after: Some(after),
                after_is: change.after.is,
                lines: Vec::new(),
            }],
            heals: (!change.named).then(|| {
                format!(
                    "{name} advertises {}, which is not its own address",
                    change.before
                )
            }),
            effects: vec![effect],
            follows: Vec::new(),
            undo: match change.before.parse::<Cidr>() {
                Ok(_) => UndoClass::Exact,
                Err(_) => UndoClass::BestEffort {
                    lost: "what stands there is no address, and Calico may not take it back"
                        .to_owned(),
                },
            },
            predicted: None,
        }
    }
}

impl NodeAddress {
    fn chooser<'s>(&self, seen: &'s Seen) -> Chooser<'s> {
        Chooser {
            family: self.family,
            node: &seen.node,
            links: &seen.links,
            others: &seen.others,
        }
    }

    /// Whether a session that is not as it should be is of this family, or may be.
    fn is_of_family(&self, fault: &SessionFault) -> bool {
        fault.family.is_none_or(|family| family == self.family)
    }

    /// Whether Calico uses no address of this family on the node.
    fn is_unused(&self, seen: &Seen) -> bool {
        let registered = seen.node.internal_ips.iter();
        let mut registered = registered.filter(|ip| self.family.has(**ip));
        match (&seen.detection, self.family) {
            (Some(Detection::Off), _) | (Some(Detection::Kept), Family::Ipv6) => true,
            // A host of the other family alone.
            _ => seen.node.takes_part() && registered.next().is_none(),
        }
    }

    /// Another node that advertises what is this node's, and strays thereby.
    fn thief<'s>(&self, seen: &'s Seen) -> Option<&'s str> {
        let has = |other: &&MeshNode| {
            let address = other.address(self.family);
            other.strays_in(self.family)
                && address.is_some_and(|a| seen.node.internal_ips.contains(&a.ip))
        };
        seen.others.iter().find(has).map(MeshNode::name)
    }

    fn internal_ip(&self, seen: &Seen) -> Result<OwnAddress, Unclear> {
        self.chooser(seen).internal_ip()
    }

    fn wanted(&self, seen: &Seen) -> Result<Wanted, Unclear> {
        let Some(text) = &self.named else {
            let own = self.internal_ip(seen)?;
            return Ok(Wanted {
                is: format!("its InternalIP, with the prefix of its link {}", own.link),
                cidr: own.cidr,
            });
        };
        let named = self.chooser(seen).named(text);
        let named = named.map_err(|why| Unclear {
            why,
            candidates: Vec::new(),
        })?;
        Ok(Wanted {
            cidr: named.cidr,
            is: match named.link {
                Some(link) => format!("named, and on its link {link}"),
                None => "named, and on none of its links".to_owned(),
            },
        })
    }

    /// The link that has the advertised address.
    fn holder<'s>(&self, seen: &'s Seen) -> Option<&'s Link> {
        let advertised = seen.node.address(self.family)?;
        let has = |link: &&Link| link.addresses.iter().any(|a| a.cidr.ip == advertised.ip);
        seen.links.iter().find(has)
    }
}

/// Whether a link is named as docker names its bridges.
fn is_dockers(link: &Link) -> bool {
    let id = link.name.strip_prefix("br-");
    link.name == "docker0"
        || id.is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whose bridge it is, and what could be done about it: that is advised, and never done.
fn docker_note(link: &Link, docker: &DockerNetwork) -> Option<String> {
    let name = &link.name;
    // Docker makes its first bridge anew with each start.
    let away = |command: &str| match name.as_str() {
        "docker0" => {
            "Where nobody needs it: \"bridge\": \"none\" in docker's daemon.json.".to_owned()
        }
        _ => format!("Where nobody needs it: {command}."),
    };
    Some(match docker {
        DockerNetwork::Silent(why) => format!(
            "{name} is named as docker names its bridges, and docker does not tell whose it is: {why}."
        ),
        DockerNetwork::Unknown => format!(
            "{name} is named as docker names its bridges, and docker knows no such network: it is left over. {} It is not done here.",
            away(&format!("ip link delete {name}"))
        ),
        DockerNetwork::Is {
            network,
            containers,
        } => {
            let containers = match containers.as_slice() {
                [] => "no running container".to_owned(),
                names => format!("the containers {}", names.join(", ")),
            };
            format!(
                "{name} is docker's network {network}, with {containers}. {} It is not done here.",
                away(&format!("docker network rm {network}"))
            )
        }
    })
}

/// So many candidates are listed.
const SHOWN: usize = 8;

fn listed(candidates: &[Candidate]) -> String {
    let shown = candidates.iter().take(SHOWN).map(ToString::to_string);
    let mut lines: Vec<String> = shown.collect();
    if let Some(more) = candidates.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("one of {more} more"));
    }
    lines.join(", or ")
}

#[cfg(test)]
mod tests;
