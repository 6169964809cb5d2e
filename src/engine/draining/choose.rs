//! Which evictions are next: as many as may be under way, in all and under one budget.

use super::entry::{Entry, State};
use super::{Draining, Moment, Turn};
use crate::drain::{Claims, PodUid};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many evictions are under way at a time.
pub(super) const AT_ONCE: usize = 32;
/// How many that ask the same budget: each of them writes it, and more only get in each other's way.
pub(super) const PER_BUDGET: usize = 4;

/// Requests that one budget has let through or held.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) shut_until: Option<Duration>,
    /// How many may be under way; few after it was shut.
    pub(super) window: usize,
    /// Since when it holds; until it lets one through.
    pub(super) holds_since: Option<Timestamp>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            shut_until: None,
            window: PER_BUDGET,
            holds_since: None,
        }
    }
}

impl Draining {
    /// The budget that its eviction asks.
    pub(super) fn gate_of(&self, entry: &Entry) -> Option<String> {
        if entry.deletes || entry.pod.needs_no_budget() {
            return None;
        }
        let budget = Claims::of(&entry.pod, &self.of.budgets).one()?;
        // One that is not ready may go while others may not.
        let may_go = !entry.pod.ready && budget.lets_unready_go();
        (!may_go).then(|| budget.key())
    }

    pub(super) fn choose(&mut self, now: Moment, turn: &mut Turn) {
        let mut flying = self
            .pods
            .values()
            .filter(|e| e.state == State::Sent)
            .count();
        let lowest = self.lowest();
        let later = |entry: &Entry| lowest.is_some_and(|lowest| entry.pod.priority > lowest);
        // What is held may be so for long, and so may what waits for its turn: they are in nobody's way.
        let mut prepared = self
            .pods
            .values()
            .filter(|e| e.is_prepared() && e.held.is_none() && !later(e))
            .count();
        // Commits are shared: many intents at a time, or none.
        let intends = prepared <= AT_ONCE;
        let mut per_gate: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.pods.values().filter(|e| e.state == State::Sent) {
            if let Some(gate) = self.gate_of(entry) {
                *per_gate.entry(gate).or_default() += 1;
            }
        }
        let mut order: Vec<(i64, u32, String, PodUid)> = Vec::new();
        for (uid, entry) in &self.pods {
            if !later(entry) && entry.may_be_sent(now.since) {
                let (priority, name) = self.of.options.rank(&entry.pod);
                // Those that were asked about least come first, so that each has its turn.
                order.push((priority, entry.asked, name, uid.clone()));
            }
        }
        order.sort_unstable();
        let busy = now.since < self.busy_until || self.blind;
        for (.., uid) in order {
            let sends = !busy && flying < AT_ONCE;
            let prepares = intends && prepared < 2 * AT_ONCE;
            // Of a thousand pods, most wait for their turn.
            if !sends && !prepares {
                break;
            }
            let Some(gate) = self.pods.get(&uid).map(|entry| self.gate_of(entry)) else {
                continue;
            };
            if let Some(key) = &gate {
                let gate = self.gates.entry(key.clone()).or_default();
                let shut = gate.shut_until.is_some_and(|until| now.since < until);
                if shut || per_gate.get(key).copied().unwrap_or_default() >= gate.window {
                    continue;
                }
            }
            let Some(entry) = self.pods.get_mut(&uid) else {
                continue;
            };
            if entry.permit.is_some() {
                if !sends {
                    continue;
                }
                if let Some(permit) = entry.permit.take() {
                    entry.state = State::Sent;
                    entry.asked += 1;
                    flying += 1;
                    turn.send.push((uid, permit));
                }
            } else if prepares {
                let (id, effect) = entry.intent(&self.of, &mut self.attempts);
                prepared += 1;
                turn.intend.push((id, effect));
            } else {
                continue;
            }
            if let Some(key) = gate {
                *per_gate.entry(key).or_default() += 1;
            }
        }
    }
}
