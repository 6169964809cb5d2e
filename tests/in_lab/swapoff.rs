//! Swap that keeps the kubelet down, however it is turned on: turned off for good, and taken back.

use crate::bgp_wrong_ip::reboot;
use crate::cluster_down::{all_ready, without_api_server};
use crate::connection::inventory;
use crate::program::{Program, expect, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};

pub const CASES: &[Case] = &[
    Case {
        name: "swapoff::a_swap_file_is_turned_off_for_good_and_taken_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| file(lab, false),
    },
    Case {
        name: "swapoff::a_swap_file_stays_off_over_a_boot",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| file(lab, true),
    },
    Case {
        name: "swapoff::a_partition_that_is_named_by_its_uuid",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: partition,
    },
    Case {
        name: "swapoff::a_unit_that_turns_it_on_at_each_boot",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: unit,
    },
    Case {
        name: "swapoff::where_it_is_meant_to_be_on_nothing_is_done",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| intended(lab, Variant::Config),
    },
    Case {
        name: "swapoff::where_a_flag_says_that_it_is_meant_to_be_on_nothing_is_done",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| intended(lab, Variant::Flag),
    },
    Case {
        name: "swapoff::an_api_server_that_is_away_keeps_nobody_from_it",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: cluster_down,
    },
];

const NODE: &str = "node02";
const APPLY: [&str; 7] = [
    "apply",
    "swapoff",
    "--node",
    NODE,
    "--yes",
    "--param",
    "ready_within=10m",
];

fn on(lab: &Lab, command: &str) -> Result<String, String> {
    lab.ssh_text(node(2)?, command).map_err(|e| e.to_string())
}

fn make(lab: &Lab, incident: Incident, variant: Option<Variant>) -> Result<(), String> {
    lab.break_(incident, variant, node(2)?, false)
        .map(|_| ())
        .map_err(|e| format!("making the fault: {e}"))
}

/// The files that a run may change, and the units, as they are.
fn files(lab: &Lab) -> Result<String, String> {
    on(
        lab,
        "sha256sum /etc/fstab; cd /etc/systemd/system; stat -c '%N %a %u:%g' *.swap swap.target.wants/* 2>/dev/null; true",
    )
}

/// What tells this start of kubelet from all others.
fn kubelet(lab: &Lab) -> Result<String, String> {
    on(lab, "systemctl show -P InvocationID kubelet")
}

fn areas(lab: &Lab) -> Result<String, String> {
    on(lab, "tail -n +2 /proc/swaps | cut -d' ' -f1")
}

/// Nothing is swapped to, kubelet runs, and the node is Ready.
fn is_healed(lab: &Lab) -> Result<(), String> {
    expect("what is swapped to", &areas(lab)?.as_str(), &"")?;
    let name = format!("node/{NODE}");
    lab.kubectl_text(&["wait", "--for=condition=Ready", "--timeout=5s", &name])
        .map_err(|e| e.to_string())?;
    expect(
        "kubelet",
        &on(lab, "systemctl is-active kubelet")?.trim(),
        &"active",
    )
}

/// Healed, kept over a boot if wanted, nothing to do the second time, and then taken back.
fn there_and_back(
    lab: &Lab,
    incident: Incident,
    says: &[&str],
    area: &str,
    user: &str,
    boots: bool,
) -> Result<(), String> {
    make(lab, incident, None)?;
    let program = Program::new(lab)?;
    let host = format!("{NODE}: {{address: 10.77.0.12, user: {user}}}");
    let inventory = inventory(&program, &host)?;
    let inventory = ["--inventory", &*inventory.to_string_lossy()];
    let apply = [&APPLY[..], &inventory].concat();
    let before = files(lab)?;
    program
        .run(&[&["plan", "swapoff", "--node", NODE][..], &inventory].concat())?
        .exits(0)?
        .says(says)?;
    expect("the files", &files(lab)?, &before)?;
    let run = program
        .run(&apply)?
        .exits(0)?
        .says(&["Done in", "verified"])?
        .run()?;
    is_healed(lab)?;

    if boots {
        reboot(lab, 2)?;
        is_healed(lab)?;
    }
    let (kept, started) = (files(lab)?, kubelet(lab)?);
    program
        .run(&apply)?
        .exits(0)?
        .says(&["Nothing to change", "nothing was written"])?;
    expect("the files", &files(lab)?, &kept)?;
    expect("the start of kubelet", &kubelet(lab)?, &started)?;

    program
        .run(&[&["undo", &run, "--yes"][..], &inventory].concat())?
        .exits(0)?
        .says(&[
            "is taken back",
            "The fault that it had healed is back",
            "with which a kubelet that does not tolerate swap does not start",
        ])?;
    expect("the files", &files(lab)?, &before)?;
    expect("what is swapped to", &areas(lab)?.trim(), &area)?;
    // One that came up by itself after the swap was off was not started by the run, and not by the undo.
    on(lab, "systemctl restart --no-block kubelet")?;
    wait_until(180, "a kubelet that refuses swap again", || {
        let failing = "systemctl show -P SubState kubelet";
        Ok(on(lab, failing)?.contains("auto-restart"))
    })
}

fn file(lab: &Lab, boots: bool) -> Result<(), String> {
    there_and_back(
        lab,
        Incident::SwapFile,
        &[
            "swap on /swapfile of node02",
            "is turned on by /etc/fstab line",
            "- /swapfile none swap sw 0 0",
            "+ # /swapfile none swap sw 0 0",
            "failing: systemd starts it again and again",
            "undo",
        ],
        "/swapfile",
        "root",
        boots,
    )
}

fn partition(lab: &Lab) -> Result<(), String> {
    there_and_back(
        lab,
        Incident::SwapPartition,
        &[
            "swap on /dev/ubdc1 of node02",
            "(UUID=",
            "- UUID=",
            "+ # UUID=",
        ],
        "/dev/ubdc1",
        "ops",
        true,
    )
}

fn unit(lab: &Lab) -> Result<(), String> {
    there_and_back(
        lab,
        Incident::SwapUnit,
        &[
            "is turned on by the unit swapfile.swap (/etc/systemd/system/swapfile.swap)",
            "start of swapfile.swap with the host of node02",
        ],
        "/swapfile",
        "root",
        true,
    )
}

fn intended(lab: &Lab, variant: Variant) -> Result<(), String> {
    make(lab, Incident::SwapIntended, Some(variant))?;
    let program = Program::new(lab)?;
    let before = (files(lab)?, areas(lab)?);
    program
        .run(&APPLY)?
        .exits(3)?
        .says(&["kubelet is configured to run with swap here"])?;
    expect("journals", &program.journals(), &0)?;
    expect("files and swap", &(files(lab)?, areas(lab)?), &before)
}

fn cluster_down(lab: &Lab) -> Result<(), String> {
    make(lab, Incident::SwapFile, None)?;
    let program = Program::new(lab)?;
    let before = files(lab)?;
    let mut run = String::new();
    without_api_server(lab, || {
        run = program
            .run(&[&APPLY[..5], &["--param", "ready_within=1m"]].concat())?
            .exits(6)?
            .says(&["Healed in", "not verified: See the node Ready"])?
            .run()?;
        expect("what is swapped to", &areas(lab)?.as_str(), &"")
    })?;
    all_ready(lab)?;
    program
        .run(&["resume", &run])?
        .exits(0)?
        .says(&["Done in"])?;
    is_healed(lab)?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    expect("the files", &files(lab)?, &before)
}
