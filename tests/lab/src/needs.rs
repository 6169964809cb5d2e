//! What the words need before they begin: root, a machine that can carry a lab, a lab that is up.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::machine::NODES;
use crate::{Lab, Profile};

/// Free space in MiB that building all parts needs, and that a run with built parts needs.
const SPACE_TO_BUILD: u64 = 12 * 1024;
const SPACE_TO_RUN: u64 = 2 * 1024;

impl Lab {
    /// Refuses with an explanation unless `up` has finished.
    pub fn need_up(&self) -> Result<()> {
        need_root()?;
        if self.whole().exists() && self.network.exists() {
            return Ok(());
        }
        Err(Error::state(
            "this lab is not up",
            "run `cargo run -p lab -- up`",
        ))
    }

    /// Refuses with an explanation unless the machines are there.
    pub fn need_machines(&self) -> Result<()> {
        self.need_up()?;
        match NODES
            .iter()
            .find(|node| !self.processes().is_running(&node.name()))
        {
            None => Ok(()),
            Some(node) => Err(Error::state(
                format!("the machine {} is not running", node.name()),
                "run `cargo run -p lab -- up`",
            )),
        }
    }

    pub(crate) fn check_machine(&self, profile: Profile) -> Result<()> {
        need_root()?;
        // Calico's pods would come up on fake nodes, and kwok would say that they run.
        if self.need_up().is_ok() && self.is_fake() != (profile == Profile::Fake) {
            return Err(Error::state(
                "this lab is up with another profile: one is with fake nodes, the other is not",
                "end it with `down` first, or have another lab beside it with `--name`",
            ));
        }
        if profile == Profile::Full && !Path::new("/dev/net/tun").exists() {
            return Err(Error::unfit(
                "there is no /dev/net/tun here, which the machines' network needs",
                "load the module tun or hand the device to the container; or use `up --profile control-plane`",
            ));
        }
        for dir in [&self.cache, &self.dir] {
            let odd = |c: char| c.is_whitespace() || c == ',';
            if profile == Profile::Full && dir.to_string_lossy().contains(odd) {
                return Err(Error::unfit(
                    format!(
                        "a machine's kernel cannot be told of a path like {:?}",
                        dir.display()
                    ),
                    "set LAB_DIR and LAB_CACHE to folders without spaces and commas in their paths",
                ));
            }
        }
        fs::create_dir_all(&self.cache).map_err(Error::file("make", &self.cache))?;
        let built = fs::read_dir(&self.cache)
            .map_err(Error::file("read", &self.cache))?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("image-"));
        let to_build = if built { SPACE_TO_RUN } else { SPACE_TO_BUILD };
        for (dir, needed) in [(&self.cache, to_build), (&self.dir, SPACE_TO_RUN)] {
            let space = rustix::fs::statvfs(dir)
                .map_err(|error| Error::file("ask for free space of", dir)(error.into()))?;
            let free = space.f_bavail.saturating_mul(space.f_frsize) / (1024 * 1024);
            if free < needed {
                return Err(Error::unfit(
                    format!(
                        "{} has {free} MiB free, and the lab needs {needed}",
                        dir.display()
                    ),
                    "make room, or set LAB_DIR and LAB_CACHE to folders with more of it",
                ));
            }
        }
        Ok(())
    }
}

/// Refuses with an explanation unless this is root.
pub fn need_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::unfit(
        "the lab makes network namespaces and machines, which takes root",
        "run it as root, for example with sudo -E",
    ))
}
