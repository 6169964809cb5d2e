use super::super::setting::Setting;
use super::*;
use serde_json::json;

fn node() -> ObjectRef {
    ObjectRef {
        uid: "u-2".into(),
        ..ObjectRef::node_for_test("node02")
    }
}

fn address(before: Option<&str>, after: Option<&str>) -> Effect {
    Effect::SetFields {
        object: node(),
        fields: vec![FieldChange {
            path: FieldPath::annotation("projectcalico.org/IPv4Address"),
            before: before.map(Value::from),
            after: after.map(Value::from),
        }],
    }
}

fn node_with(uid: &str, address: Option<&str>) -> Value {
    match address {
        Some(a) => {
            json!({"metadata": {"uid": uid, "annotations": {"projectcalico.org/IPv4Address": a}}})
        }
        None => json!({"metadata": {"uid": uid}}),
    }
}

#[test]
fn fields_tell_whether_they_were_written() {
    let effect = address(Some("172.18.0.1/16"), Some("10.0.0.2/24"));
    let stands = |now: Option<&Value>| effect.standing_of(now);
    assert_eq!(
        stands(Some(&node_with("u-2", Some("172.18.0.1/16")))),
        Standing::Before
    );
    assert_eq!(
        stands(Some(&node_with("u-2", Some("10.0.0.2/24")))),
        Standing::After
    );
    let Standing::Other { now } = stands(Some(&node_with("u-2", Some("10.9.9.9/24")))) else {
        panic!()
    };
    insta::assert_snapshot!(now, @"metadata.annotations[projectcalico.org/IPv4Address] is 10.9.9.9/24");
    assert!(matches!(
        stands(Some(&node_with("u-2", None))),
        Standing::Other { .. }
    ));
    assert!(matches!(stands(None), Standing::Other { .. }));
    // The same name and value, but another node.
    assert!(matches!(
        stands(Some(&node_with("u-9", Some("10.0.0.2/24")))),
        Standing::Other { .. }
    ));
}

#[test]
fn the_inverse_swaps_before_and_after() {
    let effect = address(None, Some("10.0.0.2/24"));
    let back = effect.inverse().unwrap();
    assert_eq!(back, address(Some("10.0.0.2/24"), None));
    assert_eq!(back.inverse().unwrap(), effect);
    assert_eq!(
        back.standing_of(Some(&node_with("u-2", None))),
        Standing::After
    );
}

#[test]
fn a_program_is_told_by_its_check() {
    let run = |programs: Programs| Effect::RunProgram {
        programs: Box::new(programs),
    };
    let programs = Programs::for_test;
    let effect = run(programs());
    let is = |done| Now::Program(ProgramNow::Is { done });
    let unclear = Now::Program(ProgramNow::Unclear("cut".into()));
    assert_eq!(effect.standing(&is(true)), Standing::After);
    assert_eq!(effect.standing(&is(false)), Standing::Before);
    let why = "cut".to_owned();
    assert_eq!(effect.standing(&unclear), Standing::Unclear { why });
    assert!(matches!(
        effect.standing(&Now::Object(None)),
        Standing::Other { .. }
    ));

    let back = effect.inverse().unwrap();
    assert_eq!(back.standing(&is(true)), Standing::Before);
    assert_eq!(back.standing(&is(false)), Standing::After);
    assert_eq!(back.inverse().unwrap(), effect);
    assert_eq!(effect.done_to(is(false)), is(true));
    assert_eq!(back.done_to(is(true)), is(false));
    let blind = run(Programs {
        blind: true,
        ..programs()
    });
    assert_eq!(effect.over(&unclear), Some(blind));
    assert_eq!(back.blind_inverse().unwrap().inverse().unwrap(), back);
    assert_eq!(
        effect.standing(&Now::Program(ProgramNow::Begun)),
        Standing::Before
    );
    let put_back = Now::Program(ProgramNow::PutBack(Fault::definite("put_back", "x")));
    assert!(matches!(
        effect.standing(&put_back),
        Standing::PutBack { .. }
    ));
    assert_eq!(back.standing(&put_back), Standing::After);
    // Nobody puts back by himself what an undo does.
    let armed = run(Programs {
        put_back_after: Some(60),
        ..programs()
    });
    assert_eq!(armed.inverse().unwrap(), back);
    assert_eq!(effect.over(&Now::Object(None)), None);
    assert_eq!(effect.subject().to_string(), "`apply` on node02");

    let no_undo = run(Programs {
        undo: None,
        ..programs()
    });
    assert_eq!(no_undo.inverse(), None);
    let blind = Programs {
        check: None,
        ..programs()
    };
    assert!(effect.can_be_verified());
    assert!(run(blind.clone()).can_be_verified());
    // What verifies it there says nothing on the way back.
    assert!(!run(blind.inverse().unwrap()).can_be_verified());
    assert!(
        !run(Programs {
            verify: None,
            ..blind
        })
        .can_be_verified()
    );
}

fn replace() -> Effect {
    Effect::ReplacePod {
        pod: ObjectRef {
            kind: "Pod".into(),
            resource: "pods".into(),
            namespace: Some("kube-system".into()),
            name: "calico-node-x".into(),
            uid: "p-1".into(),
            ..node()
        },
        owner: "ds".into(),
        node: "node02".into(),
    }
}

#[test]
fn a_pod_is_replaced_when_it_is_gone_ending_or_another() {
    let effect = replace();
    let pod = |uid: &str| json!({"metadata": {"uid": uid}});
    assert_eq!(effect.standing_of(Some(&pod("p-1"))), Standing::Before);
    assert_eq!(effect.standing_of(Some(&pod("p-2"))), Standing::After);
    assert_eq!(effect.standing_of(None), Standing::After);
    let mut ending = pod("p-1");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(effect.standing_of(Some(&ending)), Standing::After);
    assert_eq!(effect.inverse(), None);
    assert_eq!(effect.on_object().unwrap().1, Verb::Delete);
    assert!(!effect.rolls_pods());
}

#[test]
fn a_successor_counts_when_it_is_the_owners_on_that_node_and_runs() {
    let Effect::ReplacePod { pod: gone, .. } = replace() else {
        panic!()
    };
    let pod = |uid: &str, node: &str, owner: &str, running: bool, ready: &str| {
        json!({
            "metadata": {"uid": uid, "name": uid, "ownerReferences": [{"uid": owner}]},
            "spec": {"nodeName": node},
            "status": {
                "containerStatuses": [{"state": if running { json!({"running": {}}) } else { json!({"waiting": {}}) }}],
                "conditions": [{"type": "Ready", "status": ready}],
            },
        })
    };
    let look = |pods: &[Value], ready| succeeded(pods, &gone, "ds", "node02", ready);
    assert_eq!(
        look(&[pod("p-2", "node02", "ds", true, "True")], true),
        Settled::Yes
    );
    assert_eq!(
        look(&[pod("p-2", "node02", "ds", true, "False")], false),
        Settled::Yes
    );
    for (pods, ready) in [
        (vec![], false),
        (vec![pod("p-1", "node02", "ds", true, "True")], false),
        (vec![pod("p-2", "node03", "ds", true, "True")], false),
        (vec![pod("p-2", "node02", "other", true, "True")], false),
        (vec![pod("p-2", "node02", "ds", false, "False")], false),
        (vec![pod("p-2", "node02", "ds", true, "False")], true),
    ] {
        assert!(matches!(look(&pods, ready), Settled::NotYet(_)), "{pods:?}");
    }
    let mut ending = pod("p-2", "node02", "ds", true, "True");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(matches!(look(&[ending], false), Settled::NotYet(_)));
}

#[test]
fn a_setting_is_told_by_its_state() {
    let put = |setting: Setting, before: &str, after: &str| Effect::PutSetting {
        setting: SettingRef {
            host: Programs::for_test().host,
            setting,
        },
        before: SettingState::new(before),
        after: SettingState::new(after),
    };
    let now = |state: &str| Now::Setting(SettingState::new(state));
    let effect = put(
        Setting::Sysctl {
            key: "vm.swappiness".into(),
        },
        "is 60",
        "is 0",
    );
    let other = Standing::Other {
        now: "it is 10".into(),
    };
    for (state, standing, back) in [
        ("is 60", Standing::Before, Standing::After),
        ("is 0", Standing::After, Standing::Before),
        ("is 10", other.clone(), other),
    ] {
        assert_eq!(effect.standing(&now(state)), standing, "{state}");
        let inverse = effect.inverse().unwrap();
        assert_eq!(inverse.standing(&now(state)), back, "{state}");
        assert_eq!(inverse.inverse().unwrap(), effect);
    }
    assert_eq!(effect.done_to(now("is 60")), now("is 0"));
    assert_eq!(effect.done_to(now("is 10")), now("is 10"));
    let over = effect.over(&now("is 10")).unwrap();
    assert_eq!(over.standing(&now("is 10")), Standing::Before);
    assert_eq!(over.standing(&now("is 0")), Standing::After);
    assert_eq!(effect.over(&Now::Object(None)), None);
    assert!(matches!(
        effect.standing(&Now::Object(None)),
        Standing::Other { .. }
    ));
    assert!(effect.can_be_verified() && effect.on_object().is_none());

    // What is in use is loaded, and is not unloaded.
    let load = put(Setting::Module { name: "x".into() }, "not_loaded", "loaded");
    assert_eq!(load.standing(&now("in_use")), Standing::After);
    assert!(matches!(
        load.inverse().unwrap().standing(&now("in_use")),
        Standing::Other { .. }
    ));
}

#[test]
fn only_a_workloads_template_rolls_pods() {
    let mut object = node();
    object.kind = "DaemonSet".into();
    object.api_version = "apps/v1".into();
    let set = |path: FieldPath| Effect::SetFields {
        object: object.clone(),
        fields: vec![FieldChange {
            path,
            before: None,
            after: None,
        }],
    };
    assert!(set(FieldPath::container_env("calico-node", "IP")).rolls_pods());
    assert!(!set(FieldPath::annotation("x")).rolls_pods());
    for (kind, api_version, rolls) in [
        ("Deployment", "apps/v1", true),
        ("StatefulSet", "apps/v1", true),
        ("ReplicaSet", "apps/v1", false),
        ("Deployment", "example.com/v1", false),
    ] {
        let object = ObjectRef {
            kind: kind.into(),
            api_version: api_version.into(),
            ..object.clone()
        };
        let effect = Effect::SetFields {
            object,
            fields: vec![FieldChange {
                path: FieldPath::root().key("spec").key("template").key("x"),
                before: None,
                after: None,
            }],
        };
        assert_eq!(effect.rolls_pods(), rolls, "{kind} {api_version}");
    }
    assert!(!address(None, None).rolls_pods());
}

#[test]
fn an_object_is_made_or_deleted_as_its_uid_and_its_fields_tell() {
    let made = |uid: &str, value: &str| json!({"metadata": {"uid": uid, "name": "node02"}, "data": {"a": value}, "status": {}});
    let ending = |uid: &str| {
        let mut object = made(uid, "1");
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object
    };
    let image = || json!({"metadata": {"name": "node02"}, "data": {"a": "1"}});
    let effect = |uid: &str, before: Option<Value>, after: Option<Value>| Effect::PutObject {
        object: ObjectRef {
            uid: uid.into(),
            ..node()
        },
        before,
        after,
        propagation: Propagation::Background,
    };
    let create = effect("", None, Some(image()));
    let delete = effect("u-2", Some(image()), None);
    let back = create.inverse().unwrap();
    assert_eq!(back, effect("", Some(image()), None));
    assert_eq!(delete.inverse().unwrap(), create);
    let stands = |effect: &Effect, now: Option<Value>| match effect.standing(&Now::Object(now)) {
        Standing::Before => "before",
        Standing::After => "after",
        Standing::Other { .. } => "other",
        Standing::PutBack { .. } => "put back",
        Standing::Unclear { .. } => "unclear",
    };
    for (now, created, deleted, taken_back) in [
        (None, "before", "after", "after"),
        (Some(made("u-2", "1")), "after", "before", "before"),
        (Some(made("u-2", "2")), "other", "other", "other"),
        (Some(made("u-9", "1")), "after", "after", "before"),
        (Some(made("u-9", "2")), "other", "after", "other"),
        (Some(ending("u-2")), "other", "after", "after"),
    ] {
        assert_eq!(stands(&create, now.clone()), created, "create {now:?}");
        assert_eq!(stands(&delete, now.clone()), deleted, "delete {now:?}");
        assert_eq!(stands(&back, now.clone()), taken_back, "back {now:?}");
    }
    assert_eq!(create.on_object().unwrap().1, Verb::Create);
    assert_eq!(delete.on_object().unwrap().1, Verb::Delete);
    assert_eq!(create.over(&Now::Object(Some(made("u", "2")))), None);
    let mut image = image();
    image["data"]["a"] = json!("2");
    let forced = effect("u-9", Some(image), None);
    assert_eq!(
        back.over(&Now::Object(Some(made("u-9", "2")))),
        Some(forced)
    );
    assert_eq!(
        create.done_to(Now::Object(None)).clone(),
        Now::Object(Some(
            json!({"metadata": {"name": "node02"}, "data": {"a": "1"}})
        ))
    );
    assert_eq!(
        delete.done_to(Now::Object(Some(made("u-2", "1")))),
        Now::Object(None)
    );
    // As journals have it: what is not there is `null`, and the usual propagation is left out.
    insta::assert_snapshot!(serde_json::to_string(&back).unwrap(), @r#"{"effect":"put_object","object":{"api_version":"v1","kind":"Node","resource":"nodes","name":"node02","uid":""},"before":{"data":{"a":"1"},"metadata":{"name":"node02"}},"after":null}"#);
}

/// An undo makes it again from its image alone.
#[test]
fn what_others_added_to_a_whole_object_keeps_it_from_being_deleted() {
    let delete = |before: Value| Effect::PutObject {
        object: node(),
        before: Some(before),
        after: None,
        propagation: Propagation::Background,
    };
    let now = json!({"kind": "ConfigMap", "metadata": {"uid": "u-2", "name": "node02", "resourceVersion": "9"},
        "data": {"a": "1", "b": "2"}, "status": {"x": 1}});
    let stands = |before: Value| delete(before).standing(&Now::Object(Some(now.clone())));
    let mut image = bare(&now);
    assert_eq!(stands(image.clone()), Standing::Before);
    image["metadata"]["labels"] = json!({});
    assert_eq!(stands(image), Standing::Before);
    let Standing::Other { now: what } =
        stands(json!({"kind": "ConfigMap", "metadata": {"name": "node02"}, "data": {"a": "1"}}))
    else {
        panic!()
    };
    assert_eq!(what, "data.b is 2");
    // A map that had nothing in it.
    let empty = json!({"kind": "ConfigMap", "metadata": {"name": "node02"}});
    assert!(matches!(stands(empty), Standing::Other { .. }));
    // What cannot come back is only told by its name.
    let which = json!({"kind": "Namespace", "metadata": {"name": "node02"}});
    let labelled = json!({"kind": "Namespace", "metadata": {"name": "node02", "uid": "u-2", "labels": {"a": "b"}}});
    assert_eq!(
        delete(which).standing(&Now::Object(Some(labelled))),
        Standing::Before
    );
}

/// Undo deletes it: what others put into it would go with it.
#[test]
fn what_a_run_made_is_left_alone_where_others_put_something_into_it() {
    let manifest =
        json!({"kind": "x", "metadata": {"name": "node02"}, "data": {"a": "1"}, "spec": {}});
    let made = |uid: &str| Effect::PutObject {
        object: ObjectRef {
            uid: uid.into(),
            ..node()
        },
        before: Some(manifest.clone()),
        after: None,
        propagation: Propagation::Background,
    };
    let now = |key: &str, value: Value| {
        let mut now = manifest.clone();
        now["metadata"]["uid"] = json!("u-2");
        let (at, last) = key.rsplit_once('|').unwrap_or(("", key));
        let mut place = &mut now;
        for key in at.split('|').filter(|key| !key.is_empty()) {
            place = &mut place[key];
        }
        place[last] = value;
        Now::Object(Some(now))
    };
    for (key, value) in [
        ("data|b", json!("2")),
        ("binaryData|b", json!("2")),
        ("metadata|labels|team", json!("x")),
        ("metadata|annotations|example.com/a", json!("x")),
        ("metadata|annotations|notkubernetes.io/a", json!("x")),
        ("rules", json!([{"verbs": ["get"]}])),
        ("subjects", json!([{"kind": "User", "name": "x"}])),
    ] {
        let stands = made("").standing(&now(key, value));
        assert!(matches!(stands, Standing::Other { .. }), "{key}");
    }
    // What the API server and controllers put in by themselves.
    for (key, value) in [
        ("metadata|labels|kubernetes.io/metadata.name", json!("x")),
        (
            "metadata|annotations|deployment.kubernetes.io/revision",
            json!("1"),
        ),
        (
            "metadata|annotations|cni.projectcalico.org/podIP",
            json!("x"),
        ),
        ("spec|clusterIP", json!("10.0.0.1")),
        ("status", json!({})),
    ] {
        assert_eq!(
            made("").standing(&now(key, value)),
            Standing::Before,
            "{key}"
        );
    }
    let Standing::Other { now: what } = made("").standing(&now("data|b", json!("2"))) else {
        panic!()
    };
    assert_eq!(what, "others have put data.b into it");
    // Forced, it goes with what is there.
    let over = made("").over(&now("data|b", json!("2"))).unwrap();
    assert_eq!(over.standing(&now("data|b", json!("2"))), Standing::Before);
}

#[test]
fn a_deleted_object_stays_until_its_finalizers_let_it_go() {
    let ending =
        json!({"metadata": {"uid": "u-2", "deletionTimestamp": "t", "finalizers": ["a/b", "c/d"]}});
    let Settled::NotYet(what) = gone(&node(), &ending) else {
        panic!()
    };
    insta::assert_snapshot!(what, @"Node node02 is being deleted, and its finalizers hold it: a/b, c/d");
    let another = json!({"metadata": {"uid": "u-3", "deletionTimestamp": "t"}});
    assert_eq!(gone(&node(), &another), Settled::Yes);
}

#[test]
fn an_object_knows_its_path_and_group() {
    assert_eq!(node().path(), "/api/v1/nodes/node02");
    assert_eq!(node().group(), "");
    let daemonset = ObjectRef {
        api_version: "apps/v1".into(),
        resource: "daemonsets".into(),
        namespace: Some("kube-system".into()),
        name: "calico-node".into(),
        kind: "DaemonSet".into(),
        uid: String::new(),
    };
    assert_eq!(
        daemonset.path(),
        "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
    );
    assert_eq!(daemonset.group(), "apps");
    assert_eq!(daemonset.to_string(), "DaemonSet kube-system/calico-node");
}

#[test]
fn programs_of_ours_are_told_by_what_they_do_and_write_over_nothing() {
    let effect = Effect::RunProgram {
        programs: Box::new(Programs::own_for_test()),
    };
    assert_eq!(effect.subject().to_string(), "what is ours on node02");
    let unclear = Now::Program(ProgramNow::Unclear("cut".into()));
    assert_eq!(effect.over(&unclear), None);
    let back = effect.inverse().unwrap();
    assert_eq!(back.inverse().unwrap(), effect);
    let Effect::RunProgram { programs } = back else {
        panic!()
    };
    let own = programs.own.unwrap();
    assert_eq!(own.does[0].subject, "back");
    assert_eq!(own.undoes[0].subject, "there");
    // What was written before there were any is read as an author's.
    let old = serde_json::to_value(Programs::for_test()).unwrap();
    assert!(old.get("own").is_none());
    assert_eq!(serde_json::from_value::<Programs>(old).unwrap().own, None);
}
