//! Values for parameters: from the command line, files, the environment, answers and defaults.

use super::text::has_template;
use super::{Param, ParamFile, ParamType};
use crate::fault::{Fault, nearest};
use crate::model::Secret;
use crate::runbook::template;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Before the name of a parameter, in capitals, in the environment.
const PREFIX: &str = "RUNBOOK_PARAM_";

/// What was given. What comes first counts, from the top.
#[derive(Clone, Default)]
pub struct Given {
    /// `NAME=VALUE`, as they are typed.
    pub typed: Vec<String>,
    /// In their order; the later one counts.
    pub files: Vec<ParamFile>,
    /// By the parameters' names in capitals; `None`: it is not UTF-8.
    pub environment: BTreeMap<String, Option<String>>,
    /// The nodes that the runbook is applied to: the one there is stands for a parameter `node`.
    pub nodes: Vec<String>,
    /// What a person answered.
    pub answers: BTreeMap<String, Value>,
}

impl fmt::Debug for Given {
    /// Without values: there may be secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("files", &self.files)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Given {
    /// Leaves out of files what is for other parameters.
    pub fn keep_only(&mut self, name: &str) {
        for file in &mut self.files {
            file.values.retain(|known, _| known == name);
        }
    }

    /// Takes what is meant for parameters from an environment.
    pub fn environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<String, Option<String>> {
        variables
            .filter_map(|(name, value)| {
                let name = name.to_str()?.strip_prefix(PREFIX)?.to_owned();
                Some((name, value.into_string().ok()))
            })
            .collect()
    }
}

/// The values of all parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bound {
    /// But for those that are secret.
    pub values: Map<String, Value>,
    pub secrets: BTreeMap<String, Secret>,
}

/// As far as what was given reaches.
#[derive(Debug)]
pub struct Binding<'p> {
    bound: Bound,
    /// What is wrong, one fault each.
    wrong: Vec<Fault>,
    missing: Vec<&'p Param>,
}

/// The values of all parameters, or all that is wrong with what was given, in one fault.
pub fn bind(params: &[Param], given: &Given) -> Result<Bound, Fault> {
    Binding::of(params, given).finish()
}

impl<'p> Binding<'p> {
    pub fn of(params: &'p [Param], given: &Given) -> Self {
        let mut binding = Self {
            bound: Bound::default(),
            wrong: unknown(params, given),
            missing: Vec::new(),
        };
        for param in params {
            match value(param, given) {
                Some(Ok(value)) => binding.put(param, value),
                Some(Err(fault)) => binding.wrong.push(fault),
                None => binding.fall_back(param),
            }
        }
        binding
    }

    /// What would have to be asked for; nothing, where something is wrong already.
    pub fn to_ask(&self) -> &[&'p Param] {
        match self.wrong.is_empty() {
            true => &self.missing,
            false => &[],
        }
    }

    pub fn finish(self) -> Result<Bound, Fault> {
        let mut faults = self.wrong;
        faults.extend(self.missing.into_iter().map(missing));
        match one(faults) {
            Some(fault) => Err(fault),
            None => Ok(self.bound),
        }
    }

    fn put(&mut self, param: &Param, value: Value) {
        match (param.r#type, value) {
            (ParamType::Secret, Value::String(text)) => {
                self.bound
                    .secrets
                    .insert(param.name.clone(), Secret::new(text));
            }
            (ParamType::Secret, _) => {}
            (_, value) => {
                self.bound.values.insert(param.name.clone(), value);
            }
        }
    }

    fn fall_back(&mut self, param: &'p Param) {
        match &param.default {
            None if param.required => self.missing.push(param),
            None => self.put(param, Value::Null),
            Some(default) if !has_template(default) => self.put(param, default.clone()),
            Some(default) => {
                let names = json!({"params": self.bound.values});
                let rendered = template::render(default, &names)
                    .map_err(|e| e.to_string())
                    .and_then(|value| param.check(&value).map(|()| value));
                match rendered {
                    Ok(value) => self.put(param, value),
                    // What is missing or wrong before it may be all that it lacks.
                    Err(_) if !(self.wrong.is_empty() && self.missing.is_empty()) => {}
                    Err(why) => self.wrong.push(
                        Fault::input(
                            "param_default",
                            format!(
                                "the default of parameter `{}` cannot be used: {why}",
                                param.name
                            ),
                        )
                        .next(format!("give it with {}", how(param))),
                    ),
                }
            }
        }
    }
}

/// Checks the names of nodes and hosts among the values, each with `known`, which says what is wrong.
pub fn check_names(
    params: &[Param],
    values: &Map<String, Value>,
    known: impl Fn(ParamType, &str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut faults = Vec::new();
    for param in params {
        let kind = match param.r#type {
            ParamType::List => param.items,
            other => other,
        };
        let Some(value) = values.get(&param.name) else {
            continue;
        };
        if !matches!(kind, ParamType::Node | ParamType::Host) {
            continue;
        }
        let items = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        for name in items.iter().filter_map(Value::as_str) {
            if let Err(mut fault) = known(kind, name) {
                fault.message = format!("parameter `{}`: {}", param.name, fault.message);
                faults.push(fault);
            }
        }
    }
    one(faults).map_or(Ok(()), Err)
}

/// What is typed or written for no parameter there is.
fn unknown(params: &[Param], given: &Given) -> Vec<Fault> {
    let mut faults = Vec::new();
    let known = |name: &str| params.iter().any(|p| p.name == name);
    for pair in &given.typed {
        match pair.split_once('=') {
            Some((name, _)) if known(name) => {}
            Some((name, _)) => faults.push(no_such(params, name, "")),
            None => faults.push(
                Fault::input(
                    "param_form",
                    format!("--param {pair}: there is no `=` in it"),
                )
                .next("write --param NAME=VALUE"),
            ),
        }
    }
    for file in &given.files {
        let names = file.values.keys().filter(|name| !known(name));
        faults.extend(names.map(|name| no_such(params, name, &format!("{}: ", file.path))));
    }
    faults
}

fn no_such(params: &[Param], name: &str, place: &str) -> Fault {
    let names = || params.iter().map(|p| p.name.as_str());
    let fault = Fault::input(
        "unknown_param",
        format!("{place}this runbook has no parameter `{name}`"),
    );
    let list = match names().collect::<Vec<_>>().join(", ") {
        list if list.is_empty() => "it has none".to_owned(),
        list => format!("it has {list}"),
    };
    match nearest(name, names()) {
        Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
        None => fault.next(list),
    }
}

/// What was given for a parameter, from where it counts most.
fn value(param: &Param, given: &Given) -> Option<Result<Value, Fault>> {
    let wrong = |why: String| {
        let fault = Fault::input("param_value", why);
        match param.help.as_str() {
            "" => fault,
            help => fault.next(help),
        }
    };
    let text = |text: &str| param.read_text(text).map_err(wrong);
    let name = param.name.as_str();
    let typed: Vec<&str> = given
        .typed
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .filter(|(typed, _)| *typed == name)
        .map(|(_, text)| text)
        .collect();
    if let [first, rest @ ..] = typed.as_slice() {
        return Some(match (param.r#type, rest) {
            (ParamType::Secret, _) => Err(Fault::input(
                "param_secret",
                format!(
                    "parameter `{name}` is a secret, and everybody on this machine can read a command line"
                ),
            )
            .next(secret_ways(param))),
            (ParamType::List, _) => {
                let list = param.read_list(typed.iter().copied());
                param.check(&list).map(|()| list).map_err(wrong)
            }
            (_, []) => text(first),
            (_, _) => Err(
                Fault::input("param_twice", format!("parameter `{name}` is given twice"))
                    .next("give it once"),
            ),
        });
    }
    let file = given
        .files
        .iter()
        .rev()
        .find_map(|f| Some((f, f.values.get(name)?)));
    if let Some((file, value)) = file {
        if param.r#type == ParamType::Secret && file.shared {
            return Some(Err(Fault::input(
                "param_file_shared",
                format!(
                    "{}: it has the secret `{name}`, and others than its owner can read it",
                    file.path
                ),
            )
            .next("chmod 600 FILE, or give a pipe")));
        }
        let fits = param.check(value).map(|()| value.clone());
        return Some(fits.map_err(|why| {
            let fault = wrong(format!("{}: {why}", file.path));
            match quotes(param, value) {
                Some(next) => fault.next(next),
                None => fault,
            }
        }));
    }
    if let Some(value) = given.environment.get(&name.to_ascii_uppercase()) {
        let value = value
            .as_deref()
            .ok_or_else(|| wrong(format!("{}: it is not UTF-8", variable(param))));
        return Some(value.and_then(|value| {
            param
                .read_text(value)
                .map_err(|why| wrong(format!("{}: {why}", variable(param))))
        }));
    }
    if let Some(answer) = given.answers.get(name) {
        return Some(Ok(answer.clone()));
    }
    match (param.r#type, name, given.nodes.as_slice()) {
        (ParamType::Node, "node", [node]) => Some(text(node)),
        _ => None,
    }
}

/// What to do about a value that is right but for its quotes.
fn quotes(param: &Param, value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) if param.read_text(text).is_ok() => Some("write it without quotes"),
        Value::Number(_) | Value::Bool(_) if param.read_text(&value.to_string()).is_ok() => {
            Some("write it in quotes")
        }
        _ => None,
    }
}

fn missing(param: &Param) -> Fault {
    let fault = Fault::input(
        "param_missing",
        format!("parameter `{}` is not given", param.name),
    );
    let ways = match param.r#type {
        ParamType::Secret => secret_ways(param),
        _ => format!("add {}", how(param)),
    };
    match param.help.as_str() {
        "" => fault.next(ways),
        help => fault.next(format!("{ways}: {help}")),
    }
}

fn how(param: &Param) -> String {
    format!("--param {}=VALUE", param.name)
}

fn variable(param: &Param) -> String {
    format!("{PREFIX}{}", param.name.to_ascii_uppercase())
}

fn secret_ways(param: &Param) -> String {
    format!(
        "set {} in the environment, put it into a file for --params, or let it be asked for on a terminal",
        variable(param)
    )
}

/// One fault of several: by itself where there is only one.
fn one(mut faults: Vec<Fault>) -> Option<Fault> {
    let (first, second) = (faults.pop()?, faults.last().map(|f| f.code.clone()));
    if second.is_none() {
        return Some(first);
    }
    faults.push(first);
    let lines = faults.iter().map(|fault| match &fault.next {
        Some(next) => format!("{} ({next})", fault.message),
        None => fault.message.clone(),
    });
    let message = format!("{} parameters are wrong or missing", faults.len());
    let several = Fault::input("params_wrong", message).list(lines.collect());
    // A code of their own, where all are of one kind.
    let code = second.filter(|code| faults.iter().all(|fault| fault.code == *code));
    Some(Fault {
        code: code.unwrap_or_else(|| several.code.clone()),
        ..several
    })
}

#[cfg(test)]
mod tests;
