//! What can be wrong with a template that lies beside the runbook. It is said where the runbook names its
//! file, with the line and the column in that.

use super::arguments::{Arguments, list_as_text, misused};
use super::beside::{SOURCE, VARS};
use super::kind::{Record, Type};
use super::names::Names;
use super::problem::{Found, Problem};
use super::source::Source;
use super::steps::unknown_name;
use super::tags::{self, What};
use super::template;
use super::yaml::{Node, Value};

impl Arguments<'_> {
    /// Checks the template, and gives its text.
    pub(super) fn check_template_file(&self, found: &mut Found) -> Option<String> {
        let node = self.with.get(SOURCE)?;
        let name = node.text()?;
        if name.contains("{{") {
            let message = "which file is used must stand here as it is";
            let problem = Problem::new("runbook::template", node.span, message);
            found.push(problem.help("make two steps of it, each with `when`"));
            return None;
        }
        let text = match self.around.beside.read(name) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("the template `{name}` cannot be read: {why}");
                found.push(Problem::new("runbook::source", node.span, message));
                return None;
            }
        };
        let source = Source::new(name, &text);
        let mut push = |at: usize, mut problem: Problem| {
            let (line, column) = source.place(at);
            problem.message = format!("{name}:{line}:{column}: {}", problem.message);
            if !found.is_full() {
                found.push(problem);
            }
        };
        let (uses, wrong) = tags::read(&text);
        for wrong in wrong {
            let problem = Problem::new("runbook::template", node.span, wrong.message);
            push(wrong.at, problem.help(wrong.help));
        }
        let names = self.names_in_file();
        for used in uses {
            let problem = match names.find(&used.name) {
                Err(unknown) => Some(unknown_name(node.span, unknown)),
                Ok(Type::List(_)) if used.what == What::Value => {
                    Some(list_as_text(&used, node.span))
                }
                Ok(kind) => misused(kind, &used, false, || node.span),
            };
            if let Some(problem) = problem {
                push(used.at, problem);
            }
        }
        Some(text)
    }

    /// The names that arguments know, and the step's own.
    fn names_in_file(&self) -> Names<'_> {
        let mut known = self.names.known.clone();
        let vars = match self.with.get(VARS) {
            None => Type::Record(Record::default()),
            Some(node) => match node.value {
                Value::Map(_) => self.record(node),
                // A template that gives a map.
                _ => Type::Any,
            },
        };
        known.0.push((VARS.to_owned(), vars));
        Names {
            known,
            ..*self.names
        }
    }

    fn record(&self, vars: &Node) -> Type {
        let own = vars.entries().iter().map(|(key, node)| {
            let kind = match (&node.value, node.text().and_then(template::whole)) {
                (Value::List(_), _) => Type::List(Box::new(Type::Any)),
                (_, Some(name)) => self.names.known.find(name).cloned().unwrap_or(Type::Any),
                _ => Type::Any,
            };
            (key.text.clone(), kind)
        });
        Type::Record(Record(own.collect()))
    }
}
