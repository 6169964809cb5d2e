//! One shell on a host for as long as the connection lasts. Each frame that is sent to it runs in a
//! session of its own and is answered; a step costs a round trip, and no process of ssh.
//!
//! What goes over the wire is in `host/begin.sh` and `host/loop.sh`.

use super::password::Password;
use crate::fault::Fault;
use crate::model::{Identity, Method, shell_quote};
use openssh::{Child, ChildStdin, ChildStdout, Session, Stdio};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use ulid::Ulid;

const BEGIN: &str = include_str!("host/begin.sh");
const LOOP: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/loop.sh")
);
/// How long a host may take before its shell is there, without the time that a person types.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How much longer than a frame's own limit its answer may take.
const ANSWER_GRACE: Duration = Duration::from_secs(15);
/// Answers and greetings with more than this many bytes are not ours.
const MOST: usize = 8 << 20;

/// One step for a host. `script` is literal; values reach it as arguments and input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'f> {
    pub script: &'f str,
    pub args: &'f [&'f str],
    /// Stands in the file `$frame/input`.
    pub input: &'f [u8],
    /// After this it is ended, with all that it started.
    pub limit: Duration,
}

/// What a frame gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// How a frame came to no answer.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// It did not begin.
    Before(Fault),
    /// It had begun, or may have.
    During(String),
}

impl Lost {
    /// Of which host the connection is lost.
    pub fn of(self, host: &str) -> Self {
        match self {
            Self::During(why) => Self::During(format!("the connection to {host} is lost: {why}")),
            before @ Self::Before(_) => before,
        }
    }

    /// What it means for whoever may simply try again.
    pub fn fault(self) -> Fault {
        match self {
            Self::Before(fault) => fault,
            Self::During(why) => Fault::unreachable("host_lost", why),
        }
    }

    /// What it means for whoever was changing something: it may be done, or not.
    pub fn of_change(self, doing: impl fmt::Display) -> Fault {
        match self {
            Self::Before(fault) => fault,
            Self::During(why) => Fault::indeterminate("host_lost", format!("{doing}: {why}")),
        }
    }
}

pub(super) struct Shell {
    session: Arc<Session>,
    child: Child<Arc<Session>>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    heard: Vec<u8>,
    nonce: String,
    sequence: u64,
    /// Tells one boot of the host from the next.
    pub boot: String,
}

/// Why there is no shell.
#[derive(Debug)]
pub(super) enum NoShell {
    Fault(Fault),
    /// The connection broke; it may work another time.
    Broken(String),
}

impl Shell {
    /// Starts the loop as `identity`.
    pub async fn open(
        session: Session,
        host: &str,
        identity: &Identity,
        password: &Password,
    ) -> Result<Self, NoShell> {
        let session = Arc::new(session);
        let broken = |e: &dyn std::error::Error| NoShell::Broken(super::ssh::chain(e));
        // No quoting: login shells such as csh and fish have rules of their own.
        let mut child = session
            .clone()
            .arc_raw_command("exec /bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(|e| broken(&e))?;
        let (Some(stdin), Some(stdout)) = (child.stdin().take(), child.stdout().take()) else {
            return Err(NoShell::Broken("it has no pipes".to_owned()));
        };
        let mut shell = Self {
            session,
            child,
            stdin,
            stdout,
            heard: Vec::new(),
            nonce: Ulid::generate().to_string(),
            sequence: 0,
            boot: String::new(),
        };
        match shell.begin(host, identity, password).await {
            Ok(()) => Ok(shell),
            Err(no_shell) => {
                shell.close().await;
                Err(no_shell)
            }
        }
    }

    async fn begin(
        &mut self,
        host: &str,
        identity: &Identity,
        password: &Password,
    ) -> Result<(), NoShell> {
        let (method, user) = match identity {
            Identity::Login => ("login", ""),
            Identity::Become { user, method } => match method {
                Method::Sudo => ("sudo", user.as_str()),
                Method::Su => ("su", user.as_str()),
            },
        };
        let ask = match password.can_be_had() {
            true => "-S",
            false => "-n",
        };
        let set = |name: &str, value: &str| format!("{name}={}\n", shell_quote(value));
        let mut text = set("nonce", &self.nonce);
        text.push_str(&set(
            "loop",
            &format!("{}{LOOP}", set("nonce", &self.nonce)),
        ));
        text.push_str(&set("method", method));
        text.push_str(&set("user", user));
        text.push_str(&set("ask", ask));
        text.push_str(BEGIN);
        // A host that has ended it already says why on its output.
        let _ = self.stdin.write_all(text.as_bytes()).await;
        let _ = self.stdin.flush().await;

        let mut answered = 0;
        let mut deadline = Instant::now() + BEGIN_TIMEOUT;
        loop {
            match greeting(&self.heard, &self.nonce) {
                Greeting::Ready { boot, rest } => {
                    self.boot = boot;
                    self.heard.drain(..rest);
                    return Ok(());
                }
                Greeting::Prompt { .. } if !password.can_be_had() => {
                    return Err(NoShell::Fault(password_needed(host, identity)));
                }
                Greeting::Prompt { nth } if nth > answered => {
                    if answered > 0 {
                        password.forget(identity).await;
                        return Err(NoShell::Fault(refused_password(host, identity)));
                    }
                    answered = nth;
                    let what = format!("Password of {identity} on {host}");
                    let secret = password
                        .get(identity, &what)
                        .await
                        .map_err(NoShell::Fault)?;
                    // sudo and su take their time, and more of it after a wrong one.
                    deadline = Instant::now() + BEGIN_TIMEOUT;
                    let line = format!("{}\n", secret.reveal());
                    let _ = self.stdin.write_all(line.as_bytes()).await;
                    let _ = self.stdin.flush().await;
                }
                Greeting::Said(words) => {
                    return Err(NoShell::Fault(no_shell(host, identity, &words)));
                }
                Greeting::Prompt { .. } | Greeting::NotYet => {}
            }
            match tokio::time::timeout_at(deadline, self.hear()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    return Err(self.ended(host, identity, password, answered > 0).await);
                }
                Ok(Err(why)) => return Err(NoShell::Broken(why)),
                Err(_) => {
                    return Err(NoShell::Fault(silent(host, &self.heard, &self.nonce)));
                }
            }
        }
    }

    /// Why the shell ended before it had begun.
    async fn ended(
        &mut self,
        host: &str,
        identity: &Identity,
        password: &Password,
        answered: bool,
    ) -> NoShell {
        let mut text = self.heard.clone();
        if let Some(mut stderr) = self.child.stderr().take() {
            let read = stderr.read_to_end(&mut text);
            let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
        }
        let said = printable(&text, &self.nonce);
        // A master that is gone closes all at once and says nothing.
        if said.is_empty() && self.session.check().await.is_err() {
            return NoShell::Broken("the connection closed".to_owned());
        }
        let fault = not_become(host, identity, &said, answered);
        if fault.code == "become_password" {
            password.forget(identity).await;
        }
        NoShell::Fault(fault)
    }

    /// Reads on. False: there is no more.
    async fn hear(&mut self) -> Result<bool, String> {
        if self.heard.len() > MOST {
            return Err(format!("it sends more than {MOST} bytes"));
        }
        let mut buffer = vec![0; 32 << 10];
        let read = self
            .stdout
            .read(&mut buffer)
            .await
            .map_err(|e| super::ssh::chain(&e))?;
        self.heard.extend(buffer.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    /// Runs one frame.
    ///
    /// # Errors
    /// After one, the shell is of no more use.
    pub async fn run(&mut self, frame: &Frame<'_>) -> Result<Answer, Lost> {
        self.sequence += 1;
        let line = encode(frame, &self.nonce, self.sequence)
            .map_err(|why| Lost::Before(Fault::internal(why)))?;
        let talk = async {
            let sent = async {
                self.stdin.write_all(&line).await?;
                self.stdin.write_all(frame.input).await?;
                self.stdin.flush().await
            };
            sent.await.map_err(|e| super::ssh::chain(&e))?;
            self.heard.clear();
            let end = format!("\n{} end {} ", self.nonce, self.sequence);
            let full = format!("\n{} full {}\n", self.nonce, self.sequence);
            // Where neither sign is before.
            let mut from = 0;
            loop {
                let fresh = self.heard.get(from..).unwrap_or_default();
                if find(fresh, full.as_bytes()).is_some() {
                    return Ok(None);
                }
                from = match find(fresh, end.as_bytes()) {
                    Some(at)
                        if fresh
                            .get(at + end.len()..)
                            .is_some_and(|r| r.contains(&b'\n')) =>
                    {
                        return parse(&self.heard, &self.nonce, self.sequence)
                            .map(Some)
                            .ok_or_else(|| "its answer cannot be understood".to_owned());
                    }
                    Some(at) => from + at,
                    // A sign may lie across two readings.
                    None => self.heard.len().saturating_sub(end.len().max(full.len())),
                };
                if !self.hear().await? {
                    return Err("the connection broke".to_owned());
                }
            }
        };
        match tokio::time::timeout(frame.limit + ANSWER_GRACE, talk).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(Lost::Before(Fault::refused(
                "host_full",
                "the folder in which the host keeps what it is to run, below /run or /tmp, is full",
            ))),
            Ok(Err(why)) => Err(Lost::During(why)),
            Err(_) => Err(Lost::During(format!(
                "there was no answer within {} s",
                (frame.limit + ANSWER_GRACE).as_secs()
            ))),
        }
    }

    /// Ends the shell and its connection; the host ends all that still runs in it.
    pub async fn close(self) {
        let Self {
            session,
            child,
            stdin,
            ..
        } = self;
        drop(stdin);
        let _ = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
        if let Ok(session) = Arc::try_unwrap(session) {
            let closing = tokio::time::timeout(Duration::from_secs(5), session.close()).await;
            if let Ok(Err(e)) = closing {
                tracing::debug!("closing: {}", super::ssh::chain(&e));
            }
        }
    }
}

/// What a host has said before its shell is there.
#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    NotYet,
    /// The shell is there; what is heard up to `rest` is used up.
    Ready {
        boot: String,
        rest: usize,
    },
    /// It waits for a password, for the nth time.
    Prompt {
        nth: usize,
    },
    /// One of our own scripts gives up.
    Said(String),
}

fn greeting(heard: &[u8], nonce: &str) -> Greeting {
    let line_after = |sign: &str| {
        let sign = format!("\n{nonce} {sign}");
        let at = find(heard, sign.as_bytes())? + sign.len();
        let rest = heard.get(at..)?;
        let end = rest.iter().position(|b| *b == b'\n')?;
        let line = String::from_utf8_lossy(rest.get(..end)?).trim().to_owned();
        Some((line, at + end + 1))
    };
    if let Some((line, rest)) = line_after("ready ") {
        let boot = line.split(' ').nth(1).unwrap_or_default().to_owned();
        return Greeting::Ready { boot, rest };
    }
    for word in ["failed ", "missing ", "nobody"] {
        if let Some((line, _)) = line_after(word) {
            return Greeting::Said(format!("{word}{line}"));
        }
    }
    let prompt = format!("{nonce} prompt");
    let prompts = count(heard, prompt.as_bytes());
    if prompts > 0 && heard.ends_with(prompt.as_bytes()) {
        return Greeting::Prompt { nth: prompts };
    }
    // su asks in its own words, and at the end of what it has said so far.
    let text = String::from_utf8_lossy(heard);
    if let Some((_, after)) = text.split_once(&format!("\n{nonce} su\n")) {
        let asks = after.matches("assword:").count();
        if asks > 0 && after.trim_end_matches(' ').ends_with("assword:") {
            return Greeting::Prompt { nth: asks };
        }
    }
    Greeting::NotYet
}

/// A frame as it goes over the wire: one line, then its input.
fn encode(frame: &Frame<'_>, nonce: &str, sequence: u64) -> Result<Vec<u8>, String> {
    let mut script = "frame=$1 home=$2\nset --".to_owned();
    for arg in frame.args {
        script.push(' ');
        script.push_str(&shell_quote(arg));
    }
    script.push('\n');
    script.push_str(frame.script);
    script.push('\n');
    if script.contains('\0') {
        return Err("a script or an argument has a NUL in it".to_owned());
    }
    let mut line = format!(
        "{nonce} {sequence} {} {} ",
        frame.limit.as_secs().max(1),
        frame.input.len()
    )
    .into_bytes();
    for byte in script.bytes() {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b' '..=b'~' => line.push(byte),
            other => line.extend(format!("\\0{other:03o}").bytes()),
        }
    }
    line.push(b'\n');
    Ok(line)
}

/// The answer to a frame.
fn parse(heard: &[u8], nonce: &str, sequence: u64) -> Option<Answer> {
    let cut = |from: usize, sign: &str| {
        let at = find(heard.get(from..)?, sign.as_bytes())? + from;
        Some((at, at + sign.len()))
    };
    let (_, out) = cut(0, &format!("\n{nonce} out {sequence}\n"))?;
    let (out_end, err) = cut(out, &format!("\n{nonce} err {sequence}\n"))?;
    let (err_end, end) = cut(err, &format!("\n{nonce} end {sequence} "))?;
    let rest = heard.get(end..)?;
    let line = rest.get(..rest.iter().position(|b| *b == b'\n')?)?;
    Some(Answer {
        code: std::str::from_utf8(line).ok()?.trim().parse().ok()?,
        stdout: heard.get(out..out_end)?.to_vec(),
        stderr: heard.get(err..err_end)?.to_vec(),
    })
}

pub(super) fn find(text: &[u8], sign: &[u8]) -> Option<usize> {
    let first = sign.first()?;
    let mut from = 0;
    // Most of what is large has no beginning of a sign in it.
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| byte == first)?;
        if text.get(at..)?.starts_with(sign) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn count(text: &[u8], sign: &[u8]) -> usize {
    text.windows(sign.len())
        .filter(|window| *window == sign)
        .count()
}

/// What a host said, in one line, without what is ours.
fn printable(text: &[u8], nonce: &str) -> String {
    let text = String::from_utf8_lossy(text).replace(nonce, "");
    let words: Vec<&str> = text.split_whitespace().collect();
    let said = words.join(" ");
    match said.char_indices().nth(400) {
        None => said,
        Some((cut, _)) => format!("{} …", said.get(..cut).unwrap_or_default()),
    }
}

fn password_needed(host: &str, identity: &Identity) -> Fault {
    Fault::refused(
        "become_password_needed",
        format!("on {host}, becoming {identity} takes a password"),
    )
    .next(
        "run it on a terminal, where it is asked for, or give it with --become-password-file FILE",
    )
}

fn refused_password(host: &str, identity: &Identity) -> Fault {
    Fault::refused(
        "become_password",
        format!("{host} does not accept the password for becoming {identity}"),
    )
    .next("try again with the right one; it is the login's own for sudo, the other user's for su")
}

/// One of our own scripts gave up.
fn no_shell(host: &str, identity: &Identity, words: &str) -> Fault {
    match words.split_once(' ').unwrap_or((words, "")) {
        ("nobody", _) => Fault::refused(
            "become_nobody",
            format!("{host} has no such user: {identity}"),
        )
        .next("name another in `become`"),
        ("missing", program) => Fault::refused(
            "become_missing",
            format!("{host} has no {program}, and so nobody can become {identity} there"),
        )
        .next("install it, connect as that user, or use the other `method` of `become`"),
        (_, why) => Fault::refused("host_unfit", format!("{host} cannot be worked on: {why}"))
            .next("put that right there, and try again"),
    }
}

/// The shell ended before it had begun, and said `said`.
fn not_become(host: &str, identity: &Identity, said: &str, answered: bool) -> Fault {
    let has = |words: &str| said.contains(words);
    let refused =
        |code: &'static str, what: &str| Fault::refused(code, format!("on {host}, {what}: {said}"));
    if has("a password is required") || has("no password was provided") {
        password_needed(host, identity)
    } else if has("must have a tty") || has("must be run from a terminal") {
        refused(
            "become_tty",
            &format!("becoming {identity} takes a terminal"),
        )
        .next("take `requiretty` out of its sudoers for this user")
    } else if has("not in the sudoers") || has("not allowed to") || has("may not run sudo") {
        refused(
            "become_refused",
            &format!("this user may not become {identity}"),
        )
        .next("allow it in its sudoers, or connect as that user")
    } else if has("incorrect password")
        || has("Authentication failure")
        || has("incorrect") && answered
    {
        refused_password(host, identity)
    } else if has("sudo:") || has("su:") {
        refused(
            "become_refused",
            &format!("this user cannot become {identity}"),
        )
        .next("look at it there: `sudo -l`")
    } else {
        let said = match said {
            "" => "and said nothing".to_owned(),
            said => format!("and said: {said}"),
        };
        Fault::refused(
            "host_no_shell",
            format!("{host} ran something else than a shell for this user, {said}"),
        )
        .next("look for ForceCommand, command= in authorized_keys, a restricted or missing login shell, and files that it reads")
    }
}

fn silent(host: &str, heard: &[u8], nonce: &str) -> Fault {
    let said = match printable(heard, nonce) {
        said if said.is_empty() => "nothing".to_owned(),
        said => format!("no more than: {said}"),
    };
    Fault::unreachable(
        "host_silent",
        format!(
            "{host} lets us in, and gives no shell within {} s; it said {said}",
            BEGIN_TIMEOUT.as_secs()
        ),
    )
    .next("look for ForceCommand and for files of its login shell that wait for something")
}

#[cfg(test)]
mod tests;
