//! The least rights in the cluster with which a runbook is planned, applied, verified, resumed and
//! undone.

use super::meant::{Meant, Params};
use crate::actions::{Need, Of, Purpose, Served, built_in, is_any, needs};
use crate::fault::Fault;
use crate::model::{Effect, Plan, PlanKind, PlannedStep, Scope, StepId, UndoClass, Verb};
use crate::runbook::{CONFIRM, Runbook, Step, StepScope, TargetKind};
use crate::transport::Right;
use std::collections::{BTreeMap, BTreeSet};

/// Why a right is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// By every run, or by every run that writes; says what for.
    Base(&'static str),
    Step(Purpose, StepId),
}

/// A right that a runbook needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub right: Right,
    pub why: Why,
    /// Templates by which it is for more than one object: nobody knows before what they give.
    pub templates: BTreeSet<String>,
    /// Another reason why it is for more than one.
    pub wide: Option<&'static str>,
}

/// All rights that a runbook needs.
#[derive(Debug, Clone)]
pub struct Rights {
    pub runbook: String,
    pub grants: Vec<Grant>,
    /// Namespaces that the runbook makes itself: there is no place for a right in them before.
    pub makes: BTreeSet<String>,
}

const NAMESPACE: &str = "kube-system";

fn right(verb: Verb, group: &str, resource: &str) -> Right {
    Right {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: None,
        name: None,
    }
}

/// What every run reads, and what for.
fn of_every_run() -> [(Right, &'static str); 2] {
    let cluster = Right {
        name: Some(NAMESPACE.to_owned()),
        ..right(Verb::Get, "", "namespaces")
    };
    [
        (cluster, "every run: which cluster this is"),
        (
            right(Verb::List, "", "nodes"),
            "every run: which nodes there are",
        ),
    ]
}

const APART: &str = "so that two runs never work on the same target at a time";

/// What keeps a run that writes apart from all others: a Lease of its own, and a mark on each of its
/// `nodes` (`None`: any), and on the namespace kube-system where it writes for the whole run.
fn of_keeping_apart(nodes: &[Option<String>], whole: bool) -> Vec<Right> {
    let lease = |verb| Right {
        namespace: Some(NAMESPACE.to_owned()),
        ..right(verb, "coordination.k8s.io", "leases")
    };
    let mut rights = [Verb::Get, Verb::Create, Verb::Patch, Verb::Delete]
        .map(lease)
        .to_vec();
    for name in nodes {
        rights.extend([Verb::Get, Verb::Patch].map(|verb| Right {
            name: name.clone(),
            ..right(verb, "", "nodes")
        }));
    }
    if whole {
        rights.push(Right {
            name: Some(NAMESPACE.to_owned()),
            ..right(Verb::Patch, "", "namespaces")
        });
    }
    rights
}

/// The rights that a runbook needs, whatever its parameters are. `ask` is asked how the cluster serves
/// kinds that are not Kubernetes' own.
pub async fn rights(
    runbook: &Runbook,
    ask: impl AsyncFn(&Of) -> Result<Served, Fault>,
) -> Result<Rights, Fault> {
    let mut told = Vec::new();
    let params = Params::of(runbook);
    collect(runbook, &params, None, &mut told);
    let mut grants: Vec<Grant> = of_every_run()
        .into_iter()
        .map(|(right, what)| Grant::base(right, what))
        .collect();
    let writes = |scope: StepScope| told.iter().any(|t| t.writes && t.scope == scope);
    let (at_targets, whole) = (writes(StepScope::Target), writes(StepScope::Run));
    if at_targets || whole {
        let nodes: &[_] = match runbook.targets {
            TargetKind::Nodes => &[None],
            TargetKind::Cluster => &[],
        };
        let apart = of_keeping_apart(nodes, whole).into_iter();
        grants.extend(apart.map(|right| Grant::base(right, APART)));
    }
    let mut makes = BTreeSet::new();
    let mut served = BTreeMap::new();
    for step in &told {
        for need in &step.needs {
            let Need {
                of,
                verb,
                purpose,
                wide,
            } = need;
            if of.kind == "Namespace" && *verb == Verb::Create {
                makes.insert(of.name.clone());
            }
            let resource = resource(of, &step.id, &mut served, &ask).await?;
            let why = Why::Step(*purpose, step.id.clone());
            grants.push(Grant {
                wide: *wide,
                ..Grant::of(of, *verb, resource, why)
            });
        }
    }
    Ok(Rights {
        runbook: runbook.name.clone(),
        grants,
        makes,
    })
}

/// What a step needs, with its arguments as far as they are known.
struct Told {
    id: StepId,
    scope: StepScope,
    writes: bool,
    needs: Vec<Need>,
}

fn collect(runbook: &Runbook, params: &Params, above: Option<&StepId>, told: &mut Vec<Told>) {
    for step in &runbook.steps {
        let id = match above {
            Some(above) => above.inner(&step.id),
            None => step.id.clone(),
        };
        for meant in Meant::all(params, step) {
            if let Some(inner) = step.includes().and_then(|name| runbook.included.get(name)) {
                collect(inner, &meant.params_of(inner), Some(&id), told);
            } else if step.uses != CONFIRM {
                told.push(of_step(step, &id, &meant));
            }
        }
    }
}

fn of_step(step: &Step, id: &StepId, meant: &Meant) -> Told {
    let all = needs(&step.uses, &meant.with);
    let stays = step.keep.is_some();
    let needs = all.all.into_iter();
    Told {
        id: id.clone(),
        scope: step.scope,
        writes: all.writes,
        needs: needs
            .filter(|need| !(stays && need.purpose == Purpose::Undo))
            .collect(),
    }
}

/// The plural of an object's kind; `*` where a template stands for the kind.
async fn resource(
    of: &Of,
    step: &StepId,
    known: &mut BTreeMap<(String, String), Served>,
    ask: impl AsyncFn(&Of) -> Result<Served, Fault>,
) -> Result<Option<Served>, Fault> {
    if is_any(&of.kind) || is_any(&of.api_version) {
        return Ok(None);
    }
    let at_step = |fault: Fault| Fault {
        message: format!("step `{step}`: {}", fault.message),
        ..fault
    };
    let key = (of.group().to_owned(), of.kind.clone());
    let served = match known
        .get(&key)
        .cloned()
        .or_else(|| built_in(of.group(), &of.kind))
    {
        Some(served) => served,
        None => ask(of).await.map_err(at_step)?,
    };
    served.fits(of).map_err(at_step)?;
    known.insert(key, served.clone());
    Ok(Some(served))
}

impl Grant {
    fn base(right: Right, what: &'static str) -> Self {
        Self {
            right,
            why: Why::Base(what),
            templates: BTreeSet::new(),
            wide: None,
        }
    }

    fn of(of: &Of, verb: Verb, served: Option<Served>, why: Why) -> Self {
        let known = |part: &str| (!is_any(part)).then(|| part.to_owned());
        let any = || "*".to_owned();
        let named = verb.names_its_object();
        let parts = [Some(&of.api_version), Some(&of.kind), of.namespace.as_ref()];
        let parts = parts.into_iter().chain([Some(&of.name).filter(|_| named)]);
        Self {
            templates: parts
                .flatten()
                .filter(|part| part.contains("{{"))
                .cloned()
                .collect(),
            right: Right {
                verb,
                group: match is_any(&of.api_version) {
                    true => any(),
                    false => of.group().to_owned(),
                },
                resource: served.map_or_else(any, |served| served.plural),
                namespace: of.namespace.as_deref().and_then(known),
                name: known(&of.name).filter(|_| named),
            },
            why,
            wide: None,
        }
    }
}

/// What carrying out a plan needs, and taking it back: the rights to write, to look at what is written,
/// and to keep others away meanwhile.
pub(super) fn of_plan(plan: &Plan) -> Vec<Right> {
    let mut rights = Vec::new();
    let mut add = |right: Right| {
        if !rights.contains(&right) {
            rights.push(right);
        }
    };
    plan.effects().filter_map(Right::of).for_each(&mut add);
    for step in plan.steps.iter().filter(|_| plan.kind == PlanKind::Apply) {
        let exists = !matches!(step.verdict.undo(), None | Some(UndoClass::None { .. }));
        if exists && step.keep.is_none() {
            let inverses = step.verdict.effects().iter().filter_map(Effect::inverse);
            inverses
                .filter_map(|back| Right::of(&back))
                .for_each(&mut add);
        }
    }
    plan.effects().filter_map(Right::to_look).for_each(&mut add);
    // Which pods come meanwhile, and which are deleted over their budgets, no effect says yet.
    let open = |step: &&PlannedStep| step.is_late() || step.will_evict();
    for step in plan.steps.iter().filter(open) {
        rights_of_late(step).for_each(&mut add);
    }
    let writes: Vec<&PlannedStep> = plan.steps.iter().filter(|step| step.may_change()).collect();
    if !writes.is_empty() {
        let nodes: Vec<Option<String>> =
            plan.targets.iter().map(|t| Some(t.name.clone())).collect();
        let whole = writes.iter().any(|step| step.scope == Scope::Run);
        of_keeping_apart(&nodes, whole).into_iter().for_each(add);
    }
    rights
}

/// What a step needs that is decided only when its turn comes, as far as it is known by then what it is
/// about.
fn rights_of_late(step: &PlannedStep) -> impl Iterator<Item = Right> {
    let needs = needs(&step.uses, &step.with).all.into_iter();
    let stays = step.keep.is_some();
    needs.filter_map(
        move |Need {
                  of, verb, purpose, ..
              }| {
            let served = built_in(of.group(), &of.kind)?;
            let why = Why::Step(purpose, step.id.clone());
            let Grant {
                right, templates, ..
            } = Grant::of(&of, verb, Some(served), why);
            (templates.is_empty() && !(stays && purpose == Purpose::Undo)).then_some(right)
        },
    )
}

/// Rights that spare asking for each of the others: they give all objects of a kind of which there are
/// many.
pub(super) fn sparing(rights: &[Right]) -> Vec<Right> {
    const MANY: usize = 3;
    let mut wide: Vec<Right> = Vec::new();
    for right in rights.iter().filter(|right| right.name.is_some()) {
        let all = Right {
            name: None,
            ..right.clone()
        };
        let covered = rights.iter().filter(|other| all.covers(other)).count();
        if covered >= MANY && !wide.contains(&all) {
            wide.push(all);
        }
    }
    wide
}

#[cfg(test)]
mod tests;
