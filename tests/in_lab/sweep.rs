//! The program killed at every write to its journal, and at every moment when a write becomes
//! durable; the machine that it runs on cut from power. Resumed, it ends as if nothing had happened.

use crate::bgp_wrong_ip::make;
use crate::cut::{Holder, POINTS, waits};
use crate::five::{self, NODE, RUNBOOK};
use crate::program::{NAME, Program, expect, finish, mesh_is_established, node, wait_until};
use crate::{Case, Dirties, Suite, drain, settings};
use lab::Lab;
use lab::breakage::Variant;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

pub const CASES: &[Case] = &[
    Case {
        name: "sweep::killed_at_some_points_it_is_resumed",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: |lab| sweep(lab, &FIVE, 3, 1),
    },
    Case {
        name: "sweep::killed_at_every_point_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: |lab| sweep(lab, &FIVE, usize::MAX, 16),
    },
    Case {
        name: "sweep::of_settings_killed_at_some_points_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| sweep(lab, &SETTINGS, 8, 6),
    },
    Case {
        name: "sweep::of_a_drain_killed_at_some_points_it_is_resumed",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| sweep(lab, &DRAIN, 3, 1),
    },
    Case {
        name: "sweep::of_a_drain_killed_at_every_point_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| sweep(lab, &DRAIN, usize::MAX, 8),
    },
    Case {
        name: "sweep::fix_bgp_wrong_ip_killed_at_three_points_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: fix_bgp,
    },
    Case {
        name: "sweep::after_a_power_cut_it_is_resumed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: power_cut,
    },
];

/// A place in a run's life: the nth call of a system call by the program's main thread, which alone
/// writes the journal. Killed there, the call does not happen.
///
/// Before the first write of a commit, the effect before it is done and its outcome is not written
/// down. At the end of it, right before it is synced, the intent is there and its effect has not
/// begun; after that nothing is written until the effect has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    call: &'static str,
    nth: usize,
}

const CALLS: [&str; 3] = ["fsync", "pwrite64", "rename"];

/// The points of an undisturbed run, from its trace.
pub fn points(program: &Program<'_>, args: &[&str]) -> Result<Vec<Point>, String> {
    let trace = program.path().join("trace");
    let mut command = program.command_of("strace");
    command
        .args(["-qq", "-e", &format!("trace={}", CALLS.join(",")), "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_runbook"))
        .args(args);
    finish(&mut command)?.exits(0)?;
    let text = std::fs::read_to_string(&trace).map_err(|e| e.to_string())?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    let mut last = "fsync";
    for line in text.lines() {
        let Some(call) = CALLS.into_iter().find(|call| line.starts_with(call)) else {
            continue;
        };
        let nth = counts.entry(call).or_default();
        *nth += 1;
        // Between the writes of one commit nothing happens but more of them.
        if call != "pwrite64" || last != "pwrite64" {
            points.push(Point { call, nth: *nth });
        }
        last = call;
    }
    match points.len() {
        0..20 => Err(format!("a run has more moments than these: {points:?}")),
        _ => Ok(points),
    }
}

/// Runs it until it is killed at a point.
pub fn kill_at(program: &Program<'_>, point: &Point, args: &[&str]) -> Result<(), String> {
    let mut command = program.command_of("strace");
    // Without -f only the main thread is looked at. What is not traced is not killed either.
    command
        .args(["-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={}", point.call))
        .arg("-e")
        .arg(format!(
            "inject={}:signal=KILL:when={}",
            point.call, point.nth
        ))
        .arg(env!("CARGO_BIN_EXE_runbook"))
        .args(args);
    let ran = finish(&mut command)?;
    match ran.code {
        // strace ends as its program did.
        -1 | 137 => Ok(()),
        _ => Err(format!("it was not killed at {point:?}\n{}", ran.stderr)),
    }
}

/// A few of them, spread over all; which ones differs from run to run.
pub fn some(points: Vec<Point>, most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points;
    }
    let stride = points.len().div_ceil(most);
    let offset = usize::try_from(crate::seed()).unwrap_or(0) % stride;
    points.into_iter().skip(offset).step_by(stride).collect()
}

/// What is swept over: a runbook, and what it changes on [`NODE`].
struct Subject {
    runbook: &'static str,
    node: &'static str,
    params: &'static [&'static str],
    reset: fn(&Lab) -> Result<(), String>,
    state: fn(&Lab) -> Result<String, String>,
    clear: fn(&Lab) -> Result<(), String>,
}

const FIVE: Subject = Subject {
    runbook: RUNBOOK,
    node: NODE,
    params: &[],
    reset: five::reset,
    state: five::state,
    clear: five::clear,
};

const SETTINGS: Subject = Subject {
    runbook: settings::RUNBOOK,
    node: NODE,
    params: &[],
    reset: settings::reset,
    state: settings::state,
    clear: settings::clear,
};

const DRAIN: Subject = Subject {
    runbook: "drain-node",
    node: drain::NODE,
    params: &["--param", "grace_period=0s", "--param", "ready_within=0s"],
    reset: drain::reset,
    state: drain::state,
    clear: drain::clear,
};

/// `most` points of a run, and `most_of_undo` of its undo.
fn sweep(lab: &Lab, of: &Subject, most: usize, most_of_undo: usize) -> Result<(), String> {
    let apply = [
        &["apply", of.runbook, "--node", of.node, "--yes"],
        of.params,
    ]
    .concat();
    // Undisturbed, and traced.
    let program = Program::new(lab)?;
    (of.reset)(lab)?;
    let before = (of.state)(lab)?;
    let all = points(&program, &apply)?;
    let after = (of.state)(lab)?;
    let story = story(&program)?;
    let run = program.latest()?;
    let undo_points = points(&program, &["undo", &run, "--yes"])?;
    expect(
        "the host after an undisturbed undo",
        &(of.state)(lab)?,
        &before,
    )?;
    println!(
        "  {} points in a run, {} in its undo",
        all.len(),
        undo_points.len()
    );

    for point in some(all, most) {
        let at = |e: String| format!("killed at {point:?}: {e}");
        let program = Program::new(lab)?;
        (of.reset)(lab)?;
        kill_at(&program, &point, &apply)?;
        resumed(&program, &apply).map_err(at)?;
        expect("the host", &(of.state)(lab)?, &after).map_err(at)?;
        expect("its story", &self::story(&program)?, &story).map_err(at)?;
    }
    for point in some(undo_points, most_of_undo) {
        let at = |e: String| format!("its undo killed at {point:?}: {e}");
        let program = Program::new(lab)?;
        (of.reset)(lab)?;
        program.run(&apply)?.exits(0)?;
        let run = program.latest()?;
        let undo = ["undo", &run, "--yes"];
        kill_at(&program, &point, &undo)?;
        match program.latest()? == run {
            // The undo had not begun.
            true => program.run(&undo)?.exits(0).map(|_| ()).map_err(at)?,
            false => resumed(&program, &undo).map_err(at)?,
        }
        expect("the host", &(of.state)(lab)?, &before).map_err(at)?;
    }
    (of.clear)(lab)
}

/// Goes on with the latest run; where none had begun, does it from the beginning.
fn resumed(program: &Program<'_>, args: &[&str]) -> Result<(), String> {
    match program.latest() {
        Ok(run) => program.run(&["resume", &run])?.exits(0)?,
        Err(_) => program.run(args)?.exits(0)?,
    };
    Ok(())
}

/// How many changes the journal tells of, each made once, and that all are verified. There is one run.
fn story(program: &Program<'_>) -> Result<String, String> {
    let run = program.latest()?;
    let shown = program.run(&["history", "show", &run])?.exits(0)?;
    let end = shown.says(&[" changes, verified"])?.stdout;
    let end = end.lines().find_map(|line| line.strip_prefix("Done in "));
    let (_, changes) = end.and_then(|end| end.split_once(": ")).ok_or("no end")?;
    let all = program.run(&["history"])?.exits(0)?.stdout;
    expect("runs", &all.lines().count(), &1)?;
    Ok(changes.to_owned())
}

fn fix_bgp(lab: &Lab) -> Result<(), String> {
    for words in [
        // The first change is made, the second is not begun.
        "✓ node02: Advertise the node's own address",
        // The rollout is under way.
        "pods are replaced",
        // All is written; the mesh is watched.
        "… See every session of the mesh established",
    ] {
        make(lab, Variant::SecondNic, 2, false)?;
        let program = Program::new(lab)?;
        let args = [
            "apply",
            NAME,
            "--node",
            "node02",
            "--param",
            "settle=5s",
            "--yes",
        ];
        program.kill_when_it_says(&args, words)?;
        let run = program.latest()?;
        program
            .run(&["history"])?
            .exits(0)?
            .says(&["fix-bgp-wrong-ip on node02: cut short"])?;
        program
            .run(&["resume", &run])?
            .exits(0)
            .and_then(|ran| ran.says(&["No longer so: node02 advertises 172.18.0.1/16"]))
            .map_err(|e| format!("killed at `{words}`: {e}"))?;
        mesh_is_established(lab)?;
        program
            .run(&["apply", NAME, "--node", "node02", "--yes"])?
            .exits(0)?
            .says(&["Nothing was written"])?;
        lab.heal().map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The program runs on node01 and changes node03. Its power is cut while an effect is under way there,
/// and again right after the end.
fn power_cut(lab: &Lab) -> Result<(), String> {
    let here = node(1)?;
    five::reset(lab)?;
    lab.operator(here, Path::new(env!("CARGO_BIN_EXE_runbook")))
        .map_err(|e| e.to_string())?;
    let file = "five-steps.yaml";
    let text = std::fs::read_to_string(RUNBOOK).map_err(|e| e.to_string())?;
    lab.ssh_text(
        here,
        &format!(
            "rm -rf {0}/state; cat >{0}/{file} <<'END'\n{text}END\nsync",
            lab::operator::OPERATOR
        ),
    )
    .map_err(|e| e.to_string())?;
    let on_node = |args: &[&str]| finish(lab.operator_command(here, args).stdin(Stdio::null()));
    let apply = format!("./{file}");
    let apply = ["apply", &apply, "--node", NODE, "--yes"];

    // Undisturbed, for the state after it.
    on_node(&apply)?.exits(0)?;
    let after = five::state(lab)?;
    five::reset(lab)?;

    // Somebody holds the lock of node03: the first effect waits there, its intent is written down.
    let holder = Holder::hold(lab, POINTS[0].gate)?;
    let mut running = lab
        .operator_command(here, &apply)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    // Not the look of the plan, which takes no lock.
    wait_until(180, "an effect under way", || waits(lab, &POINTS[0]))?;
    lab.cut_power(here).map_err(|e| e.to_string())?;
    running.wait().map_err(|e| e.to_string())?;
    holder.let_go()?;
    lab.power_on(here).map_err(|e| e.to_string())?;
    let latest = || -> Result<String, String> {
        let list = on_node(&["history"])?.exits(0)?.stdout;
        let line = list.lines().next().ok_or("the journal is lost")?;
        Ok(line.split(' ').next().unwrap_or_default().to_owned())
    };
    on_node(&["history"])?
        .exits(0)?
        .says(&["five-steps on node03: cut short, 1 change, not known of all"])?;
    let run = latest()?;
    on_node(&["resume", &run])?
        .exits(0)?
        .says(&["5 changes, verified"])?;
    expect("the host", &five::state(lab)?, &after)?;

    // What was said to be done is on the disk: nothing of it is lost to a cut at once after it.
    lab.cut_power(here).map_err(|e| e.to_string())?;
    lab.power_on(here).map_err(|e| e.to_string())?;
    on_node(&["history"])?
        .exits(0)?
        .says(&["five-steps on node03: done, 5 changes"])?;
    on_node(&["undo", &latest()?, "--yes"])?.exits(0)?;
    lab.wait_for_mesh(180).map_err(|e| e.to_string())?;
    five::clear(lab)
}
