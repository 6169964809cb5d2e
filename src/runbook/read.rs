//! Text to model. Everything that can be wrong with a runbook without looking at the world is found
//! here.

use super::condition::Condition;
use super::kind::{Record, Type};
use super::model::{Become, OnFailure, Runbook, Step, StepScope, TargetKind};
use super::param::{Param, ParamTexts};
use super::template;
use crate::model::{Risk, StepId};
use serde::Deserialize;
use serde_json::Value;

const API_VERSION: &str = "runbook/v1";
/// No runbook that a person wrote is larger.
const MAX_BYTES: usize = 1 << 20;

/// What is wrong with a runbook's text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}: {what}")]
pub struct ReadError {
    pub file: String,
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: String,
    name: String,
    summary: String,
    risk: Risk,
    targets: TargetKind,
    r#become: Option<Become>,
    #[serde(default)]
    params: ParamTexts,
    steps: Vec<StepText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    id: Option<String>,
    name: Option<String>,
    uses: String,
    #[serde(default)]
    with: Option<Value>,
    #[serde(default)]
    scope: StepScope,
    r#become: Option<Become>,
    when: Option<String>,
}

/// Reads a runbook. `file` names it in errors.
pub fn read(text: &str, file: &str) -> Result<Runbook, ReadError> {
    let wrong = |what: String| ReadError {
        file: file.to_owned(),
        what,
    };
    if text.len() > MAX_BYTES {
        return Err(wrong(format!(
            "it has {} bytes, and a runbook may have {MAX_BYTES}",
            text.len()
        )));
    }
    let parsed: File = serde_yaml::from_str(text).map_err(|e| wrong(e.to_string()))?;
    if parsed.api_version != API_VERSION {
        return Err(wrong(format!(
            "apiVersion is `{}`; this version of runbook reads `{API_VERSION}`",
            parsed.api_version
        )));
    }
    if let Some(r#become) = &parsed.r#become {
        check_become(r#become).map_err(wrong)?;
    }
    let params = read_params(parsed.params).map_err(wrong)?;
    let steps = read_steps(parsed.steps, &params).map_err(wrong)?;
    Ok(Runbook {
        name: parsed.name,
        summary: parsed.summary,
        risk: parsed.risk,
        targets: parsed.targets,
        r#become: parsed.r#become,
        params,
        steps,
        text: text.to_owned(),
        untrusted: None,
    })
}

fn check_become(r#become: &Become) -> Result<(), String> {
    let name = &r#become.user;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
    match name.starts_with('-') || name.is_empty() || !name.chars().all(plain) {
        true => Err(format!("become: `{name}` is not the name of a user")),
        false => Ok(()),
    }
}

fn read_params(texts: ParamTexts) -> Result<Vec<Param>, String> {
    let read = |(name, text): (String, _)| {
        Param::from_text(&name, text).map_err(|problems| {
            let said = problems.into_iter().map(|problem| problem.message);
            format!("params: {}", said.collect::<Vec<_>>().join("; "))
        })
    };
    texts.0.into_iter().map(read).collect()
}

fn read_steps(texts: Vec<StepText>, params: &[Param]) -> Result<Vec<Step>, String> {
    if texts.is_empty() {
        return Err("steps: there are none".to_owned());
    }
    let mut steps: Vec<Step> = Vec::new();
    for (n, text) in texts.into_iter().enumerate() {
        let place = || format!("step {}", n + 1);
        let id = match (&text.id, &text.name) {
            (Some(id), _) => StepId::new(id).ok_or_else(|| {
                format!(
                    "{}: id `{id}` is not a name: lower-case letters, digits and _",
                    place()
                )
            })?,
            (None, Some(name)) => StepId::slug(name).ok_or_else(|| {
                format!(
                    "{}: no id can be made of the name `{name}`: give an id",
                    place()
                )
            })?,
            (None, None) => return Err(format!("{}: it has neither id nor name", place())),
        };
        if steps.iter().any(|step| step.id == id) {
            return Err(format!("{}: there are two steps `{id}`", place()));
        }
        let with = text
            .with
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        template::check_arguments(&text.uses, &with)
            .map_err(|e| format!("step `{id}`: with: {e}"))?;
        let names = names(text.scope, params, &steps);
        if let Some(r#become) = &text.r#become {
            check_become(r#become).map_err(|e| format!("step `{id}`: {e}"))?;
        }
        let when = text
            .when
            .map(|source| {
                Condition::parse(&source, &names).map_err(|e| format!("step `{id}`: when: {e}"))
            })
            .transpose()?;
        steps.push(Step {
            name: text.name.unwrap_or_else(|| id.to_string()),
            id,
            uses: text.uses,
            with,
            scope: text.scope,
            r#become: text.r#become,
            when,
            for_each: None,
            retry: None,
            timeout: None,
            on_failure: OnFailure::default(),
            keep: None,
        });
    }
    Ok(steps)
}

/// What a step's condition may name.
fn names(scope: StepScope, params: &[Param], earlier: &[Step]) -> Record {
    let params = params.iter().map(|p| (p.name.clone(), Type::Any));
    let changed = || Type::Record(Record::of(&[("changed", Type::Bool)]));
    let earlier = earlier.iter().map(|s| (s.id.to_string(), changed()));
    let mut names = Record::of(&[("params", Type::Record(Record(params.collect())))]);
    if scope == StepScope::Target {
        let target = Record::of(&[("name", Type::String), ("node", Type::String)]);
        names.0.push(("target".to_owned(), Type::Record(target)));
    }
    let steps = Type::Record(Record(earlier.collect()));
    names.0.push(("steps".to_owned(), steps));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "\
apiVersion: runbook/v1
name: x
summary: Does x
risk: low
targets: nodes
params:
  within: {type: duration, default: 5m, help: How long}
steps:
  - id: one
    uses: a.b
    with: {node: '{{ target.node }}'}
  - name: Then the other
    uses: a.c
    scope: run
    when: steps.one.changed
";

    fn wrong(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        read(&GOOD.replacen(from, to, 1), "x.yaml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn templates_of_other_programs_are_left_alone_in_scripts() {
        let from = "uses: a.b\n    with: {node: '{{ target.node }}'}";
        let to = "uses: host.script\n    with: {apply: \"kubectl get -o go-template='{{ .x }}'\"}";
        assert!(read(&GOOD.replacen(from, to, 1), "x").is_ok());
    }

    #[test]
    fn a_runbook_is_read() {
        let runbook = read(GOOD, "x.yaml").unwrap();
        assert_eq!(runbook.steps[1].id.as_str(), "then_the_other");
        assert_eq!(
            runbook.steps[1].when.as_ref().unwrap().source(),
            "steps.one.changed"
        );
        assert_eq!(runbook.steps[1].scope, StepScope::Run);
        assert_eq!(runbook.steps[0].name, "one");
        assert_eq!(runbook.params[0].default, Some("5m".into()));
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        insta::assert_snapshot!(wrong("risk: low", "risk: none"), @"x.yaml: risk: unknown variant `none`, expected one of `low`, `medium`, `high` at line 4 column 7");
        insta::assert_snapshot!(wrong("summary:", "sumary:"), @"x.yaml: unknown field `sumary`, expected one of `apiVersion`, `name`, `summary`, `risk`, `targets`, `become`, `params`, `steps` at line 3 column 1");
        insta::assert_snapshot!(wrong("runbook/v1", "runbook/v9"), @"x.yaml: apiVersion is `runbook/v9`; this version of runbook reads `runbook/v1`");
        insta::assert_snapshot!(wrong("default: 5m", "default: 5"), @"x.yaml: params: the default of `within` is 5, and not a duration such as 90s, 5m or 1h30m");
        insta::assert_snapshot!(wrong("within:", "With-in:"), @"x.yaml: params: `With-in` is not a name: lower-case letters, digits and _");
        insta::assert_snapshot!(wrong("id: one", "id: One"), @"x.yaml: step 1: id `One` is not a name: lower-case letters, digits and _");
        insta::assert_snapshot!(wrong("name: Then the other", "id: one"), @"x.yaml: step 2: there are two steps `one`");
        insta::assert_snapshot!(wrong("steps.one.changed", "steps.then_the_other.changed"), @"x.yaml: step `then_the_other`: when: `steps.then_the_other.changed` uses `steps.then_the_other.changed`, which is not known here; known are params.within, steps.one.changed");
        insta::assert_snapshot!(wrong("steps.one.changed", "target.node == 'x'"), @"x.yaml: step `then_the_other`: when: `target.node == 'x'` uses `target.node`, which is not known here; known are params.within, steps.one.changed");
        insta::assert_snapshot!(wrong("'{{ target.node }}'", "'{{ target.node'"), @"x.yaml: step `one`: with: the template `{{ target.node` is not well-formed: invalid handlebars syntax: expected trailing_tilde_to_omit_whitespace");
        insta::assert_snapshot!(wrong("uses: a.b\n    with: {node: '{{ target.node }}'}", "uses: host.script\n    with: {apply: 'rm -rf \"{{ params.within }}\"'}"), @r#"x.yaml: step `one`: with: `apply` is a script, and scripts are literal: pass `params.within` to it as a variable, `env: {VALUE: '{{ params.within }}'}`, and use "$VALUE""#);
        insta::assert_snapshot!(wrong("targets: nodes", "targets: nodes\nbecome: {user: -x}"), @"x.yaml: become: `-x` is not the name of a user");
        insta::assert_snapshot!(wrong("uses: a.b", "uses: a.b\n    become: {user: a b}"), @"x.yaml: step `one`: become: `a b` is not the name of a user");
        insta::assert_snapshot!(wrong("uses: a.b", "uses: a.b\n    become: {user: a, method: doas}"), @"x.yaml: steps[0].become.method: unknown variant `doas`, expected `sudo` or `su` at line 11 column 31");
        insta::assert_snapshot!(wrong("params:\n", "risk: low\nparams:\n"), @"x.yaml: duplicate field `risk`");
        insta::assert_snapshot!(read(&"x".repeat(MAX_BYTES + 1), "big.yaml").unwrap_err(), @"big.yaml: it has 1048577 bytes, and a runbook may have 1048576");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", at in 0..400usize) {
            let _ = read(&text, "x");
            let mut broken = GOOD.to_owned();
            let at = at.min(broken.len());
            broken.insert_str(at, &text);
            let _ = read(&broken, "x");
        }
    }
}
