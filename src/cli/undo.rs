//! `runbook undo`

use super::Global;
use super::again::SecretFiles;
use super::carry::{Carried, Holding, Start, Undos, begin, lasting};
use super::claims::{Claims, OtherRuns, settle};
use super::confirm::{Confirmation, Gates};
use super::exit::Exit;
use super::plan::lacking;
use crate::actions::World;
use crate::fault::{Class, Fault};
use crate::journal::{RunRecord, StateDir, StepResult};
use crate::model::{Effect, Now, Plan, PlanKind, ProgramNow, RunId, Verdict};
use crate::plan::{Extent, UndoPlan, undo_plan};
use crate::views::{clean, inform, render_by_hand, render_plan, to_people};
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
    /// Also overwrite what is no longer as the run left it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    others: OtherRuns,
    #[command(flatten)]
    secrets: SecretFiles,
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
        let run = state.find(run)?;
        // While it goes on, there is nothing that could be taken back for good.
        let held = state.hold(run)?;
        let record = state.read(run)?;
        let secrets = self.secrets.to_take_back(&state, &record)?;
        let mut claims = self.others.claims(&state)?;
        claims.take_back(&record, &Undos::of(&state)?);
        let world = global.world().await?;
        world.hosts.know(secrets);
        let outcome = self.undo(&world, &state, &record, &claims).await;
        drop(held);
        // Nothing of it is left that somebody would have to look after.
        if matches!(outcome, Ok(Exit::Done))
            && record.claim.is_some()
            && !self.dry_run
            && let Err(fault) = settle(&world, &state, run).await
        {
            inform!(
                "What it had claimed is not let go yet: {}.",
                clean(&fault.message)
            );
        }
        world.hosts.close().await;
        outcome
    }

    async fn undo(
        &self,
        world: &World,
        state: &StateDir,
        record: &RunRecord,
        claims: &Claims<'_>,
    ) -> Result<Exit, Fault> {
        let UndoPlan {
            plan,
            blobs,
            faults,
            unanswered,
        } = undo_plan(world, state, record, &Extent::All, self.force).await?;
        if plan.steps.is_empty() {
            let did = match record.to_take_back().count() {
                0 => "changed nothing: there is nothing to take back",
                _ => "did nothing that could be put back, as its plan said",
            };
            inform!("Run {} {did}.", record.run);
            return Ok(Exit::Done);
        }
        to_people(&render_plan(&plan));
        let refused = plan.steps.iter().filter(|s| s.verdict.is_refused()).count();
        if plan.changes() == 0 {
            if let Some(fault) = unanswered {
                let message = format!("nothing can be taken back now: {}", fault.message);
                let (left, next) = match fault.class {
                    Class::Unreachable => (
                        Fault::unreachable("undo_unanswered", message),
                        Some("try again once it answers"),
                    ),
                    _ => (Fault::refused("undo_left", message), None),
                };
                return Err(match fault.next.as_deref().or(next) {
                    Some(next) => left.next(next),
                    None => left,
                });
            }
            if refused > 0 {
                return Err(Fault::refused(
                    "undo_left",
                    "nothing can be taken back: everything was left alone, as the plan shows",
                )
                .next(
                    "look at what is there now; --force overwrites what others have changed since",
                ));
            }
            match lasting(&plan).next() {
                None => inform!("Everything is as it was before the run. Nothing was written."),
                Some(_) => inform!("There is nothing to put back; what stays is shown above."),
            }
            return Ok(Exit::Done);
        }
        let faults = match record.plan.kind {
            PlanKind::Apply => faults,
            PlanKind::Undo { .. } => Vec::new(),
        };
        if !faults.is_empty() {
            inform!(
                "This brings back the fault that the run had healed: {}.",
                clean(&faults.join("; "))
            );
        }
        if let Some(fault) = lacking(world, &plan).await? {
            return Err(fault);
        }
        if self.dry_run {
            claims.warn(world, &plan).await?;
            inform!("Dry run: nothing was written.");
            return Ok(Exit::Done);
        }
        if !self.confirmation.ask(&plan, &[])? {
            return Err(Fault::refused(
                "declined",
                "not confirmed: nothing was done",
            ));
        }
        let start = Start {
            plan: plan.clone(),
            blobs: &blobs,
            allowed: Vec::new(),
            reason: self.reason.clone(),
            runbook_text: &record.runbook_text,
            included: record.included.clone(),
            runbook: None,
            gates: &Gates::default(),
        };
        let sat = begin(world, state, start, claims).await?;
        conclude_undo(world, state, sat, &plan, record.run, &faults).await
    }
}

/// The end of an undo: its last words, what is left and how it is put right by hand, and the exit
/// code.
pub async fn conclude_undo(
    world: &World,
    state: &StateDir,
    (carried, holding): (Carried, Holding),
    plan: &Plan,
    of: RunId,
    faults: &[String],
) -> Result<Exit, Fault> {
    let part = match carried.end.left {
        0 => "",
        _ => " in part",
    };
    let stays: Vec<String> = lasting(plan).map(|step| format!("`{}`", step.id)).collect();
    let stays = match stays.is_empty() {
        true => String::new(),
        false => format!(", but for what stays: {}", stays.join(", ")),
    };
    carried.summary(
        carried.record(state).as_ref(),
        &format!("Run {of} is taken back{part}{stays}."),
    );
    if carried.succeeded() && !faults.is_empty() {
        inform!(
            "The fault that it had healed is back: {}.",
            clean(&faults.join("; "))
        );
    }
    if !carried.succeeded() || carried.end.left > 0 {
        say_what_is_left(world, state, carried.run, of, plan).await;
    }
    carried.ways();
    holding.close(world, &carried).await;
    Ok(Exit::of_run(&carried.end))
}

/// Every change that was not put back, in which state it is, and how a person puts it back.
pub async fn say_what_is_left(
    world: &World,
    state: &StateDir,
    undo: RunId,
    of: RunId,
    plan: &Plan,
) {
    let carried_left = plan.steps.iter().any(|step| step.verdict.is_refused());
    let ended = state
        .read(undo)
        .map(|record| record.steps)
        .unwrap_or_default();
    let put_back = |step: &crate::model::PlannedStep| {
        ended.iter().any(|(id, scope, result)| {
            (id, scope) == (&step.id, &step.scope) && !matches!(result, StepResult::Failed { .. })
        })
    };
    let mut lines = String::new();
    for step in plan.steps.iter().filter(|step| !put_back(step)) {
        for effect in step.verdict.effects() {
            let now = match effect {
                Effect::RunProgram { programs } if programs.check.is_none() => {
                    let why = "it has no `check`".to_owned();
                    Ok(Now::Program(ProgramNow::Unclear(why)))
                }
                effect => world.now(effect).await,
            };
            let now = now.as_ref().map_err(|fault| fault.message.as_str());
            lines.push_str(&render_by_hand(effect, now, &state.blobs(undo)));
        }
        if let Verdict::Refused { why, .. } = &step.verdict {
            lines.push_str(&format!(
                "  - {} ({}): {}\n",
                step.id,
                step.scope,
                clean(why)
            ));
        }
    }
    if !lines.is_empty() {
        to_people(&format!("Not taken back:\n{lines}"));
        if carried_left {
            inform!("  To overwrite what is there now: runbook undo {of} --force");
        }
        inform!("  What run {of} did: runbook history show {of}");
    }
}

/// The latest runs, as the answer to an undo that names none.
fn latest(state: &StateDir) -> Result<Fault, Fault> {
    let mut lines = Vec::new();
    for run in state.list()?.into_iter().take(5) {
        lines.push(match state.read(run) {
            Ok(record) => {
                let kind = match record.plan.kind {
                    PlanKind::Apply => "",
                    PlanKind::Undo { .. } => "undo of ",
                };
                format!(
                    "{run} ({kind}{} on {})",
                    record.plan.runbook,
                    record.plan.target_names()
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
