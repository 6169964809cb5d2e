//! A parameter as a runbook's text declares it, and what can be wrong with that.

use super::{Param, ParamType, Pattern, parse_duration};
use crate::model::StepId;
use crate::runbook::template;
use regex::RegexBuilder;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// How large a compiled pattern may be.
const MAX_PATTERN: usize = 1 << 20;

/// One parameter of a runbook: what is asked of whoever applies it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamText {
    /// What its value may be.
    pub r#type: ParamType,
    /// For an enum, or a list of them: what it may be.
    #[serde(default)]
    pub values: Option<Vec<String>>,
    /// For a list: the type of its items, `string` if left out. Neither `list` nor `secret`.
    #[serde(default)]
    pub items: Option<ParamType>,
    /// For a string, a secret, or a list of strings: a regular expression that the whole of it, or of
    /// each item, must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The least that it may be: of an int the number, of a duration a duration, of a string, a secret
    /// or a list its length.
    #[serde(default)]
    pub min: Option<Limit>,
    /// The most that it may be.
    #[serde(default)]
    pub max: Option<Limit>,
    /// Its value where none is given. It may be a template over the parameters before it:
    /// `{{ params.node }}`. A secret has none.
    #[serde(default)]
    pub default: Option<Value>,
    /// Without a default, a value must be given, unless this is `false`: then it is null.
    #[serde(default)]
    pub required: Option<bool>,
    /// What it is for: shown by `--help`, and where it is asked for.
    #[serde(default)]
    pub help: String,
}

/// A limit of a number, a length, or a duration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    Number(i64),
    Duration(String),
}

impl Limit {
    /// A number that can be compared; nothing, where it should be a duration and is none.
    pub(super) fn measure(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(i128::from(*number)),
            Self::Duration(text) => i128::try_from(parse_duration(text)?.as_nanos()).ok(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Duration(text) => text.fmt(f),
        }
    }
}

/// The parameters of a runbook, in the order in which its text has them.
#[derive(Debug, Clone, Default)]
pub struct ParamTexts(pub Vec<(String, ParamText)>);

impl<'de> Deserialize<'de> for ParamTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = ParamTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters by their names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParamTexts, A::Error> {
                let mut texts: Vec<(String, ParamText)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if texts.iter().any(|(earlier, _)| *earlier == name) {
                        return Err(Error::custom(format!("there are two parameters `{name}`")));
                    }
                    texts.push((name, map.next_value()?));
                }
                Ok(ParamTexts(texts))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for ParamTexts {
    fn schema_name() -> Cow<'static, str> {
        "Params".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        std::collections::BTreeMap::<String, ParamText>::json_schema(generator)
    }
}

/// Something wrong with a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamProblem {
    /// Where, below the parameter; empty, where it is about the whole of it.
    pub path: Vec<String>,
    pub message: String,
}

/// Gathers what is wrong.
#[derive(Default)]
struct Problems(Vec<ParamProblem>);

impl Problems {
    fn at(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(ParamProblem {
            path: [path]
                .into_iter()
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            message: message.into(),
        });
    }
}

impl Param {
    /// Reads a declaration, or says all that is wrong with it.
    pub fn from_text(name: &str, text: ParamText) -> Result<Self, Vec<ParamProblem>> {
        let mut problems = Problems::default();
        if StepId::new(name).is_none() {
            problems.at(
                "",
                format!("`{name}` is not a name: lower-case letters, digits and _"),
            );
        }
        let kind = text.r#type;
        let items = items(&text, &mut problems);
        let each = match kind {
            ParamType::List => items,
            other => other,
        };
        let (pattern, values) = (
            pattern(&text, each, &mut problems),
            values(&text, each, &mut problems),
        );
        limits(&text, &mut problems);
        if text.required == Some(true) && text.default.is_some() {
            problems.at("required", "it has a default, so that it is never missing");
        }
        let param = Self {
            name: name.to_owned(),
            r#type: kind,
            values,
            items,
            pattern,
            min: text.min,
            max: text.max,
            required: text.required.unwrap_or(true),
            default: text.default,
            help: text.help,
        };
        // What a default must be is known only where the rest of it holds.
        if let Some(default) = &param.default {
            if kind == ParamType::Secret {
                problems.at(
                    "default",
                    "a secret has no default: it would stand in the runbook",
                );
            } else if let Err(e) = template::check(default) {
                problems.at("default", e.to_string());
            } else if problems.0.is_empty()
                && !has_template(default)
                && param.offending(default).is_some()
            {
                problems.at(
                    "default",
                    format!(
                        "the default of `{name}` is {default}, and not {}",
                        param.expects()
                    ),
                );
            }
        }
        match problems.0.is_empty() {
            true => Ok(param),
            false => Err(problems.0),
        }
    }
}

/// Whether a value has to be rendered.
pub(super) fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        _ => false,
    }
}

fn items(text: &ParamText, problems: &mut Problems) -> ParamType {
    let items = text.items.unwrap_or(ParamType::String);
    if text.items.is_some() && text.r#type != ParamType::List {
        problems.at("items", "only a list has items");
    } else if !items.is_scalar() {
        problems.at(
            "items",
            format!("the items of a list are no {}", items.names().1),
        );
    }
    items
}

/// `each` is the type of the value, or of a list's items.
fn values(text: &ParamText, each: ParamType, problems: &mut Problems) -> Vec<String> {
    let values = text.values.clone().unwrap_or_default();
    match (each, text.values.is_some()) {
        (ParamType::Enum, _) if values.is_empty() => {
            problems.at(
                "values",
                "an enum needs the values that it may have: values: [one, other]",
            );
        }
        (ParamType::Enum, _) => {
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = values.iter().find(|value| !seen.insert(value.as_str())) {
                problems.at("values", format!("`{twice}` is among them twice"));
            }
        }
        (_, true) => problems.at("values", "only an enum has values"),
        (_, false) => {}
    }
    values
}

fn pattern(text: &ParamText, each: ParamType, problems: &mut Problems) -> Option<Pattern> {
    let source = text.pattern.as_deref()?;
    if !each.is_text() {
        problems.at("pattern", "only a string or a secret has a pattern");
        return None;
    }
    let compile = |source: &str| RegexBuilder::new(source).size_limit(MAX_PATTERN).build();
    // By itself first: brackets that only close what is put around it are a mistake.
    match compile(source).and_then(|_| compile(&format!(r"\A(?:{source})\z"))) {
        Ok(whole) => Some(Pattern {
            source: source.to_owned(),
            whole,
        }),
        Err(e) => {
            let why = match &e {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                // The first lines draw where it is; the last one says what.
                e => e
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            };
            let why = why.trim_start_matches("error: ");
            problems.at(
                "pattern",
                format!("`{source}` is not a regular expression: {why}"),
            );
            None
        }
    }
}

fn limits(text: &ParamText, problems: &mut Problems) {
    let before = problems.0.len();
    for (path, limit) in [("min", &text.min), ("max", &text.max)] {
        let Some(limit) = limit else {
            continue;
        };
        match (text.r#type, limit) {
            (ParamType::Int, Limit::Number(_)) => {}
            (ParamType::Duration, limit @ Limit::Duration(_)) if limit.measure().is_some() => {}
            (ParamType::Duration, _) => problems.at(
                path,
                format!("`{limit}` is not {}", ParamType::Duration.names().0),
            ),
            (ParamType::String | ParamType::Secret | ParamType::List, Limit::Number(0..)) => {}
            (ParamType::String | ParamType::Secret | ParamType::List, _) => {
                problems.at(path, format!("`{limit}` is not a length"));
            }
            (ParamType::Int, _) => problems.at(path, format!("`{limit}` is not a whole number")),
            (other, _) => problems.at(path, format!("the type {} has no limits", other.word())),
        }
    }
    let measure = |limit: &Option<Limit>| limit.as_ref().and_then(Limit::measure);
    if problems.0.len() == before
        && let (Some(min), Some(max)) = (measure(&text.min), measure(&text.max))
        && min > max
    {
        problems.at("max", "it is less than `min`, so that nothing would fit");
    }
}
