//! Whether values have the shape that a JSON Schema asks for: all that is wrong with them, each with
//! its place. It knows what `schemars` makes of the types of runbooks and of the arguments of kinds.

use super::problem::{Found, Problem, closest};
use super::source::Span;
use super::template;
use super::yaml::{Node, Value};
use serde_json::Value as Json;

/// `format` of a duration as runbooks write it.
pub const DURATION_FORMAT: &str = "runbook-duration";
/// References to other schemas that are followed one after the other.
const MAX_REFERENCES: usize = 16;

/// A schema with what it refers to.
#[derive(Clone, Copy)]
pub(super) struct Shape<'s> {
    root: &'s Json,
    schema: &'s Json,
    /// Whether templates may stand for values that are known later.
    templates: bool,
}

impl<'s> Shape<'s> {
    /// Of what is read as it stands.
    pub fn plain(root: &'s Json) -> Self {
        Self {
            root,
            schema: root,
            templates: false,
        }
    }

    /// Of what is rendered before it is used.
    pub fn rendered(root: &'s Json) -> Self {
        Self {
            templates: true,
            ..Self::plain(root)
        }
    }

    /// The same with another part of the schema, to which references lead.
    fn at(self, schema: &'s Json) -> Self {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Json::as_str) else {
                break;
            };
            let target = reference
                .strip_prefix('#')
                .and_then(|path| self.root.pointer(path));
            match target {
                Some(target) => schema = target,
                None => break,
            }
        }
        Self { schema, ..self }
    }

    /// What is below a key, if the key is known.
    fn below(self, key: &str) -> Option<Self> {
        let own = self.schema.get("properties").and_then(|all| all.get(key));
        let schema = match (own, self.schema.get("additionalProperties")) {
            (Some(own), _) => own,
            (None, Some(Json::Bool(false))) => return None,
            (None, Some(any)) => any,
            (None, None) => &Json::Bool(true),
        };
        Some(self.at(schema))
    }

    /// The names of all keys that are known.
    pub fn keys(self) -> impl Iterator<Item = &'s str> {
        let all = self.schema.get("properties").and_then(Json::as_object);
        all.into_iter().flatten().map(|(key, _)| key.as_str())
    }

    fn alternatives(self) -> Option<Vec<Self>> {
        let of = |key: &str| self.schema.get(key).and_then(Json::as_array);
        let all = of("anyOf").or_else(|| of("oneOf"))?;
        Some(all.iter().map(|one| self.at(one)).collect())
    }

    /// The texts that are allowed, if they are counted up.
    fn choices(self) -> Option<Vec<&'s str>> {
        if let Some(all) = self.schema.get("enum").and_then(Json::as_array) {
            return Some(all.iter().filter_map(Json::as_str).collect());
        }
        if let Some(one) = self.schema.get("const").and_then(Json::as_str) {
            return Some(vec![one]);
        }
        let mut choices = Vec::new();
        for one in self.alternatives()? {
            match one.only_null() {
                true => {}
                false => choices.extend(one.choices()?),
            }
        }
        Some(choices)
    }

    fn types(self) -> Vec<&'s str> {
        match self.schema.get("type") {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(all)) => all.iter().filter_map(Json::as_str).collect(),
            _ if self.schema.get("enum").is_some() || self.schema.get("const").is_some() => {
                vec!["string"]
            }
            _ => Vec::new(),
        }
    }

    fn only_null(self) -> bool {
        self.types() == ["null"]
    }

    /// Whether a value is of a type that is wanted.
    fn takes(self, value: &Value) -> bool {
        if let Some(all) = self.alternatives() {
            return all.iter().any(|one| one.takes(value));
        }
        let types = self.types();
        types.is_empty() || types.iter().any(|wanted| is(value, wanted))
    }

    fn takes_scalars(self) -> bool {
        if let Some(all) = self.alternatives() {
            return all.iter().any(|one| one.takes_scalars());
        }
        let types = self.types();
        let scalar = ["string", "integer", "number", "boolean"];
        types.is_empty() || types.iter().any(|wanted| scalar.contains(wanted))
    }

    /// A part of the schema, to which its references lead.
    pub fn part(self, schema: &'s Json) -> Self {
        self.at(schema)
    }

    /// The schema of a map with known keys, if it can be one.
    pub fn record(self) -> Option<&'s Json> {
        match self.schema.get("properties") {
            Some(_) => Some(self.schema),
            None => self.alternatives()?.into_iter().find_map(Self::record),
        }
    }

    /// All that is wrong with a value. `name` is what it is called, `place` where it is missing.
    pub fn check(self, node: &Node, name: &str, place: Span, found: &mut Found) {
        let shape = self.at(self.schema);
        shape.value(node, name, place, found);
    }

    fn value(self, node: &Node, name: &str, place: Span, found: &mut Found) {
        if found.is_full() || node.value == Value::Refused {
            return;
        }
        if self.templates
            && let Some(text) = node.text()
            && text.contains("{{")
            && (template::whole(text).is_some() || self.takes_scalars())
        {
            return;
        }
        if !self.takes(&node.value) {
            found.push(self.wrong_type(node, name));
            return;
        }
        if let Some(choices) = self.choices() {
            if let Some(text) = node.text()
                && !choices.contains(&text)
            {
                let message = format!("{name} is {}, and not `{text}`", self.wanted());
                let problem = Problem::new("runbook::not_one_of", node.span, message);
                found.push(match closest(text, choices) {
                    Some(near) => problem.label(format!("did you mean `{near}`?")),
                    None if text.contains("{{") => {
                        problem.help("templates are rendered in `with` and `for_each` alone")
                    }
                    None => problem,
                });
            }
            return;
        }
        if let Some(all) = self.alternatives() {
            let fitting = all.into_iter().filter(|one| one.takes(&node.value));
            let outcomes = fitting.map(|one| {
                let mut inner = Found::default();
                one.value(node, name, place, &mut inner);
                inner
            });
            if let Some(best) = outcomes.min_by_key(Found::count) {
                found.append(best);
            }
        }
        match &node.value {
            Value::Map(_) => self.map(node, name, place, found),
            Value::List(items) => {
                let Some(schema) = self.schema.get("items") else {
                    return;
                };
                for (n, item) in items.iter().enumerate() {
                    let name = format!("item {} of {name}", n + 1);
                    self.at(schema).value(item, &name, item.head(), found);
                }
            }
            Value::Number(number, written) => self.number(node, number, written, found),
            Value::String(text) => self.text(node, text, name, found),
            Value::Null | Value::Bool(_) | Value::Refused => {}
        }
    }

    fn map(self, node: &Node, name: &str, place: Span, found: &mut Found) {
        // Keys that are there under a wrong name.
        let mut meant = Vec::new();
        for (key, value) in node.entries() {
            match self.below(&key.text) {
                Some(below) => {
                    below.value(value, &format!("`{}`", key.text), key.span, found);
                }
                // It was said to be wrong already, and may stand for anything.
                None if key.text == "<<" => meant.extend(self.keys()),
                None => {
                    meant.extend(closest(&key.text, self.keys()));
                    let message = format!("`{}` is not known here", key.text);
                    let problem = Problem::new("runbook::unknown_key", key.span, message);
                    found.push(problem.meant(&key.text, self.keys()));
                }
            }
        }
        let required = self.schema.get("required").and_then(Json::as_array);
        for key in required.into_iter().flatten().filter_map(Json::as_str) {
            if node.get(key).is_some() || meant.contains(&key) {
                continue;
            }
            let place = match node.entries().is_empty() {
                true => place,
                false => node.head(),
            };
            let message = match name {
                "" => format!("`{key}` is missing"),
                _ => format!("`{key}` is missing in {name}"),
            };
            let problem =
                Problem::new("runbook::missing_key", place, message).label("belongs here");
            found.push(match self.about_key(key) {
                Some(about) => problem.help(format!("{key}: {}", about.replace('\n', " "))),
                None => problem,
            });
        }
    }

    fn number(self, node: &Node, number: &serde_json::Number, written: &str, found: &mut Found) {
        // Where text is as good as a number, another text than the one written would be used.
        let anything = self.types().is_empty() && self.alternatives().is_none();
        let takes_text = !anything && self.takes(&Value::String(String::new()));
        if takes_text && number.to_string() != written {
            found.push(
                Problem::new(
                    "runbook::ambiguous_number",
                    node.span,
                    format!("`{written}` is a number in YAML, and would become {number}"),
                )
                .help(format!("put it in quotes: \"{written}\"")),
            );
        }
        let least = self.schema.get("minimum").and_then(Json::as_f64);
        let most = self.schema.get("maximum").and_then(Json::as_f64);
        let value = number.as_f64().unwrap_or_default();
        let wrong = match (least, most) {
            (Some(least), _) if value < least => Some(format!("at least {least}")),
            (_, Some(most)) if value > most => Some(format!("at most {most}")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            let message = format!("{written} is out of range: it is {wrong}");
            found.push(Problem::new("runbook::wrong_value", node.span, message));
        }
    }

    fn text(self, node: &Node, text: &str, name: &str, found: &mut Found) {
        let duration = self.schema.get("format").and_then(Json::as_str) == Some(DURATION_FORMAT);
        if duration && super::param::parse_duration(text).is_none() {
            let message = format!("{name} is {}, and `{text}` is not", self.wanted());
            found.push(Problem::new("runbook::wrong_value", node.span, message));
        }
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted == "null",
        Value::Bool(_) => wanted == "boolean",
        Value::Number(number, _) => {
            wanted == "number" || (wanted == "integer" && (number.is_i64() || number.is_u64()))
        }
        Value::String(_) => wanted == "string",
        Value::List(_) => wanted == "array",
        Value::Map(_) => wanted == "object",
        Value::Refused => true,
    }
}

mod words;

#[cfg(test)]
mod tests;
