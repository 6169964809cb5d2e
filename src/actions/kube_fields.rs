//! What becomes of the fields of an object, from what the API server makes of a change that it tries.

use super::Compiled;
use super::kube_keepers::{Keeper, OWN, keepers, source_lines};
use super::kube_object::{Earlier, earlier};
use super::line_difference::line_difference;
use crate::model::{
    Blobs, Detail, Effect, FieldChange, FieldPath, ObjectRef, Prior, Segment, UndoClass, bare,
    difference, stands_still, value_text, with_changes,
};
use crate::transport::Rejection;
use serde_json::Value;

/// What a step says of an object's fields.
#[derive(Debug, Clone, Copy)]
pub enum Says<'a> {
    /// It names fields by a map of the object's own form, and its lists stand for all of theirs.
    Merge(&'a Value),
    /// By such a map too; lists are merged with those that are there.
    Map(&'a Value),
    /// It names them by the pointers of a JSON Patch.
    Pointers(&'a [String]),
}

/// Fields of one object that change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub object: ObjectRef,
    pub changes: Vec<FieldChange>,
    pub keepers: Vec<Keeper>,
    /// Earlier steps of the plan write to the object first.
    pub predicted: bool,
    /// How its pods follow, where its template changes.
    pub follows: Option<String>,
    /// The object is being deleted.
    pub ending: bool,
}

/// Why a step is refused, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub why: String,
    pub next: Option<String>,
}

impl Refusal {
    pub fn new(why: String, next: &str) -> Self {
        Self {
            why,
            next: Some(next.to_owned()),
        }
    }

    /// Of an object that is being deleted.
    pub fn ending(object: &ObjectRef) -> Self {
        Self::new(
            format!("{object} is being deleted"),
            "wait until it is gone: kube.wait with `gone: true`",
        )
    }

    /// Of what the API server would not take.
    pub fn rejected(object: &ObjectRef, rejection: &Rejection) -> Self {
        if rejection.conflicts.is_empty() {
            let next = match rejection.message.contains(" cannot ") {
                true => "ask for the right, or use another identity with --context",
                false => "put the step right, or ask whoever made the rule",
            };
            let message = reason(&rejection.message);
            return Self::new(
                format!("{object}: the API server would not take it: {message}"),
                next,
            );
        }
        let named: Vec<String> = rejection
            .conflicts
            .iter()
            .filter(|conflict| conflict.manager != OWN)
            .map(|conflict| format!("{} is kept by `{}`", conflict.field, conflict.manager))
            .collect();
        Self::new(
            format!("others keep fields of {object}: {}", named.join("; ")),
            "change it where they have it from, or take it over with `force: true`",
        )
    }
}

/// What the API server says, without the whole object that it puts before some reasons.
fn reason(message: &str) -> String {
    const STRICT: &str = "strict decoding error: ";
    const ENDS: usize = 300;
    if let Some(at) = message.find(STRICT) {
        return message
            .get(at + STRICT.len()..)
            .unwrap_or(message)
            .to_owned();
    }
    let count = message.chars().count();
    if count <= 2 * ENDS {
        return message.to_owned();
    }
    let head: String = message.chars().take(ENDS).collect();
    let tail: String = message.chars().skip(count - ENDS).collect();
    format!("{head} … {tail}")
}

/// The object as earlier steps of the plan leave it, without what the server keeps of its own; and
/// whether they write to it.
pub fn predicted(
    object: &ObjectRef,
    now: &Value,
    prior: Prior<'_>,
) -> Result<(Value, bool), Refusal> {
    if earlier(prior, object) == Some(Earlier::Deletes) {
        return Err(Refusal::new(
            format!("an earlier step of this runbook deletes {object}"),
            "make another runbook of what comes after that",
        ));
    }
    let mut state = bare(now);
    let mut written = false;
    for fields in written_by(object, prior) {
        written = true;
        state = with_changes(&state, fields).map_err(|e| {
            Refusal::new(
                format!("what earlier steps leave of {object} cannot be told: {e}"),
                "make another runbook of what comes after them",
            )
        })?;
    }
    Ok((state, written))
}

fn written_by<'a>(
    object: &'a ObjectRef,
    prior: Prior<'a>,
) -> impl Iterator<Item = &'a Vec<FieldChange>> {
    prior.effects().filter_map(move |effect| match effect {
        Effect::SetFields { object: of, fields } if of.same(object) => Some(fields),
        _ => None,
    })
}

impl Fields {
    /// Ready to be written, with how that can be taken back.
    pub fn compiled(self, undo: UndoClass) -> Compiled {
        Compiled {
            details: self.details(),
            effects: vec![self.effect()],
            blobs: Blobs::default(),
            follows: self.follows.into_iter().collect(),
            undo,
            predicted: self
                .predicted
                .then(|| "an earlier step changes the object first".to_owned()),
            heals: None,
        }
    }

    /// What changes, where the API server has tried it on the object as it is `now`.
    pub fn decide(
        object: &ObjectRef,
        now: &Value,
        tried: &Value,
        says: Says<'_>,
        prior: Prior<'_>,
    ) -> Result<Self, Refusal> {
        let (start, predicted) = predicted(object, now, prior)?;
        let mut end = bare(tried);
        for change in written_by(object, prior).flatten() {
            match stance(says, &change.path) {
                Stance::Named => {}
                Stance::Silent => {
                    let kept = FieldChange {
                        path: change.path.clone(),
                        before: change.path.read(&end).cloned(),
                        after: change.path.read(&start).cloned(),
                    };
                    end = with_changes(&end, std::slice::from_ref(&kept))
                        .map_err(|_| mixed(&change.path))?;
                }
                Stance::Mixed => return Err(mixed(&change.path)),
            }
        }
        Ok(Self::between(object, now, &start, &end, predicted))
    }

    /// What turns `start` into `end`; `now` tells who else keeps it.
    pub fn between(
        object: &ObjectRef,
        now: &Value,
        start: &Value,
        end: &Value,
        predicted: bool,
    ) -> Self {
        let changes = difference(start, end);
        let mut fields = Self {
            object: object.clone(),
            keepers: keepers(now, &changes),
            changes,
            predicted,
            follows: None,
            ending: now.pointer("/metadata/deletionTimestamp").is_some(),
        };
        if fields.effect().rolls_pods() {
            fields.follows = Some(match stands_still(end) {
                Some(why) => {
                    format!("the pods of {object} are not replaced by themselves, as {why}")
                }
                None => format!("the controller of {object} replaces its pods"),
            });
        }
        fields
    }

    pub fn effect(&self) -> Effect {
        Effect::SetFields {
            object: self.object.clone(),
            fields: self.changes.clone(),
        }
    }

    /// What a person reads about it.
    pub fn details(&self) -> Vec<Detail> {
        let mut details: Vec<Detail> = self
            .changes
            .iter()
            .map(|change| detail(&self.object, change))
            .collect();
        details.extend(source_lines(&self.object, &self.changes, &self.keepers));
        details
    }
}

fn mixed(path: &FieldPath) -> Refusal {
    Refusal::new(
        format!("an earlier step of this runbook writes {path} as well"),
        "make one step of the two",
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Stance {
    /// The step gives the field's value.
    Named,
    /// It says nothing of the field.
    Silent,
    /// It says something of a part of it, or of what it is a part of.
    Mixed,
}

fn stance(says: Says<'_>, path: &FieldPath) -> Stance {
    match says {
        Says::Merge(map) => in_map(map, path.segments(), true),
        Says::Map(map) => in_map(map, path.segments(), false),
        Says::Pointers(pointers) => {
            // Positions in lists are not known by name.
            let keys: Vec<&str> = path
                .segments()
                .iter()
                .map_while(|segment| match segment {
                    Segment::Key(key) => Some(key.as_str()),
                    Segment::Item { .. } => None,
                })
                .collect();
            let touches = |pointer: &String| {
                let parts = pointer.split('/').skip(1);
                parts
                    .zip(&keys)
                    .all(|(part, key)| part.replace("~1", "/").replace("~0", "~") == **key)
            };
            match pointers.iter().any(touches) {
                true => Stance::Mixed,
                false => Stance::Silent,
            }
        }
    }
}

/// `replaces`: its lists stand for all of theirs. Where they are merged, what the API server made of one
/// rests on the list before the earlier steps.
fn in_map(at: &Value, path: &[Segment], replaces: bool) -> Stance {
    let Some((first, rest)) = path.split_first() else {
        return match at {
            Value::Object(_) => Stance::Mixed,
            Value::Array(_) if !replaces => Stance::Mixed,
            _ => Stance::Named,
        };
    };
    match (first, at) {
        (Segment::Key(key), Value::Object(map)) => match map.get(key) {
            Some(below) => in_map(below, rest, replaces),
            // A strategic patch has directives about its neighbours, such as `$deleteFromPrimitiveList`.
            None if !replaces && map.keys().any(|key| key.starts_with('$')) => Stance::Mixed,
            None => Stance::Silent,
        },
        _ => Stance::Mixed,
    }
}

fn detail(object: &ObjectRef, change: &FieldChange) -> Detail {
    let subject = format!("{object}: {}", change.path);
    let long = |value: &Option<Value>| match value {
        None => false,
        Some(Value::String(text)) => text.contains('\n'),
        Some(value) => value.is_object() || value.is_array(),
    };
    if !long(&change.before) && !long(&change.after) {
        let text = |value: &Option<Value>| value.as_ref().map(|value| value_text(Some(value)));
        return Detail {
            subject,
            before: text(&change.before),
            after: text(&change.after),
            ..Detail::default()
        };
    }
    let text = |value: &Option<Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => serde_yaml::to_string(value).unwrap_or_default(),
    };
    Detail {
        subject,
        lines: line_difference(&text(&change.before), &text(&change.after)),
        ..Detail::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, step};
    use crate::model::{PlannedStep, Scope};
    use crate::transport::Conflict;
    use serde_json::json;

    fn object() -> ObjectRef {
        ObjectRef::for_test("apps/v1", "Deployment", "n", "d")
    }

    fn deployment(replicas: i64, image: &str) -> Value {
        json!({
            "metadata": {"name": "d", "uid": "u", "resourceVersion": replicas.to_string()},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
            "status": {"x": replicas},
        })
    }

    fn replicas() -> FieldPath {
        FieldPath::root().key("spec").key("replicas")
    }

    fn scaled(before: i64, after: i64) -> PlannedStep {
        let effects = vec![Effect::SetFields {
            object: object(),
            fields: vec![FieldChange {
                path: replicas(),
                before: Some(json!(before)),
                after: Some(json!(after)),
            }],
        }];
        step("scale", Scope::Run, change(effects))
    }

    fn decide(tried: &Value, says: &Value, steps: &[PlannedStep]) -> Result<Vec<String>, Refusal> {
        let now = deployment(1, "a");
        let prior = Prior { steps };
        let fields = Fields::decide(&object(), &now, tried, Says::Map(says), prior)?;
        let shown = |c: &FieldChange| {
            format!(
                "{} {} {}",
                c.path,
                value_text(c.before.as_ref()),
                value_text(c.after.as_ref())
            )
        };
        Ok(fields.changes.iter().map(shown).collect())
    }

    #[test]
    fn what_the_server_makes_of_it_is_what_changes() {
        let changed = decide(&deployment(2, "b"), &json!({}), &[]).unwrap();
        assert_eq!(
            changed,
            [
                "spec.replicas 1 2",
                "spec.template.spec.containers[name=c].image a b"
            ]
        );
        assert!(
            decide(&deployment(1, "a"), &json!({}), &[])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_earlier_steps_write_is_where_it_begins() {
        // Scaled to 0 before, and back to 1 by this: on the object as it is now, nothing changes.
        let wanted = json!({"spec": {"replicas": 1}});
        assert_eq!(
            decide(&deployment(1, "a"), &wanted, &[scaled(1, 0)]).unwrap(),
            ["spec.replicas 0 1"]
        );
        // The step is silent about what the earlier one wrote.
        let wanted = json!({"spec": {"template": {}}});
        assert_eq!(
            decide(&deployment(1, "b"), &wanted, &[scaled(1, 0)]).unwrap(),
            ["spec.template.spec.containers[name=c].image a b"]
        );
        for wanted in [json!({"spec": null}), json!({"spec": {"replicas": {}}})] {
            assert!(decide(&deployment(1, "b"), &wanted, &[scaled(1, 0)]).is_err());
        }
        let drifted = decide(&deployment(1, "b"), &json!({}), &[scaled(7, 0)]);
        assert!(drifted.is_err());
    }

    /// Tried on the object as it is, a list that is merged lacks what the earlier step put there.
    #[test]
    fn only_a_merge_patch_gives_all_of_a_list() {
        let list = FieldPath::root().key("spec").key("list");
        let says = json!({"spec": {"list": [{"name": "b"}]}});
        assert_eq!(stance(Says::Merge(&says), &list), Stance::Named);
        assert_eq!(stance(Says::Map(&says), &list), Stance::Mixed);
        let none = json!({"spec": {"list": null}});
        assert_eq!(stance(Says::Map(&none), &list), Stance::Named);
        let directive = json!({"spec": {"$deleteFromPrimitiveList/list": ["x"]}});
        assert_eq!(stance(Says::Map(&directive), &list), Stance::Mixed);
        let elsewhere = json!({"spec": {"other": []}});
        assert_eq!(stance(Says::Map(&elsewhere), &list), Stance::Silent);
    }

    #[test]
    fn a_json_patch_is_silent_only_where_its_pointers_lead_elsewhere() {
        let stance = |pointer: &str| stance(Says::Pointers(&[pointer.to_owned()]), &replicas());
        assert_eq!(stance("/spec/replicas"), Stance::Mixed);
        assert_eq!(stance("/spec"), Stance::Mixed);
        assert_eq!(stance("/spec/template/x"), Stance::Silent);
        assert_eq!(stance("/metadata/labels/spec~1replicas"), Stance::Silent);
    }

    #[test]
    fn a_rejection_says_what_to_do_next() {
        let rejection = Rejection {
            message: "denied".into(),
            conflicts: vec![Conflict {
                manager: "argocd".into(),
                field: "spec.replicas".into(),
            }],
        };
        let refusal = Refusal::rejected(&object(), &rejection);
        insta::assert_snapshot!(format!("{}; {}", refusal.why, refusal.next.unwrap()), @"others keep fields of Deployment n/d: spec.replicas is kept by `argocd`; change it where they have it from, or take it over with `force: true`");
        let rejection = Rejection {
            message: "no x".into(),
            conflicts: vec![],
        };
        let refusal = Refusal::rejected(&object(), &rejection);
        insta::assert_snapshot!(refusal.why, @"Deployment n/d: the API server would not take it: no x");
        let long = format!(
            "Invalid value: {}: strict decoding error: unknown field \"a\"",
            "x".repeat(900)
        );
        assert_eq!(reason(&long), "unknown field \"a\"");
        assert_eq!(reason(&"ä".repeat(900)).chars().count(), 603);
    }

    #[test]
    fn long_values_are_shown_line_by_line() {
        let change = |before: Value, after: Value| FieldChange {
            path: FieldPath::root().key("data").key("a.conf"),
            before: Some(before),
            after: Some(after),
        };
        let short = detail(&object(), &change(json!("1"), json!(2)));
        assert_eq!(
            (short.before.as_deref(), short.after.as_deref()),
            (Some("1"), Some("2"))
        );
        let long = detail(&object(), &change(json!("a\nb\n"), json!("a\nc\n")));
        assert_eq!(long.lines, ["  a", "- b", "+ c"]);
        let list = detail(&object(), &change(json!(["x"]), json!(["x", "y"])));
        assert_eq!(list.lines, ["  - x", "+ - y"]);
    }
}
