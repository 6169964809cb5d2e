//! Answers in the API server's own words. Those that it can be made to give are compared with what it
//! gives (`faithful`); the others are made as its source makes them.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    pub kind: &'static str,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u32>,
    pub body: String,
}

const JSON: &str = "application/json";

/// A Status, as the API server writes it.
fn status(code: u16, message: &str, reason: &str, details: Value) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code});
    if let Some(status) = status.as_object_mut() {
        status.retain(|_, value| *value != json!("") && !value.is_null());
    }
    status
}

fn answer(code: u16, body: &Value) -> Answer {
    let seconds = body["details"]["retryAfterSeconds"].as_u64();
    Answer {
        code,
        kind: JSON,
        retry_after: seconds.and_then(|seconds| u32::try_from(seconds).ok()),
        body: body.to_string(),
    }
}

const BLOCKED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

fn by_budget(cause: &str, details: Value) -> Answer {
    let mut details = details;
    details["causes"] = json!([{"reason": "DisruptionBudget", "message": cause}]);
    answer(429, &status(429, BLOCKED, "TooManyRequests", details))
}

/// A budget allows no disruption now.
pub fn blocked(budget: &str, needs: u32, has: u32) -> Answer {
    let cause = format!(
        "The disruption budget {budget} needs {needs} healthy pods and has {has} currently"
    );
    by_budget(&cause, json!({}))
}

/// Nobody has counted for a budget yet.
pub fn being_processed(budget: &str) -> Answer {
    let cause = format!("The disruption budget {budget} is still being processed by the server.");
    by_budget(&cause, json!({"retryAfterSeconds": 10}))
}

/// Priority and fairness: no Status, and nothing about a budget.
pub fn busy(seconds: u32) -> Answer {
    Answer {
        code: 429,
        kind: "text/plain; charset=utf-8",
        retry_after: Some(seconds),
        body: "Too many requests, please try again later.\n".to_owned(),
    }
}

/// Of an admission webhook that wants to be asked again, as the API server passes it on.
pub fn not_now(webhook: &str, why: &str) -> Answer {
    let message = format!("admission webhook \"{webhook}\" denied the request: {why}");
    answer(429, &status(429, &message, "", Value::Null))
}

/// Of a load balancer that has nobody to ask: no Status.
pub fn away() -> Answer {
    Answer {
        code: 503,
        kind: "text/plain; charset=utf-8",
        retry_after: None,
        body: "no healthy upstream\n".to_owned(),
    }
}

pub fn not_found(name: &str) -> Answer {
    let message = format!("pods \"{name}\" not found");
    let details = json!({"name": name, "kind": "pods"});
    answer(404, &status(404, &message, "NotFound", details))
}

pub fn another_uid(name: &str, wanted: &str, found: &str) -> Answer {
    let message = format!(
        "Operation cannot be fulfilled on Pod \"{name}\": the UID in the precondition ({wanted}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
    );
    let details = json!({"name": name, "kind": "Pod"});
    answer(409, &status(409, &message, "Conflict", details))
}

pub fn terminating(namespace: &str, name: &str) -> Answer {
    let message = format!(
        "pods \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
    );
    let cause = json!({"reason": "NamespaceTerminating", "field": "metadata.namespace",
        "message": format!("namespace {namespace} is being terminated")});
    let details = json!({"name": name, "kind": "pods", "causes": [cause]});
    answer(403, &status(403, &message, "Forbidden", details))
}

pub fn forbidden(namespace: &str, name: &str, user: &str) -> Answer {
    let message = format!(
        "pods \"{name}\" is forbidden: User \"{user}\" cannot create resource \"pods/eviction\" in API group \"\" in the namespace \"{namespace}\""
    );
    let details = json!({"name": name, "kind": "pods"});
    answer(403, &status(403, &message, "Forbidden", details))
}

/// It has no reason.
pub fn several_budgets() -> Answer {
    let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    answer(500, &status(500, message, "", Value::Null))
}

pub fn internal_error() -> Answer {
    let why = "etcdserver: leader changed";
    let details = json!({"causes": [{"message": why}]});
    let message = format!("Internal error occurred: {why}");
    answer(500, &status(500, &message, "InternalError", details))
}

fn too_old() -> Value {
    status(
        410,
        "too old resource version: 7 (4711)",
        "Expired",
        Value::Null,
    )
}

/// What was watched from is forgotten.
pub fn expired() -> Answer {
    answer(410, &too_old())
}

/// The same, as an event of a watch.
pub fn expired_event() -> Answer {
    let event = json!({"type": "ERROR", "object": too_old()});
    Answer {
        body: format!("{event}\n"),
        ..answer(200, &event)
    }
}
