//! `runbook undo`

use super::Global;
use super::apply::carry_out;
use super::confirm::Confirmation;
use super::exit::Exit;
use super::plan::lacking;
use crate::actions::World;
use crate::fault::Fault;
use crate::journal::StateDir;
use crate::model::{PlanKind, Verdict};
use crate::plan::{UndoPlan, undo_plan};
use crate::views::{clean, render_plan};
use clap::Args;

#[derive(Debug, Args)]
pub struct Undo {
    /// The run, as its last line named it, or a part of its id; without it, the latest are listed
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Show what would be put back and stop
    #[arg(long)]
    dry_run: bool,
    /// Why this is done; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Undo {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let state = global.state()?;
        let Some(run) = &self.run else {
            return Err(latest(&state)?);
        };
        let record = state.read(state.find(run)?)?;
        let world = global.world().await?;
        let outcome = self.undo(&world, &state, &record).await;
        world.hosts.close().await;
        outcome
    }

    async fn undo(
        &self,
        world: &World,
        state: &StateDir,
        record: &crate::journal::RunRecord,
    ) -> Result<Exit, Fault> {
        let UndoPlan { plan, faults } = undo_plan(world, record).await?;
        if plan.steps.is_empty() {
            eprintln!(
                "Run {} changed nothing: there is nothing to take back.",
                record.run
            );
            return Ok(Exit::Done);
        }
        eprint!("{}", render_plan(&plan));
        let refused = plan
            .steps
            .iter()
            .filter(|s| matches!(s.verdict, Verdict::Refused { .. }))
            .count();
        if plan.changes() == 0 {
            if refused > 0 {
                return Err(Fault::refused(
                    "undo_left",
                    "nothing is still as the run left it: everything was left alone",
                )
                .next("look at what is there now, and put it right by hand"));
            }
            eprintln!("Everything is as it was before the run. Nothing was written.");
            return Ok(Exit::Done);
        }
        if let Some(fault) = lacking(world, &plan).await? {
            return Err(fault);
        }
        if self.dry_run {
            eprintln!("Dry run: nothing was written.");
            return Ok(Exit::Done);
        }
        if !self.confirmation.ask(&plan)? {
            return Err(Fault::refused(
                "declined",
                "not confirmed: nothing was done",
            ));
        }
        let carried = carry_out(world, state, plan, Vec::new(), self.reason.clone(), "").await?;
        let part = match refused {
            0 => "",
            _ => " in part",
        };
        let exit = carried.summary(
            "written and read back",
            &format!("Run {} is taken back{part}.", record.run),
        );
        if carried.succeeded() && record.plan.kind == PlanKind::Apply && !faults.is_empty() {
            eprintln!(
                "The fault that it had healed is back: {}.",
                clean(&faults.join("; "))
            );
        }
        carried.way_back();
        Ok(exit)
    }
}

/// The latest runs, as the answer to an undo that names none.
fn latest(state: &StateDir) -> Result<Fault, Fault> {
    let mut lines = Vec::new();
    for run in state.list()?.into_iter().take(5) {
        lines.push(match state.read(run) {
            Ok(record) => {
                let nodes: Vec<&str> = record
                    .plan
                    .targets
                    .iter()
                    .map(|t| t.name.as_str())
                    .collect();
                let kind = match record.plan.kind {
                    PlanKind::Apply => "",
                    PlanKind::Undo { .. } => "undo of ",
                };
                format!(
                    "{run} ({kind}{} on {})",
                    record.plan.runbook,
                    nodes.join(", ")
                )
            }
            Err(e) => format!("{run} (cannot be read: {e})"),
        });
    }
    let fault = Fault::input("no_run", "which run is to be taken back?");
    Ok(match lines.is_empty() {
        true => fault.next("there are no runs yet"),
        false => fault.next(format!("the latest are {}", lines.join(", "))),
    })
}
