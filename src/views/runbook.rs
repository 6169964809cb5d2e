//! A runbook as people read it before they apply it.

use super::text::{clean, paragraph, seconds, width};
use crate::model::{Identity, Method};
use crate::runbook::{
    Entry, Found, Kinds, OnFailure, Param, ParamType, Runbook, Source, Step, StepScope, TargetKind,
};
use console::style;
use serde_json::Value;

/// All of a runbook.
pub fn render_runbook(found: &Found, kinds: &Kinds) -> String {
    let mut page = Page::new();
    let runbook = &found.runbook;
    page.head(runbook);
    page.line("");
    let from = match &found.source {
        Source::Shipped => "ships with runbook".to_owned(),
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
    page.params(&runbook.params, "Parameters");
    page.line("");
    page.title("Steps");
    for (n, step) in runbook.steps.iter().enumerate() {
        page.step(n + 1, step, runbook);
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
    page.params(
        &runbook.params,
        "Its parameters, each given with --param NAME=VALUE",
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
        let mut from = match &entry.source {
            Source::Shipped => "ships with runbook".to_owned(),
            file => format!("from {file}"),
        };
        if let Some(others) = overridden(&entry.overrides) {
            from.push_str(&format!("; overrides {others}"));
        }
        let line = paragraph(&format!("{blank}  "), &from, page.width);
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
pub fn render_override(found: &Found) -> Option<String> {
    let others = overridden(&found.overrides)?;
    let (name, source) = (&found.runbook.name, &found.source);
    Some(clean(&format!(
        "{name} is read from {source}, which overrides {others}."
    )))
}

fn overridden(others: &[Source]) -> Option<String> {
    let others: Vec<String> = others.iter().map(Source::to_string).collect();
    (!others.is_empty()).then(|| others.join(" and "))
}

struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn new() -> Self {
        Self {
            out: String::new(),
            width: width(),
        }
    }

    fn head(&mut self, runbook: &Runbook) {
        let name = clean(&runbook.name);
        let text = paragraph(&format!("{name}: "), &runbook.summary, self.width);
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

    fn step(&mut self, n: usize, step: &Step, runbook: &Runbook) {
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

    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn paragraph(&mut self, first: &str, text: &str) {
        let text = paragraph(first, text, self.width);
        self.line(&text);
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
        let every = seconds(retry.every);
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
mod tests {
    use super::*;
    use crate::actions::kinds;
    use crate::fault::Fault;
    use crate::runbook::{Library, Retry, read};
    use std::path::PathBuf;
    use std::time::Duration;

    const TEXT: &str = r#"
apiVersion: runbook/v1
name: look-after
summary: "Say who looks after it\e[31m"
risk: high
targets: nodes
become: {user: root}
params:
  who: {type: string, pattern: '[a-z ]+', help: "Who\nlooks after it"}
  peers: {type: list, items: ip, default: [192.0.2.1, 192.0.2.2]}
  mode: {type: enum, values: [enforce, warn], default: warn, help: How strictly}
  within: {type: duration, min: 5s, max: 10m, default: 5m}
  token: {type: secret}
  note: {type: string, required: false}
steps:
  - id: room
    uses: host.assert
    with: {reads: df, that: 'true', because: full}
  - id: motd
    name: Write it into the message of the day
    uses: host.file
    when: params.mode == 'enforce'
    with: {path: /etc/motd, state: absent}
  - id: tag
    uses: host.script
    become: {user: keeper, method: su}
    with: {apply: 'true'}
  - id: label
    uses: kube.node_metadata
    scope: run
    with: {labels: {a: b}}
"#;

    fn found() -> Found {
        let mut runbook = read(TEXT, "look-after.yaml").unwrap();
        let step = &mut runbook.steps[1];
        step.for_each = Some(Value::from("{{ params.peers }}"));
        step.retry = Some(Retry {
            attempts: 3,
            every: Duration::from_secs(5),
        });
        step.timeout = Some(Duration::from_secs(60));
        step.on_failure = OnFailure::Continue;
        runbook.steps[3].keep = Some("a label does no harm".to_owned());
        runbook.steps[3].on_failure = OnFailure::Stop;
        runbook.untrusted = Some("others than you can write to it".to_owned());
        Found {
            runbook,
            source: Source::File(PathBuf::from("./runbooks/look-after.yaml")),
            overrides: vec![Source::Shipped],
        }
    }

    #[test]
    fn a_runbook_is_shown_with_all_that_its_text_tells() {
        insta::assert_snapshot!(render_runbook(&found(), &kinds()));
    }

    #[test]
    fn the_shipped_runbook_is_shown() {
        let found = Library::default().find("fix-bgp-wrong-ip").unwrap();
        insta::assert_snapshot!(render_runbook(&found, &kinds()));
    }

    #[test]
    fn an_override_is_said() {
        let mut found = found();
        found
            .overrides
            .insert(0, Source::File(PathBuf::from("other.yaml")));
        insta::assert_snapshot!(render_override(&found).unwrap(), @"look-after is read from ./runbooks/look-after.yaml, which overrides other.yaml and the one that ships with runbook.");
        found.overrides.clear();
        assert_eq!(render_override(&found), None);
    }

    #[test]
    fn what_undo_brings_back_is_not_mentioned() {
        let mut found = found();
        found.runbook.steps.truncate(1);
        let text = render_runbook(&found, &kinds());
        assert!(text.contains("undo brings everything back"), "{text}");
    }

    #[test]
    fn help_has_the_parameters() {
        insta::assert_snapshot!(render_runbook_help(&found().runbook));
    }

    #[test]
    fn the_list_says_where_each_comes_from() {
        let entry = |name: &str, source, overrides, runbook| Entry {
            name: name.to_owned(),
            source,
            overrides,
            runbook,
        };
        let file = |path: &str| Source::File(PathBuf::from(path));
        let wrong = Fault::input("x", "bad.yaml: risk: unknown variant").list(vec!["one".into()]);
        insta::assert_snapshot!(render_list(&[
            entry(
                "bad\u{1b}",
                file("bad.yaml"),
                vec![Source::Shipped],
                Err(wrong)
            ),
            entry(
                "look-after",
                file("./runbooks/look-after.yaml"),
                vec![Source::Shipped],
                Ok(found().runbook)
            ),
            entry("x", Source::Shipped, Vec::new(), Ok(found().runbook)),
        ]));
    }
}
