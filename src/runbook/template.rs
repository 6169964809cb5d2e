//! Templates in arguments: `{{ params.x }}`. They are rendered after the YAML was parsed, so a value
//! cannot become structure, and what comes out is never rendered again.

use super::beside::{SOURCE, TEMPLATE, VARS};
use super::tags::{self, What};
use handlebars::Handlebars;
use serde_json::{Map, Value};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    #[error("the template `{template}` is not well-formed: {why}")]
    Syntax { template: String, why: String },
    #[error("the template `{template}` names something that is not there: {why}")]
    Missing { template: String, why: String },
    #[error("the template `{template}` gives no text: {why}")]
    NoText { template: String, why: String },
}

impl TemplateError {
    /// Nobody reads a whole file in a message.
    fn in_file(mut self, source: &str) -> Self {
        match &mut self {
            Self::Syntax { template, .. }
            | Self::Missing { template, .. }
            | Self::NoText { template, .. } => source.clone_into(template),
        }
        self
    }
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

/// What a kind says of its arguments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rendering {
    /// Those that are literal.
    pub literal: &'static [&'static str],
    /// Whether there is a template from a file beside the runbook among them.
    pub beside: bool,
}

/// Renders the arguments of a step, but for those that are literal: scripts. A value in them would be a
/// command in no time, so values reach scripts by `args` and `env`. A template from a file comes last: it
/// knows the others' `vars`.
pub fn render_arguments(
    rendering: Rendering,
    with: &Value,
    names: &Value,
) -> Result<Value, TemplateError> {
    let Value::Object(map) = with else {
        return render(with, names);
    };
    let from_file = |key: &str| rendering.beside && key == TEMPLATE;
    let mut rendered = map
        .iter()
        .filter(|(key, _)| !from_file(key))
        .map(
            |(key, item)| match item.is_string() && rendering.literal.contains(&key.as_str()) {
                true => Ok((key.clone(), item.clone())),
                false => Ok((key.clone(), render(item, names)?)),
            },
        )
        .collect::<Result<Map<_, _>, _>>()?;
    if let Some(text) = map.get(TEMPLATE).and_then(Value::as_str)
        && rendering.beside
    {
        let source = map.get(SOURCE).and_then(Value::as_str).unwrap_or_default();
        let mut names = names.clone();
        if let Some(names) = names.as_object_mut() {
            let vars = rendered
                .get(VARS)
                .cloned()
                .unwrap_or_else(|| Map::new().into());
            names.insert(VARS.to_owned(), vars);
        }
        let text = render_file(text, &names).map_err(|e| e.in_file(source))?;
        rendered.insert(TEMPLATE.to_owned(), text.into());
    }
    Ok(Value::Object(rendered))
}

/// A file's text is text, also where it is nothing but one name.
fn render_file(text: &str, names: &Value) -> Result<String, TemplateError> {
    match text.contains("{{") {
        true => render_mixed(text, names),
        false => Ok(text.to_owned()),
    }
}

/// The dotted names that stand in the templates of a value.
pub fn names_in_templates(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => tags::read(text)
            .0
            .into_iter()
            .map(|used| used.name)
            .collect(),
        Value::Array(items) => items.iter().flat_map(names_in_templates).collect(),
        Value::Object(map) => map.values().flat_map(names_in_templates).collect(),
        _ => Vec::new(),
    }
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
        return find(names, path)
            .cloned()
            .ok_or_else(|| TemplateError::Missing {
                template: text.to_owned(),
                why: format!("there is no `{path}`"),
            });
    }
    render_mixed(text, names).map(Value::from)
}

fn render_mixed(text: &str, names: &Value) -> Result<String, TemplateError> {
    check(&Value::from(text))?;
    let missing = |why: String| TemplateError::Missing {
        template: text.to_owned(),
        why,
    };
    let no_text = |why: String| TemplateError::NoText {
        template: text.to_owned(),
        why,
    };
    let (uses, _) = tags::read(text);
    for used in &uses {
        let (name, found) = (&used.name, find(names, &used.name));
        // The engine takes what is missing in a block for false. An item may lack what others have.
        let asked = matches!(used.what, What::Truth | What::Items);
        if asked && found.is_none() && !name.starts_with("item.") {
            return Err(missing(format!("there is no `{name}`")));
        }
        let put = match &used.what {
            What::Value => found.into_iter().collect(),
            What::OfItem(below) if used.put => items(found, below),
            _ => Vec::new(),
        };
        if put.iter().any(|value| value.is_array()) {
            let written = &used.written;
            return Err(no_text(format!(
                "`{written}` is a list: use {{{{#each {written}}}}}"
            )));
        }
        if put.iter().any(|value| value.is_object()) {
            return Err(no_text(format!("`{}` is a map", used.written)));
        }
    }
    // Without them, what is null is an error where it would be put into the text, and nowhere else.
    let given = without_nulls(names);
    engine().render_template(text, &given).map_err(|e| {
        let put = || uses.iter().filter(|used| used.what == What::Value);
        if let Some(used) = put().find(|used| find(names, &used.name).is_none()) {
            return missing(format!("there is no `{}`", used.name));
        }
        match put().find(|used| find(names, &used.name).is_some_and(Value::is_null)) {
            Some(used) => {
                let name = &used.written;
                no_text(format!("`{name}` is not given: use {{{{#if {name}}}}}"))
            }
            None => missing(e.reason().to_string()),
        }
    })
}

fn find<'v>(names: &'v Value, dotted: &str) -> Option<&'v Value> {
    dotted.split('.').try_fold(names, |at, key| at.get(key))
}

/// What stands below each item of a list.
fn items<'v>(list: Option<&'v Value>, below: &str) -> Vec<&'v Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    match below {
        "" => items.collect(),
        below => items.filter_map(|item| find(item, below)).collect(),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, item)| !item.is_null())
            .map(|(key, item)| (key.clone(), without_nulls(item)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
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
    fn a_template_from_a_file_is_text_and_knows_vars() {
        let of_file = Rendering {
            literal: &[],
            beside: true,
        };
        let rendered = |with: Value| {
            let rendered = render_arguments(of_file, &with, &names());
            rendered
                .map(|with| with["template"].clone())
                .map_err(|e| e.to_string())
        };
        let with = |template: &str| {
            json!({"source": "a.hbs", "template": template, "vars": {
                "all": ["a\n", "{{ params.text }}"], "n": "{{ params.n }}",
            }})
        };
        for (template, text) in [
            ("{{ params.n }}", "3"),
            ("no { template }\r\n", "no { template }\r\n"),
            ("\\{{ a }}", "{{ a }}"),
            // What stands alone on its line leaves no line.
            (
                "a\n{{#each vars.all}}\n- {{ this }}\n{{/each}}\nb",
                "a\n- a\n\n- <a & {{ params.n }}>\nb",
            ),
            ("{{ vars.n }} at {{ target.node }}", "3 at node02"),
        ] {
            assert_eq!(rendered(with(template)), Ok(json!(text)), "{template}");
        }
        let wrong = ["{{ vars.x }}", "{{ vars.all }}", "a\n{{#if}}\n"];
        let wrong = wrong.map(|template| rendered(with(template)).unwrap_err());
        insta::assert_snapshot!(wrong.join("\n"), @"
        the template `a.hbs` names something that is not there: there is no `vars.x`
        the template `a.hbs` gives no text: `vars.all` is a list: use {{#each vars.all}}
        the template `a.hbs` is not well-formed: invalid handlebars syntax: expected escape, expression, html_expression, decorator_expression, partial_expression, invert_tag, invert_chain_tag, helper_block_start, helper_block_end, decorator_block_start, partial_block_start, raw_block_start, hbs_comment, or hbs_comment_compact
        ");
        // Of other kinds, it is an argument like any other.
        let all = json!({"template": "{{ params.n }}"});
        let rendered = render_arguments(Rendering::default(), &all, &names());
        assert_eq!(rendered, Ok(json!({"template": 3})));
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

    #[test]
    fn what_is_missing_in_a_block_is_an_error() {
        let names =
            json!({"params": {"on": true, "l": [{"a": 1}, {}]}, "item": {"a": 1}, "steps": {}});
        for bad in [
            "{{#if params.x}}a{{else}}b{{/if}}",
            "{{#unless steps.a.changed}}a{{/unless}}",
            "{{#each params.x}}a{{/each}}",
            "{{#if params.on}}{{#if steps.a.changed}}a{{/if}}{{/if}}",
            "{{#each params.l}}{{#if @root.params.x}}a{{/if}}{{/each}}",
        ] {
            let rendered = render(&json!(bad), &names);
            assert!(
                matches!(rendered, Err(TemplateError::Missing { .. })),
                "{bad}"
            );
        }
        for (good, text) in [
            ("{{#if item.b}}a{{else}}b{{/if}}", "b"),
            (
                "{{#each params.l}}{{#if this.a}}a{{else}}b{{/if}}{{/each}}",
                "ab",
            ),
            // What is not put into the text need not be known.
            ("{{#unless params.on}}{{ steps.a.output }}{{/unless}}.", "."),
        ] {
            assert_eq!(render(&json!(good), &names), Ok(json!(text)), "{good}");
        }
    }

    #[test]
    fn what_is_no_text_does_not_become_text() {
        let names = json!({"params": {"st": null, "l": ["a", "b"], "m": {"k": 1}, "of": [{"k": [1], "n": 2}]}});
        let rendered = |text: &str| render(&json!(text), &names).map_err(|e| e.to_string());
        insta::assert_snapshot!(rendered("a {{ params.st }}").unwrap_err(), @"the template `a {{ params.st }}` gives no text: `params.st` is not given: use {{#if params.st}}");
        insta::assert_snapshot!(rendered("a {{ params.l }}").unwrap_err(), @"the template `a {{ params.l }}` gives no text: `params.l` is a list: use {{#each params.l}}");
        insta::assert_snapshot!(rendered("{{{ params.m }}}").unwrap_err(), @"the template `{{{ params.m }}}` gives no text: `params.m` is a map");
        assert!(rendered("{{#each params.of}}{{this}}{{/each}}").is_err());
        assert!(rendered("{{#each params.of}}{{this.k}}{{/each}}").is_err());
        for (good, value) in [
            (
                "{{#if params.st}}a {{ params.st }}{{else}}none{{/if}}",
                json!("none"),
            ),
            ("{{ params.st }}", json!(null)),
            ("{{ params.l }}", json!(["a", "b"])),
            ("{{#each params.l}}{{this}} {{/each}}", json!("a b ")),
            (
                "{{#each params.of}}{{#if this.k}}{{this.n}}{{/if}}{{/each}}",
                json!("2"),
            ),
        ] {
            assert_eq!(rendered(good), Ok(value), "{good}");
        }
    }
}
