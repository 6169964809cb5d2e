//! Secrets of a run that is gone on with or taken back: they are kept nowhere, so they are given again.

use super::subject::from_outside;
use super::{ask, confirm};
use crate::fault::Fault;
use crate::journal::{RunRecord, SameSecret, StateDir};
use crate::model::{Effect, Secret, Secrets};
use crate::runbook::{Given, Param, bind};
use crate::views::{clean, inform};
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
        let names = record.plan.secrets.keys();
        if names.len() == 0 {
            return Ok(Secrets::new());
        }
        let given = from_outside(&self.files)?;
        names
            .map(|name| Ok((name.clone(), one(&given, state, record, name)?)))
            .collect()
    }

    /// Those that taking it back needs. One that is not given, or is another, keeps only its own steps
    /// from being taken back.
    pub fn to_take_back(&self, state: &StateDir, record: &RunRecord) -> Result<Secrets, Fault> {
        let mut needed: Vec<&String> = record
            .to_take_back()
            .filter_map(|done| match &done.effect {
                Effect::RunProgram { programs } if programs.undo.is_some() => Some(programs),
                _ => None,
            })
            .flat_map(|programs| programs.all().flat_map(|p| p.secrets.values()))
            .collect();
        needed.sort();
        needed.dedup();
        if needed.is_empty() {
            return Ok(Secrets::new());
        }
        let given = from_outside(&self.files)?;
        let mut secrets = Secrets::new();
        for name in needed {
            match one(&given, state, record, name) {
                Ok(secret) => {
                    secrets.insert(name.clone(), secret);
                }
                Err(fault)
                    if ["param_missing", "secret_differs"].contains(&fault.code.as_str()) =>
                {
                    inform!("{}.", clean(&fault.message));
                    if let Some(next) = fault.next {
                        inform!("  {}", clean(&next));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(secrets)
    }
}

/// A secret that the run was begun with, among what is given.
fn one(given: &Given, state: &StateDir, record: &RunRecord, name: &str) -> Result<Secret, Fault> {
    let params = [Param::secret(name)];
    let mut given = given.clone();
    given.keep_only(name);
    if confirm::on_terminal() {
        ask::missing(&params, &mut given, &ask::Known::default())?;
    }
    let missing = || Fault::internal(format!("the secret `{name}` was given and is gone"));
    let mut secrets = bind(&params, &given)?.secrets;
    let secret = secrets.remove(name).ok_or_else(missing)?;
    let kept = record.plan.secrets.get(name).map_or("", String::as_str);
    match state.same_secret(kept, &secret)? {
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
        SameSecret::CannotBeTold => inform!(
            "Whether the secret `{name}` is the one that the run was begun with cannot be told here: \
                 it was begun elsewhere."
        ),
    }
    Ok(secret)
}
