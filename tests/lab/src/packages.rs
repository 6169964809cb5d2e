//! The machine's own Debian packages: what the lab needs of them, and where they come from.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{self, is_on_path};
use crate::error::{Error, Result};

/// A program and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("linux.uml", "user-mode-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("mkfs.ext4", "e2fsprogs"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("tar", "tar"),
    // To strip programs before they are copied to a node.
    ("strip", "binutils"),
    // Not the lab's own needs, but those of tests: faults in system calls, and a network file system.
    ("strace", "strace"),
    ("sshfs", "sshfs"),
];

/// Installs what is missing and nothing else; says what it installed.
pub fn install_missing(log: &Path) -> Result<Vec<&'static str>> {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(missing);
    }
    if !is_on_path("apt-get") {
        return Err(Error::unfit(
            format!(
                "missing here: {}, and there is no apt-get to install them",
                missing.join(", ")
            ),
            "use a Debian machine, or install them by hand",
        ));
    }
    let install = |missing: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-y", "--no-install-recommends", "install"])
            .args(missing);
        command::logged(&mut apt, log, "installing Debian packages")
    };
    if install(&missing).is_err() {
        // Stale package lists name versions that the mirror no longer has.
        command::logged(
            Command::new("apt-get").arg("update"),
            log,
            "updating Debian's package lists",
        )?;
        install(&missing)?;
    }
    Ok(missing)
}

/// The Debian mirror that this machine's own apt uses.
pub fn mirror() -> Result<String> {
    let mut texts = Vec::new();
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(dir) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<_> = dir.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|ext| ext.to_str()) {
            Some("sources") => texts.extend(deb822_uris(&text)),
            Some("list") => texts.extend(list_uris(&text)),
            _ => {}
        }
    }
    texts
        .into_iter()
        .filter_map(|uri| match uri.strip_prefix("mirror+file:") {
            // A list of mirrors in a file, as cloud images have it: the first one will do.
            Some(path) => fs::read_to_string(path)
                .ok()?
                .split_whitespace()
                .next()
                .map(str::to_owned),
            None => Some(uri),
        })
        .find(|uri| uri.starts_with("http") && uri.trim_end_matches('/').ends_with("/debian"))
        .ok_or_else(|| {
            Error::unfit(
                "apt on this machine names no Debian mirror (an address that ends in /debian)",
                "put one into /etc/apt/sources.list.d/debian.sources",
            )
        })
}

fn deb822_uris(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let off = field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        let binary =
            field("Types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"));
        if !off && binary {
            uris.extend(
                field("URIs")
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned),
            );
        }
    }
    uris
}

fn list_uris(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("deb")?;
            let rest = rest
                .starts_with(char::is_whitespace)
                .then_some(rest.trim_start())?;
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            rest.split_whitespace().next().map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_both_formats() {
        let deb822 = "Types: deb\n# http://other/debian/2025\nURIs: http://mirror/debian http://second/debian\n\
                      Suites: bookworm\n\nTypes: deb-src\nURIs: http://source/debian\n\n\
                      Enabled: no\nTypes: deb\nURIs: http://off/debian\n";
        assert_eq!(
            deb822_uris(deb822),
            ["http://mirror/debian", "http://second/debian"]
        );
        let list = "# deb http://comment/debian x main\ndeb [arch=amd64 signed-by=/k] http://a/debian/ bookworm main\n\
                    deb-src http://source/debian bookworm main\ndeb\thttp://b/debian bookworm main\n";
        assert_eq!(list_uris(list), ["http://a/debian/", "http://b/debian"]);
    }
}
