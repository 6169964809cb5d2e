//! A plan: what each step would do, where, and how it could be taken back. Data that is shown,
//! confirmed, recorded and then carried out, and nothing else is.

use super::effect::{Effect, ObjectRef};
use super::fields::{FieldChange, FieldPath};
use super::file::HostRef;
use super::identity::Identity;
use super::ids::{RunId, Scope, StepId, Target};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// How a run must be confirmed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A question, which `--yes` answers.
    Low,
    /// A question, which `--yes` answers.
    Medium,
    /// The target's name must be typed, or given with `--confirm`.
    High,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// Whether what a change replaces can be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoClass {
    Exact,
    /// Put back, but for what is named.
    BestEffort {
        lost: String,
    },
    /// Nothing is put back; says why.
    None {
        why: String,
    },
}

/// One thing that changes, for people: from what, to what, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Detail {
    pub subject: String,
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before_is: String,
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after_is: String,
    /// The difference line by line, each with `-`, `+` or a blank before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// What a check lets be: all of a node, or one thing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    pub node: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            None => f.write_str(&self.node),
            Some(item) => write!(f, "{} → {item}", self.node),
        }
    }
}

/// A choice that a step leaves to people, as it cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The argument of the step that the answer is to be.
    pub argument: String,
    /// Each value that it may be, and what it is in words.
    pub among: Vec<(String, String)>,
}

/// How often a step is tried again after a failure that is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// With the first.
    pub attempts: u32,
    /// Seconds that are waited between two.
    pub every: u64,
}

/// What happens when a step fails.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run ends, and is taken back by itself where that is exact.
    #[default]
    Undo,
    /// The run ends, and what was done stays.
    Stop,
    /// The run goes on without it, if it is certain that it failed.
    Continue,
}

impl OnFailure {
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What was decided about one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// There is nothing to do.
    NoChange { why: String },
    /// This will be done.
    Change {
        effects: Vec<Effect>,
        details: Vec<Detail>,
        /// Consequences that follow by themselves.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        follows: Vec<String>,
        undo: UndoClass,
        /// Set where it rests on what an earlier step will have done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicted: Option<String>,
        /// The fault that this takes away, and that an undo therefore brings back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heals: Option<String>,
    },
    /// The world is read until it is as expected; nothing is written.
    Check {
        expects: String,
        /// What is known not to be as expected, and is let be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<Exception>,
    },
    /// Somebody is asked whether to go on.
    Gate { message: String },
    /// It is decided when its turn comes, by what there is then.
    Late,
    /// It only reads, and what it reads does not answer: it is looked at when its turn comes, and where it
    /// still does not answer then, the run ends without it.
    Unanswered { why: String },
    /// What would happen cannot be known; `otherwise` is what is done if the operator allows it.
    Unknown {
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        otherwise: Option<Box<Verdict>>,
    },
    /// It must not be done.
    Refused {
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
}

impl Verdict {
    pub fn effects(&self) -> &[Effect] {
        match self {
            Self::Change { effects, .. } => effects,
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.effects(),
            _ => &[],
        }
    }

    pub fn effects_mut(&mut self) -> &mut [Effect] {
        match self {
            Self::Change { effects, .. } => effects,
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.effects_mut(),
            _ => &mut [],
        }
    }

    /// How its change is taken back.
    pub fn undo_mut(&mut self) -> Option<&mut UndoClass> {
        match self {
            Self::Change { undo, .. } => Some(undo),
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.undo_mut(),
            _ => None,
        }
    }

    pub fn changes(&self) -> bool {
        !self.effects().is_empty()
    }

    /// Whether it is decided only when its turn comes, once it is allowed.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Gate { .. } | Self::Late | Self::Unanswered { .. } => true,
            Self::Unknown { otherwise, .. } => otherwise.as_deref().is_some_and(Self::is_open),
            _ => false,
        }
    }

    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What its check lets be.
    pub fn except(&self) -> &[Exception] {
        match self {
            Self::Check { except, .. } => except,
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.except(),
            _ => &[],
        }
    }

    /// How its change can be taken back.
    pub fn undo(&self) -> Option<&UndoClass> {
        match self {
            Self::Change { undo, .. } => Some(undo),
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.undo(),
            _ => None,
        }
    }

    /// The fault that its change takes away.
    pub fn heals(&self) -> Option<&str> {
        match self {
            Self::Change { heals, .. } => heals.as_deref(),
            Self::Unknown {
                otherwise: Some(otherwise),
                ..
            } => otherwise.heals(),
            _ => None,
        }
    }
}

/// A step, at one target or once for the run, with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: StepId,
    pub name: String,
    pub uses: String,
    /// Its arguments, rendered.
    pub with: Value,
    /// As whom its host is read and changed.
    #[serde(
        rename = "as",
        default = "Identity::root",
        skip_serializing_if = "Identity::is_root"
    )]
    pub identity: Identity,
    pub scope: Scope,
    pub verdict: Verdict,
    /// What the operator should know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What it found, for the steps after it; empty where that is not known yet.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Seconds that all of it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "OnFailure::is_usual")]
    pub on_failure: OnFailure,
    /// Why what it does stays when the run is taken back; `None`: it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// The steps that it names: what it is was decided by what they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<StepId>,
    /// Whatever it turns out to be, it changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_reads: bool,
    /// What people can choose, where it is refused for want of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// It evicts pods, side by side, after its other effects; those that come meanwhile too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evicts: bool,
}

impl PlannedStep {
    /// A step with nothing but its verdict.
    pub fn new(id: StepId, scope: Scope, name: &str, uses: &str, verdict: Verdict) -> Self {
        Self {
            id,
            name: name.to_owned(),
            uses: uses.to_owned(),
            with: Value::Null,
            identity: Identity::root(),
            scope,
            verdict,
            notes: Vec::new(),
            outputs: Map::new(),
            retry: None,
            timeout: None,
            on_failure: OnFailure::default(),
            keep: None,
            rests_on: Vec::new(),
            only_reads: false,
            ask: None,
            evicts: false,
        }
    }

    /// Whether it changes something, or may turn out to.
    pub fn may_change(&self) -> bool {
        self.verdict.changes() || self.will_evict() || self.is_late() && !self.only_reads
    }

    /// Whether it evicts pods, of which there may be none yet.
    pub fn will_evict(&self) -> bool {
        let is = |verdict: &Verdict| matches!(verdict, Verdict::Change { .. });
        self.evicts
            && match &self.verdict {
                Verdict::Unknown {
                    otherwise: Some(otherwise),
                    ..
                } => is(otherwise),
                verdict => is(verdict),
            }
    }

    /// Whether it is decided only when its turn comes, if the operator allows it.
    pub fn is_late(&self) -> bool {
        match &self.verdict {
            Verdict::Late => true,
            Verdict::Unknown { otherwise, .. } => otherwise.as_deref() == Some(&Verdict::Late),
            _ => false,
        }
    }
}

/// The steps that go before one step in a plan.
#[derive(Debug, Clone, Copy)]
pub struct Prior<'a> {
    pub steps: &'a [PlannedStep],
}

impl<'a> Prior<'a> {
    pub fn effects(self) -> impl Iterator<Item = &'a Effect> {
        self.steps.iter().flat_map(|step| step.verdict.effects())
    }

    /// What these steps do to one field last, if they change it.
    pub fn change_of(self, object: &ObjectRef, path: &FieldPath) -> Option<&'a FieldChange> {
        self.effects()
            .filter_map(|effect| match effect {
                Effect::SetFields { object: of, fields } if of == object => Some(fields),
                _ => None,
            })
            .flatten()
            .filter(|change| change.path == *path)
            .last()
    }

    pub fn changes_anything(self) -> bool {
        self.effects().next().is_some() || self.steps.iter().any(PlannedStep::is_late)
    }

    /// Whether anything is changed that is not on another host, as far as that is known yet.
    pub fn changes_on(self, host: &HostRef) -> bool {
        let may = |effect: &Effect| effect.on_host().is_none_or(|at| at.same(host));
        self.effects().any(may) || self.steps.iter().any(PlannedStep::is_late)
    }

    /// Whether the step changes anything as seen from `scope`: at that target, or at any for a step
    /// of the run.
    pub fn changed(self, id: &StepId, scope: &Scope) -> bool {
        self.of(id, scope).any(|step| step.verdict.changes())
    }

    /// A step, its items, and the steps of the runbook that it includes, as seen from `scope`.
    pub fn of(self, id: &StepId, scope: &Scope) -> impl Iterator<Item = &'a PlannedStep> {
        self.steps
            .iter()
            .filter(|step| step.id.is_of(id) && step.scope.is_seen_from(scope))
    }
}

/// The cluster: where it was reached, and the UID of its namespace kube-system, which tells it from
/// all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterId {
    pub context: String,
    pub server: String,
    pub uid: String,
}

/// Who runs it, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub user: String,
    pub host: String,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    Apply,
    Undo {
        of: RunId,
        /// Only what it did at this target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Target>,
    },
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `runbook.plan/v1`.
    pub schema: String,
    /// The version of runbook that made it.
    pub engine: String,
    pub kind: PlanKind,
    pub runbook: String,
    pub summary: String,
    /// SHA-256 of the runbook's text, in hexadecimal.
    pub runbook_digest: String,
    pub params: Map<String, Value>,
    pub risk: Risk,
    pub cluster: ClusterId,
    pub actor: Actor,
    pub targets: Vec<Target>,
    pub steps: Vec<PlannedStep>,
    /// Parameters whose values are kept nowhere, each with a keyed digest of its value; empty where it
    /// was never given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

impl Plan {
    pub const SCHEMA: &'static str = "runbook.plan/v1";

    /// The names of its targets, for people.
    pub fn target_names(&self) -> String {
        let names: Vec<&str> = self.targets.iter().map(|t| t.name.as_str()).collect();
        names.join(", ")
    }

    /// A step as it stands in the plan.
    pub fn step(&self, id: &StepId, scope: &Scope) -> Option<&PlannedStep> {
        let is = |step: &&PlannedStep| (&step.id, &step.scope) == (id, scope);
        self.steps.iter().find(is)
    }

    /// Puts what was decided of a step in its place.
    pub fn decided(&mut self, id: &StepId, scope: &Scope, steps: Vec<PlannedStep>) {
        let is = |step: &PlannedStep| (&step.id, &step.scope) == (id, scope);
        if let Some(at) = self.steps.iter().position(is) {
            self.steps.splice(at..=at, steps);
        }
    }

    /// Takes down what a step found.
    pub fn found(&mut self, id: &StepId, scope: &Scope, outputs: Map<String, Value>) {
        let is = |step: &&mut PlannedStep| (&step.id, &step.scope) == (id, scope);
        if let Some(step) = self.steps.iter_mut().find(is) {
            step.outputs = outputs;
        }
    }

    /// Whether anything may be changed by it, as far as that is known.
    pub fn may_change(&self) -> bool {
        self.steps.iter().any(PlannedStep::may_change)
    }

    /// Whether a step after the one with the position `at` may change something.
    pub fn may_change_after(&self, at: usize) -> bool {
        self.steps.iter().skip(at + 1).any(PlannedStep::may_change)
    }

    pub fn changes(&self) -> usize {
        self.steps.iter().filter(|s| s.verdict.changes()).count()
    }

    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.steps.iter().flat_map(|s| s.verdict.effects())
    }

    /// The faults that the plan's changes take away, those of allowed unknown steps too.
    pub fn heals(&self) -> Vec<&str> {
        self.steps.iter().flat_map(|s| s.verdict.heals()).collect()
    }

    /// The first step that must not be done.
    pub fn refusal(&self) -> Option<(&PlannedStep, &str, Option<&str>)> {
        self.steps.iter().find_map(|step| match &step.verdict {
            Verdict::Refused { why, next } => Some((step, why.as_str(), next.as_deref())),
            _ => None,
        })
    }

    /// The steps of which nobody can say what they would do.
    pub fn unknowns(&self) -> impl Iterator<Item = (&PlannedStep, &str)> {
        self.steps.iter().filter_map(|step| match &step.verdict {
            Verdict::Unknown { why, .. } => Some((step, why.as_str())),
            _ => None,
        })
    }
}
