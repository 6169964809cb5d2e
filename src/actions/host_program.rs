//! What `host.command` and `host.script` have in common: programs of the runbook's author, who says
//! which of them only read, and how what they do is checked and taken back.

use super::{Action, Compiled, Decision, Look, Needs, Patience, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Detail, Effect, Exception, Exit, HostRef, Prior, Program, Programs, Ran, Settled,
    UndoClass, indented,
};
use crate::runbook::{DURATION_FORMAT, Record, Type, parse_duration};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use switch::put_back_after;
pub(super) use switch::{no_switch, switch_seconds};

mod switch;

/// Seconds that a program may take where nothing is said.
const USUAL_LIMIT: u64 = 60;
/// Seconds that a program may take at most: nobody waits longer for one step.
const LONGEST: u64 = 3600;
/// Lines of what a program printed that a plan shows.
const SHOWN_LINES: usize = 8;

/// How programs are written down.
pub trait Form: Send + Sync + 'static {
    const USES: &'static str;
    /// What authors read about it.
    const ABOUT: &'static str;
    const LITERAL: &'static [&'static str] = &[];
    type Part: DeserializeOwned + JsonSchema + fmt::Debug + Send + Sync;

    fn program(part: Self::Part, values: &Values) -> Result<Program, String>;
}

/// A value as YAML has it, for an argument or a variable.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

/// The values that reach programs.
#[derive(Debug, Default)]
pub struct Values {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Variables whose values are secret, each with its parameter.
    pub secrets: BTreeMap<String, String>,
}

/// The value of a variable.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    Is(Scalar),
    /// What the template of a secret parameter becomes: the parameter's name, and never its value.
    #[schemars(skip)]
    Secret(SecretRef),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    secret: String,
}

impl Values {
    pub fn new(args: Vec<Scalar>, env: BTreeMap<String, Variable>) -> Result<Self, String> {
        let plain = |name: &str| {
            let mut chars = name.chars();
            chars
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if let Some(name) = env.keys().find(|name| !plain(name)) {
            return Err(format!("`env`: `{name}` is not the name of a variable"));
        }
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let (mut plain, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in env {
            match value {
                Variable::Is(value) => {
                    plain.insert(name, value.to_string());
                }
                Variable::Secret(SecretRef { secret }) => {
                    secrets.insert(name, secret);
                }
            }
        }
        let env = plain;
        match args
            .iter()
            .chain(env.values())
            .any(|value| value.contains('\0'))
        {
            true => Err("a value has a NUL in it".to_owned()),
            false => Ok(Self { args, env, secrets }),
        }
    }
}

/// Seconds from a duration.
pub fn limit(text: Option<&str>) -> Result<u64, String> {
    let Some(text) = text else {
        return Ok(USUAL_LIMIT);
    };
    let wrong = || format!("`timeout` is a duration from 1s to 1h, and `{text}` is not");
    let seconds = parse_duration(text).ok_or_else(wrong)?.as_secs();
    match (1..=LONGEST).contains(&seconds) {
        true => Ok(seconds),
        false => Err(wrong()),
    }
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, bound = "P: DeserializeOwned")]
pub struct Args<P> {
    /// What only reads; of the other programs, none is given then.
    reads: Option<P>,
    /// Ends with 0 where it is done, and with 1 where it is not.
    check: Option<P>,
    /// What changes something.
    apply: Option<P>,
    /// Ends with 0 where it was done; if left out, `check` says so.
    verify: Option<P>,
    /// Takes it back. Without it, the step is not taken back.
    undo: Option<P>,
    /// For what may cut the host off: after this time, from 10s to 1h, the host runs `undo` by itself, also
    /// after a reboot, unless it was reached again over a new connection by then and `check` or `verify`
    /// says that it is done. What `apply` takes counts. It needs root, systemd, `undo`, and `check` or
    /// `verify`. `RUNBOOK_PUTS_BACK` tells `undo` there what for: `time`, as nobody came back, `boot`, or else.
    #[schemars(extend("format" = DURATION_FORMAT))]
    put_back_after: Option<String>,
    /// What scripts get as `$1`, `$2` and so on; a command is its own arguments.
    #[serde(default)]
    args: Vec<Scalar>,
    /// Variables of the programs, by name.
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    /// How long each program may take, from 1s to 1h; 60s if left out.
    #[schemars(extend("format" = DURATION_FORMAT))]
    timeout: Option<String>,
    /// Whether what is printed is neither shown nor kept.
    #[serde(default)]
    sensitive: bool,
}

/// Programs of one step.
pub struct HostProgram<F> {
    does: Does,
    limit: u64,
    put_back_after: Option<u64>,
    sensitive: bool,
    form: PhantomData<F>,
}

#[derive(Debug)]
enum Does {
    Reads(Program),
    Changes(Box<Parts>),
}

#[derive(Debug)]
struct Parts {
    check: Option<Program>,
    apply: Program,
    verify: Option<Program>,
    undo: Option<Program>,
}

pub struct Seen {
    host: HostRef,
    /// What the program gave that only reads, or why it was not run.
    looked: Result<Option<Ran>, String>,
    /// Why the host cannot put anything back by itself, where it is to, and what to do about it.
    no_switch: Option<(String, String)>,
}

pub struct Change {
    programs: Programs,
    predicted: Option<String>,
}

#[async_trait]
impl<F: Form> Action for HostProgram<F> {
    const USES: &'static str = F::USES;
    const LITERAL: &'static [&'static str] = F::LITERAL;
    const ABOUT: Option<&'static str> = Some(F::ABOUT);
    type Args = Args<F::Part>;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Self::Args) -> Result<Self, String> {
        let values = Values::new(args.args, args.env)?;
        let of = |part: Option<F::Part>| part.map(|part| F::program(part, &values)).transpose();
        let parts = (
            of(args.reads)?,
            of(args.check)?,
            of(args.apply)?,
            of(args.verify)?,
            of(args.undo)?,
        );
        let does = match parts {
            (Some(reads), None, None, None, None) => Does::Reads(reads),
            (Some(_), ..) => {
                return Err("`reads` stands alone: what only reads has nothing to check, to apply or to undo".to_owned());
            }
            (None, check, Some(apply), verify, undo) => Does::Changes(Box::new(Parts {
                check,
                apply,
                verify,
                undo,
            })),
            (None, _, None, ..) => {
                return Err(
                    "give `reads`, for what only reads, or `apply`, for what changes something"
                        .to_owned(),
                );
            }
        };
        let put_back_after = put_back_after(args.put_back_after.as_deref(), &does)?;
        if put_back_after.is_some() && !values.secrets.is_empty() {
            return Err("with `put_back_after`, the `undo` lies on the host's disk for a while: no secret can be given to it".to_owned());
        }
        Ok(Self {
            does,
            limit: limit(args.timeout.as_deref())?,
            put_back_after,
            // What it prints may be what it was given.
            sensitive: args.sensitive || !values.secrets.is_empty(),
            form: PhantomData,
        })
    }

    fn outputs() -> Record {
        outputs()
    }

    fn lost(with: &serde_json::Value) -> Option<&'static str> {
        let has = |part: &str| with.get(part).is_some();
        match (has("reads"), has("undo")) {
            (true, _) => None,
            (_, true) => {
                Some("its `undo` is its author's word: whether it puts everything back is not seen")
            }
            (_, false) => Some("it has no `undo`"),
        }
    }

    fn needs(with: &Value) -> Needs {
        Needs::of_host(with.get("reads").is_none())
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        let reader = match &self.does {
            Does::Reads(program) => Some(program),
            Does::Changes(parts) => parts.check.as_ref(),
        };
        let looked = match (reader, place.untrusted) {
            (Some(program), None) => Ok(Some(look.program(&host, program, self.limit).await?)),
            (reader, untrusted) => {
                // Nothing of the author's is run; that the host can be worked on is seen all the same.
                look.program(&host, &nothing(), USUAL_LIMIT).await?;
                match (reader, untrusted) {
                    (Some(_), Some(why)) => Err(why.to_owned()),
                    _ => Ok(None),
                }
            }
        };
        let no_switch = match self.put_back_after {
            Some(_) => no_switch(look, &host).await?,
            None => None,
        };
        Ok(Seen {
            host,
            looked,
            no_switch,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let earlier = prior.changes_anything();
        match &self.does {
            Does::Reads(program) => self.decide_reads(program, seen, earlier),
            Does::Changes(parts) => {
                let programs = Programs {
                    host: seen.host.clone(),
                    check: parts.check.clone(),
                    apply: parts.apply.clone(),
                    verify: parts.verify.clone(),
                    undo: parts.undo.clone(),
                    limit: self.limit,
                    undo_limit: None,
                    sensitive: self.sensitive,
                    back: false,
                    blind: false,
                    put_back_after: self.put_back_after,
                    restarts: None,
                    own: None,
                };
                match (
                    decide_changes(programs, &seen.looked, earlier),
                    &seen.no_switch,
                ) {
                    (decision @ Decision::Refuse { .. }, _) => decision,
                    (_, Some((why, next))) => Decision::Refuse {
                        why: why.clone(),
                        next: Some(next.clone()),
                    },
                    (decision, None) => decision,
                }
            }
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let Change {
            programs,
            predicted,
        } = change;
        let undo = match &programs.undo {
            Some(_) => UndoClass::BestEffort {
                lost:
                    "its `undo` is its author's word: whether it puts everything back is not seen"
                        .to_owned(),
            },
            None => UndoClass::None {
                why: "it has no `undo`".to_owned(),
            },
        };
        Compiled {
            details: details(&programs),
            effects: vec![Effect::RunProgram {
                programs: Box::new(programs),
            }],
            blobs: Blobs::default(),
            follows: Vec::new(),
            undo,
            predicted,
            heals: None,
        }
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        if let Does::Changes(parts) = &self.does
            && parts.check.is_none()
            && parts.verify.is_none()
        {
            return vec![
                "that it ends with exit code 0 is all that will be known of it: it has neither `check` nor `verify`"
                    .to_owned(),
            ];
        }
        match (&seen.looked, decision) {
            (Ok(Some(ran)), Decision::NoChange { .. })
                if !self.sensitive && matches!(self.does, Does::Reads(_)) =>
            {
                shown(ran)
            }
            _ => Vec::new(),
        }
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match &seen.looked {
            Ok(Some(ran)) if ran.exit == Exit::Code(0) => Settled::Yes,
            Ok(Some(ran)) => Settled::NotYet(ended(ran, self.sensitive)),
            Ok(None) => Settled::Yes,
            Err(why) => Settled::NotYet(why.clone()),
        }
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        match (&self.does, &seen.looked) {
            (Does::Reads(_), Ok(Some(ran))) if !self.sensitive => ran.found(),
            _ => Map::new(),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            // It is run once more where it fails at first.
            within: std::time::Duration::from_secs(1),
            ..Patience::default()
        }
    }
}

impl<F> HostProgram<F> {
    fn decide_reads(&self, program: &Program, seen: &Seen, earlier: bool) -> Decision<Change> {
        let expects = format!("{} ends with exit code 0", title(program));
        let check = Decision::Check {
            expects,
            except: Vec::new(),
        };
        match &seen.looked {
            Err(why) => Decision::Unknown {
                why: format!("it is not run for a plan, as {why}"),
                otherwise: Some(Box::new(check)),
            },
            // What it reads then is not what it reads now.
            _ if earlier => check,
            Ok(Some(ran)) if ran.exit == Exit::Code(0) => Decision::NoChange {
                why: "it only reads, and ended with exit code 0".to_owned(),
            },
            Ok(Some(ran)) => Decision::Refuse {
                why: format!("{}: {}", title(program), ended(ran, self.sensitive)),
                next: Some("put that right first; the steps after it rest on it".to_owned()),
            },
            Ok(None) => check,
        }
    }
}

/// What a program does is shown as it is written, and not known beyond that.
const AUTHORS_WORD: &str = "what it does is its author's word";

fn decide_changes(
    programs: Programs,
    looked: &Result<Option<Ran>, String>,
    earlier: bool,
) -> Decision<Change> {
    let sensitive = programs.sensitive;
    let change = |predicted: Option<&str>| {
        Decision::Change(Change {
            programs: programs.clone(),
            predicted: predicted.map(str::to_owned),
        })
    };
    match looked {
        Err(why) => Decision::Unknown {
            why: format!("its `check` is not run for a plan, as {why}"),
            otherwise: Some(Box::new(change(Some(AUTHORS_WORD)))),
        },
        Ok(None) => Decision::Unknown {
            why: "it has no `check`: what it would change cannot be told before".to_owned(),
            otherwise: Some(Box::new(change(Some(AUTHORS_WORD)))),
        },
        Ok(Some(ran)) => match (ran.exit, earlier) {
            (Exit::Code(0), false) => Decision::NoChange {
                why: "its `check` says that it is done".to_owned(),
            },
            (Exit::Code(1), false) => change(Some(
                "its `check` says that it is not done; what it does is its author's word",
            )),
            (Exit::Code(0), true) => change(Some(
                "its `check` says that it is done, but earlier steps change something",
            )),
            (Exit::Code(1), true) => change(Some(
                "by what its `check` says now; earlier steps change something",
            )),
            _ => Decision::Refuse {
                why: format!(
                    "its `check` does not tell whether it is done: {}",
                    ended(ran, sensitive)
                ),
                next: Some(Programs::CHECK_RULE.to_owned()),
            },
        },
    }
}

/// All that runs on the host, as it is written.
fn details(programs: &Programs) -> Vec<Detail> {
    let Programs { host, .. } = programs;
    let detail = |subject: String, program: &Program| Detail {
        subject,
        lines: indented(program),
        ..Detail::default()
    };
    let mut all = vec![detail(
        format!("runs on {}, as {}", host.node, host.identity.user()),
        &programs.apply,
    )];
    let undo = match programs.put_back_after {
        None => "its `undo`, where it is taken back".to_owned(),
        Some(seconds) => format!(
            "its `undo`, where it is taken back; {} runs it by itself if it cannot be reached again within {seconds} s, also after a reboot",
            host.node
        ),
    };
    for (what, program) in [
        ("its `check`, before and after".to_owned(), &programs.check),
        ("its `verify`, after".to_owned(), &programs.verify),
        (undo, &programs.undo),
    ] {
        all.extend(program.iter().map(|program| detail(what.clone(), program)));
    }
    all
}

fn nothing() -> Program {
    literal(":")
}

fn literal(script: &str) -> Program {
    Program {
        script: Some(script.to_owned()),
        args: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
    }
}

/// What a program gives to later steps.
pub fn outputs() -> Record {
    Record(vec![
        ("code".to_owned(), Type::Int),
        ("output".to_owned(), Type::String),
    ])
}

/// A program, in a sentence.
pub fn title(program: &Program) -> String {
    format!("`{}`", program.title())
}

/// How a program ended, with its last words.
pub fn ended(ran: &Ran, sensitive: bool) -> String {
    format!("{}{}", ran.exit, ran.said(sensitive))
}

/// The beginning of what a program printed.
pub fn shown(ran: &Ran) -> Vec<String> {
    let output = ran.output();
    let lines: Vec<&str> = output.lines().collect();
    let mut notes: Vec<String> = lines
        .iter()
        .take(SHOWN_LINES)
        .map(|line| format!("it printed: {line}"))
        .collect();
    let more = lines.len().saturating_sub(SHOWN_LINES);
    if more > 0 {
        notes.push(format!("and {more} lines more"));
    }
    notes
}

#[cfg(test)]
mod tests;
