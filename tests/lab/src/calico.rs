//! What Calico says about itself: addresses in the Node objects, sessions in `calicoctl node status`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Lab;
use crate::datastore::Datastore;
use crate::error::{Error, Result};
use crate::machine::{NODES, Node};

pub const ADDRESS: &str = "projectcalico.org/IPv4Address";
pub const SELECTOR: &str = "k8s-app=calico-node";

/// A family of addresses; each has a BIRD of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: &str) -> Self {
        if address.contains(':') {
            Self::V6
        } else {
            Self::V4
        }
    }

    /// The annotation of a Kubernetes Node in which Calico keeps the address (v3.31, libcalico-go's resources/node.go).
    pub fn annotation(self) -> &'static str {
        match self {
            Self::V4 => ADDRESS,
            Self::V6 => "projectcalico.org/IPv6Address",
        }
    }

    /// The field of a Calico Node's `spec.bgp` for it.
    pub fn field(self) -> &'static str {
        match self {
            Self::V4 => "ipv4Address",
            Self::V6 => "ipv6Address",
        }
    }

    /// Where its BIRD listens for `birdc`.
    pub(crate) fn socket(self) -> &'static str {
        match self {
            Self::V4 => "/var/run/calico/bird.ctl",
            Self::V6 => "/var/run/calico/bird6.ctl",
        }
    }
}

/// What confd's templates call the mesh session to an address.
pub(crate) fn session_name(address: &str) -> String {
    format!("Mesh_{}", address.replace(['.', ':'], "_"))
}

/// One row of `calicoctl node status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: String,
    pub kind: String,
    pub state: String,
    pub info: String,
}

impl Peer {
    pub fn is_established(&self) -> bool {
        self.state == "up" && self.info.starts_with("Established")
    }
}

/// Reads the table of `calicoctl node status`; a cell too wide for its column goes on in the rows below.
pub fn parse_status(text: &str) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[address, kind, state, _since, info] = cells.as_slice() else {
            continue;
        };
        if address.is_empty() {
            if let Some(last) = peers.last_mut() {
                last.info = format!("{} {info}", last.info).trim().to_owned();
            }
        } else if address.contains(|c: char| c.is_ascii_digit()) {
            let [address, kind, state, info] = [address, kind, state, info].map(str::to_owned);
            peers.push(Peer {
                address,
                kind,
                state,
                info,
            });
        }
    }
    peers
}

/// The objects of a list, as kubectl prints it.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

impl Lab {
    /// The sessions of a node that are not established, each as a line for people.
    pub(crate) fn lost_rows(&self, node: Node) -> Result<Vec<String>> {
        let peers = self.peers(node)?;
        let lost = peers.iter().filter(|peer| !peer.is_established());
        let row = |peer: &Peer| {
            let (address, state, info) = (&peer.address, &peer.state, &peer.info);
            let name = node.name();
            format!("{name}: calicoctl node status: {address} {state} {info}")
        };
        Ok(lost.map(row).collect())
    }

    /// The sessions of one node, as its own `calicoctl node status` shows them; none while calico-node is
    /// being started there.
    pub fn peers(&self, node: Node) -> Result<Vec<Peer>> {
        let status = "type calicoctl >/dev/null || exit; calicoctl node status 2>&1 || true";
        Ok(parse_status(&self.ssh_text(node, status)?))
    }

    /// The address that each node advertises, with its prefix length.
    pub fn advertised(&self) -> Result<Vec<(Node, Option<String>)>> {
        self.advertised_in(Family::V4)
    }

    /// The same of one family: by the Nodes' annotations, or by Calico's own Nodes in etcd.
    pub fn advertised_in(&self, family: Family) -> Result<Vec<(Node, Option<String>)>> {
        let nodes = match self.datastore() {
            Datastore::Kubernetes => self.kubectl_json(&["get", "nodes"])?,
            Datastore::Etcd => self.calicoctl_json(&["get", "nodes"])?,
        };
        let address = |item: &Value| {
            let address = match self.datastore() {
                Datastore::Kubernetes => item
                    .pointer("/metadata/annotations")?
                    .get(family.annotation())?,
                Datastore::Etcd => item.pointer("/spec/bgp")?.get(family.field())?,
            };
            address.as_str().map(str::to_owned)
        };
        let of = |node: Node| {
            let found = items(&nodes).find(|item| {
                item.pointer("/metadata/name").and_then(Value::as_str) == Some(&node.name())
            });
            (node, found.and_then(address))
        };
        Ok(NODES.into_iter().map(of).collect())
    }

    /// Waits, on each node at once, until BIRD has an established session to every other node's right address.
    pub fn wait_for_mesh(&self, seconds: u64) -> Result<()> {
        self.on_each(&NODES, |node| {
            let others: Vec<String> = node.others().map(Node::address).collect();
            let others: Vec<(&str, bool)> =
                others.iter().map(|other| (other.as_str(), true)).collect();
            self.wait_for_sessions(node, &others, seconds)
        })
        .map(drop)
    }

    /// Waits until BIRD on a node has a mesh session to each of these addresses, all of one family, and no others,
    /// established or not as given.
    pub(crate) fn wait_for_sessions(
        &self,
        node: Node,
        wanted: &[(&str, bool)],
        seconds: u64,
    ) -> Result<()> {
        self.wait_for_sessions_to_stay(node, wanted, seconds, 0)
    }

    /// Like [`Lab::wait_for_sessions`], until that was so for some seconds on end.
    pub(crate) fn wait_for_sessions_to_stay(
        &self,
        node: Node,
        wanted: &[(&str, bool)],
        seconds: u64,
        stay: u64,
    ) -> Result<()> {
        let socket = wanted
            .first()
            .map_or(Family::V4, |(one, _)| Family::of(one))
            .socket();
        let state = |up: bool| {
            if up {
                "== \"Established\""
            } else {
                "!= \"Established\""
            }
        };
        let each: Vec<String> = wanted
            .iter()
            .map(|(address, up)| {
                format!("($1 == \"{}\" && $6 {})", session_name(address), state(*up))
            })
            .collect();
        let count = wanted.len();
        let awk = format!(
            "/^Mesh_/ {{ all++; if ({}) as++ }} END {{ exit !(all == {count} && as == {count}) }}",
            each.join(" || ")
        );
        // One login, and the waiting on the node, sparingly: whoever waits slows down what it waits for.
        let script = format!(
            "n=0; seen=0; while :; do \
             if [ -S {socket} ] && birdc -s {socket} show protocols 2>/dev/null | awk '{awk}'; \
             then [ $seen -ge {stay} ] && exit 0; seen=$((seen+1)); else seen=0; fi; \
             n=$((n+1)); [ $n -gt {seconds} ] && exit 9; sleep 1; done"
        );
        let start = Instant::now();
        let said = loop {
            let output = self.ssh(node, &script)?;
            if output.status.success() {
                return Ok(());
            }
            // ssh's own failure: the machine may just be booting.
            let unreachable = output.status.code() == Some(255);
            if !unreachable || start.elapsed() > Duration::from_secs(seconds) {
                break String::from_utf8_lossy(&output.stderr).into_owned();
            }
            sleep(Duration::from_secs(1));
        };
        Err(Error::Late {
            what: format!(
                "the expected BGP sessions of {} {}",
                node.name(),
                said.trim()
            )
            .trim()
            .to_owned(),
            seconds,
            next: format!(
                "see `lab ssh {} calicoctl node status` and `lab status`",
                node.name()
            ),
        })
    }

    /// Waits until a node advertises an address, given with its prefix length.
    pub(crate) fn wait_for_address(&self, node: Node, address: &str, seconds: u64) -> Result<()> {
        let family = Family::of(address);
        if self.datastore() == Datastore::Etcd {
            let what = format!("the address {address} of {}", node.name());
            return self.until(&what, seconds, || {
                let all = self.advertised_in(family)?;
                Ok(all
                    .contains(&(node, Some(address.to_owned())))
                    .then_some(()))
            });
        }
        let annotation = family.annotation().replace('.', "\\.");
        self.kubectl_text(&[
            "wait",
            &format!("--for=jsonpath={{.metadata.annotations.{annotation}}}={address}"),
            &format!("--timeout={seconds}s"),
            &format!("node/{}", node.name()),
        ])
        .map(drop)
    }

    pub(crate) fn wait_for_right_address(&self, node: Node) -> Result<()> {
        self.wait_for_address(node, &format!("{}/24", node.address()), 180)
    }

    /// Deletes the calico-node pods of these nodes, as one does to restart calico-node.
    pub fn restart_calico_node(&self, nodes: &[Node]) -> Result<()> {
        let namespace = self.calico_namespace();
        let pods = self.kubectl_json(&["-n", namespace, "get", "pods", "-l", SELECTOR])?;
        let mut delete = vec!["-n", namespace, "delete", "pod", "--ignore-not-found"];
        let of_them: Vec<&str> = items(&pods)
            .filter(|pod| {
                let on = pod.pointer("/spec/nodeName").and_then(Value::as_str);
                nodes.iter().any(|node| on == Some(node.name().as_str()))
            })
            .filter_map(|pod| pod.pointer("/metadata/name").and_then(Value::as_str))
            .collect();
        if of_them.is_empty() {
            return Ok(());
        }
        delete.extend(of_them);
        self.kubectl_text(&delete).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_named_as_in_the_templates() {
        assert_eq!(session_name("10.77.0.12"), "Mesh_10_77_0_12");
        assert_eq!(session_name("fd77::12"), "Mesh_fd77__12");
    }

    #[test]
    fn rows_wrap() {
        let text = "Calico process is running.\n\nIPv4 BGP status\n\
            +--------------+-------------------+-------+----------+--------------------------------+\n\
            | PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |              INFO              |\n\
            +--------------+-------------------+-------+----------+--------------------------------+\n\
            | 10.77.0.11   | node-to-node mesh | up    | 10:00:00 | Established                    |\n\
            | 172.18.0.1   | node-to-node mesh | start | 10:00:01 | Active Socket: Connection      |\n\
            |              |                   |       |          | refused                        |\n\
            +--------------+-------------------+-------+----------+--------------------------------+\n\n\
            IPv6 BGP status\nNo IPv6 peers found.\n";
        let peers = parse_status(text);
        assert_eq!(peers.len(), 2);
        assert!(peers[0].is_established() && !peers[1].is_established());
        assert_eq!(peers[1].info, "Active Socket: Connection refused");
    }
}
