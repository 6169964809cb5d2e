//! Programs of a runbook's author on real hosts: planned, run, verified, taken back.

use crate::five::{self, NODE, script};
use crate::program::{Program, expect, node};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const RUNBOOK: &str = "tests/in_lab/programs.yaml";

pub const CASES: &[Case] = &[
    Case {
        name: "programs::are_planned_run_verified_and_taken_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: there_and_back,
    },
    Case {
        name: "programs::that_fail_say_what_is_known",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: failures,
    },
    Case {
        name: "programs::the_example_of_the_readme_runs",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: example,
    },
];

/// A runbook of the test's own, which nobody else can write to.
pub fn runbook(program: &Program<'_>, steps: &str) -> Result<PathBuf, String> {
    let path = program.path().join("own.yaml");
    let text = format!(
        "apiVersion: runbook/v1\nname: own\nsummary: Of a test\nrisk: low\ntargets: nodes\n\
         become: {{user: root}}\nsteps:\n{steps}"
    );
    fs::write(&path, text).map_err(|e| e.to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
    Ok(path)
}

fn files(lab: &Lab) -> Result<String, String> {
    let list = "cd /etc/five && find . -type f -printf '%p %m %u:%g ' -exec cat {} \\; -printf '\\n' | sort";
    lab.ssh_text(node(3)?, list).map_err(|e| e.to_string())
}

fn there_and_back(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let apply = |more: &[&str]| {
        let args = ["apply", RUNBOOK, "--node", NODE, "--yes"];
        program.run(&[&args, more].concat())
    };
    // What must be so, and is not: nothing is begun.
    apply(&["--allow-unknown", "touched"])?
        .exits(3)?
        .says(&["there is no /etc/five"])?;
    expect("journals", &program.journals(), &0)?;
    five::reset(lab)?;
    let before = files(lab)?;

    program
        .run(&["plan", RUNBOOK, "--node", NODE])?
        .exits(0)?
        .says(&[
            "it printed: Linux",
            "written Write a value predicted",
            r"VALUE='it'\''s $HOME'",
            "touched Leave a trace unknown",
            "it has no `check`",
            "mode 0604, owner 1:4",
        ])?;
    apply(&[])?.exits(3)?.says(&["--allow-unknown touched"])?;
    expect("journals", &program.journals(), &0)?;
    expect("the files after a plan", &files(lab)?, &before)?;

    let run = apply(&["--allow-unknown", "touched"])?.exits(0)?.says(&[
        "│ writing it's $HOME",
        "3 changes, verified, but for `touched`",
    ])?;
    let after = files(lab)?;
    for wanted in [
        "./value 644 root:root it's $HOME\n",
        "./owned.conf 604 daemon:adm mine\n",
        "./trace it's $HOME 644 root:root",
    ] {
        if !after.contains(wanted) {
            return Err(format!("there is no `{wanted}` in\n{after}"));
        }
    }
    apply(&["--allow-unknown", "touched"])?
        .exits(0)?
        .says(&["its `check` says that it is done", "Done in"])?;
    program
        .run(&["history", "show", &run.run()?])?
        .exits(0)?
        .says(&["│ writing it's $HOME"])?;
    program.run(&["undo", &run.run()?, "--yes"])?.exits(0)?;
    expect("the files after the undo", &files(lab)?, &before)?;
    // Nothing on the host tells of what has no check; the journal does.
    program
        .run(&["undo", &run.run()?, "--yes"])?
        .exits(0)?
        .says(&["has taken it back", "Nothing was written"])
        .map(|_| ())
}

fn example(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let apply = |yes: &[&str]| {
        let args = ["apply", "examples/look-after.yaml", "--node", NODE];
        program.run(&[&args, yes].concat())
    };
    let ran = apply(&["--yes"])?
        .exits(0)?
        .says(&["2 changes, verified"])?;
    script(lab, "grep -qx 'the platform team' /etc/motd /etc/keeper")?;
    apply(&[])?.exits(0)?.says(&["Nothing to do"])?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    script(
        lab,
        "! grep -q 'the platform team' /etc/motd && ! test -e /etc/keeper",
    )
}

fn failures(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let apply = |steps: &str| {
        let path = runbook(&program, steps)?;
        let path = path.to_string_lossy().into_owned();
        program.run(&[
            "apply",
            &path,
            "--node",
            NODE,
            "--yes",
            "--allow-unknown",
            "a",
        ])
    };
    // It fails, and how much of it was done nobody knows. What it printed last is said.
    let failed = apply(
        "  - id: a\n    uses: host.script\n    with:\n      apply: |\n        echo one >/etc/five/a\n        echo no such thing >&2\n        exit 7\n",
    )?
    .exits(6)?
    .says(&["exit code 7: no such thing", "runbook resume", "runbook undo"])?;
    program
        .run(&["undo", &failed.run()?, "--yes"])?
        .exits(3)?
        .says(&[
            "has no `undo`: what it did stays",
            "nothing can be taken back",
        ])?;
    // Resumed, it is not run again: nobody can tell how much was done.
    program
        .run(&["resume", &failed.run()?])?
        .exits(6)?
        .says(&["nobody can tell", "it ended with exit code 7"])?;

    // Ended when its time is up, with what it started in sessions of its own.
    apply(
        "  - id: a\n    uses: host.script\n    with:\n      timeout: 2s\n      apply: |\n        setsid sleep 4711 &\n        sleep 4712\n",
    )?
    .exits(6)?
    .says(&["was ended after 2 s"])?;
    let left = lab.ssh_text(node(3)?, "pgrep -fc '^sleep 471[12]' || true");
    expect(
        "what runs on",
        &left.map_err(|e| e.to_string())?.trim(),
        &"0",
    )?;

    // It says that it is done, and it is not.
    apply(
        "  - id: a\n    uses: host.script\n    with:\n      check: test -e /etc/five/b\n      apply: 'true'\n",
    )?
    .exits(6)?
    .says(&["was run, and then its `check` failed"])?;

    // What others can write to is not run for a look, not even to read.
    let path = runbook(
        &program,
        "  - id: a\n    uses: host.script\n    with: {reads: touch /etc/five/looked}\n",
    )?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).map_err(|e| e.to_string())?;
    program
        .run(&["plan", &path.to_string_lossy(), "--node", NODE])?
        .exits(0)?
        .says(&["it is not run for a plan", "others than you can write"])?;
    script(lab, "! test -e /etc/five/looked")
}
