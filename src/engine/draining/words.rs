//! What is left of a drain, in words.

use super::entry::{Entry, State, budget_named};
use super::{Draining, Moment};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Seconds after which it is said that a pod should have ended.
const LATE: i64 = 30;
/// So many pods are named.
const NAMES: usize = 3;

/// By the clock, to the second; with its date where that is not today's.
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let date = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    match date(at) == date(now) {
        true => at.strftime("%H:%M:%S UTC").to_string(),
        false => dated(at),
    }
}

/// The same with its date, for whoever reads it later.
pub fn dated(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl Draining {
    /// How it stands.
    pub fn said(&self, now: Moment) -> String {
        if !self.listed {
            return match &self.silent {
                Some((_, fault)) => fault.message.clone(),
                None => format!("the pods of {} are being listed", self.of.place),
            };
        }
        let all = self.pods.len();
        let count = |is: fn(&State) -> bool| self.pods.values().filter(|e| is(&e.state)).count();
        let gone = count(|state| *state == State::Gone);
        let mut said = vec![match all {
            1 => format!("{gone} of 1 pod is gone from {}", self.of.place),
            _ if gone == 1 => format!("1 of {all} pods is gone from {}", self.of.place),
            _ => format!("{gone} of {all} pods are gone from {}", self.of.place),
        }];
        if let Some((_, fault)) = &self.silent {
            said.push(fault.message.clone());
        }
        let ending: Vec<&str> = self
            .pods
            .values()
            .filter(|e| e.state == State::Going && !self.is_long_overdue(e, now))
            .map(|e| e.pod.object.name.as_str())
            .collect();
        if !ending.is_empty() {
            said.push(format!("{} being deleted", are(&ending)));
        }
        let failed = count(|state| matches!(state, State::Failed(_)));
        let left = count(|state| *state == State::Left);
        if left > 0 {
            said.push(format!(
                "{left} being deleted for too long, and not waited for"
            ));
        }
        if failed > 0 {
            said.push(format!("{failed} could not be evicted"));
        }
        let mut held: BTreeMap<String, (Timestamp, Vec<&str>)> = BTreeMap::new();
        let mut again: Vec<&str> = Vec::new();
        for entry in self.pods.values() {
            let name = entry.pod.object.name.as_str();
            let by_budget = self
                .gate_holds(entry)
                .map(|(key, since)| (budget_named(&key), since));
            let holds = entry
                .held
                .as_ref()
                .map(|held| (held.to_string(), held.since));
            match (holds.or(by_budget), &entry.state) {
                (_, State::Gone | State::Left | State::Failed(_) | State::Going) => {}
                (Some((by, at)), _) => {
                    let (since, names) = held.entry(by).or_insert((at, Vec::new()));
                    *since = (*since).min(at);
                    names.push(name);
                }
                (None, State::Pausing(_)) => again.push(name),
                (None, State::Ready | State::Intending | State::Sent) => {}
            }
        }
        for (by, (since, names)) in held {
            let wait = if names.len() == 1 { "waits" } else { "wait" };
            let counts = self.counts.get(&by);
            let counts = counts.map_or(String::new(), |counts| format!(" (it {counts})"));
            said.push(format!(
                "{} {wait} for {by} since {}{counts}",
                some(&names),
                clock(since, now.at)
            ));
        }
        if !again.is_empty() {
            said.push(format!("{} tried again", are(&again)));
        }
        if let Some(till) = self.busy_till.filter(|till| *till > now.at) {
            said.push(format!(
                "the API server has too much to do, and is asked again at {}",
                clock(till, now.at)
            ));
        }
        if let Some(lowest) = self.lowest() {
            let open = self.pods.values().filter(|e| !e.state.is_over());
            let later = open.filter(|e| e.pod.priority > lowest).count();
            if later > 0 {
                said.push(format!(
                    "{later} more once those of lower priority are gone"
                ));
            }
        }
        if !self.objections.is_empty() {
            said.push(format!("in the way: {}", self.objections()));
        }
        said.extend(self.overdue(now));
        said.join("; ")
    }

    /// Whether it is worth a word: kubelet takes its time where it is there.
    fn is_long_overdue(&self, entry: &Entry, now: Moment) -> bool {
        let node = entry
            .pod
            .node
            .as_deref()
            .and_then(|node| self.nodes.get(node));
        let known = node.is_some_and(|node| node.silent) || !entry.pod.finalizers.is_empty();
        let late = |ends: Timestamp| now.at.duration_since(ends).as_secs() >= LATE;
        entry.is_overdue(now.at) && (known || entry.pod.ends.is_some_and(late))
    }

    /// Pods that should be gone, and what keeps them.
    fn overdue(&self, now: Moment) -> Vec<String> {
        let mut said = Vec::new();
        let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for entry in self.pods.values().filter(|e| self.is_long_overdue(e, now)) {
            let pod = &entry.pod;
            let node = pod.node.as_deref().unwrap_or_default();
            let down = self.nodes.get(node).is_some_and(|node| node.silent);
            let since = pod.ends.map(|at| clock(at, now.at)).unwrap_or_default();
            match (down, pod.finalizers.as_slice()) {
                (true, _) => by_node.entry(node).or_default().push(&pod.object.name),
                (false, []) => said.push(format!(
                    "{} should have ended by {since}, and kubelet on {node} still has it",
                    pod.object.name
                )),
                (false, held) => said.push(format!(
                    "{} should have ended by {since}, and its finalizers hold it: {}",
                    pod.object.name,
                    held.join(", ")
                )),
            }
        }
        for (node, names) in by_node {
            let since = self.nodes.get(node).and_then(|node| node.since);
            let since = since
                .map(|at| format!(" since {}", clock(at, now.at)))
                .unwrap_or_default();
            said.push(format!(
                "kubelet on {node} has not answered{since}, and only it can say that {} ended: \
                 `skip_terminating_longer_than` leaves them",
                some(&names)
            ));
        }
        said
    }
}

fn are(names: &[&str]) -> String {
    match names.len() {
        1 => format!("{} is", some(names)),
        _ => format!("{} are", some(names)),
    }
}

/// A few by their names, many by their number.
fn some(names: &[&str]) -> String {
    match names.len() {
        0..=NAMES => names.join(", "),
        n => format!("{n} pods"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_today_has_its_date() {
        let now: Timestamp = "2026-11-30T00:00:10Z".parse().unwrap();
        let at = |text: &str| clock(text.parse().unwrap(), now);
        assert_eq!(at("2026-11-30T00:00:05Z"), "00:00:05 UTC");
        assert_eq!(at("2026-11-29T23:59:59Z"), "2026-11-29 23:59:59 UTC");
    }
}
