//! `host.assert`: what must be so on a host, or nothing more is done. It reads by a program of the
//! runbook's author.

use super::host_command::Command;
use super::host_program::{Form, Scalar, Values, Variable, ended, limit, outputs, title};
use super::host_script::Script;
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Exception, Exit, Prior, Program, Ran, Settled};
use crate::runbook::{Condition, DURATION_FORMAT, Record};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A script for a POSIX shell, or a list of a program and its arguments.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Reads {
    Script(String),
    Command(Vec<Scalar>),
}

/// Stops the run before it begins where something does not hold on a host. It reads by a program of
/// your own and writes nothing.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// A script, or a command with its arguments; it only reads.
    reads: Reads,
    /// What a script gets as `$1`, `$2` and so on; a command is its own arguments.
    #[serde(default)]
    args: Vec<Scalar>,
    /// Variables of the program, by name.
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    /// How long it may take, from 1s to 1h; 60s if left out.
    #[schemars(extend("format" = DURATION_FORMAT))]
    timeout: Option<String>,
    /// What must hold of `code` and `output`; that the code is 0, if left out.
    that: Option<String>,
    /// Said where it does not hold.
    because: String,
    /// How long it may take to come about, where earlier steps bring it about; 60s if left out.
    #[schemars(extend("format" = DURATION_FORMAT))]
    within: Option<String>,
    /// Whether what is printed is neither shown nor kept.
    #[serde(default)]
    sensitive: bool,
}

pub struct HostAssert {
    program: Program,
    limit: u64,
    that: Condition,
    because: String,
    within: Duration,
    sensitive: bool,
}

pub struct Seen {
    ran: Result<Ran, String>,
}

#[async_trait]
impl Action for HostAssert {
    const USES: &'static str = "host.assert";
    const LITERAL: &'static [&'static str] = &["reads"];
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        let values = Values::new(args.args, args.env)?;
        let program = match args.reads {
            Reads::Script(script) => Script::program(script, &values)?,
            Reads::Command(words) => Command::program(words, &values)?,
        };
        let names = outputs();
        let that = args.that.as_deref().unwrap_or("code == 0");
        let within = duration("within", args.within.as_deref(), Duration::from_secs(60))?;
        if args.because.trim().is_empty() {
            return Err("`because` says what it means where it does not hold".to_owned());
        }
        Ok(Self {
            program,
            limit: limit(args.timeout.as_deref())?,
            that: Condition::parse(that, &names).map_err(|e| format!("`that`: {e}"))?,
            because: args.because,
            within,
            sensitive: args.sensitive || !values.secrets.is_empty(),
        })
    }

    fn outputs() -> Record {
        outputs()
    }

    fn needs(_with: &Value) -> Needs {
        Needs::of_host(false)
    }

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        let ran = match place.untrusted {
            Some(why) => Err(why.to_owned()),
            None => Ok(look.program(&host, &self.program, self.limit).await?),
        };
        Ok(Seen { ran })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Self::Change> {
        let earlier = prior.changes_anything();
        let check = Decision::Check {
            expects: format!("`{}` holds of {}", self.that.source(), title(&self.program)),
            except: Vec::new(),
        };
        match &seen.ran {
            Err(why) => Decision::Unknown {
                why: format!("it is not run for a plan, as {why}"),
                otherwise: Some(Box::new(check)),
            },
            // It is looked at when its turn comes.
            Ok(_) if earlier => check,
            Ok(ran) => match self.holds(ran) {
                Ok(true) => Decision::NoChange {
                    why: "it is so".to_owned(),
                },
                Ok(false) => Decision::Refuse {
                    why: format!("{} ({})", self.because, self.found(ran)),
                    next: None,
                },
                Err(why) => Decision::Refuse {
                    why: format!("it cannot be told whether it is so: {why}"),
                    next: Some("put `that` right".to_owned()),
                },
            },
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match &seen.ran {
            Err(why) => Settled::NotYet(why.clone()),
            Ok(ran) => match self.holds(ran) {
                Ok(true) => Settled::Yes,
                Ok(false) => Settled::NotYet(format!("{} ({})", self.because, self.found(ran))),
                Err(why) => Settled::NotYet(why),
            },
        }
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        match &seen.ran {
            Ok(ran) if !self.sensitive => ran.found(),
            _ => Map::new(),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            within: self.within,
            ..Patience::default()
        }
    }
}

impl HostAssert {
    fn holds(&self, ran: &Ran) -> Result<bool, String> {
        let code = match ran.exit {
            Exit::Code(code) => code,
            Exit::Killed => return Err(format!("{} was killed", title(&self.program))),
            Exit::Timeout => {
                return Err(format!(
                    "{} did not end within {} s",
                    title(&self.program),
                    self.limit
                ));
            }
        };
        if ran.left_out > 0 {
            return Err(format!(
                "{} printed too much: {} bytes of it were left out",
                title(&self.program),
                ran.left_out
            ));
        }
        // As later steps have it: nobody means the end of the last line.
        let output = ran.output();
        let output = output.trim_end_matches('\n');
        let held = self.that.holds(&json!({"code": code, "output": output}));
        // The reason may name a value.
        held.map_err(|why| match self.sensitive {
            true => format!("`{}` cannot be decided", self.that.source()),
            false => why,
        })
    }

    /// What was found, for a person.
    fn found(&self, ran: &Ran) -> String {
        format!("{}: {}", title(&self.program), ended(ran, self.sensitive))
    }
}

#[cfg(test)]
mod tests;
