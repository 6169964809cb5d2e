use super::*;
use crate::journal::test_events::{effect, plan, step};
use crate::model::{Detail, Target, UndoClass};
use proptest::prelude::*;

fn change(after: &str) -> Verdict {
    let (_, effect) = effect(after);
    Verdict::Change {
        effects: vec![effect],
        details: vec![Detail {
            subject: "shown".into(),
            ..Detail::default()
        }],
        follows: vec![],
        undo: UndoClass::Exact,
        predicted: None,
        heals: None,
    }
}

fn sample() -> Plan {
    let target = Target::node("node02", "u-2");
    let mut plan = plan();
    plan.engine = env!("CARGO_PKG_VERSION").into();
    plan.targets = vec![target.clone()];
    plan.steps = vec![PlannedStep {
        name: "One".into(),
        uses: "a.b".into(),
        with: json!({"b": 1, "a": 2}),
        ..step("one", Scope::Target(target), change("after"))
    }];
    plan
}

fn saved() -> SavedPlan {
    SavedPlan {
        plan: sample(),
        runbook_text: "text\n".into(),
        included: BTreeMap::new(),
        allowed: vec![StepId::new("one").unwrap()],
    }
}

fn parse(text: &str) -> Result<SavedPlan, Fault> {
    SavedPlan::parse(text, Path::new("plan.json"))
}

#[test]
fn a_plan_survives_its_file() {
    let text = saved().to_text().unwrap();
    assert_eq!(parse(&text).unwrap(), saved());
    assert!(saved().check_engine().is_ok());
    // Reformatting changes nothing that it says.
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parse(&value.to_string()).unwrap(), saved());
}

/// Which pods are on a node, and which controllers lack some, is no part of what was approved.
#[test]
fn pods_that_come_and_go_change_no_plan_of_a_drain() {
    let with = |uses: &str, verdict: Verdict| {
        let mut plan = sample();
        plan.steps[0].uses = uses.into();
        plan.steps[0].verdict = verdict;
        digest(&plan)
    };
    let nothing = || Verdict::NoChange {
        why: "no pod has a controller".into(),
    };
    let check = |items: &[&str]| Verdict::Check {
        expects: "their controllers have as many ready pods as they are to have".into(),
        except: items
            .iter()
            .map(|item| crate::model::Exception {
                node: "node02".into(),
                item: Some((*item).into()),
            })
            .collect(),
    };
    let looks = with("kube.replaced", check(&[]));
    assert_eq!(
        with("kube.replaced", check(&["ReplicaSet shop/web"])),
        looks
    );
    assert_eq!(with("kube.replaced", nothing()), looks);
    // Of others it is.
    let other = with("calico.bgp", check(&[]));
    assert_ne!(with("calico.bgp", check(&["node03"])), other);
    assert_ne!(with("calico.bgp", nothing()), other);
    let predicted = |why: Option<&str>| Verdict::Change {
        effects: vec![],
        details: vec![],
        follows: vec![],
        undo: UndoClass::Exact,
        predicted: why.map(str::to_owned),
        heals: None,
    };
    let drain = |why| with("kube.drain", predicted(why));
    assert_eq!(drain(Some("pods of node01 may come")), drain(None));
}

#[test]
fn what_is_only_shown_is_in_the_seal_and_not_in_the_digest() {
    let mut other = sample();
    other.steps[0].name = "Another name".into();
    other.summary = "Another summary".into();
    if let Verdict::Change { details, .. } = &mut other.steps[0].verdict {
        details.clear();
    }
    assert_eq!(digest(&other), digest(&sample()));
    assert_eq!(differences(&sample(), &other), []);
    let text = saved().to_text().unwrap();
    let fault = parse(&text.replace("\"shown\"", "\"a lie\"")).unwrap_err();
    insta::assert_snapshot!(fault, @"plan.json is not as it was saved: somebody changed it since");
}

#[test]
fn what_a_plan_does_is_in_its_digest() {
    let different = |edit: fn(&mut Plan)| {
        let mut other = sample();
        edit(&mut other);
        assert_ne!(digest(&other), digest(&sample()));
        assert_ne!(differences(&sample(), &other), []);
    };
    different(|p| p.cluster.uid = "another".into());
    different(|p| p.targets[0].id = "node/u-9".into());
    different(|p| p.steps[0].verdict = change("another"));
    different(|p| p.steps[0].verdict = Verdict::NoChange { why: String::new() });
    different(|p| p.steps[0].with = json!({"a": 3}));
    different(|p| p.steps[0].uses = "a.c".into());
    different(|p| {
        if let Verdict::Change { undo, .. } = &mut p.steps[0].verdict {
            *undo = UndoClass::None { why: "x".into() };
        }
    });
    different(|p| {
        if let Verdict::Change { predicted, .. } = &mut p.steps[0].verdict {
            *predicted = Some("x".into());
        }
    });
    different(|p| p.runbook_digest = "x".into());
    different(|p| p.engine = "9".into());
    different(|p| p.params = [("a".to_owned(), json!(1))].into_iter().collect());
    different(|p| p.steps[0].id = StepId::new("two").unwrap());
    different(|p| p.steps.push(p.steps[0].clone()));
}

#[test]
fn a_file_that_is_no_plan_or_no_longer_one_says_which() {
    let text = saved().to_text().unwrap();
    let fault = |text: &str| {
        let fault = parse(text).unwrap_err();
        format!("{}: {fault}", fault.code)
    };
    insta::assert_snapshot!(fault(""), @"plan_unreadable: plan.json is cut short: EOF while parsing a value at line 1 column 0");
    insta::assert_snapshot!(fault("hello"), @"plan_unreadable: plan.json is not a saved plan: expected value at line 1 column 1");
    insta::assert_snapshot!(fault("{}"), @"plan_schema: plan.json is not a plan that this version reads: its schema is none, and not `runbook.plan/v1`");
    insta::assert_snapshot!(fault(&text.replace("plan/v1", "plan/v2")), @"plan_schema: plan.json is not a plan that this version reads: its schema is `runbook.plan/v2`, and not `runbook.plan/v1`");
    assert!(fault(&text.replace("node02", "node03")).starts_with("plan_changed"));
    let mut other = saved();
    other.plan.engine = "9.9.9".into();
    let fault = parse(&other.to_text().unwrap())
        .unwrap()
        .check_engine()
        .unwrap_err();
    assert_eq!(fault.code, "plan_engine");
}

#[test]
fn a_difference_names_the_step_and_both_verdicts() {
    let mut fresh = sample();
    fresh.steps[0].verdict = change("another");
    let found = differences(&sample(), &fresh);
    assert_eq!(
        found,
        [Difference {
            step: Some((StepId::new("one").unwrap(), sample().steps[0].scope.clone())),
            planned: Some(change("after")),
            now: Some(change("another")),
            what: None,
        }]
    );
    let mut fresh = sample();
    fresh.targets[0] = Target::node("node02", "u-9");
    let found = differences(&sample(), &fresh);
    insta::assert_snapshot!(found[0].what.as_ref().unwrap(), @"node02 was deleted and made again since");
}

proptest! {
    /// Cut anywhere, or with any one character replaced, it is never taken for a plan.
    #[test]
    fn no_damage_goes_unnoticed(at in 0usize..10_000, with in "[a-z0-9{}\":,]") {
        let text = saved().to_text().unwrap();
        let at = at % (text.len() - 1);
        prop_assert!(parse(&text[..at]).is_err());
        let mut broken = text.clone();
        broken.replace_range(at..=at, &with);
        if let Ok(found) = parse(&broken) {
            // Blanks between the parts of JSON say nothing.
            prop_assert_eq!(found, saved());
        }
    }

    #[test]
    fn the_order_of_keys_says_nothing(mut keys in prop::collection::vec("[a-z]{1,3}", 1..6)) {
        let object = |keys: &[String]| {
            let map: Map<String, Value> = keys.iter().map(|k| (k.clone(), json!({k.as_str(): [k, 1]}))).collect();
            canonical(&Value::Object(map))
        };
        let forwards = object(&keys);
        keys.reverse();
        prop_assert_eq!(forwards, object(&keys));
    }
}
