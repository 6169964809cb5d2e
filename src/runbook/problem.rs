//! What is wrong with a runbook's text: all of it at once, each with its place.

use super::excerpt::{Excerpt, clean};
use super::source::{Source, Span};
use crate::fault::{Fault, nearest};
use std::fmt;

/// More than these are counted, not shown.
const MAX_PROBLEMS: usize = 100;
/// Names that nobody typed by mistake are not compared with others.
const LONGEST_NAME: usize = 80;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable, such as `runbook::unknown_key`.
    pub code: &'static str,
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
    /// Said at the place itself.
    pub(super) label: String,
    /// Another place that has to do with it, and what is said there.
    pub(super) other: Option<(Span, String)>,
}

impl Problem {
    pub(super) fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            line: 0,
            column: 0,
            span,
            help: None,
            label: "here".to_owned(),
            other: None,
        }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.other = Some((span, label.into()));
        self
    }

    /// Says at the place which of the known names may be meant, or else which there are.
    pub(super) fn meant<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match closest(name, known.iter().copied()) {
            Some(near) => self.label(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => self.help(format!("known are {}", listed(&known))),
        }
    }
}

/// The known name that is meant by a wrong one, if one is near.
pub(super) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.replace('-', "_").to_ascii_lowercase();
    match name.len() <= LONGEST_NAME {
        true => nearest(&folded, known),
        false => None,
    }
}

/// Names for a person; many of them are cut short.
pub(super) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|n| format!("`{n}`")).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Gathers problems while a text is read.
#[derive(Debug, Default)]
pub(super) struct Found {
    problems: Vec<Problem>,
    /// How many were found, also those that are not kept.
    count: usize,
}

impl Found {
    pub fn push(&mut self, problem: Problem) {
        let same = |p: &Problem| p.span == problem.span && p.message == problem.message;
        if self.problems.iter().any(same) {
            return;
        }
        self.count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// Says something better of a place.
    pub fn replace(&mut self, span: Span, problem: Problem) {
        match self.problems.iter_mut().find(|p| p.span == span) {
            Some(worse) => *worse = problem,
            None => self.push(problem),
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether so much is wrong that looking further helps nobody.
    pub fn is_full(&self) -> bool {
        self.count >= MAX_PROBLEMS
    }

    pub fn append(&mut self, other: Self) {
        other.problems.into_iter().for_each(|p| self.push(p));
    }

    pub fn into_problems(self, source: &Source<'_>) -> Problems {
        let mut problems = self.problems;
        for problem in &mut problems {
            (problem.line, problem.column) = source.place(problem.span.start);
            // Names from the file stand in it: nothing of them reaches a terminal as it is.
            problem.message = clean(&problem.message);
            problem.help = problem.help.as_deref().map(clean);
        }
        problems.sort_by_key(|p| p.span.start);
        let rendered: Vec<String> = problems
            .iter()
            .map(|problem| Excerpt::new(source, problem).rendered(problem))
            .collect();
        Problems {
            file: clean(source.name),
            problems,
            count: self.count,
            rendered: rendered.join("\n"),
        }
    }
}

/// All that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    pub file: String,
    /// In the order of the file; the first hundred of them.
    pub problems: Vec<Problem>,
    count: usize,
    rendered: String,
}

impl Problems {
    /// How many there are.
    pub fn count_line(&self) -> String {
        let more = match self.count > self.problems.len() {
            true => format!(", of which the first {} are shown", self.problems.len()),
            false => String::new(),
        };
        match self.count {
            1 => format!("1 problem in {}", self.file),
            count => format!("{count} problems in {}{more}", self.file),
        }
    }

    /// Each problem with its place.
    pub fn places(&self) -> &str {
        &self.rendered
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.rendered)?;
        f.write_str(&self.count_line())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Fault {
    fn from(problems: Problems) -> Self {
        Self::input("runbook_wrong", problems.count_line()).excerpt(problems.rendered)
    }
}
