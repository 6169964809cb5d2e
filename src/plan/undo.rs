//! The plan of taking a run back: each change by its own fields, newest first, where the state is
//! still what the run left.

use crate::actions::{Look, World};
use crate::fault::Fault;
use crate::journal::RunRecord;
use crate::model::{
    Detail, Effect, FieldChange, ObjectRef, Plan, PlanKind, PlannedStep, Risk, Scope, Standing,
    StepId, UndoClass, Verdict,
};
use serde_json::Value;

/// What comes back when the run is taken back.
pub type FaultBack = Vec<String>;

/// Looks at what the run did and decides, change by change, how to take it back.
pub async fn undo_plan(world: &World, record: &RunRecord) -> Result<(Plan, FaultBack), Fault> {
    let cluster = world.cluster.identity().await?;
    if cluster.uid != record.plan.cluster.uid {
        return Err(Fault::refused(
            "another_cluster",
            format!(
                "run {} was on another cluster (context {}, {}) than context {} ({})",
                record.run,
                record.plan.cluster.context,
                record.plan.cluster.server,
                cluster.context,
                cluster.server
            ),
        )
        .next("name its context with --context"));
    }
    let look = Look::new(world);
    let mut steps = Vec::new();
    for (id, effect, _) in record.to_take_back() {
        let Some(inverse) = effect.inverse() else {
            continue;
        };
        let now = world.cluster.object(inverse.object()).await?;
        let name = record
            .plan
            .steps
            .iter()
            .find(|s| s.id == id.step)
            .map_or_else(String::new, |s| s.name.clone());
        let rolls = inverse.rolls_pods().then(|| inverse.object().clone());
        let verdict = take_back(inverse, now.as_ref());
        let restored = verdict.changes();
        steps.push(PlannedStep {
            id: id.step.clone(),
            name: format!("Take back: {name}"),
            uses: "undo".to_owned(),
            with: Value::Null,
            scope: id.scope.clone(),
            verdict,
            notes: Vec::new(),
        });
        // What the run started anew must start again from what was put back.
        if let Some(owner) = rolls.filter(|_| restored) {
            steps.extend(restarts(&look, record, &owner).await?);
        }
    }
    let back = heals(&record.plan);
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Undo { of: record.run },
        runbook: record.plan.runbook.clone(),
        summary: format!("Take run {} back", record.run),
        runbook_digest: record.plan.runbook_digest.clone(),
        params: record.plan.params.clone(),
        risk: record.plan.risk.max(Risk::Low),
        cluster,
        actor: super::actor(),
        targets: record.plan.targets.clone(),
        steps,
    };
    Ok((plan, back))
}

/// The faults that the plan's changes take away.
fn heals(plan: &Plan) -> FaultBack {
    plan.steps
        .iter()
        .filter_map(|step| match &step.verdict {
            Verdict::Change {
                heals: Some(heals), ..
            } => Some(heals.clone()),
            Verdict::Unknown {
                otherwise: Some(otherwise),
                ..
            } => match otherwise.as_ref() {
                Verdict::Change { heals, .. } => heals.clone(),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// `inverse` puts back what was before the run.
fn take_back(inverse: Effect, now: Option<&Value>) -> Verdict {
    match inverse.standing(now) {
        Standing::After => Verdict::NoChange {
            why: "it is already as it was before the run".to_owned(),
        },
        Standing::Other { now } => Verdict::Refused {
            why: format!("it is no longer what the run left, so it is left alone: {now}"),
            next: None,
        },
        Standing::Before => {
            let details = details(&inverse);
            let follows = match inverse.rolls_pods() {
                true => vec!["its controller replaces the pods".to_owned()],
                false => Vec::new(),
            };
            Verdict::Change {
                effects: vec![inverse],
                details,
                follows,
                undo: UndoClass::Exact,
                predicted: None,
                heals: None,
            }
        }
    }
}

fn details(effect: &Effect) -> Vec<Detail> {
    let Effect::SetFields { object, fields } = effect else {
        return Vec::new();
    };
    let shown = |value: &Option<Value>| value.as_ref().map(|v| crate::model::value_text(Some(v)));
    fields
        .iter()
        .map(
            |FieldChange {
                 path,
                 before,
                 after,
             }| Detail {
                subject: format!("{object}: {path}"),
                before: shown(before),
                before_is: "as the run left it".to_owned(),
                after: shown(after),
                after_is: "as it was before the run".to_owned(),
            },
        )
        .collect()
}

/// Starts anew what the run had started anew, where the template of its controller was put back.
async fn restarts(
    look: &Look<'_>,
    record: &RunRecord,
    owner: &ObjectRef,
) -> Result<Vec<PlannedStep>, Fault> {
    let mut steps = Vec::new();
    for target in &record.plan.targets {
        let planned = record.plan.effects().any(|effect| {
            matches!(effect, Effect::ReplacePod { owner: o, node, .. } if *o == owner.uid && *node == target.name)
        });
        let Some(id) = StepId::new("restart").filter(|_| planned) else {
            continue;
        };
        let Some(pod) = look.calico_pod(&target.name).await? else {
            continue;
        };
        steps.push(PlannedStep {
            id,
            name: "Start it anew with what was put back".to_owned(),
            uses: "undo".to_owned(),
            with: Value::Null,
            scope: Scope::Target(target.clone()),
            verdict: Verdict::Change {
                details: vec![Detail {
                    subject: pod.to_string(),
                    before: Some("runs".to_owned()),
                    before_is: String::new(),
                    after: Some("replaced by a new one".to_owned()),
                    after_is: String::new(),
                }],
                effects: vec![Effect::ReplacePod {
                    pod,
                    owner: owner.uid.clone(),
                    node: target.name.clone(),
                }],
                follows: Vec::new(),
                undo: UndoClass::None {
                    why: "a start leaves nothing behind that could be put back".to_owned(),
                },
                predicted: Some(
                    "the rollout before this replaces the pod; only if it has not, this does"
                        .to_owned(),
                ),
                heals: None,
            },
            notes: Vec::new(),
        });
    }
    Ok(steps)
}
