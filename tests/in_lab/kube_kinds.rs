//! Steps over objects of the cluster: tried, planned, done, verified, taken back, and refused.

use crate::program::{Program, Ran, expect, wait_until};
use crate::programs::runbook;
use crate::{Case, Dirties, Suite};
use lab::Lab;
use serde_json::Value;
use std::fs;

pub const RUNBOOK: &str = "tests/in_lab/kube_kinds.yaml";
pub const NODE: &str = "node03";
const NAMESPACE: &str = "kinds";
const POLICY: &str = "kinds-forbidden";

pub const CASES: &[Case] = &[
    Case {
        name: "kube_kinds::are_tried_planned_done_and_taken_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: there_and_back,
    },
    Case {
        name: "kube_kinds::what_the_api_server_or_others_forbid_is_refused",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: refusals,
    },
];

/// What the runbook finds: settings that were applied, one to be deleted, and a workload.
const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: kinds}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: kinds}
data: {a: "1", b: "one\ntwo\n", c: "3"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: old, namespace: kinds, finalizers: [example.com/hold]}
data: {k: v}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: kinds}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      # On the pod network, its node would have a link more.
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      containers: [{name: pause, image: "lab.local/pause:3.10", imagePullPolicy: Never}]
"#;

/// Nothing with `forbidden` in it may be written to the namespace.
const FORBIDDING: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: kinds-forbidden}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}
  validations:
    - expression: "!has(object.data) || !('forbidden' in object.data)"
      message: nobody may forbid anything here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: kinds-forbidden}
spec:
  policyName: kinds-forbidden
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kinds}}}
"#;

fn kubectl(lab: &Lab, args: &[&str]) -> Result<String, String> {
    lab.kubectl_text(args).map_err(|e| e.to_string())
}

fn apply_text(lab: &Lab, program: &Program<'_>, text: &str) -> Result<(), String> {
    let path = program.path().join("objects.yaml");
    fs::write(&path, text).map_err(|e| e.to_string())?;
    let path = path.to_string_lossy().into_owned();
    kubectl(lab, &["apply", "-f", &path]).map(|_| ())
}

/// Takes away what a test before may have left.
pub fn clean(lab: &Lab) -> Result<(), String> {
    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        kubectl(lab, &["delete", kind, POLICY, "--ignore-not-found"])?;
    }
    let there = kubectl(lab, &["get", "namespace", NAMESPACE, "--ignore-not-found"])?;
    if there.trim().is_empty() {
        return Ok(());
    }
    release(lab)?;
    kubectl(lab, &["delete", "namespace", NAMESPACE]).map(|_| ())
}

/// Takes the finalizer from what is deleted, as its controller would.
pub fn release(lab: &Lab) -> Result<(), String> {
    let names = kubectl(lab, &["-n", NAMESPACE, "get", "configmap", "-o", "name"])?;
    if names.lines().any(|name| name == "configmap/old") {
        let none = r#"{"metadata":{"finalizers":null}}"#;
        kubectl(
            lab,
            &[
                "-n",
                NAMESPACE,
                "patch",
                "configmap",
                "old",
                "--type=merge",
                "-p",
                none,
            ],
        )?;
    }
    Ok(())
}

pub fn prepare(lab: &Lab, program: &Program<'_>) -> Result<(), String> {
    clean(lab)?;
    apply_text(lab, program, OBJECTS)?;
    let rolled = [
        "-n",
        NAMESPACE,
        "rollout",
        "status",
        "deployment/web",
        "--timeout=120s",
    ];
    kubectl(lab, &rolled).map(|_| ())
}

/// An object without what tells one write from another.
fn image(lab: &Lab, kind: &str, name: &str) -> Result<Value, String> {
    let mut object = lab
        .kubectl_json(&["-n", NAMESPACE, "get", kind, name])
        .map_err(|e| e.to_string())?;
    object["status"] = Value::Null;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations") {
            annotations["deployment.kubernetes.io/revision"] = Value::Null;
        }
    }
    Ok(object)
}

fn there_and_back(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    prepare(lab, &program)?;
    let maps = || {
        Ok::<_, String>((
            image(lab, "configmap", "settings")?,
            image(lab, "configmap", "old")?,
        ))
    };
    let before = maps()?;
    let template = |object: Value| object["spec"]["template"].clone();
    let started = template(image(lab, "deployment", "web")?);
    let pod = || {
        kubectl(
            lab,
            &[
                "-n",
                NAMESPACE,
                "get",
                "pods",
                "-l",
                "app=web",
                "-o",
                "jsonpath={.items[*].metadata.uid}",
            ],
        )
    };
    let first = pod()?;

    let plan = |out: &str| {
        let out = program.path().join(out).to_string_lossy().into_owned();
        program.run(&["plan", RUNBOOK, "--node", NODE, "--out", &out])
    };
    plan("one.json")?.exits(0)?.says(&[
        "there there no change",
        "ConfigMap kinds/settings: data.a - 1 + 2",
        "data.a, data.b, data.c are kept by `kubectl-client-side-apply` too, which puts them back",
        "in the source manifest of ConfigMap kinds/settings",
        "(without data.c)",
        "ConfigMap kinds/made - (absent) + made",
        "best effort: it is made again with another UID",
        "Deployment kinds/web: spec.template.metadata.annotations",
        "none: a start leaves nothing behind",
        "the condition Available of Deployment kinds/web is True",
    ])?;
    expect("what a plan changes", &maps()?, &before)?;
    // Nothing of what the API server gave to what it tried stands in a plan: it is the same again.
    plan("two.json")?.exits(0)?;
    let text =
        |name: &str| fs::read_to_string(program.path().join(name)).map_err(|e| e.to_string());
    expect("the second plan", &text("two.json")?, &text("one.json")?)?;

    let mut run = program.start(&["apply", RUNBOOK, "--node", NODE, "--yes"])?;
    run.until_it_says("its finalizers hold it: example.com/hold")?;
    release(lab)?;
    let ran = run.end()?.exits(0)?.says(&["6 changes, verified"])?;
    let second = pod()?;
    if second == first || second.contains(' ') {
        return Err(format!("the pods are {second}, and were {first}"));
    }
    // Only the start is left to do: the rest is as it should be.
    let again = program.run(&["plan", RUNBOOK, "--node", NODE])?;
    again.says(&[
        "the settings are not those of this runbook",
        "patched patched no change",
    ])?;

    program
        .run(&["undo", &ran.run()?, "--yes"])?
        .exits(0)?
        .says(&[
            "a start leaves nothing behind that could be put back",
            "is taken back",
        ])?;
    expect("the objects after the undo", &maps()?, &before)?;
    let made = kubectl(
        lab,
        &[
            "-n",
            NAMESPACE,
            "get",
            "configmap",
            "made",
            "--ignore-not-found",
        ],
    )?;
    expect("what was made, after the undo", &made.trim(), &"")?;
    let mut left = template(image(lab, "deployment", "web")?);
    expect(
        "the number of the start, after the undo",
        &left["metadata"]["annotations"]["runbook.restart"],
        &Value::from("1"),
    )?;
    if let Some(metadata) = left["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    expect("the template after the undo", &left, &started)?;
    clean(lab)
}

fn refusals(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    prepare(lab, &program)?;
    apply_text(lab, &program, FORBIDDING)?;
    let forbidden = r#"{"data":{"forbidden":"x"}}"#;
    wait_until(180, "the policy", || {
        let tried = lab.kubectl(&[
            "-n",
            NAMESPACE,
            "patch",
            "configmap",
            "settings",
            "--dry-run=server",
            "-p",
            forbidden,
        ]);
        Ok(!tried.map_err(|e| e.to_string())?.status.success())
    })?;
    let before = image(lab, "configmap", "settings")?;
    let apply = |step: &str| -> Result<Ran, String> {
        let path = runbook(&program, step)?;
        program.run(&["apply", &path.to_string_lossy(), "--node", NODE, "--yes"])
    };
    let settings = "of: {kind: ConfigMap, namespace: kinds, name: settings}";
    let manifest = |name: &str, data: &str| {
        format!(
            "  - {{id: a, uses: kube.apply, scope: run, with: {{manifest: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: kinds}}, data: {{{data}}}}}}}}}\n"
        )
    };
    // Admission speaks in the plan, of a change and of what is made.
    apply(&format!("  - {{id: a, uses: kube.patch, scope: run, with: {{{settings}, patch: {{data: {{forbidden: x}}}}}}}}\n"))?
        .exits(3)?
        .says(&["nobody may forbid anything here"])?;
    apply(&manifest("new", "forbidden: x"))?
        .exits(3)?
        .says(&["nobody may forbid anything here"])?;
    // Others keep the field.
    apply(&manifest("settings", "a: '9'"))?.exits(3)?.says(&[
        "data.a is kept by `kubectl-client-side-apply`",
        "force: true",
    ])?;
    // What the API server does not know.
    apply(&format!("  - {{id: a, uses: kube.patch, scope: run, with: {{{settings}, patch: {{dta: {{a: x}}}}}}}}\n"))?
        .exits(3)?
        .says(&["unknown field \"dta\""])?;
    apply("  - {id: a, uses: kube.delete, scope: run, with: {of: {api_version: apps/v1, kind: Deploiment, namespace: kinds, name: web}}}\n")?
        .exits(3)?
        .says(&["did you mean `Deployment`?"])?;
    apply("  - {id: a, uses: kube.delete, scope: run, with: {of: {kind: Secret, namespace: kinds, name: x}}}\n")?
        .exits(2)?
        .says(&["the journal would keep its content"])?;
    apply(&format!("  - {{id: a, uses: kube.assert, scope: run, with: {{{settings}, that: \"object.data.a == '2'\", because: it is not two}}}}\n"))?
        .exits(3)?
        .says(&["it is not two"])?;
    expect("journals", &program.journals(), &0)?;
    expect(
        "the settings",
        &image(lab, "configmap", "settings")?,
        &before,
    )?;
    clean(lab)
}
