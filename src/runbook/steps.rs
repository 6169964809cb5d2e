//! What can be wrong with steps besides their shape: their ids, kinds, arguments, conditions and the
//! names that they use. It works on the tree, so that a mistake in one step hides none in another.

use super::arguments::Arguments;
use super::beside::Beside;
use super::kind::{Kind, Kinds, Record, Type};
use super::language::{names, outcome};
use super::model::{CONFIRM, INCLUDE, StepScope};
use super::names::{Names, Unknown};
use super::problem::{Found, Problem};
use super::shape::Shape;
use super::source::{Source, Span};
use super::tags;
use super::when::check_condition;
use super::yaml::{Node, Value};
use crate::model::StepId;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// Nobody reads a plan of more.
const MAX_STEPS: usize = 1000;

/// What is known of a runbook before its steps are looked at.
pub(super) struct Around<'a> {
    pub source: &'a Source<'a>,
    pub kinds: &'a Kinds,
    /// The files that lie beside the runbook.
    pub beside: &'a Beside,
    pub params: Record,
    pub defaults: Map<String, Json>,
    /// Whether it is applied to the cluster, where every step happens once.
    pub cluster: bool,
}

pub(super) fn check_steps(steps: &Node, around: &Around<'_>, found: &mut Found) {
    let items = steps.items();
    if items.is_empty() && matches!(steps.value, Value::List(_)) {
        found.push(
            Problem::new("runbook::wrong_value", steps.span, "there are no steps")
                .help("a runbook does at least one thing"),
        );
    }
    if items.len() > MAX_STEPS {
        let message = format!(
            "there are {} steps, and {MAX_STEPS} are allowed",
            items.len()
        );
        found.push(Problem::new("runbook::size", steps.head(), message));
        return;
    }
    let ids: Vec<String> = ids(items, found);
    let mut earlier = Record::default();
    for (n, (step, id)) in items.iter().zip(&ids).enumerate() {
        if found.is_full() {
            return;
        }
        let kind = kind(step, around, found);
        let once = step.get("scope").and_then(Node::text) == Some("run");
        let no_target = match (around.cluster, once) {
            (true, _) => Some("this runbook is applied to the cluster, and not to nodes"),
            (false, true) => Some("this step happens once for the run: leave out `scope: run`"),
            (false, false) => None,
        };
        let outer = Names {
            known: names(&around.params, &earlier, no_target.is_none(), None),
            own: id,
            later: ids.get(n + 1..).unwrap_or_default(),
            no_target,
        };
        let item = step
            .get("for_each")
            .map(|each| for_each(each, &outer, around, found));
        let known = match item {
            Some(item) => names(&around.params, &earlier, no_target.is_none(), Some(item)),
            None => outer.known.clone(),
        };
        let names = Names { known, ..outer };
        check_step(step, kind, &names, around, found);
        if !id.is_empty() {
            let repeated = step.get("for_each").is_some();
            earlier.0.push((id.clone(), outcome(kind, repeated)));
        }
    }
}

/// The id of each step, empty where it has none.
fn ids(items: &[Node], found: &mut Found) -> Vec<String> {
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut ids = Vec::new();
    for step in items {
        let (id, span) = match id(step, found) {
            Some((id, span)) => (id, span),
            None => {
                ids.push(String::new());
                continue;
            }
        };
        match seen.get(&id) {
            Some(first) => found.push(
                Problem::new(
                    "runbook::duplicate_step",
                    span,
                    format!("there are two steps `{id}`"),
                )
                .label("again here")
                .also(*first, "first here")
                .help("give one of them another `id`"),
            ),
            None => {
                seen.insert(id.clone(), span);
            }
        }
        ids.push(id);
    }
    ids
}

fn id(step: &Node, found: &mut Found) -> Option<(String, Span)> {
    let given = |key: &str| {
        let node = step.get(key)?;
        node.text().map(|text| (text, node.span))
    };
    match (given("id"), given("name")) {
        (Some((id, span)), _) => match StepId::new(id) {
            Some(id) => Some((id.to_string(), span)),
            None => {
                let problem = Problem::new(
                    "runbook::name",
                    span,
                    format!("`{id}` is not the id of a step"),
                );
                let rule = "an id has lower-case letters, digits and `_`, and begins with a letter";
                found.push(problem.help(match StepId::slug(id) {
                    Some(near) => format!("{rule}: write {near}"),
                    None => rule.to_owned(),
                }));
                None
            }
        },
        (None, Some((name, span))) => match StepId::slug(name) {
            Some(id) => Some((id.to_string(), span)),
            None => {
                let message = "no id can be made of this name".to_owned();
                found.push(
                    Problem::new("runbook::name", span, message).help("give the step an `id`"),
                );
                None
            }
        },
        (None, None) => {
            if matches!(step.value, Value::Map(_)) && step.get("id").or(step.get("name")).is_none()
            {
                let message = "a step has neither `id` nor `name`";
                found.push(
                    Problem::new("runbook::missing_key", step.head(), message)
                        .label("this step")
                        .help("give it an `id`, by which other steps and the command line name it"),
                );
            }
            None
        }
    }
}

fn kind<'a>(step: &Node, around: &Around<'a>, found: &mut Found) -> Option<&'a Kind> {
    let node = step.get("uses")?;
    let uses = node.text()?;
    let kind = around.kinds.find(uses);
    if kind.is_none() {
        let message = format!("there is no kind of step `{uses}`");
        let problem = Problem::new("runbook::unknown_kind", node.span, message);
        found.push(problem.meant(uses, around.kinds.0.iter().map(|kind| kind.uses)));
    }
    kind
}

/// Keys that a step of the language itself does not have.
fn check_own_keys(step: &Node, found: &mut Found) {
    let uses = step.get("uses").and_then(Node::text).unwrap_or_default();
    let (keys, why): (&[&str], &str) = match uses {
        INCLUDE => (
            &["become", "retry", "timeout", "on_failure", "undo"],
            "each step of the runbook that it includes has its own",
        ),
        CONFIRM => (
            &["become", "retry", "timeout", "on_failure", "undo"],
            "it only asks: where the answer is no, the run ends",
        ),
        _ => return,
    };
    for name in keys {
        if let Some((key, _)) = step.entry(name) {
            let message = format!("a step that uses `{uses}` has no `{name}`");
            found.push(Problem::new("runbook::unknown_key", key.span, message).help(why));
        }
    }
    let with = step.get("with");
    if let Some(name) = with.and_then(|with| with.get("runbook"))
        && uses == INCLUDE
        && name.text().is_some_and(|text| text.contains("{{"))
    {
        let message = "which runbook is included must stand here as it is";
        found.push(
            Problem::new("runbook::template", name.span, message)
                .help("include both runbooks, each with `when`"),
        );
    }
}

fn check_step(
    step: &Node,
    kind: Option<&Kind>,
    names: &Names<'_>,
    around: &Around<'_>,
    found: &mut Found,
) {
    if let Some(user) = step.get("become").and_then(|b| b.get("user")) {
        check_user(user, found);
    }
    if around.cluster
        && let Some(scope) = step.get("scope")
        && scope.text() == Some("target")
    {
        found.push(
            Problem::new("runbook::wrong_value", scope.span, "there are no targets here")
                .help("this runbook is applied to the cluster, where every step happens once: leave out `scope`"),
        );
    }
    check_own_keys(step, found);
    if let Some(keep) = step.get("undo").and_then(|undo| undo.get("keep"))
        && keep.text().is_some_and(|why| why.trim().is_empty())
    {
        found.push(
            Problem::new(
                "runbook::wrong_value",
                keep.span,
                "`keep` says why, and it is empty",
            )
            .help("say why what it does stays when the run is taken back"),
        );
    }
    if let Some(when) = step.get("when") {
        check_condition(when, names, around, found);
    }
    let with = step.get("with").filter(|with| with.value != Value::Null);
    if let Some(kind) = kind {
        check_scope(step, kind, around, found);
        let place = step.get("uses").map_or(step.head(), |uses| uses.span);
        let none = Node {
            span: place,
            value: Value::Map(Vec::new()),
        };
        let arguments = Arguments {
            kind,
            with: with.unwrap_or(&none),
            place: step.entry("with").map_or(place, |(key, _)| key.span),
            names,
            around,
        };
        let before = found.count();
        Shape::rendered(kind.schema.as_value()).check(
            arguments.with,
            &format!("`with` of {}", kind.uses),
            arguments.place,
            found,
        );
        misplaced(step, kind, found);
        arguments.check(found.count() == before, found);
    }
}

/// A kind may belong to targets alone, or to the run.
fn check_scope(step: &Node, kind: &Kind, around: &Around<'_>, found: &mut Found) {
    let uses = kind.uses;
    let at = step.get("uses").map_or(step.head(), |uses| uses.span);
    let scope = step.get("scope");
    let given = scope.map(|scope| scope.text().unwrap_or_default());
    let (span, message, help) = match (kind.scope, given) {
        (Some(StepScope::Target), _) if around.cluster => (
            at,
            format!("`{uses}` happens at a node, and this runbook is applied to the cluster"),
            "say `targets: nodes`, or put the step into a runbook that does",
        ),
        (Some(StepScope::Target), Some("run")) => (
            scope.map_or(at, |scope| scope.span),
            format!("`{uses}` happens at each node, and not once for the run"),
            "leave out `scope: run`",
        ),
        (Some(StepScope::Run), None | Some("target")) if !around.cluster => (
            at,
            format!("`{uses}` happens once for the run, and not at each node"),
            "add `scope: run`",
        ),
        _ => return,
    };
    found.push(Problem::new("runbook::wrong_scope", span, message).help(help));
}

/// Arguments that stand beside `with` instead of below it.
fn misplaced(step: &Node, kind: &Kind, found: &mut Found) {
    let shape = Shape::plain(kind.schema.as_value());
    let step_keys = [
        "id",
        "name",
        "uses",
        "with",
        "scope",
        "become",
        "when",
        "for_each",
        "retry",
        "timeout",
        "on_failure",
        "undo",
    ];
    for (key, _) in step.entries() {
        let own = step_keys.contains(&key.text.as_str());
        if !own && shape.keys().any(|known| known == key.text) {
            found.replace(
                key.span,
                Problem::new(
                    "runbook::unknown_key",
                    key.span,
                    format!("`{}` is an argument of {}", key.text, kind.uses),
                )
                .help("arguments stand below `with`"),
            );
        }
    }
}

/// The name of a user, as `su` takes it.
pub(super) fn check_user(node: &Node, found: &mut Found) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
    if let Some(name) = node.text()
        && (name.starts_with('-') || name.is_empty() || !name.chars().all(plain))
    {
        let message = format!("`{name}` is not the name of a user");
        found.push(Problem::new("runbook::name", node.span, message));
    }
}

pub(super) fn unknown_name(span: Span, unknown: Unknown) -> Problem {
    let problem = Problem::new("runbook::unknown_name", span, unknown.message);
    let problem = match unknown.label {
        Some(label) => problem.label(label),
        None => problem,
    };
    match unknown.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

pub(super) fn secret(span: Span, name: &str) -> Problem {
    Problem::new("runbook::secret", span, format!("`{name}` is secret, and would be seen here"))
        .help(format!(
            "a secret is the whole value of a variable of a program: env: {{SECRET: '{{{{ {name} }}}}'}} in host.script, host.command or host.assert"
        ))
}

/// The type of one item.
fn for_each(each: &Node, names: &Names<'_>, around: &Around<'_>, found: &mut Found) -> Type {
    super::arguments::check_templates(each, &[], names, around, found);
    match &each.value {
        Value::List(items) => {
            if items.is_empty() {
                let message = "`for_each` has no items";
                found.push(Problem::new("runbook::wrong_value", each.span, message));
            }
            item_type(items)
        }
        Value::String(text) => match super::template::whole(text) {
            None => {
                if tags::read(text).1.is_empty() {
                    let message = "`for_each` is a list, or one template that gives a list";
                    found.push(
                        Problem::new("runbook::wrong_type", each.span, message).help(
                            "write [a, b, c], or '{{ params.x }}' with a parameter that is a list",
                        ),
                    );
                }
                Type::Any
            }
            Some(name) => match names.known.find(name) {
                Some(Type::List(item)) => (**item).clone(),
                Some(Type::Any) | None => Type::Any,
                // What a program prints, line by line.
                Some(Type::String) if name.starts_with("steps.") => Type::String,
                Some(_) => {
                    let message = format!("`{name}` is not a list");
                    found.push(Problem::new("runbook::wrong_type", each.span, message));
                    Type::Any
                }
            },
        },
        _ => Type::Any,
    }
}

fn item_type(items: &[Node]) -> Type {
    let templates = |node: &Node| node.text().is_some_and(|text| text.contains("{{"));
    let all = |is: fn(&Value) -> bool| items.iter().all(|item| is(&item.value));
    if items.iter().any(templates) {
        Type::Any
    } else if all(|value| matches!(value, Value::String(_))) {
        Type::String
    } else if all(|value| matches!(value, Value::Map(_))) {
        let keys = items
            .iter()
            .flat_map(Node::entries)
            .map(|(key, _)| key.text.as_str());
        let mut known = Record::default();
        for key in keys {
            if known.get(key).is_none() {
                known.0.push((key.to_owned(), Type::Any));
            }
        }
        Type::Record(known)
    } else {
        Type::Any
    }
}
