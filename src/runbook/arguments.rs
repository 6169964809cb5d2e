//! The arguments of one step: the templates in them, what is literal, what is secret, and what their
//! kind itself says of them.

use super::beside::TEMPLATE;
use super::kind::{Kind, Type};
use super::model::INCLUDE;
use super::names::Names;
use super::problem::{Found, Problem};
use super::source::{Source, Span};
use super::steps::{Around, secret, unknown_name};
use super::tags::{self, Use, What};
use super::template;
use super::yaml::{Node, Value};

/// Where a secret may stand: as a variable of a program, and as a parameter of an included runbook.
const FOR_SECRETS: &[(&str, &str)] = &[
    ("host.script", "env"),
    ("host.command", "env"),
    ("host.assert", "env"),
    (INCLUDE, "params"),
];
/// Templates that are rendered for that.
const MOST_TEMPLATES: usize = 500;
/// Bytes that arguments may become when they are rendered to be checked.
const MOST_RENDERED: usize = 1 << 18;

pub(super) struct Arguments<'a> {
    pub kind: &'a Kind,
    pub with: &'a Node,
    /// Where something is said of all of them.
    pub place: Span,
    pub names: &'a Names<'a>,
    pub around: &'a Around<'a>,
}

impl Arguments<'_> {
    /// All that is wrong with them besides their shape; `shaped` says that their shape is right.
    pub fn check(&self, shaped: bool, found: &mut Found) {
        let before = found.count();
        let template = match self.kind.beside {
            true => self.check_template_file(found),
            false => None,
        };
        for (key, node) in self.with.entries() {
            match node.text() {
                Some(script) if self.is_literal(&key.text) => {
                    self.check_script(&key.text, script, node, found);
                }
                _ => {
                    let path = match FOR_SECRETS.contains(&(self.kind.uses, key.text.as_str())) {
                        true => &["env"][..],
                        false => &[],
                    };
                    check_templates(node, path, self.names, self.around, found);
                }
            }
        }
        if shaped && found.count() == before {
            self.ask_kind(template, found);
        }
    }

    fn is_literal(&self, key: &str) -> bool {
        self.kind.literal.contains(&key)
    }

    /// A value in a script would be a command in no time: values reach scripts by `args` and `env`.
    fn check_script(&self, key: &str, script: &str, node: &Node, found: &mut Found) {
        let Some(inner) = template::name_in_script(script) else {
            return;
        };
        let variable = inner
            .rsplit('.')
            .next()
            .unwrap_or(inner)
            .to_ascii_uppercase();
        let plain = variable
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
        let variable = match plain && variable.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => variable.as_str(),
            false => "VALUE",
        };
        let span = script
            .find(inner)
            .and_then(|at| Places::new(self.around.source, node.span, script).find(at, inner))
            .unwrap_or(node.span);
        found.push(
            Problem::new(
                "runbook::template_in_script",
                span,
                format!("`{key}` is a script, and scripts are literal: no template stands in them"),
            )
            .help(format!(
                "pass it as a variable, env: {{{variable}: '{{{{ {inner} }}}}'}}, and use \"${variable}\" in the script"
            )),
        );
    }

    /// What the kind says of arguments that are known already.
    fn ask_kind(&self, template: Option<String>, found: &mut Found) {
        let mut with = self.with.to_json();
        let text = template.as_deref().unwrap_or_default();
        let templates = count_templates(self.with) + text.matches("{{").count();
        let repeats = has_each(self.with) || text.contains("#each");
        if let (Some(template), Some(with)) = (template, with.as_object_mut()) {
            with.insert(TEMPLATE.to_owned(), template.into());
        }
        let mut by_defaults = false;
        let rendered = match templates {
            0 => with,
            _ => {
                let longest = self
                    .around
                    .defaults
                    .values()
                    .map(|v| v.to_string().len())
                    .max();
                let too_many = templates > MOST_TEMPLATES;
                if too_many || templates * longest.unwrap_or(0) > MOST_RENDERED || repeats {
                    return;
                }
                by_defaults = true;
                let mut names = serde_json::json!({"params": self.around.defaults});
                if let (None, Some(names)) = (self.names.no_target, names.as_object_mut()) {
                    // Any name of a node is as good as another.
                    let target = serde_json::json!({"name": "node", "node": "node"});
                    names.insert("target".to_owned(), target);
                }
                match template::render_arguments(self.kind.rendering(), &with, &names) {
                    Ok(rendered) => rendered,
                    // It rests on what is known later.
                    Err(_) => return,
                }
            }
        };
        let Err(why) = (self.kind.check)(&rendered) else {
            return;
        };
        // Kinds name the argument that is wrong.
        let named = why
            .split('`')
            .skip(1)
            .step_by(2)
            .chain(why.split(':').take(1))
            .find_map(|name| self.with.get(name));
        let place = named.map_or(self.place, |node| match node.value {
            Value::Map(_) => node.head(),
            _ => node.span,
        });
        let problem = Problem::new("runbook::wrong_arguments", place, why);
        found.push(match by_defaults {
            true => problem.help("that is so with the defaults of the parameters"),
            false => problem,
        });
    }
}

fn count_templates(node: &Node) -> usize {
    match &node.value {
        Value::String(text) => text.matches("{{").count(),
        Value::List(items) => items.iter().map(count_templates).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| count_templates(node)).sum(),
        _ => 0,
    }
}

fn has_each(node: &Node) -> bool {
    match &node.value {
        Value::String(text) => text.contains("#each"),
        Value::List(items) => items.iter().any(has_each),
        Value::Map(entries) => entries.iter().any(|(_, node)| has_each(node)),
        _ => false,
    }
}

/// Every template in a value. `path` is `["env"]` right above the variables of a program.
pub(super) fn check_templates(
    node: &Node,
    path: &[&str],
    names: &Names<'_>,
    around: &Around<'_>,
    found: &mut Found,
) {
    if found.is_full() {
        return;
    }
    match &node.value {
        Value::String(text) if text.contains("{{") => {
            let variable = path == ["env", "*"] && template::whole(text).is_some();
            check_template(node, text, variable, names, around.source, found);
        }
        Value::List(items) => {
            for item in items {
                check_templates(item, &[], names, around, found);
            }
        }
        Value::Map(entries) => {
            let below: &[&str] = match path {
                ["env"] => &["env", "*"],
                _ => &[],
            };
            for (key, value) in entries {
                if key.text.contains("{{") {
                    let message = "a template stands in a key, where it is not rendered";
                    found.push(Problem::new("runbook::template", key.span, message));
                }
                check_templates(value, below, names, around, found);
            }
        }
        _ => {}
    }
}

fn check_template(
    node: &Node,
    text: &str,
    variable: bool,
    names: &Names<'_>,
    source: &Source<'_>,
    found: &mut Found,
) {
    let places = Places::new(source, node.span, text);
    let place = |at: usize, written: &str| places.find(at, written).unwrap_or(node.span);
    let (uses, wrong) = tags::read(text);
    for wrong in wrong {
        if found.is_full() {
            return;
        }
        let written = text
            .get(wrong.at..wrong.at + wrong.length)
            .unwrap_or_default();
        let span = place(wrong.at, written);
        found.push(Problem::new("runbook::template", span, wrong.message).help(wrong.help));
    }
    let whole = template::whole(text).is_some();
    for used in uses {
        if found.is_full() {
            return;
        }
        let problem =
            match names.find(&used.name) {
                Err(unknown) => Some(unknown_name(place(used.at, &used.written), unknown)),
                Ok(kind) => misused(kind, &used, variable, || place(used.at, &used.written))
                    .or_else(|| match kind {
                        Type::List(_) if used.what == What::Value && !whole => {
                            Some(list_as_text(&used, place(used.at, &used.written)))
                        }
                        _ => None,
                    }),
            };
        if let Some(problem) = problem {
            found.push(problem);
        }
    }
}

/// Whether a name stands for something else than is taken of it.
pub(super) fn misused(
    kind: &Type,
    used: &Use,
    variable: bool,
    place: impl Fn() -> Span,
) -> Option<Problem> {
    let name = &used.name;
    match (&used.what, kind) {
        (What::Value, Type::Secret) if variable => None,
        (_, Type::Secret) => Some(secret(place(), name)),
        (What::Value, Type::Record(below)) => {
            let below = below.names();
            let below: Vec<&str> = below.iter().map(String::as_str).collect();
            let message = format!("`{name}` is no value: names stand below it");
            let problem = Problem::new("runbook::unknown_name", place(), message);
            Some(match below.is_empty() {
                true => problem.help("there are none"),
                false => problem.help(format!("one of {}", super::problem::listed(&below))),
            })
        }
        (What::Items, Type::List(_) | Type::Any) => None,
        (What::Items, _) => {
            let message = format!("`{name}` is not a list");
            Some(Problem::new("runbook::wrong_type", place(), message))
        }
        (What::OfItem(below), Type::List(item)) if !below.is_empty() => match &**item {
            Type::Record(record) if record.knows(below) => None,
            Type::Any => None,
            _ => {
                let message = format!("an item of `{name}` has no `{below}`");
                Some(Problem::new("runbook::unknown_name", place(), message))
            }
        },
        _ => None,
    }
}

/// Alone, it would stay a list; in a text, nobody can say what becomes of it.
pub(super) fn list_as_text(used: &Use, place: Span) -> Problem {
    let name = &used.written;
    let message = format!("`{name}` is a list, and would become a part of a text");
    Problem::new("runbook::wrong_type", place, message).help(format!(
        "write {{{{#each {name}}}}}{{{{this}}}} {{{{/each}}}}"
    ))
}

/// Where things in a template stand in the file: after the same `{{`, as they are written.
struct Places<'a> {
    span: Span,
    slice: &'a str,
    /// Where each `{{` stands in the text, and where in the file.
    opened: Vec<(usize, usize)>,
}

impl<'a> Places<'a> {
    fn new(source: &Source<'a>, span: Span, text: &str) -> Self {
        let slice = source.slice(span);
        let inside = text.match_indices("{{").map(|(at, _)| at);
        let outside = slice.match_indices("{{").map(|(at, _)| at);
        Self {
            span,
            slice,
            opened: inside.zip(outside).collect(),
        }
    }

    fn find(&self, at: usize, written: &str) -> Option<Span> {
        let before = self.opened.partition_point(|(inside, _)| *inside < at);
        let (_, open) = self.opened.get(before.saturating_sub(1))?;
        let found = self.slice.get(*open..)?.find(written)?;
        // Farther away, it is another one.
        if found > written.len() + 256 {
            return None;
        }
        let start = self.span.start + open + found;
        Some(Span::new(start, start + written.len()))
    }
}
