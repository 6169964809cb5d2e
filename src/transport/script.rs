//! Scripts of ours, and the lines by which they answer.

use super::host_claim::HostHolder;
use super::shell_loop::{Frame, Lost, Shell, find};
use super::ssh::{Hosts, TIMEOUT};
use crate::fault::{Fault, NO_TOOL, claim_lost};
use crate::inventory::Destination;
use crate::model::HostRef;
use std::time::Duration;
use ulid::Ulid;

/// How long a host's lock is waited for.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// A script of ours for one host. What goes before each, `host/guard.sh` says.
pub(super) struct Script<'s> {
    pub text: &'s str,
    pub args: &'s [&'s str],
    pub input: &'s [u8],
    pub limit: Duration,
}

impl<'s> Script<'s> {
    pub fn new(text: &'s str, args: &'s [&'s str]) -> Self {
        Self {
            text,
            args,
            input: &[],
            limit: TIMEOUT,
        }
    }
}

/// What a script answered: its last line, and what came before that in parts, each with the line that
/// begins it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub word: String,
    pub rest: String,
    pub parts: Vec<(String, Vec<u8>)>,
    /// What comes after the last line.
    pub after: Vec<u8>,
}

impl Said {
    fn parse(output: &[u8], mark: &str) -> Option<Self> {
        let sign = format!("\n{mark} ");
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rest = output.get(find(output, sign.as_bytes())? + sign.len()..)?;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = String::from_utf8_lossy(rest.get(..end)?).trim().to_owned();
            // Its newline stays: an empty part has the next sign right after it.
            let body = rest.get(end + 1..)?;
            let from = rest.get(end..)?;
            match find(from, sign.as_bytes()) {
                None => {
                    let (word, words) = line.split_once(' ').unwrap_or((&line, ""));
                    return Some(Self {
                        word: word.to_owned(),
                        rest: words.to_owned(),
                        parts,
                        after: body.to_vec(),
                    });
                }
                Some(next) => {
                    let content = body.get(..next.saturating_sub(1)).unwrap_or_default();
                    parts.push((line, content.to_vec()));
                    rest = from.get(next + sign.len()..)?;
                }
            }
        }
    }

    /// The words of the part that begins with `word`, without it.
    pub fn part(&self, word: &str) -> Option<&str> {
        self.parts
            .iter()
            .find_map(|(line, _)| line.strip_prefix(word)?.strip_prefix(' '))
    }
}

impl Hosts {
    /// Runs a script that only reads.
    pub(super) async fn ask(
        &self,
        host: &Destination,
        of: &HostRef,
        script: &Script<'_>,
    ) -> Result<Said, Fault> {
        let mark = Ulid::generate().to_string();
        let sitting = self.sitting();
        let args = arguments(&mark, of, &sitting, script.args);
        let frame = frame(script, &args);
        let output = self.read(host, &of.identity, frame).await?;
        Said::parse(&output, &mark).ok_or_else(|| {
            Fault::refused(
                "host_read",
                format!("the answer of {} cannot be understood", host.name),
            )
        })
    }

    /// Runs a script that writes, once.
    pub(super) async fn tell(
        &self,
        host: &Destination,
        of: &HostRef,
        script: &Script<'_>,
    ) -> Result<Said, Lost> {
        let mark = Ulid::generate().to_string();
        let sitting = self.sitting();
        let args = arguments(&mark, of, &sitting, script.args);
        let frame = frame(script, &args);
        let output = self.write(host, &of.identity, frame).await?;
        Said::parse(&output, &mark)
            .ok_or_else(|| Lost::During(format!("{} ended it without an answer", host.name)))
    }
}

/// Runs a script in a shell that was just made, once.
pub(super) async fn ask_in(
    shell: &mut Shell,
    host: &Destination,
    of: &HostRef,
    script: &Script<'_>,
) -> Result<Said, Fault> {
    let mark = Ulid::generate().to_string();
    let args = arguments(&mark, of, "", script.args);
    let ran = shell.run(&frame(script, &args)).await;
    let answer = ran.map_err(|lost| lost.of(&host.name).fault())?;
    Said::parse(&answer.stdout, &mark)
        .ok_or_else(|| Lost::During(format!("{} gave no answer", host.name)).fault())
}

fn arguments<'a>(
    mark: &'a str,
    of: &'a HostRef,
    sitting: &'a str,
    args: &[&'a str],
) -> Vec<&'a str> {
    [&[mark, of.machine_id.as_str(), sitting], args].concat()
}

fn frame<'f>(script: &'f Script<'f>, args: &'f [&'f str]) -> Frame<'f> {
    Frame {
        script: script.text,
        args,
        input: script.input,
        limit: script.limit,
    }
}

/// Answers that every script can give. Nothing was changed.
pub(super) fn refusal(host: &Destination, of: &HostRef, what: &str, said: &Said) -> Fault {
    let rest = said.rest.as_str();
    match said.word.as_str() {
        "another" => another_host(host, &of.node, rest, &of.machine_id),
        "tools" => Fault::refused(
            NO_TOOL,
            format!("{} lacks what is needed there: {rest}", host.name),
        )
        .next("install it there (coreutils and util-linux, or busybox)"),
        "busy" => Fault::unreachable(
            "host_busy",
            format!(
                "something is still running on {}: {}",
                host.name,
                match rest {
                    "" => "its lock is held",
                    holder => holder,
                }
            ),
        )
        .next("wait until it has ended, and try again"),
        "revoked" => Fault::definite(
            "revoked",
            format!("{what}: this attempt came too late, as somebody has looked meanwhile what became of it"),
        )
        .next("look whether two people work on the same run"),
        "fenced" => claim_lost(&match HostHolder::parse(rest) {
            Some(holder) => format!("{} was taken over by {holder}", host.name),
            None => format!("the claim on {} is gone", host.name),
        }),
        "failed" => Fault::definite(
            "host_failed",
            format!("{what} was not changed on {}: {rest}", host.name),
        ),
        other => Fault::refused(
            "host_read",
            format!("{what}: {} answered `{other}`", host.name),
        ),
    }
}

/// The address leads to another host than the node's.
pub fn another_host(host: &Destination, node: &str, found: &str, wanted: &str) -> Fault {
    Fault::refused(
        "another_host",
        format!(
            "{} ({}) is not the host of node {node}: its machine-id is {found}, and the node's {wanted}",
            host.name, host.address
        ),
    )
    .next("put the node's right address into the inventory")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = Vec<(String, String)>;

    fn said(text: &str) -> Option<(String, Parts, String)> {
        let text_of = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Said::parse(text.as_bytes(), "M").map(|said| {
            (
                format!("{}|{}", said.word, said.rest),
                said.parts
                    .iter()
                    .map(|(line, body)| (line.clone(), text_of(body)))
                    .collect(),
                text_of(&said.after),
            )
        })
    }

    #[test]
    fn an_answer_is_found_among_what_else_a_host_prints() {
        let parts = |parts: &[(&str, &str)]| -> Parts {
            parts
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        assert_eq!(
            said("welcome!\nM is absent \n"),
            Some(("is|absent".into(), vec![], String::new()))
        );
        assert_eq!(
            said("\nM is x\nab\nc"),
            Some(("is|x".into(), vec![], "ab\nc".into()))
        );
        assert_eq!(
            said("\nM ran a 0\none\ntwo\n\nM tail\n\nM done\n"),
            Some((
                "done|".into(),
                parts(&[("ran a 0", "one\ntwo\n"), ("tail", "")]),
                String::new()
            ))
        );
        assert_eq!(said("M is absent\n"), None);
        assert_eq!(said("\nM is cut sho"), None);
        assert_eq!(said("\nM ran\nx\nM is cut sho"), None);
        assert_eq!(said(""), None);
    }
}
