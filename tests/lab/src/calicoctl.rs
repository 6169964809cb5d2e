//! A node's calicoctl is not there, or is of another version.

use crate::breakage::Variant;
use crate::error::{Error, Result};
use crate::machine::Node;
use crate::{Lab, go};

/// As long as the version that the program was built as, which is all that tells them apart.
pub(crate) const OLD: &str = "v3.25.0";

/// The healthy program is kept where `lab-heal` finds it, whatever a remedy puts in its place.
const KEEP: &str = "set -e; cd /usr/local/bin; mv calicoctl /var/lib/lab/calicoctl; ";

impl Lab {
    pub(crate) fn break_calicoctl(&self, variant: Variant, node: Node) -> Result<String> {
        if variant != Variant::Old {
            self.ssh_text(node, KEEP)?;
            let said = self.ssh(node, "calicoctl version")?;
            if said.status.code() != Some(127) {
                return Err(Error::state(
                    format!("there is another calicoctl on {}", node.name()),
                    "run `cargo run -p lab -- heal`",
                ));
            }
            let said = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            return Ok(format!("{}: {said}\n", node.name()));
        }
        // The very program, that takes itself for another: what it says of that is its own.
        let told = go::CALICO.replace('.', "\\.");
        self.ssh_text(
            node,
            &format!(
                "{KEEP}LC_ALL=C sed 's/{told}/{OLD}/g' /var/lib/lab/calicoctl > calicoctl; chmod 755 calicoctl"
            ),
        )?;
        let said = self.ssh_text(
            node,
            "calicoctl version --allow-version-mismatch | grep Version; calicoctl get nodes 2>&1 || true",
        )?;
        if !said.contains(OLD) || !said.to_lowercase().contains("version mismatch") {
            return Err(Error::Unreadable {
                what: "what calicoctl says of its version".into(),
                answer: said,
            });
        }
        Ok(said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .fold(String::new(), |text, line| {
                format!("{text}{}: {line}\n", node.name())
            }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_of_the_same_length() {
        assert_eq!(OLD.len(), go::CALICO.len());
    }
}
