//! What `plan` and `apply` are about: a runbook, its nodes and its parameters.

use super::{Global, ask, confirm};
use crate::actions::{Look, World};
use crate::fault::Fault;
use crate::plan::Request;
use crate::runbook::{
    Binding, Bound, Given, Param, ParamFile, ParamType, Runbook, TargetKind, bind,
};
use crate::views::render_override;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Subject {
    /// Name of a runbook (`runbook list`), or the path of its file; apply takes a saved plan too
    #[arg(value_name = "RUNBOOK")]
    pub name: String,
    /// Node of the cluster; once for each
    #[arg(long = "node", value_name = "NODE")]
    pub nodes: Vec<String>,
    /// A parameter of the runbook; of a list, the items with commas between, or once for each
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// A file with parameters, a map in YAML; of several, the later counts. RUNBOOK_PARAM_NAME in the
    /// environment is a parameter, too
    #[arg(long = "params", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What is asked for, as far as the command line and the environment tell.
pub struct Asked {
    pub runbook: Runbook,
    given: Given,
}

impl Subject {
    /// Finds the runbook and reads what is given. What is wrong or cannot be asked for is a fault
    /// here, before hosts and cluster are thought of.
    pub fn read(&self, global: &Global) -> Result<Asked, Fault> {
        let found = global.library().find(&self.name)?;
        if let Some(line) = render_override(&found) {
            eprintln!("{line}");
        }
        let asked = Asked {
            runbook: found.runbook,
            given: Given {
                typed: self.params.clone(),
                files: self.files()?,
                environment: Given::environment(std::env::vars_os()),
                nodes: self.nodes.clone(),
                ..Given::default()
            },
        };
        let mut sure = asked.given.clone();
        if asked.wants_nodes() && confirm::on_terminal() {
            // One that is chosen may stand for a parameter as well.
            sure.nodes = vec!["node".to_owned()];
        }
        let binding = Binding::of(&asked.runbook.params, &sure);
        if binding.to_ask().is_empty() || !confirm::on_terminal() {
            binding.finish()?;
        }
        Ok(asked)
    }

    fn files(&self) -> Result<Vec<ParamFile>, Fault> {
        self.files
            .iter()
            .map(|path| ParamFile::read(path))
            .collect()
    }

    /// The values of a saved plan, with its secrets, which it does not have.
    pub fn with_secrets(&self, runbook: &Runbook, mut bound: Bound) -> Result<Bound, Fault> {
        let is_secret = |param: &&Param| param.r#type == ParamType::Secret;
        let (secrets, others): (Vec<&Param>, Vec<&Param>) =
            runbook.params.iter().partition(is_secret);
        let secrets: Vec<Param> = secrets.into_iter().cloned().collect();
        let mut given = Given {
            files: self.files()?,
            environment: Given::environment(std::env::vars_os()),
            ..Given::default()
        };
        let mut names = given.files.iter().flat_map(ParamFile::names);
        if let Some(name) = names.find(|name| others.iter().any(|p| p.name == *name)) {
            return Err(Fault::input(
                "plan_is_whole",
                format!("a saved plan has its own value of the parameter `{name}`"),
            )
            .next("give a file for --params that has secrets alone, or make another plan"));
        }
        if confirm::on_terminal() {
            for param in Binding::of(&secrets, &given).to_ask() {
                let known = ask::Known::default();
                let answer = tokio::task::block_in_place(|| ask::param(param, &known))?;
                given.answers.insert(param.name.clone(), answer);
            }
        }
        bound.secrets = bind(&secrets, &given)?.secrets;
        Ok(bound)
    }
}

impl Asked {
    fn wants_nodes(&self) -> bool {
        self.runbook.targets == TargetKind::Nodes && self.given.nodes.is_empty()
    }

    /// Asks on the terminal for what is not given.
    pub async fn complete(self, world: &World) -> Result<Request, Fault> {
        let Self { runbook, .. } = &self;
        let (nodes, params) = match confirm::on_terminal() {
            true => self.ask(world).await?,
            false => (
                self.given.nodes.clone(),
                bind(&runbook.params, &self.given)?,
            ),
        };
        Ok(Request {
            runbook: self.runbook,
            nodes,
            params,
        })
    }

    async fn ask(&self, world: &World) -> Result<(Vec<String>, Bound), Fault> {
        let params = &self.runbook.params;
        let mut given = self.given.clone();
        let mut known = ask::Known {
            hosts: world.inventory.names().map(str::to_owned).collect(),
            nodes: Vec::new(),
        };
        let missing = |given: &Given| -> Vec<Param> {
            let binding = Binding::of(params, given);
            binding.to_ask().iter().map(|p| (*p).clone()).collect()
        };
        if self.wants_nodes() || missing(&given).iter().any(ask::takes_nodes) {
            let look = Look::new(world);
            known.nodes = look
                .nodes()
                .await?
                .iter()
                .map(|n| n.name().to_owned())
                .collect();
        }
        if self.wants_nodes() && !known.nodes.is_empty() {
            let name = &self.runbook.name;
            given.nodes = tokio::task::block_in_place(|| ask::nodes(name, &known))?;
        }
        for param in missing(&given) {
            let answer = tokio::task::block_in_place(|| ask::param(&param, &known))?;
            given.answers.insert(param.name.clone(), answer);
        }
        let bound = bind(params, &given)?;
        Ok((given.nodes, bound))
    }
}
