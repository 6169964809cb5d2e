//! The plan of applying a runbook.

use super::names::{Context, Earlier, Known, Resolved};
use super::order::{entries, order};
use super::step::Planner;
use crate::actions::{Look, World, step};
use crate::fault::Fault;
use crate::inventory::select;
use crate::model::{Blobs, Digest, Plan, PlanKind, Scope, Target};
use crate::runbook::{CONFIRM, INCLUDE, Runbook, StepScope, TargetKind, bind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

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
    if runbook.targets == TargetKind::Cluster && !request.nodes.is_empty() {
        return Err(Fault::input(
            "no_nodes_here",
            format!("{} is about the whole cluster", runbook.name),
        )
        .next("leave out --node"));
    }
    if runbook.targets == TargetKind::Nodes && request.nodes.is_empty() {
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
    let mut planner = Planner {
        look: &look,
        root: runbook,
        params: &params,
        targets: &targets,
        done: &[],
        ended: &[],
        only: None,
        steps: Vec::new(),
        blobs: Blobs::default(),
    };
    let entries = entries(runbook);
    for (entry, scope) in order(&entries, &targets) {
        planner.plan(entry, &scope).await?;
    }
    let Planner { steps, blobs, .. } = planner;
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Apply,
        runbook: runbook.name.clone(),
        summary: runbook.summary.clone(),
        runbook_digest: digest_of(runbook).to_string(),
        params,
        risk: runbook.whole_risk(),
        cluster,
        actor: super::actor(),
        targets,
        steps,
        secrets: BTreeMap::new(),
    };
    Ok(Planned { plan, blobs })
}

/// Digest of the texts that say what is done.
fn digest_of(runbook: &Runbook) -> Digest {
    let included = runbook.texts();
    match included.is_empty() {
        true => Digest::of(runbook.text.as_bytes()),
        false => {
            let all = json!({"text": runbook.text, "included": included});
            Digest::of(all.to_string().as_bytes())
        }
    }
}

/// Each step's kind and arguments, as far as they are known before anything is asked of hosts and
/// cluster.
fn check_steps(runbook: &Runbook, params: &Map<String, Value>) -> Result<(), Fault> {
    let anyone = Target::node("node", "uid");
    for text in &runbook.steps {
        let scope = match text.scope {
            StepScope::Run => Scope::Run,
            StepScope::Target => Scope::Target(anyone.clone()),
        };
        let context = Context {
            runbook,
            prefix: None,
            title: String::new(),
            params: params.clone(),
            item: None,
        };
        let earlier = Earlier {
            planned: &[],
            done: &[],
            ended: &[],
        };
        if [INCLUDE, CONFIRM].contains(&text.uses.as_str()) {
            continue;
        }
        let wrong = |e| Fault::input("step_wrong", format!("step `{}`: {e}", text.id));
        // What names an item or an earlier step is known later.
        let known = Known::of(&context, &scope, earlier);
        if let Ok(Resolved::Is(with)) = known.render(&text.uses, &text.with) {
            step(&text.uses, &with).map_err(wrong)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_runbook::runbook;

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
