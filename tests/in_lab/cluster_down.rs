//! Hosts are healed while the API server does not answer.

use crate::claims::{NODE, nothing_is_claimed, script, until_there};
use crate::program::{Program, expect, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;

pub const CASES: &[Case] = &[
    Case {
        name: "cluster_down::a_host_is_healed_and_what_was_not_verified_is_verified_later",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: healed,
    },
    Case {
        name: "cluster_down::an_api_server_that_comes_back_in_mid_run_is_used",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: comes_back,
    },
];

const RUNBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in_lab/healed.yaml");

/// Runs `test` without an API server; it is there again afterwards, whatever happens.
pub fn without_api_server(
    lab: &Lab,
    test: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    script(lab, "rm -f /run/healed*")?;
    lab.stop_api_server().map_err(|e| e.to_string())?;
    let tested = test();
    lab.start_api_server().map_err(|e| e.to_string())?;
    tested
}

/// When each kubelet was last heard of.
fn heard(lab: &Lab) -> Result<Vec<String>, String> {
    let leases = lab
        .kubectl_json(&["-n", "kube-node-lease", "get", "leases"])
        .map_err(|e| e.to_string())?;
    let leases = leases["items"].as_array().cloned().unwrap_or_default();
    let times = leases
        .iter()
        .map(|lease| lease["spec"]["renewTime"].to_string());
    Ok(times.collect())
}

/// Waits until every kubelet is heard again, and its node Ready.
pub fn all_ready(lab: &Lab) -> Result<(), String> {
    let before = heard(lab)?;
    wait_until(180, "Ready nodes", || {
        let again = heard(lab)?.iter().all(|time| !before.contains(time));
        let nodes = lab
            .kubectl_text(&["get", "nodes", "--no-headers"])
            .map_err(|e| e.to_string())?;
        Ok(again && !nodes.is_empty() && nodes.lines().all(|line| line.contains(" Ready ")))
    })
}

fn healed(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    script(lab, "rm -f /etc/healed.conf")?;
    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    let mut id = String::new();
    without_api_server(lab, || {
        script(lab, "touch /run/healed-go")?;
        program
            .run(&["plan", RUNBOOK, "--node", NODE])?
            .exits(0)?
            .says(&[
                "which does not answer: only the hosts are kept for this run",
                "See that the node is Ready unknown",
                "it is looked at when its turn comes",
            ])?;
        let ran = program.run(&apply)?.exits(6)?.says(&[
            "Healed in",
            "not verified: 2 changes",
            "not verified: See that the node is Ready",
        ])?;
        id = ran.run()?;
        expect(
            "the file",
            &script(lab, "cat /etc/healed.conf")?.trim(),
            &"healed",
        )?;
        // Still not; it is not done again, and not taken for done.
        program.run(&["resume", &id])?.exits(6)?;
        program
            .run(&["history", "show", &id])?
            .exits(0)?
            .says(&["not verified"])?;
        Ok(())
    })?;
    all_ready(lab)?;
    program
        .run(&["resume", &id])?
        .exits(0)?
        .says(&["Done in", "See that the node is Ready"])?;
    nothing_is_claimed(lab)?;
    // Taken back while it is away again.
    without_api_server(lab, || {
        program.run(&["undo", &id, "--yes"])?.exits(0)?;
        let left = script(lab, "ls /etc/healed.conf /run/healed 2>/dev/null; true")?;
        expect("what is left", &left.as_str(), &"")
    })?;
    all_ready(lab)?;
    nothing_is_claimed(lab)
}

fn comes_back(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    script(lab, "rm -f /etc/healed.conf")?;
    let mut begun = None;
    without_api_server(lab, || {
        begun = Some(program.start(&[
            "apply",
            RUNBOOK,
            "--node",
            NODE,
            "--yes",
            "--param",
            "within=2m",
        ])?);
        until_there(lab, "/run/healed-begun")
    })?;
    all_ready(lab)?;
    script(lab, "touch /run/healed-go")?;
    let ran = begun.ok_or("it was not begun")?.end()?;
    let id = ran
        .exits(0)?
        .says(&["Done in", "2 changes, verified"])?
        .run()?;
    program.run(&["undo", &id, "--yes"])?.exits(0)?;
    nothing_is_claimed(lab)
}
