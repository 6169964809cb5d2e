//! The machine's hands: asks the world what the machine wants to know, carries out what it has a
//! permit for, and lets the journal know first.

mod draining;

use super::claim::Claim;
use super::machine::{Ask, End, Input, Machine};
use crate::actions::{Look, Patience, Place, World, step};
use crate::calico::Rendered;
use crate::fault::{API_SILENT, Class, Fault, TIMEOUT};
use crate::journal::{Event, Journal, JournalError, StepResult};
use crate::model::{
    Blobs, Content, Effect, Now, Plan, PlanKind, PlannedStep, Prior, Settled, Standing, StepId,
    Subject, gone, rolled_out, seen_by_controller, succeeded,
};
use crate::plan::{Gate, decide_now, found_so_far, question};
use crate::runbook::Runbook;
use crate::transport::MayMoveOn;
use async_trait::async_trait;
use draining::{Broken, Evictions, drain};
use serde_json::{Map, Value};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Something that is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What there is yet to happen.
    pub what: String,
    pub since: Instant,
    /// Since when it holds, where it must hold for some time.
    pub holding: Option<(Instant, Duration)>,
}

/// Whether to go on, with what was found so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub step: StepId,
    pub message: String,
    pub found: Vec<String>,
}

/// Who watches a run and is asked: views and prompts, and nothing that acts.
#[async_trait]
pub trait Observer: Send {
    fn event(&mut self, event: &Event);
    fn waiting(&mut self, waiting: &Waiting);
    /// Whether to go on.
    async fn ask(&mut self, question: &Question) -> Result<bool, Fault>;
}

/// How long an API server that does not answer is waited for where a step does not say.
const API_PATIENCE: Duration = Duration::from_secs(120);

/// Becomes true when the operator wants the run to end.
pub type Stop = watch::Receiver<bool>;

/// Carries a machine's plan out; `runbook` is what it was planned from, for what is decided only on the
/// way. Gives the end, and the plan with what was decided on the way. The journal holds the start of the run already. Where the journal
/// fails, nothing more is done; the intent of all that was done is in it.
pub async fn run(
    (world, claim): (&World, Option<&Claim>),
    journal: &mut Journal,
    mut machine: Machine,
    runbook: Option<&Runbook>,
    observer: &mut dyn Observer,
    stop: Stop,
) -> (End, Plan) {
    let end = match drive(
        (world, claim),
        journal,
        &mut machine,
        runbook,
        observer,
        stop,
    )
    .await
    {
        Ok(end) => end,
        Err(error) => {
            let end = machine.broke(error.into());
            observer.event(&Event::RunEnded {
                ending: end.ending.clone(),
                fault: end.fault.clone(),
            });
            end
        }
    };
    (end, machine.plan().clone())
}

/// # Errors
/// Only where the journal fails.
async fn drive(
    (world, claim): (&World, Option<&Claim>),
    journal: &mut Journal,
    machine: &mut Machine,
    runbook: Option<&Runbook>,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<End, JournalError> {
    // Until when the step under way may take.
    let mut until: Option<Until> = None;
    // The subject of the effect under way, as it was last read: what a write rests on.
    let mut now: Option<Now> = None;
    let mut input = Input::Begin;
    // How long an API server that does not answer is waited for at most.
    let mut patience = Duration::MAX;
    let who = format!("run {} of {}", journal.run(), machine.plan().actor);
    loop {
        if *stop.borrow() {
            machine.stop();
        }
        let turn = machine.on(input);
        for event in turn.records {
            match &event {
                Event::StepStarted { step, scope } => {
                    let step = machine.plan().step(step, scope);
                    until = step.and_then(|step| step.timeout).map(Until::within);
                }
                Event::StepEnded { result, .. } => {
                    until = None;
                    // It was waited for long enough: the next one only looks whether it is back.
                    if let StepResult::Unverified { .. } = result {
                        patience = Duration::from_secs(5);
                    }
                }
                _ => {}
            }
            take_down(event, observer, journal);
        }
        let mut seen = |effect: &Effect, looked: Result<Now, Fault>| {
            Input::Looked(looked.map(|found| {
                let standing = effect.standing(&found);
                now = Some(found);
                standing
            }))
        };
        input = match turn.ask {
            Ask::Look(effect) => {
                let may_move_on = || may_move_on(&stop, until);
                let found = look(world, journal, &effect, &may_move_on, observer).await;
                seen(&effect, found)
            }
            Ask::Find(id, effect) => {
                let key = id.key(journal.run());
                seen(&effect, world.at_rest(&effect, &key).await)
            }
            Ask::Intend(id, effect) => {
                let event = Event::Intent {
                    id: id.clone(),
                    effect: effect.clone(),
                };
                let permit = journal.intend(id, effect)?;
                observer.event(&event);
                Input::Permitted(Box::new(permit))
            }
            Ask::Perform(permit) => {
                let content = match permit.effect() {
                    Effect::PutFile { after, .. } => after.content(),
                    Effect::SetFields { .. }
                    | Effect::ReplacePod { .. }
                    | Effect::EvictPod { .. }
                    | Effect::PutSetting { .. }
                    | Effect::RunProgram { .. }
                    | Effect::PutObject { .. } => None,
                };
                let content = match content {
                    Some(digest) => journal.content(digest)?,
                    None => Content::Bytes(Vec::new()),
                };
                let id = permit.id().clone();
                let key = id.key(journal.run());
                let who = format!("{who}, step {}", id.step);
                let sensitive = matches!(permit.effect(),
                    Effect::RunProgram { programs } if programs.sensitive);
                let waits = world.hosts.waits();
                let (performed, printed) = match may_write(world, claim, permit.effect()).await {
                    Ok(()) => {
                        let now = now.as_ref();
                        let may_move_on = || may_move_on(&stop, until);
                        let content = (&content, &may_move_on as &MayMoveOn<'_>);
                        let performing = world.perform(*permit, now, content, &key, &who);
                        telling(performing, waits, observer).await
                    }
                    Err(fault) => (Err(fault), Vec::new()),
                };
                let applied = printed.iter().find(|ran| ran.name == "apply");
                let found = match (&performed, applied) {
                    (Ok(()), Some(ran)) if !sensitive => ran.found(),
                    _ => Map::new(),
                };
                if !found.is_empty()
                    && let Some(event) = machine.learn(found)
                {
                    take_down(event, observer, journal);
                }
                for ran in printed.into_iter().filter(|_| !sensitive) {
                    let event = Event::Printed {
                        id: id.clone(),
                        ran,
                    };
                    take_down(event, observer, journal);
                }
                Input::Performed(performed)
            }
            Ask::Settle(effect) => {
                journal.flush()?;
                let ready = machine.plan().kind == PlanKind::Apply;
                let within = settling(machine.plan(), &effect);
                let stop = stop.clone();
                let settled = settle(world, &effect, ready, (within, until), observer, stop);
                Input::Settled(settled.await)
            }
            Ask::Watch(at) => {
                journal.flush()?;
                let stop = stop.clone();
                let watched = watch_step(world, machine.plan(), at, until, observer, stop).await;
                Input::Settled(match watched {
                    Ok(outputs) if outputs.is_empty() => Ok(()),
                    Ok(outputs) => {
                        if let Some(event) = machine.learn(outputs) {
                            take_down(event, observer, journal);
                        }
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                })
            }
            Ask::Decide(at) => {
                journal.flush()?;
                let decided = match runbook {
                    None => Err(no_runbook()),
                    Some(runbook) => {
                        let stop = stop.clone();
                        let limits = (until, patience, stop);
                        decide(world, runbook, machine, at, limits, observer).await
                    }
                };
                if decided.is_ok() {
                    patience = Duration::MAX;
                }
                Input::Decided(decided.and_then(|decided| kept(journal, decided)))
            }
            Ask::Confirm(at) => {
                journal.flush()?;
                let asked = match runbook {
                    None => Err(no_runbook()),
                    Some(runbook) => {
                        question(world, runbook, machine.plan(), at, machine.ended()).await
                    }
                };
                match asked {
                    Err(fault) => Input::Answered(Err(fault)),
                    Ok(Gate::Idle(steps)) => Input::Decided(Ok(steps)),
                    Ok(Gate::Ask(message)) => {
                        let (answer, event) = confirm(machine.plan(), at, message, observer).await;
                        if let Some(event) = event {
                            take_down(event, observer, journal);
                        }
                        Input::Answered(answer)
                    }
                }
            }
            Ask::Drain(at, begun, attempts) => {
                journal.flush()?;
                let evictions = Evictions {
                    at,
                    begun,
                    attempts,
                    until,
                };
                let plan = machine.plan();
                let stop = stop.clone();
                let drained = drain((world, claim), journal, plan, evictions, observer, stop);
                match drained.await {
                    Ok(drained) => Input::Drained(drained),
                    Err(Broken { error, made }) => {
                        machine.may_have_evicted(made);
                        return Err(error);
                    }
                }
            }
            Ask::Rest(at) => {
                journal.flush()?;
                Input::Rested(rest(machine.plan(), at, until, stop.clone()).await)
            }
            Ask::End(end) => {
                journal.flush()?;
                return Ok(end);
            }
        };
    }
}

/// Keeps what the steps need that were decided. Where that cannot be had, as a file of this machine is
/// another by now or there is no room, they are not decided; the journal is well.
fn kept(
    journal: &mut Journal,
    (steps, blobs): (Vec<PlannedStep>, Blobs),
) -> Result<Vec<PlannedStep>, Fault> {
    journal.keep(&blobs)?;
    Ok(steps)
}

/// Holds that what is large may be moved on: until all of it is there, nothing has changed.
fn may_move_on(stop: &Stop, until: Option<Until>) -> Result<(), Fault> {
    if *stop.borrow() {
        let message =
            "stopped by the operator while a large file was on its way; nothing was done with it";
        return Err(Fault::refused("stopped", message).next("`runbook resume` goes on from there"));
    }
    match until.filter(|until| Instant::now() >= until.at) {
        Some(until) => {
            Err(until.fault("a large file is on its way, and nothing was done with it yet"))
        }
        None => Ok(()),
    }
}

/// Reads what an effect is yet to be done to. Bytes that it overwrites and that were too many for the plan
/// are kept now.
async fn look(
    world: &World,
    journal: &Journal,
    effect: &Effect,
    may_move_on: &MayMoveOn<'_>,
    observer: &mut dyn Observer,
) -> Result<Now, Fault> {
    let now = world.now(effect).await?;
    let (Some((digest, size)), Standing::Before) = (effect.kept_late(), effect.standing(&now))
    else {
        return Ok(now);
    };
    if journal.has(digest) {
        return Ok(now);
    }
    let mut keeping = journal.keep_pieces(digest, size)?;
    let waits = world.hosts.waits();
    let reading = world.old_content(effect, |piece| {
        may_move_on()?;
        Ok(keeping.add(piece)?)
    });
    telling(reading, waits, observer).await?;
    if keeping.end()? {
        return Ok(now);
    }
    // Somebody wrote it meanwhile: what it has become counts.
    let now = world.now(effect).await?;
    match effect.standing(&now) {
        Standing::Before => Err(not_kept(effect)),
        _ => Ok(now),
    }
}

fn not_kept(effect: &Effect) -> Fault {
    Fault::refused(
        "not_kept",
        format!(
            "{} was written while it was read: it could not be put back, and is not overwritten",
            effect.subject()
        ),
    )
    .next("see what writes it, and try again once it rests")
}

/// Holds that nobody else has what an effect is done to.
async fn may_write(world: &World, claim: Option<&Claim>, effect: &Effect) -> Result<(), Fault> {
    match claim {
        Some(claim) => claim.may_write(world, effect).await,
        None => Err(Fault::internal(format!(
            "nothing was claimed, and {} was to be written",
            effect.subject()
        ))),
    }
}

/// Tells what is waited for while something is done.
async fn telling<T>(
    doing: impl Future<Output = T>,
    mut waits: watch::Receiver<String>,
    observer: &mut dyn Observer,
) -> T {
    let mut doing = pin!(doing);
    let mut since = None;
    loop {
        tokio::select! {
            done = &mut doing => return done,
            Ok(()) = waits.changed() => {}
            () = tokio::time::sleep(Duration::from_secs(1)), if since.is_some() => {}
        }
        observer.waiting(&Waiting {
            what: waits.borrow_and_update().clone(),
            since: *since.get_or_insert_with(Instant::now),
            holding: None,
        });
    }
}

/// Tells what happened, and writes it down.
fn take_down(event: Event, observer: &mut dyn Observer, journal: &mut Journal) {
    observer.event(&event);
    journal.record(event);
}

/// Decides a step by what there is now. An API server that does not answer is waited for, for as long as
/// the step has patience: it may be what the steps before have just healed.
async fn decide(
    world: &World,
    runbook: &Runbook,
    machine: &Machine,
    at: usize,
    (until, most, stop): (Option<Until>, Duration, Stop),
    observer: &mut dyn Observer,
) -> Result<(Vec<PlannedStep>, Blobs), Fault> {
    let planned = machine.plan().steps.get(at);
    let made = planned.and_then(|planned| step(&planned.uses, &planned.with).ok());
    let unanswered = planned.is_some_and(|planned| planned.only_reads);
    let limits = Limits {
        until,
        within: made
            .map_or(API_PATIENCE, |made| made.patience().within)
            .min(most),
        settle: Duration::ZERO,
        while_it_moves: false,
        every: Duration::from_secs(2),
    };
    let decided = Mutex::new(None);
    wait(limits, observer, stop, async || {
        let now = decide_now(world, runbook, machine.plan(), at, machine.ended()).await;
        match now {
            Err(fault) if fault.code == API_SILENT => Err(fault),
            // One that has just started does not know all rights yet.
            Err(fault) if unanswered && fault.code == "api_forbidden" => Err(fault),
            now => {
                if let Ok(mut decided) = decided.lock() {
                    *decided = Some(now);
                }
                Ok(Settled::Yes)
            }
        }
    })
    .await?;
    let decided = decided.into_inner().ok().flatten();
    decided.unwrap_or_else(|| Err(Fault::internal("nothing was decided")))
}

/// Until when a step may take.
#[derive(Debug, Clone, Copy)]
struct Until {
    at: Instant,
    seconds: u64,
}

impl Until {
    fn within(seconds: u64) -> Self {
        Self {
            at: Instant::now() + Duration::from_secs(seconds),
            seconds,
        }
    }

    fn fault(self, what: &str) -> Fault {
        let message = format!("its `timeout` of {} s is over: {what}", self.seconds);
        Fault::definite(TIMEOUT, message)
            .next("look what holds it up; a new plan shows how it stands")
    }
}

fn no_runbook() -> Fault {
    Fault::internal("there is no runbook by which it could be decided")
}

/// Asks whether to go on at a gate, and gives what is written down of it.
async fn confirm(
    plan: &Plan,
    at: usize,
    message: String,
    observer: &mut dyn Observer,
) -> (Result<bool, Fault>, Option<Event>) {
    let Some(gate) = plan.steps.get(at) else {
        return (Err(Fault::internal("there is no such step")), None);
    };
    let question = Question {
        step: gate.id.clone(),
        message: message.clone(),
        found: found_so_far(plan, at),
    };
    let answer = observer.ask(&question).await;
    let event = answer.as_ref().ok().map(|yes| Event::Asked {
        step: gate.id.clone(),
        scope: gate.scope.clone(),
        message,
        yes: *yes,
    });
    (answer, event)
}

/// Lets the time pass until a step is tried again.
async fn rest(plan: &Plan, at: usize, until: Option<Until>, mut stop: Stop) -> Result<(), Fault> {
    let every = plan.steps.get(at).and_then(|step| step.retry);
    let every = Duration::from_secs(every.map_or(0, |retry| retry.every));
    if let Some(until) = until.filter(|until| Instant::now() + every >= until.at) {
        return Err(until.fault("there is no time left for another attempt"));
    }
    tokio::select! {
        () = tokio::time::sleep(every) => Ok(()),
        Ok(_) = stop.wait_for(|stop| *stop) => Err(stopped()),
    }
}

/// The operator has stopped what was waited for.
pub fn stopped() -> Fault {
    Fault::refused("stopped", "stopped by the operator while waiting")
        .next("what was begun goes on by itself")
}

/// How long the world may stand still after an effect before that counts as a failure.
fn settling(plan: &Plan, effect: &Effect) -> Duration {
    plan.steps
        .iter()
        .find(|planned| planned.verdict.effects().contains(effect))
        .and_then(|planned| step(&planned.uses, &planned.with).ok())
        .and_then(|made| made.settling())
        .unwrap_or(Duration::from_secs(300))
}

/// Waits until the world has come to rest after an effect. When a run is taken back (`ready` is
/// false), the state that comes back may be a faulty one, in which nothing becomes ready.
async fn settle(
    world: &World,
    effect: &Effect,
    ready: bool,
    (within, until): (Duration, Option<Until>),
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<(), Fault> {
    let limits = Limits {
        until,
        within,
        settle: Duration::ZERO,
        while_it_moves: true,
        every: Duration::from_secs(1),
    };
    let read = async || {
        match effect {
            // It was looked at again under the same lock under which it was done.
            Effect::PutFile { .. } | Effect::PutSetting { .. } | Effect::RunProgram { .. } => {
                Ok(Settled::Yes)
            }
            // Nobody waits for one of many.
            Effect::EvictPod { .. } => Ok(Settled::Yes),
            Effect::ReplacePod { pod, owner, node } => {
                let namespace = pod.namespace.as_deref().unwrap_or("default");
                let pods = world.cluster.pods_on(namespace, node).await?;
                Ok(succeeded(&pods, pod, owner, node, ready))
            }
            Effect::SetFields { .. } | Effect::PutObject { .. } => {
                let settled = written(effect, &world.now(effect).await?, ready)?;
                match Rendered::of(effect) {
                    Some(rendered) if settled == Settled::Yes => {
                        by_operator(world, &rendered, ready).await
                    }
                    _ => Ok(settled),
                }
            }
        }
    };
    // Whoever stops the run lets the step under way end: what has settled is not waited for.
    if *stop.borrow() && matches!(read().await, Ok(Settled::Yes)) {
        return Ok(());
    }
    wait(limits, observer, stop, read).await
}

/// Whether Calico's operator has brought what stands in its Installation to calico-node.
async fn by_operator(world: &World, rendered: &Rendered, ready: bool) -> Result<Settled, Fault> {
    let look = Look::new(world);
    let node = &look.install().await?.node;
    if !rendered.is_in(node) {
        return Ok(Settled::NotYet(format!(
            "Calico's operator has not brought it to {} yet",
            node.object
        )));
    }
    let now = world.cluster.object(&node.object).await?;
    Ok(match now {
        Some(now) if ready => rolled_out(&node.object.kind, &now),
        Some(now) => seen_by_controller(&now),
        None => Settled::NotYet(format!("{} is gone", node.object)),
    })
}

/// Whether fields that were written are still so, and what follows from them has happened.
fn written(effect: &Effect, now: &Now, ready: bool) -> Result<Settled, Fault> {
    let object = effect.subject();
    let look = "look what else manages it; a new plan shows how it stands";
    match (effect.standing(now), now) {
        (Standing::After, Now::Object(Some(now))) if effect.rolls_pods() => {
            Ok(match effect.subject() {
                Subject::Object(workload) if ready => rolled_out(&workload.kind, now),
                _ => seen_by_controller(now),
            })
        }
        (Standing::After, Now::Object(now)) if effect.deletes() => {
            Ok(match (effect.subject(), now) {
                (Subject::Object(object), Some(now)) => gone(object, now),
                _ => Settled::Yes,
            })
        }
        (Standing::After, _) => Ok(Settled::Yes),
        (Standing::Before, _) => Err(Fault::definite(
            "taken_back",
            format!(
                "{object} was written, and is as it was before: something takes the change back"
            ),
        )
        .next(look)),
        (Standing::Other { now } | Standing::Unclear { why: now }, _) => Err(Fault::definite(
            "overwritten",
            format!("{object} was written, and something else wrote over it: {now}"),
        )
        .next(look)),
        (Standing::PutBack { fault }, _) => Err(fault),
    }
}

async fn watch_step(
    world: &World,
    plan: &Plan,
    at: usize,
    until: Option<Until>,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<Map<String, Value>, Fault> {
    let (Some(planned), Some(earlier)) = (plan.steps.get(at), plan.steps.get(..at)) else {
        return Err(Fault::internal("the plan has no such step"));
    };
    let made = step(&planned.uses, &planned.with).map_err(Fault::internal)?;
    let Patience { within, settle } = made.patience();
    let limits = Limits {
        until,
        within,
        settle,
        while_it_moves: false,
        every: Duration::from_secs(2),
    };
    let except = planned.verdict.except();
    let found = Mutex::new(Map::new());
    wait(limits, observer, stop, async || {
        let look = Look::new(world);
        let place = Place {
            scope: &planned.scope,
            targets: &plan.targets,
            identity: &planned.identity,
            // What runs now was confirmed.
            untrusted: None,
        };
        let prior = Prior { steps: earlier };
        let verified = made.verify(&look, place, prior, except).await?;
        if let Ok(mut found) = found.lock() {
            *found = verified.outputs;
        }
        Ok(verified.settled)
    })
    .await?;
    Ok(found.into_inner().unwrap_or_default())
}

/// How long is waited, and how often looked.
#[derive(Debug, Clone, Copy)]
struct Limits {
    within: Duration,
    /// How long it must hold without a break.
    settle: Duration,
    /// Whether the time counts anew with every step forward: a fleet takes as long as it takes.
    while_it_moves: bool,
    every: Duration,
    /// When all is over, whatever moves.
    until: Option<Until>,
}

/// Reads again and again until what is expected holds, for as long as it must. What cannot be
/// reached for a while is waited for like anything else; what holds when the time is up may go on to
/// hold.
async fn wait(
    limits: Limits,
    observer: &mut dyn Observer,
    mut stop: Stop,
    read: impl AsyncFn() -> Result<Settled, Fault>,
) -> Result<(), Fault> {
    let since = Instant::now();
    let mut counts_from = since;
    let mut last = String::new();
    let mut holds_since: Option<Instant> = None;
    let mut longest = Duration::ZERO;
    // Why nothing can be seen just now.
    let mut silent: Option<Fault>;
    loop {
        // What only reads can be broken off at any moment.
        let looked = tokio::select! {
            biased;
            looked = read() => looked,
            Ok(_) = stop.wait_for(|stop| *stop) => return Err(stopped()),
        };
        silent = None;
        let settled = match looked {
            Ok(settled) => settled,
            // An API server that has just started does not know all rights yet.
            Err(fault) if fault.class == Class::Unreachable || fault.code == "api_forbidden" => {
                let what = fault.message.clone();
                silent = Some(fault).filter(|fault| fault.code != "host_lost");
                Settled::NotYet(what)
            }
            Err(fault) => return Err(fault),
        };
        let what = match settled {
            Settled::Yes => {
                let begun = *holds_since.get_or_insert_with(Instant::now);
                if begun.elapsed() >= limits.settle {
                    return Ok(());
                }
                "it holds".to_owned()
            }
            Settled::NotYet(what) => {
                if let Some(begun) = holds_since.take() {
                    longest = longest.max(begun.elapsed());
                }
                if limits.while_it_moves && silent.is_none() && what != last {
                    counts_from = Instant::now();
                }
                if counts_from.elapsed() >= limits.within {
                    return Err(silent.unwrap_or_else(|| timeout(limits, longest, &what)));
                }
                if let Some(until) = limits.until.filter(|until| Instant::now() >= until.at) {
                    return Err(until.fault(&what));
                }
                last.clone_from(&what);
                what
            }
        };
        observer.waiting(&Waiting {
            what,
            since,
            holding: holds_since.map(|begun| (begun, limits.settle)),
        });
        tokio::select! {
            () = tokio::time::sleep(limits.every) => {}
            Ok(_) = stop.wait_for(|stop| *stop) => return Err(stopped()),
        }
    }
}

fn timeout(limits: Limits, longest: Duration, what: &str) -> Fault {
    let within = limits.within.as_secs();
    let mut message = match limits.while_it_moves {
        true => format!("nothing has moved for {within} s: {what}"),
        false => format!("it did not come about within {within} s: {what}"),
    };
    if !longest.is_zero() {
        message.push_str(&format!(
            "; it had held for {} s of the {} s needed",
            longest.as_secs(),
            limits.settle.as_secs()
        ));
    }
    Fault::definite(TIMEOUT, message)
        .next("look what holds it up; it may yet come about by itself, and a new plan shows how it stands")
}

#[cfg(test)]
mod tests;
