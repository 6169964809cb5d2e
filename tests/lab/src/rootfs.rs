//! The Debian tree that all nodes are made from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cache::{self, Key};
use crate::command;
use crate::error::{Error, Result};
use crate::packages;

const SUITE: &str = "bookworm";
const FIRST_PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,iproute2,procps,ca-certificates";

/// Documentation never gets into the tree.
const DPKG: &str = "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n";

pub fn key(source: &Path) -> Result<String> {
    Ok(Key::default()
        .text(SUITE)
        .text(FIRST_PACKAGES)
        .text(DPKG)
        .files(&source.join("image/packages.sh"))?
        .finish())
}

/// The tree's folder in the cache.
pub fn build(
    source: &Path,
    cache: &Path,
    log: &Path,
    on_build: impl FnOnce(&str),
) -> Result<PathBuf> {
    cache::part(cache, "debian", &key(source)?, |dir| {
        on_build(SUITE);
        let mirror = packages::mirror()?;
        let mut debootstrap = isolated();
        debootstrap
            .args([
                "debootstrap",
                "--variant=minbase",
                &format!("--include={FIRST_PACKAGES}"),
                SUITE,
            ])
            .arg(dir)
            .arg(&mirror);
        command::logged(
            &mut debootstrap,
            &log.join("debootstrap.log"),
            "debootstrap",
        )?;
        write(&dir.join("etc/dpkg/dpkg.cfg.d/lab"), DPKG)?;
        // Nothing is to be started while packages are installed.
        let policy = dir.join("usr/sbin/policy-rc.d");
        write(&policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("change", &policy))?;
        let resolv = fs::read("/etc/resolv.conf")
            .map_err(Error::file("read", Path::new("/etc/resolv.conf")))?;
        write(&dir.join("etc/resolv.conf"), resolv)?;
        inside(
            dir,
            &source.join("image/packages.sh"),
            &log.join("packages.log"),
            "installing the node's packages",
        )
    })
}

/// Runs a script inside a tree.
pub fn inside(tree: &Path, script: &Path, log: &Path, doing: &str) -> Result<()> {
    let text = fs::read_to_string(script).map_err(Error::file("read", script))?;
    let mut command = isolated();
    command
        .args([
            "sh",
            "-ec",
            "mount -t proc proc \"$1/proc\" && exec chroot \"$1\" sh -c \"$2\"",
            "sh",
        ])
        .arg(tree)
        .arg(text);
    command::logged(&mut command, log, doing)
}

/// For a command in mount and process namespaces of its own, which end with us and take all its processes along.
pub fn isolated() -> std::process::Command {
    let mut command = command::bound_to_us("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    command
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).map_err(Error::file("write", path))
}
