use super::*;
use crate::calico::{Datastore, test_node};
use crate::journal::test_events::{change, step};
use crate::model::Scope;

/// eth0 has `own`, and ens9 has 172.18.0.1/16.
fn looked(name: &str, own: &str, advertised: Option<&str>, picked: &str) -> Looked {
    let links = format!(
        r#"[{{"ifindex":2,"ifname":"eth0","flags":["UP"],"operstate":"UP","addr_info":[{{"local":"{own}","prefixlen":24}}]}},
        {{"ifindex":9,"ifname":"ens9","flags":["UP"],"operstate":"UP","addr_info":[{{"local":"172.18.0.1","prefixlen":16}}]}}]"#
    );
    let link = if picked.starts_with("172") {
        "ens9"
    } else {
        "eth0"
    };
    Looked {
        node: test_node(name, own, advertised),
        links: crate::calico::parse_links(&links).unwrap(),
        pick: Pick::Address {
            cidr: picked.parse().unwrap(),
            link: Some(link.into()),
        },
        content: false,
    }
}

fn install(image: &str, strategy: &str, env: Value) -> Install {
    Install {
        node: CalicoNode::new(json!({
            "metadata": {"name": "calico-node", "namespace": "kube-system", "uid": "ds",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {
                "updateStrategy": {"type": strategy},
                "template": {"spec": {"containers": [{"name": "calico-node", "image": image, "env": env}]}},
            },
            "status": {"desiredNumberScheduled": 3},
        }))
        .unwrap(),
        operator: None,
        datastore: Datastore::Kubernetes,
        backend: None,
        elsewhere: None,
    }
}

fn seen(image: &str, strategy: &str, env: Value) -> Seen {
    Seen {
        install: install(image, strategy, env),
        nodes: vec![
            looked("node01", "10.0.0.1", Some("10.0.0.1/24"), "10.0.0.1/24"),
            looked("node03", "10.0.0.3", Some("172.18.0.1/16"), "10.0.0.3/24"),
        ],
    }
}

const NODE: &str = "calico/node:v3.31.0";

fn auto(method: Option<&str>) -> Value {
    let mut env = vec![json!({"name": "IP", "value": "autodetect"})];
    env.extend(method.map(|m| json!({"name": "IP_AUTODETECTION_METHOD", "value": m})));
    Value::from(env)
}

fn by(method: &str) -> Autodetection {
    Autodetection::new(Args {
        method: method.into(),
        family: Family::Ipv4,
    })
    .unwrap()
}

fn action() -> Autodetection {
    by("kubernetes-internal-ip")
}

fn decide(seen: &Seen) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    action().decide(seen, place, Prior { steps: &[] })
}

fn why(decision: Decision<Change>) -> String {
    match decision {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Unknown { why, otherwise } => {
            assert!(matches!(otherwise.as_deref(), Some(Decision::Change(_))));
            format!("unknown: {why}")
        }
        Decision::Refuse { why, .. } => format!("refused: {why}"),
        other => panic!("{other:?}"),
    }
}

fn changed(decision: Decision<Change>) -> Change {
    match decision {
        Decision::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_method_replaces_another_or_the_default() {
    for (method, before) in [
        (None, "first-found"),
        (Some("interface=.*"), "interface=.*"),
    ] {
        let seen = seen(NODE, "RollingUpdate", auto(method));
        let change = changed(decide(&seen));
        assert_eq!(change.method_before, before);
        assert_eq!(change.before.is_some(), method.is_some());
        let compiled = action().compile(change.clone());
        assert!(compiled.effects[0].rolls_pods());
        assert_eq!(compiled.details[0].before.as_deref(), Some(before));
        insta::allow_duplicates! {
            insta::assert_snapshot!(compiled.follows.join("\n"), @"
            its controller replaces the calico-node pods of all 3 nodes, 1 at a time
            node03 picks 10.0.0.3/24 on eth0 instead of 172.18.0.1/16 (predicted)
            node01 keeps 10.0.0.1/24: it picks 10.0.0.1/24 on eth0 (predicted)
            ");
            insta::assert_snapshot!(action().notes(&seen, &Decision::Change(change)).join("\n"), @"This DaemonSet is also managed by kubectl apply, which may take the change back. Put it into the source manifest too: env of container calico-node: {name: IP_AUTODETECTION_METHOD, value: kubernetes-internal-ip}");
        }
    }
}

#[test]
fn names_of_links_are_matched_whole() {
    let change = by("interface=eth0,ens.*").method.to_string();
    insta::assert_snapshot!(change, @"interface=^eth0$,^(ens.*)$");
    insta::assert_snapshot!(by("skip-interface=docker0").method.to_string(), @"skip-interface=^docker0$");
    let action = by("interface=eth0");
    let seen = seen(NODE, "RollingUpdate", auto(None));
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(&seen, place, Prior { steps: &[] });
    let note = action.notes(&seen, &decision).join("");
    assert!(note.ends_with("value: 'interface=^eth0$'}"), "{note}");
    for wrong in [
        "interface=",
        "interface=a,,b",
        "can-reach=",
        "cidr=x",
        "ens3",
        "interfaces=ens3",
    ] {
        let args = Args {
            method: wrong.into(),
            family: Family::Ipv4,
        };
        assert!(Autodetection::new(args).is_err(), "{wrong}");
    }
}

#[test]
fn where_no_method_is_used_or_it_is_right_nothing_is_done() {
    insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", auto(Some("kubernetes-internal-ip"))))), @"no change: calico-node detects by `kubernetes-internal-ip` already");
    let kept = seen(NODE, "RollingUpdate", json!([]));
    insta::assert_snapshot!(why(decide(&kept)), @"no change: calico-node keeps the address that a node has (IP is not set): a method would serve only nodes that have none yet, and none is written");
    assert!(action().notes(&kept, &decide(&kept)).is_empty());
}

#[test]
fn what_would_not_work_is_refused() {
    insta::assert_snapshot!(why(decide(&seen("calico/node:v3.21.5", "RollingUpdate", auto(None)))), @"refused: calico-node v3.21 does not know `kubernetes-internal-ip`, which came with v3.22, and would end at its start");
    assert!(matches!(
        decide(&seen("calico/node:v3.22.0", "RollingUpdate", auto(None))),
        Decision::Change(_)
    ));
    insta::assert_snapshot!(why(decide(&seen("calico/node@sha256:0", "RollingUpdate", auto(None)))), @"unknown: which version of calico-node this is cannot be told from its image `calico/node@sha256:0`, and before v3.22 it would end at its start");
    insta::assert_snapshot!(why(decide(&seen(NODE, "OnDelete", auto(None)))), @"refused: the DaemonSet's update strategy is OnDelete: its pods would keep the old method until each is deleted by hand");
    insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", json!([{"name": "IP", "value": "10.0.0.9"}])))), @"refused: calico-node is given its address and does not detect it: IP is 10.0.0.9");
    insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", json!([{"name": "IP", "value": "none"}])))), @"refused: calico-node has IPv4 switched off");
    let from = json!([{"name": "IP", "value": "autodetect"}, {"name": "IP_AUTODETECTION_METHOD", "valueFrom": {"configMapKeyRef": {"name": "x"}}}]);
    insta::assert_snapshot!(why(decide(&seen(NODE, "RollingUpdate", from))), @"refused: IP_AUTODETECTION_METHOD is not written in the DaemonSet but comes from ConfigMap x");
}

#[test]
fn a_bystander_makes_undo_a_best_effort_and_comes_back_with_it() {
    let compiled = action().compile(changed(decide(&seen(NODE, "RollingUpdate", auto(None)))));
    insta::assert_snapshot!(format!("{:?}\n{:?}", compiled.undo, compiled.heals), @r#"
    BestEffort { lost: "the method is put back exactly; node03 then detects its address anew" }
    Some("node03 advertises 172.18.0.1/16, which is not its own address")
    "#);
    let mut s = seen(NODE, "RollingUpdate", auto(None));
    s.nodes.pop();
    let compiled = action().compile(changed(decide(&s)));
    assert_eq!((compiled.undo, compiled.heals), (UndoClass::Exact, None));
}

/// An earlier step that has node03 advertise an address.
fn given_to_node03(address: &str) -> Vec<crate::model::PlannedStep> {
    let effects = vec![Effect::SetFields {
        object: test_node("node03", "10.0.0.3", None).object,
        fields: vec![FieldChange {
            path: FieldPath::annotation(Family::Ipv4.annotation()),
            before: Some("172.18.0.1/16".into()),
            after: Some(address.into()),
        }],
    }];
    vec![step("address", Scope::Run, change(effects))]
}

#[test]
fn what_an_earlier_step_gives_must_be_what_is_picked() {
    let s = seen(NODE, "RollingUpdate", auto(None));
    let decide = |steps: &[_]| {
        let place = Place::for_test(&Scope::Run, &[]);
        action().decide(&s, place, Prior { steps })
    };
    let change = changed(decide(&given_to_node03("10.0.0.3/24")));
    assert!(change.bystanders.is_empty());
    assert!(change.follows[1].contains("node01") || change.follows[2].contains("node01"));
    assert!(
        change
            .follows
            .iter()
            .any(|line| line == "node03 picks 10.0.0.3/24 on eth0, which it was given before")
    );
    insta::assert_snapshot!(why(decide(&given_to_node03("10.9.0.3/24"))), @"refused: by `kubernetes-internal-ip`, node03 would pick 10.0.0.3/24 on eth0, and not 10.9.0.3/24, which it is given before this");
}

#[test]
fn what_the_rollout_may_do_to_others_is_unknown_until_allowed() {
    let of = |edit: fn(&mut Seen)| {
        let mut s = seen(NODE, "RollingUpdate", auto(None));
        edit(&mut s);
        why(decide(&s))
    };
    let pick = |seen: &mut Seen, pick: Pick| seen.nodes[1].pick = pick;
    let _ = pick;
    let all = [
        of(|s| s.nodes[1].content = true),
        of(|s| s.nodes[0].node.ready = false),
        of(|s| {
            s.nodes[1].pick = Pick::Nothing {
                why: "it has no such link".into(),
            }
        }),
        of(|s| {
            s.nodes[1].pick = Pick::Unknown {
                why: "node03 does not answer".into(),
            }
        }),
        of(|s| {
            s.nodes[1].pick = Pick::Ends {
                why: "it knows no such method".into(),
            }
        }),
        // It goes on to be wrong, and another becomes wrong.
        of(|s| s.nodes[1] = looked("node03", "10.0.0.3", Some("172.18.0.1/16"), "172.18.0.1/16")),
        of(|s| s.nodes[0] = looked("node01", "10.0.0.1", Some("10.0.0.1/24"), "172.18.0.1/16")),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    unknown: node03 advertises 172.18.0.1/16 and not its InternalIP, and its sessions are established: it would lose that address
    unknown: node01 not Ready: calico-node does not come up anew there, and the rollout may stop at it
    unknown: node03 finds nothing by it: it has no such link
    unknown: what node03 picks is not known: node03 does not answer
    refused: calico-node would end at its start on node03: it knows no such method
    unknown: node03 would go on to advertise 172.18.0.1/16, which is not its InternalIP
    unknown: node01 would pick 172.18.0.1/16 on ens9, which is not its InternalIP
    ");
}

#[test]
fn the_operators_installation_gets_the_method_and_loses_the_other() {
    let mut s = seen(NODE, "RollingUpdate", auto(Some("first-found")));
    s.install.operator = Installation::new(json!({
        "metadata": {"name": "default", "uid": "i"},
        "spec": {"calicoNetwork": {"bgp": "Enabled", "nodeAddressAutodetectionV4": {"firstFound": true}}},
    }));
    let change = changed(decide(&s));
    let compiled = action().compile(change);
    insta::assert_json_snapshot!((&compiled.effects, &compiled.details), @r#"
    [
      [
        {
          "effect": "set_fields",
          "object": {
            "api_version": "operator.tigera.io/v1",
            "kind": "Installation",
            "resource": "installations",
            "name": "default",
            "uid": "i"
          },
          "fields": [
            {
              "path": [
                {
                  "key": "spec"
                },
                {
                  "key": "calicoNetwork"
                },
                {
                  "key": "nodeAddressAutodetectionV4"
                }
              ],
              "before": {
                "firstFound": true
              },
              "after": {
                "kubernetes": "NodeInternalIP"
              }
            }
          ]
        }
      ],
      [
        {
          "subject": "Installation default: spec.calicoNetwork.nodeAddressAutodetectionV4",
          "before": "first-found",
          "after": "kubernetes-internal-ip",
          "after_is": "the InternalIP that kubelet registered"
        }
      ]
    ]
    "#);
    let installed = |method: &str| {
        let mut s = seen(NODE, "RollingUpdate", auto(Some(method)));
        s.install.operator = Installation::new(json!({
            "metadata": {"name": "default", "uid": "i"},
            "spec": {"calicoNetwork": {"nodeAddressAutodetectionV4": {"kubernetes": "NodeInternalIP"}}},
        }));
        s
    };
    assert!(why(decide(&installed("kubernetes-internal-ip"))).starts_with("no change"));
    match decide(&installed("first-found")) {
        Decision::Unknown {
            why,
            otherwise: None,
        } => assert!(why.contains("does not run"), "{why}"),
        other => panic!("{other:?}"),
    }
    insta::assert_snapshot!(compiled.follows[0], @"Calico's operator writes it into DaemonSet kube-system/calico-node, whose controller replaces the calico-node pods of all 3 nodes, 1 at a time");
}
