//! How a parameter is written down in a file.

use super::kind::Type;
use super::param::{Param, ParamType};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What a runbook asks for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamText {
    /// What its value may be.
    r#type: ParamType,
    /// Its value where none is given. Without it, one must be given.
    default: Option<Value>,
    /// What it is for, and what follows from it.
    #[serde(default)]
    help: String,
}

/// What is wrong with a parameter, and at which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamProblem {
    pub path: Vec<String>,
    pub message: String,
}

impl Param {
    pub fn from_text(name: String, text: ParamText) -> Result<Self, Vec<ParamProblem>> {
        if let Some(default) = &text.default
            && !text.r#type.accepts(default)
        {
            return Err(vec![ParamProblem {
                path: vec!["default".to_owned()],
                message: format!(
                    "the default of `{name}` is {default}, and not {}",
                    text.r#type.expects()
                ),
            }]);
        }
        Ok(Self {
            name,
            r#type: text.r#type,
            default: text.default,
            help: text.help,
        })
    }

    /// The type of its value in conditions and templates.
    pub fn value_type(&self) -> Type {
        match self.r#type {
            ParamType::String | ParamType::Duration => Type::String,
            ParamType::Int => Type::Int,
            ParamType::Bool => Type::Bool,
        }
    }
}
