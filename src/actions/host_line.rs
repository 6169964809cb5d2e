//! `host.line`: a line of a text file of a host, which is there or not.

use super::file_change::{Change, Refusal, Seen, check_path};
use super::file_lines::{Line, insert, joined, lines, numbers};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::Prior;
use crate::transport::OwnerNames;
use async_trait::async_trait;
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Bytes that a compiled expression may take.
const MAX_REGEX: usize = 1 << 20;

/// Whether the line is there.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It is there.
    #[default]
    Present,
    /// No such line is there.
    Absent,
}

/// A line of a text file of a host, which is there or not; all other lines stay byte for byte, and so does
/// how lines end. A line is compared as a whole, blanks counted. Expressions are those of Rust's `regex`
/// crate (1.x); each is looked for in one line at a time, without the line's end, and `^` and `$` are the
/// line's.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The path of the file, from `/` on, without `.` and `..`.
    path: String,
    /// The line as it is to be, or that is not to be there. It is literal: nothing of what `match` found
    /// is put into it.
    line: Option<String>,
    /// Instead of `line`, several: of these, the ones that are missing are added together, in this order.
    lines: Option<Vec<String>>,
    /// Whether it is there.
    #[serde(default)]
    state: State,
    /// An expression for the line that `line` replaces, or that is removed with `state: absent`. It must
    /// fit `line` as well, so that a second run knows its line again, such as `^#?PermitRootLogin\s`. Where
    /// it fits no line, `line` is added; where it fits several, the step is refused unless `all` is true.
    r#match: Option<String>,
    /// Whether `match` may fit several lines: the first becomes `line`, and the others are removed.
    #[serde(default)]
    all: bool,
    /// An expression: what is added comes after the last line that it fits. Where it fits none, the step
    /// is refused. Without `after` and `before`, what is added comes at the end.
    after: Option<String>,
    /// An expression: what is added comes before the first line that it fits, as with `after`.
    before: Option<String>,
    /// Whether a file that is not there is made, with mode 0644, by and for whoever writes it.
    #[serde(default)]
    create: bool,
    /// Whether what is in the file is never shown.
    #[serde(default)]
    sensitive: bool,
}

pub struct HostLine {
    path: String,
    wanted: Wanted,
    create: bool,
    sensitive: bool,
}

enum Wanted {
    /// Each of these is there.
    All(Vec<String>, Position),
    /// This is there, instead of what the expression fits.
    Instead(String, Match, Position),
    /// None of these is there.
    None(Vec<String>),
    /// Nothing that the expression fits is there.
    NoMatch(Match),
}

struct Match {
    regex: Regex,
    all: bool,
}

/// Where a line is added.
enum Position {
    End,
    After(Regex),
    Before(Regex),
}

fn regex(what: &str, source: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(source).size_limit(MAX_REGEX).build();
    built.map_err(|e| {
        let why = match &e {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The first lines draw where it is; the last one says what.
            e => e.to_string().lines().last().unwrap_or_default().to_owned(),
        };
        let why = why.trim().trim_start_matches("error: ");
        format!("`{what}` is a regular expression, and `{source}` is none: {why}")
    })
}

fn check_line(line: String) -> Result<String, String> {
    if line.is_empty() {
        Err("an empty line is not told from others: `line` has at least one character".to_owned())
    } else if line.contains(['\n', '\r', '\0']) {
        Err(
            "`line` is one line, and this has a line break or a NUL in it; several are `lines`"
                .to_owned(),
        )
    } else {
        Ok(line)
    }
}

#[async_trait]
impl Action for HostLine {
    const USES: &'static str = "host.line";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let given = match (args.line, args.lines) {
            (Some(_), Some(_)) => return Err("give either `line` or `lines`".to_owned()),
            (Some(line), None) => vec![check_line(line)?],
            (None, Some(lines)) if lines.is_empty() => {
                return Err("`lines` has no line".to_owned());
            }
            (None, Some(lines)) => lines
                .into_iter()
                .map(check_line)
                .collect::<Result<_, _>>()?,
            (None, None) => Vec::new(),
        };
        if let Some(twice) = given
            .iter()
            .enumerate()
            .find_map(|(n, line)| given.iter().take(n).find(|earlier| *earlier == line))
        {
            return Err(format!("`lines` has `{twice}` twice"));
        }
        let found = args.r#match.map(|source| regex("match", &source));
        let found = found.transpose()?.map(|regex| Match {
            regex,
            all: args.all,
        });
        if args.all && found.is_none() {
            return Err("`all` says what becomes of several lines that `match` fits".to_owned());
        }
        let position = match (args.after, args.before) {
            (None, None) => None,
            (Some(source), None) => Some(Position::After(regex("after", &source)?)),
            (None, Some(source)) => Some(Position::Before(regex("before", &source)?)),
            (Some(_), Some(_)) => return Err("give either `after` or `before`".to_owned()),
        };
        let wanted = match (args.state, found) {
            (State::Absent, _) if position.is_some() || args.create => {
                return Err(
                    "what is absent is not added: leave out `after`, `before` and `create`"
                        .to_owned(),
                );
            }
            (State::Absent, None) if !given.is_empty() => Wanted::None(given),
            (State::Absent, Some(found)) if given.is_empty() => Wanted::NoMatch(found),
            (State::Absent, _) => {
                return Err("with `state: absent`, give one of `line`, `lines` and `match`".into());
            }
            (State::Present, found) => {
                let position = position.unwrap_or(Position::End);
                match (found, <[String; 1]>::try_from(given)) {
                    (Some(found), Ok([line])) => {
                        if !found.regex.is_match(line.as_bytes()) {
                            return Err(format!(
                                "`match` does not fit `{line}`, so that a second run would not know its \
                                 line again: write it so that it fits both"
                            ));
                        }
                        Wanted::Instead(line, found, position)
                    }
                    (None, Ok([line])) => Wanted::All(vec![line], position),
                    (_, Err(given)) if given.is_empty() => {
                        return Err("give `line` or `lines`".to_owned());
                    }
                    (None, Err(given)) => Wanted::All(given, position),
                    (Some(_), Err(_)) => {
                        return Err("`match` is replaced by one `line`, not by `lines`".to_owned());
                    }
                }
            }
        };
        Ok(Self {
            path: args.path,
            wanted,
            create: args.create,
            sensitive: args.sensitive,
        })
    }

    fn needs(_with: &serde_json::Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        Seen::read(look, place, &self.path, &OwnerNames::default()).await
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let so = match &self.wanted {
            Wanted::All(lines, _) if lines.len() > 1 => "has these lines already",
            Wanted::All(..) | Wanted::Instead(..) => "has this line already",
            Wanted::None(_) | Wanted::NoMatch(_) => "has no such line",
        };
        seen.decide(prior, None, so, |now| self.after(now))
    }

    fn compile(&self, change: Change) -> Compiled {
        change.compile(self.sensitive)
    }
}

impl HostLine {
    /// The bytes that the file gets.
    fn after(&self, now: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        let adds = matches!(self.wanted, Wanted::All(..) | Wanted::Instead(..));
        let bytes = match now {
            Some(bytes) => bytes,
            None if !adds => return Ok(None),
            None if self.create => b"",
            None => {
                return Err(Refusal::new("is not there")
                    .next("look at `path`, or let `create: true` make the file"));
            }
        };
        let mut all = lines(bytes);
        match &self.wanted {
            Wanted::All(wanted, position) => {
                let missing = wanted.iter().map(String::as_bytes);
                let missing: Vec<&[u8]> = missing
                    .filter(|line| !all.iter().any(|own| own.text == *line))
                    .collect();
                if !missing.is_empty() {
                    let at = position.find(&all)?;
                    insert(&mut all, at, &missing);
                }
            }
            Wanted::Instead(line, found, position) => match found.find(&all)?.as_slice() {
                [] => {
                    let at = position.find(&all)?;
                    insert(&mut all, at, &[line.as_bytes()]);
                }
                [first, others @ ..] => {
                    if let Some(own) = all.get_mut(*first) {
                        own.text = line.as_bytes();
                    }
                    remove(&mut all, others);
                }
            },
            Wanted::None(unwanted) => {
                all.retain(|own| !unwanted.iter().any(|line| line.as_bytes() == own.text));
            }
            Wanted::NoMatch(found) => {
                let found = found.find(&all)?;
                remove(&mut all, &found);
            }
        }
        Ok(Some(joined(&all)))
    }
}

fn remove(all: &mut Vec<Line<'_>>, indices: &[usize]) {
    let mut n = 0;
    all.retain(|_| {
        n += 1;
        !indices.contains(&(n - 1))
    });
}

fn fitting(regex: &Regex, all: &[Line<'_>]) -> Vec<usize> {
    let fits = |(n, line): (usize, &Line<'_>)| regex.is_match(line.text).then_some(n);
    all.iter().enumerate().filter_map(fits).collect()
}

impl Match {
    fn find(&self, all: &[Line<'_>]) -> Result<Vec<usize>, Refusal> {
        let found = fitting(&self.regex, all);
        match found.len() > 1 && !self.all {
            false => Ok(found),
            true => Err(Refusal::new(format!(
                "has several lines that `match` fits: {}",
                numbers(&found)
            ))
            .next("let `match` say which, or `all: true` that it is all of them: one line stands for them, or none with `state: absent`")),
        }
    }
}

impl Position {
    /// Before which line something is added.
    fn find(&self, all: &[Line<'_>]) -> Result<usize, Refusal> {
        let (name, at) = match self {
            Self::End => return Ok(all.len()),
            Self::After(regex) => ("after", fitting(regex, all).last().map(|n| n + 1)),
            Self::Before(regex) => ("before", fitting(regex, all).first().copied()),
        };
        at.ok_or_else(|| {
            Refusal::new(format!("has no line that `{name}` fits"))
                .next("look whether it is the file that is meant")
        })
    }
}

#[cfg(test)]
mod tests;
