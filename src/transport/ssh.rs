//! Hosts, over OpenSSH: its own client connects, so that its configuration, agent, jump hosts and
//! known hosts hold. On each host there is one shell for each identity, through which all goes.

use super::control::ControlDir;
use super::password::{Password, PasswordSource};
use super::shell_loop::{Answer, Frame, Lost, NoShell, Shell};
use crate::fault::{Class, Fault};
use crate::inventory::Destination;
use crate::model::{Identity, Secrets, Sitting};
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell, watch};
use tokio::time::Instant;

/// A script of ours that has not answered by then will not.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// After three times this without a word, a connection is given up.
const ALIVE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that its process left behind closes itself after this many idle seconds.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(59);
/// How often a server is tried that has too many logins under way (sshd's MaxStartups).
const CROWDED_ATTEMPTS: u32 = 7;

/// How often it is tried where a signal ended the client: Ctrl-C reaches it, too, as long as it connects.
const ENDED_ATTEMPTS: u32 = 3;

/// How connections are made.
#[derive(Debug, Default)]
pub struct SshOptions {
    /// Instead of the user's own client configuration.
    pub config: Option<PathBuf>,
    /// Accept the key of a host that is not known yet. A key that has changed is never accepted.
    pub accept_new: bool,
    /// For becoming another user.
    pub password: PasswordSource,
}

/// The shell of one identity on one host.
#[derive(Default)]
enum Line {
    #[default]
    Down,
    Up(Box<Shell>),
    /// It could not be made; whoever waited for it meanwhile need not try again.
    Failed(Fault, Instant),
}

type Lines = BTreeMap<(Destination, Identity), Arc<Mutex<Line>>>;

/// The hosts of a run, with their connections: made when first needed.
pub struct Hosts {
    options: SshOptions,
    password: Password,
    control: OnceCell<ControlDir>,
    lines: Mutex<Lines>,
    secrets: OnceLock<Secrets>,
    /// For which sitting of a run things are done here, once its hosts are claimed.
    sitting: OnceLock<Sitting>,
    waits: watch::Sender<String>,
}

impl Hosts {
    pub fn new(mut options: SshOptions) -> Self {
        Self {
            password: Password::new(std::mem::take(&mut options.password)),
            options,
            control: OnceCell::new(),
            lines: Mutex::new(BTreeMap::new()),
            secrets: OnceLock::new(),
            sitting: OnceLock::new(),
            waits: watch::Sender::default(),
        }
    }

    pub(super) fn sits(&self, sitting: Sitting) {
        let _ = self.sitting.set(sitting);
    }

    /// Empty where nothing is claimed.
    pub(super) fn sitting(&self) -> String {
        self.sitting
            .get()
            .map(Sitting::to_string)
            .unwrap_or_default()
    }

    /// Takes the values of secret parameters, once.
    pub fn know(&self, secrets: Secrets) {
        let _ = self.secrets.set(secrets);
    }

    pub(super) fn secrets(&self) -> &Secrets {
        self.secrets.get_or_init(Secrets::new)
    }

    /// What is waited for while something is done on a host.
    pub fn waits(&self) -> watch::Receiver<String> {
        self.waits.subscribe()
    }

    pub(super) fn wait_for(&self, what: String) {
        self.waits.send_replace(what);
    }

    /// Runs a script that only reads, as root, and returns what it printed. `script` is literal.
    pub async fn read_as_root(&self, host: &Destination, script: &str) -> Result<String, Fault> {
        self.read_text(host, &Identity::root(), script).await
    }

    /// What a host says that it is.
    pub async fn machine_id(
        &self,
        host: &Destination,
        identity: &Identity,
    ) -> Result<String, Fault> {
        let script = "id=; read -r id </etc/machine-id; echo \"$id\"";
        let text = self.read_text(host, identity, script).await?;
        Ok(text.trim().to_owned())
    }

    async fn read_text(
        &self,
        host: &Destination,
        identity: &Identity,
        script: &str,
    ) -> Result<String, Fault> {
        let frame = Frame {
            script,
            args: &[],
            input: &[],
            limit: TIMEOUT,
        };
        let output = self.read(host, identity, frame).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs a script that only reads, and returns what it printed. A connection that broke since its
    /// last use is made anew once: reading twice does no harm.
    pub(super) async fn read(
        &self,
        host: &Destination,
        identity: &Identity,
        frame: Frame<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let answer = match self.exec(host, identity, frame).await {
            Err((Lost::During(why), true)) => {
                tracing::debug!(host = host.name, "connecting again: {why}");
                self.exec(host, identity, frame).await
            }
            other => other,
        };
        match answer.map_err(|(lost, _)| lost) {
            Ok(Answer {
                code: 0, stdout, ..
            }) => Ok(stdout),
            Ok(answer) => Err(Fault::refused(
                "host_read",
                format!(
                    "reading from {} failed: {}",
                    host.name,
                    how(&answer, frame.limit)
                ),
            )),
            Err(Lost::Before(fault)) => Err(fault),
            Err(lost @ Lost::During(_)) => Err(lost
                .fault()
                .next(format!("try `ssh {} true`", host.address))),
        }
    }

    /// Runs a script that writes, once and never again: whether it was done where the connection broke
    /// is for the caller to find out.
    pub(super) async fn write(
        &self,
        host: &Destination,
        identity: &Identity,
        frame: Frame<'_>,
    ) -> Result<Vec<u8>, Lost> {
        match self.exec(host, identity, frame).await {
            Ok(Answer {
                code: 0, stdout, ..
            }) => Ok(stdout),
            Ok(answer) => Err(Lost::During(format!(
                "what was begun on {} was broken off: {}",
                host.name,
                how(&answer, frame.limit)
            ))),
            Err((lost, _)) => Err(lost),
        }
    }

    /// Runs a frame in the host's shell. Where it is lost, tells too whether the shell had served before.
    async fn exec(
        &self,
        host: &Destination,
        identity: &Identity,
        frame: Frame<'_>,
    ) -> Result<Answer, (Lost, bool)> {
        let asked = Instant::now();
        let line = {
            let mut lines = self.lines.lock().await;
            let key = (host.clone(), identity.clone());
            lines.entry(key).or_default().clone()
        };
        let mut line = line.lock().await;
        // Taken out: where this is given up in the middle, nobody uses what is left of it.
        let (mut shell, served) = match std::mem::take(&mut *line) {
            Line::Up(shell) => (shell, true),
            Line::Failed(fault, when) if when >= asked => {
                *line = Line::Failed(fault.clone(), when);
                return Err((Lost::Before(fault), false));
            }
            Line::Down | Line::Failed(..) => match self.open(host, identity, ALIVE).await {
                Ok(shell) => (Box::new(shell), false),
                Err(fault) => {
                    *line = Line::Failed(fault.clone(), Instant::now());
                    return Err((Lost::Before(fault), false));
                }
            },
        };
        let answer = shell.run(&frame).await;
        match answer {
            Ok(answer) => {
                *line = Line::Up(shell);
                Ok(answer)
            }
            Err(lost) => {
                shell.close().await;
                Err((lost.of(&host.name), served))
            }
        }
    }

    /// Connects and starts the shell; a connection that breaks meanwhile is made anew once.
    /// Without a word for three times `alive`, it is given up.
    pub(super) async fn open(
        &self,
        host: &Destination,
        identity: &Identity,
        alive: Duration,
    ) -> Result<Shell, Fault> {
        let mut again = true;
        loop {
            let session = self.connect(host, alive).await?;
            match Shell::open(session, &host.name, identity, &self.password).await {
                Ok(shell) => {
                    tracing::debug!(host = host.name, boot = shell.boot, "shell of {identity}");
                    return Ok(shell);
                }
                Err(NoShell::Fault(fault)) => return Err(fault),
                Err(NoShell::Broken(why)) if !again => return Err(unreachable(host, &why)),
                Err(NoShell::Broken(_)) => again = false,
            }
        }
    }

    async fn connect(&self, host: &Destination, alive: Duration) -> Result<Session, Fault> {
        let control = self
            .control
            .get_or_try_init(ControlDir::make)
            .await
            .map_err(|e| {
                Fault::refused(
                    "control_folder",
                    format!("there is no folder for OpenSSH's sockets: {e}"),
                )
            })?;
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(if self.options.accept_new {
                KnownHosts::Add
            } else {
                KnownHosts::Strict
            })
            .connect_timeout(CONNECT_TIMEOUT)
            .server_alive_interval(alive)
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS))
            .control_directory(control.path());
        if let Some(user) = &host.user {
            builder.user(user.clone());
        }
        if let Some(port) = host.port {
            builder.port(port);
        }
        if let Some(config) = &self.options.config {
            builder.config_file(config);
        }
        let mut attempt = 1;
        loop {
            tracing::debug!(host = host.name, address = host.address, "connecting");
            // OpenSSH bounds the TCP connection, not a server that accepts and then says nothing.
            let connected =
                tokio::time::timeout(CONNECT_TIMEOUT * 2, builder.connect_mux(&host.address))
                    .await
                    .map_err(|_| {
                        unreachable(
                            host,
                            &format!(
                                "it accepted the connection and then said nothing for {} s",
                                CONNECT_TIMEOUT.as_secs() * 2
                            ),
                        )
                    })?;
            match connected.map_err(|e| chain(&e)) {
                Ok(session) => return Ok(session),
                Err(why) if crowded(&why) && attempt < CROWDED_ATTEMPTS => {
                    tracing::debug!(host = host.name, attempt, "too many logins there: {why}");
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Err(why) if ended(&why) && attempt < ENDED_ATTEMPTS => attempt += 1,
                Err(why) => return Err(unreachable(host, &why)),
            }
        }
    }

    /// Ends all connections.
    pub async fn close(self) {
        let lines = self.lines.into_inner().into_values();
        let up = lines.filter_map(|line| match Arc::into_inner(line)?.into_inner() {
            Line::Up(shell) => Some(shell.close()),
            Line::Down | Line::Failed(..) => None,
        });
        futures::future::join_all(up).await;
    }
}

/// Whether a server, or one on the way to it, has too many logins under way: sshd then closes new
/// ones before it says anything (sshd_config(5), MaxStartups). One that says nothing and closes
/// nothing is not crowded.
fn crowded(why: &str) -> bool {
    let dropped = why.contains("kex_exchange_identification") || why.contains("banner exchange");
    dropped
        && !why.contains("timed out")
        && !why.contains("open failed")
        && !why.contains("stdio forwarding failed")
}

/// Whether the client ended without a word, as it never does by itself.
fn ended(why: &str) -> bool {
    why.ends_with(':')
}

/// Longer each time, and not the same for all that were turned away at once.
fn pause(attempt: u32) -> Duration {
    let base = 250u64 << attempt.min(6);
    let spread = u64::try_from(ulid::Ulid::generate().random() % 1000).unwrap_or(0);
    Duration::from_millis(base + base * spread / 1000)
}

/// How a script of ours ended that should have ended well.
fn how(answer: &Answer, limit: Duration) -> String {
    let said = String::from_utf8_lossy(&answer.stderr);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    match (answer.code, said.as_str()) {
        (124 | 137 | 143, _) => format!("it did not end within {} s", limit.as_secs()),
        (code, "") => format!("exit code {code}"),
        (code, said) => format!("exit code {code}: {said}"),
    }
}

fn unreachable(host: &Destination, why: &str) -> Fault {
    let why = why.trim();
    let at = match host.name == host.address {
        true => host.name.clone(),
        false => format!("{} ({})", host.name, host.address),
    };
    let of = |code: &'static str| {
        Fault::new(
            Class::Unreachable,
            code,
            format!("{at} cannot be reached over SSH: {why}"),
        )
    };
    if why.contains("HOST IDENTIFICATION") {
        of("host_key_changed").next(
            "its key is another than the known one: find out why before anything else; if it was \
             installed anew, `ssh-keygen -R` forgets the old one",
        )
    } else if why.contains("Host key verification failed") {
        of("host_key_unknown").next(
            "its key is not known: check it, then add it to known_hosts (or --accept-new, for hosts \
             never seen before)",
        )
    } else if why.contains("Permission denied") {
        of("host_login").next(format!(
            "no key opens it; only keys work here, from an agent or without a passphrase: try `ssh -o BatchMode=yes {} true`",
            host.address
        ))
    } else if why.contains("timed out") {
        // Of new connections, a host with a full table drops most.
        of("host_unreachable").next(format!(
            "try again: a host that drops connections, as with a full conntrack table, lets some in; \
             `ssh {} true` says more",
            host.address
        ))
    } else {
        of("host_unreachable").next(format!("try `ssh {} true`", host.address))
    }
}

/// An error with what it was caused by, in one line.
pub(super) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(e) = source {
        text.push_str(": ");
        text.push_str(&e.to_string());
        source = e.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
