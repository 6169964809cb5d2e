//! What a run's events add up to.

use super::event::{Ending, Entry, Event, Outcome, StepResult};
use crate::fault::{Fault, PUT_BACK};
use crate::model::{Effect, EffectId, Plan, RunId, Scope, Sitting, StepId};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How far an effect got, as far as the journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectState {
    /// It may have happened: an intent is there, and nothing says how it ended.
    Open,
    Done,
    /// Nothing was written by this run.
    NotOurs,
}

/// An effect, over all its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRecord {
    /// Of its latest attempt.
    pub id: EffectId,
    pub effect: Effect,
    pub state: EffectState,
    /// An earlier attempt was never cleared up.
    unsure: bool,
    /// An attempt was put back by its host.
    pub put_back: bool,
}

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    pub run: RunId,
    pub plan: Plan,
    pub reason: Option<String>,
    pub runbook_text: String,
    /// The texts of the runbooks that it includes, by their names.
    pub included: BTreeMap<String, String>,
    pub allowed: Vec<StepId>,
    pub started: Timestamp,
    /// When the last event was written.
    pub latest: Timestamp,
    /// In the order of their first intents.
    pub effects: Vec<EffectRecord>,
    /// The last word on each step that has ended.
    pub steps: Vec<(StepId, Scope, StepResult)>,
    /// The sitting whose claims on its targets may still be there.
    pub claim: Option<Sitting>,
    /// Where that sitting was.
    pub place: String,
    /// `None`: it is under way, or was cut short.
    pub ending: Option<(Ending, Option<Fault>)>,
}

impl RunRecord {
    /// `None` where the first event is not the start of a run.
    pub fn fold(entries: impl IntoIterator<Item = Entry>) -> Option<Self> {
        let mut entries = entries.into_iter();
        let Entry {
            at,
            event:
                Event::RunStarted {
                    run,
                    plan,
                    reason,
                    runbook_text,
                    included,
                    allowed,
                },
            ..
        } = entries.next()?
        else {
            return None;
        };
        let mut record = Self {
            run,
            plan: *plan,
            reason,
            runbook_text,
            included,
            allowed,
            started: at,
            latest: at,
            effects: Vec::new(),
            steps: Vec::new(),
            claim: None,
            place: String::new(),
            ending: None,
        };
        for entry in entries {
            record.latest = entry.at;
            record.on(entry.event);
        }
        Some(record)
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Intent { id, effect } => match self.effect_mut(&id) {
                Some(known) => {
                    known.unsure |= known.state == EffectState::Open;
                    // What a budget holds is deleted in a later attempt.
                    if effect.evicts() {
                        known.effect = effect;
                    }
                    known.id = id;
                    known.state = EffectState::Open;
                }
                None => self.effects.push(EffectRecord {
                    id,
                    effect,
                    state: EffectState::Open,
                    unsure: false,
                    put_back: false,
                }),
            },
            Event::Outcome { id, outcome } => {
                // Without an intent there is nothing that could have happened.
                if let Some(known) = self.effect_mut(&id) {
                    known.on(&outcome);
                }
            }
            Event::StepStarted { step, scope } => {
                self.steps.retain(|(s, at, _)| (s, at) != (&step, &scope));
            }
            Event::StepEnded {
                step,
                scope,
                result,
            } => {
                self.steps.retain(|(s, at, _)| (s, at) != (&step, &scope));
                self.steps.push((step, scope, result));
            }
            Event::RunEnded { ending, fault } => self.ending = Some((ending, fault)),
            Event::RunResumed { .. } => self.ending = None,
            Event::Claiming { sitting, place, .. } => {
                self.claim = Some(sitting);
                self.place = place;
            }
            Event::Released { .. } => self.claim = None,
            Event::Decided { step, scope, steps } => self.plan.decided(&step, &scope, steps),
            Event::Found {
                step,
                scope,
                outputs,
            } => self.plan.found(&step, &scope, outputs),
            Event::RunStarted { .. }
            | Event::Printed { .. }
            | Event::Asked { .. }
            | Event::Retrying { .. } => {}
        }
    }

    fn effect_mut(&mut self, id: &EffectId) -> Option<&mut EffectRecord> {
        self.effects
            .iter_mut()
            .find(|known| known.id.same_effect(id))
    }

    /// The last word on a step.
    pub fn step(&self, id: &StepId, scope: &Scope) -> Option<&StepResult> {
        self.steps
            .iter()
            .find(|(step, at, _)| (step, at) == (id, scope))
            .map(|(.., result)| result)
    }

    /// The effects that this run made or may have made, newest first.
    pub fn to_take_back(&self) -> impl Iterator<Item = &EffectRecord> {
        self.effects
            .iter()
            .rev()
            .filter(|effect| effect.state != EffectState::NotOurs)
    }

    /// The effects that their hosts have put back, and that were not made since.
    pub fn put_back(&self) -> impl Iterator<Item = &EffectRecord> {
        let gone = |effect: &&EffectRecord| effect.put_back && effect.state == EffectState::NotOurs;
        self.effects.iter().filter(gone)
    }

    /// Whether an effect may have happened of which nobody knows.
    pub fn has_open_intents(&self) -> bool {
        self.effects.iter().any(|e| e.state == EffectState::Open)
    }

    /// Whether it has come to the end of its plan.
    pub fn is_done(&self) -> bool {
        matches!(self.ending, Some((Ending::Done, _)))
    }
}

impl EffectRecord {
    fn on(&mut self, outcome: &Outcome) {
        // Its host has run the undo after all that there was of it.
        if matches!(outcome, Outcome::NotDone { fault } if fault.code == PUT_BACK) {
            self.unsure = false;
            self.put_back = true;
        }
        self.state = match outcome {
            Outcome::Done => EffectState::Done,
            Outcome::Unknown { .. } => EffectState::Open,
            // Of a pod that went, it is known whether a request of ours may have done it.
            Outcome::AlreadySo if self.effect.evicts() && !self.unsure => EffectState::NotOurs,
            // It was so when it was looked at: by an attempt of ours, unless all were refused.
            Outcome::AlreadySo if self.state != EffectState::NotOurs => EffectState::Done,
            Outcome::NotDone { .. } if self.unsure => EffectState::Open,
            Outcome::AlreadySo | Outcome::NotDone { .. } => EffectState::NotOurs,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{effect, entries, start};

    fn state(events: Vec<Event>) -> EffectState {
        let record = RunRecord::fold(entries(events)).unwrap();
        assert_eq!(record.effects.len(), 1);
        record.effects[0].state
    }

    /// One run with one effect: intents (`i`) and outcomes (done, already, not, unknown) in order.
    fn story(letters: &str) -> EffectState {
        let (id, effect) = effect("one");
        story_of(id, effect, letters)
    }

    fn story_of(mut id: EffectId, effect: Effect, letters: &str) -> EffectState {
        let mut events = vec![start(RunId::generate())];
        id.attempt = 0;
        for letter in letters.chars() {
            if letter == 'i' {
                id.attempt += 1;
                events.push(Event::Intent {
                    id: id.clone(),
                    effect: effect.clone(),
                });
                continue;
            }
            let outcome = match letter {
                'd' => Outcome::Done,
                'a' => Outcome::AlreadySo,
                'n' => Outcome::NotDone {
                    fault: Fault::definite("x", "x"),
                },
                'p' => Outcome::NotDone {
                    fault: Fault::definite(PUT_BACK, "x"),
                },
                _ => Outcome::Unknown {
                    fault: Fault::indeterminate("x", "x"),
                },
            };
            events.push(Event::Outcome {
                id: id.clone(),
                outcome,
            });
        }
        state(events)
    }

    #[test]
    fn a_pod_that_others_took_away_is_not_ours() {
        let evicted = |letters: &str| {
            let (id, _) = effect("one");
            let pod = serde_json::json!({"api_version": "v1", "resource": "pods", "kind": "Pod", "namespace": "n", "name": "p", "uid": "u"});
            let effect = Effect::EvictPod {
                pod: serde_json::from_value(pod).unwrap(),
                node: "node02".into(),
                grace: None,
                deletes: false,
                owner: None,
                loses: vec![],
            };
            story_of(id, effect, letters)
        };
        assert_eq!(evicted("ia"), EffectState::NotOurs);
        assert_eq!(evicted("inia"), EffectState::NotOurs);
        assert_eq!(evicted("id"), EffectState::Done);
        // Of an attempt before, nobody knows.
        assert_eq!(evicted("iia"), EffectState::Done);
        assert_eq!(evicted("iuia"), EffectState::Done);
    }

    #[test]
    fn an_effect_is_ours_as_soon_as_it_may_be() {
        use EffectState::{Done, NotOurs, Open};
        for (letters, expected) in [
            ("i", Open),
            ("id", Done),
            ("in", NotOurs),
            ("iu", Open),
            // Refused for certain, then found to be so: somebody else did it.
            ("ina", NotOurs),
            ("inid", Done),
            ("inin", NotOurs),
            // The answer was lost, and then it was found to be so.
            ("iua", Done),
            ("ia", Done),
            ("ida", Done),
            // A second attempt after one that was never cleared up: a late first may still arrive.
            ("ii", Open),
            ("iin", Open),
            ("iud", Done),
            ("iina", Done),
            ("iid", Done),
            ("iuin", Open),
            // Its host has put it back, with whatever earlier attempts had done.
            ("ip", NotOurs),
            ("iip", NotOurs),
            ("iuip", NotOurs),
            ("iipi", Open),
            ("iipid", Done),
            ("iipin", NotOurs),
        ] {
            assert_eq!(story(letters), expected, "{letters}");
        }
    }

    #[test]
    fn what_was_found_to_be_so_without_an_intent_is_no_effect() {
        let (id, _) = effect("one");
        let record = RunRecord::fold(entries(vec![
            start(RunId::generate()),
            Event::Outcome {
                id,
                outcome: Outcome::AlreadySo,
            },
        ]))
        .unwrap();
        assert_eq!(record.to_take_back().count(), 0);
    }

    #[test]
    fn a_claim_is_kept_in_mind_until_it_is_let_go() {
        let (first, second) = (Sitting::generate(), Sitting::generate());
        let claiming = |sitting| Event::Claiming {
            sitting,
            place: "here".into(),
            over: vec![],
        };
        let of = |events: Vec<Event>| {
            let mut all = vec![start(RunId::generate())];
            all.extend(events);
            RunRecord::fold(entries(all)).unwrap().claim
        };
        assert_eq!(of(vec![]), None);
        let events = vec![claiming(first), claiming(second)];
        assert_eq!(of(events), Some(second));
        let released = Event::Released { sitting: first };
        assert_eq!(of(vec![claiming(first), released]), None);
    }

    #[test]
    fn the_last_word_on_a_step_counts_and_a_new_start_takes_it_back() {
        let step = || StepId::new("one").unwrap();
        let ended = |result| Event::StepEnded {
            step: step(),
            scope: Scope::Run,
            result,
        };
        let failed = || StepResult::Failed {
            fault: Fault::definite("x", "x"),
        };
        let mut events = vec![start(RunId::generate()), ended(failed())];
        let last = |events: &[Event]| {
            RunRecord::fold(entries(events.to_vec()))
                .unwrap()
                .step(&step(), &Scope::Run)
                .cloned()
        };
        assert_eq!(last(&events), Some(failed()));
        events.push(Event::StepStarted {
            step: step(),
            scope: Scope::Run,
        });
        assert_eq!(last(&events), None);
        events.push(ended(StepResult::Verified { changed: true }));
        assert_eq!(last(&events), Some(StepResult::Verified { changed: true }));
    }

    #[test]
    fn a_resumed_run_has_not_ended() {
        let actor = start(RunId::generate());
        let Event::RunStarted { plan, .. } = &actor else {
            panic!()
        };
        let resumed = Event::RunResumed {
            actor: plan.actor.clone(),
            engine: "0".into(),
            reason: None,
        };
        let ended = |ending| Event::RunEnded {
            ending,
            fault: None,
        };
        let fold = |events: Vec<Event>| RunRecord::fold(entries(events)).unwrap();
        let failed = fold(vec![actor.clone(), ended(Ending::Failed)]);
        assert!(failed.ending.is_some() && !failed.is_done());
        let events = vec![actor, ended(Ending::Failed), resumed];
        assert_eq!(fold(events.clone()).ending, None);
        assert!(fold([events, vec![ended(Ending::Done)]].concat()).is_done());
        assert!(RunRecord::fold(entries(vec![ended(Ending::Done)])).is_none());
    }
}
