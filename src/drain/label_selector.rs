//! Label selectors of Kubernetes, as people write them and as objects have them (apimachinery v0.34,
//! labels/selector.go).

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    /// Also where there is no such label.
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// All of its requirements must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSelector(String);

impl fmt::Display for UnreadableSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no label selector, such as `app=web,tier in (a, b),!debug`",
            self.0
        )
    }
}

impl LabelSelector {
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => !labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
        })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of an object's `matchLabels` and `matchExpressions`; `None` where one is of a form that is not known.
    pub fn of(raw: &Value) -> Option<Self> {
        let mut all = Vec::new();
        if let Some(labels) = raw.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                all.push(Requirement::In(
                    key.clone(),
                    vec![value.as_str()?.to_owned()],
                ));
            }
        }
        let expressions = raw.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let key = expression.get("key")?.as_str()?.to_owned();
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten();
            let values: Vec<String> = values
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<_>>()?;
            all.push(match expression.get("operator")?.as_str()? {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => return None,
            });
        }
        Some(Self(all))
    }
}

impl FromStr for LabelSelector {
    type Err = UnreadableSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UnreadableSelector(text.to_owned());
        let mut all = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (requirement, after) = requirement(rest).ok_or_else(wrong)?;
            all.push(requirement);
            rest = match after.strip_prefix(',') {
                Some(next) if !next.trim().is_empty() => next.trim_start(),
                None if after.is_empty() => after,
                _ => return Err(wrong()),
            };
        }
        Ok(Self(all))
    }
}

/// The first requirement of a text, and what comes after it.
fn requirement(text: &str) -> Option<(Requirement, &str)> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = word(rest.trim_start())?;
        return Some((Requirement::Absent(key), rest));
    }
    let (key, rest) = word(text)?;
    for (sign, equal) in [("==", true), ("!=", false), ("=", true)] {
        if let Some(after) = rest.strip_prefix(sign) {
            let after = after.trim_start();
            let (value, after) = match after.is_empty() || after.starts_with(',') {
                true => (String::new(), after),
                false => word(after)?,
            };
            let values = vec![value];
            return Some(match equal {
                true => (Requirement::In(key, values), after),
                false => (Requirement::NotIn(key, values), after),
            });
        }
    }
    for (name, within) in [("in", true), ("notin", false)] {
        let after = rest.strip_prefix(name).map(str::trim_start);
        if let Some(inside) = after.and_then(|after| after.strip_prefix('(')) {
            let (list, after) = inside.split_once(')')?;
            let values: Vec<String> = list.split(',').map(|v| v.trim().to_owned()).collect();
            if !values.iter().all(|v| v.is_empty() || is_word(v)) {
                return None;
            }
            let after = after.trim_start();
            return Some(match within {
                true => (Requirement::In(key, values), after),
                false => (Requirement::NotIn(key, values), after),
            });
        }
    }
    Some((Requirement::Exists(key), rest))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./".contains(c)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_part)
}

fn word(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    is_word(word).then(|| (word.to_owned(), rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_people_write() {
        let web = labels(&[("app", "web"), ("k8s.io/tier", "a"), ("empty", "")]);
        for (text, selects) in [
            ("", true),
            ("app=web", true),
            ("app == web", true),
            ("app=db", false),
            ("app!=db", true),
            ("app!=web", false),
            ("none!=x", true),
            ("app in (web, db)", true),
            ("app in (db)", false),
            ("app notin (db),k8s.io/tier", true),
            ("none notin (x)", true),
            ("app notin (web)", false),
            ("none", false),
            ("!none", true),
            ("!app", false),
            ("empty=", true),
            ("app=", false),
            ("inside", false),
            ("app=web,!none , k8s.io/tier=a", true),
        ] {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(selector.selects(&web), selects, "{text}");
        }
        for text in [
            "=",
            "app=web,",
            ",",
            "app in web",
            "app in (web",
            "a b",
            "app=we b",
            "!",
            "app=ä",
            "a,,b",
        ] {
            assert!(text.parse::<LabelSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_objects_have() {
        let web = labels(&[("app", "web")]);
        let selects = |raw: Value| LabelSelector::of(&raw).map(|s| s.selects(&web));
        let by = |operator: &str, values: Value| {
            selects(
                json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}),
            )
        };
        assert_eq!(selects(json!({})), Some(true));
        assert_eq!(selects(json!({"matchLabels": {"app": "web"}})), Some(true));
        assert_eq!(selects(json!({"matchLabels": {"app": "db"}})), Some(false));
        assert_eq!(by("In", json!(["web"])), Some(true));
        assert_eq!(by("NotIn", json!(["web"])), Some(false));
        assert_eq!(by("Exists", json!([])), Some(true));
        assert_eq!(by("DoesNotExist", json!([])), Some(false));
        assert_eq!(by("Near", json!([])), None);
    }
}
