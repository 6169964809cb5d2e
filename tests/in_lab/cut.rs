//! Connections that are cut, before, in the middle of, and after an effect; and bad lines.

use crate::connection::kill_masters;
use crate::five::{self, NODE, script};
use crate::program::{Program, Running, expect, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

const RUNBOOK: &str = "tests/in_lab/paused.yaml";

pub const CASES: &[Case] = &[
    Case {
        name: "cut::in_the_middle_of_an_effect_it_goes_on",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| goes_on(lab, &POINTS[1..2]),
    },
    Case {
        name: "cut::before_in_the_middle_of_and_after_an_effect_it_goes_on",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| goes_on(lab, &POINTS),
    },
    Case {
        name: "cut::together_with_the_program_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: resumed,
    },
    Case {
        name: "cut::a_slow_line_that_loses_packets_is_only_slow",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: slow_line,
    },
];

/// Where an effect is when the connection is cut, the lock that keeps it there, and how often the
/// program has run once all is well.
pub struct Point {
    pub gate: &'static str,
    /// Prints on the host what waits there, a line each.
    waits: &'static str,
    runs: &'static str,
}

pub const POINTS: [Point; 3] = [
    Point {
        gate: "/run/runbook/lock",
        waits: "find /proc/[0-9]*/fd/9 -lname /run/runbook/lock 2>/dev/null || true",
        runs: "1",
    },
    Point {
        gate: "/etc/five/middle",
        waits: "pgrep -f '^flock /etc/five/middle true$' || true",
        runs: "2",
    },
    Point {
        gate: "/etc/five/after",
        waits: "pgrep -f '^flock /etc/five/after true$' || true",
        runs: "1",
    },
];

/// Somebody who holds a lock on node03.
pub struct Holder(Child);

impl Holder {
    pub fn hold(lab: &Lab, gate: &str) -> Result<Self, String> {
        let mut child = lab
            .ssh_command(node(3)?)
            .arg(format!(
                "mkdir -p -m 700 /run/runbook && exec flock {gate} sh -c 'echo held; exec cat'"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut held = String::new();
        let stdout = child.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout)
            .read_line(&mut held)
            .map_err(|e| e.to_string())?;
        expect("the lock", &held.trim(), &"held")?;
        Ok(Self(child))
    }

    pub fn let_go(mut self) -> Result<(), String> {
        drop(self.0.stdin.take());
        self.0.wait().map(|_| ()).map_err(|e| e.to_string())
    }
}

/// Begins a run, and waits until its effect waits at the point; what waits there.
fn paused(lab: &Lab, program: &Program<'_>, point: &Point) -> Result<(Running, String), String> {
    let run = program.start(&["apply", RUNBOOK, "--node", NODE, "--yes"])?;
    let under_way = RefCell::default();
    wait_until(180, "an effect under way", || {
        let waiting = waiting(lab, point)?;
        let is_there = !waiting.is_empty();
        under_way.replace(waiting);
        Ok(is_there)
    })?;
    Ok((run, under_way.into_inner()))
}

pub fn waits(lab: &Lab, point: &Point) -> Result<bool, String> {
    waiting(lab, point).map(|waiting| !waiting.is_empty())
}

/// The processes that wait at the point: what begins anew waits there as others.
fn waiting(lab: &Lab, point: &Point) -> Result<String, String> {
    lab.ssh_text(node(3)?, point.waits)
        .map_err(|e| e.to_string())
}

/// The host ends what nobody waits for any more.
fn until_ended(lab: &Lab, point: &Point, under_way: &str) -> Result<(), String> {
    wait_until(180, "the end of what was under way", || {
        let now = waiting(lab, point)?;
        Ok(under_way
            .lines()
            .all(|pid| !now.lines().any(|other| other == pid)))
    })
}

/// What was done, how often, and that nothing of it is left running.
fn is_whole(lab: &Lab, point: &Point) -> Result<(), String> {
    let found = lab
        .ssh_text(
            node(3)?,
            "cat /etc/five/state; wc -l </etc/five/runs; pgrep -fc '^flock /etc/five' || true",
        )
        .map_err(|e| e.to_string())?;
    let wanted = format!("whole\n{}\n0\n", point.runs);
    expect(point.gate, &found, &wanted)
}

fn goes_on(lab: &Lab, points: &[Point]) -> Result<(), String> {
    for point in points {
        five::reset(lab)?;
        let program = Program::new(lab)?;
        let holder = Holder::hold(lab, point.gate)?;
        let (run, under_way) = paused(lab, &program, point)?;
        if kill_masters(&program)? == 0 {
            return Err("there was no connection to cut".to_owned());
        }
        // Before the effect, whoever looks what became of it waits for the same lock.
        if point.gate != "/run/runbook/lock" {
            until_ended(lab, point, &under_way)?;
        }
        holder.let_go()?;
        run.end()?.exits(0)?.says(&["1 change, verified"])?;
        is_whole(lab, point)?;
        program
            .run(&["undo", &program.latest()?, "--yes"])?
            .exits(0)?;
        script(lab, "! test -e /etc/five/state")?;
    }
    Ok(())
}

fn resumed(lab: &Lab) -> Result<(), String> {
    for point in &POINTS {
        five::reset(lab)?;
        let program = Program::new(lab)?;
        let holder = Holder::hold(lab, point.gate)?;
        let (run, under_way) = paused(lab, &program, point)?;
        run.kill()?;
        until_ended(lab, point, &under_way)?;
        holder.let_go()?;
        let run = program.latest()?;
        program
            .run(&["resume", &run])?
            .exits(0)?
            .says(&["1 change, verified"])?;
        is_whole(lab, point)?;
    }
    Ok(())
}

/// 200 ms and 5 % of all packets lost, there.
fn slow_line(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    let program = Program::new(lab)?;
    script(
        lab,
        "modprobe sch_netem && tc qdisc add dev vec0 root netem delay 200ms loss 5%",
    )?;
    let outcome = five::apply(&program).and_then(|ran| {
        let run = ran.exits(0)?.run()?;
        program.run(&["undo", &run, "--yes"])?.exits(0)
    });
    script(lab, "tc qdisc del dev vec0 root netem")?;
    outcome.map(|_| ())
}
