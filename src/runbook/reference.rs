//! The reference of the language, in Markdown: made of the types that the reader checks by.

use super::file::File;
use super::kind::{Kind, Kinds, Type};
use super::language::all_kinds;
use super::shape::Shape;
use serde_json::Value;

/// How deep maps within arguments are shown.
const DEEPEST: usize = 3;
/// What stands within texts, of which no type knows.
const LANGUAGE: &str = include_str!("reference.md");

/// All that a runbook can say.
pub fn reference(kinds: &Kinds) -> String {
    let file = schemars::schema_for!(File).to_value();
    let mut text = String::from(
        "# Reference\n\n\
         All that a runbook can say. It is made from the program itself; in the tables, `*` marks what \
         must be there.\n",
    );
    section(&mut text, "## The file", &file, &file, 0);
    for (title, name) in [
        ("## Parameters", "ParamText"),
        ("## Steps", "StepText"),
        ("### `become`", "Become"),
        ("### `retry`", "RetryText"),
        ("### `undo`", "UndoText"),
    ] {
        if let Some(schema) = file.pointer(&format!("/$defs/{name}")) {
            section(&mut text, title, &file, schema, 0);
        }
    }
    text.push_str(LANGUAGE);
    facts(&mut text);
    text.push_str("\n## Kinds of steps\n\nThe keys of a map stand below it, as `of.name`.\n");
    for kind in &all_kinds(kinds).0 {
        let schema = kind.schema.as_value();
        let title = format!("### `{}`", kind.uses);
        section(&mut text, &title, schema, schema, DEEPEST);
        outputs(&mut text, kind);
    }
    text
}

/// What is known of a host.
fn facts(text: &mut String) {
    text.push_str("\n### Every fact\n\n| Name | What it is | |\n| --- | --- | --- |\n");
    for (name, kind, about) in super::facts::described() {
        let about = cell(&one_line(&about));
        text.push_str(&format!("| `{name}` | {kind} | {about} |\n"));
    }
}

/// `deep` maps within each other are shown with their keys.
fn section(text: &mut String, title: &str, root: &Value, schema: &Value, deep: usize) {
    text.push_str(&format!("\n{title}\n"));
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        text.push_str(&format!("\n{}\n", one_line(about)));
    }
    let mut table = String::new();
    rows(&mut table, "", root, schema, deep);
    if !table.is_empty() {
        text.push_str("\n| Key | What it is | Default | |\n| --- | --- | --- | --- |\n");
        text.push_str(&table);
    }
}

fn rows(text: &mut String, above: &str, root: &Value, schema: &Value, deep: usize) {
    let shape = Shape::plain(root);
    let properties = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (first, then): (Vec<_>, Vec<_>) = properties
        .into_iter()
        .flatten()
        .partition(|(key, _)| required.contains(&key.as_str()));
    for (key, property) in first.iter().chain(&then) {
        let mark = if required.contains(&key.as_str()) {
            " *"
        } else {
            ""
        };
        let default = property
            .get("default")
            .filter(|default| !is_empty(default))
            .map(|default| match default {
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            });
        let below = shape.part(property);
        let mut about = below.about_of(property).map(one_line).unwrap_or_default();
        for (choice, what) in below.described_choices() {
            about.push_str(&format!("<br>`{choice}`: {}", one_line(what)));
        }
        let name = format!("{above}{key}");
        text.push_str(&format!(
            "| `{name}`{mark} | {} | {} | {} |\n",
            cell(&below.wanted()),
            cell(&default.unwrap_or_default()),
            cell(&about),
        ));
        if let (Some(inner), Some(deep)) = (below.record(), deep.checked_sub(1)) {
            rows(text, &format!("{name}."), root, inner, deep);
        }
    }
}

fn outputs(text: &mut String, kind: &Kind) {
    let names: Vec<String> = std::iter::once(("changed".to_owned(), Type::Bool))
        .chain(kind.outputs.0.iter().cloned())
        .map(|(name, of)| format!("`{name}` ({})", of.words()))
        .collect();
    text.push_str(&format!(
        "\nLater steps have of it: {}.\n",
        names.join(", ")
    ));
    if !kind.literal.is_empty() {
        let literal: Vec<String> = kind.literal.iter().map(|l| format!("`{l}`")).collect();
        text.push_str(&format!(
            "Scripts are literal, without templates: {}.\n",
            literal.join(", ")
        ));
    }
}

fn is_empty(default: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
