//! The runbooks among the examples, each of them run; `look-after` stands with the programs.

use crate::five::{NODE, script};
use crate::program::{Program, Ran};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::ffi::OsStr;

pub const CASES: &[Case] = &[
    Case {
        name: "examples::of_work_on_a_node_run",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: nodes,
    },
    Case {
        name: "examples::of_workloads_run",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: workloads,
    },
];

fn apply(program: &Program<'_>, name: &str, more: &[&str]) -> Result<Ran, String> {
    let path = format!("examples/{name}.yaml");
    program.run(&[&["apply", &path, "--yes"], more].concat())
}

fn nodes(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    apply(&program, "node-checkup", &["--node", NODE])?
        .exits(0)?
        .says(&["Done in"])?;
    let faulty = ["--node", NODE, "--param", "units=kubelet,no-such-unit"];
    apply(&program, "node-checkup", &faulty)?
        .exits(3)?
        .says(&["running[no-such-unit]", "no-such-unit is not running"])?;

    let why = [
        "--node",
        NODE,
        "--param",
        "why=a new disk",
        "--pass",
        "work",
    ];
    let ran = apply(&program, "maintain-node", &why)?
        .exits(0)?
        .says(&["`kernel` (node03): 6.", "4 changes, verified"])?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;

    let given: &[(&str, &OsStr)] = &[("RUNBOOK_PARAM_PASSWORD", OsStr::new("a b'c"))];
    let path = "examples/registry-credentials.yaml";
    let args = [
        "apply",
        path,
        "--node",
        NODE,
        "--yes",
        "--param",
        "account=puller",
    ];
    let args = [&args[..], &["--param", "registry=r.example:5000"]].concat();
    let ran = program.run_with(&args, given)?.exits(0)?;
    script(
        lab,
        "grep -q \"$(printf %s \"puller:a b'c\" | base64)\" /var/lib/kubelet/config.json",
    )?;
    program
        .run_with(&args, given)?
        .exits(0)?
        .says(&["its `check` says that it is done"])?;
    let undo = ["undo", &ran.run()?, "--yes"];
    program.run_with(&undo, given)?.exits(0)?;
    script(lab, "! test -e /var/lib/kubelet/config.json")
}

fn workloads(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let level = apply(
        &program,
        "controllers-log-level",
        &["--param", "level=debug"],
    )?
    .exits(0)?
    .says(&["kubectl-client-side-apply", "1 change, verified"])?;
    program.run(&["undo", &level.run()?, "--yes"])?.exits(0)?;
    // It is written back; whoever starts it anew gives that less time than a rollout before it may take.
    let rollout = ["-n", "kube-system", "rollout", "status", "--timeout=300s"];
    lab.kubectl_text(&[&rollout[..], &["deployment/calico-kube-controllers"]].concat())
        .map_err(|e| e.to_string())?;
    let of = ["namespace=kube-system", "workload=calico-kube-controllers"];
    let of = ["--param", of[0], "--param", of[1], "--pass", "sure"];
    apply(&program, "restart-workload", &of)?
        .exits(0)?
        .says(&["Start them anew?", "1 change, verified"])?;
    apply(&program, "restart-workload", &["--param", "workload=x"])?
        .exits(2)?
        .says(&["parameter `namespace` is not given"])
        .map(|_| ())
}
