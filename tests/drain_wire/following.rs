//! The pods of a node are followed by one list and one watch, whatever becomes of these.

use crate::Case;
use crate::answers;
use crate::program::expect;
use crate::request::About;
use crate::rule::{Rule, Then, What};
use crate::scene::Scene;
use lab::Lab;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case {
        name: "following::a_watch_that_has_expired_is_begun_anew",
        run: expired,
    },
    Case {
        name: "following::a_watch_that_is_cut_is_begun_anew",
        run: cut,
    },
    Case {
        name: "following::a_watch_that_says_nothing_does_not_keep_pods_from_being_evicted",
        run: quiet,
    },
    Case {
        name: "following::a_watch_that_never_says_anything_is_not_believed",
        run: mute,
    },
    Case {
        name: "following::a_list_that_fails_once_hurts_nobody",
        run: list,
    },
];

const PODS: &[&str] = &["first", "second", "third"];

/// Drains although the first watches are disturbed like this.
fn although(lab: &Lab, node: &str, each: Vec<Then>) -> Result<(), String> {
    Scene::with(lab, node, |scene| {
        scene.pods(PODS)?;
        for then in each {
            scene.proxy.rule(Rule::once(What::Watches, then));
        }
        let ran = scene.drain(&[])?.exits(0)?;
        scene.left(&[])?;
        // What happened between two watches is in a list.
        let asked = scene.proxy.asked();
        let looks = asked
            .iter()
            .filter(|a| matches!(a.about, About::Pods { .. }));
        let after = looks.skip_while(|a| a.about != About::Pods { watch: true });
        expect("whether it looked again", &(after.count() > 1), &true)?;
        for pod in PODS {
            expect("evictions", &scene.evictions(pod).len(), &1)?;
        }
        let single = asked
            .iter()
            .filter(|a| a.method == "GET" && matches!(a.about, About::Pod(_)));
        expect("pods that were got one by one", &single.count(), &0)?;
        scene.told(&ran, PODS)
    })
}

fn expired(lab: &Lab) -> Result<(), String> {
    let event = || Then::Answered(answers::expired_event());
    although(lab, "expiredevent", vec![event(), event()])?;
    although(lab, "expired", vec![Then::Answered(answers::expired())])
}

fn cut(lab: &Lab) -> Result<(), String> {
    although(lab, "cutevent", vec![Then::CutInAnEvent])?;
    although(lab, "cutwatch", vec![Then::CutBefore])
}

fn quiet(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "quiet", |scene| {
        scene.pods(PODS)?;
        let time = Duration::from_secs(10);
        scene
            .proxy
            .rule(Rule::once(What::Watches, Then::Quiet(time)));
        let ran = scene.drain(&[])?.exits(0)?;
        scene.left(&[])?;
        let asked = scene.proxy.asked();
        let watch = asked
            .iter()
            .find(|a| a.about == About::Pods { watch: true });
        let begun = watch.map(|a| a.at).ok_or("there is no watch")?;
        for asked in asked.iter().filter(|a| a.is_eviction()) {
            let soon = asked.at.saturating_duration_since(begun) < time;
            expect("whether it was evicted meanwhile", &soon, &true)?;
        }
        scene.told(&ran, PODS)
    })
}

fn mute(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "mute", |scene| {
        scene.pods(PODS)?;
        scene.proxy.rule(Rule::always(What::Watches, Then::Mute));
        let begun = Instant::now();
        let ran = scene.drain(&["within=2m"])?.exits(0)?;
        let took = begun.elapsed().as_secs();
        expect(&format!("whether {took} s are few"), &(took < 90), &true)?;
        scene.left(&[])?;
        scene.told(&ran, PODS)
    })
}

/// The first list comes before anything is written: then it may give up, having done nothing.
fn list(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "list", |scene| {
        scene.pods(PODS)?;
        let error = Then::Answered(answers::internal_error());
        scene.proxy.rule(Rule::once(What::Lists, error));
        let ran = scene.drain(&[])?;
        if ran.code != 0 {
            ran.says(&["leader changed"])?;
            scene.left(PODS)?;
            expect("whether the node is cordoned", &scene.cordoned()?, &false)?;
            let asked = scene.proxy.asked();
            let evictions = asked.iter().filter(|a| a.is_eviction()).count();
            return expect("evictions", &evictions, &0);
        }
        scene.left(&[])?;
        scene.told(&ran, PODS)
    })
}
