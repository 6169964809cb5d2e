//! Right addresses, and no session: each cause made for real, and named.

use crate::program::{Program, Ran, expect, node};
use crate::surroundings::Surroundings;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};

const PATH: &str = "check-bgp-path";

pub const CASES: &[Case] = &[
    Case {
        name: "bgp_path::a_healthy_node_needs_nothing",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: healthy,
    },
    Case {
        name: "bgp_path::a_rule_that_keeps_bgp_out_is_named_from_either_side",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| blocked(lab, Variant::Input, "INPUT"),
    },
    Case {
        name: "bgp_path::a_rule_that_keeps_bgp_in_is_named_from_either_side",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| blocked(lab, Variant::Output, "OUTPUT"),
    },
    Case {
        name: "bgp_path::a_missing_route_is_named",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| {
            no_way(
                lab,
                Variant::NoRoute,
                "node02 has no route to node01 (10.77.0.11)",
            )
        },
    },
    Case {
        name: "bgp_path::a_blackhole_is_named_by_its_line",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| {
            let says =
                "node02 has only a blackhole route to node01 (10.77.0.11): blackhole 10.77.0.11";
            no_way(lab, Variant::Blackhole, says)
        },
    },
    Case {
        name: "bgp_path::a_node_that_is_pulled_out_is_down",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| down(lab, Variant::Link),
    },
    Case {
        name: "bgp_path::a_node_without_power_is_down",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| down(lab, Variant::Power),
    },
    Case {
        name: "bgp_path::a_calico_node_that_is_stuck_is_to_be_started_anew",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: stuck,
    },
];

fn break_(
    lab: &Lab,
    incident: Incident,
    variant: impl Into<Option<Variant>>,
) -> Result<(), String> {
    lab.break_(incident, variant, node(2)?, false)
        .map(|_| ())
        .map_err(|e| format!("making the fault: {e}"))
}

fn plan(program: &Program<'_>, name: &str) -> Result<Ran, String> {
    program.run(&["plan", PATH, "--node", name])
}

/// It only reads, and leaves no trace.
fn nothing_was_written(program: &Program<'_>) -> Result<(), String> {
    expect("journals", &program.journals(), &0)
}

fn healthy(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    for command in ["plan", "apply"] {
        program
            .run(&[command, PATH, "--node", "node02"])?
            .exits(0)?
            .says(&[
                "all 2 sessions of node02 are established",
                "Nothing to change",
                "Nothing was written",
            ])?;
    }
    nothing_was_written(&program)
}

fn blocked(lab: &Lab, variant: Variant, chain: &str) -> Result<(), String> {
    break_(lab, Incident::BgpPortBlocked, variant)?;
    let program = Program::new(lab)?;
    let before = Surroundings::of(lab)?;
    let rule = format!("a rule on node02 drops TCP 179: `-A {chain} -p tcp -m tcp --");
    let spot = format!("in table ip filter, chain {chain}");
    let says = [
        rule.as_str(),
        &spot,
        "take that rule away where it comes from",
        "answers",
    ];
    plan(&program, "node02")?
        .exits(3)?
        .says(&says)?
        .says(&["2 of the 2 sessions of node02 are not established"])?;
    plan(&program, "node01")?
        .exits(3)?
        .says(&says)?
        .says(&["1 of the 2 sessions of node01 is not established"])?;
    before.still_there(lab)?;
    nothing_was_written(&program)
}

fn no_way(lab: &Lab, variant: Variant, says: &str) -> Result<(), String> {
    break_(lab, Incident::RouteMissing, variant)?;
    let program = Program::new(lab)?;
    for name in ["node02", "node01"] {
        plan(&program, name)?
            .exits(3)?
            .says(&[says, "`ip route get 10.77.0.11`"])?;
    }
    nothing_was_written(&program)
}

fn down(lab: &Lab, variant: Variant) -> Result<(), String> {
    break_(lab, Incident::PeerDown, variant)?;
    let program = Program::new(lab)?;
    for (name, from) in [("node01", "from node01"), ("node02", "from node01, node03")] {
        plan(&program, name)?.exits(3)?.says(&[
            "node02 does not answer at all, neither to ssh",
            from,
            "its kubelet is not heard of either",
            "look at node02 itself",
        ])?;
    }
    nothing_was_written(&program)
}

fn stuck(lab: &Lab) -> Result<(), String> {
    break_(lab, Incident::CalicoStuck, None)?;
    let program = Program::new(lab)?;
    for name in ["node02", "node03"] {
        plan(&program, name)?
            .exits(3)?
            .says(&["node02", "runbook plan restart-calico-node --node node02"])?;
    }
    nothing_was_written(&program)
}
