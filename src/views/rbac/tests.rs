use super::*;
use crate::actions::{Of, Served, kinds};
use crate::fault::Fault;
use crate::plan::rights;
use crate::runbook::{Library, Runbook, read};

async fn ask_nobody(of: &Of) -> Result<Served, Fault> {
    Err(Fault::internal(format!("{} is asked for", of.kind)))
}

async fn shown(runbook: &Runbook, subject: Option<&Subject>) -> String {
    render_rbac(&rights(runbook, ask_nobody).await.unwrap(), subject)
}

/// The objects of a manifest.
fn objects(manifest: &str) -> Vec<serde_json::Value> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(manifest);
    let objects = documents.map(|one| serde_json::Value::deserialize(one).unwrap());
    objects.filter(|object| !object.is_null()).collect()
}

#[tokio::test]
async fn all_that_ships_and_all_examples() {
    let library = Library::new(kinds(), Vec::new());
    let mut names: Vec<String> = library.list().0.into_iter().map(|one| one.name).collect();
    for file in std::fs::read_dir("examples").unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            names.push(path.to_string_lossy().into_owned());
        }
    }
    for name in names {
        let runbook = library.find(&name).unwrap().runbook;
        let text = shown(&runbook, None).await;
        assert!(!objects(&text).is_empty());
        insta::assert_snapshot!(runbook.name.clone(), text);
    }
}

fn made(steps: &str) -> Runbook {
    let head = "apiVersion: runbook/v1\nname: x\nsummary: x\nrisk: low\ntargets: cluster\nsteps:\n";
    read(&format!("{head}{steps}"), "x", &kinds()).unwrap()
}

const MAKING: &str = r#"
  - id: ns
    uses: kube.apply
    with: {manifest: {apiVersion: v1, kind: Namespace, metadata: {name: new}}}
  - id: maps
    uses: kube.apply
    with:
      manifests:
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: new}}
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: new}}
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: old}}
  - id: role
    uses: kube.apply
    with: {manifest: {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: old}}}
"#;

/// A Role in a namespace that is yet to be made could not be applied.
#[tokio::test]
async fn a_role_lies_only_where_a_namespace_is() {
    let text = shown(&made(MAKING), None).await;
    let namespaces: Vec<String> = objects(&text)
        .iter()
        .map(|object| {
            object["metadata"]["namespace"]
                .as_str()
                .unwrap_or("-")
                .to_owned()
        })
        .collect();
    assert_eq!(namespaces, ["-", "kube-system", "old"]);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn each_role_is_bound_to_whoever_is_named() {
    let runbook = made(MAKING);
    for (subject, kind) in [
        (
            Subject::ServiceAccount {
                namespace: "ops".into(),
                name: "healer".into(),
            },
            "ServiceAccount",
        ),
        (Subject::User("an\u{1b}n".into()), "User"),
        (Subject::Group("sre".into()), "Group"),
    ] {
        let text = shown(&runbook, Some(&subject)).await;
        assert!(!text.contains('\u{1b}'), "{text}");
        let objects = objects(&text);
        let (bindings, roles): (Vec<_>, Vec<_>) = objects
            .iter()
            .partition(|object| object["kind"].as_str().unwrap().ends_with("Binding"));
        assert_eq!(bindings.len(), roles.len());
        for (binding, role) in bindings.iter().zip(roles) {
            assert_eq!(binding["roleRef"]["kind"], role["kind"]);
            assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
            assert_eq!(
                binding["metadata"]["namespace"],
                role["metadata"]["namespace"]
            );
            assert_eq!(binding["subjects"][0]["kind"], kind);
        }
    }
}
