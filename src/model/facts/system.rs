//! The system itself: what it is, its names, its time and its memory.

use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Which Linux it is, by os-release(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Os {
    /// `ID`, such as `debian`; `linux` where it does not say.
    pub id: String,
    /// `VERSION_ID`, such as `12`. Rolling releases have none.
    pub version_id: Fact<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: String,
}

impl Os {
    pub(super) fn new(parts: &Parts) -> Fact<Self> {
        parts.text("os").map(|text| {
            let mut of: BTreeMap<&str, String> = text
                .lines()
                .filter_map(|line| {
                    let (key, value) = line.trim().split_once('=')?;
                    Some((key, unquoted(value)))
                })
                .collect();
            Self {
                id: of.remove("ID").unwrap_or_else(|| "linux".to_owned()),
                version_id: match of.remove("VERSION_ID").filter(|id| !id.is_empty()) {
                    Some(id) => Fact::Is(id),
                    None => Fact::not_applicable("os-release has no VERSION_ID"),
                },
                pretty_name: of
                    .remove("PRETTY_NAME")
                    .unwrap_or_else(|| "Linux".to_owned()),
            }
        })
    }
}

/// A value as a shell would take it, without what only a shell can do.
pub(super) fn unquoted(value: &str) -> String {
    let value = value.trim();
    let (inner, escapes) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = value.strip_prefix(quote).unwrap_or(value);
            (inner.strip_suffix(quote).unwrap_or(inner), quote == '"')
        }
        _ => (value, true),
    };
    if !escapes {
        return inner.to_owned();
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Kernel {
    /// Its release, such as `6.1.0-28-amd64`.
    pub release: Fact<String>,
    /// Its build.
    pub version: Fact<String>,
}

impl Kernel {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            release: parts.line("kernel_release"),
            version: parts.line("kernel_version"),
        }
    }
}

/// What it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hostname {
    /// As the kernel has it now.
    pub name: Fact<String>,
    /// As `/etc/hostname` gives it to the next boot.
    pub configured: Fact<String>,
    /// Whether both are the same.
    pub same: Fact<bool>,
}

impl Hostname {
    pub(super) fn new(parts: &Parts) -> Self {
        let name = parts.line("hostname");
        let configured = parts.text("hostname_configured").and_then(|text| {
            // hostname(5): the first line that is no comment.
            let lines = text.lines().map(str::trim);
            let mut names = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            match names.next() {
                Some(name) => Fact::Is(name.to_owned()),
                None => Fact::not_applicable("/etc/hostname has no name"),
            }
        });
        Self {
            same: name
                .as_ref()
                .and_then(|name| configured.as_ref().map(|other| name == other)),
            name,
            configured,
        }
    }
}

/// What time it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Time {
    /// Seconds since 1970 by the host's clock, when it was read.
    pub epoch: Fact<i64>,
    /// By how many seconds its clock is ahead of that of the machine where this runs, at least; 0 where that may
    /// as well be the time that the reading took, or the part of a second that it does not say.
    pub skew: Fact<i64>,
    /// Such as `Europe/Berlin`.
    pub timezone: Fact<String>,
    /// Whether the kernel's clock is kept right by NTP: by `timedatectl`, or without systemd by busybox'
    /// `adjtimex`.
    pub synchronized: Fact<bool>,
}

impl Time {
    pub(super) fn new(parts: &Parts, within: &RangeInclusive<f64>) -> Self {
        let epoch = parts.line("clock").and_then(|line| {
            let epoch = line.parse::<i64>().ok();
            Fact::of(epoch, || format!("`{line}` is no time"))
        });
        Self {
            skew: epoch.as_ref().map(|epoch| skew(*epoch, within)),
            epoch,
            timezone: parts.line("timezone").map(|line| {
                let below = line.split_once("zoneinfo/").map(|(_, zone)| zone);
                below.unwrap_or(&line).to_owned()
            }),
            synchronized: parts.text("synchronized").and_then(|text| {
                let found = text.lines().map(str::trim).find_map(|line| {
                    if line.starts_with("status:") {
                        return Some(!line.contains("UNSYNC"));
                    }
                    Some(line.strip_prefix("NTPSynchronized=")? == "yes")
                });
                Fact::of(found, || "what was printed does not say so".to_owned())
            }),
        }
    }
}

/// A host says whole seconds, and its answer takes its time: how far it is from our own time `within` which
/// it was read.
fn skew(epoch: i64, within: &RangeInclusive<f64>) -> i64 {
    #[expect(clippy::cast_precision_loss)]
    let (first, last) = (epoch as f64, epoch.saturating_add(1) as f64);
    let (begun, ended) = (*within.start(), *within.end());
    let ahead = if first > ended {
        first - ended
    } else if last < begun {
        last - begun
    } else {
        0.0
    };
    #[expect(clippy::cast_possible_truncation)]
    let seconds = ahead.round() as i64;
    seconds
}

/// Which cgroups are mounted.
pub(super) fn cgroup(parts: &Parts) -> Fact<String> {
    parts.text("cgroup").and_then(|text| {
        let mounts = || {
            text.lines().filter_map(|line| {
                let mut words = line.split(' ').skip(1);
                Some((words.next()?, words.next()?))
            })
        };
        let unified = mounts().any(|mount| mount == ("/sys/fs/cgroup", "cgroup2"));
        let first = mounts().any(|(_, kind)| kind == "cgroup");
        let second = mounts().any(|(_, kind)| kind == "cgroup2");
        Fact::Is(
            match (unified, first, second) {
                (true, ..) => "v2",
                (_, true, true) => "hybrid",
                (_, true, false) => "v1",
                (_, false, true) => "v2",
                _ => return Fact::not_applicable("no cgroups are mounted"),
            }
            .to_owned(),
        )
    })
}

/// Its memory, in bytes, by `/proc/meminfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Memory {
    /// All there is.
    pub total: u64,
    /// What could be given to programs without swapping. Kernels before 3.14 do not say.
    pub available: Fact<u64>,
    /// Swap, in all.
    pub swap_total: u64,
    /// Swap that is not used.
    pub swap_free: u64,
    /// Swap that is used: what must find room in memory when swap is turned off.
    pub swap_used: u64,
}

impl Memory {
    pub(super) fn new(parts: &Parts) -> Fact<Self> {
        parts.text("memory").and_then(|text| {
            let of = |wanted: &str| {
                text.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    let number = value.split_whitespace().next()?.parse::<u64>().ok()?;
                    (key == wanted).then(|| number.saturating_mul(1024))
                })
            };
            let Some(total) = of("MemTotal") else {
                return Fact::unknown("/proc/meminfo has no MemTotal");
            };
            let (swap_total, swap_free) = match (of("SwapTotal"), of("SwapFree")) {
                (Some(total), Some(free)) => (total, free),
                _ => return Fact::unknown("/proc/meminfo has no SwapTotal and SwapFree"),
            };
            Fact::Is(Self {
                total,
                available: Fact::of(of("MemAvailable"), || {
                    "/proc/meminfo has no MemAvailable".to_owned()
                }),
                swap_total,
                swap_free,
                swap_used: swap_total.saturating_sub(swap_free),
            })
        })
    }
}
