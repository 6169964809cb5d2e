//! IPv4 and IPv6, and what Calico calls things in each (Calico v3.31, `libcalico-go` and `node`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// One of the two kinds of addresses.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    pub fn has(self, ip: IpAddr) -> bool {
        Self::of(ip) == self
    }

    /// The annotation of a Kubernetes Node that holds the address, where Kubernetes is Calico's datastore.
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::Ipv4 => "projectcalico.org/IPv4Address",
            Self::Ipv6 => "projectcalico.org/IPv6Address",
        }
    }

    /// The field of a Calico Node's `spec.bgp` that holds it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4Address",
            Self::Ipv6 => "ipv6Address",
        }
    }

    /// calico-node's variable that says whether the address is given, kept or detected.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Ipv4 => "IP",
            Self::Ipv6 => "IP6",
        }
    }

    /// calico-node's variable for how it is detected.
    pub const fn method_variable(self) -> &'static str {
        match self {
            Self::Ipv4 => "IP_AUTODETECTION_METHOD",
            Self::Ipv6 => "IP6_AUTODETECTION_METHOD",
        }
    }

    /// The field of an Installation's `spec.calicoNetwork` for how it is detected.
    pub const fn installation_field(self) -> &'static str {
        match self {
            Self::Ipv4 => "nodeAddressAutodetectionV4",
            Self::Ipv6 => "nodeAddressAutodetectionV6",
        }
    }

    /// The length of the prefix of an address alone.
    pub const fn longest_prefix(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
