use super::*;
use serde_json::json;

fn text(yaml: &str) -> ParamText {
    serde_yaml::from_str(yaml).unwrap()
}

pub(super) fn param(name: &str, yaml: &str) -> Param {
    Param::from_text(name, text(yaml)).unwrap()
}

fn wrong(name: &str, yaml: &str) -> String {
    let problems = Param::from_text(name, text(yaml)).unwrap_err();
    let lines = problems
        .iter()
        .map(|p| format!("{}: {}", p.path.join("."), p.message));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn everything_that_is_wrong_with_a_declaration_is_said_at_once() {
    insta::assert_snapshot!(wrong("With-in", "{type: int, min: 5, max: 2, values: [a], items: int, pattern: x}"), @"
    : `With-in` is not a name: lower-case letters, digits and _
    items: only a list has items
    pattern: only a string or a secret has a pattern
    values: only an enum has values
    max: it is less than `min`, so that nothing would fit
    ");
    insta::assert_snapshot!(wrong("x", "{type: int, default: 5m}"), @r#"default: the default of `x` is "5m", and not a whole number"#);
    insta::assert_snapshot!(wrong("x", "{type: int, min: 3, default: 2}"), @"default: the default of `x` is 2, and not a whole number of at least 3");
    insta::assert_snapshot!(wrong("x", "{type: int, min: 5m}"), @"min: `5m` is not a whole number");
    insta::assert_snapshot!(wrong("x", "{type: duration, min: 5, max: soon}"), @"
    min: `5` is not a duration such as 90s, 5m or 1h30m
    max: `soon` is not a duration such as 90s, 5m or 1h30m
    ");
    insta::assert_snapshot!(wrong("x", "{type: duration, min: 5m, max: 90s}"), @"max: it is less than `min`, so that nothing would fit");
    insta::assert_snapshot!(wrong("x", "{type: string, max: -1}"), @"max: `-1` is not a length");
    insta::assert_snapshot!(wrong("x", "{type: bool, min: 1}"), @"min: the type bool has no limits");
    insta::assert_snapshot!(wrong("x", "{type: string, pattern: 'a('}"), @"pattern: `a(` is not a regular expression: unclosed group");
    insta::assert_snapshot!(wrong("x", "{type: string, pattern: 'a)(b'}"), @"pattern: `a)(b` is not a regular expression: unopened group");
    insta::assert_snapshot!(wrong("x", "{type: string, pattern: '\\w{1000}{1000}'}"), @r"pattern: `\w{1000}{1000}` is not a regular expression: it is too large");
    insta::assert_snapshot!(wrong("x", "{type: enum}"), @"values: an enum needs the values that it may have: values: [one, other]");
    insta::assert_snapshot!(wrong("x", "{type: enum, values: [a, b, a]}"), @"values: `a` is among them twice");
    insta::assert_snapshot!(wrong("x", "{type: enum, values: [a, b], default: c}"), @r#"default: the default of `x` is "c", and not one of a, b"#);
    insta::assert_snapshot!(wrong("x", "{type: secret, default: hunter2}"), @"default: a secret has no default: it would stand in the runbook");
    insta::assert_snapshot!(wrong("x", "{type: list, items: secret}"), @"items: the items of a list are no secrets");
    insta::assert_snapshot!(wrong("x", "{type: list, items: ip, default: [192.0.2.1, x]}"), @r#"default: the default of `x` is ["192.0.2.1","x"], and not a list of IP addresses such as 192.0.2.7"#);
    insta::assert_snapshot!(wrong("x", "{type: string, default: '{{ params.y'}"), @"default: the template `{{ params.y` is not well-formed: invalid handlebars syntax: expected trailing_tilde_to_omit_whitespace");
    insta::assert_snapshot!(wrong("x", "{type: string, default: a, required: true}"), @"required: it has a default, so that it is never missing");
}

#[test]
fn what_a_value_must_be_is_said_in_words() {
    let expects = |yaml: &str| param("x", yaml).expects();
    insta::assert_snapshot!(
        [
            "{type: string}",
            "{type: string, min: 3}",
            "{type: string, pattern: '[a-z]+', max: 8}",
            "{type: int, min: 1, max: 9}",
            "{type: duration, min: 5s}",
            "{type: ip}",
            "{type: cidr}",
            "{type: node}",
            "{type: host}",
            "{type: enum, values: [a, b]}",
            "{type: list}",
            "{type: list, items: node, min: 1, max: 3}",
            "{type: list, items: enum, values: [a, b]}",
            "{type: list, pattern: 'a+'}",
            "{type: secret, min: 8}",
        ]
        .map(expects)
        .join("\n")
    );
}

#[test]
fn values_are_checked_as_a_whole() {
    let read = |yaml: &str, text: &str| param("x", yaml).read_text(text);
    assert_eq!(read("{type: list}", " a, b,c "), Ok(json!(["a", "b", "c"])));
    assert_eq!(read("{type: list, items: int}", "1,2"), Ok(json!([1, 2])));
    assert_eq!(read("{type: list}", ""), Ok(json!([])));
    assert_eq!(
        read("{type: string, pattern: 'a|bc'}", "bc"),
        Ok(json!("bc"))
    );
    insta::assert_snapshot!(read("{type: string, pattern: 'a|bc'}", "abc").unwrap_err(), @"parameter `x` is a string that matches `a|bc`, and `abc` is not");
    insta::assert_snapshot!(read("{type: string, pattern: 'a'}", "a\n").unwrap_err(), @"
    parameter `x` is a string that matches `a`, and `a
    ` is not
    ");
    insta::assert_snapshot!(read("{type: int, min: 1}", "0").unwrap_err(), @"parameter `x` is a whole number of at least 1, and `0` is not");
    insta::assert_snapshot!(read("{type: enum, values: [enforce, warn]}", "enforced").unwrap_err(), @"parameter `x` is one of enforce, warn, and `enforced` is not; did you mean `enforce`?");
    insta::assert_snapshot!(read("{type: list, items: ip}", "192.0.2.1,x").unwrap_err(), @"parameter `x` is a list of IP addresses such as 192.0.2.7, and `x` in it is not one");
    insta::assert_snapshot!(read("{type: list, items: ip, min: 2}", "192.0.2.1").unwrap_err(), @r#"parameter `x` is a list of IP addresses such as 192.0.2.7, at least 2 of them, and `["192.0.2.1"]` is not"#);
    insta::assert_snapshot!(read("{type: secret, min: 9}", "hunter2").unwrap_err(), @"parameter `x` is a secret of at least 9 characters, and what was given is not");
    let long = "x".repeat(70);
    insta::assert_snapshot!(read("{type: int}", &long).unwrap_err(), @"parameter `x` is a whole number, and `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not");
}

#[test]
fn the_order_of_parameters_is_that_of_the_text() {
    let texts: ParamTexts =
        serde_yaml::from_str("z: {type: int}\na: {type: string}\nm: {type: bool}\n").unwrap();
    let names: Vec<&str> = texts.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
    let twice = serde_yaml::from_str::<ParamTexts>("z: {type: int}\nz: {type: string}\n");
    assert!(
        twice
            .unwrap_err()
            .to_string()
            .contains("two parameters `z`")
    );
}

#[test]
fn names_in_conditions_have_the_parameters_types() {
    let kind = |yaml: &str| param("x", yaml).value_type();
    assert_eq!(kind("{type: duration}"), Type::String);
    assert_eq!(
        kind("{type: list, items: int}"),
        Type::List(Box::new(Type::Int))
    );
    assert_eq!(kind("{type: secret}"), Type::Secret);
}
