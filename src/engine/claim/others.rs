//! Others at the same targets: who has them, whether they are still there, and whether they give way.

use super::taken::Taken;
use crate::actions::World;
use crate::fault::{API_SILENT, Fault};
use crate::model::{
    Effect, HostRef, LEASE_SECONDS, Lease, Plan, PlannedStep, RunId, Scope, Sitting,
};
use crate::transport::Claimable;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether a target is free by now.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long it is watched whether a Lease is renewed, before another takes its place: clocks differ, and
/// its holder may write for as long as it lasts.
const WATCH: Duration = Duration::from_secs(LEASE_SECONDS + 5);

/// Runs whose claims give way.
#[derive(Debug, Clone, Default)]
pub struct GivingWay {
    /// Runs that are gone on with, taken back or given up: theirs are taken over once they are not there
    /// any more.
    pub over: Vec<RunId>,
    /// Those of them that the operator has given up by name.
    pub given_up: Vec<RunId>,
    /// Sittings of theirs that have certainly ended, as their journals are held.
    pub ended: Vec<(RunId, Sitting)>,
}

/// On what is claimed.
pub struct Terms<'t> {
    pub who: &'t GivingWay,
    /// Whether a sitting of another run has certainly ended.
    pub dead: Box<dyn Fn(RunId, Sitting) -> bool + Send + Sync + 't>,
    pub silent: &'t Silent,
}

impl Terms<'_> {
    /// Whether a sitting of a run has certainly ended.
    pub(super) fn dead(&self, run: RunId, sitting: Sitting) -> bool {
        self.who.ended.contains(&(run, sitting)) || (self.dead)(run, sitting)
    }
}

/// Leases that were watched and not renewed, each with its version then: each is watched once.
pub struct Silent {
    known: std::sync::Mutex<BTreeMap<String, String>>,
    /// Says that something is watched.
    tell: fn(),
}

impl Silent {
    pub fn new(tell: fn()) -> Self {
        Self {
            known: std::sync::Mutex::default(),
            tell,
        }
    }

    /// Whether nobody renews a Lease.
    async fn is(&self, world: &World, lease: &Lease) -> Result<bool, Fault> {
        let name = lease.holder.lease_name();
        let known = |silent: &Self| Some(silent.known.lock().ok()?.get(&name)? == &lease.version);
        if known(self) == Some(true) {
            return Ok(true);
        }
        (self.tell)();
        let begun = Instant::now();
        while begun.elapsed() < WATCH {
            tokio::time::sleep(LOOK_EVERY).await;
            match world.cluster.lease(&name).await? {
                Some(now) if now.version == lease.version => {}
                Some(_) => return Ok(false),
                None => return Ok(true),
            }
        }
        if let Ok(mut known) = self.known.lock() {
            known.insert(name, lease.version.clone());
        }
        Ok(true)
    }
}

/// The objects by which a plan's targets are claimed.
pub(super) fn objects(plan: &Plan) -> Vec<Claimable> {
    let mut objects: Vec<Claimable> = plan
        .targets
        .iter()
        .map(|target| Claimable::node(&target.name, target.uid().unwrap_or_default()))
        .collect();
    let for_all = |step: &PlannedStep| step.scope == Scope::Run && step.may_change();
    if plan.steps.iter().any(for_all) || plan.targets.is_empty() {
        objects.push(Claimable::cluster(&plan.cluster.uid));
    }
    objects
}

/// The hosts on which a plan is known to write.
pub(super) fn hosts(plan: &Plan) -> Vec<HostRef> {
    let mut hosts: Vec<HostRef> = Vec::new();
    for host in plan.effects().filter_map(Effect::on_host) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

/// How a Lease that has what is wanted stands.
pub(super) enum Stands {
    /// There is none.
    Gone,
    /// Its run gives way, as it is not there any more.
    GivesWay(Box<Lease>),
    Taken(Box<Taken>),
}

pub(super) async fn stands(
    world: &World,
    at: &str,
    name: &str,
    own: Option<RunId>,
    terms: &Terms<'_>,
) -> Result<Stands, Fault> {
    let Some(lease) = world.cluster.lease(name).await? else {
        return Ok(Stands::Gone);
    };
    let (run, sitting) = (lease.holder.run, lease.holder.sitting);
    let dead = terms.dead(run, sitting);
    let gives_way = terms.who.over.contains(&run) || own == Some(run);
    if gives_way && (dead || terms.silent.is(world, &lease).await?) {
        return Ok(Stands::GivesWay(Box::new(lease)));
    }
    let left = !gives_way && (dead || lease.is_over(Timestamp::now()));
    Ok(Stands::Taken(Box::new(Taken::by_lease(at, lease, left))))
}

/// Who has one of a plan's targets, if somebody has whose claim does not give way. Only reads. Where the
/// API server does not answer, nobody is known to.
pub async fn who_has(
    world: &World,
    plan: &Plan,
    own: Option<RunId>,
    terms: &Terms<'_>,
) -> Result<Option<Taken>, Fault> {
    if !plan.may_change() {
        return Ok(None);
    }
    for object in objects(plan) {
        let claim = match world.cluster.claim_of(&object).await {
            Err(fault) if fault.code == API_SILENT => {
                return who_has_hosts(world, plan, terms).await;
            }
            claim => claim?,
        };
        let Some(name) = claim else { continue };
        if let Stands::Taken(taken) = stands(world, &object.name, &name, own, terms).await? {
            return Ok(Some(*taken));
        }
    }
    Ok(None)
}

/// Who has one of a plan's hosts, while the API server does not answer.
async fn who_has_hosts(
    world: &World,
    plan: &Plan,
    terms: &Terms<'_>,
) -> Result<Option<Taken>, Fault> {
    for host in hosts(plan) {
        let at = world.inventory.destination(&host.node);
        let Some(by) = world.hosts.claim_of(&at, &host).await? else {
            continue;
        };
        let dead = terms.dead(by.run, by.sitting);
        let who = terms.who;
        let gives_way = who.given_up.contains(&by.run) || dead && who.over.contains(&by.run);
        if !gives_way {
            return Ok(Some(Taken::by_host(&host.node, by, dead, false)));
        }
    }
    Ok(None)
}

/// Waits until nobody else has a plan's targets, for at most `wait`; `tell` hears what is waited for.
/// Whether it had to wait: then what the plan rests on may have changed.
pub async fn wait_until_free(
    world: &World,
    plan: &Plan,
    own: Option<RunId>,
    terms: &Terms<'_>,
    wait: Duration,
    tell: &mut (dyn FnMut(&Taken, Duration) + Send),
) -> Result<bool, Fault> {
    let since = Instant::now();
    let mut waited = false;
    while let Some(taken) = who_has(world, plan, own, terms).await? {
        // One that was left will not be free by itself.
        if taken.left || since.elapsed() >= wait {
            return Err(taken.fault(since.elapsed()));
        }
        tell(&taken, since.elapsed());
        waited = true;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(waited)
}
