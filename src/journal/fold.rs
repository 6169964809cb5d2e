//! What a run's events add up to.

use super::event::{Ending, Event, Outcome};
use crate::fault::Fault;
use crate::model::{Effect, EffectId, Plan, RunId};

/// How far an effect got, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectState {
    /// Its intent is there and no outcome: it may have happened.
    Open,
    Done,
    /// Nothing was written by this run.
    NotOurs,
}

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    pub run: RunId,
    pub plan: Plan,
    /// In the order of their intents.
    pub effects: Vec<(EffectId, Effect, EffectState)>,
    pub ending: Option<(Ending, Option<Fault>)>,
}

impl RunRecord {
    /// `None` where the first event is not the start of a run.
    pub fn fold(events: impl IntoIterator<Item = Event>) -> Option<Self> {
        let mut events = events.into_iter();
        let Some(Event::RunStarted { run, plan, .. }) = events.next() else {
            return None;
        };
        let mut record = Self {
            run,
            plan: *plan,
            effects: Vec::new(),
            ending: None,
        };
        for event in events {
            record.on(event);
        }
        Some(record)
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Intent { id, effect } => self.effects.push((id, effect, EffectState::Open)),
            Event::Outcome { id, outcome } => {
                let state = match outcome {
                    Outcome::Done => EffectState::Done,
                    Outcome::AlreadySo | Outcome::NotDone { .. } => EffectState::NotOurs,
                    Outcome::Unknown { .. } => EffectState::Open,
                };
                if let Some(effect) = self.effects.iter_mut().find(|(known, ..)| *known == id) {
                    effect.2 = state;
                }
            }
            Event::RunEnded { ending, fault } => self.ending = Some((ending, fault)),
            Event::RunStarted { .. } | Event::StepStarted { .. } | Event::StepEnded { .. } => {}
        }
    }

    /// The effects that this run made or may have made, newest first.
    pub fn to_take_back(&self) -> impl Iterator<Item = &(EffectId, Effect, EffectState)> {
        self.effects
            .iter()
            .rev()
            .filter(|(_, _, state)| *state != EffectState::NotOurs)
    }
}
