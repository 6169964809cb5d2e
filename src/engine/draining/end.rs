//! When a drain is over, and what is said of it then.

use super::entry::{Entry, State};
use super::{Draining, Moment};
use crate::drain::OnBlocked;
use crate::fault::{Class, Fault, TIMEOUT};
use jiff::Timestamp;
use std::time::Duration;

/// How long an API server that does not answer is waited for.
const SILENCE: Duration = Duration::from_secs(120);

impl Draining {
    /// Whether it is over, and how.
    pub(super) fn end(&mut self, now: Moment) -> Option<Result<(), Fault>> {
        let flying = |entry: &Entry| matches!(entry.state, State::Sent | State::Intending);
        if self.pods.values().any(flying) {
            return None;
        }
        if let Some(fault) = self.fatal.clone() {
            return Some(Err(self.give_up(fault)));
        }
        if self.listed && self.pods.values().all(|entry| entry.state.is_over()) {
            return Some(match self.failure() {
                None => Ok(()),
                Some(fault) => Err(self.give_up(fault)),
            });
        }
        if let Some(fault) = self.silent_for_too_long(now).cloned() {
            return Some(Err(self.give_up(fault)));
        }
        if self.stopping {
            let message = format!("stopped by the operator: {}", self.said(now));
            let fault = Fault::refused("stopped", message);
            let next = "what was begun goes on by itself; `runbook resume` evicts the rest";
            return Some(Err(self.give_up(fault.next(next))));
        }
        if !self.listed {
            return self.is_late(now).then(|| Err(self.too_late(now)));
        }
        if self.is_late(now) {
            let fault = self.too_late(now);
            return Some(Err(self.give_up(fault)));
        }
        self.is_held(now).map(|fault| Err(self.give_up(fault)))
    }

    pub(super) fn silent_for_too_long(&self, now: Moment) -> Option<&Fault> {
        let (since, fault) = self.silent.as_ref()?;
        (now.since.saturating_sub(*since) >= SILENCE).then_some(fault)
    }

    /// What of it failed.
    fn failure(&self) -> Option<Fault> {
        let failed = |entry: &Entry| match &entry.state {
            State::Failed(fault) => Some(fault.clone()),
            _ => None,
        };
        let mut faults: Vec<Fault> = self.pods.values().filter_map(failed).collect();
        // What nobody knows outweighs what is certain.
        faults.sort_by_key(|fault| fault.class != Class::Indeterminate);
        let all: Vec<String> = faults
            .iter()
            .map(|fault| fault.message.clone())
            .chain(self.objections.values().cloned())
            .collect();
        let message = match all.as_slice() {
            [] => return None,
            [one] => one.clone(),
            several => format!("{} pods did not go: {}", several.len(), several.join("; ")),
        };
        Some(match faults.into_iter().next() {
            Some(first) => Fault { message, ..first },
            None => Fault::definite("in_the_way", message)
                .next("it came while the others were evicted; a new plan shows how it stands"),
        })
    }

    /// Where nobody waits for budgets: whether nothing is left but what they hold.
    fn is_held(&self, now: Moment) -> Option<Fault> {
        if self.of.options.on_blocked != OnBlocked::Fail {
            return None;
        }
        let lowest = self.lowest();
        let all = self
            .pods
            .values()
            .filter(|entry| !entry.state.is_over())
            .filter(|entry| lowest.is_none_or(|lowest| entry.pod.priority == lowest))
            .all(|entry| entry.state != State::Going && self.is_held_by_budget(entry));
        all.then(|| {
            Fault::definite("held_by_budget", self.said(now))
                .next("`on_blocked: wait` waits for the budget; a new plan shows how it stands")
        })
    }

    /// Whether its budget has held it, or holds others that it protects.
    fn is_held_by_budget(&self, entry: &Entry) -> bool {
        entry.held.as_ref().is_some_and(|held| held.by_budget) || self.gate_holds(entry).is_some()
    }

    /// The budget that holds others, and so this pod too, which waits for its turn; and since when.
    pub(super) fn gate_holds(&self, entry: &Entry) -> Option<(String, Timestamp)> {
        let waits = matches!(entry.state, State::Ready) && entry.held.is_none();
        let key = self.gate_of(entry).filter(|_| waits)?;
        let since = self.gates.get(&key)?.holds_since?;
        Some((key, since))
    }

    fn too_late(&self, now: Moment) -> Fault {
        let within = self.of.within.unwrap_or_default().as_secs();
        let message = format!(
            "it did not come about within {within} s: {}",
            self.said(now)
        );
        let ends = self.pods.values().any(|entry| entry.state == State::Going);
        // What is being deleted may yet be gone by itself; what is held does not go by itself.
        let code = if ends { TIMEOUT } else { "not_drained" };
        // Where nothing was evicted, the cordon is taken back, and there is nothing to go on with.
        let next = match self.made.is_empty() && code != TIMEOUT {
            true => "look what holds it up; a new plan shows how it stands",
            false => "look what holds it up; `runbook resume` goes on with the rest",
        };
        Fault::definite(code, message).next(next)
    }

    /// What was made durable and has not happened is closed.
    fn give_up(&mut self, fault: Fault) -> Fault {
        let mut records = Vec::new();
        for entry in self.pods.values_mut() {
            records.extend(entry.closed(&fault));
        }
        self.note(records);
        fault
    }

    pub(super) fn wake(&self, now: Moment) -> Option<Duration> {
        let pauses = self.pods.values().filter_map(Entry::pauses_until);
        let gates = self.gates.values().filter_map(|gate| gate.shut_until);
        let silent = self.silent.as_ref().map(|(since, _)| *since + SILENCE);
        pauses
            .chain(gates)
            .chain([self.busy_until])
            .chain(self.of.within)
            .chain(silent)
            .filter(|at| *at > now.since)
            .min()
    }
}
