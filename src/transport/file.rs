//! Files of hosts. What is written is written by one script that looks, compares, writes and looks
//! again under the host's lock.

use super::ssh::{Hosts, Lost};
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::journal::Permit;
use crate::model::{Effect, FileNow, FileRef};
use ulid::Ulid;

/// Larger files are not read for a before-image, and so not changed. In bytes.
pub const MAX_FILE: u64 = 1 << 20;
/// How long a host's lock is waited for, in seconds.
const LOCK_PATIENCE: &str = "20";

const READ: &str = concat!(
    include_str!("host/look.sh"),
    include_str!("host/read_file.sh")
);
const FIND: &str = concat!(
    include_str!("host/look.sh"),
    include_str!("host/find_file.sh")
);
const PUT: &str = concat!(
    include_str!("host/look.sh"),
    include_str!("host/put_file.sh")
);

/// A file with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReading {
    pub now: FileNow,
    /// Empty where the file is absent; `None` where it is too large or no plain file.
    pub content: Option<Vec<u8>>,
}

impl Hosts {
    /// Reads a file, for a plan. Takes no lock.
    pub async fn read_file(
        &self,
        host: &Destination,
        file: &FileRef,
    ) -> Result<FileReading, Fault> {
        let mark = Ulid::generate().to_string();
        let most = MAX_FILE.to_string();
        let args = [mark.as_str(), &file.host.machine_id, &file.path, &most];
        let output = self.read(host, READ, &args).await?;
        let (answer, content) = answer(&output, &mark).ok_or_else(|| nothing_said(file))?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("is", state) => {
                let now = FileNow::parse(state).ok_or_else(|| nothing_said(file))?;
                let content = match &now {
                    FileNow::Is(state) if state.content().is_none() => Some(Vec::new()),
                    FileNow::Is(state) => {
                        let content = content.to_vec();
                        (Some(&crate::model::Digest::of(&content)) == state.content())
                            .then_some(content)
                    }
                    FileNow::Strange(_) => None,
                };
                Ok(FileReading { now, content })
            }
            ("tools", missing) => Err(Fault::refused(
                "no_tool",
                format!(
                    "{} lacks what is needed to write files safely: {missing}",
                    host.name
                ),
            )
            .next("install it there (coreutils and util-linux, or busybox)")),
            ("folder", folder) => Err(Fault::refused(
                "no_folder",
                format!(
                    "{} has no folder {folder} in which the file could stand",
                    host.name
                ),
            )),
            ("unsafe", folders) => Err(Fault::refused(
                "unsafe_folder",
                format!(
                    "others than root can write to {folders} on {}: root writing {} could be led astray",
                    host.name, file.path
                ),
            )
            .next("write the file elsewhere, or give the folder to root alone")),
            (word, rest) => Err(refusal(host, file, word, rest)),
        }
    }

    /// How a file is after everything that was begun on its host has ended.
    pub async fn find_file(&self, host: &Destination, file: &FileRef) -> Result<FileNow, Fault> {
        let mark = Ulid::generate().to_string();
        let args = [
            mark.as_str(),
            &file.host.machine_id,
            &file.path,
            LOCK_PATIENCE,
        ];
        let output = self.read(host, FIND, &args).await?;
        let (answer, _) = answer(&output, &mark).ok_or_else(|| nothing_said(file))?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("is", state) => FileNow::parse(state).ok_or_else(|| nothing_said(file)),
            (word, rest) => Err(refusal(host, file, word, rest)),
        }
    }

    /// Puts a file into another state, once. `content` is the bytes that it gets.
    pub async fn put_file(
        &self,
        host: &Destination,
        permit: Permit,
        content: &[u8],
        holder: &str,
    ) -> Result<(), Fault> {
        let Effect::PutFile {
            file,
            before,
            after,
        } = permit.effect()
        else {
            return Err(Fault::internal("this is not done to a file"));
        };
        let mark = Ulid::generate().to_string();
        let (before, after) = (before.to_string(), after.to_string());
        let args = [
            mark.as_str(),
            &file.host.machine_id,
            &file.path,
            &before,
            &after,
            holder,
            LOCK_PATIENCE,
        ];
        let output = match self.write(host, PUT, &args, content).await {
            Ok(output) => output,
            Err(Lost::Before(fault)) => return Err(fault),
            Err(Lost::During(why)) => {
                return Err(Fault::indeterminate(
                    "host_lost",
                    format!("writing {file}: {why}"),
                ));
            }
        };
        let Some((answer, _)) = answer(&output, &mark) else {
            return Err(Fault::indeterminate(
                "host_silent",
                format!("writing {file}: {} ended it without an answer", host.name),
            ));
        };
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            // That it is so already was not so a moment ago: whoever did it, it is as wanted.
            ("written" | "already", _) => Ok(()),
            ("drift", state) => Err(Fault::definite(
                "drift",
                format!("{file} is no longer as it was: it is {}", words(state)),
            )),
            ("cut", _) => Err(Fault::definite(
                "content_cut",
                format!("the new content of {file} did not arrive whole; nothing was changed"),
            )
            .next("try again; look at the connection")),
            ("unverified", state) => Err(Fault::indeterminate(
                "unverified",
                format!(
                    "{file} was written, and a moment later it is {}",
                    words(state)
                ),
            )
            .next("look what else writes it")),
            (word, rest) => Err(refusal(host, file, word, rest)),
        }
    }
}

/// The line of an answer, and all that comes after it.
fn answer<'o>(output: &'o [u8], mark: &str) -> Option<(String, &'o [u8])> {
    let sign = format!("\n{mark} ");
    let at = output
        .windows(sign.len())
        .position(|window| window == sign.as_bytes())?;
    let rest = output.get(at + sign.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(rest.get(..end)?);
    Some((line.trim().to_owned(), rest.get(end + 1..)?))
}

/// A state that a host printed, in words.
fn words(state: &str) -> String {
    FileNow::parse(state).map_or_else(|| state.to_owned(), |now| now.to_string())
}

fn nothing_said(file: &FileRef) -> Fault {
    Fault::refused(
        "host_read",
        format!("reading {file}: the host's answer cannot be understood"),
    )
}

/// Answers that every script here can give. Nothing was changed.
fn refusal(host: &Destination, file: &FileRef, word: &str, rest: &str) -> Fault {
    match word {
        "another" => Fault::refused(
            "another_host",
            format!(
                "{} ({}) is not the host of node {}: its machine-id is {rest}, and the node's {}",
                host.name, host.address, file.host.node, file.host.machine_id
            ),
        )
        .next("put the node's right address into the inventory"),
        "busy" => Fault::unreachable(
            "host_busy",
            format!(
                "something is still running on {}: {}",
                host.name,
                match rest.trim() {
                    "" => "its lock /run/runbook/lock is held",
                    holder => holder,
                }
            ),
        )
        .next("wait until it has ended, and try again"),
        "failed" => Fault::definite(
            "host_failed",
            format!("{file} was not changed: {}", rest.trim()),
        ),
        other => Fault::refused(
            "host_read",
            format!("{file}: {} answered `{other}`", host.name),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_among_what_else_a_host_prints() {
        let said = |text: &str| answer(text.as_bytes(), "M").map(|(line, rest)| (line, rest.len()));
        assert_eq!(
            said("welcome!\nM is absent \n"),
            Some(("is absent".into(), 0))
        );
        assert_eq!(said("\nM is x\nab\nM c"), Some(("is x".into(), 6)));
        assert_eq!(said("M is absent\n"), None);
        assert_eq!(said("\nM is cut sho"), None);
        assert_eq!(said(""), None);
    }
}
