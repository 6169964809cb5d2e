//! The plan of applying a runbook.

use super::names::{Context, Earlier, Known, Resolved};
use super::order::{entries, order};
use super::step::Planner;
use crate::actions::{Look, World, step};
use crate::fault::{API_SILENT, Fault};
use crate::inventory::select;
use crate::model::{Blobs, Digest, Plan, PlanKind, Scope, Target, Verdict};
use crate::runbook::{
    Bound, CONFIRM, INCLUDE, ParamType, Runbook, StepScope, TargetKind, check_names, secret_refs,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub runbook: Runbook,
    /// Names of nodes.
    pub nodes: Vec<String>,
    /// The values of its parameters.
    pub params: Bound,
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
    let params = &secret_refs(&runbook.params, &request.params);
    world.hosts.know(request.params.secrets.clone());
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
    check_steps(runbook, params)?;
    let (look, cluster) = match world.cluster.identity().await {
        Ok(cluster) => (Look::new(world), cluster),
        // Hosts can be healed without it.
        Err(silent) if silent.code == API_SILENT && runbook.targets == TargetKind::Nodes => (
            Look::at_hosts(world, silent),
            world.cluster.unanswered_identity(),
        ),
        Err(fault) => return Err(fault),
    };
    let targets = match look.silent() {
        None => targets(&look, world, request, params).await?,
        Some(_) => targets_at_hosts(world, request, params)?,
    };
    let mut planner = Planner::new(&look, runbook, params, &targets);
    let entries = entries(runbook);
    for (entry, scope) in order(&entries, &targets) {
        planner.plan(entry, &scope).await?;
    }
    let Planner { steps, blobs, .. } = planner;
    let more = steps.iter().filter_map(|planned| {
        let made = step(&planned.uses, &planned.with).ok()?;
        made.risk()
    });
    let risk = more.fold(runbook.whole_risk(), std::cmp::max);
    let mut plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Apply,
        runbook: runbook.name.clone(),
        summary: runbook.summary.clone(),
        runbook_digest: digest_of(runbook).to_string(),
        params: params.clone(),
        risk,
        cluster,
        actor: super::actor(),
        targets,
        steps,
        secrets: BTreeMap::new(),
    };
    unverified_before_changes(&mut plan);
    Ok(Planned { plan, blobs })
}

/// The nodes that were asked for; each name among the parameters is one of the cluster's, or a host's.
async fn targets(
    look: &Look<'_>,
    world: &World,
    request: &Request,
    params: &Map<String, Value>,
) -> Result<Vec<Target>, Fault> {
    let nodes = look.nodes().await?.iter();
    let known: Vec<String> = nodes.map(|n| n.name().to_owned()).collect();
    check_names(&request.runbook.params, params, |kind, name| match kind {
        ParamType::Host => world.inventory.knows(name),
        _ => select(&[name.to_owned()], &known).map(|_| ()),
    })?;
    let mut targets = Vec::new();
    for name in select(&request.nodes, &known)? {
        let node = look.node(&name).await?;
        targets.push(Target::node(&name, &node.object.uid));
    }
    Ok(targets)
}

/// The hosts of the nodes that were asked for, by the inventory alone.
fn targets_at_hosts(
    world: &World,
    request: &Request,
    params: &Map<String, Value>,
) -> Result<Vec<Target>, Fault> {
    check_names(&request.runbook.params, params, |kind, name| match kind {
        ParamType::Host => world.inventory.knows(name),
        _ => world.inventory.knows_node(name),
    })?;
    let mut targets: Vec<Target> = Vec::new();
    for name in &request.nodes {
        world.inventory.knows_node(name)?;
        if !targets.iter().any(|target| target.name == *name) {
            targets.push(Target::host(name));
        }
    }
    Ok(targets)
}

/// What is not verified at the end is one thing; what is not known before something is changed must be
/// allowed.
fn unverified_before_changes(plan: &mut Plan) {
    for at in 0..plan.steps.len() {
        if !plan.may_change_after(at) {
            return;
        }
        if let Some(step) = plan.steps.get_mut(at)
            && let Verdict::Unanswered { why } = &step.verdict
        {
            step.verdict = Verdict::Unknown {
                why: format!("{why}, and later steps change something"),
                otherwise: Some(Box::new(step.verdict.clone())),
            };
        }
    }
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
        let known = Known::of(&context, &scope, earlier, None);
        if let Ok(Resolved::Is(with)) = known.render(&text.uses, &text.with) {
            step(&text.uses, &with).map_err(wrong)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PlannedStep;
    use crate::plan::test_runbook::runbook;
    use crate::runbook::{Beside, read_beside};

    #[test]
    fn wrong_steps_are_found_before_anything_is_asked() {
        // The reader knows no parameter's value; here they are known.
        let mut runbook =
            runbook("  - {id: a, uses: calico.bgp, scope: run, with: {settle: 1m, within: 5m}}\n");
        runbook.steps[0].with = json!({"settle": "{{ params.settle }}", "within": "5m"});
        let check = |settle: &str| {
            let params = json!({"settle": settle});
            check_steps(&runbook, params.as_object().unwrap())
        };
        assert!(check("4m").is_ok());
        insta::assert_snapshot!(check("6m").unwrap_err().message, @"step `a`: with: the mesh cannot hold for 6m within 5m: `settle` must be shorter than `within`");
    }

    #[test]
    fn what_rests_on_earlier_steps_is_left_for_later() {
        let runbook = runbook(
            "  - {id: a, uses: host.script, with: {reads: x}}\n  - {id: b, uses: host.file, with: {path: '{{ steps.a.output }}', content: x}}\n",
        );
        assert!(check_steps(&runbook, &Map::new()).is_ok());
    }

    #[test]
    fn a_template_beside_a_runbook_is_part_of_the_digest_and_rendered_with_its_vars() {
        let made = |template: &str| {
            let text = "apiVersion: runbook/v1\nname: x\nsummary: x\nrisk: low\ntargets: nodes\n\
                        params:\n  who: {type: string, default: me}\nsteps:\n  \
                        - {id: a, uses: host.script, with: {reads: x}}\n  \
                        - {id: b, uses: host.template, with: {path: /x, source: x.hbs, vars: {n: '{{ params.who }}'}}}\n";
            let beside = Beside::texts([("x.hbs".to_owned(), template.to_owned())]);
            read_beside(text, "x", &crate::actions::kinds(), beside).unwrap()
        };
        assert_eq!(digest_of(&made("a")), digest_of(&made("a")));
        assert_ne!(digest_of(&made("a")), digest_of(&made("b")));
        let rendered = |template: &str| {
            let runbook = made(template);
            let step = &runbook.steps[1];
            let params = json!({"who": "{{ me }}\n"});
            let context = Context {
                runbook: &runbook,
                prefix: None,
                title: String::new(),
                params: params.as_object().unwrap().clone(),
                item: None,
            };
            let earlier = [PlannedStep::new(
                runbook.steps[0].id.clone(),
                Scope::Target(Target::node("n", "u")),
                "",
                "",
                Verdict::Late,
            )];
            let earlier = Earlier {
                planned: &earlier,
                done: &[],
                ended: &[],
            };
            let at = Scope::Target(Target::node("n", "u"));
            let known = Known::of(&context, &at, earlier, None);
            known.render(&step.uses, &step.with).unwrap()
        };
        let Resolved::Is(with) = rendered("{{ vars.n }}at {{ target.node }}\n") else {
            panic!()
        };
        assert_eq!(with["template"], "{{ me }}\nat n\n");
        let late = rendered("{{ steps.a.output }}");
        assert!(matches!(late, Resolved::Later(_)), "{late:?}");
    }
}
