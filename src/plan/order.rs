//! In which order steps happen, and where.

use crate::model::{Scope, StepId, Target};
use crate::runbook::{Runbook, Step, StepScope};

/// A step of a runbook, or of one that it includes.
#[derive(Debug, Clone)]
pub struct Entry<'r> {
    /// The steps that include it, outermost first.
    pub above: Vec<&'r Step>,
    pub step: &'r Step,
    pub scope: StepScope,
    /// What a step consists of that includes a runbook once for each item.
    pub inside: Vec<Entry<'r>>,
}

impl Entry<'_> {
    /// Its id in a plan, without items.
    pub fn id(&self) -> StepId {
        let mut above = self.above.iter().map(|step| step.id.clone());
        match above.next() {
            None => self.step.id.clone(),
            Some(first) => above
                .fold(first, |id, step| id.inner(&step))
                .inner(&self.step.id),
        }
    }
}

/// All steps of a runbook, with those of the runbooks that it includes in their places.
pub fn entries(runbook: &Runbook) -> Vec<Entry<'_>> {
    entries_below(runbook, &[])
}

fn entries_below<'r>(runbook: &'r Runbook, above: &[&'r Step]) -> Vec<Entry<'r>> {
    let mut entries = Vec::new();
    for step in &runbook.steps {
        let leaf = Entry {
            above: above.to_vec(),
            step,
            scope: step.scope,
            inside: Vec::new(),
        };
        let included = step.includes().and_then(|name| runbook.included.get(name));
        match included {
            None => entries.push(leaf),
            Some(inner) if step.for_each.is_some() => entries.push(Entry {
                scope: match inner.happens_at(StepScope::Target) {
                    true => StepScope::Target,
                    false => StepScope::Run,
                },
                inside: entries_below(inner, &[]),
                ..leaf
            }),
            Some(inner) => {
                let above: Vec<&Step> = above.iter().copied().chain([step]).collect();
                entries.extend(entries_below(inner, &above));
            }
        }
    }
    entries
}

/// The steps in the order in which they happen: those of the run once, those of the targets in
/// their stretches, target by target.
pub fn order<'a, 'r>(entries: &'a [Entry<'r>], targets: &[Target]) -> Vec<(&'a Entry<'r>, Scope)> {
    let mut ordered = Vec::new();
    for stretch in entries.chunk_by(|a, b| a.scope == b.scope) {
        match stretch.first().map(|entry| entry.scope) {
            Some(StepScope::Run) => ordered.extend(stretch.iter().map(|e| (e, Scope::Run))),
            Some(StepScope::Target) => {
                for target in targets {
                    ordered.extend(stretch.iter().map(|e| (e, Scope::Target(target.clone()))));
                }
            }
            None => {}
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_runbook::{including, runbook};

    fn shown(runbook: &Runbook) -> Vec<String> {
        let targets = [Target::node("n1", "1"), Target::node("n2", "2")];
        let entries = entries(runbook);
        order(&entries, &targets)
            .iter()
            .map(|(entry, scope)| format!("{}@{scope}", entry.id()))
            .collect()
    }

    #[test]
    fn steps_of_the_run_happen_once_and_between_stretches_of_targets() {
        let runbook = runbook(
            "  - {id: a, uses: host.script, with: {apply: x}}\n  - {id: b, uses: host.script, with: {apply: x}}\n  - {id: once, uses: calico.bgp, with: {settle: 1s, within: 5s}, scope: run}\n  - {id: c, uses: host.script, with: {apply: x}}\n",
        );
        let order = [
            "a@n1",
            "b@n1",
            "a@n2",
            "b@n2",
            "once@the run",
            "c@n1",
            "c@n2",
        ];
        assert_eq!(shown(&runbook), order);
    }

    #[test]
    fn steps_of_an_included_runbook_stand_in_the_place_of_its_step() {
        let inner = "  - {id: x, uses: host.script, with: {apply: x}}\n  - {id: once, uses: calico.bgp, with: {settle: 1s, within: 5s}, scope: run}\n";
        let outer = "  - {id: a, uses: host.script, with: {apply: x}}\n  - {id: in, uses: runbook, with: {runbook: inner}}\n  - {id: b, uses: host.script, with: {apply: x}}\n";
        assert_eq!(
            shown(&including(outer, inner)),
            [
                "a@n1",
                "in/x@n1",
                "a@n2",
                "in/x@n2",
                "in/once@the run",
                "b@n1",
                "b@n2"
            ]
        );
    }

    #[test]
    fn what_is_repeated_stays_together() {
        let inner = "  - {id: x, uses: host.script, with: {apply: x}}\n  - {id: y, uses: host.script, with: {apply: x}}\n";
        let outer = "  - {id: in, uses: runbook, for_each: [1, 2], with: {runbook: inner}}\n";
        let runbook = including(outer, inner);
        assert_eq!(shown(&runbook), ["in@n1", "in@n2"]);
        let inside: Vec<String> = entries(&runbook)[0]
            .inside
            .iter()
            .map(|entry| entry.id().to_string())
            .collect();
        assert_eq!(inside, ["x", "y"]);
    }
}
