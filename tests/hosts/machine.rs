//! A machine: an sshd with an address, processes, and folders for what changes, all of its own.

use super::place::{Place, make_key, path, text};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is waited for comes within this time, or never.
const DEADLINE: Duration = Duration::from_secs(20);

/// What it starts with. `$1` is its folder on the disk, `$2` that of its sshd.
const START: &str = r#"
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mount --bind "$1" /srv
mkdir /run/sshd
"#;

pub struct Machine {
    pub name: String,
    pub address: String,
    folder: PathBuf,
    /// Ends with all in it when this does.
    namespaces: Child,
    /// Its first process.
    pub first: u32,
}

/// How a machine differs from others.
#[derive(Default)]
pub struct Kind<'k> {
    /// Lines for sshd_config(5).
    pub sshd: &'k str,
    /// What is done in its namespaces before sshd starts.
    pub prepare: &'k str,
}

impl Machine {
    pub fn start(place: &Place) -> Result<Self, String> {
        Self::of_kind(place, &Kind::default())
    }

    pub fn of_kind(place: &Place, kind: &Kind<'_>) -> Result<Self, String> {
        let number = place.number();
        let name = format!("m{number}");
        let address = format!("127.0.{}.{}", number / 200, number % 200 + 1);
        let folder = path("machines").join(&name);
        let disk = path("disk").join(&name);
        for folder in [&folder, &disk] {
            fs::create_dir(folder).map_err(text)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(text)?;
        }
        make_key(&folder.join("host_key"))?;
        let config = format!(
            "ListenAddress {address}:22\nHostKey {0}/host_key\nPidFile none\nLogLevel VERBOSE\n\
             UsePAM no\nStrictModes no\nUseDNS no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             AuthorizedKeysFile {1}\n{2}\n",
            folder.display(),
            path("keys/client.pub").display(),
            kind.sshd,
        );
        fs::write(folder.join("sshd_config"), config).map_err(text)?;
        let start = format!(
            "{START}{}\nexec /usr/sbin/sshd -D -f \"$2/sshd_config\" -E \"$2/log\"",
            kind.prepare
        );
        let said = fs::File::create(folder.join("said")).map_err(text)?;
        let namespaces = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc"])
            .args(["--kill-child", "--", "/bin/sh", "-c", &start, "sh"])
            .args([&disk, &folder])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::null())
            .stdout(said.try_clone().map_err(text)?)
            .stderr(said)
            .spawn()
            .map_err(text)?;
        let mut machine = Self {
            name,
            address,
            folder,
            namespaces,
            first: 0,
        };
        machine.wait_until_it_listens()?;
        Ok(machine)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let address = format!("{}:22", self.address);
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(&address).is_err() {
            let ended = self.namespaces.try_wait().map_err(text)?;
            if ended.is_some() || Instant::now() > end {
                let said = fs::read_to_string(self.folder.join("said")).unwrap_or_default();
                return Err(format!(
                    "sshd of {} does not start: {said}{}",
                    self.name,
                    self.log()
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let id = self.namespaces.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).map_err(text)?;
        self.first = children.trim().parse().map_err(text)?;
        Ok(())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its line for known_hosts.
    pub fn known(&self) -> Result<String, String> {
        let key = fs::read_to_string(self.folder.join("host_key.pub")).map_err(text)?;
        Ok(format!("{} {key}", self.address))
    }

    /// How often a session was started, which is what an exec costs.
    pub fn sessions(&self) -> usize {
        self.log().matches("Starting session").count()
    }

    /// A path of the machine, as it is seen from outside of it.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// The command lines of its processes other than sshd's own, with their environment.
    pub fn processes(&self) -> Result<Vec<Process>, String> {
        let namespace = fs::read_link(format!("/proc/{}/ns/pid", self.first)).map_err(text)?;
        let mut all = processes();
        all.retain(|process| {
            let own = fs::read_link(format!("/proc/{}/ns/pid", process.id));
            own.is_ok_and(|own| own == namespace)
                && !process.command.starts_with("sshd:")
                && process.id != self.first
        });
        Ok(all)
    }

    /// Whether a process with these words runs there.
    pub fn runs(&self, command: &str) -> Result<bool, String> {
        let all = self.processes()?;
        Ok(all.iter().any(|process| process.command.trim() == command))
    }

    /// The folders of loops that are there.
    pub fn loops(&self) -> Vec<PathBuf> {
        let home = fs::read_dir(self.inside("/run/runbook"));
        home.into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("/loop."))
            .collect()
    }

    /// Waits until nothing runs there but sshd itself, and no loop has left a folder.
    pub async fn comes_to_rest(&self) -> Result<(), String> {
        until(
            &format!("nothing of the loop is left on {}", self.name),
            || {
                let left = self.processes()?;
                let loops = self.loops();
                Ok(match left.is_empty() && loops.is_empty() {
                    true => None,
                    false => Some(format!("{left:?} {loops:?}")),
                })
            },
        )
        .await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
    }
}

#[derive(Debug)]
pub struct Process {
    pub id: u32,
    /// Its words, with blanks between them.
    pub command: String,
}

/// All that can be seen and has not ended.
pub fn processes() -> Vec<Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(Path::new("/proc").join(entry.file_name()).join("cmdline"));
            let command = String::from_utf8_lossy(&command.ok()?).replace('\0', " ");
            // One that has ended, and that nobody has waited for yet, has none.
            (!command.is_empty()).then_some(Process { id, command })
        })
        .collect()
}

/// Waits for a condition; it says what is still missing.
pub async fn until(
    what: &str,
    mut missing: impl FnMut() -> Result<Option<String>, String>,
) -> Result<(), String> {
    let end = Instant::now() + DEADLINE;
    while let Some(still) = missing()? {
        if Instant::now() > end {
            return Err(format!("waited in vain until {what}: {still}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
