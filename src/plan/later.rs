//! What is decided only when its turn comes, by what the steps before it have done and found.

use super::order::entries;
use super::step::Planner;
use crate::actions::{Look, World, needs};
use crate::fault::{API_SILENT, Class, Fault};
use crate::journal::StepResult;
use crate::model::{Blobs, Effect, Plan, PlannedStep, Scope, StepId, Verdict};
use crate::runbook::{INCLUDE, Runbook};

/// The last word on each step that has ended.
type Ended = [(StepId, Scope, StepResult)];

/// Decides the plan's step with the position `at` by what there is now. What comes of it stands in its
/// place.
pub async fn decide_now(
    world: &World,
    runbook: &Runbook,
    plan: &Plan,
    at: usize,
    ended: &Ended,
) -> Result<(Vec<PlannedStep>, Blobs), Fault> {
    let late = plan.steps.get(at).ok_or_else(gone)?;
    let look = Look::new(world);
    if let Scope::Target(target) = &late.scope
        && target.uid().is_none()
    {
        match same_host(&look, plan, &target.name).await {
            // What needs nothing of the cluster does not wait for it either.
            Err(fault) if fault.code == API_SILENT && is_of_hosts(late) => {}
            same => same?,
        }
    }
    let mut planner = Planner {
        done: plan.steps.get(..at).unwrap_or_default(),
        ended,
        only: Some(late.id.clone()),
        ..Planner::new(&look, runbook, &plan.params, &plan.targets)
    };
    for entry in entries(runbook) {
        if late.id.is_of(&entry.id()) {
            // What is wrong with it now is no mistake on the command line any more.
            let planned = planner.plan(&entry, &late.scope).await;
            planned.map_err(|fault| match fault.class {
                Class::Input => Fault {
                    class: Class::Definite,
                    ..fault
                },
                _ => fault,
            })?;
        }
    }
    let Planner {
        mut steps, blobs, ..
    } = planner;
    // Whoever allowed the step has allowed what it turns out to be; but it must turn out to be something.
    for step in &mut steps {
        if step.id == late.id && step.is_late() {
            let why = "it still cannot be told what it would do".to_owned();
            step.verdict = Verdict::Refused { why, next: None };
        }
    }
    // Nothing of it is begun where some of it must not be; resume decides it anew.
    let refused = steps.iter().find_map(|step| match &step.verdict {
        Verdict::Refused { why, next } => Some((step, why, next)),
        _ => None,
    });
    if let Some((step, why, next)) = refused {
        let message = format!("step `{}` is refused: {why}", step.id);
        return Err(Fault {
            next: next.clone(),
            ..Fault::refused("step_refused", message)
        });
    }
    match steps.is_empty() {
        true => Err(gone()),
        false => Ok((steps, blobs)),
    }
}

/// Whether a step needs hosts and nothing else.
fn is_of_hosts(step: &PlannedStep) -> bool {
    step.uses != INCLUDE && needs(&step.uses, &step.with).all.is_empty()
}

/// Holds that the host on which something was done is that of the node, now that the cluster says which
/// that is.
async fn same_host(look: &Look<'_>, plan: &Plan, name: &str) -> Result<(), Fault> {
    let hosts = plan.effects().filter_map(Effect::on_host);
    let Some(host) = hosts.into_iter().find(|host| host.node == name) else {
        return Ok(());
    };
    let node = look.node(name).await?;
    let unknown = node.machine_id.is_empty() || host.machine_id.is_empty();
    match unknown || node.machine_id == host.machine_id {
        true => Ok(()),
        false => Err(look.another_host(name, &host.machine_id, &node.machine_id)),
    }
}

/// What a gate turns out to be.
#[derive(Debug)]
pub enum Gate {
    Ask(String),
    /// It is not needed any more.
    Idle(Vec<PlannedStep>),
}

/// What is asked at the gate with the position `at`, with what was found by now.
pub async fn question(
    world: &World,
    runbook: &Runbook,
    plan: &Plan,
    at: usize,
    ended: &Ended,
) -> Result<Gate, Fault> {
    let (steps, _) = decide_now(world, runbook, plan, at, ended).await?;
    let message = steps.iter().find_map(|step| match &step.verdict {
        Verdict::Gate { message } => Some(message.clone()),
        _ => None,
    });
    Ok(match message {
        Some(message) => Gate::Ask(message),
        None => Gate::Idle(steps),
    })
}

/// What the steps before the one with the position `at` have found: for each its id, where, and what.
pub fn found_so_far(plan: &Plan, at: usize) -> Vec<String> {
    let before = plan.steps.get(..at).unwrap_or_default();
    let found = before.iter().filter_map(|step| {
        let output = step.outputs.get("output")?.as_str()?;
        let output = output.lines().next()?;
        Some(format!("`{}` ({}): {output}", step.id, step.scope))
    });
    found.collect()
}

fn gone() -> Fault {
    Fault::internal("the step that is to be decided is not in its runbook")
}
