//! The hands of a drain: one watch, many requests, shared commits.

use super::super::claim::Claim;
use super::super::draining::{Draining, Evicting, Moment};
use super::super::machine::Drained;
use super::{API_PATIENCE, Limits, Observer, Stop, Until, Waiting, may_write, take_down, wait};
use crate::actions::{Eviction, Place, World, step};
use crate::drain::{Budget, Daemons, Loss, OnBlocked, Pod, PodUid, no_longer, uncordoned};
use crate::fault::Fault;
use crate::journal::{EffectRecord, Event, Journal, JournalError, Permit};
use crate::model::{Effect, EffectId, Plan, PlannedStep, Risk, Settled};
use crate::transport::{Evicted, PodNews, PodsOf};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is said how it stands.
const SAY: Duration = Duration::from_secs(1);
/// How often it is looked whether the kubelets of pods that do not end are there.
const NODES: Duration = Duration::from_secs(10);

/// What is evicted.
pub struct Evictions {
    /// The position of the step.
    pub at: usize,
    pub begun: Vec<EffectRecord>,
    pub attempts: BTreeMap<String, u32>,
    pub until: Option<Until>,
}

/// The journal failed in the middle of a drain.
#[derive(Debug)]
pub struct Broken {
    pub error: JournalError,
    /// The evictions that were made, or may have been.
    pub made: Vec<EffectId>,
}

/// # Errors
/// Only where the journal fails.
pub async fn drain(
    (world, claim): (&World, Option<&Claim>),
    journal: &mut Journal,
    plan: &Plan,
    evictions: Evictions,
    observer: &mut dyn Observer,
    stop: Stop,
) -> Result<Drained, Broken> {
    let Evictions {
        at,
        begun,
        attempts,
        until,
    } = evictions;
    let prepared = match plan.steps.get(at) {
        None => Err(Fault::internal("the plan has no such step")),
        Some(planned) => prepare(world, plan, planned, (until, stop.clone()), observer).await,
    };
    let (eviction, evicting) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => {
            return Ok(Drained {
                made: Vec::new(),
                attempts,
                left: Vec::new(),
                result: Err(fault),
            });
        }
    };
    let mut draining = Draining::new(evicting, &begun, attempts);
    let node = match &eviction.pods {
        PodsOf::Node(name) => Some(name.clone()),
        _ => None,
    };
    let work = Work {
        world,
        claim,
        observer: &mut *observer,
        stop: stop.clone(),
        begun: Instant::now(),
    };
    let result = match work.run(&mut draining, eviction, journal).await {
        Ok(result) => result,
        Err(error) => {
            let made = draining.broken();
            return Err(Broken { error, made });
        }
    };
    let result = match (result, node) {
        (Ok(()), Some(name)) => stayed_cordoned(world, &name, (until, stop), observer).await,
        (result, _) => result,
    };
    let left = draining.left();
    let (made, attempts) = draining.into_made();
    Ok(Drained {
        made,
        attempts,
        left,
        result,
    })
}

/// What is to be known before the first eviction.
async fn prepare(
    world: &World,
    plan: &Plan,
    planned: &PlannedStep,
    (until, stop): (Option<Until>, Stop),
    observer: &mut dyn Observer,
) -> Result<(Eviction, Evicting), Fault> {
    let made = step(&planned.uses, &planned.with).map_err(Fault::internal)?;
    let eviction = made.eviction(Place {
        scope: &planned.scope,
        targets: &plan.targets,
        identity: &planned.identity,
        untrusted: None,
    })?;
    // What is forced was confirmed as such.
    if eviction.options.on_blocked == OnBlocked::Force && plan.risk != Risk::High {
        let why = "pods are deleted over their budgets, and this was not confirmed as a high risk";
        return Err(Fault::refused("not_confirmed", why).next("make a new plan, and confirm that"));
    }
    let (daemons, budgets) = look_again(world, &eviction.pods, (until, stop), observer).await?;
    let only = || -> BTreeSet<PodUid> {
        let effects = planned.verdict.effects().iter();
        effects
            .filter_map(|effect| match effect {
                Effect::EvictPod { pod, .. } => Some(pod.uid.clone()),
                _ => None,
            })
            .collect()
    };
    let left = until.map(|until| until.at.saturating_duration_since(Instant::now()));
    let evicting = Evicting {
        step: planned.id.clone(),
        scope: planned.scope.clone(),
        place: eviction.place.clone(),
        options: eviction.options.clone(),
        only: (!eviction.newcomers).then(only),
        daemons,
        budgets,
        seen: seen(plan, planned),
        within: [left, eviction.within].into_iter().flatten().min(),
    };
    Ok((eviction, evicting))
}

/// How long an API server that does not answer is waited for.
fn for_api(until: Option<Until>) -> Limits {
    Limits {
        until,
        within: API_PATIENCE,
        settle: Duration::ZERO,
        while_it_moves: false,
        every: Duration::from_secs(2),
    }
}

/// Reads what protects pods, and whether a node is as it was when this was planned: its turn may have come long
/// after that. An API server that does not answer is waited for.
async fn look_again(
    world: &World,
    pods: &PodsOf,
    (until, stop): (Option<Until>, Stop),
    observer: &mut dyn Observer,
) -> Result<(Daemons, Vec<Budget>), Fault> {
    let read = Mutex::new(None);
    wait(for_api(until), observer, stop, async || {
        let node = async {
            let PodsOf::Node(name) = pods else {
                return Ok(None);
            };
            Ok(no_longer(&world.drain_nodes().await?, name))
        };
        let (protection, changed) = futures::try_join!(world.protection(), node)?;
        if let Some(why) = changed {
            let next = "make a new plan, and look what changed";
            return Err(Fault::refused("drift", why).next(next));
        }
        if let Ok(mut read) = read.lock() {
            *read = Some(protection);
        }
        Ok(Settled::Yes)
    })
    .await?;
    let read = read.into_inner().ok().flatten();
    read.ok_or_else(|| Fault::internal("nobody knows what protects the pods"))
}

/// Reads once more that a node takes no pods: it is empty, and stays so only then.
async fn stayed_cordoned(
    world: &World,
    name: &str,
    (until, stop): (Option<Until>, Stop),
    observer: &mut dyn Observer,
) -> Result<(), Fault> {
    let look = async || match uncordoned(&world.drain_nodes().await?, name) {
        None => Ok(Settled::Yes),
        Some(why) => {
            let next = "cordon it, and make a new plan: pods may have come since";
            Err(Fault::refused("drift", why).next(next))
        }
    };
    // All are gone: whoever stops the run meanwhile is told so all the same.
    match look().await {
        Ok(_) => Ok(()),
        Err(fault) if fault.code == "drift" => Err(fault),
        Err(_) => wait(for_api(until), observer, stop, look).await,
    }
}

/// Losses that the plan showed of this step; and data that may have come with pods from nodes that were drained
/// before. What nothing makes again does not come from elsewhere.
fn seen(plan: &Plan, planned: &PlannedStep) -> BTreeSet<String> {
    let own = planned.verdict.effects().iter().flat_map(Effect::loses);
    let moved = plan.effects().flat_map(Effect::loses);
    let moved = moved.filter(|loss| *loss == Loss::EmptyDir.as_str());
    own.chain(moved).map(str::to_owned).collect()
}

struct Work<'w> {
    world: &'w World,
    claim: Option<&'w Claim>,
    observer: &'w mut dyn Observer,
    stop: Stop,
    begun: Instant,
}

impl Work<'_> {
    fn now(&self) -> Moment {
        Moment {
            since: self.begun.elapsed(),
            at: Timestamp::now(),
        }
    }

    async fn run(
        self,
        draining: &mut Draining,
        eviction: Eviction,
        journal: &mut Journal,
    ) -> Result<Result<(), Fault>, JournalError> {
        let world = self.world;
        let mut following = world.cluster.follow(eviction.pods);
        let mut flying = FuturesUnordered::new();
        let send = |uid: PodUid, permit: Permit| async move {
            let answer = world.cluster.evict(&permit).await;
            (uid, permit, answer)
        };
        let mut said = self.begun;
        let mut looked = self.begun;
        let mut looking = FuturesUnordered::new();
        let mut stop = self.stop.clone();
        loop {
            if *stop.borrow() {
                draining.stop();
            }
            let turn = draining.turn(self.now());
            for event in turn.records {
                take_down(event, self.observer, journal);
            }
            if let Some(end) = turn.end {
                journal.flush()?;
                return Ok(end);
            }
            // Long after its intent, others may have taken what it is about.
            let first = turn.intend.first().map(|(_, effect)| effect);
            let first = first.or_else(|| turn.send.first().map(|(_, permit)| permit.effect()));
            if let Some(effect) = first
                && let Err(fault) = may_write(world, self.claim, effect).await
            {
                draining.break_off(fault.clone());
                for (uid, permit) in turn.send {
                    let now = self.now();
                    draining.answered(now, &uid, permit, Evicted::Refused(fault.clone()));
                }
                for (id, _) in turn.intend {
                    draining.not_intended(&id);
                }
                continue;
            }
            for (uid, permit) in turn.send {
                flying.push(send(uid, permit));
            }
            if !turn.intend.is_empty() {
                for (id, effect) in &turn.intend {
                    self.observer.event(&Event::Intent {
                        id: id.clone(),
                        effect: effect.clone(),
                    });
                }
                draining.permitted(journal.intend_all(turn.intend)?);
                continue;
            }
            let wake = turn.wake.map(|wake| self.begun + wake);
            let say = said + SAY;
            tokio::select! {
                Some((uid, permit, answer)) = flying.next(), if !flying.is_empty() => {
                    draining.answered(self.now(), &uid, permit, answer);
                }
                news = following.next() => self.heard(draining, news),
                // Where that cannot be read, the pods are said to take long, which is true.
                Some(nodes) = looking.next(), if !looking.is_empty() => {
                    if let Ok(nodes) = nodes {
                        draining.nodes(nodes);
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or(say).min(say)) => {}
                Ok(_) = stop.wait_for(|stop| *stop), if !*self.stop.borrow() => {}
            }
            let now = Instant::now();
            if now >= say {
                said = now;
                self.observer.waiting(&Waiting {
                    what: draining.said(self.now()),
                    since: self.begun,
                    holding: None,
                });
                let due = now >= looked + NODES && looking.is_empty();
                if due && draining.asks_for_nodes(self.now()) {
                    looked = now;
                    looking.push(world.drain_nodes());
                }
            }
        }
    }

    fn heard(&self, draining: &mut Draining, news: PodNews) {
        let now = self.now();
        match news {
            PodNews::All(pods) => draining.listed(now, pods.iter().filter_map(Pod::new).collect()),
            PodNews::Is(pod) => {
                if let Some(pod) = Pod::new(&pod) {
                    draining.is(now, pod);
                }
            }
            PodNews::Gone(pod) => {
                if let Some(pod) = Pod::new(&pod) {
                    draining.gone(pod.uid());
                }
            }
            PodNews::Silent(fault) => draining.silent(now, fault),
        }
    }
}
