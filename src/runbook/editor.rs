//! One JSON Schema of the whole file, for editors: the same types that the reader checks by.

use super::file::File;
use super::kind::Kinds;
use super::language::all_kinds;
use serde_json::{Map, Value, json};

/// The schema of a runbook's file, in which `with` depends on `uses`.
pub fn schema(kinds: &Kinds) -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    let kinds = all_kinds(kinds);
    let mut definitions = Map::new();
    let mut cases = Vec::new();
    for kind in &kinds.0 {
        let mut arguments = kind.schema.clone().to_value();
        let required = needs_arguments(&arguments);
        if let Some(arguments) = arguments.as_object_mut() {
            arguments.remove("$schema");
            arguments.remove("title");
        }
        // What stands below it is found under its own name.
        let name = format!("with {}", kind.uses);
        point_below(&mut arguments, &name);
        with_templates(&mut arguments, true);
        let mut then = json!({"properties": {"with": {"$ref": format!("#/$defs/{name}")}}});
        if required && let Some(then) = then.as_object_mut() {
            then.insert("required".to_owned(), json!(["with"]));
        }
        cases.push(json!({
            "if": {"properties": {"uses": {"const": kind.uses}}, "required": ["uses"]},
            "then": then,
        }));
        definitions.insert(name, arguments);
    }
    let choices: Vec<Value> = kinds
        .0
        .iter()
        .map(|kind| json!({"const": kind.uses, "description": kind.about()}))
        .collect();
    if let Some(step) = schema.pointer_mut("/$defs/StepText")
        && let Some(step) = step.as_object_mut()
    {
        step.insert("allOf".to_owned(), Value::Array(cases));

        let named = json!([{"required": ["id"]}, {"required": ["name"]}]);
        step.insert("anyOf".to_owned(), named);
    }
    if let Some(uses) = schema.pointer_mut("/$defs/StepText/properties/uses")
        && let Some(uses) = uses.as_object_mut()
    {
        uses.insert("oneOf".to_owned(), Value::Array(choices));
    }
    if let Some(version) = schema.pointer_mut("/properties/apiVersion")
        && let Some(version) = version.as_object_mut()
    {
        version.insert("const".to_owned(), super::file::API_VERSION.into());
    }
    if let Some(own) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        own.extend(definitions);
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "A runbook".into());
    }
    schema
}

fn needs_arguments(arguments: &Value) -> bool {
    let required = arguments.get("required").and_then(Value::as_array);
    required.is_some_and(|required| !required.is_empty())
}

/// References of a schema that has become a part of another one.
fn point_below(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(rest) = reference.strip_prefix("#/")
            {
                *reference = format!("#/$defs/{name}/{rest}");
            }
            map.values_mut().for_each(|below| point_below(below, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|below| point_below(below, name)),
        _ => {}
    }
}

/// What is wanted, or a template that gives it.
fn with_templates(schema: &mut Value, top: bool) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    for (key, below) in map.iter_mut() {
        match (key.as_str(), below) {
            ("properties" | "$defs", Value::Object(all)) => {
                let defined = key == "$defs";
                all.values_mut()
                    .for_each(|below| with_templates(below, defined));
            }
            ("items" | "additionalProperties", below) => with_templates(below, false),
            _ => {}
        }
    }
    let plain_text = map.get("type") == Some(&json!("string"))
        && map.get("enum").is_none()
        && map.get("const").is_none();
    if !top && !plain_text && !map.is_empty() {
        let inner = Value::Object(std::mem::take(map));
        let template = json!({"type": "string", "pattern": "\\{\\{"});
        for key in ["description", "default"] {
            if let Some(text) = inner.get(key) {
                map.insert(key.to_owned(), text.clone());
            }
        }
        map.insert("anyOf".to_owned(), json!([inner, template]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.push(reference);
                }
                map.values().for_each(|below| references(below, found));
            }
            Value::Array(items) => items.iter().for_each(|below| references(below, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_something() {
        let schema = schema(&Kinds::that_take_anything(&["a.b"]));
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(found.len() > 5);
        for reference in found {
            let path = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(path).is_some(), "{reference}");
        }
    }
}
