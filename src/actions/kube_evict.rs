//! `kube.evict`: pods of a namespace are evicted, so that their controllers make others.

use super::kube_eviction::{
    all_gone, bound, evictions, grace, held_up, lost, needs, notes, patience, refusal, risk,
};
use super::{Action, Compiled, Decision, Eviction, Look, Needs, Patience, Place};
use crate::drain::{OnBlocked, Options, Pod, Preview, not_waited_for};
use crate::fault::Fault;
use crate::model::{Exception, Prior, Risk, Settled, UndoClass};
use crate::transport::PodsOf;
use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long it may take, where nobody says.
const WITHIN: Duration = Duration::from_secs(30 * 60);

/// Evicts pods of a namespace, many at a time and within their budgets: exactly those that the plan shows. Their
/// controllers make others; pods of DaemonSets go too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The namespace.
    namespace: String,
    /// Only pods with these labels, such as `app=web`.
    selector: String,
    /// How long each pod is given to end: `own`, as it says itself, or a duration; `own` if left out. One that is
    /// being deleted already keeps the time that it was given.
    grace_period: Option<String>,
    /// How long all of it may take, and 0s for without end; 30m if left out.
    within: Option<String>,
    /// Evict pods with emptyDir volumes, whose data is lost; without it, they are in the way.
    #[serde(default)]
    delete_emptydir_data: bool,
    /// Evict pods that nothing makes again; without it, they are in the way.
    #[serde(default)]
    force: bool,
    /// Do not wait for pods whose grace period has been over for longer than this, and 0s for waiting; 0s if left out.
    skip_terminating_longer_than: Option<String>,
    /// Pods of lower priority first; those of higher ones once they are gone.
    #[serde(default)]
    by_priority: bool,
    /// What becomes of pods that a PodDisruptionBudget holds; `wait` if left out.
    #[serde(default)]
    on_blocked: OnBlocked,
}

pub struct Evict {
    namespace: String,
    selector: String,
    options: Options,
    within: Option<Duration>,
}

pub struct Seen {
    preview: Preview,
}

#[async_trait]
impl Action for Evict {
    const USES: &'static str = "kube.evict";
    const EVICTS: bool = true;
    type Args = Args;
    type Seen = Seen;
    type Change = Preview;

    fn new(args: Args) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let namespace = args.namespace;
        if namespace.is_empty() || namespace.len() > 63 || !namespace.bytes().all(fits) {
            return Err(format!("`namespace`: `{namespace}` is not one"));
        }
        let selector: crate::drain::LabelSelector = args
            .selector
            .parse()
            .map_err(|e| format!("`selector`: {e}"))?;
        if selector.is_empty() {
            return Err(
                "`selector` is empty, and would select every pod of the namespace".to_owned(),
            );
        }
        let skip = args.skip_terminating_longer_than.as_deref();
        Ok(Self {
            namespace,
            selector: args.selector,
            options: Options {
                grace: grace(args.grace_period.as_deref())?,
                ignore_daemonsets: false,
                of_daemonsets_too: true,
                delete_emptydir_data: args.delete_emptydir_data,
                force: args.force,
                skip_terminating_longer_than: bound(
                    "skip_terminating_longer_than",
                    skip,
                    Duration::ZERO,
                )?,
                selector,
                by_priority: args.by_priority,
                on_blocked: args.on_blocked,
            },
            within: bound("within", args.within.as_deref(), WITHIN)?,
        })
    }

    fn lost(_with: &Value) -> Option<&'static str> {
        Some("evicted pods do not come back: their controllers have made others by then")
    }

    fn needs(with: &Value) -> Needs {
        let namespace = with.get("namespace").and_then(Value::as_str);
        needs(with, namespace.unwrap_or(super::ANY_NAMESPACE))
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        place.run()?;
        let of = PodsOf::Namespace(self.namespace.clone());
        let mut seen = look.pods(&of).await?;
        // Nobody wants to read of all the others.
        let selector = &self.options.selector;
        seen.pods.retain(|pod| selector.selects(&pod.labels));
        let protects = (&seen.daemons, seen.budgets.as_slice());
        let preview = Preview::of(seen.pods, &self.options, protects, Timestamp::now());
        Ok(Seen { preview })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Preview> {
        let preview = &seen.preview;
        if let Some((why, next)) = refusal(preview).or_else(|| held_up(preview, &self.options)) {
            return Decision::Refuse {
                why,
                next: Some(next),
            };
        }
        match (preview.to_evict().count(), preview.goes.len()) {
            (0, 0) => Decision::NoChange {
                why: format!(
                    "no pod of {} that could go has the labels `{}`",
                    self.namespace, self.selector
                ),
            },
            (0, _) => Decision::Check {
                expects: "the pods that are being deleted are gone".to_owned(),
                except: Vec::new(),
            },
            _ => Decision::Change(preview.clone()),
        }
    }

    fn compile(&self, preview: Preview) -> Compiled {
        let mut compiled = Compiled::nothing();
        let subject = format!("Pods of {} with `{}`", self.namespace, self.selector);
        let subject = (subject, Self::NEWCOMERS);
        evictions(&mut compiled, &preview, &self.options, subject);
        compiled.follows.push(
            "it waits until they are gone; pods that come meanwhile, as those that take their places, stay".to_owned(),
        );
        if let Some(why) = lost(&preview) {
            compiled.undo = UndoClass::None { why };
        }
        compiled
    }

    fn notes(&self, seen: &Seen, _: &Decision<Preview>) -> Vec<String> {
        let mut notes = notes(&seen.preview, &self.options);
        let simulated = &seen.preview.simulated;
        // A whole workload may be down for a while.
        let all_at_once = !self.options.by_priority;
        if all_at_once
            && simulated.at_once > 1
            && simulated.held.is_empty()
            && simulated.several.is_empty()
        {
            notes.push(format!(
                "no PodDisruptionBudget holds any of them: all {} go at once",
                simulated.at_once
            ));
        }
        notes
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        let goes = seen.preview.goes.iter().map(|(pod, _)| pod);
        all_gone(goes.filter(|pod| pod.is_going()))
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        let long: Vec<String> = seen.preview.long_gone().map(Pod::name).collect();
        match long.is_empty() {
            true => Map::new(),
            false => Map::from_iter([("summary".to_owned(), not_waited_for(&long).into())]),
        }
    }

    fn patience(&self) -> Patience {
        patience(self.within)
    }

    fn eviction(&self, place: Place<'_>) -> Result<Eviction, Fault> {
        place.run()?;
        Ok(Eviction {
            pods: PodsOf::Namespace(self.namespace.clone()),
            place: self.namespace.clone(),
            options: self.options.clone(),
            newcomers: Self::NEWCOMERS,
            within: self.within,
        })
    }

    fn risk(&self) -> Option<Risk> {
        risk(&self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Budget;
    use serde_json::json;

    #[test]
    fn what_is_not_waited_for_is_named_at_the_end() {
        let args = json!({"namespace": "shop", "selector": "app=web", "force": true,
            "skip_terminating_longer_than": "1m"});
        let evict = Evict::new(serde_json::from_value(args).unwrap()).unwrap();
        let raw = json!({"metadata": {"namespace": "shop", "name": "a", "uid": "a", "labels": {"app": "web"},
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}});
        let found = |seconds: i64| {
            let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let now = now + Duration::from_secs(seconds.unsigned_abs());
            let pods = vec![Pod::new(&raw).unwrap()];
            let preview = Preview::of(pods, &evict.options, (&Default::default(), &[]), now);
            let seen = Seen { preview };
            (
                evict.found(&seen),
                Action::verify(&evict, &seen, Prior { steps: &[] }, &[]),
            )
        };
        let (nothing, waits) = found(30);
        assert!(nothing.is_empty() && matches!(waits, Settled::NotYet(_)));
        let (found, done) = found(90);
        insta::assert_snapshot!(found["summary"], @r#""being deleted still, and not waited for: shop/a""#);
        assert_eq!(done, Settled::Yes);
    }

    #[test]
    fn that_all_go_at_once_is_said() {
        let args = json!({"namespace": "shop", "selector": "app=web", "force": true});
        let evict = Evict::new(serde_json::from_value(args).unwrap()).unwrap();
        let pods = |names: &[&str]| -> Vec<Pod> {
            let raw = |name: &&str| {
                json!({"metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"}},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
            };
            names
                .iter()
                .map(raw)
                .filter_map(|raw| Pod::new(&raw))
                .collect()
        };
        let said = |names: &[&str], budgets: &[Budget]| {
            let protects = (&Default::default(), budgets);
            let preview = Preview::of(pods(names), &evict.options, protects, Timestamp::UNIX_EPOCH);
            evict
                .notes(&Seen { preview }, &Decision::Foreseen)
                .join("\n")
        };
        let all = "no PodDisruptionBudget holds any of them: all 2 go at once";
        assert!(said(&["a", "b"], &[]).contains(all));
        assert!(!said(&["a"], &[]).contains("at once"));
        let budget = Budget::new(&json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2},
        }));
        assert!(!said(&["a", "b"], &[budget.unwrap()]).contains("no PodDisruptionBudget"));
    }

    #[test]
    fn what_it_is_about_must_be_named() {
        let new = |namespace: &str, selector: &str| {
            let args = json!({"namespace": namespace, "selector": selector});
            Evict::new(serde_json::from_value(args).unwrap()).map(drop)
        };
        assert!(new("shop", "app=web").is_ok());
        for (namespace, selector) in [
            ("", "a"),
            ("a/b", "a"),
            ("shop", ""),
            ("shop", " "),
            ("shop", "a b"),
        ] {
            assert!(new(namespace, selector).is_err(), "{namespace} {selector}");
        }
    }
}
