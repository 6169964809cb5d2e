use super::super::ParamText;
use super::*;
use proptest::prelude::*;

fn params(yaml: &str) -> Vec<Param> {
    let texts: super::super::ParamTexts = serde_yaml::from_str(yaml).unwrap();
    texts
        .0
        .into_iter()
        .map(|(name, text)| Param::from_text(&name, text).unwrap())
        .collect()
}

const PARAMS: &str = "
who: {type: string, help: Whom to ask}
count: {type: int, default: 3, max: 9}
within: {type: duration, default: 5m, help: How long it may take}
peers: {type: list, items: ip, required: false}
mode: {type: enum, values: [enforce, warn], default: warn}
token: {type: secret, required: false, min: 4}
label: {type: string, default: '{{ params.who }}-{{ params.count }}'}
twice: {type: int, default: '{{ params.count }}'}
";

fn file(path: &str, yaml: &str) -> ParamFile {
    ParamFile {
        path: path.to_owned(),
        values: serde_yaml::from_str(yaml).unwrap(),
        shared: false,
    }
}

fn typed(pairs: &[&str]) -> Given {
    Given {
        typed: pairs.iter().map(|s| (*s).to_owned()).collect(),
        ..Given::default()
    }
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    Given::environment(
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

fn said(given: &Given) -> String {
    let fault = bind(&params(PARAMS), given).unwrap_err();
    let mut lines = vec![format!("{} [{}]", fault.message, fault.code)];
    lines.extend(fault.list.iter().map(|line| format!("- {line}")));
    lines.extend(fault.next.map(|next| format!("next: {next}")));
    lines.join("\n")
}

#[test]
fn what_comes_first_counts() {
    let mut given = typed(&[
        "who=typed",
        "peers=192.0.2.1",
        "peers=192.0.2.2,2001:db8::1",
    ]);
    given.files = vec![
        file("a.yaml", "{who: file, count: 4, within: 1m, token: abcd}"),
        file("b.yaml", "{within: 2m}"),
    ];
    given.environment = environment(&[
        ("RUNBOOK_PARAM_WHO", "environment"),
        ("RUNBOOK_PARAM_COUNT", "environment"),
        ("RUNBOOK_PARAM_MODE", "enforce"),
        ("RUNBOOK_PARAM_OF_ANOTHER", "x"),
        ("HOME", "/root"),
    ]);
    let bound = bind(&params(PARAMS), &given).unwrap();
    assert_eq!(
        Value::from(bound.values),
        json!({
            "who": "typed", "count": 4, "within": "2m", "mode": "enforce", "label": "typed-4", "twice": 4,
            "peers": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
        })
    );
    assert_eq!(bound.secrets.get("token").map(Secret::reveal), Some("abcd"));
    assert!(!format!("{given:?}").contains("abcd"));
}

#[test]
fn what_is_not_given_has_its_default_or_is_null() {
    let bound = bind(&params(PARAMS), &typed(&["who={{ params.count }}"])).unwrap();
    assert_eq!(
        Value::from(bound.values),
        json!({
            // A value is no template, whatever it looks like.
            "who": "{{ params.count }}", "label": "{{ params.count }}-3",
            "count": 3, "within": "5m", "peers": null, "mode": "warn", "twice": 3,
        })
    );
    assert_eq!(bound.secrets, BTreeMap::new());
}

#[test]
fn each_mistake_is_named_with_its_place() {
    insta::assert_snapshot!(said(&typed(&[])), @"
    parameter `who` is not given [param_missing]
    next: add --param who=VALUE: Whom to ask
    ");
    insta::assert_snapshot!(said(&typed(&["who"])), @"
    2 parameters are wrong or missing [params_wrong]
    - --param who: there is no `=` in it (write --param NAME=VALUE)
    - parameter `who` is not given (add --param who=VALUE: Whom to ask)
    ");
    insta::assert_snapshot!(said(&typed(&["who=a", "witin=3s"])), @"
    this runbook has no parameter `witin` [unknown_param]
    next: did you mean `within`? it has who, count, within, peers, mode, token, label, twice
    ");
    insta::assert_snapshot!(said(&typed(&["who=a", "within=soon"])), @"
    parameter `within` is a duration such as 90s, 5m or 1h30m, and `soon` is not [param_value]
    next: How long it may take
    ");
    insta::assert_snapshot!(said(&typed(&["who=a", "who=b"])), @"
    parameter `who` is given twice [param_twice]
    next: give it once
    ");
    insta::assert_snapshot!(said(&typed(&["who=a", "token=hunter2"])), @"
    parameter `token` is a secret, and everybody on this machine can read a command line [param_secret]
    next: set RUNBOOK_PARAM_TOKEN in the environment, put it into a file for --params, or let it be asked for on a terminal
    ");
    let mut given = typed(&["who=a"]);
    given.files = vec![file("a.yaml", "{count: '4'}")];
    insta::assert_snapshot!(said(&given), @"
    a.yaml: parameter `count` is a whole number of at most 9, and `4` is not [param_value]
    next: write it without quotes
    ");
    given.typed.clear();
    given.files = vec![file("a.yaml", "{who: 4}")];
    insta::assert_snapshot!(said(&given), @"
    a.yaml: parameter `who` is a string, and `4` is not [param_value]
    next: write it in quotes
    ");
    given = typed(&["who=a"]);
    given.files = vec![file("a.yaml", "{cuont: 4}")];
    insta::assert_snapshot!(said(&given), @"
    a.yaml: this runbook has no parameter `cuont` [unknown_param]
    next: did you mean `count`? it has who, count, within, peers, mode, token, label, twice
    ");
    given.files = vec![file("a.yaml", "{token: hunter2}")];
    given.files[0].shared = true;
    insta::assert_snapshot!(said(&given), @"
    a.yaml: it has the secret `token`, and others than its owner can read it [param_file_shared]
    next: chmod 600 FILE, or give a pipe
    ");
    given.files = Vec::new();
    given.environment = environment(&[("RUNBOOK_PARAM_TOKEN", "abc")]);
    insta::assert_snapshot!(said(&given), @"RUNBOOK_PARAM_TOKEN: parameter `token` is a secret of at least 4 characters, and what was given is not [param_value]");
    // The default of `twice` may be 12, which `count` may not.
    insta::assert_snapshot!(said(&typed(&["who=a", "count=12"])), @"parameter `count` is a whole number of at most 9, and `12` is not [param_value]");
}

#[test]
fn everything_that_is_wrong_or_missing_is_said_at_once() {
    insta::assert_snapshot!(said(&typed(&["count=x", "within=soon", "witin=3s", "peers=a", "token=x"])), @"
    6 parameters are wrong or missing [params_wrong]
    - this runbook has no parameter `witin` (did you mean `within`? it has who, count, within, peers, mode, token, label, twice)
    - parameter `count` is a whole number of at most 9, and `x` is not
    - parameter `within` is a duration such as 90s, 5m or 1h30m, and `soon` is not (How long it may take)
    - parameter `peers` is a list of IP addresses such as 192.0.2.7, and `a` in it is not one
    - parameter `token` is a secret, and everybody on this machine can read a command line (set RUNBOOK_PARAM_TOKEN in the environment, put it into a file for --params, or let it be asked for on a terminal)
    - parameter `who` is not given (add --param who=VALUE: Whom to ask)
    ");
    // All of one kind keep its code.
    insta::assert_snapshot!(said(&typed(&["who=a", "count=x", "within=soon"])), @"
    2 parameters are wrong or missing [param_value]
    - parameter `count` is a whole number of at most 9, and `x` is not
    - parameter `within` is a duration such as 90s, 5m or 1h30m, and `soon` is not (How long it may take)
    ");
}

#[test]
fn the_one_node_is_the_parameter_node() {
    let params = params("node: {type: node}\n");
    let on = |nodes: &[&str], pairs: &[&str]| {
        let mut given = typed(pairs);
        given.nodes = nodes.iter().map(|s| (*s).to_owned()).collect();
        bind(&params, &given).map(|bound| bound.values.get("node").cloned())
    };
    assert_eq!(on(&["node01"], &[]), Ok(Some(json!("node01"))));
    assert_eq!(on(&["node01"], &["node=node02"]), Ok(Some(json!("node02"))));
    assert_eq!(
        on(&["node01", "node02"], &[]).unwrap_err().code,
        "param_missing"
    );
}

#[test]
fn names_of_nodes_and_hosts_are_looked_up() {
    let params = params("a: {type: node}\nb: {type: list, items: host}\nc: {type: string}\n");
    let bound = bind(&params, &typed(&["a=n1", "b=h1,h2", "c=n3"])).unwrap();
    let known = |kind: ParamType, name: &str| match (kind, name) {
        (ParamType::Node, "n1") | (ParamType::Host, "h1") => Ok(()),
        _ => Err(Fault::input(
            "unknown_host",
            format!("there is no `{name}`"),
        )),
    };
    let fault = check_names(&params, &bound.values, known).unwrap_err();
    assert_eq!(fault.message, "parameter `b`: there is no `h2`");
    assert_eq!(check_names(&params, &bound.values, |_, _| Ok(())), Ok(()));
}

#[test]
fn what_can_be_asked_for_is_known_once_nothing_is_wrong() {
    let params = params(PARAMS);
    let ask = |pairs: &[&str]| -> Vec<String> {
        let given = typed(pairs);
        let binding = Binding::of(&params, &given);
        binding.to_ask().iter().map(|p| p.name.clone()).collect()
    };
    assert_eq!(ask(&[]), ["who"]);
    assert_eq!(ask(&["count=x"]), Vec::<String>::new());
    let mut given = typed(&[]);
    given.answers.insert("who".to_owned(), json!("asked"));
    assert_eq!(
        bind(&params, &given).unwrap().values["label"],
        json!("asked-3")
    );
}

fn declaration() -> impl Strategy<Value = ParamText> {
    let kind = prop::sample::select(vec![
        "string", "int", "bool", "duration", "ip", "cidr", "node", "host", "enum", "list", "secret",
    ]);
    let limit = || {
        prop::option::of(prop_oneof![
            (0..5i64).prop_map(Value::from),
            Just(json!("2s"))
        ])
    };
    let default = prop::option::of(prop_oneof![
        "\\PC{0,6}".prop_map(Value::from),
        (-3..9i64).prop_map(Value::from),
        Just(json!(true)),
        Just(json!(["a", "192.0.2.1"])),
        Just(json!("{{ params.a }}")),
    ]);
    let pattern = prop::option::of(prop::sample::select(vec!["a+", "[a-z]*", "(", "x|y"]));
    let values = prop::option::of(Just(json!(["a", "b"])));
    let items = prop::option::of(prop::sample::select(vec!["string", "int", "ip", "enum"]));
    (
        kind,
        limit(),
        limit(),
        default,
        pattern,
        values,
        items,
        any::<bool>(),
    )
        .prop_filter_map(
            "is read",
            |(kind, min, max, default, pattern, values, items, required)| {
                serde_json::from_value(json!({
                    "type": kind, "min": min, "max": max, "default": default, "pattern": pattern,
                    "values": values, "items": items, "required": (!required).then_some(false),
                }))
                .ok()
            },
        )
}

proptest! {
    #[test]
    fn whatever_is_given_what_is_bound_is_of_its_type(
        a in declaration(),
        b in declaration(),
        typed in prop::collection::vec("(a|b|c)?=?(a|b|3|1s|true|192\\.0\\.2\\.1(/24)?|\\PC{0,4})(,a)?", 0..4),
        written in prop::option::of(prop_oneof![Just(json!(2)), Just(json!("a")), Just(json!([1, "a"])), Just(Value::Null)]),
        set in prop::option::of("\\PC{0,4}"),
    ) {
        let params: Vec<Param> = [("a", a), ("b", b)]
            .into_iter()
            .filter_map(|(name, text)| Param::from_text(name, text).ok())
            .collect();
        let mut given = Given { typed, ..Given::default() };
        if let Some(value) = written {
            given.files = vec![ParamFile {
                path: "f".to_owned(),
                values: Map::from_iter([("a".to_owned(), value)]),
                shared: false,
            }];
        }
        given.environment.insert("B".to_owned(), set);
        if let Ok(bound) = bind(&params, &given) {
            for param in &params {
                if param.r#type == ParamType::Secret {
                    prop_assert!(!bound.values.contains_key(&param.name));
                    prop_assert!(bound.secrets.contains_key(&param.name) || !param.required);
                } else {
                    prop_assert!(param.check(&bound.values[&param.name]).is_ok());
                }
            }
        }
    }
}
