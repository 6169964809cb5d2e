use super::*;
use crate::runbook::kind::{Kind, Record, Type};
use proptest::prelude::*;
use schemars::json_schema;

const GOOD: &str = "\
apiVersion: runbook/v1
name: x
summary: Does x
description: |
  At length.
risk: low
targets: nodes
become: {user: root}
params:
  within: {type: duration, default: 5m, help: How long}
  count: {type: int, default: 3}
steps:
  - id: one
    uses: a.b
    with: {node: '{{ target.node }}', count: '{{ params.count }}'}
    for_each: [p, q]
    retry: {attempts: 3, every: 10s}
    timeout: 5m
    on_failure: continue
  - name: Then the other
    uses: host.script
    scope: run
    when: steps.one.changed && params.count == 3
    with:
      env: {WITHIN: '{{ params.within }}'}
      apply: echo \"$WITHIN\"
    undo: {keep: It is of use to others}
  - id: asked
    uses: confirm
    with: {message: 'Go on with {{ params.count }}?'}
";

fn kinds() -> Kinds {
    let ab = Kind {
        formerly: None,
        uses: "a.b",
        schema: json_schema!({
            "description": "For tests.",
            "type": "object",
            "properties": {
                "node": {"type": "string", "description": "Where."},
                "count": {"type": ["integer", "null"], "minimum": 0},
                "flag": {"type": "boolean"},
                "words": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["node"],
            "additionalProperties": false,
        }),
        outputs: Record::of(&[("code", Type::Int)]),
        scope: None,
        literal: &[],
        changes: &["words"],
        beside: false,
        lost: |_| None,
        check: |with| match with["count"] == 13 {
            true => Err("`count` is not 13".to_owned()),
            false => Ok(()),
        },
    };
    let mut all = Kinds::that_take_anything(&["host.script"]);
    all.0[0].literal = &["apply"];
    all.0.push(ab);
    all
}

fn read(text: &str) -> Result<Runbook, Problems> {
    super::read(text, "x.yaml", &kinds())
}

fn wrong(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let problems = read(&GOOD.replacen(from, to, 1)).unwrap_err();
    let words = |p: &Problem| {
        let more = match p.label.as_str() {
            "here" => String::new(),
            label => format!(" [{label}]"),
        };
        let help = p.help.as_ref().map(|h| format!(" ({h})"));
        format!(
            "{}:{} {}{more}{}",
            p.line,
            p.column,
            p.message,
            help.unwrap_or_default()
        )
    };
    let all: Vec<String> = problems.problems.iter().map(words).collect();
    all.join("\n")
}

#[test]
fn a_name_of_an_earlier_step_tells_whether_that_changes_something() {
    let text = "apiVersion: runbook/v1\nname: x\nsummary: X\nrisk: low\ntargets: nodes\nsteps:\n  - id: one\n    uses: a.b\n    with: {node: n}\n  - id: two\n    uses: a.b\n    with: {node: n, words: [one, '{{ steps.one.changed }}', 'Not a name']}\n";
    let runbook = read(text).unwrap();
    assert_eq!(
        runbook.steps[1].with["words"],
        serde_json::json!([
            "{{ steps.one.changed }}",
            "{{ steps.one.changed }}",
            "Not a name"
        ])
    );
    let said = |to: &str| {
        let problems = read(&text.replacen("words: [one", to, 1)).unwrap_err();
        let all = problems.problems.iter();
        all.map(|p| format!("{}:{} {} ({:?})", p.line, p.column, p.message, p.help))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(said("words: [on"), @"12:29 `steps.on.changed` is not known here (None)");
    insta::assert_snapshot!(said("words: [two"), @r#"12:29 `two` is this step itself (Some("a step may name the steps before it"))"#);
}

#[test]
fn a_runbook_is_read() {
    let runbook = read(GOOD).unwrap();
    let (one, other) = (&runbook.steps[0], &runbook.steps[1]);
    assert_eq!(runbook.description.as_deref(), Some("At length.\n"));
    assert_eq!(one.name, "one");
    assert_eq!(one.for_each, Some(serde_json::json!(["p", "q"])));
    assert_eq!(one.retry.unwrap().attempts, 3);
    assert_eq!(one.timeout.unwrap().as_secs(), 300);
    assert_eq!(other.id.as_str(), "then_the_other");
    assert_eq!(other.scope, StepScope::Run);
    assert_eq!(other.keep.as_deref(), Some("It is of use to others"));
    assert_eq!(runbook.params[0].name, "within");
    assert_eq!(runbook.text, GOOD);
    let marked = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(read(&marked).unwrap().text, marked);
}

#[test]
fn on_a_cluster_every_step_happens_once() {
    let cluster = GOOD.replace("targets: nodes", "targets: cluster");
    let cluster = cluster.replace("'{{ target.node }}'", "x");
    let runbook = read(&cluster).unwrap();
    assert!(
        runbook
            .steps
            .iter()
            .all(|step| step.scope == StepScope::Run)
    );
    insta::assert_snapshot!(wrong("targets: nodes", "targets: cluster"), @"15:22 there is no `target.node` here (this runbook is applied to the cluster, and not to nodes)");
}

#[test]
fn templates_of_other_programs_are_left_alone_in_scripts() {
    let other = GOOD.replace(
        "echo \\\"$WITHIN\\\"",
        "kubectl get -o go-template='{{ .x }}{{ range .items }}'",
    );
    assert!(read(&other).is_ok());
}

#[test]
fn of_a_step_that_is_repeated_there_is_not_the_one_output() {
    let from = "params.count == 3";
    let once = GOOD.replace("    for_each: [p, q]\n", "");
    assert!(read(&once.replace(from, "steps.one.code == 0")).is_ok());
    insta::assert_snapshot!(wrong(from, "steps.one.code == 0"), @"23:32 `steps.one.code` is not known here [did you mean `steps.one.changed`?]");
}

#[test]
fn names_are_checked_where_they_stand() {
    insta::assert_snapshot!(wrong("steps.one.changed", "steps.then_the_other.changed"), @"23:11 `then_the_other` is this step itself (a step may name the steps before it)");
    insta::assert_snapshot!(wrong("steps.one.changed", "steps.asked.changed"), @"23:11 `asked` comes after this step (a step may name the steps before it: put that one first)");
    insta::assert_snapshot!(wrong("steps.one.changed", "steps.one.chnged"), @"23:11 `steps.one.chnged` is not known here [did you mean `steps.one.changed`?]");
    insta::assert_snapshot!(wrong("steps.one.changed", "target.node == 'x'"), @"23:11 there is no `target.node` here (this step happens once for the run: leave out `scope: run`)");
    insta::assert_snapshot!(wrong("steps.one.changed", "item == 'x'"), @"23:11 there is no `item` here (`item` is there in a step with `for_each`, and nowhere else)");
    insta::assert_snapshot!(wrong("steps.one.changed && params.count == 3", "params.within"), @"23:11 `params.within` is not true or false (compare it with something: params.within == …)");
    insta::assert_snapshot!(wrong("steps.one.changed", "(steps.one.changed"), @"23:50 this is not a condition: missing ')' at its end (a condition is an expression in CEL, such as steps.x.changed && params.y != 'z')");
    insta::assert_snapshot!(wrong("{{ params.count }}'}", "{{ count }}'}"), @"15:50 `count` is not known here [did you mean `params.count`?]");
    insta::assert_snapshot!(wrong("{{ params.count }}'}", "{{ params }}'}"), @"15:50 `params` is no value: names stand below it (one of `within`, `count`)");
    insta::assert_snapshot!(wrong("[p, q]", "'{{ params.within }}'"), @"16:15 `params.within` is not a list");
    insta::assert_snapshot!(wrong("[p, q]", "'x{{ params.within }}'"), @"16:15 `for_each` is a list, or one template that gives a list (write [a, b, c], or '{{ params.x }}' with a parameter that is a list)");
    insta::assert_snapshot!(wrong("echo \"$WITHIN\"", "echo {{ params.within }}"), @r#"26:22 `apply` is a script, and scripts are literal: no template stands in them (pass it as a variable, env: {WITHIN: '{{ params.within }}'}, and use "$WITHIN" in the script)"#);
}

#[test]
fn a_kind_is_asked_about_what_is_known() {
    insta::assert_snapshot!(wrong("count: '{{ params.count }}'", "count: 13"), @"15:46 `count` is not 13 (that is so with the defaults of the parameters)");
    insta::assert_snapshot!(wrong("default: 3", "default: 13").replace("target.node", ""), @"15:46 `count` is not 13 (that is so with the defaults of the parameters)");
    insta::assert_snapshot!(wrong("count: '{{ params.count }}'", "count: -1"), @"15:46 -1 is out of range: it is at least 0");
}

#[test]
fn a_secret_stands_in_a_variable_and_nowhere_else() {
    use super::super::names::Names;
    use super::super::yaml::{Value, parse};
    let script = &kinds().0[0].clone();
    let params = Record::of(&[("key", Type::Secret)]);
    let found = |text: &str| {
        let source = Source::new("x", text);
        let mut found = Found::default();
        let with = parse(&source, &mut found).0.unwrap();
        assert!(matches!(with.value, Value::Map(_)));
        let names = Names {
            known: names(&params, &Record::default(), true, None),
            own: "x",
            later: &[],
            no_target: None,
        };
        let beside = Beside::nothing();
        let around = Around {
            beside: &beside,
            source: &source,
            kinds: &kinds(),
            params: params.clone(),
            defaults: Map::new(),
            cluster: false,
        };
        let arguments = super::super::arguments::Arguments {
            kind: script,
            with: &with,
            place: with.head(),
            names: &names,
            around: &around,
        };
        arguments.check(true, &mut found);
        let problems = found.into_problems(&source).problems;
        problems.iter().map(|p| p.code).collect::<Vec<_>>()
    };
    assert!(found("env: {KEY: '{{ params.key }}'}").is_empty());
    for seen in [
        "env: {KEY: 'x{{ params.key }}'}",
        "env: {KEY: ['{{ params.key }}']}",
        "args: ['{{ params.key }}']",
        "other: {env: {KEY: '{{ params.key }}'}}",
        "env: {KEY: '{{#if params.key}}x{{/if}}'}",
    ] {
        assert_eq!(found(seen), ["runbook::secret"], "{seen}");
    }
}

#[test]
fn all_mistakes_are_said_at_once_up_to_a_hundred() {
    let many = format!("{GOOD}{}", "  - {id: one, uses: a.c}\n".repeat(200));
    let problems = read(&many).unwrap_err();
    assert_eq!(problems.problems.len(), 100);
    assert!(
        problems
            .count_line()
            .ends_with("of which the first 100 are shown")
    );
    let two = GOOD
        .replace("risk: low", "risk: none")
        .replace("count: '{{", "cuont: '{{");
    assert_eq!(read(&two).unwrap_err().count_line(), "2 problems in x.yaml");
}

#[test]
fn what_is_shown_of_a_file_is_harmless() {
    let odd = GOOD.replace("name: x", "name: \"x\\e[31m\u{202e}\"");
    let shown = read(&odd).unwrap_err().to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    insta::assert_snapshot!(shown, @r#"
    runbook::name

      x `x\u{1b}[31m\u{202e}` is not the name of a runbook
       ,-[x.yaml:2:7]
     2 | name: "x\e[31m\u{202e}"
       :       ^^^^^^^^|^^^^^^^^
       :               `-- here
       `----
      help: a name has lower-case letters, digits and hyphens, and begins with a letter

    1 problem in x.yaml
    "#);
    let long = GOOD.replace("name: x", &format!("name: {}", "x".repeat(5000) + "X"));
    assert!(
        read(&long)
            .unwrap_err()
            .places()
            .lines()
            .all(|line| line.chars().count() < 6000)
    );
}

/// A good runbook with mistakes as an editor makes them.
fn mutated() -> impl Strategy<Value = String> {
    let change = (0..40usize, 0..8usize, "\\PC{0,20}");
    prop::collection::vec(change, 1..5).prop_map(|changes| {
        let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
        for (at, how, text) in changes {
            let at = at % lines.len().max(1);
            match how {
                0 => lines.insert(at, text),
                1 if !lines.is_empty() => drop(lines.remove(at)),
                2 => lines.insert(at, lines.get(at).cloned().unwrap_or_default()),
                3 => lines.insert(at, format!("{}x: 1", " ".repeat(text.len()))),
                4 => lines.insert(at, format!("x: {}", "[".repeat(at * 40))),
                5 => lines.insert(at, text.repeat(400)),
                6 => lines.insert(at, "a: &a [*a, *a, *a]".repeat(at)),
                _ => {
                    if let Some(line) = lines.get_mut(at) {
                        line.push_str(&text);
                    }
                }
            }
        }
        lines.join("\n")
    })
}

fn bounded(text: &str) {
    let (outcome, cost) = read_counting(text, "x", &kinds(), Beside::nothing());
    assert!(
        cost.events <= 100_001 && cost.nodes <= cost.events + 1,
        "{cost:?}"
    );
    // Each event takes at least one character.
    assert!(
        cost.events <= 4 * text.len() + 8,
        "{cost:?} of {}",
        text.len()
    );
    if let Err(problems) = outcome {
        assert!(!problems.problems.is_empty());
        assert!(problems.problems.iter().all(|p| p.line > 0 && p.column > 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", at in 0..400usize) {
        bounded(&text);
        let mut broken = GOOD.to_owned();
        let at = at.min(broken.len());
        broken.insert_str(at, &text);
        bounded(&broken);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        match yaml::check_bytes(bytes, "x") {
            Ok(text) => bounded(&text),
            Err(problems) => assert_eq!(problems.problems.len(), 1),
        }
    }

    #[test]
    fn a_runbook_with_mistakes_is_read_or_refused(text in mutated()) {
        bounded(&text);
    }
}

#[test]
fn large_texts_are_read_or_refused_without_much_ado() {
    let head = GOOD.split("steps:").next().unwrap();
    let names = "{{ params.whithin }} ".repeat(20_000);
    let steps = |step: &str| format!("{head}steps:\n{}", step.repeat(900));
    for (what, text) in [
        (
            "keys",
            (0..60_000).map(|n| format!("key{n}: 1\n")).collect(),
        ),
        ("the same key", "key: 1\n".repeat(60_000)),
        (
            "items",
            format!("{head}steps:\n{}", "  - x\n".repeat(60_000)),
        ),
        (
            "names",
            format!("{head}steps:\n  - id: a\n    uses: a.b\n    with: {{node: '{names}'}}\n"),
        ),
        (
            "good names",
            format!(
                "{head}steps:\n  - id: a\n    uses: a.b\n    with: {{node: '{}'}}\n",
                "{{ params.within }}".repeat(20_000)
            ),
        ),
        (
            "ends",
            format!(
                "{head}steps:\n  - id: a\n    uses: a.b\n    with: {{node: '{}'}}\n",
                "{{/if}}".repeat(100_000)
            ),
        ),
        ("braces", format!("{head}x: '{}'\n", "{{ ".repeat(300_000))),
        (
            "steps",
            steps("  - {id: a, uses: a.b, when: steps.b.changed, with: {node: '{{ x }}'}}\n"),
        ),
        (
            "a long line",
            format!("{head}x: {}\n", "é ".repeat(300_000)),
        ),
        ("quotes", format!("{head}x: {}\n", "'\" ".repeat(300_000))),
        (
            "a long key",
            format!("{head}{}: 1\n", "k".repeat(1_000_000)),
        ),
        ("brackets", "[".repeat(1_000_000)),
        ("maps", "{a: ".repeat(200_000)),
        ("questions", "? ".repeat(500_000)),
        ("dashes", "- ".repeat(500_000)),
        ("colons", ": ".repeat(500_000)),
        ("aliases", "*a ".repeat(300_000)),
        ("blanks", " ".repeat(1_000_000)),
        ("lines", "\n".repeat(1_000_000)),
        ("comments", "# x\n".repeat(250_000)),
        ("block", format!("x: |\n{}", "  y\n".repeat(250_000))),
        ("folds", format!("x: >\n{}", "  y\n\n".repeat(200_000))),
        ("plain lines", format!("x: y\n{}", "  y\n".repeat(250_000))),
        (
            "a condition",
            GOOD.replace(
                "steps.one.changed &&",
                &format!("{}true ||", "!".repeat(4000)),
            ),
        ),
        (
            "brackets in a condition",
            GOOD.replace("steps.one.changed &&", &"(".repeat(4000)),
        ),
    ] {
        let begun = std::time::Instant::now();
        bounded(&text);
        let took = begun.elapsed();
        assert!(took.as_secs() < 30, "{what}: {took:?}");
    }
}

#[test]
fn deep_conditions_are_refused_and_overflow_nothing() {
    let when = |condition: &str| GOOD.replace("steps.one.changed && params.count == 3", condition);
    for condition in [
        format!("{}true", "!".repeat(1000)),
        format!("{}1 == 1", "-".repeat(1000)),
        format!("1{} == 1", "+1".repeat(500)),
        format!("true{}", "||true".repeat(160)),
        format!("params{}", ".a".repeat(500)),
        format!("params{}", "[0]".repeat(330)),
        format!("{}1{}", "(".repeat(500), ")".repeat(500)),
        "(".repeat(1000),
        "[".repeat(1000),
        "{1:".repeat(300),
        "true?".repeat(200),
        "true?true:".repeat(100),
        "f(".repeat(500),
        "'".repeat(1000),
        "-!".repeat(500),
    ] {
        bounded(&when(&format!("\"{condition}\"")));
    }
}
