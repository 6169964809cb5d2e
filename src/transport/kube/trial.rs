//! Changes that are only tried: the API server judges them with all its admission, and keeps nothing.

use super::{Answer, Cluster, FIELD_MANAGER};
use crate::fault::Fault;
use crate::model::Propagation;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// What is tried at the path of an object; [`Trial::Create`] at that of its collection.
#[derive(Debug, Clone, Copy)]
pub enum Trial<'a> {
    /// A JSON Merge Patch (RFC 7386).
    Merge(&'a Value),
    /// Kubernetes' own patch, which knows the keys of lists.
    Strategic(&'a Value),
    /// A JSON Patch (RFC 6902).
    Json(&'a Value),
    /// A manifest as it is applied by the server; with `force`, over what others keep.
    Apply {
        manifest: &'a Value,
        force: bool,
    },
    Create(&'a Value),
    Delete(Propagation),
}

/// What the API server says of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Tried {
    /// It would take it, and this is what it gives.
    Accepted(Value),
    /// It would not.
    Rejected(Rejection),
}

/// Why the API server would not take a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub message: String,
    /// Who else keeps the fields, where that is the reason.
    pub conflicts: Vec<Conflict>,
}

/// A field that another manager keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub manager: String,
    pub field: String,
}

impl Cluster {
    /// Tries a change. Each request says that it is a dry run, whatever it tries: nothing is kept.
    pub async fn dry_run(&self, path: &str, trial: Trial<'_>) -> Result<Tried, Fault> {
        let deletes;
        let (method, kind, body) = match trial {
            Trial::Merge(patch) => (Method::PATCH, "application/merge-patch+json", patch),
            Trial::Strategic(patch) => (
                Method::PATCH,
                "application/strategic-merge-patch+json",
                patch,
            ),
            Trial::Json(patch) => (Method::PATCH, "application/json-patch+json", patch),
            Trial::Apply { manifest, .. } => {
                (Method::PATCH, "application/apply-patch+yaml", manifest)
            }
            Trial::Create(manifest) => (Method::POST, "application/json", manifest),
            Trial::Delete(propagation) => {
                // Where there is a body, the API server does not look at the query.
                deletes = json!({
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "dryRun": ["All"],
                    "propagationPolicy": propagation.as_str(),
                });
                (Method::DELETE, "application/json", &deletes)
            }
        };
        let mut query = format!("dryRun=All&fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
        if let Trial::Apply { force, .. } = trial {
            query.push_str(&format!("&force={force}"));
        }
        match self
            .call(method, &format!("{path}?{query}"), Some((kind, body)))
            .await
        {
            Ok(value) => Ok(Tried::Accepted(value)),
            Err(Answer::Status {
                code,
                message,
                conflicts,
                ..
            }) if code.is_client_error()
                && ![
                    StatusCode::UNAUTHORIZED,
                    StatusCode::TOO_MANY_REQUESTS,
                    StatusCode::REQUEST_TIMEOUT,
                ]
                .contains(&code) =>
            {
                Ok(Tried::Rejected(Rejection { message, conflicts }))
            }
            Err(answer) => Err(self.read_fault(path, answer)),
        }
    }
}

/// Who else keeps fields, as the answer to an apply names them.
pub(super) fn conflicts(status: &kube::core::Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| Conflict {
            // conflict with "NAME" using apps/v1
            manager: cause
                .message
                .split('"')
                .nth(1)
                .unwrap_or(&cause.message)
                .to_owned(),
            field: cause.field.trim_start_matches('.').to_owned(),
        })
        .collect()
}
