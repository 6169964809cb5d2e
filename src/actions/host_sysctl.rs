//! `host.sysctl`: values of the kernel's settings, running and after a boot.

use super::file_change::{self, check_path};
use super::host_conntrack::{FULL, MAX, Table};
use super::host_program::Scalar;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::{Fault, NO_SYSTEMD};
use crate::model::{
    DropIn, Effect, HostRef, Prior, Setting, SettingRef, SettingState, SysctlLine, hidden_by,
    in_order, is_after, same_sysctl, sysctl_path, with_value,
};
use crate::transport::OwnerNames;
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;

/// The folders of sysctl.d(5) (systemd 252), the one that hides others first.
const FOLDERS: &[&str] = &[
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

const BUCKETS: &str = "net.netfilter.nf_conntrack_buckets";
/// Bytes that the kernel takes for a tracked connection on 64 bit: struct nf_conn (320 with `nf_conntrack` in
/// /proc/slabinfo rounded up), and its extensions, of which NAT and events take 128 (Linux 6.1,
/// NF_CT_EXT_PREALLOC). More is rare.
const ENTRY: u64 = 320 + 128;
/// Bytes of a bucket.
const BUCKET: u64 = 8;
/// The kernel makes the table of whole pages, of 8 bytes for each bucket (Linux 6.1,
/// nf_ct_alloc_hashtable); the largest pages that Linux is built with have 64 KiB.
const BUCKETS_OF_A_PAGE: u64 = 8192;

/// Values of the kernel's settings: those that are in force now, and those that a boot brings back. What
/// systemd-sysctl reads last wins; the plan says which file that is.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The values, each by its key, such as `net.ipv4.ip_forward: 1`.
    values: BTreeMap<String, Scalar>,
    /// Whether numbers are only ever raised: what is larger already stays, running and in files.
    #[serde(default)]
    at_least: bool,
    /// The file in a folder of sysctl.d(5) that keeps them, where no other file gives them already. A name
    /// late in the alphabet is read last.
    #[serde(default = "usual_file")]
    file: String,
    /// `false`: only running values are set, which a boot does not bring back.
    #[serde(default = "super::yes")]
    at_boot: bool,
}

fn usual_file() -> String {
    "/etc/sysctl.d/99-zz-runbook.conf".to_owned()
}

/// Why something is refused, and what to do.
type Refused = (String, Option<String>);

pub struct HostSysctl {
    /// Keys as they are written, with their values.
    values: Vec<(String, String)>,
    at_least: bool,
    file: Option<String>,
}

pub struct Seen {
    host: HostRef,
    running: Vec<SettingState>,
    boot: Option<Boot>,
    /// The table of connections, where its size is among the values.
    table: Option<Table>,
}

/// What a boot brings back.
struct Boot {
    found: Vec<DropIn>,
    /// Why it is not known here whether a boot reads them.
    unknown: Option<String>,
    own: file_change::Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    puts: Vec<(SettingRef, SettingState, SettingState)>,
    file: Option<file_change::Change>,
    heals: Option<String>,
}

fn check_key(key: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let path = sysctl_path(key);
    let parts = || path.split('/');
    match key.chars().all(plain) && parts().all(|part| !["", ".", ".."].contains(&part)) {
        true => Ok(()),
        false => Err(format!("`values`: `{key}` is not the key of a setting")),
    }
}

#[async_trait]
impl Action for HostSysctl {
    const USES: &'static str = "host.sysctl";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let mut values = Vec::new();
        for (key, value) in &args.values {
            check_key(key)?;
            let value = value.to_string();
            if value.trim().is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(format!("`values`: {key} needs a value in one line"));
            }
            let value = match (value.trim().parse::<u64>(), args.at_least) {
                (Ok(number), _) if same_sysctl(key, BUCKETS) => {
                    number.next_multiple_of(BUCKETS_OF_A_PAGE).to_string()
                }
                (Err(_), true) => {
                    return Err(format!(
                        "`values`: with `at_least`, {key} needs a number, and `{value}` is none"
                    ));
                }
                _ => value.trim().to_owned(),
            };
            values.push((key.clone(), value));
        }
        if values.is_empty() {
            return Err("`values` is empty: there is nothing to set".to_owned());
        }
        check_path(&args.file).map_err(|e| e.replace("`path`", "`file`"))?;
        let folder = args.file.rsplit_once('/').map(|(folder, _)| folder);
        // Those of /run are gone after a boot; the others are a distribution's own.
        if folder != FOLDERS.first().copied() || !args.file.ends_with(".conf") {
            return Err(format!(
                "`file` stands in /etc/sysctl.d and ends in .conf, and `{}` does not",
                args.file
            ));
        }
        Ok(Self {
            values,
            at_least: args.at_least,
            file: args.at_boot.then_some(args.file),
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
        let mut running = Vec::new();
        for (key, _) in &self.values {
            running.push(look.setting(&setting(&host, key)).await?);
        }
        let boot = match &self.file {
            None => None,
            Some(file) => Some(Boot {
                found: look.drop_ins(&host, FOLDERS).await?,
                unknown: reads_nothing(look, &host).await?,
                own: file_change::Seen::read(look, place, file, &OwnerNames::default()).await?,
            }),
        };
        let table = match self.values.iter().any(|(key, _)| same_sysctl(key, MAX)) {
            true => Table::read(look, &host).await?,
            false => None,
        };
        Ok(Seen {
            host,
            running,
            boot,
            table,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let mut puts = Vec::new();
        let mut foreseen = false;
        for ((key, value), now) in self.values.iter().zip(&seen.running) {
            let setting = setting(&seen.host, key);
            let Some(current) = now.as_value() else {
                return match (now.as_str(), loads_a_module(prior, &seen.host)) {
                    ("absent", true) => {
                        foreseen = true;
                        continue;
                    }
                    ("absent", false) => Decision::Refuse {
                        why: format!("the kernel of {} has no {key}", seen.host.node),
                        next: Some(
                            "its module may have to be loaded first: put a step with host.module before this one"
                                .to_owned(),
                        ),
                    },
                    _ => Decision::Refuse {
                        why: format!("{key} of {} is {now}", seen.host.node),
                        next: None,
                    },
                };
            };
            if prior.effects().any(|effect| {
                matches!(effect, Effect::PutSetting { setting: other, .. }
                    if other.host.same(&setting.host)
                        && same_sysctl(&other.setting.place(), key))
            }) {
                return Decision::Refuse {
                    why: format!("an earlier step of this runbook sets {key} as well"),
                    next: Some("make one step of the two".to_owned()),
                };
            }
            if !self.is_enough(key, value, current) {
                puts.push((setting, now.clone(), SettingState::value(value)));
            }
        }
        let file = match &seen.boot {
            None => None,
            Some(boot) => match self.file_after(boot, seen, prior) {
                Ok(change) => change,
                Err((why, next)) => return Decision::Refuse { why, next },
            },
        };
        if foreseen {
            return Decision::Foreseen;
        }
        match puts.is_empty() && file.is_none() {
            true => Decision::NoChange {
                why: match &seen.boot {
                    Some(Boot { unknown: None, .. }) => format!(
                        "{} has these values, and so it is after a boot",
                        seen.host.node
                    ),
                    _ => format!("{} has these values", seen.host.node),
                },
            },
            false => Decision::Change(Change {
                heals: full(seen, &puts),
                puts,
                file,
            }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut compiled = Compiled::nothing();
        for (setting, before, after) in change.puts {
            compiled.put(setting, before, after);
        }
        compiled.heals = change.heals;
        match change.file {
            Some(file) => compiled.and(file.compile(false)),
            None => compiled,
        }
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        let mut notes = Vec::new();
        let written = match decision {
            Decision::Change(Change { file: Some(_), .. }) => self.file.as_deref(),
            Decision::Foreseen => seen
                .boot
                .as_ref()
                .filter(|boot| !self.missing(boot, seen).is_ok_and(|lines| lines.is_empty()))
                .and(self.file.as_deref()),
            Decision::Change(_) | Decision::NoChange { .. } => None,
            _ => return notes,
        };
        if let Some(table) = seen.table {
            notes.push(format!("now {table}"));
        }
        notes.extend(seen.boot.iter().filter_map(|boot| boot.unknown.clone()));
        for ((key, value), running) in self.values.iter().zip(&seen.running) {
            if *decision == Decision::Foreseen && running.as_value().is_none() {
                notes.push(format!(
                    "{key} becomes {value}{}; what it is before is seen once its module is loaded, and shown \
                     before it is changed",
                    match self.at_least {
                        true => ", unless the kernel itself makes it larger",
                        false => "",
                    }
                ));
            }
            if let Some(boot) = seen.boot.as_ref().filter(|boot| boot.unknown.is_none()) {
                let enough = |line: &SysctlLine| self.is_enough(key, value, &line.value);
                match (winner(&boot.found, key), written) {
                    (Some((file, line)), _) if enough(&line) => notes.push(format!(
                        "after a boot {key} is {}: {} line {} has the last word",
                        line.value, file.path, line.number
                    )),
                    (Some((file, line)), Some(own)) if file.path != own => notes.push(format!(
                        "{own} is read after {} line {}, which says {}, and has the last word on {key}",
                        file.path, line.number, line.value
                    )),
                    (_, Some(own)) => {
                        notes.push(format!("{own} has the last word on {key} after a boot"));
                    }
                    (_, None) => {}
                }
            }
            if same_sysctl(key, MAX)
                && let Ok(entries) = value.parse::<u64>()
                && let entries = entries.max(number(running).unwrap_or(0))
                && number(running) != Some(0)
            {
                let buckets = self
                    .values
                    .iter()
                    .find(|(key, _)| same_sysctl(key, BUCKETS));
                let buckets = buckets.and_then(|(_, value)| value.parse::<u64>().ok());
                let buckets = buckets.unwrap_or(0).saturating_mul(BUCKET);
                let bytes = entries.saturating_mul(ENTRY).saturating_add(buckets);
                notes.push(format!(
                    "{entries} tracked connections take about {} MiB of memory that is never swapped",
                    bytes.div_ceil(1 << 20)
                ));
            }
        }
        notes
    }
}

/// Why it is not known here whether a boot reads the files.
async fn reads_nothing(look: &Look<'_>, host: &HostRef) -> Result<Option<String>, Fault> {
    let name = "systemd-sysctl.service".to_owned();
    let setting = Setting::UnitFile { name }.of(host);
    let why = match look.setting(&setting).await {
        Ok(state) if ["masked", SettingState::ABSENT].contains(&state.as_str()) => {
            format!("systemd-sysctl is {state}")
        }
        Ok(_) => return Ok(None),
        Err(fault) if fault.code == NO_SYSTEMD => "it is not run by systemd".to_owned(),
        Err(fault) => return Err(fault),
    };
    Ok(Some(format!(
        "what a boot of {} reads is not known here: {why}",
        host.node
    )))
}

/// The last line that sets a key, and its file.
fn winner<'f>(found: &'f [DropIn], key: &str) -> Option<(&'f DropIn, SysctlLine)> {
    let path = sysctl_path(key);
    in_order(found)
        .into_iter()
        .rev()
        .find_map(|file| Some((file, SysctlLine::of(&file.text, &path).pop()?)))
}

fn setting(host: &HostRef, key: &str) -> SettingRef {
    let key = key.to_owned();
    Setting::Sysctl { key }.of(host)
}

/// The table that was full before its size was put, as a fault.
fn full(seen: &Seen, puts: &[(SettingRef, SettingState, SettingState)]) -> Option<String> {
    let table = seen.table.filter(|table| table.share() >= FULL)?;
    let sized = |setting: &Setting| same_sysctl(&setting.place(), MAX);
    puts.iter()
        .any(|(of, ..)| sized(&of.setting))
        .then(|| {
            format!(
                "the table of connections of {} is full or nearly so, and a full one drops packets: {table}",
                seen.host.node
            )
        })
}

fn number(state: &SettingState) -> Option<u64> {
    state.as_value()?.parse().ok()
}

fn loads_a_module(prior: Prior<'_>, host: &HostRef) -> bool {
    prior.effects().any(|effect| {
        matches!(effect, Effect::PutSetting { setting, .. }
            if matches!(setting.setting, Setting::Module { .. }) && setting.host.same(host))
    })
}

impl HostSysctl {
    /// Whether a value that is there is as it is to be.
    fn is_enough(&self, key: &str, wanted: &str, there: &str) -> bool {
        let (wanted, there) = (SettingState::value(wanted), SettingState::value(there));
        match (number(&wanted), number(&there)) {
            // It is the number for no limit.
            (Some(_), Some(0)) if self.at_least && same_sysctl(key, MAX) => true,
            (Some(wanted), Some(there)) if self.at_least => there >= wanted,
            _ => wanted == there,
        }
    }

    /// What no file gives already, with the values that a file is to have; or why no file would help.
    fn missing(&self, boot: &Boot, seen: &Seen) -> Result<Vec<(&str, String)>, Refused> {
        let own = self.file.as_deref().unwrap_or_default();
        let mut missing = Vec::new();
        for ((key, value), running) in self.values.iter().zip(&seen.running) {
            match winner(&boot.found, key) {
                Some((_, line)) if self.is_enough(key, value, &line.value) => continue,
                // What is read after ours would win.
                Some((file, line)) if is_after(&file.path, own) => {
                    return Err((
                        format!(
                            "{} line {} sets {key} to {}, and is read after {own}: after a boot it would win",
                            file.path, line.number, line.value
                        ),
                        Some(format!(
                            "put it right there (host.line), or give `file` a name that comes after {}",
                            file.path.rsplit('/').next().unwrap_or_default()
                        )),
                    ));
                }
                _ => {}
            }
            // A boot does not lower what was raised.
            let value = match running.as_value() {
                Some(running) if self.at_least && self.is_enough(key, value, running) => running,
                _ => value.as_str(),
            };
            missing.push((key.as_str(), value.to_owned()));
        }
        Ok(missing)
    }

    /// The file that keeps what no other file gives already; or why it would not.
    fn file_after(
        &self,
        boot: &Boot,
        seen: &Seen,
        prior: Prior<'_>,
    ) -> Result<Option<file_change::Change>, Refused> {
        let own = self.file.as_deref().unwrap_or_default();
        let missing = self.missing(boot, seen)?;
        if missing.is_empty() {
            return Ok(None);
        }
        if let Some(file) = hidden_by(&boot.found, own) {
            return Err((
                format!("{own} would hide {}, which has its name", file.path),
                Some("give `file` another name".to_owned()),
            ));
        }
        let decision = boot.own.decide(prior, None, "", |old| {
            let old = match old.map(std::str::from_utf8) {
                None => "",
                Some(Ok(text)) => text,
                Some(Err(_)) => return Err(file_change::Refusal::new("is no text")),
            };
            let new = missing.iter().fold(old.to_owned(), |text, (key, value)| {
                with_value(&text, key, value)
            });
            Ok(Some(new.into_bytes()))
        });
        match decision {
            Decision::Change(change) => Ok(Some(change)),
            Decision::Refuse { why, next } => Err((why, next)),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
