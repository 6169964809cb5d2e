//! Pods that a budget holds, and pods that nobody ends.

use crate::Case;
use crate::answers;
use crate::pods;
use crate::program::expect;
use crate::request::{About, Asked};
use crate::rule::{Rule, Then};
use crate::scene::Scene;
use lab::Lab;
use serde_json::json;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case {
        name: "blocked::a_pod_is_tried_again_until_its_budget_allows_it",
        run: until_allowed,
    },
    Case {
        name: "blocked::a_budget_that_nobody_counted_for_yet_is_waited_for",
        run: being_processed,
    },
    Case {
        name: "blocked::for_ever_the_budget_is_named_and_the_cordon_is_put_back",
        run: for_ever,
    },
    Case {
        name: "blocked::for_ever_what_was_evicted_before_is_told",
        run: after_others,
    },
    Case {
        name: "blocked::a_budget_that_counts_what_has_ended_is_named",
        run: counts_what_has_ended,
    },
    Case {
        name: "blocked::it_can_fail_at_once",
        run: fail,
    },
    Case {
        name: "blocked::it_can_be_forced",
        run: force,
    },
    Case {
        name: "blocked::killed_the_undo_tells_what_is_still_there",
        run: killed,
    },
    Case {
        name: "blocked::killed_it_does_not_go_on_where_somebody_uncordoned_it",
        run: uncordoned,
    },
    Case {
        name: "blocked::uncordoned_meanwhile_it_is_not_said_to_be_drained",
        run: uncordoned_meanwhile,
    },
    Case {
        name: "blocked::what_nobody_ends_is_named_or_let_be",
        run: never_ends,
    },
];

const POD: &str = "held";
const BUDGET: &str = "holds";

/// As often as a test needs, the budget says no.
fn blocks(scene: &Scene<'_>, times: Option<u32>) {
    let answer = Then::Answered(answers::blocked(BUDGET, 2, 2));
    let rule = Rule::always(scene.eviction_of(POD), answer);
    scene.proxy.rule(Rule { times, ..rule });
}

fn until_allowed(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "untilallowed", |scene| {
        scene.pods(&[POD, "free"])?;
        blocks(scene, Some(2));
        let ran = scene.drain(&[])?.exits(0)?;
        scene.left(&[])?;
        expect("evictions", &scene.evictions(POD).len(), &3)?;
        // The other one did not wait for it.
        let (free, held) = (scene.evictions("free"), scene.evictions(POD));
        expect("evictions of the other", &free.len(), &1)?;
        expect("whether it went before", &(free[0].at < held[2].at), &true)?;
        // While it is held, people see by what.
        let ran = ran.says(&[POD, BUDGET])?;
        scene.told(&ran, &[POD, "free"])
    })
}

fn being_processed(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "processed", |scene| {
        scene.pods(&[POD])?;
        let answer = Then::Answered(answers::being_processed(BUDGET));
        scene.proxy.rule(Rule::once(scene.eviction_of(POD), answer));
        let ran = scene.drain(&[])?.exits(0)?;
        scene.left(&[])?;
        let asked = scene.evictions(POD);
        expect("evictions", &asked.len(), &2)?;
        let between = asked[1].at - asked[0].at;
        expect(
            "whether it waits as told",
            &(between >= Duration::from_secs(1)),
            &true,
        )?;
        scene.told(&ran, &[POD])
    })
}

/// By a real budget.
fn for_ever(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "forever", |scene| {
        scene.pods(&[POD])?;
        scene.budget(BUDGET, 1, 1)?;
        let begun = Instant::now();
        let ran = scene
            .drain(&["within=8s"])?
            .exits(1)?
            .says(&[POD, BUDGET, "within 8 s"])?;
        let took = begun.elapsed().as_secs();
        expect(
            &format!("whether {took} s are not less than what was given"),
            &(took >= 8),
            &true,
        )?;
        expect(
            "whether it was tried again",
            &(scene.evictions(POD).len() > 1),
            &true,
        )?;
        scene.left(&[POD])?;
        expect("whether the node is cordoned", &scene.cordoned()?, &false)?;
        scene.told(&ran, &[POD, BUDGET])
    })
}

/// As a pod is that its kubelet has turned away: its budget counts it among those that there are to be.
fn counts_what_has_ended(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "ended", |scene| {
        scene.pods(&[POD])?;
        // On no node: what is drained shows it not.
        let mut ended = pods::kept(&scene.namespace, "ended", &scene.node, &scene.keeper);
        if let Some(spec) = ended["spec"].as_object_mut() {
            spec.remove("nodeName");
            spec.insert("schedulerName".into(), "nobody".into());
        }
        let api = &scene.api;
        api.call("POST", &scene.path("pods"), ended)?;
        let status = json!({"status": {"phase": "Failed"}});
        api.call("PATCH", &scene.path("pods/ended/status"), status)?;
        scene.budget(BUDGET, 1, 1)?;
        let plan = |args: &[&str]| scene.program.run(&[args, &["--dry-run"]].concat());
        scene.drain_with(plan)?.exits(0)?.says(&[
            BUDGET,
            "it needs 1 healthy pod, and there are no more: 1 pod that it counts has ended",
        ])?;
        Ok(())
    })
}

fn after_others(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "afterothers", |scene| {
        scene.pods(&[POD, "free"])?;
        blocks(scene, None);
        let ran = scene
            .drain(&["within=8s"])?
            .exits(6)?
            .says(&[POD, BUDGET])?;
        scene.left(&[POD])?;
        scene.told(&ran, &[POD, "free", BUDGET])
    })
}

fn fail(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "fail", |scene| {
        scene.pods(&[POD])?;
        blocks(scene, None);
        let ran = scene
            .drain(&["on_blocked=fail"])?
            .exits(1)?
            .says(&[POD, BUDGET])?;
        expect("evictions", &scene.evictions(POD).len(), &1)?;
        scene.left(&[POD])?;
        expect("whether the node is cordoned", &scene.cordoned()?, &false)?;
        scene.told(&ran, &[POD, BUDGET])
    })
}

fn force(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "force", |scene| {
        scene.pods(&[POD, "free"])?;
        let uid = scene.uid(POD)?;
        blocks(scene, None);
        let force = ["on_blocked=force"];
        scene.drain(&force)?.exits(3)?.says(&["not_confirmed"])?;
        scene.left(&["free", POD])?;
        let ran = scene
            .drain_confirmed(&force)?
            .exits(0)?
            .says(&[POD, BUDGET])?;
        scene.left(&[])?;
        let mut deleted = scene.proxy.asked();
        deleted.retain(|a: &Asked| a.method == "DELETE" && matches!(a.about, About::Pod(_)));
        let [deleted] = deleted.as_slice() else {
            return Err(format!("what was deleted: {deleted:?}"));
        };
        expect(
            "what is deleted",
            &deleted.about,
            &About::Pod(scene.full(POD)),
        )?;
        expect("the UID", &deleted.uid(), &uid.as_str())?;
        expect("the grace", &deleted.grace(), &Some(0))?;
        let evictions = scene.evictions(POD);
        expect(
            "whether it asked first",
            &(evictions[0].at < deleted.at),
            &true,
        )?;
        scene.told(&ran, &[POD, "free"])
    })
}

fn cordon(scene: &Scene<'_>, cordoned: Option<bool>) -> Result<(), String> {
    let path = format!("/api/v1/nodes/{}", scene.node);
    let body = json!({"spec": {"unschedulable": cordoned}});
    scene.api.call("PATCH", &path, body).map(drop)
}

/// A drain that is killed while a budget holds the pod.
fn killed_while_held(scene: &Scene<'_>) -> Result<String, String> {
    scene.pods(&[POD])?;
    scene.budget(BUDGET, 1, 1)?;
    let run = scene.drain_killed_at("holds since")?;
    scene.left(&[POD])?;
    expect("whether the node is cordoned", &scene.cordoned()?, &true)?;
    Ok(run)
}

fn killed(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "killed", |scene| {
        let run = killed_while_held(scene)?;
        let undo = scene.program.run(&["undo", &run, "--yes"])?.exits(0)?;
        let undo = undo.says(&["was cut short is still there"])?;
        expect(
            "whether it says that pods were evicted",
            &undo.stdout.contains("come back: "),
            &false,
        )?;
        scene.left(&[POD])?;
        expect("whether the node is cordoned", &scene.cordoned()?, &false)
    })
}

fn uncordoned(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "uncordoned", |scene| {
        // Somebody else had cordoned it: that is no change of the run, which would be missed.
        cordon(scene, Some(true))?;
        let run = killed_while_held(scene)?;
        cordon(scene, None)?;
        let before = scene.evictions(POD).len();
        let resumed = scene.program.run(&["resume", &run])?;
        resumed
            .exits(6)?
            .says(&["somebody has uncordoned it since", "[drift]"])?
            .says(&["1 change made or begun, not known"])?;
        scene.left(&[POD])?;
        expect("evictions", &scene.evictions(POD).len(), &before)
    })
}

fn uncordoned_meanwhile(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "meanwhile", |scene| {
        scene.pods(&[POD])?;
        scene.budget(BUDGET, 1, 1)?;
        let ran = scene.drain_with(|args| {
            let mut run = scene.program.start(args)?;
            run.until_it_says("holds since")?;
            cordon(scene, None)?;
            scene.forget_budget(BUDGET)?;
            run.end()
        })?;
        let ran = ran.exits(6)?.says(&[
            "takes new pods: somebody has uncordoned it since",
            "[drift]",
        ])?;
        scene.left(&[])?;
        scene.told(&ran, &[POD])
    })
}

/// Its kubelet is dead: it stays as it is, terminating.
fn never_ends(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "neverends", |scene| {
        scene.pods(&[POD, "free"])?;
        let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
        scene
            .api
            .call("PATCH", &scene.path(&format!("pods/{POD}")), held)?;
        let ran = scene.drain(&["within=8s"])?.exits(6)?.says(&[POD])?;
        scene.left(&[POD])?;
        expect("evictions", &scene.evictions(POD).len(), &1)?;
        scene.told(&ran, &[POD, "free"])?;
        // Waiting for it alone, it is told what keeps it.
        let ran = scene.drain(&["within=8s"])?.exits(1)?;
        ran.says(&[
            "Nothing was written",
            "being deleted already",
            "finalizers",
            "example.com/hold",
        ])?;
        expect("evictions", &scene.evictions(POD).len(), &1)?;
        // It has been terminating for the time that was given.
        let ran = scene.drain(&["skip_terminating_longer_than=2s"])?;
        ran.exits(0)?;
        scene.left(&[POD])?;
        expect("evictions", &scene.evictions(POD).len(), &1)
    })
}
