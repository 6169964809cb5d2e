use super::*;
use std::sync::Mutex;

struct Silent(Vec<String>);

#[async_trait]
impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
    fn waiting(&mut self, waiting: &Waiting) {
        self.0.push(waiting.what.clone());
    }
    async fn ask(&mut self, question: &Question) -> Result<bool, Fault> {
        self.0.push(question.message.clone());
        Ok(true)
    }
}

const NOT: Option<&str> = Some("not yet");

/// Reads a script, one entry a second; its last entry stays. `None` is "it holds".
async fn waited(
    within: u64,
    settle: u64,
    while_it_moves: bool,
    script: Vec<Option<&str>>,
) -> (Result<(), Fault>, u64) {
    let script = Mutex::new(script);
    let limits = Limits {
        within: Duration::from_secs(within),
        settle: Duration::from_secs(settle),
        while_it_moves,
        every: Duration::from_secs(1),
        until: None,
    };
    let (_keep, stop) = watch::channel(false);
    let begun = Instant::now();
    let result = wait(limits, &mut Silent(vec![]), stop, async || {
        let mut script = script.lock().unwrap();
        let now = if script.len() > 1 {
            script.remove(0)
        } else {
            script[0]
        };
        Ok(now.map_or(Settled::Yes, |what| Settled::NotYet(what.to_owned())))
    })
    .await;
    (result, begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn it_must_hold_without_a_break() {
    let (result, took) = waited(100, 5, false, vec![NOT, None, None, NOT, None]).await;
    assert_eq!((result, took), (Ok(()), 9));
}

#[tokio::test(start_paused = true)]
async fn what_holds_when_the_time_is_up_may_go_on_to_hold() {
    let mut script = vec![NOT; 9];
    script.push(None);
    let (result, took) = waited(10, 5, false, script).await;
    assert_eq!((result, took), (Ok(()), 14));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_about_is_a_timeout_that_says_what_is_missing() {
    let (result, took) = waited(10, 5, false, vec![NOT]).await;
    assert_eq!(took, 10);
    insta::assert_snapshot!(result.unwrap_err().message, @"it did not come about within 10 s: not yet");
    let mut script = vec![None; 3];
    script.push(NOT);
    let (result, _) = waited(10, 5, false, script).await;
    insta::assert_snapshot!(result.unwrap_err().message, @"it did not come about within 10 s: not yet; it had held for 3 s of the 5 s needed");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_takes_as_long_as_it_moves() {
    let mut script: Vec<Option<&str>> = Vec::new();
    for pod in ["1 of 3", "2 of 3", "3 of 3"] {
        script.extend(vec![Some(pod); 8]);
    }
    script.push(None);
    let (result, took) = waited(10, 0, true, script).await;
    assert_eq!((result, took), (Ok(()), 24));
    let (result, took) = waited(10, 0, true, vec![Some("1 of 3"), Some("2 of 3")]).await;
    assert_eq!(took, 11);
    insta::assert_snapshot!(result.unwrap_err().message, @"nothing has moved for 10 s: 2 of 3");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_world_is_waited_for_and_another_fault_is_not() {
    let limits = Limits {
        within: Duration::from_secs(10),
        settle: Duration::ZERO,
        while_it_moves: false,
        every: Duration::from_secs(1),
        until: None,
    };
    let (_keep, stop) = watch::channel(false);
    let calls = Mutex::new(0);
    let read = |fault: Fault| {
        let calls = &calls;
        async move || {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1..=3 => Err(fault.clone()),
                _ => Ok(Settled::Yes),
            }
        }
    };
    let mut silent = Silent(vec![]);
    let away = Fault::unreachable("api_unreachable", "away");
    assert_eq!(
        wait(limits, &mut silent, stop.clone(), read(away)).await,
        Ok(())
    );
    assert_eq!(silent.0, ["away", "away", "away"]);
    *calls.lock().unwrap() = 0;
    let wrong = Fault::definite("overwritten", "x");
    assert!(wait(limits, &mut silent, stop, read(wrong)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_waiting() {
    let limits = Limits {
        within: Duration::from_secs(10),
        settle: Duration::ZERO,
        while_it_moves: false,
        every: Duration::from_secs(1),
        until: None,
    };
    let (sender, stop) = watch::channel(false);
    sender.send(true).unwrap();
    let result = wait(limits, &mut Silent(vec![]), stop.clone(), async || {
        Ok(Settled::NotYet("x".into()))
    })
    .await;
    assert_eq!(result.unwrap_err().code, "stopped");
    // The step under way has come to its end already: that counts, and not by chance.
    for _ in 0..50 {
        let read = async || Ok(Settled::Yes);
        let result = wait(limits, &mut Silent(vec![]), stop.clone(), read).await;
        assert_eq!(result, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_large_is_moved_on_until_the_run_is_stopped_or_the_step_has_no_time_left() {
    let code = |moved: Result<(), Fault>| moved.map_err(|fault| fault.code);
    let (sender, stop) = watch::channel(false);
    assert_eq!(may_move_on(&stop, None), Ok(()));
    let until = Some(Until::within(5));
    assert_eq!(may_move_on(&stop, until), Ok(()));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(code(may_move_on(&stop, until)), Err(TIMEOUT.to_owned()));
    sender.send(true).unwrap();
    assert_eq!(code(may_move_on(&stop, until)), Err("stopped".to_owned()));
}

/// The step has failed then, and the run ends like after any other that does.
#[test]
fn what_cannot_be_kept_is_not_decided() {
    use crate::journal::{StateDir, test_events::start};
    use crate::model::{Digest, RunId};
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path().join("state"));
    let run = RunId::generate();
    let mut journal = Journal::create(&state, run, start(run), &Blobs::default()).unwrap();
    let path = folder.path().join("source");
    std::fs::write(&path, "another").unwrap();
    let mut blobs = Blobs::default();
    let content = Content::File { path, size: 7 };
    blobs.add(Digest::of(b"what it was"), content);
    let fault = kept(&mut journal, (Vec::new(), blobs)).unwrap_err();
    assert_eq!(fault.code, "source_changed");
}

#[test]
fn what_was_written_must_stay() {
    use crate::model::{FieldChange, FieldPath, ObjectRef};
    use serde_json::json;
    let effect = Effect::SetFields {
        object: ObjectRef::node_for_test("n"),
        fields: vec![FieldChange {
            path: FieldPath::annotation("a"),
            before: Some("old".into()),
            after: Some("new".into()),
        }],
    };
    let now = |a: &str| json!({"metadata": {"uid": "u", "annotations": {"a": a}}});
    let code = |a: &str| written(&effect, &Now::Object(Some(now(a))), true).map_err(|f| f.code);
    assert_eq!(code("new"), Ok(Settled::Yes));
    assert_eq!(code("old"), Err("taken_back".to_owned()));
    assert_eq!(code("else"), Err("overwritten".to_owned()));
}

/// A change of a DaemonSet's template is over when its pods are replaced; when a run is taken back,
/// when its controller has seen it; any other change, when it is read back.
#[test]
fn a_template_is_written_when_its_pods_are_replaced() {
    use crate::model::{FieldChange, FieldPath, ObjectRef};
    use serde_json::json;
    let set = |path: FieldPath| Effect::SetFields {
        object: ObjectRef::for_test("apps/v1", "DaemonSet", "kube-system", "calico-node"),
        fields: vec![FieldChange {
            path,
            before: None,
            after: Some("new".into()),
        }],
    };
    let template = FieldPath::root().key("spec").key("template").key("a");
    let now = |observed: i64, updated: i64| {
        Now::Object(Some(json!({
            "metadata": {"uid": "u", "generation": 2, "annotations": {"a": "new"}},
            "spec": {"template": {"a": "new"}},
            "status": {"observedGeneration": observed, "desiredNumberScheduled": 3,
                       "updatedNumberScheduled": updated, "numberAvailable": 3},
        })))
    };
    let over = |path: FieldPath, now: &Now, ready| {
        matches!(written(&set(path), now, ready), Ok(Settled::Yes))
    };
    assert!(over(template.clone(), &now(2, 3), true));
    assert!(!over(template.clone(), &now(2, 1), true));
    assert!(over(template.clone(), &now(2, 1), false));
    assert!(!over(template, &now(1, 1), false));
    assert!(over(FieldPath::annotation("a"), &now(1, 1), true));
}

/// An object that was held by nothing but its finalizers is gone when they are off.
#[test]
fn what_finalizers_were_taken_off_may_be_gone() {
    use crate::model::{FieldChange, FieldPath, ObjectRef};
    use serde_json::{Value, json};
    let set = |path: &str, before: Value, after: Value| Effect::SetFields {
        object: ObjectRef::for_test("v1", "ConfigMap", "n", "c"),
        fields: vec![FieldChange {
            path: FieldPath::root().key("metadata").key(path),
            before: Some(before),
            after: Some(after),
        }],
    };
    let now = |uid: &str, held: &[&str]| {
        Now::Object(Some(
            json!({"metadata": {"uid": uid, "deletionTimestamp": "t", "finalizers": held}}),
        ))
    };
    let take = set("finalizers", json!(["a", "b"]), json!(["b"]));
    for now in [
        Now::Object(None),
        now("another", &["a", "b"]),
        now("u", &["b"]),
        now("u", &[]),
    ] {
        assert_eq!(written(&take, &now, true), Ok(Settled::Yes), "{now:?}");
    }
    let code = |effect: &Effect, now: &Now| written(effect, now, true).map_err(|f| f.code);
    assert_eq!(
        code(&take, &now("u", &["a", "b"])),
        Err("taken_back".to_owned())
    );
    let overwritten = Err("overwritten".to_owned());
    assert_eq!(code(&take, &now("u", &["c"])), overwritten);
    let put = set("finalizers", json!(["b"]), json!(["a", "b"]));
    let other = set("generateName", json!("a"), json!("b"));
    for effect in [put, other] {
        assert_eq!(code(&effect, &Now::Object(None)), overwritten, "{effect:?}");
    }
}
