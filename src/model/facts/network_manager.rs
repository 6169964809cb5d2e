//! NetworkManager, and which interfaces it leaves alone (NetworkManager 1.42).

use super::{Fact, Parts};
use crate::model::network_manager::{nmcli_fields, printed};
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
    pub(super) fn new(parts: &Parts) -> Self {
        let line = parts.line("manager");
        Self {
            installed: match &line {
                Fact::NotApplicable(_) => Fact::Is(false),
                other => other.as_ref().map(|_| true),
            },
            active: match &line {
                Fact::NotApplicable(_) => Fact::Is(false),
                other => other.as_ref().map(|running| running == "yes"),
            },
            unmanaged_devices: parts
                .bytes("manager_config")
                .map(|text| printed(text).unwrap_or_default()),
            devices: parts.text("manager_devices").map(|text| {
                let devices = text.lines().filter_map(|line| {
                    let [device, state] = nmcli_fields(line).try_into().ok()?;
                    Some(Device { device, state })
                });
                devices.collect()
            }),
        }
    }
}
