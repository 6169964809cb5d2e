//! The nodes: user-mode-linux machines, each with an overlay over the base image and a seed that makes it itself.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use crate::containers;
use crate::datastore::{self, Datastore};
use crate::error::{Error, Result};
use crate::network::{API, Network};
use crate::pki::Pki;
use crate::process::Processes;

/// Memory of a machine; a node at rest uses about half of it.
const MEMORY: &str = "mem=640M";

/// How many connections, and hash buckets for them, the kernel chooses to track with that much memory.
pub(crate) const TRACKED: u32 = 5120;

/// The link of a node that its pods hang on, once there was one.
pub(crate) const PODS_BRIDGE: &str = "cni0";

/// What a node's blank third disk could hold; its file takes only what is written.
const DISK: u64 = 64 << 20;

/// One of the lab's nodes, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u8);

pub const NODES: [Node; 3] = [Node(1), Node(2), Node(3)];

impl Node {
    pub fn named(name: &str) -> Result<Self> {
        NODES
            .into_iter()
            .find(|node| node.name() == name)
            .ok_or_else(|| {
                Error::state(
                    format!("there is no node {name:?}"),
                    "use node01, node02 or node03",
                )
            })
    }

    pub fn name(self) -> String {
        format!("node{:02}", self.0)
    }

    pub fn address(self) -> String {
        format!("10.77.0.1{}", self.0)
    }

    /// Its address beside it where the lab is of two families.
    pub fn address6(self) -> String {
        format!("fd77::1{}", self.0)
    }

    /// The tap that its link is plugged into.
    pub(crate) fn tap(self) -> String {
        format!("tap{:02}", self.0)
    }

    /// The range of its pods.
    pub fn pods(self) -> String {
        format!("10.88.{}.0/24", self.0)
    }

    pub fn others(self) -> impl Iterator<Item = Self> {
        NODES.into_iter().filter(move |other| *other != self)
    }
}

pub struct Machines<'a> {
    pub network: &'a Network,
    pub processes: Processes<'a>,
    pub pki: &'a Pki,
    /// Where Calico keeps its data.
    pub datastore: Datastore,
    /// The base image.
    pub image: &'a Path,
    /// Where overlays and seeds are.
    pub dir: &'a Path,
}

impl Machines<'_> {
    /// Powers a machine on, with a fresh overlay if it has none yet.
    pub fn start(&self, node: Node) -> Result<()> {
        let dir = self.dir.join(node.name());
        fs::create_dir_all(&dir).map_err(Error::file("make", &dir))?;
        let (overlay, seed) = (dir.join("root.cow"), dir.join("seed.tar"));
        let disk = dir.join("disk.img");
        if !overlay.exists() {
            self.seed(node, &dir, &seed)?;
            File::create(&disk)
                .and_then(|file| file.set_len(DISK))
                .map_err(Error::file("make", &disk))?;
        }
        // As a descriptor, not by name: user-mode Linux re-executes itself on reboot and could not open the tap again.
        let tap = self.network.tap(&node.tap())?;
        let args = [
            MEMORY.to_owned(),
            format!("uml_dir={}/", dir.display()),
            "umid=uml".to_owned(),
            format!("ubda={},{}", overlay.display(), self.image.display()),
            format!("ubdb={}", seed.display()),
            format!("ubdc={}", disk.display()),
            "root=/dev/ubda".to_owned(),
            "rw".to_owned(),
            format!(
                "vec0:transport=fd,fd=0,vec=0,mac=52:54:00:77:00:{:02}",
                node.0
            ),
            "con=null".to_owned(),
            "con0=null,fd:1".to_owned(),
            "quiet".to_owned(),
            "loglevel=4".to_owned(),
            "systemd.show_status=0".to_owned(),
        ];
        self.processes.start(
            &node.name(),
            Path::new("/usr/bin/linux.uml"),
            &args,
            Some(tap),
        )
    }

    /// Powers a machine off, hard, and throws its overlay away.
    pub fn discard(&self, node: Node) -> Result<()> {
        self.processes.stop(&node.name())?;
        let dir = self.dir.join(node.name());
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(Error::file("remove", &dir))?;
        }
        Ok(())
    }

    /// The node's own files, as a tar that its first boot unpacks from the second disk.
    fn seed(&self, node: Node, dir: &Path, to: &Path) -> Result<()> {
        let tree = dir.join("seed");
        for (path, text) in self.seed_files(node)? {
            place(&tree.join(path), &text)?;
        }
        containers::tar(&tree, to, &["etc"], false)?;
        fs::remove_dir_all(&tree).map_err(Error::file("remove", &tree))
    }

    fn seed_files(&self, node: Node) -> Result<Vec<(&'static str, String)>> {
        let mut hosts = String::from("127.0.0.1 localhost\n");
        let mut link = format!(
            "[Match]\nName=vec0\n\n[Network]\nAddress={}/24\nGateway={API}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
            node.address()
        );
        for other in NODES {
            let _ = writeln!(hosts, "{} {}", other.address(), other.name());
        }
        for other in node.others() {
            let _ = write!(
                link,
                "\n[Route]\nDestination={}\nGateway={}\n",
                other.pods(),
                other.address()
            );
        }
        let cni = serde_json::json!({
            "cniVersion": "0.4.0", "name": "lab", "plugins": [
                {"type": "bridge", "bridge": PODS_BRIDGE, "isGateway": true, "ipMasq": false, "hairpinMode": true,
                 "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods()}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        let mut files = datastore::node_files(self.pki, self.datastore)?;
        files.extend([
            ("etc/hostname", format!("{}\n", node.name())),
            ("etc/hosts", hosts),
            ("etc/systemd/network/10-vec0.network", link),
            (
                "etc/default/kubelet",
                format!(
                    "KUBELET_EXTRA_ARGS=--node-ip={} --housekeeping-interval=60s\n",
                    node.address()
                ),
            ),
            ("etc/cni/net.d/10-lab.conflist", cni.to_string()),
            ("etc/kubernetes/pki/ca.crt", self.pki.read("ca.crt")?),
            (
                "etc/kubernetes/bootstrap-kubelet.conf",
                self.pki.read("bootstrap.conf")?,
            ),
            (
                "etc/ssh/lab_authorized_keys",
                self.pki.read("id_ed25519.pub")?,
            ),
            (
                "etc/ssh/ssh_host_ed25519_key",
                self.pki.read(&format!("host-{}", node.name()))?,
            ),
            (
                "etc/ssh/ssh_host_ed25519_key.pub",
                self.pki.read(&format!("host-{}.pub", node.name()))?,
            ),
        ]);
        Ok(files)
    }
}

/// Writes a file below its folder, which may be new; one that holds a secret is its owner's alone.
pub(crate) fn place(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
    if ["PRIVATE KEY", "token:", "client-key-data:"]
        .iter()
        .any(|secret| text.contains(secret))
    {
        crate::write_private(path, text)
    } else {
        fs::write(path, text).map_err(Error::file("write", path))
    }
}
