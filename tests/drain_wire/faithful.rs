//! The proxy itself: its answers are the API server's own, and kubectl drains through it.

use crate::Case;
use crate::answers::{self, Answer};
use crate::api::Api;
use crate::behind::Behind;
use crate::program::expect;
use crate::request::About;
use crate::rule::{Rule, Then, What};
use crate::scene::Scene;
use lab::Lab;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case {
        name: "faithful::answers_are_the_api_servers_own_words",
        run: words,
    },
    Case {
        name: "faithful::kubectl_drains_through_the_proxy_and_meets_what_it_does",
        run: by_kubectl,
    },
    Case {
        name: "faithful::watches_are_disturbed_as_they_should_be",
        run: watches,
    },
];

fn same(what: &str, found: (u16, Value), made: &Answer) -> Result<(), String> {
    let body = serde_json::from_str(&made.body).map_err(|e| e.to_string())?;
    expect(what, &(made.code, body), &found)
}

fn words(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "words", |scene| {
        let evict = |pod: &str, uid: Option<&str>, user: Option<&str>| {
            let mut body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod, "namespace": scene.namespace}, "deleteOptions": {}});
            if let Some(uid) = uid {
                body["deleteOptions"]["preconditions"] = json!({"uid": uid});
            }
            let path = scene.path(&format!("pods/{pod}/eviction"));
            match user {
                None => scene.api.ask(("POST", path, body)),
                Some(user) => scene.api.ask_as(user, ("POST", path, body)),
            }
        };
        scene.pods(&["one", "two"])?;
        same(
            "no such pod",
            evict("none", None, None)?,
            &answers::not_found("none"),
        )?;
        let other = "11111111-2222-3333-4444-555555555555";
        let uid = scene.uid("one")?;
        let answer = answers::another_uid("one", other, &uid);
        same("another UID", evict("one", Some(other), None)?, &answer)?;
        let answer = answers::forbidden(&scene.namespace, "one", "nobody");
        same("no right", evict("one", None, Some("nobody"))?, &answer)?;

        scene.budget("web", 2, 2)?;
        let answer = answers::blocked("web", 2, 2);
        same("a budget", evict("one", None, None)?, &answer)?;
        scene.lab.stop_controllers().map_err(|e| e.to_string())?;
        let changed = json!({"spec": {"minAvailable": 1}});
        let budgets = format!(
            "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
            scene.namespace
        );
        let asked = scene
            .api
            .call("PATCH", &format!("{budgets}/web"), changed)
            .and_then(|_| evict("one", None, None));
        scene.lab.start_controllers().map_err(|e| e.to_string())?;
        same(
            "a budget nobody counted for",
            asked?,
            &answers::being_processed("web"),
        )?;
        scene.make_budget("also", 1)?;
        same(
            "two budgets",
            evict("one", None, None)?,
            &answers::several_budgets(),
        )?;

        // The pods keep the namespace from going.
        let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
        scene.api.call("PATCH", &scene.path("pods/one"), hold)?;
        let path = format!("/api/v1/namespaces/{}", scene.namespace);
        scene.api.call("DELETE", &path, Value::Null)?;
        let answer = answers::terminating(&scene.namespace, "one");
        same("a namespace that goes", evict("one", None, None)?, &answer)
    })
}

fn by_kubectl(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "kubectl", |scene| {
        scene.pods(&["again", "gone", "lost", "new", "plain"])?;
        let new = scene.uid("new")?;
        let answer = Then::Answered(answers::blocked("web", 2, 2));
        scene
            .proxy
            .rule(Rule::once(scene.eviction_of("again"), answer));
        scene
            .proxy
            .rule(Rule::once(scene.eviction_of("gone"), Then::Forwarded).behind(Behind::Deletes));
        let busy = Then::Answered(answers::forbidden(&scene.namespace, "new", "admin"));
        scene
            .proxy
            .rule(Rule::once(scene.eviction_of("new"), busy).behind(Behind::Recreates));
        scene
            .proxy
            .rule(Rule::always(scene.eviction_of("lost"), Then::CutAfter));
        let ran = scene.kubectl(&["drain", &scene.node, "--grace-period=0"])?;
        let ran = ran.exits(1)?.says(&[
            "node/kubectl cordoned",
            "pod/plain evicted",
            "pod/again evicted",
            // It never waits for one whose answer was 404.
            "evicting pod",
            "will retry after 5s",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            "error when evicting pods/\"new\"",
            "is forbidden",
            "error when evicting pods/\"lost\"",
            "EOF",
        ])?;
        expect(
            "whether it names a budget",
            &ran.stderr.contains("web"),
            &false,
        )?;
        // The one that was lost was done all the same.
        scene.left(&["new"])?;
        expect("whether it is another", &(scene.uid("new")? != new), &true)?;
        expect("evictions of `again`", &scene.evictions("again").len(), &2)?;
        expect("evictions of `gone`", &scene.evictions("gone").len(), &1)?;
        let asked = scene.proxy.asked();
        let graces = asked.iter().filter(|a| a.is_eviction()).map(|a| a.grace());
        expect(
            "whether each has its grace",
            &graces.clone().all(|g| g == Some(0)),
            &true,
        )?;
        let looked = |a: &&crate::request::Asked| {
            a.method == "GET" && a.about == About::Pod(scene.full("plain"))
        };
        expect(
            "whether kubectl got a single pod",
            &(asked.iter().filter(looked).count() > 0),
            &true,
        )?;
        expect(
            "whether several were under way",
            &(scene.proxy.most_evicting() > 1),
            &true,
        )
    })
}

fn watches(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "watches", |scene| {
        scene.pods(&["one"])?;
        let through = Api::by(lab, Path::new(&scene.proxy.kubeconfig()))?;
        let watch = |seconds: u32| {
            let path = scene.path(&format!("pods?watch=1&timeoutSeconds={seconds}"));
            let begun = Instant::now();
            let said = through.ask(("GET", path, Value::Null));
            (said, begun.elapsed())
        };
        let (said, _) = watch(1);
        let said = said?;
        expect(
            "whether it is forwarded",
            &said.1.to_string().contains("ADDED"),
            &true,
        )?;
        let rule = |then| scene.proxy.rule(Rule::once(What::Watches, then));
        rule(Then::Answered(answers::expired_event()));
        expect(
            "the code of an event",
            &watch(1).0?.1["object"]["code"],
            &json!(410),
        )?;
        rule(Then::Answered(answers::expired()));
        let (code, said) = watch(1).0?;
        expect(
            "what has expired",
            &(code, said["reason"].clone()),
            &(410, json!("Expired")),
        )?;
        rule(Then::CutInAnEvent);
        expect("whether it is cut", &watch(5).0.is_err(), &true)?;
        rule(Then::CutBefore);
        expect("whether it is cut", &watch(5).0.is_err(), &true)?;
        let quiet = Duration::from_secs(2);
        rule(Then::Quiet(quiet));
        let (said, took) = watch(1);
        expect("whether it waits", &(took >= quiet), &true)?;
        expect(
            "whether it comes",
            &said?.1.to_string().contains("ADDED"),
            &true,
        )?;
        rule(Then::Mute);
        let (said, took) = watch(2);
        expect("what is said", &said?, &(200, json!("")))?;
        expect("whether it lasts", &(took >= Duration::from_secs(2)), &true)?;
        rule(Then::Answered(answers::busy(3)));
        let (code, said) = watch(1).0?;
        expect("the code", &code, &429)?;
        expect(
            "the text",
            &said,
            &json!("Too many requests, please try again later.\n"),
        )
    })
}
