//! What is left of a change that was not taken back, and how a person does it.

use super::text::{clean, paragraph, width};
use crate::model::{Effect, FileState, Now, Standing, json_patch, shell_word};
use serde_json::Value;
use std::path::Path;

/// One change that was not put back. `effect` would put it back; `now` is what is there, as far as
/// it can be read; `blobs` is the folder in which contents are kept.
pub fn render_by_hand(effect: &Effect, now: Result<&Now, &str>, blobs: &Path) -> String {
    let state = match now {
        Err(why) => format!("cannot be read: {why}"),
        Ok(now) => match effect.standing(now) {
            Standing::After => "is as it was before the run".to_owned(),
            Standing::Before => "is as the run left it".to_owned(),
            Standing::Other { now } => {
                format!("is neither as the run left it nor as before: {now}")
            }
            Standing::PutBack { fault } => format!("is as it was before the run: {fault}"),
            Standing::Unclear { why } => format!("cannot be told: {why}"),
        },
    };
    let mut text = paragraph("  - ", &format!("{} {state}", effect.subject()), width());
    text.push('\n');
    let done = now.is_ok_and(|now| effect.standing(now) == Standing::After);
    if let (false, Effect::RunProgram { programs }) = (done, effect) {
        let host = &programs.host;
        text.push_str(&format!(
            "    by hand, on {} as {}:\n",
            clean(&host.node),
            clean(host.identity.user())
        ));
        for line in programs.apply.text().lines() {
            text.push_str(&format!("      {}\n", clean(line)));
        }
    } else if !done && let Some(command) = command(effect, now.ok(), blobs) {
        // A command is copied whole: it is not wrapped.
        text.push_str(&format!("    by hand: {}\n", clean(&command)));
    }
    text
}

fn command(effect: &Effect, now: Option<&Now>, blobs: &Path) -> Option<String> {
    match effect {
        Effect::SetFields { .. } => {
            let now = now?;
            let over = effect.over(now)?;
            let (Effect::SetFields { object, fields }, Now::Object(Some(now))) = (&over, now)
            else {
                return None;
            };
            // The tests are for programs; a person has looked.
            let patch: Vec<Value> = json_patch(now, fields)
                .ok()?
                .into_iter()
                .filter(|op| op.get("op").and_then(Value::as_str) != Some("test"))
                .collect();
            let namespace = match &object.namespace {
                Some(namespace) => format!("-n {namespace} "),
                None => String::new(),
            };
            Some(format!(
                "kubectl {namespace}patch {} {} --type=json -p {}",
                object.resource,
                object.name,
                shell_word(&Value::Array(patch).to_string())
            ))
        }
        Effect::PutFile { file, after, .. } => Some(match after {
            FileState::Absent => {
                format!("on {}: rm -- {}", file.host.node, shell_word(&file.path))
            }
            FileState::Present {
                mode,
                uid,
                gid,
                content,
                ..
            } => format!(
                "copy {} to {}, and there: install -m {mode:04o} -o {uid} -g {gid} COPY {}",
                blobs.join(content.as_str()).display(),
                file.host.node,
                shell_word(&file.path)
            ),
        }),
        Effect::RunProgram { .. } => None,
        Effect::PutObject {
            after: Some(after), ..
        } => Some(format!(
            "printf '%s' {} | kubectl create -f -",
            shell_word(&after.to_string())
        )),
        Effect::PutObject {
            object,
            propagation,
            ..
        } => {
            let namespace = match &object.namespace {
                Some(namespace) => format!("-n {namespace} "),
                None => String::new(),
            };
            Some(format!(
                "kubectl {namespace}delete {} {} --cascade={}",
                object.resource,
                object.name,
                propagation.as_str().to_lowercase()
            ))
        }
        Effect::ReplacePod { pod, .. } => Some(format!(
            "kubectl -n {} delete pod {}",
            pod.namespace.as_deref().unwrap_or("default"),
            pod.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{host, programs};
    use crate::model::{Digest, FieldChange, FieldPath, FileNow, FileRef, ObjectRef, ProgramNow};
    use serde_json::json;

    fn field(before: Option<&str>, after: Option<&str>) -> Effect {
        Effect::SetFields {
            object: ObjectRef::node_for_test("node02"),
            fields: vec![FieldChange {
                path: FieldPath::annotation("a/b"),
                before: before.map(Value::from),
                after: after.map(Value::from),
            }],
        }
    }

    fn file(after: FileState) -> Effect {
        Effect::PutFile {
            file: FileRef {
                host: host(),
                path: "/etc/it's".into(),
            },
            before: FileState::Absent,
            after,
        }
    }

    fn whole(makes: bool) -> Effect {
        let image = || json!({"kind": "ConfigMap", "data": "it's"});
        Effect::PutObject {
            object: ObjectRef {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                resource: "configmaps".into(),
                namespace: Some("n".into()),
                name: "c".into(),
                uid: String::new(),
            },
            before: (!makes).then(image),
            after: makes.then(image),
            propagation: crate::model::Propagation::Background,
        }
    }

    #[test]
    fn each_change_has_its_state_and_its_command() {
        let node = |value: &str| {
            Now::Object(Some(
                json!({"metadata": {"uid": "u", "annotations": {"a/b": value}}}),
            ))
        };
        let shown = |effect: &Effect, now: Result<&Now, &str>| {
            render_by_hand(effect, now, Path::new("/state/blobs"))
        };
        let back = field(Some("run's"), Some("old"));
        let present = FileState::Present {
            mode: 0o640,
            uid: 0,
            gid: 7,
            size: 1,
            content: Digest::of(b"x"),
        };
        let all = [
            shown(&back, Ok(&node("run's"))),
            shown(&back, Ok(&node("old"))),
            shown(&back, Ok(&node("other"))),
            shown(&field(Some("run's"), None), Ok(&node("run's"))),
            shown(&back, Ok(&Now::Object(None))),
            shown(&back, Err("the API server does not answer")),
            shown(
                &file(present),
                Ok(&Now::File(FileNow::Is(FileState::Absent))),
            ),
            shown(&file(FileState::Absent), Err("node02 does not answer")),
            shown(&whole(true), Ok(&Now::Object(None))),
            shown(
                &whole(false),
                Ok(&Now::Object(Some(json!({"data": "it's"})))),
            ),
            shown(
                &Effect::RunProgram {
                    programs: Box::new(programs().inverse().unwrap()),
                },
                Ok(&Now::Program(ProgramNow::Unclear("it was cut".into()))),
            ),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
