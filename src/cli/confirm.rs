//! Asking before anything is written.

use crate::engine::{Question, stopped};
use crate::fault::Fault;
use crate::model::Secret;
use crate::model::{Plan, PlanKind, Risk, StepId};
use crate::views::{clean, render_question};
use clap::Args;
use std::io::{IsTerminal, Write};
use tokio::sync::watch;

#[derive(Debug, Args)]
pub struct Confirmation {
    /// Answer yes where the risk is low or medium
    #[arg(short, long)]
    yes: bool,
    /// Confirm a high risk: the node's name, or how many nodes there are
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// How questions in the middle of a run are answered.
#[derive(Debug, Default, Args)]
pub struct Gates {
    /// Answer yes at this step, which asks whether to go on; once for each
    #[arg(long, value_name = "STEP")]
    pass: Vec<String>,
}

impl Gates {
    /// Whether the operator wants the run to go on.
    pub async fn ask(
        &self,
        question: &Question,
        mut stop: watch::Receiver<bool>,
    ) -> Result<bool, Fault> {
        eprintln!("{}", render_question(question));
        let named = |name: &String| {
            StepId::try_from(name.clone()).is_ok_and(|name| question.step.is_of(&name))
        };
        if self.pass.iter().any(named) {
            eprintln!("    Answered on the command line: yes.");
            return Ok(true);
        }
        if !on_terminal() {
            let flag = format!("--pass {}", question.step);
            return Err(Fault::refused(
                "not_confirmed",
                "this is asked here, and there is no terminal to ask on: it does not go on",
            )
            .next(format!("read it, and resume with {flag}")));
        }
        let typed = tokio::task::spawn_blocking(|| yes("    Go on?"));
        tokio::select! {
            typed = typed => Ok(typed.unwrap_or(false)),
            Ok(_) = stop.wait_for(|stop| *stop) => Err(stopped()),
        }
    }
}

impl Confirmation {
    /// Whether the operator wants the plan carried out.
    pub fn ask(&self, plan: &Plan) -> Result<bool, Fault> {
        let what = match plan.kind {
            PlanKind::Apply => "Apply this",
            PlanKind::Undo { .. } => "Take this back",
        };
        let terminal = on_terminal();
        match plan.risk {
            Risk::Low | Risk::Medium if self.yes => Ok(true),
            Risk::Low | Risk::Medium if terminal => Ok(yes(&format!("{what}?"))),
            Risk::Low | Risk::Medium => Err(no_terminal("--yes")),
            Risk::High => {
                let phrase = phrase(plan);
                match &self.confirm {
                    Some(given) if *given == phrase => Ok(true),
                    Some(given) => Err(Fault::refused(
                        "confirm_mismatch",
                        format!(
                            "--confirm is `{given}`, and this plan is confirmed with `{phrase}`"
                        ),
                    )),
                    None if terminal => Ok(answer(&format!(
                        "{what}? The risk is high; type `{phrase}`: "
                    )) == phrase),
                    None => Err(no_terminal(&format!("--confirm {phrase}"))),
                }
            }
        }
    }
}

/// Whether there is somebody to ask.
pub fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal; whatever is not a yes is a no.
pub fn yes(question: &str) -> bool {
    let answer = answer(&format!("{question} [y/N] "));
    ["y", "yes"].contains(&answer.to_lowercase().as_str())
}

/// What is typed in answer; nothing, where the input ends or the terminal is gone. The terminal's own
/// line editing is used, so that Ctrl-D and Ctrl-C mean what they always mean.
fn answer(question: &str) -> String {
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "{question}");
    match asked.and_then(|()| std::io::stdin().read_line(&mut line)) {
        Ok(read) => {
            if read == 0 {
                eprintln!();
            }
            line.trim().to_owned()
        }
        Err(_) => String::new(),
    }
}

/// Asks for a password, which is not shown as it is typed.
pub fn ask_password(what: &str) -> Result<Secret, Fault> {
    let terminal = console::Term::stderr();
    let typed = write!(&terminal, "{}: ", clean(what)).and_then(|()| terminal.read_secure_line());
    match typed {
        Ok(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(Fault::refused(
            "no_password",
            "no password was typed, and without it nothing can be done there",
        )),
    }
}

/// What is typed to confirm a high risk: the name of the one node, or how many there are.
fn phrase(plan: &Plan) -> String {
    match plan.targets.as_slice() {
        [one] => one.name.clone(),
        several => several.len().to_string(),
    }
}

fn no_terminal(flag: &str) -> Fault {
    Fault::refused(
        "not_confirmed",
        "this must be confirmed, and there is no terminal to ask on: nothing was done",
    )
    .next(format!("read the plan, then add {flag}"))
}
