use super::*;
use crate::model::Scope;

fn node(name: &str, internal: &str, advertised: Option<&str>) -> MeshNode {
    crate::calico::test_node(name, internal, advertised)
}

fn links() -> Vec<Link> {
    crate::calico::parse_links(
        r#"[{"ifindex":1,"ifname":"lo","flags":["UP"],"operstate":"UNKNOWN","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
        {"ifindex":2,"ifname":"eth0","flags":["UP"],"operstate":"UP","addr_info":[{"local":"10.0.0.2","prefixlen":24},{"local":"fd00::2","prefixlen":64}]},
        {"ifindex":9,"ifname":"ens9","flags":["UP"],"operstate":"UNKNOWN","linkinfo":{"info_kind":"dummy"},"addr_info":[{"local":"172.18.0.1","prefixlen":16},{"local":"fd99::1","prefixlen":64}]}]"#,
    )
    .unwrap()
}

fn down(to: &str) -> SessionFault {
    SessionFault {
        from: "node02".into(),
        to: to.into(),
        state: "start Passive".into(),
        strays: vec!["node02".into()],
        unread: false,
        family: (!to.is_empty()).then(|| match to.contains(':') {
            true => Family::Ipv6,
            false => Family::Ipv4,
        }),
    }
}

/// node02 advertises `advertised`; it has 10.0.0.2/24 on eth0 and one session is down.
fn seen(advertised: Option<&str>) -> Seen {
    Seen {
        node: node("node02", "10.0.0.2", advertised),
        links: links(),
        place: Kept::Annotation,
        faults: vec![down("node01 (10.0.0.1)")],
        others: vec![
            node("node01", "10.0.0.1", Some("10.0.0.1/24")),
            node("node03", "10.0.0.3", Some("172.18.0.2/16")),
        ],
        docker: None,
        detection: Some(Detection::Method("first-found".into())),
        works: false,
        alone: true,
        namespace: "kube-system".into(),
    }
}

fn action(address: &str, family: Family) -> NodeAddress {
    NodeAddress::new(Args {
        address: address.into(),
        family,
    })
    .unwrap()
}

fn usual() -> NodeAddress {
    action("internal_ip", Family::Ipv4)
}

fn decide_by(action: &NodeAddress, seen: &Seen) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    action.decide(seen, place, Prior { steps: &[] })
}

fn decide(seen: &Seen) -> Decision<Change> {
    decide_by(&usual(), seen)
}

fn why(decision: Decision<Change>) -> String {
    match decision {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Unknown { why, otherwise } => {
            assert!(matches!(otherwise.as_deref(), Some(Decision::Change(_))));
            format!("unknown: {why}")
        }
        Decision::Refuse { why, next } => {
            format!("refused: {why} ({})", next.unwrap_or_default())
        }
        Decision::Change(change) => format!(
            "change: {} to {} ({})",
            change.before, change.after.cidr, change.after.is
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stray_address_becomes_the_nodes_own() {
    let Decision::Change(change) = decide(&seen(Some("172.18.0.1/16"))) else {
        panic!()
    };
    let compiled = usual().compile(change);
    insta::assert_json_snapshot!(compiled.effects, @r#"
    [
      {
        "effect": "set_fields",
        "object": {
          "api_version": "v1",
          "kind": "Node",
          "resource": "nodes",
          "name": "node02",
          "uid": "uid-node02"
        },
        "fields": [
          {
            "path": [
              {
                "key": "metadata"
              },
              {
                "key": "annotations"
              },
              {
                "key": "projectcalico.org/IPv4Address"
              }
            ],
            "before": "172.18.0.1/16",
            "after": "10.0.0.2/24"
          }
        ]
      }
    ]
    "#);
    insta::assert_json_snapshot!(compiled.details, @r#"
    [
      {
        "subject": "Node node02: annotation projectcalico.org/IPv4Address",
        "before": "172.18.0.1/16",
        "before_is": "on ens9 (dummy, up); not what kubelet registered",
        "after": "10.0.0.2/24",
        "after_is": "its InternalIP, with the prefix of its link eth0"
      }
    ]
    "#);
    assert_eq!(compiled.undo, UndoClass::Exact);
    assert!(compiled.heals.unwrap().contains("172.18.0.1/16"));
}

#[test]
fn in_calicos_own_datastore_calicoctl_puts_it() {
    let mut seen = seen(Some("172.18.0.1/16"));
    seen.node.calico_name = "cloud02".into();
    seen.place = Kept::Store(
        Setting::CalicoNode {
            node: "cloud02".into(),
            field: "ipv4Address".into(),
            endpoints: "https://10.0.0.1:2379".into(),
        }
        .of(&HostRef {
            node: "node02".into(),
            machine_id: "m".into(),
            identity: Identity::root(),
        }),
    );
    let Decision::Change(change) = decide(&seen) else {
        panic!()
    };
    let compiled = usual().compile(change);
    insta::assert_json_snapshot!((&compiled.effects, &compiled.details[0].subject), @r#"
    [
      [
        {
          "effect": "put_setting",
          "setting": {
            "host": {
              "node": "node02",
              "machine_id": "m"
            },
            "setting": "calico_node",
            "node": "cloud02",
            "field": "ipv4Address",
            "endpoints": "https://10.0.0.1:2379"
          },
          "before": "is 172.18.0.1/16",
          "after": "is 10.0.0.2/24"
        }
      ],
      "ipv4Address of Calico's node cloud02, by calicoctl on node02"
    ]
    "#);
    assert_eq!(compiled.undo, UndoClass::Exact);
}

#[test]
fn its_own_address_is_left_alone_whatever_the_sessions() {
    insta::assert_snapshot!(why(decide(&seen(Some("10.0.0.2/24")))), @"no change: it advertises 10.0.0.2/24, its InternalIP on eth0");
    // Another prefix is no other address.
    assert!(why(decide(&seen(Some("10.0.0.2/32")))).starts_with("no change"));
}

#[test]
fn another_address_that_works_is_no_fault() {
    let mut seen = seen(Some("10.9.0.2/24"));
    seen.faults.clear();
    insta::assert_snapshot!(why(decide(&seen)), @"no change: it advertises 10.9.0.2/24 and not its InternalIP 10.0.0.2, and all its sessions are established: that is no fault");
    // What is at fault in the other family says nothing of this one.
    seen.faults = vec![down("node01 (fd00::1)")];
    assert!(why(decide(&seen)).starts_with("no change"));
}

#[test]
fn where_nobody_can_see_the_sessions_it_is_not_taken_for_a_fault() {
    let mut s = seen(Some("172.18.0.1/16"));
    s.faults = vec![SessionFault {
        to: String::new(),
        state: "calicoctl is not there".into(),
        unread: true,
        ..down("")
    }];
    insta::assert_snapshot!(why(decide(&s)), @"unknown: whether its sessions are established cannot be read, and an address that works is no fault: node02: calicoctl is not there");
    // What another node sees is enough.
    s.faults.push(down("node01 (10.0.0.1)"));
    assert!(matches!(decide(&s), Decision::Change(_)));
}

#[test]
fn what_cannot_be_told_is_not_guessed() {
    insta::assert_snapshot!(why(decide(&seen(None))), @"refused: node02 advertises no IPv4 address: calico-node has not come up there, or gave its address up as another node has it (look at its log: kubectl logs -n kube-system -l k8s-app=calico-node --prefix)");
    let mut s = seen(Some("172.18.0.1/16"));
    s.node.internal_ips = vec!["10.0.0.7".parse().unwrap()];
    insta::assert_snapshot!(why(decide(&s)), @"refused: node02: its InternalIP 10.0.0.7 is on none of its links: kubelet registered an address that the host does not have (name the right one (--param address=…): 10.0.0.2/24 on eth0, or 172.18.0.1/16 on ens9 (no other node is in its network (they are in 10.0.0.0/24)))");
    let asked = usual().ask(&s, &decide(&s)).unwrap();
    assert_eq!(asked.argument, "address");
    assert_eq!(
        asked.among[0],
        ("10.0.0.2".to_owned(), "10.0.0.2/24 on eth0".to_owned())
    );
    assert_eq!(asked.among.len(), 2);
    s.links.clear();
    assert!(why(decide(&s)).ends_with("(look at kubelet's --node-ip and at the host's links)"));
    assert_eq!(usual().ask(&s, &decide(&s)), None);
    // Another has it, and is the one at fault.
    let mut s = seen(Some("172.18.0.1/16"));
    s.others[0] = node("node01", "10.0.0.1", Some("10.0.0.2/24"));
    let refused = why(decide(&s));
    assert!(refused.contains("it is node01's"), "{refused}");
    assert!(
        refused.ends_with("(runbook plan fix-bgp-wrong-ip --node node01)"),
        "{refused}"
    );
    assert_eq!(usual().ask(&s, &decide(&s)), None);
    let mut s = seen(Some("172.18.0.1/16"));
    s.node.internal_ips = vec!["10.0.0.7".parse().unwrap()];
    s.alone = false;
    assert_eq!(usual().ask(&s, &decide(&s)), None);
    let mut s = seen(Some("172.18.0.1/16"));
    s.others[0] = node("node01", "10.0.0.1", Some("172.18.0.3/16"));
    insta::assert_snapshot!(why(decide(&s)), @"unknown: no node at all advertises its InternalIP: the mesh may have a network of its own, and then 10.0.0.2/24 would be wrong");
}

#[test]
fn what_is_its_own_is_left_alone_whatever_speaks_against_it() {
    // One node in each network: no other is in its own.
    let mut s = seen(Some("10.0.0.2/24"));
    s.others[0] = node("node01", "10.1.0.1", Some("10.1.0.1/24"));
    s.others.pop();
    assert!(why(decide(&s)).starts_with("no change: it advertises 10.0.0.2/24"));
}

#[test]
fn an_address_with_which_sessions_are_established_may_be_right() {
    let mut s = seen(Some("172.18.0.1/16"));
    s.works = true;
    insta::assert_snapshot!(why(decide(&s)), @"unknown: some of its sessions are established with 172.18.0.1/16, and so the address may be the right one: node02 → node01 (10.0.0.1): start Passive");
}

#[test]
fn a_family_that_is_not_used_is_no_fault() {
    let mut s = seen(None);
    s.detection = Some(Detection::Off);
    insta::assert_snapshot!(why(decide(&s)), @"no change: it advertises no IPv4 address: Calico uses none there");
    let mut s = seen(None);
    s.node.advertised_v6 = Some("fd00::2/64".into());
    s.node.internal_ips = vec!["fd00::2".parse().unwrap()];
    assert!(why(decide(&s)).starts_with("no change"));
    // An IPv6 address that is to be found and is not there has been lost.
    let mut s = seen(Some("10.0.0.2/24"));
    s.node.internal_ips.push("fd00::2".parse().unwrap());
    let six = action("internal_ip", Family::Ipv6);
    assert!(why(decide_by(&six, &s)).starts_with("refused: node02 advertises no IPv6 address"));
}

#[test]
fn what_is_no_address_may_not_come_back() {
    let Decision::Change(change) = decide(&seen(Some("nonsense"))) else {
        panic!()
    };
    assert!(matches!(
        usual().compile(change).undo,
        UndoClass::BestEffort { .. }
    ));
}

#[test]
fn what_is_named_is_done_and_what_speaks_against_it_is_noted() {
    let named = |text: &str, s: &Seen| {
        let action = action(text, Family::Ipv4);
        let decision = decide_by(&action, s);
        let notes = action.notes(s, &decision).join(" ");
        format!("{}; {notes}", why(decision))
    };
    let s = seen(Some("172.18.0.1/16"));
    let all = ["10.0.0.2", "172.18.0.1", "10.0.0.1/24", "10.0.0.50"]
        .map(|text| format!("{text}: {}", named(text, &s)));
    insta::assert_snapshot!(all.join("\n"), @"
    10.0.0.2: change: 172.18.0.1/16 to 10.0.0.2/24 (named, and on its link eth0); 
    172.18.0.1: no change: it advertises 172.18.0.1/16, named, and on its link ens9; 
    10.0.0.1/24: change: 172.18.0.1/16 to 10.0.0.1/24 (named, and on none of its links); 10.0.0.1/24 was named, although it is on none of the host's links. 10.0.0.1/24 was named, although it is node01's.
    10.0.0.50: refused: node02: 10.0.0.50 is on none of the host's links, and so nobody can tell its prefix: give it too, such as 10.0.0.50/24 (look at kubelet's --node-ip and at the host's links); 
    ");
    // Named, it counts although all sessions are established, and although nobody has what is its own.
    let mut content = seen(Some("172.18.0.1/16"));
    content.faults.clear();
    content.others[0] = node("node01", "10.0.0.1", Some("172.18.0.3/16"));
    assert!(named("10.0.0.2", &content).starts_with("change"));
    for wrong in ["fd00::1", "nonsense", "", "10.0.0.5/99"] {
        let args = Args {
            address: wrong.into(),
            family: Family::Ipv4,
        };
        assert!(NodeAddress::new(args).is_err(), "{wrong}");
    }
}

#[test]
fn ipv6_is_healed_beside_ipv4() {
    let six = action("internal_ip", Family::Ipv6);
    let decide = |s: &Seen| why(decide_by(&six, s));
    let mut s = seen(Some("10.0.0.2/24"));
    s.detection = Some(Detection::Kept);
    insta::assert_snapshot!(decide(&s), @"no change: it advertises no IPv6 address: Calico uses none there");
    s.node.advertised_v6 = Some("fd99::1/64".into());
    s.faults = vec![down("node01 (fd00::1)")];
    s.others[0].advertised_v6 = Some("fd00::1/64".into());
    s.others[0].internal_ips.push("fd00::1".parse().unwrap());
    s.node.internal_ips.push("fd00::2".parse().unwrap());
    insta::assert_snapshot!(decide(&s), @"change: fd99::1/64 to fd00::2/64 (its InternalIP, with the prefix of its link eth0)");
    let Decision::Change(change) = decide_by(&six, &s) else {
        panic!()
    };
    assert!(
        six.compile(change).details[0]
            .subject
            .ends_with("IPv6Address")
    );
    // Where kubelet registered none, what works is left alone, and what does not is asked for.
    s.node.internal_ips.pop();
    s.faults.clear();
    assert!(decide(&s).starts_with("no change: it advertises fd99::1/64"));
    s.faults = vec![down("node01 (fd00::1)")];
    assert!(
        decide(&s).starts_with("refused: node02: kubelet registered no IPv6 InternalIP for it")
    );
}

#[test]
fn whose_bridge_it_is_is_said_and_nothing_is_done_about_it() {
    let link = |name: &str| Link {
        name: name.into(),
        ..links()[2].clone()
    };
    for (name, is) in [
        ("br-6c1f0b0e3a5d", true),
        ("docker0", true),
        ("br-6c1f0b0e3a5", false),
        ("br-lan", false),
        ("ens9", false),
    ] {
        assert_eq!(is_dockers(&link(name)), is, "{name}");
    }
    let bridge = link("br-6c1f0b0e3a5d");
    let of = |network: &str, containers: &[&str]| DockerNetwork::Is {
        network: network.into(),
        containers: containers.iter().map(|c| (*c).to_owned()).collect(),
    };
    let notes = [
        of("shop_default", &["web", "db"]),
        of("old", &[]),
        DockerNetwork::Unknown,
        DockerNetwork::Silent("there is no docker program".into()),
    ]
    .map(|docker| docker_note(&bridge, &docker).unwrap());
    insta::assert_snapshot!(notes.join("\n"), @"
    br-6c1f0b0e3a5d is docker's network shop_default, with the containers web, db. Where nobody needs it: docker network rm shop_default. It is not done here.
    br-6c1f0b0e3a5d is docker's network old, with no running container. Where nobody needs it: docker network rm old. It is not done here.
    br-6c1f0b0e3a5d is named as docker names its bridges, and docker knows no such network: it is left over. Where nobody needs it: ip link delete br-6c1f0b0e3a5d. It is not done here.
    br-6c1f0b0e3a5d is named as docker names its bridges, and docker does not tell whose it is: there is no docker program.
    ");
}

#[test]
fn a_cluster_of_one_has_no_neighbour_to_ask() {
    let mut s = seen(Some("172.18.0.1/16"));
    s.others.clear();
    assert!(matches!(decide(&s), Decision::Change(_)));
}

#[test]
fn an_address_that_is_none_is_replaced() {
    assert!(matches!(
        decide(&seen(Some("nonsense"))),
        Decision::Change(_)
    ));
}
