//! How an object stands, for conditions over it and for people.

use super::kube_object::Of;
use crate::model::{ObjectRef, Settled, gone, seen_by_controller};
use crate::runbook::{Condition, Record, Type};
use serde_json::{Value, json};

/// Parses a condition over `object` and `exists`.
pub fn condition(source: &str) -> Result<Condition, String> {
    let names = Record::of(&[("exists", Type::Bool), ("object", Type::Any)]);
    Condition::parse(source, &names).map_err(|e| format!("`that`: {e}"))
}

/// Whether a condition holds of an object; where there is none, `object` is empty.
pub fn holds(of: &Of, that: &Condition, now: Option<&Value>) -> Result<bool, String> {
    let object = now.cloned().unwrap_or_else(|| json!({}));
    let held = that.holds(&json!({"exists": now.is_some(), "object": object}));
    // The reason may name a value.
    held.map_err(|why| match of.is_secret() {
        true => format!("`{}` cannot be decided of {of}", that.source()),
        false => why,
    })
}

/// An object's condition of a type, as its controllers have written it.
pub fn has_condition(of: &Of, now: &Value, kind: &str, status: &str) -> Settled {
    let conditions = now
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let is = |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some(kind);
    let Some(condition) = conditions.into_iter().find(is) else {
        return Settled::NotYet(format!("{of} has no condition {kind} yet"));
    };
    let text = |key: &str| condition.get(key).and_then(Value::as_str);
    if text("status") != Some(status) {
        return Settled::NotYet(format!("{of}: {}", words(kind, condition)));
    }
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    let generation = number(now.pointer("/metadata/generation"));
    // What it says is of an earlier state of the object.
    let stale = match number(condition.get("observedGeneration")) {
        Some(seen) => generation.is_some_and(|generation| seen < generation),
        None => {
            now.pointer("/status/observedGeneration").is_some()
                && seen_by_controller(now) != Settled::Yes
        }
    };
    match stale {
        true => Settled::NotYet(format!("{of}: its controller has not seen its change yet")),
        false => Settled::Yes,
    }
}

fn words(kind: &str, condition: &Value) -> String {
    let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or("");
    let mut words = format!("{kind} is {}", text("status"));
    let why: Vec<&str> = [text("reason"), text("message")]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    if !why.is_empty() {
        words.push_str(&format!(" ({})", why.join(": ")));
    }
    words
}

/// How an object stands, in words. The content of a Secret is not told.
pub fn stands(of: &Of, object: &ObjectRef, now: Option<&Value>) -> String {
    let Some(now) = now else {
        return format!("there is no {of}");
    };
    if let Settled::NotYet(what) = gone(object, now) {
        return what;
    }
    let phase = now.pointer("/status/phase").and_then(Value::as_str);
    let conditions = now.pointer("/status/conditions").and_then(Value::as_array);
    let mut parts: Vec<String> = phase.map(|p| format!("it is {p}")).into_iter().collect();
    parts.extend(conditions.into_iter().flatten().take(6).map(|condition| {
        let kind = condition.get("type").and_then(Value::as_str);
        words(kind.unwrap_or("?"), condition)
    }));
    match parts.as_slice() {
        [] => format!("{of} is there"),
        parts => format!("{of}: {}", parts.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> Of {
        Of {
            api_version: "v1".into(),
            kind: "Node".into(),
            namespace: None,
            name: "node02".into(),
        }
    }

    fn object() -> ObjectRef {
        ObjectRef::node_for_test("node02")
    }

    fn node(status: &str, generation: i64, observed: Option<i64>) -> Value {
        let mut node = json!({"metadata": {"uid": "u", "generation": generation}, "status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network"}]}});
        if let Some(observed) = observed {
            node["status"]["observedGeneration"] = json!(observed);
        }
        node
    }

    #[test]
    fn a_condition_counts_when_its_controller_has_seen_the_object_as_it_is() {
        let ready = |now: &Value| match has_condition(&of(), now, "Ready", "True") {
            Settled::Yes => "yes".to_owned(),
            Settled::NotYet(what) => what,
        };
        assert_eq!(ready(&node("True", 2, None)), "yes");
        assert_eq!(ready(&node("True", 2, Some(2))), "yes");
        insta::assert_snapshot!(ready(&node("True", 2, Some(1))), @"Node node02: its controller has not seen its change yet");
        insta::assert_snapshot!(ready(&node("False", 1, None)), @"Node node02: Ready is False (KubeletNotReady: no network)");
        insta::assert_snapshot!(ready(&json!({})), @"Node node02 has no condition Ready yet");
    }

    #[test]
    fn conditions_are_over_the_object_and_whether_it_is_there() {
        let holds =
            |source: &str, now: Option<&Value>| holds(&of(), &condition(source).unwrap(), now);
        let now = node("True", 1, None);
        assert_eq!(holds("exists", Some(&now)), Ok(true));
        assert_eq!(holds("!exists", None), Ok(true));
        assert_eq!(
            holds("exists && object.metadata.uid == 'u'", None),
            Ok(false)
        );
        assert_eq!(
            holds(
                "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
                Some(&now)
            ),
            Ok(true)
        );
        assert!(holds("object.spec.x == 1", Some(&now)).is_err());
        assert!(condition("objct.spec == 1").is_err());
    }

    #[test]
    fn how_it_stands_is_told_without_its_content() {
        let secret = json!({"metadata": {"uid": "u"}, "data": {"password": "aHVudGVyMg=="}});
        assert_eq!(
            stands(&of(), &object(), Some(&secret)),
            "Node node02 is there"
        );
        assert_eq!(stands(&of(), &object(), None), "there is no Node node02");
        let now = node("False", 1, None);
        insta::assert_snapshot!(stands(&of(), &object(), Some(&now)), @"Node node02: Ready is False (KubeletNotReady: no network)");
    }
}
