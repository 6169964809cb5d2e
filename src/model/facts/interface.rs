//! Network interfaces by `/sys/class/net`, and their addresses as `ip -o address` prints them
//! (iproute2 6.1, busybox 1.35).

use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Address {
    /// Such as `10.0.0.5`.
    pub address: String,
    /// The length of its prefix.
    pub prefix: u8,
    /// 4 or 6.
    pub family: u8,
    /// `global`, `site`, `link` or `host`.
    pub scope: String,
    /// Whether the kernel takes it for a secondary one: another of the same network came before it.
    pub secondary: bool,
    /// Whether it was given by DHCP or a router, and lasts for a time.
    pub dynamic: bool,
    /// Whether it looks like an address that moves between hosts, as keepalived and kube-vip give them. It is
    /// global, not dynamic, not on a loopback, and either alone in its network (/32, /128) beside a wider one of
    /// the same family on the interface, or it has a label of its own, such as `eth0:vip`. One with the prefix of
    /// its network and without such a label cannot be told from others, and is not marked.
    pub vip: bool,
    /// Its label, where it is not the interface's name; else null.
    pub label: Option<String>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// `device` (a real one, or a virtual machine's), `loopback`, `bridge`, `bond`, `vlan`, `vxlan`, `wlan`,
    /// `tun`, `veth`, `tunnel`, or whatever else the kernel says; `virtual` where it says nothing.
    pub kind: String,
    /// `up`, `down`, `unknown` (most virtual ones that are up), …, by `operstate`.
    pub state: String,
    /// Whether it was set up, by its flags.
    pub up: bool,
    /// Bytes of the largest packet.
    pub mtu: u32,
    /// Its hardware address; null where it has none.
    pub mac: Option<String>,
    /// All of them, secondary ones as well.
    pub addresses: Vec<Address>,
}

struct Link {
    index: u32,
    interface: Interface,
}

pub(super) fn interfaces(parts: &Parts) -> Fact<Vec<Interface>> {
    let read = |name: &str| parts.text(name);
    read("links").and_then(|links| {
        read("addresses").and_then(|addresses| {
            let mut all: Vec<Link> = Vec::new();
            for line in links.lines().filter(|line| !line.is_empty()) {
                match link(line) {
                    Some(link) => all.push(link),
                    None => return Fact::Unknown(format!("this cannot be read: {line}")),
                }
            }
            for line in addresses.lines() {
                let Some((name, address)) = address(line) else {
                    continue;
                };
                if let Some(link) = all.iter_mut().find(|link| link.interface.name == name) {
                    link.interface.addresses.push(address);
                }
            }
            all.sort_by_key(|link| link.index);
            let interfaces = all.into_iter().map(|link| link.interface);
            Fact::Is(interfaces.map(with_vips).collect())
        })
    })
}

fn link(line: &str) -> Option<Link> {
    let fields: Vec<&str> = line.split('|').collect();
    let [name, index, other, mtu, state, flags, mac, number, kind] = fields[..] else {
        return None;
    };
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
    let number: u32 = number.parse().ok()?;
    let kind = match (kind, number) {
        // The kernel's numbers of link types, if_arp.h.
        (_, 772) => "loopback",
        ("", 768 | 769 | 776 | 778 | 823) => "tunnel",
        ("", 65534) => "tunnel",
        ("", _) if index != other => "veth",
        ("", _) => "virtual",
        (kind, _) => kind,
    };
    Some(Link {
        index: index.parse().ok()?,
        interface: Interface {
            name: name.to_owned(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            up: flags & 1 == 1,
            mtu: mtu.parse().ok()?,
            mac: Some(mac)
                .filter(|mac| mac.len() == 17 && *mac != "00:00:00:00:00:00")
                .map(str::to_owned),
            addresses: Vec::new(),
        },
    })
}

/// The interface of a line, and the address in it. Lines about links have none.
fn address(line: &str) -> Option<(String, Address)> {
    let line = line.split('\\').next()?;
    let mut words = line.split_whitespace().skip(1);
    // That of a veth has the number of its other end behind it.
    let name = words.next()?.trim_end_matches(':');
    let name = name.split('@').next()?;
    let family = match words.next()? {
        "inet" => 4,
        "inet6" => 6,
        _ => return None,
    };
    let own = words.next()?;
    let mut rest: Vec<&str> = words.collect();
    // Of a pair, the network is said with the other end.
    let cidr = match rest.iter().position(|word| *word == "peer") {
        Some(at) if !own.contains('/') => {
            let peer = rest.get(at + 1)?;
            format!("{own}/{}", peer.split_once('/')?.1)
        }
        _ => own.to_owned(),
    };
    let (ip, prefix) = match cidr.split_once('/') {
        Some((ip, prefix)) => (ip, prefix.parse().ok()?),
        None => (cidr.as_str(), if family == 4 { 32 } else { 128 }),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let scope = rest.iter().position(|word| *word == "scope");
    let scope = scope.and_then(|at| rest.get(at + 1)).copied();
    let has = |word: &str| rest.contains(&word);
    let (secondary, dynamic) = (
        has("secondary"),
        has("dynamic") || has("temporary") || has("mngtmpaddr"),
    );
    // Of IPv4 the last word is the label.
    let label = match family {
        4 => rest
            .pop()
            .filter(|label| label.strip_prefix(name).is_some_and(|l| l.starts_with(':')))
            .map(str::to_owned),
        _ => None,
    };
    Some((
        name.to_owned(),
        Address {
            address: ip.to_string(),
            prefix,
            family,
            scope: scope.unwrap_or("global").to_owned(),
            secondary: secondary && family == 4,
            dynamic,
            vip: false,
            label,
        },
    ))
}

fn with_vips(mut interface: Interface) -> Interface {
    if interface.kind == "loopback" {
        return interface;
    }
    let alone = |a: &Address| a.prefix == if a.family == 4 { 32 } else { 128 };
    let wider: Vec<u8> = interface
        .addresses
        .iter()
        .filter(|a| a.scope == "global" && !alone(a))
        .map(|a| a.family)
        .collect();
    for address in &mut interface.addresses {
        let beside = alone(address) && wider.contains(&address.family);
        address.vip =
            address.scope == "global" && !address.dynamic && (beside || address.label.is_some());
    }
    interface
}
