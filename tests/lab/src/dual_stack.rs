//! IPv6 beside IPv4: addresses of the nodes, the kubelets' and Calico's; and a wrong one.

use serde_json::Value;

use crate::Lab;
use crate::bgp_wrong_ip::NIC;
use crate::calico::Family;
use crate::datastore::Datastore;
use crate::error::Result;
use crate::machine::{NODES, Node};

/// What a second card gives the faulty node to advertise.
const WRONG: &str = "fd99::1";

impl Lab {
    /// Gives all nodes an IPv6 address beside their own, tells their kubelets, and makes Calico's mesh one of both
    /// families; `heal` takes it away again.
    pub fn dual_stack(&self) -> Result<()> {
        let _held = self.lock()?;
        self.need_machines()?;
        self.dual_stack_held()
    }

    pub(crate) fn dual_stack_held(&self) -> Result<()> {
        self.progress.part("IPv6 addresses of the nodes", || {
            self.on_each(&NODES, |node| self.ssh_text(node, &script(node)))?;
            NODES.iter().try_for_each(|node| {
                let (name, address) = (node.name(), node.address6());
                self.until(&format!("the InternalIP {address} of {name}"), 120, || {
                    let object = self.kubectl_json(&["get", "node", &name])?;
                    let all = object
                        .pointer("/status/addresses")
                        .and_then(Value::as_array);
                    let is =
                        |one: &Value| one.get("address").and_then(Value::as_str) == Some(&address);
                    Ok(all.is_some_and(|all| all.iter().any(is)).then_some(()))
                })
            })
        })?;
        self.progress.part("IPv6 mesh established", || {
            self.kubectl_text(&[
                "-n",
                self.calico_namespace(),
                "set",
                "env",
                "daemonset/calico-node",
                "IP6=autodetect",
                "FELIX_IPV6SUPPORT=true",
            ])?;
            self.newest_revision()?;
            self.restart_calico_node(&NODES)?;
            NODES.iter().try_for_each(|node| {
                self.wait_for_address(*node, &format!("{}/64", node.address6()), 180)
            })?;
            self.wait_for_mesh6(&[])
        })?;
        self.wait_for_mesh(300)
    }

    /// Waits until each node has an IPv6 session to every other, but for those of faulty nodes, at the wrong address.
    fn wait_for_mesh6(&self, faulty: &[Node]) -> Result<()> {
        let well: Vec<Node> = NODES
            .into_iter()
            .filter(|node| !faulty.contains(node))
            .collect();
        self.on_each(&well, |node| {
            let others: Vec<(String, bool)> = node
                .others()
                .map(|other| match faulty.contains(&other) {
                    true => (WRONG.to_owned(), false),
                    false => (other.address6(), true),
                })
                .collect();
            let others: Vec<(&str, bool)> = others
                .iter()
                .map(|(other, up)| (other.as_str(), *up))
                .collect();
            self.wait_for_sessions(node, &others, 300)
        })
        .map(drop)
    }

    /// A node advertises an IPv6 address that the others cannot reach, beside an IPv4 address that is right.
    pub(crate) fn break_bgp6(&self, node: Node) -> Result<String> {
        self.dual_stack_held()?;
        self.progress
            .part("link added, calico-node restarted", || {
                self.ssh_text(
                    node,
                    &format!(
                        "set -e; ip link add {NIC} type dummy; ip link set {NIC} up; \
                         ip address add {WRONG}/64 dev {NIC} nodad"
                    ),
                )?;
                self.restart_calico_node(&[node])
            })?;
        let lost = self.progress.part("IPv6 sessions seen lost", || {
            self.wait_for_address(node, &format!("{WRONG}/64"), 180)?;
            self.wait_for_mesh6(&[node])?;
            // Its IPv4 sessions have nothing to do with it.
            self.wait_for_mesh(300)?;
            let others: Vec<Node> = node.others().collect();
            self.on_each(&others, |at| self.lost_rows(at))
        })?;
        let lost = lost.into_iter().flatten().collect::<Vec<_>>().join("\n");
        Ok(format!("{} advertises {WRONG}/64\n{lost}\n", node.name()))
    }

    /// Nodes keep an IPv6 address that Calico once found, until somebody takes it away: where autodetection is off,
    /// start-up keeps what is stored (node/pkg/lifecycle/startup of v3.31).
    ///
    /// Says whether there were any.
    pub(crate) fn forget_ipv6_addresses(&self) -> Result<bool> {
        let mut stored = self.advertised_in(Family::V6)?;
        stored.retain(|(_, address)| address.is_some());
        for (node, _) in &stored {
            let name = node.name();
            match self.datastore() {
                Datastore::Kubernetes => {
                    let gone = format!("{}-", Family::V6.annotation());
                    self.kubectl_text(&["annotate", "node", &name, &gone])?;
                }
                Datastore::Etcd => {
                    let gone = format!(r#"{{"spec":{{"bgp":{{"{}":""}}}}}}"#, Family::V6.field());
                    crate::command::text(
                        self.command("calicoctl")
                            .args(["patch", "node", &name, "-p", &gone]),
                        &format!("taking the IPv6 address of {name} away"),
                    )?;
                }
            }
        }
        Ok(!stored.is_empty())
    }
}

/// The image's links have no link-local address, which IPv6 cannot do without.
fn script(node: Node) -> String {
    let address = node.address6();
    let last = address.rsplit(':').next().unwrap_or_default();
    format!(
        "set -e; modprobe -q ipv6 || true; sysctl -qw net.ipv6.conf.vec0.disable_ipv6=0; \
         ip address replace fe80::{last}/64 dev vec0 nodad; ip address replace {address}/64 dev vec0 nodad; \
         grep -q '{address}' /etc/default/kubelet || \
         sed -i 's/--node-ip=[^ ]*/&,{address}/' /etc/default/kubelet; systemctl restart kubelet"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_for_each_node() {
        let script = script(NODES[1]);
        assert!(
            script.contains("fe80::12/64") && script.contains("fd77::12/64"),
            "{script}"
        );
    }
}
