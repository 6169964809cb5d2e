//! Swap: what is used now, and what brings it back after a boot.

use super::unit::{Block, blocks};
use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;

/// Swap that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SwapDevice {
    /// The device or the file.
    pub path: String,
    /// `partition`, `file` or `zram`.
    pub kind: String,
    /// In bytes.
    pub size: u64,
    /// In bytes.
    pub used: u64,
    /// The higher is used first.
    pub priority: i64,
    /// By `/dev/disk/by-uuid`; null where that does not say.
    pub uuid: Option<String>,
    /// By `/dev/disk/by-label`; null where that does not say.
    pub label: Option<String>,
    /// Its file was removed while it was used: only a reboot turns it off.
    pub removed: bool,
}

/// A line of `/etc/fstab` whose third field is `swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FstabSwap {
    /// Its number, from 1.
    pub line: usize,
    /// Its first field: a path, `UUID=…`, `LABEL=…`.
    pub what: String,
    /// The device or the file that this leads to now, as `/proc/swaps` names it; null where it leads nowhere.
    pub device: Option<String>,
    /// Its fourth field.
    pub options: String,
}

/// A `.swap` unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SwapUnit {
    /// Its name, such as `dev-sda2.swap`.
    pub unit: String,
    /// The device or the file.
    pub what: String,
    /// The device or the file that this leads to now, as `/proc/swaps` names it; null where it leads nowhere.
    pub device: Option<String>,
    /// What made it: `fstab-generator`, `gpt-auto-generator`, `zram-generator`, `generator` (another one),
    /// `unit-file` (a file of its own), `swapon` (nothing: systemd saw that it is on), `masked`.
    pub made_by: String,
    /// As of other units.
    pub load_state: String,
    /// As of other units.
    pub active_state: String,
    /// As of other units.
    pub unit_file_state: String,
    /// Its file; empty where it has none.
    pub fragment_path: String,
    /// The file that it was made of, such as `/etc/fstab`; empty where it was not made of one.
    pub source_path: String,
}

/// Swap, now and after a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Swap {
    /// Whether any is on: kubelet's own test, by `/proc/swaps`; zram counts.
    pub on: Fact<bool>,
    /// What is on.
    pub devices: Fact<Vec<SwapDevice>>,
    /// What `/etc/fstab` would turn on at a boot; comments do not count.
    pub fstab: Fact<Vec<FstabSwap>>,
    /// What systemd knows of, active or not.
    pub units: Fact<Vec<SwapUnit>>,
    /// Partitions of the root's disk that systemd-gpt-auto-generator(8) turns on at a boot where `/etc/fstab`
    /// names no swap, by their type in the partition table.
    pub gpt_auto: Fact<Vec<String>>,
}

impl Swap {
    pub(super) fn new(parts: &Parts) -> Self {
        let names = Names::new(parts);
        let devices = parts.text("swaps").and_then(|text| {
            let lines = text.lines().skip(1).filter(|line| !line.trim().is_empty());
            let read = |line: &str| device(line, &names).ok_or(line.to_owned());
            match lines.map(read).collect::<Result<Vec<_>, _>>() {
                Ok(devices) => Fact::Is(devices),
                Err(line) => {
                    Fact::Unknown(format!("this line of /proc/swaps cannot be read: {line}"))
                }
            }
        });
        Self {
            on: match &devices {
                Fact::NotApplicable(_) => Fact::Is(false),
                devices => devices.as_ref().map(|devices| !devices.is_empty()),
            },
            devices,
            fstab: match parts.text("fstab") {
                Fact::NotApplicable(_) => Fact::Is(Vec::new()),
                text => text.map(|text| fstab(&text, &names)),
            },
            units: parts.text("swap_units").map(|text| {
                let blocks = blocks(&text);
                // Other names of the same device follow its unit.
                let own = blocks.iter().filter(|b| b.get("Following").is_empty());
                let mut units: Vec<SwapUnit> = own.map(|block| unit(block, &names)).collect();
                units.sort_by(|a, b| a.unit.cmp(&b.unit));
                units.dedup_by(|a, b| a.unit == b.unit);
                // Asked for by a name that no longer stands for anything.
                units
                    .retain(|unit| unit.load_state != "not-found" || unit.active_state == "active");
                units
            }),
            gpt_auto: (parts.text("gpt_auto")).map(|text| {
                text.lines()
                    .filter(|l| !l.is_empty())
                    .map(str::to_owned)
                    .collect()
            }),
        }
    }
}

/// What devices are called besides.
struct Names {
    /// By the tags of fstab(5): each name, and the last part of what it leads to.
    tags: Vec<(&'static str, Vec<(String, String)>)>,
    /// Paths that are links, and where they lead.
    links: Vec<(String, String)>,
}

impl Names {
    fn new(parts: &Parts) -> Self {
        let tags = [
            ("UUID", "by_uuid"),
            ("LABEL", "by_label"),
            ("PARTUUID", "by_partuuid"),
            ("PARTLABEL", "by_partlabel"),
        ];
        let text = parts.text("swap_links");
        let lines = text.is().map(String::as_str).unwrap_or_default().lines();
        let links = lines.filter_map(|line| line.split_once('\t'));
        Self {
            tags: tags.map(|(tag, part)| (tag, by(parts, part))).to_vec(),
            links: links.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        }
    }

    fn of_tag(&self, tag: &str) -> &[(String, String)] {
        let found = self.tags.iter().find(|(name, _)| *name == tag);
        found.map(|(_, links)| links.as_slice()).unwrap_or_default()
    }

    /// What the kernel calls a device or a file.
    fn kernel(&self, what: &str) -> Option<String> {
        if what.starts_with('/') {
            let link = self.links.iter().find(|(link, _)| link == what);
            return Some(link.map_or(what, |(_, to)| to).to_owned());
        }
        let (tag, value) = what.split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        let links = self.of_tag(tag);
        let (_, base) = links.iter().find(|(name, _)| name == value)?;
        Some(format!("/dev/{base}"))
    }
}

fn device(line: &str, names: &Names) -> Option<SwapDevice> {
    let mut words = line.split_whitespace();
    let path = unescaped(words.next()?);
    // A file that was removed has this behind it.
    let removed = path.ends_with(" (deleted)");
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned();
    let kind = words.next()?;
    let mut bytes = || Some(words.next()?.parse::<u64>().ok()?.saturating_mul(1024));
    let (size, used) = (bytes()?, bytes()?);
    let base = path.rsplit('/').next().unwrap_or_default();
    let of = |tag: &str| {
        let known = names.of_tag(tag).iter().find(|(_, device)| device == base);
        known
            .filter(|_| path.starts_with("/dev/"))
            .map(|(name, _)| name.clone())
    };
    Some(SwapDevice {
        kind: match base.starts_with("zram") && path.starts_with("/dev/") {
            true => "zram".to_owned(),
            false => kind.to_owned(),
        },
        size,
        used,
        priority: words.next()?.parse().ok()?,
        uuid: of("UUID"),
        label: of("LABEL"),
        removed,
        path,
    })
}

/// What `ls -l` shows of a folder of links: each link's name, and the last part of what it leads to.
fn by(parts: &Parts, name: &str) -> Vec<(String, String)> {
    let text = parts.text(name);
    let lines = text.is().map(String::as_str).unwrap_or_default().lines();
    let links = lines.filter_map(|line| {
        let (left, to) = line.split_once(" -> ")?;
        let name = left.rsplit(' ').next()?;
        // udev writes what could harm as \x20.
        Some((hex(name), to.rsplit('/').next()?.to_owned()))
    });
    links.collect()
}

fn fstab(text: &str, names: &Names) -> Vec<FstabSwap> {
    let lines = (1..).zip(text.lines()).filter_map(|(line, text)| {
        let mut fields = text.split_whitespace();
        let what = fields.next().filter(|what| !what.starts_with('#'))?;
        let (_, kind) = (fields.next()?, fields.next()?);
        (kind == "swap").then(|| FstabSwap {
            line,
            what: unescaped(what),
            device: names.kernel(&unescaped(what)),
            options: fields.next().unwrap_or("defaults").to_owned(),
        })
    });
    lines.collect()
}

fn unit(block: &Block<'_>, names: &Names) -> SwapUnit {
    let of = |key: &str| block.get(key).to_owned();
    let path = block.get("FragmentPath");
    let written_by = |who: &str| block.get("Documentation").contains(who);
    let generated = path.starts_with("/run/systemd/generator");
    let made_by = if block.get("LoadState") == "masked" {
        "masked"
    } else if generated && block.get("SourcePath") == "/etc/fstab" || written_by("fstab-generator")
    {
        "fstab-generator"
    } else if written_by("gpt-auto-generator") {
        "gpt-auto-generator"
    } else if written_by("zram-generator") {
        "zram-generator"
    } else if generated {
        "generator"
    } else if path.is_empty() {
        "swapon"
    } else {
        "unit-file"
    };
    SwapUnit {
        unit: of("Id"),
        what: of("What"),
        device: names.kernel(block.get("What")),
        made_by: made_by.to_owned(),
        load_state: of("LoadState"),
        active_state: of("ActiveState"),
        unit_file_state: of("UnitFileState"),
        fragment_path: of("FragmentPath"),
        source_path: of("SourcePath"),
    }
}

/// `\040` and the like, as the kernel and fstab(5) write blanks in paths.
fn unescaped(text: &str) -> String {
    decoded(text, |rest| {
        let digits = rest.get(..3)?;
        let octal = digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let byte = u8::from_str_radix(digits, 8).ok().filter(|_| octal)?;
        Some((byte, 3))
    })
}

/// `\x20` and the like.
fn hex(text: &str) -> String {
    decoded(text, |rest| {
        let digits = rest.strip_prefix('x')?.get(..2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        Some((byte, 3))
    })
}

/// What stands behind a backslash is one byte, and how long that is.
fn decoded(text: &str, one: impl Fn(&str) -> Option<(u8, usize)>) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        bytes.extend(before.bytes());
        let after = after.get(1..).unwrap_or_default();
        rest = match one(after) {
            Some((byte, long)) => {
                bytes.push(byte);
                after.get(long..).unwrap_or_default()
            }
            None => {
                bytes.push(b'\\');
                after
            }
        };
    }
    bytes.extend(rest.bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
