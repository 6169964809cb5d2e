//! What `plan` and `apply` are about: a runbook, its nodes and its parameters.

use super::{Global, ask, confirm};
use crate::actions::{Look, World};
use crate::fault::{API_SILENT, Fault};
use crate::model::{Plan, Verdict};
use crate::plan::{Planned, Request, plan};
use crate::runbook::{
    Binding, Bound, Given, Param, ParamFile, ParamType, Runbook, TargetKind, bind,
};
use crate::views::{inform, render_override};
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
            inform!("{line}");
        }
        let asked = Asked {
            runbook: found.runbook,
            given: Given {
                typed: self.params.clone(),
                nodes: self.nodes.clone(),
                ..from_outside(&self.files)?
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

    /// The values of a saved plan, with its secrets, which it does not have.
    pub fn with_secrets(&self, runbook: &Runbook, mut bound: Bound) -> Result<Bound, Fault> {
        let is_secret = |param: &&Param| param.r#type == ParamType::Secret;
        let (secrets, others): (Vec<&Param>, Vec<&Param>) =
            runbook.params.iter().partition(is_secret);
        let secrets: Vec<Param> = secrets.into_iter().cloned().collect();
        let mut given = from_outside(&self.files)?;
        let foreign = given
            .files
            .iter()
            .flat_map(ParamFile::names)
            .find(|name| others.iter().any(|p| p.name == *name));
        if let Some(name) = foreign {
            return Err(Fault::input(
                "plan_is_whole",
                format!("a saved plan has its own value of the parameter `{name}`"),
            )
            .next("give a file for --params that has secrets alone, or make another plan"));
        }
        if confirm::on_terminal() {
            ask::missing(&secrets, &mut given, &ask::Known::default())?;
        }
        bound.secrets = bind(&secrets, &given)?.secrets;
        Ok(bound)
    }
}

/// What files and the environment give.
pub fn from_outside(files: &[PathBuf]) -> Result<Given, Fault> {
    let files = files.iter().map(|path| ParamFile::read(path));
    Ok(Given {
        files: files.collect::<Result<_, _>>()?,
        environment: Given::environment(std::env::vars_os()),
        ..Given::default()
    })
}

impl Asked {
    fn wants_nodes(&self) -> bool {
        self.runbook.targets == TargetKind::Nodes && self.given.nodes.is_empty()
    }

    /// The plan, and what it is of. On a terminal it is asked for what is not given, and for what a step
    /// leaves to people.
    pub async fn plan(mut self, world: &World) -> Result<(Request, Planned), Fault> {
        loop {
            if confirm::on_terminal() {
                self.ask(world).await?;
            }
            let request = Request {
                params: bind(&self.runbook.params, &self.given)?,
                nodes: self.given.nodes.clone(),
                runbook: self.runbook,
            };
            let planned = plan(world, &request).await?;
            let open = open_choice(&request.runbook, &planned.plan);
            // One that was given elsewhere is not asked for again and again.
            let open = open.filter(|open| !self.given.answers.contains_key(open.parameter));
            let Some(open) = open.filter(|_| confirm::on_terminal()) else {
                return Ok((request, planned));
            };
            let answer = tokio::task::block_in_place(|| ask::choice(&open.question, open.among))?;
            let parameter = open.parameter.to_owned();
            self.runbook = request.runbook;
            self.given.answers.insert(parameter, answer.into());
        }
    }

    async fn ask(&mut self, world: &World) -> Result<(), Fault> {
        let params = &self.runbook.params;
        let mut given = self.given.clone();
        let mut known = ask::Known {
            hosts: world.inventory.names().map(str::to_owned).collect(),
            nodes: Vec::new(),
        };
        let takes_nodes =
            |binding: Binding<'_>| binding.to_ask().iter().any(|p| ask::takes_nodes(p));
        if self.wants_nodes() || takes_nodes(Binding::of(params, &given)) {
            let look = Look::new(world);
            known.nodes = match look.nodes().await {
                Ok(nodes) => nodes.iter().map(|n| n.name().to_owned()).collect(),
                // Then any name may be one.
                Err(fault) if fault.code == API_SILENT => Vec::new(),
                Err(fault) => return Err(fault),
            };
        }
        if self.wants_nodes() && !known.nodes.is_empty() {
            let name = &self.runbook.name;
            given.nodes = tokio::task::block_in_place(|| ask::nodes(name, &known))?;
        }
        ask::missing(params, &mut given, &known)?;
        self.given = given;
        Ok(())
    }
}

/// A choice that a step leaves to people, where a parameter is the answer.
struct OpenChoice<'a> {
    question: String,
    parameter: &'a str,
    among: &'a [(String, String)],
}

fn open_choice<'a>(runbook: &'a Runbook, plan: &'a Plan) -> Option<OpenChoice<'a>> {
    plan.steps.iter().find_map(|planned| {
        let open = planned.ask.as_ref()?;
        let Verdict::Refused { why, .. } = &planned.verdict else {
            return None;
        };
        let step = runbook.steps.iter().find(|step| planned.id == step.id)?;
        let text = step.with.get(&open.argument)?.as_str()?;
        let name = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let name = name.strip_prefix("params.")?;
        let param = runbook.params.iter().find(|param| param.name == name)?;
        Some(OpenChoice {
            question: format!("Which {} is it? {why}", param.name),
            parameter: param.name.as_str(),
            among: &open.among,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::kinds;
    use crate::model::{Ask, PlannedStep, Scope};
    use crate::runbook::read_kept;

    #[test]
    fn a_choice_is_asked_for_where_a_parameter_is_the_answer() {
        let text = |address: &str| {
            format!(
                r"apiVersion: runbook/v1
name: x
summary: Asks
risk: low
targets: nodes
params:
  where: {{type: string, default: internal_ip, help: Where}}
steps:
  - id: a
    uses: calico.node_address
    with: {{address: {address}}}
"
            )
        };
        let refused = Verdict::Refused {
            why: "node02: there are two".into(),
            next: None,
        };
        let mut step = PlannedStep::new(
            "a".to_owned().try_into().unwrap(),
            Scope::Run,
            "a",
            "calico.node_address",
            refused,
        );
        step.ask = Some(Ask {
            argument: "address".into(),
            among: vec![("10.0.0.1".into(), "10.0.0.1/24 on eth0".into())],
        });
        let plan = Plan {
            steps: vec![step],
            ..crate::journal::test_events::plan()
        };
        let of = |address: &str| {
            let runbook = read_kept(&text(address), "x", &Default::default(), &kinds()).unwrap();
            let open = open_choice(&runbook, &plan);
            open.map(|open| format!("{} {}", open.parameter, open.question))
        };
        assert_eq!(
            of("'{{ params.where }}'").as_deref(),
            Some("where Which where is it? node02: there are two")
        );
        assert_eq!(of("internal_ip"), None);
    }
}
