//! `runbook plan`

use super::exit::Exit;
use super::{Global, Subject, say};
use crate::actions::World;
use crate::fault::Fault;
use crate::model::Plan;
use crate::plan::{Request, missing_rights, plan};
use crate::runbook::Library;
use crate::views::{clean, render_plan};
use clap::Args;

#[derive(Debug, Args)]
pub struct PlanCommand {
    #[command(flatten)]
    subject: Subject,
    /// Exit with 5 where something would change
    #[arg(long)]
    exit_code: bool,
}

impl PlanCommand {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let request = self.subject.request()?;
        let world = global.world().await?;
        let outcome = self.show(&world, &request).await;
        world.hosts.close().await;
        outcome
    }

    async fn show(&self, world: &World, request: &Request) -> Result<Exit, Fault> {
        let plan = plan(world, request).await?;
        // Here the plan is what was asked for, and so it is what goes to standard output.
        console::set_colors_enabled_stderr(console::colors_enabled());
        say(&render_plan(&plan));
        if let Some(refusal) = refusal(&plan) {
            return Err(refusal);
        }
        if let Some(fault) = lacking(world, &plan).await? {
            say(&format!(
                "Applying would be refused: {}.\n",
                clean(&fault.message)
            ));
        }
        say("Nothing was written.\n");
        Ok(match self.exit_code && plan.changes() > 0 {
            true => Exit::Changes,
            false => Exit::Done,
        })
    }
}

impl Subject {
    pub fn request(&self) -> Result<Request, Fault> {
        Ok(Request {
            runbook: Library.find(&self.name)?,
            nodes: self.nodes.clone(),
            params: self.params.clone(),
        })
    }
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
    let missing = missing_rights(&world.cluster, plan).await?;
    if missing.is_empty() {
        return Ok(None);
    }
    let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Ok(Some(
        Fault::refused(
            "missing_rights",
            format!("this identity may not {}", list.join(", nor ")),
        )
        .next("ask for these rights, or use another identity with --context"),
    ))
}
