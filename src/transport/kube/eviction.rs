//! Evictions. kube-rs 5.0's own puts the options under a name that the API does not read, so that grace period
//! and precondition are lost.

use super::{Answer, Cluster, rejected};
use crate::fault::Fault;
use crate::journal::Permit;
use crate::model::{Effect, ObjectRef};
use http::{Method, Request, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

/// The causes by which the API server names what is in the way (k8s.io/api v0.34).
const BUDGET: &str = "DisruptionBudget";
/// What it names where not the pod, but its budget was in the way.
const PODS: &str = "pods";
const BUDGETS: &str = "poddisruptionbudgets";
const NAMESPACE_ENDS: &str = "NamespaceTerminating";
/// What it says of a pod that no eviction can ever take away (kubernetes v1.34, eviction.go).
const SEVERAL_BUDGETS: &str = "more than one PodDisruptionBudget";

/// So much is kept of an answer that is not the API server's own.
const FOREIGN: usize = 300;

/// What became of an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// The pod is being deleted.
    Begun,
    /// There is no such pod.
    Gone,
    /// Under its name there is another pod, or the pod was changed at the same moment.
    Conflict,
    /// Its budget was written by so many at the same moment that the API server gave up (kubernetes v1.34 tries for
    /// 10 s).
    Contended,
    /// A budget holds it; its name and what was counted for it, where the answer has them.
    Held {
        budget: Option<String>,
        /// `needs 2 healthy pods and has 2`.
        counts: Option<String>,
    },
    /// The API server has too much to do; seconds after which it may be asked again.
    Busy { seconds: u64 },
    /// Something in the cluster that is asked about evictions refuses it for now, such as one that moves a virtual
    /// machine first; what, and what it says.
    NotNow { by: String, why: String },
    /// Its namespace is being deleted, and the pod with it.
    NamespaceEnds,
    /// It will not be evicted.
    Refused(Fault),
    /// It may have been.
    Unclear(Fault),
    /// Nothing reached the API server.
    Silent(Fault),
    /// Something before the API server says that it is not there; it may have been evicted.
    Away(Fault),
}

impl Cluster {
    /// Evicts a pod, or deletes it where budgets do not count. The permit may be used again while nothing has come
    /// of it: both rest on the pod's UID, and a pod goes once.
    pub async fn evict(&self, permit: &Permit) -> Evicted {
        let Effect::EvictPod {
            pod,
            grace,
            deletes,
            ..
        } = permit.effect()
        else {
            return Evicted::Refused(Fault::internal("this is no eviction"));
        };
        let mut options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": pod.uid},
        });
        if let (Some(seconds), Some(options)) = (grace, options.as_object_mut()) {
            options.insert("gracePeriodSeconds".to_owned(), json!(seconds));
        }
        let (method, path, body) = match deletes {
            true => (Method::DELETE, pod.path(), options),
            false => {
                let eviction = json!({
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"namespace": pod.namespace, "name": pod.name},
                    "deleteOptions": options,
                });
                (Method::POST, format!("{}/eviction", pod.path()), eviction)
            }
        };
        match self.ask_for(method, &path, &body).await {
            None => Evicted::Begun,
            Some(answer) => self.not_evicted(pod, answer),
        }
    }

    /// Why it was not done, where it was not. When to ask again stands in a header, which the client's own
    /// requests do not give.
    async fn ask_for(&self, method: Method, path: &str, body: &Value) -> Option<Answer> {
        tracing::debug!(%method, path, "API");
        let bytes = match serde_json::to_vec(body) {
            Ok(bytes) => bytes,
            Err(e) => return Some(Answer::NotSent(e.to_string())),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .body(Body::from(bytes));
        let response = match request {
            Ok(request) => self.client.send(request).await,
            Err(e) => return Some(Answer::NotSent(e.to_string())),
        };
        let response = match response {
            Ok(response) => response,
            Err(e) => return Some(Answer::of(&e, false)),
        };
        let code = response.status();
        let after = response.headers().get("Retry-After");
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        let bytes = match response.into_body().collect_bytes().await {
            Ok(bytes) => bytes,
            Err(e) => return Some(Answer::of(&e, false)),
        };
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        match (code.is_success(), value) {
            (true, Some(value)) => failure(&value),
            (true, None) => Some(Answer::Lost(
                "something else answered in its place".to_owned(),
            )),
            (false, value) => Some(
                match value.and_then(|value| serde_json::from_value(value).ok()) {
                    Some(status) => Answer::status_with(&status, code, after),
                    // Not all that it refuses it refuses in its own form: what has too much to do does not, and
                    // may say that it can be asked again at once.
                    None => Answer::Status {
                        code,
                        message: String::from_utf8_lossy(&bytes)
                            .trim()
                            .chars()
                            .take(FOREIGN)
                            .collect(),
                        conflicts: Vec::new(),
                        causes: Vec::new(),
                        about: String::new(),
                        retry_after: after.unwrap_or(0).max(1),
                    },
                },
            ),
        }
    }

    fn not_evicted(&self, pod: &ObjectRef, answer: Answer) -> Evicted {
        let (code, message, causes, about, retry_after) = match answer {
            Answer::Status {
                code,
                message,
                causes,
                about,
                retry_after,
                ..
            } => (code, message, causes, about, retry_after),
            Answer::NotSent(why) => return Evicted::Silent(self.unreachable(&why)),
            Answer::Unusable(why) => return Evicted::Refused(self.unusable(&why)),
            lost @ Answer::Lost(_) => return Evicted::Unclear(self.write_fault(pod, lost)),
        };
        let cause = |reason: &str| causes.iter().find(|(of, _)| of == reason);
        match code {
            StatusCode::NOT_FOUND if about == PODS => Evicted::Gone,
            StatusCode::CONFLICT if about == BUDGETS => Evicted::Contended,
            StatusCode::CONFLICT => Evicted::Conflict,
            StatusCode::TOO_MANY_REQUESTS => match cause(BUDGET) {
                Some((_, why)) => Evicted::Held {
                    budget: budget_in(why),
                    counts: counts_in(why),
                },
                // One that has too much to do says when to ask again (kubernetes v1.34, its filters and its storage).
                None if retry_after == 0 => not_now(&message),
                None => Evicted::Busy {
                    seconds: retry_after,
                },
            },
            StatusCode::FORBIDDEN if cause(NAMESPACE_ENDS).is_some() => Evicted::NamespaceEnds,
            code if code.is_server_error() && message.contains(SEVERAL_BUDGETS) => {
                let why = format!(
                    "{pod} has more than one PodDisruptionBudget, and the API server evicts no such pod"
                );
                let next = "take one of them away, or let `on_blocked: force` delete the pod";
                Evicted::Refused(Fault::definite("several_budgets", why).next(next))
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                Evicted::Away(self.unreachable(&format!("it answers with {code}: {message}")))
            }
            // A path that nobody serves tells nothing of the pod.
            code if code.is_server_error() || code == StatusCode::NOT_FOUND => {
                Evicted::Unclear(Fault::indeterminate(
                    "api_error",
                    format!("evicting {pod}: the API server answered {code}: {message}"),
                ))
            }
            StatusCode::FORBIDDEN => Evicted::Refused(Fault::definite(
                "api_forbidden",
                format!("evicting {pod} was refused: {message}"),
            )),
            _ => Evicted::Refused(rejected(pod, &message)),
        }
    }
}

/// Who refuses it, in `admission webhook "NAME" denied the request: WHY` (kubernetes v1.34, webhook/errors).
fn not_now(message: &str) -> Evicted {
    let webhook = || {
        let (name, why) = message
            .strip_prefix("admission webhook \"")?
            .split_once('"')?;
        Some((name, why.strip_prefix(" denied the request: ")?))
    };
    let (by, why) = match webhook() {
        Some((name, why)) => (format!("admission webhook {name}"), why),
        None => ("the API server".to_owned(), message),
    };
    let why = why.trim().chars().take(FOREIGN).collect();
    Evicted::NotNow { by, why }
}

/// The API server says with 201 that a pod has several budgets; what counts is in the body.
fn failure(answer: &Value) -> Option<Answer> {
    let status: kube::core::Status = serde_json::from_value(answer.clone()).ok()?;
    let is_status = answer.get("kind").and_then(Value::as_str) == Some("Status");
    let failed = answer.get("status").and_then(Value::as_str) == Some("Failure");
    (is_status && failed).then(|| Answer::status(&status))
}

/// The name in `The disruption budget NAME needs 2 healthy pods and has 2 currently`, and what is said of it
/// (kubernetes v1.34, eviction.go).
fn named_in(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("The disruption budget ")?;
    let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
    (!name.is_empty()).then_some((name, said))
}

fn budget_in(message: &str) -> Option<String> {
    named_in(message).map(|(name, _)| name.to_owned())
}

/// What was counted, where it says that.
fn counts_in(message: &str) -> Option<String> {
    let counts = named_in(message)?.1.strip_suffix(" currently")?;
    counts.starts_with("needs ").then(|| counts.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_counted() {
        let needs = "The disruption budget web needs 2 healthy pods and has 2 currently";
        assert_eq!(
            counts_in(needs).as_deref(),
            Some("needs 2 healthy pods and has 2")
        );
        for other in [
            "The disruption budget web is still being processed by the server.",
            "needs 2 healthy pods and has 2 currently",
            "The disruption budget web does not exist currently",
            "",
        ] {
            assert_eq!(counts_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_budget_is_named_in_the_answer() {
        let needs = "The disruption budget web needs 2 healthy pods and has 2 currently";
        assert_eq!(budget_in(needs).as_deref(), Some("web"));
        let waits = "The disruption budget web is still being processed by the server.";
        assert_eq!(budget_in(waits).as_deref(), Some("web"));
        assert_eq!(budget_in("something else"), None);
    }

    #[test]
    fn who_refuses_it_for_now_is_named() {
        let said = |message: &str| match not_now(message) {
            Evicted::NotNow { by, why } => (by, why),
            other => panic!("{other:?}"),
        };
        let message =
            "admission webhook \"evictions.example.org\" denied the request: it is moved first";
        let (by, why) = said(message);
        assert_eq!(by, "admission webhook evictions.example.org");
        assert_eq!(why, "it is moved first");
        let (by, why) = said("not yet");
        assert_eq!((by.as_str(), why.as_str()), ("the API server", "not yet"));
    }

    #[test]
    fn a_failure_in_a_body_is_one() {
        let success =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201});
        assert!(failure(&success).is_none());
        let two = json!({"kind": "Status", "status": "Failure", "code": 500,
            "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."});
        assert!(matches!(failure(&two), Some(Answer::Status { code, .. }) if code == 500));
        // A pod's own phase is none.
        assert!(failure(&json!({"kind": "Pod", "status": {"phase": "Failed"}})).is_none());
    }
}
