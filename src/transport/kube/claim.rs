//! Claims in a cluster: the Lease of a run, and the annotations that point to it.

use super::{Answer, Cluster, FIELD_MANAGER};
use crate::fault::Fault;
use crate::journal::ClaimPermit;
use crate::model::{CLAIM, Holder, LEASES, Lease, micro};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const MERGE: &str = "application/merge-patch+json";
/// How often a claim is tried where its object changes at the same moment: kubelet writes its node's
/// status.
const ATTEMPTS: u32 = 20;

/// An object that is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimable {
    /// What people call it.
    pub name: String,
    /// Where the API serves it.
    pub path: String,
    /// Empty where it is not known.
    pub uid: String,
}

impl Claimable {
    pub fn node(name: &str, uid: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: format!("/api/v1/nodes/{name}"),
            uid: uid.to_owned(),
        }
    }

    /// What belongs to no node is claimed all at once.
    pub fn cluster(uid: &str) -> Self {
        Self {
            name: "the cluster".to_owned(),
            path: "/api/v1/namespaces/kube-system".to_owned(),
            uid: uid.to_owned(),
        }
    }
}

/// What a write of a claim came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    Done,
    /// Somebody else has it: the name of their Lease.
    By(String),
}

/// How a Lease was renewed.
#[derive(Debug)]
pub enum Renewed {
    Yes {
        version: String,
    },
    /// It is somebody else's by now, or gone.
    Lost(Option<Box<Lease>>),
}

fn path(name: &str) -> String {
    format!("{LEASES}/{name}")
}

impl Cluster {
    /// The Lease of this name; `None` where there is none.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, Fault> {
        let Some(object) = self.get(&path(name)).await? else {
            return Ok(None);
        };
        Lease::read(&object).map(Some).ok_or_else(|| {
            Fault::refused(
                "lease_foreign",
                format!("the Lease kube-system/{name} is not that of a run"),
            )
            .next("look who made it, and delete it")
        })
    }

    /// The Lease to which an object points.
    pub async fn claim_of(&self, object: &Claimable) -> Result<Option<String>, Fault> {
        let now = self.get(&object.path).await?;
        Ok(now.as_ref().and_then(points_to))
    }

    /// Makes the run's Lease, or takes over the one that was read, and gives its version. `None`: somebody
    /// was faster.
    pub async fn hold_lease(
        &self,
        _: ClaimPermit,
        holder: &Holder,
        over: Option<&Lease>,
    ) -> Result<Option<String>, Fault> {
        let body = holder.lease(over.map(|l| l.version.as_str()), Timestamp::now());
        let own = path(&holder.lease_name());
        let (method, at, kind) = match over {
            Some(_) => (Method::PATCH, own.as_str(), MERGE),
            None => (Method::POST, LEASES, "application/json"),
        };
        let written = self.write_claim(method, at, kind, &body);
        match written.await {
            Ok(lease) => Ok(Lease::read(&lease).map(|lease| lease.version)),
            Err(Answer::Status {
                code: StatusCode::CONFLICT,
                ..
            }) => Ok(None),
            // It may still be on its way.
            Err(Answer::Lost(why)) => {
                for _ in 0..5 {
                    match self.lease(&holder.lease_name()).await? {
                        Some(now) if now.holder.sitting == holder.sitting => {
                            return Ok(Some(now.version));
                        }
                        None => tokio::time::sleep(Duration::from_secs(1)).await,
                        Some(now) if over.is_some_and(|over| over.version == now.version) => {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                        Some(_) => return Ok(None),
                    }
                }
                Err(self.unreachable(&why))
            }
            Err(answer) => Err(self.claim_fault("the run's Lease", answer)),
        }
    }

    /// Renews the run's Lease, if it is still that of this sitting.
    pub async fn renew_lease(
        &self,
        permit: ClaimPermit,
        name: &str,
        version: &str,
    ) -> Result<Renewed, Fault> {
        let mut version = version.to_owned();
        for _ in 0..2 {
            let body = json!({
                "metadata": {"resourceVersion": version},
                "spec": {"renewTime": micro(Timestamp::now())},
            });
            match self
                .write_claim(Method::PATCH, &path(name), MERGE, &body)
                .await
            {
                Ok(lease) => return Ok(renewed(&lease, permit)),
                Err(Answer::Status {
                    code: StatusCode::NOT_FOUND,
                    ..
                }) => return Ok(Renewed::Lost(None)),
                Err(Answer::Status {
                    code: StatusCode::CONFLICT,
                    ..
                }) => match self.lease(name).await? {
                    Some(lease) if lease.holder.sitting == permit.sitting() => {
                        version = lease.version;
                    }
                    other => return Ok(Renewed::Lost(other.map(Box::new))),
                },
                Err(answer) => return Err(self.claim_fault("the run's Lease", answer)),
            }
        }
        Ok(Renewed::Yes { version })
    }

    /// Deletes a Lease: the run's own, or one that it took over, as it was read then.
    pub async fn drop_lease(&self, permit: ClaimPermit, name: &str) -> Result<(), Fault> {
        match self.own_lease(permit, name).await? {
            Some(lease) => self.delete_lease(permit, name, &lease).await,
            None => Ok(()),
        }
    }

    /// Deletes the Lease of a run from which another takes over, if it is still as it was read.
    pub async fn delete_lease(
        &self,
        _: ClaimPermit,
        name: &str,
        as_read: &Lease,
    ) -> Result<(), Fault> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": as_read.version},
        });
        let body = Some(("application/json", &body));
        match self.call(Method::DELETE, &path(name), body).await {
            Ok(_) => Ok(()),
            Err(Answer::Status {
                code: StatusCode::NOT_FOUND,
                ..
            }) => Ok(()),
            Err(answer) => Err(self.claim_fault("the run's Lease", answer)),
        }
    }

    /// The Lease of a sitting, if it is still its own.
    pub async fn own_lease(&self, permit: ClaimPermit, name: &str) -> Result<Option<Lease>, Fault> {
        let lease = self.lease(name).await?;
        Ok(lease.filter(|lease| lease.holder.sitting == permit.sitting()))
    }

    /// Points an object to a Lease, where it points to nothing, to this one already, or to one of `over`.
    pub async fn put_claim(
        &self,
        _: ClaimPermit,
        object: &Claimable,
        lease: &str,
        over: &[String],
    ) -> Result<Claimed, Fault> {
        let may = |now: Option<String>| match now {
            Some(now) if now != lease && !over.contains(&now) => Some(now),
            _ => None,
        };
        self.write_annotation(object, Some(lease), may).await
    }

    /// Takes the annotation off an object, where it points to this Lease.
    pub async fn drop_claim(
        &self,
        _: ClaimPermit,
        object: &Claimable,
        lease: &str,
    ) -> Result<(), Fault> {
        let others = |now: Option<String>| match now {
            Some(now) if now == lease => None,
            other => Some(other.unwrap_or_default()),
        };
        match self.write_annotation(object, None, others).await {
            // What is gone points to nothing.
            Err(fault) if fault.code != "node_gone" => Err(fault),
            _ => Ok(()),
        }
    }

    /// Writes the annotation, unless `by` says that it is somebody else's.
    async fn write_annotation(
        &self,
        object: &Claimable,
        to: Option<&str>,
        by: impl Fn(Option<String>) -> Option<String>,
    ) -> Result<Claimed, Fault> {
        for _ in 0..ATTEMPTS {
            let Some(now) = self.get(&object.path).await? else {
                return Err(Fault::refused(
                    "node_gone",
                    format!("there is no {} any more", object.name),
                ));
            };
            let metadata = |key: &str| now.pointer(&format!("/metadata/{key}"));
            let text = |key: &str| metadata(key).and_then(Value::as_str).unwrap_or_default();
            if !object.uid.is_empty() && text("uid") != object.uid {
                return Err(Fault::refused(
                    "node_gone",
                    format!("{} was deleted and made again", object.name),
                )
                .next("make a new plan"));
            }
            let points = points_to(&now);
            if let Some(by) = by(points.clone()) {
                return Ok(Claimed::By(by));
            }
            if points.as_deref() == to {
                return Ok(Claimed::Done);
            }
            let body = json!({"metadata": {
                "resourceVersion": text("resourceVersion"),
                "annotations": {CLAIM: to},
            }});
            match self
                .write_claim(Method::PATCH, &object.path, MERGE, &body)
                .await
            {
                Ok(_) => return Ok(Claimed::Done),
                // Whether it was written is seen in the next round.
                Err(
                    Answer::Lost(_)
                    | Answer::Status {
                        code: StatusCode::CONFLICT,
                        ..
                    },
                ) => {}
                Err(answer) => return Err(self.claim_fault(&object.name, answer)),
            }
        }
        Err(Fault::unreachable(
            "claim_busy",
            format!(
                "{} is written to all the time: its claim could not be written",
                object.name
            ),
        )
        .next("look what writes to it, and try again"))
    }

    async fn write_claim(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> Result<Value, Answer> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}");
        self.call(method, &path, Some((kind, body))).await
    }

    fn claim_fault(&self, what: &str, answer: Answer) -> Fault {
        match answer {
            Answer::Status {
                code: StatusCode::FORBIDDEN,
                message,
                ..
            } => Fault::refused(
                "claim_forbidden",
                format!("{what} may not be claimed by this identity: {message}"),
            )
            .next("`runbook show NAME --rbac` prints the rights that a runbook needs"),
            answer => {
                let fault = self.read_fault(what, answer);
                Fault {
                    message: format!("claiming {what}: {}", fault.message),
                    ..fault
                }
            }
        }
    }
}

fn points_to(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?;
    annotations.get(CLAIM)?.as_str().map(str::to_owned)
}

fn renewed(lease: &Value, permit: ClaimPermit) -> Renewed {
    match Lease::read(lease) {
        Some(lease) if lease.holder.sitting == permit.sitting() => Renewed::Yes {
            version: lease.version,
        },
        other => Renewed::Lost(other.map(Box::new)),
    }
}
