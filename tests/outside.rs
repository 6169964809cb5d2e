//! Text from hosts, clusters and files reaches no terminal as it is, wherever it stands: every text in
//! a plan and in a journal has something nasty put into it, one after another, and what is shown is
//! looked at.

#[cfg(test)]
mod tests {
    use runbook::fault::{Fault, hidden};
    use runbook::journal::{Entry, Event, RunRecord, StateDir};
    use runbook::model::{Effect, Now, Plan};
    use runbook::plan::{SavedPlan, differences};
    use runbook::views::{
        State, render_by_hand, render_confirmation, render_differences, render_fault,
        render_history, render_plan, render_run,
    };
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    /// A title, a cleared screen, a return to the start of the line, a bell, a character that is a whole
    /// sequence, a turned direction, and nothing at all.
    const NASTY: &str = "\u{1b}]0;x\u{7}\u{1b}[2J\r\u{8}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{85}";

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/0.1.0")
            .join(name)
    }

    fn look(what: &str, shown: &str) {
        if let Some(bad) = shown.chars().find(|c| hidden(*c) && *c != '\n') {
            panic!("{what}: {bad:?} is shown in:\n{shown:?}");
        }
    }

    fn places(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(at),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    places(item, format!("{at}/{index}"), found);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    places(item, format!("{at}/{key}"), found);
                }
            }
            _ => {}
        }
    }

    /// The same with the nasty text in each place where there may be any text.
    fn spoilt<T: Serialize + DeserializeOwned>(sound: &T) -> Vec<(String, T)> {
        let value = serde_json::to_value(sound).unwrap();
        let mut all = Vec::new();
        places(&value, String::new(), &mut all);
        all.into_iter()
            .filter_map(|place| {
                let mut value = value.clone();
                let text = value.pointer_mut(&place)?;
                *text = Value::String(format!("{NASTY}{}{NASTY}", text.as_str()?));
                serde_json::from_value(value)
                    .ok()
                    .map(|spoilt| (place, spoilt))
            })
            .collect()
    }

    #[test]
    fn a_plan_shows_no_control_characters() {
        let mut shown_somewhere = 0;
        for name in ["five-steps.json", "fix-bgp-wrong-ip.json", "language.json"] {
            let sound: Plan = SavedPlan::read(&fixture(name)).unwrap().plan;
            for (place, plan) in spoilt(&sound) {
                let what = format!("{name}{place}");
                let texts = [
                    render_plan(&plan),
                    render_confirmation(&plan),
                    render_differences(&differences(&sound, &plan)),
                    render_differences(&differences(&plan, &sound)),
                ];
                for text in texts {
                    shown_somewhere += usize::from(text.contains("\\u{202e}"));
                    look(&what, &text);
                }
            }
            for effect in sound.effects() {
                for (place, effect) in spoilt(effect) {
                    by_hand(&format!("{name}: effect{place}"), &effect);
                }
            }
        }
        assert!(shown_somewhere > 50, "{shown_somewhere}");
    }

    fn by_hand(what: &str, effect: &Effect) {
        for now in [Err(NASTY), Ok(&Now::Object(None))] {
            look(what, &render_by_hand(effect, now, Path::new("/x")));
        }
    }

    #[test]
    fn a_journal_shows_no_control_characters() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().to_owned());
        let path = fixture("five-steps.runbook-run");
        let (run, _) = state
            .import(&fs::read_to_string(&path).unwrap(), &path)
            .unwrap();
        let mut entries = state.entries(run).unwrap();
        let at = entries[0].at;
        // What this run did not meet.
        for event in [
            json!({"event": "run_resumed", "actor": {"user": "u", "host": "h"}, "engine": "0", "reason": "r"}),
            json!({"event": "asked", "step": "a", "scope": "run", "message": "m", "yes": false}),
            json!({"event": "retrying", "step": "a", "scope": "run", "attempt": 2,
                "fault": {"class": "definite", "code": "c", "message": "m"}}),
            json!({"event": "step_ended", "step": "a", "scope": "run", "result": {"failed": {"fault":
                {"class": "definite", "code": "c", "message": "m", "next": "n", "list": ["l"], "excerpt": "e"}}}}),
        ] {
            let event: Event = serde_json::from_value(event).unwrap();
            let seq = entries.last().unwrap().seq + 1;
            entries.push(Entry { seq, at, event });
        }
        let mut shown_somewhere = 0;
        for (index, entry) in entries.iter().enumerate() {
            for (place, event) in spoilt(&entry.event) {
                let mut entries = entries.clone();
                entries[index].event = event;
                let Some(record) = RunRecord::fold(entries.clone()) else {
                    continue;
                };
                for state in [State::Ended, State::UnderWay] {
                    let text = render_history(&record, &entries, state);
                    shown_somewhere += usize::from(text.contains("\\u{202e}"));
                    look(&format!("event {index}{place}"), &text);
                    look("list", &render_run(record.run, Some(&record), state));
                }
            }
        }
        assert!(shown_somewhere > 20, "{shown_somewhere}");
    }

    #[test]
    fn a_fault_shows_no_control_characters() {
        let fault = Fault::input("code", "message")
            .next("next")
            .list(vec!["one".to_owned()])
            .excerpt("an excerpt");
        for (place, fault) in spoilt(&fault) {
            look(&place, &render_fault(&fault));
        }
    }

    /// What the program prints where its surroundings are nasty.
    fn prints(folder: &Path, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0), "{args:?}");
        let (out, err) = (
            String::from_utf8(output.stdout),
            String::from_utf8(output.stderr),
        );
        let text = out.unwrap() + &err.unwrap();
        look(&format!("{args:?}"), &text);
        assert!(text.contains("\\u{"), "{args:?} does not show it: {text}");
        text
    }

    /// An API server that refuses whatever it is asked, in its own words.
    fn refusing_server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 8192]);
                let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "code": 403, "reason": "Forbidden", "message": format!("no {NASTY}")});
                let body = body.to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 403 X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        address
    }

    fn kubeconfig(folder: &Path, context: &str) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{"name": "c", "cluster": {"server": refusing_server()}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        fs::write(folder.join("kubeconfig"), config.to_string()).unwrap();
    }

    #[test]
    fn the_program_prints_no_control_characters() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let with = |rest: &[&str]| prints(dir, &[&["--kubeconfig", "kubeconfig"], rest].concat());
        kubeconfig(dir, "c");
        let plan = ["plan", "fix-bgp-wrong-ip", "--node", "n"];
        with(&plan);
        // What is logged, too: it has the server's answer or the name of the node in it.
        with(&[&["-vv"], &plan[..]].concat());
        let node = format!("n{NASTY}");
        with(&["-vv", "plan", "fix-bgp-wrong-ip", "--node", &node]);
        with(&[&["--context", &node], &plan[..]].concat());
        kubeconfig(dir, &format!("c{NASTY}"));
        with(&plan);
        fs::write(dir.join("kubeconfig"), format!("clusters: [{NASTY}\n")).unwrap();
        with(&plan);
        prints(
            dir,
            &[
                "--kubeconfig",
                &node,
                "plan",
                "fix-bgp-wrong-ip",
                "--node",
                "n",
            ],
        );
        prints(dir, &["show", &node]);
        prints(dir, &["history", "show", &node]);
        prints(dir, &["history", "import", &node]);
        prints(dir, &["validate", &node]);
        prints(dir, &["apply", &format!("{node}.json")]);
        prints(dir, &["plan", "x", "--out", &format!("{node}.txt")]);
        let text = format!("apiVersion: runbook/v1\nname: \"a\\e\\u202e\"\nsummary: {NASTY}\n");
        fs::write(dir.join("own.yaml"), text).unwrap();
        prints(dir, &["validate", "own.yaml"]);
        prints(dir, &["plan", "own.yaml", "--param", &node]);
        let text = "apiVersion: runbook.inventory/v1\nhosts: {\"a\\e\\u202e\": {x: 1}}\n";
        fs::write(dir.join("inventory.yaml"), text).unwrap();
        prints(dir, &["plan", "fix-bgp-wrong-ip", "--node", "n"]);
    }
}
