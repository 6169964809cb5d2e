//! How a step ends, and the run with it.

use super::{Ask, Doing, End, Machine};
use crate::fault::{API_SILENT, Class, Fault, NOT_VERIFIED, PASSED_OVER};
use crate::journal::{Ending, Event, StepResult};
use crate::model::{OnFailure, PlannedStep, Verdict};

impl Machine {
    pub(super) fn verified(&mut self, records: &mut Vec<Event>) -> Ask {
        if let Some(step) = self.plan.steps.get(self.step) {
            records.push(Event::StepEnded {
                step: step.id.clone(),
                scope: step.scope.clone(),
                result: StepResult::Verified {
                    changed: self.step_changed,
                },
            });
        }
        self.after_step();
        self.next_step(records)
    }

    pub(super) fn after_step(&mut self) {
        self.step += 1;
        self.step_changed = false;
        self.failures = 0;
        self.announced = false;
        self.evictions.clear();
    }

    /// The step under way has failed: it is tried again, if its runbook says so and nothing of it goes
    /// on by itself.
    pub(super) fn fail(&mut self, ending: Ending, fault: Fault, records: &mut Vec<Event>) -> Ask {
        let certain =
            ending == Ending::Failed && matches!(fault.class, Class::Definite | Class::Unreachable);
        let step = self.plan.steps.get(self.step);
        let retry = step.and_then(|step| Some((step, step.retry?)));
        if let Some((step, retry)) = retry
            && (certain || self.at_rest)
            && self.failures + 1 < retry.attempts
        {
            self.failures += 1;
            self.at_rest = false;
            records.push(Event::Retrying {
                step: step.id.clone(),
                scope: step.scope.clone(),
                fault,
                attempt: self.failures,
            });
            self.doing = Doing::Resting;
            return Ask::Rest(self.step);
        }
        self.end_step(ending, fault, records)
    }

    /// The step under way has failed for good: the run ends, or goes on without it.
    pub(super) fn end_step(
        &mut self,
        ending: Ending,
        fault: Fault,
        records: &mut Vec<Event>,
    ) -> Ask {
        let certain = ending == Ending::Failed && fault.class != Class::Indeterminate;
        let certain = certain || std::mem::take(&mut self.at_rest);
        let passes = self.plan.steps.get(self.step).is_some_and(|step| {
            let gate = matches!(step.verdict, Verdict::Gate { .. });
            step.on_failure == OnFailure::Continue && certain && !gate
        });
        if let Some(step) = self.plan.steps.get(self.step) {
            records.push(Event::StepEnded {
                step: step.id.clone(),
                scope: step.scope.clone(),
                result: StepResult::Failed {
                    fault: fault.clone(),
                },
            });
            if passes {
                self.passed_over.push(step.id.clone());
            }
        }
        if passes {
            self.forget_what_rests_on_it();
            self.after_step();
            return self.next_step(records);
        }
        self.end(ending, Some(fault))
    }

    /// Whether the run may go on without the step under way, which only reads what does not answer: the
    /// operator knew it, or nothing is changed any more.
    pub(super) fn may_end_unverified(&self, fault: &Fault) -> bool {
        let known = |verdict: &Verdict| match verdict {
            Verdict::Unanswered { .. } => true,
            Verdict::Check { .. } => !self.plan.may_change_after(self.step),
            _ => false,
        };
        let reads = |step: &PlannedStep| match &step.verdict {
            Verdict::Unknown {
                otherwise: Some(otherwise),
                ..
            } => known(otherwise),
            verdict => known(verdict),
        };
        fault.code == API_SILENT && self.plan.steps.get(self.step).is_some_and(reads)
    }

    pub(super) fn not_verified(&mut self, fault: Fault, records: &mut Vec<Event>) -> Ask {
        if let Some(step) = self.plan.steps.get(self.step) {
            let why = fault.message;
            self.unverified.push(format!("{}: {why}", step.name));
            records.push(Event::StepEnded {
                step: step.id.clone(),
                scope: step.scope.clone(),
                result: StepResult::Unverified { why },
            });
        }
        self.after_step();
        self.next_step(records)
    }

    /// What is to be said at the end of a run that could not look at all that it was to bring about.
    pub(super) fn was_not_verified(&self) -> Option<Fault> {
        let message = match self.unverified.as_slice() {
            [] => return None,
            [one] => format!("not verified: {one}"),
            several => format!("not verified: {}", several.join("; ")),
        };
        let next = "`runbook resume` verifies it once the API server answers";
        Some(Fault::unreachable(NOT_VERIFIED, message).next(next))
    }

    /// Later steps that were decided by what the step under way would do are decided anew.
    fn forget_what_rests_on_it(&mut self) {
        let Some(failed) = self.plan.steps.get(self.step).map(|step| step.id.clone()) else {
            return;
        };
        for later in self.plan.steps.iter_mut().skip(self.step + 1) {
            if later.rests_on.iter().any(|id| failed.is_of(id)) {
                later.verdict = Verdict::Late;
            }
        }
    }

    /// What is to be said at the end of a run that went on without some of its steps.
    pub(super) fn passed_over(&self) -> Option<Fault> {
        let names: Vec<String> = self
            .passed_over
            .iter()
            .map(|id| format!("`{id}`"))
            .collect();
        let (failed, them) = match names.as_slice() {
            [] => return None,
            [one] => (format!("step {one} failed"), "it"),
            several => (format!("steps {} failed", several.join(", ")), "them"),
        };
        let message = format!("{failed}, and the run went on without {them}, as its runbook says");
        Some(
            Fault::definite(PASSED_OVER, message)
                .next("all the others are done; `runbook resume` tries again what failed"),
        )
    }

    pub(super) fn end(&self, ending: Ending, fault: Option<Fault>) -> Ask {
        Ask::End(End {
            ending,
            fault,
            made: self.made.len(),
            left: self.left,
            put_back: self.put_back.len(),
        })
    }
}

/// How a run ends where a wait was given up.
pub(super) fn ending_of(fault: &Fault) -> Ending {
    match fault.code.as_str() {
        "stopped" => Ending::Stopped,
        _ => Ending::Failed,
    }
}
