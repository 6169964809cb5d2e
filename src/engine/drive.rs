//! The machine's hands: asks the world what the machine wants to know, carries out what it has a
//! permit for, and lets the journal know first.

use super::machine::{Ask, End, Input, Machine};
use crate::actions::{Look, Patience, Place, World, step};
use crate::fault::{Class, Fault};
use crate::journal::{Event, Journal};
use crate::model::{
    Effect, Plan, PlanKind, Prior, Settled, Standing, StepId, rolled_out, seen_by_controller,
    succeeded,
};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the world is read again while it comes to rest.
const EVERY: Duration = Duration::from_secs(1);

/// Something that is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What there is yet to happen.
    pub what: String,
    pub since: Instant,
    /// Since when it holds, where it must hold for some time.
    pub holding: Option<(Instant, Duration)>,
}

/// Who watches a run: views, and nothing that acts.
pub trait Observer {
    fn event(&mut self, event: &Event);
    fn waiting(&mut self, waiting: &Waiting);
}

/// Becomes true when the operator wants the run to end.
pub type Stop = watch::Receiver<bool>;

/// Carries a plan out. The journal holds the start of the run already.
///
/// # Errors
/// Only where the journal fails: then nothing more is done, and what was done is in the journal.
pub async fn run(
    world: &World,
    journal: &mut Journal,
    plan: Plan,
    allowed: Vec<StepId>,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<End, Fault> {
    let mut machine = Machine::new(plan, allowed);
    // The object of the effect under way, as it was last read: what a write rests on.
    let mut now: Option<Value> = None;
    let mut input = Input::Begin;
    loop {
        if *stop.borrow() {
            machine.stop();
        }
        let turn = machine.on(input);
        for event in turn.records {
            observer.event(&event);
            journal.record(event);
        }
        input = match turn.ask {
            Ask::Look(effect) => match world.cluster.object(effect.object()).await {
                Ok(object) => {
                    now = object;
                    Input::Looked(Ok(effect.standing(now.as_ref())))
                }
                Err(fault) => Input::Looked(Err(fault)),
            },
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
                Input::Performed(world.cluster.perform(*permit, now.as_ref()).await)
            }
            Ask::Settle(effect) => {
                journal.flush()?;
                let ready = machine.plan().kind == PlanKind::Apply;
                Input::Settled(settle(world, &effect, ready, observer, stop.clone()).await)
            }
            Ask::Watch(at) => {
                journal.flush()?;
                Input::Settled(watch_step(world, machine.plan(), at, observer, stop.clone()).await)
            }
            Ask::End(end) => {
                journal.flush()?;
                return Ok(end);
            }
        };
    }
}

/// Waits until the world has come to rest after an effect. When a run is taken back (`ready` is
/// false), the state that comes back may be a faulty one, in which nothing becomes ready.
async fn settle(
    world: &World,
    effect: &Effect,
    ready: bool,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<(), Fault> {
    let patience = Patience::default();
    wait(patience, observer, stop, async || {
        let object = effect.object();
        match effect {
            Effect::ReplacePod { pod, owner, node } => {
                let namespace = pod.namespace.as_deref().unwrap_or("default");
                let pods = world
                    .cluster
                    .list(&format!(
                        "/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.nodeName%3D{node}"
                    ))
                    .await?;
                Ok(succeeded(&pods, pod, owner, node, ready))
            }
            Effect::SetFields { .. } => {
                let now = world.cluster.object(object).await?;
                match (effect.standing(now.as_ref()), &now) {
                    (Standing::After, Some(now)) if effect.rolls_pods() => Ok(if ready {
                        rolled_out(now)
                    } else {
                        seen_by_controller(now)
                    }),
                    (Standing::After, _) => Ok(Settled::Yes),
                    (Standing::Before, _) => Err(Fault::definite(
                        "taken_back",
                        format!("{object} was written, and is as it was before: something takes the change back"),
                    )),
                    (Standing::Other { now }, _) => Err(Fault::definite(
                        "overwritten",
                        format!("{object} was written, and something else wrote over it: {now}"),
                    )),
                }
            }
        }
    })
    .await
}

async fn watch_step(
    world: &World,
    plan: &Plan,
    at: usize,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<(), Fault> {
    let (Some(planned), Some(earlier)) = (plan.steps.get(at), plan.steps.get(..at)) else {
        return Err(Fault::internal("the plan has no such step"));
    };
    let made = step(&planned.uses, &planned.with).map_err(Fault::internal)?;
    wait(made.patience(), observer, stop, async || {
        let look = Look::new(world);
        let place = Place {
            scope: &planned.scope,
            targets: &plan.targets,
        };
        made.verify(&look, place, Prior { steps: earlier }).await
    })
    .await
}

/// Reads again and again until what is expected holds, for as long as it must. What cannot be
/// reached for a while is waited for like anything else.
async fn wait(
    patience: Patience,
    observer: &mut dyn Observer,
    mut stop: Stop,
    read: impl AsyncFn() -> Result<Settled, Fault>,
) -> Result<(), Fault> {
    let since = Instant::now();
    let mut holds_since: Option<Instant> = None;
    loop {
        let settled = match read().await {
            Ok(settled) => settled,
            Err(fault) if fault.class == Class::Unreachable => Settled::NotYet(fault.message),
            Err(fault) => return Err(fault),
        };
        let what = match settled {
            Settled::Yes => {
                let begun = *holds_since.get_or_insert_with(Instant::now);
                if begun.elapsed() >= patience.settle {
                    return Ok(());
                }
                "it holds".to_owned()
            }
            Settled::NotYet(what) => {
                holds_since = None;
                what
            }
        };
        if since.elapsed() >= patience.within {
            return Err(Fault::definite(
                "timeout",
                format!(
                    "it did not come about within {} s: {what}",
                    patience.within.as_secs()
                ),
            ));
        }
        observer.waiting(&Waiting {
            what,
            since,
            holding: holds_since.map(|begun| (begun, patience.settle)),
        });
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            Ok(_) = stop.wait_for(|stop| *stop) => {
                return Err(Fault::refused("stopped", "stopped by the operator while waiting"));
            }
        }
    }
}
