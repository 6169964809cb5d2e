//! A request, as it came to the proxy.

use serde_json::Value;
use std::time::Instant;

/// What a request is about, as far as a drain makes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// `NAMESPACE/NAME` is to be evicted.
    Eviction(String),
    /// One pod, by its name.
    Pod(String),
    /// The pods of one node, or all of them.
    Pods {
        watch: bool,
    },
    Other,
}

#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub about: About,
    /// Null where there was none.
    pub body: Value,
    pub at: Instant,
}

impl Asked {
    pub fn new(method: &str, path: &str, query: &str, body: &[u8]) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            about: about(method, path, query),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            at: Instant::now(),
        }
    }

    pub fn evicts(&self, pod: &str) -> bool {
        matches!(&self.about, About::Eviction(evicted) if evicted == pod)
    }

    pub fn is_eviction(&self) -> bool {
        matches!(self.about, About::Eviction(_))
    }

    /// The UID that it insists on.
    pub fn uid(&self) -> &str {
        // Of a DELETE, the body is the options themselves.
        let options = self.body.get("deleteOptions").unwrap_or(&self.body);
        options["preconditions"]["uid"].as_str().unwrap_or_default()
    }

    pub fn grace(&self) -> Option<i64> {
        let options = self.body.get("deleteOptions").unwrap_or(&self.body);
        options["gracePeriodSeconds"].as_i64()
    }
}

fn about(method: &str, path: &str, query: &str) -> About {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let watch = query
        .split('&')
        .any(|p| p == "watch=1" || p == "watch=true");
    match (method, parts.as_slice()) {
        (
            "POST",
            [
                "api",
                "v1",
                "namespaces",
                namespace,
                "pods",
                name,
                "eviction",
            ],
        ) => About::Eviction(format!("{namespace}/{name}")),
        (_, ["api", "v1", "namespaces", namespace, "pods", name]) => {
            About::Pod(format!("{namespace}/{name}"))
        }
        ("GET", ["api", "v1", "pods"] | ["api", "v1", "namespaces", _, "pods"]) => {
            About::Pods { watch }
        }
        _ => About::Other,
    }
}
