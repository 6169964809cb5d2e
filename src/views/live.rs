//! A run while it happens, from the same events that its journal keeps.

use super::print::inform;
use super::tell::{Telling, Told};
use super::text::{clean, paragraph, seconds, width};
use crate::engine::Waiting;
use crate::journal::Event;
use crate::model::Plan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Without a terminal, what is waited for is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(15);

/// What moves on the terminal just now, so that whoever else has something to say there says it above,
/// and whoever ends the program takes it away first.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> Option<ProgressBar> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn show(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// A line for people that does not come from the run's events.
pub fn beside(line: &str) {
    match shown() {
        Some(bar) => bar.println(line),
        None => inform!("{line}"),
    }
}

/// Takes away what moves: the program ends, or somebody is asked.
pub fn clear_live() {
    if let Some(bar) = shown() {
        show(None);
        bar.disable_steady_tick();
        bar.finish_and_clear();
    }
}

/// Writes a run to standard error.
pub struct Live {
    telling: Telling,
    bar: ProgressBar,
    terminal: bool,
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
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
            bar.set_style(style);
        }
        show(terminal.then(|| bar.clone()));
        Self {
            telling: Telling::new(plan),
            bar,
            terminal,
            said: None,
        }
    }

    /// A line of the run, which stays.
    fn line(&self, line: &str) {
        if self.terminal {
            self.bar.println(line);
        } else {
            inform!("{line}");
        }
    }
}

/// The text beside the spinner, in as many lines as it needs: what is waited for may stand at its end.
fn beside_spinner(text: &str, width: usize) -> String {
    let lines = paragraph("    ", text, width.saturating_sub(1));
    lines.trim_start().to_owned()
}

impl Drop for Live {
    fn drop(&mut self) {
        clear_live();
    }
}

impl Live {
    /// Leaves the terminal to a question.
    pub fn make_room(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    pub fn event(&mut self, event: &Event) {
        for told in self.telling.on(Timestamp::now(), event) {
            match told {
                Told::Begun(name) if self.terminal => {
                    // It may have made room for a question.
                    self.bar.reset();
                    self.bar.set_message(beside_spinner(&name, width()));
                    self.bar.enable_steady_tick(Duration::from_millis(120));
                }
                Told::Begun(name) => self.line(&format!("  … {name}")),
                Told::Line(line) => {
                    self.bar.disable_steady_tick();
                    self.said = None;
                    self.line(&line);
                }
                Told::Over => self.bar.finish_and_clear(),
            }
        }
    }

    pub fn waiting(&mut self, waiting: &Waiting) {
        let what = clean(&waiting.what);
        let so_far = match waiting.holding {
            Some((begun, needed)) => {
                format!(" for {} of {}", seconds(begun.elapsed()), seconds(needed))
            }
            None => format!(", waiting for {}", seconds(waiting.since.elapsed())),
        };
        if self.terminal {
            self.bar
                .set_message(beside_spinner(&format!("{what}{so_far}"), width()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_not_cut_off() {
        let text = "10 of 12 pods are gone from node02; 2 pods wait for PodDisruptionBudget shop/web since 03:12:09 UTC, waiting for 40 s";
        insta::assert_snapshot!(beside_spinner(text, 60), @"
        10 of 12 pods are gone from node02; 2 pods wait for
            PodDisruptionBudget shop/web since 03:12:09 UTC,
            waiting for 40 s
        ");
    }
}
