//! `runbook apply`

use super::Global;
use super::carry::{Start, begin, conclude};
use super::claims::{Claims, OtherRuns};
use super::confirm::{Confirmation, Gates};
use super::exit::Exit;
use super::plan::{allowed_steps, lacking, refusal, saved_path};
use super::subject::{Asked, Subject};
use crate::actions::{World, kinds};
use crate::fault::Fault;
use crate::journal::StateDir;
use crate::model::{StepId, Verdict};
use crate::plan::{Request, SavedPlan, differences, plan};
use crate::runbook::{Bound, read_kept, untrusted};
use crate::views::{inform, render_differences, render_plan, to_people};
use clap::Args;
use std::path::Path;

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    gates: Gates,
    #[command(flatten)]
    others: OtherRuns,
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

/// What is applied: a runbook as it would be planned now, or a plan that was saved.
struct Wanted {
    subject: What,
    allowed: Vec<StepId>,
    saved: Option<SavedPlan>,
}

/// A saved plan says all that there is to say; of a runbook something may have to be asked.
enum What {
    Asked(Box<Asked>),
    Whole(Box<Request>),
}

impl Apply {
    /// The name of what is asked for.
    pub fn runbook(&self) -> &str {
        &self.subject.name
    }

    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let wanted = match saved_path(&self.subject.name) {
            Some(path) => self.saved(path)?,
            None => {
                let asked = self.subject.read(global)?;
                let allowed = allowed_steps(&self.allow_unknown, &asked.runbook)?;
                Wanted {
                    subject: What::Asked(Box::new(asked)),
                    allowed,
                    saved: None,
                }
            }
        };
        let state = global.state()?;
        let claims = self.others.claims(&state)?;
        let world = global.world().await?;
        let outcome = self.apply(&world, &state, wanted, &claims).await;
        world.hosts.close().await;
        outcome
    }

    fn saved(&self, path: &Path) -> Result<Wanted, Fault> {
        if !self.subject.nodes.is_empty()
            || !self.subject.params.is_empty()
            || !self.allow_unknown.is_empty()
        {
            return Err(Fault::input(
                "plan_is_whole",
                "a saved plan has its own nodes, parameters and allowed steps",
            )
            .next("leave out --node, --param and --allow-unknown, or make another plan"));
        }
        let saved = SavedPlan::read(path)?;
        saved.check_engine()?;
        let (text, name) = (&saved.runbook_text, &saved.plan.runbook);
        let mut runbook = read_kept(text, name, &saved.included, &kinds())?;
        runbook.distrust(untrusted(path).as_deref());
        let bound = Bound {
            values: saved.plan.params.clone(),
            ..Bound::default()
        };
        let params = self.subject.with_secrets(&runbook, bound)?;
        Ok(Wanted {
            subject: What::Whole(Box::new(Request {
                runbook,
                nodes: saved.plan.targets.iter().map(|t| t.name.clone()).collect(),
                params,
            })),
            allowed: saved.allowed.clone(),
            saved: Some(saved),
        })
    }

    async fn apply(
        &self,
        world: &World,
        state: &StateDir,
        wanted: Wanted,
        claims: &Claims<'_>,
    ) -> Result<Exit, Fault> {
        let (request, mut planned) = match wanted.subject {
            What::Asked(asked) => asked.plan(world).await?,
            What::Whole(request) => {
                let planned = plan(world, &request).await?;
                (*request, planned)
            }
        };
        // What others did meanwhile is not what the plan rests on.
        while !self.dry_run && claims.wait(world, &planned.plan, None).await? {
            planned = plan(world, &request).await?;
        }
        let mut plan = planned.plan;
        if let Some(saved) = &wanted.saved {
            let found = differences(&saved.plan, &plan);
            if !found.is_empty() {
                inform!("What this plan rests on has changed since it was made:");
                to_people(&render_differences(&found));
                return Err(Fault::refused(
                    "drift",
                    "the saved plan no longer fits what is there: nothing was written",
                )
                .next("look what changed it, and make a new plan"));
            }
        }
        to_people(&render_plan(&plan));
        if let Some(refusal) = refusal(&plan) {
            return Err(refusal);
        }
        let allowed = &wanted.allowed;
        if let Some((step, why)) = plan
            .unknowns()
            .find(|(s, _)| !allowed.iter().any(|known| s.id.is_of(known)))
        {
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
        let given_up = !claims.given_up().is_empty();
        if plan.steps.iter().all(|step| idle(&step.verdict)) && !given_up {
            inform!("Nothing to do. Nothing was written.");
            return Ok(Exit::Done);
        }
        if let Some(fault) = lacking(world, &plan).await? {
            return Err(fault);
        }
        if self.dry_run {
            claims.warn(world, &plan).await?;
            inform!("Dry run: nothing was written.");
            return Ok(Exit::Done);
        }
        if !self.confirmation.ask(&plan, allowed)? {
            return Err(Fault::refused(
                "declined",
                "not confirmed: nothing was done",
            ));
        }
        for (name, secret) in &request.params.secrets {
            plan.secrets
                .insert(name.clone(), state.secret_digest(secret)?);
        }
        let start = Start {
            plan,
            blobs: &planned.blobs,
            allowed: allowed.clone(),
            reason: self.reason.clone(),
            runbook_text: &request.runbook.text,
            included: request.runbook.texts(),
            runbook: Some(&request.runbook),
            gates: &self.gates,
        };
        let sat = begin(world, state, start, claims).await?;
        conclude(world, state, sat).await
    }
}
