//! Secrets of a run that is gone on with or taken back: they are kept nowhere, so they are given again.

use super::{ask, confirm};
use crate::fault::Fault;
use crate::journal::{RunRecord, SameSecret, StateDir};
use crate::model::{Effect, Secrets};
use crate::runbook::{Binding, Given, Param, ParamFile, bind};
use clap::Args;
use std::path::PathBuf;

/// Where secrets come from besides the environment and the terminal.
#[derive(Debug, Args)]
pub struct SecretFiles {
    /// A file with the run's secret parameters, a map in YAML; RUNBOOK_PARAM_NAME in the environment is
    /// one, too
    #[arg(long = "params", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl SecretFiles {
    /// The secrets that the run was begun with, given again.
    pub fn again(&self, state: &StateDir, record: &RunRecord) -> Result<Secrets, Fault> {
        let kept = &record.plan.secrets;
        let params: Vec<Param> = kept.keys().map(|name| Param::secret(name)).collect();
        let files = self.files.iter().map(|path| ParamFile::read(path));
        let mut given = Given {
            files: files.collect::<Result<_, _>>()?,
            environment: Given::environment(std::env::vars_os()),
            ..Given::default()
        };
        if confirm::on_terminal() {
            for param in Binding::of(&params, &given).to_ask() {
                let known = ask::Known::default();
                let answer = tokio::task::block_in_place(|| ask::param(param, &known))?;
                given.answers.insert(param.name.clone(), answer);
            }
        }
        let secrets = bind(&params, &given)?.secrets;
        for (name, secret) in &secrets {
            let digest = kept.get(name).map_or("", String::as_str);
            match state.same_secret(digest, secret)? {
                SameSecret::Yes => {}
                SameSecret::No => {
                    return Err(Fault::refused(
                        "secret_differs",
                        format!(
                            "the secret `{name}` is not the one that run {} was begun with",
                            record.run
                        ),
                    )
                    .next("give that one, or make a new run"));
                }
                SameSecret::CannotBeTold => eprintln!(
                    "Whether the secret `{name}` is the one that the run was begun with cannot be told \
                     here: it was begun elsewhere."
                ),
            }
        }
        Ok(secrets)
    }

    /// The same for taking it back: nothing, where nothing of it needs them.
    pub fn to_take_back(&self, state: &StateDir, record: &RunRecord) -> Result<Secrets, Fault> {
        let needs = |effect: &Effect| match effect {
            Effect::RunProgram { programs } => programs.all().any(|p| !p.secrets.is_empty()),
            _ => false,
        };
        match record.to_take_back().any(|done| needs(&done.effect)) {
            true => self.again(state, record),
            false => Ok(Secrets::new()),
        }
    }
}
