//! Addresses: which one is a node's own.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address with the length of its network's prefix, host bits kept, as Calico writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    /// A bare address counts as a network of its own.
    fn from_str(s: &str) -> Result<Self, String> {
        let not = || format!("`{s}` is not an address");
        let (ip, prefix) = match s.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (s, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| not())?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse::<u8>().map_err(|_| not())?,
            None => longest,
        };
        if prefix > longest {
            return Err(not());
        }
        Ok(Self { ip, prefix })
    }
}

impl Cidr {
    /// The network that it is in: without host bits.
    pub fn network(&self) -> Self {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let host = 32_u32.saturating_sub(self.prefix.into());
                IpAddr::V4(
                    u32::from(ip)
                        .checked_shr(host)
                        .map_or(0, |n| n << host)
                        .into(),
                )
            }
            IpAddr::V6(ip) => {
                let host = 128_u32.saturating_sub(self.prefix.into());
                IpAddr::V6(
                    u128::from(ip)
                        .checked_shr(host)
                        .map_or(0, |n| n << host)
                        .into(),
                )
            }
        };
        Self {
            ip,
            prefix: self.prefix,
        }
    }

    /// Whether an address is in its network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let other = Self {
            ip,
            prefix: self.prefix,
        };
        ip.is_ipv4() == self.ip.is_ipv4() && other.network() == self.network()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

/// A node's own address, with the link that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAddress {
    pub cidr: Cidr,
    pub link: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_alike() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        let network = |text: &str| cidr(text).network().to_string();
        assert_eq!(network("10.0.0.5/24"), "10.0.0.0/24");
        assert_eq!(network("10.0.0.5/0"), "0.0.0.0/0");
        assert_eq!(network("10.0.0.5/32"), "10.0.0.5/32");
        assert_eq!(network("fd00::5/64"), "fd00::/64");
        assert_eq!(network("fd00::5/0"), "::/0");
        assert!(cidr("10.0.0.5/24").contains("10.0.0.250".parse().unwrap()));
        assert!(!cidr("10.0.0.5/24").contains("10.0.1.5".parse().unwrap()));
        assert!(cidr("10.0.0.5/0").contains("1.2.3.4".parse().unwrap()));
        assert!(!cidr("10.0.0.5/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn addresses_keep_their_host_bits() {
        for good in ["10.0.0.5/24", "fd00::1/64", "10.0.0.5/32"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        assert_eq!(
            "10.0.0.5".parse::<Cidr>().unwrap().to_string(),
            "10.0.0.5/32"
        );
        for bad in [
            "",
            "10.0.0",
            "10.0.0.5/33",
            "10.0.0.5/x",
            "fd00::1/129",
            "a/8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
