//! A calico-node that runs and does not do its work.

use crate::Lab;
use crate::bgp_path::LOST_FOR;
use crate::calico::{Family, SELECTOR, items};
use crate::error::{Error, Result};
use crate::machine::Node;

/// confd hangs, and what it wrote last knows no other node: BIRD has no session, and nobody tells it of any. Both
/// services run and BIRD answers, which is all that Calico's liveness check looks at (node/pkg/health of v3.31), and
/// its readiness check finds no peer that is not established.
///
/// `sv pause` would do the same; it needs the container's tools.
fn script() -> String {
    let socket = Family::V4.socket();
    format!(
        "set -e; confd=$(grep -lz -x -e '-conf[d]' /proc/[0-9]*/cmdline 2>/dev/null | sed 's/[^0-9]//g'); kill -STOP $confd; \
         sed -i '/^protocol bgp Mesh_/,/^}}/d' /proc/$confd/root/etc/calico/confd/config/bird.cfg; \
         birdc -s {socket} configure; \
         n=0; while birdc -s {socket} show protocols | grep -q ^Mesh_; do \
         n=$((n+1)); [ $n -gt 60 ] && exit 9; sleep 1; done; \
         echo \"process $confd, $(tr '\\0' ' ' < /proc/$confd/cmdline)$(grep ^State /proc/$confd/status)\""
    )
}

impl Lab {
    pub(crate) fn break_calico_node(&self, node: Node) -> Result<String> {
        let said = self.ssh_text(node, &script())?;
        let confd = said.lines().last().unwrap_or_default().trim().to_owned();
        let lost = self.progress.part("sessions seen lost", || {
            let rows = self.on_each(&node.others().collect::<Vec<_>>(), |at| {
                let others: Vec<(String, bool)> = at
                    .others()
                    .map(|other| (other.address(), other != node))
                    .collect();
                let wanted: Vec<(&str, bool)> = others
                    .iter()
                    .map(|(address, up)| (address.as_str(), *up))
                    .collect();
                self.wait_for_sessions_to_stay(at, &wanted, 180, LOST_FOR)?;
                self.lost_rows(at)
            })?;
            Ok(rows.into_iter().flatten().collect::<Vec<_>>())
        })?;
        let pods = self.kubectl_json(&[
            "-n",
            self.calico_namespace(),
            "get",
            "pods",
            "-l",
            SELECTOR,
            "--field-selector",
            &format!("spec.nodeName={}", node.name()),
        ])?;
        let phase = items(&pods)
            .find_map(|pod| pod.pointer("/status/phase")?.as_str())
            .unwrap_or_default();
        if phase != "Running" {
            return Err(Error::state(
                format!("calico-node on {} is {phase:?}", node.name()),
                "run `cargo run -p lab -- heal`",
            ));
        }
        Ok(format!(
            "{}\n{name}: calico-node is {phase}\n{name}: {confd}\n",
            lost.join("\n"),
            name = node.name()
        ))
    }
}
