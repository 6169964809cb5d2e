//! What each answer of an API server to a write means: answers that a real one cannot be made to give
//! on demand, given on the wire by a server of this test's own.

#[cfg(test)]
mod permit;

#[cfg(test)]
mod tests {
    use runbook::fault::{Class, Fault};
    use runbook::journal::Permit;
    use runbook::model::{Effect, FieldChange, FieldPath, Holder, ObjectRef, Propagation, Sitting};
    use runbook::transport::{Claimable, Claimed, Cluster, ClusterOptions, Renewed, Trial, Tried};
    use serde_json::{Value, json};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::mpsc;

    fn node() -> ObjectRef {
        ObjectRef {
            api_version: "v1".into(),
            kind: "Node".into(),
            resource: "nodes".into(),
            namespace: None,
            name: "node02".into(),
            uid: "u-2".into(),
        }
    }

    /// The node at a version of the API server's.
    fn at(version: &str) -> Value {
        json!({"metadata": {"uid": "u-2", "resourceVersion": version, "annotations": {"a": "old"}}})
    }

    fn patch() -> Effect {
        Effect::SetFields {
            object: node(),
            fields: vec![FieldChange {
                path: FieldPath::annotation("a"),
                before: Some("old".into()),
                after: Some("new".into()),
            }],
        }
    }

    fn delete() -> Effect {
        let pod = ObjectRef {
            kind: "Pod".into(),
            resource: "pods".into(),
            namespace: Some("kube-system".into()),
            ..node()
        };
        Effect::ReplacePod {
            pod,
            owner: "ds".into(),
            node: "node02".into(),
        }
    }

    /// What is made and deleted as a whole: one side is there.
    fn whole(uid: &str, makes: bool) -> Effect {
        let object = ObjectRef {
            kind: "ConfigMap".into(),
            resource: "configmaps".into(),
            namespace: Some("n".into()),
            name: "c".into(),
            uid: uid.into(),
            ..node()
        };
        let image = json!({"metadata": {"name": "c", "namespace": "n"}, "data": {"a": "1"}});
        Effect::PutObject {
            object,
            before: (!makes).then(|| image.clone()),
            after: makes.then_some(image),
            propagation: Propagation::Foreground,
        }
    }

    fn permit(effect: Effect) -> Permit {
        crate::permit::permit(effect, &[]).unwrap().0
    }

    /// One answer: a status with a body, or a connection that is cut after the request.
    enum Answer {
        Is(u16, Value),
        Cut,
    }

    fn request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|l| {
                        l.to_lowercase()
                            .strip_prefix("content-length: ")
                            .map(str::to_owned)
                    })
                    .map_or(0, |l| l.parse::<usize>().unwrap());
                if body.len() >= length || read == 0 {
                    return text;
                }
            }
        }
    }

    /// Serves the answers, one a connection; gives the requests back.
    fn serve(answers: Vec<Answer>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                sender.send(request(&mut stream)).unwrap();
                if let Answer::Is(code, body) = answer {
                    let body = body.to_string();
                    write!(
                        stream,
                        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    )
                    .unwrap();
                }
            }
        });
        (address, requests)
    }

    fn status(code: u16, reason: &str) -> Answer {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": format!("because {code}")});
        Answer::Is(code, body)
    }

    async fn cluster(folder: &Path, server: &str) -> Cluster {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        let options = ClusterOptions {
            kubeconfig: Some(path),
            context: None,
        };
        Cluster::connect(&options).await.unwrap()
    }

    async fn write(effect: Effect, answers: Vec<Answer>) -> (Result<(), Fault>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let (server, requests) = serve(answers);
        let cluster = cluster(folder.path(), &server).await;
        let result = cluster.perform(permit(effect), Some(&at("7"))).await;
        (result, requests.try_iter().collect())
    }

    async fn means(effect: Effect, answers: Vec<Answer>) -> (Class, String) {
        let fault = write(effect, answers).await.0.unwrap_err();
        (fault.class, fault.code)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_rests_on_what_was_read() {
        let (result, requests) = write(patch(), vec![Answer::Is(200, at("8"))]).await;
        assert_eq!(result, Ok(()));
        let request = &requests[0];
        assert!(request.starts_with("PATCH /api/v1/nodes/node02?fieldManager=runbook"));
        assert!(request.contains("application/json-patch+json"));
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(
            body,
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u-2"},
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "test", "path": "/metadata/annotations/a", "value": "old"},
                {"op": "replace", "path": "/metadata/annotations/a", "value": "new"},
            ])
        );
        let (result, requests) = write(delete(), vec![Answer::Is(200, json!({}))]).await;
        assert_eq!(result, Ok(()));
        assert!(requests[0].starts_with("DELETE /api/v1/namespaces/kube-system/pods/node02"));
        assert!(requests[0].contains("\"preconditions\":{\"uid\":\"u-2\"}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_answer_has_its_meaning() {
        let definite = |code: &str| (Class::Definite, code.to_owned());
        assert_eq!(
            means(patch(), vec![status(409, "Conflict")]).await,
            definite("api_conflict")
        );
        assert_eq!(
            means(delete(), vec![status(404, "NotFound")]).await,
            definite("gone")
        );
        assert_eq!(
            means(patch(), vec![status(403, "Forbidden")]).await,
            definite("api_forbidden")
        );
        assert_eq!(
            means(patch(), vec![status(400, "BadRequest")]).await,
            definite("api_rejected")
        );
        // A test of the patch failed, or the change is not valid: the object's version tells.
        assert_eq!(
            means(
                patch(),
                vec![status(422, "Invalid"), Answer::Is(200, at("8"))]
            )
            .await,
            definite("api_conflict")
        );
        assert_eq!(
            means(
                patch(),
                vec![status(422, "Invalid"), Answer::Is(200, at("7"))]
            )
            .await,
            definite("api_rejected")
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_is_made_at_its_collection_and_deleted_as_it_was_read() {
        let create = || whole("", true);
        let (result, requests) = write(create(), vec![Answer::Is(201, at("8"))]).await;
        assert_eq!(result, Ok(()));
        assert!(requests[0].starts_with(
            "POST /api/v1/namespaces/n/configmaps?fieldManager=runbook&fieldValidation=Strict"
        ));
        let body = requests[0].split_once("\r\n\r\n").unwrap().1;
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["data"], json!({"a": "1"}));

        for uid in ["u-2", ""] {
            let (result, requests) =
                write(whole(uid, false), vec![Answer::Is(200, json!({}))]).await;
            assert_eq!(result, Ok(()));
            assert!(requests[0].starts_with("DELETE /api/v1/namespaces/n/configmaps/c "));
            let body = requests[0].split_once("\r\n\r\n").unwrap().1;
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(
                body["preconditions"],
                json!({"uid": "u-2", "resourceVersion": "7"})
            );
            assert_eq!(body["propagationPolicy"], json!("Foreground"));
        }
        // Another by its name is not deleted: it is not even asked for.
        let (result, requests) = write(whole("u-3", false), vec![]).await;
        assert_eq!(result.unwrap_err().code, "gone");
        assert!(requests.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_answer_to_making_and_deleting_has_its_meaning() {
        let definite = |code: &str| (Class::Definite, code.to_owned());
        for (makes, code, reason, meaning) in [
            (true, 409, "AlreadyExists", definite("api_conflict")),
            (true, 404, "NotFound", definite("api_rejected")),
            (true, 422, "Invalid", definite("api_rejected")),
            (true, 403, "Forbidden", definite("api_forbidden")),
            (false, 404, "NotFound", definite("gone")),
            (false, 409, "Conflict", definite("api_conflict")),
            (false, 403, "Forbidden", definite("api_forbidden")),
        ] {
            let uid = if makes { "" } else { "u-2" };
            let found = means(whole(uid, makes), vec![status(code, reason)]).await;
            assert_eq!(found, meaning, "{makes} {code}");
        }
        for makes in [true, false] {
            let uid = if makes { "" } else { "u-2" };
            for answer in [Answer::Cut, status(500, "InternalError")] {
                let class = means(whole(uid, makes), vec![answer]).await.0;
                assert_eq!(class, Class::Indeterminate);
            }
        }
    }

    /// Where a DELETE has a body, the API server does not look at its query: both say it.
    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_is_tried_says_that_it_is_a_dry_run() {
        let value = json!({"a": 1});
        for (trial, kind) in [
            (Trial::Merge(&value), "application/merge-patch+json"),
            (
                Trial::Strategic(&value),
                "application/strategic-merge-patch+json",
            ),
            (Trial::Json(&value), "application/json-patch+json"),
            (
                Trial::Apply {
                    manifest: &value,
                    force: false,
                },
                "application/apply-patch+yaml",
            ),
            (Trial::Create(&value), "application/json"),
            (
                Trial::Delete(Propagation::Background),
                "\"dryRun\":[\"All\"]",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (server, requests) = serve(vec![Answer::Is(200, at("7"))]);
            let cluster = cluster(folder.path(), &server).await;
            let tried = cluster.dry_run("/api/v1/x", trial).await.unwrap();
            assert_eq!(tried, Tried::Accepted(at("7")));
            let request = requests.recv().unwrap();
            let line = request.lines().next().unwrap();
            assert!(line.contains("/api/v1/x?dryRun=All&"), "{line}");
            assert!(line.contains("fieldValidation=Strict"), "{line}");
            assert!(request.contains(kind), "{request}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rejection_of_what_is_tried_is_no_fault_and_names_who_keeps_it() {
        let tried = async |answer| {
            let folder = tempfile::tempdir().unwrap();
            let (server, _requests) = serve(vec![answer]);
            let cluster = cluster(folder.path(), &server).await;
            cluster.dry_run("/api/v1/x", Trial::Merge(&json!({}))).await
        };
        for code in [400, 403, 404, 409, 422] {
            let Tried::Rejected(rejection) = tried(status(code, "X")).await.unwrap() else {
                panic!("{code}")
            };
            assert_eq!(rejection.message, format!("because {code}"));
        }
        let conflict = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409,
            "reason": "Conflict", "message": "Apply failed", "details": {"causes": [
                {"reason": "FieldManagerConflict", "message": "conflict with \"argocd\" using v1", "field": ".data.a"}]}});
        let Tried::Rejected(rejection) = tried(Answer::Is(409, conflict)).await.unwrap() else {
            panic!()
        };
        let [conflict] = rejection.conflicts.as_slice() else {
            panic!()
        };
        assert_eq!(
            (conflict.manager.as_str(), conflict.field.as_str()),
            ("argocd", "data.a")
        );
        for (code, class) in [
            (401, Class::Refused),
            (429, Class::Unreachable),
            (500, Class::Unreachable),
            (503, Class::Unreachable),
        ] {
            let fault = tried(status(code, "X")).await.unwrap_err();
            assert_eq!(fault.class, class, "{code}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_clear_answer_nobody_knows() {
        for answers in [
            vec![status(500, "InternalError")],
            vec![status(504, "Timeout")],
            vec![Answer::Cut],
        ] {
            assert_eq!(means(patch(), answers).await.0, Class::Indeterminate);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_never_left_this_machine_was_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let cluster = cluster(folder.path(), &server).await;
        let permit = permit(patch());
        let fault = cluster.perform(permit, Some(&at("7"))).await.unwrap_err();
        assert_eq!(fault.class, Class::Unreachable);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn drift_since_the_second_look_is_not_even_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (server, requests) = serve(vec![]);
        let cluster = cluster(folder.path(), &server).await;
        let mut now = at("7");
        now["metadata"]["annotations"]["a"] = json!("other");
        let fault = cluster
            .perform(permit(patch()), Some(&now))
            .await
            .unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_str()),
            (Class::Definite, "drift")
        );
        assert_eq!(requests.try_iter().count(), 0);
    }

    /// A node that points to a Lease, or to none.
    fn pointing(version: &str, lease: Option<&str>) -> Answer {
        let annotations = match lease {
            Some(lease) => json!({"runbook/claim": lease}),
            None => json!({}),
        };
        Answer::Is(
            200,
            json!({"metadata": {"uid": "u-2", "resourceVersion": version, "annotations": annotations}}),
        )
    }

    fn claimable() -> Claimable {
        Claimable::node("node02", "u-2")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_claim_is_written_where_nobody_else_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let (claim, _) = crate::permit::claim_permit().unwrap();
        // Kubelet wrote to the node at the same moment.
        let answers = vec![
            pointing("5", None),
            status(409, "Conflict"),
            pointing("6", None),
            pointing("7", Some("own")),
        ];
        let (server, requests) = serve(answers);
        let at = cluster(folder.path(), &server).await;
        let put = at.put_claim(claim, &claimable(), "own", &[]).await;
        assert_eq!(put, Ok(Claimed::Done));
        let last = requests.try_iter().last().unwrap();
        assert!(last.starts_with("PATCH /api/v1/nodes/node02"), "{last}");
        assert!(last.contains("\"resourceVersion\":\"6\""), "{last}");
        // Somebody else's is only looked at, unless it gives way.
        for (over, wanted, asked) in [
            (vec![], Claimed::By("theirs".to_owned()), 1),
            (vec!["theirs".to_owned()], Claimed::Done, 2),
        ] {
            let answers = vec![pointing("5", Some("theirs")), pointing("6", Some("own"))];
            let (server, requests) = serve(answers);
            let at = cluster(folder.path(), &server).await;
            let put = at.put_claim(claim, &claimable(), "own", &over).await;
            assert_eq!(put, Ok(wanted));
            assert_eq!(requests.try_iter().count(), asked);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_ones_own_claim_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let (claim, _) = crate::permit::claim_permit().unwrap();
        for (answer, asked) in [
            (pointing("5", Some("theirs")), 1),
            (pointing("5", None), 1),
            (status(404, "NotFound"), 1),
            (pointing("5", Some("own")), 2),
        ] {
            let (server, requests) = serve(vec![answer, pointing("6", None)]);
            let at = cluster(folder.path(), &server).await;
            assert_eq!(at.drop_claim(claim, &claimable(), "own").await, Ok(()));
            assert_eq!(requests.try_iter().count(), asked);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_is_that_of_one_sitting() {
        let folder = tempfile::tempdir().unwrap();
        let (claim, plan) = crate::permit::claim_permit().unwrap();
        let lease = |sitting, version: &str| {
            let now = "2026-01-02T03:04:05Z".parse().unwrap();
            let holder = Holder::of(claim.run(), sitting, &plan, None);
            Answer::Is(200, holder.lease(Some(version), now))
        };
        let holder = Holder::of(claim.run(), claim.sitting(), &plan, None);
        // The answer to the first write is lost; it is found to have been written.
        let (server, _requests) = serve(vec![Answer::Cut, lease(claim.sitting(), "3")]);
        let at = cluster(folder.path(), &server).await;
        let held = at.hold_lease(claim, &holder, None).await;
        assert_eq!(held, Ok(Some("3".to_owned())));
        // Somebody was faster.
        let (server, _requests) = serve(vec![status(409, "AlreadyExists")]);
        let at = cluster(folder.path(), &server).await;
        assert_eq!(at.hold_lease(claim, &holder, None).await, Ok(None));
        // It is renewed as long as it is its own, whoever else wrote to it.
        let other = Sitting::generate();
        for (answers, renewed) in [
            (vec![lease(claim.sitting(), "4")], true),
            (
                vec![
                    status(409, "Conflict"),
                    lease(claim.sitting(), "5"),
                    lease(claim.sitting(), "6"),
                ],
                true,
            ),
            (vec![status(409, "Conflict"), lease(other, "5")], false),
            (vec![status(404, "NotFound")], false),
        ] {
            let (server, _requests) = serve(answers);
            let at = cluster(folder.path(), &server).await;
            let found = at.renew_lease(claim, "runbook-x", "3").await.unwrap();
            assert_eq!(matches!(found, Renewed::Yes { .. }), renewed, "{found:?}");
        }
        // What is another sitting's by now is not deleted.
        let (server, requests) = serve(vec![lease(other, "5")]);
        let at = cluster(folder.path(), &server).await;
        assert_eq!(at.drop_lease(claim, "runbook-x").await, Ok(()));
        assert_eq!(requests.try_iter().count(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_api_server_that_is_away_is_told_from_one_that_refuses() {
        let folder = tempfile::tempdir().unwrap();
        for (answer, code) in [
            (status(503, "ServiceUnavailable"), "api_unreachable"),
            (status(500, "InternalError"), "api_unreachable"),
            (status(429, "TooManyRequests"), "api_unreachable"),
            (Answer::Cut, "api_unreachable"),
            (status(401, "Unauthorized"), "api_unauthorized"),
            (status(403, "Forbidden"), "api_forbidden"),
        ] {
            let (server, _requests) = serve(vec![answer]);
            let at = cluster(folder.path(), &server).await;
            let fault = at.get("/api/v1/nodes/x").await.unwrap_err();
            assert_eq!(fault.code, code);
        }
    }
}
