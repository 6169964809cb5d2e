//! What a host's kernel and its systemd hold beside files: settings that are read and put as one line.

use super::file::HostRef;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One setting, by what names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "setting")]
pub enum Setting {
    /// The running value of a key of sysctl(8), as it is written there: `net.ipv4.ip_forward`.
    Sysctl { key: String },
    /// Whether a module of the kernel is loaded.
    Module { name: String },
    /// Whether a unit of systemd runs.
    Unit { name: String },
    /// Whether a unit of systemd is started with the host, or not at all.
    UnitFile { name: String },
    /// Whether a file or a block device is swapped to, as /proc/swaps names it.
    Swap { area: String },
    /// A field of `spec.bgp` of a node as Calico's own datastore has it: `ipv4Address`. It is read and put by
    /// calicoctl on the host.
    CalicoNode {
        /// Its name there, which need not be Kubernetes' own.
        node: String,
        field: String,
        /// Of etcd, with commas between, for a host on which calicoctl has no configuration of its own.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        endpoints: String,
    },
}

impl Setting {
    /// The same, of one host.
    pub fn of(self, host: &HostRef) -> SettingRef {
        SettingRef {
            host: host.clone(),
            setting: self,
        }
    }

    /// What hosts' scripts call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sysctl { .. } => "sysctl",
            Self::Module { .. } => "module",
            Self::Unit { .. } => "unit",
            Self::UnitFile { .. } => "unit_file",
            Self::Swap { .. } => "swap",
            Self::CalicoNode { .. } => "calico_node",
        }
    }

    /// What does not come back where it is put into a state and back: what systemd and the kernel change
    /// with it (systemd 252, Linux 6.1).
    pub fn lost(&self, after: &SettingState) -> Option<&'static str> {
        match (self, after.as_str()) {
            (Self::Unit { .. }, "stopped") => {
                Some("what ran in it does not come back, nor do units that systemd stops with it")
            }
            (Self::Unit { .. }, _) => Some("units that systemd starts with it stay as they are"),
            (Self::UnitFile { .. }, "enabled" | "disabled") => Some(
                "what its file names with `Also=`, and links to it that somebody made by hand, stay as they are",
            ),
            // Of each pair, the kernel sets one to 0 with the other.
            (Self::Sysctl { key }, _) => match sysctl_path(key).as_str() {
                "vm/dirty_bytes"
                | "vm/dirty_ratio"
                | "vm/dirty_background_bytes"
                | "vm/dirty_background_ratio" => {
                    Some("the kernel changes another value with it, which does not come back")
                }
                "net/ipv4/ip_forward"
                | "net/ipv4/conf/all/forwarding"
                | "net/ipv6/conf/all/forwarding" => {
                    Some("the kernel changes it for each link as well, which does not come back")
                }
                _ => None,
            },
            (Self::Swap { area }, _) if area.starts_with("/dev/zram") => {
                Some("after a boot, zram is made anew by what made it, and not by an undo")
            }
            _ => None,
        }
    }

    /// What names it on its host: of a sysctl, the path under /proc/sys.
    pub fn place(&self) -> String {
        match self {
            Self::Sysctl { key } => sysctl_path(key),
            Self::Module { name } | Self::Unit { name } | Self::UnitFile { name } => name.clone(),
            Self::Swap { area } => area.clone(),
            Self::CalicoNode {
                node,
                field,
                endpoints,
            } => format!("{field} {node} {endpoints}").trim_end().to_owned(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { key } => write!(f, "running value of {key}"),
            Self::Module { name } => write!(f, "kernel module {name}"),
            Self::Unit { name } => write!(f, "{name}"),
            Self::UnitFile { name } => write!(f, "start of {name} with the host"),
            Self::Swap { area } => write!(f, "swap on {area}"),
            Self::CalicoNode { node, field, .. } => write!(f, "{field} of Calico's node {node}"),
        }
    }
}

/// The path under /proc/sys of a key. Where a slash comes before the first dot, slashes separate its
/// parts and dots belong to them, as in `net/ipv4/conf/eth0.100/forwarding`; else it is the other way
/// round (sysctl(8), procps 4.0).
pub fn sysctl_path(key: &str) -> String {
    match key.find(['.', '/']).and_then(|at| key.get(at..=at)) {
        Some("/") => key.to_owned(),
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
    }
}

/// A setting of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SettingRef {
    pub host: HostRef,
    #[serde(flatten)]
    pub setting: Setting,
}

impl fmt::Display for SettingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting {
            // It is no host's.
            Setting::CalicoNode { .. } => self.setting.fmt(f),
            _ => write!(f, "{} of {}", self.setting, self.host.node),
        }
    }
}

/// How a setting stands, in the words that hosts print and take: `is 262144`, `loaded`, `on 5`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SettingState(String);

impl SettingState {
    pub const ABSENT: &'static str = "absent";

    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A sysctl's value; blanks between its parts are one each, as kernels print tabs and take blanks.
    pub fn value(value: &str) -> Self {
        let parts: Vec<&str> = value.split_ascii_whitespace().collect();
        match parts.is_empty() {
            true => Self("is".to_owned()),
            false => Self(format!("is {}", parts.join(" "))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is all of another state, and more: a module that is in use is loaded.
    pub fn is_more_than(&self, other: &Self) -> bool {
        (self.as_str(), other.as_str()) == ("in_use", "loaded")
    }

    /// The value of a sysctl that is there, which may be empty.
    pub fn as_value(&self) -> Option<&str> {
        match self.0.as_str() {
            "is" => Some(""),
            text => text.strip_prefix("is "),
        }
    }
}

impl fmt::Display for SettingState {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_str();
        match text.split_once(' ') {
            None if text == "is" => f.write_str("empty"),
            Some(("is" | "other", words)) => f.write_str(words),
            Some(("on", "auto")) => f.write_str("on, with the priority that the kernel chooses"),
            Some(("on", priority)) => write!(f, "on, priority {priority}"),
            _ => f.write_str(&text.replace('_', " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_a_path_in_both_spellings() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            (
                "net.ipv4.conf.eth0/100.forwarding",
                "net/ipv4/conf/eth0.100/forwarding",
            ),
            (
                "net/ipv4/conf/eth0.100/forwarding",
                "net/ipv4/conf/eth0.100/forwarding",
            ),
            ("panic", "panic"),
        ] {
            assert_eq!(sysctl_path(key), path, "{key}");
        }
    }

    #[test]
    fn a_state_is_told_in_words() {
        let shown = |text: &str| SettingState::new(text).to_string();
        assert_eq!(shown("is 4096 87380"), "4096 87380");
        assert_eq!(shown("on 5"), "on, priority 5");
        assert_eq!(
            shown("on auto"),
            "on, with the priority that the kernel chooses"
        );
        assert_eq!(shown("not_loaded"), "not loaded");
        assert_eq!(
            SettingState::value("4096\t 87380\n").as_str(),
            "is 4096 87380"
        );
        assert_eq!(SettingState::value("1").as_value(), Some("1"));
        assert_eq!(SettingState::value(" \n"), SettingState::new("is"));
        assert_eq!(SettingState::new("is").as_value(), Some(""));
        assert_eq!(shown("is"), "empty");
        assert_eq!(SettingState::new("absent").as_value(), None);
    }

    #[test]
    fn what_does_not_come_back_is_said() {
        let sysctl = |key: &str| Setting::Sysctl { key: key.into() };
        let unit = || Setting::Unit { name: "u".into() };
        let file = || Setting::UnitFile { name: "u".into() };
        let swap = |area: &str| Setting::Swap { area: area.into() };
        let lost = [
            (sysctl("vm.dirty_ratio"), "is 5"),
            (sysctl("vm/dirty_background_bytes"), "is 5"),
            (sysctl("net.ipv4.ip_forward"), "is 1"),
            (sysctl("net.ipv6.conf.all.forwarding"), "is 1"),
            (sysctl("net.ipv4.conf.lo.forwarding"), "is 1"),
            (unit(), "stopped"),
            (unit(), "running"),
            (file(), "enabled"),
            (file(), "disabled"),
            (file(), "masked"),
            (swap("/dev/zram0"), "off"),
            (swap("/dev/vdb1"), "off"),
            (Setting::Module { name: "m".into() }, "loaded"),
        ]
        .map(|(setting, after)| {
            let lost = setting.lost(&SettingState::new(after));
            format!("{setting}, {after}: {}", lost.unwrap_or("nothing"))
        });
        insta::assert_snapshot!(lost.join("\n"), @"
        running value of vm.dirty_ratio, is 5: the kernel changes another value with it, which does not come back
        running value of vm/dirty_background_bytes, is 5: the kernel changes another value with it, which does not come back
        running value of net.ipv4.ip_forward, is 1: the kernel changes it for each link as well, which does not come back
        running value of net.ipv6.conf.all.forwarding, is 1: the kernel changes it for each link as well, which does not come back
        running value of net.ipv4.conf.lo.forwarding, is 1: nothing
        u, stopped: what ran in it does not come back, nor do units that systemd stops with it
        u, running: units that systemd starts with it stay as they are
        start of u with the host, enabled: what its file names with `Also=`, and links to it that somebody made by hand, stay as they are
        start of u with the host, disabled: what its file names with `Also=`, and links to it that somebody made by hand, stay as they are
        start of u with the host, masked: nothing
        swap on /dev/zram0, off: after a boot, zram is made anew by what made it, and not by an undo
        swap on /dev/vdb1, off: nothing
        kernel module m, loaded: nothing
        ");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = sysctl_path(&text);
            let _ = SettingState::new(text.clone()).to_string();
            let _ = SettingState::value(&text);
        }
    }
}
