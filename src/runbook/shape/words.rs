//! What a schema asks for, in words.

use super::super::problem::Problem;
use super::super::yaml::{Node, Value};
use super::{DURATION_FORMAT, Json, Shape};

impl<'s> Shape<'s> {
    /// What is wanted, for a person.
    pub fn wanted(self) -> String {
        if self.schema.get("format").and_then(Json::as_str) == Some(DURATION_FORMAT) {
            return "a duration such as 90s, 5m or 1h30m".to_owned();
        }
        if let Some(choices) = self.choices() {
            let choices: Vec<String> = choices.iter().map(|c| format!("`{c}`")).collect();
            return match choices.as_slice() {
                [one] => one.clone(),
                _ => format!("one of {}", choices.join(", ")),
            };
        }
        let mut words: Vec<String> = Vec::new();
        if let Some(all) = self.alternatives() {
            let all = all.into_iter().filter(|one| !one.only_null());
            words.extend(all.map(Self::wanted));
        } else {
            let name = |wanted: &&str| match *wanted {
                "string" => Some("text"),
                "integer" => Some("a whole number"),
                "number" => Some("a number"),
                "boolean" => Some("true or false"),
                "array" => Some("a list"),
                "object" => Some("a map"),
                _ => None,
            };
            words.extend(self.types().iter().filter_map(name).map(str::to_owned));
        }
        words.dedup();
        match words.split_last() {
            None => "anything".to_owned(),
            Some((one, [])) => one.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        }
    }

    /// What a person reads about a part: at the part itself, or about its type.
    pub fn about_of(self, part: &'s Json) -> Option<&'s str> {
        let own = part.get("description").and_then(Json::as_str);
        own.or_else(|| self.schema.get("description").and_then(Json::as_str))
    }

    /// The allowed texts of which something is said.
    pub fn described_choices(self) -> Vec<(&'s str, &'s str)> {
        let of = |one: &Self| {
            let choice = one.schema.get("const").and_then(Json::as_str)?;
            Some((choice, one.about()?))
        };
        let all = self.alternatives().unwrap_or_default();
        let direct: Vec<_> = all.iter().filter_map(of).collect();
        match direct.is_empty() {
            true => all.iter().flat_map(|one| one.described_choices()).collect(),
            false => direct,
        }
    }

    /// The first sentences of what a person reads about it.
    fn about(self) -> Option<&'s str> {
        let text = self.schema.get("description").and_then(Json::as_str)?;
        text.split("\n\n").next()
    }

    /// What a person reads about a key: at the key itself, or about its type.
    pub(super) fn about_key(self, key: &str) -> Option<&'s str> {
        let own = self.schema.get("properties")?.get(key)?;
        let direct = Self {
            schema: own,
            ..self
        };
        direct.about().or_else(|| self.at(own).about())
    }

    pub(super) fn wrong_type(self, node: &Node, name: &str) -> Problem {
        let wanted = self.wanted();
        let name = match name {
            "" => "a runbook",
            name => name,
        };
        let (message, help) = match &node.value {
            Value::Null => (format!("{name} is empty, and should be {wanted}"), None),
            Value::Bool(truth) => (
                format!("{name} is {wanted}, and this is {truth}"),
                self.quoted(if *truth { "true" } else { "false" }),
            ),
            Value::Number(_, written) => {
                let seconds = wanted.starts_with("a duration");
                let help = match seconds {
                    true => Some(format!("with its unit: {written}s, or {written}m")),
                    false => self.quoted(written),
                };
                (format!("{name} is {wanted}, and this is a number"), help)
            }
            Value::String(text) => {
                let wants_truth = self.takes(&Value::Bool(true));
                let help = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" if wants_truth => Some("write true".to_owned()),
                    "no" | "off" | "n" | "false" if wants_truth => Some("write false".to_owned()),
                    _ if text.contains("{{") && !self.templates => {
                        Some("templates are rendered in `with` and `for_each` alone".to_owned())
                    }
                    _ => None,
                };
                (format!("{name} is {wanted}, and this is text"), help)
            }
            Value::List(_) => (format!("{name} is {wanted}, and this is a list"), None),
            Value::Map(_) => (format!("{name} is {wanted}, and this is a map"), None),
            Value::Refused => (format!("{name} is {wanted}"), None),
        };
        let help = help.or_else(|| self.example());
        let span = match node.value {
            Value::Map(_) => node.head(),
            _ => node.span,
        };
        let problem = Problem::new("runbook::wrong_type", span, message);
        match help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// What a map with known keys looks like.
    fn example(self) -> Option<String> {
        let shape = match self.alternatives() {
            Some(all) => all.into_iter().find(|one| one.types() == ["object"])?,
            None => self,
        };
        let required = shape.schema.get("required").and_then(Json::as_array)?;
        let keys: Vec<String> = required
            .iter()
            .filter_map(Json::as_str)
            .map(|key| format!("{key}: …"))
            .collect();
        (keys.len() <= 4).then(|| format!("write {{{}}}", keys.join(", ")))
    }

    /// How a word of YAML becomes text, where text is wanted.
    fn quoted(self, written: &str) -> Option<String> {
        (self.choices().is_none() && self.takes(&Value::String(String::new())))
            .then(|| format!("put it in quotes: \"{written}\""))
    }
}
