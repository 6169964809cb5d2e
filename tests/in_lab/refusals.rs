//! What is refused, and how: one clear error, its exit code, and nothing touched.

use crate::program::{NAME, Program, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use std::fs;
use std::path::{Path, PathBuf};

pub const CASES: &[Case] = &[
    Case {
        name: "refusals::wrong_input",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: wrong_input,
    },
    Case {
        name: "refusals::an_api_server_that_is_down_or_elsewhere",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: api_server,
    },
    Case {
        name: "refusals::an_identity_that_may_not_read",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: may_not_read,
    },
    Case {
        name: "refusals::a_right_address_and_a_path_at_fault",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: path_at_fault,
    },
];

fn wrong_input(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let run = |args: &[&str]| program.run(args)?.exits(2);
    run(&["apply", NAME, "--node", "node2", "--yes"])?
        .says(&["there is no node `node2`", "did you mean `node02`?"])?;
    run(&["apply", NAME, "--yes"])?.says(&["needs a node", "--node NAME"])?;
    run(&["apply", NAME, "--node", "node02", "--param", "setle=5s"])?
        .says(&["no parameter `setle`", "did you mean `settle`?"])?;
    run(&["apply", NAME, "--node", "node02", "--param", "within=10s"])?
        .says(&["`settle` must be shorter than `within`"])?;
    run(&["apply", "fix-bgp-wrong-pi", "--node", "node02"])?
        .says(&["there is no runbook", "did you mean `fix-bgp-wrong-ip`?"])?;
    run(&["apply", "./none.yaml", "--node", "node02"])?.says(&["cannot be read"])?;
    run(&["aply", NAME])?;
    run(&["undo"])?.says(&["which run is to be taken back?", "there are no runs yet"])?;
    run(&["undo", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])?.says(&["there is no run"])?;
    run(&["plan", NAME, "--node", "node02", "--context", "nowhere"])?
        .says(&["no context `nowhere`", "it has lab"])?;
    run(&["plan", NAME, "--node", "node02", "--inventory", "/none"])?
        .says(&["the inventory /none cannot be read"])?;
    match program.journals() {
        0 => Ok(()),
        n => Err(format!("{n} journals were made")),
    }
}

/// A kubeconfig like the lab's, for another server or identity.
pub fn kubeconfig(
    program: &Program<'_>,
    name: &str,
    change: impl Fn(&mut serde_json::Value),
) -> Result<PathBuf, String> {
    let mut config = program
        .lab
        .kubectl_json(&["config", "view", "--raw"])
        .map_err(|e| e.to_string())?;
    change(&mut config);
    let path = program.path().join(name);
    // JSON is YAML.
    fs::write(&path, config.to_string()).map_err(|e| e.to_string())?;
    Ok(path)
}

fn with_kubeconfig(
    program: &Program<'_>,
    args: &[&str],
    path: &Path,
) -> Result<crate::program::Ran, String> {
    program.run_with(args, &[("KUBECONFIG", path.as_os_str())])
}

fn api_server(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let args = ["apply", NAME, "--node", "node02", "--yes"];
    for (name, server, says) in [
        // Nothing listens on that port.
        ("down", "https://10.77.0.1:6444", "does not answer"),
        // Nobody has that address.
        ("nobody", "https://10.77.0.99:6443", "does not answer"),
    ] {
        let path = kubeconfig(&program, name, |config| {
            config["clusters"][0]["cluster"]["server"] = server.into();
        })?;
        // The hosts are there: what its steps would do is unknown, and nobody has allowed that.
        with_kubeconfig(&program, &args, &path)?.exits(3)?.says(&[
            says,
            server,
            "[step_unknown]",
        ])?;
    }
    let path = kubeconfig(&program, "stranger", |config| {
        config["users"][0]["user"] = serde_json::json!({"token": "not-a-token"});
    })?;
    with_kubeconfig(&program, &args, &path)?
        .exits(3)?
        .says(&["does not know this identity", "[api_unauthorized]"])?;
    match program.journals() {
        0 => Ok(()),
        n => Err(format!("{n} journals were made")),
    }
}

/// Makes a user with these rules, and a kubeconfig for it.
fn identity(program: &Program<'_>, name: &str, rules: &[&str]) -> Result<PathBuf, String> {
    let lab = program.lab;
    let run = |args: &[&str]| lab.kubectl_text(args).map_err(|e| e.to_string());
    run(&["-n", "default", "create", "serviceaccount", name])?;
    for (n, rule) in rules.iter().enumerate() {
        let role = format!("{name}-{n}");
        let (verbs, resources) = rule.split_once(' ').ok_or("a rule is `verbs resources`")?;
        run(&[
            "create",
            "clusterrole",
            &role,
            &format!("--verb={verbs}"),
            &format!("--resource={resources}"),
        ])?;
        run(&[
            "create",
            "clusterrolebinding",
            &role,
            &format!("--clusterrole={role}"),
            &format!("--serviceaccount=default:{name}"),
        ])?;
    }
    let token = run(&["-n", "default", "create", "token", name])?;
    let path = kubeconfig(program, name, |config| {
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    })?;
    if let Err(e) = until_it_may(lab, &path, rules) {
        forget_identity(program, name, rules.len())?;
        return Err(e);
    }
    Ok(path)
}

/// The API server hears of rights one by one.
fn until_it_may(lab: &Lab, kubeconfig: &Path, rules: &[&str]) -> Result<(), String> {
    let config = kubeconfig.to_string_lossy();
    for rule in rules {
        let (verbs, resource) = rule.split_once(' ').ok_or("a rule is `verbs resources`")?;
        let verb = verbs.split(',').next_back().unwrap_or_default();
        let may = [
            "--kubeconfig",
            &config,
            "auth",
            "can-i",
            verb,
            resource,
            "-A",
        ];
        wait_until(180, "the rights of the one who reads", || {
            Ok(lab.kubectl_text(&may).is_ok())
        })?;
    }
    Ok(())
}

fn forget_identity(program: &Program<'_>, name: &str, rules: usize) -> Result<(), String> {
    let run = |args: &[&str]| {
        program
            .lab
            .kubectl_text(args)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    run(&["-n", "default", "delete", "serviceaccount", name])?;
    for n in 0..rules {
        let role = format!("{name}-{n}");
        run(&["delete", "clusterrolebinding", &role])?;
        run(&["delete", "clusterrole", &role])?;
    }
    Ok(())
}

const READS: &[&str] = &[
    "get,list nodes",
    "get,list pods",
    "get daemonsets.apps",
    "get configmaps",
    "get namespaces",
    "get bgpconfigurations.crd.projectcalico.org",
    "list bgppeers.crd.projectcalico.org",
];

/// Does something as somebody who may read everything and write nothing.
pub fn as_reader(
    program: &Program<'_>,
    work: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let path = identity(program, "reader", READS)?;
    let outcome = work(&path);
    forget_identity(program, "reader", READS.len())?;
    outcome
}

/// With a fault to heal: whoever may read gets the plan, and whoever may not write no run.
pub fn missing_rights(program: &Program<'_>) -> Result<(), String> {
    as_reader(program, |path| {
        with_kubeconfig(program, &["plan", NAME, "--node", "node02"], path)?
            .exits(0)?
            .says(&[
                "172.18.0.1/16",
                "Applying would be refused: this identity may not patch nodes `node02`",
            ])?;
        with_kubeconfig(program, &["apply", NAME, "--node", "node02", "--yes"], path)?
            .exits(3)?
            .says(&[
                "may not patch nodes `node02`",
                "nor patch daemonsets.apps `calico-node` in kube-system",
                "nor delete pods",
                "[missing_rights]",
            ])
            .map(|_| ())
    })
}

fn may_not_read(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let path = identity(&program, "nobody", &[])?;
    let outcome = with_kubeconfig(
        &program,
        &["apply", NAME, "--node", "node02", "--yes"],
        &path,
    )
    .and_then(|ran| ran.exits(3))
    .and_then(|ran| ran.says(&["lacks a right", "[api_forbidden]"]));
    forget_identity(&program, "nobody", 0)?;
    outcome.map(|_| ())
}

/// Port 179 is refused on node02: every address is right, and sessions are down.
fn path_at_fault(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let rules = |verb: &str| {
        ["INPUT -p tcp --dport 179", "INPUT -p tcp --sport 179"]
            .map(|rule| format!("iptables {verb} {rule} -j REJECT --reject-with tcp-reset"))
            .join(" && ")
    };
    let on_node = |script: &str| {
        lab.ssh_text(node(2)?, script)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    on_node(&rules("-I"))?;
    let outcome = program
        .run(&["apply", NAME, "--node", "node02", "--yes"])
        .and_then(|mut ran| {
            // The sessions end with the next packet on them.
            let begun = std::time::Instant::now();
            while ran.code == 0 && begun.elapsed().as_secs() < 120 {
                ran = program.run(&["apply", NAME, "--node", "node02", "--yes"])?;
            }
            ran.exits(3)?.says(&[
                "the path is at fault, not the addresses",
                "node02",
                "other addresses would not help",
                "runbook plan check-bgp-path --node node0",
            ])
        });
    on_node(&rules("-D"))?;
    if program.journals() > 0 {
        return Err("a journal was made".to_owned());
    }
    outcome?;
    lab.restart_calico_node(&[node(2)?])
        .and_then(|()| lab.wait_for_mesh(180))
        .map_err(|e| e.to_string())
}
