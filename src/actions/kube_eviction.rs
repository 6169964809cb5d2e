//! What kinds share that evict pods.

use super::kube_object::Of;
use super::{ANY_NAMESPACE, Compiled, Needs, Patience};
use crate::drain::{Grace, Loss, OnBlocked, Options, Pod, Preview, lines_of, sentence};
use crate::model::{Detail, Effect, Risk, Settled, Verb};
use crate::runbook::parse_time;
use serde_json::Value;
use std::time::Duration;

/// How long a pod is given to end.
pub fn grace(text: Option<&str>) -> Result<Grace, String> {
    match text {
        None | Some("own") => Ok(Grace::Own),
        Some(text) => {
            let grace = parse_time(text).ok_or_else(|| {
                format!(
                    "`grace_period` is `own` or a duration such as 30s, and `{text}` is neither"
                )
            })?;
            match grace.subsec_nanos() {
                0 => Ok(Grace::Seconds(grace.as_secs())),
                _ => Err(format!(
                    "`grace_period` is of whole seconds, and `{text}` is not"
                )),
            }
        }
    }
}

/// A duration of which none is as good as 0s.
pub fn bound(name: &str, text: Option<&str>, usual: Duration) -> Result<Option<Duration>, String> {
    let bound = time(name, text, usual)?;
    Ok((!bound.is_zero()).then_some(bound))
}

/// A duration, or 0s.
pub fn time(name: &str, text: Option<&str>, usual: Duration) -> Result<Duration, String> {
    let text = match text {
        None => return Ok(usual),
        Some(text) => text,
    };
    parse_time(text).ok_or_else(|| {
        format!("`{name}` is a duration such as 90s, or 0s, and `{text}` is neither")
    })
}

/// How long those are waited for that are being deleted.
pub fn patience(within: Option<Duration>) -> Patience {
    Patience {
        within: within.unwrap_or(Duration::MAX),
        settle: Duration::ZERO,
    }
}

/// Whether none of these pods is left.
pub fn all_gone<'p>(pods: impl Iterator<Item = &'p Pod>) -> Settled {
    let left: Vec<String> = pods.map(Pod::name).collect();
    match left.is_empty() {
        true => Settled::Yes,
        false => Settled::NotYet(format!("still there: {}", left.join(", "))),
    }
}

/// What evicting needs, besides what it is about.
pub fn needs(with: &Value, namespace: &str) -> Needs {
    let pods = Of::any_of("v1", "Pod", namespace);
    let everywhere = match namespace {
        ANY_NAMESPACE => "in every namespace: pods of all may be on a node",
        _ => "not for single objects: pods get their names when they are made",
    };
    let needs = Needs::default()
        .look(Verb::List, &pods)
        .wide(everywhere)
        .look(Verb::Watch, &pods)
        .wide(everywhere)
        .look(
            Verb::List,
            &Of::any_of("policy/v1", "PodDisruptionBudget", ANY_NAMESPACE),
        )
        .wide("all of them: which pods one is about stands in it")
        .look(
            Verb::List,
            &Of::any_of("apps/v1", "DaemonSet", ANY_NAMESPACE),
        )
        .wide("all of them: a pod's may be gone")
        .apply(Verb::Create, &Of::any_of("v1", "Eviction", namespace))
        .wide("not for single objects: pods get their names when they are made");
    match with.get("on_blocked").and_then(Value::as_str) {
        None | Some("wait" | "fail") => needs,
        Some(_) => needs
            .apply(Verb::Delete, &pods)
            .wide("where `on_blocked` is `force`: not for single objects"),
    }
}

/// A run that deletes over budgets is confirmed as such.
pub fn risk(options: &Options) -> Option<Risk> {
    (options.on_blocked == OnBlocked::Force).then_some(Risk::High)
}

/// Why budgets keep it from being done at all, as it is to be done.
pub fn held_up(preview: &Preview, options: &Options) -> Option<(String, String)> {
    let several = &preview.simulated.several;
    if options.on_blocked == OnBlocked::Force {
        return None;
    }
    let force = "take one of the budgets away; or `on_blocked: force` deletes the pod, whatever its budgets say";
    if !several.is_empty() {
        let each = several.iter().map(|(pod, names)| {
            format!(
                "{pod} has {} PodDisruptionBudgets ({})",
                names.len(),
                names.join(", ")
            )
        });
        let why = format!(
            "{}: the API server evicts no pod that has more than one",
            each.collect::<Vec<_>>().join("; ")
        );
        return Some((why, force.to_owned()));
    }
    let held = !preview.simulated.held.is_empty() && options.on_blocked == OnBlocked::Fail;
    held.then(|| {
        (
            format!(
                "it is not to wait for budgets, and would: {}",
                sentence(preview, false).join("; ")
            ),
            "`on_blocked: wait` waits for them".to_owned(),
        )
    })
}

/// What the operator should know of who goes.
pub fn notes(preview: &Preview, options: &Options) -> Vec<String> {
    let mut notes = sentence(preview, options.on_blocked == OnBlocked::Force);
    if options.grace == Grace::Seconds(0) && preview.to_evict().next().is_some() {
        notes.push(
            "`grace_period: 0s`: pods are taken out of the cluster at once, whether or not their processes have ended"
                .to_owned(),
        );
    }
    notes
}

/// The evictions, and who goes, for people.
pub fn evictions(
    compiled: &mut Compiled,
    preview: &Preview,
    options: &Options,
    (subject, newcomers): (String, bool),
) {
    if !preview.goes.is_empty() || !preview.stays.is_empty() {
        compiled.details.push(Detail {
            subject,
            lines: lines_of(preview, newcomers),
            ..Detail::default()
        });
    }
    let goes = preview.goes.iter().filter(|(pod, _)| !pod.is_going());
    compiled
        .effects
        .extend(goes.map(|(pod, losses)| Effect::EvictPod {
            pod: pod.object.clone(),
            node: pod.node.clone().unwrap_or_default(),
            grace: options.grace.seconds(),
            deletes: false,
            owner: pod.controller.clone(),
            loses: losses.iter().map(|loss| loss.as_str().to_owned()).collect(),
        }));
}

/// What no undo brings back.
pub fn lost(preview: &Preview) -> Option<String> {
    preview.to_evict().next()?;
    let count = |wanted: &[Loss]| {
        let has = |losses: &[Loss]| losses.iter().any(|loss| wanted.contains(loss));
        preview
            .goes
            .iter()
            .filter(|(_, losses)| has(losses))
            .count()
    };
    let mut lost = vec![
        "evicted pods do not come back: their controllers have made others by then".to_owned(),
    ];
    match count(&[Loss::NoController, Loss::DaemonSetGone]) {
        0 => {}
        1 => lost.push("1 pod that no controller makes again is gone for good".to_owned()),
        n => lost.push(format!(
            "{n} pods that no controller makes again are gone for good"
        )),
    }
    match count(&[Loss::EmptyDir]) {
        0 => {}
        1 => lost.push("the emptyDir data of 1 pod is gone for good".to_owned()),
        n => lost.push(format!("the emptyDir data of {n} pods is gone for good")),
    }
    Some(lost.join("; "))
}

/// What is in the way, and what would allow it.
pub fn refusal(preview: &Preview) -> Option<(String, String)> {
    if preview.in_the_way.is_empty() {
        return None;
    }
    let allow: Vec<String> = preview
        .would_allow()
        .iter()
        .map(|name| format!("`{name}: true`"))
        .collect();
    Some((
        format!(
            "nothing is evicted while these are there: {}",
            preview.objections().replace('\n', "; ")
        ),
        format!("move them away, or allow it with {}", allow.join(", ")),
    ))
}
