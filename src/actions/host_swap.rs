//! `host.swap`: no swap, now and after a boot.

mod at_boot;

use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::{Fault, NO_TOOL};
use crate::model::facts::{Fact, Facts, FstabSwap, SwapDevice};
use crate::model::{HostRef, Prior, Setting, SettingRef, SettingState};
use async_trait::async_trait;
use at_boot::{kept_off, made_no_more, makers, swap_unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Whether there is swap.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nothing is swapped to.
    #[default]
    Off,
}

/// Turns off all that a host swaps to, and keeps systemd's units from turning it on after a boot. Entries
/// of /etc/fstab are left to `host.fstab`; the plan names them. It is refused where memory would not hold
/// what is swapped out.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// What is to be: `off`. To turn it on again, take the run back.
    #[serde(default)]
    state: State,
    /// `false`: units of systemd stay as they are, and a boot may turn it on again.
    #[serde(default = "super::yes")]
    at_boot: bool,
}

pub struct HostSwap {
    at_boot: bool,
}

pub struct Seen {
    host: HostRef,
    facts: Arc<Facts>,
    /// How each area stands, in the order of the facts; or which tool is not there.
    areas: Result<Vec<SettingState>, String>,
    /// Units that do not turn swap on yet, and would after a boot, and how they stand.
    to_come: Vec<(String, SettingState)>,
}

type Put = (SettingRef, SettingState, SettingState);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    puts: Vec<Put>,
    areas: Vec<String>,
}

#[async_trait]
impl Action for HostSwap {
    const USES: &'static str = "host.swap";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let State::Off = args.state;
        Ok(Self {
            at_boot: args.at_boot,
        })
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
        let facts = look.facts(&host).await?;
        let mut areas = Ok(Vec::new());
        for device in facts.swap.devices.is().into_iter().flatten() {
            match (look.setting(&area(&host, &device.path)).await, &mut areas) {
                (Ok(state), Ok(areas)) => areas.push(state),
                (Err(fault), _) if fault.code == NO_TOOL => areas = Err(fault.message),
                (Err(fault), _) => return Err(fault),
                (Ok(_), Err(_)) => {}
            }
        }
        let mut to_come = Vec::new();
        if self.at_boot && facts.swap.units.is().is_some() {
            for path in facts.swap.gpt_auto.is().into_iter().flatten() {
                let name = swap_unit(path);
                let state = look.setting(&start(&host, &name)).await?;
                to_come.push((name, state));
            }
        }
        Ok(Seen {
            host,
            facts,
            areas,
            to_come,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Change> {
        let host = &seen.host;
        let swap = &seen.facts.swap;
        let devices = match &swap.devices {
            Fact::Is(devices) => devices,
            Fact::NotApplicable(why) => {
                return Decision::NoChange {
                    why: format!("not applicable: {why}"),
                };
            }
            Fact::Unknown(why) => {
                return Decision::Refuse {
                    why: format!("what {} swaps to cannot be read: {why}", host.node),
                    next: None,
                };
            }
        };
        let areas = match &seen.areas {
            Ok(areas) => areas,
            Err(why) => {
                return Decision::NoChange {
                    why: format!("not applicable: {why}; swap stays on"),
                };
            }
        };
        if let Some(device) = devices.iter().find(|device| device.removed) {
            return Decision::Refuse {
                why: format!(
                    "{} was removed while {} swaps to it: nothing turns it off but a reboot",
                    device.path, host.node
                ),
                next: Some("drain the node and reboot it".to_owned()),
            };
        }
        if let Some(why) = no_room(&seen.facts, devices) {
            return Decision::Refuse {
                why: format!("{}: {why}", host.node),
                next: Some(
                    "stop what takes memory there first: drain the node, or look with `top`"
                        .to_owned(),
                ),
            };
        }
        // What was turned on first has the highest of the priorities that the kernel chooses, and is turned
        // on first when this is taken back.
        let mut on: Vec<(&SwapDevice, &SettingState)> = devices
            .iter()
            .zip(areas)
            .filter(|(_, state)| state.as_str() != "off")
            .collect();
        on.sort_by_key(|(device, _)| device.priority);
        let mut puts: Vec<Put> = on
            .iter()
            .map(|(device, state)| {
                let off = SettingState::new("off");
                (area(host, &device.path), (*state).clone(), off)
            })
            .collect();
        if self.at_boot {
            let units = match &swap.units {
                Fact::Is(units) => units.as_slice(),
                // Without systemd, nothing but fstab turns it on.
                Fact::NotApplicable(_) => &[],
                Fact::Unknown(why) => {
                    return Decision::Refuse {
                        why: format!(
                            "what would turn swap on after a boot of {} cannot be read: {why}",
                            host.node
                        ),
                        next: None,
                    };
                }
            };
            for unit in units {
                match kept_off(unit) {
                    Ok(None) => {}
                    Ok(Some((before, after))) => {
                        puts.push((start(host, &unit.unit), before, after));
                    }
                    Err(why) => {
                        return Decision::Refuse {
                            why: format!("{} of {}: {why}", unit.unit, host.node),
                            next: Some(format!("look with `systemctl cat {}` there", unit.unit)),
                        };
                    }
                }
            }
            for (name, state) in &seen.to_come {
                let known = puts.iter().any(|(of, ..)| *of == start(host, name));
                if !known && ["absent", "generated"].contains(&state.as_str()) {
                    let masked = SettingState::new("masked");
                    puts.push((start(host, name), state.clone(), masked));
                }
            }
            for (name, unit) in makers(&seen.facts) {
                if let Some(after) = made_no_more(unit) {
                    let before = SettingState::new(unit.unit_file_state.as_str());
                    puts.push((start(host, name), before, SettingState::new(after)));
                }
            }
        }
        match puts.is_empty() {
            true if devices.is_empty() => Decision::NoChange {
                why: format!("{} swaps to nothing", host.node),
            },
            true => Decision::NoChange {
                why: format!(
                    "{} swaps to nothing any more: it was just turned off",
                    host.node
                ),
            },
            false => Decision::Change(Change {
                puts,
                areas: on.iter().map(|(device, _)| device.path.clone()).collect(),
            }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut compiled = Compiled::nothing();
        for (setting, before, after) in change.puts {
            compiled.put(setting, before, after);
        }
        compiled.heals = (!change.areas.is_empty()).then(|| {
            format!(
                "swap on {}, with which a kubelet that does not tolerate swap does not start",
                change.areas.join(", ")
            )
        });
        compiled
    }

    fn notes(&self, seen: &Seen, _: &Decision<Change>) -> Vec<String> {
        let swap = &seen.facts.swap;
        let mut notes = Vec::new();
        for device in swap.devices.is().into_iter().flatten() {
            notes.push(format!(
                "{} ({}, {}, of which {} are used) is turned on by {}",
                device.path,
                device.kind,
                bytes(device.size),
                bytes(device.used),
                turned_on_by(seen, device)
            ));
        }
        for unit in swap.units.is().into_iter().flatten() {
            let file = unit.unit_file_state.as_str();
            if unit.made_by == "unit-file" && ["static", "disabled", "indirect"].contains(&file) {
                notes.push(format!(
                    "{} is {file}: a boot turns {} on only where another unit asks for it",
                    unit.unit, unit.what
                ));
            }
        }
        for (name, unit) in makers(&seen.facts) {
            if self.at_boot && made_no_more(unit).is_some() {
                notes.push(format!("{name} turns swap on at each boot, without an entry or a unit of its own for it"));
            }
        }
        if self.at_boot {
            for path in swap.gpt_auto.is().into_iter().flatten() {
                notes.push(format!(
                    "{path} is swap by its type in the partition table: where /etc/fstab names no swap, systemd turns it on at each boot, unless its unit is masked"
                ));
            }
        }
        for entry in swap.fstab.is().into_iter().flatten() {
            if entry.options.split(',').any(|option| option == "noauto") {
                continue;
            }
            notes.push(format!(
                "/etc/fstab line {} turns {} on at each boot, until it is commented out (host.fstab)",
                entry.line, entry.what
            ));
        }
        notes
    }
}

fn area(host: &HostRef, path: &str) -> SettingRef {
    let area = path.to_owned();
    Setting::Swap { area }.of(host)
}

fn start(host: &HostRef, unit: &str) -> SettingRef {
    let name = unit.to_owned();
    Setting::UnitFile { name }.of(host)
}

/// Why memory would not hold what is swapped out.
fn no_room(facts: &Facts, devices: &[SwapDevice]) -> Option<String> {
    let used: u64 = devices.iter().map(|device| device.used).sum();
    if used == 0 {
        return None;
    }
    let free = match &facts.memory {
        Fact::Is(memory) => memory.available.as_ref().map(|free| *free),
        Fact::Unknown(why) | Fact::NotApplicable(why) => Fact::Unknown(why.clone()),
    };
    match free {
        Fact::Is(free) if free > used => None,
        Fact::Is(free) => Some(format!(
            "{} are swapped out, and memory has room for {}: turning swap off would fail, or end programs",
            bytes(used),
            bytes(free)
        )),
        Fact::Unknown(why) | Fact::NotApplicable(why) => Some(format!(
            "{} are swapped out, and how much memory is free cannot be read: {why}",
            bytes(used)
        )),
    }
}

/// What turned an area on, as far as it can be told.
fn turned_on_by(seen: &Seen, device: &SwapDevice) -> String {
    let swap = &seen.facts.swap;
    let same = |entry: &&FstabSwap| entry.device.as_ref() == Some(&device.path);
    let in_fstab = swap.fstab.is().into_iter().flatten().find(same);
    if let Some(entry) = in_fstab {
        return format!("/etc/fstab line {} ({})", entry.line, entry.what);
    }
    let units = swap.units.is().into_iter().flatten();
    let by = units
        .filter(|unit| unit.device.as_ref() == Some(&device.path))
        .find(|unit| unit.made_by != "swapon");
    match by {
        Some(unit) => match unit.made_by.as_str() {
            "unit-file" => format!("the unit {} ({})", unit.unit, unit.fragment_path),
            "fstab-generator" => format!("/etc/fstab, by way of {}", unit.unit),
            "masked" => format!("somebody by hand, as {} is masked", unit.unit),
            "generator" => format!("a generator of systemd, by way of {}", unit.unit),
            made_by => format!("{made_by}, by way of {}", unit.unit),
        },
        None => match makers(&seen.facts).find(|(_, unit)| unit.active) {
            Some((name, _)) => format!("{name}, as it seems"),
            None => {
                "somebody by hand, as it seems: neither /etc/fstab nor a unit of systemd names it"
                    .to_owned()
            }
        },
    }
}

/// With two digits, in the units of 1024.
fn bytes(count: u64) -> String {
    let mut unit = "B";
    let mut size = count;
    let mut rest = 0;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024 {
            break;
        }
        rest = size % 1024 * 10 / 1024;
        size /= 1024;
        unit = larger;
    }
    match (rest, size < 10) {
        (0, _) | (_, false) => format!("{size} {unit}"),
        (rest, true) => format!("{size}.{rest} {unit}"),
    }
}

#[cfg(test)]
mod tests;
