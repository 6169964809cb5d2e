//! `host.service`: whether a unit of systemd runs, whether it is started with its host, and that it is
//! started anew where what it reads is changed.

use super::unit_restart::{activity, start_anew};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::{Fault, NO_SYSTEMD};
use crate::model::{Effect, HostRef, Prior, Setting, SettingRef, SettingState, UndoClass};
use crate::transport::UnitReading;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It runs, and goes on running.
    Running,
    /// It does not run.
    Stopped,
}

/// Whether a unit of systemd runs, whether it is started with its host, and whether it is started anew
/// as what it reads is changed. A host that is not run by systemd is left alone.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Its name, such as `kubelet` or `swapfile.swap`; `.service` may be left out.
    unit: String,
    /// Whether it runs; as it is if this is left out.
    state: Option<State>,
    /// Whether it is started with its host; as it is if this is left out.
    enabled: Option<bool>,
    /// `true`: nothing starts it, neither by hand nor for another unit. To have that lifted, say `false`,
    /// and with `enabled` whether it is started with its host then.
    masked: Option<bool>,
    /// Steps before this one: where one of them changes something, it is started anew, by its files as they
    /// are then. One that is stopped stays so, unless it is to run.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    restart_when_changed: Vec<bool>,
}

pub struct HostService {
    unit: String,
    state: Option<State>,
    start: Option<Start>,
    changed: bool,
}

/// Whether it is started with its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Enabled,
    Disabled,
    Masked,
    /// Not masked any more, and then enabled or not.
    Unmasked(bool),
}

pub enum Seen {
    /// Why there are no units.
    None(String),
    Unit(HostRef, UnitReading),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// From one state into another.
    puts: Vec<(SettingRef, SettingState, SettingState)>,
    /// What starts it anew.
    restart: Option<Effect>,
}

/// The name of a unit, with its suffix.
fn unit_name(name: &str) -> Result<String, String> {
    const SUFFIXES: &[&str] = &[
        ".service",
        ".socket",
        ".timer",
        ".swap",
        ".mount",
        ".automount",
        ".target",
        ".path",
        ".slice",
        ".device",
        ".scope",
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) || name.len() > 255 {
        return Err(format!("`unit` is the name of a unit, and `{name}` is not"));
    }
    Ok(match SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        true => name.to_owned(),
        false => format!("{name}.service"),
    })
}

#[async_trait]
impl Action for HostService {
    const USES: &'static str = "host.service";
    const CHANGES: &'static [&'static str] = &["restart_when_changed"];
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let start = match (args.masked, args.enabled) {
            (Some(true), Some(true)) => {
                return Err(
                    "`masked` and `enabled` contradict each other: what is masked is never started"
                        .to_owned(),
                );
            }
            (Some(true), _) => Some(Start::Masked),
            (Some(false), Some(enabled)) => Some(Start::Unmasked(enabled)),
            (Some(false), None) => {
                return Err("`masked: false` leaves open how it is then: say with `enabled` whether it is started with its host".to_owned());
            }
            (None, Some(true)) => Some(Start::Enabled),
            (None, Some(false)) => Some(Start::Disabled),
            (None, None) => None,
        };
        if start.is_none() && args.state.is_none() && args.restart_when_changed.is_empty() {
            return Err("give `state`, `enabled`, `masked` or `restart_when_changed`".to_owned());
        }
        if start == Some(Start::Masked) && args.state == Some(State::Running) {
            return Err("`masked` and `state: running` contradict each other".to_owned());
        }
        if args.state == Some(State::Stopped) && !args.restart_when_changed.is_empty() {
            return Err(
                "`restart_when_changed` and `state: stopped` contradict each other".to_owned(),
            );
        }
        Ok(Self {
            unit: unit_name(&args.unit)?,
            state: args.state,
            start,
            changed: args.restart_when_changed.contains(&true),
        })
    }

    fn lost(with: &Value) -> Option<&'static str> {
        with.get("restart_when_changed").map(|_| RESTARTED)
    }

    fn needs(_with: &Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        match look.unit(&host, &self.unit).await {
            Ok(unit) => Ok(Seen::Unit(host, unit)),
            Err(fault) if fault.code == NO_SYSTEMD => Ok(Seen::None(fault.message)),
            Err(fault) => Err(fault),
        }
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let (host, now) = match seen {
            Seen::None(why) => {
                return Decision::NoChange {
                    why: format!("not applicable: {why}"),
                };
            }
            Seen::Unit(host, now) => (host, now),
        };
        let mut change = Change::default();
        let refuse = |why: String, next: Option<&str>| Decision::Refuse {
            why,
            next: next.map(str::to_owned),
        };
        let unit = &self.unit;
        if now.activity.as_str() == SettingState::ABSENT {
            let wants = self.state == Some(State::Running)
                || matches!(self.start, Some(Start::Enabled | Start::Unmasked(true)));
            return match wants {
                true => refuse(
                    format!("{} has no unit {unit}", host.node),
                    Some("look for its name there: systemctl list-unit-files"),
                ),
                false => Decision::NoChange {
                    why: format!("{} has no unit {unit}", host.node),
                },
            };
        }
        match self.file_after(now) {
            Ok(Some(after)) => change.put(
                host,
                Setting::UnitFile { name: unit.clone() },
                &now.file,
                &after,
            ),
            Ok(None) => {}
            Err((why, next)) => return refuse(why, next),
        }
        let unmasked = !change.puts.is_empty() && now.file.as_str() == "masked";
        if now.file.as_str() == "masked" && !unmasked && self.state == Some(State::Running) {
            return refuse(
                format!("{unit} is masked on {}: nothing can start it", host.node),
                Some("say `masked: false`, if it is to run"),
            );
        }
        // What is started by an earlier step is not known here.
        let active = now.activity.as_str();
        let set = |change: &mut Change, after: &str| {
            let setting = Setting::Unit { name: unit.clone() };
            change.put(host, setting, &now.activity, &SettingState::new(after));
        };
        match (self.state, active) {
            (Some(State::Running), "stopped") => set(&mut change, "running"),
            (Some(State::Running), "running") | (None, "running") if self.changed => {
                change.restart = Some(start_anew(host, unit, now, false));
            }
            (None, "failed" | "restarting") if self.changed => {
                change.restart = Some(start_anew(host, unit, now, false));
            }
            (Some(State::Running), "running") | (None, _) => {}
            (Some(State::Running), _) => {
                change.restart = Some(start_anew(host, unit, now, false));
            }
            (Some(State::Stopped), "running" | "restarting") => set(&mut change, "stopped"),
            (Some(State::Stopped), "stopped" | "failed") => {}
            (Some(State::Stopped), other) => {
                return refuse(
                    format!(
                        "{unit} on {} is {other} just now: whether it would stay stopped cannot be told",
                        host.node
                    ),
                    Some("try again in a moment; `systemctl status` there shows what it waits for"),
                );
            }
        }
        let own: Vec<SettingRef> = change.subjects().collect();
        if prior
            .effects()
            .filter_map(subject)
            .any(|earlier| own.contains(&earlier))
        {
            return refuse(
                format!(
                    "an earlier step of this runbook changes {unit} of {} as well",
                    host.node
                ),
                Some("make one step of the two"),
            );
        }
        match own.is_empty() {
            true => Decision::NoChange {
                why: format!(
                    "{unit} of {} is so already: {}, {}",
                    host.node,
                    activity(now),
                    now.file
                ),
            },
            false => Decision::Change(change),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut compiled = Compiled::nothing();
        for (setting, before, after) in change.puts {
            compiled.put(setting, before, after);
        }
        if let Some(effect) = change.restart {
            if let Effect::RunProgram { programs } = &effect {
                let own = programs.own.iter();
                compiled
                    .details
                    .extend(own.flat_map(|own| own.does.clone()));
            }
            compiled.effects.push(effect);
            compiled.undo = UndoClass::BestEffort {
                lost: RESTARTED.to_owned(),
            };
        }
        compiled
    }
}

/// What an undo does about a unit that was started anew.
const RESTARTED: &str = "it is started anew once more, after what it reads was put back; what ran in it does not come back";

impl HostService {
    /// How it is started with its host after the step, where that is another way than now; or why that
    /// cannot be, and what to do.
    fn file_after(
        &self,
        now: &UnitReading,
    ) -> Result<Option<SettingState>, (String, Option<&'static str>)> {
        let unit = &self.unit;
        let file = now.file.as_str();
        let to = |after: &str| Ok(Some(SettingState::new(after)));
        let cannot = |what: &str| {
            Err((
                format!("{unit} is {}, and cannot be {what}", now.file),
                Some("look at its file with `systemctl cat` there"),
            ))
        };
        match (self.start, file) {
            (None, _)
            | (Some(Start::Masked), "masked")
            | (Some(Start::Enabled | Start::Unmasked(true)), "enabled") => Ok(None),
            (Some(Start::Unmasked(enabled)), "masked") => match (enabled, now.under.as_str()) {
                (true, "disabled") => to("enabled"),
                (true, under) => Err((
                    format!("{unit} is masked, and {under} without that: it cannot be enabled"),
                    Some("say `enabled: false`, so that only the mask is lifted"),
                )),
                (false, under) => to(under),
            },
            (Some(Start::Enabled | Start::Unmasked(true)), "disabled") => to("enabled"),
            (Some(Start::Enabled | Start::Unmasked(true)), _) => cannot("enabled"),
            (Some(Start::Disabled | Start::Unmasked(false)), "enabled") => to("disabled"),
            // It is started for other units, if at all, and not by itself.
            (
                Some(Start::Disabled | Start::Unmasked(false)),
                "disabled" | "masked" | "static" | "indirect" | "generated" | "transient" | "none",
            ) => Ok(None),
            (Some(Start::Disabled | Start::Unmasked(false)), _) => cannot("disabled"),
            (Some(Start::Masked), _) if now.path.starts_with("/etc/systemd/system/") => Err((
                format!(
                    "{unit} has its file at {}, where systemd puts a mask",
                    now.path
                ),
                Some("say `enabled: false` instead"),
            )),
            (
                Some(Start::Masked),
                "enabled" | "disabled" | "static" | "indirect" | "generated" | "none",
            ) => to("masked"),
            (Some(Start::Masked), _) => cannot("masked"),
        }
    }
}

impl Change {
    fn put(
        &mut self,
        host: &HostRef,
        setting: Setting,
        before: &SettingState,
        after: &SettingState,
    ) {
        self.puts
            .push((setting.of(host), before.clone(), after.clone()));
    }

    fn subjects(&self) -> impl Iterator<Item = SettingRef> {
        let restarted = self.restart.iter().filter_map(subject);
        self.puts
            .iter()
            .map(|(setting, ..)| setting.clone())
            .chain(restarted)
    }
}

/// The setting that an effect is done to.
fn subject(effect: &Effect) -> Option<SettingRef> {
    match effect {
        Effect::PutSetting { setting, .. } => Some(setting.clone()),
        Effect::RunProgram { programs } => {
            let name = programs.restarts.as_ref()?.unit.clone();
            Some(Setting::Unit { name }.of(&programs.host))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
