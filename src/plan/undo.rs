//! The plan of taking a run back: each change by its own fields, newest first, where the state is
//! still what the run left.

mod programs;
mod starts;

use crate::actions::{Look, World};
use crate::fault::{Class, Fault};
use crate::journal::{EffectRecord, EffectState, RunRecord, StateDir};
use crate::model::{
    Blobs, Detail, Digest, Effect, FieldChange, HostRef, Now, ObjectRef, Plan, PlanKind,
    PlannedStep, ProgramNow, Restarts, Scope, SettingState, Standing, StepId, Subject, Target,
    UndoClass, Verdict, indented,
};
use crate::transport::OwnerNames;
use futures::stream::{self, StreamExt};
use programs::{Earlier, left_by};
use serde_json::Value;
use starts::Again;

/// How many pods are looked at side by side.
const PODS_AT_ONCE: usize = 16;

/// The plan of taking a run back.
#[derive(Debug)]
pub struct UndoPlan {
    pub plan: Plan,
    pub blobs: Blobs,
    /// The faults that come back with what is put back.
    pub faults: Vec<String>,
    /// What is first left alone is so as it cannot be looked at now: why.
    pub unanswered: Option<Fault>,
}

/// How much of a run is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    All,
    /// What it did at one target.
    Of(Target),
}

impl Extent {
    fn has(&self, scope: &Scope) -> bool {
        match self {
            Self::All => true,
            Self::Of(target) => matches!(scope, Scope::Target(at) if at == target),
        }
    }
}

/// Looks at what the run did and decides, change by change, how to take it back. With `force`, what
/// is no longer as the run left it is overwritten too.
pub async fn undo_plan(
    world: &World,
    state: &StateDir,
    record: &RunRecord,
    extent: &Extent,
    force: bool,
) -> Result<UndoPlan, Fault> {
    let cluster = super::same_cluster(&world.cluster, record).await?;
    let look = Look::new(world);
    let mut steps: Vec<PlannedStep> = Vec::new();
    let mut blobs = Blobs::default();
    let mut faults: Vec<String> = Vec::new();
    let mut unanswered = None;
    // Steps of which it was said that the pods that they evicted do not come back.
    let mut evicted: Vec<(&StepId, &Scope)> = Vec::new();
    // Units that were started anew start once more after all that they read was put back.
    let mut again: Vec<(&EffectRecord, &HostRef, &Restarts)> = Vec::new();
    let earlier = Earlier::of(state, record);
    for done in record.to_take_back().filter(|e| extent.has(&e.id.scope)) {
        let planned = record.plan.step(&done.id.step, &done.id.scope);
        if let Some(why) = planned.and_then(|step| step.keep.as_deref()) {
            let why = format!("it stays, as its runbook says: {why}");
            steps.push(staying(&steps, record, done, why));
            continue;
        }
        if let Effect::RunProgram { programs } = &done.effect
            && let Some(restarts) = &programs.restarts
        {
            again.push((done, &programs.host, restarts));
            continue;
        }
        let Some(inverse) = done.effect.inverse() else {
            if done.effect.evicts() {
                // One word for all of a step.
                let of = (&done.id.step, &done.id.scope);
                if !evicted.contains(&of) {
                    evicted.push(of);
                    let why = stay_away(world, record, of).await;
                    steps.push(staying(&steps, record, done, why));
                }
                continue;
            }
            if let Effect::RunProgram { programs } = &done.effect {
                if let (Some(_), Some(Verdict::NoChange { why })) =
                    (&programs.own, planned.and_then(lasting))
                {
                    steps.push(staying(&steps, record, done, why));
                    continue;
                }
                steps.push(taking_back(
                    &steps,
                    record,
                    done,
                    Verdict::Refused {
                        why: format!(
                            "{programs} has no `undo`: what it did stays, and `--force` changes nothing about that"
                        ),
                        next: None,
                    },
                ));
            }
            continue;
        };
        for digest in inverse.contents() {
            blobs.add(digest.clone(), state.content(record.run, digest)?);
        }
        if let Some(Verdict::NoChange { why }) = planned.and_then(lasting) {
            steps.push(staying(&steps, record, done, why));
            continue;
        }
        let owner = match (inverse.rolls_pods(), inverse.subject()) {
            (true, Subject::Object(object)) => Some(object.clone()),
            _ => None,
        };
        if let Some(by) = earlier.undo_of(record.run, done) {
            let why = format!("run {by} has taken it back");
            steps.push(taking_back(&steps, record, done, Verdict::NoChange { why }));
            continue;
        }
        let verdicts = match left_by(world, record, done).await {
            // One host that is away, or that is not as it should be, keeps nobody from taking back the
            // rest.
            Err(fault) if fault.class == Class::Unreachable || inverse.on_host().is_some() => {
                let refused = Verdict::Refused {
                    why: format!("nobody knows how it stands: {}", fault.message),
                    next: fault.next.clone(),
                };
                if !steps.iter().any(|step| step.verdict.is_refused()) {
                    unanswered = Some(fault);
                }
                vec![refused]
            }
            Err(fault) => return Err(fault),
            Ok(Now::Program(ProgramNow::Begun)) => {
                let now = Now::Program(ProgramNow::Begun);
                let blind = done.effect.blind_inverse().into_iter();
                blind
                    .map(|effect| change(effect, &now, "some of it may be done"))
                    .collect()
            }
            Ok(now) => {
                let now = after(now, &inverse, &steps);
                let forced = match (force, inverse.standing(&now)) {
                    (true, Standing::Other { .. } | Standing::Unclear { .. }) => inverse.over(&now),
                    _ => None,
                };
                if let Some(over) = &forced {
                    keep_what_is_there(&look, over, &mut blobs).await?;
                }
                take_back(done, inverse, forced, &now)
            }
        };
        let restored = verdicts.iter().any(Verdict::changes);
        if verdicts.iter().any(|v| !v.is_refused()) {
            faults.extend(planned.and_then(|p| p.verdict.heals()).map(str::to_owned));
        }
        for verdict in verdicts {
            steps.push(taking_back(&steps, record, done, verdict));
        }
        // What the run started anew must start again from what was put back.
        if let Some(owner) = owner.filter(|_| restored) {
            for mut step in restarts(&look, &record.plan, &owner).await? {
                step.id = unused(&steps, &step.id, &step.scope);
                steps.push(step);
            }
        }
    }
    let mut started: Vec<(&HostRef, &str)> = Vec::new();
    for (done, host, restarts) in again {
        if started.contains(&(host, restarts.unit.as_str())) {
            continue;
        }
        started.push((host, &restarts.unit));
        let again = Again {
            host,
            restarts,
            left: earlier.left_to_start(record.run, host, &restarts.unit),
            faulty: !faults.is_empty(),
        };
        let verdict = match again.needless(&steps) {
            Some(why) => Verdict::NoChange { why },
            None => match look.unit(host, &restarts.unit).await {
                Ok(now) => again.verdict(&now),
                Err(fault) => Verdict::Refused {
                    why: format!(
                        "nobody knows how {} stands: {}",
                        restarts.unit, fault.message
                    ),
                    next: fault.next,
                },
            },
        };
        steps.push(taking_back(&steps, record, done, verdict));
    }
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Undo {
            of: record.run,
            only: match extent {
                Extent::All => None,
                Extent::Of(target) => Some(target.clone()),
            },
        },
        runbook: record.plan.runbook.clone(),
        summary: format!("Take run {} back", record.run),
        runbook_digest: record.plan.runbook_digest.clone(),
        params: record.plan.params.clone(),
        risk: record.plan.risk,
        cluster,
        actor: super::actor(),
        targets: record.plan.targets.clone(),
        steps,
        secrets: record.plan.secrets.clone(),
    };
    Ok(UndoPlan {
        plan,
        blobs,
        faults,
        unanswered,
    })
}

/// What of a step's evictions stays, whatever is taken back.
async fn stay_away(world: &World, record: &RunRecord, of: (&StepId, &Scope)) -> String {
    let here = |e: &&EffectRecord| (&e.id.step, &e.id.scope) == of && e.effect.evicts();
    let all: Vec<&EffectRecord> = record.to_take_back().filter(here).collect();
    let standing = all.into_iter().map(|done| async move {
        if done.state == EffectState::Done {
            return Some(Standing::After);
        }
        // Its intent is all that is known of it.
        let now = left_by(world, record, done).await.ok()?;
        Some(done.effect.standing(&now))
    });
    let standing: Vec<Option<Standing>> = stream::iter(standing)
        .buffered(PODS_AT_ONCE)
        .collect()
        .await;
    let count = |is: fn(&Option<Standing>) -> bool| standing.iter().filter(|s| is(s)).count();
    stays_away(
        count(|standing| matches!(standing, Some(Standing::After))),
        count(|standing| matches!(standing, Some(Standing::Before))),
        count(|standing| !matches!(standing, Some(Standing::After | Standing::Before))),
    )
}

fn stays_away(gone: usize, there: usize, unknown: usize) -> String {
    let mut said = Vec::new();
    match gone {
        0 => {}
        1 => said.push(
            "the pod that was evicted does not come back: its controller, if it has one, has made another"
                .to_owned(),
        ),
        n => said.push(format!(
            "the {n} pods that were evicted do not come back: their controllers, where they have one, have made others"
        )),
    }
    match there {
        0 => {}
        1 => said.push("the pod whose eviction was cut short is still there".to_owned()),
        n => said.push(format!(
            "the {n} pods whose evictions were cut short are still there"
        )),
    }
    match unknown {
        0 => {}
        1 => said.push("of 1 pod nobody knows whether it was evicted".to_owned()),
        n => said.push(format!(
            "of {n} pods nobody knows whether they were evicted"
        )),
    }
    said.join("; ")
}

/// The step that takes one effect back.
fn taking_back(
    earlier: &[PlannedStep],
    record: &RunRecord,
    done: &EffectRecord,
    verdict: Verdict,
) -> PlannedStep {
    let planned = record.plan.step(&done.id.step, &done.id.scope);
    let name = planned.map_or("", |step| step.name.as_str());
    let id = unused(earlier, &done.id.step, &done.id.scope);
    let scope = done.id.scope.clone();
    PlannedStep::new(id, scope, &format!("Take back: {name}"), "undo", verdict)
}

/// The step that leaves one effect as it is, which is meant to stay.
fn staying(
    earlier: &[PlannedStep],
    record: &RunRecord,
    done: &EffectRecord,
    why: String,
) -> PlannedStep {
    PlannedStep {
        keep: Some(why.clone()),
        ..taking_back(earlier, record, done, Verdict::NoChange { why })
    }
}

/// What is there once the earlier steps of the undo are done: a run may have written the same field
/// twice, and each is taken back from what the other leaves.
pub(crate) fn after(now: Now, inverse: &Effect, earlier: &[PlannedStep]) -> Now {
    earlier
        .iter()
        .flat_map(|step| step.verdict.effects())
        .filter(|effect| match (effect.subject(), inverse.subject()) {
            (Subject::Object(one), Subject::Object(other)) => one.same(other),
            (one, other) => one == other,
        })
        .fold(now, |now, effect| effect.done_to(now))
}

/// What is overwritten by force can be put back as well.
async fn keep_what_is_there(
    look: &Look<'_>,
    over: &Effect,
    blobs: &mut Blobs,
) -> Result<(), Fault> {
    let Effect::PutFile { file, before, .. } = over else {
        return Ok(());
    };
    // It is kept when its turn comes.
    if over.kept_late().is_some() {
        return Ok(());
    }
    let reading = look.file(file, &OwnerNames::default()).await?;
    let same = |content: &Vec<u8>| before.content() == Some(&Digest::of(content));
    match (before.content(), reading.content) {
        (None, _) => Ok(()),
        (Some(_), Some(content)) if same(&content) => {
            blobs.insert(content);
            Ok(())
        }
        _ => Err(Fault::refused(
            "not_kept",
            format!(
                "{file} is too large to be kept, or is being written just now: it is not overwritten"
            ),
        )
        .next("put that one right by hand, and take the rest back without --force")),
    }
}

/// A step's id that no earlier step at the same place has: one step may have had several effects,
/// and each is taken back by itself.
fn unused(steps: &[PlannedStep], id: &StepId, scope: &Scope) -> StepId {
    let taken = |name: &StepId| {
        steps
            .iter()
            .any(|step| step.id == *name && step.scope == *scope)
    };
    let mut name = id.clone();
    let mut n = 2;
    while taken(&name) {
        name = id.nth(n);
        n += 1;
    }
    name
}

/// What a plan said would not be put back is left alone, even where it could be written.
fn lasting(planned: &PlannedStep) -> Option<Verdict> {
    match planned.verdict.undo() {
        Some(UndoClass::None { why }) => Some(Verdict::NoChange {
            why: format!("it is left as it is: {why}"),
        }),
        _ => None,
    }
}

/// `inverse` puts back what was before the run; `forced` does so over a state that nobody expected.
/// Fields that others have written since are left alone, and the rest is put back.
pub(crate) fn take_back(
    done: &EffectRecord,
    inverse: Effect,
    forced: Option<Effect>,
    now: &Now,
) -> Vec<Verdict> {
    let left = |why: String| Verdict::Refused {
        why: format!("it is no longer what the run left, so it is left alone: {why}"),
        next: None,
    };
    let narrowed = inverse.narrowed(now);
    let verdict = match (inverse.standing(now), forced, narrowed) {
        (Standing::After, ..) if done.state == EffectState::Open => Verdict::NoChange {
            why: "it is as it was before the run, which never learned whether it had changed it"
                .to_owned(),
        },
        (Standing::After, ..) => Verdict::NoChange {
            why: "it is already as it was before the run".to_owned(),
        },
        (Standing::Other { .. }, None, _) if holds_more(&inverse, now) => Verdict::NoChange {
            why: "it is in use, and stays until the next boot, as the plan said".to_owned(),
        },
        (Standing::PutBack { fault }, ..) => Verdict::NoChange { why: fault.message },
        (Standing::Other { .. } | Standing::Unclear { .. }, Some(forced), _) => {
            change(forced, now, "as somebody left it")
        }
        (Standing::Unclear { why }, None, _) if is_own(&inverse) => Verdict::Refused {
            why: format!("it is no longer what the run left, so it is left alone: {why}"),
            next: Some(
                "put it right by hand: `--force` does not overwrite it either, as it could not be put back"
                    .to_owned(),
            ),
        },
        (Standing::Unclear { why }, None, _) => Verdict::Refused {
            why: format!("nobody can tell how much of it was done: {why}"),
            next: Some("look there; `--force` runs its `undo` whatever there is".to_owned()),
        },
        (Standing::Other { now: why }, None, Some((part, strange))) => {
            let named: Vec<String> = strange.iter().map(ToString::to_string).collect();
            let why = left(format!("{why} (left alone: {})", named.join(", ")));
            return match &part {
                Effect::SetFields { fields, .. } if !fields.is_empty() => {
                    vec![change(part, now, "as the run left it"), why]
                }
                _ => vec![why],
            };
        }
        (Standing::Other { now: why }, None, None) => left(why),
        (Standing::Before, ..) => change(inverse, now, "as the run left it"),
    };
    vec![verdict]
}

/// Whether what the run left is there still, and something uses it: a module of the kernel.
fn holds_more(inverse: &Effect, now: &Now) -> bool {
    matches!((inverse, now), (Effect::PutSetting { before, .. }, Now::Setting(now))
        if now.is_more_than(before))
}

/// Whether it is a program of ours.
fn is_own(effect: &Effect) -> bool {
    matches!(effect, Effect::RunProgram { programs } if programs.own.is_some())
}

fn change(effect: Effect, now: &Now, before_is: &str) -> Verdict {
    let pods = match now {
        Now::Object(Some(object)) => object
            .pointer("/status/desiredNumberScheduled")
            .or_else(|| object.pointer("/spec/replicas"))
            .and_then(Value::as_i64)
            .filter(|pods| *pods > 0),
        _ => None,
    };
    let follows = match (effect.rolls_pods(), pods) {
        (true, Some(pods)) => vec![format!(
            "its controller replaces up to {pods} pods; that is not waited for, as a fault that comes back may hold it up"
        )],
        _ => Vec::new(),
    };
    Verdict::Change {
        details: details(&effect, before_is),
        predicted: match &effect {
            Effect::RunProgram { programs } if programs.own.is_none() => {
                Some("what it does is its author's word".to_owned())
            }
            _ => None,
        },
        undo: match &effect {
            Effect::RunProgram { programs } if programs.own.is_none() => UndoClass::BestEffort {
                lost: "it is done again by running its `apply`".to_owned(),
            },
            Effect::PutObject { after: None, .. } => UndoClass::BestEffort {
                lost:
                    "it is made again with a UID of its own, and without what was deleted with it"
                        .to_owned(),
            },
            _ => UndoClass::Exact,
        },
        effects: vec![effect],
        follows,
        heals: None,
    }
}

fn details(effect: &Effect, before_is: &str) -> Vec<Detail> {
    let detail = |subject: String, before: Option<String>, after: Option<String>| Detail {
        subject,
        before,
        before_is: before_is.to_owned(),
        after,
        after_is: "as it was before the run".to_owned(),
        lines: Vec::new(),
    };
    match effect {
        Effect::SetFields { object, fields } => {
            let shown =
                |value: &Option<Value>| value.as_ref().map(|v| crate::model::value_text(Some(v)));
            fields
                .iter()
                .map(
                    |FieldChange {
                         path,
                         before,
                         after,
                     }| {
                        detail(format!("{object}: {path}"), shown(before), shown(after))
                    },
                )
                .collect()
        }
        Effect::PutFile {
            file,
            before,
            after,
        } => {
            vec![detail(file.to_string(), before.words(), after.words())]
        }
        Effect::PutSetting {
            setting,
            before,
            after,
        } => {
            let words = |state: &SettingState| Some(state.to_string());
            vec![detail(setting.to_string(), words(before), words(after))]
        }
        Effect::RunProgram { programs } if programs.own.is_some() => programs
            .own
            .as_ref()
            .map(|own| own.does.clone())
            .unwrap_or_default(),
        Effect::RunProgram { programs } => vec![Detail {
            subject: format!("its `undo` is run on {}", programs.host.node),
            lines: indented(&programs.apply),
            ..Detail::default()
        }],
        Effect::PutObject {
            object,
            before,
            after,
            ..
        } => {
            let words = |side: &Option<Value>| side.as_ref().map(|_| "there".to_owned());
            let lines = after.as_ref().map(whole).unwrap_or_default();
            vec![Detail {
                lines,
                ..detail(object.to_string(), words(before), words(after))
            }]
        }
        Effect::ReplacePod { .. } | Effect::EvictPod { .. } => Vec::new(),
    }
}

/// All of an object that is made again.
fn whole(object: &Value) -> Vec<String> {
    let text = serde_yaml::to_string(object).unwrap_or_default();
    text.lines().map(|line| format!("+ {line}")).collect()
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
            if let Some((pod, _)) = look.pod_of(owner, node).await? {
                steps.push(restart(step, pod, owner, node));
            }
        }
    }
    Ok(steps)
}

fn restart(step: &PlannedStep, pod: ObjectRef, owner: &ObjectRef, node: &str) -> PlannedStep {
    let verdict = Verdict::Change {
        details: vec![Detail {
            subject: pod.to_string(),
            before: Some("runs".to_owned()),
            before_is: String::new(),
            after: Some("replaced by a new one".to_owned()),
            ..Detail::default()
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
    };
    let name = "Start it anew with what was put back";
    PlannedStep::new(step.id.clone(), step.scope.clone(), name, "undo", verdict)
}

#[cfg(test)]
mod tests;
