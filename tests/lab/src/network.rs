//! The network namespace that holds all of the lab's addresses, with a bridge and a tap for each machine.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command;
use crate::error::{Error, Result};
use crate::machine::{NODES, Node};

/// The API server's address, on the bridge.
pub const API: &str = "10.77.0.1";
const BRIDGE: &str = "labbr";
const NAMESPACES: &str = "/run/netns";

pub struct Network {
    name: String,
}

impl Network {
    pub fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    pub fn create(&self) -> Result<()> {
        command::text(
            Command::new("ip").args(["netns", "add", &self.name]),
            "making the network namespace",
        )?;
        let mut lines = format!(
            "link set lo up\nlink add {BRIDGE} type bridge stp_state 0 forward_delay 0\n\
             address add {API}/24 dev {BRIDGE}\nlink set {BRIDGE} up\n"
        );
        // The API server reaches pods through their nodes.
        for node in NODES {
            lines += &format!("route add {} via {}\n", node.pods(), node.address());
        }
        self.ip_batch(&lines, "setting up the lab's bridge")
    }

    /// Removes the namespace with all links in it; its processes have to be gone.
    pub fn delete(&self) -> Result<()> {
        let mut delete = Command::new("ip");
        delete.args(["netns", "delete", &self.name]);
        command::text(&mut delete, "removing the network namespace")?;
        // The first `ip netns add` mounted this folder over itself; the last one out undoes it, others' keep it busy.
        let dir = Path::new(NAMESPACES);
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) {
            let _ = command::output(Command::new("umount").arg(dir));
        }
        Ok(())
    }

    /// Processes inside.
    pub fn processes(&self) -> Result<Vec<u32>> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        let list = command::text(
            Command::new("ip").args(["netns", "pids", &self.name]),
            "listing the lab's processes",
        )?;
        Ok(list
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect())
    }

    /// Makes a tap on the bridge; it lives as long as the descriptor is open.
    pub fn tap(&self, name: &str) -> Result<OwnedFd> {
        let device = Path::new("/dev/net/tun");
        let owned = name.to_owned();
        let tap = self.inside(move || {
            let tap = tappers::linux::Tap::create_named(tappers::Interface::new(&owned)?)?;
            tap.as_fd().try_clone_to_owned()
        })?;
        let tap = tap.map_err(Error::file("make a tap with", device))?;
        self.ip_batch(
            &format!("link set {name} master {BRIDGE}\nlink set {name} up\n"),
            "putting a tap on the bridge",
        )?;
        Ok(tap)
    }

    /// Plugs a machine's link into the bridge, or pulls it out: the machine itself sees no difference. The tap stays up,
    /// as a machine's driver gives up on one that it cannot write to.
    pub fn plug(&self, node: Node, is_in: bool) -> Result<()> {
        let place = if is_in {
            format!("master {BRIDGE}")
        } else {
            "nomaster".to_owned()
        };
        self.ip_batch(
            &format!("link set {} {place}\n", node.tap()),
            "plugging a machine's link",
        )
    }

    /// Whether a machine's link is plugged in.
    pub fn is_plugged(&self, node: Node) -> Result<bool> {
        let mut show = Command::new("ip");
        show.args(["-n", &self.name, "-o", "link", "show", "dev", &node.tap()]);
        let said = command::text(&mut show, "looking at a machine's link")?;
        Ok(said.contains(&format!("master {BRIDGE} ")))
    }

    /// Runs `work` in a thread of its own that has entered the namespace; programs it starts are inside too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let namespace = File::open(&path).map_err(Error::file("open", &path))?;
        let entered = thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                    Ok::<T, rustix::io::Errno>(work())
                })
                .join()
        });
        match entered {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(source)) => Err(Error::file("enter", &path)(source.into())),
            Err(_) => Err(Error::state(
                "a thread inside the network namespace broke off",
                "run it again",
            )),
        }
    }

    fn ip_batch(&self, lines: &str, doing: &str) -> Result<()> {
        command::feed(
            Command::new("ip").args(["-n", &self.name, "-batch", "-"]),
            lines,
            doing,
        )
        .map(drop)
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }
}
