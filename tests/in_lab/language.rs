//! What steps can be: repeated, included, asked about, decided late, tried again, kept; and secrets.

use crate::five::{NODE, script};
use crate::program::{Program, Ran, expect, node};
use crate::programs::runbook;
use crate::sweep::{kill_at, points, some};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const RUNBOOK: &str = "tests/in_lab/language.yaml";
const ALLOWED: [&str; 4] = ["--allow-unknown", "parts", "--allow-unknown", "never"];
const SECRET: &str = "canary-7f3a";

pub const CASES: &[Case] = &[
    Case {
        name: "language::steps_are_repeated_included_asked_about_and_decided_late",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: there_and_back,
    },
    Case {
        name: "language::killed_at_some_points_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| killed(lab, 2),
    },
    Case {
        name: "language::killed_at_every_point_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| killed(lab, usize::MAX),
    },
    Case {
        name: "language::a_failure_is_what_its_runbook_says",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: failures,
    },
    Case {
        name: "language::a_secret_is_nowhere",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: secrets,
    },
];

fn reset(lab: &Lab) -> Result<(), String> {
    script(lab, "rm -rf /etc/words && mkdir /etc/words")
}

/// The files there, each with what is in it.
fn files(lab: &Lab) -> Result<String, String> {
    let list = "cd /etc/words && for f in *; do echo \"$f: $(cat \"$f\" 2>/dev/null | tr '\\n' ' ')\"; done";
    lab.ssh_text(node(3)?, list).map_err(|e| e.to_string())
}

const AFTER: &str = "\
alpha: Linux alpha 
beta: Linux beta 
first: 
note: it was here 
part-one: one 
part-two: two 
second: 
third: 
token: one two 
";

fn apply(program: &Program<'_>, more: &[&str]) -> Result<Ran, String> {
    let args = ["apply", RUNBOOK, "--node", NODE, "--confirm", NODE];
    program.run(&[&args, more].concat())
}

fn there_and_back(lab: &Lab) -> Result<(), String> {
    reset(lab)?;
    let program = Program::new(lab)?;
    program
        .run(&["plan", RUNBOOK, "--node", NODE])?
        .exits(0)?
        .says(&[
            "files[alpha]/file Write a file for each (alpha): Write it exact",
            "asks: The token is {{ steps.token.output }}.",
            "parts Keep each part of it unknown",
            "it rests on what `token` gives, which is known once that has run",
            "it rests on `parts`, which is decided only when its turn comes",
            "tried: up to 3 times, with 1 s between",
            "undo: none: it stays, as its runbook says: whoever comes after reads it",
        ])?;
    apply(&program, &[])?
        .exits(3)?
        .says(&["--allow-unknown parts"])?;
    expect("journals", &program.journals(), &0)?;

    // Nobody is there to be asked: it stops there, and goes on when somebody says so.
    let stopped = apply(&program, &ALLOWED)?.exits(6)?.says(&[
        "`token` (node03): one",
        "The token is one two.",
        "there is no terminal to ask on",
        "resume with --pass sure",
    ])?;
    let run = stopped.run()?;
    program
        .run(&["resume", &run])?
        .exits(6)?
        .says(&["resume with --pass sure"])?;
    let no = program.when_it_says("Go on? [y/N]", &["resume", &run], "n\n", || Ok(()))?;
    no.exits(6)?
        .says(&["it was not confirmed that it goes on"])?;
    program
        .run(&["resume", &run, "--pass", "sure"])?
        .exits(0)?
        .says(&[
            "parts[one] Keep each part of it (one) exact",
            "not needed: `steps.parts.changed && steps.token.output == 'three'` does not hold",
            "attempt 2 failed, it is tried again",
            "7 changes, verified",
        ])?;
    expect("the files", &files(lab)?.as_str(), &AFTER)?;
    apply(&program, &[])?.exits(0)?.says(&[
        "not needed: `steps.token.changed` does not hold",
        "Nothing to do",
    ])?;
    program.run(&["history", "show", &run])?.exits(0)?.says(&[
        "asked: The token is one two. no",
        "asked: The token is one two. yes",
    ])?;
    program
        .run(&["undo", &run, "--confirm", NODE])?
        .exits(0)?
        .says(&["but for what stays: `note`"])?;
    expect("the files", &files(lab)?.as_str(), &"note: it was here \n")
}

/// Killed at `most` points of a run, and resumed: it ends as if nothing had happened.
fn killed(lab: &Lab, most: usize) -> Result<(), String> {
    let args = [
        "apply",
        RUNBOOK,
        "--node",
        NODE,
        "--confirm",
        NODE,
        "--pass",
        "sure",
    ];
    let args = [&args[..], &ALLOWED].concat();
    let program = Program::new(lab)?;
    reset(lab)?;
    let all = points(&program, &args)?;
    expect("the files", &files(lab)?.as_str(), &AFTER)?;
    println!("  {} points", all.len());
    for point in some(all, most) {
        let at = |e: String| format!("killed at {point:?}: {e}");
        let program = Program::new(lab)?;
        reset(lab)?;
        kill_at(&program, &point, &args)?;
        let ended = match program.latest() {
            Ok(run) => program.run(&["resume", &run, "--pass", "sure"]),
            Err(_) => program.run(&args),
        };
        ended?.exits(0).map_err(at)?;
        expect("the files", &files(lab)?.as_str(), &AFTER).map_err(at)?;
        let run = program.latest()?;
        program
            .run(&["undo", &run, "--confirm", NODE])?
            .exits(0)
            .map_err(at)?;
        expect("the files", &files(lab)?.as_str(), &"note: it was here \n").map_err(at)?;
    }
    Ok(())
}

/// What is done where a step fails: nothing more, all the rest, or all of it back.
fn failures(lab: &Lab) -> Result<(), String> {
    let apply = |on_failure: &str| -> Result<(Ran, String), String> {
        reset(lab)?;
        let program = Program::new(lab)?;
        let steps = format!(
            "  - id: before\n    uses: host.file\n    with: {{path: /etc/words/before, content: x}}\n\
             \x20 - id: fails\n    on_failure: {on_failure}\n    uses: host.assert\n    with: {{reads: test -e /etc/words/none, because: there is none, within: 1s}}\n\
             \x20 - id: after\n    uses: host.file\n    with: {{path: /etc/words/after, content: x}}\n"
        );
        let path = runbook(&program, &steps)?;
        let path = path.to_string_lossy().into_owned();
        let ran = program.run(&["apply", &path, "--node", NODE, "--yes"])?;
        Ok((ran, files(lab)?))
    };
    let (ran, left) = apply("continue")?;
    ran.exits(6)?
        .says(&["step `fails` failed, and the run went on without it, as its runbook says"])?;
    expect("the files", &left.as_str(), &"after: x\nbefore: x\n")?;
    let (ran, left) = apply("stop")?;
    ran.exits(6)?.says(&["It is not taken back by itself"])?;
    expect("the files", &left.as_str(), &"before: x\n")
}

/// Everything in a folder that has these bytes in it.
fn having(folder: &Path, text: &str, found: &mut Vec<String>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            having(&path, text, found)?;
        } else if let Ok(bytes) = fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// A secret reaches the program that needs it, and nothing else.
fn secrets(lab: &Lab) -> Result<(), String> {
    reset(lab)?;
    let program = Program::new(lab)?;
    let path = runbook(
        &program,
        "  - id: a\n    uses: host.script\n    with:\n      env: {PASSWORD: '{{ params.password }}'}\n      check: test -s /etc/words/sum\n      apply: |\n        ps axww -o args >/etc/words/processes\n        echo \"$PASSWORD\"\n        printf %s \"$PASSWORD\" | sha256sum >/etc/words/sum\n      undo: |\n        printf %s \"$PASSWORD\" | sha256sum | cmp -s - /etc/words/sum && rm /etc/words/sum\n",
    )?;
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let text = text.replace("steps:\n", "params:\n  password: {type: secret}\nsteps:\n");
    fs::write(&path, text).map_err(|e| e.to_string())?;
    let path = path.to_string_lossy().into_owned();
    let own = program.path().join("plan.json");
    let own = own.to_string_lossy().into_owned();
    let given: &[(&str, &OsStr)] = &[("RUNBOOK_PARAM_PASSWORD", OsStr::new(SECRET))];

    let plan = ["plan", &path, "--node", NODE, "--out", &own];
    let planned = program.run_with(&plan, given)?.exits(0)?;
    let ran = program
        .run_with(&["-vv", "apply", &path, "--node", NODE, "--yes"], given)?
        .exits(0)?;
    let run = program.latest()?;
    let shown = program.run(&["history", "show", &run])?.exits(0)?;
    let out = program.path().join("exported.runbook-run");
    let out = out.to_string_lossy().into_owned();
    let export = ["history", "export", &run, "--out", &out];
    let exported = program.run(&export)?.exits(0)?;
    for said in [&planned, &ran, &shown, &exported] {
        if format!("{}{}", said.stdout, said.stderr).contains(SECRET) {
            return Err(format!("it was said:\n{}{}", said.stdout, said.stderr));
        }
    }
    let mut found = Vec::new();
    having(&program.path(), SECRET, &mut found)?;
    expect("where it is kept", &found, &Vec::new())?;
    let sum = format!("echo \"$(printf %s {SECRET} | sha256sum)\" | cmp -s - /etc/words/sum");
    script(lab, &sum)?;
    script(lab, &format!("! grep -q {SECRET} /etc/words/processes"))?;
    script(
        lab,
        "! grep -rq canary /var/lib/runbook /run/runbook* /tmp 2>/dev/null",
    )?;

    // Taking it back needs it once more, and it must be the same.
    let undo = ["undo", &run, "--yes"];
    program
        .run(&undo)?
        .exits(3)?
        .says(&["`password` is not given", "nothing can be taken back"])?;
    let wrong: &[(&str, &OsStr)] = &[("RUNBOOK_PARAM_PASSWORD", OsStr::new("other"))];
    program
        .run_with(&undo, wrong)?
        .exits(3)?
        .says(&["is not the one that run"])?;
    let file = program.path().join("secrets.yaml");
    fs::write(&file, format!("password: {SECRET}\n")).map_err(|e| e.to_string())?;
    let file_name = file.to_string_lossy().into_owned();
    let with_file = [&undo[..], &["--params", &file_name]].concat();
    let shared = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&file, shared).map_err(|e| e.to_string())?;
    program
        .run(&with_file)?
        .exits(2)?
        .says(&["others than its owner"])?;
    let own = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&file, own).map_err(|e| e.to_string())?;
    program.run(&with_file)?.exits(0)?;
    script(lab, "! test -e /etc/words/sum")
}
