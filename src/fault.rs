//! What can go wrong, as the operator and the journal see it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a fault means for the run. Only [`Class::Indeterminate`] leaves an intent open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The command line, a runbook or an inventory is wrong.
    Input,
    /// The world is not as it would have to be: a precondition, a right, drift, a confirmation.
    Refused,
    /// A host or an API server did not answer; nothing was asked of it.
    Unreachable,
    /// It was tried and certainly did not happen.
    Definite,
    /// It was tried, and whether it happened is not known.
    Indeterminate,
    /// A mistake of the program itself.
    Internal,
}

/// Code of the fault of a wait that has run out: what was waited for may yet come about.
pub const TIMEOUT: &str = "timeout";

/// Code of the fault of a step at which somebody was asked, and said no.
pub const DECLINED: &str = "declined";
/// Code of the fault of an effect that its host has put back by itself, as nobody came back.
pub const PUT_BACK: &str = "put_back";
/// Code of the fault of a run that went on where steps of it failed.
pub const PASSED_OVER: &str = "passed_over";

/// Code of the fault of an API server that does not answer.
pub const API_SILENT: &str = "api_unreachable";
/// The code of what only systemd has, on a host that is not run by it.
pub const NO_SYSTEMD: &str = "no_systemd";
/// The code of what a host lacks the programs for.
pub const NO_TOOL: &str = "no_tool";
/// Code of the fault of a run that could not look at all that it was to bring about.
pub const NOT_VERIFIED: &str = "not_verified";
/// Code of the fault of a run that has lost its claim: it writes nothing more.
pub const CLAIM_LOST: &str = "claim_lost";

/// Somebody else may work on the run's targets by now.
pub fn claim_lost(why: &str) -> Fault {
    Fault::refused(CLAIM_LOST, format!("this run writes nothing more: {why}"))
        .next("look who works there now; `runbook resume` goes on once it is free")
}

/// One fault: what happened and where, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub class: Class,
    /// Stable; scripts may match it.
    pub code: String,
    pub message: String,
    /// Where several things are wrong, each of them in a line of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Lines that are shown as they stand, such as places in a file; free of control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Box<str>>,
}

impl Fault {
    pub fn new(class: Class, code: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.to_owned(),
            message: message.into(),
            list: Vec::new(),
            next: None,
            excerpt: None,
        }
    }

    /// Adds what the operator can do about it.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds the single things that are wrong.
    #[must_use]
    pub fn list(mut self, list: Vec<String>) -> Self {
        self.list = list;
        self
    }

    /// Adds lines that are shown as they stand.
    #[must_use]
    pub fn excerpt(mut self, lines: impl Into<String>) -> Self {
        self.excerpt = Some(lines.into().into_boxed_str());
        self
    }

    pub fn input(code: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Input, code, message)
    }

    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Refused, code, message)
    }

    pub fn unreachable(code: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Unreachable, code, message)
    }

    pub fn definite(code: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Definite, code, message)
    }

    pub fn indeterminate(code: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Indeterminate, code, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Class::Internal, "internal", message)
            .next("this is a mistake in runbook itself: please report it")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The closest of `known` to a name that is not among them, for "did you mean".
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// Whether a character must not reach a terminal as it is: control characters, and marks that turn
/// the direction of writing, or that nobody sees.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(
            nearest("stable_fro", ["within", "stable_for"]),
            Some("stable_for")
        );
        assert_eq!(nearest("colour", ["within", "stable_for"]), None);
    }
}
