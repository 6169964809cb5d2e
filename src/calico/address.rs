//! Addresses: which one is a node's own.

use super::link::Link;
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

/// The address that calico-node picks by the method `kubernetes-internal-ip`: the first InternalIP
/// of its version, with the prefix of the link that has it (Calico v3.31,
/// node/pkg/lifecycle/startup/autodetection). Where Calico would give up or an operator would not
/// mean it, the reason is returned instead.
pub fn own_address(internal_ips: &[IpAddr], links: &[Link]) -> Result<OwnAddress, String> {
    let Some(ip) = internal_ips.iter().find(|ip| ip.is_ipv4()) else {
        return Err("kubelet registered no IPv4 InternalIP for it".to_owned());
    };
    let found = links.iter().find_map(|link| {
        link.addresses
            .iter()
            .find(|a| a.cidr.ip == *ip)
            .map(|address| (link, address))
    });
    let Some((link, address)) = found else {
        return Err(format!(
            "its InternalIP {ip} is on none of its links: kubelet registered an address that the host does not have"
        ));
    };
    // Some clouds give a host its one address as a /32; a /32 beside another address moves about.
    let beside = link
        .addresses
        .iter()
        .any(|a| a.cidr.ip.is_ipv4() && a.cidr.prefix != 32);
    if address.secondary || address.cidr.prefix == 32 && beside {
        return Err(format!(
            "its InternalIP {ip} on {} is a secondary or virtual address ({}), which can move to another node",
            link.name, address.cidr
        ));
    }
    Ok(OwnAddress {
        cidr: address.cidr,
        link: link.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::link::LinkAddress;
    use super::*;

    fn link(name: &str, addresses: &[(&str, bool)]) -> Link {
        Link {
            index: 2,
            name: name.into(),
            kind: String::new(),
            up: true,
            addresses: addresses
                .iter()
                .map(|(cidr, secondary)| LinkAddress {
                    cidr: cidr.parse().unwrap(),
                    secondary: *secondary,
                })
                .collect(),
        }
    }

    fn own(internal: &[&str], links: &[Link]) -> Result<String, String> {
        let internal: Vec<IpAddr> = internal.iter().map(|ip| ip.parse().unwrap()).collect();
        own_address(&internal, links).map(|own| format!("{} on {}", own.cidr, own.link))
    }

    #[test]
    fn the_prefix_is_that_of_the_link() {
        let links = [
            link("lo", &[("127.0.0.1/8", false)]),
            link("ens9", &[("172.18.0.1/16", false)]),
            link("eth0", &[("10.0.0.9/32", true), ("10.0.0.2/24", false)]),
        ];
        assert_eq!(
            own(&["fd00::2", "10.0.0.2"], &links).unwrap(),
            "10.0.0.2/24 on eth0"
        );
    }

    #[test]
    fn addresses_that_are_not_a_nodes_own_are_refused_by_name() {
        let links = [
            link("eth0", &[("10.0.0.2/24", false), ("10.0.0.9/24", true)]),
            link("vip", &[("10.0.0.8/32", false), ("10.1.0.8/24", false)]),
            link("cloud", &[("10.0.0.7/32", false)]),
        ];
        assert_eq!(own(&["10.0.0.7"], &links).unwrap(), "10.0.0.7/32 on cloud");
        insta::assert_snapshot!(own(&["fd00::1"], &links).unwrap_err(), @"kubelet registered no IPv4 InternalIP for it");
        insta::assert_snapshot!(own(&["10.0.0.3"], &links).unwrap_err(), @"its InternalIP 10.0.0.3 is on none of its links: kubelet registered an address that the host does not have");
        insta::assert_snapshot!(own(&["10.0.0.9"], &links).unwrap_err(), @"its InternalIP 10.0.0.9 on eth0 is a secondary or virtual address (10.0.0.9/24), which can move to another node");
        insta::assert_snapshot!(own(&["10.0.0.8"], &links).unwrap_err(), @"its InternalIP 10.0.0.8 on vip is a secondary or virtual address (10.0.0.8/32), which can move to another node");
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
