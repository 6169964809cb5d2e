//! The plan of taking a run back: each change by its own fields, newest first, where the state is
//! still what the run left.

use crate::actions::{Look, World};
use crate::fault::Fault;
use crate::journal::RunRecord;
use crate::model::{
    Detail, Effect, EffectId, FieldChange, ObjectRef, Plan, PlanKind, PlannedStep, Standing,
    UndoClass, Verdict,
};
use serde_json::Value;

/// The plan of taking a run back.
pub struct UndoPlan {
    pub plan: Plan,
    /// The faults that come back with what is put back.
    pub faults: Vec<String>,
}

/// Looks at what the run did and decides, change by change, how to take it back.
pub async fn undo_plan(world: &World, record: &RunRecord) -> Result<UndoPlan, Fault> {
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
    let mut faults: Vec<String> = Vec::new();
    for (id, effect, _) in record.to_take_back() {
        let Some(inverse) = effect.inverse() else {
            continue;
        };
        let now = world.cluster.object(inverse.object()).await?;
        let planned = planned(&record.plan, id);
        let owner = inverse.rolls_pods().then(|| inverse.object().clone());
        let verdict = take_back(inverse, now.as_ref());
        if !matches!(verdict, Verdict::Refused { .. }) {
            faults.extend(planned.and_then(|p| p.verdict.heals()).map(str::to_owned));
        }
        let restored = verdict.changes();
        steps.push(PlannedStep {
            id: id.step.clone(),
            name: format!("Take back: {}", planned.map_or("", |p| p.name.as_str())),
            uses: "undo".to_owned(),
            with: Value::Null,
            scope: id.scope.clone(),
            verdict,
            notes: Vec::new(),
        });
        // What the run started anew must start again from what was put back.
        if let Some(owner) = owner.filter(|_| restored) {
            steps.extend(restarts(&look, &record.plan, &owner).await?);
        }
    }
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Undo { of: record.run },
        runbook: record.plan.runbook.clone(),
        summary: format!("Take run {} back", record.run),
        runbook_digest: record.plan.runbook_digest.clone(),
        params: record.plan.params.clone(),
        risk: record.plan.risk,
        cluster,
        actor: super::actor(),
        targets: record.plan.targets.clone(),
        steps,
    };
    Ok(UndoPlan { plan, faults })
}

/// The planned step of which an effect was.
fn planned<'p>(plan: &'p Plan, id: &EffectId) -> Option<&'p PlannedStep> {
    plan.steps
        .iter()
        .find(|step| step.id == id.step && step.scope == id.scope)
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
            let pods = now
                .and_then(|n| n.pointer("/status/desiredNumberScheduled"))
                .and_then(Value::as_i64);
            let follows = match (inverse.rolls_pods(), pods) {
                (true, Some(pods)) => vec![format!(
                    "its controller replaces up to {pods} pods; that is not waited for, as a fault that comes back may hold it up"
                )],
                _ => Vec::new(),
            };
            Verdict::Change {
                details: details(&inverse),
                effects: vec![inverse],
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
    plan: &Plan,
    owner: &ObjectRef,
) -> Result<Vec<PlannedStep>, Fault> {
    let mut steps = Vec::new();
    for step in &plan.steps {
        for effect in step.verdict.effects() {
            let Effect::ReplacePod {
                owner: uid, node, ..
            } = effect
            else {
                continue;
            };
            if *uid != owner.uid {
                continue;
            }
            if let Some(pod) = look.pod_of(owner, node).await? {
                steps.push(restart(step, pod, owner, node));
            }
        }
    }
    Ok(steps)
}

fn restart(step: &PlannedStep, pod: ObjectRef, owner: &ObjectRef, node: &str) -> PlannedStep {
    PlannedStep {
        id: step.id.clone(),
        name: "Start it anew with what was put back".to_owned(),
        uses: "undo".to_owned(),
        with: Value::Null,
        scope: step.scope.clone(),
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
                node: node.to_owned(),
            }],
            follows: Vec::new(),
            undo: UndoClass::None {
                why: "a start leaves nothing behind that could be put back".to_owned(),
            },
            predicted: Some(
                "the controller may have replaced the pod by then; only if it has not, this does"
                    .to_owned(),
            ),
            heals: None,
        },
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FieldPath;
    use serde_json::json;

    fn daemonset() -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".into(),
            kind: "DaemonSet".into(),
            resource: "daemonsets".into(),
            namespace: Some("kube-system".into()),
            name: "calico-node".into(),
            uid: "ds".into(),
        }
    }

    fn inverse() -> Effect {
        let entry = |value: &str| json!({"name": "METHOD", "value": value});
        Effect::SetFields {
            object: daemonset(),
            fields: vec![FieldChange {
                path: FieldPath::container_env("calico-node", "METHOD"),
                before: Some(entry("by the run")),
                after: Some(entry("before")),
            }],
        }
    }

    fn now(value: &str) -> Value {
        json!({
            "metadata": {"uid": "ds"},
            "spec": {"template": {"spec": {"containers": [
                {"name": "calico-node", "env": [{"name": "METHOD", "value": value}]},
            ]}}},
            "status": {"desiredNumberScheduled": 3},
        })
    }

    #[test]
    fn what_is_as_the_run_left_it_is_put_back() {
        let Verdict::Change {
            effects,
            details,
            follows,
            ..
        } = take_back(inverse(), Some(&now("by the run")))
        else {
            panic!()
        };
        assert_eq!(effects, [inverse()]);
        insta::assert_json_snapshot!(details, @r#"
        [
          {
            "subject": "DaemonSet kube-system/calico-node: spec.template.spec.containers[name=calico-node].env[name=METHOD]",
            "before": "`by the run`",
            "before_is": "as the run left it",
            "after": "`before`",
            "after_is": "as it was before the run"
          }
        ]
        "#);
        insta::assert_snapshot!(follows.join("\n"), @"its controller replaces up to 3 pods; that is not waited for, as a fault that comes back may hold it up");
    }

    #[test]
    fn what_is_as_before_needs_nothing_and_what_is_neither_is_left_alone() {
        assert!(matches!(
            take_back(inverse(), Some(&now("before"))),
            Verdict::NoChange { .. }
        ));
        let Verdict::Refused { why, .. } = take_back(inverse(), Some(&now("by someone"))) else {
            panic!()
        };
        insta::assert_snapshot!(why, @"it is no longer what the run left, so it is left alone: spec.template.spec.containers[name=calico-node].env[name=METHOD] is `by someone`");
        assert!(matches!(
            take_back(inverse(), None),
            Verdict::Refused { .. }
        ));
    }

    #[test]
    fn a_restart_is_that_of_the_successor_under_the_same_step() {
        let step = PlannedStep {
            id: crate::model::StepId::new("again").unwrap(),
            name: String::new(),
            uses: String::new(),
            with: Value::Null,
            scope: crate::model::Scope::Run,
            verdict: Verdict::NoChange { why: String::new() },
            notes: vec![],
        };
        let pod = ObjectRef {
            kind: "Pod".into(),
            uid: "p2".into(),
            ..daemonset()
        };
        let restarted = restart(&step, pod.clone(), &daemonset(), "node02");
        assert_eq!(restarted.id, step.id);
        assert_eq!(
            restarted.verdict.effects(),
            [Effect::ReplacePod {
                pod,
                owner: "ds".into(),
                node: "node02".into()
            }]
        );
    }
}
