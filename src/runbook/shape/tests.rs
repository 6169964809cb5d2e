use super::*;
use crate::runbook::source::Source;
use crate::runbook::yaml::parse;
use serde_json::json;

fn wrong(schema: &Json, text: &str) -> String {
    let source = Source::new("x", text);
    let mut found = Found::default();
    let root = parse(&source, &mut found).0.unwrap();
    Shape::rendered(schema).check(&root, "`with`", root.head(), &mut found);
    let problems = found.into_problems(&source).problems;
    let words = |p: &Problem| {
        let help = p.help.as_ref().map(|h| format!(" ({h})"));
        let label = match p.label.as_str() {
            "here" => String::new(),
            label => format!(" [{label}]"),
        };
        format!(
            "{}:{} {}{label}{}",
            p.line,
            p.column,
            p.message,
            help.unwrap_or_default()
        )
    };
    problems.iter().map(words).collect::<Vec<_>>().join("\n")
}

fn schema() -> Json {
    json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What is said."},
            "maybe": {"type": ["string", "null"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "flag": {"type": "boolean"},
            "state": {"oneOf": [{"const": "on_it"}, {"type": "string", "enum": ["off_it"]}]},
            "choice": {"anyOf": [{"$ref": "#/$defs/Choice"}, {"type": "null"}]},
            "words": {"type": "array", "items": {"$ref": "#/$defs/Scalar"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "within": {"type": "string", "format": DURATION_FORMAT},
            "any": true,
        },
        "required": ["text"],
        "additionalProperties": false,
        "$defs": {
            "Choice": {"type": "string", "enum": ["left", "right"]},
            "Scalar": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}]},
        },
    })
}

#[test]
fn what_fits_is_taken() {
    let all = "text: a\nmaybe:\ncount: 3\nflag: true\nstate: off_it\nchoice: left\nwords: [a, 1, 1.5, true]\neither: [a]\nmap: {x: 1}\nwithin: 90s\nany: {x: [1]}\n";
    assert_eq!(wrong(&schema(), all), "");
}

#[test]
fn what_is_known_later_is_taken_for_now() {
    let all = "text: a {{ x }}\ncount: '{{ x }}'\nflag: '{{ x }}'\nstate: 'o{{ x }}'\nwords: '{{ x }}'\nmap: '{{ x }}'\nwithin: '{{ x }}s'\n";
    assert_eq!(wrong(&schema(), all), "");
    insta::assert_snapshot!(wrong(&schema(), "text: a\nwords: 'a {{ x }}'\nmap: '{{ x }} b'\n"), @"
    2:8 `words` is a list, and this is text
    3:6 `map` is a map, and this is text
    ");
}

#[test]
fn each_mistake_is_said_with_its_place() {
    for (n, text) in [
        "maybe: a",
        "txt: a",
        "colour: a",
        "text: 5",
        "text: true",
        "text: [a]",
        "text: a\nflag: yes",
        "text: a\nflag: 'off'",
        "text: a\ncount: 0\nmaybe: 007",
        "text: a\ncount: 10",
        "text: a\ncount: 1.5",
        "text: a\nstate: onit",
        "text: a\nstate: 5",
        "text: a\nchoice: up",
        "text: a\nchoice: [left]",
        "text: a\nwords: [0644, 1.10, [], 0x1f]",
        "text: a\nwords: a",
        "text: a\neither: [[a]]",
        "text: a\neither: {a: b}",
        "text: a\nmap: {x: a}",
        "text: a\nmap: 3",
        "text: a\nwithin: 90",
        "text: a\nwithin: soon",
        "text: a\nwithin: [1s]",
        "text:",
        "- text: a",
        "just words",
    ]
    .iter()
    .enumerate()
    {
        insta::assert_snapshot!(
            format!("mistake-{n:02}"),
            format!("{text}\n=> {}", wrong(&schema(), text))
        );
    }
}
