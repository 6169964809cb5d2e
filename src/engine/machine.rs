//! The run as a state machine without input or output: it is told what happened and says what to do
//! next. The order of things is decided here and nowhere else: look again, make the intent durable,
//! carry it out, write down what became of it, wait until the world agrees.

use crate::fault::{API_SILENT, Class, DECLINED, Fault, NOT_VERIFIED, PASSED_OVER, PUT_BACK};
use crate::journal::{
    EffectRecord, EffectState, Ending, Event, Outcome, Permit, RunRecord, StepResult,
};
use crate::model::{
    Effect, EffectId, OnFailure, Plan, PlanKind, PlannedStep, Scope, Standing, StepId, Verdict,
};
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

    /// The operator wants it to end after the step that is under way.
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

    /// The next effect of the step, from the beginning or from where an earlier sitting left it.
    fn begin_effect(&mut self, records: &mut Vec<Event>) -> Ask {
        self.attempt = 1;
        (self.intended, self.blind) = (false, false);
        if self.evicts_now() {
            return self.drain();
        }
        let (Some(effect), Some(id)) = (self.current_effect(), self.effect_id()) else {
            return self.verified(records);
        };
        let known = self.begun.iter().position(|e| e.id.same_effect(&id));
        match known.map(|at| self.begun.swap_remove(at)) {
            None => self.look(effect),
            Some(known) if known.state == EffectState::NotOurs => {
                self.attempt = known.id.attempt + 1;
                self.look(effect)
            }
            // A later effect of the step has changed the same thing since: this one was over by then.
            Some(known) if self.begun_on(&known) => {
                self.step_changed = true;
                self.effect += 1;
                self.begin_effect(records)
            }
            Some(known) => {
                self.attempt = known.id.attempt;
                self.intended = true;
                self.doing = Doing::Recalling(known.state);
                Ask::Find(known.id, effect)
            }
        }
    }

    /// Whether what is left of the step under way are evictions; which ones, it sees when they begin.
    fn evicts_now(&self) -> bool {
        let step = self.plan.steps.get(self.step);
        step.is_some_and(PlannedStep::will_evict)
            && self.current_effect().is_none_or(|effect| effect.evicts())
    }

    fn drain(&mut self) -> Ask {
        let of = self.place();
        let here = |record: &&EffectRecord| {
            let (id, scope) = (record.id.step.clone(), record.id.scope.clone());
            of.as_ref() == Some(&(id, scope)) && record.effect.evicts()
        };
        let begun = self.begun.iter().filter(here).cloned().collect();
        self.doing = Doing::Draining;
        Ask::Drain(self.step, begun, self.evictions.clone())
    }

    fn drained(&mut self, drained: Drained, records: &mut Vec<Event>) -> Ask {
        let Drained {
            made,
            attempts,
            left,
            result,
        } = drained;
        if !left.is_empty() {
            let said = format!(
                "being deleted still, and not waited for: {}",
                left.join(", ")
            );
            let found = [("summary".to_owned(), Value::String(said))];
            records.extend(self.learn(found.into_iter().collect()));
        }
        self.evictions = attempts;
        for id in made {
            if !self.made.iter().any(|known| known.same_effect(&id)) {
                self.made.push(id);
            }
        }
        let of = self.place();
        let here = |id: &EffectId| of.as_ref() == Some(&(id.step.clone(), id.scope.clone()));
        self.step_changed |= self.made.iter().any(here);
        match result {
            Ok(()) => self.verified(records),
            Err(fault) => {
                let ending = match (fault.code.as_str(), fault.class) {
                    ("drift", _) => Ending::Drifted,
                    (_, Class::Indeterminate) => Ending::Unknown,
                    _ => ending_of(&fault),
                };
                self.fail(ending, fault, records)
            }
        }
    }

    /// Whether an earlier sitting began another effect of the same step on the same subject.
    fn begun_on(&self, known: &EffectRecord) -> bool {
        self.begun.iter().any(|other| {
            (&other.id.step, &other.id.scope) == (&known.id.step, &known.id.scope)
                && other.effect.subject() == known.effect.subject()
        })
    }

    /// An effect of an earlier sitting, by how the world stands to it now.
    fn recalled(
        &mut self,
        state: EffectState,
        looked: Result<Standing, Fault>,
        records: &mut Vec<Event>,
    ) -> Ask {
        match looked {
            Ok(Standing::After) => {
                if state == EffectState::Open {
                    self.outcome(Outcome::Done, records);
                }
                self.step_changed = true;
                self.settle()
            }
            // Should the first attempt still arrive, it meets what the second has written, and does
            // nothing: both rest on the same state before.
            Ok(Standing::Before) if state == EffectState::Open => {
                self.attempt += 1;
                self.intend()
            }
            Ok(Standing::PutBack { fault }) if state == EffectState::Open => {
                self.not_ours(fault, records);
                self.attempt += 1;
                match self.current_effect() {
                    Some(effect) => self.look(effect),
                    None => self.lost(),
                }
            }
            Ok(Standing::PutBack { fault }) => self.drifted(&fault.message, records),
            Ok(Standing::Before) => self.drifted("it was changed, and is as before again", records),
            Ok(Standing::Other { now }) => self.drifted(&now, records),
            Ok(Standing::Unclear { why }) => {
                // It has ended, however much of it was done.
                self.at_rest = self.current_effect().is_some_and(|e| e.on_host().is_some());
                self.unclear(&why, records)
            }
            Err(fault) if state == EffectState::Open => self.fail(Ending::Unknown, fault, records),
            Err(fault) => self.fail(Ending::Failed, fault, records),
        }
    }

    fn drifted(&mut self, now: &str, records: &mut Vec<Event>) -> Ask {
        let what = self
            .current_effect()
            .map_or_else(String::new, |e| e.subject().to_string());
        let fault = Fault::refused(
            "drift",
            format!("{what} is no longer as it was when this was planned: {now}"),
        )
        .next("make a new plan, and look what changed it");
        self.fail(Ending::Drifted, fault, records)
    }

    /// Nobody can tell whether the effect under way has happened.
    fn unclear(&mut self, why: &str, records: &mut Vec<Event>) -> Ask {
        let what = self
            .current_effect()
            .map_or_else(String::new, |e| e.subject().to_string());
        let fault = Fault::indeterminate(
            "unclear",
            format!("nobody can tell how much of {what} was done: {why}"),
        )
        .next("look there, and then take the run back, or put it right by hand");
        self.fail(Ending::Unknown, fault, records)
    }

    /// Whether an effect of which the answer was lost is simply begun again, where it did not happen.
    fn may_begin_anew(&self, fault: &Fault) -> bool {
        let fenced = self
            .current_effect()
            .is_some_and(|effect| effect.on_host().is_some());
        fenced && fault.code == "host_lost" && self.attempt < ATTEMPTS
    }

    /// Counts the effect under way among those that may have to be taken back.
    fn count(&mut self) {
        let Some(id) = self.effect_id() else {
            return;
        };
        self.put_back.retain(|back| !back.same_effect(&id));
        if !self.made.iter().any(|made| made.same_effect(&id)) {
            self.made.push(id);
        }
    }

    fn current_effect(&self) -> Option<Effect> {
        let step = self.plan.steps.get(self.step)?;
        step.verdict.effects().get(self.effect).cloned()
    }

    fn look(&mut self, effect: Effect) -> Ask {
        self.doing = Doing::Looking;
        Ask::Look(effect)
    }

    fn intend(&mut self) -> Ask {
        match (self.effect_id(), self.current_effect()) {
            (Some(id), Some(effect)) => {
                self.doing = Doing::Intending;
                let effect = match effect {
                    Effect::RunProgram { programs } if self.blind => Effect::RunProgram {
                        programs: Box::new(programs.blindly()),
                    },
                    effect => effect,
                };
                Ask::Intend(id, effect)
            }
            _ => self.lost(),
        }
    }

    fn settle(&mut self) -> Ask {
        match self.current_effect() {
            Some(effect) => {
                self.doing = Doing::Settling;
                Ask::Settle(effect)
            }
            None => self.lost(),
        }
    }

    fn lost(&self) -> Ask {
        self.end(
            Ending::Failed,
            Some(Fault::internal("the engine lost the effect under way")),
        )
    }

    fn done(&mut self, records: &mut Vec<Event>) -> Ask {
        self.count();
        self.step_changed = true;
        self.outcome(Outcome::Done, records);
        self.settle()
    }

    fn not_done(&mut self, fault: Fault, records: &mut Vec<Event>) -> Ask {
        if fault.class == Class::Indeterminate {
            return match (self.effect_id(), self.current_effect()) {
                (Some(id), Some(effect)) => {
                    self.doing = Doing::Finding(fault);
                    Ask::Find(id, effect)
                }
                _ => self.lost(),
            };
        }
        self.not_ours(fault.clone(), records);
        let again = ["api_conflict", "drift", "gone"].contains(&fault.code.as_str());
        if again && self.attempt < ATTEMPTS {
            self.attempt += 1;
            return match self.current_effect() {
                Some(effect) => self.look(effect),
                None => self.lost(),
            };
        }
        self.fail(ending_of(&fault), fault, records)
    }

    /// The effect under way certainly did not happen, or its host has put it back.
    fn not_ours(&mut self, fault: Fault, records: &mut Vec<Event>) {
        if fault.code == PUT_BACK
            && let Some(id) = self.effect_id()
        {
            self.made.retain(|made| !made.same_effect(&id));
            self.put_back.retain(|back| !back.same_effect(&id));
            self.put_back.push(id);
        }
        self.outcome(Outcome::NotDone { fault }, records);
    }

    fn verified(&mut self, records: &mut Vec<Event>) -> Ask {
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

    fn after_step(&mut self) {
        self.step += 1;
        self.step_changed = false;
        self.failures = 0;
        self.announced = false;
        self.evictions.clear();
    }

    /// The step under way has failed: it is tried again, if its runbook says so and nothing of it goes
    /// on by itself.
    fn fail(&mut self, ending: Ending, fault: Fault, records: &mut Vec<Event>) -> Ask {
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
    fn end_step(&mut self, ending: Ending, fault: Fault, records: &mut Vec<Event>) -> Ask {
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
    fn may_end_unverified(&self, fault: &Fault) -> bool {
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

    fn not_verified(&mut self, fault: Fault, records: &mut Vec<Event>) -> Ask {
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
    fn was_not_verified(&self) -> Option<Fault> {
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
    fn passed_over(&self) -> Option<Fault> {
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

    fn end(&self, ending: Ending, fault: Option<Fault>) -> Ask {
        Ask::End(End {
            ending,
            fault,
            made: self.made.len(),
            left: self.left,
            put_back: self.put_back.len(),
        })
    }

    fn effect_id(&self) -> Option<EffectId> {
        let step = self.plan.steps.get(self.step)?;
        let effect = step.verdict.effects().get(self.effect)?;
        let effects = step.verdict.effects();
        // By what they are called: an id must be unique as it is written.
        let called = effect.subject().to_string();
        let same = |other: &&Effect| other.subject().to_string() == called;
        let earlier = effects.iter().take(self.effect).filter(same).count();
        let item = match (effects.len(), earlier) {
            (1, _) => String::new(),
            (_, 0) => called,
            (_, n) => format!("{called} ({})", n + 1),
        };
        Some(EffectId {
            step: step.id.clone(),
            scope: step.scope.clone(),
            item,
            attempt: self.attempt,
        })
    }

    fn outcome(&self, outcome: Outcome, records: &mut Vec<Event>) {
        if let Some(id) = self.effect_id() {
            records.push(Event::Outcome { id, outcome });
        }
    }
}

/// How a run ends where a wait was given up.
fn ending_of(fault: &Fault) -> Ending {
    match fault.code.as_str() {
        "stopped" => Ending::Stopped,
        _ => Ending::Failed,
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
