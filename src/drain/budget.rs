//! PodDisruptionBudgets, and what becomes of evictions under them. A dry run of an eviction does not use a
//! budget up, so the API server cannot be asked: it is reckoned here, by the API server's own rules
//! (kubernetes v1.34, pkg/registry/core/pod/storage/eviction.go).

use super::label_selector::LabelSelector;
use super::pod::Pod;
use serde_json::Value;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub namespace: String,
    pub name: String,
    selector: LabelSelector,
    pub allowed: i64,
    pub healthy: i64,
    pub desired: i64,
    pub expected: i64,
    /// Pods that are not ready may always go.
    always_unready: bool,
    /// Its controller has not looked at it since it was changed.
    pub stale: bool,
    none_may_be_away: bool,
    /// Its `minAvailable` is a number: then those that have ended are among the pods that there are to be
    /// (kubernetes v1.34, disruption.go, `getExpectedPodCount`).
    counts_all: bool,
    /// Of those, how many have ended.
    ended: i64,
    /// Why its controller cannot count its pods.
    uncounted: Option<String>,
}

/// Why a budget never lets a pod go, for as long as it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Never {
    /// Its `maxUnavailable` is 0.
    NoneMayBeAway,
    /// It needs as many pods as there are.
    AllAreNeeded { desired: i64, expected: i64 },
    /// The same, without those that have ended and are still there.
    AllOthersHaveEnded { desired: i64, ended: i64 },
    /// None of what it lets go is made again, so that no more may follow.
    NotReplaced,
    /// Its controller cannot count its pods, for this reason.
    NotCounted(String),
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneMayBeAway => f.write_str("its `maxUnavailable` is 0"),
            Self::AllAreNeeded { desired, expected } => {
                write!(
                    f,
                    "it needs {desired} healthy pods and there are to be {expected}"
                )
            }
            Self::AllOthersHaveEnded { desired, ended } => {
                let (pods, have) = match ended {
                    1 => ("pod", "has"),
                    _ => ("pods", "have"),
                };
                let of = if *desired == 1 { "pod" } else { "pods" };
                write!(
                    f,
                    "it needs {desired} healthy {of}, and there are no more: {ended} {pods} that it counts {have} ended"
                )
            }
            Self::NotReplaced => {
                f.write_str("nothing makes the pods again that it lets go, so no more may follow")
            }
            Self::NotCounted(why) => write!(f, "its pods cannot be counted: {why}"),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodDisruptionBudget {}/{}", self.namespace, self.name)
    }
}

impl Budget {
    /// `None`: it is none, or selects in a way that is not known.
    pub fn new(raw: &Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let number = |at: &str| raw.pointer(at).and_then(Value::as_i64).unwrap_or_default();
        let most = raw.pointer("/spec/maxUnavailable");
        let none = |most: &Value| most.as_i64() == Some(0) || most.as_str() == Some("0%");
        Some(Self {
            namespace: text("/metadata/namespace")?,
            name: text("/metadata/name")?,
            selector: LabelSelector::of(raw.pointer("/spec/selector")?)?,
            allowed: number("/status/disruptionsAllowed"),
            healthy: number("/status/currentHealthy"),
            desired: number("/status/desiredHealthy"),
            expected: number("/status/expectedPods"),
            always_unready: text("/spec/unhealthyPodEvictionPolicy").as_deref()
                == Some("AlwaysAllow"),
            stale: number("/status/observedGeneration") < number("/metadata/generation"),
            none_may_be_away: most.is_some_and(none),
            counts_all: raw.pointer("/spec/minAvailable").is_some_and(Value::is_i64),
            ended: 0,
            uncounted: uncounted(raw),
        })
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn protects(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace() && self.selector.selects(&pod.labels)
    }

    /// Why it never lets a pod go.
    pub fn never(&self) -> Option<Never> {
        if self.none_may_be_away {
            return Some(Never::NoneMayBeAway);
        }
        if let Some(why) = &self.uncounted {
            return Some(Never::NotCounted(why.clone()));
        }
        let (desired, expected, ended) = (self.desired, self.expected, self.ended);
        if self.stale || expected == 0 || desired < expected - ended {
            return None;
        }
        Some(match desired >= expected {
            true => Never::AllAreNeeded { desired, expected },
            false => Never::AllOthersHaveEnded { desired, ended },
        })
    }

    /// Whether it matters how many of its pods have ended.
    pub fn asks_for_ended(&self) -> bool {
        self.counts_all && !self.stale && self.allowed == 0 && self.never().is_none()
    }

    /// With those of these pods that it counts although they have ended.
    pub fn with_ended(mut self, ended: &[Pod]) -> Self {
        // A Job may try once more what has failed.
        let of_job = |pod: &Pod| pod.controller.as_ref().is_some_and(|c| c.kind == "Job");
        let is_own = |pod: &&Pod| pod.finished() && !of_job(pod) && self.protects(pod);
        let own = ended.iter().filter(is_own);
        self.ended = i64::try_from(own.count()).unwrap_or(0);
        self
    }

    /// A pod that is not ready goes where nothing is disrupted by that.
    pub fn lets_unready_go(&self) -> bool {
        self.always_unready || self.healthy >= self.desired && self.desired > 0
    }
}

/// Why its controller cannot count its pods, such as those of a controller without a scale: then it lets none go
/// (kubernetes v1.34, disruption.go, `failSafe`).
fn uncounted(raw: &Value) -> Option<String> {
    let all = raw.pointer("/status/conditions").and_then(Value::as_array);
    let failed = all.into_iter().flatten().find(|condition| {
        let is = |key: &str, value: &str| condition.get(key).and_then(Value::as_str) == Some(value);
        is("type", "DisruptionAllowed") && is("status", "False") && is("reason", "SyncFailed")
    })?;
    let why = failed.get("message").and_then(Value::as_str);
    Some(why.unwrap_or("its controller does not say why").to_owned())
}

/// Which budgets protect a pod: where there is more than one, it cannot be evicted at all.
pub struct Claims<'b>(Vec<&'b Budget>);

impl<'b> Claims<'b> {
    pub fn of(pod: &Pod, budgets: &'b [Budget]) -> Self {
        Self(budgets.iter().filter(|b| b.protects(pod)).collect())
    }

    /// The one that its eviction must ask.
    pub fn one(&self) -> Option<&'b Budget> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// Pods that wait for one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub budget: Budget,
    /// How many of its pods go at once.
    pub first: usize,
    /// Those that wait, as `namespace/name`.
    pub pods: Vec<String>,
    pub never: Option<Never>,
}

/// What becomes of evictions, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simulated {
    /// How many pods go at once.
    pub at_once: usize,
    pub held: Vec<Held>,
    /// Pods with more than one budget, each with their names.
    pub several: Vec<(String, Vec<String>)>,
    /// How many of higher priority wait until those before them are gone.
    pub behind: usize,
}

/// Evicts in the order given; with `ranks`, none while one of lower priority is held.
pub fn simulate(pods: &[&Pod], budgets: &[Budget], ranks: bool) -> Simulated {
    let mut found = Simulated::default();
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut replaced: Vec<bool> = vec![false; budgets.len()];
    let mut first: Vec<usize> = vec![0; budgets.len()];
    let mut held_at: Option<i64> = None;
    for pod in pods {
        if held_at.is_some_and(|rank| ranks && pod.priority > rank) {
            found.behind += 1;
            continue;
        }
        let mut own = budgets.iter().enumerate().filter(|(_, b)| b.protects(pod));
        let (one, more) = (own.next(), own.count());
        let Some((at, budget)) = one.filter(|_| !pod.needs_no_budget()) else {
            found.at_once += 1;
            continue;
        };
        if more > 0 {
            let names = budgets.iter().filter(|b| b.protects(pod)).map(Budget::key);
            found.several.push((pod.name(), names.collect()));
            held_at.get_or_insert(pod.priority);
            continue;
        }
        if !pod.ready && budget.lets_unready_go() {
            found.at_once += 1;
            continue;
        }
        let (Some(left), Some(first), Some(replaced)) =
            (left.get_mut(at), first.get_mut(at), replaced.get_mut(at))
        else {
            continue;
        };
        if *left > 0 && !budget.stale {
            *left -= 1;
            *first += 1;
            *replaced |= pod.controller.is_some();
            found.at_once += 1;
            continue;
        }
        held_at.get_or_insert(pod.priority);
        match found.held.iter_mut().find(|held| held.budget == *budget) {
            Some(held) => held.pods.push(pod.name()),
            None => found.held.push(Held {
                budget: budget.clone(),
                first: *first,
                pods: vec![pod.name()],
                never: budget
                    .never()
                    .or_else(|| (*first > 0 && !*replaced).then_some(Never::NotReplaced)),
            }),
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::pod::tests::pod;
    use super::*;
    use serde_json::json;

    /// A budget over `app: web` in `shop`: how many may go now, of how many.
    pub(crate) fn budget(name: &str, allowed: i64, desired: i64, expected: i64) -> Budget {
        Budget::new(&json!({
            "metadata": {"namespace": "shop", "name": name, "generation": 1},
            "spec": {"minAvailable": desired, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": desired + allowed,
                "desiredHealthy": desired, "expectedPods": expected, "observedGeneration": 1},
        }))
        .unwrap()
    }

    fn run(pods: &[Pod], budgets: &[Budget]) -> Simulated {
        simulate(&pods.iter().collect::<Vec<_>>(), budgets, false)
    }

    fn held(found: &Simulated) -> Vec<(String, usize, usize, Option<Never>)> {
        let held = found.held.iter();
        held.map(|h| (h.budget.key(), h.first, h.pods.len(), h.never.clone()))
            .collect()
    }

    #[test]
    fn each_eviction_uses_the_budget_up() {
        let pods = ["a", "b", "c"].map(|name| pod(name, json!({})));
        assert_eq!(run(&pods, &[]).at_once, 3);
        let one = run(&pods, &[budget("web", 1, 2, 3)]);
        assert_eq!(one.at_once, 1);
        assert_eq!(held(&one), [("shop/web".to_owned(), 1, 2, None)]);
        assert_eq!(one.held[0].pods, ["shop/b", "shop/c"]);
        assert_eq!(run(&pods, &[budget("web", 3, 0, 3)]).held, []);
        // Where it lets nobody go just now, that may change.
        let none = run(&pods, &[budget("web", 0, 2, 3)]);
        assert_eq!(held(&none), [("shop/web".to_owned(), 0, 3, None)]);
    }

    #[test]
    fn a_budget_that_needs_all_of_its_pods_is_named() {
        let pods = ["a", "b"].map(|name| pod(name, json!({})));
        let all = Never::AllAreNeeded {
            desired: 2,
            expected: 2,
        };
        let found = run(&pods, &[budget("web", 0, 2, 2)]);
        assert_eq!(held(&found), [("shop/web".to_owned(), 0, 2, Some(all))]);
        let mut none = budget("web", 0, 2, 3);
        none.none_may_be_away = true;
        assert_eq!(none.never(), Some(Never::NoneMayBeAway));
        let of = |most: Value| {
            let raw = json!({"metadata": {"namespace": "n", "name": "b", "generation": 1}, "spec": {"selector": {}, "maxUnavailable": most}});
            Budget::new(&raw).unwrap().never()
        };
        assert_eq!(of(json!(0)), Some(Never::NoneMayBeAway));
        assert_eq!(of(json!("0%")), Some(Never::NoneMayBeAway));
        assert_eq!(of(json!(1)), None);
        let failed = json!({"metadata": {"namespace": "n", "name": "b", "generation": 1}, "spec": {"selector": {}},
            "status": {"conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
                "message": "jobs.batch does not implement the scale subresource"}]}});
        let failed = Budget::new(&failed).unwrap().never().unwrap();
        assert_eq!(
            failed.to_string(),
            "its pods cannot be counted: jobs.batch does not implement the scale subresource"
        );
        // Of a budget that nobody has reckoned yet, nothing is known.
        let mut stale = budget("web", 0, 2, 2);
        stale.stale = true;
        assert_eq!(stale.never(), None);
        // It lets nobody go meanwhile, whatever its status says.
        let mut stale = budget("web", 1, 1, 2);
        stale.stale = true;
        assert_eq!(run(&pods, &[stale]).at_once, 0);
    }

    /// As those are that a kubelet has turned away, and that nobody deletes.
    #[test]
    fn pods_that_have_ended_do_not_get_healthy() {
        let of = |phase: &str, app: &str| {
            pod(
                "old",
                json!({"metadata": {"labels": {"app": app}}, "status": {"phase": phase}}),
            )
        };
        let short = budget("web", 0, 2, 3);
        assert!(short.asks_for_ended());
        let never = |pods: &[Pod]| short.clone().with_ended(pods).never();
        assert_eq!(never(&[]), None);
        assert_eq!(never(&[of("Running", "web"), of("Failed", "db")]), None);
        assert_eq!(
            never(&[of("Failed", "web")]).unwrap().to_string(),
            "it needs 2 healthy pods, and there are no more: 1 pod that it counts has ended"
        );
        let wide = budget("web", 0, 2, 4);
        assert_eq!(
            wide.clone().with_ended(&[of("Failed", "web")]).never(),
            None
        );
        let both = [of("Failed", "web"), of("Succeeded", "web")];
        assert_eq!(
            wide.with_ended(&both).never().unwrap().to_string(),
            "it needs 2 healthy pods, and there are no more: 2 pods that it counts have ended"
        );
        let mut tried = of("Failed", "web");
        tried.controller.as_mut().unwrap().kind = "Job".into();
        assert_eq!(never(&[tried]), None);
        let mut stale = short.clone();
        stale.stale = true;
        assert!(!stale.asks_for_ended());
        // Of others a scale is what there is to be, and of these it is told already.
        let mut share = budget("web", 0, 2, 3);
        share.counts_all = false;
        assert!(!share.asks_for_ended());
        assert!(!budget("web", 0, 2, 2).asks_for_ended());
        assert!(!budget("web", 1, 2, 3).asks_for_ended());
    }

    #[test]
    fn pods_that_nothing_replaces_keep_their_budget_used_up() {
        let alone = |name| pod(name, json!({"metadata": {"ownerReferences": []}}));
        let found = run(&[alone("a"), alone("b")], &[budget("web", 1, 1, 2)]);
        assert_eq!(
            held(&found),
            [("shop/web".to_owned(), 1, 1, Some(Never::NotReplaced))]
        );
        // One of them is, and then the next may go.
        let pods = [alone("a"), pod("b", json!({})), pod("c", json!({}))];
        let found = run(&pods, &[budget("web", 2, 3, 5)]);
        assert_eq!(held(&found), [("shop/web".to_owned(), 2, 1, None)]);
    }

    #[test]
    fn by_their_ranks_none_goes_before_one_that_is_held() {
        let of = |name: &str, priority: i64, app: &str| {
            pod(
                name,
                json!({"metadata": {"labels": {"app": app}}, "spec": {"priority": priority}}),
            )
        };
        let pods = [
            of("a", 0, "db"),
            of("b", 0, "web"),
            of("c", 0, "db"),
            of("d", 9, "db"),
        ];
        let pods: Vec<&Pod> = pods.iter().collect();
        let nothing = [budget("web", 0, 2, 2)];
        let found = simulate(&pods, &nothing, true);
        assert_eq!((found.at_once, found.behind), (2, 1));
        let found = simulate(&pods, &nothing, false);
        assert_eq!((found.at_once, found.behind), (3, 0));
        let both = [budget("one", 1, 1, 2), budget("two", 1, 1, 2)];
        assert_eq!(simulate(&pods, &both, true).behind, 1);
        assert_eq!(simulate(&pods, &[budget("web", 1, 1, 2)], true).behind, 0);
    }

    #[test]
    fn two_budgets_on_a_pod_let_it_never_go() {
        let budgets = [budget("one", 1, 1, 2), budget("two", 1, 1, 2)];
        let found = run(&[pod("a", json!({}))], &budgets);
        let names = vec!["shop/one".to_owned(), "shop/two".to_owned()];
        assert_eq!(found.several, [("shop/a".to_owned(), names)]);
        assert_eq!((found.at_once, found.held.len()), (0, 0));
        // Others go by the one that they have.
        let other = pod("b", json!({"metadata": {"labels": {"app": "db"}}}));
        assert_eq!(run(&[other], &budgets).at_once, 1);
    }

    #[test]
    fn whom_no_budget_holds() {
        let nothing = budget("web", 0, 2, 2);
        for more in [
            json!({"status": {"phase": "Pending"}}),
            json!({"status": {"phase": "Succeeded"}}),
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            json!({"metadata": {"namespace": "other"}}),
            json!({"metadata": {"labels": {"app": "db"}}}),
        ] {
            let found = run(&[pod("a", more.clone())], std::slice::from_ref(&nothing));
            assert_eq!(found.at_once, 1, "{more}");
        }
        // Its budget is met without it.
        let unready = || pod("a", json!({"status": {"conditions": []}}));
        let mut met = budget("web", 0, 2, 3);
        assert_eq!(run(&[unready()], std::slice::from_ref(&met)).at_once, 1);
        // Nobody has said yet how many there should be (kubernetes v1.34, eviction.go).
        met.desired = 0;
        assert_eq!(run(&[unready()], std::slice::from_ref(&met)).at_once, 0);
        (met.healthy, met.desired) = (1, 2);
        assert_eq!(run(&[unready()], std::slice::from_ref(&met)).at_once, 0);
        met.always_unready = true;
        assert_eq!(run(&[unready()], &[met]).at_once, 1);
    }

    #[test]
    fn a_selector_that_is_left_out_selects_nothing() {
        let raw =
            json!({"metadata": {"namespace": "n", "name": "b"}, "spec": {"maxUnavailable": 0}});
        assert_eq!(Budget::new(&raw), None);
    }
}
