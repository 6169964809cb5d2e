//! The names that a step may use, and what is to be said of one that it may not.

use super::kind::{Record, Type};
use super::problem::{closest, listed};

/// What is known where a step stands.
pub(super) struct Names<'a> {
    pub known: Record,
    /// The step itself.
    pub own: &'a str,
    /// The steps after it.
    pub later: &'a [String],
    /// Why there is no target, if there is none.
    pub no_target: Option<&'static str>,
}

/// A name that is not known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
}

impl Names<'_> {
    pub fn find(&self, name: &str) -> Result<&Type, Unknown> {
        self.known.find(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Unknown {
        let mut parts = name.split('.');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let say = |message: String, help: &str| Unknown {
            message,
            label: None,
            help: Some(help.to_owned()),
        };
        match (first, second) {
            ("steps", Some(id)) if id == self.own => {
                return say(
                    format!("`{id}` is this step itself"),
                    "a step may name the steps before it",
                );
            }
            ("steps", Some(id)) if self.later.iter().any(|later| later == id) => {
                return say(
                    format!("`{id}` comes after this step"),
                    "a step may name the steps before it: put that one first",
                );
            }
            ("item", _) if self.known.get("item").is_none() => {
                return say(
                    format!("there is no `{name}` here"),
                    "`item` is there in a step with `for_each`, and nowhere else",
                );
            }
            ("target" | "facts", _) => {
                if let Some(why) = self.no_target {
                    return say(format!("there is no `{name}` here"), why);
                }
            }
            _ => {}
        }
        let message = format!("`{name}` is not known here");
        // The first part is often left out.
        let longer = ["params", "steps", "target", "facts"]
            .iter()
            .map(|above| format!("{above}.{name}"))
            .find(|longer| self.known.knows(longer));
        let near = longer.or_else(|| self.near(name));
        match near {
            Some(near) => Unknown {
                message,
                label: Some(format!("did you mean `{near}`?")),
                help: None,
            },
            None => Unknown {
                message,
                label: None,
                help: Some(self.all(first)),
            },
        }
    }

    fn near(&self, name: &str) -> Option<String> {
        let known = self.known.names();
        closest(name, known.iter().map(String::as_str)).map(str::to_owned)
    }

    /// What is known, of the same sort if there is one.
    fn all(&self, first: &str) -> String {
        let known = self.known.names();
        let prefix = format!("{first}.");
        let same: Vec<&str> = known
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with(&prefix))
            .collect();
        let short = self.known.names_in_short();
        let all: Vec<&str> = short.iter().map(String::as_str).collect();
        match (same.is_empty(), all.is_empty()) {
            (false, _) => format!("known are {}", listed(&same)),
            (true, false) => format!("known are {}", listed(&all)),
            (true, true) => "no names are known here".to_owned(),
        }
    }
}
