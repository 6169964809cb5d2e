//! NetworkManager, and which interfaces it leaves alone (NetworkManager 1.42).

use super::{Fact, Parts, Units};
use schemars::JsonSchema;
use serde::Serialize;

/// An interface, as NetworkManager sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Device {
    /// The interface.
    pub device: String,
    /// Such as `connected`, `disconnected`, `unmanaged`.
    pub state: String,
}

/// Whether NetworkManager manages the interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkManager {
    /// Whether its program is there.
    pub installed: Fact<bool>,
    /// Whether it runs.
    pub active: Fact<bool>,
    /// `unmanaged-devices` in `[keyfile]`, of all its files together, by `NetworkManager --print-config`. Empty
    /// where nothing is said.
    pub unmanaged_devices: Fact<Vec<String>>,
    /// The interfaces with their states, by `nmcli`, where it runs.
    pub devices: Fact<Vec<Device>>,
}

impl NetworkManager {
    pub(super) fn new(parts: &Parts, units: &Fact<Units>) -> Self {
        let line = parts.line("manager");
        let by_systemd = units
            .as_ref()
            .and_then(|units| units.network_manager.as_ref());
        Self {
            installed: match &line {
                Fact::NotApplicable(_) => Fact::Is(false),
                other => other.as_ref().map(|_| true),
            },
            active: match (&line, by_systemd) {
                (Fact::NotApplicable(_), _) => Fact::Is(false),
                (Fact::Is(_), Fact::Is(unit)) => Fact::Is(unit.active),
                (_, Fact::Unknown(why)) => Fact::Unknown(why),
                (other, _) => other.as_ref().map(|running| running == "yes"),
            },
            unmanaged_devices: parts.text("manager_config").map(|text| unmanaged(&text)),
            devices: parts.text("manager_devices").map(|text| {
                let devices = text.lines().filter_map(|line| {
                    // A colon within a name has a backslash before it.
                    let (device, state) = line.rsplit_once(':')?;
                    Some(Device {
                        device: device.replace("\\:", ":").replace("\\\\", "\\"),
                        state: state.to_owned(),
                    })
                });
                devices.collect()
            }),
        }
    }
}

/// The last word counts: what is printed is what came of all files.
fn unmanaged(config: &str) -> Vec<String> {
    let mut section = "";
    let mut devices = Vec::new();
    for line in config.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if section == "keyfile"
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "unmanaged-devices"
        {
            let list = value.split([';', ',']).map(str::trim);
            devices = list.filter(|d| !d.is_empty()).map(str::to_owned).collect();
        }
    }
    devices
}
