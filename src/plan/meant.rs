//! What the arguments of a step may be, before anybody gives values to parameters: a template stays
//! where it may give anything, and becomes each of its values where these are known.

use super::names::is_within;
use crate::runbook::{ParamType, Rendering, Runbook, Step, names_in_templates, render_arguments};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// So many ways for one step are told apart; where there are more, templates stay.
const MOST: usize = 64;

/// The values that names in templates may have, by the name; what is not in it may be anything.
type Values = BTreeMap<String, Vec<Value>>;

/// The parameters of a runbook, as far as their values are known.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// `params.x`
    values: Values,
    /// The items that a parameter may have, which is a list.
    items: Values,
}

/// One way to mean the arguments of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Meant {
    /// What is known of them is rendered.
    pub with: Value,
}

impl Params {
    /// Of a runbook that somebody applies.
    pub fn of(runbook: &Runbook) -> Self {
        Self::given(runbook, None)
    }

    fn given(runbook: &Runbook, given: Option<&Value>) -> Self {
        let mut params = Self::default();
        for param in &runbook.params {
            let name = format!("params.{}", param.name);
            let all = || param.values.iter().cloned().map(Value::String).collect();
            let fixed = given.map(|given| given.get(&param.name).or(param.default.as_ref()));
            match (fixed.flatten(), param.r#type, param.items) {
                (Some(value), ..) if names_in_templates(value).is_empty() => {
                    if let Value::Array(items) = value {
                        params.items.insert(name.clone(), items.clone());
                    }
                    params.values.insert(name, vec![value.clone()]);
                }
                (_, ParamType::Enum, _) => {
                    params.values.insert(name, all());
                }
                (_, ParamType::List, ParamType::Enum) => {
                    params.items.insert(name, all());
                }
                _ => {}
            }
        }
        params
    }

    /// The items for which a step may happen; `None`: any.
    fn items_of(&self, each: &Value) -> Option<Vec<Value>> {
        match each {
            Value::Array(items) if names_in_templates(each).is_empty() => Some(items.clone()),
            Value::String(text) => {
                let name = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
                self.items.get(name.trim()).cloned()
            }
            _ => None,
        }
    }
}

impl Meant {
    /// All ways to mean a step's arguments.
    pub fn all(params: &Params, step: &Step) -> Vec<Self> {
        let mut known = params.values.clone();
        if let Some(items) = step
            .for_each
            .as_ref()
            .and_then(|each| params.items_of(each))
        {
            known.insert("item".to_owned(), items);
        }
        let used = names_in_templates(&step.with);
        let is_used = |name: &String| used.iter().any(|used| is_within(used, name));
        known.retain(|name, _| is_used(name));
        let count = known.values().map(Vec::len).try_fold(1, usize::checked_mul);
        if count.is_none_or(|count| count > MOST) {
            known.clear();
        }
        let mut ways = vec![Map::new()];
        for (name, values) in &known {
            ways = ways
                .iter()
                .flat_map(|way| values.iter().map(|value| with_name(way, name, value)))
                .collect();
        }
        let ways = ways.into_iter();
        ways.map(|names| Self {
            with: fill(&step.with, &Value::Object(names)),
        })
        .collect()
    }

    /// The parameters that it gives to the runbook that it includes.
    pub fn params_of(&self, inner: &Runbook) -> Params {
        Params::given(inner, Some(self.with.get("params").unwrap_or(&Value::Null)))
    }
}

/// Names with one more, `params.x` or `item`.
fn with_name(names: &Map<String, Value>, name: &str, value: &Value) -> Map<String, Value> {
    let mut names = names.clone();
    match name.split_once('.') {
        None => {
            names.insert(name.to_owned(), value.clone());
        }
        Some((first, rest)) => {
            let below = names
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(below) = below.as_object_mut() {
                below.insert(rest.to_owned(), value.clone());
            }
        }
    }
    names
}

/// Renders each text of which all names are known, and leaves the others.
fn fill(value: &Value, names: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| fill(item, names)).collect(),
        Value::Object(map) => {
            let all = map.iter();
            Value::Object(
                all.map(|(key, at)| (key.clone(), fill(at, names)))
                    .collect(),
            )
        }
        text if !names_in_templates(text)
            .iter()
            .all(|name| is_known(name, names)) =>
        {
            text.clone()
        }
        text => {
            render_arguments(Rendering::default(), text, names).unwrap_or_else(|_| text.clone())
        }
    }
}

/// Whether what a dotted name begins with, `params.x` or `item`, is among the names.
fn is_known(name: &str, names: &Value) -> bool {
    let mut parts = name.split('.');
    let first = parts.next().and_then(|first| names.get(first));
    match (first, parts.next()) {
        (Some(Value::Object(params)), Some(param)) if name.starts_with("params.") => {
            params.contains_key(param)
        }
        (found, _) => found.is_some(),
    }
}
