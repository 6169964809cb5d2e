//! Programs that the author of a runbook wrote, on hosts.

use super::script::{LOCK_PATIENCE, Said, Script, refusal};
use super::ssh::{Hosts, TIMEOUT};
use super::switch::{Armed, put_back};
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::journal::Permit;
use crate::model::{Effect, Exit, HostRef, Program, ProgramNow, Programs, Ran};
use std::time::Duration;

const READ: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/program.sh"),
    include_str!("host/read_program.sh")
);
const FIND: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/program.sh"),
    include_str!("host/find_program.sh")
);
const FIND_SWITCH: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/program.sh"),
    include_str!("host/switch.sh"),
    include_str!("host/find_program.sh")
);
const RUN: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/program.sh"),
    include_str!("host/run_program.sh")
);

const AWAIT: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/await_program.sh")
);

impl Hosts {
    /// Runs a program that only reads, for at most `limit` seconds.
    pub async fn read_program(
        &self,
        host: &Destination,
        of: &HostRef,
        program: &Program,
        limit: u64,
    ) -> Result<Ran, Fault> {
        let (text, seconds) = (self.text(Some(program))?, limit.to_string());
        let args = [seconds.as_str(), &text];
        let mut script = Script::new(READ, &args);
        script.limit += Duration::from_secs(limit);
        let said = self.ask(host, of, &script).await?;
        match (said.word.as_str(), ran(&said).pop()) {
            ("ended", Some(ran)) => Ok(ran),
            _ => Err(refusal(host, of, "it", &said)),
        }
    }

    /// How a host stands to an author's programs, after everything that was begun there has ended. The
    /// effect `key` does not begin any more.
    pub async fn find_program(
        &self,
        host: &Destination,
        programs: &Programs,
        key: &str,
    ) -> Result<ProgramNow, Fault> {
        // What decides about a switch is sent only once the host was heard after the program had ended.
        if programs.switch().is_some() {
            let args = [key, &patience(programs).as_secs().to_string()];
            let script = await_script(programs, &args);
            self.ask(host, &programs.host, &script).await?;
        }
        let args = self.find_args(programs, key, false)?;
        let said = self
            .ask(host, &programs.host, &find_script(programs, &args.each()))
            .await?;
        self.found(host, programs, &said)
    }

    /// Arguments of looking what became of the effect `key`; where it is `live`, it may be yet to begin.
    pub(super) fn find_args(
        &self,
        programs: &Programs,
        key: &str,
        live: bool,
    ) -> Result<FindArgs, Fault> {
        let patience = patience(programs).as_secs().to_string();
        let back = switch_patience(programs).map(|back| back.as_secs().to_string());
        Ok(FindArgs([
            key.to_owned(),
            patience,
            programs.limit.to_string(),
            done_code(programs).to_owned(),
            self.text(programs.check.as_ref())?,
            self.text(verify(programs))?,
            back.unwrap_or_default(),
            if live { "live" } else { "" }.to_owned(),
        ]))
    }

    /// What was found, by what the host says of it.
    pub(super) fn found(
        &self,
        host: &Destination,
        programs: &Programs,
        said: &Said,
    ) -> Result<ProgramNow, Fault> {
        let unclear = |why: &str| Ok(ProgramNow::Unclear(why.to_owned()));
        let (checked, mark) = said.rest.split_once(' ').unwrap_or((&said.rest, ""));
        match (said.word.as_str(), checked, mark) {
            ("back", ..) => Ok(put_back(programs, &said.rest)),
            ("unverified", ..) => unclear("it was run, and its `verify` fails"),
            // That somebody else did the same does not stand for it.
            ("found", "0", "unbegun") if programs.blind && programs.restarts.is_some() => {
                Ok(ProgramNow::Is { done: false })
            }
            ("found", "0", _) => Ok(ProgramNow::Is { done: true }),
            // On the way back that is the end of it, unless it is to be run all the same.
            ("found", "1", "unbegun") if !programs.back => Ok(ProgramNow::Is { done: false }),
            ("found", "1", mark) if programs.back && (!programs.blind || mark == "ended 0") => {
                Ok(ProgramNow::Is { done: false })
            }
            ("found", "1", _) => Ok(ProgramNow::Begun),
            ("found", "none", "unbegun") => Ok(ProgramNow::Is {
                done: programs.back,
            }),
            ("found", "none", "ended 0") => Ok(ProgramNow::Is {
                done: !programs.back,
            }),
            ("found", "none", mark) => match mark.strip_prefix("ended ") {
                Some("timeout") => {
                    unclear("its time was up before it ended, and it has no `check`")
                }
                Some(code) => unclear(&format!(
                    "it ended with exit code {code}, and has no `check`"
                )),
                None => unclear("it was broken off in the middle, and has no `check`"),
            },
            ("found", ..) => Err(no_check(programs, said)),
            _ => Err(refusal(host, &programs.host, &programs.to_string(), said)),
        }
    }

    /// Runs an author's program, once, and gives what was printed too. `key` tells this attempt from all
    /// others, `holder` is what others are told while it is under way.
    pub async fn run_program(
        &self,
        host: &Destination,
        permit: Permit,
        key: &str,
        holder: &str,
    ) -> (Result<(), Fault>, Vec<Ran>) {
        let Effect::RunProgram { programs } = permit.effect() else {
            return (Err(Fault::internal("this is no program")), Vec::new());
        };
        let texts = match self.texts(programs) {
            Ok(texts) => texts,
            Err(fault) => return (Err(fault), Vec::new()),
        };
        if programs.switch().is_some() {
            let armed = Armed {
                host,
                programs,
                key,
                holder,
                texts,
            };
            return self.run_armed(&armed).await;
        }
        let (check, apply, verify) = texts;
        let (patience, limit) = (
            LOCK_PATIENCE.as_secs().to_string(),
            programs.limit.to_string(),
        );
        let args = [
            key,
            holder,
            &patience,
            &limit,
            done_code(programs),
            match programs.blind {
                true => "blind",
                false => "look",
            },
            &check,
            &apply,
            &verify,
        ];
        let mut script = Script::new(RUN, &args);
        script.limit = TIMEOUT + LOCK_PATIENCE + Duration::from_secs(4 * programs.limit);
        let said = match self.tell(host, &programs.host, &script).await {
            Ok(said) => said,
            Err(lost) => {
                let fault = lost.of_change(format_args!("running {programs}"));
                return (Err(fault), Vec::new());
            }
        };
        let ran = ran(&said);
        (self.outcome(host, programs, &said, &ran), ran)
    }

    /// Check, apply and verify.
    fn texts(&self, programs: &Programs) -> Result<(String, String, String), Fault> {
        Ok((
            self.text(programs.check.as_ref())?,
            self.text(Some(&programs.apply))?,
            self.text(verify(programs))?,
        ))
    }

    /// As a shell reads it, with what is secret; empty where there is none.
    pub(super) fn text(&self, program: Option<&Program>) -> Result<String, Fault> {
        let Some(program) = program else {
            return Ok(String::new());
        };
        program.text_with(self.secrets()).map_err(|param| {
            Fault::refused(
                "secret_missing",
                format!("the value of the secret `{param}` was not given, and is kept nowhere"),
            )
            .next("give it again: on a terminal it is asked for")
        })
    }

    pub(super) fn outcome(
        &self,
        host: &Destination,
        programs: &Programs,
        said: &Said,
        ran: &[Ran],
    ) -> Result<(), Fault> {
        let part = match programs.back {
            true => "undo",
            false => "apply",
        };
        // What it printed may be secret.
        let printed = ran
            .last()
            .map(|last| last.said(programs.sensitive))
            .unwrap_or_default();
        match (said.word.as_str(), said.rest.as_str()) {
            ("done" | "already", _) => Ok(()),
            ("unchecked", _) => Err(no_check(programs, said)),
            ("applied", "timeout") => Err(Fault::indeterminate(
                "program_timeout",
                format!(
                    "the `{part}` of {programs} was ended after {} s{printed}",
                    programs.limit
                ),
            )
            .next("give it more time with `timeout`, or look what holds it up")),
            ("applied", "killed") => Err(Fault::indeterminate(
                "program_failed",
                format!("the `{part}` of {programs} was killed by somebody else{printed}"),
            )
            .next("how much of it was done, nobody knows: look there")),
            ("applied", code) => Err(Fault::indeterminate(
                "program_failed",
                format!("the `{part}` of {programs} ended with exit code {code}{printed}"),
            )
            .next("how much of it was done, nobody knows: look there")),
            ("broken", why) => Err(Fault::indeterminate(
                "program_failed",
                format!("{programs} was run, and what became of it cannot be told: {why}"),
            )
            .next("look there what became of it")),
            ("unverified", _) => Err(Fault::indeterminate(
                "unverified",
                format!(
                    "{programs} was run, and then its `{}` failed{printed}",
                    ran.last().map_or("check", |ran| ran.name.as_str())
                ),
            )
            .next("look there what became of it")),
            _ => Err(refusal(host, &programs.host, &programs.to_string(), said)),
        }
    }
}

/// Arguments of looking what became of an effect.
pub(super) struct FindArgs([String; 8]);

impl FindArgs {
    pub fn each(&self) -> [&str; 8] {
        self.0.each_ref().map(String::as_str)
    }
}

/// What looks what became of programs.
pub(super) fn find_script<'s>(programs: &Programs, args: &'s [&'s str]) -> Script<'s> {
    let back = switch_patience(programs);
    let text = if back.is_some() { FIND_SWITCH } else { FIND };
    let mut script = Script::new(text, args);
    script.limit = TIMEOUT
        + patience(programs)
        + Duration::from_secs(2 * programs.limit)
        + 2 * back.unwrap_or_default();
    script
}

/// What answers once that is over which was begun of an attempt.
pub(super) fn await_script<'s>(programs: &Programs, args: &'s [&'s str]) -> Script<'s> {
    let mut script = Script::new(AWAIT, args);
    script.limit = TIMEOUT + patience(programs);
    script
}

/// How long a host may take until it has put everything back by itself; `None` where it does not.
fn switch_patience(programs: &Programs) -> Option<Duration> {
    programs.switch()?;
    Some(Duration::from_secs(programs.undo_limit() + 45))
}

/// How long what was begun of it may go on by itself.
pub(super) fn patience(programs: &Programs) -> Duration {
    LOCK_PATIENCE + Duration::from_secs(programs.limit)
}

/// The exit code of its check once it is done.
pub(super) fn done_code(programs: &Programs) -> &'static str {
    match programs.back {
        true => "1",
        false => "0",
    }
}

/// What is put back is not verified by what verifies what was done.
fn verify(programs: &Programs) -> Option<&Program> {
    programs.verify.as_ref().filter(|_| !programs.back)
}

/// A check that tells nothing.
pub fn check_failed(programs: &Programs, exit: Exit, ran: &Ran) -> Fault {
    let how = match exit {
        Exit::Timeout => format!("was ended after {} s", programs.limit),
        Exit::Killed => "was killed by somebody else".to_owned(),
        Exit::Code(code) => format!("ended with exit code {code}"),
    };
    let printed = ran.said(programs.sensitive);
    if programs.own.is_some() {
        let why = match printed.strip_prefix(": ") {
            Some(said) => said.to_owned(),
            None => format!("how {programs} stands cannot be told"),
        };
        return Fault::refused("check_failed", why).next("look there, and put it right by hand");
    }
    Fault::refused(
        "check_failed",
        format!("the `check` of {programs} {how}, and so nobody knows whether it is done{printed}"),
    )
    .next(Programs::CHECK_RULE)
}

fn no_check(programs: &Programs, said: &Said) -> Fault {
    match ran(said).pop() {
        Some(last) => check_failed(programs, last.exit, &last),
        None => Fault::internal("a check was not run"),
    }
}

/// The programs that a script ran, with what they printed.
pub(super) fn ran(said: &Said) -> Vec<Ran> {
    let mut all: Vec<Ran> = Vec::new();
    for (line, body) in &said.parts {
        let text = String::from_utf8_lossy(body).into_owned();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ran", name, code, rest, held @ ..] => all.push(Ran {
                name: (*name).to_owned(),
                exit: match *code {
                    "timeout" => Exit::Timeout,
                    code => code.parse().map_or(Exit::Killed, Exit::Code),
                },
                head: text,
                left_out: rest.parse().unwrap_or(0),
                tail: String::new(),
                held: !held.is_empty(),
            }),
            ["tail"] => {
                if let Some(last) = all.last_mut() {
                    last.left_out = last.left_out.saturating_sub(body.len() as u64);
                    last.tail = text;
                }
            }
            _ => {}
        }
    }
    all
}
