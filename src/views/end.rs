//! The last words of a run.

use super::fault::render_fault;
use super::text::{changes, clean, seconds};
use crate::engine::End;
use crate::journal::Ending;
use crate::model::{Plan, PlanKind, PlannedStep};
use std::time::Duration;

/// How the changes of a run that ended well were seen to be done.
pub fn what_was_seen(plan: &Plan) -> String {
    let seen = match plan.kind {
        PlanKind::Apply => "verified",
        PlanKind::Undo { .. } => "written and read back",
    };
    let blind = |step: &&PlannedStep| {
        let effects = step.verdict.effects();
        effects.iter().any(|effect| !effect.can_be_verified())
    };
    let unseen: Vec<String> = plan
        .steps
        .iter()
        .filter(blind)
        .map(|step| format!("`{}`", step.id))
        .collect();
    match unseen.is_empty() {
        true => seen.to_owned(),
        false => format!(
            "{seen}, but for {}, of which nothing can be seen",
            unseen.join(", ")
        ),
    }
}

/// What is said besides how a run ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'w> {
    /// What a success means.
    pub seen: &'w str,
    /// What it brought.
    pub done: &'w str,
    /// It was taken back since.
    pub taken_back: bool,
    /// Of some of its changes it is not known whether they happened.
    pub unclear: bool,
}

/// How a run ended. `took` is left out where the clock went back meanwhile.
pub fn render_end(end: &End, took: Option<Duration>, words: Words<'_>) -> String {
    let Words {
        seen,
        done,
        taken_back,
        unclear,
    } = words;
    let End {
        ending,
        fault,
        made,
        left,
        put_back,
    } = end;
    let changes = changes(*made, *put_back);
    let (inside, after) = match took.map(seconds) {
        Some(took) => (format!(" in {took}"), format!(" after {took}")),
        None => (String::new(), String::new()),
    };
    let sentence = match ending {
        Ending::Done if *made == 0 => format!("Done{inside}: {changes}. {done}"),
        Ending::Done => format!("Done{inside}: {changes}, {seen}. {done}"),
        Ending::Unverified if *made == 0 => format!("Not verified{after}: {changes}."),
        Ending::Unverified => format!("Healed{inside}, not verified: {changes}."),
        Ending::Unknown => format!(
            "Stopped{after}. {changes} made; whether the last of them happened is not known."
        ),
        ending => {
            let word = match ending {
                Ending::Drifted => {
                    format!("Stopped{after}, as the world has changed since the plan")
                }
                Ending::Stopped => format!("Stopped by you{after}"),
                _ => format!("Failed{after}"),
            };
            match made {
                0 if *put_back > 0 => format!("{word}. What was changed, its host has put back."),
                0 => format!("{word}. Nothing was written."),
                _ if taken_back => format!("{word}. {changes} made."),
                _ if unclear => format!(
                    "{word}. {changes} made or begun, not known of all whether they happened, and not taken back."
                ),
                _ => format!("{word}. {changes} made, and not taken back."),
            }
        }
    };
    let mut text = clean(sentence.trim());
    text.push('\n');
    if let Some(fault) = fault {
        text.push_str(&render_fault(fault));
        text.push('\n');
    }
    if *left > 0 {
        text.push_str(&format!("{left} left alone, as the plan shows.\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn every_ending_has_its_words() {
        let words = Words {
            seen: "verified",
            ..Words::default()
        };
        let shown = |ending, made, left, fault: Option<Fault>| {
            let end = End {
                ending,
                fault,
                made,
                left,
                put_back: 0,
            };
            render_end(&end, Some(Duration::from_secs(65)), words)
        };
        let fault = || Some(Fault::definite("x", "it broke").next("mend it"));
        let all: Vec<String> = vec![
            shown(Ending::Done, 2, 0, None),
            shown(Ending::Done, 0, 0, None),
            shown(Ending::Done, 1, 1, None),
            shown(Ending::Failed, 0, 0, fault()),
            shown(Ending::Failed, 1, 0, fault()),
            shown(Ending::Drifted, 0, 0, fault()),
            shown(Ending::Stopped, 3, 0, None),
            shown(Ending::Unknown, 1, 0, fault()),
            shown(Ending::Unverified, 2, 0, fault()),
            shown(Ending::Unverified, 0, 0, fault()),
        ];
        insta::assert_snapshot!(all.join("\n"));
        let end = End {
            ending: Ending::Done,
            fault: None,
            made: 1,
            left: 0,
            put_back: 0,
        };
        let end_put_back = End {
            ending: Ending::Failed,
            made: 0,
            put_back: 1,
            ..end.clone()
        };
        insta::assert_snapshot!(render_end(&end_put_back, None, words), @"Failed. What was changed, its host has put back.");
        let stopped = End {
            ending: Ending::Stopped,
            made: 2,
            ..end.clone()
        };
        let unclear = Words {
            unclear: true,
            ..words
        };
        insta::assert_snapshot!(render_end(&stopped, None, unclear), @"Stopped by you. 2 changes made or begun, not known of all whether they happened, and not taken back.");
        insta::assert_snapshot!(render_end(&end, None, Words { done: "So.", ..words }), @"Done: 1 change, verified. So.");
    }
}
