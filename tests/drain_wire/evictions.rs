//! Each answer to an eviction, and answers that are lost.

use crate::Case;
use crate::answers::{self, Answer};
use crate::behind::Behind;
use crate::program::{Ran, expect};
use crate::request::{About, Asked};
use crate::rule::{Rule, Then, What};
use crate::scene::Scene;
use lab::Lab;
use std::collections::BTreeMap;
use std::time::Duration;

pub const CASES: &[Case] = &[
    Case {
        name: "evictions::are_asked_for_once_each_by_uid_and_no_pod_is_got",
        run: requests,
    },
    Case {
        name: "evictions::of_many_pods_are_under_way_together_and_not_too_many",
        run: together,
    },
    Case {
        name: "evictions::of_what_somebody_else_took_away_are_done",
        run: gone,
    },
    Case {
        name: "evictions::take_another_pod_of_the_same_name_for_another",
        run: recreated,
    },
    Case {
        name: "evictions::in_a_namespace_that_goes_are_tried_again",
        run: terminating,
    },
    Case {
        name: "evictions::are_tried_again_when_the_api_server_is_busy",
        run: busy,
    },
    Case {
        name: "evictions::that_a_webhook_refuses_for_now_are_tried_again",
        run: not_now,
    },
    Case {
        name: "evictions::that_are_forbidden_fail_by_themselves",
        run: forbidden,
    },
    Case {
        name: "evictions::that_are_forbidden_for_a_moment_are_asked_for_again",
        run: forbidden_once,
    },
    Case {
        name: "evictions::are_asked_for_again_after_one_that_nobody_was_there_to_answer",
        run: away_once,
    },
    Case {
        name: "evictions::under_two_budgets_fail_by_themselves",
        run: two_budgets,
    },
    Case {
        name: "evictions::after_an_internal_error_are_told_as_they_are",
        run: internal_error,
    },
    Case {
        name: "evictions::that_never_arrived_are_asked_for_again",
        run: cut_before,
    },
    Case {
        name: "evictions::whose_answer_is_lost_are_done",
        run: cut_after,
    },
];

/// How many evictions may be under way at a time.
const AT_ONCE: usize = 32;
const POD: &str = "odd";
const ALL: &[&str] = &["first", POD, "third"];
const OTHERS: &[&str] = &["first", "third"];

/// Holds that it went well, that the journal says so, and that all pods but these are gone.
fn done(scene: &Scene<'_>, ran: Ran, left: &[&str]) -> Result<(), String> {
    let ran = ran.exits(0)?;
    scene.left(left)?;
    expect("whether the node is cordoned", &scene.cordoned()?, &true)?;
    scene.told(&ran, ALL)
}

/// Holds that one pod remains, which is named with these words, and that the others are gone.
fn remains(scene: &Scene<'_>, ran: Ran, words: &[&str]) -> Result<(), String> {
    let ran = ran.exits(6)?.says(&[POD])?.says(words)?;
    scene.left(&[POD])?;
    scene.told(&ran, ALL)
}

/// One pod of three meets something.
fn odd(
    lab: &Lab,
    node: &str,
    rule: impl FnOnce(&Scene<'_>) -> Rule,
    then: impl FnOnce(&Scene<'_>, Ran) -> Result<(), String>,
) -> Result<(), String> {
    Scene::with(lab, node, |scene| {
        scene.pods(ALL)?;
        scene.proxy.rule(rule(scene));
        let ran = scene.drain(&[])?;
        for pod in OTHERS {
            expect(
                &format!("evictions of {pod}"),
                &scene.evictions(pod).len(),
                &1,
            )?;
        }
        then(scene, ran)
    })
}

fn once(answer: impl FnOnce(&Scene<'_>) -> Answer) -> impl FnOnce(&Scene<'_>) -> Rule {
    |scene| Rule::once(scene.eviction_of(POD), Then::Answered(answer(scene)))
}

fn times(scene: &Scene<'_>, wanted: usize) -> Result<(), String> {
    let asked = scene.evictions(POD);
    expect("evictions of the pod", &asked.len(), &wanted)
}

fn requests(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "requests", |scene| {
        scene.pods(ALL)?;
        let uids: BTreeMap<&str, String> = ALL
            .iter()
            .map(|pod| Ok((*pod, scene.uid(pod)?)))
            .collect::<Result<_, String>>()?;
        let ran = scene.drain(&["grace_period=0s"])?;
        for pod in ALL {
            let asked = scene.evictions(pod);
            let [asked] = asked.as_slice() else {
                return Err(format!("evictions of {pod}: {asked:?}"));
            };
            expect("the UID", &asked.uid(), &uids[pod].as_str())?;
            expect("the grace", &asked.grace(), &Some(0))?;
            expect(
                "the version",
                &asked.body["apiVersion"],
                &"policy/v1".into(),
            )?;
            expect("the kind", &asked.body["kind"], &"Eviction".into())?;
        }
        let asked = scene.proxy.asked();
        let single: Vec<&Asked> = asked
            .iter()
            .filter(|a| a.method == "GET" && matches!(a.about, About::Pod(_)))
            .collect();
        expect("pods that were got one by one", &single.len(), &0)?;
        let watches: Vec<&Asked> = asked
            .iter()
            .filter(|a| a.about == About::Pods { watch: true })
            .collect();
        let Some(watch) = watches.first() else {
            return Err(format!("what was asked: {asked:?}"));
        };
        // On a slow machine it is begun anew, of the same pods.
        let of = |watch: &Asked| {
            let from = watch.query.split("&resourceVersion=").next();
            (watch.path.clone(), from.map(str::to_owned))
        };
        let others = watches.iter().filter(|other| of(other) != of(watch));
        expect("watches of other pods", &others.count(), &0)?;
        expect("what is watched", &watch.path.as_str(), &"/api/v1/pods")?;
        let field = format!("spec.nodeName={}", scene.node);
        let query = watch.query.replace("%3D", "=");
        expect("the field", &query.contains(&field), &true)?;
        done(scene, ran, &[])
    })?;
    // A grace period of their own is not said; nobody ends them here.
    Scene::with(lab, "own", |scene| {
        scene.pods(&[POD])?;
        let ran = scene.drain(&["grace_period=own", "within=5s"])?;
        ran.exits(6)?.says(&[POD])?;
        let asked = scene.evictions(POD);
        expect("the grace", &asked[0].grace(), &None)?;
        expect("the UID", &asked[0].uid(), &scene.uid(POD)?.as_str())
    })
}

fn together(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "together", |scene| {
        let names: Vec<String> = (0..40).map(|n| format!("pod{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        scene.pods(&names)?;
        let late = Then::Late(Duration::from_millis(300));
        scene.proxy.rule(Rule::always(What::Evictions, late));
        let ran = scene.drain(&[])?.exits(0)?;
        scene.left(&[])?;
        let most = scene.proxy.most_evicting();
        expect("whether several were under way", &(most > 1), &true)?;
        expect(
            &format!("whether {most} are few enough"),
            &(most <= AT_ONCE),
            &true,
        )?;
        scene.told(&ran, &names)
    })
}

fn gone(lab: &Lab) -> Result<(), String> {
    let rule = |scene: &Scene<'_>| {
        Rule::once(scene.eviction_of(POD), Then::Forwarded).behind(Behind::Deletes)
    };
    odd(lab, "gone", rule, |scene, ran| {
        times(scene, 1)?;
        done(scene, ran, &[])
    })
}

/// Once while its eviction is on its way, and once while it is blocked. The other one has come onto the node, and
/// may go too, but only by a request of its own.
fn recreated(lab: &Lab) -> Result<(), String> {
    for (node, blocked) in [("uid", false), ("uidblocked", true)] {
        let rule = |scene: &Scene<'_>| {
            let then = match blocked {
                true => Then::Answered(answers::blocked("web", 2, 2)),
                false => Then::Forwarded,
            };
            Rule::once(scene.eviction_of(POD), then).behind(Behind::Recreates)
        };
        odd(lab, node, rule, |scene, ran| {
            let asked = scene.evictions(POD);
            let first = asked.first().map(Asked::uid).unwrap_or_default();
            let new: Vec<&str> = asked
                .iter()
                .map(Asked::uid)
                .filter(|uid| *uid != first)
                .collect();
            let whose = !first.is_empty() && new.iter().all(|uid| !uid.is_empty());
            expect("whether each names its pod", &whose, &true)?;
            // It may have come when all were gone already, and the drain was over.
            let left: &[&str] = match new.len() {
                0 => &[POD],
                1 => &[],
                n => return Err(format!("{n} evictions of the other")),
            };
            done(scene, ran, left)
        })?;
    }
    Ok(())
}

fn terminating(lab: &Lab) -> Result<(), String> {
    let rule = once(|scene| answers::terminating(&scene.namespace, POD));
    odd(lab, "terminating", rule, |scene, ran| {
        times(scene, 2)?;
        done(scene, ran, &[])
    })
}

fn busy(lab: &Lab) -> Result<(), String> {
    for (node, told, at_least) in [("busy", 2, 2), ("busyatonce", 0, 1)] {
        let rule = once(move |_| answers::busy(told));
        odd(lab, node, rule, |scene, ran| {
            times(scene, 2)?;
            let asked = scene.evictions(POD);
            let between = asked[1].at - asked[0].at;
            expect(
                "whether it waits",
                &(between >= Duration::from_secs(at_least)),
                &true,
            )?;
            let said = format!("{}{}", ran.stdout, ran.stderr);
            for blamed in ["isruptionBudget", "Too many requests"] {
                expect(
                    &format!("whether it says {blamed}"),
                    &said.contains(blamed),
                    &false,
                )?;
            }
            done(scene, ran, &[])
        })?;
    }
    Ok(())
}

fn not_now(lab: &Lab) -> Result<(), String> {
    let rule = once(|_| answers::not_now("vm.example.org", "it is moved first"));
    odd(lab, "notnow", rule, |scene, ran| {
        times(scene, 2)?;
        let ran = ran
            .says(&["odd waits for admission webhook vm.example.org (it is moved first) since "])?;
        done(scene, ran, &[])
    })
}

fn forbidden(lab: &Lab) -> Result<(), String> {
    let rule = |scene: &Scene<'_>| {
        let answer = answers::forbidden(&scene.namespace, POD, "admin");
        Rule::always(scene.eviction_of(POD), Then::Answered(answer))
    };
    odd(lab, "forbidden", rule, |scene, ran| {
        // An API server that has just started may not know all rights yet.
        times(scene, 5)?;
        remains(scene, ran, &["forbidden"])
    })
}

fn forbidden_once(lab: &Lab) -> Result<(), String> {
    let rule = once(|scene| answers::forbidden(&scene.namespace, POD, "admin"));
    odd(lab, "forbiddenonce", rule, |scene, ran| {
        times(scene, 2)?;
        done(scene, ran, &[])
    })
}

/// Nothing else happens meanwhile: neither a pod nor another answer tells that the API server is back.
fn away_once(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "awayonce", |scene| {
        scene.pods(&[POD])?;
        let answer = Then::Answered(answers::away());
        scene.proxy.rule(Rule::once(scene.eviction_of(POD), answer));
        let ran = scene.drain(&[])?.exits(0)?;
        times(scene, 2)?;
        scene.left(&[])?;
        scene.told(&ran, &[POD])
    })
}

fn two_budgets(lab: &Lab) -> Result<(), String> {
    let rule = |scene: &Scene<'_>| {
        let answer = answers::several_budgets();
        Rule::always(scene.eviction_of(POD), Then::Answered(answer))
    };
    odd(lab, "twobudgets", rule, |scene, ran| {
        times(scene, 1)?;
        remains(scene, ran, &["more than one PodDisruptionBudget"])
    })
}

/// Whether it is tried again or not: what is said about it is so.
fn internal_error(lab: &Lab) -> Result<(), String> {
    let rule = once(|_| answers::internal_error());
    odd(lab, "internalerror", rule, |scene, ran| match ran.code {
        0 => done(scene, ran, &[]),
        _ => remains(scene, ran, &["leader changed"]),
    })
}

fn cut_before(lab: &Lab) -> Result<(), String> {
    let rule = |scene: &Scene<'_>| Rule::once(scene.eviction_of(POD), Then::CutBefore);
    odd(lab, "cutbefore", rule, |scene, ran| {
        times(scene, 2)?;
        done(scene, ran, &[])
    })
}

fn cut_after(lab: &Lab) -> Result<(), String> {
    let rule = |scene: &Scene<'_>| Rule::always(scene.eviction_of(POD), Then::CutAfter);
    odd(lab, "cutafter", rule, |scene, ran| {
        let asked = scene.evictions(POD);
        let uids = asked.iter().all(|a| a.uid() == asked[0].uid());
        expect("whether all are of one UID", &uids, &true)?;
        done(scene, ran, &[])
    })
}
