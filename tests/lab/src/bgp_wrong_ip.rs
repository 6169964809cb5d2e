//! A node advertises an address that the others cannot reach.

use std::fmt::Write as _;

use serde_json::Value;

use crate::Lab;
use crate::breakage::Variant;
use crate::calico::{SELECTOR, items};
use crate::error::{Error, Result};
use crate::machine::{NODES, Node};

/// What `break` leaves on nodes, for `heal` to find.
pub(crate) const NIC: &str = "ens9";
pub(crate) const BRIDGE: &str = "br-6c1f0b0e3a5d";
pub(crate) const CONTAINER: &str = "cni-6c1f0b0e";
pub(crate) const BOOT_FILES: &str = "/etc/systemd/network/50-second";

/// A method that takes whatever link comes first, and the newest comes first.
pub(crate) const ANY_LINK: &str = "interface=.*";

impl Variant {
    pub(crate) fn is_bridge(self) -> bool {
        matches!(self, Self::BridgeUp | Self::BridgeDown)
    }

    /// This Calico excludes bridges by default; a method without excludes is how they get in.
    pub(crate) fn method(self) -> Option<&'static str> {
        self.is_bridge().then_some(ANY_LINK)
    }
}

impl Lab {
    /// `method` is for all nodes; without it, each link is one that the usual method finds.
    pub(crate) fn break_bgp(
        &self,
        variant: Variant,
        nodes: &[Node],
        persistent: bool,
        method: Option<&str>,
    ) -> Result<String> {
        let addresses = ["172.18.0.1", "172.18.0.2"];
        let faulty: Vec<(Node, &str)> = nodes.iter().copied().zip(addresses).collect();
        let observers: Vec<Node> = NODES
            .into_iter()
            .filter(|node| faulty.iter().all(|(other, _)| other != node))
            .collect();
        let before = self.calico_node_pods()?;
        self.progress
            .part("links added, calico-node restarted", || {
                for (node, address) in &faulty {
                    self.ssh_text(*node, &link_script(variant, address, persistent))?;
                }
                if let Some(method) = method {
                    let method = &format!("IP_AUTODETECTION_METHOD={method}");
                    self.kubectl_text(&[
                        "-n",
                        self.calico_namespace(),
                        "set",
                        "env",
                        "daemonset/calico-node",
                        method,
                    ])?;
                }
                // The others too: the message that names the address lasts 30 s from their own start.
                self.restart_calico_node(&NODES)
            })?;
        self.progress.part("wrong address advertised", || {
            faulty.iter().try_for_each(|(node, address)| {
                self.wait_for_address(*node, &format!("{address}/16"), 180)
            })
        })?;
        let message = self
            .progress
            .part("readiness message seen on another node", || {
                self.make_observers_say_it(&before, &observers, &faulty)
            })?;
        let lost = self
            .progress
            .part("sessions seen not established on the other nodes", || {
                self.wait_for_lost_sessions(&observers, &faulty)
            })?;
        let mut seen = String::new();
        for (node, address) in &faulty {
            let _ = writeln!(seen, "{} advertises {address}/16", node.name());
        }
        if let Some(method) = method {
            let _ = writeln!(seen, "IP_AUTODETECTION_METHOD={method} for all nodes");
        }
        for line in lost.iter().chain([&message]) {
            let _ = writeln!(seen, "{line}");
        }
        Ok(seen)
    }

    /// The message stands for 30 s from the start of an observer. On a busy machine that may be too early to see it: then
    /// they start once more.
    fn make_observers_say_it(
        &self,
        before: &[String],
        observers: &[Node],
        faulty: &[(Node, &str)],
    ) -> Result<String> {
        for patience in [40, 60, 90, 120] {
            match self.wait_for_message(before, observers, faulty, patience) {
                Err(Error::Late { .. }) => self.restart_calico_node(observers)?,
                seen => return seen,
            }
        }
        self.wait_for_message(before, observers, faulty, 180)
    }

    /// What `calicoctl node status` on the other nodes says about the faulty ones.
    fn wait_for_lost_sessions(
        &self,
        observers: &[Node],
        faulty: &[(Node, &str)],
    ) -> Result<Vec<String>> {
        let rows = self.on_each(observers, |observer| {
            let others: Vec<String> = observers
                .iter()
                .filter(|other| **other != observer)
                .map(|other| other.address())
                .collect();
            let mut wanted: Vec<(&str, bool)> = others
                .iter()
                .map(|address| (address.as_str(), true))
                .collect();
            wanted.extend(faulty.iter().map(|(_, address)| (*address, false)));
            self.wait_for_sessions(observer, &wanted, 180)?;
            self.lost_rows(observer)
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The event in which the kubelet of another node repeats what the readiness check of a new pod said.
    fn wait_for_message(
        &self,
        before: &[String],
        observers: &[Node],
        faulty: &[(Node, &str)],
        seconds: u64,
    ) -> Result<String> {
        let hosts: Vec<String> = observers.iter().map(|node| node.name()).collect();
        let mut wrong: Vec<&str> = faulty.iter().map(|(_, address)| *address).collect();
        wrong.sort_unstable();
        self.until("the readiness message on the other nodes", seconds, || {
            let events = [
                "-n",
                self.calico_namespace(),
                "get",
                "events",
                "--field-selector",
                "reason=Unhealthy",
            ];
            let events = self.kubectl_json(&events)?;
            Ok(items(&events).find_map(|event| {
                let of = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
                let (pod, host, message) = (
                    of("/involvedObject/uid")?,
                    of("/source/host")?,
                    of("/message")?,
                );
                let line = message
                    .lines()
                    .find(|line| line.contains("BGP not established with"))?;
                let new =
                    !before.iter().any(|uid| uid == pod) && hosts.iter().any(|name| name == host);
                (new && named(line) == wrong).then(|| format!("{host}: {line}"))
            }))
        })
    }

    pub(crate) fn calico_node_pods(&self) -> Result<Vec<String>> {
        let pods =
            self.kubectl_json(&["-n", self.calico_namespace(), "get", "pods", "-l", SELECTOR])?;
        Ok(items(&pods)
            .filter_map(|pod| pod.pointer("/metadata/uid")?.as_str().map(str::to_owned))
            .collect())
    }
}

/// The addresses that a readiness message names, in order.
fn named(message: &str) -> Vec<&str> {
    let list = message
        .split("BGP not established with")
        .nth(1)
        .unwrap_or_default();
    let mut addresses: Vec<&str> = list.split(',').map(str::trim).collect();
    addresses.sort_unstable();
    addresses
}

/// What brings the link up on the node; at each boot as well, if wanted.
fn link_script(variant: Variant, address: &str, persistent: bool) -> String {
    let (name, kind) = if variant.is_bridge() {
        (BRIDGE, "bridge")
    } else {
        (NIC, "dummy")
    };
    let mut script = format!(
        "set -e; ip link add {name} type {kind}; ip address add {address}/16 dev {name}; ip link set {name} up"
    );
    if variant == Variant::BridgeUp {
        // A container's end of a veth pair is what brings a bridge's link up.
        let _ = write!(
            script,
            "; ip netns add {CONTAINER}; ip link add veth6c1f0b0 type veth peer name eth0 netns {CONTAINER}; \
             ip link set veth6c1f0b0 master {name} up; ip -n {CONTAINER} link set eth0 up; \
             ip -n {CONTAINER} address add 172.18.0.9/16 dev eth0"
        );
    }
    if persistent {
        let _ = write!(
            script,
            "; printf '[NetDev]\\nName={name}\\nKind={kind}\\n' > {BOOT_FILES}.netdev; \
             printf '[Match]\\nName={name}\\n\\n[Link]\\nRequiredForOnline=no\\n\\n[Network]\\nAddress={address}/16\\n\
             LinkLocalAddressing=no\\nIPv6AcceptRA=no\\nConfigureWithoutCarrier=yes\\n' > {BOOT_FILES}.network"
        );
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_a_readiness_message() {
        let message = "calico/node is not ready: BIRD is not ready: BGP not established with 172.18.0.2,172.18.0.1";
        assert_eq!(named(message), ["172.18.0.1", "172.18.0.2"]);
    }
}
