//! `kube.replaced`: pods that earlier steps evict are ready again elsewhere.

use super::kube_eviction::time;
use super::kube_object::Of;
use super::{ANY_NAMESPACE, Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Effect, Exception, Owner, PlannedStep, Prior, Settled};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// The kinds whose pods are made again, and that say how many are ready.
const JUDGED: [&str; 3] = ["DaemonSet", "ReplicaSet", "StatefulSet"];

/// Waits until the controllers of pods that earlier steps evict have as many of them ready as they should. Stands
/// between two nodes that are drained one after another. A ReplicaSet, StatefulSet or DaemonSet that has too few
/// already when this is planned is let be; pods of other controllers are not judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How long it may take, and 0s for not to wait at all; 5m if left out.
    within: Option<String>,
    /// How long it must hold without a break; 3s if left out.
    #[schemars(extend("format" = crate::runbook::DURATION_FORMAT))]
    stable_for: Option<String>,
}

pub struct Replaced(Patience);

/// A controller and its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Controller {
    uid: String,
    /// For people.
    name: String,
    wanted: i64,
    ready: i64,
    /// Its status tells of its latest specification.
    fresh: bool,
}

pub struct Seen(Vec<Controller>);

#[async_trait]
impl Action for Replaced {
    const USES: &'static str = "kube.replaced";
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        let within = time("within", args.within.as_deref(), Duration::from_secs(300))?;
        let settle = duration(
            "stable_for",
            args.stable_for.as_deref(),
            Duration::from_secs(3),
        )?;
        if settle >= within && !within.is_zero() {
            return Err("`stable_for` must be shorter than `within`".to_owned());
        }
        Ok(Self(Patience { within, settle }))
    }

    fn needs(_with: &Value) -> Needs {
        let why = "in every namespace: pods of all may be on a node";
        Needs::default()
            .look("list", &Of::any_of("apps/v1", "ReplicaSet", ANY_NAMESPACE))
            .wide(why)
            .look("list", &Of::any_of("apps/v1", "StatefulSet", ANY_NAMESPACE))
            .wide(why)
            .look("list", &Of::any_of("apps/v1", "DaemonSet", ANY_NAMESPACE))
            .wide(why)
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>) -> Result<Seen, Fault> {
        let raw = look.controllers().await?;
        Ok(Seen(raw.iter().filter_map(Controller::new).collect()))
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Self::Change> {
        let owners = owners(prior);
        if self.0.within.is_zero() {
            return Decision::NoChange {
                why: "it is not to be waited for".to_owned(),
            };
        }
        let evicts = |step: &PlannedStep| step.evicts && step.may_change() || step.is_late();
        if owners.is_empty() && !prior.steps.iter().any(evicts) {
            return Decision::NoChange {
                why: "no pod is evicted before this".to_owned(),
            };
        }
        let evicts_now = prior.effects().any(Effect::evicts);
        if owners.is_empty() && evicts_now && !prior.steps.iter().any(PlannedStep::is_late) {
            return Decision::NoChange {
                why: "no controller of the pods that are evicted says how many of them are ready"
                    .to_owned(),
            };
        }
        let short = seen
            .0
            .iter()
            .filter(|c| owners.contains(c.uid.as_str()) && !c.is_whole());
        let except: Vec<Exception> = short
            .map(|controller| Exception {
                node: controller.name.clone(),
                item: None,
            })
            .collect();
        let besides = match except.as_slice() {
            [] => String::new(),
            some => {
                let names: Vec<&str> = some.iter().map(|e| e.node.as_str()).collect();
                format!(
                    ", but for those that have too few now: {}",
                    names.join(", ")
                )
            }
        };
        Decision::Check {
            expects: format!(
                "the controllers of evicted pods have all of them ready again{besides}"
            ),
            except,
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, prior: Prior<'_>, except: &[Exception]) -> Settled {
        let owners = owners(prior);
        let excepted = |c: &&Controller| !except.iter().any(|e| e.node == c.name);
        let short: Vec<String> = seen
            .0
            .iter()
            .filter(|c| owners.contains(c.uid.as_str()) && !c.is_whole())
            .filter(excepted)
            .map(|c| format!("{}: {} of {} pods are ready", c.name, c.ready, c.wanted))
            .collect();
        match short.is_empty() {
            true => Settled::Yes,
            false => Settled::NotYet(short.join("; ")),
        }
    }

    fn patience(&self) -> Patience {
        self.0
    }
}

/// UIDs of the controllers whose pods earlier steps evict.
fn owners(prior: Prior<'_>) -> BTreeSet<&str> {
    prior
        .effects()
        .filter_map(|effect| match effect {
            Effect::EvictPod {
                owner: Some(Owner { kind, uid, .. }),
                ..
            } if JUDGED.contains(&kind.as_str()) => Some(uid.as_str()),
            _ => None,
        })
        .collect()
}

impl Controller {
    fn new(raw: &Value) -> Option<Self> {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str);
        let number = |at: &str| raw.pointer(at).and_then(Value::as_i64);
        // What is in a list does not name its kind; only StatefulSets have a service.
        let daemon = number("/status/desiredNumberScheduled");
        let kind = match (raw.pointer("/spec/podManagementPolicy"), daemon) {
            (_, Some(_)) => "DaemonSet",
            (Some(_), None) => "StatefulSet",
            (None, None) => "ReplicaSet",
        };
        Some(Self {
            uid: text("/metadata/uid")?.to_owned(),
            name: format!(
                "{kind} {}/{}",
                text("/metadata/namespace")?,
                text("/metadata/name")?
            ),
            wanted: daemon.or_else(|| number("/spec/replicas")).unwrap_or(1),
            ready: number("/status/readyReplicas")
                .or_else(|| number("/status/numberReady"))
                .unwrap_or_default(),
            fresh: number("/status/observedGeneration").unwrap_or_default()
                >= number("/metadata/generation").unwrap_or_default(),
        })
    }

    fn is_whole(&self) -> bool {
        self.fresh && self.ready >= self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::change;
    use crate::model::{ObjectRef, Scope, StepId};
    use serde_json::json;

    fn action() -> Replaced {
        Replaced::new(serde_json::from_value(json!({})).unwrap()).unwrap()
    }

    fn set(name: &str, ready: i64, wanted: i64) -> Controller {
        let raw = json!({"metadata": {"namespace": "shop", "name": name, "uid": name, "generation": 1},
            "spec": {"replicas": wanted}, "status": {"readyReplicas": ready, "observedGeneration": 1}});
        Controller::new(&raw).unwrap()
    }

    fn evicting(owner: &str, kind: &str) -> PlannedStep {
        let effect = Effect::EvictPod {
            pod: ObjectRef::for_test("v1", "Pod", "shop", "a"),
            node: "n".into(),
            grace: None,
            deletes: false,
            owner: Some(Owner {
                api_version: "apps/v1".into(),
                kind: kind.into(),
                name: owner.into(),
                uid: owner.into(),
            }),
            loses: vec![],
        };
        let verdict = change(vec![effect]);
        PlannedStep {
            evicts: true,
            ..PlannedStep::new(
                StepId::new("drain").unwrap(),
                Scope::Run,
                "",
                "kube.drain",
                verdict,
            )
        }
    }

    #[test]
    fn the_controllers_of_evicted_pods_must_have_them_ready_again() {
        let steps = [evicting("web", "ReplicaSet"), evicting("job", "Job")];
        let prior = Prior { steps: &steps };
        let verify = |all: Vec<Controller>, except: &[Exception]| {
            Action::verify(&action(), &Seen(all), prior, except)
        };
        assert_eq!(
            verify(vec![set("web", 2, 2), set("other", 0, 2)], &[]),
            Settled::Yes
        );
        let short = verify(vec![set("web", 1, 2)], &[]);
        assert_eq!(
            short,
            Settled::NotYet("ReplicaSet shop/web: 1 of 2 pods are ready".into())
        );
        let mut stale = set("web", 2, 2);
        stale.fresh = false;
        assert!(matches!(verify(vec![stale], &[]), Settled::NotYet(_)));
        // It was rolled out anew meanwhile.
        assert_eq!(verify(vec![], &[]), Settled::Yes);
        // It had too few before.
        let place = Place::for_test(&Scope::Run, &[]);
        let Decision::Check { except, expects } =
            action().decide(&Seen(vec![set("web", 0, 2)]), place, prior)
        else {
            panic!()
        };
        assert!(expects.contains("ReplicaSet shop/web"), "{expects}");
        assert_eq!(verify(vec![set("web", 0, 2)], &except), Settled::Yes);
    }

    #[test]
    fn daemonsets_say_it_in_their_own_way_and_of_others_nothing_is_said() {
        let daemons = |ready: i64| {
            let raw = json!({"metadata": {"namespace": "shop", "name": "d", "uid": "web"},
                "status": {"desiredNumberScheduled": 3, "numberReady": ready}});
            Seen(vec![Controller::new(&raw).unwrap()])
        };
        let steps = [evicting("web", "DaemonSet")];
        let prior = Prior { steps: &steps };
        let settled = |ready| Action::verify(&action(), &daemons(ready), prior, &[]);
        assert_eq!(settled(3), Settled::Yes);
        assert!(matches!(settled(2), Settled::NotYet(_)));
        let others = [evicting("job", "Job")];
        let place = Place::for_test(&Scope::Run, &[]);
        let decision = action().decide(&Seen(vec![]), place, Prior { steps: &others });
        assert!(
            matches!(decision, Decision::NoChange { .. }),
            "{decision:?}"
        );
    }

    #[test]
    fn without_an_eviction_there_is_nothing_to_wait_for() {
        let place = Place::for_test(&Scope::Run, &[]);
        let decision = action().decide(&Seen(vec![]), place, Prior { steps: &[] });
        assert!(matches!(decision, Decision::NoChange { .. }));
    }
}
