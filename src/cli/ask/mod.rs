//! Asking for what the command line does not say.

mod choice;
mod keys;
mod line;

use crate::fault::Fault;
use crate::runbook::{Binding, Given, Param, ParamType};
use crate::views::clean;
use console::Term;
use keys::Terminal;
use serde_json::Value;
use std::io;

/// The names that can be chosen from.
#[derive(Debug, Default)]
pub struct Known {
    pub nodes: Vec<String>,
    /// Empty, where there is no inventory: any name may be one.
    pub hosts: Vec<String>,
}

impl Known {
    /// What a parameter is chosen from, if it is.
    fn choices<'a>(&'a self, param: &'a Param) -> Option<&'a [String]> {
        let choices = match kind(param) {
            ParamType::Enum => &param.values,
            ParamType::Node => &self.nodes,
            ParamType::Host => &self.hosts,
            _ => return None,
        };
        (!choices.is_empty()).then_some(choices.as_slice())
    }
}

/// The type of a parameter, or of its items.
fn kind(param: &Param) -> ParamType {
    match param.r#type {
        ParamType::List => param.items,
        other => other,
    }
}

/// Whether asking for a parameter takes the names of the cluster's nodes.
pub fn takes_nodes(param: &Param) -> bool {
    kind(param) == ParamType::Node
}

/// Asks for the nodes that a runbook is applied to.
pub fn nodes(runbook: &str, known: &Known) -> Result<Vec<String>, Fault> {
    let question = format!("Which nodes is {runbook} for?");
    let asked = Terminal::open().and_then(|mut keys| {
        choice::ask(&mut keys, &Term::stderr(), &question, &known.nodes, true)
    });
    answered(asked)
}

/// Asks for one of several values, each shown in words.
pub fn choice(question: &str, among: &[(String, String)]) -> Result<String, Fault> {
    let shown: Vec<String> = among.iter().map(|(_, shown)| shown.clone()).collect();
    let asked = Terminal::open().and_then(|mut keys| {
        choice::ask(&mut keys, &Term::stderr(), &clean(question), &shown, false)
    });
    let chosen = answered(asked)?;
    let value = among
        .iter()
        .find(|(_, shown)| chosen.first() == Some(shown))
        .map(|(value, _)| value.clone());
    answered(Ok(value))
}

/// Asks for all parameters that must have a value and have none.
pub fn missing(params: &[Param], given: &mut Given, known: &Known) -> Result<(), Fault> {
    let to_ask: Vec<Param> = Binding::of(params, given)
        .to_ask()
        .iter()
        .map(|param| (*param).clone())
        .collect();
    for one in to_ask {
        let answer = tokio::task::block_in_place(|| param(&one, known))?;
        given.answers.insert(one.name, answer);
    }
    Ok(())
}

/// Asks for a parameter's value.
fn param(param: &Param, known: &Known) -> Result<Value, Fault> {
    let asked = Terminal::open().and_then(|mut keys| ask(&mut keys, &Term::stderr(), param, known));
    answered(asked)
}

fn answered<T>(asked: io::Result<Option<T>>) -> Result<T, Fault> {
    match asked {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) | Err(_) => Err(Fault::refused(
            "not_answered",
            "the question was not answered: nothing was done",
        )),
    }
}

fn ask(
    keys: &mut dyn keys::Keys,
    term: &Term,
    param: &Param,
    known: &Known,
) -> io::Result<Option<Value>> {
    let secret = param.r#type == ParamType::Secret;
    let how = match param.r#type {
        ParamType::Secret => format!("{}; it is not shown", param.expects()),
        ParamType::List if known.choices(param).is_none() => {
            format!("{}; with commas between", param.expects())
        }
        _ => param.expects(),
    };
    let help = match param.help.as_str() {
        "" => how,
        help => format!("{help} ({how})"),
    };
    term.write_line(&clean(&help))?;
    let name = clean(&param.name);
    if let Some(choices) = known.choices(param) {
        let several = param.r#type == ParamType::List;
        loop {
            let Some(chosen) = choice::ask(keys, term, &format!("{name}:"), choices, several)?
            else {
                return Ok(None);
            };
            let value = match (several, chosen.as_slice()) {
                (false, [one]) => Value::from(one.as_str()),
                _ => Value::from(chosen),
            };
            match param.check(&value) {
                Ok(()) => return Ok(Some(value)),
                Err(why) => term.write_line(&format!("  {}", clean(&why)))?,
            }
        }
    }
    if param.r#type == ParamType::Bool {
        let read = |text: &str| match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "true" => Ok(Value::from(true)),
            "" | "n" | "no" | "false" => Ok(Value::from(false)),
            _ => Err("answer y or n".to_owned()),
        };
        return line::ask(keys, term, &format!("{name}? [y/N] "), false, read);
    }
    line::ask(keys, term, &format!("{name}: "), secret, |text| {
        let empty = text.is_empty() && param.r#type != ParamType::List;
        match empty {
            true => Err("it is empty".to_owned()),
            false => param.read_text(text),
        }
    })
}
