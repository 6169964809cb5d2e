//! One effect: looked at, intended, carried out, settled.

use super::{ATTEMPTS, Ask, Doing, Machine, ending_of};
use crate::fault::{Class, Fault, PUT_BACK};
use crate::journal::{EffectRecord, EffectState, Ending, Event, Outcome};
use crate::model::{Effect, EffectId, Standing};

impl Machine {
    /// The next effect of the step, from the beginning or from where an earlier sitting left it.
    pub(super) fn begin_effect(&mut self, records: &mut Vec<Event>) -> Ask {
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

    /// Whether an earlier sitting began another effect of the same step on the same subject.
    fn begun_on(&self, known: &EffectRecord) -> bool {
        self.begun.iter().any(|other| {
            (&other.id.step, &other.id.scope) == (&known.id.step, &known.id.scope)
                && other.effect.subject() == known.effect.subject()
        })
    }

    /// An effect of an earlier sitting, by how the world stands to it now.
    pub(super) fn recalled(
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

    pub(super) fn drifted(&mut self, now: &str, records: &mut Vec<Event>) -> Ask {
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
    pub(super) fn unclear(&mut self, why: &str, records: &mut Vec<Event>) -> Ask {
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
    pub(super) fn may_begin_anew(&self, fault: &Fault) -> bool {
        let fenced = self
            .current_effect()
            .is_some_and(|effect| effect.on_host().is_some());
        fenced && fault.code == "host_lost" && self.attempt < ATTEMPTS
    }

    /// Counts the effect under way among those that may have to be taken back.
    pub(super) fn count(&mut self) {
        let Some(id) = self.effect_id() else {
            return;
        };
        self.put_back.retain(|back| !back.same_effect(&id));
        if !self.made.iter().any(|made| made.same_effect(&id)) {
            self.made.push(id);
        }
    }

    pub(super) fn current_effect(&self) -> Option<Effect> {
        let step = self.plan.steps.get(self.step)?;
        step.verdict.effects().get(self.effect).cloned()
    }

    pub(super) fn look(&mut self, effect: Effect) -> Ask {
        self.doing = Doing::Looking;
        Ask::Look(effect)
    }

    pub(super) fn intend(&mut self) -> Ask {
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

    pub(super) fn settle(&mut self) -> Ask {
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

    pub(super) fn done(&mut self, records: &mut Vec<Event>) -> Ask {
        self.count();
        self.step_changed = true;
        self.outcome(Outcome::Done, records);
        self.settle()
    }

    pub(super) fn not_done(&mut self, fault: Fault, records: &mut Vec<Event>) -> Ask {
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

    pub(super) fn effect_id(&self) -> Option<EffectId> {
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

    pub(super) fn outcome(&self, outcome: Outcome, records: &mut Vec<Event>) {
        if let Some(id) = self.effect_id() {
            records.push(Event::Outcome { id, outcome });
        }
    }
}
