//! What one step would do, at one place: its templates rendered, its conditions decided, its kind
//! asked.

use super::names::{Context, Earlier, HostFacts, Known, Resolved, items, names_facts, steps_named};
use super::order::Entry;
use crate::actions::{Look, Made, Place, evicts, needs, only_reads, step};
use crate::fault::Fault;
use crate::journal::StepResult;
use crate::model::{
    Blobs, Effect, PlannedStep, Prior, Programs, Scope, StepId, Target, UndoClass, Verdict,
};
use crate::runbook::{CONFIRM, Runbook, Step, bind_values};
use serde_json::{Map, Value};

/// Decides steps one after another.
pub struct Planner<'a, 'w> {
    pub look: &'a Look<'w>,
    pub root: &'a Runbook,
    pub params: &'a Map<String, Value>,
    pub targets: &'a [Target],
    /// Steps that are done already, and the last word on each.
    pub done: &'a [PlannedStep],
    pub ended: &'a [(StepId, Scope, StepResult)],
    /// The one step that is to be decided; `None`: all.
    pub only: Option<StepId>,
    /// Those that were decided here.
    pub steps: Vec<PlannedStep>,
    pub blobs: Blobs,
}

impl<'a, 'w> Planner<'a, 'w> {
    /// For all steps, of which none is done.
    pub fn new(
        look: &'a Look<'w>,
        root: &'a Runbook,
        params: &'a Map<String, Value>,
        targets: &'a [Target],
    ) -> Self {
        Self {
            look,
            root,
            params,
            targets,
            done: &[],
            ended: &[],
            only: None,
            steps: Vec::new(),
            blobs: Blobs::default(),
        }
    }

    /// Decides a step of the runbook, with all that it stands for.
    pub async fn plan(&mut self, entry: &Entry<'a>, scope: &Scope) -> Result<(), Fault> {
        let context = Context {
            runbook: self.root,
            prefix: None,
            title: String::new(),
            params: self.params.clone(),
            item: None,
        };
        self.plan_below(context, entry, scope).await
    }

    /// The steps that include this one come first: each may keep it from happening, and gives the next
    /// its parameters.
    async fn plan_below(
        &mut self,
        mut context: Context<'a>,
        entry: &Entry<'a>,
        scope: &Scope,
    ) -> Result<(), Fault> {
        let mut above = entry.above.iter().copied();
        while let Some(step) = above.next() {
            let known = self.known(&context, step, scope).await?;
            match self.enter(&context, step, &known)? {
                Resolved::Is(inner) => context = inner,
                unresolved => {
                    let first = context.id(&step.id);
                    let rest = above.chain([entry.step]);
                    let id = rest.fold(first, |id, step| id.inner(&step.id));
                    self.unresolved(&context, entry.step, &id, scope, unresolved);
                    return Ok(());
                }
            }
        }
        let step = entry.step;
        let id = context.id(&step.id);
        let Some(list) = &step.for_each else {
            return self.plan_one(&context, step, id, scope).await;
        };
        let known = self.known(&context, step, scope).await?;
        // What needs no item to be decided comes first: without it, nobody asks for the list.
        let by_item = |name: &String| name.split('.').next() == Some("item");
        if !step
            .when
            .iter()
            .any(|when| when.names().iter().any(by_item))
        {
            match condition(step, &id, &known)? {
                Resolved::Is(()) => {}
                unresolved => {
                    self.unresolved(&context, step, &id, scope, unresolved);
                    return Ok(());
                }
            }
        }
        let list = match known
            .render("", list)
            .map_err(|e| wrong(&id, "for_each", &e))?
        {
            Resolved::Is(list) => list,
            unresolved => {
                self.unresolved(&context, step, &id, scope, unresolved);
                return Ok(());
            }
        };
        let items = items(&list).map_err(|fault| Fault {
            message: format!("step `{id}`: {}", fault.message),
            ..fault
        })?;
        if items.is_empty() {
            let why = "there is no item to do it for".to_owned();
            self.unresolved(&context, step, &id, scope, Resolved::<()>::Idle(why));
        }
        for (key, item) in items {
            let id = id.item(&key);
            if !self.wants(&id) {
                continue;
            }
            context.item = Some((key, item));
            if entry.inside.is_empty() {
                self.plan_one(&context, step, id, scope).await?;
            } else {
                self.plan_inside(&context, entry, id, scope).await?;
            }
        }
        Ok(())
    }

    /// The runbook that a step includes, for one item.
    async fn plan_inside(
        &mut self,
        context: &Context<'a>,
        entry: &Entry<'a>,
        id: StepId,
        scope: &Scope,
    ) -> Result<(), Fault> {
        let known = self.known(context, entry.step, scope).await?;
        match self.enter(context, entry.step, &known)? {
            Resolved::Is(inner) => {
                let inner = Context {
                    prefix: Some(id),
                    ..inner
                };
                for entry in &entry.inside {
                    Box::pin(self.plan_below(inner.clone(), entry, scope)).await?;
                }
            }
            unresolved => self.unresolved(context, entry.step, &id, scope, unresolved),
        }
        Ok(())
    }

    /// What the names in an included runbook stand for.
    fn enter(
        &self,
        context: &Context<'a>,
        step: &Step,
        known: &Known,
    ) -> Result<Resolved<Context<'a>>, Fault> {
        let id = context.id(&step.id);
        match condition(step, &id, known)? {
            Resolved::Is(()) => {}
            unresolved => return Ok(unresolved.of_another()),
        }
        let runbook = step
            .includes()
            .and_then(|name| context.runbook.included.get(name))
            .ok_or_else(|| Fault::internal(format!("step `{id}`: its runbook was not read")))?;
        let given = match step.with.get("params") {
            None => Value::Object(Map::new()),
            Some(given) => {
                match known
                    .render("", given)
                    .map_err(|e| wrong(&id, "with: params", &e))?
                {
                    Resolved::Is(given) => given,
                    unresolved => return Ok(unresolved.of_another()),
                }
            }
        };
        let given = given.as_object().cloned().unwrap_or_default();
        let params = bind_values(&runbook.params, given).map_err(|fault| Fault {
            message: format!("step `{id}`: runbook `{}`: {}", runbook.name, fault.message),
            ..fault
        })?;
        Ok(Resolved::Is(Context {
            runbook,
            title: format!("{}: ", context.name(step)),
            prefix: Some(id),
            params,
            item: None,
        }))
    }

    async fn plan_one(
        &mut self,
        context: &Context<'a>,
        text: &Step,
        id: StepId,
        scope: &Scope,
    ) -> Result<(), Fault> {
        if !self.wants(&id) {
            return Ok(());
        }
        let known = self.known(context, text, scope).await?;
        match condition(text, &id, &known)? {
            Resolved::Is(()) => {}
            unresolved => {
                self.unresolved(context, text, &id, scope, unresolved);
                return Ok(());
            }
        }
        let rendered = known
            .render(&text.uses, &text.with)
            .map_err(|e| wrong(&id, "with", &e))?;
        if text.uses == CONFIRM {
            // What is not found yet stands as it is written; it is asked with what was found by then.
            let with = match rendered {
                Resolved::Is(with) => with,
                _ => text.with.clone(),
            };
            let message = with.get("message").and_then(Value::as_str);
            let message = message.unwrap_or_default().to_owned();
            self.push(context, text, &id, scope, with, Verdict::Gate { message });
            return Ok(());
        }
        let with = match rendered {
            Resolved::Is(with) => with,
            unresolved => {
                self.unresolved(context, text, &id, scope, unresolved);
                return Ok(());
            }
        };
        let made = step(&text.uses, &with)
            .map_err(|e| Fault::input("step_wrong", format!("step `{id}`: {e}")))?;
        let needs = needs(&text.uses, &with);
        if let Some(silent) = self.look.silent()
            && !needs.all.is_empty()
        {
            let verdict = unanswered(needs.writes, silent);
            self.push(context, text, &id, scope, with, verdict);
            return Ok(());
        }
        let identity = context.runbook.identity(text);
        let place = Place {
            scope,
            targets: self.targets,
            identity: &identity,
            untrusted: context
                .runbook
                .untrusted
                .as_deref()
                .filter(|_| self.ended.is_empty()),
        };
        let prior = self.earlier().prior();
        let planned = match made.plan(self.look, place, prior).await {
            // What is looked at right after a change may take its time.
            Ok(refused) if refused.verdict.is_refused() && !self.ended.is_empty() => {
                let late = [PlannedStep::new(
                    id.clone(),
                    scope.clone(),
                    "",
                    "",
                    Verdict::Late,
                )];
                let patient = made.plan(self.look, place, Prior { steps: &late }).await;
                match patient {
                    Ok(patient) if matches!(patient.verdict, Verdict::Check { .. }) => Ok(patient),
                    _ => Ok(refused),
                }
            }
            planned => planned,
        };
        let made = match planned {
            Ok(made) => made,
            // What an earlier step refuses is what is to be said; this may be its consequence.
            Err(fault) if prior.steps.iter().any(|step| step.verdict.is_refused()) => Made {
                verdict: Verdict::Unknown {
                    why: fault.message,
                    otherwise: None,
                },
                notes: Vec::new(),
                blobs: Blobs::default(),
                outputs: Map::new(),
                ask: None,
            },
            Err(fault) => return Err(fault),
        };
        self.blobs.extend(made.blobs);
        let verdict = limited(kept(made.verdict, text.keep.as_deref()), text.timeout);
        self.push(context, text, &id, scope, with, verdict);
        if let Some(step) = self.steps.last_mut() {
            step.identity = identity;
            step.notes = made.notes;
            step.outputs = made.outputs;
            step.ask = made.ask;
        }
        Ok(())
    }

    /// Whether a step, or one in it, is to be decided.
    fn wants(&self, id: &StepId) -> bool {
        let related = |only: &StepId| id.is_of(only) || only.is_of(id);
        self.only.as_ref().is_none_or(related)
    }

    /// What the names of a step stand for. Only one that names facts has its host read.
    async fn known(
        &self,
        context: &Context<'_>,
        step: &Step,
        scope: &Scope,
    ) -> Result<Known, Fault> {
        let facts = match scope {
            Scope::Target(target) if names_facts(step) => {
                let identity = context.runbook.identity(step);
                let host = self.look.host(&target.name, &identity).await?;
                let own = context.id(&step.id);
                // What one item of it does was known when it was decided whether it is needed.
                let may_change = |earlier: &&PlannedStep| {
                    earlier.scope.is_seen_from(scope)
                        && earlier.may_change()
                        && !earlier.id.is_of(&own)
                };
                Some(HostFacts {
                    facts: self.look.fact_names(&host).await?,
                    first: self.steps.iter().find(may_change).map(|s| s.id.clone()),
                })
            }
            _ => None,
        };
        Ok(Known::of(context, scope, self.earlier(), facts))
    }

    fn earlier(&self) -> Earlier<'_> {
        Earlier {
            planned: &self.steps,
            done: self.done,
            ended: self.ended,
        }
    }

    fn unresolved<T>(
        &mut self,
        context: &Context<'_>,
        text: &Step,
        id: &StepId,
        scope: &Scope,
        what: Resolved<T>,
    ) {
        let verdict = match what {
            Resolved::Later(why) => Verdict::Unknown {
                why,
                otherwise: Some(Box::new(Verdict::Late)),
            },
            Resolved::Never(why) => Verdict::Refused { why, next: None },
            Resolved::Idle(why) => Verdict::NoChange { why },
            Resolved::Is(_) => return,
        };
        if !self.wants(id) {
            return;
        }
        self.push(context, text, id, scope, text.with.clone(), verdict);
    }

    fn push(
        &mut self,
        context: &Context<'_>,
        text: &Step,
        id: &StepId,
        scope: &Scope,
        with: Value,
        verdict: Verdict,
    ) {
        self.steps.push(PlannedStep {
            with,
            retry: text.retry,
            timeout: text.timeout.map(|timeout| timeout.as_secs()),
            on_failure: text.on_failure,
            keep: text.keep.clone(),
            only_reads: only_reads(&text.uses, &text.with),
            ask: None,
            evicts: evicts(&text.uses),
            rests_on: steps_named(
                &[&text.with, text.for_each.as_ref().unwrap_or(&Value::Null)],
                text.when.as_ref(),
            )
            .iter()
            .filter_map(|name| Some(context.id(&StepId::new(name)?)))
            .collect(),
            ..PlannedStep::new(
                id.clone(),
                scope.clone(),
                &context.name(text),
                &text.uses,
                verdict,
            )
        });
    }
}

/// A step that cannot be decided without the API server.
fn unanswered(writes: bool, silent: &Fault) -> Verdict {
    let why = silent.message.clone();
    match writes {
        false => Verdict::Unanswered { why },
        true => Verdict::Unknown {
            why,
            otherwise: Some(Box::new(Verdict::Late)),
        },
    }
}

/// Whether a step is needed.
fn condition(step: &Step, id: &StepId, known: &Known) -> Result<Resolved<()>, Fault> {
    let Some(condition) = &step.when else {
        return Ok(Resolved::Is(()));
    };
    let holds = known
        .holds(condition)
        .map_err(|e| Fault::input("condition", format!("step `{id}`: when: {e}")))?;
    Ok(match holds {
        Resolved::Is(true) => Resolved::Is(()),
        Resolved::Is(false) => {
            let source = condition.source();
            Resolved::Idle(format!("not needed: `{source}` does not hold"))
        }
        unresolved => unresolved.of_another(),
    })
}

fn wrong(id: &StepId, where_: &str, what: &str) -> Fault {
    Fault::input("step_wrong", format!("step `{id}`: {where_}: {what}"))
}

/// What its runbook says shall stay is not taken back.
fn kept(mut verdict: Verdict, keep: Option<&str>) -> Verdict {
    if let (Some(why), Some(undo)) = (keep, verdict.undo_mut()) {
        *undo = UndoClass::None {
            why: format!("it stays, as its runbook says: {why}"),
        };
    }
    verdict
}

/// No program of the step takes longer than the step may.
fn limited(mut verdict: Verdict, timeout: Option<std::time::Duration>) -> Verdict {
    let Some(timeout) = timeout else {
        return verdict;
    };
    let limit = |programs: &mut Programs| {
        let limit = programs.limit.min(timeout.as_secs().max(1));
        // What takes it back has its own time.
        programs.undo_limit = Some(programs.limit).filter(|own| *own != limit);
        programs.limit = limit;
    };
    for effect in verdict.effects_mut() {
        if let Effect::RunProgram { programs } = effect {
            limit(programs);
        }
    }
    verdict
}
