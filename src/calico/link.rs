//! A host's links and their addresses, as `ip -json -details address show` prints them
//! (iproute2 6.1).

use super::address::Cidr;
use serde::Deserialize;

/// A network link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it.
    pub index: u32,
    pub name: String,
    /// `bridge`, `dummy`, `vlan`, …; empty for a plain device.
    pub kind: String,
    pub up: bool,
    /// In the kernel's order.
    pub addresses: Vec<LinkAddress>,
}

/// One address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link's own address; the other end's is not of interest.
    pub cidr: Cidr,
    pub secondary: bool,
}

impl Link {
    /// The link in a sentence: `ens9 (dummy, up)`.
    pub fn described(&self) -> String {
        let state = if self.up { "up" } else { "down" };
        match self.kind.as_str() {
            "" => format!("{} ({state})", self.name),
            kind => format!("{} ({kind}, {state})", self.name),
        }
    }
}

#[derive(Deserialize)]
struct RawLink {
    ifindex: u32,
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    operstate: String,
    #[serde(default)]
    linkinfo: RawInfo,
    #[serde(default)]
    addr_info: Vec<RawAddress>,
}

#[derive(Default, Deserialize)]
struct RawInfo {
    #[serde(default)]
    info_kind: String,
}

#[derive(Deserialize)]
struct RawAddress {
    local: Option<String>,
    prefixlen: Option<u8>,
    #[serde(default)]
    secondary: bool,
}

/// Reads what `ip` printed, in its order, which is the kernel's.
pub fn parse_links(json: &str) -> Result<Vec<Link>, String> {
    let raw: Vec<Option<RawLink>> = serde_json::from_str(json.trim())
        .map_err(|e| format!("`ip -json address show` printed what cannot be read: {e}"))?;
    Ok(raw
        .into_iter()
        .flatten()
        .map(|link| Link {
            // A link that has no state of its own, such as a dummy, says UNKNOWN.
            up: link.operstate == "UP"
                || link.operstate == "UNKNOWN" && link.flags.iter().any(|f| f == "UP"),
            index: link.ifindex,
            name: link.ifname,
            kind: link.linkinfo.info_kind,
            addresses: link
                .addr_info
                .into_iter()
                .filter_map(|a| {
                    let ip = a.local?.parse().ok()?;
                    Some(LinkAddress {
                        cidr: Cidr {
                            ip,
                            prefix: a.prefixlen?,
                        },
                        secondary: a.secondary,
                    })
                })
                .collect(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        // Cut from iproute2 6.1's output on Debian 12; {} stands for what it leaves out.
        let links = parse_links(
            r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"operstate":"UNKNOWN","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
            {"ifindex":2,"ifname":"eth0","flags":["BROADCAST","UP"],"operstate":"UP","linkinfo":{},"addr_info":[
              {"family":"inet","local":"10.0.0.2","prefixlen":24},
              {"family":"inet","local":"10.0.0.9","prefixlen":24,"secondary":true},
              {"family":"inet6","local":"fe80::1","prefixlen":64}]},
            {"ifindex":7,"ifname":"br-0123456789ab","flags":["BROADCAST","MULTICAST"],"operstate":"DOWN","linkinfo":{"info_kind":"bridge"},"addr_info":[{"family":"inet","local":"172.18.0.1","prefixlen":16}]}]"#,
        )
        .unwrap();
        assert_eq!(
            links.iter().map(Link::described).collect::<Vec<_>>(),
            ["lo (up)", "eth0 (up)", "br-0123456789ab (bridge, down)"]
        );
        assert!(links[1].addresses[1].secondary);
        assert_eq!(links[1].addresses.len(), 3);
        assert_eq!(links[2].index, 7);
        assert_eq!(links[2].addresses[0].cidr.to_string(), "172.18.0.1/16");
    }

    #[test]
    fn an_old_ip_without_json_is_an_error() {
        assert!(parse_links("Option \"-json\" is unknown").is_err());
    }
}
