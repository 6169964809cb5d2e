//! Templates in arguments: `{{ params.x }}`. They are rendered after the YAML was parsed, so a value
//! cannot become structure, and what comes out is never rendered again.

use handlebars::Handlebars;
use serde_json::Value;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    #[error("the template `{template}` is not well-formed: {why}")]
    Syntax { template: String, why: String },
    #[error("the template `{template}` names something that is not there: {why}")]
    Missing { template: String, why: String },
}

fn engine() -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    // Names alone, and `if`, `unless` and `each`.
    for helper in [
        "log", "lookup", "with", "raw", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not",
        "len",
    ] {
        engine.unregister_helper(helper);
    }
    engine
}

/// Renders every string in a value.
pub fn render(value: &Value, names: &Value) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) if text.contains("{{") => render_text(text, names),
        Value::Array(items) => items.iter().map(|item| render(item, names)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| Ok((key.clone(), render(item, names)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

/// Renders the arguments of a step, but for those that are literal: scripts. A value in them would be a
/// command in no time, so values reach scripts by `args` and `env`.
pub fn render_arguments(
    literal: &[&str],
    with: &Value,
    names: &Value,
) -> Result<Value, TemplateError> {
    let Value::Object(map) = with else {
        return render(with, names);
    };
    map.iter()
        .map(
            |(key, item)| match item.is_string() && literal.contains(&key.as_str()) {
                true => Ok((key.clone(), item.clone())),
                false => Ok((key.clone(), render(item, names)?)),
            },
        )
        .collect::<Result<_, _>>()
        .map(Value::Object)
}

/// What stands in the place of a name in a script. Other programs have templates of this form too;
/// only what would be one of ours is a mistake.
pub(super) fn name_in_script(script: &str) -> Option<&str> {
    let names = ["params", "target", "steps", "facts", "item", "run"];
    let rest = script.split("{{").skip(1).find(|rest| {
        let rest = rest.trim_start_matches(['{', '~', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let whole = word == "item" && after.trim_start().starts_with(['}', '~']);
        names.contains(&word) && (after.starts_with('.') || whole)
    })?;
    let inner = rest.split("}}").next().unwrap_or(rest);
    Some(inner.trim_matches(['{', '~', ' ']))
}

/// Checks the form of every template in a value.
pub fn check(value: &Value) -> Result<(), TemplateError> {
    match value {
        Value::String(text) if text.contains("{{") => handlebars::Template::compile(text)
            .map(|_| ())
            .map_err(|e| TemplateError::Syntax {
                template: text.clone(),
                why: e.reason().to_string(),
            }),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(map) => map.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// A template that is the whole value keeps the type of what it names; mixed text gives a string.
fn render_text(text: &str, names: &Value) -> Result<Value, TemplateError> {
    if let Some(path) = whole(text) {
        let found = path.split('.').try_fold(names, |at, key| at.get(key));
        return found.cloned().ok_or_else(|| TemplateError::Missing {
            template: text.to_owned(),
            why: format!("there is no `{path}`"),
        });
    }
    check(&Value::from(text))?;
    engine()
        .render_template(text, names)
        .map(Value::from)
        .map_err(|e| TemplateError::Missing {
            template: text.to_owned(),
            why: e.reason().to_string(),
        })
}

/// The name in a template that is nothing but one name.
pub(super) fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Value {
        json!({"params": {"n": 3, "text": "<a & {{ params.n }}>"}, "target": {"node": "node02"}})
    }

    fn rendered(value: Value) -> Value {
        render(&value, &names()).unwrap()
    }

    #[test]
    fn a_whole_template_keeps_its_type() {
        assert_eq!(rendered(json!("{{ params.n }}")), json!(3));
        assert_eq!(rendered(json!("{{params.n}} times")), json!("3 times"));
        assert_eq!(
            rendered(json!({"a": ["{{ target.node }}", 1]})),
            json!({"a": ["node02", 1]})
        );
    }

    #[test]
    fn nothing_is_escaped_and_nothing_rendered_twice() {
        let text = json!("<a & {{ params.n }}>");
        assert_eq!(rendered(json!("{{ params.text }}")), text);
        assert_eq!(
            rendered(json!("x{{ params.text }}")),
            json!("x<a & {{ params.n }}>")
        );
    }

    #[test]
    fn what_is_missing_or_malformed_is_an_error() {
        for bad in ["{{ params.x }}", "a {{ params.x }}", "{{ nothing }}"] {
            assert!(
                matches!(
                    render(&json!(bad), &names()),
                    Err(TemplateError::Missing { .. })
                ),
                "{bad}"
            );
        }
        assert!(matches!(
            check(&json!(["{{ params.x"])),
            Err(TemplateError::Syntax { .. })
        ));
        assert!(matches!(
            render(&json!("{{#if}}"), &names()),
            Err(TemplateError::Syntax { .. } | TemplateError::Missing { .. })
        ));
    }
}
