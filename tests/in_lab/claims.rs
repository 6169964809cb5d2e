//! Two runs at the same target: one at a time, and what one left in the middle is somebody's to end.

use crate::program::{Program, Ran, Running, expect, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::machine::NODES;
use rustix::process::Signal;

pub const CASES: &[Case] = &[
    Case {
        name: "claims::a_second_run_is_refused_or_waits",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: refused_or_waits,
    },
    Case {
        name: "claims::what_a_killed_run_left_is_resumed_or_taken_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: left_behind,
    },
    Case {
        name: "claims::a_run_that_sleeps_past_its_lease_writes_nothing_more",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: asleep,
    },
];

pub const RUNBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in_lab/slow.yaml");
pub const NODE: &str = "node02";

/// A run that is under way.
pub struct UnderWay {
    run: Running,
}

impl UnderWay {
    /// Starts the runbook, and waits until its first program runs, which goes on until it is let go.
    pub fn held(program: &Program<'_>) -> Result<Self, String> {
        script(program.lab, "rm -f /run/slow-*; touch /run/slow-hold")?;
        let annotate = [
            "annotate",
            "node",
            NODE,
            "example.org/slow-",
            "example.org/last-",
        ];
        program
            .lab
            .kubectl_text(&annotate)
            .map_err(|e| e.to_string())?;
        let run = program.start(&[
            "apply",
            RUNBOOK,
            "--node",
            NODE,
            "--yes",
            "--param",
            "seconds=0",
            "--reason",
            "a page",
        ])?;
        until_there(program.lab, "/run/slow-begun")?;
        Ok(Self { run })
    }

    pub fn let_go(&self, lab: &Lab) -> Result<(), String> {
        script(lab, "rm /run/slow-hold").map(drop)
    }

    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        self.run.signal(signal)
    }

    pub fn end(self) -> Result<Ran, String> {
        self.run.end()
    }

    pub fn kill(self) -> Result<(), String> {
        self.run.kill().map(drop)
    }
}

pub fn script(lab: &Lab, text: &str) -> Result<String, String> {
    lab.ssh_text(node(2)?, text).map_err(|e| e.to_string())
}

/// Waits until a program on the host has made this file.
pub fn until_there(lab: &Lab, file: &str) -> Result<(), String> {
    wait_until(180, &format!("the file {file}"), || {
        let found = script(lab, &format!("ls {file} 2>/dev/null; true"))?;
        Ok(found.contains(file))
    })
}

/// The annotation on the node, and the Leases of runs.
pub fn claimed(lab: &Lab) -> Result<(Option<String>, Vec<String>), String> {
    let text = |e: lab::Error| e.to_string();
    let object = lab.kubectl_json(&["get", "node", NODE]).map_err(text)?;
    let claim = object["metadata"]["annotations"]["runbook/claim"]
        .as_str()
        .map(str::to_owned);
    let leases = lab
        .kubectl_json(&["-n", "kube-system", "get", "leases"])
        .map_err(text)?;
    let names = leases["items"].as_array().cloned().unwrap_or_default();
    let names = names
        .iter()
        .filter_map(|lease| lease["metadata"]["name"].as_str())
        .filter(|name| name.starts_with("runbook-"))
        .map(str::to_owned)
        .collect();
    Ok((claim, names))
}

/// Takes away what runs of a test that failed, or that were killed, still claim.
pub fn clear(lab: &Lab) -> Result<(), String> {
    let kubectl = |args: &[&str]| lab.kubectl_text(args).map_err(|e| e.to_string());
    let label = "app.kubernetes.io/managed-by=runbook";
    kubectl(&["-n", "kube-system", "delete", "leases", "-l", label])?;
    kubectl(&["annotate", "nodes", "--all", "runbook/claim-"])?;
    kubectl(&["annotate", "namespace", "kube-system", "runbook/claim-"])?;
    lab.on_each(&NODES, |node| {
        lab.ssh_text(node, "rm -f /var/lib/runbook/claim /run/slow-hold")
    })
    .map_err(|e| e.to_string())?;
    Ok(())
}

/// Holds that nothing is claimed any more, neither in the cluster nor on the host.
pub fn nothing_is_claimed(lab: &Lab) -> Result<(), String> {
    expect("the claims", &claimed(lab)?, &(None, Vec::new()))?;
    let host = script(lab, "cat /var/lib/runbook/claim 2>/dev/null; true")?;
    expect("the claim on the host", &host.as_str(), &"")
}

fn annotation(lab: &Lab, name: &str) -> Result<bool, String> {
    let object = lab
        .kubectl_json(&["get", "node", NODE])
        .map_err(|e| e.to_string())?;
    Ok(object["metadata"]["annotations"][name].is_string())
}

fn refused_or_waits(lab: &Lab) -> Result<(), String> {
    let (first, second) = (Program::new(lab)?, Program::new(lab)?);
    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    let run = UnderWay::held(&first)?;
    let (claim, leases) = claimed(lab)?;
    expect("the claim's Lease", &leases, &claim.into_iter().collect())?;
    // Whoever only looks is told, and may.
    let words = ["node02 is held by run", "slow on node02: a page", "since"];
    second
        .run(&["plan", RUNBOOK, "--node", NODE])?
        .exits(0)?
        .says(&["Applying would be refused: node02 is held by run"])?;
    second
        .run(&apply)?
        .exits(3)?
        .says(&words)?
        .says(&["[busy]"])?;
    expect("journals", &second.journals(), &0)?;
    // Whoever waits goes on once the first has ended, and finds it done.
    let mut waits = second.start(&[&apply[..], &["--wait", "10m"]].concat())?;
    waits.until_it_says("node02 is held by run")?;
    run.let_go(lab)?;
    waits.end()?.exits(0)?.says(&["Nothing to do"])?;
    let run = run.end()?.exits(0)?.run()?;
    first.run(&["undo", &run, "--yes"])?.exits(0)?;
    nothing_is_claimed(lab)
}

fn left_behind(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    let ways = |program: &Program<'_>| -> Result<String, String> {
        UnderWay::held(program)?.kill()?;
        let run = program.latest()?;
        // Here it is known at once that it is dead; elsewhere only after its Lease has run out.
        program.run(&apply)?.exits(3)?.says(&[
            "node02 was left in the middle by run",
            &format!("`runbook resume {run}` goes on with it"),
            "[left_behind]",
        ])?;
        script(lab, "rm /run/slow-hold")?;
        Ok(run)
    };
    // Resumed, and then taken back: both let go.
    let run = ways(&program)?;
    program
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["Done in"])?;
    nothing_is_claimed(lab)?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    nothing_is_claimed(lab)?;
    // Taken back without having been gone on with.
    let run = ways(&program)?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    let left = annotation(lab, "example.org/slow")?;
    expect("what is left", &left, &false)?;
    nothing_is_claimed(lab)
}

fn asleep(lab: &Lab) -> Result<(), String> {
    let (first, second) = (Program::new(lab)?, Program::new(lab)?);
    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    let run = UnderWay::held(&first)?;
    run.signal(Signal::STOP)?;
    let id = first.latest()?;
    // Its program ends on the host, and it does not hear of that.
    run.let_go(lab)?;
    until_there(lab, "/run/slow-one")?;
    // Nobody hears of it any more.
    wait_until(180, "the end of its Lease", || {
        Ok(second.run(&apply)?.says(&["[left_behind]"]).is_ok())
    })?;
    // Another takes its place, and the first wakes up beside it.
    let abandon = [&apply[..], &["--abandon", &id, "--param", "seconds=0"]].concat();
    let takes_over = format!("Takes over from run {id}");
    script(
        lab,
        "rm /run/slow-one /run/slow-begun; touch /run/slow-hold",
    )?;
    let other = second.start(&abandon)?;
    until_there(lab, "/run/slow-begun")?;
    run.signal(Signal::CONT)?;
    let ran = run.end()?;
    ran.exits(6)?.says(&[
        "this run writes nothing more: it stood still for",
        "[claim_lost]",
    ])?;
    expect(
        "what it would have written",
        &annotation(lab, "example.org/last")?,
        &false,
    )?;
    script(lab, "rm /run/slow-hold")?;
    let other = other.end()?.exits(0)?.says(&[&takes_over])?.run()?;
    second.run(&["undo", &other, "--yes"])?.exits(0)?;
    first.run(&["undo", &id, "--yes"])?.exits(0)?;
    nothing_is_claimed(lab)
}
