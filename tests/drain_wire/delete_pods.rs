//! Pods of a namespace, wherever they are.

use crate::Case;
use crate::answers;
use crate::program::expect;
use crate::rule::{Rule, Then};
use crate::scene::Scene;
use lab::Lab;
use serde_json::json;

pub const CASES: &[Case] = &[
    Case {
        name: "delete_pods::those_that_are_selected_go_and_no_others",
        run: selected,
    },
    Case {
        name: "delete_pods::a_budget_that_holds_one_is_named",
        run: blocked,
    },
];

fn selected(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "selected", |scene| {
        scene.pods(&["first", "second", "other"])?;
        let uid = scene.uid("first")?;
        let label = json!({"metadata": {"labels": {"app": "db"}}});
        scene.api.call("PATCH", &scene.path("pods/other"), label)?;
        let ran = scene.delete_pods(&["selector=app=web"])?.exits(0)?;
        scene.left(&["other"])?;
        expect(
            "evictions of the other",
            &scene.evictions("other").len(),
            &0,
        )?;
        let asked = scene.evictions("first");
        expect("evictions", &asked.len(), &1)?;
        expect("the UID", &asked[0].uid(), &uid.as_str())?;
        expect("the grace", &asked[0].grace(), &Some(0))?;
        expect("whether the node is cordoned", &scene.cordoned()?, &false)?;
        scene.told(&ran, &["first", "second"])
    })
}

fn blocked(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "selectedheld", |scene| {
        scene.pods(&["held"])?;
        let answer = Then::Answered(answers::blocked("holds", 2, 2));
        let rule = Rule::always(scene.eviction_of("held"), answer);
        scene.proxy.rule(rule);
        let ran = scene
            .delete_pods(&["selector=app=web", "on_blocked=fail"])?
            .exits(1)?
            .says(&["held", "holds"])?;
        scene.left(&["held"])?;
        scene.told(&ran, &["held", "holds"])
    })
}
