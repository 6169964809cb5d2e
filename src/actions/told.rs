//! Decisions as text, for tests of kinds.

use super::{Action, Decision};
use crate::model::UndoClass;

/// All that a decision says, and what it would do.
pub fn told<A: Action>(action: &A, seen: &A::Seen, decision: Decision<A::Change>) -> String {
    let notes = action.notes(seen, &decision);
    let mut text = match decision {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Refuse { why, next } => {
            format!("refused: {why} [{}]", next.unwrap_or_default())
        }
        Decision::Late { why } => format!("late: {why}"),
        Decision::Foreseen => "foreseen".to_owned(),
        Decision::Unknown { why, .. } => format!("unknown: {why}"),
        Decision::Check { expects, .. } => format!("check: {expects}"),
        Decision::Change(change) => {
            let compiled = action.compile(change);
            let mut lines = Vec::new();
            for detail in &compiled.details {
                let word = |word: &Option<String>| word.clone().unwrap_or("absent".to_owned());
                lines.push(format!(
                    "{}: {} -> {}",
                    detail.subject,
                    word(&detail.before),
                    word(&detail.after)
                ));
                lines.extend(detail.lines.clone());
            }
            assert_eq!(compiled.details.len(), compiled.effects.len());
            if let Some(heals) = compiled.heals {
                lines.push(format!("heals: {heals}"));
            }
            lines.push(match compiled.undo {
                UndoClass::Exact => "undo: exact".to_owned(),
                UndoClass::BestEffort { lost } => format!("undo: but for: {lost}"),
                UndoClass::None { why } => format!("undo: none: {why}"),
            });
            lines.join("\n")
        }
    };
    for note in notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    text
}
