//! A runbook as people read it before they apply it.

use super::page::Page;
use super::text::{clean, seconds};
use crate::model::{Identity, Method, OnFailure};
use crate::runbook::{
    Entry, Kinds, Located, Origin, Param, ParamType, Runbook, Step, StepScope, TargetKind,
};
use console::style;
use serde_json::Value;
use std::time::Duration;

/// All of a runbook.
pub fn render_runbook(found: &Located, kinds: &Kinds) -> String {
    let mut page = Page::new();
    let runbook = &found.runbook;
    page.head(runbook);
    page.line("");
    let from = match &found.origin {
        Origin::Shipped => "ships with runbook".to_owned(),
        file => file.to_string(),
    };
    let from = match overridden(&found.overrides) {
        None => from,
        Some(others) => format!("{from}; overrides {others}"),
    };
    for (name, value) in [
        ("for", targets(runbook.targets).to_owned()),
        ("risk", runbook.risk.to_string()),
        (
            "as",
            whom(runbook.r#become.as_ref().map(|b| Identity::Become {
                user: b.user.clone(),
                method: b.method,
            })),
        ),
        ("from", from),
    ] {
        page.paragraph(&format!("  {name:<5} "), &value);
    }
    if let Some(why) = &runbook.untrusted {
        let text = format!("its programs are not run for a mere plan: {why}");
        page.paragraph("  but   ", &text);
    }
    if let Some(description) = &runbook.description {
        for part in description.trim().split("\n\n") {
            page.line("");
            page.paragraph("", part);
        }
    }
    page.params(&runbook.params, "Parameters");
    page.line("");
    page.title("Steps");
    for (n, step) in runbook.steps.iter().enumerate() {
        page.numbered(n + 1, step, runbook);
    }
    page.line("");
    page.undo(runbook, kinds);
    page.out
}

/// What `--help` says of a runbook besides the options.
pub fn render_runbook_help(runbook: &Runbook) -> String {
    let mut page = Page::new();
    page.head(runbook);
    page.paragraph("  for ", targets(runbook.targets));
    let (secrets, params): (Vec<Param>, Vec<Param>) = runbook
        .params
        .iter()
        .cloned()
        .partition(|param| param.r#type == ParamType::Secret);
    page.params(
        &params,
        "Its parameters, each given with --param NAME=VALUE",
    );
    page.params(
        &secrets,
        "Its secrets, each given in a file for --params, or typed where it is asked for",
    );
    page.out
}

/// The runbooks there are.
pub fn render_list(entries: &[Entry]) -> String {
    let mut page = Page::new();
    let longest = entries
        .iter()
        .map(|entry| clean(&entry.name).chars().count());
    let column = longest.max().unwrap_or_default().min(32);
    let blank = " ".repeat(column);
    let mut unusable = Vec::new();
    for entry in entries {
        let Ok(runbook) = &entry.runbook else {
            unusable.push(entry);
            continue;
        };
        let name = clean(&entry.name);
        page.paragraph(&format!("{name:<column$}  "), &runbook.summary);
        let mut from = match &entry.origin {
            Origin::Shipped => "ships with runbook".to_owned(),
            file => format!("from {file}"),
        };
        if let Some(others) = overridden(&entry.overrides) {
            from.push_str(&format!("; overrides {others}"));
        }
        let line = page.wrapped(&format!("{blank}  "), &from);
        page.line(&style(line).dim().to_string());
    }
    if !unusable.is_empty() {
        page.line("");
        page.title("Cannot be used");
    }
    for entry in unusable {
        let Err(fault) = &entry.runbook else {
            continue;
        };
        page.paragraph(&format!("  {}: ", clean(&entry.name)), &fault.message);
        for line in &fault.list {
            page.paragraph("    - ", line);
        }
        if let Some(others) = overridden(&entry.overrides) {
            let text = format!("until it is put right, it stands before {others}");
            page.paragraph("    ", &text);
        }
    }
    page.out
}

/// Which others a runbook overrides, in one line; nothing, where there are none.
pub fn render_override(found: &Located) -> Option<String> {
    let others = overridden(&found.overrides)?;
    let (name, origin) = (&found.runbook.name, &found.origin);
    Some(clean(&format!(
        "{name} is read from {origin}, which overrides {others}."
    )))
}

fn overridden(others: &[Origin]) -> Option<String> {
    let others: Vec<String> = others.iter().map(Origin::to_string).collect();
    (!others.is_empty()).then(|| others.join(" and "))
}

impl Page {
    fn head(&mut self, runbook: &Runbook) {
        let name = clean(&runbook.name);
        let text = self.wrapped(&format!("{name}: "), &runbook.summary);
        let rest = text.strip_prefix(name.as_str()).unwrap_or_default();
        self.line(&format!("{}{rest}", style(&name).bold()));
    }

    fn title(&mut self, title: &str) {
        self.line(&style(title).bold().to_string());
    }

    fn params(&mut self, params: &[Param], title: &str) {
        if params.is_empty() {
            return;
        }
        self.line("");
        self.title(title);
        let longest = params.iter().map(|p| p.name.chars().count());
        let column = longest.max().unwrap_or_default().min(24);
        for param in params {
            let first = format!("  {:<column$}  ", clean(&param.name));
            self.paragraph(&first, &format!("{}; {}", param.expects(), presence(param)));
            if !param.help.is_empty() {
                self.paragraph(&" ".repeat(column + 4), &param.help);
            }
        }
    }

    fn numbered(&mut self, n: usize, step: &Step, runbook: &Runbook) {
        let id = clean(step.id.as_str());
        let name = match step.name == step.id.as_str() {
            true => String::new(),
            false => format!(": {}", step.name),
        };
        let first = format!("  {n:>2}. ");
        self.paragraph(&first, &format!("{id}{name}"));
        let scope = match (step.scope, runbook.targets) {
            (StepScope::Run, _) | (_, TargetKind::Cluster) => "once for the run",
            (StepScope::Target, _) => "at each target",
        };
        let blank = " ".repeat(first.chars().count());
        self.paragraph(&blank, &format!("{}, {scope}", step.uses));
        for line in circumstances(step) {
            self.paragraph(&blank, &line);
        }
    }

    fn undo(&mut self, runbook: &Runbook, kinds: &Kinds) {
        let lost: Vec<(&Step, String)> = runbook
            .steps
            .iter()
            .filter_map(|step| {
                let kept = step
                    .keep
                    .as_ref()
                    .map(|why| format!("stays as it is: {why}"));
                let lost = || {
                    let kind = kinds.find(&step.uses)?;
                    (kind.lost)(&step.with).map(str::to_owned)
                };
                Some((step, kept.or_else(lost)?))
            })
            .collect();
        if lost.is_empty() {
            self.paragraph(
                "",
                "As far as its text tells, undo brings everything back. `runbook plan` says it for certain.",
            );
            return;
        }
        self.title("What undo does not bring back for certain");
        for (step, why) in lost {
            self.paragraph(&format!("  {}: ", clean(step.id.as_str())), &why);
        }
        self.paragraph(
            "",
            "This is as far as its text tells; `runbook plan` says it for certain.",
        );
    }
}

/// Under which conditions a step is done, and what follows if it fails.
fn circumstances(step: &Step) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(r#become) = &step.r#become {
        let identity = Identity::Become {
            user: r#become.user.clone(),
            method: r#become.method,
        };
        lines.push(format!("as {}", whom(Some(identity))));
    }
    if let Some(when) = &step.when {
        lines.push(format!("when {}", when.source()));
    }
    match &step.for_each {
        Some(Value::String(items)) => lines.push(format!("for each of {items}")),
        Some(items) => lines.push(format!("for each of {items}")),
        None => {}
    }
    if let Some(retry) = step.retry {
        let every = seconds(Duration::from_secs(retry.every));
        lines.push(format!(
            "tried up to {} times, every {every}",
            retry.attempts
        ));
    }
    if let Some(timeout) = step.timeout {
        lines.push(format!("for at most {}", seconds(timeout)));
    }
    match step.on_failure {
        OnFailure::Undo => {}
        OnFailure::Stop => {
            lines.push("if it fails, the run ends, and what was done stays".to_owned())
        }
        OnFailure::Continue => {
            lines.push("if it certainly fails, the run goes on without it".to_owned())
        }
    }
    lines
}

fn targets(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Nodes => "nodes of the cluster, each given with --node",
        TargetKind::Cluster => "the cluster itself",
    }
}

fn whom(identity: Option<Identity>) -> String {
    match identity {
        None | Some(Identity::Login) => "whoever logs in".to_owned(),
        Some(Identity::Become { user, method }) => match method {
            Method::Sudo => format!("{user}, by sudo"),
            Method::Su => format!("{user}, by su"),
        },
    }
}

/// What happens where no value is given.
fn presence(param: &Param) -> String {
    match &param.default {
        Some(default) => format!("{} if left out", value(default)),
        None if !param.required => "may be left out".to_owned(),
        None if param.r#type == ParamType::Secret => {
            "must be given, but not on the command line".to_owned()
        }
        None if param.r#type == ParamType::Node && param.name == "node" => {
            "the one of --node if left out".to_owned()
        }
        None => "must be given".to_owned(),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(self::value).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
