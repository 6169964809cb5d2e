//! Programs that the author of a runbook wrote: what they are, and what they printed.

use super::file::HostRef;
use super::secret::Secrets;
use crate::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

mod own;

pub use own::Own;

/// One program. Its text is literal: values reach it as arguments and environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Program {
    /// For a POSIX shell; `None`: the arguments are the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables whose values are kept nowhere, each with the parameter that has its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

impl Program {
    /// As a shell reads it, without what is secret.
    pub fn text(&self) -> String {
        self.text_after("")
    }

    /// As a shell reads it, with what is secret. The error is the name of a parameter without a value.
    pub fn text_with(&self, secrets: &Secrets) -> Result<String, String> {
        let mut text = String::new();
        for (name, param) in &self.secrets {
            let secret = secrets.get(param).ok_or(param)?;
            text.push_str(&format!("export {name}={}\n", shell_quote(secret.reveal())));
        }
        Ok(self.text_after(&text))
    }

    fn text_after(&self, first: &str) -> String {
        let mut text = first.to_owned();
        for (name, value) in &self.env {
            text.push_str(&format!("export {name}={}\n", shell_quote(value)));
        }
        let args: Vec<String> = self.args.iter().map(|arg| shell_quote(arg)).collect();
        match &self.script {
            Some(script) => {
                text.push_str(&format!("set -- {}\n{script}\n", args.join(" ")));
            }
            None => text.push_str(&format!("exec {}\n", args.join(" "))),
        }
        text
    }

    /// Line by line, for people.
    pub fn lines(&self) -> Vec<String> {
        let words = |words: &[String]| {
            let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
            words.join(" ")
        };
        let mut lines: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={}", shell_word(value)))
            .collect();
        let secret = |(name, param)| format!("{name}=(the secret `{param}`)");
        lines.extend(self.secrets.iter().map(secret));
        match &self.script {
            None => lines.push(words(&self.args)),
            Some(script) => {
                if !self.args.is_empty() {
                    lines.push(format!("set -- {}", words(&self.args)));
                }
                lines.extend(script.lines().map(str::to_owned));
            }
        }
        lines
    }

    /// The first line that says something.
    pub fn title(&self) -> String {
        let line = match &self.script {
            None => self.lines().pop(),
            Some(script) => script
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        };
        let line = line.unwrap_or_default();
        match line.char_indices().nth(60) {
            None => line,
            Some((cut, _)) => format!("{}…", line.get(..cut).unwrap_or_default()),
        }
    }
}

/// Programs that change one host, and change it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Programs {
    pub host: HostRef,
    /// Ends with 0 where it is done, and with 1 where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Program>,
    pub apply: Program,
    /// Ends with 0 where it was done well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Program>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Program>,
    /// Seconds that each of them may take.
    pub limit: u64,
    /// Seconds that what takes it back may take, where these are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_limit: Option<u64>,
    /// What they print is not kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// It is being taken back: `apply` is what puts back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// It is run even where its check says that it is done: some of what it puts back may be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
    /// Seconds after which the host runs `undo` by itself, unless it was reached again by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_back_after: Option<u64>,
    /// `None`: they are an author's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Own>,
    /// It starts a unit anew. That is not taken back: the unit is started once more after all that it
    /// reads was put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Restarts>,
}

/// A unit of systemd that is started anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Restarts {
    pub unit: String,
    /// It did not run well before.
    pub failing: bool,
}

impl Programs {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Program> {
        let others = [&self.check, &self.verify, &self.undo];
        [&self.apply]
            .into_iter()
            .chain(others.into_iter().flatten())
    }

    /// What its author must know.
    pub(crate) const CHECK_RULE: &str =
        "a check ends with 0 where it is done and with 1 where it is not";

    /// The same, run whatever its check says before.
    pub fn blindly(self) -> Self {
        Self {
            blind: true,
            ..self
        }
    }

    /// Its `undo`, and the seconds after which the host runs that by itself; `None` where nobody told it to.
    pub fn switch(&self) -> Option<(&Program, u64)> {
        self.undo.as_ref().zip(self.put_back_after)
    }

    /// Seconds that its `undo` may take.
    pub fn undo_limit(&self) -> u64 {
        self.undo_limit.unwrap_or(self.limit)
    }

    /// What takes it back.
    pub fn inverse(&self) -> Option<Self> {
        let undo = self.undo.clone()?;
        Some(Self {
            apply: undo,
            undo: Some(self.apply.clone()),
            limit: self.undo_limit(),
            undo_limit: self.undo_limit.map(|_| self.limit),
            back: !self.back,
            blind: false,
            put_back_after: None,
            own: self.own.as_ref().map(Own::inverse),
            ..self.clone()
        })
    }
}

#[cfg(test)]
impl Programs {
    /// On node02 as root, with all parts that there can be.
    pub(crate) fn for_test() -> Self {
        let program = |text: &str| Program {
            script: Some(text.into()),
            args: vec![],
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        Self {
            host: HostRef {
                node: "node02".into(),
                machine_id: "m".into(),
                identity: super::identity::Identity::root(),
            },
            check: Some(program("check")),
            apply: program("apply"),
            verify: Some(program("verify")),
            undo: Some(program("undo")),
            limit: 60,
            undo_limit: None,
            sensitive: false,
            back: false,
            blind: false,
            put_back_after: None,
            restarts: None,
            own: None,
        }
    }

    /// The same as a kind of ours would have it.
    pub(crate) fn own_for_test() -> Self {
        let detail = |subject: &str| super::plan::Detail {
            subject: subject.into(),
            ..Default::default()
        };
        Self {
            own: Some(Own {
                title: "what is ours".into(),
                does: vec![detail("there")],
                undoes: vec![detail("back")],
            }),
            ..Self::for_test()
        }
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.own {
            Some(own) => write!(f, "{} on {}", own.title, self.host.node),
            None => write!(f, "`{}` on {}", self.apply.title(), self.host.node),
        }
    }
}

/// How a host stands to an author's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramNow {
    /// Whether what they do is done.
    Is { done: bool },
    /// By its check it is not done; but it was begun, and some of it may be.
    Begun,
    /// The host has put it back by itself; says when and why.
    PutBack(Fault),
    /// Nobody can tell; says why.
    Unclear(String),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    /// It was ended when its time was up.
    Timeout,
    /// Somebody else has ended it.
    Killed,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Timeout => f.write_str("it was ended, as its time was up"),
            Self::Killed => f.write_str("it was killed by somebody else"),
        }
    }
}

/// A program that has run, and what it printed on both its outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Which one: `check`, `apply`, `verify`, `reads`.
    pub name: String,
    pub exit: Exit,
    /// What is no text is replaced.
    pub head: String,
    /// Bytes left out between head and tail.
    #[serde(default)]
    pub left_out: u64,
    #[serde(default)]
    pub tail: String,
    /// Something that it left running holds its output: what that prints later is not read.
    #[serde(default)]
    pub held: bool,
}

impl Ran {
    /// What later steps may use of it. Nothing where it was cut or not ended by itself: half of it would
    /// be taken for all.
    pub fn found(&self) -> Map<String, Value> {
        match self.exit {
            Exit::Code(code) if self.left_out == 0 => {
                let output = self.output();
                let output = output.trim_end_matches('\n');
                [("code", Value::from(code)), ("output", Value::from(output))]
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }
            _ => Map::new(),
        }
    }

    /// All that is known of its output.
    pub fn output(&self) -> String {
        match self.left_out {
            0 => format!("{}{}", self.head, self.tail),
            bytes => format!("{}\n… {bytes} bytes left out …\n{}", self.head, self.tail),
        }
    }

    /// Its last words behind a colon, at the end of a sentence; nothing where they are nobody's business.
    pub fn said(&self, sensitive: bool) -> String {
        match self.last_words() {
            words if sensitive || words.is_empty() => String::new(),
            words => format!(": {words}"),
        }
    }

    /// The last lines, in one line, for an error.
    fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let from = lines.len().saturating_sub(3);
        let words = lines.get(from..).unwrap_or_default().join(" / ");
        match words.char_indices().rev().nth(300) {
            None => words,
            Some((cut, _)) => format!("… {}", words.get(cut..).unwrap_or_default()),
        }
    }
}

/// A program among the lines of a plan's detail.
pub(crate) fn indented(program: &Program) -> Vec<String> {
    let lines = program.lines();
    lines.iter().map(|line| format!("  {line}")).collect()
}

/// For a POSIX shell, always quoted.
pub(crate) fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// For a POSIX shell, quoted where it must be.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,@%+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => shell_quote(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn program(script: Option<&str>, args: &[&str], env: &[(&str, &str)]) -> Program {
        Program {
            script: script.map(str::to_owned),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: env
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            secrets: BTreeMap::new(),
        }
    }

    #[test]
    fn it_is_shown_as_it_would_be_typed() {
        let command = program(None, &["sysctl", "-w", "a.b=1 2"], &[("X", "it's")]);
        insta::assert_snapshot!(command.lines().join("\n"), @r"
        X='it'\''s'
        sysctl -w 'a.b=1 2'
        ");
        let script = program(Some("# why\n\n  do this\nand that\n"), &["a b"], &[]);
        insta::assert_snapshot!(script.lines().join("\n"), @"
        set -- 'a b'
        # why

          do this
        and that
        ");
        assert_eq!(script.title(), "do this");
        assert_eq!(
            program(None, &[&"x".repeat(80)], &[])
                .title()
                .chars()
                .count(),
            61
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn values_reach_a_shell_as_they_are(value in "[^\0]{0,20}", other in "[^\0]{0,20}") {
            let text = program(Some("printf '%s|%s|%s' \"$1\" \"$2\" \"$X\""), &[&value, &other], &[("X", &value)]).text();
            let out = Command::new("/bin/sh").args(["-c", &text]).output().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{value}|{other}|{value}"));
        }
    }

    #[test]
    fn what_was_left_out_is_counted() {
        let mut ran = Ran {
            name: "apply".into(),
            exit: Exit::Code(1),
            head: "a\nb\n\nc\n".into(),
            left_out: 0,
            tail: String::new(),
            held: false,
        };
        assert_eq!(ran.output(), "a\nb\n\nc\n");
        assert_eq!(ran.last_words(), "a / b / c");
        ran.left_out = 7;
        ran.tail = "d\n".into();
        assert_eq!(ran.output(), "a\nb\n\nc\n\n… 7 bytes left out …\nd\n");
        ran.tail = "x".repeat(400);
        assert_eq!(ran.last_words().chars().count(), 303);
    }
}
