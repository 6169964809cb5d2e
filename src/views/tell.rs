//! A run's events as lines: the same for a run that happens and for one that is over.

use super::plan::render_step;
use super::text::{clean, paragraph, seconds, width};
use crate::journal::{Event, Outcome, StepResult};
use crate::model::{Effect, EffectId, Exit, OnFailure, Plan, PlannedStep, Ran, Scope, StepId};
use console::style;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// The output of a check that says in a sentence what was found.
const SUMMARY: &str = "summary";
/// Lines of a program's output that are shown.
const PRINTED_LINES: usize = 8;
/// Pods that are named, of those that a step has evicted.
const EVICTED_NAMES: usize = 50;

/// What an event means for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A step has begun; its name.
    Begun(String),
    Line(String),
    /// The run is over.
    Over,
}

/// Follows a run through its events.
pub struct Telling {
    plan: Plan,
    started: Option<Timestamp>,
    /// What the step under way has found, in its own words.
    found: Option<String>,
    /// The pods that the step under way has evicted, and those that were gone before it did.
    evicted: Vec<String>,
    went: Vec<String>,
    /// Those that were deleted whatever their budgets say, by their effects.
    over: Vec<String>,
    width: usize,
}

impl Telling {
    pub fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            started: None,
            found: None,
            evicted: Vec::new(),
            went: Vec::new(),
            over: Vec::new(),
            width: width(),
        }
    }

    pub fn on(&mut self, at: Timestamp, event: &Event) -> Vec<Told> {
        match event {
            Event::Outcome {
                id,
                outcome: outcome @ (Outcome::Done | Outcome::AlreadySo),
            } if self.is_eviction(id) => {
                // `namespace/name uid`
                let name = id.item.split(' ').next().unwrap_or_default();
                let over = match self.over.contains(&id.item) {
                    true => " (deleted over its budget)",
                    false => "",
                };
                match outcome {
                    Outcome::Done => self.evicted.push(format!("{name}{over}")),
                    _ => self.went.push(name.to_owned()),
                }
                Vec::new()
            }
            Event::Intent {
                id,
                effect: Effect::EvictPod { deletes: true, .. },
            } => {
                self.over.push(id.item.clone());
                Vec::new()
            }
            Event::StepStarted { step, scope } => {
                self.started = Some(at);
                self.found = None;
                self.evicted.clear();
                self.went.clear();
                self.over.clear();
                vec![Told::Begun(clean(&self.name(step, scope)))]
            }
            Event::StepEnded {
                step,
                scope,
                result,
            } => self.ended(at, step, scope, result),
            Event::Outcome {
                outcome: Outcome::NotDone { fault },
                ..
            } => vec![self.line("      ", &fault.message)],
            Event::Printed { ran, .. } => self.printed(ran),
            Event::RunResumed { actor, reason, .. } => {
                let why = reason
                    .as_ref()
                    .map_or_else(String::new, |why| format!(": {why}"));
                vec![self.line("  ", &format!("↻ Resumed by {actor}{why}"))]
            }
            Event::RunEnded { .. } => vec![Told::Over],
            Event::Decided { step, scope, steps } => self.decided(step, scope, steps),
            Event::Asked { message, yes, .. } => {
                let answer = if *yes { "yes" } else { "no" };
                let message: Vec<&str> = message.lines().collect();
                vec![self.line("      ", &format!("asked: {} {answer}", message.join(" ")))]
            }
            Event::Retrying { fault, attempt, .. } => {
                let text = format!(
                    "attempt {attempt} failed, it is tried again: {}",
                    fault.message
                );
                vec![self.line("      ", &text)]
            }
            Event::Claiming { over, .. } => over
                .iter()
                .map(|run| self.line("  ", &format!("Takes over from run {run}")))
                .collect(),
            Event::Found { outputs, .. } => {
                let summary = outputs.get(SUMMARY).and_then(Value::as_str);
                self.found = summary.map(str::to_owned);
                Vec::new()
            }
            Event::RunStarted { .. }
            | Event::Released { .. }
            | Event::Intent { .. }
            | Event::Outcome { .. } => Vec::new(),
        }
    }

    /// Whether an effect is one of the evictions of its step, and not what comes before them.
    fn is_eviction(&self, id: &EffectId) -> bool {
        let step = self.plan.step(&id.step, &id.scope);
        step.is_some_and(|step| step.evicts) && id.item.contains('/')
    }

    /// Which pods the step that has ended has evicted, and which had gone before; of many, how many.
    fn evictions(&mut self) -> Vec<Told> {
        let (evicted, went) = (
            std::mem::take(&mut self.evicted),
            std::mem::take(&mut self.went),
        );
        let said = [("evicted", evicted), ("gone already", went)].into_iter();
        said.filter_map(|(what, mut names)| {
            names.sort_unstable();
            let shown = names
                .iter()
                .take(EVICTED_NAMES)
                .cloned()
                .collect::<Vec<_>>();
            let more = match names.len().saturating_sub(EVICTED_NAMES) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let many = match names.len() {
                0 => return None,
                1 => String::new(),
                n => format!("{n} pods "),
            };
            let text = format!("{many}{what}: {}{more}", shown.join(", "));
            Some(self.line("      ", &text))
        })
        .collect()
    }

    /// The end of what a program printed: what it says last is what matters.
    fn printed(&self, ran: &Ran) -> Vec<Told> {
        let mut told = Vec::new();
        // What a check prints is of no interest where it tells what it should.
        let quiet = ran.name == "check" && matches!(ran.exit, Exit::Code(0 | 1));
        let output = ran.output();
        let lines: Vec<&str> = match quiet {
            true => Vec::new(),
            false => output.lines().collect(),
        };
        let hidden = lines.len().saturating_sub(PRINTED_LINES);
        if hidden > 0 {
            told.push(self.line("      │ ", &format!("… {hidden} lines before these")));
        }
        for line in lines.iter().skip(hidden) {
            told.push(self.line("      │ ", line));
        }
        if ran.held {
            told.push(self.line(
                "      ",
                &format!(
                    "`{}` has ended, and something that it started runs on",
                    ran.name
                ),
            ));
        }
        told
    }

    fn line(&self, first: &str, text: &str) -> Told {
        Told::Line(paragraph(first, text, self.width))
    }

    /// What was unknown before: it is shown now, before it is done.
    fn decided(&mut self, id: &StepId, scope: &Scope, steps: &[PlannedStep]) -> Vec<Told> {
        self.plan.decided(id, scope, steps.to_vec());
        let shown = steps.iter().filter(|step| step.verdict.changes());
        shown
            .flat_map(|step| {
                render_step(step)
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .map(Told::Line)
            .collect()
    }

    fn name(&self, id: &StepId, scope: &Scope) -> String {
        let name = self.plan.step(id, scope).map_or("", |s| s.name.as_str());
        match scope {
            Scope::Target(target) => format!("{}: {name}", target.name),
            Scope::Run => name.to_owned(),
        }
    }

    fn ended(
        &mut self,
        at: Timestamp,
        id: &StepId,
        scope: &Scope,
        result: &StepResult,
    ) -> Vec<Told> {
        let name = clean(&self.name(id, scope));
        // A clock may have been set back meanwhile; then there is nothing to say.
        let took = self
            .started
            .take()
            .and_then(|started| Duration::try_from(at.duration_since(started)).ok())
            .filter(|took| *took >= Duration::from_secs(2))
            .map_or_else(String::new, |took| format!(" ({})", seconds(took)));
        let evicted = self.evictions();
        let mut told = match result {
            StepResult::Unchanged { why } => vec![
                Told::Line(format!("  {} {name}", style("=").for_stderr())),
                self.line("      ", why),
            ],
            StepResult::Verified { changed } => {
                let mark = style("✓").green().for_stderr();
                let checks = self
                    .plan
                    .step(id, scope)
                    .is_some_and(|s| !s.verdict.changes());
                let unverified = self
                    .plan
                    .step(id, scope)
                    .is_some_and(|s| s.verdict.effects().iter().any(|e| !e.can_be_verified()));
                let note = match (changed, checks) {
                    (true, _) if unverified => {
                        ": it ended with exit code 0, which is all that is known"
                    }
                    (false, false) => ": it was already so",
                    _ => "",
                };
                let line = Told::Line(format!("  {mark} {name}{note}{took}"));
                let found = self.found.take();
                let found = found.map(|found| self.line("      ", &found));
                [Some(line), found].into_iter().flatten().collect()
            }
            StepResult::Unverified { why } => {
                let mark = style("?").magenta().for_stderr();
                vec![
                    Told::Line(format!("  {mark} {name}: not verified{took}")),
                    self.line("      ", why),
                ]
            }
            StepResult::Failed { fault } => {
                let mark = style("✗").red().for_stderr();
                let mut told = vec![Told::Line(format!("  {mark} {name}{took}"))];
                // The end of the run does not say why.
                let passes = |step: &PlannedStep| step.on_failure == OnFailure::Continue;
                if self.plan.step(id, scope).is_some_and(passes) {
                    told.push(self.line("      ", &fault.message));
                }
                told
            }
        };
        told.extend(evicted);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{plan, step};
    use crate::model::Verdict;
    use serde_json::json;

    #[test]
    fn what_a_check_found_stands_below_it() {
        console::set_colors_enabled_stderr(false);
        let verdict = Verdict::Check {
            expects: "room".to_owned(),
            except: Vec::new(),
        };
        let step = step("room", Scope::Run, verdict);
        let mut plan = plan();
        plan.steps = vec![step.clone()];
        let mut telling = Telling::new(&plan);
        let (id, scope) = (step.id, step.scope);
        let ended = |id: &StepId| Event::StepEnded {
            step: id.clone(),
            scope: scope.clone(),
            result: StepResult::Verified { changed: false },
        };
        let found = json!({"summary": "7 of 10\u{1b} are in use", "count": 7});
        let events = [
            Event::StepStarted {
                step: id.clone(),
                scope: scope.clone(),
            },
            Event::Found {
                step: id.clone(),
                scope: scope.clone(),
                outputs: found.as_object().cloned().unwrap(),
            },
            ended(&id),
            // The next one has found nothing.
            ended(&id),
        ];
        let now = Timestamp::UNIX_EPOCH;
        let told: Vec<String> = events
            .iter()
            .flat_map(|event| telling.on(now, event))
            .map(|told| format!("{told:?}"))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        Begun("")
        Line("  ✓ ")
        Line("      7 of 10\\u{1b} are in use")
        Line("  ✓ ")
        "#);
    }
}
