//! The typed model of a runbook.

use super::condition::Condition;
use super::param::Param;
use crate::model::{Identity, Method, OnFailure, Retry, Risk, StepId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a runbook is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Nodes of the cluster, given with `--node`.
    Nodes,
    /// The cluster itself: every step happens once.
    Cluster,
}

/// As whom hosts are read and changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Become {
    /// The user, such as root.
    pub user: String,
    /// How one becomes that user.
    #[serde(default)]
    pub method: Method,
}

/// Whether a step happens at each target or once for the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepScope {
    /// It happens at each target.
    #[default]
    Target,
    /// It happens once for the whole run.
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
    /// A list, or a template that gives one: the step happens for each of its items.
    pub for_each: Option<Value>,
    pub retry: Option<Retry>,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    pub on_failure: OnFailure,
    /// Why what it does is not taken back with the run; `None`: it is.
    pub keep: Option<String>,
}

/// A runbook.
#[derive(Debug, Clone)]
pub struct Runbook {
    pub name: String,
    pub summary: String,
    /// When it is of use, and what should be known of it.
    pub description: Option<String>,
    pub risk: Risk,
    pub targets: TargetKind,
    pub r#become: Option<Become>,
    pub params: Vec<Param>,
    pub steps: Vec<Step>,
    /// The text it was read from.
    pub text: String,
    /// The texts of the files beside it that its steps use, by the names that they use.
    pub beside: BTreeMap<String, String>,
    /// Why its programs are not run in a plan, even if they only read; `None`: they are.
    pub untrusted: Option<String>,
    /// The runbooks that its steps include, by the names that they use.
    pub included: BTreeMap<String, Runbook>,
}

/// What stands for a runbook itself before the names of the files beside it.
pub(super) const THIS: &str = ".";

/// The kind of step that stands for all steps of another runbook.
pub const INCLUDE: &str = "runbook";
/// The kind of step that asks whether to go on.
pub const CONFIRM: &str = "confirm";

impl Step {
    /// The name of the runbook that it includes.
    pub fn includes(&self) -> Option<&str> {
        match self.uses.as_str() {
            INCLUDE => self.with.get("runbook").and_then(Value::as_str),
            _ => None,
        }
    }
}

impl Runbook {
    /// The texts that belong to its own: of all that it includes, each once, by their names; and of the
    /// files beside it (`./FILE`) and beside those (`NAME/FILE`).
    pub fn texts(&self) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        self.gather(THIS, &mut texts);
        texts
    }

    fn gather(&self, name: &str, texts: &mut BTreeMap<String, String>) {
        for (file, text) in &self.beside {
            texts.insert(format!("{name}/{file}"), text.clone());
        }
        for (name, runbook) in &self.included {
            texts.insert(name.clone(), runbook.text.clone());
            runbook.gather(name, texts);
        }
    }

    /// Takes it and all that it includes for no more trusted than this.
    pub fn distrust(&mut self, why: Option<&str>) {
        let Some(why) = why else { return };
        self.untrusted = Some(why.to_owned());
        for runbook in self.included.values_mut() {
            runbook.distrust(Some(why));
        }
    }

    /// The highest risk of it and all that it includes.
    pub fn whole_risk(&self) -> Risk {
        let included = self.included.values().map(Self::whole_risk);
        included.fold(self.risk, Risk::max)
    }

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
