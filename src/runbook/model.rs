//! The typed model of a runbook.

use super::condition::Condition;
use super::param::Param;
use crate::model::{Identity, Method, Risk, StepId};
use serde::Deserialize;
use serde_json::Value;

/// What a runbook is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Nodes of the cluster, given with `--node`.
    Nodes,
}

/// As whom hosts are read and changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Become {
    pub user: String,
    #[serde(default)]
    pub method: Method,
}

/// Whether a step happens at each target or once for the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepScope {
    #[default]
    Target,
    Run,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    pub id: StepId,
    pub name: String,
    /// The kind of step: `domain.noun`.
    pub uses: String,
    /// Its arguments, templates not rendered.
    pub with: Value,
    pub scope: StepScope,
    /// Instead of the runbook's.
    pub r#become: Option<Become>,
    pub when: Option<Condition>,
}

/// A runbook.
#[derive(Debug, Clone)]
pub struct Runbook {
    pub name: String,
    pub summary: String,
    pub risk: Risk,
    pub targets: TargetKind,
    pub r#become: Option<Become>,
    pub params: Vec<Param>,
    pub steps: Vec<Step>,
    /// The text it was read from.
    pub text: String,
    /// Why its programs are not run in a plan, even if they only read; `None`: they are.
    pub untrusted: Option<String>,
}

impl Runbook {
    /// As whom a step reads and changes its host.
    pub fn identity(&self, step: &Step) -> Identity {
        match step.r#become.as_ref().or(self.r#become.as_ref()) {
            None => Identity::Login,
            Some(Become { user, method }) => Identity::Become {
                user: user.clone(),
                method: *method,
            },
        }
    }
}
