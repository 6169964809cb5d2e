//! The reference of the language, in Markdown: made of the types that the reader checks by.

use super::file::File;
use super::kind::{Kind, Kinds, Type};
use super::language::all_kinds;
use super::shape::Shape;
use serde_json::Value;

/// All that a runbook can say.
pub fn reference(kinds: &Kinds) -> String {
    let file = schemars::schema_for!(File).to_value();
    let mut text = String::from(
        "# Reference\n\n\
         All that a runbook can say. It is made from the program itself; in the tables, `*` marks what \
         must be there.\n",
    );
    section(&mut text, "## The file", &file, &file);
    for (title, name) in [
        ("## Parameters", "ParamText"),
        ("## Steps", "StepText"),
        ("### `become`", "Become"),
        ("### `retry`", "RetryText"),
        ("### `undo`", "UndoText"),
    ] {
        if let Some(schema) = file.pointer(&format!("/$defs/{name}")) {
            section(&mut text, title, &file, schema);
        }
    }
    text.push_str("\n## Kinds of steps\n");
    for kind in &all_kinds(kinds).0 {
        let schema = kind.schema.as_value();
        section(&mut text, &format!("### `{}`", kind.uses), schema, schema);
        outputs(&mut text, kind);
    }
    text
}

fn section(text: &mut String, title: &str, root: &Value, schema: &Value) {
    text.push_str(&format!("\n{title}\n"));
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        text.push_str(&format!("\n{}\n", one_line(about)));
    }
    let shape = Shape::plain(root);
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    text.push_str("\n| Key | What it is | Default | |\n| --- | --- | --- | --- |\n");
    let (first, then): (Vec<_>, Vec<_>) = properties
        .iter()
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
        text.push_str(&format!(
            "| `{key}`{mark} | {} | {} | {} |\n",
            cell(&below.wanted()),
            cell(&default.unwrap_or_default()),
            cell(&about),
        ));
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
