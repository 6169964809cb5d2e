//! `kube.apply`: objects as their manifests have them.

use super::kube_fields::{Fields, Refusal, Says, predicted};
use super::kube_keepers::{OWN, notes};
use super::kube_object::{Earlier, Of, earlier};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Detail, Effect, ObjectRef, Prior, Propagation, UndoClass, Verb, bare, named_by,
};
use crate::transport::{Trial, Tried};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Makes objects, or changes those that are there, as their manifests have them, by server-side apply.
/// Fields that a manifest does not name stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// One manifest. Not of a Secret.
    manifest: Option<Value>,
    /// Several of them, in the order in which they are applied.
    #[serde(default)]
    manifests: Vec<Value>,
    /// Whether fields that others keep are taken over from them.
    #[serde(default)]
    force: bool,
}

pub struct Apply {
    wanted: Vec<(Of, Value)>,
    force: bool,
}

/// An object as it is, and what the API server would make of its manifest.
pub struct Found {
    object: ObjectRef,
    now: Option<Value>,
    tried: Tried,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Set(Fields),
    Make { object: ObjectRef, after: Value },
}

#[async_trait]
impl Action for Apply {
    const USES: &'static str = "kube.apply";
    type Args = Args;
    type Seen = Vec<Found>;
    type Change = Vec<Part>;

    fn new(args: Args) -> Result<Self, String> {
        let all: Vec<Value> = match (args.manifest, args.manifests) {
            (Some(one), all) if all.is_empty() => vec![one],
            (None, all) if !all.is_empty() => all,
            _ => return Err("give `manifest` or `manifests`, and not both".to_owned()),
        };
        let mut wanted: Vec<(Of, Value)> = Vec::new();
        for manifest in all {
            let of = Of::manifest(&manifest)?.not_secret()?;
            if manifest.get("items").is_some_and(Value::is_array) && of.kind.ends_with("List") {
                return Err(format!("{of} is a list: give its items as `manifests`"));
            }
            // Tools write an empty one, which says nothing.
            let says = |status: &Value| status.as_object().is_none_or(|map| !map.is_empty());
            if manifest
                .get("status")
                .is_some_and(|s| !s.is_null() && says(s))
            {
                return Err(format!(
                    "{of}: `status` is written by controllers alone: leave it out"
                ));
            }
            if wanted.iter().any(|(other, _)| *other == of) {
                return Err(format!("{of} is there twice"));
            }
            wanted.push((of, bare(&manifest)));
        }
        Ok(Self {
            wanted,
            force: args.force,
        })
    }

    fn needs(with: &Value) -> Needs {
        let objects = Of::told_by_manifests(with);
        objects.iter().fold(Needs::default(), |needs, of| {
            // Whether it is there already, nobody knows before.
            needs
                .fields(of)
                .apply(Verb::Create, of)
                .undo(Verb::Delete, of)
        })
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        _: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Vec<Found>, Fault> {
        let mut found = Vec::new();
        for (of, manifest) in &self.wanted {
            let (object, now) = look.object_of(of).await?;
            let apply = |force| Trial::Apply { manifest, force };
            let mut tried = match &now {
                Some(_) => look.tried(&object, apply(self.force)).await?,
                None => look.tried(&object, Trial::Create(manifest)).await?,
            };
            // What this program wrote before by another way is its own.
            if let Tried::Rejected(rejection) = &tried
                && !rejection.conflicts.is_empty()
                && rejection.conflicts.iter().all(|c| c.manager == OWN)
            {
                tried = look.tried(&object, apply(true)).await?;
            }
            found.push(Found { object, now, tried });
        }
        Ok(found)
    }

    fn decide(&self, seen: &Vec<Found>, _: Place<'_>, prior: Prior<'_>) -> Decision<Vec<Part>> {
        let mut parts = Vec::new();
        let mut unknown = Vec::new();
        for (found, (_, manifest)) in seen.iter().zip(&self.wanted) {
            match part(found, manifest, &parts, prior) {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => {}
                Err(Unfit::Refused(Refusal { why, next })) => {
                    return Decision::Refuse { why, next };
                }
                Err(Unfit::NotTried { why }) => unknown.push(why),
            }
        }
        // What it makes of a manifest alone would not be what is there then.
        if !unknown.is_empty() {
            return Decision::Late {
                why: unknown.join("; "),
            };
        }
        if parts.is_empty() {
            let objects: Vec<String> = seen.iter().map(|f| f.object.to_string()).collect();
            let verb = if objects.len() == 1 { "is" } else { "are" };
            return Decision::NoChange {
                why: format!("{} {verb} so already", objects.join(", ")),
            };
        }
        Decision::Change(parts)
    }

    fn compile(&self, parts: Vec<Part>) -> Compiled {
        let mut compiled = Compiled {
            effects: Vec::new(),
            blobs: Blobs::default(),
            details: Vec::new(),
            follows: Vec::new(),
            undo: UndoClass::Exact,
            predicted: None,
            heals: None,
        };
        let mut all_made = Vec::new();
        let mut holders = Vec::new();
        for part in parts {
            match part {
                Part::Set(fields) => {
                    compiled.details.extend(fields.details());
                    compiled.effects.push(fields.effect());
                    compiled.follows.extend(fields.follows);
                    if fields.predicted {
                        compiled.predicted =
                            Some("an earlier step changes the object first".to_owned());
                    }
                }
                Part::Make { object, after } => {
                    if holds_others(&object) {
                        holders.push(object.to_string());
                    }
                    all_made.push(object.to_string());
                    compiled.details.push(made(&object, &after));
                    compiled.effects.push(Effect::PutObject {
                        object,
                        before: None,
                        after: Some(after),
                        propagation: Propagation::Background,
                    });
                }
            }
        }
        // An undo leaves it alone where it sees that others added something. Not all of that can be
        // told from what controllers fill in.
        if !all_made.is_empty() {
            let lost = match holders.is_empty() {
                true => format!("what others add to {} goes with it", all_made.join(", ")),
                false => format!(
                    "what others add to {} goes with it, and with {} whatever they have put there",
                    all_made.join(", "),
                    holders.join(", ")
                ),
            };
            compiled.undo = UndoClass::BestEffort { lost };
        }
        compiled
    }

    fn notes(&self, _: &Vec<Found>, decision: &Decision<Vec<Part>>) -> Vec<String> {
        let Decision::Change(parts) = decision else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for part in parts {
            if let Part::Set(fields) = part {
                all.extend(notes(&fields.object, &fields.keepers));
            }
        }
        all
    }
}

/// Why nothing is decided of one object.
enum Unfit {
    Refused(Refusal),
    /// The API server cannot be asked before.
    NotTried {
        why: String,
    },
}

fn part(
    found: &Found,
    manifest: &Value,
    parts: &[Part],
    prior: Prior<'_>,
) -> Result<Option<Part>, Unfit> {
    let Found { object, now, tried } = found;
    let refused = |refusal| Err(Unfit::Refused(refusal));
    let make = |after: &Value| Part::Make {
        object: object.clone(),
        after: after.clone(),
    };
    if now.is_none() && earlier(prior, object) == Some(Earlier::Makes) {
        return refused(Refusal::new(
            format!("an earlier step of this runbook makes {object} as well"),
            "make one step of the two",
        ));
    }
    match (now, tried) {
        (Some(now), Tried::Accepted(tried)) => {
            if now.pointer("/metadata/deletionTimestamp").is_some() {
                return refused(Refusal::ending(object));
            }
            let fields = Fields::decide(object, now, tried, Says::Map(manifest), prior);
            let fields = fields.map_err(Unfit::Refused)?;
            Ok((!fields.changes.is_empty()).then_some(Part::Set(fields)))
        }
        (None, Tried::Accepted(tried)) => Ok(Some(make(&named_by(manifest, &bare(tried))))),
        (None, Tried::Rejected(rejection)) => {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            let missing = rejection
                .message
                .contains(&format!("namespaces \"{namespace}\" not found"));
            let is = |object: &ObjectRef| object.kind == "Namespace" && object.name == namespace;
            let makes = |part: &Part| matches!(part, Part::Make { object, .. } if is(object));
            // A step is decided as one: its namespace would not be there when its turn comes.
            if missing && parts.iter().any(makes) {
                return refused(Refusal::new(
                    format!("{object} cannot be tried before its namespace is there"),
                    "make the namespace in a step of its own before this one",
                ));
            }
            if missing && makes_namespace(namespace, prior) {
                return Err(Unfit::NotTried {
                    why: format!(
                        "what the API server makes of {object} is not known before its namespace is there"
                    ),
                });
            }
            refused(Refusal::rejected(object, rejection))
        }
        (Some(now), Tried::Rejected(rejection)) => {
            // What an earlier step does to it is to be said first.
            predicted(object, now, prior).map_err(Unfit::Refused)?;
            refused(Refusal::rejected(object, rejection))
        }
    }
}

/// Whether an earlier step makes a namespace.
fn makes_namespace(name: &str, prior: Prior<'_>) -> bool {
    prior.effects().any(|effect| {
        matches!(effect, Effect::PutObject { object, after: Some(_), .. }
            if object.kind == "Namespace" && object.name == name)
    })
}

/// Whether others may have put something into it by the time it is deleted again.
fn holds_others(object: &ObjectRef) -> bool {
    [
        "Namespace",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "CustomResourceDefinition",
    ]
    .contains(&object.kind.as_str())
}

fn made(object: &ObjectRef, after: &Value) -> Detail {
    let text = serde_yaml::to_string(after).unwrap_or_default();
    Detail {
        subject: object.to_string(),
        before: None,
        after: Some("made".to_owned()),
        lines: text.lines().map(|line| format!("+ {line}")).collect(),
        ..Detail::default()
    }
}

#[cfg(test)]
mod tests;
