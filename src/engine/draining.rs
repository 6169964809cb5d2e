//! The evictions of one step, side by side, as a state machine without input or output: it is told what is seen
//! and answered, and says what to make durable and what to send. Nothing is sent whose intent is not durable.

mod choose;
mod end;
mod entry;
mod seen;
mod words;

use crate::drain::{Budget, Daemons, DrainNode, OnBlocked, Options, PodUid};
use crate::fault::{Class, Fault};
use crate::journal::{EffectRecord, EffectState, Event, Outcome, Permit};
use crate::model::{Effect, EffectId, Scope, StepId};
use crate::transport::Evicted;
use choose::{Gate, PER_BUDGET};
use entry::{Entry, State, budget_named};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often one is tried of which nobody knows what becomes.
const ATTEMPTS: u32 = 5;
/// How often one that a budget holds is tried, and one that something else does.
const AGAIN: Duration = Duration::from_secs(1);
const LONGER: Duration = Duration::from_secs(5);
/// How long it rests at most where the API server has too much to do.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// When something happens: since the step began, and by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub since: Duration,
    pub at: Timestamp,
}

/// What is evicted, and how.
#[derive(Debug, Clone)]
pub struct Evicting {
    pub step: StepId,
    pub scope: Scope,
    /// Where, for people.
    pub place: String,
    pub options: Options,
    /// No other pods than these; `None`: whoever is there.
    pub only: Option<BTreeSet<PodUid>>,
    pub daemons: Daemons,
    pub budgets: Vec<Budget>,
    /// Losses that were seen in the plan.
    pub seen: BTreeSet<String>,
    /// How long it may take; `None`: without end.
    pub within: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be written down.
    pub records: Vec<Event>,
    /// To be made durable together, and answered with [`Draining::permitted`].
    pub intend: Vec<(EffectId, Effect)>,
    /// To be sent, and answered with [`Draining::answered`].
    pub send: Vec<(PodUid, Permit)>,
    /// When to take the next turn at the latest.
    pub wake: Option<Duration>,
    /// It is over.
    pub end: Option<Result<(), Fault>>,
}

#[derive(Debug)]
pub struct Draining {
    of: Evicting,
    pods: BTreeMap<PodUid, Entry>,
    gates: BTreeMap<String, Gate>,
    /// What the API server has counted for each that held a pod when it was last asked.
    counts: BTreeMap<String, String>,
    /// Latest attempt of each effect.
    attempts: BTreeMap<String, u32>,
    /// Effects of earlier sittings of which nobody knows what became.
    open: BTreeMap<PodUid, EffectRecord>,
    /// How many pods of each controller were there first, and how many came later.
    owners: BTreeMap<String, (usize, usize)>,
    listed: bool,
    /// Why nothing more is begun.
    fatal: Option<Fault>,
    /// What came later, and is in the way.
    objections: BTreeMap<PodUid, String>,
    busy_until: Duration,
    /// The pods cannot be seen just now: nothing more is sent.
    blind: bool,
    /// When it has too much to do no more, by the clock.
    busy_till: Option<Timestamp>,
    silent: Option<(Duration, Fault)>,
    stopping: bool,
    made: Vec<EffectId>,
    nodes: BTreeMap<String, DrainNode>,
    records: Vec<Event>,
}

impl Draining {
    /// `begun` is what earlier sittings began of this step, `attempts` how often this one tried what.
    pub fn new(of: Evicting, begun: &[EffectRecord], mut attempts: BTreeMap<String, u32>) -> Self {
        let mut open = BTreeMap::new();
        let own = |record: &&EffectRecord| {
            record.effect.evicts() && (&record.id.step, &record.id.scope) == (&of.step, &of.scope)
        };
        for record in begun.iter().filter(own) {
            let latest = attempts.entry(record.id.item.clone()).or_default();
            *latest = record.id.attempt.max(*latest);
            if let (EffectState::Open, Effect::EvictPod { pod, .. }) =
                (record.state, &record.effect)
            {
                open.insert(pod.uid.clone(), record.clone());
            }
        }
        Self {
            of,
            pods: BTreeMap::new(),
            gates: BTreeMap::new(),
            counts: BTreeMap::new(),
            attempts,
            open,
            owners: BTreeMap::new(),
            listed: false,
            fatal: None,
            objections: BTreeMap::new(),
            busy_until: Duration::ZERO,
            blind: false,
            busy_till: None,
            silent: None,
            stopping: false,
            made: Vec::new(),
            nodes: BTreeMap::new(),
            records: Vec::new(),
        }
    }

    /// The effects that it made, or may have made; and the latest attempt of each.
    pub fn into_made(self) -> (Vec<EffectId>, BTreeMap<String, u32>) {
        (self.made, self.attempts)
    }

    /// The effects where it breaks off in the middle: what is under way may happen yet. One may be named twice.
    pub fn broken(self) -> Vec<EffectId> {
        let mut made = self.made;
        let open = self.pods.into_values().filter_map(Entry::may_happen);
        made.extend(open.chain(self.open.into_values().map(|record| record.id)));
        made
    }

    /// Pods that are being deleted, and were not waited for.
    pub fn left(&self) -> Vec<String> {
        let left = self
            .pods
            .values()
            .filter(|entry| entry.state == State::Left);
        left.map(|entry| entry.pod.name()).collect()
    }

    /// The pods can be seen.
    pub fn alive(&mut self) {
        self.silent = None;
        self.blind = false;
    }

    /// Nothing can be seen just now.
    pub fn silent(&mut self, now: Moment, fault: Fault) {
        // An API server that has just started does not know all rights yet; this one could be read before.
        let may_pass = self.listed && fault.code == "api_forbidden";
        if fault.class != Class::Unreachable && !may_pass {
            self.fatal.get_or_insert(fault);
            return;
        }
        self.blind = true;
        self.unanswered(now, fault);
    }

    fn unanswered(&mut self, now: Moment, fault: Fault) {
        let since = self.silent.as_ref().map_or(now.since, |(since, _)| *since);
        self.silent = Some((since, fault));
    }

    /// How nodes stand whose pods take longer than they were given.
    pub fn nodes(&mut self, nodes: Vec<DrainNode>) {
        self.nodes = nodes
            .into_iter()
            .map(|node| (node.name.clone(), node))
            .collect();
    }

    /// Whether it would help to know how nodes stand: pods should be gone by now.
    pub fn asks_for_nodes(&self, now: Moment) -> bool {
        self.pods.values().any(|entry| entry.is_overdue(now.at))
    }

    /// Intents are durable.
    pub fn permitted(&mut self, permits: Vec<Permit>) {
        for permit in permits {
            let Effect::EvictPod { pod, .. } = permit.effect() else {
                continue;
            };
            if let Some(entry) = self.pods.get_mut(&pod.uid) {
                let records = entry.permitted(permit);
                self.note(records);
            }
        }
    }

    /// An intent was not made durable, as nothing may be done any more.
    pub fn not_intended(&mut self, id: &EffectId) {
        let of = self.pods.values_mut().find(|entry| entry.is_of(id));
        if let Some(entry) = of {
            entry.not_intended();
        }
    }

    /// The operator wants it to end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Nothing more may be begun.
    pub fn break_off(&mut self, fault: Fault) {
        self.fatal.get_or_insert(fault);
    }

    /// An eviction was answered.
    pub fn answered(&mut self, now: Moment, uid: &str, permit: Permit, answer: Evicted) {
        let force = self.of.options.on_blocked == OnBlocked::Force;
        let gate = self.pods.get(uid).and_then(|entry| self.gate_of(entry));
        let goes = self.pods.get(uid).is_some_and(Entry::is_seen_going);
        match &answer {
            // It is not asked again, and a quiet watch would not say for long that the API server is there.
            Evicted::Away(_) if goes => {}
            // It is asked again after a rest: one that watches quietly tells of nothing for long.
            Evicted::Silent(fault) | Evicted::Away(fault) => {
                self.unanswered(now, fault.clone());
                self.busy_until = self.busy_until.max(now.since + AGAIN);
            }
            _ => self.silent = None,
        }
        if let (Evicted::Held { counts, .. }, Some(entry)) = (&answer, self.pods.get(uid)) {
            let by = entry.holder(&answer);
            match counts {
                Some(counts) => self.counts.insert(by, counts.clone()),
                None => self.counts.remove(&by),
            };
        }
        match (&answer, &gate) {
            (Evicted::Held { .. }, Some(gate)) => {
                let gate = self.gates.entry(gate.clone()).or_default();
                gate.shut_until = Some(now.since + AGAIN);
                gate.window = 1;
                gate.holds_since.get_or_insert(now.at);
            }
            (Evicted::Begun, Some(gate)) => {
                self.counts.remove(&budget_named(gate));
                if let Some(gate) = self.gates.get_mut(gate) {
                    gate.window = (gate.window * 2).min(PER_BUDGET);
                    gate.holds_since = None;
                }
            }
            (Evicted::Busy { seconds }, _) => {
                let rest = Duration::from_secs(*seconds).min(LONGEST_REST);
                self.busy_until = now.since + rest;
                self.busy_till = Some(now.at + rest);
            }
            _ => {}
        }
        if let Some(entry) = self.pods.get_mut(uid) {
            let records = entry.answered(now, permit, answer, force);
            self.note(records);
        }
    }

    fn note(&mut self, records: Vec<(EffectId, Outcome)>) {
        for (id, outcome) in records {
            if matches!(outcome, Outcome::Done | Outcome::Unknown { .. })
                && !self.made.iter().any(|made| made.same_effect(&id))
            {
                self.made.push(id.clone());
            }
            self.outcome(id, outcome);
        }
    }

    fn outcome(&mut self, id: EffectId, outcome: Outcome) {
        self.records.push(Event::Outcome { id, outcome });
    }

    /// What to do now.
    pub fn turn(&mut self, now: Moment) -> Turn {
        let mut turn = Turn::default();
        for entry in self.pods.values_mut() {
            if entry.state == State::Going && self.of.options.skips(&entry.pod, now.at) {
                entry.state = State::Left;
            }
        }
        if self.listed && !self.ends_now(now) {
            self.choose(now, &mut turn);
        }
        turn.end = self.end(now);
        turn.records = std::mem::take(&mut self.records);
        turn.wake = self.wake(now);
        turn
    }

    fn ends_now(&self, now: Moment) -> bool {
        self.stopping
            || self.fatal.is_some()
            || self.is_late(now)
            || self.silent_for_too_long(now).is_some()
    }

    /// The priority whose turn it is, where there are turns.
    fn lowest(&self) -> Option<i64> {
        let open = self.pods.values().filter(|entry| !entry.state.is_over());
        let lowest = open.map(|entry| entry.pod.priority).min();
        lowest.filter(|_| self.of.options.by_priority)
    }

    fn is_late(&self, now: Moment) -> bool {
        self.of.within.is_some_and(|within| now.since >= within)
    }
}

#[cfg(test)]
mod tests;
