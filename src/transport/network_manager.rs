//! NetworkManager on hosts: how it is set up, and the programs that keep it off devices.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::network_manager::{ConfigFile, nmcli_fields};
use crate::model::{FileRef, FileState, HostRef, Program};
use std::collections::BTreeMap;

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/find_process.sh"),
    include_str!("host/network_manager.sh")
);
const CHANGE: &str = concat!(
    include_str!("host/look.sh"),
    include_str!("host/find_process.sh"),
    include_str!("host/unmanaged_devices.sh")
);

/// Whether NetworkManager is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    Absent,
    Idle,
    Running,
}

/// A device, as NetworkManager knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    /// What it is, in NetworkManager's words.
    pub kind: String,
    pub state: String,
}

impl Device {
    pub fn is_managed(&self) -> bool {
        self.state != "unmanaged"
    }
}

/// How NetworkManager is set up on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkManagerReading {
    pub daemon: Daemon,
    /// What of `NetworkManager`, `nmcli` and `systemd` there is.
    pub tools: Vec<String>,
    /// What the daemon was started with.
    pub arguments: Vec<String>,
    pub files: Vec<ConfigFile>,
    /// What `--print-config` prints, or why it does not.
    pub printed: Result<Vec<u8>, String>,
    /// What `nmcli` tells, or why it does not.
    pub devices: Result<Vec<Device>, String>,
    /// Links without which nobody reaches the host, each with why.
    pub needed: Vec<(String, String)>,
}

impl NetworkManagerReading {
    pub fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|there| there == tool)
    }

    fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            tools: Vec::new(),
            arguments: Vec::new(),
            files: Vec::new(),
            printed: Err("it was not asked".to_owned()),
            devices: Err("it was not asked".to_owned()),
            needed: Vec::new(),
        }
    }

    fn of(parts: &[(String, Vec<u8>)]) -> Self {
        let mut reading = Self::new(Daemon::Idle);
        let mut lower = String::new();
        for (line, body) in parts {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let text = || String::from_utf8_lossy(body).into_owned();
            let answer = || match rest {
                "0" => Ok(body.clone()),
                code => Err(match text().trim() {
                    "" => format!("exit code {code}"),
                    said => said.to_owned(),
                }),
            };
            match word {
                "daemon" if rest == "running" => reading.daemon = Daemon::Running,
                "tool" => reading.tools.push(rest.to_owned()),
                "arguments" => {
                    let words = text();
                    let words = words.split('\0').skip(1).filter(|word| !word.is_empty());
                    reading.arguments = words.map(str::to_owned).collect();
                }
                "file" => reading.files.push(ConfigFile {
                    path: rest.to_owned(),
                    content: body.clone(),
                }),
                "printed" => reading.printed = answer(),
                "devices" => {
                    reading.devices = answer().map(|body| devices(&String::from_utf8_lossy(&body)));
                }
                "route" => {
                    let link = after_dev(&text());
                    reading.needed.extend(
                        link.map(|link| {
                            (link, format!("the connection from {rest} comes over it"))
                        }),
                    );
                }
                "lower" => lower = text(),
                "routes4" => reading
                    .needed
                    .extend(defaults(&text(), 0, &[(1, 8), (7, 8)])),
                "routes6" => reading
                    .needed
                    .extend(defaults(&text(), 9, &[(0, 32), (1, 2)])),
                _ => {}
            }
        }
        reading.needed = with_lower(reading.needed, &lower);
        reading
    }
}

/// With the links that lie under those, as deep as that goes: each line of `lower` has a link, and one
/// under it.
fn with_lower(needed: Vec<(String, String)>, lower: &str) -> Vec<(String, String)> {
    let mut all = needed;
    let mut at = 0;
    while let Some((upper, why)) = all.get(at).cloned() {
        for line in lower.lines() {
            if let Some((link, below)) = line.split_once(' ')
                && link == upper
                && !all.iter().any(|(known, _)| known == below)
            {
                let why = format!("{upper} lies over it, and of that, {why}");
                all.push((below.to_owned(), why));
            }
        }
        at += 1;
    }
    all
}

/// What `nmcli -t -f DEVICE,TYPE,STATE device` tells.
fn devices(text: &str) -> Vec<Device> {
    let line = |line: &str| {
        let [name, kind, state] = nmcli_fields(line).try_into().ok()?;
        Some(Device { name, kind, state })
    };
    text.lines().filter_map(line).collect()
}

/// The link in what `ip route get` prints.
fn after_dev(text: &str) -> Option<String> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "dev");
    words.nth(1).map(str::to_owned)
}

/// The links of default routes in a table of the kernel's: where its columns `zero` are all zeros, as
/// many digits as each has.
fn defaults(text: &str, link: usize, zero: &[(usize, usize)]) -> Vec<(String, String)> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_zero = |(at, digits): &(usize, usize)| {
            columns
                .get(*at)
                .is_some_and(|text| text.len() == *digits && text.bytes().all(|b| b == b'0'))
        };
        let link = columns.get(link).filter(|_| zero.iter().all(is_zero))?;
        // The kernel has one of its own for what it cannot reach.
        (*link != "lo").then(|| {
            (
                (*link).to_owned(),
                "a default route goes over it".to_owned(),
            )
        })
    };
    text.lines().filter_map(row).collect()
}

impl Hosts {
    /// Reads how NetworkManager is set up on a host.
    pub async fn read_network_manager(
        &self,
        host: &Destination,
        of: &HostRef,
    ) -> Result<NetworkManagerReading, Fault> {
        let said = self.ask(host, of, &Script::new(READ, &[])).await?;
        match said.word.as_str() {
            "absent" => Ok(NetworkManagerReading::new(Daemon::Absent)),
            "read" => Ok(NetworkManagerReading::of(&said.parts)),
            "denied" => Err(Fault::refused(
                "file_denied",
                format!(
                    "{} may not read {} on {}, and so nobody knows what NetworkManager manages there",
                    of.identity.user(),
                    said.rest,
                    host.name
                ),
            )
            .next("name root in `become`")),
            _ => Err(refusal(host, of, "NetworkManager", &said)),
        }
    }
}

/// One file of NetworkManager's, to be put from a state into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmanagedDevices {
    pub file: FileRef,
    pub before: (FileState, Vec<u8>),
    pub after: (FileState, Vec<u8>),
    /// As NetworkManager has them.
    pub devices: Vec<String>,
    /// NetworkManager may be started anew where it does not let go of a device otherwise.
    pub may_restart: bool,
}

impl UnmanagedDevices {
    pub fn check(&self) -> Program {
        self.program("check", &[])
    }

    pub fn apply(&self) -> Program {
        self.program("apply", &self.after.1)
    }

    pub fn undo(&self) -> Program {
        self.program("undo", &self.before.1)
    }

    fn program(&self, what: &str, content: &[u8]) -> Program {
        let first = [
            what.to_owned(),
            self.file.path.clone(),
            self.before.0.to_string(),
            self.after.0.to_string(),
            for_printf(content),
            if self.may_restart { "restart" } else { "never" }.to_owned(),
        ];
        Program {
            script: Some(CHANGE.to_owned()),
            args: first
                .into_iter()
                .chain(self.devices.iter().cloned())
                .collect(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }
}

/// Bytes as printf's `%b` takes them.
fn for_printf(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in content {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\0{other:03o}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;
