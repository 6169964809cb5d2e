//! Claims: which run works on a target just now, as others are told of it.

use super::ids::{RunId, Sitting};
use super::plan::{Actor, Plan, PlanKind};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// The annotation by which a target points to the Lease of the run that works on it.
pub const CLAIM: &str = "runbook/claim";
/// Where the Leases of all runs are.
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// How long a run that does not renew its Lease counts as one that is there, in seconds.
pub const LEASE_SECONDS: u64 = 30;

const RUN: &str = "runbook/run";
const SITTING: &str = "runbook/sitting";
const RUNBOOK: &str = "runbook/runbook";
const TARGETS: &str = "runbook/targets";
const REASON: &str = "runbook/reason";

/// Who works on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub run: RunId,
    pub sitting: Sitting,
    pub actor: Actor,
    /// The runbook's name, with what is done with it.
    pub what: String,
    pub targets: String,
    pub reason: Option<String>,
    pub since: Timestamp,
}

impl Holder {
    /// Of a run that begins, or goes on.
    pub fn of(run: RunId, sitting: Sitting, plan: &Plan, reason: Option<&str>) -> Self {
        Self {
            run,
            sitting,
            actor: plan.actor.clone(),
            what: match plan.kind {
                PlanKind::Apply => plan.runbook.clone(),
                PlanKind::Undo { of, .. } => format!("undo of {of}, {}", plan.runbook),
            },
            targets: match plan.targets.is_empty() {
                true => "the cluster".to_owned(),
                false => plan.target_names(),
            },
            // One line, whatever was typed.
            reason: reason.map(|reason| reason.split_whitespace().collect::<Vec<_>>().join(" ")),
            since: Timestamp::now(),
        }
    }

    /// The name of its Lease.
    pub fn lease_name(&self) -> String {
        lease_name(self.run)
    }

    /// Its Lease, as it is written. `version` is that of the one that is taken over.
    pub fn lease(&self, version: Option<&str>, now: Timestamp) -> Value {
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.lease_name(),
                "namespace": "kube-system",
                "labels": {"app.kubernetes.io/managed-by": "runbook"},
                "annotations": {
                    RUN: self.run.to_string(),
                    SITTING: self.sitting.to_string(),
                    RUNBOOK: self.what,
                    TARGETS: self.targets,
                },
            },
            "spec": {
                "holderIdentity": self.actor.to_string(),
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": micro(self.since),
                "renewTime": micro(now),
            },
        });
        if let Some(metadata) = lease.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(version) = version {
                metadata.insert("resourceVersion".to_owned(), version.into());
            }
            let annotations = metadata.get_mut("annotations");
            if let Some(annotations) = annotations.and_then(Value::as_object_mut)
                && let Some(reason) = &self.reason
            {
                annotations.insert(REASON.to_owned(), reason.clone().into());
            }
        }
        lease
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {} ({} on {}", self.run, self.what, self.targets)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        write!(f, ") of {}", self.actor)
    }
}

/// The name of a run's Lease.
pub fn lease_name(run: RunId) -> String {
    format!("runbook-{}", run.to_string().to_lowercase())
}

/// A time as the API writes it in Leases (Kubernetes' MicroTime).
pub fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A run's Lease, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub holder: Holder,
    /// By the holder's clock.
    pub renewed: Timestamp,
    pub lasts: Duration,
    /// The API server's version of it.
    pub version: String,
}

impl Lease {
    /// `None` where it is not the Lease of a run.
    pub fn read(object: &Value) -> Option<Self> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str);
        let annotations = object.pointer("/metadata/annotations")?;
        let annotation = |name: &str| annotations.get(name).and_then(Value::as_str);
        let by = text("/spec/holderIdentity").unwrap_or_default();
        let (user, host) = by.split_once('@').unwrap_or((by, ""));
        let time = |at: &str| text(at).and_then(|time| time.parse::<Timestamp>().ok());
        let renewed = time("/spec/renewTime")?;
        Some(Self {
            holder: Holder {
                run: annotation(RUN)?.parse().ok()?,
                sitting: annotation(SITTING)?.parse().ok()?,
                actor: Actor {
                    user: user.to_owned(),
                    host: host.to_owned(),
                },
                what: annotation(RUNBOOK).unwrap_or_default().to_owned(),
                targets: annotation(TARGETS).unwrap_or_default().to_owned(),
                reason: annotation(REASON).map(str::to_owned),
                since: time("/spec/acquireTime").unwrap_or(renewed),
            },
            renewed,
            lasts: Duration::from_secs(
                object
                    .pointer("/spec/leaseDurationSeconds")
                    .and_then(Value::as_u64)
                    .unwrap_or(LEASE_SECONDS),
            ),
            version: text("/metadata/resourceVersion")?.to_owned(),
        })
    }

    /// For how long it was not renewed, by this machine's clock.
    pub fn silence(&self, now: Timestamp) -> Duration {
        let silence = now.duration_since(self.renewed);
        Duration::try_from(silence.max(SignedDuration::ZERO)).unwrap_or_default()
    }

    /// Whether it has run out, by this machine's clock.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.silence(now) > self.lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn holder() -> Holder {
        Holder {
            run: RunId::generate(),
            sitting: Sitting::generate(),
            actor: Actor {
                user: "ann".into(),
                host: "ops1".into(),
            },
            what: "x".into(),
            targets: "node02".into(),
            reason: Some("a page".into()),
            since: "2026-01-02T03:04:05.25Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_lease_says_who_holds_it() {
        let holder = holder();
        let now = "2026-01-02T03:04:35Z".parse().unwrap();
        let mut written = holder.lease(Some("7"), now);
        assert_eq!(written["spec"]["renewTime"], "2026-01-02T03:04:35.000000Z");
        assert_eq!(
            written["spec"]["acquireTime"],
            "2026-01-02T03:04:05.250000Z"
        );
        let read = Lease::read(&written).unwrap();
        assert_eq!(read.holder, holder);
        assert_eq!(read.version, "7");
        insta::assert_snapshot!(
            holder.to_string().replace(&holder.run.to_string(), "RUN"),
            @"run RUN (x on node02: a page) of ann@ops1"
        );
        // Somebody else's Lease.
        written["metadata"]["annotations"] = json!({});
        assert_eq!(Lease::read(&written), None);
    }

    #[test]
    fn it_runs_out_after_its_time_and_not_before() {
        let holder = holder();
        let renewed: Timestamp = "2026-01-02T03:04:35Z".parse().unwrap();
        let lease = Lease::read(&holder.lease(Some("7"), renewed)).unwrap();
        let after = |seconds| renewed + SignedDuration::from_secs(seconds);
        assert!(!lease.is_over(after(30)));
        assert!(lease.is_over(after(31)));
        // A clock that is behind the holder's.
        assert!(!lease.is_over(after(-100)));
        assert_eq!(lease.silence(after(-100)), Duration::ZERO);
    }
}
