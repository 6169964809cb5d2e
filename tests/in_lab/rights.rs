//! The rights that `runbook show --rbac` prints are enough to apply a runbook and to take it back, and
//! without any of them it is refused before anything is written.

use crate::bgp_wrong_ip::make;
use crate::program::{NAME, Program, Ran, advertised, calico_env, expect, wait_until};
use crate::programs::runbook;
use crate::refusals::kubeconfig;
use crate::{Case, Dirties, Suite, drain, kube_kinds};
use lab::Lab;
use lab::breakage::Variant;
use runbook::actions::{all_built_in, built_in};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

pub const CASES: &[Case] = &[
    Case {
        name: "rights::of_the_shipped_runbook_heal_and_take_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: shipped,
    },
    Case {
        name: "rights::of_all_kinds_over_objects_are_enough_and_each_is_needed",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: every_one_is_needed,
    },
    Case {
        name: "rights::of_an_example_are_enough_and_the_cluster_is_asked_about_foreign_kinds",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: example,
    },
    Case {
        name: "rights::of_a_drain_are_enough_and_no_more",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: drains,
    },
    Case {
        name: "rights::kinds_are_served_as_the_table_says",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: table,
    },
];

const ACCOUNT: &str = "least";

fn kubectl(lab: &Lab, args: &[&str]) -> Result<String, String> {
    lab.kubectl_text(args).map_err(|e| e.to_string())
}

/// Somebody who may do what the manifest of a runbook says, and nothing else.
struct Least<'l, 'p> {
    program: &'p Program<'l>,
    kubeconfig: PathBuf,
    /// The roles, as they were printed.
    roles: Vec<Value>,
}

impl<'l, 'p> Least<'l, 'p> {
    fn new(program: &'p Program<'l>, runbook: &str) -> Result<Self, String> {
        let lab = program.lab;
        let printed = program
            .run(&["show", runbook, "--rbac", "--rbac-for", "default/least"])?
            .exits(0)?
            .stdout;
        let path = program.path().join("rights.yaml");
        fs::write(&path, printed).map_err(|e| e.to_string())?;
        let file = path.to_string_lossy().into_owned();
        kubectl(
            lab,
            &[
                "-n",
                "default",
                "delete",
                "serviceaccount",
                ACCOUNT,
                "--ignore-not-found",
            ],
        )?;
        kubectl(lab, &["-n", "default", "create", "serviceaccount", ACCOUNT])?;
        kubectl(lab, &["apply", "-f", &file])?;
        let objects = lab
            .kubectl_json(&["get", "-f", &file])
            .map_err(|e| e.to_string())?;
        let roles = objects["items"].as_array().into_iter().flatten();
        let roles = roles.filter(|object| object["rules"].is_array());
        let token = kubectl(lab, &["-n", "default", "create", "token", ACCOUNT])?;
        let kubeconfig = kubeconfig(program, "least.yaml", |config| {
            config["users"][0]["user"] = json!({"token": token.trim()});
        })?;
        Ok(Self {
            program,
            kubeconfig,
            roles: roles.cloned().collect(),
        })
    }

    fn run(&self, args: &[&str]) -> Result<Ran, String> {
        let env = [("KUBECONFIG", self.kubeconfig.as_os_str())];
        self.program.run_with(args, &env)
    }

    fn replace(&self, role: &Value) -> Result<(), String> {
        let mut role = role.clone();
        if let Some(metadata) = role["metadata"].as_object_mut() {
            metadata.retain(|key, _| key == "name" || key == "namespace");
        }
        let path = self.program.path().join("role.json");
        fs::write(&path, role.to_string()).map_err(|e| e.to_string())?;
        kubectl(
            self.program.lab,
            &["replace", "-f", &path.to_string_lossy()],
        )
        .map(|_| ())
    }

    /// Takes one right after another away, of those that are `wanted`, and holds that a plan says so.
    /// Gives how many they were.
    fn each_is_missed(
        &self,
        plan: &[&str],
        wanted: impl Fn(&str, &Value) -> bool,
    ) -> Result<usize, String> {
        let mut missed = 0;
        for role in &self.roles {
            let rules = role["rules"].as_array().ok_or("a role without rules")?;
            for (at, rule) in rules.iter().enumerate() {
                let resource = rule["resources"][0].as_str().unwrap_or_default();
                for verb in rule["verbs"].as_array().into_iter().flatten() {
                    let verb = verb.as_str().unwrap_or_default();
                    if !wanted(verb, rule) {
                        continue;
                    }
                    let mut without = role.clone();
                    let verbs = without["rules"][at]["verbs"].as_array_mut();
                    let verbs = verbs.ok_or("a rule without verbs")?;
                    verbs.retain(|other| other != verb);
                    if verbs.is_empty() {
                        without["rules"]
                            .as_array_mut()
                            .ok_or("no rules")?
                            .remove(at);
                    }
                    self.replace(&without)?;
                    let what = format!("that `{verb} {resource}` of {} is missed", role["kind"]);
                    // Rights are taken away a little after they are.
                    wait_until(180, &what, || {
                        Ok(says_lacks(&self.run(plan)?, verb, resource))
                    })?;
                    missed += 1;
                }
            }
            self.replace(role)?;
        }
        Ok(missed)
    }

    /// The same of these, each a verb and a resource.
    fn these_are_missed(&self, plan: &[&str], some: &[(&str, &str)]) -> Result<(), String> {
        let missed = self.each_is_missed(plan, |verb, rule| {
            let of = rule["resources"][0].as_str().unwrap_or_default();
            some.contains(&(verb, of))
        })?;
        expect("rights that are missed", &missed, &some.len())
    }

    /// Applies, and takes back, of which this is said.
    fn there_and_back(&self, apply: &[&str], back: &str) -> Result<(), String> {
        let whole = &["plan"][..];
        let plan = [whole, &apply[1..]].concat();
        let plan: Vec<&str> = plan.into_iter().filter(|arg| *arg != "--yes").collect();
        wait_until(180, "the rights to be there again", || {
            let ran = self.run(&plan)?;
            Ok(ran.code == 0 && !ran.stderr.contains("may not") && !ran.stdout.contains("may not"))
        })?;
        let run = self.run(apply)?.exits(0)?.run()?;
        self.run(&["undo", &run, "--yes"])?
            .exits(0)?
            .says(&[back])
            .map(|_| ())
    }

    /// Takes away what was made for it.
    fn forget(self) -> Result<(), String> {
        let path = self.program.path().join("rights.yaml");
        let lab = self.program.lab;
        kubectl(lab, &["delete", "-f", &path.to_string_lossy()])?;
        kubectl(lab, &["-n", "default", "delete", "serviceaccount", ACCOUNT]).map(|_| ())
    }
}

/// Whether the program says that this right is lacking: the API server's words, or its own.
fn says_lacks(ran: &Ran, verb: &str, resource: &str) -> bool {
    let said = format!("{} {}", ran.stdout, ran.stderr);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let by_api = format!("cannot {verb} resource \"{resource}\"");
    let own =
        said.contains("this identity may not") && said.contains(&format!("{verb} {resource}"));
    (ran.code == 3 && said.contains(&by_api)) || own
}

fn shipped(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let env = calico_env(lab)?;
    make(lab, Variant::SecondNic, 2, false)?;
    let broken = advertised(lab)?;
    let least = Least::new(&program, NAME)?;
    let on = ["--node", "node02", "--param", "settle=5s"];
    let plan = [&["plan", NAME][..], &on].concat();
    let apply = [&["apply", NAME, "--yes"][..], &on].concat();
    let some = [
        ("patch", "nodes"),
        ("patch", "daemonsets"),
        ("delete", "pods"),
        ("create", "leases"),
        ("get", "bgpconfigurations"),
    ];
    least.these_are_missed(&plan, &some)?;
    expect("journals", &program.journals(), &0)?;
    least.there_and_back(&apply, "is taken back")?;
    expect("the addresses", &advertised(lab)?, &broken)?;
    expect("the environment", &calico_env(lab)?, &env)?;
    least.forget()
}

fn drains(lab: &Lab) -> Result<(), String> {
    drain::reset(lab)?;
    let before = drain::state(lab)?;
    let program = Program::new(lab)?;
    let least = Least::new(&program, "drain-node")?;
    let rules = least.roles.iter().flat_map(|role| role["rules"].as_array());
    let all = rules.flatten().filter(|rule| {
        rule["verbs"]
            .as_array()
            .is_some_and(|v| v.contains(&json!("*")))
    });
    expect("rules that allow all", &all.count(), &0)?;
    // Its pods may run nowhere else.
    let on = ["--node", drain::NODE, "--param", "ready_within=0s"];
    let some = [
        ("list", "pods"),
        ("watch", "pods"),
        ("create", "pods/eviction"),
        ("list", "poddisruptionbudgets"),
        ("patch", "nodes"),
    ];
    let plan = [&["plan", "drain-node"][..], &on].concat();
    least.these_are_missed(&plan, &some)?;
    expect("journals", &program.journals(), &0)?;
    let apply = [&["apply", "drain-node", "--yes"][..], &on].concat();
    least.there_and_back(&apply, "do not come back")?;
    expect("the shop", &drain::state(lab)?, &before)?;
    least.forget()?;
    drain::clear(lab)
}

fn every_one_is_needed(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    kube_kinds::prepare(lab, &program)?;
    // Nobody is there to take it away later.
    kube_kinds::release(lab)?;
    let least = Least::new(&program, kube_kinds::RUNBOOK)?;
    let on = [kube_kinds::RUNBOOK, "--node", kube_kinds::NODE];
    // What is made would be patched if it were there, and what is there be deleted if it had been made.
    let asked = |verb: &str, rule: &Value| {
        let name = rule["resourceNames"][0].as_str().unwrap_or_default();
        ![("patch", "made"), ("delete", "settings")].contains(&(verb, name))
    };
    let missed = least.each_is_missed(&[&["plan"][..], &on].concat(), asked)?;
    let rules = least.roles.iter().flat_map(|role| role["rules"].as_array());
    let verbs = rules
        .flatten()
        .map(|rule| rule["verbs"].as_array().map_or(0, Vec::len));
    expect(
        "rights that are missed",
        &missed,
        &(verbs.sum::<usize>() - 2),
    )?;
    // A write without its right is refused, before there is a journal.
    let mut without = least.roles.clone();
    for role in &mut without {
        for rule in role["rules"].as_array_mut().into_iter().flatten() {
            if rule["resources"][0] == "leases" {
                rule["verbs"] = json!(["get"]);
            }
        }
        least.replace(role)?;
    }
    let apply = [&["apply", "--yes"][..], &on].concat();
    let plan = [&["plan"][..], &on].concat();
    wait_until(180, "the rights to go", || {
        Ok(says_lacks(&least.run(&plan)?, "create", "leases"))
    })?;
    least
        .run(&apply)?
        .exits(3)?
        .says(&["[missing_rights]", "runbook show RUNBOOK --rbac"])?;
    expect("journals", &program.journals(), &0)?;
    for role in &least.roles {
        least.replace(role)?;
    }
    least.there_and_back(&apply, "is taken back")?;
    least.forget()?;
    kube_kinds::clean(lab)
}

fn example(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let path = "examples/controllers-log-level.yaml";
    let least = Least::new(&program, path)?;
    least.there_and_back(
        &["apply", path, "--yes", "--param", "level=debug"],
        "is taken back",
    )?;
    least.forget()?;

    // Where nobody is named, comments say how they are bound; it is a manifest all the same.
    let printed = program.run(&["show", path, "--rbac"])?.exits(0)?.stdout;
    let file = program.path().join("unbound.yaml");
    fs::write(&file, printed).map_err(|e| e.to_string())?;
    kubectl(
        lab,
        &["apply", "--dry-run=server", "-f", &file.to_string_lossy()],
    )?;

    let foreign = runbook(
        &program,
        "  - {id: a, uses: kube.wait, scope: run, with: {of: {api_version: crd.projectcalico.org/v1, kind: IPPool, name: p}, gone: true}}\n",
    )?;
    let foreign = foreign.to_string_lossy().into_owned();
    program
        .run(&["show", &foreign, "--rbac"])?
        .exits(0)?
        .says(&["resources: [\"ippools\"]", "resourceNames: [\"p\"]"])
        .map(|_| ())
}

/// Each kind that the API server serves, with its group, plural, and whether it is in namespaces: objects, and
/// parts of objects, whose plural is that of the object, `/`, and their own name.
fn served(lab: &Lab) -> Result<BTreeSet<(String, String, String, bool)>, String> {
    let raw = |path: &str| {
        let text = kubectl(lab, &["get", "--raw", path])?;
        serde_json::from_str::<Value>(&text).map_err(|e| format!("{path}: {e}"))
    };
    let mut paths = vec![(String::new(), "/api/v1".to_owned())];
    for group in raw("/apis")?["groups"].as_array().into_iter().flatten() {
        let name = group["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            let version = version["groupVersion"].as_str().unwrap_or_default();
            paths.push((name.to_owned(), format!("/apis/{version}")));
        }
    }
    let mut all = BTreeSet::new();
    for (group, path) in paths {
        for resource in raw(&path)?["resources"].as_array().into_iter().flatten() {
            let text = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
            let namespaced = resource["namespaced"] == true;
            all.insert((group.clone(), text("kind"), text("name"), namespaced));
        }
    }
    Ok(all)
}

fn table(lab: &Lab) -> Result<(), String> {
    let served = served(lab)?;
    for (group, kind) in all_built_in() {
        let entry = (group.to_owned(), kind.kind, kind.plural, kind.namespaced);
        if !served.contains(&entry) {
            return Err(format!("{entry:?} is not served so"));
        }
    }
    // What is no object, but a question or an answer; and what Calico brings along.
    let asked = [
        "authentication.k8s.io",
        "authorization.k8s.io",
        "policy.networking.k8s.io",
    ];
    let missing: Vec<_> = served
        .iter()
        .filter(|(group, ..)| !asked.contains(&group.as_str()) && !group.contains("projectcalico"))
        .filter(|(group, kind, plural, _)| !plural.contains('/') && built_in(group, kind).is_none())
        .collect();
    expect("kinds that are not in the table", &missing, &Vec::new())
}
