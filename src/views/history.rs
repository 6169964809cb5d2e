//! Runs that were: in a list, and one of them as it happened.

use super::end::{Words, render_end, what_was_seen};
use super::tell::{Telling, Told};
use super::text::{changes, clean, paragraph, width};
use crate::engine::End;
use crate::journal::{EffectState, Ending, Entry, RunRecord};
use crate::model::{PlanKind, RunId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody is carrying it out just now.
    UnderWay,
    Ended,
    /// It was taken back by this run, but for what was left alone.
    TakenBack {
        by: RunId,
        whole: bool,
    },
}

/// One line of the list. `record` is `None` where the journal cannot be read.
pub fn render_run(run: RunId, record: Option<&RunRecord>, state: State) -> String {
    let Some(record) = record else {
        return format!("{run}  cannot be read: `runbook history show {run}` says why");
    };
    let what = match record.plan.kind {
        PlanKind::Apply => record.plan.runbook.clone(),
        PlanKind::Undo { .. } => format!("undo of {}", record.plan.runbook),
    };
    clean(&format!(
        "{run}  {}  {what} on {}: {}",
        time(record.started),
        match record.plan.targets.is_empty() {
            true => "the cluster".to_owned(),
            false => record.plan.target_names(),
        },
        standing(record, state)
    ))
}

/// A run's state in a few words.
fn standing(record: &RunRecord, state: State) -> String {
    let open = record.has_open_intents();
    let changes = changes(record.to_take_back().count(), record.put_back().count());
    let word = match (&record.ending, state) {
        (_, State::UnderWay) => "under way",
        (_, State::TakenBack { whole: true, .. }) => "taken back",
        (_, State::TakenBack { .. }) => "taken back in part",
        (None, _) => "cut short",
        (Some((Ending::Done, _)), _) => "done",
        (Some((Ending::Unverified, _)), _) => "done, not verified",
        (Some((Ending::Stopped, _)), _) => "stopped",
        (Some((Ending::Drifted | Ending::Failed | Ending::Unknown, _)), _) => "failed",
    };
    match open && state == State::Ended {
        true => format!("{word}, {changes}, not known of all whether they happened"),
        false => format!("{word}, {changes}"),
    }
}

/// A run as it happened.
pub fn render_history(record: &RunRecord, entries: &[Entry], state: State) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let plan = &record.plan;
    let what = match plan.kind {
        PlanKind::Apply => format!("{}: {}", plan.runbook, plan.summary),
        PlanKind::Undo { of, .. } => format!("undo of {of}: {}", plan.runbook),
    };
    line(&format!("Run {}", record.run));
    let mut facts = vec![
        ("runbook", what),
        match plan.targets.is_empty() {
            true => ("target", "the cluster as a whole".to_owned()),
            false => ("nodes", plan.target_names()),
        },
        (
            "cluster",
            format!("{} ({})", plan.cluster.context, plan.cluster.server),
        ),
        ("by", plan.actor.to_string()),
        ("started", time(record.started)),
    ];
    if let Some(reason) = &record.reason {
        facts.push(("reason", reason.clone()));
    }
    for (name, value) in facts {
        line(&paragraph(&format!("  {name:<8} "), &value, width()));
    }
    line("");
    let mut telling = Telling::new(plan);
    let mut begun = None;
    for entry in entries {
        for told in telling.on(entry.at, &entry.event) {
            match told {
                Told::Begun(name) => begun = Some(name),
                Told::Line(told) => {
                    begun = None;
                    line(&told);
                }
                Told::Over => {}
            }
        }
    }
    if let Some(name) = begun {
        line(&format!("  … {name}"));
    }
    line("");
    for effect in &record.effects {
        if effect.state == EffectState::Open {
            line(&paragraph(
                "",
                &format!(
                    "Not known whether it happened: {} (step `{}`).",
                    effect.effect.subject(),
                    effect.id.step
                ),
                width(),
            ));
        }
    }
    match (End::of(record), state) {
        (_, State::UnderWay) => line("It is under way."),
        (None, _) => line("It was cut short: its program ended before it did."),
        (Some(end), _) => {
            let words = Words {
                seen: &what_was_seen(plan),
                done: "",
                taken_back: matches!(state, State::TakenBack { whole: true, .. }),
                unclear: record.has_open_intents(),
            };
            line(&render_end(&end, took(record), words));
        }
    }
    match state {
        State::TakenBack { by, whole: true } => {
            line(&format!("It was taken back by run {by}."));
        }
        State::TakenBack { by, .. } => line(&format!(
            "It was taken back in part by run {by}: runbook history show {by}"
        )),
        State::UnderWay | State::Ended => {}
    }
    text
}

/// How long it took; `None` where the clock went back meanwhile.
fn took(record: &RunRecord) -> Option<Duration> {
    Duration::try_from(record.latest.duration_since(record.started)).ok()
}

/// A moment, in this machine's time zone.
fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

#[cfg(test)]
mod tests;
