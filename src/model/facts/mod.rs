//! What a host is and has: read in one go, parsed here, and named in conditions and templates as
//! `facts.…`. Each is a value, or says why it is not known, or why there is nothing to know.

mod conntrack;
mod interface;
mod kubelet;
mod network_manager;
mod part;
mod route;
mod runtime;
mod swap;
mod system;
mod unit;

pub use conntrack::Conntrack;
pub use interface::{Address, Interface};
pub use kubelet::Kubelet;
pub use network_manager::{Device, NetworkManager};
pub use part::Parts;
pub use route::{Route, Routes};
pub use runtime::{ContainerRuntime, SOCKETS};
pub use swap::{FstabSwap, Swap, SwapDevice, SwapUnit};
pub use system::{Hostname, Kernel, Memory, Os, Time};
pub use unit::{UNITS, Unit, Units};

use kubelet::KubeletSeen;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// One thing that is to be known of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    Is(T),
    /// It could not be read; says why.
    Unknown(String),
    /// There is no such thing on this host; says why.
    NotApplicable(String),
}

impl<T> Fact<T> {
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(why.into())
    }

    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Fact<U> {
        self.and_then(|value| Fact::Is(of(value)))
    }

    pub fn and_then<U>(self, of: impl FnOnce(T) -> Fact<U>) -> Fact<U> {
        match self {
            Self::Is(value) => of(value),
            Self::Unknown(why) => Fact::Unknown(why),
            Self::NotApplicable(why) => Fact::NotApplicable(why),
        }
    }

    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Is(value) => Fact::Is(value),
            Self::Unknown(why) => Fact::Unknown(why.clone()),
            Self::NotApplicable(why) => Fact::NotApplicable(why.clone()),
        }
    }

    pub fn is(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) | Self::NotApplicable(_) => None,
        }
    }

    /// Unknown where there is none.
    fn of(value: Option<T>, why: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::Unknown(why()), Self::Is)
    }
}

/// What is written where there is no value: an object with one of these keys, and why.
pub const UNKNOWN: &str = "unknown";
pub const NOT_APPLICABLE: &str = "not_applicable";

impl<T: Serialize> Serialize for Fact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Is(value) => value.serialize(serializer),
            Self::Unknown(why) => serializer.collect_map([(UNKNOWN, why)]),
            Self::NotApplicable(why) => serializer.collect_map([(NOT_APPLICABLE, why)]),
        }
    }
}

/// The schema is that of the value: names are checked by it, and one without a value has none.
impl<T: JsonSchema> JsonSchema for Fact<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// All that is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Facts {
    pub os: Fact<Os>,
    pub kernel: Kernel,
    /// The machine's architecture, such as `x86_64`, by `uname -m`.
    pub arch: Fact<String>,
    pub hostname: Hostname,
    /// `/etc/machine-id`.
    pub machine_id: Fact<String>,
    /// Another after each boot.
    pub boot_id: Fact<String>,
    pub time: Time,
    /// `v1`, `v2` or `hybrid`, by what is mounted.
    pub cgroup: Fact<String>,
    pub memory: Fact<Memory>,
    pub swap: Swap,
    pub units: Fact<Units>,
    /// The network interfaces with their addresses, in the order of their numbers.
    pub interfaces: Fact<Vec<Interface>>,
    pub routes: Routes,
    pub kubelet: Fact<Kubelet>,
    pub container_runtime: ContainerRuntime,
    pub conntrack: Conntrack,
    pub network_manager: NetworkManager,
}

impl Facts {
    /// What a host's answer says that took no time. `now` is our own, in seconds of Unix time.
    pub fn new(parts: &Parts, now: f64) -> Self {
        Self::read_within(parts, now..=now)
    }

    /// What a host's answer says. `within` is our own time from when it was asked until its answer was
    /// there, in seconds of Unix time.
    pub fn read_within(parts: &Parts, within: RangeInclusive<f64>) -> Self {
        let units = Units::new(parts);
        let kubelet = KubeletSeen::new(parts);
        Self {
            os: Os::new(parts),
            kernel: Kernel::new(parts),
            arch: parts.line("arch"),
            hostname: Hostname::new(parts),
            machine_id: parts.line("machine_id"),
            boot_id: parts.line("boot_id"),
            time: Time::new(parts, &within),
            cgroup: system::cgroup(parts),
            memory: Memory::new(parts),
            swap: Swap::new(parts),
            interfaces: interface::interfaces(parts),
            routes: Routes::new(parts),
            container_runtime: ContainerRuntime::new(parts, &kubelet),
            kubelet: kubelet.facts(),
            conntrack: Conntrack::new(parts),
            network_manager: NetworkManager::new(parts),
            units,
        }
    }
}

#[cfg(test)]
mod tests;
