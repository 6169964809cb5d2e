//! Hosts, over OpenSSH: its own client connects, so that its configuration, agent, jump hosts and
//! known hosts hold.

use crate::fault::{Class, Fault};
use crate::inventory::Destination;
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, OnceCell};

/// A script that has not answered by then will not.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that its process left behind closes itself after this many idle seconds.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(59);

/// How connections are made.
#[derive(Debug, Clone, Default)]
pub struct SshOptions {
    /// Instead of the user's own client configuration.
    pub config: Option<PathBuf>,
    /// Accept the key of a host that is not known yet. A key that has changed is never accepted.
    pub accept_new: bool,
}

/// One script for one host. `script` is literal; values reach it as arguments and input.
#[derive(Clone, Copy)]
struct Frame<'f> {
    script: &'f str,
    args: &'f [&'f str],
    input: Option<&'f [u8]>,
}

/// How a script came to no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// It did not begin.
    Before(Fault),
    /// It had begun, or may have.
    During(String),
}

type Connection = Arc<OnceCell<Result<Session, Fault>>>;

/// The connections of a run: one per host, made when first needed.
pub struct Hosts {
    options: SshOptions,
    connections: Mutex<BTreeMap<Destination, Connection>>,
}

impl Hosts {
    pub fn new(options: SshOptions) -> Self {
        Self {
            options,
            connections: Mutex::new(BTreeMap::new()),
        }
    }

    /// Runs a script that only reads, as root, and returns what it printed. `script` is literal.
    pub async fn read_as_root(&self, host: &Destination, script: &str) -> Result<String, Fault> {
        let output = self.read(host, script, &[]).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs a script that only reads, as root, with arguments, and returns what it printed.
    /// A connection that broke since its last use, or closed itself, is made anew once: reading
    /// twice does no harm.
    pub(super) async fn read(
        &self,
        host: &Destination,
        script: &str,
        args: &[&str],
    ) -> Result<Vec<u8>, Fault> {
        let connection = self.connection(host).await;
        let used_before = connection.initialized();
        let frame = Frame {
            script,
            args,
            input: None,
        };
        match self.exec(&connection, host, frame).await {
            Err(Lost::During(why)) if used_before => {
                tracing::debug!(host = host.name, "connecting again: {why}");
                self.forget(host, &connection).await;
                let connection = self.connection(host).await;
                self.exec(&connection, host, frame).await
            }
            Err(lost) => {
                if !matches!(&lost, Lost::Before(fault) if fault.class != Class::Unreachable) {
                    // The next read may find it better.
                    self.forget(host, &connection).await;
                }
                Err(lost)
            }
            output => output,
        }
        .map_err(|lost| match lost {
            Lost::Before(fault) => fault,
            Lost::During(why) => Fault::unreachable("host_lost", why)
                .next(format!("try `ssh {} true`", host.address)),
        })
    }

    /// Runs a script that writes, as root, once and never again: whether it was done where the
    /// connection broke is for the caller to find out.
    pub(super) async fn write(
        &self,
        host: &Destination,
        script: &str,
        args: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, Lost> {
        let connection = self.connection(host).await;
        let frame = Frame {
            script,
            args,
            input: Some(input),
        };
        let output = self.exec(&connection, host, frame).await;
        if output.is_err() {
            self.forget(host, &connection).await;
        }
        output
    }

    async fn connection(&self, host: &Destination) -> Connection {
        let mut connections = self.connections.lock().await;
        connections.entry(host.clone()).or_default().clone()
    }

    /// Takes a connection that did not serve out of use, unless another has taken its place.
    async fn forget(&self, host: &Destination, broken: &Connection) {
        let mut connections = self.connections.lock().await;
        if connections
            .get(host)
            .is_some_and(|known| Arc::ptr_eq(known, broken))
        {
            connections.remove(host);
        }
    }

    async fn exec(
        &self,
        connection: &Connection,
        host: &Destination,
        frame: Frame<'_>,
    ) -> Result<Vec<u8>, Lost> {
        let session = connection.get_or_init(|| self.connect(host)).await;
        let session = session
            .as_ref()
            .map_err(|fault| Lost::Before(fault.clone()))?;
        // The remote end has a clock of its own, since what runs there does not end with us; and sudo
        // sets a PATH of its own, so ours is set behind it.
        let wrapped = format!(
            "run='PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C; \
             export PATH LC_ALL; exec timeout {} /bin/sh -c \"$@\"'\n\
             if [ \"$(id -u)\" = 0 ]; then eval \"$run\"; fi\n\
             exec sudo -n -- /bin/sh -c \"$run\" sh \"$@\"",
            TIMEOUT.as_secs()
        );
        let mut command = session.command("/bin/sh");
        command
            .args(["-c", &wrapped, "sh", frame.script, "sh"])
            .args(frame.args)
            .stdout(openssh::Stdio::piped())
            .stderr(openssh::Stdio::piped())
            .stdin(match frame.input {
                Some(_) => openssh::Stdio::piped(),
                None => openssh::Stdio::null(),
            });
        let run = async {
            let mut child = command.spawn().await?;
            let input = child.stdin().take();
            let feed = async {
                if let (Some(mut pipe), Some(bytes)) = (input, frame.input) {
                    // A script that has seen enough closes its end; its answer tells.
                    let _ = pipe.write_all(bytes).await;
                    let _ = pipe.shutdown().await;
                }
            };
            let (output, ()) = tokio::join!(child.wait_with_output(), feed);
            output
        };
        let silent = || {
            Lost::During(format!(
                "{} did not answer within {} s, though it is connected",
                host.name,
                TIMEOUT.as_secs()
            ))
        };
        let output = tokio::time::timeout(TIMEOUT + Duration::from_secs(5), run)
            .await
            .map_err(|_| silent())?
            .map_err(|e| {
                Lost::During(format!(
                    "the connection to {} broke: {}",
                    host.name,
                    chain(&e)
                ))
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = stderr.trim();
        // sudo also warns, and goes on: then the script has said something.
        if said.starts_with("sudo:") && output.stdout.is_empty() {
            return Err(Lost::Before(
                Fault::refused(
                    "no_root",
                    format!("on {}, this user may not become root: {said}", host.name),
                )
                .next("connect as root, or allow the user sudo without a password"),
            ));
        }
        match output.status.code() {
            Some(124) => Err(silent()),
            // A script that only reads has nothing to lose; one that writes says itself how it ended.
            code if frame.input.is_none() => Err(Lost::Before(Fault::refused(
                "host_read",
                format!(
                    "reading from {} failed ({}): {said}",
                    host.name,
                    code.map_or_else(|| "no exit code".to_owned(), |c| format!("exit code {c}")),
                ),
            ))),
            _ => Err(Lost::During(format!(
                "what was begun on {} was broken off: {said}",
                host.name
            ))),
        }
    }

    async fn connect(&self, host: &Destination) -> Result<Session, Fault> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(if self.options.accept_new {
                KnownHosts::Add
            } else {
                KnownHosts::Strict
            })
            .connect_timeout(CONNECT_TIMEOUT)
            .server_alive_interval(Duration::from_secs(10))
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS));
        if let Some(user) = &host.user {
            builder.user(user.clone());
        }
        if let Some(port) = host.port {
            builder.port(port);
        }
        if let Some(config) = &self.options.config {
            builder.config_file(config);
        }
        if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR") {
            builder.control_directory(runtime);
        } else {
            builder.control_directory(std::env::temp_dir());
        }
        tracing::debug!(host = host.name, address = host.address, "connecting");
        // OpenSSH bounds the TCP connection, not a server that accepts and then says nothing.
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
            })?
            .map_err(|e| unreachable(host, &chain(&e)))
    }

    /// Ends all connections.
    pub async fn close(self) {
        for (host, connection) in self.connections.into_inner() {
            if let Some(Ok(session)) = Arc::into_inner(connection).and_then(OnceCell::into_inner)
                && let Err(e) = session.close().await
            {
                tracing::debug!(host = host.name, "closing: {}", chain(&e));
            }
        }
    }
}

fn unreachable(host: &Destination, why: &str) -> Fault {
    let why = why.trim();
    let at = match host.name == host.address {
        true => host.name.clone(),
        false => format!("{} ({})", host.name, host.address),
    };
    let fault = Fault::unreachable(
        "host_unreachable",
        format!("{at} cannot be reached over SSH: {why}"),
    );
    if why.contains("Host key verification failed") || why.contains("HOST IDENTIFICATION") {
        fault.next(
            "its key is not the known one, or none is known: check it, then add it to known_hosts \
             (or --accept-new, for hosts never seen before)",
        )
    } else {
        fault.next(format!("try `ssh {} true`", host.address))
    }
}

/// An error with what it was caused by, in one line.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(e) = source {
        text.push_str(": ");
        text.push_str(&e.to_string());
        source = e.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
