//! `runbook apply`

use super::confirm::Confirmation;
use super::exit::Exit;
use super::plan::{lacking, refusal};
use super::{Global, Subject};
use crate::actions::World;
use crate::engine::{End, run};
use crate::fault::Fault;
use crate::journal::{Ending, Event, Journal, StateDir};
use crate::model::{Plan, RunId, StepId, Verdict};
use crate::plan::{Request, plan};
use crate::views::{Live, clean, render_fault, render_plan, seconds};
use clap::Args;
use std::time::Instant;
use tokio::sync::watch;

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Carry out a step although what it will meet is unknown
    #[arg(long, value_name = "STEP")]
    allow_unknown: Vec<String>,
    /// Why this is done; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Apply {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let request = self.subject.request()?;
        let allowed = self.allowed(&request)?;
        let state = global.state()?;
        let world = global.world().await?;
        let outcome = self.apply(&world, &state, &request, allowed).await;
        world.hosts.close().await;
        outcome
    }

    /// The steps that may be unknown; each must be one of the runbook's.
    fn allowed(&self, request: &Request) -> Result<Vec<StepId>, Fault> {
        self.allow_unknown
            .iter()
            .map(|name| {
                let steps = &request.runbook.steps;
                steps
                    .iter()
                    .find(|step| step.id.as_str() == name)
                    .map(|step| step.id.clone())
                    .ok_or_else(|| {
                        let known: Vec<&str> = steps.iter().map(|s| s.id.as_str()).collect();
                        Fault::input(
                            "unknown_step",
                            format!("--allow-unknown {name}: there is no such step"),
                        )
                        .next(format!("the steps are {}", known.join(", ")))
                    })
            })
            .collect()
    }

    async fn apply(
        &self,
        world: &World,
        state: &StateDir,
        request: &Request,
        allowed: Vec<StepId>,
    ) -> Result<Exit, Fault> {
        let plan = plan(world, request).await?;
        eprint!("{}", render_plan(&plan));
        if let Some(refusal) = refusal(&plan) {
            return Err(refusal);
        }
        if let Some((step, why)) = plan.unknowns().find(|(s, _)| !allowed.contains(&s.id)) {
            return Err(Fault::refused(
                "step_unknown",
                format!("step `{}` is unknown: {why}", step.id),
            )
            .next(format!(
                "look into it; to do it all the same, add --allow-unknown {}",
                step.id
            )));
        }
        let idle = |v: &Verdict| matches!(v, Verdict::NoChange { .. });
        if plan.steps.iter().all(|step| idle(&step.verdict)) {
            eprintln!("Nothing to do. Nothing was written.");
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
        let heals = plan.heals().join("; ");
        let except: Vec<String> = plan
            .steps
            .iter()
            .flat_map(|step| step.verdict.except())
            .map(ToString::to_string)
            .collect();
        let carried = carry_out(
            world,
            state,
            plan,
            allowed,
            self.reason.clone(),
            &request.runbook.text,
        )
        .await?;
        let mut done = Vec::new();
        if !heals.is_empty() {
            done.push(format!("No longer so: {heals}."));
        }
        if !except.is_empty() {
            done.push(format!("Not looked at: {}.", except.join(", ")));
        }
        let exit = carried.summary("verified", &done.join(" "));
        carried.way_back();
        Ok(exit)
    }
}

/// A run that is over.
pub struct Carried {
    run: RunId,
    end: End,
    took: std::time::Duration,
}

/// Opens the journal and carries the plan out.
pub async fn carry_out(
    world: &World,
    state: &StateDir,
    plan: Plan,
    allowed: Vec<StepId>,
    reason: Option<String>,
    runbook_text: &str,
) -> Result<Carried, Fault> {
    let id = RunId::generate();
    let started = Instant::now();
    let mut journal = Journal::create(
        state,
        id,
        Event::RunStarted {
            run: id,
            plan: Box::new(plan.clone()),
            reason,
            runbook_text: runbook_text.to_owned(),
        },
    )?;
    let mut live = Live::new(&plan);
    eprintln!("\nRun {id}");
    let stop = stop_on_signal();
    let end = run(world, &mut journal, plan, allowed, &mut live, stop).await;
    Ok(Carried {
        run: id,
        end,
        took: started.elapsed(),
    })
}

/// The first Ctrl-C lets the step under way end; the second ends the program at once.
fn stop_on_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let mut asked = false;
        while tokio::signal::ctrl_c().await.is_ok() {
            if asked {
                std::process::exit(Exit::Interrupted as i32);
            }
            asked = true;
            eprintln!(
                "Stopping: no further change is begun. Ctrl-C again ends the program at once."
            );
            if sender.send(true).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Carried {
    pub fn succeeded(&self) -> bool {
        self.end.ending == Ending::Done
    }

    /// The last words, and the exit code. `seen` and `done` say what a success means.
    pub fn summary(&self, seen: &str, done: &str) -> Exit {
        let End {
            ending,
            fault,
            made,
            left,
        } = &self.end;
        let took = seconds(self.took);
        let changes = match made {
            0 => "nothing was written".to_owned(),
            1 => "1 change".to_owned(),
            n => format!("{n} changes"),
        };
        let sentence = match ending {
            Ending::Done => format!("Done in {took}: {changes}, {seen}. {done}"),
            Ending::Unknown => format!(
                "Stopped after {took}. {changes} made; whether the last of them happened is not known."
            ),
            ending => {
                let word = match ending {
                    Ending::Drifted => "Stopped, as the world has changed since the plan,",
                    Ending::Stopped => "Stopped by you",
                    _ => "Failed",
                };
                match made {
                    0 => format!("{word} after {took}; nothing was written."),
                    _ => format!("{word} after {took}. {changes} made, and not taken back."),
                }
            }
        };
        eprintln!("\n{}", clean(sentence.trim()));
        if let Some(fault) = fault {
            eprintln!("{}", render_fault(fault));
        }
        if *left > 0 {
            eprintln!("{left} left alone, as the plan shows.");
        }
        Exit::of_run(&self.end)
    }

    /// How to take the run back, where there is anything to take back.
    pub fn way_back(&self) {
        if self.end.made > 0 {
            eprintln!("Take it back: runbook undo {}", self.run);
        }
    }
}
