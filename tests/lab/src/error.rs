//! One error type: what happened, where, and what to do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub enum Error {
    /// This machine cannot carry a lab.
    Unfit { what: String, next: String },
    /// A file or folder could not be used.
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A program could not be started.
    Start { program: String, source: io::Error },
    /// A program ended with a failure.
    Failed {
        doing: String,
        status: String,
        output: String,
        log: Option<PathBuf>,
    },
    /// A condition did not come true in time.
    Late {
        what: String,
        seconds: u64,
        next: String,
    },
    /// The lab is not in the state that the word needs.
    State { what: String, next: String },
    /// A program answered in a way that this one cannot read.
    Unreadable { what: String, answer: String },
}

impl Error {
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    pub fn state(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::State {
            what: what.into(),
            next: next.into(),
        }
    }

    pub fn unfit(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Unfit {
            what: what.into(),
            next: next.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit { what, next } | Self::State { what, next } => {
                write!(f, "{what}\n  next: {next}")
            }
            Self::File {
                doing,
                path,
                source,
            } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Start { program, source } => {
                write!(
                    f,
                    "cannot start {program}: {source}\n  next: install it, or put it on the PATH"
                )
            }
            Self::Failed {
                doing,
                status,
                output,
                log,
            } => {
                write!(f, "{doing} failed ({status})")?;
                for line in output.lines() {
                    write!(f, "\n  | {line}")?;
                }
                match log {
                    Some(log) => write!(f, "\n  the whole log: {}", log.display()),
                    None => Ok(()),
                }
            }
            Self::Late {
                what,
                seconds,
                next,
            } => {
                write!(
                    f,
                    "{what} did not happen within {seconds} s\n  next: {next}"
                )
            }
            Self::Unreadable { what, answer } => write!(f, "cannot read {what}: {answer}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}
