//! `runbook plan`

use super::claims::OtherRuns;
use super::exit::Exit;
use super::private_file::write_private;
use super::subject::{Asked, Subject};
use super::{Global, say};
use crate::actions::World;
use crate::fault::{API_SILENT, Fault};
use crate::journal::StateDir;
use crate::model::{Plan, StepId};
use crate::plan::{SavedPlan, approval, missing_rights};
use crate::runbook::Runbook;
use crate::views::{clean, render_plan};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct PlanCommand {
    #[command(flatten)]
    subject: Subject,
    /// Exit with 5 where something would change
    #[arg(long)]
    exit_code: bool,
    /// Save the plan, to be applied as it is or not at all
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// In the saved plan, allow a step although what it will meet is unknown
    #[arg(long, value_name = "STEP", requires = "out")]
    allow_unknown: Vec<String>,
}

impl PlanCommand {
    /// The name of what is asked for.
    pub fn runbook(&self) -> &str {
        &self.subject.name
    }

    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        if let Some(path) = saved_path(&self.subject.name) {
            return Err(Fault::input(
                "plan_of_a_plan",
                format!("{} is a plan already", path.display()),
            )
            .next("`runbook show` shows it, `runbook apply` applies it"));
        }
        if let Some(out) = self.out.as_ref().filter(|out| !is_json(out)) {
            return Err(Fault::input(
                "plan_name",
                format!("--out {}: a saved plan's name ends in .json", out.display()),
            ));
        }
        let asked = self.subject.read(global)?;
        let allowed = allowed_steps(&self.allow_unknown, &asked.runbook)?;
        let state = global.state()?;
        let world = global.world().await?;
        let outcome = self.show(&world, &state, asked, allowed).await;
        world.hosts.close().await;
        outcome
    }

    async fn show(
        &self,
        world: &World,
        state: &StateDir,
        asked: Asked,
        allowed: Vec<StepId>,
    ) -> Result<Exit, Fault> {
        let (request, planned) = asked.plan(world).await?;
        let plan = planned.plan;
        // Here the plan is what was asked for, and so it is what goes to standard output.
        console::set_colors_enabled_stderr(console::colors_enabled());
        say(&render_plan(&plan));
        if let Some(refusal) = refusal(&plan) {
            return Err(refusal);
        }
        let claims = OtherRuns::default().claims(state)?;
        let lacking = lacking(world, &plan).await?;
        for fault in [lacking, claims.warning(world, &plan).await?]
            .into_iter()
            .flatten()
        {
            say(&format!(
                "Applying would be refused: {}.\n",
                clean(&fault.message)
            ));
        }
        if let Some(out) = &self.out {
            let saved = SavedPlan {
                plan: plan.clone(),
                runbook_text: request.runbook.text.clone(),
                included: request.runbook.texts(),
                allowed,
            };
            write_private(out, &saved.to_text()?)?;
            say(&format!(
                "Saved. To do exactly this: runbook apply {}\n\
                 Whoever has read it may approve of it: --approve {}\n",
                clean(&out.display().to_string()),
                approval(&plan, &saved.allowed)
            ));
        }
        say("Nothing was written.\n");
        Ok(match self.exit_code && plan.may_change() {
            true => Exit::Changes,
            false => Exit::Done,
        })
    }
}

/// The path of a saved plan, where a name is one.
pub fn saved_path(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    is_json(path).then_some(path)
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json")
}

/// The steps that may be unknown; each must be one of the runbook's, an item of one, or a step of a
/// runbook that it includes.
pub fn allowed_steps(names: &[String], runbook: &Runbook) -> Result<Vec<StepId>, Fault> {
    let steps = &runbook.steps;
    names
        .iter()
        .map(|name| {
            StepId::try_from(name.clone())
                .ok()
                .filter(|id| steps.iter().any(|step| id.is_of(&step.id)))
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

/// Why the plan may not be carried out.
pub fn refusal(plan: &Plan) -> Option<Fault> {
    plan.refusal().map(|(step, why, next)| {
        let fault = Fault::refused(
            "step_refused",
            format!("step `{}` is refused: {why}", step.id),
        );
        match next {
            Some(next) => fault.next(next),
            None => fault,
        }
    })
}

/// The rights that are lacking, as a fault.
pub async fn lacking(world: &World, plan: &Plan) -> Result<Option<Fault>, Fault> {
    let missing = match missing_rights(&world.cluster, plan).await {
        // What needs it is unknown, and the plan says so.
        Err(fault) if fault.code == API_SILENT => return Ok(None),
        missing => missing?,
    };
    if missing.is_empty() {
        return Ok(None);
    }
    let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Ok(Some(
        Fault::refused(
            "missing_rights",
            format!("this identity may not {}", list.join(", nor ")),
        )
        .next("ask for these rights (`runbook show RUNBOOK --rbac` prints all that it needs), or use another identity with --context"),
    ))
}
