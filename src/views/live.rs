//! A run while it happens, from the same records that its journal keeps.

use super::text::{clean, paragraph, seconds, width};
use crate::engine::{Observer, Waiting};
use crate::journal::{Event, Outcome, StepResult};
use crate::model::{Plan, PlannedStep, Scope, StepId};
use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// Without a terminal, what is waited for is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(15);

/// Writes a run to standard error.
pub struct Live {
    steps: Vec<PlannedStep>,
    bar: ProgressBar,
    terminal: bool,
    started: Option<Instant>,
    said: Option<(String, Instant)>,
}

impl Live {
    pub fn new(plan: &Plan) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            steps: plan.steps.clone(),
            bar,
            terminal,
            started: None,
            said: None,
        }
    }

    fn line(&self, line: &str) {
        if self.terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    fn name(&self, id: &StepId, scope: &Scope) -> String {
        let step = self.steps.iter().find(|s| &s.id == id && &s.scope == scope);
        let name = step.map_or("", |s| s.name.as_str());
        match scope {
            Scope::Target(target) => format!("{}: {name}", target.name),
            Scope::Run => name.to_owned(),
        }
    }

    fn ended(&mut self, id: &StepId, scope: &Scope, result: &StepResult) {
        self.bar.disable_steady_tick();
        let name = clean(&self.name(id, scope));
        let took = match self.started.take().map(|s| s.elapsed()) {
            Some(took) if took >= Duration::from_secs(2) => format!(" ({})", seconds(took)),
            _ => String::new(),
        };
        self.said = None;
        match result {
            StepResult::Unchanged { why } => {
                self.line(&format!("  {} {name}", style("=").for_stderr()));
                self.line(&paragraph("      ", why, width()));
            }
            StepResult::Verified { changed } => {
                let mark = style("✓").green().for_stderr();
                let note = match (changed, self.checks(id, scope)) {
                    (false, false) => ": it was already so",
                    _ => "",
                };
                self.line(&format!("  {mark} {name}{note}{took}"));
            }
            StepResult::Failed { .. } => {
                self.line(&format!("  {} {name}{took}", style("✗").red().for_stderr()));
            }
        }
    }

    fn checks(&self, id: &StepId, scope: &Scope) -> bool {
        self.steps
            .iter()
            .any(|s| &s.id == id && &s.scope == scope && !s.verdict.changes())
    }
}

impl Observer for Live {
    fn event(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, scope } => {
                self.started = Some(Instant::now());
                let name = clean(&self.name(step, scope));
                if self.terminal {
                    self.bar.set_message(name);
                    self.bar.enable_steady_tick(Duration::from_millis(120));
                } else {
                    self.line(&format!("  … {name}"));
                }
            }
            Event::StepEnded {
                step,
                scope,
                result,
            } => self.ended(step, scope, result),
            Event::Outcome {
                outcome: Outcome::NotDone { fault },
                ..
            } => self.line(&paragraph("      ", &fault.message, width())),
            Event::RunEnded { .. } => self.bar.finish_and_clear(),
            Event::RunStarted { .. } | Event::Intent { .. } | Event::Outcome { .. } => {}
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        let what = clean(&waiting.what);
        let so_far = match waiting.holding {
            Some((begun, needed)) => {
                format!(" for {} of {}", seconds(begun.elapsed()), seconds(needed))
            }
            None => format!(", waiting for {}", seconds(waiting.since.elapsed())),
        };
        if self.terminal {
            self.bar.set_message(format!("{what}{so_far}"));
            return;
        }
        let again = match &self.said {
            Some((said, at)) => *said != what || at.elapsed() >= SAY_AGAIN,
            None => true,
        };
        if again {
            self.line(&paragraph("      ", &format!("{what}{so_far}"), width()));
            self.said = Some((what, Instant::now()));
        }
    }
}
