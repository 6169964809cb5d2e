//! The run as a state machine without input or output: it is told what happened and says what to do
//! next. The order of things is decided here and nowhere else: look again, make the intent durable,
//! carry it out, write down what became of it, wait until the world agrees.

mod effect;
mod ending;
mod evictions;

use crate::fault::{DECLINED, Fault, PASSED_OVER};
use crate::journal::{
    EffectRecord, EffectState, Ending, Event, Outcome, Permit, RunRecord, StepResult,
};
use crate::model::{
    Effect, EffectId, Plan, PlanKind, PlannedStep, Scope, Standing, StepId, Verdict,
};
use ending::ending_of;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How often an effect is tried again when another writer was faster at the same moment.
const ATTEMPTS: u32 = 5;

/// What happened.
#[derive(Debug)]
pub enum Input {
    Begin,
    /// How the world stands to the effect that was asked about.
    Looked(Result<Standing, Fault>),
    Permitted(Box<Permit>),
    Performed(Result<(), Fault>),
    /// The world came to rest after an effect, or a check holds.
    Settled(Result<(), Fault>),
    /// What a step is, by what there is now: these stand in its place.
    Decided(Result<Vec<PlannedStep>, Fault>),
    /// Whether to go on, by whom it was asked.
    Answered(Result<bool, Fault>),
    /// The time until the next attempt has passed, or there was none left.
    Rested(Result<(), Fault>),
    Drained(Drained),
}

/// What became of evictions.
#[derive(Debug)]
pub struct Drained {
    /// Those that were made, or may have been.
    pub made: Vec<EffectId>,
    /// The latest attempt of each.
    pub attempts: BTreeMap<String, u32>,
    /// Pods that are being deleted still, and are not waited for.
    pub left: Vec<String>,
    pub result: Result<(), Fault>,
}

/// What to do next. Each is answered by one input.
#[derive(Debug)]
pub enum Ask {
    /// Read the effect's subject again.
    Look(Effect),
    /// Read it once all that was begun of this attempt has ended, as far as that can be known.
    Find(EffectId, Effect),
    /// Make the intent durable.
    Intend(EffectId, Effect),
    Perform(Box<Permit>),
    /// Wait until the world has come to rest.
    Settle(Effect),
    /// Wait until the check of the plan's step with this position holds.
    Watch(usize),
    /// Decide the step with this position by what there is now.
    Decide(usize),
    /// Ask whether to go on, for the step with this position.
    Confirm(usize),
    /// Let the time pass until the step with this position is tried again.
    Rest(usize),
    /// Carry out the evictions of the step with this position, side by side, with what earlier sittings began of
    /// it, and how often each was tried.
    Drain(usize, Vec<EffectRecord>, BTreeMap<String, u32>),
    /// The run is over.
    End(End),
}

/// How a run ended, for the exit code and the last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub ending: Ending,
    pub fault: Option<Fault>,
    /// How many effects this run made or may have made.
    pub made: usize,
    /// Steps of an undo that were left alone.
    pub left: usize,
    /// How many effects their hosts have put back.
    pub put_back: usize,
}

impl End {
    /// Of a run as its journal tells it; `None` where it has not ended.
    pub fn of(record: &RunRecord) -> Option<Self> {
        let (ending, fault) = record.ending.clone()?;
        let undo = matches!(record.plan.kind, PlanKind::Undo { .. });
        let refused = |step: &&PlannedStep| {
            step.verdict.is_refused() && record.step(&step.id, &step.scope).is_some()
        };
        Some(Self {
            ending,
            fault,
            made: record.to_take_back().count(),
            left: match undo {
                true => record.plan.steps.iter().filter(refused).count(),
                false => 0,
            },
            put_back: record.put_back().count(),
        })
    }
}

/// What to write down, and then what to do.
#[derive(Debug)]
pub struct Turn {
    pub records: Vec<Event>,
    pub ask: Ask,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    /// Looking what became of an effect of an earlier sitting.
    Recalling(EffectState),
    Looking,
    Intending,
    Performing,
    /// Looking whether an effect happened whose answer was lost.
    Finding(Fault),
    /// Looking what became of an attempt that failed, before the next.
    Again,
    Settling,
    Watching,
    Deciding,
    Asking,
    Resting,
    Draining,
    Over,
}

/// A run under way.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    /// Steps whose being unknown the operator allowed.
    allowed: Vec<StepId>,
    doing: Doing,
    step: usize,
    effect: usize,
    attempt: u32,
    step_changed: bool,
    /// Effects that this run made or may have made, each once however often it was tried.
    made: Vec<EffectId>,
    /// Effects that their hosts have put back, and that were not made since.
    put_back: Vec<EffectId>,
    left: usize,
    stopping: bool,
    /// How often the step under way has failed.
    failures: u32,
    /// Whether what failed has certainly ended, however much of it was done.
    at_rest: bool,
    /// Whether the effect under way was begun before.
    intended: bool,
    /// It is run whatever its check says: what verifies it did not agree.
    blind: bool,
    /// Steps that failed, and without which it goes on.
    passed_over: Vec<StepId>,
    /// Steps that only read, and what they read did not answer.
    unverified: Vec<String>,
    /// Whether it was said that the step under way has begun.
    announced: bool,
    /// The last word on each step that has ended, in this sitting or an earlier one.
    ended: Vec<(StepId, Scope, StepResult)>,
    /// Effects that earlier sittings of this run began.
    begun: Vec<EffectRecord>,
    /// How often each eviction of the step under way was tried.
    evictions: BTreeMap<String, u32>,
}

impl Machine {
    pub fn new(plan: Plan, allowed: Vec<StepId>) -> Self {
        Self {
            plan,
            allowed,
            doing: Doing::Nothing,
            step: 0,
            effect: 0,
            attempt: 1,
            step_changed: false,
            made: Vec::new(),
            put_back: Vec::new(),
            left: 0,
            stopping: false,
            failures: 0,
            at_rest: false,
            intended: false,
            blind: false,
            passed_over: Vec::new(),
            unverified: Vec::new(),
            announced: false,
            ended: Vec::new(),
            begun: Vec::new(),
            evictions: BTreeMap::new(),
        }
    }

    /// Goes on where an earlier sitting of the same run was cut short, or stopped.
    pub fn resume(record: &RunRecord) -> Self {
        Self {
            made: record.to_take_back().map(|e| e.id.clone()).collect(),
            put_back: record.put_back().map(|e| e.id.clone()).collect(),
            ended: record.steps.clone(),
            begun: record.effects.clone(),
            ..Self::new(record.plan.clone(), record.allowed.clone())
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The last word on each step that has ended.
    pub fn ended(&self) -> &[(StepId, Scope, StepResult)] {
        &self.ended
    }

    /// Takes down what the step under way found.
    pub fn learn(&mut self, outputs: Map<String, Value>) -> Option<Event> {
        let (step, scope) = self.place()?;
        self.plan.found(&step, &scope, outputs.clone());
        Some(Event::Found {
            step,
            scope,
            outputs,
        })
    }

    /// Which step is under way.
    fn place(&self) -> Option<(StepId, Scope)> {
        let step = self.plan.steps.get(self.step)?;
        Some((step.id.clone(), step.scope.clone()))
    }

    /// The operator wants it to end: nothing more is begun.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The journal failed: nothing more may be done. Every effect so far has its intent in it.
    pub fn broke(&mut self, fault: Fault) -> End {
        self.doing = Doing::Over;
        End {
            ending: Ending::Failed,
            fault: Some(fault),
            made: self.made.len(),
            left: self.left,
            put_back: self.put_back.len(),
        }
    }

    pub fn on(&mut self, input: Input) -> Turn {
        let mut records = Vec::new();
        let ask = self.answer(input, &mut records);
        for event in &records {
            if let Event::StepEnded {
                step,
                scope,
                result,
            } = event
            {
                self.ended.retain(|(s, at, _)| (s, at) != (step, scope));
                let ended = (step.clone(), scope.clone(), result.clone());
                self.ended.push(ended);
            }
        }
        if let Ask::End(end) = &ask {
            self.doing = Doing::Over;
            records.push(Event::RunEnded {
                ending: end.ending.clone(),
                fault: end.fault.clone(),
            });
        }
        Turn { records, ask }
    }

    fn answer(&mut self, input: Input, records: &mut Vec<Event>) -> Ask {
        match (std::mem::replace(&mut self.doing, Doing::Nothing), input) {
            (Doing::Nothing, Input::Begin) => self.next_step(records),
            (Doing::Recalling(state), Input::Looked(looked)) => {
                self.recalled(state, looked, records)
            }
            (Doing::Again, Input::Looked(looked)) => match looked {
                Ok(Standing::After) => self.done(records),
                Ok(Standing::Before) => {
                    self.attempt += 1;
                    self.intend()
                }
                // Its author wants it tried again, whatever there is.
                Ok(Standing::Unclear { .. }) => {
                    self.attempt += 1;
                    self.blind = true;
                    self.intend()
                }
                // That is known already: it is why it is tried again.
                Ok(Standing::PutBack { .. }) => {
                    self.attempt += 1;
                    self.intend()
                }
                Ok(Standing::Other { now }) => self.drifted(&now, records),
                Err(fault) => self.fail(Ending::Failed, fault, records),
            },
            (Doing::Looking, Input::Looked(looked)) => match looked {
                Ok(Standing::Before) => self.intend(),
                Ok(Standing::After) => {
                    let id = self.effect_id();
                    self.step_changed |=
                        id.is_some_and(|id| self.made.iter().any(|made| made.same_effect(&id)));
                    self.outcome(Outcome::AlreadySo, records);
                    self.settle()
                }
                Ok(Standing::Other { now }) => self.drifted(&now, records),
                Ok(Standing::Unclear { why }) => self.unclear(&why, records),
                Ok(Standing::PutBack { fault }) | Err(fault) => {
                    self.fail(ending_of(&fault), fault, records)
                }
            },
            (Doing::Intending, Input::Permitted(permit)) => {
                self.intended = true;
                self.doing = Doing::Performing;
                Ask::Perform(permit)
            }
            (Doing::Performing, Input::Performed(Ok(()))) => self.done(records),
            (Doing::Performing, Input::Performed(Err(fault))) => self.not_done(fault, records),
            (Doing::Finding(fault), Input::Looked(looked)) => match looked {
                Ok(Standing::After) => self.done(records),
                Ok(Standing::PutBack { fault }) => self.not_done(fault, records),
                // It was found under the host's lock, after which that attempt cannot begin any more.
                Ok(Standing::Before) if self.may_begin_anew(&fault) => {
                    // A program may have done some of it.
                    let whole = self.current_effect().is_some_and(|effect| {
                        matches!(effect, Effect::PutFile { .. } | Effect::PutSetting { .. })
                    });
                    if whole {
                        self.outcome(Outcome::NotDone { fault }, records);
                    } else {
                        self.count();
                    }
                    self.attempt += 1;
                    self.intend()
                }
                // The request may still be on its way; on a host it has ended by now.
                looked => {
                    let ended = self.current_effect().is_some_and(|e| e.on_host().is_some());
                    self.at_rest = ended && looked.is_ok() && fault.code != "host_lost";
                    self.count();
                    let outcome = Outcome::Unknown {
                        fault: fault.clone(),
                    };
                    self.outcome(outcome, records);
                    self.fail(Ending::Unknown, fault, records)
                }
            },
            (Doing::Settling, Input::Settled(Ok(()))) => {
                self.effect += 1;
                self.begin_effect(records)
            }
            (Doing::Watching, Input::Settled(Ok(()))) => self.verified(records),
            // A gate that is not needed any more is decided, too.
            (Doing::Deciding | Doing::Asking, Input::Decided(Ok(steps))) => {
                if let Some((step, scope)) = self.place() {
                    self.plan.decided(&step, &scope, steps.clone());
                    records.push(Event::Decided { step, scope, steps });
                }
                self.next_step(records)
            }
            (Doing::Deciding, Input::Decided(Err(fault)))
            | (Doing::Watching, Input::Settled(Err(fault)))
                if self.may_end_unverified(&fault) =>
            {
                self.not_verified(fault, records)
            }
            (Doing::Deciding, Input::Decided(Err(fault))) => {
                self.fail(ending_of(&fault), fault, records)
            }
            (Doing::Asking, Input::Answered(Ok(true))) => self.verified(records),
            (Doing::Asking, Input::Answered(answer)) => {
                let declined = || {
                    Fault::refused(DECLINED, "it was not confirmed that it goes on")
                        .next("resume asks again")
                };
                let fault = answer.err().unwrap_or_else(declined);
                self.end_step(ending_of(&fault), fault, records)
            }
            (Doing::Draining, Input::Drained(drained)) => self.drained(drained, records),
            (Doing::Resting, Input::Rested(Ok(()))) if self.evicts_now() => self.drain(),
            (Doing::Resting, Input::Rested(Ok(()))) => match self.plan.steps.get(self.step) {
                Some(step) if step.verdict.effects().is_empty() => self.next_step(records),
                _ => match (self.current_effect(), self.effect_id()) {
                    // What became of the last attempt is seen, by all that its author gave to see it.
                    (Some(effect), Some(id)) if self.intended && effect.on_host().is_some() => {
                        self.doing = Doing::Again;
                        Ask::Find(id, effect)
                    }
                    (Some(effect), _) => {
                        self.attempt += 1;
                        self.look(effect)
                    }
                    (None, _) => self.verified(records),
                },
            },
            (Doing::Resting, Input::Rested(Err(fault))) => {
                self.end_step(ending_of(&fault), fault, records)
            }
            (Doing::Settling | Doing::Watching, Input::Settled(Err(fault))) => {
                self.fail(ending_of(&fault), fault, records)
            }
            (doing, input) => {
                let fault = Fault::internal(format!("the engine was told {input:?} at {doing:?}"));
                self.end(Ending::Failed, Some(fault))
            }
        }
    }

    fn next_step(&mut self, records: &mut Vec<Event>) -> Ask {
        loop {
            let Some(step) = self.plan.steps.get(self.step) else {
                return match (self.passed_over(), self.was_not_verified()) {
                    (Some(fault), Some(other)) => {
                        let message = format!("{}; {}", fault.message, other.message);
                        let fault = Fault::definite(PASSED_OVER, message);
                        let next =
                            "`runbook resume` tries again what failed, and verifies the rest";
                        self.end(Ending::Failed, Some(fault.next(next)))
                    }
                    (Some(fault), None) => self.end(Ending::Failed, Some(fault)),
                    (None, Some(fault)) => self.end(Ending::Unverified, Some(fault)),
                    (None, None) => self.end(Ending::Done, None),
                };
            };
            if self.stopping {
                return self.end(Ending::Stopped, None);
            }
            let earlier = self
                .ended
                .iter()
                .find(|(id, scope, _)| (id, scope) == (&step.id, &step.scope))
                .map(|(.., result)| result);
            let left_alone = step.verdict.is_refused() && self.plan.kind != PlanKind::Apply;
            match earlier {
                Some(StepResult::Unchanged { .. } | StepResult::Verified { .. }) => {
                    self.step += 1;
                    continue;
                }
                Some(StepResult::Failed { .. }) if left_alone => {
                    self.left += 1;
                    self.step += 1;
                    continue;
                }
                Some(StepResult::Failed { .. } | StepResult::Unverified { .. }) | None => {}
            }
            let ended = |step: &PlannedStep, result| Event::StepEnded {
                step: step.id.clone(),
                scope: step.scope.clone(),
                result,
            };
            let verdict = match &step.verdict {
                Verdict::Unknown {
                    otherwise: Some(otherwise),
                    ..
                } if self.allowed.iter().any(|known| step.id.is_of(known)) => otherwise,
                verdict => verdict,
            };
            match verdict {
                Verdict::Late => {
                    self.doing = Doing::Deciding;
                    return Ask::Decide(self.step);
                }
                Verdict::Unanswered { .. } => {
                    if self.failures == 0 && !self.announced {
                        records.push(started(step));
                    }
                    self.announced = true;
                    self.doing = Doing::Deciding;
                    return Ask::Decide(self.step);
                }
                Verdict::Gate { .. } => {
                    records.push(started(step));
                    self.doing = Doing::Asking;
                    return Ask::Confirm(self.step);
                }
                Verdict::NoChange { why } => {
                    let why = why.clone();
                    records.push(ended(step, StepResult::Unchanged { why }));
                    self.after_step();
                }
                Verdict::Refused { why, .. } | Verdict::Unknown { why, .. } => {
                    let fault = Fault::refused("refused", why.clone());
                    if self.plan.kind == PlanKind::Apply {
                        return self.end_step(Ending::Failed, fault, records);
                    }
                    records.push(ended(step, StepResult::Failed { fault }));
                    self.left += 1;
                    self.step += 1;
                }
                Verdict::Check { .. } => {
                    if self.failures == 0 && !self.announced {
                        records.push(started(step));
                    }
                    self.doing = Doing::Watching;
                    return Ask::Watch(self.step);
                }
                Verdict::Change { .. } => {
                    records.push(started(step));
                    self.effect = 0;
                    self.step_changed = false;
                    return self.begin_effect(records);
                }
            }
        }
    }
}

fn started(step: &PlannedStep) -> Event {
    Event::StepStarted {
        step: step.id.clone(),
        scope: step.scope.clone(),
    }
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
