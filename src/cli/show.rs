//! `runbook show`

use super::Global;
use super::exit::Exit;
use super::plan::saved_path;
use crate::actions::{Look, Of};
use crate::fault::Fault;
use crate::plan::{SavedPlan, approval, rights};
use crate::views::{Subject, clean, render_plan, render_rbac, render_runbook};
use clap::Args;
use tokio::sync::OnceCell;

#[derive(Debug, Args)]
pub struct Show {
    /// Name of a runbook, the path of its file, or a saved plan (FILE.json)
    #[arg(value_name = "RUNBOOK")]
    name: String,
    /// Print the text of the runbook as it is
    #[arg(long)]
    text: bool,
    /// Print the least rights in the cluster that it needs, as a manifest: runbook show NAME --rbac |
    /// kubectl apply -f -. It asks the cluster only about kinds that are not Kubernetes' own
    #[arg(long, conflicts_with = "text")]
    rbac: bool,
    /// With --rbac: print what binds them, too. NAMESPACE/NAME is a ServiceAccount; else user:NAME or
    /// group:NAME
    #[arg(long, value_name = "SUBJECT", requires = "rbac", value_parser = subject)]
    rbac_for: Option<Subject>,
}

/// Whom rights are bound to.
fn subject(text: &str) -> Result<Subject, String> {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let found = match (text.split_once(':'), text.split_once('/')) {
        (Some(("user", name)), _) => named(name).map(Subject::User),
        (Some(("group", name)), _) => named(name).map(Subject::Group),
        (_, Some((namespace, name))) if !name.contains('/') => named(namespace)
            .zip(named(name))
            .map(|(namespace, name)| Subject::ServiceAccount { namespace, name }),
        _ => None,
    };
    found.ok_or_else(|| {
        "it is NAMESPACE/NAME of a ServiceAccount, user:NAME or group:NAME".to_owned()
    })
}

impl Show {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        if self.rbac {
            return self.print_rights(global).await;
        }
        let Some(path) = saved_path(&self.name) else {
            let library = global.library();
            let found = library.find(&self.name)?;
            super::say(&match self.text {
                true => found.runbook.text,
                false => render_runbook(&found, library.kinds()),
            });
            return Ok(Exit::Done);
        };
        let saved = SavedPlan::read(path)?;
        if self.text {
            super::say(&saved.runbook_text);
            return Ok(Exit::Done);
        }
        console::set_colors_enabled_stderr(console::colors_enabled());
        super::say(&render_plan(&saved.plan));
        let (digest, path) = (
            approval(&saved.plan, &saved.allowed),
            clean(&path.display().to_string()),
        );
        super::say(&format!(
            "Saved by {}, digest {digest}. It is applied as it is, or not at all: runbook apply {path}\n\
             Whoever has read it approves of it with: runbook apply {path} --approve {digest}\n",
            clean(&saved.plan.actor.to_string()),
        ));
        if let Err(fault) = saved.check_engine() {
            super::say(&format!("But {}.\n", clean(&fault.message)));
        }
        Ok(Exit::Done)
    }

    async fn print_rights(&self, global: &Global) -> Result<Exit, Fault> {
        if saved_path(&self.name).is_some() {
            return Err(Fault::input(
                "rbac_of_plan",
                "--rbac is about a runbook, and this is a saved plan",
            )
            .next("name the runbook: runbook show RUNBOOK --rbac"));
        }
        let library = global.library();
        let found = library.find(&self.name)?;
        let world = OnceCell::new();
        let ask = async |of: &Of| {
            let asked = async {
                let world = world.get_or_try_init(|| global.world()).await?;
                Look::new(world).served(of).await
            };
            asked.await.map_err(|fault| Fault {
                message: format!(
                    "how {} of `{}` is called in rules only the cluster knows, as it is not Kubernetes' own kind: {}",
                    of.kind, of.api_version, fault.message
                ),
                ..fault
            })
        };
        let rights = rights(&found.runbook, ask).await?;
        super::say(&render_rbac(&rights, self.rbac_for.as_ref()));
        Ok(Exit::Done)
    }
}
