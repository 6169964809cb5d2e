//! A lab on one machine: a real control plane, real Linux nodes, Calico's own control part, and real faults.

mod bgp_path;
mod bgp_wrong_ip;
pub mod breakage;
pub mod cache;
pub mod calico;
mod calico_stuck;
mod calicoctl;
mod command;
mod conntrack_full;
mod containers;
mod control_plane;
pub mod datastore;
mod dual_stack;
pub mod error;
pub mod fake;
mod go;
mod heal;
mod image;
pub mod install;
mod kwok;
mod lifecycle;
pub mod machine;
mod needs;
mod network;
mod nm_manages_calico;
pub mod operator;
mod packages;
mod parts;
mod pki;
mod power;
mod process;
pub mod progress;
mod rootfs;
mod status;
mod swap;

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use sha2::{Digest, Sha256};

use crate::control_plane::ControlPlane;
pub use crate::error::{Error, Result};
pub use crate::lifecycle::Profile;
use crate::machine::{Machines, Node};
pub use crate::needs::need_root;
use crate::network::Network;
use crate::pki::Pki;
use crate::process::Processes;
use crate::progress::Progress;

/// One lab: its folder, and the namespace whose name follows from the folder's path.
pub struct Lab {
    dir: PathBuf,
    cache: PathBuf,
    source: PathBuf,
    network: Network,
    netns: String,
    pki: Pki,
    run: PathBuf,
    log: PathBuf,
    pub progress: Progress,
}

impl Lab {
    /// The lab in `LAB_DIR`, or in `target/lab` of this workspace.
    pub fn open() -> Result<Self> {
        match std::env::var_os("LAB_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => Self::at(Path::new(&dir)),
            None => Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab")),
        }
    }

    /// Another lab, in a folder beside the one of [`Lab::open`]: its name is that folder's and `name`.
    pub fn open_beside(name: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(Error::unfit(
                format!("a lab cannot be named {name:?}"),
                "give it a name of small letters, digits and dashes",
            ));
        }
        let mut dir = Self::open()?.dir.into_os_string();
        dir.push("-");
        dir.push(name);
        Self::at(Path::new(&dir))
    }

    /// The lab in a certain folder.
    pub fn at(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::file("make", dir))?;
        let dir = dir.canonicalize().map_err(Error::file("find", dir))?;
        let digest = cache::hex(&Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        let netns = format!("lab-{}", digest.chars().take(8).collect::<String>());
        Ok(Self {
            network: Network::new(&netns),
            netns,
            pki: Pki::at(&dir.join("pki")),
            run: dir.join("run"),
            log: dir.join("log"),
            dir,
            cache: cache::default_dir(),
            source: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
            progress: Progress::new(),
        })
    }

    /// The lab's own folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of the network namespace that holds all of the lab.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// The admin's kubeconfig; its addresses answer inside the namespace only.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.yaml")
    }

    /// One line of JSON for each write that the API server has answered, by whomever.
    pub fn audit_log(&self) -> PathBuf {
        control_plane::audit_log(&self.log)
    }

    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join("ssh_config")
    }

    fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// What `lab exec` and `lab env` set.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = vec![
            ("KUBECONFIG", self.kubeconfig()),
            ("RUNBOOK_INVENTORY", self.inventory()),
            ("RUNBOOK_SSH_CONFIG", self.ssh_config()),
            ("LAB_NETNS", self.netns().into()),
            ("LAB_DIR", self.dir.clone()),
        ];
        environment.extend(self.datastore_environment());
        environment
    }

    /// A command that will run inside the namespace with the lab's environment; kubectl and calicoctl are found.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut path = self.dir.join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.netns()])
            .arg(program)
            .envs(self.environment())
            .env("PATH", path);
        command
    }

    /// Runs `work` in a thread that is inside the namespace; threads that it starts are, too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.network.inside(work)
    }

    /// A command that will run on a node, as root.
    pub fn ssh_command(&self, node: Node) -> Command {
        let mut ssh = self.command("ssh");
        // A link that goes down in the middle must not hold anybody for ever.
        ssh.args(["-o", "ServerAliveInterval=5"])
            .arg("-F")
            .arg(self.ssh_config())
            .arg(node.name());
        ssh
    }

    /// Runs a shell command on a node as root.
    pub fn ssh(&self, node: Node, command: &str) -> Result<Output> {
        command::output(self.ssh_command(node).arg(command))
    }

    /// Like [`Lab::ssh`]; a failure is an error.
    pub fn ssh_text(&self, node: Node, command: &str) -> Result<String> {
        command::text(
            self.ssh_command(node).arg(command),
            &format!("`{command}` on {}", node.name()),
        )
    }

    pub fn kubectl<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Result<Output> {
        command::output(self.command("kubectl").args(args))
    }

    pub fn kubectl_text(&self, args: &[&str]) -> Result<String> {
        command::text(
            self.command("kubectl").args(args),
            &format!("kubectl {}", args.join(" ")),
        )
    }

    pub fn kubectl_json(&self, args: &[&str]) -> Result<serde_json::Value> {
        self.json_of("kubectl", args)
    }

    /// The same of calicoctl.
    pub fn calicoctl_json(&self, args: &[&str]) -> Result<serde_json::Value> {
        self.json_of("calicoctl", args)
    }

    fn json_of(&self, tool: &str, args: &[&str]) -> Result<serde_json::Value> {
        let doing = format!("{tool} {}", args.join(" "));
        let mut command = self.command(tool);
        let text = command::text(command.args(args).args(["-o", "json"]), &doing)?;
        if text.trim().is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| Error::Unreadable {
            what: format!("the answer of {doing}"),
            answer: error.to_string(),
        })
    }

    /// Feeds a manifest to a kubectl command.
    pub fn kubectl_feed(&self, args: &[&str], manifest: &str) -> Result<String> {
        let doing = format!("kubectl {}", args.join(" "));
        command::feed(
            self.command("kubectl").args(args).args(["-f", "-"]),
            manifest,
            &doing,
        )
    }

    /// Does the same on several nodes at once; the first error wins.
    pub fn on_each<T: Send>(
        &self,
        nodes: &[Node],
        work: impl Fn(Node) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let work = &work;
        thread::scope(|scope| {
            let running: Vec<_> = nodes
                .iter()
                .map(|node| scope.spawn(move || work(*node)))
                .collect();
            running.into_iter().map(joined).collect()
        })
    }

    fn processes(&self) -> Processes<'_> {
        Processes {
            network: &self.network,
            run: &self.run,
            log: &self.log,
        }
    }

    fn manifest(&self, name: &str) -> Result<String> {
        let path = self.source.join("manifests").join(name);
        fs::read_to_string(&path).map_err(Error::file("read", &path))
    }

    fn control_plane<'a>(&'a self, programs: &'a Path, data: &'a Path) -> ControlPlane<'a> {
        ControlPlane {
            processes: self.processes(),
            pki: &self.pki,
            programs,
            data,
            audit_policy: self.source.join("manifests/audit-policy.yaml"),
        }
    }

    fn machines<'a>(&'a self, image: &'a Path, dir: &'a Path) -> Machines<'a> {
        Machines {
            network: &self.network,
            processes: self.processes(),
            pki: &self.pki,
            datastore: self.datastore(),
            image,
            dir,
        }
    }
}

/// The result of a thread; one that broke off is an error like any other.
fn joined<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|_| {
        Err(Error::state(
            "a part of the lab's program broke off",
            "run it again",
        ))
    })
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::file("write", path))
}
