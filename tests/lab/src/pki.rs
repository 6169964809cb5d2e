//! The lab's authority, the certificates it issues, ssh keys and the bootstrap token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};
use crate::machine::NODES;
use crate::network::API;

/// A client of the API server: file name, and who the certificate says it is.
const CLIENTS: &[(&str, &str)] = &[
    ("admin", "/O=system:masters/CN=admin"),
    (
        "kube-controller-manager",
        "/CN=system:kube-controller-manager",
    ),
    ("kube-scheduler", "/CN=system:kube-scheduler"),
    ("calicoctl", "/O=lab:calicoctl/CN=calicoctl"),
    (
        "apiserver-kubelet",
        "/O=lab:kubelet-admins/CN=kube-apiserver-kubelet-client",
    ),
];

pub struct Pki {
    dir: PathBuf,
}

impl Pki {
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(Error::file("read", &path))
    }

    /// Makes everything, unless it was made before; half-made sets are made anew.
    pub fn create(&self) -> Result<()> {
        let whole = self.file("whole");
        if whole.exists() {
            return Ok(());
        }
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).map_err(Error::file("remove", &self.dir))?;
        }
        fs::create_dir_all(&self.dir).map_err(Error::file("make", &self.dir))?;
        self.authority("ca", "/CN=lab-ca")?;
        let names =
            "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost";
        let names = format!("subjectAltName={names},IP:{API},IP:10.96.0.1,IP:127.0.0.1");
        self.issue(
            "ca",
            "apiserver",
            "/CN=kube-apiserver",
            "serverAuth",
            &names,
        )?;
        for (name, subject) in CLIENTS {
            self.issue("ca", name, subject, "clientAuth", "")?;
            let user = format!(
                "{{client-certificate-data: {}, client-key-data: {}}}",
                self.base64(&format!("{name}.crt"))?,
                self.base64(&format!("{name}.key"))?
            );
            self.kubeconfig(name, &user)?;
        }
        self.openssl(&["genrsa", "-out", "sa.key", "2048"])?;
        let id = self.random(3)?;
        let token = format!("{id}.{}", self.random(8)?);
        self.write("token", &token)?;
        self.kubeconfig("bootstrap", &format!("{{token: {token}}}"))?;
        self.ssh_key("id_ed25519", "lab")?;
        for node in NODES {
            self.ssh_key(&format!("host-{}", node.name()), &node.name())?;
        }
        self.write("whole", "")
    }

    /// What Calico's etcd and its clients need, unless it was made before: an authority of its own, so that nobody gets
    /// in with a certificate of the cluster's.
    pub fn create_etcd(&self) -> Result<()> {
        if self.file("etcd-whole").exists() {
            return Ok(());
        }
        self.authority("etcd-ca", "/CN=calico-etcd-ca")?;
        // The server dials itself for its gateway: a client, too.
        self.issue(
            "etcd-ca",
            "calico-etcd",
            "/CN=calico-etcd",
            "serverAuth,clientAuth",
            &format!("subjectAltName=IP:{API},IP:127.0.0.1"),
        )?;
        for client in ["calico-node", "calicoctl"] {
            let (name, subject) = (format!("etcd-{client}"), format!("/CN={client}"));
            self.issue("etcd-ca", &name, &subject, "clientAuth", "")?;
        }
        self.write("etcd-whole", "")
    }

    fn authority(&self, name: &str, subject: &str) -> Result<()> {
        self.key(name)?;
        self.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &format!("{name}.key"),
            "-days",
            "3650",
            "-subj",
            subject,
            "-out",
            &format!("{name}.crt"),
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
        ])
    }

    fn issue(&self, by: &str, name: &str, subject: &str, usage: &str, more: &str) -> Result<()> {
        self.key(name)?;
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[
            "req", "-new", "-key", &key, "-subj", subject, "-out", &request,
        ])?;
        let extensions =
            format!("keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n{more}\n");
        self.write("extensions", &extensions)?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &format!("{by}.crt"),
            "-CAkey",
            &format!("{by}.key"),
            "-CAcreateserial",
            "-days",
            "3650",
            "-out",
            &format!("{name}.crt"),
            "-extfile",
            "extensions",
        ])
    }

    fn key(&self, name: &str) -> Result<()> {
        self.openssl(&[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            &format!("{name}.key"),
        ])
    }

    fn ssh_key(&self, name: &str, comment: &str) -> Result<()> {
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .current_dir(&self.dir)
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", name]);
        command::text(&mut keygen, "making an ssh key").map(drop)
    }

    fn kubeconfig(&self, name: &str, user: &str) -> Result<()> {
        let authority = self.base64("ca.crt")?;
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: lab\n  cluster: {{server: \"https://{API}:6443\", \
             certificate-authority-data: {authority}}}\nusers:\n- name: {name}\n  user: {user}\ncontexts:\n\
             - name: lab\n  context: {{cluster: lab, user: {name}}}\ncurrent-context: lab\n"
        );
        self.write(&format!("{name}.conf"), &text)
    }

    /// A file as one line of base64.
    pub fn base64(&self, name: &str) -> Result<String> {
        let mut base64 = Command::new("base64");
        Ok(command::text(
            base64.arg("-w0").arg(self.file(name)),
            "encoding a certificate",
        )?
        .trim()
        .to_owned())
    }

    fn random(&self, bytes: u32) -> Result<String> {
        let mut openssl = Command::new("openssl");
        Ok(command::text(
            openssl.args(["rand", "-hex", &bytes.to_string()]),
            "making a token",
        )?
        .trim()
        .to_owned())
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        command::text(
            Command::new("openssl").current_dir(&self.dir).args(args),
            "making a certificate",
        )
        .map(drop)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        crate::write_private(&self.file(name), text)
    }
}
