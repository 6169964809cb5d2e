//! What the names in a step's templates and conditions stand for: parameters, the target, the item,
//! and what earlier steps do and find. What is not known yet is never guessed.

use crate::actions::rendering;
use crate::fault::Fault;
use crate::journal::StepResult;
use crate::model::{PlannedStep, Prior, Scope, StepId, Verdict};
use crate::runbook::{
    Absent, Condition, FactNames, Runbook, Step, names_in_templates, render_arguments, uses_facts,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The runbook in which a step stands, with what its names stand for.
#[derive(Debug, Clone)]
pub struct Context<'r> {
    pub runbook: &'r Runbook,
    /// The step that includes it.
    pub prefix: Option<StepId>,
    /// What the steps that include it are called, for people.
    pub title: String,
    pub params: Map<String, Value>,
    pub item: Option<(String, Value)>,
}

impl Context<'_> {
    /// The id of one of its steps in a plan.
    pub fn id(&self, step: &StepId) -> StepId {
        match &self.prefix {
            None => step.clone(),
            Some(prefix) => prefix.inner(step),
        }
    }

    /// What one of its steps is called, for people.
    pub fn name(&self, step: &Step) -> String {
        match &self.item {
            Some((key, _)) => format!("{}{} ({key})", self.title, step.name),
            None => format!("{}{}", self.title, step.name),
        }
    }

    fn names(&self, scope: &Scope) -> Map<String, Value> {
        let mut names = Map::new();
        names.insert("params".to_owned(), Value::Object(self.params.clone()));
        if let Scope::Target(target) = scope {
            let target = json!({"name": target.name, "node": target.name});
            names.insert("target".to_owned(), target);
        }
        if let Some((_, item)) = &self.item {
            names.insert("item".to_owned(), item.clone());
        }
        names
    }
}

/// The steps before one.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// Those that are decided, and not done yet.
    pub planned: &'a [PlannedStep],
    /// Those that are done, and the last word on each.
    pub done: &'a [PlannedStep],
    pub ended: &'a [(StepId, Scope, StepResult)],
}

impl<'a> Earlier<'a> {
    /// What is decided, and will have changed things by then.
    pub fn prior(self) -> Prior<'a> {
        Prior {
            steps: self.planned,
        }
    }
}

/// What a value is that rests on earlier steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved<T> {
    Is(T),
    /// There is no need of it; says why.
    Idle(String),
    /// It is known when its turn comes; says what it waits for.
    Later(String),
    /// It will never be known; says why.
    Never(String),
}

impl<T> Resolved<T> {
    /// The same where there is no value.
    pub fn of_another<U>(self) -> Resolved<U> {
        match self {
            Self::Idle(why) => Resolved::Idle(why),
            Self::Later(why) => Resolved::Later(why),
            Self::Never(why) => Resolved::Never(why),
            Self::Is(_) => Resolved::Never("it has a value already".to_owned()),
        }
    }
}

/// The facts of a step's host as they are now, where it uses any.
#[derive(Debug, Clone)]
pub struct HostFacts {
    pub facts: Arc<FactNames>,
    /// The earlier step that may change them before its turn comes.
    pub first: Option<StepId>,
}

/// What the names of one step stand for.
pub struct Known {
    names: Value,
    /// The facts of its host, where an earlier step may change them first.
    now: Option<Arc<FactNames>>,
    /// Names without a value yet, in dotted form, and why.
    missing: Vec<(String, Missing)>,
}

#[derive(Debug, Clone)]
enum Missing {
    Later(String),
    Never(String),
    /// There is no such thing, and `has` says so.
    Absent(String),
}

impl Missing {
    fn resolved<T>(self) -> Resolved<T> {
        match self {
            Self::Later(why) => Resolved::Later(why),
            Self::Never(why) | Self::Absent(why) => Resolved::Never(why),
        }
    }

    fn of(absent: &Absent) -> Self {
        match absent.applies {
            true => Self::Never(absent.words()),
            false => Self::Absent(format!(
                "{}: let `has({})` stand before it",
                absent.words(),
                absent.name
            )),
        }
    }
}

impl Known {
    pub fn of(
        context: &Context<'_>,
        scope: &Scope,
        earlier: Earlier<'_>,
        facts: Option<HostFacts>,
    ) -> Self {
        let mut names = context.names(scope);
        let mut missing = Vec::new();
        let now = match facts {
            None => {
                let why = "it rests on facts of its host, which were not read".to_owned();
                missing.push(("facts".to_owned(), Missing::Later(why)));
                None
            }
            Some(HostFacts { facts, first: None }) => {
                names.insert("facts".to_owned(), facts.value().clone());
                for absent in facts.absent() {
                    missing.push((absent.name.clone(), Missing::of(absent)));
                }
                None
            }
            Some(HostFacts {
                facts,
                first: Some(first),
            }) => {
                let why =
                    format!("it rests on facts of its host, which `{first}` may change first");
                missing.push(("facts".to_owned(), Missing::Later(why)));
                Some(facts)
            }
        };
        let mut steps = Map::new();
        for step in &context.runbook.steps {
            let id = context.id(&step.id);
            let Some(found) = Found::of(&id, scope, earlier) else {
                continue;
            };
            let at = format!("steps.{}", step.id);
            let mut fields = Map::new();
            match found.changed {
                Ok(changed) => {
                    fields.insert("changed".to_owned(), Value::Bool(changed));
                }
                Err(why) => missing.push((format!("{at}.changed"), why)),
            }
            match found.outputs {
                Ok(outputs) => fields.extend(outputs),
                Err(why) => missing.push((at, why)),
            }
            steps.insert(step.id.to_string(), Value::Object(fields));
        }
        names.insert("steps".to_owned(), Value::Object(steps));
        Self {
            names: Value::Object(names),
            now,
            missing,
        }
    }

    /// Arguments with their templates rendered.
    pub fn render(&self, uses: &str, with: &Value) -> Result<Resolved<Value>, String> {
        let used = names_in_templates(with);
        match render_arguments(rendering(uses), with, &self.names) {
            Ok(value) => Ok(Resolved::Is(value)),
            Err(e) => self
                .resolve(&used)
                .map(|resolved| self.with_now(resolved, &used))
                .ok_or_else(|| e.to_string()),
        }
    }

    /// What waits for facts, with what they are now.
    fn with_now<T>(&self, resolved: Resolved<T>, used: &[String]) -> Resolved<T> {
        match (&self.now, resolved) {
            (Some(now), Resolved::Later(why)) => match now.said(used).as_str() {
                "" => Resolved::Later(why),
                said => Resolved::Later(format!("{why} (now {said})")),
            },
            (_, resolved) => resolved,
        }
    }

    /// Whether a condition holds. What it does not look at need not be known.
    pub fn holds(&self, condition: &Condition) -> Result<Resolved<bool>, String> {
        let used = condition.names();
        // What takes a step's record as a whole would find nothing where something will be.
        let whole = |name: &&String| {
            let mut parts = name.split('.');
            parts.next() == Some("steps") && parts.count() < 2
        };
        let lacks = used.iter().filter(whole).find_map(|name| {
            let lacking = self.missing.iter().find(|(of, _)| is_within(of, name));
            lacking.map(|(_, missing)| missing.clone())
        });
        // `has` would say no of what is only not known.
        let asked = condition.tested().into_iter().find_map(|name| {
            let lacking = self.missing.iter().find(|(of, missing)| {
                uses_facts(of) && is_within(&name, of) && !matches!(missing, Missing::Absent(_))
            });
            lacking.map(|(_, missing)| missing.clone())
        });
        let resolved = match (lacks.or(asked), condition.holds(&self.names)) {
            (Some(missing), _) => missing.resolved(),
            (None, Ok(holds)) => return Ok(Resolved::Is(holds)),
            (None, Err(e)) => self.resolve(&used).ok_or(e)?,
        };
        let Some(now) = &self.now else {
            return Ok(resolved);
        };
        // It is decided when its turn comes; what it would be by now, the plan may say.
        let besides = self.names.as_object().cloned().unwrap_or_default();
        let would = match now.holds(condition, besides) {
            Ok(true) => ", and so it would be done",
            Ok(false) => ", and so it would not be needed",
            Err(_) => "",
        };
        Ok(match self.with_now(resolved, &used) {
            Resolved::Later(why) => Resolved::Later(match why.strip_suffix(')') {
                Some(why) => format!("{why}{would})"),
                None => why,
            }),
            resolved => resolved,
        })
    }

    /// Why one of the names has no value.
    fn resolve<T>(&self, used: &[String]) -> Option<Resolved<T>> {
        let known = |used: &String| {
            let pointer = format!("/{}", used.replace('.', "/"));
            self.names.pointer(&pointer).is_some()
        };
        let missing = used.iter().filter(|used| !known(used)).find_map(|used| {
            let longest = self
                .missing
                .iter()
                .filter(|(name, _)| is_within(used, name));
            longest.max_by_key(|(name, _)| name.len())
        })?;
        Some(missing.1.clone().resolved())
    }
}

/// Whether a dotted name is another, or stands below it.
pub(super) fn is_within(name: &str, other: &str) -> bool {
    match name.strip_prefix(other) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => false,
    }
}

/// What an earlier step does and finds.
struct Found {
    changed: Result<bool, Missing>,
    outputs: Result<Map<String, Value>, Missing>,
}

impl Found {
    /// `None`: no such step stands before this one.
    fn of(id: &StepId, scope: &Scope, earlier: Earlier<'_>) -> Option<Self> {
        let of = |steps| Prior { steps }.of(id, scope);
        let planned: Vec<&PlannedStep> = of(earlier.planned).collect();
        if !planned.is_empty() {
            return Some(Self::planned(id, &planned));
        }
        let done: Vec<&PlannedStep> = of(earlier.done).collect();
        if done.is_empty() {
            return None;
        }
        let changed = earlier.ended.iter().any(|(ended, at, result)| {
            ended.is_of(id)
                && at.is_seen_from(scope)
                && matches!(result, StepResult::Verified { changed: true })
        });
        let outputs = match one(id, &done) {
            Some(step) if !step.outputs.is_empty() => Ok(step.outputs.clone()),
            _ => Err(Missing::Never(format!(
                "`{id}` gave no output: it had nothing to do, or what it printed is not kept"
            ))),
        };
        Some(Self {
            changed: Ok(changed),
            outputs,
        })
    }

    fn planned(id: &StepId, steps: &[&PlannedStep]) -> Self {
        let late = steps.iter().find(|step| step.is_late());
        let changed = match late {
            Some(step) => Err(Missing::Later(format!(
                "it rests on `{}`, which is decided only when its turn comes",
                step.id
            ))),
            None => Ok(steps.iter().any(|step| step.verdict.changes())),
        };
        let outputs = match one(id, steps) {
            Some(step) if !step.outputs.is_empty() => Ok(step.outputs.clone()),
            Some(step) if matches!(step.verdict, Verdict::NoChange { .. }) => {
                Err(Missing::Never(format!(
                    "`{id}` has nothing to do, and so gives no output: let `when: steps.{}.changed` \
                     stand before it",
                    id.as_str().rsplit('/').next().unwrap_or_default()
                )))
            }
            None if steps.len() > 1 => {
                Err(Missing::Never(match steps.iter().all(|s| s.id == *id) {
                    true => {
                        format!("`{id}` happens at several nodes, and gives one output for each")
                    }
                    false => {
                        format!("`{id}` consists of several steps, and gives no output of its own")
                    }
                }))
            }
            _ => Err(Missing::Later(format!(
                "it rests on what `{id}` gives, which is known once that has run"
            ))),
        };
        Self { changed, outputs }
    }
}

/// The step itself, where it is not one of several.
fn one<'a>(id: &StepId, steps: &[&'a PlannedStep]) -> Option<&'a PlannedStep> {
    match steps {
        [one] if one.id == *id => Some(one),
        _ => None,
    }
}

/// The steps of the same runbook that are named in a value's templates, or in a condition.
pub fn steps_named(values: &[&Value], condition: Option<&Condition>) -> Vec<String> {
    let templates = values.iter().flat_map(|value| names_in_templates(value));
    let names = templates.chain(condition.map(Condition::names).unwrap_or_default());
    let mut steps: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix("steps.")?.split('.').next()?.to_owned()))
        .collect();
    steps.sort();
    steps.dedup();
    steps
}

/// Whether a step names facts of its host.
pub fn names_facts(step: &Step) -> bool {
    let templates = step.for_each.iter().chain([&step.with]);
    let mut names = templates
        .flat_map(names_in_templates)
        .chain(step.when.iter().flat_map(Condition::names));
    names.any(|name| uses_facts(&name))
}

/// The items that a step is repeated for, each with its key.
pub fn items(value: &Value) -> Result<Vec<(String, Value)>, Fault> {
    let wrong = |what: String| Fault::input("for_each", format!("for_each: {what}"));
    let listed: Vec<Value> = match value {
        Value::Array(items) => items.clone(),
        // What a program prints, line by line.
        Value::String(text) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(Value::from)
            .collect(),
        other => return Err(wrong(format!("it needs a list, and this is {other}"))),
    };
    let mut items: Vec<(String, Value)> = Vec::new();
    for item in listed {
        let key = match &item {
            Value::String(text) => text.clone(),
            Value::Object(map) => match map.get("key").or_else(|| map.get("name")) {
                Some(Value::String(key)) => key.clone(),
                _ => {
                    return Err(wrong(format!(
                        "{item} needs a `key` or a `name` by which it is known"
                    )));
                }
            },
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            other => return Err(wrong(format!("{other} cannot be an item"))),
        };
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(wrong(format!(
                "an item is known by 1 to {LONGEST_KEY} bytes, and `{key}` has {}",
                key.len()
            )));
        }
        if items.iter().any(|(known, _)| *known == key) {
            return Err(wrong(format!("`{key}` is there twice")));
        }
        items.push((key, item));
    }
    Ok(items)
}

/// Bytes by which an item may be known.
const LONGEST_KEY: usize = 200;

#[cfg(test)]
mod tests;
