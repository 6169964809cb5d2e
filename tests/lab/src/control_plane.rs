//! etcd and Kubernetes' control plane, each a process inside the namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::datastore;
use crate::error::{Error, Result};
use crate::network::API;
use crate::pki::Pki;
use crate::process::Processes;

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";
const CALICO_ETCD_PEER: &str = "http://127.0.0.1:2390";
const SERVICES: &str = "10.96.0.0/16";
pub const API_SERVER: &str = "kube-apiserver";
pub const CONTROLLERS: &str = "kube-controller-manager";
pub const CALICO_ETCD: &str = "calico-etcd";
pub const PROCESSES: &[&str] = &["etcd", API_SERVER, CONTROLLERS, "kube-scheduler"];

pub struct ControlPlane<'a> {
    pub processes: Processes<'a>,
    pub pki: &'a Pki,
    /// The folder of the built programs.
    pub programs: &'a Path,
    pub data: &'a Path,
    /// What of the requests the API server writes down.
    pub audit_policy: PathBuf,
}

impl ControlPlane<'_> {
    pub fn is_running(&self) -> bool {
        PROCESSES.iter().all(|name| self.processes.is_running(name))
    }

    /// Starts all of it with an empty etcd; `ready` tells whether the API server answers.
    pub fn start(&self, ready: impl Fn() -> bool) -> Result<()> {
        if self.data.exists() {
            fs::remove_dir_all(self.data).map_err(Error::file("remove", self.data))?;
        }
        self.run("etcd", self.etcd())?;
        self.run(API_SERVER, self.api_server())?;
        let start = Instant::now();
        while !ready() {
            for name in ["etcd", API_SERVER] {
                if !self.processes.is_running(name) {
                    return Err(self.ended(name));
                }
            }
            if start.elapsed() > Duration::from_secs(120) {
                return Err(Error::Late {
                    what: "an answer of the API server".into(),
                    seconds: 120,
                    next: format!(
                        "read {}",
                        self.processes.log.join("kube-apiserver.log").display()
                    ),
                });
            }
            sleep(Duration::from_millis(300));
        }
        self.start_controllers()?;
        self.run("kube-scheduler", self.client("kube-scheduler"))
    }

    /// Starts the API server alone, over what etcd has.
    pub fn start_api_server(&self) -> Result<()> {
        self.run(API_SERVER, self.api_server())
    }

    pub fn start_controllers(&self) -> Result<()> {
        self.run(CONTROLLERS, self.controller_manager())
    }

    /// Starts Calico's own etcd, with nothing in it.
    pub fn start_calico_etcd(&self) -> Result<()> {
        if self.data.exists() {
            fs::remove_dir_all(self.data).map_err(Error::file("remove", self.data))?;
        }
        let program = self.programs.join("etcd");
        self.processes
            .start(CALICO_ETCD, &program, &self.calico_etcd(), None)
    }

    fn run(&self, name: &str, args: Vec<String>) -> Result<()> {
        self.processes
            .start(name, &self.programs.join(name), &args, None)
    }

    fn ended(&self, name: &str) -> Error {
        let log = self.processes.log.join(format!("{name}.log"));
        let text = fs::read_to_string(&log).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default().to_owned();
        Error::Failed {
            doing: format!("starting {name}"),
            status: "it ended".into(),
            output: last,
            log: Some(log),
        }
    }

    fn etcd(&self) -> Vec<String> {
        strings(&[
            "--name=lab",
            &format!("--data-dir={}", self.data.display()),
            &format!("--listen-client-urls={ETCD}"),
            &format!("--advertise-client-urls={ETCD}"),
            &format!("--listen-peer-urls={ETCD_PEER}"),
            &format!("--initial-advertise-peer-urls={ETCD_PEER}"),
            &format!("--initial-cluster=lab={ETCD_PEER}"),
            // What it holds is thrown away anyway.
            "--unsafe-no-fsync",
        ])
    }

    fn calico_etcd(&self) -> Vec<String> {
        let file = |name: &str| self.pki.file(name).display().to_string();
        let endpoint = datastore::endpoint();
        strings(&[
            "--name=calico",
            &format!("--data-dir={}", self.data.display()),
            &format!("--listen-client-urls={endpoint}"),
            &format!("--advertise-client-urls={endpoint}"),
            &format!("--listen-peer-urls={CALICO_ETCD_PEER}"),
            &format!("--initial-advertise-peer-urls={CALICO_ETCD_PEER}"),
            &format!("--initial-cluster=calico={CALICO_ETCD_PEER}"),
            "--client-cert-auth",
            &format!("--trusted-ca-file={}", file("etcd-ca.crt")),
            &format!("--cert-file={}", file("calico-etcd.crt")),
            &format!("--key-file={}", file("calico-etcd.key")),
            "--unsafe-no-fsync",
        ])
    }

    fn api_server(&self) -> Vec<String> {
        let file = |name: &str| self.pki.file(name).display().to_string();
        strings(&[
            &format!("--bind-address={API}"),
            &format!("--advertise-address={API}"),
            "--secure-port=6443",
            &format!("--etcd-servers={ETCD}"),
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            &format!("--client-ca-file={}", file("ca.crt")),
            &format!("--tls-cert-file={}", file("apiserver.crt")),
            &format!("--tls-private-key-file={}", file("apiserver.key")),
            &format!(
                "--kubelet-client-certificate={}",
                file("apiserver-kubelet.crt")
            ),
            &format!("--kubelet-client-key={}", file("apiserver-kubelet.key")),
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            &format!("--service-account-key-file={}", file("sa.key")),
            &format!("--service-account-signing-key-file={}", file("sa.key")),
            &format!("--service-cluster-ip-range={SERVICES}"),
            &format!("--audit-policy-file={}", self.audit_policy.display()),
            &format!(
                "--audit-log-path={}",
                audit_log(self.processes.log).display()
            ),
            "--audit-log-maxbackup=1",
        ])
    }

    fn controller_manager(&self) -> Vec<String> {
        let file = |name: &str| self.pki.file(name).display().to_string();
        let mut args = self.client(CONTROLLERS);
        args.extend(strings(&[
            "--use-service-account-credentials=true",
            &format!("--service-account-private-key-file={}", file("sa.key")),
            &format!("--root-ca-file={}", file("ca.crt")),
            &format!("--cluster-signing-cert-file={}", file("ca.crt")),
            &format!("--cluster-signing-key-file={}", file("ca.key")),
            "--controllers=*,tokencleaner,bootstrapsigner",
            // Each node's pod range is fixed in its CNI configuration.
            "--allocate-node-cidrs=false",
            // A kubelet that is down shows sooner; the nodes' leases are renewed as much more often.
            "--node-monitor-grace-period=20s",
        ]));
        args
    }

    fn client(&self, name: &str) -> Vec<String> {
        let config = self.pki.file(&format!("{name}.conf")).display().to_string();
        strings(&[
            "--bind-address=127.0.0.1",
            &format!("--kubeconfig={config}"),
            &format!("--authentication-kubeconfig={config}"),
            &format!("--authorization-kubeconfig={config}"),
            "--leader-elect=false",
            // A thousand fake pods would else wait for these two alone.
            "--kube-api-qps=5000",
            "--kube-api-burst=10000",
        ])
    }
}

/// Where the API server writes down who wrote what.
pub fn audit_log(log: &Path) -> PathBuf {
    log.join("audit.log")
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}
