//! Whether a run that failed is taken back by itself: only where it is certain that it failed, and
//! all that was done can be put back exactly.

use crate::fault::{Class, DECLINED, PASSED_OVER, TIMEOUT};
use crate::journal::{EffectRecord, Ending, RunRecord, StepResult};
use crate::model::{OnFailure, Plan, PlanKind, PlannedStep, Scope, Target, UndoClass};

/// What is taken back by itself after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Automatic {
    /// Nothing was done.
    Nothing,
    /// Nothing is; says why.
    Not {
        why: String,
    },
    All,
    /// What was done at the one target where it failed; the other targets stay as they are.
    Of(Target),
}

/// Decides it for a run that has ended.
pub fn automatic(record: &RunRecord) -> Automatic {
    let not = |why: &str| Automatic::Not {
        why: why.to_owned(),
    };
    if record.to_take_back().next().is_none() {
        return Automatic::Nothing;
    }
    if matches!(record.ending, Some((Ending::Unverified, _))) {
        return Automatic::Nothing;
    }
    if record.plan.kind != PlanKind::Apply {
        return not("an undo is not undone by itself");
    }
    match &record.ending {
        Some((Ending::Failed, Some(fault))) if fault.code == TIMEOUT => {
            return not("it may yet come about by itself");
        }
        Some((Ending::Failed, Some(fault))) if fault.code == PASSED_OVER => {
            return not("its runbook goes on where a step fails");
        }
        Some((Ending::Failed, Some(fault))) if fault.code == DECLINED => {
            return not("you only kept it from going on");
        }
        Some((Ending::Failed, Some(fault))) if fault.class == Class::Definite => {}
        Some((Ending::Stopped, _)) => return not("you stopped it"),
        Some((Ending::Drifted, _)) => return not("somebody else changes the same things"),
        Some((Ending::Failed, Some(fault)))
            if matches!(fault.class, Class::Unreachable | Class::Refused) =>
        {
            return not("what kept it from going on may pass");
        }
        _ => return not("it is not certain that it failed"),
    }
    if record.has_open_intents() {
        return not("it is not known of every change whether it happened");
    }
    let failed = record
        .steps
        .iter()
        .rfind(|(.., result)| matches!(result, StepResult::Failed { .. }));
    let stays = |step: &PlannedStep| step.on_failure == OnFailure::Stop;
    let extent = match failed {
        Some((id, at, _)) if record.plan.step(id, at).is_some_and(stays) => {
            return not(&format!("its runbook lets it be where `{id}` fails"));
        }
        None => return not("it is not known which step failed"),
        Some((_, Scope::Run, _)) => Automatic::All,
        Some((_, Scope::Target(target), _)) => {
            let elsewhere = |effect: &EffectRecord| matches!(&effect.id.scope, Scope::Target(other) if other != target);
            match record.to_take_back().any(elsewhere) {
                true => Automatic::Of(target.clone()),
                false => Automatic::All,
            }
        }
    };
    let within: Vec<&EffectRecord> = record
        .to_take_back()
        .filter(|effect| match (&extent, &effect.id.scope) {
            (Automatic::Of(target), Scope::Target(at)) => target == at,
            (Automatic::Of(_), Scope::Run) => false,
            _ => true,
        })
        .collect();
    let stays = |effect: &&&EffectRecord| {
        let step = record.plan.step(&effect.id.step, &effect.id.scope);
        step.is_some_and(|step| step.keep.is_some())
    };
    if !within.is_empty() && within.iter().filter(stays).count() == within.len() {
        return not("what was done stays, as its runbook says");
    }
    if within.is_empty() {
        return not("nothing was done where it failed; what was done elsewhere stays");
    }
    let evicts = within.iter().any(|effect| effect.effect.evicts());
    let inexact = |effect: &&&EffectRecord| !is_exact(&record.plan, effect, evicts);
    match within.iter().find(inexact) {
        Some(effect) => not(&format!(
            "what `{}` did cannot be put back exactly",
            effect.id.step
        )),
        None => extent,
    }
}

/// What its runbook says shall stay is in nobody's way.
///
/// A step that was to evict pods and evicted none has done no more than a cordon.
fn is_exact(plan: &Plan, effect: &EffectRecord, evicted: bool) -> bool {
    plan.step(&effect.id.step, &effect.id.scope)
        .is_none_or(|step| {
            let none = step.evicts && !evicted;
            none || step.keep.is_some() || step.verdict.undo() == Some(&UndoClass::Exact)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::journal::test_events::{effect, entries, plan, start_of, step};
    use crate::journal::{Event, Outcome};
    use crate::model::{EffectId, RunId, StepId, Verdict};

    fn node(name: &str) -> Scope {
        Scope::Target(Target::node(name, name))
    }

    /// Each step made its one effect, but for the last, which failed with `fault`.
    fn decide(steps: &[(&str, Scope, UndoClass)], fault: Fault) -> Automatic {
        ended(steps, fault, Ending::Failed)
    }

    fn ended(steps: &[(&str, Scope, UndoClass)], fault: Fault, ending: Ending) -> Automatic {
        let mut plan = plan();
        let mut events = Vec::new();
        for (n, (name, scope, undo)) in steps.iter().enumerate() {
            let id = StepId::new(name).unwrap();
            let (_, effect) = effect(name);
            let verdict = Verdict::Change {
                effects: vec![effect.clone()],
                details: vec![],
                follows: vec![],
                undo: undo.clone(),
                predicted: None,
                heals: None,
            };
            plan.steps.push(step(name, scope.clone(), verdict));
            let last = n + 1 == steps.len();
            let effect_id = EffectId {
                step: id.clone(),
                scope: scope.clone(),
                item: String::new(),
                attempt: 1,
            };
            events.push(Event::Intent {
                id: effect_id.clone(),
                effect,
            });
            let outcome = match last {
                true => Outcome::NotDone {
                    fault: fault.clone(),
                },
                false => Outcome::Done,
            };
            events.push(Event::Outcome {
                id: effect_id,
                outcome,
            });
            events.push(Event::StepEnded {
                step: id,
                scope: scope.clone(),
                result: match last {
                    true => StepResult::Failed {
                        fault: fault.clone(),
                    },
                    false => StepResult::Verified { changed: true },
                },
            });
        }
        events.push(Event::RunEnded {
            ending,
            fault: Some(fault),
        });
        events.insert(0, start_of(RunId::generate(), plan));
        automatic(&RunRecord::fold(entries(events)).unwrap())
    }

    fn none() -> UndoClass {
        UndoClass::None { why: "x".into() }
    }

    #[test]
    fn only_a_certain_failure_after_exact_steps_is_taken_back() {
        use UndoClass::Exact;
        let definite = || Fault::definite("api_rejected", "x");
        let of = |steps: &[(&str, Scope, UndoClass)], fault| decide(steps, fault);
        let two = [("a", node("n1"), Exact), ("b", node("n1"), Exact)];
        assert_eq!(of(&two, definite()), Automatic::All);
        // The step that failed was not done, whatever its class.
        assert_eq!(
            of(
                &[("a", node("n1"), Exact), ("b", node("n1"), none())],
                definite()
            ),
            Automatic::All
        );
        assert_eq!(of(&two[..1], definite()), Automatic::Nothing);
        for (steps, fault) in [
            (two.to_vec(), Fault::definite(TIMEOUT, "x")),
            (two.to_vec(), Fault::indeterminate("x", "x")),
            (two.to_vec(), Fault::unreachable("x", "x")),
            (two.to_vec(), Fault::refused("x", "x")),
            (
                vec![("a", node("n1"), none()), ("b", node("n1"), Exact)],
                definite(),
            ),
            (
                vec![
                    ("a", node("n1"), UndoClass::BestEffort { lost: "x".into() }),
                    ("b", node("n1"), Exact),
                ],
                definite(),
            ),
        ] {
            assert!(
                matches!(of(&steps, fault.clone()), Automatic::Not { .. }),
                "{steps:?} {fault:?}"
            );
        }
    }

    /// Why not, in words that an operator can use.
    #[test]
    fn the_reason_is_that_of_the_ending() {
        let two = [
            ("a", node("n1"), UndoClass::Exact),
            ("b", node("n1"), UndoClass::Exact),
        ];
        let why = |fault, ending| match ended(&two, fault, ending) {
            Automatic::Not { why } => why,
            other => panic!("{other:?}"),
        };
        let fault = |class| Fault::new(class, "x", "x");
        let all = [
            why(fault(Class::Refused), Ending::Stopped),
            why(fault(Class::Refused), Ending::Drifted),
            why(fault(Class::Refused), Ending::Failed),
            why(fault(Class::Unreachable), Ending::Failed),
            why(fault(Class::Indeterminate), Ending::Failed),
            why(fault(Class::Indeterminate), Ending::Unknown),
            why(Fault::definite(TIMEOUT, "x"), Ending::Failed),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        you stopped it
        somebody else changes the same things
        what kept it from going on may pass
        what kept it from going on may pass
        it is not certain that it failed
        it is not certain that it failed
        it may yet come about by itself
        ");
    }

    /// What was done once for the run is not undone for one target, and so it may be inexact.
    #[test]
    fn a_step_of_the_run_keeps_no_target_from_being_taken_back() {
        let steps = [
            ("r", Scope::Run, none()),
            ("a", node("n1"), UndoClass::Exact),
            ("b", node("n2"), UndoClass::Exact),
            ("c", node("n2"), UndoClass::Exact),
        ];
        assert_eq!(
            decide(&steps, Fault::definite("api_rejected", "x")),
            Automatic::Of(Target::node("n2", "n2"))
        );
    }

    #[test]
    fn other_targets_stay_and_a_step_of_the_run_concerns_all() {
        use UndoClass::Exact;
        let definite = || Fault::definite("api_rejected", "x");
        let n2 = Target::node("n2", "n2");
        assert_eq!(
            decide(
                &[
                    ("a", node("n1"), none()),
                    ("b", node("n2"), Exact),
                    ("c", node("n2"), Exact)
                ],
                definite()
            ),
            Automatic::Of(n2)
        );
        assert!(matches!(
            decide(
                &[("a", node("n1"), Exact), ("b", node("n2"), Exact)],
                definite()
            ),
            Automatic::Not { .. }
        ));
        assert_eq!(
            decide(
                &[("a", node("n1"), Exact), ("b", Scope::Run, Exact)],
                definite()
            ),
            Automatic::All
        );
        assert_eq!(
            decide(
                &[("a", Scope::Run, Exact), ("b", node("n1"), Exact)],
                definite()
            ),
            Automatic::All
        );
    }
}
