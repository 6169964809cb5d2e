//! Addresses are right, and there is no session all the same: something is between a node and the others.

use std::fmt::Write as _;

use crate::Lab;
use crate::breakage::Variant;
use crate::calico::{Family, session_name};
use crate::error::Result;
use crate::machine::{NODES, Node};
use crate::network::API;

/// How long a session has to be seen lost: far longer than BIRD takes to open one where nothing is in its way (Calico's
/// templates give it 2 s before the first try and 5 s between tries).
pub(crate) const LOST_FOR: u64 = 12;

/// Drops BGP of both directions of opening, in one direction of packets: Calico's mesh is opened by the node with the
/// higher address, so a rule for one port alone would leave some nodes their sessions.
///
/// With iptables-legacy: user-mode Linux's kernel has nf_tables without any family that sees the node's own packets.
fn block_script(variant: Variant) -> String {
    let chain = if variant == Variant::Output {
        "OUTPUT"
    } else {
        "INPUT"
    };
    format!(
        "set -e; for port in dport sport; do iptables -I {chain} -p tcp --$port 179 -j DROP; done; \
         iptables -S {chain} | grep 'port 179'"
    )
}

/// The address in use by the tests stays: they come from the API server's.
fn route_script(variant: Variant, node: Node) -> String {
    let mut script = String::from("set -e; ip route show | grep 'dev vec0' > /run/lab-routes; ");
    if variant == Variant::Blackhole {
        for other in node.others() {
            let _ = write!(script, "ip route add blackhole {}/32; ", other.address());
        }
    } else {
        let _ = write!(
            script,
            "ip route flush dev vec0; ip route add {API}/32 dev vec0 src {}; ",
            node.address()
        );
    }
    for other in node.others() {
        let address = other.address();
        let _ = write!(
            script,
            "if said=$(ip route get {address} 2>&1); then echo \"a route to {address}: $said\" >&2; exit 1; fi; \
             echo \"ip route get {address}: $said\"; "
        );
    }
    script
}

impl Lab {
    pub(crate) fn break_port(&self, variant: Variant, node: Node) -> Result<String> {
        let rules = self.ssh_text(node, &block_script(variant))?;
        self.restart_sessions(node, &NODES)?;
        let lost = self.wait_until_cut_off(node, true)?;
        let rules: Vec<String> = rules
            .lines()
            .map(|rule| format!("{}: iptables {rule}", node.name()))
            .collect();
        Ok(format!("{lost}{}\n", rules.join("\n")))
    }

    pub(crate) fn break_route(&self, variant: Variant, node: Node) -> Result<String> {
        let routes = self.ssh_text(node, &route_script(variant, node))?;
        self.restart_sessions(node, &NODES)?;
        let lost = self.wait_until_cut_off(node, true)?;
        let routes: Vec<String> = routes
            .lines()
            .map(|line| format!("{}: {line}", node.name()))
            .collect();
        Ok(format!("{lost}{}\n", routes.join("\n")))
    }

    pub(crate) fn break_peer(&self, variant: Variant, node: Node) -> Result<String> {
        if variant == Variant::Power {
            self.processes().stop(&node.name())?;
        } else {
            self.network.plug(node, false)?;
        }
        let others: Vec<Node> = node.others().collect();
        self.restart_sessions(node, &others)?;
        let lost = self.wait_until_cut_off(node, false)?;
        self.progress.part("node NotReady", || {
            self.kubectl_text(&[
                "wait",
                "--for=condition=Ready=Unknown",
                "--timeout=120s",
                &format!("node/{}", node.name()),
            ])
        })?;
        Ok(format!("{} NotReady\n{lost}", node.name()))
    }

    /// Makes nodes let go of their sessions with one of them. BIRD by itself keeps a dead one for its hold time, which is
    /// four minutes.
    pub(crate) fn restart_sessions(&self, node: Node, on: &[Node]) -> Result<()> {
        let socket = Family::V4.socket();
        self.on_each(on, |at| {
            let which = if at == node {
                "\"Mesh_*\"".to_owned()
            } else {
                session_name(&node.address())
            };
            self.ssh_text(at, &format!("birdc -s {socket} restart '{which}'"))
        })
        .map(drop)
    }

    /// What `calicoctl node status` says on the others about a node at its right address, and there about them if it
    /// answers, once all of it has stayed lost for a while.
    pub(crate) fn wait_until_cut_off(&self, node: Node, answers: bool) -> Result<String> {
        let looking: Vec<Node> = NODES
            .into_iter()
            .filter(|at| answers || *at != node)
            .collect();
        self.progress.part("sessions seen lost", || {
            let rows = self.on_each(&looking, |at| {
                let others: Vec<(String, bool)> = at
                    .others()
                    .map(|other| (other.address(), at != node && other != node))
                    .collect();
                let wanted: Vec<(&str, bool)> = others
                    .iter()
                    .map(|(address, up)| (address.as_str(), *up))
                    .collect();
                self.wait_for_sessions_to_stay(at, &wanted, 180, LOST_FOR)?;
                self.lost_rows(at)
            })?;
            Ok(rows
                .into_iter()
                .flatten()
                .fold(String::new(), |text, row| text + &row + "\n"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_port_is_blocked_whoever_opens_the_session() {
        let (input, output) = (block_script(Variant::Input), block_script(Variant::Output));
        assert!(input.contains("dport sport") && input.contains("-I INPUT"));
        assert!(output.contains("dport sport") && output.contains("-I OUTPUT"));
    }

    #[test]
    fn the_tests_own_way_in_stays() {
        let script = route_script(Variant::NoRoute, NODES[1]);
        assert!(script.contains("ip route add 10.77.0.1/32 dev vec0 src 10.77.0.12"));
        let script = route_script(Variant::Blackhole, NODES[1]);
        assert!(script.contains("blackhole 10.77.0.11/32") && script.contains("10.77.0.13/32"));
        assert!(!script.contains("blackhole 10.77.0.1/32") && !script.contains("flush"));
    }
}
