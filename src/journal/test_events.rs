//! Events for tests.

use super::event::{Entry, Event};
use crate::model::{
    Actor, ClusterId, Effect, EffectId, Exit, FieldChange, FieldPath, HostRef, ObjectRef, Plan,
    PlanKind, PlannedStep, Programs, Ran, Risk, RunId, Scope, StepId, UndoClass, Verdict,
};
use jiff::Timestamp;

pub(crate) fn plan() -> Plan {
    Plan {
        schema: Plan::SCHEMA.into(),
        engine: "0".into(),
        kind: PlanKind::Apply,
        runbook: "x".into(),
        summary: String::new(),
        runbook_digest: String::new(),
        params: serde_json::Map::new(),
        risk: Risk::Low,
        cluster: ClusterId {
            context: String::new(),
            server: String::new(),
            uid: String::new(),
        },
        actor: Actor {
            user: String::new(),
            host: String::new(),
        },
        targets: vec![],
        steps: vec![],
        secrets: Default::default(),
    }
}

pub(crate) fn host() -> HostRef {
    Programs::for_test().host
}

/// Programs of an author who has thought of everything.
pub(crate) fn programs() -> Programs {
    Programs::for_test()
}

/// A program that has run and printed something.
pub(crate) fn ran(code: i32, output: &str) -> Ran {
    Ran {
        name: "apply".into(),
        exit: Exit::Code(code),
        head: output.into(),
        left_out: 0,
        tail: String::new(),
        held: false,
    }
}

/// A step with nothing but what its verdict says.
pub(crate) fn step(id: &str, scope: Scope, verdict: Verdict) -> PlannedStep {
    PlannedStep::new(StepId::new(id).unwrap(), scope, "", "", verdict)
}

/// A change that can be taken back exactly.
pub(crate) fn change(effects: Vec<Effect>) -> Verdict {
    Verdict::Change {
        effects,
        details: vec![],
        follows: vec![],
        undo: UndoClass::Exact,
        predicted: None,
        heals: None,
    }
}

pub(crate) fn start(run: RunId) -> Event {
    start_of(run, plan())
}

pub(crate) fn start_of(run: RunId, plan: Plan) -> Event {
    Event::RunStarted {
        run,
        plan: Box::new(plan),
        reason: None,
        runbook_text: String::new(),
        included: Default::default(),
        allowed: Vec::new(),
    }
}

/// Numbered in order, each at its own second.
pub(crate) fn entries(events: Vec<Event>) -> Vec<Entry> {
    (1..)
        .zip(events)
        .map(|(seq, event)| Entry {
            seq,
            at: Timestamp::from_second(seq).unwrap(),
            event,
        })
        .collect()
}

pub(crate) fn effect(name: &str) -> (EffectId, Effect) {
    let id = EffectId {
        step: StepId::new(name).unwrap(),
        scope: Scope::Run,
        item: String::new(),
        attempt: 1,
    };
    let effect = Effect::SetFields {
        object: ObjectRef::node_for_test(name),
        fields: vec![FieldChange {
            path: FieldPath::annotation(name),
            before: None,
            after: Some("after".into()),
        }],
    };
    (id, effect)
}
