//! `kube.rollout`: a workload's pods are started anew, or waited for.

use super::kube_fields::{Fields, Refusal, predicted};
use super::kube_object::Of;
use super::rights::is_any;
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{
    Exception, FieldPath, ObjectRef, Prior, Settled, UndoClass, Verb, all_replaced, stands_still,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

const KINDS: [&str; 3] = ["DaemonSet", "Deployment", "StatefulSet"];
/// Counts the starts, in the template of the pods.
const RESTART: &str = "runbook.restart";

/// Starts the pods of a Deployment, DaemonSet or StatefulSet anew, in the way that it rolls them out, and
/// waits until that is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The workload, with `api_version: apps/v1`.
    of: Of,
    /// `false`: only wait until it is rolled out.
    #[serde(default = "super::yes")]
    restart: bool,
    /// How long it may take; where it is restarted, how long it may take without a step forward. 5m if
    /// left out.
    #[schemars(extend("format" = crate::runbook::DURATION_FORMAT))]
    within: Option<String>,
}

pub struct Rollout {
    of: Of,
    restart: bool,
    within: Duration,
}

pub struct Seen {
    object: ObjectRef,
    now: Option<Value>,
}

#[async_trait]
impl Action for Rollout {
    const USES: &'static str = "kube.rollout";
    type Args = Args;
    type Seen = Seen;
    type Change = Fields;

    fn new(args: Args) -> Result<Self, String> {
        let of = args.of.checked()?;
        if of.api_version != "apps/v1" || !KINDS.contains(&of.kind.as_str()) {
            return Err(format!(
                "`of`: a {} of {} is not rolled out; a {} of apps/v1 is",
                of.kind,
                of.api_version,
                KINDS.join(", ")
            ));
        }
        let within = duration("within", args.within.as_deref(), Duration::from_secs(300))?;
        Ok(Self {
            of,
            restart: args.restart,
            within,
        })
    }

    fn needs(with: &Value) -> Needs {
        let needs = Needs::default();
        // No other kinds are rolled out, whatever a template gives.
        let kinds = match Of::told(with) {
            of if is_any(&of.kind) => KINDS
                .map(|kind| Of {
                    kind: kind.to_owned(),
                    ..of.clone()
                })
                .to_vec(),
            of => vec![of],
        };
        let restarts = with.get("restart") != Some(&Value::Bool(false));
        kinds.iter().fold(needs, |needs, of| {
            let of = &Of {
                api_version: "apps/v1".to_owned(),
                ..of.clone()
            };
            match restarts {
                true => needs.look(Verb::Get, of).apply(Verb::Patch, of),
                false => needs.look(Verb::Get, of),
            }
        })
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>, _: Prior<'_>) -> Result<Seen, Fault> {
        let (object, now) = look.object_of(&self.of).await?;
        Ok(Seen { object, now })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Fields> {
        if !self.restart {
            return Decision::Check {
                expects: format!("{} is rolled out", self.of),
                except: Vec::new(),
            };
        }
        let Some(now) = &seen.now else {
            return Decision::Refuse {
                why: format!("there is no {}", self.of),
                next: None,
            };
        };
        if let Some(why) = stands_still(now) {
            return Decision::Refuse {
                why: format!(
                    "the pods of {} are not replaced by themselves: {why}",
                    self.of
                ),
                next: Some("change that, or delete its pods one by one".to_owned()),
            };
        }
        match predicted(&seen.object, now, prior) {
            Err(Refusal { why, next }) => Decision::Refuse { why, next },
            Ok((start, predicted)) => {
                let end = restarted(&start);
                Decision::Change(Fields::between(&seen.object, now, &start, &end, predicted))
            }
        }
    }

    fn compile(&self, fields: Fields) -> Compiled {
        fields.compiled(UndoClass::None {
            why: "a start leaves nothing behind that could be put back".to_owned(),
        })
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match &seen.now {
            None => Settled::NotYet(format!("there is no {}", self.of)),
            Some(now) => all_replaced(&self.of.kind, now),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            within: self.within,
            ..Patience::default()
        }
    }

    fn settling(&self) -> Option<Duration> {
        Some(self.within)
    }
}

/// The workload with the next number of its start: what it is rests on the present state alone, so that a
/// saved plan stays the same.
fn restarted(workload: &Value) -> Value {
    let template = FieldPath::root().key("spec").key("template");
    let path = template.key("metadata").key("annotations").key(RESTART);
    let count = path
        .read(workload)
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0);
    let mut workload = workload.clone();
    let mut at = &mut workload;
    for key in ["spec", "template", "metadata", "annotations"] {
        if !at.get(key).is_some_and(Value::is_object)
            && let Some(map) = at.as_object_mut()
        {
            map.insert(key.to_owned(), Value::Object(Map::new()));
        }
        let Some(below) = at.get_mut(key) else {
            return workload;
        };
        at = below;
    }
    if let Some(map) = at.as_object_mut() {
        map.insert(
            RESTART.to_owned(),
            json!((count.saturating_add(1)).to_string()),
        );
    }
    workload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Effect, Scope};

    fn rollout(args: Value) -> Result<Rollout, String> {
        Rollout::new(serde_json::from_value(args).unwrap())
    }

    fn of(kind: &str) -> Value {
        json!({"of": {"api_version": "apps/v1", "kind": kind, "namespace": "n", "name": "w"}})
    }

    fn decide(now: Option<Value>) -> Decision<Fields> {
        let seen = Seen {
            object: ObjectRef::for_test("apps/v1", "Deployment", "n", "w"),
            now,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        rollout(of("Deployment"))
            .unwrap()
            .decide(&seen, place, Prior { steps: &[] })
    }

    #[test]
    fn only_workloads_that_roll_are_restarted() {
        assert!(rollout(of("Deployment")).is_ok());
        assert!(rollout(of("Job")).is_err());
        let mut other = of("Deployment");
        other["of"]["api_version"] = json!("v1");
        assert!(rollout(other).is_err());
        let paused = json!({"metadata": {"uid": "u"}, "spec": {"paused": true, "template": {}}});
        assert!(matches!(decide(Some(paused)), Decision::Refuse { .. }));
        assert!(matches!(decide(None), Decision::Refuse { .. }));
        let mut waits = of("Deployment");
        waits["restart"] = json!(false);
        assert!(!rollout(waits).unwrap().restart);
    }

    /// The same state gives the same plan, and a restart is never put back.
    #[test]
    fn each_start_has_the_next_number() {
        let now = |annotations: Value| json!({"apiVersion": "apps/v1", "metadata": {"uid": "u"}, "spec": {"template": {"metadata": annotations}}});
        for (annotations, path, after) in [
            (
                json!({}),
                "spec.template.metadata.annotations[runbook.restart]",
                json!("1"),
            ),
            (
                json!({"annotations": {"a": "b"}}),
                "spec.template.metadata.annotations[runbook.restart]",
                json!("1"),
            ),
            (
                json!({"annotations": {RESTART: "7"}}),
                "spec.template.metadata.annotations[runbook.restart]",
                json!("8"),
            ),
            (
                json!({"annotations": {RESTART: "x"}}),
                "spec.template.metadata.annotations[runbook.restart]",
                json!("1"),
            ),
        ] {
            let Decision::Change(fields) = decide(Some(now(annotations))) else {
                panic!()
            };
            assert_eq!(fields.changes.len(), 1);
            assert_eq!(fields.changes[0].path.to_string(), path);
            assert_eq!(fields.changes[0].after, Some(after));
            let compiled = rollout(of("Deployment")).unwrap().compile(fields);
            assert!(compiled.effects.iter().all(Effect::rolls_pods));
            assert!(matches!(compiled.undo, UndoClass::None { .. }));
        }
    }

    #[test]
    fn what_is_paused_is_waited_for() {
        let mut waits = of("Deployment");
        waits["restart"] = json!(false);
        let seen = Seen {
            object: ObjectRef::for_test("apps/v1", "Deployment", "n", "w"),
            now: Some(json!({"spec": {"paused": true}, "status": {"replicas": 1}})),
        };
        let settled = Action::verify(&rollout(waits).unwrap(), &seen, Prior { steps: &[] }, &[]);
        let Settled::NotYet(what) = settled else {
            panic!()
        };
        assert_eq!(what, "it is paused, and 0 of 1 pods are replaced");
    }
}
