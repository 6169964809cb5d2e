//! What is confirmed: a few lines right above the question, however long the plan above them is.

use super::page::Page;
use crate::model::{Plan, PlanKind, PlannedStep, UndoClass};

/// How many names, and how many steps, are told one by one.
const TOLD: usize = 8;

/// Where, on what, how much, and what of it cannot be undone.
pub fn render_confirmation(plan: &Plan) -> String {
    let mut page = Page::new();
    let what = match plan.kind {
        PlanKind::Apply => plan.runbook.clone(),
        PlanKind::Undo { of, .. } => format!("undo of run {of} ({})", plan.runbook),
    };
    page.line("");
    page.paragraph("To confirm: ", &format!("{what}, risk {}", plan.risk));
    let cluster = format!("{} ({})", plan.cluster.context, plan.cluster.server);
    page.paragraph("  cluster   ", &cluster);
    let names: Vec<&str> = plan.targets.iter().map(|t| t.name.as_str()).collect();
    let targets = match names.len() {
        0 => "the cluster as a whole".to_owned(),
        1 => few(&names),
        many => format!("{many} nodes: {}", few(&names)),
    };
    page.paragraph("  on        ", &targets);
    page.paragraph("  changes   ", &changes(plan));
    let lacking = lacking(plan);
    for (at, (step, places, why)) in lacking.iter().take(TOLD).enumerate() {
        let first = match at {
            0 => "  undo      ",
            _ => "            ",
        };
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        page.paragraph(first, &format!("`{step}` ({}): {why}", few(&places)));
    }
    if lacking.len() > TOLD {
        let more = lacking.len() - TOLD;
        page.paragraph(
            "            ",
            &format!("and {more} more, as the plan shows"),
        );
    }
    page.out
}

fn few(names: &[&str]) -> String {
    match names.get(..TOLD) {
        Some(first) if names.len() > TOLD => {
            format!("{} and {} more", first.join(", "), names.len() - TOLD)
        }
        _ => names.join(", "),
    }
}

fn changes(plan: &Plan) -> String {
    let said = match plan.changes() {
        1 => "1 step".to_owned(),
        n => format!("{n} steps"),
    };
    match plan.steps.iter().filter(|step| step.is_late()).count() {
        0 => said,
        late => format!("{said}; of {late} more it is known only when their turn comes"),
    }
}

/// The steps that cannot be taken back exactly, each with its places and with what is lost.
fn lacking(plan: &Plan) -> Vec<(String, Vec<String>, String)> {
    let mut found: Vec<(String, Vec<String>, String)> = Vec::new();
    for step in &plan.steps {
        let Some(why) = lost(step) else { continue };
        let (id, place) = (step.id.to_string(), step.scope.to_string());
        match found
            .iter_mut()
            .find(|(of, _, lost)| (of.as_str(), lost.as_str()) == (id.as_str(), why.as_str()))
        {
            Some((_, places, _)) => places.push(place),
            None => found.push((id, vec![place], why)),
        }
    }
    found
}

fn lost(step: &PlannedStep) -> Option<String> {
    if step.is_late() {
        return Some("known only when its turn comes".to_owned());
    }
    if !step.verdict.changes() {
        return None;
    }
    match step.verdict.undo()? {
        UndoClass::Exact => None,
        UndoClass::BestEffort { lost } => Some(format!("best effort: {lost}")),
        UndoClass::None { why } => Some(format!("none: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, effect, plan, step};
    use crate::model::{Scope, Target, Verdict};

    fn losing(why: &str) -> Verdict {
        let mut verdict = change(vec![effect("x").1]);
        *verdict.undo_mut().unwrap() = UndoClass::None {
            why: why.to_owned(),
        };
        verdict
    }

    #[test]
    fn what_is_confirmed_is_said_in_few_lines() {
        let mut plan = plan();
        plan.targets = (1..=12)
            .map(|n| Target::node(&format!("node{n:02}"), "u"))
            .collect();
        plan.steps = plan
            .targets
            .iter()
            .map(|t| {
                step(
                    "wipe",
                    Scope::Target(t.clone()),
                    losing("what was there is gone"),
                )
            })
            .collect();
        plan.steps.push(step("late", Scope::Run, Verdict::Late));
        insta::assert_snapshot!(render_confirmation(&plan));
    }
}
