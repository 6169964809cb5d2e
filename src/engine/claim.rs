//! Claiming what a run works on, so that no two runs work on the same target at a time: one Lease for the
//! run, which is renewed, claims on its targets that point to it, and on each host the sitting for which
//! alone things begin there.

mod others;
mod pulse;
mod taken;

pub use others::{GivingWay, Silent, Terms, wait_until_free, who_has};
pub use taken::Taken;

use crate::actions::World;
use crate::fault::{API_SILENT, Fault, claim_lost};
use crate::journal::{ClaimPermit, Journal};
use crate::model::{Effect, Holder, HostRef, Plan, RunId, lease_name};
use crate::transport::{Claimable, Claimed};
use futures::{StreamExt, TryStreamExt, stream};
use others::{Stands, hosts, objects, stands};
use pulse::Pulse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// How many targets are claimed at a time.
const AT_ONCE: usize = 16;

/// What a run holds while it works. Dropped without a word, it stays as one of a run that was cut short.
pub struct Claim {
    permit: ClaimPermit,
    holder: Holder,
    who: GivingWay,
    objects: Vec<Claimable>,
    /// Whether all of them are.
    held: AtomicBool,
    /// Whether a write was refused, as the claims were lost.
    refused: AtomicBool,
    /// `None` while the API server does not answer: then only hosts are claimed.
    pulse: Mutex<Option<Pulse>>,
    hosts: Mutex<Vec<HostRef>>,
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
        // Whoever gives a run up takes its place, also where there is nothing to do.
        if !plan.may_change() && terms.who.given_up.is_empty() {
            return Ok(None);
        }
        let permit = journal.claim(terms.who.over.clone())?;
        let claim = Self {
            permit,
            holder: Holder::of(permit.run(), permit.sitting(), plan, reason),
            who: terms.who.clone(),
            objects: objects(plan),
            held: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            pulse: Mutex::new(None),
            hosts: Mutex::new(Vec::new()),
        };
        match claim.take_all(world, plan, terms).await {
            Ok(()) => Ok(Some(claim)),
            Err(fault) => {
                // What somebody left in the middle stays as it was found. Why it could not be claimed is
                // what is to be said.
                if claim.who.over.is_empty() {
                    let _ = claim.let_go(world, journal).await;
                }
                Err(fault)
            }
        }
    }

    async fn take_all(&self, world: &World, plan: &Plan, terms: &Terms<'_>) -> Result<(), Fault> {
        match self.take_in_cluster(world, terms).await {
            Err(fault) if fault.code == API_SILENT && only_hosts(plan) => {}
            other => other?,
        }
        let hosts = hosts(plan);
        stream::iter(&hosts)
            .map(|host| self.take_host(world, host, terms))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.clear(world, terms).await
    }

    /// Deletes the Leases of the runs from which this one takes over, to which nothing points any more.
    async fn clear(&self, world: &World, terms: &Terms<'_>) -> Result<(), Fault> {
        if !self.held.load(Ordering::Relaxed) {
            return Ok(());
        }
        let own = Some(self.permit.run());
        for run in &self.who.over {
            let name = lease_name(*run);
            if Some(*run) != own
                && let Stands::GivesWay(lease) = stands(world, "", &name, own, terms).await?
            {
                let deleted = world.cluster.delete_lease(self.permit, &name, &lease);
                deleted.await?;
            }
        }
        Ok(())
    }

    /// The Lease, and then the targets.
    async fn take_in_cluster(&self, world: &World, terms: &Terms<'_>) -> Result<(), Fault> {
        let cluster = &world.cluster;
        let name = self.holder.lease_name();
        let own = Some(self.permit.run());
        if self.pulse.lock().await.is_none() {
            let before = match stands(world, "its run", &name, own, terms).await? {
                Stands::Gone => None,
                Stands::GivesWay(lease) => Some(lease),
                Stands::Taken(taken) => return Err(taken.fault(Duration::ZERO)),
            };
            let held = cluster.hold_lease(self.permit, &self.holder, before.as_deref());
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
        }
        stream::iter(&self.objects)
            .map(|object| self.take_object(world, object, &name, terms))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.held.store(true, Ordering::Relaxed);
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
            let by = match put.await {
                // What is gone needs no claim; what was to be done to it will say so.
                Err(fault) if fault.code == "node_gone" && !self.who.over.is_empty() => {
                    return Ok(());
                }
                Err(fault) => return Err(fault),
                Ok(Claimed::Done) => return Ok(()),
                Ok(Claimed::By(by)) => by,
            };
            let own = Some(self.permit.run());
            match stands(world, &object.name, &by, own, terms).await? {
                Stands::Gone => over.push(by),
                // It cannot renew its Lease any more, before anything is taken from it.
                Stands::GivesWay(lease) => {
                    let deleted = world.cluster.delete_lease(self.permit, &by, &lease);
                    deleted.await?;
                    over.push(by);
                }
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
        let mut over: Vec<RunId> = Vec::new();
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
            let dead = terms.dead(by.run, by.sitting);
            let own = by.run == self.permit.run();
            let stands = match by.leased && leased && !own {
                true => Some(stands(world, &host.node, &lease_name(by.run), None, terms).await?),
                false => None,
            };
            let yields = own || terms.who.over.contains(&by.run);
            let gives_way = match &stands {
                // It let its targets go, and could not reach this host any more.
                Some(Stands::Gone) => true,
                Some(Stands::GivesWay(_)) => yields,
                Some(Stands::Taken(_)) => false,
                // Its own Lease was taken over, or nothing can be known but by whoever gives it up.
                None => dead && yields || own && leased || terms.who.given_up.contains(&by.run),
            };
            if gives_way && !over.contains(&by.run) {
                over.push(by.run);
                continue;
            }
            let known = stands.is_some();
            let left = dead || matches!(stands, Some(Stands::GivesWay(_)));
            return Err(Taken::by_host(&host.node, by, left, known).fault(Duration::ZERO));
        }
    }

    /// Holds that an effect may be begun: that this run still has what it is done to.
    pub async fn may_write(&self, world: &World, effect: &Effect) -> Result<(), Fault> {
        let silent = Silent::new(|| {});
        let terms = self.terms(&silent);
        let in_cluster = effect.on_object().is_some();
        let beating = match self.pulse.lock().await.as_ref() {
            Some(pulse) => pulse.may_write(in_cluster).await,
            None => Ok(()),
        };
        if let Err(fault) = beating {
            self.refused.store(true, Ordering::Relaxed);
            return Err(fault);
        }
        // The API server did not answer when the run began, and may by now.
        if in_cluster && !self.held.load(Ordering::Relaxed) {
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

    /// What it was claimed on, for what is claimed later.
    fn terms<'t>(&'t self, silent: &'t Silent) -> Terms<'t> {
        Terms {
            who: &self.who,
            dead: Box::new(|_, _| false),
            silent,
        }
    }

    /// Whether only hosts are claimed, as the API server does not answer.
    async fn is_alone(&self) -> bool {
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
        let silent = Silent::new(|| {});
        let terms = self.terms(&silent);
        // An earlier sitting may have had a Lease, although this one has none.
        let mut earlier = Ok(());
        if self.is_alone().await && !self.who.over.is_empty() {
            earlier = match self.take_in_cluster(world, &terms).await {
                Ok(()) => self.clear(world, &terms).await,
                Err(fault) => Err(fault),
            };
        }
        let name = self.holder.lease_name();
        let leased = match self.pulse.lock().await.take() {
            None => Ok(false),
            Some(pulse) => {
                let lost = pulse.end().await;
                let refused = self.refused.load(Ordering::Relaxed);
                let lost = || lost.unwrap_or_else(|| claim_lost("its Lease is another's by now"));
                // Whoever slept, and wrote nothing since, may still let go what nobody has taken.
                match world.cluster.own_lease(self.permit, &name).await {
                    Ok(Some(_)) if !refused => Ok(true),
                    Ok(_) => return Err(lost()),
                    Err(fault) => Err(fault),
                }
            }
        };
        // A host lets go only whom it knows.
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
        if !leased? {
            return earlier.and(left);
        }
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
}

/// Whether nothing of a plan is known to be done in the cluster.
fn only_hosts(plan: &Plan) -> bool {
    plan.effects().all(|effect| effect.on_object().is_none())
}
