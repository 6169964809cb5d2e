//! Which pods go, and which are in the way: the same as with kubectl, over pods of all kinds.

use crate::Case;
use crate::api::{Api, Call};
use crate::dice::Dice;
use crate::program::{Program, expect, finish, wait_until};
use crate::random::{Deleted, LONG, Options, RandomPod, Reason, Said};
use crate::{kubectl, ours};
use lab::Lab;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub const CASES: &[Case] = &[
    Case {
        name: "differential::kubectl_goes_by_the_filters_as_they_are_written_down",
        run: by_kubectl,
    },
    Case {
        name: "differential::the_same_pods_go_and_are_in_the_way_as_with_kubectl",
        run: by_us,
    },
];

const PODS: usize = 300;
const NODES: &[&str] = &["random1", "random2", "random3", "random4", "random5"];
const RANDOM_OPTIONS: usize = 7;

fn by_kubectl(lab: &Lab) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut went = 0;
    compare(lab, |all, node, options, theirs| {
        let pods = all.pods.iter().filter(|pod| pod.node == node);
        let expected = Said::expected(pods, options);
        seen.extend(expected.blocks.iter().map(|(_, reason)| *reason));
        went += expected.goes.len();
        expect(
            &format!("kubectl on {node} with {:?}", options.flags()),
            theirs,
            &expected,
        )
    })?;
    // Otherwise, nothing was compared.
    let all = [
        Reason::DaemonSet,
        Reason::GoneDaemonSet,
        Reason::EmptyDir,
        Reason::NoController,
    ];
    expect("the reasons that were met", &seen, &BTreeSet::from(all))?;
    expect("whether any went", &(went > 0), &true)
}

fn by_us(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let file = program.path().join("plan.json");
    let out = file.to_string_lossy().into_owned();
    let mut different = Vec::new();
    compare(lab, |all, node, options, theirs| {
        let mut args = vec!["plan", "drain-node", "--node", node, "--out", &out];
        let params = options.params();
        args.extend(params.iter().flat_map(|param| ["--param", param.as_str()]));
        let _ = std::fs::remove_file(&file);
        let ran = program.run(&args)?;
        let mut said = ours::said(&ran, &file, &all.namespace)?;
        // What is being deleted already kubectl evicts once more, and we only wait for it.
        let going = |name: &String| {
            let is = |pod: &&RandomPod| pod.name == *name && pod.deleted != Deleted::No;
            all.pods.iter().any(|pod| is(&pod))
        };
        said.goes
            .extend(theirs.goes.iter().filter(|name| going(name)).cloned());
        let names = |said: &Said| -> BTreeSet<String> {
            said.blocks.iter().map(|(name, _)| name.clone()).collect()
        };
        // kubectl keeps the last reason only.
        let reasons = theirs.blocks.is_subset(&said.blocks);
        if said.goes != theirs.goes || names(&said) != names(theirs) || !reasons {
            different.push(difference(all, node, options, theirs, &said));
        }
        Ok(())
    })?;
    match different.as_slice() {
        [] => Ok(()),
        some => Err(format!("{} differ; the first:\n{}", some.len(), some[0])),
    }
}

/// Each pod about which the two disagree, with all that it is.
fn difference(all: &All, node: &str, options: &Options, theirs: &Said, said: &Said) -> String {
    let mut text = format!("{node} with {:?}\n", options.params());
    for pod in &all.pods {
        let of = |said: &Said| {
            let blocks = said.blocks.iter().filter(|(name, _)| *name == pod.name);
            let reasons: Vec<Reason> = blocks.map(|(_, reason)| *reason).collect();
            (said.goes.contains(&pod.name), reasons)
        };
        if of(theirs) != of(said) {
            text += &format!(
                "{pod:?}\n  kubectl {:?}\n  ours    {:?}\n",
                of(theirs),
                of(said)
            );
        }
    }
    text
}

/// What is there to be compared.
struct All {
    namespace: String,
    pods: Vec<RandomPod>,
}

/// Asks kubectl about each node with options of all kinds, and compares what it says.
fn compare(
    lab: &Lab,
    mut with: impl FnMut(&All, &str, &Options, &Said) -> Result<(), String>,
) -> Result<(), String> {
    let api = Api::of(lab)?;
    let mut dice = Dice::new();
    let namespace = format!("random{}", jiff::Timestamp::now().as_millisecond());
    // They would collect pods whose DaemonSet is gone, and make others.
    lab.stop_controllers().map_err(|e| e.to_string())?;
    let compared = make(&api, &mut dice, &namespace).and_then(|all| {
        for options in Options::several(&mut dice, RANDOM_OPTIONS) {
            for node in NODES {
                let mut kubectl = lab.command("kubectl");
                kubectl
                    .args(["drain", node, "--dry-run=client"])
                    .args(options.flags());
                let theirs = kubectl::said(&finish(&mut kubectl)?, &namespace)?;
                with(&all, node, &options, &theirs)?;
            }
        }
        Ok(())
    });
    let cleaned = clean(&api, &namespace);
    lab.start_controllers().map_err(|e| e.to_string())?;
    compared.and(cleaned)
}

fn make(api: &Api, dice: &mut Dice, namespace: &str) -> Result<All, String> {
    for node in NODES {
        api.make_node(node)?;
    }
    api.make_namespace(namespace)?;
    let made = |path: &str, object: Value| -> Result<String, String> {
        let object = api.call("POST", path, object)?;
        Ok(object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    };
    let keeper = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keeper"}});
    let keeper = made(
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
        keeper,
    )?;
    let agent = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"agent": "yes"}},
            "template": {"metadata": {"labels": {"agent": "yes"}},
                "spec": {"containers": [{"name": "c", "image": "nothing"}]}}}});
    let agent = made(
        &format!("/apis/apps/v1/namespaces/{namespace}/daemonsets"),
        agent,
    )?;
    let nodes: Vec<String> = NODES.iter().map(|node| (*node).to_owned()).collect();
    let pods: Vec<RandomPod> = (0..PODS).map(|n| RandomPod::new(dice, n, &nodes)).collect();

    let all = format!("/api/v1/namespaces/{namespace}/pods");
    let objects = pods
        .iter()
        .map(|pod| pod.object(namespace, &keeper, &agent));
    api.all(objects.map(|pod| ("POST", all.clone(), pod)).collect())?;
    // Before they have an end: of what is finished, no grace is left.
    let deleted = pods.iter().filter_map(|pod| {
        let seconds = match pod.deleted {
            Deleted::No => return None,
            Deleted::Long => 0,
            Deleted::Ahead => 3600,
        };
        let options = json!({"gracePeriodSeconds": seconds});
        Some(("DELETE", format!("{all}/{}", pod.name), options))
    });
    api.all(deleted.collect())?;
    let phases = pods.iter().map(|pod| -> Call {
        let path = format!("{all}/{}/status", pod.name);
        ("PATCH", path, json!({"status": {"phase": pod.phase}}))
    });
    api.all(phases.collect())?;
    let now = jiff::Timestamp::now();
    wait_until(30, "what is long ago", || {
        let passed = jiff::Timestamp::now().duration_since(now).as_secs();
        Ok(u64::try_from(passed).unwrap_or(0) > LONG)
    })?;
    Ok(All {
        namespace: namespace.to_owned(),
        pods,
    })
}

fn clean(api: &Api, namespace: &str) -> Result<(), String> {
    api.empty(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    api.call(
        "DELETE",
        &format!("/api/v1/namespaces/{namespace}"),
        Value::Null,
    )?;
    for node in NODES {
        api.call("DELETE", &format!("/api/v1/nodes/{node}"), Value::Null)?;
    }
    Ok(())
}
