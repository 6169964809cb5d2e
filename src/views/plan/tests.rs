use super::*;
use crate::journal::test_events;
use crate::model::{Actor, ClusterId, Effect, ObjectRef, Risk};

fn detail() -> Detail {
    Detail {
        subject: "Node node02: annotation projectcalico.org/IPv4Address".into(),
        before: Some("172.18.0.1/16".into()),
        before_is: "on ens9 (dummy, up); not what kubelet registered".into(),
        after: Some("10.0.0.2/24".into()),
        after_is: "its InternalIP, with the prefix of its link eth0".into(),
        lines: vec![],
    }
}

fn change(predicted: bool, undo: UndoClass) -> Verdict {
    Verdict::Change {
        effects: vec![Effect::SetFields {
            object: ObjectRef::node_for_test("node02"),
            fields: vec![],
        }],
        details: vec![detail()],
        follows: vec![
            "its controller replaces the calico-node pods of all 3 nodes, 1 at a time".into(),
        ],
        undo,
        predicted: predicted.then(|| "an earlier step may have done it".into()),
        heals: Some("node02 advertises 172.18.0.1/16, which is not its own address".into()),
    }
}

fn step(id: &str, scope: Scope, verdict: Verdict) -> PlannedStep {
    PlannedStep {
        name: format!("Do {id}"),
        uses: "x.y".into(),
        ..test_events::step(id, scope, verdict)
    }
}

fn plan(steps: Vec<PlannedStep>) -> Plan {
    Plan {
        schema: Plan::SCHEMA.into(),
        engine: "0".into(),
        kind: PlanKind::Apply,
        runbook: "fix".into(),
        summary: "Fix it".into(),
        runbook_digest: String::new(),
        params: serde_json::Map::new(),
        risk: Risk::Medium,
        cluster: ClusterId {
            context: "lab".into(),
            server: "https://10.0.0.1:6443".into(),
            uid: "c-1".into(),
        },
        actor: Actor {
            user: "ann".into(),
            host: "desk".into(),
        },
        targets: vec![Target::node("node02", "u")],
        steps,
        secrets: Default::default(),
    }
}

fn rendered(plan: &Plan) -> String {
    console::set_colors_enabled_stderr(false);
    render_plan(plan)
}

fn node02() -> Scope {
    Scope::Target(Target::node("node02", "u"))
}

#[test]
fn a_plan_that_changes_things() {
    let mut address = step("address", node02(), change(false, UndoClass::Exact));
    address.notes = vec!["Someone \u{1b}[2Jelse manages this too".into()];
    let plan = plan(vec![
        address,
        step(
            "method",
            Scope::Run,
            change(
                true,
                UndoClass::BestEffort {
                    lost: "order".into(),
                },
            ),
        ),
        step(
            "restart",
            node02(),
            change(
                true,
                UndoClass::None {
                    why: "nothing to put back".into(),
                },
            ),
        ),
        step(
            "mesh",
            Scope::Run,
            Verdict::Check {
                expects: "all 3 nodes see every peer established".into(),
                except: vec![],
            },
        ),
    ]);
    insta::assert_snapshot!(rendered(&plan), @r"
    fix: Fix it

      nodes    node02
      cluster  lab (https://10.0.0.1:6443), uid c-1
      as       ann@desk
      risk     medium

    node02
      ~ address    Do address  exact
          Node node02: annotation projectcalico.org/IPv4Address
            - 172.18.0.1/16  (on ens9 (dummy, up); not what kubelet registered)
            + 10.0.0.2/24  (its InternalIP, with the prefix of its link eth0)
          then its controller replaces the calico-node pods of all 3 nodes, 1 at a time
          undo: exact
          note: Someone \u{1b}[2Jelse manages this too

    once for the run
      ~ method     Do method  predicted
          an earlier step may have done it
          Node node02: annotation projectcalico.org/IPv4Address
            - 172.18.0.1/16  (on ens9 (dummy, up); not what kubelet registered)
            + 10.0.0.2/24  (its InternalIP, with the prefix of its link eth0)
          then its controller replaces the calico-node pods of all 3 nodes, 1 at a time
          undo: best effort: order

    node02
      ~ restart    Do restart  predicted
          an earlier step may have done it
          Node node02: annotation projectcalico.org/IPv4Address
            - 172.18.0.1/16  (on ens9 (dummy, up); not what kubelet registered)
            + 10.0.0.2/24  (its InternalIP, with the prefix of its link eth0)
          then its controller replaces the calico-node pods of all 3 nodes, 1 at a time
          undo: none: nothing to put back

    once for the run
      ○ mesh       Do mesh  reads only
          reads until all 3 nodes see every peer established

    1 step changes something. 2 more may, as predicted.
    Undo brings the fault back as well: node02 advertises 172.18.0.1/16, which is not its own address;
    node02 advertises 172.18.0.1/16, which is not its own address; node02 advertises 172.18.0.1/16,
    which is not its own address.
    If a step up to `method` certainly fails, what was done is taken back by itself. After that, or
    where it is not certain, or where a wait runs out, it stops there, and says what was done and how to
    go on or back.
    It can be taken back for as long as its journal is kept: `runbook history prune` removes runs that
    are older than 90 days, unless told otherwise.
    ");
}

#[test]
fn what_becomes_of_a_drain_that_fails_is_said() {
    let evicts = || Effect::EvictPod {
        pod: ObjectRef::for_test("v1", "Pod", "shop", "a"),
        node: "node02".into(),
        grace: None,
        deletes: false,
        owner: None,
        loses: vec![],
    };
    let drain = |cordons: bool| {
        let undo = UndoClass::BestEffort { lost: "x".into() };
        let mut verdict = change(false, undo);
        if let Verdict::Change { effects, .. } = &mut verdict {
            effects.truncate(usize::from(cordons));
            effects.push(evicts());
        }
        PlannedStep {
            evicts: true,
            ..step("drain", node02(), verdict)
        }
    };
    let label = || step("label", node02(), change(false, UndoClass::Exact));
    let stops = PlannedStep {
        on_failure: OnFailure::Stop,
        ..drain(true)
    };
    let said = [
        vec![drain(true)],
        vec![drain(false)],
        vec![label(), drain(false)],
        vec![stops],
    ];
    let said = said.map(|steps| failure_words(&plan(steps))).join("\n");
    insta::assert_snapshot!(said, @"
    If `drain` certainly fails before a pod is evicted, what was done is taken back by itself. Otherwise it stops there, and says what was done and how to go on or back.
    If a step fails, it stops there, and says what was done and how to go on or back.
    If a step up to `drain` certainly fails, and no pod is evicted yet, what was done is taken back by itself. Otherwise it stops there, and says what was done and how to go on or back.
    If a step fails, it stops there, and says what was done and how to go on or back.
    ");
}

#[test]
fn a_plan_with_nothing_to_do() {
    let plan = plan(vec![
        step(
            "address",
            node02(),
            Verdict::NoChange {
                why: "it is right".into(),
            },
        ),
        step(
            "mesh",
            Scope::Run,
            Verdict::NoChange {
                why: "all see all".into(),
            },
        ),
    ]);
    insta::assert_snapshot!(rendered(&plan), @"
    fix: Fix it

      nodes    node02
      cluster  lab (https://10.0.0.1:6443), uid c-1
      as       ann@desk
      risk     medium

    node02
      = address    Do address  no change
          it is right

    once for the run
      = mesh       Do mesh  no change
          all see all

    Nothing to change.
    ");
}

#[test]
fn a_plan_that_is_refused_or_unknown() {
    let plan = plan(vec![
        step(
            "address",
            node02(),
            Verdict::Unknown {
                why: "it cannot be told".into(),
                otherwise: Some(Box::new(change(false, UndoClass::Exact))),
            },
        ),
        step(
            "mesh",
            Scope::Run,
            Verdict::Refused {
                why: "the path is at fault".into(),
                next: Some("look at it".into()),
            },
        ),
    ]);
    insta::assert_snapshot!(rendered(&plan), @"
    fix: Fix it

      nodes    node02
      cluster  lab (https://10.0.0.1:6443), uid c-1
      as       ann@desk
      risk     medium

    node02
      ? address    Do address  unknown
          it cannot be told
          if you allow it:
          Node node02: annotation projectcalico.org/IPv4Address
            - 172.18.0.1/16  (on ens9 (dummy, up); not what kubelet registered)
            + 10.0.0.2/24  (its InternalIP, with the prefix of its link eth0)
          then its controller replaces the calico-node pods of all 3 nodes, 1 at a time
          undo: exact

    once for the run
      ! mesh       Do mesh  refused
          the path is at fault
          next: look at it

    No step changes something for certain. 1 step is refused: nothing will be done. 1 unknown.
    ");
}

#[test]
fn an_undo_says_what_it_leaves_alone() {
    let mut plan = plan(vec![
        step("method", Scope::Run, change(false, UndoClass::Exact)),
        step(
            "address",
            node02(),
            Verdict::Refused {
                why: "it is no longer what the run left".into(),
                next: None,
            },
        ),
    ]);
    plan.kind = PlanKind::Undo {
        of: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        only: None,
    };
    plan.targets.push(Target::node("node03", "u3"));
    insta::assert_snapshot!(rendered(&plan), @"
    undo fix: Fix it

      nodes    node02, node03
      cluster  lab (https://10.0.0.1:6443), uid c-1
      as       ann@desk
      risk     medium

    once for all 2 nodes
      ~ method     Do method  exact
          Node node02: annotation projectcalico.org/IPv4Address
            - 172.18.0.1/16  (on ens9 (dummy, up); not what kubelet registered)
            + 10.0.0.2/24  (its InternalIP, with the prefix of its link eth0)
          then its controller replaces the calico-node pods of all 3 nodes, 1 at a time
          undo: exact

    node02
      ! address    Do address  refused
          it is no longer what the run left

    1 step changes something. 1 left alone.
    ");
}

#[test]
fn what_is_decided_later_is_said_with_what_it_comes_to() {
    let target = Scope::Target(Target::node("node02", "u"));
    let later = PlannedStep {
        notes: vec!["a.b becomes 5".into()],
        ..step("values", target, Verdict::Late)
    };
    let text = render_plan(&plan(vec![later]));
    assert!(!text.contains("Nothing to change"), "{text}");
    let end = text.split("node02\n").last().unwrap();
    insta::assert_snapshot!(end, @"
      ? values     Do values  later
          it is decided when its turn comes, and done then
          note: a.b becomes 5

    No step changes something for certain. 1 is decided when its turn comes.
    ");
}
