//! Claiming what a run works on, so that no two runs work on the same target at a time: one Lease for the
//! run, which is renewed, claims on its targets that point to it, and on each host the sitting for which
//! alone things begin there.

mod pulse;
mod taken;

pub use taken::Taken;

use crate::actions::World;
use crate::fault::{Class, Fault};
use crate::journal::{ClaimPermit, Journal};
use crate::model::{
    Effect, Holder, HostRef, Lease, Plan, PlannedStep, RunId, Scope, Sitting, lease_name,
};
use crate::transport::{Claimable, Claimed};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use pulse::Pulse;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How many targets are claimed at a time.
const AT_ONCE: usize = 16;
/// How often it is looked whether a target is free by now.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long it is watched that a Lease of another machine, which has run out by this machine's clock, is
/// really not renewed: clocks differ.
const WATCH: Duration = Duration::from_secs(12);

/// Whose claims give way.
pub struct Terms<'t> {
    /// Runs that are gone on with, taken back or given up: theirs are taken over once they are not there
    /// any more.
    pub over: Vec<RunId>,
    /// Whether a sitting of a run has certainly ended.
    pub dead: &'t (dyn Fn(RunId, Sitting) -> bool + Send + Sync),
}

/// What a run holds while it works. Dropped without a word, it stays as one of a run that was cut short.
pub struct Claim {
    permit: ClaimPermit,
    holder: Holder,
    over: Vec<RunId>,
    objects: Vec<Claimable>,
    /// `None` while the API server does not answer: then only hosts are claimed.
    pulse: Mutex<Option<Pulse>>,
    hosts: Mutex<Vec<HostRef>>,
}

/// The objects by which a plan's targets are claimed.
fn objects(plan: &Plan) -> Vec<Claimable> {
    let may_write = |step: &&PlannedStep| step.verdict.changes() || step.is_late();
    let mut objects: Vec<Claimable> = plan
        .targets
        .iter()
        .map(|target| {
            let uid = target.id.strip_prefix("node/").unwrap_or_default();
            Claimable::node(&target.name, uid)
        })
        .collect();
    let for_all = |step: &PlannedStep| step.scope == Scope::Run;
    if plan.steps.iter().filter(may_write).any(for_all) || plan.targets.is_empty() {
        objects.push(Claimable::cluster(&plan.cluster.uid));
    }
    objects
}

/// The hosts on which a plan is known to write.
fn hosts(plan: &Plan) -> Vec<HostRef> {
    let mut hosts: Vec<HostRef> = Vec::new();
    for host in plan.effects().filter_map(Effect::on_host) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

/// How a Lease that has what is wanted stands.
enum Stands {
    /// It is gone, or its run gives way.
    Free,
    Taken(Box<Taken>),
}

async fn stands(
    world: &World,
    at: &str,
    name: &str,
    own: Option<RunId>,
    terms: &Terms<'_>,
) -> Result<Stands, Fault> {
    let Some(lease) = world.cluster.lease(name).await? else {
        return Ok(Stands::Free);
    };
    let (run, sitting) = (lease.holder.run, lease.holder.sitting);
    let dead = lease.ended || (terms.dead)(run, sitting);
    let left = dead || lease.is_over(Timestamp::now());
    let gives_way = terms.over.contains(&run) || own == Some(run);
    if gives_way && (dead || left && is_silent(world, &lease).await?) {
        return Ok(Stands::Free);
    }
    let taken = Taken::by_lease(at, lease, left && !gives_way);
    Ok(Stands::Taken(Box::new(taken)))
}

/// Whether nobody renews a Lease.
async fn is_silent(world: &World, lease: &Lease) -> Result<bool, Fault> {
    if lease.silence(Timestamp::now()) > 20 * lease.lasts {
        return Ok(true);
    }
    tokio::time::sleep(WATCH).await;
    let now = world.cluster.lease(&lease.holder.lease_name()).await?;
    Ok(now.is_none_or(|now| now.version == lease.version))
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
            Err(fault) if fault.class == Class::Unreachable => return Ok(None),
            claim => claim?,
        };
        let Some(name) = claim else { continue };
        if let Stands::Taken(taken) = stands(world, &object.name, &name, own, terms).await? {
            return Ok(Some(*taken));
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

impl Claim {
    /// Claims all that a plan is known to write to; `None` where it writes nothing. What was claimed by
    /// then is let go where somebody else has one of it.
    pub async fn take(
        world: &World,
        journal: &mut Journal,
        plan: &Plan,
        reason: Option<&str>,
        terms: &Terms<'_>,
    ) -> Result<Option<Self>, Fault> {
        if !plan.may_change() {
            return Ok(None);
        }
        let permit = journal.claim(terms.over.clone())?;
        let claim = Self {
            permit,
            holder: Holder::of(permit.run(), permit.sitting(), plan, reason),
            over: terms.over.clone(),
            objects: objects(plan),
            pulse: Mutex::new(None),
            hosts: Mutex::new(Vec::new()),
        };
        match claim.take_all(world, plan, terms).await {
            Ok(()) => Ok(Some(claim)),
            Err(fault) => {
                // Why it could not be claimed is what is to be said.
                let _ = claim.let_go(world, journal).await;
                Err(fault)
            }
        }
    }

    async fn take_all(&self, world: &World, plan: &Plan, terms: &Terms<'_>) -> Result<(), Fault> {
        match self.take_in_cluster(world, terms).await {
            Err(fault) if fault.class == Class::Unreachable && only_hosts(plan) => {}
            other => other?,
        }
        let hosts = hosts(plan);
        stream::iter(&hosts)
            .map(|host| self.take_host(world, host, terms))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// The Lease, and then the targets.
    async fn take_in_cluster(&self, world: &World, terms: &Terms<'_>) -> Result<(), Fault> {
        let cluster = &world.cluster;
        let name = self.holder.lease_name();
        let own = Some(self.permit.run());
        let before = cluster.lease(&name).await?;
        if before.is_some()
            && let Stands::Taken(taken) = stands(world, "its run", &name, own, terms).await?
        {
            return Err(taken.fault(Duration::ZERO));
        }
        let held = cluster.hold_lease(self.permit, &self.holder, before.as_ref());
        let Some(version) = held.await? else {
            return Err(match cluster.lease(&name).await? {
                Some(lease) => Taken::by_lease("its run", lease, false).fault(Duration::ZERO),
                None => Fault::refused(
                    "claim_raced",
                    "somebody else takes and leaves the Lease of this run",
                ),
            });
        };
        let pulse = Pulse::begin(cluster.clone(), self.permit, name.clone(), version);
        *self.pulse.lock().await = Some(pulse);
        stream::iter(&self.objects)
            .map(|object| self.take_object(world, object, &name, terms))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        // All that pointed to them points to this run by now.
        for run in &self.over {
            let name = lease_name(*run);
            if let Some(lease) = cluster.lease(&name).await?
                && let Stands::Free = stands(world, "", &name, own, terms).await?
            {
                cluster.delete_lease(self.permit, &name, &lease).await?;
            }
        }
        Ok(())
    }

    async fn take_object(
        &self,
        world: &World,
        object: &Claimable,
        name: &str,
        terms: &Terms<'_>,
    ) -> Result<(), Fault> {
        let mut over: Vec<String> = Vec::new();
        loop {
            let put = world.cluster.put_claim(self.permit, object, name, &over);
            let by = match put.await? {
                Claimed::Done => return Ok(()),
                Claimed::By(by) => by,
            };
            let own = Some(self.permit.run());
            match stands(world, &object.name, &by, own, terms).await? {
                // It was seen to give way, and does so no more: it came back.
                Stands::Free if over.contains(&by) => {}
                Stands::Free => over.push(by),
                Stands::Taken(taken) => return Err(taken.fault(Duration::ZERO)),
            }
        }
    }

    async fn take_host(
        &self,
        world: &World,
        host: &HostRef,
        terms: &Terms<'_>,
    ) -> Result<(), Fault> {
        let at = world.inventory.destination(&host.node);
        let leased = self.pulse.lock().await.is_some();
        let mut over = terms.over.clone();
        loop {
            let claimed = world
                .hosts
                .claim(self.permit, &at, host, (&self.holder, leased), &over)
                .await?;
            let Some(by) = claimed else {
                let mut hosts = self.hosts.lock().await;
                if !hosts.contains(host) {
                    hosts.push(host.clone());
                }
                return Ok(());
            };
            let lease = match by.leased {
                true => Some(world.cluster.lease(&lease_name(by.run)).await),
                false => None,
            };
            let dead = (terms.dead)(by.run, by.sitting);
            let left = match lease {
                // It let its targets go, and could not reach this host any more.
                Some(Ok(None)) if !over.contains(&by.run) => {
                    over.push(by.run);
                    continue;
                }
                Some(Ok(Some(lease))) => dead || lease.is_over(Timestamp::now()),
                _ => dead,
            };
            return Err(Taken::by_host(&host.node, by, left).fault(Duration::ZERO));
        }
    }

    /// Holds that an effect may be begun: that this run still has what it is done to.
    pub async fn may_write(&self, world: &World, effect: &Effect) -> Result<(), Fault> {
        let terms = Terms {
            over: self.over.clone(),
            dead: &|_, _| false,
        };
        let in_cluster = effect.on_object().is_some();
        let beats = {
            let pulse = self.pulse.lock().await;
            match pulse.as_ref() {
                Some(pulse) => {
                    pulse.may_write(in_cluster).await?;
                    true
                }
                None => false,
            }
        };
        // The API server did not answer when the run began, and may by now.
        if in_cluster && !beats {
            self.take_in_cluster(world, &terms).await?;
        }
        if let Some(host) = effect.on_host() {
            let known = self.hosts.lock().await.contains(host);
            if !known {
                self.take_host(world, host, &terms).await?;
            }
        }
        Ok(())
    }

    /// Whether only hosts are claimed, as the API server does not answer.
    pub async fn is_alone(&self) -> bool {
        self.pulse.lock().await.is_none()
    }

    /// Lets all targets go.
    ///
    /// # Errors
    /// What cannot be let go now stays claimed, and the journal keeps it in mind.
    pub async fn let_go(self, world: &World, journal: &mut Journal) -> Result<(), Fault> {
        self.give_up(world).await?;
        Ok(journal.released(self.permit)?)
    }

    async fn give_up(&self, world: &World) -> Result<(), Fault> {
        let pulse = self.pulse.lock().await.take();
        let leased = pulse.is_some();
        if let Some(pulse) = pulse
            && let Some(lost) = pulse.end().await
        {
            return Err(lost);
        }
        let hosts = std::mem::take(&mut *self.hosts.lock().await);
        let released: Vec<Result<(), Fault>> = stream::iter(&hosts)
            .map(|host| async {
                let at = world.inventory.destination(&host.node);
                world.hosts.release(self.permit, &at, host).await
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let left = released.into_iter().collect::<Result<(), Fault>>();
        if !leased {
            return left;
        }
        let name = self.holder.lease_name();
        let dropped: Vec<Result<(), Fault>> = stream::iter(&self.objects)
            .map(|object| world.cluster.drop_claim(self.permit, object, &name))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        // As long as something points to it, it must say whose that is.
        dropped.into_iter().collect::<Result<(), Fault>>()?;
        world.cluster.drop_lease(self.permit, &name).await?;
        left
    }

    /// Leaves all targets claimed: what became of them is not known. Others are told that nobody is at it.
    pub async fn leave(self, world: &World) -> Result<(), Fault> {
        let Some(pulse) = self.pulse.lock().await.take() else {
            return Ok(());
        };
        match pulse.end().await {
            Some(lost) => Err(lost),
            None => {
                let name = self.holder.lease_name();
                world.cluster.end_lease(self.permit, &name).await
            }
        }
    }
}

/// Whether nothing of a plan is known to be done in the cluster.
fn only_hosts(plan: &Plan) -> bool {
    plan.effects().all(|effect| effect.on_object().is_none())
}
