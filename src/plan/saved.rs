//! A plan in a file: shown later, and applied as it is or not at all.

use crate::actions::takes_newcomers;
use crate::fault::Fault;
use crate::model::{Digest, Effect, Plan, PlannedStep, Scope, StepId, UndoClass, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A plan with all that is needed to make it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPlan {
    pub plan: Plan,
    pub runbook_text: String,
    /// The texts of the runbooks that it includes, by their names.
    pub included: BTreeMap<String, String>,
    /// Steps that the operator allowed although they are unknown.
    pub allowed: Vec<StepId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    /// Of what the plan does; what is only shown is not part of it.
    digest: Digest,
    /// Over everything else in the file, so that a change of any of it is found out.
    seal: Digest,
    allowed: Vec<StepId>,
    runbook_text: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    included: BTreeMap<String, String>,
    plan: Plan,
}

impl SavedPlan {
    /// As it is written to a file.
    pub fn to_text(&self) -> Result<String, Fault> {
        let unwritable =
            |e: serde_json::Error| Fault::internal(format!("the plan cannot be written: {e}"));
        let mut value = json!({
            "schema": Plan::SCHEMA,
            "digest": digest(&self.plan),
            "allowed": self.allowed,
            "runbook_text": self.runbook_text,
            "plan": serde_json::to_value(&self.plan).map_err(unwritable)?,
        });
        if let Some(map) = value.as_object_mut()
            && !self.included.is_empty()
        {
            map.insert("included".to_owned(), json!(self.included));
        }
        let seal = Digest::of(canonical(&value).as_bytes());
        if let Some(map) = value.as_object_mut() {
            map.insert("seal".to_owned(), Value::String(seal.to_string()));
        }
        let mut text = serde_json::to_string_pretty(&value).map_err(unwritable)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a saved plan.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Fault::input(
                "plan_unreadable",
                format!("{} cannot be read: {e}", path.display()),
            )
        })?;
        Self::parse(&text, path)
    }

    /// Reads what [`Self::to_text`] wrote. `file` names it in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Fault> {
        let file = file.display();
        let again = "make it again: runbook plan RUNBOOK --node NODE --out FILE";
        let mut value: Value = serde_json::from_str(text).map_err(|e| {
            let what = match e.is_eof() {
                true => format!("{file} is cut short: {e}"),
                false => format!("{file} is not a saved plan: {e}"),
            };
            Fault::input("plan_unreadable", what).next(again)
        })?;
        let schema = value.get("schema").and_then(Value::as_str);
        if schema != Some(Plan::SCHEMA) {
            let found = schema.map_or_else(|| "none".to_owned(), |s| format!("`{s}`"));
            return Err(Fault::input(
                "plan_schema",
                format!(
                    "{file} is not a plan that this version reads: its schema is {found}, and not `{}`",
                    Plan::SCHEMA
                ),
            )
            .next(again));
        }
        let changed = |what: &str| {
            Fault::input(
                "plan_changed",
                format!("{file} is not as it was saved: {what}"),
            )
            .next(again)
        };
        let seal = value.as_object_mut().and_then(|map| map.remove("seal"));
        let found = Digest::of(canonical(&value).as_bytes());
        if seal.as_ref().and_then(Value::as_str) != Some(found.as_str()) {
            return Err(changed("somebody changed it since"));
        }
        if let (Some(map), Some(seal)) = (value.as_object_mut(), seal) {
            map.insert("seal".to_owned(), seal);
        }
        let File {
            digest: named,
            allowed,
            runbook_text,
            included,
            plan,
            ..
        } = serde_json::from_value(value).map_err(|e| changed(&e.to_string()))?;
        match digest(&plan) == named {
            true => Ok(Self {
                plan,
                runbook_text,
                included,
                allowed,
            }),
            false => Err(changed("its digest is not that of what it does")),
        }
    }

    /// Only the version that made a plan knows what it means in all its parts.
    pub fn check_engine(&self) -> Result<(), Fault> {
        let own = env!("CARGO_PKG_VERSION");
        match self.plan.engine == own {
            true => Ok(()),
            false => Err(Fault::refused(
                "plan_engine",
                format!(
                    "this plan was made by runbook {}, and this is runbook {own}: it is shown, but not applied",
                    self.plan.engine
                ),
            )
            .next("make it again with this version")),
        }
    }
}

/// Digest of what a plan does: format, engine, cluster, runbook, parameters, targets, and for each
/// step in order its arguments and effects. What is only shown is not part of it, nor whatever
/// changes by itself in the objects that were read.
pub fn digest(plan: &Plan) -> Digest {
    let steps: Vec<Value> = plan.steps.iter().map(meaning).collect();
    let value = json!({
        "schema": plan.schema,
        "engine": plan.engine,
        "kind": plan.kind,
        "cluster": cluster(plan),
        "runbook": plan.runbook_digest,
        "params": plan.params,
        "targets": plan.targets,
        "steps": steps,
    });
    Digest::of(canonical(&value).as_bytes())
}

/// Which cluster it is: where it did not say so, it is known by its address.
fn cluster(plan: &Plan) -> &str {
    match plan.cluster.uid.as_str() {
        "" => &plan.cluster.server,
        uid => uid,
    }
}

/// What somebody approves of who has read a plan: that, and which unknown steps are done all the same.
pub fn approval(plan: &Plan, allowed: &[StepId]) -> Digest {
    let digest = digest(plan);
    if allowed.is_empty() {
        return digest;
    }
    let mut allowed: Vec<&str> = allowed.iter().map(StepId::as_str).collect();
    allowed.sort_unstable();
    allowed.dedup();
    Digest::of(canonical(&json!({"plan": digest, "allowed": allowed})).as_bytes())
}

fn meaning(step: &PlannedStep) -> Value {
    json!({
        "id": step.id,
        "uses": step.uses,
        "with": step.with,
        "scope": step.scope,
        "verdict": meaning_of(&step.verdict, step.evicts, takes_newcomers(&step.uses)),
    })
}

/// `evicts`: pods leave by it, and their number is no part of it; `newcomers`: nor is which ones they are, and
/// what keeps them.
fn meaning_of(verdict: &Verdict, evicts: bool, newcomers: bool) -> Value {
    match verdict {
        Verdict::NoChange { .. } | Verdict::Check { .. } if newcomers => json!("looks"),
        Verdict::NoChange { .. } => json!("no_change"),
        Verdict::Refused { .. } => json!("refused"),
        Verdict::Check { except, .. } => json!({"check": except}),
        Verdict::Gate { message } => json!({"gate": message}),
        Verdict::Late => json!("late"),
        Verdict::Unanswered { .. } => json!("unanswered"),
        Verdict::Unknown { otherwise, .. } => {
            json!({"unknown": otherwise.as_deref().map(|otherwise| meaning_of(otherwise, evicts, newcomers))})
        }
        Verdict::Change {
            effects,
            undo,
            predicted,
            ..
        } => {
            let (evictions, others): (Vec<&Effect>, Vec<&Effect>) = effects
                .iter()
                .partition(|effect| effect.evicts() && newcomers);
            let undo = match (evicts, undo) {
                (true, UndoClass::Exact) => json!("exact"),
                (true, UndoClass::BestEffort { .. }) => json!("best_effort"),
                (true, UndoClass::None { .. }) => json!("none"),
                (false, undo) => json!(undo),
            };
            let mut meaning = json!({"change": others, "undo": undo, "predicted": predicted.is_some() && !newcomers});
            // Which pods are on a node changes by itself; what is lost with them must not.
            let losses: BTreeSet<&str> = evictions.iter().flat_map(|e| e.loses()).collect();
            if let (Some(map), false) = (meaning.as_object_mut(), losses.is_empty()) {
                map.insert("loses".to_owned(), json!(losses));
            }
            meaning
        }
    }
}

/// JSON with the keys of every map in order and without blanks: the same value is the same text.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                let sorted: Map<String, Value> = entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect();
                Value::Object(sorted)
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Where the world would have a plan be another than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `None` where it concerns the whole plan.
    pub step: Option<(StepId, Scope)>,
    /// The step as it was planned, and as it would be planned now.
    pub planned: Option<Verdict>,
    pub now: Option<Verdict>,
    /// What differs besides steps.
    pub what: Option<String>,
}

/// What differs between a saved plan and the same plan made anew, in what it does.
pub fn differences(saved: &Plan, fresh: &Plan) -> Vec<Difference> {
    let whole = |what: String| Difference {
        step: None,
        planned: None,
        now: None,
        what: Some(what),
    };
    if cluster(saved) != cluster(fresh) {
        return vec![whole(format!(
            "it was made for the cluster with uid {} ({}), and this is {} ({})",
            saved.cluster.uid, saved.cluster.server, fresh.cluster.uid, fresh.cluster.server
        ))];
    }
    let mut found = Vec::new();
    for target in &saved.targets {
        if !fresh.targets.contains(target) {
            found.push(whole(format!(
                "{} was deleted and made again since",
                target.name
            )));
        }
    }
    if !found.is_empty() {
        return found;
    }
    let by_place = |plan: &Plan, step: &PlannedStep| {
        plan.steps
            .iter()
            .find(|other| (&other.id, &other.scope) == (&step.id, &step.scope))
            .cloned()
    };
    for step in &saved.steps {
        let now = by_place(fresh, step);
        if now.as_ref().map(meaning) != Some(meaning(step)) {
            found.push(Difference {
                step: Some((step.id.clone(), step.scope.clone())),
                planned: Some(step.verdict.clone()),
                now: now.map(|step| step.verdict),
                what: None,
            });
        }
    }
    if found.is_empty() && digest(saved) != digest(fresh) {
        found.push(whole(
            "its parameters or its steps are others now".to_owned(),
        ));
    }
    found
}

#[cfg(test)]
mod tests;
