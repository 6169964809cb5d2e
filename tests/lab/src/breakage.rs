//! Faults, made the way they happen in life, and shown to have their own real symptom.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Lab;
use crate::bgp_wrong_ip::ANY_LINK;
use crate::error::{Error, Result};
use crate::machine::Node;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Incident {
    /// A node advertises an address that the others cannot reach
    BgpWrongIp,
    /// The fleet's autodetection method picks wrong links on two of the three nodes
    MethodWrong,
    /// A firewall's rule on a node drops BGP
    BgpPortBlocked,
    /// A node is off the wire
    PeerDown,
    /// A node has no route to the others
    RouteMissing,
    /// A node's calico-node runs and does not do its work
    CalicoStuck,
    /// A node's calicoctl is gone, or of another version
    Calicoctl,
    /// A swap file in the fstab keeps the kubelet down
    SwapFile,
    /// A partition in the fstab by its UUID does
    SwapPartition,
    /// The fstab's line is commented out, and a unit brings the swap back at each boot
    SwapUnit,
    /// Swap is on, and the kubelet is meant to bear it
    SwapIntended,
    /// The table of connections is full
    ConntrackFull,
    /// NetworkManager manages Calico's links
    NmManagesCalico,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// bgp-wrong-ip: a second network card with 172.18.0.1/16 comes up
    SecondNic,
    /// bgp-wrong-ip: a docker-style bridge with a container on it, and autodetection by `interface=.*`
    BridgeUp,
    /// bgp-wrong-ip: the same bridge without a container: its link is down, and chosen all the same
    BridgeDown,
    /// bgp-wrong-ip: second network cards on two of the three nodes: the majority is wrong
    TwoNodes,
    /// bgp-wrong-ip: the lab becomes one of two families, and a second network card brings fd99::1/64
    Ipv6,
    /// bgp-port-blocked: packets of BGP do not come in
    Input,
    /// bgp-port-blocked: packets of BGP do not go out
    Output,
    /// peer-down: its link is pulled out; the machine runs on and sees no difference
    Link,
    /// peer-down: its power is cut
    Power,
    /// route-missing: its routes are gone, all but the one to the API server's address
    NoRoute,
    /// route-missing: blackholes lead to the others' addresses
    Blackhole,
    /// calicoctl: it is not there
    Missing,
    /// calicoctl: it is of v3.25, which the cluster's version is too new for
    Old,
    /// swap-intended: by `failSwapOn: false` in the kubelet's configuration
    Config,
    /// swap-intended: by `--fail-swap-on=false` on the kubelet's command line
    Flag,
    /// conntrack-full: packets are dropped all the time, and a new login still gets in
    Busy,
    /// conntrack-full: no new connection gets in; those that are there go on
    Shut,
    /// nm-manages-calico: nothing says that it should not
    NoConfig,
    /// nm-manages-calico: calico.conf is right, and a later file overrides its key
    Overridden,
    /// nm-manages-calico: another file has a list of its own, which must stay
    OwnList,
}

impl Incident {
    /// Its variants, the usual one first.
    pub fn variants(self) -> &'static [Variant] {
        match self {
            Self::BgpWrongIp => &[
                Variant::SecondNic,
                Variant::BridgeUp,
                Variant::BridgeDown,
                Variant::TwoNodes,
                Variant::Ipv6,
            ],
            Self::BgpPortBlocked => &[Variant::Input, Variant::Output],
            Self::PeerDown => &[Variant::Link, Variant::Power],
            Self::RouteMissing => &[Variant::NoRoute, Variant::Blackhole],
            Self::Calicoctl => &[Variant::Missing, Variant::Old],
            Self::MethodWrong | Self::CalicoStuck => &[],
            Self::SwapFile | Self::SwapPartition | Self::SwapUnit => &[],
            Self::SwapIntended => &[Variant::Config, Variant::Flag],
            Self::ConntrackFull => &[Variant::Busy, Variant::Shut],
            Self::NmManagesCalico => &[Variant::NoConfig, Variant::Overridden, Variant::OwnList],
        }
    }

    fn can_persist(self) -> bool {
        matches!(self, Self::BgpWrongIp | Self::ConntrackFull)
    }
}

fn titled(incident: Incident, variant: Option<Variant>) -> String {
    match &variant {
        Some(variant) => format!("{} ({})", name(&incident), name(variant)),
        None => name(&incident),
    }
}

fn name(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

impl Lab {
    /// Makes a fault on `node` and returns the symptom that it was seen to have.
    ///
    /// `persistent` makes it come back at a boot where it would not by itself.
    pub fn break_(
        &self,
        incident: Incident,
        variant: impl Into<Option<Variant>>,
        node: Node,
        persistent: bool,
    ) -> Result<String> {
        let _held = self.lock()?;
        self.need_machines()?;
        if let Some(fault) = self.fault() {
            return Err(Error::state(
                format!("there is a fault already: {fault}"),
                "run `cargo run -p lab -- heal`",
            ));
        }
        let variant = chosen(incident, variant.into())?;
        if persistent && (!incident.can_persist() || variant == Some(Variant::Ipv6)) {
            return Err(Error::state(
                format!("{} does not know --persistent", titled(incident, variant)),
                "leave it out",
            ));
        }
        let mut faulty = vec![node];
        if variant == Some(Variant::TwoNodes) || incident == Incident::MethodWrong {
            // Another one that is not the first, if there is a choice.
            faulty.extend(node.others().last());
        }
        let title = titled(incident, variant);
        let names: Vec<String> = faulty.iter().map(|node| node.name()).collect();
        let record = json!({"fault": title, "nodes": names.join(", ")});
        // Before anything is touched: whatever comes of it, `heal` is wanted.
        fs::write(self.fault_file(), record.to_string())
            .map_err(Error::file("write", &self.fault_file()))?;
        let start = Instant::now();
        let seen = match (incident, variant) {
            (Incident::BgpWrongIp, Some(Variant::Ipv6)) => self.break_bgp6(node),
            (Incident::BgpWrongIp, Some(variant)) => {
                self.break_bgp(variant, &faulty, persistent, variant.method())
            }
            (Incident::MethodWrong, _) => {
                self.break_bgp(Variant::TwoNodes, &faulty, false, Some(ANY_LINK))
            }
            (Incident::BgpPortBlocked, Some(variant)) => self.break_port(variant, node),
            (Incident::PeerDown, Some(variant)) => self.break_peer(variant, node),
            (Incident::RouteMissing, Some(variant)) => self.break_route(variant, node),
            (Incident::CalicoStuck, _) => self.break_calico_node(node),
            (Incident::Calicoctl, Some(variant)) => self.break_calicoctl(variant, node),
            (Incident::ConntrackFull, Some(variant)) => {
                self.break_conntrack(variant, node, persistent)
            }
            (Incident::NmManagesCalico, Some(variant)) => self.break_nm(variant, node),
            _ => self.break_swap(incident, variant, node),
        }?;
        let mut text = format!(
            "\n{title}, made in {:.1} s; seen:\n",
            start.elapsed().as_secs_f64()
        );
        for line in seen.lines() {
            let _ = writeln!(text, "  {line}");
        }
        text += "undo it with `cargo run -p lab -- heal`\n";
        Ok(text)
    }

    /// The active fault, in words.
    pub fn fault(&self) -> Option<String> {
        let text = fs::read_to_string(self.fault_file()).ok()?;
        let fault: Value = serde_json::from_str(&text).ok()?;
        let word = |key: &str| {
            fault
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        Some(format!("{} on {}", word("fault"), word("nodes")))
    }

    /// The nodes of the active fault, if it is of this kind.
    pub(crate) fn nodes_of_fault(&self, incident: Incident) -> Vec<Node> {
        let text = fs::read_to_string(self.fault_file()).unwrap_or_default();
        let fault: Value = serde_json::from_str(&text).unwrap_or_default();
        let word = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default();
        if word("fault").split(' ').next() != Some(name(&incident).as_str()) {
            return Vec::new();
        }
        let named = word("nodes").split(", ");
        named.filter_map(|node| Node::named(node).ok()).collect()
    }

    /// A node that starts anew takes its fault with it, if it was the only one.
    pub(crate) fn forget_fault_of(&self, node: Node) -> Result<()> {
        let path = self.fault_file();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let fault: Value = serde_json::from_str(&text).unwrap_or_default();
        if fault.get("nodes").and_then(Value::as_str) == Some(node.name().as_str()) {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        Ok(())
    }

    pub(crate) fn fault_file(&self) -> PathBuf {
        self.dir.join("fault.json")
    }

    /// Asks again and again until there is an answer.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        seconds: u64,
        ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        self.until_every(Duration::from_secs(1), what, seconds, ask)
    }

    /// The same, with another pause between.
    pub(crate) fn until_every<T>(
        &self,
        pause: Duration,
        what: &str,
        seconds: u64,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if start.elapsed() > Duration::from_secs(seconds) {
                return Err(Error::Late {
                    what: what.into(),
                    seconds,
                    next: "see `cargo run -p lab -- status`".into(),
                });
            }
            sleep(pause);
        }
    }
}

/// The variant that is meant, if the incident has any.
fn chosen(incident: Incident, variant: Option<Variant>) -> Result<Option<Variant>> {
    let all = incident.variants();
    match variant {
        None => Ok(all.first().copied()),
        Some(variant) if all.contains(&variant) => Ok(Some(variant)),
        Some(variant) => {
            let all: Vec<String> = all.iter().map(name).collect();
            let next = if all.is_empty() {
                "leave --variant out: it has none".to_owned()
            } else {
                format!("it has {}", all.join(", "))
            };
            let (incident, variant) = (name(&incident), name(&variant));
            Err(Error::state(
                format!("{incident} has no variant {variant}"),
                next,
            ))
        }
    }
}
