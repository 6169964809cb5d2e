//! Units that a run has started anew: they start once more, after what they read was put back.

use super::details;
use crate::actions::start_anew;
use crate::model::{
    Effect, HostRef, PlannedStep, Restarts, Setting, SettingState, UndoClass, Verdict,
};
use crate::transport::UnitReading;

/// A unit that a run has started anew.
pub struct Again<'r> {
    pub host: &'r HostRef,
    pub restarts: &'r Restarts,
    /// An earlier undo has put back what it reads, and did not come to start it.
    pub left: bool,
    /// A fault that the run had healed comes back.
    pub faulty: bool,
}

impl Again<'_> {
    /// Why it need not be started, by what the undo does before; nothing where it must be.
    pub fn needless(&self, steps: &[PlannedStep]) -> Option<String> {
        let (host, unit) = (self.host, &self.restarts.unit);
        let here = || {
            let effects = steps.iter().flat_map(|step| step.verdict.effects());
            effects.filter(|effect| effect.on_host().is_some_and(|at| at.same(host)))
        };
        if !self.left && here().next().is_none() {
            return Some(format!(
                "nothing of {} is put back, and so {unit} is not started anew",
                host.node
            ));
        }
        let masks = |effect: &Effect| {
            matches!(effect, Effect::PutSetting { setting, after, .. }
                if after.as_str() == "masked"
                    && setting.setting == Setting::UnitFile { name: unit.clone() })
        };
        here()
            .any(masks)
            .then(|| format!("{unit} is masked again, and nothing can start it"))
    }

    /// What is done with it, as it stands now.
    pub fn verdict(&self, now: &UnitReading) -> Verdict {
        let (host, Restarts { unit, failing }) = (self.host, self.restarts);
        let no = |why: String| Verdict::NoChange { why };
        match now.activity.as_str() {
            SettingState::ABSENT => {
                return no(format!("{} has no unit {unit} any more", host.node));
            }
            "stopped" | "stopping" => {
                return no(format!(
                    "{unit} was stopped since the run, and is not started"
                ));
            }
            _ => {}
        }
        let follows = match (failing, self.faulty) {
            (true, _) => vec![format!(
                "{unit} did not run well before the run, and may fail as it did then: that is not waited for"
            )],
            (false, true) => vec![format!(
                "{unit} starts with the fault that comes back, and may not bear it: that is not waited for"
            )],
            (false, false) => Vec::new(),
        };
        let effect = start_anew(host, unit, now, *failing || self.faulty);
        Verdict::Change {
            details: details(&effect, ""),
            effects: vec![effect],
            follows,
            undo: UndoClass::BestEffort {
                lost: "what ran in it does not come back".to_owned(),
            },
            predicted: None,
            heals: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{change, host, step};
    use crate::model::{Identity, Scope, SettingRef};

    fn put(at: HostRef, setting: Setting, after: &str) -> PlannedStep {
        let effect = Effect::PutSetting {
            setting: SettingRef { host: at, setting },
            before: SettingState::new("disabled"),
            after: SettingState::new(after),
        };
        step("put", Scope::Run, change(vec![effect]))
    }

    fn start(name: &str) -> Setting {
        Setting::UnitFile { name: name.into() }
    }

    #[test]
    fn it_starts_once_more_where_something_of_its_host_is_put_back() {
        let host = host();
        let mut elsewhere = host.clone();
        elsewhere.node = "node09".into();
        let mut by_another = host.clone();
        by_another.identity = Identity::Login;
        let restarts = Restarts {
            unit: "a.service".into(),
            failing: false,
        };
        let needless = |left: bool, steps: &[PlannedStep]| {
            let again = Again {
                host: &host,
                restarts: &restarts,
                left,
                faulty: false,
            };
            again.needless(steps).unwrap_or_default()
        };
        let nothing = "nothing of node02 is put back, and so a.service is not started anew";
        assert_eq!(needless(false, &[]), nothing);
        assert_eq!(needless(true, &[]), "");
        let there = put(elsewhere, start("b.service"), "enabled");
        assert_eq!(needless(false, &[there]), nothing);
        let here = put(by_another, start("b.service"), "masked");
        assert_eq!(needless(false, &[here]), "");
        let masked = put(host.clone(), start("a.service"), "masked");
        assert_eq!(
            needless(false, &[masked]),
            "a.service is masked again, and nothing can start it"
        );
    }

    #[test]
    fn what_was_stopped_since_stays_so_and_what_may_fail_is_not_waited_for() {
        let host = host();
        let verdict = |failing: bool, faulty: bool, activity: &str| {
            let again = Again {
                host: &host,
                restarts: &Restarts {
                    unit: "a.service".into(),
                    failing,
                },
                left: false,
                faulty,
            };
            let verdict = again.verdict(&UnitReading {
                activity: SettingState::new(activity),
                file: SettingState::new("enabled"),
                under: SettingState::new("-"),
                invocation: "i".into(),
                path: String::new(),
            });
            match verdict {
                Verdict::NoChange { why } => why,
                Verdict::Change {
                    effects, follows, ..
                } => {
                    let Effect::RunProgram { programs } = &effects[0] else {
                        panic!()
                    };
                    format!(
                        "{} check: {}, blind: {}; {}",
                        programs.apply.args.join(" "),
                        programs.check.is_some(),
                        programs.blind,
                        follows.join("")
                    )
                }
                _ => panic!(),
            }
        };
        insta::assert_snapshot!(verdict(false, false, "running"), @"a.service check: true, blind: true;");
        insta::assert_snapshot!(verdict(false, true, "running"), @"a.service --no-block check: false, blind: false; a.service starts with the fault that comes back, and may not bear it: that is not waited for");
        insta::assert_snapshot!(verdict(true, false, "restarting"), @"a.service --no-block check: false, blind: false; a.service did not run well before the run, and may fail as it did then: that is not waited for");
        insta::assert_snapshot!(verdict(true, false, "failed"), @"a.service --no-block check: false, blind: false; a.service did not run well before the run, and may fail as it did then: that is not waited for");
        insta::assert_snapshot!(verdict(false, false, "failed"), @"a.service check: true, blind: false;");
        insta::assert_snapshot!(verdict(false, false, "stopped"), @"a.service was stopped since the run, and is not started");
        insta::assert_snapshot!(verdict(false, false, "absent"), @"node02 has no unit a.service any more");
    }
}
