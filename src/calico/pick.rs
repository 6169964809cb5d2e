//! The address that calico-node would pick by its own rules (Calico v3.31,
//! node/pkg/lifecycle/startup/autodetection; earlier ones from its history, which differ in their
//! tables only).
//!
//! Links are walked from the last to the first in the kernel's order, whatever their state, and their
//! addresses from the first to the last.

mod rules;
#[cfg(test)]
mod tests;

use rules::{RULES, Rules};

use super::address::Cidr;
use super::daemonset::Version;
use super::family::Family;
use super::go_regex::{Pattern, Understood, understand};
use super::link::Link;
use super::method::{self, Method};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What calico-node has before it.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// In the kernel's order, as [`super::parse_links`] returns them. It is that of their indices in
    /// newer kernels; older ones have it so only up to index 255.
    pub links: &'a [Link],
    /// Those of the Kubernetes node, in its order.
    pub internal_ips: &'a [IpAddr],
    /// The address that the kernel chooses to reach the host of `can-reach=`; `None` where it is not
    /// known.
    pub reached: Option<IpAddr>,
}

/// What becomes of a detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// It picks this one, which a link has.
    Address { cidr: Cidr, link: Option<String> },
    /// It finds none: it keeps the address that the node has, and where it has none it ends at its
    /// start.
    Nothing { why: String },
    /// It cannot be told.
    Unknown { why: String },
    /// It does not know the method, and ends at its start.
    Ends { why: String },
}

/// The address that calico-node of some version picks by a method.
pub fn pick(method: &Method, family: Family, version: Option<Version>, sight: &Sight<'_>) -> Pick {
    if let Some(other) = too_new(method, version) {
        return other;
    }
    let names = match names_of(method) {
        Ok(names) => names,
        Err(other) => return other,
    };
    // What each picks that is not what the one before it picks.
    let mut picks: Vec<(&Rules, Pick)> = Vec::new();
    for rules in RULES.iter().filter(|rules| rules.may_be_of(version)) {
        let pick = by_rules(method, names.as_ref(), family, rules, sight);
        if !picks.last().is_some_and(|(_, last)| same(last, &pick)) {
            picks.push((rules, pick));
        }
    }
    if let [(_, pick)] = picks.as_slice() {
        return pick.clone();
    }
    let version = version.map_or_else(
        || "Calico's version is not known".to_owned(),
        |version| format!("the releases of Calico {} differ", named(version)),
    );
    let each: Vec<String> = picks
        .iter()
        .map(|(rules, pick)| {
            let picked = match pick {
                Pick::Address { cidr, link } => {
                    let on = link
                        .as_ref()
                        .map_or_else(String::new, |l| format!(" on {l}"));
                    format!("{cidr}{on}")
                }
                Pick::Nothing { .. } => "none".to_owned(),
                Pick::Unknown { .. } | Pick::Ends { .. } => "one that is not known".to_owned(),
            };
            format!("{picked} since {}", rules.from)
        })
        .collect();
    Pick::Unknown {
        why: format!("{version}, and it picks {}", each.join(", ")),
    }
}

fn named(version: Version) -> String {
    format!("v{}.{}", version.major, version.minor)
}

/// Whether two rules come to the same, by whatever way.
fn same(a: &Pick, b: &Pick) -> bool {
    matches!((a, b), (Pick::Nothing { .. }, Pick::Nothing { .. })) || a == b
}

/// What becomes of a method that this version does not know, or perhaps not.
fn too_new(method: &Method, version: Option<Version>) -> Option<Pick> {
    let since = method.since()?;
    let text = method.to_string();
    let name = text.split('=').next().unwrap_or_default();
    let known = format!(
        "the method `{name}` before v{}.{}",
        since.major, since.minor
    );
    match version {
        Some(version) if version >= since => None,
        Some(version) => Some(Pick::Ends {
            why: format!(
                "Calico does not know {known}: calico-node {} ends at its start",
                named(version)
            ),
        }),
        None => Some(Pick::Unknown {
            why: format!(
                "Calico's version is not known, and it did not know {known}: calico-node may end at its start"
            ),
        }),
    }
}

/// What the expressions of a method are found in.
fn names_of(method: &Method) -> Result<Option<Pattern>, Pick> {
    match method {
        Method::Interface(names) | Method::SkipInterface(names) => found_in(names).map(Some),
        _ => Ok(None),
    }
}

/// All expressions as one, joined as calico-node joins them.
fn found_in(names: &[String]) -> Result<Pattern, Pick> {
    // What was put together here is read as it will be read there.
    let names = method::split(&names.join(","));
    match understand(&format!("({})", names.join(")|("))) {
        Understood::Is(pattern) => Ok(pattern),
        Understood::Invalid(why) => Err(Pick::Nothing { why }),
        Understood::Unclear(why) => Err(Pick::Unknown { why }),
    }
}

fn by_rules(
    method: &Method,
    names: Option<&Pattern>,
    family: Family,
    rules: &Rules,
    sight: &Sight<'_>,
) -> Pick {
    let walk = Walk { family, sight };
    let is_named = |link: &str| names.map_or(Some(true), |names| names.is_in(link));
    match method {
        Method::FirstFound => walk.first(|link| Some(!rules.leaves_out(link)), |_| true),
        Method::Interface(_) => walk.first(is_named, |_| true),
        Method::SkipInterface(_) => walk.first(
            |link| {
                if rules.leaves_out(link) {
                    Some(false)
                } else {
                    is_named(link).map(|skipped| !skipped)
                }
            },
            |_| true,
        ),
        Method::Cidr(networks) => walk.first(
            |_| Some(true),
            |ip| networks.is_empty() || networks.iter().any(|network| contains(*network, ip)),
        ),
        Method::CanReach(to) => walk.reaching(to),
        Method::KubernetesInternalIp => walk.internal(rules.masks),
    }
}

/// An address as Go takes it: IPv4's within IPv6 is IPv4's.
fn canonical(cidr: Cidr) -> Cidr {
    match cidr.ip.to_canonical() {
        ip if ip == cidr.ip => cidr,
        ip => Cidr {
            ip,
            prefix: cidr.prefix.saturating_sub(96),
        },
    }
}

/// What Go calls a global unicast address: private ones are.
fn is_global(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

fn contains(network: Cidr, ip: IpAddr) -> bool {
    let network = canonical(network);
    match (network.ip, ip) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            masked(network) == masked(Cidr { ip, ..network })
        }
        _ => false,
    }
}

fn masked(cidr: Cidr) -> Cidr {
    let ip = match cidr.ip {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(u32::from(cidr.prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !host))
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(u32::from(cidr.prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !host))
        }
    };
    Cidr { ip, ..cidr }
}

/// So many addresses are named where none is picked. kube-proxy alone may have thousands.
const SHOWN: usize = 6;

/// The walk over a host's links.
struct Walk<'a> {
    family: Family,
    sight: &'a Sight<'a>,
}

impl Walk<'_> {
    /// The family's addresses, in the order in which they are looked at.
    fn addresses(&self) -> impl Iterator<Item = (&str, Cidr)> {
        self.sight.links.iter().rev().flat_map(|link| {
            link.addresses
                .iter()
                .map(|address| (link.name.as_str(), canonical(address.cidr)))
                .filter(|(_, cidr)| self.family.has(cidr.ip))
        })
    }

    /// The first global address that is allowed, of a link that is.
    fn first(
        &self,
        allows_link: impl Fn(&str) -> Option<bool>,
        allows: impl Fn(IpAddr) -> bool,
    ) -> Pick {
        for (link, cidr) in self.addresses().filter(|(_, cidr)| is_global(cidr.ip)) {
            match allows_link(link) {
                None => {
                    return Pick::Unknown {
                        why: format!(
                            "it is not known whether Go finds the regular expression in the name `{link}`"
                        ),
                    };
                }
                Some(true) if allows(cidr.ip) => {
                    return Pick::Address {
                        cidr,
                        link: Some(link.to_owned()),
                    };
                }
                Some(_) => {}
            }
        }
        let mut others: Vec<String> = self
            .addresses()
            .filter(|(_, cidr)| is_global(cidr.ip))
            .map(|(link, cidr)| format!("{cidr} on {link}"))
            .collect();
        others.reverse();
        let family = self.family;
        let why = match others.get(SHOWN..) {
            _ if others.is_empty() => format!("the host has no global {family} address"),
            Some(more) if !more.is_empty() => format!(
                "it leaves out all of the host's {family} addresses: {} and {} more",
                others.get(..SHOWN).unwrap_or_default().join(", "),
                more.len()
            ),
            _ => format!(
                "it leaves out all of the host's {family} addresses: {}",
                others.join(", ")
            ),
        };
        Pick::Nothing { why }
    }

    /// The first address that is just this one.
    fn just(&self, ip: IpAddr) -> Option<Pick> {
        let (link, cidr) = self.addresses().find(|(_, cidr)| cidr.ip == ip)?;
        Some(Pick::Address {
            cidr,
            link: Some(link.to_owned()),
        })
    }

    fn reaching(&self, to: &str) -> Pick {
        let family = self.family;
        let literal = to.parse::<IpAddr>().map(|ip| ip.to_canonical()).ok();
        let v6_any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        // Go takes no host, and `::` even in IPv4, for the host itself.
        let is_itself = to.is_empty()
            || literal.is_some_and(|ip| ip == v6_any || ip.is_unspecified() && family.has(ip));
        let reached = match literal {
            _ if is_itself => Some(match family {
                Family::Ipv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Family::Ipv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            }),
            Some(ip) if !family.has(ip) => {
                return Pick::Nothing {
                    why: format!("{to} is not reached by {family}"),
                };
            }
            _ => self.sight.reached.map(|ip| ip.to_canonical()),
        };
        match reached {
            None => Pick::Unknown {
                why: format!(
                    "the address from which the kernel reaches {to} by {family} is not known"
                ),
            },
            Some(ip) => self.just(ip).unwrap_or_else(|| Pick::Nothing {
                why: format!("{to} is reached from {ip}, which is on none of its links"),
            }),
        }
    }

    fn internal(&self, masks: bool) -> Pick {
        let family = self.family;
        let mut internal = self.sight.internal_ips.iter().map(|ip| ip.to_canonical());
        let Some(ip) = internal.find(|ip| family.has(*ip)) else {
            return Pick::Nothing {
                why: format!("kubelet registered no {family} InternalIP for it"),
            };
        };
        match self.just(ip) {
            Some(Pick::Address { cidr, link }) if masks => Pick::Address {
                cidr: masked(cidr),
                link,
            },
            Some(pick) => pick,
            // Calico then goes on with the address alone, and does not understand it without a prefix.
            None => Pick::Nothing {
                why: format!("its InternalIP {ip} is on none of its links"),
            },
        }
    }
}
