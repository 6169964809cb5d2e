//! Text to model. Everything that can be wrong with a runbook without looking at the world is found
//! here, all of it at once.

use super::arguments::check_templates;
use super::beside::{Beside, SOURCE, TEMPLATE};
use super::condition::Condition;
use super::file::{API_VERSION, File, ForEach, StepText};
use super::kind::{Kinds, Record, Type};
use super::language::{all_kinds, is_runbook_name, names, outcome};
use super::model::{Runbook, Step, StepScope, TargetKind};
use super::names::Names;
use super::param::{Param, ParamText};
use super::problem::{Found, Problem, Problems};
use super::shape::Shape;
use super::source::{Source, Span};
use super::steps::{Around, check_steps, check_user};
use super::template;
use super::yaml::{self, Cost, Key, Node};
use crate::model::{Retry, StepId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Reads a runbook. `file` names it in what is said of it.
pub fn read(text: &str, file: &str, kinds: &Kinds) -> Result<Runbook, Problems> {
    read_beside(text, file, kinds, Beside::nothing())
}

/// Reads a runbook, with the files beside it that its steps use.
pub fn read_beside(
    text: &str,
    file: &str,
    kinds: &Kinds,
    beside: Beside,
) -> Result<Runbook, Problems> {
    read_counting(text, file, kinds, beside).0
}

/// The same, with what it cost.
fn read_counting(
    text: &str,
    file: &str,
    kinds: &Kinds,
    beside: Beside,
) -> (Result<Runbook, Problems>, Cost) {
    // Editors of some systems begin a file with a mark that nobody sees.
    let source = Source::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut found = Found::default();
    let mut cost = Cost::default();
    let mut runbook = None;
    if yaml::check_text(&source, &mut found) {
        let (root, spent) = yaml::parse(&source, &mut found);
        cost = spent;
        if let Some(mut root) = root {
            let kinds = all_kinds(kinds);
            name_changes(&mut root, &kinds);
            let params = check(&root, &source, &kinds, &beside, &mut found);
            if found.count() == 0 {
                runbook = Some(build(&root, params, &kinds, beside, text));
            }
        }
    }
    let outcome = match runbook {
        Some(Ok(runbook)) => Ok(runbook),
        Some(Err(why)) => {
            // What was checked is what is taken, so this does not come about.
            let span = Default::default();
            found.push(Problem::new("runbook::wrong_value", span, why));
            Err(found.into_problems(&source))
        }
        None => Err(found.into_problems(&source)),
    };
    (outcome, cost)
}

/// Where a kind takes names of earlier steps, to be told whether these change something, each name
/// stands for the template that says so.
fn name_changes(root: &mut Node, kinds: &Kinds) {
    let steps = root.get_mut("steps").map(Node::items_mut);
    for step in steps.unwrap_or_default() {
        let uses = step.get("uses").and_then(Node::text);
        let kind = uses.and_then(|uses| kinds.find(uses));
        for key in kind.map_or(&[][..], |kind| kind.changes) {
            let names = step.get_mut("with").and_then(|with| with.get_mut(key));
            for name in names.map(Node::items_mut).unwrap_or_default() {
                if let yaml::Value::String(text) = &mut name.value
                    && StepId::new(text).is_some()
                {
                    *text = format!("{{{{ steps.{text}.changed }}}}");
                }
            }
        }
    }
}

/// All that is wrong with a tree, and the parameters that are right.
fn check(
    root: &Node,
    source: &Source<'_>,
    kinds: &Kinds,
    beside: &Beside,
    found: &mut Found,
) -> Vec<Param> {
    let schema = schemars::schema_for!(File);
    Shape::plain(schema.as_value()).check(root, "", root.head(), found);
    if let Some(version) = root.get("apiVersion")
        && let Some(text) = version.text()
        && text != API_VERSION
    {
        let message =
            format!("apiVersion is `{text}`; this version of runbook reads `{API_VERSION}`");
        found.push(Problem::new("runbook::api_version", version.span, message));
    }
    if let Some(name) = root.get("name")
        && let Some(text) = name.text()
        && !is_runbook_name(text)
    {
        let message = format!("`{text}` is not the name of a runbook");
        found.push(
            Problem::new("runbook::name", name.span, message).help(
                "a name has lower-case letters, digits and hyphens, and begins with a letter",
            ),
        );
    }
    if let Some(user) = root.get("become").and_then(|b| b.get("user")) {
        check_user(user, found);
    }
    let params = root.get("params").map(Node::entries).unwrap_or_default();
    let params: Vec<(&Key, Option<Param>)> = params
        .iter()
        .map(|(key, node)| (key, read_param(key, node, found)))
        .collect();
    let known = |(key, param): &(&Key, Option<Param>)| {
        let unknown = Type::Any;
        let kind = param.as_ref().map_or(unknown, Param::value_type);
        (key.text.clone(), kind)
    };
    let defaults = |(key, param): &(&Key, Option<Param>)| {
        let default = param.as_ref()?.default.clone()?;
        // What a template becomes is not known here.
        let known = !default.to_string().contains("{{");
        known.then(|| (key.text.clone(), default))
    };
    let mut before = Record::default();
    for (param, (_, node)) in params
        .iter()
        .zip(root.get("params").map(Node::entries).unwrap_or_default())
    {
        let wanted = param.1.as_ref().map(Param::value_type);
        check_default(node, wanted.as_ref(), &before, kinds, source, found);
        before.0.push(known(param));
    }
    if let Some(steps) = root.get("steps") {
        let around = Around {
            source,
            kinds,
            beside,
            params: Record(params.iter().map(known).collect()),
            defaults: params.iter().filter_map(defaults).collect::<Map<_, _>>(),
            cluster: root.get("targets").and_then(Node::text) == Some("cluster"),
        };
        check_steps(steps, &around, found);
    }
    params.into_iter().filter_map(|(_, param)| param).collect()
}

fn read_param(key: &Key, node: &Node, found: &mut Found) -> Option<Param> {
    if StepId::new(&key.text).is_none() && !key.text.is_empty() {
        let message = format!("`{}` is not the name of a parameter", key.text);
        found.push(
            Problem::new("runbook::name", key.span, message)
                .help("a name has lower-case letters, digits and `_`, and begins with a letter"),
        );
    }
    // What is wrong with its shape was said.
    let text: ParamText = serde_json::from_value(node.to_json()).ok()?;
    match Param::from_text(&key.text, text) {
        Ok(param) => Some(param),
        Err(problems) => {
            let named = StepId::new(&key.text).is_some();
            for problem in problems.into_iter().filter(|p| named || !p.path.is_empty()) {
                let place =
                    problem
                        .path
                        .iter()
                        .try_fold(node, |at, part| match part.parse::<usize>() {
                            Ok(n) if !at.items().is_empty() => at.items().get(n),
                            _ => at.get(part),
                        });
                let span = place.map_or(key.span, |place| place.span);
                found.push(Problem::new("runbook::param", span, problem.message));
            }
            None
        }
    }
}

/// A default may be a template over the parameters before it, and over nothing else.
fn check_default(
    param: &Node,
    wanted: Option<&Type>,
    before: &Record,
    kinds: &Kinds,
    source: &Source<'_>,
    found: &mut Found,
) {
    let Some(default) = param.get("default") else {
        return;
    };
    let nothing = Beside::nothing();
    let around = Around {
        source,
        kinds,
        beside: &nothing,
        params: before.clone(),
        defaults: Map::new(),
        cluster: true,
    };
    let names = Names {
        known: Record::of(&[("params", Type::Record(before.clone()))]),
        own: "",
        later: &[],
        no_target: Some("a default is the same for all targets"),
    };
    let so_far = found.count();
    check_templates(default, &[], &names, &around, found);
    // Without a template, what it is was looked at with the parameter.
    if found.count() == so_far
        && let Some(wanted) = wanted
        && default.to_json().to_string().contains("{{")
        && let Some((span, given)) = misfit(default, wanted, &names.known)
    {
        let wanted = wanted.words();
        let given = given.words();
        let message = match span == default.span {
            true => format!("the default is {wanted}, and this gives {given}"),
            false => format!("in the default, this gives {given}, which is no item of it"),
        };
        found.push(Problem::new("runbook::wrong_type", span, message));
    }
}

/// What in a value with templates cannot give what is wanted, and what it gives instead.
fn misfit(node: &Node, wanted: &Type, known: &Record) -> Option<(Span, Type)> {
    let given = match (&node.value, wanted) {
        (yaml::Value::List(items), Type::List(item)) => {
            return items.iter().find_map(|node| misfit(node, item, known));
        }
        (yaml::Value::String(text), _) => match template::whole(text) {
            Some(name) => known.find(name)?.clone(),
            None => Type::String,
        },
        (yaml::Value::Bool(_), _) => Type::Bool,
        (yaml::Value::Number(..), _) => Type::Int,
        (yaml::Value::List(_), _) => Type::List(Box::new(Type::Any)),
        (yaml::Value::Map(_), _) => Type::Record(Record::default()),
        (yaml::Value::Null | yaml::Value::Refused, _) => return None,
    };
    (!is_alike(&given, wanted)).then_some((node.span, given))
}

fn is_alike(given: &Type, wanted: &Type) -> bool {
    match (given, wanted) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::List(given), Type::List(wanted)) => is_alike(given, wanted),
        _ => std::mem::discriminant(given) == std::mem::discriminant(wanted),
    }
}

/// The model of a tree in which nothing is wrong.
fn build(
    root: &Node,
    params: Vec<Param>,
    kinds: &Kinds,
    beside: Beside,
    text: &str,
) -> Result<Runbook, String> {
    let file: File = serde_json::from_value(root.to_json()).map_err(|e| e.to_string())?;
    let cluster = file.targets == TargetKind::Cluster;
    let known = params.iter().map(|p| (p.name.clone(), p.value_type()));
    let known = Record(known.collect());
    let mut earlier = Record::default();
    let mut steps: Vec<Step> = Vec::new();
    for text in file.steps {
        let uses = text.uses.clone();
        let mut step = build_step(text, cluster, &known, &earlier)?;
        if kinds.find(&uses).is_some_and(|kind| kind.beside) {
            // From here on, it is an argument like others.
            let source = step.with.get(SOURCE).and_then(Value::as_str);
            let template = beside.read(source.unwrap_or_default())?;
            if let Some(with) = step.with.as_object_mut() {
                with.insert(TEMPLATE.to_owned(), template.into());
            }
        }
        earlier.0.push((
            step.id.to_string(),
            outcome(kinds.find(&uses), step.for_each.is_some()),
        ));
        steps.push(step);
    }
    Ok(Runbook {
        name: file.name,
        summary: file.summary,
        description: file.description,
        risk: file.risk,
        targets: file.targets,
        r#become: file.r#become,
        params,
        steps,
        text: text.to_owned(),
        beside: beside.into_texts(),
        untrusted: None,
        included: BTreeMap::new(),
    })
}

fn build_step(
    text: StepText,
    cluster: bool,
    params: &Record,
    earlier: &Record,
) -> Result<Step, String> {
    let id = match (&text.id, &text.name) {
        (Some(id), _) => StepId::new(id),
        (None, Some(name)) => StepId::slug(name),
        (None, None) => None,
    };
    let id = id.ok_or("a step has no id")?;
    let scope = match cluster {
        true => StepScope::Run,
        false => text.scope,
    };
    let for_each = text.for_each.map(|each| match each {
        ForEach::List(items) => Value::Array(items),
        ForEach::Template(text) => Value::String(text),
    });
    let item = for_each.as_ref().map(|_| Type::Any);
    let names = names(params, earlier, scope == StepScope::Target, item);
    let when = text
        .when
        .map(|source| Condition::parse(&source, &names))
        .transpose()?;
    Ok(Step {
        name: text.name.unwrap_or_else(|| id.to_string()),
        id,
        uses: text.uses,
        with: Value::Object(text.with.unwrap_or_default().into_iter().collect()),
        scope,
        r#become: text.r#become,
        when,
        for_each,
        retry: text.retry.map(|retry| Retry {
            attempts: retry.attempts,
            every: retry.every.0.as_secs().max(1),
        }),
        timeout: text.timeout.map(|timeout| timeout.0),
        on_failure: text.on_failure,
        keep: text.undo.map(|undo| undo.keep),
    })
}

#[cfg(test)]
mod tests;
