use super::super::dice::Dice;
use super::choose::AT_ONCE;
use super::seen::COMING_BACK;
use super::*;
use crate::drain::Pod;
use crate::fault::TIMEOUT;
use crate::journal::RunRecord;
use crate::journal::test_events::{entries, start};
use crate::model::RunId;
use serde_json::{Value, json};

fn raw(name: &str, uid: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]},
        "spec": {"nodeName": "node02"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn pod(name: &str) -> Pod {
    Pod::new(&raw(name, name)).unwrap()
}

fn going(name: &str) -> Pod {
    let mut raw = raw(name, name);
    raw["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
    Pod::new(&raw).unwrap()
}

fn of(pod: &Pod, change: impl FnOnce(&mut Pod)) -> Pod {
    let mut pod = pod.clone();
    change(&mut pod);
    pod
}

fn evicting() -> Evicting {
    Evicting {
        step: StepId::new("drain").unwrap(),
        scope: Scope::Run,
        place: "node02".into(),
        options: Options {
            ignore_daemonsets: true,
            ..Options::default()
        },
        only: None,
        daemons: Daemons::default(),
        budgets: Vec::new(),
        seen: BTreeSet::new(),
        within: None,
    }
}

fn with(options: impl FnOnce(&mut Options)) -> Evicting {
    let mut of = evicting();
    options(&mut of.options);
    of
}

fn at(seconds: u64) -> Moment {
    Moment {
        since: Duration::from_secs(seconds),
        at: Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap(),
    }
}

fn draining(of: Evicting, pods: &[Pod]) -> Draining {
    let mut draining = Draining::new(of, &[], BTreeMap::new());
    draining.listed(at(0), pods.to_vec());
    draining
}

fn permits(turn: &mut Turn) -> Vec<Permit> {
    let intents = std::mem::take(&mut turn.intend).into_iter();
    intents
        .map(|(id, effect)| Permit::for_test(id, effect))
        .collect()
}

/// Makes intents durable until something is sent; gives what is.
fn sends(draining: &mut Draining, now: u64) -> Vec<(PodUid, Permit)> {
    let mut sent = Vec::new();
    loop {
        let mut turn = draining.turn(at(now));
        assert!(turn.end.is_none(), "{:?}", turn.end);
        sent.append(&mut turn.send);
        if turn.intend.is_empty() {
            return sent;
        }
        draining.permitted(permits(&mut turn));
    }
}

fn names(sent: &[(PodUid, Permit)]) -> Vec<&str> {
    sent.iter().map(|(uid, _)| uid.as_str()).collect()
}

fn end(draining: &mut Draining, now: u64) -> Option<Result<(), Fault>> {
    draining.turn(at(now)).end
}

fn held(name: &str) -> Evicted {
    Evicted::Held {
        budget: Some(name.into()),
        counts: Some("needs 2 healthy pods and has 2".into()),
    }
}

fn outcomes(draining: &mut Draining, now: u64) -> Vec<String> {
    words(draining.turn(at(now)).records)
}

fn words(records: Vec<Event>) -> Vec<String> {
    records
        .into_iter()
        .map(|event| match event {
            Event::Outcome { id, outcome } => {
                let what = match outcome {
                    Outcome::Done => "done",
                    Outcome::AlreadySo => "already so",
                    Outcome::NotDone { .. } => "not done",
                    Outcome::Unknown { .. } => "unknown",
                };
                format!("{}#{} {what}", id.item, id.attempt)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_pod_is_done_when_it_is_gone_and_not_when_it_was_evicted() {
    let mut draining = draining(evicting(), &[pod("a"), going("b")]);
    // One that is being deleted already is only waited for.
    let mut sent = sends(&mut draining, 1);
    assert_eq!(names(&sent), ["a"]);
    let (uid, permit) = sent.remove(0);
    draining.answered(at(1), &uid, permit, Evicted::Begun);
    assert_eq!(outcomes(&mut draining, 1), ["shop/a a#1 done"]);
    assert_eq!(end(&mut draining, 1), None);
    draining.gone("a");
    assert_eq!(end(&mut draining, 1), None);
    draining.gone("b");
    assert_eq!(end(&mut draining, 1), Some(Ok(())));
    assert_eq!(draining.into_made().0.len(), 1);
}

#[test]
fn nothing_is_sent_before_its_intent_is_durable() {
    let mut draining = draining(evicting(), &[pod("a"), pod("b")]);
    let mut turn = draining.turn(at(0));
    assert_eq!((turn.intend.len(), turn.send.len()), (2, 0));
    assert_eq!(draining.turn(at(0)).intend.len(), 0);
    draining.permitted(permits(&mut turn));
    assert_eq!(draining.turn(at(0)).send.len(), 2);
}

#[test]
fn so_many_are_under_way_and_no_more() {
    let pods: Vec<Pod> = (0..200).map(|n| pod(&format!("{n:03}"))).collect();
    let mut draining = draining(evicting(), &pods);
    let mut sent = sends(&mut draining, 0);
    assert_eq!(sent.len(), AT_ONCE);
    let (uid, permit) = sent.remove(0);
    draining.answered(at(0), &uid, permit, Evicted::Begun);
    assert_eq!(sends(&mut draining, 0).len(), 1);
}

#[test]
fn each_answer() {
    let after = |answer: Evicted| {
        let mut draining = draining(evicting(), &[pod("a")]);
        let (uid, permit) = sends(&mut draining, 0).remove(0);
        draining.answered(at(0), &uid, permit, answer);
        draining
    };
    let fault = || Fault::definite("x", "it is as it is");
    // It is not there.
    let mut gone = after(Evicted::Gone);
    assert_eq!(outcomes(&mut gone, 0), ["shop/a a#1 already so"]);
    assert_eq!(end(&mut gone, 0), Some(Ok(())));
    // There is another under its name: the watch tells of it.
    let mut other = after(Evicted::Conflict);
    assert_eq!(end(&mut other, 0), None);
    other.gone("a");
    assert_eq!(outcomes(&mut other, 0), ["shop/a a#1 already so"]);
    assert_eq!(end(&mut other, 0), Some(Ok(())));
    // It was changed meanwhile, again and again.
    let mut changed = after(Evicted::Conflict);
    for second in 1..u64::from(ATTEMPTS) {
        let (uid, permit) = sends(&mut changed, second).remove(0);
        changed.answered(at(second), &uid, permit, Evicted::Conflict);
    }
    assert_eq!(outcomes(&mut changed, 9), ["shop/a a#1 not done"]);
    assert_eq!(
        end(&mut changed, 9).unwrap().unwrap_err().code,
        "api_conflict"
    );
    // Its budget was, as often as it may be.
    let mut contended = after(Evicted::Contended);
    for second in 1..20 {
        let (uid, permit) = sends(&mut contended, second).remove(0);
        contended.answered(at(second), &uid, permit, Evicted::Contended);
    }
    // Refused.
    let mut refused = after(Evicted::Refused(fault()));
    assert_eq!(outcomes(&mut refused, 0), ["shop/a a#1 not done"]);
    assert_eq!(
        end(&mut refused, 0).unwrap().unwrap_err().message,
        "it is as it is"
    );
    // Too much to do.
    let mut busy = after(Evicted::Busy { seconds: 7 });
    assert_eq!(sends(&mut busy, 6).len(), 0);
    assert_eq!(sends(&mut busy, 7).len(), 1);
    // Its namespace goes, and it with that.
    let mut ends = after(Evicted::NamespaceEnds);
    assert_eq!(sends(&mut ends, 4).len(), 0);
    assert!(ends.said(at(4)).contains("the end of namespace shop"));
    assert_eq!(sends(&mut ends, 5).len(), 1);
    // No answer: it is tried again, as it goes once.
    let unclear = || Evicted::Unclear(Fault::indeterminate("api_lost", "lost"));
    let mut lost = after(unclear());
    assert_eq!(outcomes(&mut lost, 0), Vec::<String>::new());
    let (uid, permit) = sends(&mut lost, 1).remove(0);
    lost.answered(at(1), &uid, permit, Evicted::Gone);
    assert_eq!(outcomes(&mut lost, 1), ["shop/a a#1 done"]);
    // Seen to be going.
    let mut seen = after(unclear());
    seen.is(at(0), going("a"));
    assert_eq!(outcomes(&mut seen, 0), ["shop/a a#1 done"]);
    // Never an answer.
    let mut never = after(unclear());
    for second in [1, 3, 7, 15] {
        let (uid, permit) = sends(&mut never, second).remove(0);
        never.answered(at(second), &uid, permit, unclear());
    }
    assert_eq!(outcomes(&mut never, 15), ["shop/a a#1 unknown"]);
    assert_eq!(
        end(&mut never, 15).unwrap().unwrap_err().class,
        Class::Indeterminate
    );
    assert_eq!(never.into_made().0.len(), 1);
}

#[test]
fn one_that_is_refused_does_not_keep_the_others() {
    let mut draining = draining(evicting(), &[pod("a"), pod("b")]);
    for (uid, permit) in sends(&mut draining, 0) {
        let answer = match uid.as_str() {
            "a" => Evicted::Refused(Fault::definite("x", "no")),
            _ => Evicted::Begun,
        };
        draining.answered(at(0), &uid, permit, answer);
    }
    assert_eq!(end(&mut draining, 0), None);
    draining.gone("b");
    assert_eq!(end(&mut draining, 0).unwrap().unwrap_err().message, "no");
}

fn budget() -> Budget {
    Budget::new(&json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    }))
    .unwrap()
}

#[test]
fn a_budget_that_holds_is_asked_by_one_pod_at_a_time() {
    let mut of = evicting();
    of.budgets = vec![budget()];
    let pods: Vec<Pod> = ["a", "b", "c", "d"].map(pod).into();
    let mut draining = draining(of, &pods);
    for (uid, permit) in sends(&mut draining, 0) {
        let answer = if uid == "a" {
            Evicted::Begun
        } else {
            held("web")
        };
        draining.answered(at(0), &uid, permit, answer);
    }
    insta::assert_snapshot!(draining.said(at(0)), @"0 of 4 pods are gone from node02; a is being deleted; b, c, d wait for PodDisruptionBudget shop/web since 00:00:00 UTC (it needs 2 healthy pods and has 2)");
    assert_eq!(sends(&mut draining, 0).len(), 0);
    assert_eq!(draining.turn(at(0)).wake, Some(AGAIN));
    let mut sent = sends(&mut draining, 1);
    assert_eq!(names(&sent), ["b"]);
    assert_eq!(sends(&mut draining, 1).len(), 0);
    let (uid, permit) = sent.remove(0);
    draining.answered(at(1), &uid, permit, Evicted::Begun);
    // It lets them through again: more at a time.
    assert_eq!(names(&sends(&mut draining, 1)), ["c", "d"]);
}

#[test]
fn others_go_while_a_budget_holds_some() {
    let mut of = evicting();
    of.budgets = vec![budget()];
    let other = of_labels("z");
    let mut pods: Vec<Pod> = (0..90).map(|n| pod(&format!("a{n:02}"))).collect();
    pods.push(other);
    let mut draining = draining(of, &pods);
    let mut went = false;
    for second in 0..9 {
        for (uid, permit) in sends(&mut draining, second) {
            went |= uid == "z";
            let answer = if uid == "z" {
                Evicted::Begun
            } else {
                held("web")
            };
            draining.answered(at(second), &uid, permit, answer);
        }
    }
    assert!(went);
}

fn of_labels(name: &str) -> Pod {
    of(&pod(name), |pod| {
        pod.labels = [("app".to_owned(), "db".to_owned())].into();
    })
}

#[test]
fn what_is_held_where_nobody_waits() {
    let fails = with(|options| options.on_blocked = OnBlocked::Fail);
    let mut draining = draining(fails, &[pod("a"), pod("b")]);
    for (uid, permit) in sends(&mut draining, 0) {
        let answer = if uid == "a" {
            Evicted::Begun
        } else {
            held("web")
        };
        draining.answered(at(0), &uid, permit, answer);
    }
    // The others go first.
    assert_eq!(end(&mut draining, 0), None);
    draining.gone("a");
    let turn = draining.turn(at(0));
    let fault = turn.end.unwrap().unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str()),
        (Class::Definite, "held_by_budget")
    );
    assert_eq!(words(turn.records), ["shop/b b#1 not done"]);
}

#[test]
fn by_force_what_is_held_is_deleted_with_an_intent_of_its_own() {
    let force = || with(|options| options.on_blocked = OnBlocked::Force);
    let several = Evicted::Refused(Fault::definite("several_budgets", "two"));
    for answer in [held("web"), several] {
        let mut draining = draining(force(), &[pod("a")]);
        let (uid, permit) = sends(&mut draining, 0).remove(0);
        draining.answered(at(0), &uid, permit, answer);
        let mut turn = draining.turn(at(0));
        assert_eq!(turn.records.len(), 1);
        let intents = permits(&mut turn);
        let deletes = |p: &Permit| matches!(p.effect(), Effect::EvictPod { deletes: true, .. });
        assert!(intents.iter().all(deletes) && intents.len() == 1);
        draining.permitted(intents);
        let (uid, permit) = sends(&mut draining, 0).remove(0);
        draining.answered(at(0), &uid, permit, Evicted::Begun);
        assert_eq!(outcomes(&mut draining, 0), ["shop/a a#2 done"]);
    }
}

#[test]
fn the_less_important_are_gone_before_others_begin() {
    let by_priority = with(|options| options.by_priority = true);
    let high = of(&pod("a"), |pod| pod.priority = 9);
    let mut draining = draining(by_priority, &[high, pod("b")]);
    let mut sent = sends(&mut draining, 0);
    assert_eq!(names(&sent), ["b"]);
    let (uid, permit) = sent.remove(0);
    draining.answered(at(0), &uid, permit, Evicted::Begun);
    assert_eq!(sends(&mut draining, 0).len(), 0);
    draining.gone("b");
    assert_eq!(names(&sends(&mut draining, 0)), ["a"]);
}

#[test]
fn what_is_in_the_way_when_it_begins_keeps_all_where_they_are() {
    let alone = of(&pod("b"), |pod| pod.controller = None);
    let mut forgot = draining(evicting(), &[pod("a"), alone.clone()]);
    let turn = forgot.turn(at(0));
    assert!(turn.intend.is_empty());
    let fault = turn.end.unwrap().unwrap_err();
    assert_eq!(fault.code, "drift");
    assert!(fault.message.contains("shop/b"), "{fault}");
    // It may go, and it was not in the plan that anything of that sort does.
    let mut may = with(|options| options.force = true);
    assert_eq!(
        end(&mut draining(may.clone(), std::slice::from_ref(&alone)), 0)
            .unwrap()
            .unwrap_err()
            .code,
        "drift"
    );
    may.seen.insert("no_controller".to_owned());
    assert_eq!(sends(&mut draining(may, &[alone]), 0).len(), 1);
}

#[test]
fn those_that_come_meanwhile_go_too_or_are_said_to_be_in_the_way() {
    let mut one = draining(evicting(), &[pod("a")]);
    one.is(at(1), pod("b"));
    assert_eq!(sends(&mut one, 1).len(), 2);
    let mut other = draining(evicting(), &[]);
    other.is(at(1), of(&pod("b"), |pod| pod.controller = None));
    let fault = end(&mut other, 1).unwrap().unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str()),
        (Class::Definite, "in_the_way")
    );
    // Others of DaemonSets come and stay: it was made meanwhile.
    let daemon = |pod: &mut Pod| {
        if let Some(owner) = &mut pod.controller {
            owner.kind = "DaemonSet".to_owned();
        }
    };
    let mut third = draining(evicting(), &[]);
    third.is(at(1), of(&pod("d"), daemon));
    assert_eq!(end(&mut third, 1), Some(Ok(())));
}

#[test]
fn a_controller_that_puts_pods_back_for_ever_is_named() {
    let mut draining = draining(evicting(), &[pod("a")]);
    for n in 0..=COMING_BACK {
        draining.is(at(1), pod(&format!("b{n}")));
    }
    let fault = end(&mut draining, 1).unwrap().unwrap_err();
    assert_eq!(fault.code, "comes_back");
    assert!(fault.message.contains("ReplicaSet shop/web"), "{fault}");
    // Those that kubelet turns away come without end, and go like others.
    let mut other = self::draining(evicting(), &[pod("a")]);
    for n in 0..=COMING_BACK {
        let failed = of(&pod(&format!("b{n}")), |pod| pod.phase = "Failed".into());
        other.is(at(1), failed);
    }
    assert_eq!(sends(&mut other, 1).len(), COMING_BACK + 2);
}

#[test]
fn what_holds_it_now_holds_it_since_then() {
    let mut draining = draining(evicting(), &[pod("a")]);
    for (second, budget) in [(0, "web"), (60, "web"), (120, "other")] {
        let (uid, permit) = sends(&mut draining, second).remove(0);
        draining.answered(at(second), &uid, permit, held(budget));
        if second == 60 {
            let said = draining.said(at(60));
            let held = "shop/web since 00:00:00 UTC (it needs 2 healthy pods and has 2)";
            assert!(said.ends_with(held), "{said}");
        }
    }
    insta::assert_snapshot!(draining.said(at(120)), @"0 of 1 pod is gone from node02; a waits for PodDisruptionBudget shop/other since 00:02:00 UTC (it needs 2 healthy pods and has 2)");
}

#[test]
fn a_right_that_is_missing_for_a_moment_is_asked_for_again() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let no = || Evicted::Refused(Fault::definite("api_forbidden", "no"));
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    draining.answered(at(0), &uid, permit, no());
    assert_eq!(sends(&mut draining, 0).len(), 0);
    // Twice as long each time, and then it has failed.
    for second in [1, 3, 7, 15] {
        let (uid, permit) = sends(&mut draining, second).remove(0);
        draining.answered(at(second), &uid, permit, no());
        assert_eq!(sends_or_ends(&mut draining, second), 0);
    }
    let fault = end(&mut draining, 15).unwrap().unwrap_err();
    assert_eq!(fault.code, "api_forbidden");
}

/// How many are sent at once, where it may be over.
fn sends_or_ends(draining: &mut Draining, now: u64) -> usize {
    draining.turn(at(now)).send.len()
}

#[test]
fn only_the_pods_of_the_plan_where_it_is_so() {
    let mut of = evicting();
    of.only = Some(["a".to_owned()].into());
    let mut draining = draining(of, &[pod("a"), pod("b")]);
    draining.is(at(0), pod("c"));
    assert_eq!(names(&sends(&mut draining, 0)), ["a"]);
    // Of the others, those that were being deleted when it began are waited for.
    let mut of = evicting();
    of.only = Some(BTreeSet::new());
    let mut first = self::draining(of.clone(), &[going("b")]);
    assert_eq!(end(&mut first, 0), None);
    first.gone("b");
    assert_eq!(end(&mut first, 0), Some(Ok(())));
    let mut later = self::draining(of, &[]);
    later.is(at(0), going("b"));
    assert_eq!(end(&mut later, 0), Some(Ok(())));
}

#[test]
fn what_nobody_knows_outweighs_what_is_certain() {
    let mut draining = draining(evicting(), &[pod("a"), pod("b")]);
    let mut asks = sends(&mut draining, 0);
    let (uid, permit) = asks.remove(0);
    let no = Fault::definite("refused", "it is not allowed");
    draining.answered(at(0), &uid, permit, Evicted::Refused(no));
    let mut second = 0;
    while let Some((uid, permit)) = asks.pop() {
        let lost = Evicted::Unclear(Fault::indeterminate("api_lost", "the answer was lost"));
        draining.answered(at(second), &uid, permit, lost);
        second += 100;
        let mut turn = draining.turn(at(second));
        if let Some(end) = turn.end {
            let fault = end.unwrap_err();
            assert_eq!(fault.class, Class::Indeterminate);
            assert!(fault.message.contains("2 pods did not go"), "{fault}");
            return;
        }
        asks.append(&mut turn.send);
    }
    panic!("it does not end");
}

#[test]
fn an_intent_that_was_not_made_durable_is_none() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let turn = draining.turn(at(0));
    let [(id, _)] = turn.intend.as_slice() else {
        panic!()
    };
    draining.break_off(Fault::refused("claim_lost", "another has it"));
    assert_eq!(end(&mut draining, 0), None);
    draining.not_intended(id);
    let turn = draining.turn(at(0));
    assert_eq!(turn.end.unwrap().unwrap_err().code, "claim_lost");
    assert_eq!(words(turn.records), [""; 0]);
}

#[test]
fn where_nothing_may_be_done_any_more_it_ends_once_all_is_answered() {
    let mut draining = draining(evicting(), &[pod("a"), pod("b")]);
    let mut sent = sends(&mut draining, 0);
    draining.break_off(Fault::refused("claim_lost", "another has it"));
    assert_eq!(end(&mut draining, 0), None);
    for (uid, permit) in sent.drain(..) {
        draining.answered(at(0), &uid, permit, Evicted::Begun);
    }
    assert_eq!(
        end(&mut draining, 0).unwrap().unwrap_err().code,
        "claim_lost"
    );
}

#[test]
fn stopped_or_out_of_time_it_closes_what_was_not_sent() {
    let mut of = evicting();
    of.budgets = vec![budget()];
    of.within = Some(Duration::from_secs(10));
    for stops in [true, false] {
        let mut draining = draining(of.clone(), &[pod("a"), pod("b")]);
        let mut sent = sends(&mut draining, 0);
        let (uid, permit) = sent.remove(0);
        draining.answered(at(0), &uid, permit, held("web"));
        if stops {
            draining.stop();
        }
        // What is under way is waited for.
        let now = if stops { 1 } else { 10 };
        assert_eq!(end(&mut draining, now), None);
        let (uid, permit) = sent.remove(0);
        draining.answered(at(now), &uid, permit, Evicted::Begun);
        let turn = draining.turn(at(now));
        let fault = turn.end.unwrap().unwrap_err();
        assert_eq!(fault.code, if stops { "stopped" } else { TIMEOUT });
        assert!(
            fault
                .message
                .contains("a waits for PodDisruptionBudget shop/web"),
            "{fault}"
        );
        let told = ["shop/b b#1 done", "shop/a a#1 not done"];
        assert_eq!(words(turn.records), told);
    }
}

#[test]
fn every_pod_of_a_budget_has_its_turn_and_all_are_said_to_wait() {
    let mut of = evicting();
    of.budgets = vec![budget()];
    let pods: Vec<Pod> = (0..7).map(|n| pod(&format!("a{n}"))).collect();
    let mut draining = draining(of, &pods);
    let mut asked = BTreeSet::new();
    for second in 0..9 {
        for (uid, permit) in sends(&mut draining, second) {
            asked.insert(uid.clone());
            draining.answered(at(second), &uid, permit, held("web"));
        }
        assert!(
            draining.said(at(second)).contains("7 pods wait for"),
            "{}",
            draining.said(at(second))
        );
    }
    assert_eq!(asked.len(), 7);
}

#[test]
fn one_that_is_not_ready_goes_although_its_budget_holds_the_others() {
    let sick = of(&pod("sick"), |pod| pod.ready = false);
    let mut of = evicting();
    let always = json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    });
    of.budgets = vec![Budget::new(&always).unwrap()];
    let mut pods: Vec<Pod> = (0..7).map(|n| pod(&format!("a{n}"))).collect();
    pods.push(sick);
    let sent = sends(&mut draining(of, &pods), 0);
    assert!(names(&sent).contains(&"sick"));
    assert_eq!(sent.len(), 1 + PER_BUDGET);
}

#[test]
fn where_nobody_waits_those_behind_a_budget_count_as_held() {
    let mut of = with(|options| options.on_blocked = OnBlocked::Fail);
    of.budgets = vec![budget()];
    let pods: Vec<Pod> = (0..9).map(|n| pod(&format!("a{n}"))).collect();
    let mut draining = draining(of, &pods);
    for (uid, permit) in sends(&mut draining, 0) {
        draining.answered(at(0), &uid, permit, held("web"));
    }
    let fault = end(&mut draining, 0).unwrap().unwrap_err();
    assert_eq!(fault.code, "held_by_budget");
}

#[test]
fn what_is_being_deleted_for_too_long_is_left() {
    let mut skips = with(|options| {
        options.skip_terminating_longer_than = Some(Duration::from_secs(10));
    });
    skips.within = None;
    let mut draining = draining(skips, &[going("a")]);
    assert_eq!(end(&mut draining, 10), None);
    assert_eq!(end(&mut draining, 11), Some(Ok(())));
    assert_eq!(draining.left(), ["shop/a"]);
}

#[test]
fn what_was_in_the_way_and_is_gone_is_forgotten() {
    let alone = |name: &str| of(&pod(name), |pod| pod.controller = None);
    let mut draining = draining(evicting(), &[going("a")]);
    draining.is(at(1), alone("debug"));
    draining.is(at(1), alone("debug"));
    let said = draining.said(at(1));
    assert_eq!(said.matches("shop/debug").count(), 1, "{said}");
    draining.gone("debug");
    draining.gone("a");
    assert_eq!(end(&mut draining, 2), Some(Ok(())));
}

#[test]
fn all_is_done_although_somebody_wanted_it_to_stop() {
    let mut draining = draining(evicting(), &[going("a")]);
    draining.stop();
    draining.gone("a");
    assert_eq!(end(&mut draining, 1), Some(Ok(())));
}

#[test]
fn a_server_that_is_away_is_waited_for_however_often_it_says_so() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let away = || Evicted::Away(Fault::unreachable("api_unreachable", "503"));
    for second in 0..20 {
        let mut sent = sends(&mut draining, second);
        let (uid, permit) = sent.remove(0);
        draining.answered(at(second), &uid, permit, away());
        // It can be seen again.
        draining.is(at(second), pod("a"));
    }
    let (uid, permit) = sends(&mut draining, 20).remove(0);
    draining.answered(at(20), &uid, permit, Evicted::Gone);
    assert_eq!(outcomes(&mut draining, 20), ["shop/a a#1 done"]);
}

#[test]
fn what_only_waited_does_not_come_about_by_itself() {
    let mut of = evicting();
    of.within = Some(Duration::from_secs(10));
    let mut draining = draining(of, &[pod("a")]);
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    draining.answered(at(0), &uid, permit, held("web"));
    let fault = end(&mut draining, 10).unwrap().unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str()),
        (Class::Definite, "not_drained")
    );
}

#[test]
fn what_was_seen_to_go_while_its_answer_was_lost_counts_as_ours() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    draining.gone("a");
    let lost = Evicted::Unclear(Fault::indeterminate("api_lost", "lost"));
    draining.answered(at(0), &uid, permit, lost);
    assert_eq!(outcomes(&mut draining, 0), ["shop/a a#1 done"]);
}

#[test]
fn an_api_server_that_is_silent_is_waited_for_and_then_given_up() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let silent = || Fault::unreachable("api_unreachable", "it does not answer");
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    draining.answered(at(0), &uid, permit, Evicted::Silent(silent()));
    draining.silent(at(5), silent());
    assert_eq!(sends(&mut draining, 6).len(), 0);
    draining.listed(at(7), vec![pod("a")]);
    let (uid, permit) = sends(&mut draining, 7).remove(0);
    draining.answered(at(7), &uid, permit, Evicted::Silent(silent()));
    // It is asked again after a rest, and what counts is since when it is silent.
    assert_eq!(sends(&mut draining, 7).len(), 0);
    let (uid, permit) = sends(&mut draining, 100).remove(0);
    draining.answered(at(100), &uid, permit, Evicted::Silent(silent()));
    assert_eq!(end(&mut draining, 100), None);
    let turn = draining.turn(at(127));
    assert_eq!(turn.end.unwrap().unwrap_err().class, Class::Unreachable);
    assert_eq!(words(turn.records), ["shop/a a#1 not done"]);
    // One answer is enough, where the pods can be seen all the while.
    let mut quiet = self::draining(evicting(), &[pod("a")]);
    let (uid, permit) = sends(&mut quiet, 0).remove(0);
    quiet.answered(at(0), &uid, permit, Evicted::Away(silent()));
    let (uid, permit) = sends(&mut quiet, 1).remove(0);
    quiet.answered(at(1), &uid, permit, held("web"));
    assert_eq!(end(&mut quiet, 500), None);
    // What may not be seen may not be known yet by an API server that has just started.
    let mut late = self::draining(evicting(), &[pod("a")]);
    late.silent(at(1), Fault::refused("api_forbidden", "no"));
    assert_eq!(sends(&mut late, 100).len(), 0);
    assert_eq!(
        end(&mut late, 121).unwrap().unwrap_err().code,
        "api_forbidden"
    );
    // What no identity may see is no silence.
    let mut other = Draining::new(evicting(), &[], BTreeMap::new());
    other.silent(at(0), Fault::refused("api_forbidden", "no"));
    assert_eq!(
        end(&mut other, 0).unwrap().unwrap_err().code,
        "api_forbidden"
    );
}

#[test]
fn pods_of_a_dead_kubelet_are_told_apart() {
    let late = |name: &str, node: &str, finalizers: &[&str]| {
        of(&going(name), |pod| {
            pod.node = Some(node.to_owned());
            pod.finalizers = finalizers.iter().map(|f| (*f).to_owned()).collect();
        })
    };
    let pods = [
        late("a", "dead", &[]),
        late("b", "there", &["x/y"]),
        late("c", "there", &[]),
    ];
    let mut draining = draining(evicting(), &pods);
    assert!(!draining.asks_for_nodes(at(4)) && draining.asks_for_nodes(at(5)));
    let node = |name: &str, ready: &str| {
        let status = json!({"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:30Z"}]});
        DrainNode::new(&json!({"metadata": {"name": name}, "status": status})).unwrap()
    };
    draining.nodes(vec![node("dead", "Unknown"), node("there", "True")]);
    insta::assert_snapshot!(draining.said(at(20)), @"0 of 3 pods are gone from node02; c is being deleted; b should have ended by 00:00:00 UTC, and its finalizers hold it: x/y; kubelet on dead has not answered since 00:00:30 UTC, and only it can say that a ended: `skip_terminating_longer_than` leaves them");
    insta::assert_snapshot!(draining.said(at(40)), @"0 of 3 pods are gone from node02; b should have ended by 00:00:00 UTC, and its finalizers hold it: x/y; c should have ended by 00:00:00 UTC, and kubelet on there still has it; kubelet on dead has not answered since 00:00:30 UTC, and only it can say that a ended: `skip_terminating_longer_than` leaves them");
}

/// The record of intents that an earlier sitting made durable.
fn begun(names: &[&str]) -> Vec<EffectRecord> {
    let intent = |name: &&str| Event::Intent {
        id: EffectId {
            step: StepId::new("drain").unwrap(),
            scope: Scope::Run,
            item: format!("shop/{name} {name}"),
            attempt: 2,
        },
        effect: Effect::EvictPod {
            pod: pod(name).object,
            node: "node02".into(),
            grace: None,
            deletes: false,
            owner: None,
            loses: vec![],
        },
    };
    let mut events = vec![start(RunId::generate())];
    events.extend(names.iter().map(intent));
    RunRecord::fold(entries(events)).unwrap().effects
}

#[test]
fn what_an_earlier_sitting_began_is_found_out() {
    let effects = begun(&["gone", "going", "there", "stays"]);
    let mut draining = Draining::new(evicting(), &effects, BTreeMap::new());
    let mirror = of(&pod("stays"), |pod| pod.mirror = true);
    draining.listed(at(0), vec![going("going"), pod("there"), mirror]);
    let mut turn = draining.turn(at(0));
    let ids: Vec<&EffectId> = turn.intend.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), ids[0].attempt), (1, 3));
    let told = [
        "shop/going going#2 done",
        "shop/gone gone#2 done",
        "shop/stays stays#2 not done",
    ];
    assert_eq!(words(std::mem::take(&mut turn.records)), told);
    draining.permitted(permits(&mut turn));
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    // By whom it went, nobody knows: it counts as ours.
    draining.answered(at(0), &uid, permit, Evicted::Gone);
    assert_eq!(outcomes(&mut draining, 0), ["shop/there there#3 done"]);
    draining.gone("going");
    assert_eq!(end(&mut draining, 0), Some(Ok(())));
    assert_eq!(draining.into_made().0.len(), 3);
}

#[test]
fn what_goes_for_too_long_went_by_our_doing_and_is_named() {
    let skips = || with(|o| o.skip_terminating_longer_than = Some(Duration::from_secs(60)));
    let mut draining = Draining::new(skips(), &begun(&["a"]), BTreeMap::new());
    draining.listed(at(600), vec![going("a"), going("b")]);
    let turn = draining.turn(at(600));
    assert_eq!(words(turn.records), ["shop/a a#2 done"]);
    assert_eq!(turn.end, Some(Ok(())));
    assert_eq!(draining.left(), ["shop/a", "shop/b"]);
    // It is of another kind now, and goes all the same.
    let mut draining = Draining::new(evicting(), &begun(&["a"]), BTreeMap::new());
    let other = of(&going("a"), |pod| pod.mirror = true);
    draining.listed(at(600), vec![other]);
    assert_eq!(outcomes(&mut draining, 600), ["shop/a a#2 done"]);
}

#[test]
fn where_the_journal_breaks_all_that_may_happen_counts() {
    let pods = ["a", "b", "c", "d"].map(pod);
    let mut draining = Draining::new(evicting(), &begun(&["x"]), BTreeMap::new());
    draining.listed(at(0), pods.to_vec());
    draining.open = begun(&["y"])
        .into_iter()
        .map(|record| ("y".to_owned(), record))
        .collect();
    let mut sent = sends(&mut draining, 0);
    let mut answer = |draining: &mut Draining, answer: Evicted| {
        let (uid, permit) = sent.remove(0);
        draining.answered(at(0), &uid, permit, answer);
    };
    answer(&mut draining, Evicted::Begun);
    answer(
        &mut draining,
        Evicted::Unclear(Fault::indeterminate("api_lost", "lost")),
    );
    answer(&mut draining, held("web"));
    let items: Vec<String> = draining.broken().into_iter().map(|id| id.item).collect();
    // What is held was understood, and did nothing; that on its way may.
    let may = ["shop/x x", "shop/a a", "shop/b b", "shop/d d", "shop/y y"];
    assert_eq!(items, may);
}

#[test]
fn who_refuses_it_for_now_is_named_and_keeps_no_other() {
    let not_now = |why: &str| Evicted::NotNow {
        by: "admission webhook vm.example.org".into(),
        why: why.into(),
    };
    let mut draining = draining(evicting(), &[pod("a"), pod("b")]);
    let mut sent = sends(&mut draining, 0);
    let (uid, permit) = sent.remove(0);
    draining.answered(at(0), &uid, permit, not_now("it is moved first"));
    let said = draining.said(at(1));
    let waits =
        "a waits for admission webhook vm.example.org (it is moved first) since 00:00:00 UTC";
    assert!(said.contains(waits), "{said}");
    assert!(!said.contains("too much to do"), "{said}");
    let (uid, permit) = sent.remove(0);
    draining.answered(at(1), &uid, permit, Evicted::Begun);
    assert_eq!(sends(&mut draining, 4).len(), 0);
    let (uid, permit) = sends(&mut draining, 5).remove(0);
    draining.answered(at(5), &uid, permit, not_now("it is being moved"));
    // Since when, and what it says now.
    let said = draining.said(at(6));
    assert!(
        said.contains("(it is being moved) since 00:00:00"),
        "{said}"
    );
    draining.stop();
    let turn = draining.turn(at(7));
    assert!(turn.end.is_some());
    let Some(Event::Outcome { outcome, .. }) = turn.records.last() else {
        panic!("{turn:?}")
    };
    let Outcome::NotDone { fault } = outcome else {
        panic!("{outcome:?}")
    };
    let why = "shop/a was not evicted: admission webhook vm.example.org (it is being moved) holds it since 1970-01-01 00:00:00 UTC";
    assert_eq!(
        (fault.code.as_str(), fault.message.as_str()),
        ("not_begun", why)
    );
}

#[test]
fn what_was_refused_after_a_lost_answer_is_not_known() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    let lost = Fault::indeterminate("api_lost", "lost");
    draining.answered(at(0), &uid, permit, Evicted::Unclear(lost));
    let (uid, permit) = sends(&mut draining, 1).remove(0);
    let refused = Fault::definite("x", "it is as it is");
    draining.answered(at(1), &uid, permit, Evicted::Refused(refused));
    assert_eq!(outcomes(&mut draining, 1), ["shop/a a#1 unknown"]);
}

/// A pod whose eviction was given up, as no answer came, beside one that still goes.
fn given_up() -> Draining {
    let mut draining = draining(evicting(), &[pod("a"), going("b")]);
    let mut now = 0;
    for _ in 0..ATTEMPTS {
        let (uid, permit) = loop {
            match sends(&mut draining, now).pop() {
                Some(sent) => break sent,
                None => now += 1,
            }
        };
        let lost = Fault::indeterminate("api_lost", "lost");
        draining.answered(at(now), &uid, permit, Evicted::Unclear(lost));
    }
    assert_eq!(outcomes(&mut draining, now), ["shop/a a#1 unknown"]);
    draining
}

#[test]
fn what_nobody_knew_and_is_seen_to_go_is_known() {
    let mut goes = given_up();
    goes.is(at(100), going("a"));
    assert_eq!(outcomes(&mut goes, 100), ["shop/a a#1 done"]);
    goes.gone("b");
    // It is waited for again.
    assert_eq!(end(&mut goes, 100), None);
    goes.gone("a");
    assert_eq!(end(&mut goes, 100), Some(Ok(())));
    let mut gone = given_up();
    gone.gone("a");
    gone.gone("b");
    assert_eq!(outcomes(&mut gone, 100), ["shop/a a#1 done"]);
    // What is not seen stays unknown, and that is said once.
    let mut never = given_up();
    never.gone("b");
    let turn = never.turn(at(100));
    assert_eq!(words(turn.records), Vec::<String>::new());
    assert_eq!(
        turn.end.unwrap().unwrap_err().class,
        crate::fault::Class::Indeterminate
    );
}

#[test]
fn one_that_is_seen_to_go_makes_no_api_server_silent() {
    let mut draining = draining(evicting(), &[pod("a")]);
    let (uid, permit) = sends(&mut draining, 0).remove(0);
    draining.is(at(0), of(&going("a"), |_| {}));
    let away = Fault::unreachable("api_silent", "it answers with 503");
    draining.answered(at(0), &uid, permit, Evicted::Away(away));
    assert!(!draining.said(at(1)).contains("503"));
    // Long after, it is waited for still.
    assert_eq!(end(&mut draining, 1000), None);
}

#[test]
fn what_waits_for_its_turn_keeps_no_other_from_being_prepared() {
    let important: Vec<Pod> = (0..100)
        .map(|n| of(&pod(&format!("{n:03}")), |pod| pod.priority = 5))
        .collect();
    let mut draining = draining(with(|o| o.by_priority = true), &important);
    for (uid, permit) in sends(&mut draining, 0) {
        draining.answered(at(0), &uid, permit, Evicted::Busy { seconds: 5 });
    }
    draining.is(at(1), pod("late"));
    assert_eq!(names(&sends(&mut draining, 5)), ["late"]);
}

mod random;
