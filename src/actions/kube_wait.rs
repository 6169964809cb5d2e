//! `kube.wait`: reads an object until it is as it should be.

use super::kube_object::Of;
use super::kube_state::{condition, has_condition, holds, stands};
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Exception, ObjectRef, Prior, Settled, Verb};
use crate::runbook::Condition;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Waits until an object has a condition, until an expression holds of it, or until it is gone. Give one
/// of `condition`, `that` and `gone`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The object; or give `node`.
    of: Option<Of>,
    /// The name of a node, instead of `of`.
    node: Option<String>,
    /// The type of a condition in its status, such as `Ready`.
    condition: Option<String>,
    /// The status which that condition must have; `True` if left out.
    status: Option<String>,
    /// A CEL expression over `object`, and `exists`, which says whether it is there.
    that: Option<String>,
    /// `true`: until there is no such object.
    gone: Option<bool>,
    /// How long it may take; 5m if left out.
    #[schemars(extend("format" = crate::runbook::DURATION_FORMAT))]
    within: Option<String>,
    /// How long it must hold without a break.
    #[schemars(extend("format" = crate::runbook::DURATION_FORMAT))]
    stable_for: Option<String>,
}

enum Until {
    Condition { kind: String, status: String },
    That(Condition),
    Gone,
}

pub struct Wait {
    of: Of,
    until: Until,
    patience: Patience,
}

pub struct Seen {
    object: ObjectRef,
    now: Option<Value>,
}

#[async_trait]
impl Action for Wait {
    const USES: &'static str = "kube.wait";
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        let until = match (args.condition, args.that, args.gone) {
            (Some(kind), None, None) => Until::Condition {
                kind,
                status: args.status.clone().unwrap_or_else(|| "True".to_owned()),
            },
            (None, Some(that), None) => Until::That(condition(&that)?),
            (None, None, Some(true)) => Until::Gone,
            _ => return Err("give one of `condition`, `that` and `gone: true`".to_owned()),
        };
        if args.status.is_some() && !matches!(until, Until::Condition { .. }) {
            return Err("`status` is that of `condition`, which is not given".to_owned());
        }
        let within = duration("within", args.within.as_deref(), Duration::from_secs(300))?;
        let settle = duration("stable_for", args.stable_for.as_deref(), Duration::ZERO)?;
        if settle >= within {
            return Err("`stable_for` must be shorter than `within`".to_owned());
        }
        Ok(Self {
            of: Of::one(args.of, args.node)?,
            until,
            patience: Patience { within, settle },
        })
    }

    fn needs(with: &Value) -> Needs {
        Needs::default().look(Verb::Get, &Of::told(with))
    }

    async fn observe(&self, look: &Look<'_>, _: Place<'_>, _: Prior<'_>) -> Result<Seen, Fault> {
        let (object, now) = look.object_of(&self.of).await?;
        Ok(Seen { object, now })
    }

    fn decide(&self, _: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Self::Change> {
        let of = &self.of;
        Decision::Check {
            expects: match &self.until {
                Until::Condition { kind, status } => {
                    format!("the condition {kind} of {of} is {status}")
                }
                Until::That(that) => format!("`{}` holds of {of}", that.source()),
                Until::Gone => format!("there is no {of}"),
            },
            except: Vec::new(),
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        let now = seen.now.as_ref();
        let waiting = || Settled::NotYet(stands(&self.of, &seen.object, now));
        match (&self.until, now) {
            (Until::Gone, None) => Settled::Yes,
            (Until::Gone, Some(_)) | (Until::Condition { .. }, None) => waiting(),
            (Until::Condition { kind, status }, Some(now)) => {
                has_condition(&self.of, now, kind, status)
            }
            (Until::That(that), now) => match holds(&self.of, that, now) {
                Ok(true) => Settled::Yes,
                Ok(false) => waiting(),
                // A field that is not there yet.
                Err(why) if now.is_some() => Settled::NotYet(why),
                Err(_) => waiting(),
            },
        }
    }

    fn patience(&self) -> Patience {
        self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use serde_json::json;

    fn wait(args: Value) -> Result<Wait, String> {
        let mut all = json!({"of": {"kind": "ConfigMap", "namespace": "n", "name": "c"}});
        for (key, value) in args.as_object().unwrap() {
            all[key] = value.clone();
        }
        Wait::new(serde_json::from_value(all).unwrap())
    }

    fn looked(args: Value, now: Option<Value>) -> (String, String) {
        let wait = wait(args).unwrap();
        let seen = Seen {
            object: ObjectRef::for_test("v1", "ConfigMap", "n", "c"),
            now,
        };
        let prior = Prior { steps: &[] };
        let place = Place::for_test(&Scope::Run, &[]);
        let Decision::Check { expects, .. } = wait.decide(&seen, place, prior) else {
            panic!()
        };
        let settled = match Action::verify(&wait, &seen, prior, &[]) {
            Settled::Yes => "yes".to_owned(),
            Settled::NotYet(what) => what,
        };
        (expects, settled)
    }

    #[test]
    fn it_waits_for_one_thing() {
        for args in [
            json!({"condition": "Ready"}),
            json!({"condition": "Ready", "status": "False", "within": "1m", "stable_for": "10s"}),
            json!({"that": "exists"}),
            json!({"gone": true}),
        ] {
            assert!(wait(args.clone()).is_ok(), "{args}");
        }
        for args in [
            json!({}),
            json!({"gone": false}),
            json!({"condition": "Ready", "that": "exists"}),
            json!({"that": "exists", "status": "True"}),
            json!({"that": "exists &&"}),
            json!({"gone": true, "within": "soon"}),
            json!({"gone": true, "within": "1m", "stable_for": "1m"}),
            json!({"gone": true, "node": "node02"}),
        ] {
            assert!(wait(args.clone()).is_err(), "{args}");
        }
        let patience = wait(json!({"gone": true})).unwrap().patience;
        assert_eq!(patience.within, Duration::from_secs(300));
    }

    #[test]
    fn it_says_what_it_waits_for_and_how_that_stands() {
        let there = || json!({"metadata": {"uid": "u"}, "status": {"phase": "Pending"}});
        let yes = |(_, settled): (String, String)| settled == "yes";
        assert!(yes(looked(json!({"gone": true}), None)));
        assert!(yes(looked(json!({"that": "!exists"}), None)));
        assert!(yes(looked(
            json!({"that": "object.status.phase == 'Pending'"}),
            Some(there())
        )));
        let all = [
            looked(json!({"gone": true}), Some(there())),
            looked(json!({"condition": "Ready"}), None),
            looked(json!({"condition": "Ready"}), Some(there())),
            looked(
                json!({"that": "object.status.phase == 'Bound'"}),
                Some(there()),
            ),
            looked(json!({"that": "object.status.phase == 'Bound'"}), None),
            looked(json!({"that": "object.none == 1"}), Some(there())),
        ];
        let lines: Vec<String> = all.iter().map(|(a, b)| format!("{a}: {b}")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
