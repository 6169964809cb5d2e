//! The keys of a runbook's file. Their comments are the reference that authors read.

use super::model::{Become, StepScope, TargetKind};
use super::param::{ParamText, parse_duration};
use super::shape::DURATION_FORMAT;
use crate::model::{OnFailure, Risk};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const API_VERSION: &str = "runbook/v1";

/// A runbook: what it is for, what it asks for, and what it does, step by step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The version of the language: `runbook/v1`.
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    /// What it is called on the command line: lower-case letters, digits and hyphens.
    pub name: String,
    /// One line that says what it does.
    pub summary: String,
    /// When it is of use, and what should be known of it, as long as it takes.
    #[serde(default)]
    pub description: Option<String>,
    /// How a run must be confirmed.
    pub risk: Risk,
    /// What it is applied to.
    pub targets: TargetKind,
    /// As whom hosts are read and changed. If left out, as whoever logs in.
    pub r#become: Option<Become>,
    /// What it asks for, by name. Templates and conditions have each as `params.NAME`.
    #[serde(default, rename = "params")]
    pub _params: BTreeMap<String, ParamText>,
    /// What it does, in this order.
    pub steps: Vec<StepText>,
}

/// One step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    /// How other steps and the command line name it: lower-case letters, digits and `_`. If left out,
    /// it is made of `name`.
    pub id: Option<String>,
    /// What it does, for people.
    pub name: Option<String>,
    /// The kind of step, such as `host.file`.
    pub uses: String,
    /// The arguments of its kind. Templates in them are rendered.
    #[serde(default)]
    pub with: Option<BTreeMap<String, Value>>,
    /// Whether it happens at each target, or once for the whole run.
    #[serde(default)]
    pub scope: StepScope,
    /// As whom this step reads and changes hosts, instead of the runbook's `become`.
    pub r#become: Option<Become>,
    /// A condition in CEL; the step is left out where it does not hold.
    pub when: Option<String>,
    /// A list, or a template that gives one: the step happens once for each item, which is `item` in
    /// its templates and its condition. What an earlier step printed is a list of its lines. A map among
    /// the items needs a `key` or a `name` by which it is known.
    #[serde(default)]
    pub for_each: Option<ForEach>,
    /// How often it is tried again after a failure that is certain.
    pub retry: Option<RetryText>,
    /// How long its waits and attempts may take in all, and each of its programs.
    pub timeout: Option<DurationText>,
    /// What happens when it fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How it is taken back. If left out, it is taken back with the run.
    pub undo: Option<UndoText>,
}

/// A list, or a template that gives one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ForEach {
    List(Vec<Value>),
    Template(String),
}

/// How often a step is tried again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryText {
    /// How often it is tried at most, with the first time.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// How long is waited between two attempts.
    pub every: DurationText,
}

/// How a step is taken back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndoText {
    /// It is not taken back with the run; this says why.
    pub keep: String,
}

/// A duration, such as 90s, 5m or 1h30m.
#[derive(Debug, Clone, Copy)]
pub(super) struct DurationText(pub Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a duration")))
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": DURATION_FORMAT})
    }
}
