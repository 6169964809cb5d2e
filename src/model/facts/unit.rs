//! Units of systemd, as `systemctl show` prints them (systemd 252).

use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The units that are asked for.
pub const UNITS: &str = "kubelet.service containerd.service docker.service crio.service \
    cri-docker.service NetworkManager.service systemd-networkd.service systemd-resolved.service \
    systemd-sysctl.service systemd-modules-load.service systemd-timesyncd.service chrony.service \
    chronyd.service keepalived.service calico-node.service firewalld.service zramswap.service \
    zram-config.service dphys-swapfile.service";

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unit {
    /// Whether it is there at all: `load_state` is `loaded` or `masked`.
    pub there: bool,
    /// Whether it is active.
    pub active: bool,
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active_state: String,
    /// What that is in detail, such as `running`, `exited`, `auto-restart`.
    pub sub_state: String,
    /// `enabled`, `disabled`, `static`, `masked`, `generated`, …; empty where the unit is not there.
    pub unit_file_state: String,
    /// Its file; empty where it has none.
    pub fragment_path: String,
    /// Whether its files have changed since systemd read them.
    pub need_daemon_reload: bool,
}

/// The units of systemd that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Units {
    pub kubelet: Fact<Unit>,
    pub containerd: Fact<Unit>,
    pub docker: Fact<Unit>,
    pub crio: Fact<Unit>,
    pub cri_docker: Fact<Unit>,
    pub network_manager: Fact<Unit>,
    pub systemd_networkd: Fact<Unit>,
    pub systemd_resolved: Fact<Unit>,
    pub systemd_sysctl: Fact<Unit>,
    pub systemd_modules_load: Fact<Unit>,
    pub systemd_timesyncd: Fact<Unit>,
    pub chrony: Fact<Unit>,
    pub chronyd: Fact<Unit>,
    pub keepalived: Fact<Unit>,
    pub calico_node: Fact<Unit>,
    pub firewalld: Fact<Unit>,
    /// Of zram-tools (Debian).
    pub zramswap: Fact<Unit>,
    /// Of zram-config (Ubuntu).
    pub zram_config: Fact<Unit>,
    /// Of Raspberry Pi OS.
    pub dphys_swapfile: Fact<Unit>,
}

impl Units {
    pub(super) fn new(parts: &Parts) -> Fact<Self> {
        parts.text("units").map(|text| {
            let shown = blocks(&text);
            // One for each that was asked for, in that order: of an alias, the unit itself is shown.
            let all = shown.len() == UNITS.split_whitespace().count();
            let one = |name: &str| {
                let unit = format!("{name}.service");
                let at = UNITS.split_whitespace().position(|asked| asked == unit);
                let found = match at {
                    Some(at) if all => shown.get(at),
                    _ => shown.iter().find(|block| block.is(&unit)),
                };
                Fact::of(found.map(Unit::new), || {
                    format!("systemctl did not show {unit}")
                })
            };
            Self::each(one)
        })
    }

    fn each(one: impl Fn(&str) -> Fact<Unit>) -> Self {
        Self {
            kubelet: one("kubelet"),
            containerd: one("containerd"),
            docker: one("docker"),
            crio: one("crio"),
            cri_docker: one("cri-docker"),
            network_manager: one("NetworkManager"),
            systemd_networkd: one("systemd-networkd"),
            systemd_resolved: one("systemd-resolved"),
            systemd_sysctl: one("systemd-sysctl"),
            systemd_modules_load: one("systemd-modules-load"),
            systemd_timesyncd: one("systemd-timesyncd"),
            chrony: one("chrony"),
            chronyd: one("chronyd"),
            keepalived: one("keepalived"),
            calico_node: one("calico-node"),
            firewalld: one("firewalld"),
            zramswap: one("zramswap"),
            zram_config: one("zram-config"),
            dphys_swapfile: one("dphys-swapfile"),
        }
    }
}

impl Unit {
    fn new(block: &Block<'_>) -> Self {
        let of = |key: &str| block.get(key).to_owned();
        Self {
            there: ["loaded", "masked"].contains(&block.get("LoadState")),
            active: block.get("ActiveState") == "active",
            load_state: of("LoadState"),
            active_state: of("ActiveState"),
            sub_state: of("SubState"),
            unit_file_state: of("UnitFileState"),
            fragment_path: of("FragmentPath"),
            need_daemon_reload: block.get("NeedDaemonReload") == "yes",
        }
    }
}

/// The properties of one unit; of a key that is there several times, all values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block<'t>(BTreeMap<&'t str, Vec<&'t str>>);

impl<'t> Block<'t> {
    pub fn is(&self, unit: &str) -> bool {
        self.get("Id") == unit
    }

    /// Empty where it is not there.
    pub fn get(&self, key: &str) -> &'t str {
        self.all(key).first().copied().unwrap_or_default()
    }

    pub fn all(&self, key: &str) -> &[&'t str] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

/// `KEY=VALUE` in lines, with an empty line between units.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    for line in text.lines().chain([""]) {
        match line.split_once('=') {
            Some((key, value)) => block.0.entry(key).or_default().push(value),
            None if line.is_empty() && !block.0.is_empty() => {
                blocks.push(std::mem::take(&mut block));
            }
            None => {}
        }
    }
    blocks
}
