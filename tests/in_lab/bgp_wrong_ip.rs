//! The main job: each variant of the fault, made for real and healed for good.

use crate::program::{
    NAME, Program, Ran, advertised, all_advertise_their_own, calico_env, expect,
    mesh_is_established, method, node, wait_until,
};
use crate::surroundings::Surroundings;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};

pub const CASES: &[Case] = &[
    Case {
        name: "bgp_wrong_ip::second_nic_is_healed_survives_a_reboot_and_is_taken_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: second_nic,
    },
    Case {
        name: "bgp_wrong_ip::a_preview_and_every_refusal_write_nothing_while_it_is_broken",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: previews_write_nothing,
    },
    Case {
        name: "bgp_wrong_ip::bridge_up",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| bridge(lab, Variant::BridgeUp, "up"),
    },
    Case {
        name: "bgp_wrong_ip::bridge_down",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| bridge(lab, Variant::BridgeDown, "down"),
    },
    Case {
        name: "bgp_wrong_ip::two_nodes_are_healed_whatever_the_majority",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: two_nodes,
    },
    Case {
        name: "bgp_wrong_ip::one_of_two_nodes_is_named_and_the_method_heals_the_other",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: one_of_two_nodes,
    },
    Case {
        name: "bgp_wrong_ip::a_healthy_node_needs_nothing",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: healthy,
    },
];

pub fn make(lab: &Lab, variant: Variant, number: usize, persistent: bool) -> Result<(), String> {
    let node = node(number)?;
    lab.break_(Incident::BgpWrongIp, variant, node, persistent)
        .map(|_| ())
        .map_err(|e| format!("making the fault: {e}"))
}

/// What everything stands for after a healing, seen by our own eyes.
pub fn healed(lab: &Lab) -> Result<(), String> {
    all_advertise_their_own(lab)?;
    expect(
        "the method",
        &method(&calico_env(lab)?).as_deref(),
        &Some("kubernetes-internal-ip"),
    )?;
    mesh_is_established(lab)
}

fn apply(program: &Program<'_>, nodes: &[&str], settle: &str) -> Result<Ran, String> {
    let mut args = vec!["apply", NAME, "--yes", "--param", settle];
    for node in nodes {
        args.extend(["--node", node]);
    }
    program.run(&args)?.exits(0)
}

/// The second time there is nothing to do, and nothing is done.
fn second_apply_does_nothing(program: &Program<'_>, name: &str) -> Result<(), String> {
    let (journals, env) = (program.journals(), calico_env(program.lab)?);
    program
        .run(&["apply", NAME, "--node", name, "--yes"])?
        .exits(0)?
        .says(&["Nothing to do", "Nothing was written"])?;
    expect("journals", &program.journals(), &journals)?;
    expect("the environment", &calico_env(program.lab)?, &env)
}

/// After `undo`, annotation and environment are what they were, and the fault is said to be back.
fn undo_restores(
    program: &Program<'_>,
    run: &str,
    addresses: &[(String, String)],
    env: &serde_json::Value,
    says: &[&str],
) -> Result<(), String> {
    program
        .run(&["undo", run, "--yes"])?
        .exits(0)?
        .says(&["is taken back", "The fault that it had healed is back"])?
        .says(says)?;
    expect("the environment", &calico_env(program.lab)?, env)?;
    expect(
        "the addresses",
        &advertised(program.lab)?,
        &addresses.to_vec(),
    )
}

fn second_nic(lab: &Lab) -> Result<(), String> {
    let clean = calico_env(lab)?;
    make(lab, Variant::SecondNic, 2, true)?;
    let broken = advertised(lab)?;
    let program = Program::new(lab)?;
    // With the runbook's own 65 s, so that Calico has looked at the addresses once more.
    let ran = apply(&program, &["node02"], "settle=65s")?.says(&[
        "- 172.18.0.1/16 (on ens9 (dummy, up); not what kubelet registered)",
        "+ 10.77.0.12/24 (its InternalIP, with the prefix of its link vec0)",
        "- first-found (Calico's default, as it is not set)",
        "+ kubernetes-internal-ip",
        "its controller replaces the calico-node pods of all 3 nodes, 1 at a time",
        "managed by kubectl apply",
        "No longer so: node02 advertises 172.18.0.1/16",
    ])?;
    healed(lab)?;
    second_apply_does_nothing(&program, "node02")?;

    reboot(lab, 2)?;
    let links = lab
        .ssh_text(node(2)?, "ip -o -4 address show dev ens9")
        .map_err(|e| format!("the second card is not there after the reboot: {e}"))?;
    if !links.contains("172.18.0.1/16") {
        return Err(format!("the cause did not survive the reboot: {links}"));
    }
    healed(lab)?;

    let run = ran.run()?;
    undo_restores(
        &program,
        &run,
        &broken,
        &clean,
        &["node02 advertises 172.18.0.1/16"],
    )?;
    // What is taken back is not taken back twice.
    program
        .run(&["undo", &run, "--yes"])?
        .exits(0)?
        .says(&["Everything is as it was before the run"])
        .map(|_| ())
}

/// Reboots a node from within and waits until it is Ready and its sessions are established.
pub fn reboot(lab: &Lab, number: usize) -> Result<(), String> {
    let node = node(number)?;
    lab.reboot(node).map_err(|e| e.to_string())?;
    let name = node.name();
    wait_until(600, "the node to be Ready, with calico-node", || {
        let ready = lab.kubectl_text(&[
            "wait",
            "--for=condition=Ready",
            &format!("node/{name}"),
            "--timeout=5s",
        ]);
        Ok(ready.is_ok() && mesh_is_established(lab).is_ok())
    })
}

fn previews_write_nothing(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::SecondNic, 2, false)?;
    let program = Program::new(lab)?;
    let before = Surroundings::of(lab)?;
    let on = |args: &[&str]| program.run(&[&["plan", NAME][..], args].concat());
    let apply = |args: &[&str]| {
        let all = [&["apply", NAME, "--node", "node02"][..], args].concat();
        program.run(&all)
    };
    on(&["--node", "node02"])?.exits(0)?.says(&[
        "cluster  lab (https://10.77.0.1:6443)",
        "address",
        "172.18.0.1/16",
        "10.77.0.12/24",
        "Nothing was written",
    ])?;
    on(&["--node", "node02", "--exit-code"])?.exits(5)?;
    apply(&["--dry-run", "--yes"])?
        .exits(0)?
        .says(&["Dry run: nothing was written"])?;
    apply(&[])?
        .exits(3)?
        .says(&["there is no terminal to ask on", "[not_confirmed]"])?;
    // No, nothing, and the end of the input.
    for typed in ["n\n", "\n", ""] {
        program
            .at_the_prompt(&["apply", NAME, "--node", "node02"], typed, || Ok(()))?
            .exits(3)?
            .says(&["Apply this?", "not confirmed: nothing was done"])?;
    }
    apply(&["--yes", "--param", "settle=soon"])?
        .exits(2)?
        .says(&["`soon` is not", "[param_value]"])?;
    apply(&["--yes", "--allow-unknown", "mash"])?
        .exits(2)?
        .says(&["the steps are status, address, address_v6, method, method_v6, restart, mesh, status_gone"])?;
    crate::refusals::missing_rights(&program)?;
    expect("journals", &program.journals(), &0)?;
    before.still_there(lab)?;

    // The fault is node02's; who asks for another node is told so.
    on(&["--node", "node01"])?.exits(3)?.says(&[
        "the fault is elsewhere: node02 advertises an address that is not its own",
        "runbook plan fix-bgp-wrong-ip --node node02",
    ])?;
    before.still_there(lab)
}

fn bridge(lab: &Lab, variant: Variant, state: &str) -> Result<(), String> {
    make(lab, variant, 2, false)?;
    let (broken, env) = (advertised(lab)?, calico_env(lab)?);
    expect(
        "the method",
        &method(&env).as_deref(),
        &Some("interface=.*"),
    )?;
    let program = Program::new(lab)?;
    let holder = format!("(bridge, {state}); not what kubelet registered");
    let ran = apply(&program, &["node02"], "settle=5s")?.says(&[
        "- 172.18.0.1/16 (on br-",
        &holder,
        "- interface=.*",
    ])?;
    healed(lab)?;
    second_apply_does_nothing(&program, "node02")?;
    undo_restores(
        &program,
        &ran.run()?,
        &broken,
        &env,
        &["node02 advertises 172.18.0.1/16"],
    )
}

fn two_nodes(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::TwoNodes, 2, false)?;
    let (broken, env) = (advertised(lab)?, calico_env(lab)?);
    let program = Program::new(lab)?;
    let ran = apply(&program, &["node02", "node03"], "settle=5s")?.says(&[
        "+ 10.77.0.12/24",
        "+ 10.77.0.13/24",
        "once for all 2 nodes",
    ])?;
    healed(lab)?;
    undo_restores(
        &program,
        &ran.run()?,
        &broken,
        &env,
        &["node02 advertises 172.18.", "node03 advertises 172.18."],
    )
}

fn one_of_two_nodes(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::TwoNodes, 2, false)?;
    let program = Program::new(lab)?;
    apply(&program, &["node02"], "settle=5s")?.says(&[
        "then node03 picks 10.77.0.13/24 on vec0 instead of 172.18.",
        "undo: best effort: the method is put back exactly; node03 then detects its address anew",
        "No longer so: node02 advertises 172.18.",
    ])?;
    healed(lab)
}

fn healthy(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    for command in ["plan", "apply"] {
        program
            .run(&[command, NAME, "--node", "node02"])?
            .exits(0)?
            .says(&[
                "it advertises 10.77.0.12/24, its InternalIP on vec0",
                "all 3 nodes see every peer established",
                "Nothing to change",
                "Nothing was written",
            ])?;
    }
    program
        .run(&["plan", NAME, "--node", "node02", "--exit-code"])?
        .exits(0)?;
    expect("journals", &program.journals(), &0)
}
