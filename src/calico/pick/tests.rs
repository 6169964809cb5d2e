use super::*;
use crate::calico::{LinkAddress, parse_links};
use proptest::prelude::*;

/// What calico-node of some version does with a variable's text as it stands.
fn pick_as_written(
    text: &str,
    family: Family,
    version: Option<Version>,
    sight: &Sight<'_>,
) -> Pick {
    match text.parse::<Method>() {
        Ok(method) => pick(&method, family, version, sight),
        // It knows the method and cannot read its networks.
        Err(why) if text.starts_with("cidr=") => {
            match too_new(&Method::Cidr(Vec::new()), version) {
                Some(other) => other,
                None => Pick::Nothing { why },
            }
        }
        Err(why) => Pick::Ends { why },
    }
}

/// `ip -json -details address show` of iproute2 6.1 in a namespace made for this, of bridges and veths:
/// a VIP on `lo`, a secondary address, one alone in its network and a deprecated one on `eth0`, a pair's
/// on `tun9`, a link whose name has `lo` in it, docker's bridges that are down, kube-proxy's `kube-ipvs0`
/// and a link with a link-local address only.
const LINKS: &str = include_str!("links.json");

const V3_9: Option<Version> = version(9);
const V3_20: Option<Version> = version(20);
const V3_31: Option<Version> = version(31);

const fn version(minor: u32) -> Option<Version> {
    Some(Version { major: 3, minor })
}

fn said(pick: &Pick) -> String {
    match pick {
        Pick::Address { cidr, link } => {
            let link = link.as_deref().unwrap_or("no link");
            format!("{cidr} on {link}")
        }
        Pick::Nothing { why } => format!("nothing: {why}"),
        Pick::Unknown { why } => format!("unknown: {why}"),
        Pick::Ends { why } => format!("ends: {why}"),
    }
}

/// What is picked of [`LINKS`].
fn picked(method: &str, family: Family, version: Option<Version>) -> String {
    let links = parse_links(LINKS).unwrap();
    let internal = ["10.0.0.2", "fd00::2"].map(|ip| ip.parse().unwrap());
    let sight = Sight {
        links: &links,
        internal_ips: &internal,
        reached: None,
    };
    said(&pick_as_written(method, family, version, &sight))
}

/// What calico-node of v3.31's own code said in that namespace, and that code with the table of v3.20.
#[test]
fn calico_picks_the_same() {
    use Family::{Ipv4, Ipv6};
    for (method, family, version, expected) in [
        ("first-found", Ipv4, V3_31, "203.0.113.6/28 on flow0"),
        ("", Ipv4, V3_31, "203.0.113.6/28 on flow0"),
        (
            "first-found",
            Ipv4,
            V3_20,
            "172.18.0.1/16 on br-0123456789ab",
        ),
        (
            "first-found",
            Ipv4,
            V3_9,
            "172.18.0.1/16 on br-0123456789ab",
        ),
        ("first-found", Ipv6, V3_31, "2001:db8::2/64 on eth0"),
        ("first-found", Ipv6, V3_20, "fd12::1/64 on br-0123456789ab"),
        ("interface=.*", Ipv4, V3_31, "10.96.0.1/32 on kube-ipvs0"),
        ("interface=", Ipv4, V3_31, "10.96.0.1/32 on kube-ipvs0"),
        ("interface=.*", Ipv6, V3_9, "fd12::1/64 on br-0123456789ab"),
        ("interface=eth.*", Ipv4, V3_31, "10.8.0.1/24 on veth12"),
        ("interface=eth0", Ipv4, V3_31, "192.168.7.2/24 on eth0.100"),
        ("interface=^eth0$", Ipv4, V3_31, "10.0.0.2/24 on eth0"),
        ("interface=^eth0$", Ipv4, None, "10.0.0.2/24 on eth0"),
        ("interface=tun.*", Ipv4, V3_31, "10.9.0.1/32 on tun9"),
        ("interface=lo", Ipv4, V3_31, "203.0.113.6/28 on flow0"),
        ("interface=^lo$", Ipv4, V3_31, "10.0.0.200/32 on lo"),
        ("skip-interface=flow.*", Ipv4, V3_31, "10.9.0.1/32 on tun9"),
        (
            "skip-interface=flow.* , tun9",
            Ipv4,
            V3_31,
            "192.168.7.2/24 on eth0.100",
        ),
        (
            "skip-interface=flow.*",
            Ipv4,
            V3_20,
            "172.18.0.1/16 on br-0123456789ab",
        ),
        ("cidr=10.0.0.0/24", Ipv4, V3_31, "10.0.0.2/24 on eth0"),
        (
            "cidr=10.9.0.0/16,192.168.0.0/16",
            Ipv4,
            V3_20,
            "10.9.0.1/32 on tun9",
        ),
        ("cidr=2001:db8::/32", Ipv6, V3_31, "2001:db8::2/64 on eth0"),
        ("kubernetes-internal-ip", Ipv4, V3_31, "10.0.0.2/24 on eth0"),
        ("kubernetes-internal-ip", Ipv6, V3_31, "fd00::2/64 on eth0"),
        (
            "can-reach=127.0.0.1",
            Ipv6,
            V3_31,
            "nothing: 127.0.0.1 is not reached by IPv6",
        ),
        ("can-reach=", Ipv4, V3_31, "127.0.0.1/8 on lo"),
        ("can-reach=::", Ipv4, V3_31, "127.0.0.1/8 on lo"),
        ("can-reach=::", Ipv6, V3_31, "::1/128 on lo"),
    ] {
        assert_eq!(
            picked(method, family, version),
            expected,
            "{method} {family} {version:?}"
        );
    }
}

#[test]
fn why_none_is_picked_is_said() {
    let lines = [
        ("interface=ll0", V3_31),
        ("interface=tun9", V3_31),
        ("interface=eth(", V3_31),
        ("skip-interface=", V3_31),
        ("cidr=10.0.0.0", V3_31),
        ("cidr=10.0.0.0", V3_9),
        ("cidr=10.0.0.0/24", V3_9),
        ("kubernetes-internal-ip", V3_20),
        ("kubernetes-internal-ip", None),
        ("interface=eth0{2}{3}", V3_31),
        ("can-reach=example.net", V3_31),
        ("interfaces=eth0", V3_31),
        ("can-reach", V3_31),
        ("first-found ", V3_31),
        ("autodetect", V3_31),
    ]
    .map(|(method, version)| format!("{method}: {}", picked(method, Family::Ipv6, version)));
    insta::assert_snapshot!(lines.join("\n"), @"
    interface=ll0: nothing: it leaves out all of the host's IPv6 addresses: fd00::2/64 on eth0, 2001:db8::2/64 on eth0, fd12::1/64 on br-0123456789ab
    interface=tun9: nothing: it leaves out all of the host's IPv6 addresses: fd00::2/64 on eth0, 2001:db8::2/64 on eth0, fd12::1/64 on br-0123456789ab
    interface=eth(: nothing: `(eth()` is no regular expression: unclosed group
    skip-interface=: nothing: it leaves out all of the host's IPv6 addresses: fd00::2/64 on eth0, 2001:db8::2/64 on eth0, fd12::1/64 on br-0123456789ab
    cidr=10.0.0.0: nothing: `10.0.0.0` lacks the length of its prefix, as in `10.0.0.0/32`
    cidr=10.0.0.0: ends: Calico does not know the method `cidr` before v3.16: calico-node v3.9 ends at its start
    cidr=10.0.0.0/24: ends: Calico does not know the method `cidr` before v3.16: calico-node v3.9 ends at its start
    kubernetes-internal-ip: ends: Calico does not know the method `kubernetes-internal-ip` before v3.22: calico-node v3.20 ends at its start
    kubernetes-internal-ip: unknown: Calico's version is not known, and it did not know the method `kubernetes-internal-ip` before v3.22: calico-node may end at its start
    interface=eth0{2}{3}: unknown: it is not known what Go makes of the regular expression `(eth0{2}{3})`: it repeats a repetition
    can-reach=example.net: unknown: the address from which the kernel reaches example.net by IPv6 is not known
    interfaces=eth0: ends: `interfaces=eth0` is no method by which Calico detects addresses (did you mean `interface=`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
    can-reach: ends: `can-reach` is no method by which Calico detects addresses (did you mean `can-reach=`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
    first-found : ends: `first-found ` is no method by which Calico detects addresses (did you mean `first-found`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
    autodetect: ends: `autodetect` is no method by which Calico detects addresses; there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
    ");
}

/// Calico v3.24.3 anchored its table, and v3.25 put bridges into it.
#[test]
fn releases_that_differ_are_told_apart_only_where_it_matters() {
    let lines = [
        picked("first-found", Family::Ipv4, version(24)),
        picked("first-found", Family::Ipv6, version(24)),
        picked("first-found", Family::Ipv6, None),
        picked("skip-interface=^br-.*", Family::Ipv4, None),
        picked("skip-interface=^br-.*,flow", Family::Ipv4, None),
        // The first releases of v3.22 made a network of the address.
        picked("kubernetes-internal-ip", Family::Ipv4, version(22)),
        picked("kubernetes-internal-ip", Family::Ipv4, version(24)),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    172.18.0.1/16 on br-0123456789ab
    fd12::1/64 on br-0123456789ab
    unknown: Calico's version is not known, and it picks fd12::1/64 on br-0123456789ab since v3.0, 2001:db8::2/64 on eth0 since v3.25
    unknown: Calico's version is not known, and it picks 10.9.0.1/32 on tun9 since v3.0, 203.0.113.6/28 on flow0 since v3.23.4, 10.9.0.1/32 on tun9 since v3.24.0, 203.0.113.6/28 on flow0 since v3.24.3
    10.9.0.1/32 on tun9
    unknown: the releases of Calico v3.22 differ, and it picks 10.0.0.0/24 on eth0 since v3.22.0, 10.0.0.2/24 on eth0 since v3.22.4
    10.0.0.2/24 on eth0
    ");
}

fn link(index: u32, name: &str, addresses: &[&str]) -> Link {
    Link {
        index,
        name: name.into(),
        kind: String::new(),
        up: true,
        addresses: addresses
            .iter()
            .map(|cidr| LinkAddress {
                cidr: cidr.parse().unwrap(),
                secondary: false,
            })
            .collect(),
    }
}

#[test]
fn the_way_to_a_host_tells_its_own_address() {
    let links = [
        link(1, "lo", &["127.0.0.1/8"]),
        link(2, "eth0", &["10.0.0.2/24", "10.0.0.9/32"]),
        link(3, "eth1", &["10.0.0.9/24"]),
    ];
    let reach = |to: &str, reached: Option<&str>| {
        let sight = Sight {
            links: &links,
            internal_ips: &[],
            reached: reached.map(|ip| ip.parse().unwrap()),
        };
        said(&pick_as_written(to, Family::Ipv4, None, &sight))
    };
    insta::assert_snapshot!(reach("can-reach=8.8.8.8", Some("10.0.0.2")), @"10.0.0.2/24 on eth0");
    // The last link that has it.
    insta::assert_snapshot!(reach("can-reach=gw", Some("10.0.0.9")), @"10.0.0.9/24 on eth1");
    insta::assert_snapshot!(reach("can-reach=gw", Some("10.0.0.3")), @"nothing: gw is reached from 10.0.0.3, which is on none of its links");
    insta::assert_snapshot!(reach("can-reach=gw", None), @"unknown: the address from which the kernel reaches gw by IPv4 is not known");
    insta::assert_snapshot!(reach("kubernetes-internal-ip", None), @"unknown: Calico's version is not known, and it did not know the method `kubernetes-internal-ip` before v3.22: calico-node may end at its start");
    insta::assert_snapshot!(reach("first-found", None), @"10.0.0.9/24 on eth1");
}

#[test]
fn an_internal_ip_that_the_host_lacks_is_not_picked() {
    let links = [link(2, "eth0", &["10.0.0.2/24"])];
    let sight = |internal: &'static [IpAddr]| Sight {
        links: &links,
        internal_ips: internal,
        reached: None,
    };
    const ELSEWHERE: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    ];
    let pick = |internal| {
        said(&pick(
            &Method::KubernetesInternalIp,
            Family::Ipv4,
            V3_31,
            &sight(internal),
        ))
    };
    // The first counts, and no other.
    insta::assert_snapshot!(pick(&ELSEWHERE), @"nothing: its InternalIP 10.0.0.3 is on none of its links");
    insta::assert_snapshot!(pick(&[]), @"nothing: kubelet registered no IPv4 InternalIP for it");
}

#[test]
fn names_outside_ascii_are_not_guessed() {
    let links = [link(2, "é0", &["10.0.0.2/24"])];
    let sight = Sight {
        links: &links,
        internal_ips: &[],
        reached: None,
    };
    let pick = |method: &str| said(&pick_as_written(method, Family::Ipv4, V3_31, &sight));
    insta::assert_snapshot!(pick("interface=.0"), @"10.0.0.2/24 on é0");
    insta::assert_snapshot!(pick(r"interface=\w0"), @"unknown: it is not known whether Go finds the regular expression in the name `é0`");
}

/// What Go takes for an address that others can reach.
#[test]
fn private_addresses_are_global_and_those_of_a_link_are_not() {
    for (ip, expected) in [
        ("10.0.0.1", true),
        ("172.18.0.1", true),
        ("100.64.0.1", true),
        ("fd00::1", true),
        ("fec0::1", true),
        ("2001:db8::1", true),
        ("240.0.0.1", true),
        ("169.254.0.1", false),
        ("127.0.0.2", false),
        ("0.0.0.0", false),
        ("255.255.255.255", false),
        ("224.0.0.1", false),
        ("fe80::1", false),
        ("febf::1", false),
        ("::1", false),
        ("::", false),
        ("ff02::1", false),
    ] {
        assert_eq!(is_global(ip.parse().unwrap()), expected, "{ip}");
    }
}

#[test]
fn addresses_of_ipv4_within_ipv6_are_those_of_ipv4() {
    let mapped = "::ffff:10.0.0.7/120".parse().unwrap();
    assert_eq!(canonical(mapped).to_string(), "10.0.0.7/24");
    assert!(contains(mapped, "10.0.0.9".parse().unwrap()));
    assert!(!contains(mapped, "10.0.1.9".parse().unwrap()));
    assert!(!contains(
        "::/0".parse().unwrap(),
        "10.0.1.9".parse().unwrap()
    ));
    assert!(contains(
        "0.0.0.0/0".parse().unwrap(),
        "10.0.1.9".parse().unwrap()
    ));
    assert!(contains(
        "fd00::/8".parse().unwrap(),
        "fdff::9".parse().unwrap()
    ));
}

fn any_links() -> impl Strategy<Value = Vec<Link>> {
    let address = prop_oneof![
        (any::<u32>(), 0..=32u8).prop_map(|(ip, prefix)| Cidr {
            ip: IpAddr::V4(Ipv4Addr::from_bits(ip)),
            prefix
        }),
        (any::<u128>(), 0..=128u8).prop_map(|(ip, prefix)| Cidr {
            ip: IpAddr::V6(Ipv6Addr::from_bits(ip)),
            prefix
        }),
    ];
    let addresses = proptest::collection::vec(address, 0..3);
    proptest::collection::vec(("[a-z0-9.-]{1,6}", addresses), 0..6).prop_map(|links| {
        links
            .into_iter()
            .zip(1..)
            .map(|((name, addresses), index)| Link {
                index,
                name,
                kind: String::new(),
                up: index % 2 == 0,
                addresses: addresses
                    .into_iter()
                    .map(|cidr| LinkAddress {
                        cidr,
                        secondary: false,
                    })
                    .collect(),
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn nothing_that_is_written_ends_this(
        method in "(interface=|skip-interface=|cidr=|can-reach=|kubernetes-internal-ip)?.{0,12}",
        links in any_links(),
        minor in proptest::option::of(0..40u32),
        v6 in any::<bool>(),
    ) {
        let sight = Sight { links: &links, internal_ips: &[], reached: None };
        let family = Family::BOTH[usize::from(v6)];
        let version = minor.map(|minor| Version { major: 3, minor });
        if let Pick::Address { cidr, link } = pick_as_written(&method, family, version, &sight) {
            prop_assert!(family.has(cidr.ip));
            prop_assert!(links.iter().any(|l| Some(&l.name) == link.as_ref()));
        }
        if let Ok(read) = method.parse::<Method>() {
            prop_assert_eq!(read.to_string().parse::<Method>(), Ok(read));
        }
    }

    #[test]
    fn of_all_links_the_last_with_a_global_address_is_picked(links in any_links()) {
        let sight = Sight { links: &links, internal_ips: &[], reached: None };
        let expected = links
            .iter()
            .rev()
            .flat_map(|l| l.addresses.iter().map(move |a| (l, a)))
            .find(|(_, a)| a.cidr.ip.is_ipv4() && is_global(a.cidr.ip));
        let got = pick(&Method::Interface(vec![".*".into()]), Family::Ipv4, None, &sight);
        match expected {
            Some((link, address)) => prop_assert_eq!(got, Pick::Address {
                cidr: address.cidr,
                link: Some(link.name.clone()),
            }),
            None => prop_assert!(said(&got).starts_with("nothing: "), "{:?}", got),
        }
    }

    #[test]
    fn what_an_anchored_method_allows_the_method_allows(
        expression in "[a-c.*|^$()?+]{0,6}",
        links in any_links(),
    ) {
        // Were it to allow more, it would pick of a link that the method, alone with it, does not.
        let sight = Sight { links: &links, internal_ips: &[], reached: None };
        let method = Method::Interface(vec![expression]);
        let anchored = method.clone().anchored();
        let Pick::Address { cidr, link } = pick(&anchored, Family::Ipv4, None, &sight) else {
            return Ok(());
        };
        let alone: Vec<Link> = links.iter().filter(|l| Some(&l.name) == link.as_ref()).cloned().collect();
        let sight = Sight { links: &alone, ..sight };
        let wide = pick(&method, Family::Ipv4, None, &sight);
        prop_assert_eq!(wide, Pick::Address { cidr, link });
    }
}
