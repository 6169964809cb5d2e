//! What Calico says about itself: addresses in the Node objects, sessions in `calicoctl node status`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Lab;
use crate::error::{Error, Result};
use crate::machine::{NODES, Node};

pub const ADDRESS: &str = "projectcalico.org/IPv4Address";
const BIRD: &str = "/var/run/calico/bird.ctl";
pub const SELECTOR: &str = "k8s-app=calico-node";

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
    /// The sessions of one node, as its own `calicoctl node status` shows them; none while calico-node is
    /// being started there.
    pub fn peers(&self, node: Node) -> Result<Vec<Peer>> {
        let status = "calicoctl node status 2>&1 || true";
        Ok(parse_status(&self.ssh_text(node, status)?))
    }

    /// The address that each node advertises, with its prefix length, by the annotations.
    pub fn advertised(&self) -> Result<Vec<(Node, Option<String>)>> {
        let nodes = self.kubectl_json(&["get", "nodes"])?;
        Ok(NODES
            .into_iter()
            .map(|node| {
                let found = items(&nodes).find(|item| {
                    item.pointer("/metadata/name").and_then(Value::as_str)
                        == Some(node.name().as_str())
                });
                let address = found.and_then(|item| {
                    item.pointer("/metadata/annotations")?
                        .get(ADDRESS)?
                        .as_str()
                        .map(str::to_owned)
                });
                (node, address)
            })
            .collect())
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

    /// Waits until BIRD on a node has a mesh session to each of these addresses and no others, established or not as
    /// given.
    pub(crate) fn wait_for_sessions(
        &self,
        node: Node,
        wanted: &[(&str, bool)],
        seconds: u64,
    ) -> Result<()> {
        let named = |address: &str| format!("Mesh_{}", address.replace('.', "_"));
        let state = |up: bool| {
            if up {
                "== \"Established\""
            } else {
                "!= \"Established\""
            }
        };
        let each: Vec<String> = wanted
            .iter()
            .map(|(address, up)| format!("($1 == \"{}\" && $6 {})", named(address), state(*up)))
            .collect();
        let count = wanted.len();
        let awk = format!(
            "/^Mesh_/ {{ all++; if ({}) as++ }} END {{ exit !(all == {count} && as == {count}) }}",
            each.join(" || ")
        );
        // One login, and the waiting on the node, sparingly: whoever waits slows down what it waits for.
        let script = format!(
            "n=0; until [ -S {BIRD} ] && birdc -s {BIRD} show protocols 2>/dev/null | awk '{awk}'; \
             do n=$((n+1)); [ $n -gt {seconds} ] && exit 9; sleep 1; done"
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
        let annotation = ADDRESS.replace('.', "\\.");
        self.kubectl_text(&[
            "wait",
            &format!("--for=jsonpath={{.metadata.annotations.{annotation}}}={address}"),
            &format!("--timeout={seconds}s"),
            &format!("node/{}", node.name()),
        ])
        .map(drop)
    }

    /// Deletes the calico-node pods of these nodes, as one does to restart calico-node.
    pub fn restart_calico_node(&self, nodes: &[Node]) -> Result<()> {
        let pods = self.kubectl_json(&["-n", "kube-system", "get", "pods", "-l", SELECTOR])?;
        let mut delete = vec!["-n", "kube-system", "delete", "pod"];
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
