use super::*;
use serde_json::json;

fn read(text: &str) -> Result<serde_json::Value, Vec<String>> {
    let source = Source::new("x", text);
    let mut found = Found::default();
    let (root, _) = parse(&source, &mut found);
    match (root, found.count()) {
        (Some(root), 0) => Ok(root.to_json()),
        _ => {
            let problems = found.into_problems(&source).problems;
            let words = |p: &Problem| format!("{}:{} {} {}", p.line, p.column, p.code, p.message);
            Err(problems.iter().map(words).collect())
        }
    }
}

fn wrong(text: &str) -> String {
    read(text).unwrap_err().join(" | ")
}

#[test]
fn words_are_what_yaml_1_2_says() {
    let all = "[1, -2, +3, 0x1f, 0o17, 1.5, .5, 1e3, true, False, yes, no, on, null, ~, '1', \"\", 1:2, 99999999999999999999, .inf, .nan, 1_000, 2026-01-01, 0x, ., -]";
    let all = all.replace(", -]", "]");
    assert_eq!(
        read(&all).unwrap(),
        json!([
            1,
            -2,
            3,
            31,
            15,
            1.5,
            0.5,
            1000.0,
            true,
            false,
            "yes",
            "no",
            "on",
            null,
            null,
            "1",
            "",
            "1:2",
            "99999999999999999999",
            ".inf",
            ".nan",
            "1_000",
            "2026-01-01",
            "0x",
            "."
        ])
    );
}

#[test]
fn blocks_flows_and_texts_are_read() {
    let text = "a: |\n  one\n  \ttwo\nb: >-\n  x\n  y\nc: {d: [1, {e: }]}\n'f g': \"\\t\"\n";
    let value = json!({"a": "one\n\ttwo\n", "b": "x y", "c": {"d": [1, {"e": null}]}, "f g": "\t"});
    assert_eq!(read(text), Ok(value));
    assert_eq!(read("a: 1\r\nb: x\r\n"), Ok(json!({"a": 1, "b": "x"})));
    assert_eq!(read("---\na: 1\n...\n"), Ok(json!({"a": 1})));
}

#[test]
fn each_value_knows_its_place() {
    let text = "ä: [x,  'y' ]\nlonger:\n  - text here  # said\n  - |\n    block\nend: {a: 1}\n";
    let source = Source::new("x", text);
    let (root, cost) = parse(&source, &mut Found::default());
    let root = root.unwrap();
    let slice = |node: &Node| source.slice(node.span).to_owned();
    assert_eq!(source.slice(root.entries()[0].0.span), "ä");
    assert_eq!(slice(&root.get("ä").unwrap().items()[1]), "'y'");
    assert_eq!(slice(&root.get("longer").unwrap().items()[0]), "text here");
    assert_eq!(slice(&root.get("longer").unwrap().items()[1]), "block");
    assert_eq!(slice(root.get("end").unwrap()), "{a: 1}");
    assert_eq!(cost.nodes, 9);
}

#[test]
fn what_runbooks_do_not_need_is_refused_all_at_once() {
    insta::assert_snapshot!(wrong("a: &x 1\nb: *x\nc: !t 2\n<<: {d: 1}\na: 2\n"), @"1:4 runbook::anchor runbooks have no anchors and no aliases | 2:4 runbook::anchor runbooks have no anchors and no aliases | 3:4 runbook::tag a text that begins with `!` is a tag in YAML, and runbooks have none | 4:1 runbook::merge_key maps are not merged by `<<` here | 5:1 runbook::duplicate_key `a` is there twice");
    insta::assert_snapshot!(wrong("a: 1\n---\nb: 1\n"), @"2:1 runbook::documents a second document begins here");
    insta::assert_snapshot!(wrong("{[a]: 1}"), @"1:2 runbook::yaml a list or a map stands where a key is wanted");
    insta::assert_snapshot!(wrong("a: {{ params.x }}"), @"1:4 runbook::yaml a template is not in quotes: YAML takes `{` for a map");
    insta::assert_snapshot!(wrong("- {a: b, c: {{ x }}}\n"), @"1:13 runbook::yaml a template is not in quotes: YAML takes `{` for a map");
    insta::assert_snapshot!(wrong("? {a: [b, c]}\n: 1\n"), @"1:3 runbook::yaml a list or a map stands where a key is wanted");
    insta::assert_snapshot!(wrong(""), @"1:1 runbook::yaml there is nothing in it");
    insta::assert_snapshot!(wrong("# only this\n"), @"1:1 runbook::yaml there is nothing in it");
    insta::assert_snapshot!(wrong("a: *nobody\n"), @"1:4 runbook::anchor runbooks have no anchors and no aliases");
    insta::assert_snapshot!(wrong(": 1"), @"1:1 runbook::yaml a key is empty");
}

#[test]
fn what_the_parser_trips_over_is_said_plainly() {
    insta::assert_snapshot!(wrong("a:\n\tb: 1\n"), @"2:1 runbook::yaml a tab stands at the beginning of this line");
    insta::assert_snapshot!(wrong("a: 1\nb:2\nc: 3\n"), @"2:2 runbook::yaml there is no blank after this colon");
    insta::assert_snapshot!(wrong("a: 'it\nb: 1\n"), @"1:4 runbook::yaml a quote is not closed");
    insta::assert_snapshot!(wrong("a: \"it\nb: 1\n"), @"1:4 runbook::yaml a quote is not closed");
    insta::assert_snapshot!(wrong("a: [1, 2\nb: 1\n"), @"1:4 runbook::yaml this bracket is not closed");
    insta::assert_snapshot!(wrong("a: {b: 1\nc: 1\n"), @"1:4 runbook::yaml this bracket is not closed");
    insta::assert_snapshot!(wrong("a: b: c\n"), @"1:5 runbook::yaml a second `: ` stands in this line");
    insta::assert_snapshot!(wrong("a: @x\n"), @"1:4 runbook::yaml a text cannot begin with `@`");
    insta::assert_snapshot!(wrong("a: \"\\q\"\n"), @"1:4 runbook::yaml an escape that YAML does not know stands in this text");
    insta::assert_snapshot!(wrong("a: 1\n  b: 2\n"), @"2:4 runbook::yaml a `:` stands where no key can be");
    insta::assert_snapshot!(wrong("a:\n  - x\n -y\n"), @"3:2 runbook::yaml this does not fit to the lines before it");
    insta::assert_snapshot!(wrong("a:\n  b: 1\n c: 2\n"), @"3:2 runbook::yaml this does not fit to the lines before it");
    insta::assert_snapshot!(wrong("a: 'x' y\n"), @"1:8 runbook::yaml more text stands after the closing quote");
    insta::assert_snapshot!(wrong("a: {{ params.x }} more\n"), @"1:4 runbook::yaml a template is not in quotes: YAML takes `{` for a map");
    insta::assert_snapshot!(wrong("a: ]\n"), @"1:4 runbook::yaml this bracket was never opened");
}

#[test]
fn how_much_there_is_of_everything_is_bounded() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(read(&deep(MAX_DEPTH)).is_ok());
    insta::assert_snapshot!(wrong(&deep(MAX_DEPTH + 1)), @"1:65 runbook::size too many lists and maps within each other");
    assert!(!wrong(&"- ".repeat(100_000)).is_empty());
    assert!(!wrong(&"? ".repeat(100_000)).is_empty());
    assert!(!wrong(&"{".repeat(200_000)).is_empty());
    assert!(!wrong(&"? [".repeat(100_000)).is_empty());
    insta::assert_snapshot!(wrong(&format!("[{}]", "1,".repeat(MAX_EVENTS))), @"1:199996 runbook::size there is too much in this file");
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    let bytes = |bytes: &[u8]| {
        let problems = check_bytes(bytes.to_vec(), "x").unwrap_err();
        let problem = problems.problems.first().unwrap().clone();
        format!("{}:{} {}", problem.line, problem.column, problem.message)
    };
    insta::assert_snapshot!(bytes(b"a: 1\nb: \xc3\xa4\xff\n"), @"2:5 the byte 0xff is not UTF-8");
    let text = |text: &str| {
        let source = Source::new("x", text);
        let mut found = Found::default();
        check_text(&source, &mut found).then(|| assert_eq!(found.count(), 0));
        let problems = found.into_problems(&source).problems;
        let words = |p: &Problem| format!("{}:{} {}", p.line, p.column, p.message);
        problems.iter().map(words).collect::<Vec<_>>().join(" | ")
    };
    insta::assert_snapshot!(text("a: \0\nb: \u{1b}[31m\n"), @r"1:4 the character `\u{0}` must not stand in a runbook | 2:4 the character `\u{1b}` must not stand in a runbook");
    insta::assert_snapshot!(text("a\rb\u{85}c"), @r"1:2 the character `\r` must not stand in a runbook | 1:4 the character `\u{85}` must not stand in a runbook");
    assert_eq!(text("a:\t1\r\n"), "");
    assert_eq!(text(&"\0".repeat(1000)).split(" | ").count(), 5);
    insta::assert_snapshot!(text(&"x".repeat(MAX_BYTES + 1)), @"1:1 it has 1048577 bytes, and a runbook may have 1048576");
}
