use super::*;
use crate::plan::test_runbook::{including, runbook};

async fn ask_nobody(of: &Of) -> Result<Served, Fault> {
    Err(Fault::unreachable(
        "nobody",
        format!("nobody knows {}", of.kind),
    ))
}

/// The rights that the steps need, but for those that every run needs.
async fn of_steps(runbook: &Runbook) -> Vec<String> {
    let rights = rights(runbook, ask_nobody).await.unwrap();
    let mut shown: Vec<String> = Vec::new();
    for grant in rights.grants {
        let Why::Step(purpose, id) = grant.why else {
            continue;
        };
        let templates: Vec<String> = grant.templates.into_iter().collect();
        shown.push(
            format!("{id} {purpose:?}: {} {}", grant.right, templates.join(" "))
                .trim_end()
                .to_owned(),
        );
    }
    shown
}

async fn of_step(step: &str) -> String {
    of_steps(&runbook(&format!("  - {step}\n")))
        .await
        .join("\n")
}

fn reads(of: &str) -> String {
    format!("{{id: a, uses: kube.wait, with: {{of: {of}, gone: true}}}}")
}

/// Where nobody knows before what a template gives, the right is for all that it may give.
#[tokio::test]
async fn a_template_widens_what_it_stands_for_and_nothing_else() {
    let mut all = Vec::new();
    for of in [
        "{kind: ConfigMap, namespace: n, name: c}",
        "{kind: ConfigMap, namespace: n, name: '{{ params.x }}'}",
        "{kind: ConfigMap, namespace: n, name: 'c-{{ params.x }}'}",
        "{kind: ConfigMap, namespace: '{{ params.x }}', name: c}",
        "{api_version: apps/v1, kind: '{{ params.x }}', namespace: n, name: c}",
        "{api_version: '{{ params.x }}', kind: Deployment, namespace: n, name: c}",
        "{kind: Node, name: n1}",
    ] {
        let step = format!("  - {}\n", reads(of));
        all.extend(of_steps(&with_params("  x: {type: string}\n", &step)).await);
    }
    let item = reads("'{{ item }}'").replace("with:", "for_each: '{{ params.x }}', with:");
    let step = format!("  - {item}\n");
    all.extend(of_steps(&with_params("  x: {type: list}\n", &step)).await);
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn what_a_template_may_give_is_told_one_by_one_where_it_is_known() {
    let each = |list: &str| {
        let of = "{kind: ConfigMap, namespace: n, name: 'c-{{ item }}'}";
        format!("{{id: a, uses: kube.wait, for_each: {list}, with: {{of: {of}, gone: true}}}}")
    };
    assert_eq!(
        of_step(&each("[x, y]")).await,
        "a Look: get configmaps `c-x` in n\na Look: get configmaps `c-y` in n"
    );
    // An item that is not known yet makes no condition false.
    let asked = each("['{{ target.node }}']").replace("c-{{ item }}", "c{{#if item.x}}y{{/if}}");
    assert_eq!(
        of_step(&asked).await,
        "a Look: get configmaps in n c{{#if item.x}}y{{/if}}"
    );
    let many: Vec<String> = (0..100).map(|n| format!("x{n}")).collect();
    let many = of_step(&each(&format!("[{}]", many.join(", ")))).await;
    assert_eq!(many, "a Look: get configmaps in n c-{{ item }}");
}

const HEAD: &str = "apiVersion: runbook/v1\nname: x\nsummary: x\nrisk: low\ntargets: cluster\n";

fn with_params(params: &str, steps: &str) -> Runbook {
    let text = format!("{HEAD}params:\n{params}steps:\n{steps}");
    crate::runbook::read(&text, "x", &crate::actions::kinds()).unwrap()
}

#[tokio::test]
async fn an_enum_is_each_of_its_values_and_a_default_is_no_promise() {
    let params = "  size: {type: enum, values: [big, small]}\n  name: {type: string, default: d}\n";
    let steps = "  - {id: a, uses: kube.wait, with: {of: {kind: ConfigMap, namespace: '{{ params.size }}', name: '{{ params.name }}'}, gone: true}}\n";
    assert_eq!(
        of_steps(&with_params(params, steps)).await,
        [
            "a Look: get configmaps in big {{ params.name }}",
            "a Look: get configmaps in small {{ params.name }}"
        ]
    );
}

#[tokio::test]
async fn an_included_runbook_has_the_parameters_that_it_is_given() {
    let inner = "  - {id: w, uses: kube.wait, with: {node: '{{ params.node }}', gone: true}}\n";
    let text = |given: &str| {
        format!(
            "  - {{id: in, uses: runbook, with: {{runbook: inner, params: {{node: {given}}}}}}}\n"
        )
    };
    let named = |given: &str| {
        let mut outer = including(
            "  - {id: in, uses: runbook, with: {runbook: inner}}\n",
            "  - {id: w, uses: kube.wait, with: {node: n, gone: true}}\n",
        );
        outer.steps = runbook_of(&text(given));
        let inner = with_params("  node: {type: string}\n", inner);
        outer.included.insert("inner".to_owned(), inner);
        outer
    };
    assert_eq!(of_steps(&named("n7")).await, ["in/w Look: get nodes `n7`"]);
    assert_eq!(
        of_steps(&named("'{{ target.node }}'")).await,
        ["in/w Look: get nodes {{ params.node }}"]
    );
}

fn runbook_of(steps: &str) -> Vec<Step> {
    runbook(steps).steps
}

#[tokio::test]
async fn what_stays_needs_no_undo_and_what_is_restarted_has_none() {
    let apply = |more: &str| {
        format!(
            "{{id: a, uses: kube.apply, scope: run, {more}with: {{manifest: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: n}}}}}}}}"
        )
    };
    assert!(
        of_step(&apply(""))
            .await
            .contains("a Undo: delete configmaps `c` in n")
    );
    let kept = of_step(&apply("undo: {keep: it does no harm}, ")).await;
    assert!(
        !kept.contains("Undo") && kept.contains("a Apply: create configmaps in n"),
        "{kept}"
    );
    let delete = |kind: &str| {
        format!("{{id: a, uses: kube.delete, scope: run, with: {{of: {{kind: {kind}}}}}}}")
    };
    assert!(
        of_step(&delete("ConfigMap, namespace: n, name: c"))
            .await
            .contains("Undo: create")
    );
    assert!(
        !of_step(&delete("Namespace, name: c"))
            .await
            .contains("Undo")
    );
}

#[tokio::test]
async fn kinds_that_only_the_cluster_knows_are_asked_for_once() {
    let two = format!(
        "  - {}\n  - {}\n",
        reads("{api_version: example.com/v1, kind: Widget, namespace: n, name: c}"),
        reads("{api_version: example.com/v1, kind: Widget, namespace: m, name: c}")
            .replace("id: a", "id: b"),
    );
    let runbook = runbook(&two);
    let asked = std::cell::Cell::new(0);
    let found = rights(&runbook, async |of| {
        asked.set(asked.get() + 1);
        Ok(Served {
            kind: of.kind.clone(),
            plural: "widgetry".to_owned(),
            namespaced: true,
        })
    })
    .await
    .unwrap();
    assert_eq!(asked.get(), 1);
    let last = found.grants.last().unwrap().right.to_string();
    assert_eq!(last, "get widgetry.example.com `c` in m");
    let fault = rights(&runbook, ask_nobody).await.unwrap_err();
    assert_eq!(fault.message, "step `a`: nobody knows Widget");
    // Nothing that the API server would refuse is given a rule.
    let lost = super::super::test_runbook::runbook(&format!(
        "  - {}\n",
        reads("{kind: ConfigMap, name: c}")
    ));
    let fault = rights(&lost, ask_nobody).await.unwrap_err();
    assert!(
        fault.message.contains("a ConfigMap is in a namespace"),
        "{fault}"
    );
}

#[tokio::test]
async fn only_what_writes_keeps_others_away_and_only_where_it_writes() {
    let apart = async |runbook: &Runbook| {
        let rights = rights(runbook, ask_nobody).await.unwrap().grants;
        let apart = rights
            .into_iter()
            .filter(|grant| grant.why == Why::Base(APART));
        apart
            .map(|grant| grant.right.to_string())
            .filter(|text| !text.contains("leases"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let with = |steps: &str| runbook(steps);
    let reads = with("  - {id: a, uses: host.script, with: {reads: 'true'}}\n");
    let rights = rights(&reads, ask_nobody).await.unwrap();
    assert_eq!(rights.grants.len(), 2, "{:?}", rights.grants);
    let writes = with("  - {id: a, uses: host.script, with: {apply: 'true'}}\n");
    assert_eq!(apart(&writes).await, "get nodes, patch nodes");
    let once = with(
        "  - {id: a, uses: calico.autodetection, scope: run, with: {method: kubernetes-internal-ip}}\n",
    );
    assert_eq!(
        apart(&once).await,
        "get nodes, patch nodes, patch namespaces `kube-system`"
    );
}

#[test]
fn many_nodes_are_asked_about_at_once() {
    let nodes = |count: usize| -> Vec<Option<String>> {
        (0..count).map(|n| Some(format!("n{n}"))).collect()
    };
    let spare = |count| -> Vec<String> {
        let wide = sparing(&of_keeping_apart(&nodes(count), true));
        wide.iter().map(ToString::to_string).collect()
    };
    assert_eq!(spare(2), [""; 0]);
    assert_eq!(spare(3), ["get nodes", "patch nodes"]);
}

/// What carrying a plan out needs is among what its runbook was given.
#[test]
fn a_plan_asks_for_its_writes_their_undo_and_to_be_left_alone() {
    use crate::journal::test_events::{change, plan, step};
    use crate::model::{ObjectRef, Propagation, Scope};
    let mut plan = plan();
    plan.targets.clear();
    let put = Effect::PutObject {
        object: ObjectRef::for_test("v1", "ConfigMap", "n", "c"),
        before: None,
        after: Some(serde_json::json!({})),
        propagation: Propagation::Background,
    };
    plan.steps = vec![step("a", Scope::Run, change(vec![put]))];
    let shown = |plan: &Plan| {
        let all = of_plan(plan);
        let all = all.iter().filter(|right| right.resource != "leases");
        all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        shown(&plan),
        "create configmaps in n, delete configmaps `c` in n, get configmaps `c` in n, patch namespaces `kube-system`"
    );
    plan.steps[0].keep = Some("it does no harm".to_owned());
    assert!(!shown(&plan).contains("delete"));
    let mut late = step("b", Scope::Run, crate::model::Verdict::Late);
    late.uses = "kube.apply".to_owned();
    let manifest = |name: &str| serde_json::json!({"manifest": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n"}}});
    late.with = manifest("p");
    plan.steps = vec![late];
    assert!(
        shown(&plan).contains("create pods in n, delete pods `p` in n"),
        "{}",
        shown(&plan)
    );
    plan.steps[0].with = manifest("{{ steps.a.output }}");
    assert_eq!(
        shown(&plan),
        "create pods in n, patch namespaces `kube-system`"
    );
    plan.steps.clear();
    assert_eq!(of_plan(&plan), []);
}
