//! At a real terminal: what is confirmed and what is not, signals in the middle of a step, and what a
//! run leaves to be read.

use crate::cut::{Holder, POINTS, Point, waits};
use crate::five::{self, NODE, script};
use crate::program::{Program, expect, wait_until};
use crate::programs::runbook;
use crate::pty::Pty;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub const CASES: &[Case] = &[
    Case {
        name: "signals::the_first_lets_the_step_end",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: first,
    },
    Case {
        name: "signals::the_second_ends_the_program",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: second,
    },
    Case {
        name: "signals::a_terminal_that_is_closed_lets_the_step_end",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: closed,
    },
    Case {
        name: "signals::only_a_whole_answer_confirms",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: confirmed,
    },
    Case {
        name: "signals::what_is_left_is_its_owners_alone",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: private,
    },
];

/// In the middle of the first of two steps, for as long as somebody holds a lock.
const MIDDLE: &Point = &POINTS[1];
const SECRET: &str = "canary-91c2";

const STEPS: &str = r#"  - id: slow
    uses: host.script
    with:
      env: {PASSWORD: '{{ params.password }}'}
      check: '[ "$(cat /etc/five/state 2>/dev/null)" = whole ]'
      apply: |
        echo run >>/etc/five/runs
        echo half >/etc/five/state
        flock /etc/five/middle true
        echo whole >/etc/five/state
      undo: rm -f /etc/five/state
  - {id: after, uses: host.file, with: {path: /etc/five/second, content: x}}
"#;

/// A runbook of two steps with a secret, which is in a file beside it.
fn written(program: &Program<'_>, risk: &str) -> Result<(String, String), String> {
    let path = runbook(program, STEPS)?;
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let text = text
        .replace("steps:\n", "params:\n  password: {type: secret}\nsteps:\n")
        .replace("risk: low", &format!("risk: {risk}"));
    fs::write(&path, text).map_err(|e| e.to_string())?;
    let secrets = program.path().join("secrets.yaml");
    fs::write(&secrets, format!("password: {SECRET}\n")).map_err(|e| e.to_string())?;
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
    let name = |path: &Path| path.to_string_lossy().into_owned();
    Ok((name(&path), name(&secrets)))
}

/// A run at a terminal of its own, in the middle of its first step.
struct Slow<'l> {
    lab: &'l Lab,
    program: Program<'l>,
    pty: Pty,
    holder: Holder,
    secrets: String,
    terminal: String,
}

impl<'l> Slow<'l> {
    fn begin(lab: &'l Lab) -> Result<Self, String> {
        five::reset(lab)?;
        let program = Program::new(lab)?;
        let (path, secrets) = written(&program, "low")?;
        let holder = Holder::hold(lab, MIDDLE.gate)?;
        let terminal = Pty::start(&std::process::Command::new("true"))?.settings()?;
        let args = [
            "apply", &path, "--node", NODE, "--yes", "--params", &secrets,
        ];
        let pty = Pty::start(&program.command(&args))?;
        wait_until(180, "a step under way", || waits(lab, MIDDLE))?;
        Ok(Self {
            lab,
            program,
            pty,
            holder,
            secrets,
            terminal,
        })
    }

    /// It was stopped after its first step, and goes on to where an undisturbed run would have ended.
    fn stopped_and_resumed(self) -> Result<(), String> {
        self.holder.let_go()?;
        let ended = self.pty.ends()?;
        expect(
            "its exit code",
            &(ended.code, &ended.said),
            &(130, &ended.said),
        )?;
        if ended.said.contains("panicked") {
            return Err(ended.said);
        }
        script(
            self.lab,
            "grep -qx whole /etc/five/state && [ $(wc -l </etc/five/runs) = 1 ] && ! test -e /etc/five/second",
        )?;
        let run = self.program.latest()?;
        let shown = ["history", "show", &run];
        self.program
            .run(&shown)?
            .exits(0)?
            .says(&["Stopped by you", "1 change made, and not taken back"])?;
        resumed(self.lab, &self.program, &run, &self.secrets)
    }
}

fn resumed(lab: &Lab, program: &Program<'_>, run: &str, secrets: &str) -> Result<(), String> {
    let resume = [
        "resume",
        run,
        "--params",
        secrets,
        "--reason",
        "after lunch",
    ];
    program.run(&resume)?.exits(0)?;
    program
        .run(&["history", "show", run])?
        .exits(0)?
        .says(&[": after lunch", "Done"])?;
    script(
        lab,
        "grep -qx whole /etc/five/state && grep -qx x /etc/five/second",
    )
}

fn first(lab: &Lab) -> Result<(), String> {
    // Ctrl-C at the terminal reaches all that runs there, also what this program has started.
    for signal in [None, Some(Signal::TERM)] {
        let slow = Slow::begin(lab)?;
        expect("processes that show the secret", &showing(SECRET)?, &vec![])?;
        match signal {
            None => slow.pty.types("\u{3}")?,
            Some(signal) => slow.pty.signal(signal)?,
        }
        slow.pty.shows("Stopping: no further change is begun")?;
        slow.stopped_and_resumed()?;
    }
    Ok(())
}

/// Processes of this machine that have a text in their arguments or their environment.
fn showing(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        for part in ["cmdline", "environ"] {
            let path = process.path().join(part);
            // One that has ended meanwhile shows nothing.
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|b| b == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(found)
}

fn second(lab: &Lab) -> Result<(), String> {
    let Slow {
        lab,
        program,
        pty,
        holder,
        secrets,
        terminal,
    } = Slow::begin(lab)?;
    pty.types("\u{3}")?;
    pty.shows("Stopping: no further change is begun")?;
    pty.signal(Signal::TERM)?;
    let ended = pty.ends()?;
    let run = program.latest()?;
    expect("its exit code", &ended.code, &130)?;
    expect("the terminal", &ended.settings, &terminal)?;
    let go_on = format!("Go on with it:  runbook resume {run}");
    if !ended.said.contains("Ended at once") || !ended.said.trim_end().ends_with(&go_on) {
        return Err(format!(
            "how to go on is not its last word:\n{}",
            ended.said
        ));
    }
    // All this while the step is kept from its end: nothing waited for it.
    holder.let_go()?;
    resumed(lab, &program, &run, &secrets)
}

fn closed(lab: &Lab) -> Result<(), String> {
    let mut slow = Slow::begin(lab)?;
    slow.pty.close();
    slow.stopped_and_resumed()
}

fn confirmed(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let (path, secrets) = written(&program, "low")?;
    let args = ["apply", &path, "--node", NODE, "--params", &secrets];
    let asked = |question: &str| -> Result<Pty, String> {
        let pty = Pty::start(&program.command(&args))?;
        let said = pty.shows(question)?;
        let end = said
            .split("To confirm: own, risk")
            .nth(1)
            .unwrap_or_default();
        for word in ["cluster", NODE, "2 steps", "`slow` (node03): best effort"] {
            if !end.contains(word) {
                return Err(format!(
                    "`{word}` does not stand beside the question:\n{said}"
                ));
            }
        }
        Ok(pty)
    };
    // More of this, without a lab, in tests/terminal.rs.
    let pty = asked("Apply this? [y/N] ")?;
    pty.types("y\u{4}\u{4}")?;
    expect("an answer that is cut off", &pty.ends()?.code, &3)?;
    let mut pty = asked("[y/N] ")?;
    pty.types("y")?;
    pty.close();
    // The hangup, or the end of the input, whichever is seen first.
    let code = pty.ends()?.code;
    expect("a closed terminal", &[130, 3].contains(&code), &true)?;
    let pty = asked("[y/N] ")?;
    pty.types("\u{3}")?;
    let ended = pty.ends()?;
    expect("Ctrl-C", &ended.code, &130)?;
    if !ended.said.contains("Interrupted. Nothing was written.") {
        return Err(ended.said);
    }

    written(&program, "high")?;
    for typed in ["y\n", "node03\u{4}\u{4}"] {
        let pty = asked("type `node03`: ")?;
        pty.types(typed)?;
        expect(&format!("{typed:?}"), &pty.ends()?.code, &3)?;
    }
    program
        .run(&[&args[..], &["--yes"]].concat())?
        .exits(3)?
        .says(&["add --confirm node03, or --approve"])?;
    program
        .run(&[&args[..], &["--approve", "abc", "--yes"]].concat())?
        .exits(3)?
        .says(&["[approve_mismatch]"])?;
    expect("journals", &program.journals(), &0)?;

    // Whoever read the saved plan gives its digest: it is good for that plan, and for nothing else.
    let out = program.path().join("plan.json");
    let out = out.to_string_lossy().into_owned();
    let plan = [&["plan"], &args[1..], &["--out", &out]].concat();
    program.run(&plan)?.exits(0)?;
    let shown = program.run(&["show", &out])?.exits(0)?.stdout;
    let approve = digest(&shown)?;
    let saved = ["apply", &out, "--params", &secrets, "--approve"];
    let flipped: String = approve.chars().rev().collect();
    program
        .run(&[&saved[..], &[&flipped]].concat())?
        .exits(3)?
        .says(&["[approve_mismatch]"])?;
    expect("journals", &program.journals(), &0)?;
    let ran = program.run(&[&saved[..], &[&approve]].concat())?.exits(0)?;
    let run = ran.run()?;
    let undo = ["undo", &run, "--params", &secrets];
    let refused = program.run(&undo)?.exits(3)?;
    let wrong = [&undo[..], &["--approve", &approve]].concat();
    program
        .run(&wrong)?
        .exits(3)?
        .says(&["[approve_mismatch]"])?;
    let own = digest(&refused.stderr)?;
    let right = [&undo[..], &["--approve", &own]].concat();
    program.run(&right)?.exits(0)?;
    // And of a runbook by its name, where the plan that is made now is that one.
    let again = [&args[..], &["--approve", &approve]].concat();
    program.run(&again)?.exits(0).map(|_| ())
}

/// What `--approve` is to be given.
fn digest(said: &str) -> Result<String, String> {
    let mut words = said.split_whitespace();
    words
        .by_ref()
        .find(|word| *word == "--approve")
        .and_then(|_| words.next())
        .map(str::to_owned)
        .ok_or_else(|| format!("there is no digest in\n{said}"))
}

fn private(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let (path, secrets) = written(&program, "low")?;
    let run = |args: &[&str]| {
        let mut command = program.command_of("sh");
        command
            .args([
                "-c",
                "umask 000 && exec \"$@\"",
                "sh",
                env!("CARGO_BIN_EXE_runbook"),
            ])
            .args(args);
        crate::program::finish(&mut command)?.exits(0)
    };
    let out = |name: &str| program.path().join(name).to_string_lossy().into_owned();
    let (plan, exported) = (out("plan.json"), out("exported.runbook-run"));
    // Somebody else's, left where the plan is written first.
    let part = out("plan.json.part");
    fs::write(&part, "").map_err(|e| e.to_string())?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o666)).map_err(|e| e.to_string())?;
    let args = [&path, "--node", NODE, "--params", &secrets];
    run(&[&["plan"], &args[..], &["--out", &plan]].concat())?;
    let id = run(&["apply", &plan, "--params", &secrets, "--yes"])?.run()?;
    run(&["history", "export", &id, "--out", &exported])?;
    let mut open = Vec::new();
    let mut seen = 0;
    others_can(&program.path(), &mut open, &mut seen)?;
    expect("what others can read or write", &open, &vec![])?;
    // The journal, its blobs, the plan, the export, the sockets' folder.
    match seen > 8 {
        true => Ok(()),
        false => Err(format!("only {seen} files and folders were looked at")),
    }
}

fn others_can(folder: &Path, open: &mut Vec<String>, seen: &mut usize) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let found = path.symlink_metadata().map_err(|e| e.to_string())?;
        *seen += 1;
        if found.mode() & 0o077 != 0 {
            open.push(format!("{:o} {}", found.mode() & 0o7777, path.display()));
        }
        if found.is_dir() {
            others_can(&path, open, seen)?;
        }
    }
    Ok(())
}
