//! Who else works on a run's targets: waiting for them, or taking over what they left.

use super::carry::Undos;
use crate::actions::World;
use crate::engine::{Claim, GivingWay, Silent, Taken, Terms, wait_until_free, who_has};
use crate::fault::Fault;
use crate::journal::{Held, Journal, RunRecord, StateDir};
use crate::model::{Plan, PlanKind, RunId, Sitting};
use crate::runbook::parse_duration;
use crate::views::{clean, inform, seconds};
use clap::Args;
use std::time::Duration;
use tokio::time::Instant;

/// How long a run waits before it says again what it waits for.
const SAY_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Args)]
pub struct OtherRuns {
    /// Wait for so long until nobody else works on the same targets (refused at once if left out)
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
    /// Give a run up that was cut short: what it did stays as it is, and its targets are free again; once
    /// for each
    #[arg(long, value_name = "RUN")]
    abandon: Vec<String>,
}

/// Whose claims give way to this run's, and how long it waits for others.
pub struct Claims<'s> {
    state: &'s StateDir,
    wait: Duration,
    who: GivingWay,
    /// Leases that were watched, and not renewed.
    silent: Silent,
    _held: Vec<Held>,
}

impl OtherRuns {
    pub fn claims<'s>(&self, state: &'s StateDir) -> Result<Claims<'s>, Fault> {
        let wait = match &self.wait {
            None => Duration::ZERO,
            Some(text) => parse_duration(text).ok_or_else(|| {
                Fault::input(
                    "duration",
                    format!("--wait is a duration such as 5m, and `{text}` is not"),
                )
            })?,
        };
        let mut claims = Claims {
            state,
            wait,
            who: GivingWay::default(),
            silent: Silent::new(|| {
                inform!("Watching for half a minute whether it is really gone.")
            }),
            _held: Vec::new(),
        };
        for name in &self.abandon {
            claims.abandon(name)?;
        }
        Ok(claims)
    }
}

impl Claims<'_> {
    /// Gives up a run, of which the journal may be elsewhere.
    fn abandon(&mut self, name: &str) -> Result<(), Fault> {
        let elsewhere = name.parse::<RunId>().ok();
        let run = match (self.state.find(name), elsewhere) {
            (Ok(run), _) => run,
            (Err(_), Some(run)) => {
                self.who.over.push(run);
                self.who.given_up.push(run);
                return Ok(());
            }
            (Err(e), None) => return Err(e.into()),
        };
        // Nobody goes on with it meanwhile.
        self._held.push(self.state.hold(run)?);
        let record = self.state.read(run)?;
        self.give_way(&record);
        if !self.who.over.contains(&run) {
            self.who.over.push(run);
        }
        self.who.given_up.push(run);
        Ok(())
    }

    /// The runs that are given up.
    pub fn given_up(&self) -> &[RunId] {
        &self.who.given_up
    }

    /// What a run still claims gives way whose journal is held here, and what the run claims that it takes
    /// back.
    pub fn give_way(&mut self, record: &RunRecord) {
        if let Some(sitting) = record.claim {
            self.who.over.push(record.run);
            // The journal of another machine tells nothing about whether that sitting has ended.
            if record.place == self.state.place() {
                self.who.ended.push((record.run, sitting));
            }
        }
        if let PlanKind::Undo { of, .. } = record.plan.kind {
            self.give_way_too(of);
        }
    }

    /// A run that is taken back gives way, with the runs that took it back in part.
    pub fn take_back(&mut self, record: &RunRecord, undos: &Undos) {
        self.give_way(record);
        undos
            .all_of(record.run)
            .for_each(|run| self.give_way_too(run));
    }

    /// What another run still claims gives way, as far as anybody knows.
    fn give_way_too(&mut self, run: RunId) {
        if self
            .state
            .read(run)
            .map_or(true, |record| record.claim.is_some())
        {
            self.who.over.push(run);
        }
    }

    fn is_dead(&self, run: RunId, sitting: Sitting) -> bool {
        // Its journal is here, it wrote this sitting down last, and nobody writes to it any more.
        self.state.read(run).is_ok_and(|record| {
            let here = record.claim == Some(sitting) && record.place == self.state.place();
            here && !self.state.is_under_way(run)
        })
    }

    /// On what this run claims its targets.
    pub fn terms(&self) -> Terms<'_> {
        Terms {
            who: &self.who,
            dead: Box::new(|run, sitting| self.is_dead(run, sitting)),
            silent: &self.silent,
        }
    }

    /// Waits until nobody else has the targets. Whether it had to.
    pub async fn wait(
        &self,
        world: &World,
        plan: &Plan,
        own: Option<RunId>,
    ) -> Result<bool, Fault> {
        let mut said: Option<Instant> = None;
        let mut tell = |taken: &Taken, waited: Duration| {
            if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                said = Some(Instant::now());
                let so_far = match waited.as_secs() {
                    0 => String::new(),
                    _ => format!(" (for {} so far)", seconds(waited)),
                };
                inform!("Waiting{so_far}: {}", clean(&taken.to_string()));
            }
        };
        wait_until_free(world, plan, own, &self.terms(), self.wait, &mut tell).await
    }

    /// Says who works on a plan's targets, where it is not carried out.
    pub async fn warn(&self, world: &World, plan: &Plan) -> Result<(), Fault> {
        if let Some(fault) = self.warning(world, plan).await? {
            inform!("Applying would be refused: {}.", clean(&fault.message));
        }
        Ok(())
    }

    /// What a plan says of those who work on its targets.
    pub async fn warning(&self, world: &World, plan: &Plan) -> Result<Option<Fault>, Fault> {
        let taken = who_has(world, plan, None, &self.terms()).await?;
        Ok(taken.map(|taken| taken.fault(Duration::ZERO)))
    }
}

/// Lets go what a run that is over still holds: it could not, or was cut short before it had done anything.
pub async fn settle(world: &World, state: &StateDir, run: RunId) -> Result<(), Fault> {
    let (mut journal, record) = Journal::reopen(state, run)?;
    let mut claims = OtherRuns::default().claims(state)?;
    claims.give_way(&record);
    let claim = Claim::take(world, &mut journal, &record.plan, None, &claims.terms()).await?;
    if let Some(claim) = claim {
        claim.let_go(world, &mut journal).await?;
    }
    Ok(())
}
