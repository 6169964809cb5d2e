//! Which address a node should advertise: the InternalIP that kubelet registered, unless something speaks
//! against it, or the one that somebody names.

use super::address::{Cidr, OwnAddress};
use super::family::Family;
use super::link::Link;
use super::mesh::MeshNode;
use std::fmt;
use std::net::IpAddr;

/// What speaks against an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The host does not have it.
    OnNoLink,
    /// It can move to another node: a secondary one, or one alone beside a network.
    Moves,
    /// Another node has it.
    Of(String),
    /// No other node is in its network.
    Outside(Vec<Cidr>),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnNoLink => f.write_str("it is on none of the host's links"),
            Self::Moves => {
                f.write_str("it is a secondary or virtual address, which can move to another node")
            }
            Self::Of(other) => write!(f, "it is {other}'s"),
            Self::Outside(networks) => {
                let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "no other node is in its network (they are in {})",
                    networks.join(", ")
                )
            }
        }
    }
}

/// An address that a node could advertise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub cidr: Cidr,
    pub link: String,
    pub against: Vec<Objection>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.cidr, self.link)?;
        if !self.against.is_empty() {
            write!(f, " ({})", reasons(&self.against))?;
        }
        Ok(())
    }
}

fn reasons(against: &[Objection]) -> String {
    let reasons: Vec<String> = against.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

/// Why a node's own address cannot be told, and what there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    pub why: String,
    pub candidates: Vec<Candidate>,
}

/// What somebody has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub cidr: Cidr,
    /// `None`: it is on none.
    pub link: Option<String>,
    /// What speaks against it, and is passed over as it was named.
    pub against: Vec<Objection>,
}

/// How names of links begin that Calico, kube-proxy or a cache of DNS makes on a node: they are for pods and
/// services.
const BY_THE_CLUSTER: [&str; 8] = [
    "cali",
    "tunl",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
    "kube-ipvs",
    "nodelocaldns",
];

/// A node as the choice needs it.
#[derive(Debug, Clone, Copy)]
pub struct Chooser<'a> {
    pub family: Family,
    pub node: &'a MeshNode,
    pub links: &'a [Link],
    /// All other nodes.
    pub others: &'a [MeshNode],
}

impl Chooser<'_> {
    /// All addresses of the host that Calico could use at all, but for those of links that the cluster makes itself.
    pub fn candidates(&self) -> Vec<Candidate> {
        let of_link = |link: &Link| -> Vec<Candidate> {
            let addresses = link.addresses.iter().map(|a| a.cidr);
            addresses
                .filter(|cidr| self.family.has(cidr.ip) && is_global(cidr.ip))
                .map(|cidr| Candidate {
                    cidr,
                    link: link.name.clone(),
                    against: self.against(cidr, Some(link)),
                })
                .collect()
        };
        let by_cluster = |link: &&Link| BY_THE_CLUSTER.iter().any(|of| link.name.starts_with(of));
        let links = self.links.iter().filter(|link| !by_cluster(link));
        links.flat_map(of_link).collect()
    }

    /// The address that kubelet registered, with the prefix of its link, where nothing speaks against it.
    pub fn internal_ip(&self) -> Result<OwnAddress, Unclear> {
        let unclear = |why: String| {
            Err(Unclear {
                why,
                candidates: self.candidates(),
            })
        };
        let registered = self.node.internal_ips.iter();
        let registered: Vec<IpAddr> = registered
            .copied()
            .filter(|ip| self.family.has(*ip))
            .collect();
        let judged: Vec<(IpAddr, Result<OwnAddress, String>)> =
            registered.iter().map(|ip| (*ip, self.own(*ip))).collect();
        let mut good = judged.iter().filter_map(|(_, own)| own.as_ref().ok());
        match (judged.as_slice(), good.next(), good.next()) {
            ([], ..) => unclear(format!(
                "kubelet registered no {} InternalIP for it",
                self.family
            )),
            (_, Some(own), None) => Ok(own.clone()),
            ([(_, Err(why))], ..) => unclear(why.clone()),
            (_, None, _) => unclear(format!(
                "something speaks against each of its InternalIPs: {}",
                judged
                    .iter()
                    .filter_map(|(_, own)| own.as_ref().err().cloned())
                    .collect::<Vec<_>>()
                    .join("; ")
            )),
            (_, Some(_), Some(_)) => unclear(format!(
                "kubelet registered several {} InternalIPs for it: {}",
                self.family,
                registered
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    }

    fn own(&self, ip: IpAddr) -> Result<OwnAddress, String> {
        let Some((cidr, link)) = self.on_link(ip) else {
            return Err(format!(
                "its InternalIP {ip} is on none of its links: kubelet registered an address that the host does not have"
            ));
        };
        let against = self.against(cidr, Some(link));
        match against.is_empty() {
            true => Ok(OwnAddress {
                cidr,
                link: link.name.clone(),
            }),
            false => Err(format!(
                "against its InternalIP {cidr} on {} speaks that {}",
                link.name,
                reasons(&against)
            )),
        }
    }

    /// An address that somebody names, alone or with the length of its prefix.
    pub fn named(&self, text: &str) -> Result<Named, String> {
        let cidr: Cidr = text.parse()?;
        if !self.family.has(cidr.ip) {
            return Err(format!("`{text}` is no {} address", self.family));
        }
        if !is_global(cidr.ip) {
            return Err(format!("`{text}` is none that Calico could use"));
        }
        let with_prefix = text.contains('/');
        match self.on_link(cidr.ip) {
            Some((real, link)) if with_prefix && real.prefix != cidr.prefix => Err(format!(
                "{} is on {} with the prefix /{}: leave /{} out",
                cidr.ip, link.name, real.prefix, cidr.prefix
            )),
            Some((real, link)) => Ok(Named {
                cidr: real,
                link: Some(link.name.clone()),
                against: self.against(real, Some(link)),
            }),
            None if !with_prefix => Err(format!(
                "{} is on none of the host's links, and so nobody can tell its prefix: give it too, such as {}/24",
                cidr.ip, cidr.ip
            )),
            None => Ok(Named {
                cidr,
                link: None,
                against: self.against(cidr, None),
            }),
        }
    }

    fn on_link(&self, ip: IpAddr) -> Option<(Cidr, &Link)> {
        self.links.iter().find_map(|link| {
            let address = link.addresses.iter().find(|a| a.cidr.ip == ip)?;
            Some((address.cidr, link))
        })
    }

    fn against(&self, cidr: Cidr, link: Option<&Link>) -> Vec<Objection> {
        let mut against = Vec::new();
        match link {
            None => against.push(Objection::OnNoLink),
            Some(link) => {
                let mut of_family = link
                    .addresses
                    .iter()
                    .filter(|a| self.family.has(a.cidr.ip) && is_global(a.cidr.ip));
                // Some clouds give a host its one address alone; one alone beside a network moves about.
                let alone = cidr.prefix == self.family.longest_prefix();
                let beside = of_family
                    .clone()
                    .any(|a| a.cidr.prefix != self.family.longest_prefix());
                let secondary = of_family.any(|a| a.cidr == cidr && a.secondary);
                if secondary || alone && beside {
                    against.push(Objection::Moves);
                }
            }
        }
        let has = |other: &&MeshNode| {
            other.addresses().contains(&cidr.ip) || other.internal_ips.contains(&cidr.ip)
        };
        if let Some(other) = self.others.iter().find(has) {
            against.push(Objection::Of(other.name().to_owned()));
        }
        let networks = self.networks();
        let is_with = |other: &Cidr| other.contains(cidr.ip) || cidr.contains(other.ip);
        let alone = cidr.prefix == self.family.longest_prefix();
        if !alone && !networks.is_empty() && !networks.iter().any(is_with) {
            let mut named: Vec<Cidr> = networks.iter().map(Cidr::network).collect();
            named.sort_unstable();
            named.dedup();
            against.push(Objection::Outside(named));
        }
        against
    }

    /// The networks of the other nodes that advertise what is their own.
    fn networks(&self) -> Vec<Cidr> {
        self.others
            .iter()
            .filter(|other| !other.strays_in(self.family))
            .filter_map(|other| other.address(self.family))
            .filter(|cidr| cidr.prefix != self.family.longest_prefix())
            .collect()
    }
}

/// Whether an address is one for other hosts to reach: neither of this host alone nor of one link alone
/// (Go's `IsGlobalUnicast`, by which Calico v3.31 chooses).
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_link_local()
                || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::LinkAddress;
    use super::super::mesh::tests::node;
    use super::*;

    fn link(name: &str, addresses: &[(&str, bool)]) -> Link {
        Link {
            name: name.into(),
            index: 1,
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

    fn links() -> Vec<Link> {
        vec![
            link("lo", &[("127.0.0.1/8", false), ("::1/128", false)]),
            link("ens9", &[("172.18.0.1/16", false)]),
            link(
                "eth0",
                &[
                    ("10.0.0.2/24", false),
                    ("10.0.0.9/24", true),
                    ("10.0.0.8/32", false),
                    ("fe80::1/64", false),
                ],
            ),
            link("cloud", &[("10.9.0.7/32", false)]),
        ]
    }

    fn others() -> Vec<MeshNode> {
        vec![
            node("node01", "10.0.0.1", Some("10.0.0.1/24")),
            node("node03", "10.0.0.3", Some("172.18.0.2/16")),
        ]
    }

    fn own(internal: &[&str], others: &[MeshNode]) -> Result<String, Unclear> {
        let mut node = node("node02", "10.0.0.2", Some("172.18.0.1/16"));
        node.internal_ips = internal.iter().map(|ip| ip.parse().unwrap()).collect();
        let links = links();
        let chooser = Chooser {
            family: Family::Ipv4,
            node: &node,
            links: &links,
            others,
        };
        let own = chooser.internal_ip();
        own.map(|own| format!("{} on {}", own.cidr, own.link))
    }

    fn why(internal: &[&str]) -> String {
        own(internal, &others()).unwrap_err().why
    }

    #[test]
    fn the_prefix_is_that_of_the_link() {
        assert_eq!(
            own(&["fd00::2", "10.0.0.2"], &others()).unwrap(),
            "10.0.0.2/24 on eth0"
        );
        assert_eq!(
            own(&["10.9.0.7"], &others()).unwrap(),
            "10.9.0.7/32 on cloud"
        );
        // Of several the one against which nothing speaks.
        assert_eq!(
            own(&["10.0.0.9", "10.0.0.2"], &others()).unwrap(),
            "10.0.0.2/24 on eth0"
        );
    }

    #[test]
    fn addresses_that_are_not_a_nodes_own_are_refused_by_name() {
        insta::assert_snapshot!(why(&["fd00::1"]), @"kubelet registered no IPv4 InternalIP for it");
        insta::assert_snapshot!(why(&["10.0.0.77"]), @"its InternalIP 10.0.0.77 is on none of its links: kubelet registered an address that the host does not have");
        insta::assert_snapshot!(why(&["10.0.0.9"]), @"against its InternalIP 10.0.0.9/24 on eth0 speaks that it is a secondary or virtual address, which can move to another node");
        insta::assert_snapshot!(why(&["10.0.0.8"]), @"against its InternalIP 10.0.0.8/32 on eth0 speaks that it is a secondary or virtual address, which can move to another node");
        insta::assert_snapshot!(why(&["172.18.0.1"]), @"against its InternalIP 172.18.0.1/16 on ens9 speaks that no other node is in its network (they are in 10.0.0.0/24)");
        insta::assert_snapshot!(why(&["10.0.0.2", "10.9.0.7"]), @"kubelet registered several IPv4 InternalIPs for it: 10.0.0.2, 10.9.0.7");
        insta::assert_snapshot!(why(&["10.0.0.9", "10.0.0.8"]), @"something speaks against each of its InternalIPs: against its InternalIP 10.0.0.9/24 on eth0 speaks that it is a secondary or virtual address, which can move to another node; against its InternalIP 10.0.0.8/32 on eth0 speaks that it is a secondary or virtual address, which can move to another node");
        let mut taken = others();
        taken[0].advertised = Some("10.0.0.2/24".into());
        insta::assert_snapshot!(own(&["10.0.0.2"], &taken).unwrap_err().why, @"against its InternalIP 10.0.0.2/24 on eth0 speaks that it is node01's");
    }

    #[test]
    fn what_there_is_to_choose_from_is_shown_with_what_speaks_against_it() {
        let candidates = own(&["10.0.0.77"], &others()).unwrap_err().candidates;
        let lines: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        172.18.0.1/16 on ens9 (no other node is in its network (they are in 10.0.0.0/24))
        10.0.0.2/24 on eth0
        10.0.0.9/24 on eth0 (it is a secondary or virtual address, which can move to another node)
        10.0.0.8/32 on eth0 (it is a secondary or virtual address, which can move to another node)
        10.9.0.7/32 on cloud
        ");
    }

    #[test]
    fn where_nobody_advertises_what_is_its_own_no_network_speaks_against_it() {
        let strays = [node("node01", "10.0.0.1", Some("172.18.0.3/16"))];
        assert_eq!(
            own(&["172.18.0.1"], &strays).unwrap(),
            "172.18.0.1/16 on ens9"
        );
        assert_eq!(own(&["172.18.0.1"], &[]).unwrap(), "172.18.0.1/16 on ens9");
    }

    #[test]
    fn links_of_the_cluster_are_not_to_choose_from() {
        let mut node = node("node02", "10.0.0.2", None);
        node.internal_ips.clear();
        let mut links = links();
        links.push(link(
            "kube-ipvs0",
            &[("10.96.0.1/32", false), ("10.96.0.10/32", false)],
        ));
        links.push(link("tunl0", &[("10.244.7.0/32", false)]));
        links.push(link("vxlan.calico", &[("10.244.7.1/32", false)]));
        let chooser = Chooser {
            family: Family::Ipv4,
            node: &node,
            links: &links,
            others: &[],
        };
        let all: Vec<String> = chooser
            .candidates()
            .iter()
            .map(|c| c.cidr.to_string())
            .collect();
        let own = [
            "172.18.0.1/16",
            "10.0.0.2/24",
            "10.0.0.9/24",
            "10.0.0.8/32",
            "10.9.0.7/32",
        ];
        assert_eq!(all, own);
        // Named, they are taken at somebody's word.
        assert!(chooser.named("10.244.7.0").is_ok());
    }

    #[test]
    fn what_is_named_counts_and_what_speaks_against_it_is_said() {
        let (node, links, others) = (node("node02", "10.0.0.2", None), links(), others());
        let chooser = |family| Chooser {
            family,
            node: &node,
            links: &links,
            others: &others,
        };
        let named = |text: &str| match chooser(Family::Ipv4).named(text) {
            Ok(named) => format!(
                "{} on {} [{}]",
                named.cidr,
                named.link.as_deref().unwrap_or("none"),
                reasons(&named.against)
            ),
            Err(why) => format!("no: {why}"),
        };
        let all = [
            "10.0.0.2",
            "10.0.0.2/24",
            "10.0.0.2/16",
            "10.0.0.9",
            "172.18.0.1",
            "10.0.0.1/24",
            "10.0.0.50",
            "10.0.0.50/24",
            "fd00::1",
            "127.0.0.1",
            "169.254.0.1/16",
            "nonsense",
        ]
        .map(|text| format!("{text}: {}", named(text)));
        insta::assert_snapshot!(all.join("\n"), @"
        10.0.0.2: 10.0.0.2/24 on eth0 []
        10.0.0.2/24: 10.0.0.2/24 on eth0 []
        10.0.0.2/16: no: 10.0.0.2 is on eth0 with the prefix /24: leave /16 out
        10.0.0.9: 10.0.0.9/24 on eth0 [it is a secondary or virtual address, which can move to another node]
        172.18.0.1: 172.18.0.1/16 on ens9 [no other node is in its network (they are in 10.0.0.0/24)]
        10.0.0.1/24: 10.0.0.1/24 on none [it is on none of the host's links; it is node01's]
        10.0.0.50: no: 10.0.0.50 is on none of the host's links, and so nobody can tell its prefix: give it too, such as 10.0.0.50/24
        10.0.0.50/24: 10.0.0.50/24 on none [it is on none of the host's links]
        fd00::1: no: `fd00::1` is no IPv4 address
        127.0.0.1: no: `127.0.0.1` is none that Calico could use
        169.254.0.1/16: no: `169.254.0.1/16` is none that Calico could use
        nonsense: no: `nonsense` is not an address
        ");
        assert!(
            chooser(Family::Ipv6)
                .named("fd00::5/64")
                .unwrap()
                .link
                .is_none()
        );
        assert!(chooser(Family::Ipv6).named("fe80::5/64").is_err());
    }
}
