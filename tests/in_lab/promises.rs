//! What a plan, a journal and an undo promise, in the lab.

use crate::five::{self, NODE, RUNBOOK};
use crate::program::{Program, expect, finish};
use crate::refusals::as_reader;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::fs;
use std::process::Command;

pub const CASES: &[Case] = &[
    Case {
        name: "promises::a_saved_plan_is_applied_as_it_is_or_not_at_all",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: saved_plan,
    },
    Case {
        name: "promises::drift_right_before_a_write_stops_the_run",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: drift,
    },
    Case {
        name: "promises::an_undo_leaves_alone_what_others_changed_unless_it_is_forced",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: undo_and_force,
    },
    Case {
        name: "promises::an_undo_that_fails_says_what_is_left_and_goes_on_later",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: failing_undo,
    },
    Case {
        name: "promises::a_certain_failure_after_exact_steps_is_taken_back_by_itself",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: automatic_undo,
    },
    Case {
        name: "promises::a_colleague_resumes_and_takes_back_an_exported_run",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: colleague,
    },
    Case {
        name: "promises::without_a_sound_place_for_the_journal_nothing_is_done",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: places,
    },
    Case {
        name: "promises::a_damaged_journal_blocks_no_other_run",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: damaged,
    },
    Case {
        name: "promises::every_target_is_looked_at_before_the_first_change",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: preflight,
    },
];

fn saved_plan(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let path = program.path().join("plan.json");
    let file = path.to_str().ok_or("no path")?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    program
        .run(&["plan", RUNBOOK, "--node", NODE, "--out", file])?
        .exits(0)?
        .says(&["Saved. To do exactly this: runbook apply"])?;
    program.run(&["show", file])?.exits(0)?.says(&[
        "Take no new pods exact",
        "It is applied as it is, or not at all",
    ])?;

    // What is only shown was edited, an effect was edited, the end is missing.
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let broken = program.path().join("broken.json");
    for (text, code, words) in [
        (
            text.replace("Take no new pods", "Take new pods"),
            2,
            "somebody changed it since",
        ),
        (
            text.replace("/etc/five/created.conf", "/etc/shadow"),
            2,
            "somebody changed it since",
        ),
        (text[..text.len() / 2].to_owned(), 2, "is cut short"),
        (
            text.replace("runbook.plan/v1", "runbook.plan/v9"),
            2,
            "its schema is `runbook.plan/v9`",
        ),
    ] {
        fs::write(&broken, text).map_err(|e| e.to_string())?;
        let file = broken.to_str().ok_or("no path")?;
        program
            .run(&["apply", file, "--yes"])?
            .exits(code)?
            .says(&[words])?;
    }
    program
        .run(&["apply", file, "--node", "node01", "--yes"])?
        .exits(2)?
        .says(&["a saved plan has its own nodes"])?;

    // Somebody changed what a step owns: that difference is shown, and nothing is written.
    five::script(lab, "echo theirs >/etc/five/changed.conf")?;
    let drifted = five::state(lab)?;
    program.run(&["apply", file, "--yes"])?.exits(3)?.says(&[
        "changed (node03)",
        "as planned: exact",
        "nothing was written",
    ])?;
    expect("the host after drift", &five::state(lab)?, &drifted)?;
    expect("journals", &program.journals(), &0)?;

    // A node whose status ticks, and which others label, has not drifted.
    five::reset(lab)?;
    let ticks = r#"{"status":{"conditions":[{"type":"ExampleTick","status":"True"}]}}"#;
    five::kubectl(
        lab,
        &[
            "patch",
            "node",
            NODE,
            "--subresource=status",
            "--type=strategic",
            "-p",
            ticks,
        ],
    )?;
    five::kubectl(
        lab,
        &[
            "annotate",
            "node",
            NODE,
            "example.com/other=1",
            "--overwrite",
        ],
    )?;
    program
        .run(&["apply", file, "--yes"])?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    // Done once, it no longer fits what is there.
    program.run(&["apply", file, "--yes"])?.exits(3)?;
    let run = program.latest()?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    expect("the host after undo", &five::state(lab)?, &before)?;
    five::kubectl(lab, &["annotate", "node", NODE, "example.com/other-"])?;
    let untick = r#"{"status":{"conditions":[{"$patch":"delete","type":"ExampleTick"}]}}"#;
    five::kubectl(
        lab,
        &[
            "patch",
            "node",
            NODE,
            "--subresource=status",
            "--type=strategic",
            "-p",
            untick,
        ],
    )?;
    five::clear(lab)
}

fn drift(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    // Between the plan and the first write: nothing is done.
    five::reset(lab)?;
    let ran = program.at_the_prompt(&["apply", RUNBOOK, "--node", NODE], "y\n", || {
        five::script(lab, "echo theirs >/etc/five/created.conf")
    })?;
    ran.exits(3)?.says(&[
        "file /etc/five/created.conf of node03 is no longer as it was",
        "Nothing was written",
    ])?;
    // Between the first write and the last: what was done stays, and is said.
    five::reset(lab)?;
    let ran = program.at_the_prompt(&["apply", RUNBOOK, "--node", NODE], "y\n", || {
        five::script(lab, "echo theirs >/etc/five/last/removed.conf")
    })?;
    let run = program.latest()?;
    ran.exits(6)?.says(&[
        "file /etc/five/last/removed.conf of node03 is no longer as it was",
        "4 changes made, and not taken back",
        "runbook resume",
        "runbook undo",
    ])?;
    // Put right again, the run goes on from where it stopped.
    five::script(lab, "echo bye >/etc/five/last/removed.conf")?;
    program
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    program
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["has come to its end"])?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    program.run(&["resume", &run])?.exits(0)?;
    five::clear(lab)
}

fn undo_and_force(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    five::apply(&program)?.exits(0)?;
    let run = program.latest()?;
    five::script(lab, "echo theirs >/etc/five/changed.conf")?;
    five::kubectl(
        lab,
        &[
            "annotate",
            "node",
            NODE,
            "example.com/said=theirs",
            "--overwrite",
        ],
    )?;
    let left = program.run(&["undo", &run, "--yes"])?.exits(6)?.says(&[
        "2 left alone",
        "runbook undo",
        "--force",
        "is taken back in part",
    ])?;
    if !left.stderr.contains("it is no longer what the run left") {
        return Err(format!("it does not say why\n{}", left.stderr));
    }
    let state = five::state(lab)?;
    if !state.contains("theirs") || state.contains("cordoned true") {
        return Err(format!(
            "what others wrote is left, and the rest taken back:\n{state}"
        ));
    }
    program
        .run(&["history"])?
        .exits(0)?
        .says(&["five-steps on node03: taken back in part, 5 changes"])?;
    program.run(&["undo", &run, "--force", "--yes"])?.exits(0)?;
    expect(
        "the host after the forced undo",
        &five::state(lab)?,
        &before,
    )?;
    // What was overwritten by force can be had back, too.
    let forced = program.latest()?;
    program.run(&["undo", &forced, "--yes"])?.exits(0)?;
    expect("the host after undoing that", &five::state(lab)?, &state)?;
    five::clear(lab)
}

fn failing_undo(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    five::apply(&program)?.exits(0)?;
    let run = program.latest()?;
    // The newest change can be put back; in the folder of the others nothing can be written.
    five::script(lab, "chattr +i /etc/five")?;
    let failed = program.run(&["undo", &run, "--yes"])?.exits(6)?.says(&[
        "Not taken back:",
        "file /etc/five/changed.conf of node03 is as the run left it",
        "install -m 0644 -o 0 -g 0 COPY /etc/five/changed.conf",
        "Node node03 is as the run left it",
        "kubectl patch nodes node03 --type=json",
        "on node03: rm -- /etc/five/created.conf",
        "runbook resume",
    ])?;
    // What is to be copied by hand is there, byte for byte.
    let copy = failed
        .stderr
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("by hand: copy ")?
                .split(" to ")
                .next()
        })
        .ok_or("no file to copy is named")?;
    expect(
        "the content to copy",
        &fs::read_to_string(copy).map_err(|e| e.to_string())?,
        &"a\nold\n".to_owned(),
    )?;
    five::script(lab, "chattr -i /etc/five")?;
    let undo = program.latest()?;
    program
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["has come to its end"])?;
    program
        .run(&["resume", &undo])?
        .exits(0)?
        .says(&["is taken back"])?;
    expect(
        "the host after the resumed undo",
        &five::state(lab)?,
        &before,
    )?;
    five::clear(lab)
}

fn automatic_undo(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    five::script(lab, "chattr +i /etc/five/last")?;
    five::apply(&program)?.exits(1)?.says(&[
        "taken back by itself",
        "Operation not permitted",
        "Taking it back, as every change can be put back exactly",
        "Nothing of run",
    ])?;
    five::script(lab, "chattr -i /etc/five/last")?;
    expect("the host after it", &five::state(lab)?, &before)?;
    let failed = program.run(&["history"])?.exits(0)?.says(&[
        "undo of five-steps on node03: done, 4 changes",
        "taken back, 4 changes",
    ])?;
    let run = failed
        .stdout
        .lines()
        .nth(1)
        .and_then(|l| l.split(' ').next());
    // What was taken back is not gone on with.
    program
        .run(&["resume", run.ok_or("no run")?])?
        .exits(3)?
        .says(&["was taken back by run"])?;
    five::clear(lab)
}

fn colleague(lab: &Lab) -> Result<(), String> {
    let (mine, theirs) = (Program::new(lab)?, Program::new(lab)?);
    five::reset(lab)?;
    let before = five::state(lab)?;
    five::script(lab, "echo theirs >/etc/five/last/removed.conf")?;
    let ran = mine.at_the_prompt(&["apply", RUNBOOK, "--node", NODE], "y\n", || {
        five::script(lab, "echo bye >/etc/five/last/removed.conf")
    })?;
    ran.exits(6)?;
    let run = mine.latest()?;
    let file = mine.path().join("run.export");
    let file = file.to_str().ok_or("no path")?;
    mine.run(&["history", "export", &run, "--out", file])?
        .exits(0)?;
    theirs
        .run(&["history", "import", file])?
        .exits(0)?
        .says(&["is here now"])?;
    five::script(lab, "echo theirs >/etc/five/last/removed.conf")?;
    theirs
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    theirs
        .run(&["history", "export", &run, "--out", file])?
        .exits(0)?;
    mine.run(&["history", "import", file])?
        .exits(0)?
        .says(&["went on since"])?;
    // Its story is the same in both places.
    let (here, there) = (
        mine.run(&["history", "show", &run])?.exits(0)?.stdout,
        theirs.run(&["history", "show", &run])?.exits(0)?.stdout,
    );
    expect("the story", &here, &there)?;
    mine.run(&["undo", &run, "--yes"])?.exits(0)?;
    five::script(lab, "echo bye >/etc/five/last/removed.conf")?;
    expect("the host after undo", &five::state(lab)?, &before)?;
    // It is younger than a day, and older than a moment.
    mine.run(&["history", "prune", "--older-than", "24h", "--yes"])?
        .exits(0)?
        .says(&["Nothing was removed"])?;
    mine.run(&["history", "prune", "--older-than", "1ms", "--dry-run"])?
        .exits(0)?
        .says(&["2 runs would be removed"])?;
    mine.run(&["history", "prune", "--older-than", "1ms"])?
        .exits(3)?;
    mine.run(&["history", "prune", "--older-than", "1ms", "--yes"])?
        .exits(0)?
        .says(&["2 of 2 runs removed"])?;
    expect("journals", &mine.journals(), &0)?;
    five::clear(lab)
}

fn places(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    let dir = program.path().join("place");
    fs::create_dir(&dir).map_err(|e| e.to_string())?;
    let binary = env!("CARGO_BIN_EXE_runbook");
    // Mounted in a mount namespace of the command's own: it goes with it.
    let mounted = |mount: String| -> Command {
        let mut command = program.command_of("unshare");
        command
            .args(["-m", "sh", "-ec"])
            .arg(format!("{mount}; exec \"$0\" \"$@\""))
            .args([
                binary,
                "apply",
                RUNBOOK,
                "--node",
                NODE,
                "--yes",
                "--state-dir",
            ])
            .arg(&dir);
        command
    };
    let place = dir.display();
    let tmpfs = |size: u64| format!("mount -t tmpfs -o size={size}k tmpfs {place}");
    let mut refused = String::new();
    for size in [16, 128, 512] {
        let ran = finish(&mut mounted(tmpfs(size)))?
            .exits(3)?
            .says(&["has room for", "make room there"])?;
        refused = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let config = lab.ssh_config();
    let remote = format!("node01:/tmp {place}");
    finish(&mut mounted(format!(
        "sshfs -F {} {remote}",
        config.display()
    )))?
    .exits(3)?
    .says(&["is on a network file system (FUSE)"])?;
    finish(&mut mounted(format!("mount -t tmpfs -o ro tmpfs {place}")))?
        .exits(3)?
        .says(&["the journal's folder", "cannot be used"])?;
    expect("the host", &five::state(lab)?, &before)?;
    // With no more room than it says that it needs, it comes to its end.
    let needed = refused
        .split("may need ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        .ok_or("it does not say how much it needs")?;
    // What the folders themselves take is not counted.
    finish(&mut mounted(tmpfs(needed + 32)))?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    five::clear(lab)
}

fn damaged(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    five::apply(&program)?.exits(0)?;
    let good = program.latest()?;
    program.run(&["undo", &good, "--yes"])?.exits(0)?;
    let bad = program.latest()?;
    let journal = program
        .path()
        .join("state/runs")
        .join(&bad)
        .join("journal.db");
    let mut bytes = fs::read(&journal).map_err(|e| e.to_string())?;
    // Somewhere in its pages, as a bad disk does it.
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    fs::write(&journal, bytes).map_err(|e| e.to_string())?;
    for command in ["resume", "undo"] {
        program
            .run(&[command, &bad])?
            .exits(3)?
            .says(&["is damaged", "other runs are not touched by this"])?;
    }
    program
        .run(&["history", "show", &bad])?
        .exits(3)?
        .says(&["is damaged"])?;
    program
        .run(&["history"])?
        .exits(0)?
        .says(&["cannot be read", "five-steps on node03: done, 5 changes"])?;
    program
        .run(&["history", "show", &good])?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    five::clear(lab)
}

fn preflight(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    five::reset(lab)?;
    let before = five::state(lab)?;
    let both = [
        "apply", RUNBOOK, "--node", NODE, "--node", "node01", "--yes",
    ];
    // The first target could be changed; the second has no place for the files.
    program
        .run(&both)?
        .exits(3)?
        .says(&["node01 has no folder /etc/five"])?;
    // Nor may this identity change nodes.
    as_reader(&program, |reader| {
        program
            .run_with(
                &["apply", RUNBOOK, "--node", NODE, "--yes"],
                &[("KUBECONFIG", reader.as_os_str())],
            )?
            .exits(3)?
            .says(&["this identity may not patch nodes `node03`"])
            .map(|_| ())
    })?;
    expect("the host", &five::state(lab)?, &before)?;
    expect("journals", &program.journals(), &0)?;
    five::clear(lab)
}
