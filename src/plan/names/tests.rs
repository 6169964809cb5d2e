use super::*;
use crate::model::{Effect, FieldChange, FieldPath, ObjectRef, Target};
use crate::plan::test_runbook::runbook;

fn target(name: &str) -> Scope {
    Scope::Target(Target::node(name, name))
}

/// A runbook with the steps `find`, `make` and `use`.
fn three() -> Runbook {
    runbook(
        "  - {id: find, uses: host.script, with: {reads: x}}\n  - {id: make, uses: host.script, with: {apply: x}}\n  - {id: use, uses: host.script, with: {apply: x}}\n",
    )
}

fn context(runbook: &Runbook) -> Context<'_> {
    Context {
        runbook,
        prefix: None,
        title: String::new(),
        params: json!({"n": 3}).as_object().cloned().unwrap(),
        item: None,
    }
}

fn step(id: &str, scope: Scope, verdict: Verdict, outputs: Value) -> PlannedStep {
    PlannedStep {
        outputs: outputs.as_object().cloned().unwrap_or_default(),
        ..PlannedStep::new(
            StepId::try_from(id.to_owned()).unwrap(),
            scope,
            "",
            "",
            verdict,
        )
    }
}

fn idle() -> Verdict {
    Verdict::NoChange { why: "x".into() }
}

fn late() -> Verdict {
    Verdict::Unknown {
        why: "x".into(),
        otherwise: Some(Box::new(Verdict::Late)),
    }
}

fn change() -> Verdict {
    let object = ObjectRef::node_for_test("n");
    let fields = vec![FieldChange {
        path: FieldPath::annotation("a"),
        before: None,
        after: Some("x".into()),
    }];
    crate::journal::test_events::change(vec![Effect::SetFields { object, fields }])
}

fn planned(steps: &[PlannedStep]) -> Earlier<'_> {
    Earlier {
        planned: steps,
        done: &[],
        ended: &[],
    }
}

fn rendered(steps: &[PlannedStep], at: &Scope, text: &str) -> Result<Resolved<Value>, String> {
    let runbook = three();
    Known::of(&context(&runbook), at, planned(steps), None).render("", &json!(text))
}

fn holds(steps: &[PlannedStep], at: &Scope, source: &str) -> Result<Resolved<bool>, String> {
    let runbook = three();
    let known = Known::of(&context(&runbook), at, planned(steps), None);
    let steps = crate::runbook::Type::Any;
    let names = crate::runbook::Record::of(&[
        ("steps", steps),
        ("params", crate::runbook::Type::Any),
        ("target", crate::runbook::Type::Any),
    ]);
    known.holds(&crate::runbook::Condition::parse(source, &names).unwrap())
}

#[test]
fn what_a_step_has_found_is_used_and_what_it_will_find_is_waited_for() {
    let n1 = target("n1");
    let found = [step(
        "find",
        n1.clone(),
        idle(),
        json!({"code": 0, "output": "eth0"}),
    )];
    assert_eq!(
        rendered(&found, &n1, "{{ steps.find.output }}"),
        Ok(Resolved::Is(json!("eth0")))
    );
    assert_eq!(
        rendered(&found, &n1, "{{ steps.find.code }}"),
        Ok(Resolved::Is(json!(0)))
    );
    // At another target it is another step.
    assert!(rendered(&found, &target("n2"), "{{ steps.find.output }}").is_err());

    let later = [step("make", n1.clone(), change(), Value::Null)];
    let Ok(Resolved::Later(why)) = rendered(&later, &n1, "x {{ steps.make.output }}") else {
        panic!()
    };
    insta::assert_snapshot!(why, @"it rests on what `make` gives, which is known once that has run");
    assert_eq!(
        rendered(&later, &n1, "{{ steps.make.changed }}"),
        Ok(Resolved::Is(json!(true)))
    );

    let nothing = [step("make", n1.clone(), idle(), Value::Null)];
    let Ok(Resolved::Never(why)) = rendered(&nothing, &n1, "{{ steps.make.output }}") else {
        panic!()
    };
    insta::assert_snapshot!(why, @"`make` has nothing to do, and so gives no output: let `when: steps.make.changed` stand before it");
}

#[test]
fn nothing_is_known_of_a_step_that_is_decided_late() {
    let n1 = target("n1");
    let steps = [step("make", n1.clone(), late(), Value::Null)];
    for text in ["{{ steps.make.changed }}", "{{ steps.make.output }}"] {
        assert!(matches!(
            rendered(&steps, &n1, text),
            Ok(Resolved::Later(_))
        ));
    }
    assert!(matches!(
        holds(&steps, &n1, "steps.make.changed"),
        Ok(Resolved::Later(_))
    ));
    // What a condition does not look at need not be known.
    assert_eq!(
        holds(&steps, &n1, "params.n == 4 && steps.make.changed"),
        Ok(Resolved::Is(false))
    );
    assert_eq!(
        holds(&steps, &n1, "params.n == 3 || steps.make.changed"),
        Ok(Resolved::Is(true))
    );
    assert!(holds(&steps, &n1, "params.n == 'x' + 1").is_err());
}

#[test]
fn of_a_step_that_is_repeated_only_its_changing_is_known() {
    let n1 = target("n1");
    let steps = [
        step("make[a]", n1.clone(), idle(), json!({"output": "1"})),
        step("make[b]", n1.clone(), change(), Value::Null),
    ];
    assert_eq!(
        holds(&steps, &n1, "steps.make.changed"),
        Ok(Resolved::Is(true))
    );
    assert!(matches!(
        rendered(&steps, &n1, "{{ steps.make.output }}"),
        Ok(Resolved::Never(_))
    ));
}

#[test]
fn what_is_not_known_yet_is_not_taken_for_absent() {
    let n1 = target("n1");
    let steps = [step("make", n1.clone(), change(), Value::Null)];
    for text in [
        "{{#if steps.make.output}}found{{else}}not found{{/if}}",
        "{{#unless steps.make.output}}not found{{/unless}}",
        "{{#each steps.make.output}}x{{else}}none{{/each}}",
    ] {
        let rendered = rendered(&steps, &n1, text);
        assert!(matches!(rendered, Ok(Resolved::Later(_))), "{text}");
    }
    for source in ["!has(steps.make.output)", "'output' in steps.make"] {
        let holds = holds(&steps, &n1, source);
        assert!(
            matches!(holds, Ok(Resolved::Later(_))),
            "{source}: {holds:?}"
        );
    }
}

#[test]
fn what_stands_in_a_branch_that_is_not_taken_need_not_be_known() {
    let n1 = target("n1");
    let steps = [step("make", n1.clone(), idle(), Value::Null)];
    let text = "{{#if steps.make.changed}}{{ steps.make.output }}{{else}}as before{{/if}}";
    assert_eq!(
        rendered(&steps, &n1, text),
        Ok(Resolved::Is(json!("as before")))
    );
}

#[test]
fn of_a_step_at_several_nodes_there_is_not_the_one_output() {
    let steps = [
        step("find", target("n1"), idle(), json!({"output": "1"})),
        step("find", target("n2"), idle(), json!({"output": "2"})),
    ];
    let Ok(Resolved::Never(why)) = rendered(&steps, &Scope::Run, "{{ steps.find.output }}") else {
        panic!()
    };
    insta::assert_snapshot!(why, @"`find` happens at several nodes, and gives one output for each");
}

#[test]
fn once_it_is_done_what_has_happened_counts() {
    let runbook = three();
    let n1 = target("n1");
    let done = [
        step("find", n1.clone(), late(), json!({"output": "eth1"})),
        step("make", n1.clone(), change(), Value::Null),
    ];
    let verified = |name: &str, changed| {
        let id = StepId::new(name).unwrap();
        (id, n1.clone(), StepResult::Verified { changed })
    };
    let ended = [verified("find", false), verified("make", false)];
    let earlier = Earlier {
        planned: &[],
        done: &done,
        ended: &ended,
    };
    let known = Known::of(&context(&runbook), &n1, earlier, None);
    let render = |text: &str| known.render("", &json!(text));
    assert_eq!(
        render("{{ steps.find.output }}"),
        Ok(Resolved::Is(json!("eth1")))
    );
    // It was planned to change something, and had nothing to do when its turn came.
    assert_eq!(
        render("{{ steps.make.changed }}"),
        Ok(Resolved::Is(json!(false)))
    );
    assert!(matches!(
        render("{{ steps.make.output }}"),
        Ok(Resolved::Never(_))
    ));
}

#[test]
fn names_of_an_included_runbook_are_its_own() {
    let runbook = three();
    let n1 = target("n1");
    let inner = Context {
        prefix: Some(StepId::new("disks").unwrap().item("a")),
        ..context(&runbook)
    };
    let steps = [
        step("find", n1.clone(), idle(), json!({"output": "outer"})),
        step("disks[a]/find", n1.clone(), idle(), json!({"output": "a"})),
        step("disks[b]/find", n1.clone(), idle(), json!({"output": "b"})),
    ];
    let known = Known::of(&inner, &n1, planned(&steps), None);
    assert_eq!(
        known.render("", &json!("{{ steps.find.output }}")),
        Ok(Resolved::Is(json!("a")))
    );
}

#[test]
fn items_are_known_by_a_key_of_their_own() {
    let keys = |value: Value| {
        items(&value)
            .map(|items| items.into_iter().map(|(key, _)| key).collect::<Vec<_>>())
            .map_err(|fault| fault.message)
    };
    assert_eq!(keys(json!(["a", 2, true])).unwrap(), ["a", "2", "true"]);
    assert_eq!(keys(json!("eth0\n\neth1\n")).unwrap(), ["eth0", "eth1"]);
    assert_eq!(
        keys(json!([{"name": "x"}, {"key": "y", "name": "z"}])).unwrap(),
        ["x", "y"]
    );
    assert_eq!(keys(json!([])).unwrap(), Vec::<String>::new());
    insta::assert_snapshot!(keys(json!(["a", "a"])).unwrap_err(), @"for_each: `a` is there twice");
    insta::assert_snapshot!(keys(json!([{"x": 1}])).unwrap_err(), @r#"for_each: {"x":1} needs a `key` or a `name` by which it is known"#);
    insta::assert_snapshot!(keys(json!(3)).unwrap_err(), @"for_each: it needs a list, and this is 3");
    assert!(keys(json!([null])).is_err() && keys(json!([""])).is_err());
}

/// Facts of a host with swap on and 1 MiB of memory available, of which nobody may read the machine-id.
fn facts(first: Option<&str>) -> Option<HostFacts> {
    let mut parts = crate::model::facts::Parts::default();
    for (line, text) in [
        (
            "got memory",
            "MemTotal: 2048 kB\nMemAvailable: 1024 kB\nSwapTotal: 8 kB\nSwapFree: 0 kB\n",
        ),
        ("got swaps", "Filename\n/dev/sda2 partition 8 8 -2\n"),
        ("none units no systemd", ""),
        ("no machine_id no permission to read it", ""),
    ] {
        parts.take(line, text.as_bytes());
    }
    let facts = crate::model::facts::Facts::new(&parts, 0.0);
    Some(HostFacts {
        facts: Arc::new(FactNames::new(&facts)),
        first: first.and_then(StepId::new),
    })
}

fn of_facts(first: Option<&str>, source: &str) -> String {
    let runbook = runbook(&format!(
        "  - {{id: make, uses: host.script, with: {{apply: x}}}}\n  - {{id: use, uses: host.script, when: '{}', with: {{apply: x}}}}\n",
        source.replace('\'', "''")
    ));
    let steps = [step("make", target("n1"), idle(), json!({}))];
    let condition = runbook.steps[1].when.clone().unwrap();
    assert!(names_facts(&runbook.steps[1]), "{source}");
    assert!(!names_facts(&runbook.steps[0]));
    let known = Known::of(
        &context(&runbook),
        &target("n1"),
        planned(&steps),
        facts(first),
    );
    match known.holds(&condition) {
        Ok(Resolved::Is(holds)) => holds.to_string(),
        Ok(Resolved::Later(why)) => format!("later: {why}"),
        Ok(Resolved::Never(why)) => format!("never: {why}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_condition_on_facts_is_decided_by_what_was_read_or_says_why_it_cannot_be() {
    let all: Vec<String> = [
        "facts.swap.on",
        "facts.memory.available > 1048576",
        "facts.machine_id == 'x'",
        "has(facts.machine_id)",
        "has(facts.units)",
        "facts.units.kubelet.active",
        "has(facts.units) && facts.units.kubelet.active",
        "steps.make.changed && facts.machine_id == 'x'",
    ]
    .iter()
    .map(|source| of_facts(None, source))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @"
    true
    false
    never: `facts.machine_id` could not be read: no permission to read it
    never: `facts.machine_id` could not be read: no permission to read it
    false
    never: `facts.units` does not apply to this host: no systemd: let `has(facts.units)` stand before it
    false
    false
    ");
}

#[test]
fn facts_that_an_earlier_step_may_change_are_waited_for() {
    let all: Vec<String> = [
        "facts.swap.on",
        "!facts.swap.on",
        "has(facts.units)",
        "facts.machine_id == 'x'",
        "steps.make.changed && facts.swap.on",
        "!steps.make.changed || facts.swap.on",
    ]
    .iter()
    .map(|source| of_facts(Some("make"), source))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @"
    later: it rests on facts of its host, which `make` may change first (now `facts.swap.on` is true, and so it would be done)
    later: it rests on facts of its host, which `make` may change first (now `facts.swap.on` is true, and so it would not be needed)
    later: it rests on facts of its host, which `make` may change first (now `facts.units` does not apply to this host: no systemd, and so it would not be needed)
    later: it rests on facts of its host, which `make` may change first (now `facts.machine_id` could not be read: no permission to read it)
    false
    true
    ");
}

#[test]
fn facts_stand_in_templates() {
    let runbook = three();
    let rendered = |first, text: &str| {
        let known = Known::of(
            &context(&runbook),
            &target("n1"),
            planned(&[]),
            facts(first),
        );
        known.render("", &json!(text))
    };
    assert_eq!(
        rendered(None, "{{ facts.memory.available }}"),
        Ok(Resolved::Is(json!(1_048_576)))
    );
    assert_eq!(
        rendered(None, "{{#each facts.swap.devices}}{{this.path}}{{/each}}"),
        Ok(Resolved::Is(json!("/dev/sda2")))
    );
    let why = |first, text: &str| match rendered(first, text) {
        Ok(Resolved::Never(why)) => format!("never: {why}"),
        Ok(Resolved::Later(why)) => format!("later: {why}"),
        other => format!("{other:?}"),
    };
    let all = [
        why(None, "{{ facts.machine_id }}"),
        why(None, "{{#if facts.kubelet.running}}a{{/if}}"),
        why(Some("make"), "{{ facts.memory.available }}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    never: `facts.machine_id` could not be read: no permission to read it
    never: `facts.kubelet.running` could not be read: it was not read
    later: it rests on facts of its host, which `make` may change first (now `facts.memory.available` is 1048576)
    ");
}
