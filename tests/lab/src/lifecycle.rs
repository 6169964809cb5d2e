//! up, down and reset.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use crate::control_plane::{self, CALICO_ETCD};
use crate::datastore::Datastore;
use crate::error::{Error, Result};
use crate::kwok::KWOK;
use crate::machine::{NODES, Node};
use crate::needs::need_root;
use crate::parts::Parts;
use crate::{Lab, joined, packages};

/// How much of the lab is brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Full,
    /// Without machines.
    ControlPlane,
    /// Without machines and Calico, with kwok for fake nodes.
    Fake,
}

impl Lab {
    /// Brings everything up that is not up yet, and waits until all of it is well. Calico's data is where it was before,
    /// at first in the Kubernetes API.
    pub fn up(&self, profile: Profile) -> Result<()> {
        self.up_with(profile, None)
    }

    /// Like [`Lab::up`], with Calico's data in a certain place.
    pub fn up_with(&self, profile: Profile, datastore: Option<Datastore>) -> Result<()> {
        let _held = self.lock()?;
        self.check_machine(profile)?;
        self.progress.say(&format!(
            "lab in {}, network namespace {}",
            self.dir.display(),
            self.netns()
        ));
        for dir in [&self.run, &self.log, &self.dir.join("bin")] {
            fs::create_dir_all(dir).map_err(Error::file("make", dir))?;
        }
        let installed = packages::install_missing(&self.log.join("packages.log"))?;
        if !installed.is_empty() {
            self.progress.say(&format!(
                "installed Debian packages: {}",
                installed.join(", ")
            ));
        }
        let parts = self.parts(profile)?;
        let data = self.dir.join("etcd");
        let control_plane = self.control_plane(&parts.kubernetes, &data);
        let is_fake = profile == Profile::Fake;
        // Written last: without it, whatever runs is what a crash left.
        let whole = self.whole().exists()
            && self.network.exists()
            && control_plane.is_running()
            && (!is_fake || self.processes().is_running(KWOK))
            && (self.datastore() == Datastore::Kubernetes
                || self.processes().is_running(CALICO_ETCD));
        if !whole {
            let datastore = datastore.unwrap_or_else(|| self.datastore());
            self.clear()?;
            self.record_datastore(datastore)?;
            self.record_fake(is_fake)?;
            self.prepare(&parts)?;
        }
        thread::scope(|scope| {
            // Machines take longest: they boot while the control plane starts.
            let booting = scope.spawn(|| self.boot(&parts));
            if !whole {
                let start = || control_plane.start(|| self.api_is_ready());
                self.progress.part("control plane answers", start)?;
                if self.datastore() == Datastore::Etcd {
                    self.progress
                        .part("Calico's etcd answers", || self.start_calico_etcd())?;
                }
                self.progress.part("cluster objects", || self.apply())?;
                if let Some(kwok) = &parts.kwok {
                    self.start_kwok(&kwok.join(KWOK))?;
                }
            }
            joined(booting)
        })?;
        fs::write(self.whole(), "").map_err(Error::file("write", &self.whole()))?;
        if profile == Profile::Full {
            self.wait_until_well()?;
        }
        if let Some(datastore) = datastore.filter(|wanted| *wanted != self.datastore()) {
            self.switch_datastore_held(datastore)?;
        }
        self.progress.say("up");
        Ok(())
    }

    /// Ends and removes everything except logs and built parts.
    pub fn down(&self) -> Result<()> {
        need_root()?;
        let _held = self.lock()?;
        self.clear()?;
        for name in [
            "pki",
            "bin",
            "kubeconfig",
            "ssh_config",
            "known_hosts",
            "inventory.yaml",
        ] {
            remove(&self.dir.join(name))?;
        }
        self.progress.say("down");
        Ok(())
    }

    /// Fresh overlays and clean cluster objects, for all nodes or for one.
    pub fn reset(&self, node: Option<Node>) -> Result<()> {
        need_root()?;
        self.need_up()?;
        let Some(node) = node else {
            let _held = self.lock()?;
            let datastore = self.datastore();
            let profile = match self.is_fake() {
                true => Profile::Fake,
                false => Profile::Full,
            };
            self.progress.part("everything cleared", || self.clear())?;
            drop(_held);
            return self.up_with(profile, Some(datastore));
        };
        let held = self.lock()?;
        let (image, dir) = (self.current_image()?, self.dir.join("nodes"));
        let machines = self.machines(&image, &dir);
        machines.discard(node)?;
        let name = node.name();
        self.kubectl_text(&["delete", "node", &name, "--ignore-not-found", "--wait=true"])?;
        // Nobody is left to confirm that they ended.
        let on_node = format!("spec.nodeName={name}");
        self.kubectl_text(&[
            "delete",
            "pods",
            "-A",
            "--field-selector",
            &on_node,
            "--force",
            "--grace-period=0",
        ])?;
        self.restore_manifests()?;
        machines.start(node)?;
        self.forget_fault_of(node)?;
        drop(held);
        self.wait_until_well()
    }

    /// Keys, the files for users and tests, and the network.
    fn prepare(&self, parts: &Parts) -> Result<()> {
        self.progress.part("keys and certificates", || {
            self.pki.create()?;
            match self.datastore() {
                // The machines get some of them.
                Datastore::Etcd => self.pki.create_etcd(),
                Datastore::Kubernetes => Ok(()),
            }
        })?;
        let bin = self.dir.join("bin");
        for (program, dir) in [("kubectl", &parts.kubernetes), ("calicoctl", &parts.calico)] {
            remove(&bin.join(program))?;
            symlink(dir.join(program), bin.join(program))
                .map_err(Error::file("link", &bin.join(program)))?;
        }
        self.write_access_files()?;
        self.progress
            .part("network namespace and bridge", || self.network.create())
    }

    /// What tests and people need to get in.
    fn write_access_files(&self) -> Result<()> {
        let (key, known) = (self.dir.join("pki/id_ed25519"), self.known_hosts());
        let config =
            Self::ssh_config_text(&key.display().to_string(), &known.display().to_string());
        let mut hosts = String::new();
        let mut inventory =
            "apiVersion: runbook.inventory/v1\nssh_config: ssh_config\nhosts:\n".to_owned();
        for node in NODES {
            let (name, address) = (node.name(), node.address());
            inventory += &format!("  {name}: {{address: {address}, user: root}}\n");
            hosts += &format!(
                "{name},{address} {}",
                self.pki.read(&format!("host-{name}.pub"))?
            );
        }
        crate::write_private(&self.kubeconfig(), &self.pki.read("admin.conf")?)?;
        for (path, text) in [
            (self.ssh_config(), config),
            (known, hosts),
            (self.inventory(), inventory),
        ] {
            fs::write(&path, text).map_err(Error::file("write", &path))?;
        }
        Ok(())
    }

    /// An OpenSSH client configuration for a place where the key and the known hosts have these paths.
    pub(crate) fn ssh_config_text(key: &str, known: &str) -> String {
        let mut config = String::new();
        for node in NODES {
            let (name, address) = (node.name(), node.address());
            config += &format!("Host {name}\n  HostName {address}\n\n");
        }
        config += &format!(
            "Host *\n  User root\n  IdentityFile \"{key}\"\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile \"{known}\"\n  StrictHostKeyChecking yes\n  ConnectTimeout 10\n"
        );
        config
    }

    pub(crate) fn api_is_ready(&self) -> bool {
        self.kubectl(&["get", "--raw", "/readyz"])
            .is_ok_and(|output| output.status.success())
    }

    fn apply(&self) -> Result<()> {
        let token = self.pki.read("token")?;
        let (id, secret) = token.split_once('.').unwrap_or((&token, ""));
        let bootstrap = self
            .manifest("bootstrap.yaml")?
            .replace("{{token-id}}", id)
            .replace("{{token-secret}}", secret);
        // Validation would fetch the whole schema each time, for manifests that are the lab's own.
        self.kubectl_feed(&["apply", "--validate=false"], &bootstrap)?;
        if self.datastore() == Datastore::Kubernetes {
            self.create_definitions()?;
        }
        self.kubectl_feed(&["apply", "--validate=false"], &self.calico_manifest()?)?;
        self.remember_manifests()
    }

    /// Starts the machines that are not running.
    fn boot(&self, parts: &Parts) -> Result<()> {
        let Some(newest) = &parts.image else {
            return Ok(());
        };
        let record = self.image_record();
        if !record.exists() {
            let path = newest.as_os_str().as_encoded_bytes();
            fs::write(&record, path).map_err(Error::file("write", &record))?;
        }
        // Overlays belong to the image that they were made over, which need not be the newest.
        let (image, dir) = (self.current_image()?, self.dir.join("nodes"));
        let machines = self.machines(&image, &dir);
        for node in NODES {
            if !self.processes().is_running(&node.name()) {
                machines.start(node)?;
            }
        }
        Ok(())
    }

    pub(crate) fn current_image(&self) -> Result<PathBuf> {
        let path = self.dir.join("run/image");
        fs::read_to_string(&path)
            .map(PathBuf::from)
            .map_err(Error::file("read", &path))
    }

    /// Nodes Ready, controllers available, mesh established.
    pub(crate) fn wait_until_well(&self) -> Result<()> {
        let wait = |node: &Node, condition: &str| {
            self.kubectl_text(&[
                "wait",
                condition,
                "--timeout=300s",
                &format!("node/{}", node.name()),
            ])
            .map(drop)
        };
        // One by one: kubectl waits for the creation of a single object only.
        self.progress.part("nodes joined", || {
            NODES.iter().try_for_each(|node| wait(node, "--for=create"))
        })?;
        self.progress.part("nodes Ready", || {
            NODES
                .iter()
                .try_for_each(|node| wait(node, "--for=condition=Ready"))
        })?;
        self.progress
            .part("BGP mesh established", || self.wait_for_mesh(300))?;
        self.progress
            .part("kube-controllers available", || self.wait_for_controllers())
    }

    /// Waits until calico-kube-controllers runs, as its Deployment says now.
    pub(crate) fn wait_for_controllers(&self) -> Result<()> {
        let namespace = self.calico_namespace();
        let rollout = ["rollout", "status", "deployment/calico-kube-controllers"];
        let in_it = ["-n", namespace, "--timeout=300s"];
        self.kubectl_text(&[&rollout[..], &in_it].concat())
            .map(drop)
    }

    /// Ends everything that runs and removes what belongs to it; keys stay.
    fn clear(&self) -> Result<()> {
        remove(&self.whole())?;
        let processes = self.processes();
        for name in NODES
            .iter()
            .map(|node| node.name())
            .chain(control_plane::PROCESSES.iter().map(|n| (*n).to_owned()))
            .chain([CALICO_ETCD.to_owned(), KWOK.to_owned()])
        {
            processes.stop(&name)?;
        }
        processes.end_all()?;
        if self.network.exists() {
            self.network.delete()?;
        }
        for name in [
            "nodes",
            "etcd",
            "calico-etcd",
            "run/image",
            "run/datastore",
            "run/fake",
            "run/operator-install",
            "run/operator-definitions",
            "fault.json",
        ] {
            remove(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// One word at a time; a second one says so instead of waiting.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(Error::file("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Error::state(
                "another lab command is at work on this lab",
                "wait until it has finished",
            )),
            Err(fs::TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
        }
    }

    fn image_record(&self) -> PathBuf {
        self.run.join("image")
    }

    pub(crate) fn whole(&self) -> PathBuf {
        self.dir.join("whole")
    }
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(Error::file("remove", path))
}
