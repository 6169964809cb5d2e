//! What is known of an author's programs when they are to be taken back: what the host tells, and what
//! only the journal does.

use crate::actions::World;
use crate::fault::Fault;
use crate::journal::{EffectRecord, EffectState, RunRecord, StateDir};
use crate::model::{Effect, HostRef, Now, PlanKind, ProgramNow, Programs, RunId};

/// How the world stands to an effect of the run.
pub async fn left_by(world: &World, record: &RunRecord, done: &EffectRecord) -> Result<Now, Fault> {
    let key = done.id.key(record.run);
    let look = world.at_rest(&done.effect, &key);
    let Effect::RunProgram { programs } = &done.effect else {
        return look.await;
    };
    if done.state == EffectState::Done && programs.check.is_none() {
        // The journal knows, and nothing on the host knows better.
        return Ok(Now::Program(ProgramNow::Is {
            done: !programs.back,
        }));
    }
    match look.await {
        Ok(Now::Program(found)) => Ok(Now::Program(judged(programs, done, found))),
        Err(fault) if fault.code == "check_failed" => {
            Ok(Now::Program(ProgramNow::Unclear(fault.message)))
        }
        other => other,
    }
}

/// What was found of a program, with what the journal knows of it.
fn judged(programs: &Programs, done: &EffectRecord, found: ProgramNow) -> ProgramNow {
    match (done.state == EffectState::Done, found) {
        // It was done, and somebody has put it back since.
        (true, ProgramNow::Begun) => ProgramNow::Is {
            done: programs.back,
        },
        // Its host has run its `undo`, whatever earlier attempts had done.
        (_, ProgramNow::PutBack(_)) => ProgramNow::Is { done: false },
        // The latest attempt may not have begun, and an earlier one was broken off.
        (false, ProgramNow::Is { done: false }) if !programs.back && done.id.attempt > 1 => {
            ProgramNow::Begun
        }
        (_, found) => found,
    }
}

/// What earlier undos have taken back, of programs of which nothing on the host tells how they stand.
pub struct Earlier(Vec<RunRecord>);

impl Earlier {
    /// Reads the other journals where the run has such programs, and none otherwise. A broken one
    /// blocks no other run: it is passed over.
    pub fn of(state: &StateDir, record: &RunRecord) -> Self {
        let starts = |effect: &Effect| restarts(effect).is_some();
        let needed = |done: &EffectRecord| is_blind(&done.effect) || starts(&done.effect);
        let needed = record.to_take_back().any(needed);
        let runs = needed.then(|| state.list().ok()).flatten();
        let runs = runs.unwrap_or_default().into_iter();
        Self(runs.filter_map(|run| state.read(run).ok()).collect())
    }

    /// The undo that took an effect of `run` back, and was not taken back itself.
    pub fn undo_of(&self, run: RunId, done: &EffectRecord) -> Option<RunId> {
        if !is_blind(&done.effect) {
            return None;
        }
        let undoes = |record: &RunRecord, of: RunId| {
            is_undo(record, of)
                && done_by(record).any(|effect| {
                    (&effect.id.step, &effect.id.scope) == (&done.id.step, &done.id.scope)
                })
        };
        self.0
            .iter()
            .filter(|record| undoes(record, run))
            .find(|undo| !self.0.iter().any(|again| undoes(again, undo.run)))
            .map(|undo| undo.run)
    }
}

impl Earlier {
    /// Whether undos of `run` have put something of a host back, and none has started its unit anew after
    /// that.
    pub fn left_to_start(&self, run: RunId, host: &HostRef, unit: &str) -> bool {
        let here = |done: &&EffectRecord| done.effect.on_host().is_some_and(|at| at.same(host));
        let undos = || self.0.iter().filter(|record| is_undo(record, run));
        let done = || undos().flat_map(done_by).filter(here);
        let started = |done: &EffectRecord| restarts(&done.effect) == Some(unit);
        done().next().is_some() && !done().any(started)
    }
}

fn is_undo(record: &RunRecord, of: RunId) -> bool {
    matches!(record.plan.kind, PlanKind::Undo { of: undone, .. } if undone == of)
}

fn done_by(record: &RunRecord) -> impl Iterator<Item = &EffectRecord> {
    let done = |effect: &&EffectRecord| effect.state == EffectState::Done;
    record.effects.iter().filter(done)
}

/// The unit that it starts anew.
fn restarts(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::RunProgram { programs } => programs.restarts.as_ref().map(|r| r.unit.as_str()),
        _ => None,
    }
}

/// Whether it is a program without a check.
fn is_blind(effect: &Effect) -> bool {
    matches!(effect, Effect::RunProgram { programs } if programs.check.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Event;
    use crate::journal::test_events::{effect, entries, programs, start};

    #[test]
    fn what_is_found_of_a_program_is_judged_by_what_the_journal_knows() {
        let found = |state, attempt, found: &ProgramNow| {
            let (id, effect) = effect("one");
            let events = vec![start(RunId::generate()), Event::Intent { id, effect }];
            let mut record = RunRecord::fold(entries(events)).unwrap().effects.remove(0);
            record.state = state;
            record.id.attempt = attempt;
            judged(&programs(), &record, found.clone())
        };
        let (whole, none) = (
            ProgramNow::Is { done: true },
            ProgramNow::Is { done: false },
        );
        let unclear = ProgramNow::Unclear("x".into());
        for (state, attempt, now, judged) in [
            (EffectState::Done, 1, &whole, &whole),
            (EffectState::Done, 1, &none, &none),
            (EffectState::Done, 2, &none, &none),
            // Put back by hand.
            (EffectState::Done, 1, &ProgramNow::Begun, &none),
            (EffectState::Open, 1, &whole, &whole),
            (EffectState::Open, 1, &none, &none),
            // An earlier attempt was broken off.
            (EffectState::Open, 2, &none, &ProgramNow::Begun),
            (EffectState::Open, 1, &ProgramNow::Begun, &ProgramNow::Begun),
            (EffectState::Open, 2, &unclear, &unclear),
        ] {
            assert_eq!(
                found(state, attempt, now),
                *judged,
                "{state:?} {attempt} {now:?}"
            );
        }
    }
}
