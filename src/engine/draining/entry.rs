//! One pod that goes.

use super::{AGAIN, ATTEMPTS, Evicting, LONGER, Moment};
use crate::drain::Pod;
use crate::fault::Fault;
use crate::journal::{EffectRecord, Outcome, Permit};
use crate::model::{Effect, EffectId};
use crate::transport::Evicted;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether budgets alone keep a pod.
fn is_of_budgets(answer: &Evicted) -> bool {
    match answer {
        Evicted::Held { .. } => true,
        Evicted::Refused(fault) => fault.code == "several_budgets",
        _ => false,
    }
}

/// A budget, for people; `key` is `namespace/name`.
pub fn budget_named(key: &str) -> String {
    format!("PodDisruptionBudget {key}")
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// To be evicted.
    Ready,
    /// Its intent is being made durable.
    Intending,
    Sent,
    /// To be tried again, not before.
    Pausing(Duration),
    /// It is being deleted.
    Going,
    /// The same, for longer than is waited for.
    Left,
    Gone,
    Failed(Fault),
}

impl State {
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Gone | Self::Left | Self::Failed(_))
    }
}

/// Since when what holds a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub since: Timestamp,
    /// The budget's name, or what else holds it.
    pub by: String,
    /// What that says.
    pub why: Option<String>,
    pub by_budget: bool,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{} ({why})", self.by),
            None => f.write_str(&self.by),
        }
    }
}

/// What becomes of effects.
pub type Outcomes = Vec<(EffectId, Outcome)>;

#[derive(Debug)]
pub struct Entry {
    pub pod: Pod,
    losses: Vec<String>,
    pub state: State,
    /// The intent that is durable, and of which it is not written down yet what became.
    id: Option<EffectId>,
    pub permit: Option<Permit>,
    /// A request whose answer was lost.
    unsure: Option<Fault>,
    tries: u32,
    /// How often its eviction was asked for.
    pub asked: u32,
    pub held: Option<Held>,
    /// It is deleted, whatever its budget says.
    pub deletes: bool,
    /// It was seen to be gone while its answer was on the way.
    seen_gone: bool,
}

impl Entry {
    pub fn new(pod: Pod, losses: Vec<String>) -> Self {
        let state = match pod.is_going() {
            true => State::Going,
            false => State::Ready,
        };
        Self {
            pod,
            losses,
            state,
            id: None,
            permit: None,
            unsure: None,
            tries: 0,
            asked: 0,
            held: None,
            deletes: false,
            seen_gone: false,
        }
    }

    /// An earlier sitting began its eviction.
    pub fn recall(&mut self, record: EffectRecord) -> Outcomes {
        if let Effect::EvictPod { deletes, .. } = record.effect {
            self.deletes = deletes;
        }
        self.id = Some(record.id);
        self.unsure = Some(Fault::indeterminate(
            "cut_short",
            "an earlier sitting of the run was cut short",
        ));
        match self.state {
            State::Going => self.happened(),
            _ => Vec::new(),
        }
    }

    /// Its intent and what it would do; it is being made durable.
    pub fn intent(
        &mut self,
        of: &Evicting,
        attempts: &mut BTreeMap<String, u32>,
    ) -> (EffectId, Effect) {
        let item = format!("{} {}", self.pod.name(), self.pod.uid());
        let attempt = attempts.entry(item.clone()).or_default();
        *attempt += 1;
        let id = EffectId {
            step: of.step.clone(),
            scope: of.scope.clone(),
            item,
            attempt: *attempt,
        };
        self.state = State::Intending;
        self.id = Some(id.clone());
        (id, self.effect(of))
    }

    fn effect(&self, of: &Evicting) -> Effect {
        Effect::EvictPod {
            pod: self.pod.object.clone(),
            node: self.pod.node.clone().unwrap_or_default(),
            grace: of.options.grace.seconds(),
            deletes: self.deletes,
            owner: self.pod.controller.clone(),
            loses: self.losses.clone(),
        }
    }

    pub fn permitted(&mut self, permit: Permit) -> Outcomes {
        self.permit = Some(permit);
        match self.state {
            State::Intending if self.seen_gone => self.ends_by_others(State::Gone),
            State::Intending if self.pod.is_going() => self.ends_by_others(State::Going),
            State::Intending => {
                self.state = State::Ready;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub fn is_of(&self, id: &EffectId) -> bool {
        self.id.as_ref() == Some(id)
    }

    pub fn not_intended(&mut self) {
        self.id = None;
        self.state = match self.seen_gone {
            true => State::Gone,
            false => State::Ready,
        };
    }

    /// Whether its intent is durable, or about to be, and it has not been answered.
    pub fn is_prepared(&self) -> bool {
        self.permit.is_some() || matches!(self.state, State::Intending | State::Sent)
    }

    pub fn may_be_sent(&self, now: Duration) -> bool {
        match self.state {
            State::Ready => true,
            State::Pausing(until) => now >= until,
            _ => false,
        }
    }

    pub fn pauses_until(&self) -> Option<Duration> {
        match self.state {
            State::Pausing(until) => Some(until),
            _ => None,
        }
    }

    /// What was sent and not answered, or answered so that nobody knows.
    pub fn may_happen(self) -> Option<EffectId> {
        let may = self.state == State::Sent || self.unsure.is_some();
        self.id.filter(|_| may)
    }

    pub fn is_seen_going(&self) -> bool {
        self.seen_gone || self.pod.is_going()
    }

    /// Whether it should be gone by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let late = |ends: Timestamp| now.duration_since(ends).as_secs() >= 5;
        self.state == State::Going && self.pod.ends.is_some_and(late)
    }

    /// It was seen.
    pub fn seen(&mut self, pod: Pod) -> Outcomes {
        self.pod = pod;
        match self.state {
            State::Ready | State::Pausing(_) | State::Failed(_) if self.pod.is_going() => {
                self.ends_by_others(State::Going)
            }
            _ => Vec::new(),
        }
    }

    /// It was seen to be gone.
    pub fn gone(&mut self) -> Outcomes {
        self.seen_gone = true;
        match self.state {
            State::Ready | State::Pausing(_) | State::Failed(_) => self.ends_by_others(State::Gone),
            State::Going | State::Left => {
                self.state = State::Gone;
                Vec::new()
            }
            State::Intending | State::Sent | State::Gone => Vec::new(),
        }
    }

    /// It goes, by a request whose answer was lost, or by somebody else.
    fn ends_by_others(&mut self, state: State) -> Outcomes {
        self.state = state;
        self.permit = None;
        self.held = None;
        match (self.id.take(), self.unsure.take()) {
            (Some(id), Some(_)) => vec![(id, Outcome::Done)],
            (Some(id), None) => vec![(id, Outcome::AlreadySo)],
            (None, _) => Vec::new(),
        }
    }

    /// It goes by our doing.
    fn happened(&mut self) -> Outcomes {
        self.state = match self.seen_gone {
            true => State::Gone,
            false => State::Going,
        };
        self.permit = None;
        self.held = None;
        self.unsure = None;
        self.id
            .take()
            .map(|id| (id, Outcome::Done))
            .into_iter()
            .collect()
    }

    pub fn answered(
        &mut self,
        now: Moment,
        permit: Permit,
        answer: Evicted,
        force: bool,
    ) -> Outcomes {
        self.permit = Some(permit);
        // Whatever is seen of it: it may be by this.
        match &answer {
            Evicted::Unclear(fault) | Evicted::Away(fault) => self.unsure = Some(fault.clone()),
            // It was understood: what failed before does not count any more.
            Evicted::Held { .. } | Evicted::Busy { .. } | Evicted::Contended => self.tries = 0,
            _ => {}
        }
        let pause = |by: Duration| State::Pausing(now.since + by);
        match answer {
            Evicted::Begun => self.happened(),
            Evicted::Gone => {
                self.seen_gone = true;
                self.ends_by_others(State::Gone)
            }
            // It was deleted before its answer came.
            _ if self.seen_gone => self.ends_by_others(State::Gone),
            _ if self.pod.is_going() => self.ends_by_others(State::Going),
            Evicted::Conflict => {
                self.tries += 1;
                let fault = Fault::definite(
                    "api_conflict",
                    format!("{} is changed by others again and again", self.pod.object),
                );
                self.again(pause(AGAIN), fault)
            }
            Evicted::Held { .. } | Evicted::Refused(_)
                if force && !self.deletes && is_of_budgets(&answer) =>
            {
                let by = self.holder(&answer);
                self.deletes = true;
                self.state = State::Ready;
                self.permit = None;
                let fault = Fault::definite(
                    "held_by_budget",
                    format!("{}: {by} holds it, so it is deleted", self.pod.name()),
                );
                let id = self.id.take();
                id.map(|id| (id, Outcome::NotDone { fault }))
                    .into_iter()
                    .collect()
            }
            Evicted::Held { .. } => {
                let by = self.holder(&answer);
                self.hold(now.at, by, true);
                self.state = pause(AGAIN);
                Vec::new()
            }
            Evicted::NamespaceEnds => {
                let by = format!("the end of namespace {}", self.pod.namespace());
                self.hold(now.at, by, false);
                self.state = pause(LONGER);
                Vec::new()
            }
            Evicted::NotNow { by, why } => {
                self.hold(now.at, by, false);
                if let Some(held) = &mut self.held {
                    held.why = Some(why);
                }
                self.state = pause(LONGER);
                Vec::new()
            }
            Evicted::Contended | Evicted::Away(_) => {
                self.state = pause(AGAIN);
                Vec::new()
            }
            Evicted::Busy { .. } | Evicted::Silent(_) => {
                self.state = State::Ready;
                Vec::new()
            }
            // A right may be missing for a moment only: an API server that has just started does not know all yet.
            Evicted::Refused(fault) if fault.code == "api_forbidden" => {
                self.tries += 1;
                let pause = pause(self.backoff());
                self.again(pause, fault)
            }
            Evicted::Refused(fault) => self.failed(fault),
            Evicted::Unclear(fault) => {
                self.tries += 1;
                let pause = pause(self.backoff());
                self.again(pause, fault)
            }
        }
    }

    /// The budget that an answer names.
    pub fn holder(&self, answer: &Evicted) -> String {
        match answer {
            Evicted::Held {
                budget: Some(name), ..
            } => budget_named(&format!("{}/{name}", self.pod.namespace())),
            Evicted::Held { .. } => "a PodDisruptionBudget".to_owned(),
            _ => "more than one PodDisruptionBudget".to_owned(),
        }
    }

    /// How long it rests after a try: twice as long each time.
    fn backoff(&self) -> Duration {
        AGAIN * 2u32.pow(self.tries.clamp(1, ATTEMPTS) - 1)
    }

    /// It is tried once more, or has failed.
    fn again(&mut self, pause: State, fault: Fault) -> Outcomes {
        if self.tries < ATTEMPTS {
            self.state = pause;
            return Vec::new();
        }
        self.failed(fault)
    }

    /// It is not tried any more. An earlier request whose answer was lost may take effect yet, and is seen then.
    fn failed(&mut self, fault: Fault) -> Outcomes {
        self.permit = None;
        self.state = State::Failed(fault.clone());
        let (id, outcome) = match &self.unsure {
            Some(fault) => {
                let fault = fault.clone();
                (self.id.clone(), Outcome::Unknown { fault })
            }
            None => (self.id.take(), Outcome::NotDone { fault }),
        };
        id.map(|id| (id, outcome)).into_iter().collect()
    }

    fn hold(&mut self, since: Timestamp, by: String, by_budget: bool) {
        let held = self.held.as_ref().filter(|held| held.by == by);
        let since = held.map_or(since, |held| held.since);
        self.held = Some(Held {
            since,
            by,
            why: None,
            by_budget,
        });
    }

    /// Nothing more is done: what was made durable and not sent did not happen.
    pub fn closed(&mut self, fault: &Fault) -> Outcomes {
        self.permit = None;
        if matches!(self.state, State::Failed(_)) {
            return Vec::new();
        }
        let outcome = match (self.unsure.take(), &self.held) {
            (Some(fault), _) => Outcome::Unknown { fault },
            (None, Some(held)) => Outcome::NotDone {
                fault: Fault::definite(
                    if held.by_budget {
                        "held_by_budget"
                    } else {
                        "not_begun"
                    },
                    format!(
                        "{} was not evicted: {held} holds it since {}",
                        self.pod.name(),
                        super::words::dated(held.since)
                    ),
                ),
            },
            (None, None) => Outcome::NotDone {
                fault: Fault::definite(
                    "not_begun",
                    format!("{} was not evicted: {}", self.pod.name(), fault.message),
                ),
            },
        };
        self.id.take().map(|id| (id, outcome)).into_iter().collect()
    }
}
