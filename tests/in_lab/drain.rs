//! Nodes with real kubelets are cordoned, drained and taken back; budgets hold pods, kubelets die.

use crate::program::{Program, Running, expect, finish, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;

pub const CASES: &[Case] = &[
    Case {
        name: "drain::a_node_is_drained_verified_and_taken_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, drained),
    },
    Case {
        name: "drain::a_budget_that_never_allows_it_is_named_before_and_waited_for",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, held),
    },
    Case {
        name: "drain::over_a_budget_only_by_its_own_confirmation",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, forced),
    },
    Case {
        name: "drain::several_nodes_go_one_after_another",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, several),
    },
    Case {
        name: "drain::pods_of_a_dead_kubelet_are_told_apart",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, dead_kubelet),
    },
    Case {
        name: "drain::what_is_lost_is_in_the_way_until_it_may_be",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, in_the_way),
    },
    Case {
        name: "drain::pods_are_made_anew",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, made_anew),
    },
    Case {
        name: "drain::stopped_it_says_what_is_left_and_goes_on",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| at_work(lab, stopped),
    },
];

pub const NODE: &str = "node02";
const RUNBOOK: &str = "drain-node";

/// Runs a test where nothing of another is left, and leaves nothing behind.
fn at_work(lab: &Lab, test: fn(&Lab, &Program<'_>) -> Result<(), String>) -> Result<(), String> {
    clear(lab)?;
    without_kube_controllers(lab)?;
    until_nodes_take_pods(lab)?;
    let program = Program::new(lab)?;
    let outcome = test(lab, &program);
    clear(lab)?;
    outcome
}

/// calico-kube-controllers runs on any of the nodes, and would be evicted as well: it is sent elsewhere.
fn without_kube_controllers(lab: &Lab) -> Result<(), String> {
    let (label, at) = (
        "k8s-app=calico-kube-controllers",
        format!("spec.nodeName={NODE}"),
    );
    let there = ["-l", label, "--field-selector", &at];
    let of_calico = |args: &[&str]| kubectl(lab, &[&["-n", "kube-system"][..], args].concat());
    if of_calico(&[&["get", "pods", "-o", "name"][..], &there].concat())?.is_empty() {
        return Ok(());
    }
    kubectl(lab, &["cordon", NODE])?;
    of_calico(&[&["delete", "pods"][..], &there].concat())?;
    let deployment = "deployment/calico-kube-controllers";
    of_calico(&["rollout", "status", deployment, "--timeout=180s"])?;
    kubectl(lab, &["uncordon", NODE]).map(drop)
}

/// All nodes take pods, and the shop is closed.
pub fn clear(lab: &Lab) -> Result<(), String> {
    for number in 1..=3 {
        kubectl(lab, &["uncordon", &node(number)?.name()])?;
    }
    kubectl(
        lab,
        &[
            "-n",
            "shop",
            "delete",
            "pod",
            "--all",
            "--force",
            "--grace-period=0",
        ],
    )?;
    kubectl(lab, &["delete", "namespace", "shop", "--ignore-not-found"]).map(drop)
}

/// What keeps pods from nodes that were not Ready, or cordoned, goes after that.
fn until_nodes_take_pods(lab: &Lab) -> Result<(), String> {
    wait_until(180, "nodes without taints", || {
        let taints = ["get", "nodes", "-o", "jsonpath={.items[*].spec.taints}"];
        Ok(kubectl(lab, &taints)?.trim().is_empty())
    })
}

pub fn kubectl(lab: &Lab, args: &[&str]) -> Result<String, String> {
    match lab.kubectl_text(args) {
        // The shop is closed already.
        Err(e) if args.contains(&"--force") && e.to_string().contains("not found") => {
            Ok(String::new())
        }
        other => other.map_err(|e| e.to_string()),
    }
}

/// Pods of the Deployment `web`, which may run everywhere or on one node alone, and what `more` makes.
pub fn open_shop(
    lab: &Lab,
    program: &Program<'_>,
    replicas: usize,
    on: Option<&str>,
    more: &str,
) -> Result<(), String> {
    let selector = on.map_or_else(String::new, |node| {
        format!("      nodeSelector: {{kubernetes.io/hostname: {node}}}\n")
    });
    // A pod of nobody's is made once, and refused without its account.
    let there = [
        "get",
        "namespace",
        "shop",
        "--ignore-not-found",
        "-o",
        "name",
    ];
    if kubectl(lab, &there)?.is_empty() {
        kubectl(lab, &["create", "namespace", "shop"])?;
    }
    wait_until(180, "the account of pods", || {
        let account = [
            "-n",
            "shop",
            "get",
            "serviceaccount",
            "default",
            "--ignore-not-found",
            "-o",
            "name",
        ];
        Ok(!kubectl(lab, &account)?.is_empty())
    })?;
    let text = format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
{selector}      containers: [{{name: c, image: 'lab.local/pause:3.10'}}]
{more}"
    );
    let path = program.path().join("shop.yaml");
    fs::write(&path, text).map_err(|e| e.to_string())?;
    kubectl(lab, &["apply", "-f", &path.to_string_lossy()])?;
    kubectl(
        lab,
        &[
            "-n",
            "shop",
            "rollout",
            "status",
            "deployment/web",
            "--timeout=180s",
        ],
    )
    .map(drop)
}

fn budget(spec: &str) -> String {
    format!(
        "---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: shop}}
spec: {{{spec}, selector: {{matchLabels: {{app: web}}}}}}
"
    )
}

/// The shop's pods on a node, by name.
pub fn pods_on(lab: &Lab, node: &str) -> Result<Vec<String>, String> {
    let at = format!("spec.nodeName={node}");
    let list = lab
        .kubectl_json(&["-n", "shop", "get", "pods", "--field-selector", &at])
        .map_err(|e| e.to_string())?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = items
        .iter()
        .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    Ok(names)
}

pub fn is_cordoned(lab: &Lab, node: &str) -> Result<bool, String> {
    let node = lab
        .kubectl_json(&["get", "node", node])
        .map_err(|e| e.to_string())?;
    Ok(node["spec"]["unschedulable"] == Value::Bool(true))
}

/// The UIDs of calico-node's pods, which have nothing to do with it.
fn calico(lab: &Lab) -> Result<Vec<String>, String> {
    let list = lab
        .kubectl_json(&[
            "-n",
            "kube-system",
            "get",
            "pods",
            "-l",
            "k8s-app=calico-node",
        ])
        .map_err(|e| e.to_string())?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items
        .iter()
        .filter_map(|pod| Some(pod["metadata"]["uid"].as_str()?.to_owned()))
        .collect())
}

fn drained(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 4, None, &budget("maxUnavailable: 2"))?;
    let (calico_before, mut before) = (calico(lab)?, pods_on(lab, NODE)?);
    if before.is_empty() {
        return Err("the scheduler put no pod there".to_owned());
    }
    let plan = program.run(&["plan", RUNBOOK, "--node", NODE])?.exits(0)?;
    let names: Vec<&str> = before.iter().map(String::as_str).collect();
    plan.says(&names)?
        .says(&["takes new pods", "cordoned", "calico-node-", "best effort"])?;
    expect("the pods", &pods_on(lab, NODE)?, &before)?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &false)?;

    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    let ran = program.run(&apply)?.exits(0)?;
    expect("the pods left", &pods_on(lab, NODE)?, &Vec::new())?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &true)?;
    expect("calico-node's pods", &calico(lab)?, &calico_before)?;
    let run = ran.run()?;
    ran.says(&[&format!("{} changes, verified", before.len() + 1)])?;
    program
        .run(&["history", "show", &run])?
        .exits(0)?
        .says(&names)?;
    // A second time there is nothing to do.
    program.run(&apply)?.exits(0)?.says(&["Nothing to do"])?;

    program
        .run(&["undo", &run, "--yes"])?
        .exits(0)?
        .says(&["not come back"])?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &false)?;

    // What somebody cordoned before stays so.
    kubectl(lab, &["cordon", NODE])?;
    before.clear();
    let kept = program.run(&["plan", RUNBOOK, "--node", NODE])?.exits(0)?;
    kept.says(&["cordoned already"])?;
    for (runbook, cordoned) in [("uncordon-node", false), ("cordon-node", true)] {
        let ran = program
            .run(&["apply", runbook, "--node", NODE, "--yes"])?
            .exits(0)?;
        expect(runbook, &is_cordoned(lab, NODE)?, &cordoned)?;
        program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
        expect(runbook, &is_cordoned(lab, NODE)?, &!cordoned)?;
        program
            .run(&["apply", runbook, "--node", NODE, "--yes"])?
            .exits(0)?;
    }
    Ok(())
}

fn held(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 2, Some(NODE), &budget("minAvailable: 2"))?;
    let pods = pods_on(lab, NODE)?;
    let plan = ["plan", RUNBOOK, "--node", NODE];
    program.run(&plan)?.exits(0)?.says(&[
        "PodDisruptionBudget shop/web",
        "which allows 0 now",
        "it will not end by itself",
    ])?;
    // Who does not want to wait is told before anything is done.
    let fail = [&plan[..], &["--param", "on_blocked=fail"]].concat();
    program.run(&fail)?.exits(3)?.says(&["shop/web"])?;

    let apply = [
        "apply",
        RUNBOOK,
        "--node",
        NODE,
        "--yes",
        "--param",
        "within=12s",
        "--param",
        "ready_within=0s",
    ];
    program.run(&apply)?.exits(1)?.says(&[
        "wait for PodDisruptionBudget shop/web since",
        // In the API server's own words.
        "(it needs",
        "healthy pods and has",
        "it did not come about within 12 s",
    ])?;
    // Nothing was evicted, so it is as it was.
    expect("the pods", &pods_on(lab, NODE)?, &pods)?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &false)?;
    // Somebody lets it go.
    kubectl(lab, &["-n", "shop", "delete", "pdb", "web"])?;
    let apply = [
        "apply",
        RUNBOOK,
        "--node",
        NODE,
        "--yes",
        "--param",
        "ready_within=0s",
    ];
    program.run(&apply)?.exits(0)?;
    expect("the pods", &pods_on(lab, NODE)?, &Vec::new())
}

fn forced(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 2, Some(NODE), &budget("minAvailable: 2"))?;
    let apply = [
        "apply",
        RUNBOOK,
        "--node",
        NODE,
        "--param",
        "on_blocked=force",
        "--param",
        "ready_within=0s",
    ];
    let yes = [&apply[..], &["--yes"]].concat();
    program
        .run(&yes)?
        .exits(3)?
        .says(&["--confirm node02", "not_confirmed"])?;
    expect("the pods", &pods_on(lab, NODE)?.len(), &2)?;
    let confirmed = [&apply[..], &["--confirm", NODE]].concat();
    program
        .run(&confirmed)?
        .exits(0)?
        .says(&["so it is deleted"])?;
    expect("the pods", &pods_on(lab, NODE)?, &Vec::new())
}

fn several(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 3, None, &budget("maxUnavailable: 1"))?;
    let apply = [
        "apply", RUNBOOK, "--node", "node02", "--node", "node03", "--yes",
    ];
    let ran = program.run(&apply)?.exits(0)?;
    // The second is begun only once the pods of the first are ready elsewhere.
    let lines: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains('✓'))
        .collect();
    let order = ["node02: Take", "node02: See", "node03: Take", "node03: See"];
    let right = lines
        .iter()
        .zip(order)
        .all(|(line, part)| line.contains(part));
    if !right || lines.len() != order.len() {
        return Err(format!("another order: {lines:?}"));
    }
    for node in ["node02", "node03"] {
        expect(node, &pods_on(lab, node)?, &Vec::new())?;
    }
    expect("the pods elsewhere", &pods_on(lab, "node01")?.len(), &3)?;
    // Of the control plane, one at a time.
    for node in ["node02", "node03"] {
        kubectl(lab, &["uncordon", node])?;
        kubectl(
            lab,
            &["label", "node", node, "node-role.kubernetes.io/master="],
        )?;
    }
    let refused = program.run(&["plan", RUNBOOK, "--node", "node02", "--node", "node03"]);
    for node in ["node02", "node03"] {
        kubectl(
            lab,
            &["label", "node", node, "node-role.kubernetes.io/master-"],
        )?;
    }
    refused?
        .exits(3)?
        .says(&["nodes of the control plane"])
        .map(drop)
}

fn dead_kubelet(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 2, Some(NODE), "")?;
    let pods = pods_on(lab, NODE)?;
    let ssh = |script: &str| lab.ssh_text(node(2)?, script).map_err(|e| e.to_string());
    ssh("systemctl stop kubelet")?;
    let outcome = (|| {
        wait_until(180, "a node that is not Ready", || {
            let args = [
                "get",
                "node",
                NODE,
                "-o",
                "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
            ];
            Ok(kubectl(lab, &args)? == "Unknown")
        })?;
        let apply = [
            "apply",
            RUNBOOK,
            "--node",
            NODE,
            "--yes",
            "--param",
            "within=25s",
        ];
        program.run(&apply)?.exits(6)?.says(&[
            "its kubelet may not end what is evicted",
            "kubelet on node02 has not answered since",
            "skip_terminating_longer_than",
        ])?;
        // They are not waited for, and are still there.
        let skip = [
            "apply",
            RUNBOOK,
            "--node",
            NODE,
            "--yes",
            "--param",
            "skip_terminating_longer_than=1s",
        ];
        program
            .run(&skip)?
            .exits(0)?
            .says(&["it is being deleted for longer"])?;
        expect("the pods", &pods_on(lab, NODE)?, &pods)
    })();
    ssh("systemctl start kubelet")?;
    wait_until(
        120,
        "the pods to end",
        || Ok(pods_on(lab, NODE)?.is_empty()),
    )?;
    outcome
}

fn in_the_way(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    let lone = "---
apiVersion: v1
kind: Pod
metadata: {name: lone, namespace: shop}
spec:
  nodeName: node02
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: 'lab.local/pause:3.10'}]
  volumes: [{name: t, emptyDir: {}}]
";
    open_shop(lab, program, 1, None, lone)?;
    let apply = ["apply", RUNBOOK, "--node", NODE, "--yes"];
    program.run(&apply)?.exits(3)?.says(&[
        "shop/lone",
        "`delete_emptydir_data: true`",
        "`force: true`",
    ])?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &false)?;
    let may = [
        &apply[..],
        &[
            "--param",
            "force=true",
            "--param",
            "delete_emptydir_data=true",
        ],
    ]
    .concat();
    // A plan that was saved without a loss does not cover it when it comes.
    let saved = program.path().join("plan.json");
    let saved = saved.to_string_lossy();
    kubectl(lab, &["-n", "shop", "delete", "pod", "lone"])?;
    let out = [&["plan"], &may[1..4], &may[5..], &["--out", &saved]].concat();
    program.run(&out)?.exits(0)?;
    kubectl(
        lab,
        &[
            "apply",
            "-f",
            &program.path().join("shop.yaml").to_string_lossy(),
        ],
    )?;
    kubectl(
        lab,
        &[
            "-n",
            "shop",
            "wait",
            "--for=condition=Ready",
            "pod/lone",
            "--timeout=180s",
        ],
    )?;
    program.run(&["apply", &saved, "--yes"])?.exits(3)?;
    expect("cordoned", &is_cordoned(lab, NODE)?, &false)?;
    program.run(&may)?.exits(0)?.says(&["gone for good"])?;
    expect("the pods", &pods_on(lab, NODE)?, &Vec::new())
}

fn made_anew(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 3, None, &budget("maxUnavailable: 1"))?;
    let names = || -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for number in 1..=3 {
            all.extend(pods_on(lab, &node(number)?.name())?);
        }
        Ok(all)
    };
    let before = names()?;
    let counted = "--for=jsonpath={.status.disruptionsAllowed}=1";
    kubectl(
        lab,
        &["-n", "shop", "wait", counted, "pdb/web", "--timeout=180s"],
    )?;
    let params = ["--param", "namespace=shop", "--param", "selector=app=web"];
    let plan = [&["plan", "delete-pods"], &params[..]].concat();
    program
        .run(&plan)?
        .exits(0)?
        .says(&["then 2 wait for PodDisruptionBudget shop/web"])?;
    let apply = [&["apply", "delete-pods", "--yes"], &params[..]].concat();
    program
        .run(&apply)?
        .exits(0)?
        .says(&["3 changes, verified"])?;
    let after = names()?;
    expect("how many", &after.len(), &3)?;
    match before.iter().find(|name| after.contains(name)) {
        Some(name) => Err(format!("{name} is still there")),
        None => Ok(()),
    }
}

fn stopped(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    open_shop(lab, program, 2, Some(NODE), &budget("minAvailable: 2"))?;
    let mut command = program.command(&[
        "apply",
        RUNBOOK,
        "--node",
        NODE,
        "--yes",
        "--param",
        "ready_within=0s",
    ]);
    let mut run = Running::of(&mut command)?;
    run.until_it_says("PodDisruptionBudget shop/web since")?;
    run.signal(Signal::INT)?;
    let ran = run.end()?.exits(130)?;
    let ran = ran.says(&["stopped by the operator", "runbook resume"])?;
    expect("the pods", &pods_on(lab, NODE)?.len(), &2)?;
    kubectl(lab, &["-n", "shop", "delete", "pdb", "web"])?;
    let resume = finish(&mut program.command(&["resume", &ran.run()?]))?;
    resume.exits(0)?;
    expect("the pods", &pods_on(lab, NODE)?, &Vec::new())
}

/// For the sweep: three pods that may run on the one node alone.
pub fn reset(lab: &Lab) -> Result<(), String> {
    kubectl(lab, &["uncordon", NODE])?;
    without_kube_controllers(lab)?;
    let program = Program::new(lab)?;
    open_shop(lab, &program, 3, Some(NODE), "")
}

/// Whether the node takes pods, and how many of the shop it has, once that has come to rest.
pub fn state(lab: &Lab) -> Result<String, String> {
    let cordoned = is_cordoned(lab, NODE)?;
    let wanted = if cordoned { 0 } else { 3 };
    let rested = wait_until(180, "the pods to come to rest", || {
        Ok(pods_on(lab, NODE)?.len() == wanted)
    });
    rested.map(|()| format!("cordoned: {cordoned}, pods: {wanted}"))
}
