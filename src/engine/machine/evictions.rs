//! What is left of a step are evictions: side by side, and not in an order of their own.

use super::{Ask, Doing, Drained, Machine, ending_of};
use crate::drain::not_waited_for;
use crate::fault::Class;
use crate::journal::{EffectRecord, Ending, Event};
use crate::model::{EffectId, PlannedStep};
use serde_json::Value;

impl Machine {
    /// Whether what is left of the step under way are evictions; which ones, it sees when they begin.
    pub(super) fn evicts_now(&self) -> bool {
        let step = self.plan.steps.get(self.step);
        step.is_some_and(PlannedStep::will_evict)
            && self.current_effect().is_none_or(|effect| effect.evicts())
    }

    pub(super) fn drain(&mut self) -> Ask {
        let of = self.place();
        let here = |record: &&EffectRecord| {
            let (id, scope) = (record.id.step.clone(), record.id.scope.clone());
            of.as_ref() == Some(&(id, scope)) && record.effect.evicts()
        };
        let begun = self.begun.iter().filter(here).cloned().collect();
        self.doing = Doing::Draining;
        Ask::Drain(self.step, begun, self.evictions.clone())
    }

    /// Evictions that were made, or may have been.
    pub fn may_have_evicted(&mut self, made: Vec<EffectId>) {
        for id in made {
            if !self.made.iter().any(|known| known.same_effect(&id)) {
                self.made.push(id);
            }
        }
    }

    pub(super) fn drained(&mut self, drained: Drained, records: &mut Vec<Event>) -> Ask {
        let Drained {
            made,
            attempts,
            left,
            result,
        } = drained;
        if !left.is_empty() {
            let said = not_waited_for(&left);
            let found = [("summary".to_owned(), Value::String(said))];
            records.extend(self.learn(found.into_iter().collect()));
        }
        self.evictions = attempts;
        self.may_have_evicted(made);
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
}
