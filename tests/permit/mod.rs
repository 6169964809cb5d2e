//! The right to write, as the journal gives it: by a durable intent, which is the only way there is.

use runbook::journal::{ClaimPermit, Event, Journal, Permit, StateDir};
use runbook::model::{
    Actor, Blobs, ClusterId, Effect, EffectId, Plan, PlanKind, Risk, RunId, Scope, StepId,
};
use std::path::Path;

/// The right to claim for a sitting of a run.
#[allow(dead_code, reason = "not every suite claims something")]
pub fn claim_permit() -> Result<(ClaimPermit, Plan), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let run = RunId::generate();
    let mut journal = begin(folder.path(), run, &Blobs::default())?;
    let permit = journal.claim(Vec::new()).map_err(|e| e.to_string())?;
    Ok((permit, plan()))
}

/// A permit for an effect whose contents are among `contents`, and the key of the attempt.
pub fn permit(effect: Effect, contents: &[&[u8]]) -> Result<(Permit, String), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut blobs = Blobs::default();
    for content in contents {
        blobs.insert(content.to_vec());
    }
    let run = RunId::generate();
    let mut journal = begin(folder.path(), run, &blobs)?;
    let id = EffectId {
        step: StepId::new("step").ok_or("no id of a step")?,
        scope: Scope::Run,
        item: String::new(),
        attempt: 1,
    };
    let key = id.key(run);
    let permit = journal.intend(id, effect).map_err(|e| e.to_string())?;
    Ok((permit, key))
}

fn begin(folder: &Path, run: RunId, blobs: &Blobs) -> Result<Journal, String> {
    let start = Event::RunStarted {
        run,
        plan: Box::new(plan()),
        reason: None,
        runbook_text: String::new(),
        included: Default::default(),
        allowed: Vec::new(),
    };
    let state = StateDir::new(folder.join("state"));
    Journal::create(&state, run, start, blobs).map_err(|e| e.to_string())
}

fn plan() -> Plan {
    Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: "0".to_owned(),
        kind: PlanKind::Apply,
        runbook: "hosts".to_owned(),
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
        targets: Vec::new(),
        steps: Vec::new(),
        secrets: Default::default(),
    }
}
