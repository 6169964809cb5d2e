//! `kube.assert`: what must be so of an object, or nothing more is done.

use super::kube_object::Of;
use super::kube_state::{condition, holds, stands};
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Exception, ObjectRef, Prior, Settled, Verb};
use crate::runbook::{Condition, Record, Type};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Stops the run before it begins where an expression does not hold of an object. After steps that change
/// something, it is looked at when its turn comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The object; or give `node`.
    of: Option<Of>,
    /// The name of a node, instead of `of`.
    node: Option<String>,
    /// A CEL expression over `object`, and `exists`, which says whether it is there.
    that: String,
    /// Said where it does not hold.
    because: String,
    /// How long it may take to come about, where earlier steps bring it about; 60s if left out.
    #[schemars(extend("format" = crate::runbook::DURATION_FORMAT))]
    within: Option<String>,
}

pub struct KubeAssert {
    of: Of,
    that: Condition,
    because: String,
    within: Duration,
}

pub struct Seen {
    object: ObjectRef,
    now: Option<Value>,
}

#[async_trait]
impl Action for KubeAssert {
    const USES: &'static str = "kube.assert";
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        if args.because.trim().is_empty() {
            return Err("`because` says what it means where it does not hold".to_owned());
        }
        let within = duration("within", args.within.as_deref(), Duration::from_secs(60))?;
        Ok(Self {
            of: Of::one(args.of, args.node)?,
            that: condition(&args.that)?,
            because: args.because,
            within,
        })
    }

    fn outputs() -> Record {
        Record::of(&[("object", Type::Any)])
    }

    fn needs(with: &Value) -> Needs {
        Needs::default().look(Verb::Get, &Of::told(with))
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>, _: Prior<'_>) -> Result<Seen, Fault> {
        let (object, now) = look.object_of(&self.of).await?;
        Ok(Seen { object, now })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Self::Change> {
        if prior.changes_anything() {
            return Decision::Check {
                expects: format!("`{}` holds of {}", self.that.source(), self.of),
                except: Vec::new(),
            };
        }
        match holds(&self.of, &self.that, seen.now.as_ref()) {
            Ok(true) => Decision::NoChange {
                why: "it is so".to_owned(),
            },
            Ok(false) => Decision::Refuse {
                why: self.said(seen),
                next: None,
            },
            Err(_) if seen.now.is_none() => Decision::Refuse {
                why: self.said(seen),
                next: None,
            },
            Err(why) => Decision::Refuse {
                why: format!("it cannot be told whether it is so: {why}"),
                next: Some(
                    "put `that` right: `has(object.x)` asks whether a field is there".to_owned(),
                ),
            },
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        let mut outputs = Map::new();
        // What is secret is not kept; and who wrote which field is of no use to later steps.
        if let Some(mut now) = seen.now.clone().filter(|_| !self.of.is_secret()) {
            if let Some(metadata) = now.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            outputs.insert("object".to_owned(), now);
        }
        outputs
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match holds(&self.of, &self.that, seen.now.as_ref()) {
            Ok(true) => Settled::Yes,
            Ok(false) => Settled::NotYet(self.said(seen)),
            Err(why) => Settled::NotYet(why),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            within: self.within,
            ..Patience::default()
        }
    }
}

impl KubeAssert {
    /// What was found, for a person.
    fn said(&self, seen: &Seen) -> String {
        format!(
            "{} ({})",
            self.because,
            stands(&self.of, &seen.object, seen.now.as_ref())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, effect, step};
    use crate::model::{PlannedStep, Scope};
    use serde_json::json;

    fn decide(that: &str, now: Option<Value>, steps: &[PlannedStep]) -> String {
        let args = json!({"node": "node02", "that": that, "because": "it is not fit"});
        let action = KubeAssert::new(serde_json::from_value(args).unwrap()).unwrap();
        let seen = Seen {
            object: ObjectRef::node_for_test("node02"),
            now,
        };
        let place = Place::for_test(&Scope::Run, &[]);
        match action.decide(&seen, place, Prior { steps }) {
            Decision::NoChange { why } => why,
            Decision::Refuse { why, .. } => format!("refused: {why}"),
            Decision::Check { expects, .. } => format!("check: {expects}"),
            _ => panic!(),
        }
    }

    #[test]
    fn what_is_not_so_is_refused_and_after_changes_it_is_looked_at_later() {
        let node = || Some(json!({"metadata": {"uid": "u"}, "spec": {"unschedulable": true}}));
        let (_, effect) = effect("x");
        let changed = [step("before", Scope::Run, change(vec![effect]))];
        let all = [
            decide("object.spec.unschedulable", node(), &[]),
            decide("!object.spec.unschedulable", node(), &[]),
            decide("object.spec.unschedulable", None, &[]),
            decide("object.spec.other", node(), &[]),
            decide("object.spec.unschedulable", node(), &changed),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
