//! Power cuts: a machine that is gone from one moment to the next, and comes back from what its disk holds.

use serde_json::Value;

use crate::Lab;
use crate::control_plane::{API_SERVER, CONTROLLERS};
use crate::error::{Error, Result};
use crate::machine::Node;
use crate::status::ready_status;

/// How long a boot, and then a kubelet, may take on a busy machine.
const PATIENCE: u64 = 300;

/// How long a shutdown and a boot may take before they count as hung: usually it is half a minute for both.
const SHUTDOWN: u64 = 150;

impl Lab {
    /// Boots a machine anew, as its own `reboot` does, and waits until ssh answers again.
    ///
    /// One that hangs on its way down gets its plug pulled, as its owner would: now and then an idle machine of
    /// user-mode Linux (6.1) misses a timer of its shutdown, and waits until something else happens to wake it.
    pub fn reboot(&self, node: Node) -> Result<()> {
        let name = node.name();
        let before = self.until(&format!("an answer of {name} over ssh"), PATIENCE, || {
            self.boot_id(node)
        })?;
        // The connection may end before the command does.
        self.ssh(node, "systemctl reboot")?;
        let boot = format!("another boot of {name}");
        let booted = || Ok(self.boot_id(node)?.filter(|now| *now != before).map(drop));
        match self.until(&boot, SHUTDOWN, booted) {
            Err(Error::Late { .. }) => {}
            other => return other,
        }
        let hung = format!("{name} hung in its reboot, so its power was cut");
        self.progress.part(&hung, || self.power_cycle(node))?;
        self.until(&boot, PATIENCE, booted)
    }

    /// Pulls a machine's plug, if it runs at all, and powers it on.
    pub(crate) fn power_cycle(&self, node: Node) -> Result<()> {
        self.processes().stop(&node.name())?;
        self.start_machine(node)
    }

    /// Pulls a machine's plug. What its kernel had not yet written to the disk is lost; what it had written stays,
    /// flushed or not: the disk's own cache is this machine's memory, which loses nothing.
    pub fn cut_power(&self, node: Node) -> Result<()> {
        self.need_up()?;
        let _held = self.lock()?;
        let (name, processes) = (node.name(), self.processes());
        if !processes.is_running(&name) {
            return Err(Error::state(
                format!("the machine {name} is not running"),
                format!("run `cargo run -p lab -- power-on {name}`"),
            ));
        }
        processes.stop(&name)
    }

    /// Powers a machine on, unless it is on, and waits until ssh answers and its kubelet says Ready.
    ///
    /// It does not wait for the mesh, which a fault may keep from coming back; [`Lab::wait_for_mesh`] does.
    pub fn power_on(&self, node: Node) -> Result<()> {
        self.need_up()?;
        let name = node.name();
        // Not held any longer than this: several machines can boot side by side.
        let held = self.lock()?;
        self.start_machine(node)?;
        drop(held);
        let boot = self.progress.part(&format!("{name} answers"), || {
            self.until(&format!("an answer of {name} over ssh"), PATIENCE, || {
                self.boot_id(node)
            })
        })?;
        self.progress.part(&format!("{name} Ready"), || {
            self.until(&format!("Ready from {name}'s kubelet"), PATIENCE, || {
                let object = self.kubectl_json(&["get", "node", &name, "--ignore-not-found"])?;
                // Ready stays in the object for a while after a cut; only with this boot's identity is it news.
                let seen = object.pointer("/status/nodeInfo/bootID");
                let of_this_boot = seen.and_then(Value::as_str) == Some(boot.as_str());
                Ok((of_this_boot && ready_status(&object) == Some("True")).then_some(()))
            })
        })
    }

    pub(crate) fn start_machine(&self, node: Node) -> Result<()> {
        if self.processes().is_running(&node.name()) {
            return Ok(());
        }
        let (image, dir) = (self.current_image()?, self.dir.join("nodes"));
        self.machines(&image, &dir).start(node)
    }

    /// Ends the API server, as a crash would; etcd and all else run on.
    pub fn stop_api_server(&self) -> Result<()> {
        self.need_up()?;
        let _held = self.lock()?;
        self.processes().stop(API_SERVER)
    }

    /// Starts the API server again, unless it runs, and waits until it answers.
    pub fn start_api_server(&self) -> Result<()> {
        self.need_up()?;
        let held = self.lock()?;
        if !self.processes().is_running(API_SERVER) {
            let (programs, data) = (self.programs()?, self.dir.join("etcd"));
            self.control_plane(&programs, &data).start_api_server()?;
        }
        drop(held);
        self.until("an answer of the API server", PATIENCE, || {
            Ok(self.api_is_ready().then_some(()))
        })
    }

    /// Ends the controllers: what is written to the cluster then stays as it was written.
    pub fn stop_controllers(&self) -> Result<()> {
        self.need_up()?;
        let _held = self.lock()?;
        self.processes().stop(CONTROLLERS)
    }

    /// Starts the controllers again, unless they run.
    pub fn start_controllers(&self) -> Result<()> {
        self.need_up()?;
        let _held = self.lock()?;
        if self.processes().is_running(CONTROLLERS) {
            return Ok(());
        }
        let (programs, data) = (self.programs()?, self.dir.join("etcd"));
        self.control_plane(&programs, &data).start_controllers()
    }

    /// What tells one boot of a machine from the next; None while it does not answer.
    pub fn boot_id(&self, node: Node) -> Result<Option<String>> {
        let output = self.ssh(node, "cat /proc/sys/kernel/random/boot_id")?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(output.status.success().then_some(id))
    }
}
