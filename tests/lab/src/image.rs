//! The base image of all machines: Debian, containerd with its images already imported, and the kubelet.
//!
//! Nothing in it belongs to one lab: keys, certificates, names and addresses come with each machine's seed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{self, Key};
use crate::command;
use crate::containers::Parts;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::rootfs;

/// Sparse; an overlay can write up to this much.
const SIZE: &str = "3G";
const MODULES: &str = "/usr/lib/uml/modules";

pub struct Ingredients<'a> {
    pub source: &'a Path,
    pub cache: &'a Path,
    pub log: &'a Path,
    pub debian: &'a Path,
    pub kubernetes: &'a Path,
    pub calico: &'a Path,
    pub progress: &'a Progress,
}

impl Ingredients<'_> {
    /// The image file in the cache.
    pub fn build(&self, on_build: impl FnOnce()) -> Result<PathBuf> {
        let kernel = command::text(
            Command::new("linux.uml").arg("--version"),
            "asking for the kernel's version",
        )?;
        let mut key = Key::default().text(&kernel).text(SIZE);
        for part in [self.debian, self.kubernetes, self.calico] {
            key = key.text(&part.file_name().unwrap_or_default().to_string_lossy());
        }
        for how in [include_str!("image.rs"), include_str!("containers.rs")] {
            key = key.text(how);
        }
        let key = key.files(&self.source.join("image"))?.finish();
        let dir = cache::part(self.cache, "image", &key, |dir| {
            on_build();
            let tree = dir.join("tree");
            let part = |name: &str, work: &dyn Fn() -> Result<()>| self.progress.part(name, work);
            part("  image: tree filled", &|| self.fill(&tree, dir))?;
            part("  image: file system made", &|| {
                make_file_system(&tree, &dir.join("base.img"))
            })?;
            part("  image: container images imported", &|| {
                self.golden_boot(dir)
            })?;
            fs::remove_dir_all(&tree).map_err(Error::file("remove", &tree))
        })?;
        Ok(dir.join("base.img"))
    }

    fn fill(&self, tree: &Path, work: &Path) -> Result<()> {
        copy("-a", self.debian, tree)?;
        let containers = work.join("containers");
        let parts = Parts {
            files: &self.source.join("image/containers"),
            debian: self.debian,
            kubernetes: self.kubernetes,
            calico: self.calico,
            work: &containers,
        };
        parts.pack(&tree.join("opt/lab"))?;
        for dir in [&containers, &tree.join("opt/lab/extra")] {
            fs::remove_dir_all(dir).map_err(Error::file("remove", dir))?;
        }
        let modules = tree.join("lib/modules");
        fs::create_dir_all(&modules).map_err(Error::file("make", &modules))?;
        copy("-a", &Path::new(MODULES).join("."), &modules)?;
        for (from, to) in [
            (self.kubernetes.join("kubelet"), "usr/bin/kubelet"),
            (self.kubernetes.join("kubectl"), "usr/bin/kubectl"),
            (self.calico.join("calicoctl"), "usr/local/bin/calicoctl"),
            (
                self.calico.join("calico-autodetect"),
                "usr/local/bin/calico-autodetect",
            ),
        ] {
            copy("-p", &from, &tree.join(to))?;
        }
        let own = work.join("own.tar");
        crate::containers::tar(&self.source.join("image/rootfs"), &own, &["."], true)?;
        // Unpacked, not copied: all belongs to root, whoever checked this repository out.
        let mut unpack = Command::new("tar");
        unpack
            .args(["--no-overwrite-dir", "-C"])
            .arg(tree)
            .arg("-xf")
            .arg(&own);
        command::text(&mut unpack, "placing the node's files")?;
        fs::remove_file(&own).map_err(Error::file("remove", &own))?;
        let script = self.source.join("image/configure.sh");
        rootfs::inside(
            tree,
            &script,
            &self.log.join("configure.log"),
            "configuring the node's tree",
        )
    }

    /// One boot without network, in which containerd imports its images.
    fn golden_boot(&self, dir: &Path) -> Result<()> {
        let console = self.log.join("golden-boot.log");
        let mut uml = rootfs::isolated();
        uml.args([
            "timeout",
            "--kill-after=5",
            "300",
            "linux.uml",
            "mem=768M",
            "umid=golden",
            "root=/dev/ubda",
            "rw",
        ])
        .args([
            "con=null",
            "con0=null,fd:1",
            "loglevel=4",
            "systemd.show_status=0",
            "lab.golden",
        ])
        .arg(format!("uml_dir={}/", dir.join("uml").display()))
        .arg(format!("ubda={}", dir.join("base.img").display()))
        .stdin(Stdio::null());
        fs::create_dir_all(dir.join("uml")).map_err(Error::file("make", dir))?;
        command::logged(&mut uml, &console, "the image's first boot")?;
        fs::remove_dir_all(dir.join("uml")).map_err(Error::file("remove", dir))?;
        let said = fs::read(&console).map_err(Error::file("read", &console))?;
        if String::from_utf8_lossy(&said).contains("golden boot complete") {
            return Ok(());
        }
        Err(Error::Failed {
            doing: "importing container images in the image's first boot".into(),
            status: "it ended without saying that it was complete".into(),
            output: String::new(),
            log: Some(console),
        })
    }
}

fn make_file_system(tree: &Path, image: &Path) -> Result<()> {
    command::text(
        Command::new("truncate").args(["-s", SIZE]).arg(image),
        "making the image's file",
    )?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args([
        "-q",
        "-F",
        "-m0",
        "-J",
        "size=8",
        "-E",
        "lazy_itable_init=1,nodiscard",
        "-d",
    ])
    .arg(tree)
    .arg(image);
    command::text(&mut mkfs, "making the image's file system").map(drop)
}

fn copy(how: &str, from: &Path, to: &Path) -> Result<()> {
    command::text(
        Command::new("cp").arg(how).arg("--").arg(from).arg(to),
        "copying files into the image",
    )
    .map(drop)
}
