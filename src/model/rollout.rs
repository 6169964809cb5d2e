//! Whether a controller has replaced the pods of its workload, by the rules of `kubectl rollout status`
//! (kubectl v1.34, polymorphichelpers/rollout_status.go).

use super::effect::Settled;
use serde_json::Value;

/// Whether the pods are replaced after a change of their template; `kind` is that of the workload.
pub(crate) fn rolled_out(kind: &str, workload: &Value) -> Settled {
    match seen_by_controller(workload) {
        // Its pods are not replaced by themselves: there is nothing to wait for.
        Settled::Yes if stands_still(workload).is_some() => Settled::Yes,
        Settled::Yes => counted(kind, workload),
        waiting => waiting,
    }
}

/// Whether all pods are those of the present template, whoever replaces them. What stands still is not
/// rolled out by that.
pub(crate) fn all_replaced(kind: &str, workload: &Value) -> Settled {
    let settled = match seen_by_controller(workload) {
        Settled::Yes => counted(kind, workload),
        waiting => waiting,
    };
    match (settled, stands_still(workload)) {
        (Settled::NotYet(what), Some(why)) => Settled::NotYet(format!("{why}, and {what}")),
        (settled, _) => settled,
    }
}

fn counted(kind: &str, workload: &Value) -> Settled {
    match kind {
        "Deployment" => deployment(workload),
        "StatefulSet" => stateful_set(workload),
        _ => daemon_set(workload),
    }
}

/// Whether a controller has seen the change of its object.
pub(crate) fn seen_by_controller(object: &Value) -> Settled {
    if number(object, "/status/observedGeneration") < number(object, "/metadata/generation") {
        Settled::NotYet("the controller has not seen the change yet".to_owned())
    } else {
        Settled::Yes
    }
}

/// Why a workload's controller replaces no pods by itself, if so.
pub(crate) fn stands_still(workload: &Value) -> Option<&'static str> {
    let paused = workload.pointer("/spec/paused") == Some(&Value::Bool(true));
    match (on_delete(workload), paused) {
        (true, _) => Some("its update strategy is OnDelete"),
        (_, true) => Some("it is paused"),
        _ => None,
    }
}

fn on_delete(workload: &Value) -> bool {
    let strategy = workload.pointer("/spec/updateStrategy/type");
    strategy.and_then(Value::as_str) == Some("OnDelete")
}

fn number(object: &Value, at: &str) -> i64 {
    object.pointer(at).and_then(Value::as_i64).unwrap_or(0)
}

/// How many pods there are to be; the API server fills in 1.
fn replicas(workload: &Value) -> i64 {
    let wanted = workload.pointer("/spec/replicas").and_then(Value::as_i64);
    wanted.unwrap_or(1)
}

fn daemon_set(workload: &Value) -> Settled {
    let desired = number(workload, "/status/desiredNumberScheduled");
    let updated = number(workload, "/status/updatedNumberScheduled");
    let available = number(workload, "/status/numberAvailable");
    progress(desired, updated, available)
}

fn progress(desired: i64, updated: i64, available: i64) -> Settled {
    if updated < desired {
        Settled::NotYet(format!("{updated} of {desired} pods are replaced"))
    } else if available < desired {
        Settled::NotYet(format!(
            "all {desired} pods are replaced, {available} of them are ready"
        ))
    } else {
        Settled::Yes
    }
}

fn deployment(workload: &Value) -> Settled {
    let conditions = workload
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let exceeded = conditions.into_iter().flatten().find(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str);
        text("type") == Some("Progressing") && text("reason") == Some("ProgressDeadlineExceeded")
    });
    let updated = number(workload, "/status/updatedReplicas");
    let old = number(workload, "/status/replicas") - updated;
    let available = number(workload, "/status/availableReplicas");
    let moving = match progress(replicas(workload), updated, updated) {
        Settled::Yes if old > 0 => Settled::NotYet(format!("{old} old pods are still ending")),
        Settled::Yes => progress(updated, updated, available),
        waiting => waiting,
    };
    match (moving, exceeded) {
        (Settled::NotYet(what), Some(condition)) => {
            let message = condition.get("message").and_then(Value::as_str);
            Settled::NotYet(format!(
                "{what}, and its progress deadline is exceeded: {}",
                message.unwrap_or_default()
            ))
        }
        (moving, _) => moving,
    }
}

fn stateful_set(workload: &Value) -> Settled {
    let wanted = replicas(workload);
    let updated = number(workload, "/status/updatedReplicas");
    let partition = number(workload, "/spec/updateStrategy/rollingUpdate/partition");
    let revision = |at: &str| workload.pointer(at).and_then(Value::as_str);
    let ready = number(workload, "/status/readyReplicas");
    let same = revision("/status/updateRevision") == revision("/status/currentRevision");
    // With OnDelete, its controller leaves the current revision as it is.
    let same = match on_delete(workload) {
        true => updated >= wanted,
        false => same,
    };
    if partition > 0 {
        let wanted = (wanted - partition).max(0);
        return match progress(wanted, updated, updated) {
            Settled::Yes if ready < replicas(workload) => {
                progress(replicas(workload), replicas(workload), ready)
            }
            settled => settled,
        };
    }
    if ready < wanted {
        Settled::NotYet(format!("{ready} of {wanted} pods are ready"))
    } else if !same {
        Settled::NotYet(format!("{updated} of {wanted} pods are replaced"))
    } else {
        Settled::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(settled: Settled) -> String {
        match settled {
            Settled::NotYet(what) => what,
            Settled::Yes => "rolled out".to_owned(),
        }
    }

    #[test]
    fn a_rollout_is_over_when_every_pod_is_replaced_and_ready() {
        let status = |generation: i64,
                      observed: i64,
                      desired: i64,
                      updated: i64,
                      available: i64| {
            waiting(rolled_out(
                "DaemonSet",
                &json!({
                    "metadata": {"generation": generation},
                    "status": {"observedGeneration": observed, "desiredNumberScheduled": desired,
                               "updatedNumberScheduled": updated, "numberAvailable": available},
                }),
            ))
        };
        assert_eq!(status(2, 2, 3, 3, 3), "rolled out");
        insta::assert_snapshot!(status(2, 1, 3, 3, 3), @"the controller has not seen the change yet");
        insta::assert_snapshot!(status(2, 2, 3, 1, 3), @"1 of 3 pods are replaced");
        insta::assert_snapshot!(status(2, 2, 3, 3, 2), @"all 3 pods are replaced, 2 of them are ready");
    }

    #[test]
    fn a_deployment_has_no_old_pods_left_and_all_new_ones_available() {
        let status = |replicas: i64, total: i64, updated: i64, available: i64, reason: &str| {
            waiting(rolled_out(
                "Deployment",
                &json!({
                    "metadata": {"generation": 1},
                    "spec": {"replicas": replicas},
                    "status": {"observedGeneration": 1, "replicas": total,
                        "updatedReplicas": updated, "availableReplicas": available,
                        "conditions": [{"type": "Progressing", "reason": reason, "message": "too slow"}]},
                }),
            ))
        };
        assert_eq!(status(2, 2, 2, 2, ""), "rolled out");
        assert_eq!(status(0, 0, 0, 0, ""), "rolled out");
        insta::assert_snapshot!(status(2, 3, 1, 2, ""), @"1 of 2 pods are replaced");
        insta::assert_snapshot!(status(2, 3, 2, 2, ""), @"1 old pods are still ending");
        insta::assert_snapshot!(status(2, 2, 2, 1, "ProgressDeadlineExceeded"), @"all 2 pods are replaced, 1 of them are ready, and its progress deadline is exceeded: too slow");
    }

    #[test]
    fn a_stateful_set_has_one_revision_or_its_partition() {
        let status = |ready: i64, updated: i64, current: &str, partition: i64| {
            waiting(rolled_out(
                "StatefulSet",
                &json!({
                    "metadata": {"generation": 1},
                    "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}},
                    "status": {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": updated,
                        "currentRevision": current, "updateRevision": "b"},
                }),
            ))
        };
        assert_eq!(status(3, 3, "b", 0), "rolled out");
        assert_eq!(status(3, 1, "a", 2), "rolled out");
        insta::assert_snapshot!(status(2, 3, "b", 0), @"2 of 3 pods are ready");
        insta::assert_snapshot!(status(3, 2, "a", 0), @"2 of 3 pods are replaced");
        insta::assert_snapshot!(status(3, 0, "a", 2), @"0 of 1 pods are replaced");
        insta::assert_snapshot!(status(2, 1, "a", 2), @"all 3 pods are replaced, 2 of them are ready");
    }

    #[test]
    fn what_does_not_replace_its_pods_is_not_waited_for() {
        let still = json!({"metadata": {"generation": 1}, "spec": {"paused": true}, "status": {"observedGeneration": 1}});
        assert_eq!(rolled_out("Deployment", &still), Settled::Yes);
        assert_eq!(stands_still(&still), Some("it is paused"));
        let still = json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"desiredNumberScheduled": 2}});
        assert_eq!(rolled_out("DaemonSet", &still), Settled::Yes);
        assert_eq!(stands_still(&json!({})), None);
    }

    /// A check of it is another thing than waiting for what a change has begun.
    #[test]
    fn what_stands_still_is_not_rolled_out_by_that() {
        let paused = |updated: i64| {
            json!({"metadata": {"generation": 1}, "spec": {"paused": true, "replicas": 2},
                "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": updated, "availableReplicas": 2}})
        };
        let status = |kind: &str, workload: &Value| waiting(all_replaced(kind, workload));
        insta::assert_snapshot!(status("Deployment", &paused(0)), @"it is paused, and 0 of 2 pods are replaced");
        assert_eq!(status("Deployment", &paused(2)), "rolled out");
        let daemons = |updated: i64, available: i64| {
            json!({"spec": {"updateStrategy": {"type": "OnDelete"}},
                "status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available}})
        };
        insta::assert_snapshot!(status("DaemonSet", &daemons(1, 2)), @"its update strategy is OnDelete, and 1 of 2 pods are replaced");
        insta::assert_snapshot!(status("DaemonSet", &daemons(2, 1)), @"its update strategy is OnDelete, and all 2 pods are replaced, 1 of them are ready");
        assert_eq!(status("DaemonSet", &daemons(2, 2)), "rolled out");
        let stateful = |updated: i64, ready: i64| {
            json!({"spec": {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
                "status": {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": updated, "readyReplicas": ready}})
        };
        insta::assert_snapshot!(status("StatefulSet", &stateful(1, 2)), @"its update strategy is OnDelete, and 1 of 2 pods are replaced");
        insta::assert_snapshot!(status("StatefulSet", &stateful(2, 1)), @"its update strategy is OnDelete, and 1 of 2 pods are ready");
        assert_eq!(status("StatefulSet", &stateful(2, 2)), "rolled out");
    }
}
