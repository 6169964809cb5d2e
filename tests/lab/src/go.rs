//! Kubernetes, etcd, Calico and kwok, built from their Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Key};
use crate::command;
use crate::error::{Error, Result};

pub const CALICO: &str = "v3.31.0";
/// The commit that v3.31.0 is, as the module's version in go.mod ends.
const CALICO_COMMIT: &str = "b1f3c43f8437";
const CALICO_MODULE: &str = "github.com/projectcalico/calico";

const KUBERNETES_PACKAGES: &[&str] = &[
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl",
    "k8s.io/kubernetes/cmd/kubelet",
    "go.etcd.io/etcd/server/v3",
    "./pause",
];
const CALICO_PACKAGES: &[&str] = &[
    "github.com/projectcalico/calico/calicoctl/calicoctl",
    "github.com/projectcalico/calico/kube-controllers/cmd/kube-controllers",
    "github.com/projectcalico/calico/kube-controllers/cmd/check-status",
    "./node",
    "./health",
    "./autodetect",
];
const KWOK_MODULE: &str = "sigs.k8s.io/kwok";
const KWOK_PACKAGES: &[&str] = &["sigs.k8s.io/kwok/cmd/kwok"];

/// Where the modules lie, and the cache that takes what is built of them.
pub struct Builds<'a> {
    pub source: &'a Path,
    pub cache: &'a Path,
    pub log: &'a Path,
}

impl Builds<'_> {
    /// etcd, the control plane, kubectl, kubelet and pause.
    pub fn kubernetes(&self, on_build: impl FnOnce(&str)) -> Result<PathBuf> {
        let module = self.source.join("go/kubernetes");
        let version = version_of("k8s.io/kubernetes", &module)?;
        let key = self.key(&module, KUBERNETES_PACKAGES)?;
        cache::part(self.cache, "kubernetes", &key, |dir| {
            on_build(&version);
            let minor = version.split('.').nth(1).unwrap_or_default();
            let x = "-X k8s.io/component-base/version";
            let flags = format!(
                "{x}.gitVersion={version} {x}.gitMajor=1 {x}.gitMinor={minor} {x}.gitTreeState=clean"
            );
            self.build(&module, &flags, KUBERNETES_PACKAGES, dir, "kubernetes")?;
            rename(dir, "server", "etcd")
        })
    }

    /// calicoctl, the parts of calico-node and kube-controllers; confd's templates and the resource definitions.
    pub fn calico(&self, on_build: impl FnOnce(&str)) -> Result<PathBuf> {
        let module = self.source.join("go/calico");
        let key = self.key(&module, CALICO_PACKAGES)?;
        cache::part(self.cache, "calico", &key, |dir| {
            on_build(CALICO);
            let x = format!("-X {CALICO_MODULE}/pkg/buildinfo");
            let flags = format!("{x}.Version={CALICO} {x}.GitRevision={CALICO_COMMIT}");
            self.build(&module, &flags, CALICO_PACKAGES, dir, "calico")?;
            rename(dir, "node", "calico-node")?;
            rename(dir, "health", "calico-health")?;
            rename(dir, "autodetect", "calico-autodetect")?;
            let mut list = Command::new("go");
            list.current_dir(&module)
                .args(["list", "-m", "-f", "{{.Dir}}", CALICO_MODULE]);
            let of_calico =
                PathBuf::from(command::text(&mut list, "finding Calico's module")?.trim());
            for definitions in ["crds.yaml", "operator-crds.yaml"] {
                copy(
                    &of_calico.join("manifests").join(definitions),
                    &dir.join(definitions),
                )?;
            }
            for folder in ["conf.d", "templates"] {
                let (from, to) = (
                    of_calico.join("confd/etc/calico/confd").join(folder),
                    dir.join(folder),
                );
                fs::create_dir(&to).map_err(Error::file("make", &to))?;
                for entry in fs::read_dir(&from)
                    .map_err(Error::file("read", &from))?
                    .flatten()
                {
                    copy(&entry.path(), &to.join(entry.file_name()))?;
                }
            }
            Ok(())
        })
    }

    /// kwok, which has its usual stages of nodes and pods inside.
    pub fn kwok(&self, on_build: impl FnOnce(&str)) -> Result<PathBuf> {
        let module = self.source.join("go/kwok");
        let version = version_of(KWOK_MODULE, &module)?;
        let key = self.key(&module, KWOK_PACKAGES)?;
        cache::part(self.cache, "kwok", &key, |dir| {
            on_build(&version);
            self.build(&module, "", KWOK_PACKAGES, dir, "kwok")
        })
    }

    fn key(&self, module: &Path, packages: &[&str]) -> Result<String> {
        // This file says how they are built.
        let mut key = Key::default().text(include_str!("go.rs"));
        for package in packages {
            key = key.text(package);
        }
        Ok(key.files(module)?.finish())
    }

    fn build(
        &self,
        module: &Path,
        flags: &str,
        packages: &[&str],
        to: &Path,
        name: &str,
    ) -> Result<()> {
        if !command::is_on_path("go") {
            return Err(Error::unfit(
                "there is no Go on the PATH",
                "install Go 1.25 or newer",
            ));
        }
        let mut out = to.as_os_str().to_owned();
        out.push("/");
        let mut go = command::bound_to_us("go");
        // One command for all packages, so that both processors have work to the end.
        go.current_dir(module)
            .env("CGO_ENABLED", "0")
            // The compiler collects its garbage less often: a fifth less work, for memory that it gives back soon.
            .env("GOGC", "400")
            .args([
                "build",
                "-mod=readonly",
                "-trimpath",
                "-ldflags",
                &format!("-s -w {flags}"),
                "-o",
            ])
            .arg(out)
            .args(packages);
        command::logged(
            &mut go,
            &self.log.join(format!("go-{name}.log")),
            &format!("building {name}"),
        )
    }
}

fn version_of(module: &str, dir: &Path) -> Result<String> {
    let path = dir.join("go.mod");
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    text.lines()
        .find_map(|line| {
            let mut words = line.split_whitespace().filter(|word| *word != "require");
            (words.next() == Some(module))
                .then(|| words.next())
                .flatten()
        })
        .map(str::to_owned)
        .ok_or_else(|| Error::Unreadable {
            what: format!("the version of {module}"),
            answer: path.display().to_string(),
        })
}

fn rename(dir: &Path, from: &str, to: &str) -> Result<()> {
    fs::rename(dir.join(from), dir.join(to)).map_err(Error::file("rename", &dir.join(from)))
}

/// Copies the content only: files of the module cache are read-only.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).map_err(Error::file("read", from))?;
    fs::write(to, content).map_err(Error::file("write", to))
}
