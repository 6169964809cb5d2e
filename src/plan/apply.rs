//! The plan of applying a runbook.

use crate::actions::{Look, Made, Place, World, step};
use crate::fault::Fault;
use crate::inventory::select;
use crate::model::{Blobs, Digest, Plan, PlanKind, PlannedStep, Prior, Scope, Target, Verdict};
use crate::runbook::{Runbook, Step, StepScope, bind, render_arguments};
use serde_json::{Map, Value, json};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub runbook: Runbook,
    /// Names of nodes.
    pub nodes: Vec<String>,
    pub params: Params,
}

/// The values of parameters.
#[derive(Debug, Clone)]
pub enum Params {
    /// `NAME=VALUE`, as they are typed.
    Typed(Vec<String>),
    /// All of them, as an earlier plan has them.
    Bound(Map<String, Value>),
}

/// A plan, with the bytes that its effects and their inverses need.
#[derive(Debug, Clone)]
pub struct Planned {
    pub plan: Plan,
    pub blobs: Blobs,
}

/// Looks at the world and decides each step, without writing anything.
pub async fn plan(world: &World, request: &Request) -> Result<Planned, Fault> {
    let runbook = &request.runbook;
    let params = match &request.params {
        Params::Typed(given) => bind(&runbook.params, given)?,
        Params::Bound(values) => values.clone(),
    };
    if request.nodes.is_empty() {
        return Err(
            Fault::input("no_target", format!("{} needs a node", runbook.name))
                .next("add --node NAME, once for each node"),
        );
    }
    check_steps(runbook, &params)?;
    let look = Look::new(world);
    let cluster = world.cluster.identity().await?;
    let known: Vec<String> = look
        .nodes()
        .await?
        .iter()
        .map(|n| n.name().to_owned())
        .collect();
    let mut targets = Vec::new();
    for name in select(&request.nodes, &known)? {
        let node = look.node(&name).await?;
        targets.push(Target::node(&name, &node.object.uid));
    }
    let mut steps: Vec<PlannedStep> = Vec::new();
    let mut blobs = Blobs::default();
    for (text, scope) in order(&runbook.steps, &targets) {
        let (planned, needs) =
            plan_step(&look, runbook, text, scope, &targets, &params, &steps).await?;
        steps.push(planned);
        blobs.extend(needs);
    }
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Apply,
        runbook: runbook.name.clone(),
        summary: runbook.summary.clone(),
        runbook_digest: Digest::of(runbook.text.as_bytes()).to_string(),
        params,
        risk: runbook.risk,
        cluster,
        actor: super::actor(),
        targets,
        steps,
    };
    Ok(Planned { plan, blobs })
}

/// The steps in the order in which they happen: those of the run once, those of the targets in
/// their stretches, target by target.
fn order<'a>(steps: &'a [Step], targets: &[Target]) -> Vec<(&'a Step, Scope)> {
    let mut ordered = Vec::new();
    for stretch in steps.chunk_by(|a, b| a.scope == b.scope) {
        match stretch.first().map(|s| s.scope) {
            Some(StepScope::Run) => ordered.extend(stretch.iter().map(|s| (s, Scope::Run))),
            Some(StepScope::Target) => {
                for target in targets {
                    ordered.extend(stretch.iter().map(|s| (s, Scope::Target(target.clone()))));
                }
            }
            None => {}
        }
    }
    ordered
}

/// Each step's kind and arguments, before anything is asked of hosts and cluster.
fn check_steps(runbook: &Runbook, params: &Map<String, Value>) -> Result<(), Fault> {
    let anyone = Target::node("node", "uid");
    for text in &runbook.steps {
        let scope = match text.scope {
            StepScope::Run => Scope::Run,
            StepScope::Target => Scope::Target(anyone.clone()),
        };
        make(text, &scope, params)?;
    }
    Ok(())
}

fn names(scope: &Scope, params: &Map<String, Value>) -> Value {
    let mut names = json!({"params": params});
    if let (Scope::Target(target), Some(names)) = (scope, names.as_object_mut()) {
        names.insert(
            "target".to_owned(),
            json!({"name": target.name, "node": target.name}),
        );
    }
    names
}

fn make(
    text: &Step,
    scope: &Scope,
    params: &Map<String, Value>,
) -> Result<(Box<dyn crate::actions::Step>, Value), Fault> {
    let wrong = |what: String| Fault::input("step_wrong", format!("step `{}`: {what}", text.id));
    let with = render_arguments(&text.uses, &text.with, &names(scope, params))
        .map_err(|e| wrong(format!("with: {e}")))?;
    let made = step(&text.uses, &with).map_err(wrong)?;
    Ok((made, with))
}

async fn plan_step(
    look: &Look<'_>,
    runbook: &Runbook,
    text: &Step,
    scope: Scope,
    targets: &[Target],
    params: &Map<String, Value>,
    earlier: &[PlannedStep],
) -> Result<(PlannedStep, Blobs), Fault> {
    let (made, with) = make(text, &scope, params)?;
    let identity = runbook.identity(text);
    let prior = Prior { steps: earlier };
    let Made {
        verdict,
        notes,
        blobs,
    } = if holds(text, &scope, params, prior)? {
        let place = Place {
            scope: &scope,
            targets,
            identity: &identity,
            untrusted: runbook.untrusted.as_deref(),
        };
        match made.plan(look, place, prior).await {
            Ok(made) => made,
            // What an earlier step refuses is what is to be said; this may be its consequence.
            Err(fault) if earlier.iter().any(|step| step.verdict.is_refused()) => Made {
                verdict: Verdict::Unknown {
                    why: fault.message,
                    otherwise: None,
                },
                notes: Vec::new(),
                blobs: Blobs::default(),
            },
            Err(fault) => return Err(fault),
        }
    } else {
        let condition = text.when.as_ref().map_or("", |c| c.source());
        let why = format!("not needed: `{condition}` does not hold");
        Made {
            verdict: Verdict::NoChange { why },
            notes: Vec::new(),
            blobs: Blobs::default(),
        }
    };
    let planned = PlannedStep {
        id: text.id.clone(),
        name: text.name.clone(),
        uses: text.uses.clone(),
        with,
        identity,
        scope,
        verdict,
        notes,
    };
    Ok((planned, blobs))
}

fn holds(
    text: &Step,
    scope: &Scope,
    params: &Map<String, Value>,
    prior: Prior<'_>,
) -> Result<bool, Fault> {
    let Some(condition) = &text.when else {
        return Ok(true);
    };
    let mut names = names(scope, params);
    let steps: Map<String, Value> = prior
        .steps
        .iter()
        .map(|step| {
            let changed = prior.changed(&step.id, scope);
            (step.id.to_string(), json!({"changed": changed}))
        })
        .collect();
    if let Some(names) = names.as_object_mut() {
        names.insert("steps".to_owned(), Value::Object(steps));
    }
    condition
        .holds(&names)
        .map_err(|e| Fault::input("condition", format!("step `{}`: when: {e}", text.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Kinds, read};

    fn runbook(steps: &str) -> Runbook {
        read(
            &format!("apiVersion: runbook/v1\nname: x\nsummary: x\nrisk: low\ntargets: nodes\nsteps:\n{steps}"),
            "x",
            // What the reader refuses is refused here once more: arguments are known only now.
            &Kinds::that_take_anything(&[
                "x.y",
                "calico.mesh",
                "calico.nod_address",
                "calico.node_address",
            ]),
        )
        .unwrap()
    }

    #[test]
    fn steps_of_the_run_happen_once_and_between_stretches_of_targets() {
        let runbook = runbook(
            "  - {id: a, uses: x.y}\n  - {id: b, uses: x.y}\n  - {id: once, uses: x.y, scope: run}\n  - {id: c, uses: x.y}\n",
        );
        let targets = [Target::node("n1", "1"), Target::node("n2", "2")];
        let order: Vec<String> = order(&runbook.steps, &targets)
            .iter()
            .map(|(step, scope)| format!("{}@{scope}", step.id))
            .collect();
        assert_eq!(
            order,
            [
                "a@n1",
                "b@n1",
                "a@n2",
                "b@n2",
                "once@the run",
                "c@n1",
                "c@n2"
            ]
        );
    }

    #[test]
    fn wrong_steps_are_found_before_anything_is_asked() {
        let wrong = |steps: &str| {
            check_steps(&runbook(steps), &Map::new())
                .unwrap_err()
                .message
        };
        insta::assert_snapshot!(wrong("  - {id: a, uses: calico.nod_address}\n"), @"step `a`: uses: there is no kind `calico.nod_address`; did you mean `calico.node_address`?");
        insta::assert_snapshot!(wrong("  - {id: a, uses: calico.node_address, with: {address: other}}\n"), @"step `a`: with: unknown variant `other`, expected `internal_ip`");
        insta::assert_snapshot!(wrong("  - {id: a, uses: calico.mesh, scope: run, with: {settle: 6m, within: 5m}}\n"), @"step `a`: with: the mesh cannot hold for 6m within 5m: `settle` must be shorter than `within`");
    }
}
