//! Asking before anything is written.

use super::signals::touch_terminal;
use crate::engine::{Question, stopped};
use crate::fault::Fault;
use crate::model::{Plan, PlanKind, Risk, Secret, StepId, shell_word};
use crate::plan::approval;
use crate::views::{clean, inform, render_confirmation, render_question, to_people};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use std::io::{IsTerminal, stdin};
use tokio::sync::watch;

#[derive(Debug, Args)]
pub struct Confirmation {
    /// Answer yes where the risk is low or medium
    #[arg(short, long)]
    yes: bool,
    /// Confirm any risk: the node's name, how many nodes there are, or the context where there are none
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Confirm any risk: the digest of the plan that somebody has read; of another plan nothing is done
    #[arg(long, value_name = "DIGEST")]
    approve: Option<String>,
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
        inform!("{}", render_question(question));
        let named = |name: &String| {
            StepId::try_from(name.clone()).is_ok_and(|name| question.step.is_of(&name))
        };
        if self.pass.iter().any(named) {
            inform!("    Answered on the command line: yes.");
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
    pub fn ask(&self, plan: &Plan, allowed: &[StepId]) -> Result<bool, Fault> {
        let phrase = phrase(plan);
        if let Some(given) = self.confirm.as_ref().filter(|given| **given != phrase) {
            return Err(Fault::refused(
                "confirm_mismatch",
                format!("--confirm is `{given}`, and this plan is confirmed with `{phrase}`"),
            ));
        }
        let digest = approval(plan, allowed);
        if let Some(given) = self
            .approve
            .as_ref()
            .filter(|given| **given != digest.as_str())
        {
            return Err(Fault::refused(
                "approve_mismatch",
                format!(
                    "--approve is `{given}`, and the digest of this plan is {digest}: it is another \
                     than the one that was approved, and nothing was done"
                ),
            )
            .next("read the plan above; `runbook plan --out` saves it, to be read and approved anew"));
        }
        let high = plan.risk == Risk::High;
        if self.confirm.is_some() || self.approve.is_some() || self.yes && !high {
            return Ok(true);
        }
        if !on_terminal() {
            let flag = match high {
                true => format!("--confirm {}", shell_word(&phrase)),
                false => "--yes".to_owned(),
            };
            return Err(Fault::refused(
                "not_confirmed",
                "this must be confirmed, and there is no terminal to ask on: nothing was done",
            )
            .next(format!(
                "read the plan, then add {flag}, or --approve {digest}"
            )));
        }
        let what = match plan.kind {
            PlanKind::Apply => "Apply this",
            PlanKind::Undo { .. } => "Take this back",
        };
        to_people(&render_confirmation(plan));
        Ok(match high {
            true => {
                let question = format!("{what}? The risk is high; type `{}`: ", clean(&phrase));
                answer(&question).is_some_and(|typed| typed == phrase)
            }
            false => yes(&format!("{what}?")),
        })
    }
}

/// Whether there is somebody to ask.
pub fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal; whatever is not a yes is a no.
pub fn yes(question: &str) -> bool {
    answer(&format!("{question} [y/N] "))
        .is_some_and(|answer| ["y", "yes"].contains(&answer.to_lowercase().as_str()))
}

/// The line that is typed in answer; none, where the input ends before the line does, or the terminal
/// is gone. The terminal's own line editing is used, so that Ctrl-D and Ctrl-C mean what they always
/// mean.
fn answer(question: &str) -> Option<String> {
    // What was typed before it was asked answers nothing.
    let _ = tcflush(stdin(), QueueSelector::IFlush);
    to_people(question);
    let mut line = String::new();
    let read = stdin().read_line(&mut line);
    match line.strip_suffix('\n') {
        Some(line) if read.is_ok() => Some(line.trim().to_owned()),
        _ => {
            inform!();
            None
        }
    }
}

/// Asks for a password, which is not shown as it is typed.
pub fn ask_password(what: &str) -> Result<Secret, Fault> {
    let unseen = Unseen::begin();
    // Without the means to hide it, it is not asked for.
    let typed = unseen.and_then(|unseen| {
        let typed = answer(&format!("{}: ", clean(what)));
        drop(unseen);
        typed.inspect(|_| inform!())
    });
    match typed {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(Fault::refused(
            "no_password",
            "no password was typed, and without it nothing can be done there",
        )),
    }
}

/// What is typed is not shown, for as long as this lives.
struct Unseen(rustix::termios::Termios);

impl Unseen {
    fn begin() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        touch_terminal();
        tcsetattr(stdin(), OptionalActions::Drain, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}

/// What confirms a high risk: the name of the one node, how many there are, or of which cluster it is
/// about as a whole.
fn phrase(plan: &Plan) -> String {
    match plan.targets.as_slice() {
        [] => [&plan.cluster.context, &plan.cluster.server]
            .into_iter()
            .find(|name| !name.trim().is_empty())
            .map_or_else(|| "the cluster".to_owned(), |name| name.trim().to_owned()),
        [one] => one.name.clone(),
        several => several.len().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::plan;
    use crate::model::ClusterId;

    fn given(yes: bool, confirm: Option<&str>, approve: Option<&str>) -> Confirmation {
        Confirmation {
            yes,
            confirm: confirm.map(str::to_owned),
            approve: approve.map(str::to_owned),
        }
    }

    fn of_risk(risk: Risk) -> Plan {
        Plan {
            risk,
            cluster: ClusterId {
                context: "prod".to_owned(),
                ..plan().cluster
            },
            ..plan()
        }
    }

    fn code(confirmation: Confirmation, plan: &Plan) -> String {
        confirmation.ask(plan, &[]).unwrap_err().code
    }

    #[test]
    fn what_answers_a_risk() {
        for risk in [Risk::Low, Risk::Medium, Risk::High] {
            let plan = of_risk(risk);
            let own = approval(&plan, &[]).to_string();
            let others = approval(&of_risk_elsewhere(risk), &[]).to_string();
            assert!(given(false, Some("prod"), None).ask(&plan, &[]).unwrap());
            assert!(given(false, None, Some(&own)).ask(&plan, &[]).unwrap());
            // What is wrong outweighs what is right.
            assert_eq!(
                code(given(true, Some("prod"), Some(&others)), &plan),
                "approve_mismatch"
            );
            assert_eq!(
                code(given(true, Some("x"), Some(&own)), &plan),
                "confirm_mismatch"
            );
            for cut in ["", &own[..12], &own.to_uppercase()] {
                assert_eq!(
                    code(given(true, None, Some(cut)), &plan),
                    "approve_mismatch"
                );
            }
        }
        assert!(
            given(true, None, None)
                .ask(&of_risk(Risk::Medium), &[])
                .unwrap()
        );
    }

    fn of_risk_elsewhere(risk: Risk) -> Plan {
        let mut plan = of_risk(risk);
        plan.cluster.uid = "another".to_owned();
        plan
    }

    #[test]
    fn a_plan_about_a_cluster_is_confirmed_by_its_name_and_never_by_nothing() {
        let mut plan = of_risk(Risk::High);
        assert_eq!(phrase(&plan), "prod");
        plan.cluster.context = " ".to_owned();
        assert_eq!(phrase(&plan), "the cluster");
        plan.cluster.server = "https://a:1".to_owned();
        assert_eq!(phrase(&plan), "https://a:1");
    }
}
