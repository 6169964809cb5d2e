//! The events of a run. Their names and fields are a format: later versions add to it and read what
//! earlier ones wrote.

use crate::fault::Fault;
use crate::model::{
    Actor, Effect, EffectId, Plan, PlannedStep, Ran, RunId, Scope, Sitting, StepId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1; the order of events is that of their numbers.
    pub seq: i64,
    /// The clock of the machine that wrote it: to be shown, never to be relied on.
    pub at: Timestamp,
    pub event: Event,
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// It had happened already, by an earlier step or by someone else: nothing was written.
    AlreadySo,
    /// It certainly did not happen.
    NotDone {
        fault: Fault,
    },
    /// Whether it happened is not known; the intent stays open.
    Unknown {
        fault: Fault,
    },
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// There was nothing to do.
    Unchanged { why: String },
    /// Done, and the world was read again and agrees.
    Verified { changed: bool },
    /// Not done, or done and not as it should be.
    Failed { fault: Fault },
    /// It only reads, and what it reads did not answer.
    Unverified { why: String },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All steps verified.
    Done,
    /// All was done that was to be done; not all of what it was to bring about could be looked at.
    Unverified,
    /// The world was no longer what the plan rests on.
    Drifted,
    Failed,
    /// It is not known whether the last effect happened.
    Unknown,
    /// The operator stopped it between two steps.
    Stopped,
}

/// One line of a run's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    RunStarted {
        run: RunId,
        plan: Box<Plan>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The runbook's text, so that the run can be understood when the file has changed.
        runbook_text: String,
        /// The texts of the runbooks that it includes, by their names.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        included: BTreeMap<String, String>,
        /// Steps that the operator allowed although they were unknown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        allowed: Vec<StepId>,
    },
    /// It was cut short, and goes on from here.
    RunResumed {
        actor: Actor,
        /// The version of runbook that goes on with it.
        engine: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Durable before its targets are claimed, so that nobody else works on them meanwhile.
    Claiming {
        sitting: Sitting,
        /// The state directory in which it is written: the journal of another one tells nothing about
        /// whether this sitting has ended.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        place: String,
        /// Runs that had them and were cut short, and whose claims this one takes over.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        over: Vec<RunId>,
    },
    /// Its targets are free for others again.
    Released {
        sitting: Sitting,
    },
    StepStarted {
        step: StepId,
        scope: Scope,
    },
    /// A step whose turn has come, as it was decided by what there is now: these stand in its place.
    Decided {
        step: StepId,
        scope: Scope,
        steps: Vec<PlannedStep>,
    },
    /// What a step found, for the steps after it.
    Found {
        step: StepId,
        scope: Scope,
        outputs: Map<String, Value>,
    },
    /// Somebody was asked whether to go on.
    Asked {
        step: StepId,
        scope: Scope,
        message: String,
        yes: bool,
    },
    /// It failed for certain, and is tried again after a while.
    Retrying {
        step: StepId,
        scope: Scope,
        fault: Fault,
        /// Which attempt failed, from 1.
        attempt: u32,
    },
    /// Durable before the effect begins.
    Intent {
        id: EffectId,
        effect: Effect,
    },
    /// A program of the runbook's author has run, and printed something.
    Printed {
        id: EffectId,
        ran: Ran,
    },
    Outcome {
        id: EffectId,
        outcome: Outcome,
    },
    StepEnded {
        step: StepId,
        scope: Scope,
        result: StepResult,
    },
    RunEnded {
        ending: Ending,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
}

impl Event {
    /// Version of the payload's form.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The name under which the journal files it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunResumed { .. } => "run_resumed",
            Self::Claiming { .. } => "claiming",
            Self::Released { .. } => "released",
            Self::StepStarted { .. } => "step_started",
            Self::Decided { .. } => "decided",
            Self::Found { .. } => "found",
            Self::Asked { .. } => "asked",
            Self::Retrying { .. } => "retrying",
            Self::Intent { .. } => "intent",
            Self::Printed { .. } => "printed",
            Self::Outcome { .. } => "outcome",
            Self::StepEnded { .. } => "step_ended",
            Self::RunEnded { .. } => "run_ended",
        }
    }

    /// The effect it is about.
    pub fn effect(&self) -> Option<&EffectId> {
        match self {
            Self::Intent { id, .. } | Self::Printed { id, .. } | Self::Outcome { id, .. } => {
                Some(id)
            }
            _ => None,
        }
    }
}
