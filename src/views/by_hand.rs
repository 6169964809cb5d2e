//! What is left of a change that was not taken back, and how a person does it.

use super::text::{clean, paragraph, width};
use crate::model::{
    Detail, Effect, FileState, Now, Setting, SettingState, Standing, json_patch, shell_word,
    sysctl_path,
};
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
        let lines = match &programs.own {
            None => programs.apply.text().lines().map(str::to_owned).collect(),
            Some(own) => own.does.iter().flat_map(by_hand).collect::<Vec<_>>(),
        };
        for line in lines {
            text.push_str(&format!("      {}\n", clean(&line)));
        }
    } else if !done && let Some(command) = command(effect, now.ok(), blobs) {
        // A command is copied whole: it is not wrapped.
        text.push_str(&format!("    by hand: {}\n", clean(&command)));
    }
    text
}

/// What a person is to do of what programs of ours do.
fn by_hand(detail: &Detail) -> Vec<String> {
    let mut lines = vec![detail.subject.clone()];
    lines.extend(detail.before.iter().map(|before| format!("- {before}")));
    lines.extend(detail.after.iter().map(|after| format!("+ {after}")));
    lines.extend(detail.lines.iter().cloned());
    lines
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
        Effect::PutSetting {
            setting,
            before,
            after,
        } => put_by_hand(&setting.setting, before, after)
            .map(|command| format!("on {}: {command}", setting.host.node)),
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
        Effect::ReplacePod { pod, .. } | Effect::EvictPod { pod, .. } => Some(format!(
            "kubectl -n {} delete pod {}",
            pod.namespace.as_deref().unwrap_or("default"),
            pod.name
        )),
    }
}

/// The command that puts a setting from one state into another.
fn put_by_hand(setting: &Setting, before: &SettingState, after: &SettingState) -> Option<String> {
    let word = |text: &str| shell_word(text);
    let after = after.as_str();
    Some(match setting {
        Setting::Sysctl { key } => {
            let value = after.strip_prefix("is ")?;
            format!("printf %s {} >/proc/sys/{}", word(value), sysctl_path(key))
        }
        Setting::Module { name } if after == "loaded" => format!("modprobe {}", word(name)),
        Setting::Module { name } => format!("modprobe -r {}", word(name)),
        Setting::Unit { name } if after == "running" => format!("systemctl start {}", word(name)),
        Setting::Unit { name } => format!("systemctl stop {}", word(name)),
        Setting::UnitFile { name } => {
            let name = word(name);
            let unmask = match before.as_str() {
                "masked" => format!("systemctl unmask {name}"),
                _ => String::new(),
            };
            let then = match after {
                "masked" => format!("systemctl mask {name}"),
                "enabled" => format!("systemctl enable {name}"),
                "disabled" => format!("systemctl disable {name}"),
                _ => String::new(),
            };
            match (unmask.as_str(), then.as_str()) {
                ("", "") => return None,
                ("", one) | (one, "") => one.to_owned(),
                (first, second) => format!("{first} && {second}"),
            }
        }
        Setting::Swap { area } => match after.strip_prefix("on ") {
            Some("auto") => format!("swapon {}", word(area)),
            Some(priority) => format!("swapon -p {priority} {}", word(area)),
            None => format!("swapoff {}", word(area)),
        },
        Setting::CalicoNode { node, field, .. } => {
            let value = after.strip_prefix("is ")?;
            let patch = serde_json::json!({"spec": {"bgp": {field: value}}}).to_string();
            format!(
                "calicoctl patch node {} --patch {}",
                word(node),
                word(&patch)
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{host, programs};
    use crate::model::{
        Digest, FieldChange, FieldPath, FileNow, FileRef, ObjectRef, ProgramNow, Programs,
        SettingRef,
    };
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
    fn each_setting_has_its_command() {
        let put = |setting: Setting, before: &str, after: &str| Effect::PutSetting {
            setting: SettingRef {
                host: host(),
                setting,
            },
            before: SettingState::new(before),
            after: SettingState::new(after),
        };
        let unit_file = |before: &str, after: &str| {
            let name = "it's.service".into();
            put(Setting::UnitFile { name }, before, after)
        };
        let unit = |after: &str| {
            put(
                Setting::Unit {
                    name: "x.service".into(),
                },
                "other",
                after,
            )
        };
        let swap = |after: &str| {
            let area = "/my file".into();
            put(Setting::Swap { area }, "other", after)
        };
        let module = |after: &str| put(Setting::Module { name: "x".into() }, "other", after);
        let key = "net.ipv4.conf.eth0/1.forwarding".into();
        let all = [
            put(Setting::Sysctl { key }, "is 1", "is 1 2"),
            put(Setting::Sysctl { key: "a".into() }, "is 1", "absent"),
            module("loaded"),
            module("not_loaded"),
            unit("running"),
            unit("stopped"),
            unit_file("masked", "enabled"),
            unit_file("masked", "static"),
            unit_file("disabled", "masked"),
            unit_file("enabled", "disabled"),
            unit_file("static", "static"),
            swap("off"),
            swap("on 5"),
            swap("on auto"),
        ]
        .map(|effect| render_by_hand(&effect, Err("x"), Path::new("/blobs")));
        insta::assert_snapshot!(all.join(""));
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
            shown(
                &Effect::RunProgram {
                    programs: Box::new(Programs::own_for_test().inverse().unwrap()),
                },
                Ok(&Now::Program(ProgramNow::Unclear("it was cut".into()))),
            ),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
