//! Swap that comes back at each boot, which keeps the kubelet from starting, or is meant to be there.

use crate::Lab;
use crate::breakage::{Incident, Variant};
use crate::error::{Error, Result};
use crate::machine::Node;

/// What the kubelet of 1.34 ends with.
const MESSAGE: &str = "failed to run Kubelet: running with swap on is not supported";

const FILE: &str = "set -e; dd if=/dev/zero of=/swapfile bs=1M count=32 status=none; chmod 600 /swapfile; \
                    mkswap -q /swapfile; ";

/// A partition of the type that is for swap, on the disk that is otherwise blank.
const PARTITION: &str = "set -e; printf 'label: gpt\\ntype=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F\\n' | sfdisk -q /dev/ubdc; \
    udevadm settle; mkswap -q -L spare /dev/ubdc1; udevadm settle; \
    echo \"UUID=$(blkid -o value -s UUID /dev/ubdc1) none swap sw 0 0\" >> /etc/fstab; \
    systemctl daemon-reload; swapon -a; ";

/// Somebody took the line out of the fstab, and nobody knew of the unit.
const UNIT: &str = "echo '#/swapfile none swap sw 0 0' >> /etc/fstab; \
    printf '[Unit]\\nDescription=Swap\\n\\n[Swap]\\nWhat=/swapfile\\n\\n[Install]\\nWantedBy=swap.target\\n' \
    > /etc/systemd/system/swapfile.swap; systemctl daemon-reload; systemctl -q enable swapfile.swap; ";

const LISTED: &str =
    "echo '/swapfile none swap sw 0 0' >> /etc/fstab; systemctl daemon-reload; swapon -a; ";

/// Prints when that was, as the journal and as the API write it.
const RESTART: &str = "date -u '+%s %Y-%m-%dT%H:%M:%SZ'; systemctl restart kubelet";

impl Lab {
    pub(crate) fn break_swap(
        &self,
        incident: Incident,
        variant: Option<Variant>,
        node: Node,
    ) -> Result<String> {
        let since = match incident {
            Incident::SwapPartition => self.ssh_text(node, &format!("{PARTITION}{RESTART}"))?,
            Incident::SwapUnit => {
                self.ssh_text(node, &format!("{FILE}{UNIT}"))?;
                self.progress
                    .part(&format!("{} booted anew", node.name()), || {
                        self.reboot(node)
                    })?;
                // All of this boot.
                "0 -".to_owned()
            }
            Incident::SwapIntended => {
                let allow = if variant == Some(Variant::Flag) {
                    "sed -i 's/^KUBELET_EXTRA_ARGS=.*/& --fail-swap-on=false/' /etc/default/kubelet; "
                } else {
                    "echo 'failSwapOn: false' >> /var/lib/kubelet/config.yaml; "
                };
                self.ssh_text(node, &format!("{FILE}{LISTED}{allow}{RESTART}"))?
            }
            _ => self.ssh_text(node, &format!("{FILE}{LISTED}{RESTART}"))?,
        };
        let (journal, api) = since.trim().split_once(' ').unwrap_or_default();
        let mut seen = if incident == Incident::SwapIntended {
            self.progress.part("kubelet well with swap on", || {
                self.swap_is_borne(node, api)
            })?
        } else {
            self.progress.part("kubelet refused to start", || {
                self.kubelet_refuses(node, journal)
            })?
        };
        seen += &self.ssh_text(node, "tail -n +2 /proc/swaps")?;
        Ok(seen)
    }

    /// What the kubelet said, once its node is NotReady as well.
    fn kubelet_refuses(&self, node: Node, since: &str) -> Result<String> {
        let look = format!(
            "[ $(wc -l < /proc/swaps) -gt 1 ] && journalctl -b -u kubelet --since=@{since} -o cat --no-pager | \
             grep -m 1 -F '{MESSAGE}'"
        );
        let said = self.until(&format!("`{MESSAGE}` from the kubelet"), 120, || {
            let output = self.ssh(node, &look)?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(output.status.success().then_some(said))
        })?;
        self.kubectl_text(&[
            "wait",
            "--for=condition=Ready=Unknown",
            "--timeout=120s",
            &format!("node/{}", node.name()),
        ])?;
        Ok(format!("{} NotReady\n{said}", node.name()))
    }

    fn swap_is_borne(&self, node: Node, since: &str) -> Result<String> {
        let look = "[ $(wc -l < /proc/swaps) -gt 1 ] && curl -sf -o /dev/null http://127.0.0.1:10248/healthz";
        self.until("a kubelet that is well with swap on", 120, || {
            Ok(self.ssh(node, look)?.status.success().then_some(()))
        })?;
        self.wait_for_ready(node, since)?;
        let refused = self.ssh(
            node,
            &format!(
                "journalctl -b _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID kubelet) -o cat --no-pager | \
                 grep -F '{MESSAGE}'"
            ),
        )?;
        if refused.status.success() {
            return Err(Error::state(
                "the kubelet refuses swap all the same",
                "run `cargo run -p lab -- heal`",
            ));
        }
        Ok(format!("{} Ready with swap on\n", node.name()))
    }
}
