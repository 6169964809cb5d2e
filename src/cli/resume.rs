//! `runbook resume`

use super::Global;
use super::again::SecretFiles;
use super::carry::{Undone, Undos, conclude, go_on};
use super::claims::{Claims, OtherRuns, settle};
use super::confirm::Gates;
use super::exit::Exit;
use super::plan::lacking;
use super::signals::run_begins;
use super::undo::conclude_undo;
use crate::actions::World;
use crate::fault::Fault;
use crate::journal::{Journal, RunRecord, StateDir};
use crate::model::PlanKind;
use crate::plan::same_cluster;
use crate::views::inform;
use clap::Args;

#[derive(Debug, Args)]
pub struct Resume {
    /// The run, as its first line named it, or a part of its id
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    gates: Gates,
    #[command(flatten)]
    others: OtherRuns,
    #[command(flatten)]
    secrets: SecretFiles,
    /// Why it is gone on with; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Resume {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let state = global.state()?;
        let run = state.find(&self.run)?;
        let record = state.read(run)?;
        if record.is_done() {
            inform!("Run {run} has come to its end: there is nothing to go on with.");
            if record.claim.is_some() {
                let world = global.world().await?;
                run_begins(run);
                let settled = settle(&world, &state, run).await;
                world.hosts.close().await;
                settled?;
                inform!("Its targets were still claimed by it; they are free now.");
            }
            return Ok(Exit::Done);
        }
        let (journal, record) = Journal::reopen(&state, run)?;
        // With the journal held, nobody begins to take it back any more.
        if let Some(Undone { by, done, .. }) = Undos::of(&state)?.of_run(run) {
            let fault = Fault::refused(
                "taken_back",
                match done {
                    true => format!("what run {run} did was taken back by run {by}"),
                    false => format!("what run {run} did is being taken back by run {by}"),
                },
            );
            return Err(match done {
                true => fault.next("plan and apply its runbook anew"),
                false => fault.next(format!("go on with that: runbook resume {by}")),
            });
        }
        let secrets = self.secrets.again(&state, &record)?;
        let mut claims = self.others.claims(&state)?;
        claims.give_way(&record);
        let world = global.world().await?;
        world.hosts.know(secrets);
        let outcome = self.resume(&world, &state, journal, &record, &claims).await;
        world.hosts.close().await;
        outcome
    }

    async fn resume(
        &self,
        world: &World,
        state: &StateDir,
        journal: Journal,
        record: &RunRecord,
        claims: &Claims<'_>,
    ) -> Result<Exit, Fault> {
        same_cluster(&world.cluster, record).await?;
        let plan = &record.plan;
        if let Some(fault) = lacking(world, plan).await? {
            return Err(fault);
        }
        claims.wait(world, plan, Some(record.run)).await?;
        let reason = self.reason.as_deref();
        let sat = go_on(world, journal, record, reason, &self.gates, claims).await?;
        match plan.kind {
            PlanKind::Apply => conclude(world, state, sat).await,
            PlanKind::Undo { of, .. } => conclude_undo(world, state, sat, plan, of, &[]).await,
        }
    }
}
