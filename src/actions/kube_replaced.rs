//! `kube.replaced`: pods that earlier steps evict are ready again elsewhere.

use super::kube_eviction::time;
use super::kube_object::Of;
use super::{ANY_NAMESPACE, Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::drain::Pod;
use crate::fault::Fault;
use crate::model::{Effect, Exception, ObjectRef, Owner, PlannedStep, Prior, Settled, Verb};
use async_trait::async_trait;
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The kinds whose pods are made again, and that say how many there should be, each with its API's version and its
/// plural.
const JUDGED: [(&str, &str, &str); 4] = [
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("v1", "ReplicationController", "replicationcontrollers"),
];

/// Waits until the controllers of pods that earlier steps evict have as many of them ready as they should; the pods
/// themselves are counted. Stands between two nodes that are drained one after another. A ReplicaSet, StatefulSet, DaemonSet or
/// ReplicationController that has too few already when this is planned is let be; pods of other controllers are not
/// waited for, and the plan names these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How long it may take, and 0s for not to wait at all; 5m if left out.
    within: Option<String>,
    /// How long it must hold without a break; 3s if left out, or half of `within` where that is less.
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
    wanted: usize,
    /// Counted: what a controller says of itself is late where the controller is.
    ready: usize,
}

pub struct Seen(Vec<Controller>);

#[async_trait]
impl Action for Replaced {
    const USES: &'static str = "kube.replaced";
    const NEWCOMERS: bool = true;
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        let within = time("within", args.within.as_deref(), Duration::from_secs(300))?;
        // Whoever gives them little time does not know of this one.
        let usual = Duration::from_secs(3).min(within / 2);
        let settle = duration("stable_for", args.stable_for.as_deref(), usual)?;
        if settle >= within && !within.is_zero() {
            return Err("`stable_for` must be shorter than `within`".to_owned());
        }
        Ok(Self(Patience { within, settle }))
    }

    fn needs(_with: &Value) -> Needs {
        let why = "in every namespace: pods of all may be on a node";
        JUDGED.iter().fold(
            Needs::default()
                .look(Verb::List, &Of::any_of("v1", "Pod", ANY_NAMESPACE))
                .wide(why),
            |needs, (version, kind, _)| {
                needs
                    .look(Verb::List, &Of::any_of(version, kind, ANY_NAMESPACE))
                    .wide(why)
            },
        )
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        _: Place<'_>,
        prior: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let namespaces = judged(prior)
            .filter_map(|(pod, _)| pod.namespace.as_deref())
            .collect();
        let objects = JUDGED.map(|(version, kind, plural)| {
            let list = look.in_namespaces(version, plural, &namespaces);
            async move { Ok((kind, list.await?)) }
        });
        let (pods, objects) = futures::try_join!(
            look.in_namespaces("v1", "pods", &namespaces),
            try_join_all(objects),
        )?;
        Ok(Seen::new(&objects, &pods))
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
        let unjudged = unjudged(prior);
        if owners.is_empty() && evicts_now && !prior.steps.iter().any(PlannedStep::is_late) {
            return Decision::NoChange {
                why: "no controller of the pods that are evicted says in a way that is known how many there should be"
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
                "the controllers of evicted pods have all of them ready again{besides}{unjudged}"
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

/// The pods that earlier steps evict and that have a controller, with it.
fn evicted(prior: Prior<'_>) -> impl Iterator<Item = (&ObjectRef, &Owner)> {
    prior.effects().filter_map(|effect| match effect {
        Effect::EvictPod {
            pod,
            owner: Some(owner),
            ..
        } => Some((pod, owner)),
        _ => None,
    })
}

/// Those of which it is known how many there should be.
fn judged(prior: Prior<'_>) -> impl Iterator<Item = (&ObjectRef, &Owner)> {
    evicted(prior).filter(|(_, owner)| is_judged(owner))
}

fn is_judged(owner: &Owner) -> bool {
    JUDGED.iter().any(|(version, kind, _)| {
        (owner.api_version.as_str(), owner.kind.as_str()) == (*version, *kind)
    })
}

/// Whose pods are evicted, and whose successors nobody can count, in words.
fn unjudged(prior: Prior<'_>) -> String {
    let names: BTreeSet<String> = evicted(prior)
        .filter(|(_, owner)| !is_judged(owner))
        .map(|(pod, owner)| {
            let namespace = pod.namespace.as_deref().unwrap_or_default();
            format!("{} {namespace}/{}", owner.kind, owner.name)
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => {
            format!("; how many {one} should have is not known, so its pods are not waited for")
        }
        several => format!(
            "; how many these should have is not known, so their pods are not waited for: {}",
            several.join(", ")
        ),
    }
}

/// UIDs of the controllers whose pods earlier steps evict.
fn owners(prior: Prior<'_>) -> BTreeSet<&str> {
    judged(prior).map(|(_, owner)| owner.uid.as_str()).collect()
}

impl Seen {
    /// Objects by their kinds, and the pods that are theirs or not.
    fn new(objects: &[(&str, Vec<Value>)], pods: &[Value]) -> Self {
        let mut ready: BTreeMap<String, usize> = BTreeMap::new();
        let pods = pods.iter().filter_map(Pod::new);
        for pod in pods.filter(|pod| pod.ready && !pod.is_going()) {
            if let Some(owner) = pod.controller {
                *ready.entry(owner.uid).or_default() += 1;
            }
        }
        let of = |kind: &str, raw: &Value| {
            let text = |at: &str| raw.pointer(at).and_then(Value::as_str);
            let number = |at: &str| raw.pointer(at).and_then(Value::as_u64);
            let (namespace, name) = (text("/metadata/namespace")?, text("/metadata/name")?);
            let wanted =
                number("/status/desiredNumberScheduled").or_else(|| number("/spec/replicas"));
            Some(Controller {
                uid: text("/metadata/uid")?.to_owned(),
                name: format!("{kind} {namespace}/{name}"),
                wanted: usize::try_from(wanted.unwrap_or(1)).unwrap_or(usize::MAX),
                ready: ready
                    .get(text("/metadata/uid")?)
                    .copied()
                    .unwrap_or_default(),
            })
        };
        let all = objects
            .iter()
            .flat_map(|(kind, raw)| raw.iter().filter_map(|raw| of(kind, raw)));
        Self(all.collect())
    }
}

impl Controller {
    fn is_whole(&self) -> bool {
        self.ready >= self.wanted
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

    #[test]
    fn little_time_is_enough_where_nothing_else_is_said() {
        let of = |args: Value| Replaced::new(serde_json::from_value(args).unwrap());
        assert_eq!(
            of(json!({"within": "2s"})).unwrap().0.settle,
            Duration::from_secs(1)
        );
        assert_eq!(action().0.settle, Duration::from_secs(3));
        assert!(of(json!({"within": "2s", "stable_for": "3s"})).is_err());
    }

    /// A pod of a controller, with more of it.
    fn pod(owner: &str, more: impl FnOnce(&mut Value)) -> Value {
        let mut pod = json!({
            "metadata": {"namespace": "shop", "name": "p", "uid": "p", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true},
            ]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        more(&mut pod);
        pod
    }

    /// ReplicaSets with so many ready pods each, of so many.
    fn sets(all: &[(&str, usize, usize)]) -> Seen {
        let raw = all.iter().map(|(name, _, wanted)| {
            // What it says itself counts for nothing.
            json!({"metadata": {"namespace": "shop", "name": name, "uid": name}, "spec": {"replicas": wanted},
                "status": {"readyReplicas": wanted}})
        });
        let pods: Vec<Value> = all
            .iter()
            .flat_map(|(name, ready, _)| (0..*ready).map(|_| pod(name, |_| ())))
            .collect();
        Seen::new(&[("ReplicaSet", raw.collect())], &pods)
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
        let verify = |all: &[(&str, usize, usize)], except: &[Exception]| {
            Action::verify(&action(), &sets(all), prior, except)
        };
        assert_eq!(verify(&[("web", 2, 2), ("other", 0, 2)], &[]), Settled::Yes);
        let short = verify(&[("web", 1, 2)], &[]);
        assert_eq!(
            short,
            Settled::NotYet("ReplicaSet shop/web: 1 of 2 pods are ready".into())
        );
        // Of a controller that nobody knows, it is said that it is not waited for.
        let place = Place::for_test(&Scope::Run, &[]);
        let Decision::Check { expects, .. } = action().decide(&sets(&[]), place, prior) else {
            panic!()
        };
        assert!(expects.contains("Job shop/job"), "{expects}");
        // It was rolled out anew meanwhile.
        assert_eq!(verify(&[], &[]), Settled::Yes);
        // It had too few before.
        let place = Place::for_test(&Scope::Run, &[]);
        let Decision::Check { except, expects } =
            action().decide(&sets(&[("web", 0, 2)]), place, prior)
        else {
            panic!()
        };
        assert!(expects.contains("ReplicaSet shop/web"), "{expects}");
        assert_eq!(verify(&[("web", 0, 2)], &except), Settled::Yes);
    }

    #[test]
    fn only_pods_that_are_ready_and_stay_are_counted() {
        let ready = |more: fn(&mut Value)| {
            let set = json!({"metadata": {"namespace": "shop", "name": "web", "uid": "web"}});
            let Seen(all) = Seen::new(&[("ReplicaSet", vec![set])], &[pod("web", more)]);
            (all[0].ready, all[0].wanted)
        };
        assert_eq!(ready(|_| ()), (1, 1));
        assert_eq!(
            ready(|pod| pod["status"]["conditions"][0]["status"] = json!("False")),
            (0, 1)
        );
        assert_eq!(
            ready(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
            (0, 1)
        );
        assert_eq!(
            ready(|pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("other")),
            (0, 1)
        );
    }

    #[test]
    fn daemonsets_say_it_in_their_own_way_and_of_others_nothing_is_said() {
        let daemons = |ready: usize| {
            let raw = json!({"metadata": {"namespace": "shop", "name": "d", "uid": "web"},
                "status": {"desiredNumberScheduled": 3}});
            let pods: Vec<Value> = (0..ready).map(|_| pod("web", |_| ())).collect();
            Seen::new(&[("DaemonSet", vec![raw])], &pods)
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
