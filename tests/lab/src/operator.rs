//! A node as the place from which the product is run, so that it can lose its power in the middle.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::machine::Node;
use crate::{Lab, cache, command, containers};

/// Everything that the product needs is in this folder of the node, and its journals are below it.
pub const OPERATOR: &str = "/root/operator";

impl Lab {
    /// Puts the product onto a node, with the admin's access to the cluster and to all nodes. Journals from before
    /// stay.
    pub fn operator(&self, node: Node, runbook: &Path) -> Result<()> {
        self.need_up()?;
        let stage = self.run.join(format!("operator-{}", node.name()));
        let packed = stage.join("operator.tar");
        remove_dir(&stage)?;
        let files = stage.join("operator");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&files)
            .map_err(Error::file("make", &files))?;
        self.operator_files(node, runbook, &files)?;
        containers::tar(&stage, &packed, &["operator"], false)?;
        let unpack = format!("tar -C /root -xf - && mkdir -p -m 700 {OPERATOR}/state && sync");
        let tar = File::open(&packed).map_err(Error::file("open", &packed))?;
        command::feed_file(
            self.ssh_command(node).arg(unpack),
            tar,
            &format!("placing the product on {}", node.name()),
        )?;
        // It held secrets.
        remove_dir(&stage)
    }

    /// A command that will run the product on a node, after [`Lab::operator`]: its arguments are passed on as they
    /// are.
    pub fn operator_command<S: AsRef<str>>(&self, node: Node, args: &[S]) -> Command {
        let mut line = format!("cd {OPERATOR} && exec env");
        for (name, file) in [
            ("KUBECONFIG", "kubeconfig"),
            ("RUNBOOK_INVENTORY", "inventory.yaml"),
            ("RUNBOOK_SSH_CONFIG", "ssh_config"),
            ("RUNBOOK_STATE_DIR", "state"),
        ] {
            line += &format!(" {name}={OPERATOR}/{file}");
        }
        line += " ./runbook";
        for arg in args {
            line += " ";
            line += &quoted(arg.as_ref());
        }
        let mut ssh = self.command("ssh");
        // A machine without power closes no connection: without these, ssh would wait for it for ever.
        ssh.args(["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3"])
            .arg("-F")
            .arg(self.ssh_config())
            .arg(node.name())
            .arg(line);
        ssh
    }

    fn operator_files(&self, node: Node, runbook: &Path, to: &Path) -> Result<()> {
        let program = to.join("runbook");
        // Debug information is half of such a program, of no use there, and a machine's network and disk are slow.
        let mut strip = Command::new("strip");
        command::text(
            strip.arg("-o").arg(&program).arg(runbook),
            "stripping a copy of the product",
        )?;
        let stripped = fs::read(&program).map_err(Error::file("read", &program))?;
        let wanted = cache::hex(&Sha256::digest(stripped));
        let there = self.ssh(node, &format!("sha256sum {OPERATOR}/runbook"))?;
        if String::from_utf8_lossy(&there.stdout).starts_with(&wanted) {
            // Ten seconds saved.
            fs::remove_file(&program).map_err(Error::file("remove", &program))?;
        } else {
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&program, executable).map_err(Error::file("change", &program))?;
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(Error::file("read", path));
        let key = format!("{OPERATOR}/id_ed25519");
        let known = format!("{OPERATOR}/known_hosts");
        for (name, text) in [
            // The address in it is the bridge's, which the nodes reach as well.
            ("kubeconfig", read(&self.kubeconfig())?),
            ("ssh_config", Self::ssh_config_text(&key, &known)),
            ("id_ed25519", self.pki.read("id_ed25519")?),
            ("known_hosts", read(&self.known_hosts())?),
            // Its path to ssh_config is relative.
            ("inventory.yaml", read(&self.inventory())?),
        ] {
            crate::write_private(&to.join(name), &text)?;
        }
        Ok(())
    }
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// One word for the node's shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_in_the_shell() {
        let word = "it's $HOME; \"a\" \\ b";
        let script = format!("printf %s {}", quoted(word));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        assert_eq!(quoted(""), "''");
    }
}
