//! A plan, as it is read before it is confirmed.

use super::page::Page;
use super::text::clean;
use crate::engine::Question;
use crate::model::{
    Detail, Effect, OnFailure, Plan, PlanKind, PlannedStep, Scope, Target, UndoClass, Verdict,
};
use crate::plan::Difference;
use console::{StyledObject, style};

/// The whole plan.
pub fn render_plan(plan: &Plan) -> String {
    Page::new().plan(plan)
}

/// One step of a plan.
pub fn render_step(step: &PlannedStep) -> String {
    let mut page = Page::new();
    page.step(step);
    page.out
}

/// What is asked in the middle of a run.
pub fn render_question(question: &Question) -> String {
    let mut page = Page::new();
    if !question.found.is_empty() {
        page.line("    found so far:");
        for found in &question.found {
            page.paragraph("      ", found);
        }
    }
    for line in question.message.lines() {
        page.paragraph("    ", line);
    }
    page.out.trim_end().to_owned()
}

/// What is otherwise than a saved plan has it.
pub fn render_differences(differences: &[Difference]) -> String {
    let mut page = Page::new();
    for difference in differences {
        if let Some(what) = &difference.what {
            page.paragraph("  - ", what);
        }
        if let Some((step, scope)) = &difference.step {
            page.line(&format!(
                "  {} ({})",
                step.as_str(),
                clean(&scope.to_string())
            ));
            for (when, verdict) in [
                ("as planned", &difference.planned),
                ("now", &difference.now),
            ] {
                let word = match verdict {
                    Some(verdict) => verdict_words(verdict).1,
                    None => "it is no longer part of it",
                };
                page.line(&format!("    {when}: {word}"));
                if let Some(verdict) = verdict {
                    page.verdict(verdict);
                }
            }
        }
    }
    page.out
}

impl Page {
    fn plan(mut self, plan: &Plan) -> String {
        let title = match &plan.kind {
            PlanKind::Apply => plan.runbook.clone(),
            PlanKind::Undo { .. } => format!("undo {}", plan.runbook),
        };
        self.line(&format!(
            "{}: {}",
            bold(&clean(&title)),
            clean(&plan.summary)
        ));
        self.line("");
        let cluster = &plan.cluster;
        let (name, targets) = match plan.targets.is_empty() {
            true => ("target", "the cluster as a whole".to_owned()),
            false => ("nodes", plan.target_names()),
        };
        for (name, value) in [
            (name, targets),
            (
                "cluster",
                match cluster.uid.as_str() {
                    "" => format!(
                        "{} ({}), which does not answer: only the hosts are kept for this run",
                        cluster.context, cluster.server
                    ),
                    uid => format!("{} ({}), uid {uid}", cluster.context, cluster.server),
                },
            ),
            ("as", plan.actor.to_string()),
            ("risk", plan.risk.to_string()),
        ] {
            self.paragraph(&format!("  {name:<8} "), &value);
        }
        let mut scope = None;
        for step in &plan.steps {
            if scope != Some(&step.scope) {
                scope = Some(&step.scope);
                self.line("");
                self.line(&heading(&step.scope, &plan.targets));
            }
            self.step(step);
        }
        self.line("");
        self.foot(plan);
        self.out
    }

    fn step(&mut self, step: &PlannedStep) {
        let (mark, word) = verdict_words(&step.verdict);
        self.line(&format!(
            "  {mark} {:<10} {}  {}",
            step.id.as_str(),
            clean(&step.name),
            style(word).dim().for_stderr()
        ));
        self.verdict(&step.verdict);
        if !matches!(
            step.verdict,
            Verdict::NoChange { .. } | Verdict::Refused { .. }
        ) {
            self.limits(step);
        }
        for note in &step.notes {
            self.paragraph("      note: ", note);
        }
    }

    /// What its runbook says about failure and time.
    fn limits(&mut self, step: &PlannedStep) {
        if let Some(retry) = step.retry {
            let every = super::text::seconds(std::time::Duration::from_secs(retry.every));
            let text = format!("up to {} times, with {every} between", retry.attempts);
            self.paragraph("      tried: ", &text);
        }
        if let Some(timeout) = step.timeout {
            let text = super::text::seconds(std::time::Duration::from_secs(timeout));
            let text = format!("{text} for its waits and attempts, and for each program");
            self.paragraph("      at most: ", &text);
        }
        match step.on_failure {
            OnFailure::Undo => {}
            OnFailure::Stop => self.paragraph(
                "      if it fails: ",
                "the run ends, and what was done stays",
            ),
            OnFailure::Continue => self.paragraph(
                "      if it fails: ",
                "the run goes on without it, unless nobody knows whether it still happens; its end says so",
            ),
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::NoChange { why } => self.paragraph("      ", why),
            Verdict::Check { expects, .. } => self.paragraph("      reads until ", expects),
            Verdict::Refused { why, next } => {
                self.paragraph("      ", why);
                if let Some(next) = next {
                    self.paragraph("      next: ", next);
                }
            }
            Verdict::Gate { message } => self.paragraph("      asks: ", message),
            Verdict::Late => self.line("      it is decided when its turn comes, and done then"),
            Verdict::Unanswered { why } => {
                self.paragraph("      ", why);
                self.line(
                    "      it is looked at when its turn comes, if there is an answer by then",
                );
            }
            Verdict::Unknown { why, otherwise } => {
                self.paragraph("      ", why);
                if let Some(otherwise) = otherwise {
                    self.line("      if you allow it:");
                    self.verdict(otherwise);
                }
            }
            Verdict::Change {
                details,
                follows,
                undo,
                predicted,
                ..
            } => {
                if let Some(predicted) = predicted {
                    self.paragraph("      ", predicted);
                }
                details.iter().for_each(|detail| self.detail(detail));
                for follow in follows {
                    self.paragraph("      then ", follow);
                }
                self.paragraph("      undo: ", &undo_words(undo));
            }
        }
    }

    fn detail(&mut self, detail: &Detail) {
        self.paragraph("      ", &detail.subject);
        if detail.before.is_some() || detail.after.is_some() {
            self.before_and_after(detail);
        }
        for line in &detail.lines {
            // A line of a file is shown as it is: what would wrap is cut by the terminal, not by us.
            let text = format!("          {}", clean(line));
            let text = match line.chars().next() {
                Some('-') => style(text).red(),
                Some('+') => style(text).green(),
                _ => style(text).dim(),
            };
            self.line(&text.for_stderr().to_string());
        }
    }

    fn before_and_after(&mut self, detail: &Detail) {
        let absent = || "(absent)".to_owned();
        let side = |value: &Option<String>, is: &str| {
            let value = value.clone().unwrap_or_else(absent);
            match is {
                "" => value,
                is => format!("{value}  ({is})"),
            }
        };
        let before = side(&detail.before, &detail.before_is);
        let after = side(&detail.after, &detail.after_is);
        let red = self.wrapped("        - ", &before);
        let green = self.wrapped("        + ", &after);
        self.line(&style(red).red().for_stderr().to_string());
        self.line(&style(green).green().for_stderr().to_string());
    }

    fn foot(&mut self, plan: &Plan) {
        let count =
            |wanted: fn(&Verdict) -> bool| plan.steps.iter().filter(|s| wanted(&s.verdict)).count();
        let exact = count(|v| {
            matches!(
                v,
                Verdict::Change {
                    predicted: None,
                    ..
                }
            )
        });
        let predicted = count(|v| {
            matches!(
                v,
                Verdict::Change {
                    predicted: Some(_),
                    ..
                }
            )
        });
        let refused = count(Verdict::is_refused);
        let unknown = count(|v| matches!(v, Verdict::Unknown { .. } | Verdict::Unanswered { .. }));
        let later = count(|v| *v == Verdict::Late);
        let mut said = vec![match exact {
            0 if predicted == 0 && unknown == 0 && later == 0 => "Nothing to change.".to_owned(),
            0 => "No step changes something for certain.".to_owned(),
            1 => "1 step changes something.".to_owned(),
            n => format!("{n} steps change something."),
        }];
        if predicted > 0 {
            said.push(format!("{predicted} more may, as predicted."));
        }
        match later {
            0 => {}
            1 => said.push("1 is decided when its turn comes.".to_owned()),
            n => said.push(format!("{n} are decided when their turn comes.")),
        }
        match (refused, &plan.kind) {
            (0, _) => {}
            (1, PlanKind::Apply) => {
                said.push("1 step is refused: nothing will be done.".to_owned())
            }
            (n, PlanKind::Apply) => {
                said.push(format!("{n} steps are refused: nothing will be done."));
            }
            (n, PlanKind::Undo { .. }) => said.push(format!("{n} left alone.")),
        }
        if unknown > 0 {
            said.push(format!("{unknown} unknown."));
        }
        self.paragraph("", &said.join(" "));
        if plan.changes() > 0 && refused == 0 && plan.kind == PlanKind::Apply {
            let heals = plan.heals();
            if !heals.is_empty() {
                self.paragraph(
                    "",
                    &format!("Undo brings the fault back as well: {}.", heals.join("; ")),
                );
            }
            self.paragraph("", &failure_words(plan));
            let for_ever =
                |s: &PlannedStep| matches!(s.verdict.undo(), Some(UndoClass::None { .. }));
            let mut changing = plan.steps.iter().filter(|s| s.verdict.changes());
            if changing.all(for_ever) {
                return;
            }
            self.paragraph(
                "",
                "It can be taken back for as long as its journal is kept: `runbook history prune` \
                 removes runs that are older than 90 days, unless told otherwise.",
            );
        }
    }
}

fn heading(scope: &Scope, targets: &[Target]) -> String {
    let text = match scope {
        Scope::Target(target) => clean(&target.name),
        Scope::Run if targets.len() > 1 => format!("once for all {} nodes", targets.len()),
        Scope::Run => "once for the run".to_owned(),
    };
    bold(&text).to_string()
}

fn bold(text: &str) -> StyledObject<&str> {
    style(text).bold().for_stderr()
}

fn verdict_words(verdict: &Verdict) -> (StyledObject<&'static str>, &'static str) {
    let (mark, word) = match verdict {
        Verdict::NoChange { .. } => (style("="), "no change"),
        Verdict::Change {
            predicted: None, ..
        } => (style("~").yellow(), "exact"),
        Verdict::Change {
            predicted: Some(_), ..
        } => (style("~").yellow(), "predicted"),
        Verdict::Check { .. } => (style("○").cyan(), "reads only"),
        Verdict::Gate { .. } => (style("?").cyan(), "asks"),
        Verdict::Late => (style("?").cyan(), "later"),
        Verdict::Unanswered { .. } => (style("?").magenta(), "unknown"),
        Verdict::Unknown { .. } => (style("?").magenta(), "unknown"),
        Verdict::Refused { .. } => (style("!").red(), "refused"),
    };
    (mark.for_stderr(), word)
}

/// What happens when a step fails: said before, so that nobody is surprised then.
fn failure_words(plan: &Plan) -> String {
    let stops = "it stops there, and says what was done and how to go on or back";
    let exact = |step: &&PlannedStep| {
        let exact = step.keep.is_some() || step.verdict.undo() == Some(&UndoClass::Exact);
        exact && !step.is_late() && step.on_failure == OnFailure::Undo
    };
    let changing: Vec<&PlannedStep> = plan
        .steps
        .iter()
        .filter(|step| step.verdict.changes() || step.is_late())
        .collect();
    let back = match plan.targets.len() {
        0 | 1 => "what was done is taken back by itself",
        _ => {
            "what was done at its node is taken back by itself (at all nodes, where it is a step of \
             the whole run)"
        }
    };
    let taken_back = |step: &PlannedStep| step.evicts && step.on_failure == OnFailure::Undo;
    let cordons = |step: &PlannedStep| !step.verdict.effects().iter().all(Effect::evicts);
    let until = changing.iter().position(|step| !exact(step));
    let beyond = until.and_then(|at| changing.get(at));
    match (until, beyond) {
        (None, _) => format!(
            "If a step certainly fails, {back}. If that is not certain, or a wait runs out, {stops}."
        ),
        // A drain that has evicted nothing has done no more than a cordon.
        (Some(0), Some(step)) if taken_back(step) && cordons(step) => format!(
            "If `{}` certainly fails before a pod is evicted, {back}. Otherwise {stops}.",
            step.id
        ),
        (Some(1..), Some(step)) if taken_back(step) => format!(
            "If a step up to `{}` certainly fails, and no pod is evicted yet, {back}. Otherwise {stops}.",
            step.id
        ),
        (Some(0), _) | (_, None) => format!("If a step fails, {stops}."),
        (Some(_), Some(step)) => format!(
            "If a step up to `{}` certainly fails, {back}. After that, or where it is not certain, or \
             where a wait runs out, {stops}.",
            step.id
        ),
    }
}

fn undo_words(undo: &UndoClass) -> String {
    match undo {
        UndoClass::Exact => "exact".to_owned(),
        UndoClass::BestEffort { lost } => format!("best effort: {lost}"),
        UndoClass::None { why } => format!("none: {why}"),
    }
}

#[cfg(test)]
mod tests;
