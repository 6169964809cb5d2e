//! The dead man's switch on real machines: links that go down for good, connections that break for a
//! moment, a program that dies and a host that loses its power while it is armed.

use crate::five::{self, NODE};
use crate::program::{Program, Ran, Running, expect, node, wait_until};
use crate::programs::runbook;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case {
        name: "switch::a_link_that_goes_down_for_good_is_put_back_by_its_host",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: for_good,
    },
    Case {
        name: "switch::a_connection_that_breaks_for_a_moment_is_made_anew",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: for_a_moment,
    },
    Case {
        name: "switch::what_fails_is_put_back_at_once",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: fails,
    },
    Case {
        name: "switch::what_takes_too_long_is_put_back_and_an_undo_that_fails_is_said",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: too_long_or_not_undone,
    },
    Case {
        name: "switch::what_fired_while_nobody_lived_is_recognised",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: nobody_lives,
    },
    Case {
        name: "switch::where_it_has_fired_an_undo_finds_nothing_left",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: nothing_left,
    },
    Case {
        name: "switch::a_host_that_loses_its_power_puts_it_back_at_its_next_boot",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: power_cut,
    },
    Case {
        name: "switch::where_it_is_not_possible_it_is_refused_in_the_plan",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: refused,
    },
];

const CHECK: &str = "test -e /etc/five/new";
const UNDO: &str = "rm -f /etc/five/new; ip link set vec0 up";
/// What the host does, whatever a test makes of the link.
const DOWN: &str = "touch /etc/five/new; sync; ip link set vec0 down";

fn step(after: &str, apply: &str) -> String {
    format!(
        "  - id: link\n    name: Change the link\n    uses: host.script\n    with:\n      \
         put_back_after: {after}\n      check: {CHECK}\n      apply: {apply}\n      undo: {UNDO}\n"
    )
}

/// The words of a command line that applies a runbook of these steps.
fn command(program: &Program<'_>, steps: &str) -> Result<Vec<String>, String> {
    let path = runbook(program, steps)?;
    let words = ["apply", &path.to_string_lossy(), "--node", NODE, "--yes"];
    Ok(words.map(str::to_owned).to_vec())
}

fn apply(program: &Program<'_>, steps: &str) -> Result<Ran, String> {
    let words = command(program, steps)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    program.run(&words)
}

/// What is there of the change, of units of ours, and of switches that are armed.
fn state(lab: &Lab) -> Result<String, String> {
    let look = "test -e /etc/five/new && echo new; ls /etc/systemd/system /run/systemd/system \
                /etc/systemd/system/multi-user.target.wants | grep ^runbook; \
                systemctl list-units --all --no-legend 'runbook-*'; \
                ls /var/lib/runbook/switch/*/* 2>/dev/null; cat /etc/five/times 2>/dev/null; true";
    lab.ssh_text(node(3)?, look).map_err(|e| e.to_string())
}

fn answers(lab: &Lab) -> Result<bool, String> {
    let ran = lab
        .ssh(node(3)?, "! test -e /etc/five/new")
        .map_err(|e| e.to_string())?;
    Ok(ran.status.success())
}

/// Whether nobody reaches the host.
fn is_cut_off(lab: &Lab) -> Result<bool, String> {
    let ran = lab
        .ssh_command(node(3)?)
        .args(["-o", "ConnectTimeout=2", "true"])
        .output()
        .map_err(|e| e.to_string())?;
    // One that answers slowly is none.
    Ok(String::from_utf8_lossy(&ran.stderr).contains("ssh: connect to host"))
}

/// Starts it, and kills it once it waits for a host that is cut off.
fn killed(program: &Program<'_>, steps: &str) -> Result<String, String> {
    let mut run = Running::of(&mut program.command(&command(program, steps)?))?;
    run.until_it_says("over a new connection")?;
    wait_until(180, "the end of the link", || is_cut_off(program.lab))?;
    run.kill()?;
    program.latest()
}

fn for_good(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let begun = Instant::now();
    let ran = apply(&program, &step("40s", DOWN))?.exits(1)?.says(&[
        "node03 is not reached over a new connection yet",
        "node03 was not reached again within 40 s",
        "node03 has put it back by itself at",
        "its `undo` ended with 0",
    ])?;
    println!("  back after {} s", begun.elapsed().as_secs());
    // It says so first, and takes its units away then.
    wait_until(180, "the host as it was", || {
        let state = state(lab)?;
        let kept = |line: &str| line.contains("/var/lib/runbook/switch/");
        Ok(state.lines().all(kept))
    })?;
    let run = ran.run()?;
    program
        .run(&["history", "show", &run])?
        .exits(0)?
        .says(&["node03 has put it back by itself"])?;
    // Nothing of it is left to be taken back.
    program
        .run(&["undo", &run, "--yes"])?
        .exits(0)?
        .says(&["changed nothing"])
        .map(|_| ())
}

fn for_a_moment(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let down_and_up = format!("echo >>/etc/five/times; {DOWN}; sleep 6; ip link set vec0 up");
    let steps = step("60s", &down_and_up);
    let ran = apply(&program, &steps)?
        .exits(0)?
        .says(&["1 change, verified"])?;
    expect("the host", &state(lab)?, &"new\n\n".to_owned())?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    expect("the host after the undo", &state(lab)?, &"\n".to_owned())
}

fn fails(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    // At once: whoever looks does not wait for as long as the switch may take.
    apply(&program, &step("300s", "touch /etc/five/new; exit 7"))?
        .exits(1)?
        .says(&[
            "it ended with exit code 7",
            "node03 has put it back by itself",
        ])?;
    // It says that it is done, and what verifies it knows better.
    let verify = format!(
        "{}      verify: 'false'\n",
        step("300s", "touch /etc/five/new")
    );
    apply(&program, &verify)?
        .exits(1)?
        .says(&[
            "its `verify` then failed",
            "node03 has put it back by itself",
        ])
        .map(|_| ())
}

fn too_long_or_not_undone(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    // Its connection is well, and it takes too long.
    apply(&program, &step("10s", "touch /etc/five/new; sleep 50"))?
        .exits(1)?
        .says(&["it had not ended within 10 s", "node03 has put it back"])?;
    five::script(lab, "! pgrep -f '^sleep 50$'")?;
    // Its undo fails: nobody knows how much was put back.
    let undo = step("300s", "touch /etc/five/new; exit 7").replace(UNDO, "exit 9");
    let failed = apply(&program, &undo)?
        .exits(6)?
        .says(&["ran its `undo` by itself", "ended with `9`"])?;
    program
        .run(&["resume", &failed.run()?])?
        .exits(6)?
        .says(&["nobody can tell", "ended with `9`"])
        .map(|_| ())
}

/// Done without harm, where the host says so.
const GUIDED: &str = "echo >>/etc/five/times; touch /etc/five/new; sync; test -e /etc/five/harmless || ip link set vec0 down";

fn nobody_lives(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let run = killed(&program, &step("40s", GUIDED))?;
    wait_until(180, "the host to be back", || answers(lab))?;
    five::script(lab, "touch /etc/five/harmless")?;
    program.run(&["resume", &run])?.exits(0)?.says(&[
        "node03 was not reached again within 40 s",
        "node03 has put it back by itself",
        "1 change, verified",
    ])?;
    five::script(
        lab,
        "test -e /etc/five/new && test $(wc -l </etc/five/times) = 2",
    )?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    five::script(lab, "! test -e /etc/five/new")
}

fn nothing_left(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let run = killed(&program, &step("40s", DOWN))?;
    wait_until(180, "the host to be back", || answers(lab))?;
    program
        .run(&["undo", &run, "--yes"])?
        .exits(0)?
        .says(&["it is as it was before the run"])?;
    five::script(lab, "! test -e /etc/five/new")
}

fn power_cut(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let run = killed(&program, &step("1h", GUIDED))?;
    lab.cut_power(node(3)?).map_err(|e| e.to_string())?;
    lab.power_on(node(3)?).map_err(|e| e.to_string())?;
    wait_until(180, "the boot to put it back", || answers(lab))?;
    five::script(
        lab,
        "touch /etc/five/harmless; systemctl is-system-running --wait; test -z \"$(systemctl list-jobs --no-legend)\"",
    )?;
    program.run(&["resume", &run])?.exits(0)?.says(&[
        "node03 was started anew before it was reached again",
        "node03 has put it back by itself",
        "1 change, verified",
    ])?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    five::script(lab, "! test -e /etc/five/new")
}

fn refused(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    let as_ops = step("60s", DOWN).replace("    with:\n", "    become: {user: ops}\n    with:\n");
    apply(&program, &as_ops)?
        .exits(3)?
        .says(&["not possible without root"])?;
    // Another run's is armed there still.
    five::script(
        lab,
        "mkdir -p /var/lib/runbook/switch/x && touch /var/lib/runbook/switch/x/armed",
    )?;
    apply(&program, &step("60s", DOWN))?
        .exits(3)?
        .says(&["may yet put back by itself", "attempt x"])?;
    expect("journals", &program.journals(), &0)
}
