//! `host.assert`: what must be so on a host, or nothing more is done. It reads by a program of the
//! runbook's author, or looks at the host's facts, or both.

use super::host_command::Command;
use super::host_program::{Form, Scalar, Values, Variable, ended, limit, outputs, title};
use super::host_script::Script;
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Exception, Exit, Prior, Program, Ran, Settled};
use crate::runbook::{
    Condition, DURATION_FORMAT, FactNames, Record, Type, facts_record, uses_facts,
};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A script for a POSIX shell, or a list of a program and its arguments.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Reads {
    Script(String),
    Command(Vec<Scalar>),
}

/// Stops the run before it begins where something does not hold on a host. It looks at the host's facts,
/// or reads by a program of your own, and writes nothing.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// A script, or a command with its arguments; it only reads. Not needed where `that` is about facts
    /// alone.
    reads: Option<Reads>,
    /// What a script gets as `$1`, `$2` and so on; a command is its own arguments.
    #[serde(default)]
    args: Vec<Scalar>,
    /// Variables of the program, by name.
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    /// How long it may take, from 1s to 1h; 60s if left out.
    #[schemars(extend("format" = DURATION_FORMAT))]
    timeout: Option<String>,
    /// What must hold of `code` and `output`, and of `facts` of the host; that the code is 0, if left out.
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
    program: Option<Program>,
    limit: u64,
    /// Whether `that` is about facts.
    of_facts: bool,
    that: Condition,
    because: String,
    within: Duration,
    sensitive: bool,
}

pub struct Seen {
    /// What the program gave, if there is one, or why it was not run.
    ran: Result<Option<Ran>, String>,
    facts: Option<Arc<FactNames>>,
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
            Some(Reads::Script(script)) => Some(Script::program(script, &values)?),
            Some(Reads::Command(words)) => Some(Command::program(words, &values)?),
            None => None,
        };
        let mut names = outputs();
        let facts = Type::Record(facts_record().clone());
        names.0.push(("facts".to_owned(), facts));
        let that = match (args.that.as_deref(), &program) {
            (Some(that), _) => that,
            (None, Some(_)) => "code == 0",
            (None, None) => {
                return Err(
                    "give `that`, a condition on `facts` of the host, or `reads`, a program that looks"
                        .to_owned(),
                );
            }
        };
        let that = Condition::parse(that, &names).map_err(|e| format!("`that`: {e}"))?;
        let of_program = |name: &String| outputs().knows(name);
        if program.is_none() && that.names().iter().any(of_program) {
            return Err("`that` is about a program: give `reads` as well".to_owned());
        }
        let within = duration("within", args.within.as_deref(), Duration::from_secs(60))?;
        if args.because.trim().is_empty() {
            return Err("`because` says what it means where it does not hold".to_owned());
        }
        Ok(Self {
            program,
            limit: limit(args.timeout.as_deref())?,
            of_facts: that.names().iter().any(|name| uses_facts(name)),
            that,
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

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        let ran = match (&self.program, place.untrusted) {
            (None, _) => Ok(None),
            (Some(_), Some(why)) => Err(why.to_owned()),
            (Some(program), None) => Ok(Some(look.program(&host, program, self.limit).await?)),
        };
        let facts = match self.of_facts {
            true => Some(look.fact_names(&host).await?),
            false => None,
        };
        Ok(Seen { ran, facts })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Self::Change> {
        let earlier = prior.changes_anything();
        let check = Decision::Check {
            expects: format!("`{}` holds of {}", self.that.source(), self.subject()),
            except: Vec::new(),
        };
        match &seen.ran {
            Err(why) => Decision::Unknown {
                why: format!("it is not run for a plan, as {why}"),
                otherwise: Some(Box::new(check)),
            },
            // It is looked at when its turn comes.
            Ok(_) if earlier => check,
            Ok(_) => match self.holds(seen) {
                Ok(true) => Decision::NoChange {
                    why: "it is so".to_owned(),
                },
                Ok(false) => Decision::Refuse {
                    why: format!("{} ({})", self.because, self.words(seen)),
                    next: None,
                },
                Err(why) => Decision::Refuse {
                    why: format!("it cannot be told whether it is so: {why}"),
                    next: Some(
                        match self.of_facts {
                            true => "see what is known of the host: runbook inventory facts HOST",
                            false => "put `that` right",
                        }
                        .to_owned(),
                    ),
                },
            },
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Self::Change>) -> Vec<String> {
        match (decision, &seen.facts) {
            (Decision::Check { .. }, Some(facts)) => {
                vec![format!("now {}", facts.said(&self.that.names()))]
            }
            _ => Vec::new(),
        }
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match &seen.ran {
            Err(why) => Settled::NotYet(why.clone()),
            Ok(_) => match self.holds(seen) {
                Ok(true) => Settled::Yes,
                Ok(false) => Settled::NotYet(format!("{} ({})", self.because, self.words(seen))),
                Err(why) => Settled::NotYet(why),
            },
        }
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        match &seen.ran {
            Ok(Some(ran)) if !self.sensitive => ran.found(),
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
    fn holds(&self, seen: &Seen) -> Result<bool, String> {
        let ran = match &seen.ran {
            Ok(Some(ran)) => self.names(ran)?,
            Ok(None) => Map::new(),
            Err(why) => return Err(why.clone()),
        };
        let held = match &seen.facts {
            Some(facts) => facts.holds(&self.that, ran),
            None => self.that.holds(&Value::Object(ran)),
        };
        // The reason may name a value.
        held.map_err(|why| match self.sensitive {
            true => format!("`{}` cannot be decided", self.that.source()),
            false => why,
        })
    }

    /// What the program gave, by the names that `that` has for it.
    fn names(&self, ran: &Ran) -> Result<Map<String, Value>, String> {
        let code = match ran.exit {
            Exit::Code(code) => code,
            Exit::Killed => return Err(format!("{} was killed", self.subject())),
            Exit::Timeout => {
                return Err(format!(
                    "{} did not end within {} s",
                    self.subject(),
                    self.limit
                ));
            }
        };
        if ran.left_out > 0 {
            return Err(format!(
                "{} printed too much: {} bytes of it were left out",
                self.subject(),
                ran.left_out
            ));
        }
        // As later steps have it: nobody means the end of the last line.
        let output = ran.output();
        let output = output.trim_end_matches('\n');
        let mut names = Map::new();
        names.insert("code".to_owned(), code.into());
        names.insert("output".to_owned(), output.into());
        Ok(names)
    }

    /// What it looks at, in a sentence.
    fn subject(&self) -> String {
        match &self.program {
            Some(program) => title(program),
            None => "the host".to_owned(),
        }
    }

    /// What was found, for a person.
    fn words(&self, seen: &Seen) -> String {
        let ran = match &seen.ran {
            Ok(Some(ran)) => format!("{}: {}", self.subject(), ended(ran, self.sensitive)),
            _ => String::new(),
        };
        let facts = seen.facts.as_ref();
        let facts = facts.map_or(String::new(), |facts| facts.said(&self.that.names()));
        match (ran.as_str(), facts.as_str()) {
            ("", facts) => facts.to_owned(),
            (ran, "") => ran.to_owned(),
            (ran, facts) => format!("{ran}; {facts}"),
        }
    }
}

#[cfg(test)]
mod tests;
