//! Parameters: what a runbook asks for, and the values it is given.

mod bind;
mod file;
mod include;
mod kind;
mod text;

pub use bind::{Binding, Bound, Given, bind, check_names};
pub use file::ParamFile;
pub use include::{bind_values, secret_refs};
pub use kind::{ParamType, parse_duration, parse_time};
pub use text::{Limit, ParamProblem, ParamText, ParamTexts};

use super::kind::Type;
use regex::Regex;
use serde_json::Value;

/// A parameter's declaration, without contradictions.
#[derive(Debug, Clone)]
pub struct Param {
    pub name: String,
    pub r#type: ParamType,
    /// What an enum may be.
    pub values: Vec<String>,
    /// The type of a list's items.
    pub items: ParamType,
    /// What the whole of a text must match.
    pub pattern: Option<Pattern>,
    pub min: Option<Limit>,
    pub max: Option<Limit>,
    /// May be a template over the parameters before it.
    pub default: Option<Value>,
    /// Whether there must be a value where there is no default; otherwise it is null.
    pub required: bool,
    pub help: String,
}

/// A regular expression that matches a text as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub source: String,
    whole: Regex,
}

impl Param {
    /// A secret of which nothing but its name is known.
    pub fn secret(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            r#type: ParamType::Secret,
            values: Vec::new(),
            items: ParamType::String,
            pattern: None,
            min: None,
            max: None,
            default: None,
            required: true,
            help: String::new(),
        }
    }

    /// The type of its value in templates and conditions.
    pub fn value_type(&self) -> Type {
        match self.r#type {
            ParamType::List => Type::List(Box::new(scalar_type(self.items))),
            other => scalar_type(other),
        }
    }

    /// What its value must be, in words.
    pub fn expects(&self) -> String {
        let (one, _) = self.r#type.names();
        let mut words = match (self.r#type, self.items) {
            (ParamType::Enum, _) => format!("{one} {}", self.values.join(", ")),
            (ParamType::List, ParamType::Enum) => {
                format!("{one} of {}", self.values.join(", "))
            }
            (ParamType::List, items) => format!("{one} of {}", items.names().1),
            // The limits are examples themselves.
            (ParamType::Duration, _) if self.min.is_some() || self.max.is_some() => {
                "a duration".to_owned()
            }
            _ => one.to_owned(),
        };
        words.push_str(&self.limits());
        if let Some(pattern) = &self.pattern {
            let which = match self.r#type {
                ParamType::List => ", each of which matches",
                _ => " that matches",
            };
            words.push_str(&format!("{which} `{}`", pattern.source));
        }
        words
    }

    fn limits(&self) -> String {
        let limits = match (&self.min, &self.max) {
            (None, None) => return String::new(),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (Some(min), Some(max)) => format!("{min} to {max}"),
        };
        match self.r#type {
            ParamType::List => format!(", {limits} of them"),
            ParamType::Int | ParamType::Duration if self.min.is_some() && self.max.is_some() => {
                format!(" from {limits}")
            }
            ParamType::Int | ParamType::Duration => format!(" of {limits}"),
            _ => format!(" of {limits} characters"),
        }
    }

    /// Reads what somebody typed, and says what is wrong with it.
    pub fn read_text(&self, text: &str) -> Result<Value, String> {
        let value = match self.r#type {
            ParamType::List => self.read_list([text]),
            other => other.value(text),
        };
        self.check(&value).map(|()| value)
    }

    /// The items of lists that are given as text, with commas between.
    fn read_list<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Value {
        let items = texts
            .into_iter()
            .filter(|text| !text.trim().is_empty())
            .flat_map(|text| text.split(','))
            .map(|item| self.items.value(item.trim()));
        Value::Array(items.collect())
    }

    /// Says what is wrong with a value, in one sentence.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        if value.is_null() && !self.required {
            return Ok(());
        }
        let Some(offending) = self.offending(value) else {
            return Ok(());
        };
        let is = format!("parameter `{}` is {}", self.name, self.expects());
        if self.r#type == ParamType::Secret {
            // What is nearly a secret is one, too.
            return Err(format!("{is}, and what was given is not"));
        }
        let not = match (self.r#type, std::ptr::eq(offending, value)) {
            (ParamType::List, false) => format!("{} in it is not one", shown(offending)),
            _ => format!("{} is not", shown(offending)),
        };
        let mut said = format!("{is}, and {not}");
        let values = self.values.iter().map(String::as_str);
        if let Some(near) = offending
            .as_str()
            .and_then(|text| crate::fault::nearest(text, values))
        {
            said.push_str(&format!("; did you mean `{near}`?"));
        }
        Err(said)
    }

    /// The value, or the item of a list, that is not as it must be.
    fn offending<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let fits = self.r#type.is(value) && self.has_form(self.r#type, value);
        if !fits || !self.within(value) {
            return Some(value);
        }
        let mut items = value.as_array().into_iter().flatten();
        items.find(|item| !(self.items.is(item) && self.has_form(self.items, item)))
    }

    fn has_form(&self, kind: ParamType, value: &Value) -> bool {
        let Some(text) = value.as_str() else {
            return true;
        };
        let listed = kind != ParamType::Enum || self.values.iter().any(|v| v == text);
        let matches = |pattern: &Pattern| pattern.whole.is_match(text);
        listed && (!kind.is_text() || self.pattern.as_ref().is_none_or(matches))
    }

    fn within(&self, value: &Value) -> bool {
        let Some(measure) = measure(self.r#type, value) else {
            return true;
        };
        let at = |limit: &Option<Limit>| limit.as_ref().and_then(Limit::measure);
        at(&self.min).is_none_or(|min| min <= measure)
            && at(&self.max).is_none_or(|max| measure <= max)
    }
}

fn scalar_type(kind: ParamType) -> Type {
    match kind {
        ParamType::Int => Type::Int,
        ParamType::Bool => Type::Bool,
        ParamType::Secret => Type::Secret,
        _ => Type::String,
    }
}

/// What limits are about: the number itself, a duration's nanoseconds, or a length.
fn measure(kind: ParamType, value: &Value) -> Option<i128> {
    match kind {
        ParamType::Int => value.as_i64().map(i128::from),
        ParamType::Duration => Limit::Duration(value.as_str()?.to_owned()).measure(),
        ParamType::List => i128::try_from(value.as_array()?.len()).ok(),
        _ => i128::try_from(value.as_str()?.chars().count()).ok(),
    }
}

/// A value in a message: in one line, and not the whole of a novel.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let whole = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text: String = whole.chars().take(MOST).collect();
    if text.len() < whole.len() {
        text.push('…');
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests;
