//! Container images without a container engine: one layer each, in the format of `docker save`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cache::hex;
use crate::command;
use crate::error::{Error, Result};
use crate::go;

/// What the images are made from.
pub struct Parts<'a> {
    /// `image/containers` of this crate.
    pub files: &'a Path,
    /// Debian's tree, with busybox and runit unpacked under `opt/lab/extra`.
    pub debian: &'a Path,
    pub kubernetes: &'a Path,
    pub calico: &'a Path,
    /// A folder to work in.
    pub work: &'a Path,
}

impl Parts<'_> {
    /// Writes all archives into `to`.
    pub fn pack(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).map_err(Error::file("make", to))?;
        let pause = self.tree("pause", &[(&self.kubernetes.join("pause"), "pause")], false)?;
        archive(
            &pause,
            "lab.local/pause:3.10",
            json!({"Entrypoint": ["/pause"], "User": "65535:65535"}),
            to,
        )?;

        let busybox = self.tree("busybox", &[], true)?;
        archive(
            &busybox,
            "lab.local/busybox:1.35",
            json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}),
            to,
        )?;

        let runit = self.debian.join("opt/lab/extra/usr/bin");
        let bird = self.debian.join("usr/sbin");
        let mut files = vec![
            (
                self.calico.join("calico-node"),
                "usr/bin/calico-node".to_owned(),
            ),
            (
                self.calico.join("calico-health"),
                "usr/bin/calico-health".to_owned(),
            ),
            (bird.join("bird"), "bin/bird".to_owned()),
            (bird.join("bird6"), "bin/bird6".to_owned()),
            (bird.join("birdc"), "bin/birdc".to_owned()),
            (
                self.calico.join("conf.d"),
                "etc/calico/confd/conf.d".to_owned(),
            ),
            (
                self.calico.join("templates"),
                "etc/calico/confd/templates".to_owned(),
            ),
        ];
        files.extend(
            ["runsvdir", "runsv", "sv"].map(|name| (runit.join(name), format!("bin/{name}"))),
        );
        files.extend(
            self.libraries()?
                .into_iter()
                .map(|library| (self.debian.join(&library), library)),
        );
        let borrowed: Vec<(&Path, &str)> = files
            .iter()
            .map(|(from, name)| (from.as_path(), name.as_str()))
            .collect();
        let node = self.tree("calico-node", &borrowed, true)?;
        let config = json!({"Cmd": ["/bin/start"], "Env": ["PATH=/usr/bin:/bin", "SVDIR=/etc/service/enabled"]});
        archive(
            &node,
            &format!("lab.local/calico-node:{}", go::CALICO),
            config,
            to,
        )?;

        let (main, check) = (
            self.calico.join("kube-controllers"),
            self.calico.join("check-status"),
        );
        let controllers = [
            (main.as_path(), "usr/bin/kube-controllers"),
            (check.as_path(), "usr/bin/check-status"),
        ];
        let controllers = self.tree("kube-controllers", &controllers, false)?;
        let config = json!({"Entrypoint": ["/usr/bin/kube-controllers"], "Env": ["PATH=/usr/bin"]});
        archive(
            &controllers,
            &format!("lab.local/kube-controllers:{}", go::CALICO),
            config,
            to,
        )
    }

    /// A container's tree: the files of the image, this crate's own, and busybox with all its names if wanted.
    fn tree(&self, name: &str, files: &[(&Path, &str)], with_busybox: bool) -> Result<PathBuf> {
        let tree = self.work.join(name);
        for dir in [
            "bin",
            "etc",
            "tmp",
            "status",
            "etc/calico/confd/config",
            "var/run/calico",
            "var/lib/calico",
        ] {
            fs::create_dir_all(tree.join(dir)).map_err(Error::file("make", &tree))?;
        }
        if with_busybox {
            let busybox = self.debian.join("opt/lab/extra/bin/busybox");
            let script = "cp \"$1\" \"$2/busybox\"; for name in $(\"$1\" --list); do \
                          [ $name = busybox ] || ln -s busybox \"$2/$name\"; done";
            let mut link = std::process::Command::new("sh");
            link.args(["-ec", script, "sh"])
                .arg(&busybox)
                .arg(tree.join("bin"));
            command::text(&mut link, "unpacking busybox")?;
        }
        for (from, to) in files {
            let to = tree.join(to);
            let parent = to.parent().unwrap_or(&tree);
            fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
            copy_tree(from, &to)?;
        }
        let own = self.files.join(name);
        if own.is_dir() {
            copy_tree(&own.join("."), &tree)?;
        }
        Ok(tree)
    }

    /// The libraries of BIRD, as paths inside the tree.
    fn libraries(&self) -> Result<Vec<String>> {
        let mut ldd = std::process::Command::new("chroot");
        ldd.arg(self.debian).args([
            "ldd",
            "/usr/sbin/bird",
            "/usr/sbin/bird6",
            "/usr/sbin/birdc",
        ]);
        let listed = command::text(&mut ldd, "listing BIRD's libraries")?;
        let mut found: Vec<String> = listed
            .lines()
            .filter(|line| !line.ends_with(':'))
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.strip_prefix('/'))
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        Ok(found)
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mut copy = std::process::Command::new("cp");
    copy.args(["-rL", "--preserve=mode", "--remove-destination", "--"])
        .arg(from)
        .arg(to);
    command::text(&mut copy, "copying files of a container image").map(drop)
}

fn archive(tree: &Path, reference: &str, config: serde_json::Value, to: &Path) -> Result<()> {
    let work = tree.with_extension("archive");
    fs::create_dir_all(&work).map_err(Error::file("make", &work))?;
    let layer = work.join("layer.tar");
    tar(tree, &layer, &["."], true)?;
    let digest = hex(&Sha256::digest(
        fs::read(&layer).map_err(Error::file("read", &layer))?,
    ));
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "lab"}],
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let manifest =
        json!([{"Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"]}])
            .to_string();
    for (name, content) in [(config_name.as_str(), config), ("manifest.json", manifest)] {
        fs::write(work.join(name), content).map_err(Error::file("write", &work.join(name)))?;
    }
    let name = reference
        .rsplit('/')
        .next()
        .unwrap_or(reference)
        .split(':')
        .next()
        .unwrap_or(reference);
    tar(
        &work,
        &to.join(format!("{name}.tar")),
        &["manifest.json", &config_name, "layer.tar"],
        true,
    )?;
    fs::remove_dir_all(&work).map_err(Error::file("remove", &work))
}

/// A tar whose bytes depend on nothing but the content.
///
/// With `modes`, everybody may read all of it, whatever the umask of whoever checked this repository out.
pub fn tar(dir: &Path, to: &Path, names: &[&str], modes: bool) -> Result<()> {
    let mut tar = std::process::Command::new("tar");
    tar.args([
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "--mtime=@0",
        "--sort=name",
    ])
    .args(modes.then_some("--mode=u=rwX,go=rX"))
    .arg("-C")
    .arg(dir)
    .arg("-cf")
    .arg(to)
    .args(names);
    command::text(&mut tar, "packing a tar").map(drop)
}
