//! Where Calico keeps its data: in the Kubernetes API, or in an etcd of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use crate::calico::items;
use crate::control_plane::CALICO_ETCD;
use crate::error::{Error, Result};
use crate::machine::{NODES, Node};
use crate::network::API;
use crate::pki::Pki;
use crate::{Lab, command, containers};

/// The port of Calico's etcd, on the API server's address. Kubernetes' own is on the loopback only.
pub(crate) const ETCD_PORT: u16 = 2389;

/// Where the files of [`node_files`] are on a node.
const FOLDERS: [&str; 2] = ["etc/calico", "etc/cni/net.d/calico-tls"];

/// Where Calico keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Datastore {
    /// In the Kubernetes API
    Kubernetes,
    /// In an etcd of its own, which asks its clients for certificates
    Etcd,
}

impl Datastore {
    fn word(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
        }
    }
}

pub(crate) fn endpoint() -> String {
    format!("https://{API}:{ETCD_PORT}")
}

/// What a node has because of its datastore: calicoctl's configuration, and in etcd the certificates of calicoctl and
/// those that Calico's install-cni leaves for the CNI plugin (manifests/calico-etcd.yaml and cni-plugin/pkg/install of
/// v3.31).
pub(crate) fn node_files(pki: &Pki, datastore: Datastore) -> Result<Vec<(&'static str, String)>> {
    let config =
        "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n".to_owned();
    Ok(match datastore {
        Datastore::Kubernetes => vec![
            (
                "etc/calico/calicoctl.cfg",
                config + "  datastoreType: kubernetes\n  kubeconfig: /etc/calico/kubeconfig\n",
            ),
            ("etc/calico/kubeconfig", pki.read("calicoctl.conf")?),
        ],
        Datastore::Etcd => vec![
            (
                "etc/calico/calicoctl.cfg",
                config
                    + &format!(
                        "  datastoreType: etcdv3\n  etcdEndpoints: {}\n  \
                         etcdKeyFile: /etc/calico/certs/key.pem\n  \
                         etcdCertFile: /etc/calico/certs/cert.crt\n  \
                         etcdCACertFile: /etc/calico/certs/ca.crt\n",
                        endpoint()
                    ),
            ),
            ("etc/calico/certs/ca.crt", pki.read("etcd-ca.crt")?),
            ("etc/calico/certs/cert.crt", pki.read("etcd-calicoctl.crt")?),
            ("etc/calico/certs/key.pem", pki.read("etcd-calicoctl.key")?),
            ("etc/cni/net.d/calico-tls/etcd-ca", pki.read("etcd-ca.crt")?),
            (
                "etc/cni/net.d/calico-tls/etcd-cert",
                pki.read("etcd-calico-node.crt")?,
            ),
            (
                "etc/cni/net.d/calico-tls/etcd-key",
                pki.read("etcd-calico-node.key")?,
            ),
        ],
    })
}

impl Lab {
    /// Where Calico keeps its data now.
    pub fn datastore(&self) -> Datastore {
        match fs::read_to_string(self.datastore_file()) {
            Ok(word) if word == Datastore::Etcd.word() => Datastore::Etcd,
            _ => Datastore::Kubernetes,
        }
    }

    /// Makes Calico keep its data elsewhere, on a lab that is up and without a fault; the machines run on. Nothing is
    /// carried over.
    pub fn switch_datastore(&self, to: Datastore) -> Result<()> {
        let _held = self.lock()?;
        self.switch_datastore_held(to)
    }

    pub(crate) fn switch_datastore_held(&self, to: Datastore) -> Result<()> {
        self.need_up()?;
        if let Some(fault) = self.fault() {
            return Err(Error::state(
                format!("there is a fault: {fault}"),
                "run `cargo run -p lab -- heal` first",
            ));
        }
        if self.datastore() == to {
            self.progress
                .say(&format!("Calico's data is in {} already", to.word()));
            return Ok(());
        }
        let running = |node: &Node| self.processes().is_running(&node.name());
        let nodes: Vec<Node> = NODES.into_iter().filter(running).collect();
        // A lab in which this did not come to its end is made anew by the next `up`.
        let whole = self.whole();
        fs::remove_file(&whole).map_err(Error::file("remove", &whole))?;
        self.leave_operator()?;
        self.record_datastore(to)?;
        match to {
            Datastore::Etcd => self
                .progress
                .part("Calico's etcd answers", || self.start_calico_etcd())?,
            Datastore::Kubernetes => self
                .progress
                .part("Calico's definitions", || self.create_definitions())?,
        }
        self.progress.part("manifests applied", || {
            self.replace_manifests()?;
            if to == Datastore::Kubernetes {
                let secret = ["secret/calico-etcd-secrets", "--ignore-not-found"];
                self.kubectl_text(&[&["-n", "kube-system", "delete"][..], &secret].concat())?;
            }
            self.remember_manifests()
        })?;
        if !nodes.is_empty() {
            self.progress
                .part("files of the nodes", || self.place_node_files(&nodes, to))?;
            self.progress.part("calico-node restarted", || {
                // All at once: what an update one by one would keep alive meanwhile is of no use here.
                self.newest_revision()?;
                self.restart_calico_node(&nodes)?;
                nodes
                    .iter()
                    .try_for_each(|node| self.wait_for_right_address(*node))
            })?;
        }
        match to {
            Datastore::Etcd => self.remove_from_kubernetes()?,
            Datastore::Kubernetes => {
                self.processes().stop(CALICO_ETCD)?;
                let data = self.calico_etcd_data();
                fs::remove_dir_all(&data).map_err(Error::file("remove", &data))?;
            }
        }
        if !nodes.is_empty() {
            self.wait_until_well()?;
        }
        fs::write(&whole, "").map_err(Error::file("write", &whole))?;
        self.progress
            .say(&format!("Calico's data is in {}", to.word()));
        Ok(())
    }

    pub(crate) fn record_datastore(&self, datastore: Datastore) -> Result<()> {
        let path = self.datastore_file();
        fs::write(&path, datastore.word()).map_err(Error::file("write", &path))
    }

    /// Starts Calico's etcd, with nothing in it, and waits until it answers.
    pub(crate) fn start_calico_etcd(&self) -> Result<()> {
        self.pki.create_etcd()?;
        let (programs, data) = (self.programs()?, self.calico_etcd_data());
        self.control_plane(&programs, &data).start_calico_etcd()?;
        self.until("an answer of Calico's etcd", 60, || {
            let answer = command::output(self.command("calicoctl").args(["get", "nodes"]))?;
            Ok(answer.status.success().then_some(()))
        })
    }

    /// The manifest that Calico runs from, with its certificates.
    pub(crate) fn calico_manifest(&self) -> Result<String> {
        let access = self.manifest("calico-access.yaml")?;
        if self.is_fake() {
            // Its DaemonSet tolerates everything, and would run on fake nodes.
            return Ok(access);
        }
        let rest = match self.datastore() {
            Datastore::Kubernetes => self.manifest("calico.yaml")?,
            Datastore::Etcd => {
                let mut text = self
                    .manifest("calico-etcd.yaml")?
                    .replace("{{etcd-endpoints}}", &endpoint());
                for (name, file) in [
                    ("{{etcd-ca}}", "etcd-ca.crt"),
                    ("{{etcd-cert}}", "etcd-calico-node.crt"),
                    ("{{etcd-key}}", "etcd-calico-node.key"),
                ] {
                    text = text.replace(name, &self.pki.base64(file)?);
                }
                text
            }
        };
        Ok(format!("{access}---\n{rest}"))
    }

    /// Applies the manifest so that nothing is left of what was there before.
    pub(crate) fn replace_manifests(&self) -> Result<()> {
        let manifest = self.calico_manifest()?;
        self.kubectl_feed(&["apply", "--validate=false"], &manifest)?;
        // Apply leaves alone what others added, such as an environment variable.
        // It reads before it writes, and its controller may write a DaemonSet's status between the two.
        self.until("kubectl replace without a conflict", 30, || {
            match self.kubectl_feed(&["replace", "--save-config", "--validate=false"], &manifest) {
                Err(Error::Failed { output, .. }) if output.contains("(Conflict)") => Ok(None),
                done => done.map(Some),
            }
        })
        .map(drop)
    }

    /// Calico's resource definitions, without which it cannot keep anything in the Kubernetes API.
    pub(crate) fn create_definitions(&self) -> Result<()> {
        let definitions = self.definitions("crds.yaml")?;
        self.kubectl_feed(&["create", "--validate=false"], &definitions)
            .map(drop)
    }

    /// A file with definitions that came with Calico's module.
    pub(crate) fn definitions(&self, name: &str) -> Result<String> {
        let link = self.dir.join("bin/calicoctl");
        let program = fs::canonicalize(&link).map_err(Error::file("read", &link))?;
        let path = program.with_file_name(name);
        fs::read_to_string(&path).map_err(Error::file("read", &path))
    }

    /// Where the lab's built programs of Kubernetes are.
    pub(crate) fn programs(&self) -> Result<PathBuf> {
        let link = self.dir.join("bin/kubectl");
        let program = fs::canonicalize(&link).map_err(Error::file("read", &link))?;
        Ok(program.parent().unwrap_or(&program).to_path_buf())
    }

    /// What Calico kept in the Kubernetes API is not there in a cluster that has always had an etcd for it.
    fn remove_from_kubernetes(&self) -> Result<()> {
        let definitions = self.definitions("crds.yaml")?;
        self.kubectl_feed(&["delete", "--ignore-not-found"], &definitions)?;
        let nodes = self.kubectl_json(&["get", "nodes"])?;
        for node in items(&nodes) {
            let name = node.pointer("/metadata/name").and_then(Value::as_str);
            let annotations = node.pointer("/metadata/annotations");
            let calico = annotations
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|all| all.keys())
                .filter(|key| key.starts_with("projectcalico.org/"))
                .map(|key| format!("{key}-"));
            let mut args = vec!["annotate".to_owned(), "node".to_owned()];
            args.extend(name.map(str::to_owned));
            let before = args.len();
            args.extend(calico);
            if args.len() > before {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                self.kubectl_text(&args)?;
            }
        }
        Ok(())
    }

    /// Puts a datastore's files onto nodes, and takes those of the other away.
    fn place_node_files(&self, nodes: &[Node], datastore: Datastore) -> Result<()> {
        let stage = self.run.join("node-files");
        if stage.exists() {
            fs::remove_dir_all(&stage).map_err(Error::file("remove", &stage))?;
        }
        for (path, text) in node_files(&self.pki, datastore)? {
            crate::machine::place(&stage.join(path), &text)?;
        }
        let packed = stage.join("files.tar");
        let there = |folder: &&str| stage.join(folder).exists();
        let folders: Vec<&str> = FOLDERS.iter().copied().filter(there).collect();
        containers::tar(&stage, &packed, &folders, false)?;
        let unpack = unpack_script();
        self.on_each(nodes, |node| {
            let tar = File::open(&packed).map_err(Error::file("open", &packed))?;
            command::feed_file(
                self.ssh_command(node).arg(&unpack),
                tar,
                &format!("placing files on {}", node.name()),
            )
        })?;
        // It held keys.
        fs::remove_dir_all(&stage).map_err(Error::file("remove", &stage))
    }

    pub(crate) fn calico_etcd_data(&self) -> PathBuf {
        self.dir.join("calico-etcd")
    }

    fn datastore_file(&self) -> PathBuf {
        self.run.join("datastore")
    }

    /// What calicoctl and Calico's programs read from the environment to find Calico's data.
    pub(crate) fn datastore_environment(&self) -> Vec<(&'static str, PathBuf)> {
        match self.datastore() {
            Datastore::Kubernetes => vec![("DATASTORE_TYPE", "kubernetes".into())],
            Datastore::Etcd => vec![
                ("DATASTORE_TYPE", "etcdv3".into()),
                ("ETCD_ENDPOINTS", endpoint().into()),
                ("ETCD_CA_CERT_FILE", self.pki.file("etcd-ca.crt")),
                ("ETCD_CERT_FILE", self.pki.file("etcd-calicoctl.crt")),
                ("ETCD_KEY_FILE", self.pki.file("etcd-calicoctl.key")),
            ],
        }
    }
}

/// Both on the node and in what `heal` compares it to; the stamp says that all was seen to be healthy.
fn unpack_script() -> String {
    let mut script = String::from("set -e; umask 077; cat > /run/lab-files.tar; umask 022; ");
    for root in [Path::new("/"), Path::new("/var/lib/lab/healthy")] {
        let gone: Vec<String> = FOLDERS
            .iter()
            .map(|folder| root.join(folder).display().to_string())
            .collect();
        let _ = write!(
            script,
            "rm -rf {}; tar --no-overwrite-dir -C {} -xf /run/lab-files.tar; ",
            gone.join(" "),
            root.display()
        );
    }
    script + "rm -f /run/lab-files.tar /var/lib/lab/healthy.stamp"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_those_of_the_other_datastore_in_both_places() {
        let script = unpack_script();
        for gone in [
            "rm -rf /etc/calico /etc/cni/net.d/calico-tls;",
            "rm -rf /var/lib/lab/healthy/etc/calico /var/lib/lab/healthy/etc/cni/net.d/calico-tls;",
        ] {
            assert!(script.contains(gone), "{script}");
        }
    }

    #[test]
    fn a_word_for_each_as_on_the_command_line() {
        for datastore in Datastore::value_variants() {
            let typed = datastore.to_possible_value().unwrap();
            assert_eq!(typed.get_name(), datastore.word());
        }
    }
}
