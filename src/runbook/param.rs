//! Parameters: what a runbook asks for, and the values it is given.

use crate::fault::{Fault, nearest};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use super::param_text::ParamText;

/// What a parameter's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// `90s`, `5m`, `1h30m`.
    Duration,
}

impl ParamType {
    fn name(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Int => "a whole number",
            Self::Bool => "true or false",
            Self::Duration => "a duration such as 90s, 5m or 1h30m",
        }
    }

    /// Reads a value given as text.
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::String => Some(Value::from(text)),
            Self::Int => text.parse::<i64>().ok().map(Value::from),
            Self::Bool => text.parse::<bool>().ok().map(Value::from),
            Self::Duration => parse_duration(text).map(|_| Value::from(text)),
        }
    }

    /// Whether a default written in YAML is of the type.
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => true,
            (Self::Int, Value::Number(number)) => number.is_i64(),
            (Self::Duration, Value::String(text)) => parse_duration(text).is_some(),
            _ => false,
        }
    }

    pub fn expects(self) -> &'static str {
        self.name()
    }
}

/// A duration of more than nothing, as people write it.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let duration: SignedDuration = text.parse().ok()?;
    let duration = std::time::Duration::try_from(duration).ok()?;
    (!duration.is_zero()).then_some(duration)
}

/// A parameter's declaration.
#[derive(Debug, Clone)]
pub struct Param {
    pub name: String,
    pub r#type: ParamType,
    pub default: Option<Value>,
    pub help: String,
}

/// The values of all parameters, from `name=value` pairs and defaults.
pub fn bind(params: &[Param], given: &[String]) -> Result<Map<String, Value>, Fault> {
    let names = || params.iter().map(|p| p.name.as_str());
    let mut values = Map::new();
    for pair in given {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(Fault::input(
                "param_form",
                format!("--param {pair}: there is no `=` in it"),
            )
            .next("write --param NAME=VALUE"));
        };
        let Some(param) = params.iter().find(|p| p.name == name) else {
            let fault = Fault::input(
                "unknown_param",
                format!("this runbook has no parameter `{name}`"),
            );
            let list = match names().collect::<Vec<_>>().join(", ") {
                list if list.is_empty() => "it has none".to_owned(),
                list => format!("it has {list}"),
            };
            return Err(match nearest(name, names()) {
                Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
                None => fault.next(list),
            });
        };
        let value = param.r#type.parse(text).ok_or_else(|| {
            let fault = Fault::input(
                "param_value",
                format!(
                    "parameter `{name}` is {}, and `{text}` is not",
                    param.r#type.expects()
                ),
            );
            match param.help.as_str() {
                "" => fault,
                help => fault.next(help),
            }
        })?;
        if values.insert(name.to_owned(), value).is_some() {
            return Err(
                Fault::input("param_twice", format!("parameter `{name}` is given twice"))
                    .next("give it once"),
            );
        }
    }
    for param in params {
        if values.contains_key(&param.name) {
            continue;
        }
        match &param.default {
            Some(default) => {
                values.insert(param.name.clone(), default.clone());
            }
            None => {
                return Err(Fault::input(
                    "param_missing",
                    format!("parameter `{}` is not given", param.name),
                )
                .next(format!("add --param {}=VALUE: {}", param.name, param.help)));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn params() -> Vec<Param> {
        vec![
            Param {
                name: "within".into(),
                r#type: ParamType::Duration,
                default: Some(json!("5m")),
                help: "How long it may take".into(),
            },
            Param {
                name: "count".into(),
                r#type: ParamType::Int,
                default: Some(json!(3)),
                help: String::new(),
            },
            Param {
                name: "who".into(),
                r#type: ParamType::String,
                default: None,
                help: "Whom to ask".into(),
            },
        ]
    }

    fn bind(given: &[&str]) -> Result<Map<String, Value>, String> {
        let given: Vec<String> = given.iter().map(|s| (*s).to_owned()).collect();
        super::bind(&params(), &given)
            .map_err(|f| format!("{} ({})", f.message, f.next.unwrap_or_default()))
    }

    #[test]
    fn values_and_defaults_are_bound() {
        let values = bind(&["who=a=b", "within=90s"]).unwrap();
        assert_eq!(
            Value::from(values),
            json!({"who": "a=b", "within": "90s", "count": 3})
        );
    }

    #[test]
    fn each_mistake_is_named() {
        insta::assert_snapshot!(bind(&[]).unwrap_err(), @"parameter `who` is not given (add --param who=VALUE: Whom to ask)");
        insta::assert_snapshot!(bind(&["who"]).unwrap_err(), @"--param who: there is no `=` in it (write --param NAME=VALUE)");
        insta::assert_snapshot!(bind(&["witin=3s"]).unwrap_err(), @"this runbook has no parameter `witin` (did you mean `within`? it has within, count, who)");
        insta::assert_snapshot!(bind(&["within=soon"]).unwrap_err(), @"parameter `within` is a duration such as 90s, 5m or 1h30m, and `soon` is not (How long it may take)");
        insta::assert_snapshot!(bind(&["count=x"]).unwrap_err(), @"parameter `count` is a whole number, and `x` is not ()");
        insta::assert_snapshot!(bind(&["who=a", "who=b"]).unwrap_err(), @"parameter `who` is given twice (give it once)");
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(parse_duration("65s"), Some(Duration::from_secs(65)));
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        for bad in ["", "0s", "-5s", "5", "s", "5 parsecs"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
