//! Rules as real tools print them, and which of them are against a session.

use crate::calico::path::rules::{Does, Names, Rules};
use crate::calico::path::{iptables, nft};

/// Made in a network namespace of Debian 12, and printed there by `nft -a list ruleset` (nftables 1.0.6).
const NFT: &str = include_str!("../fixtures/nft-1.0.6.txt");
/// The same of what iptables-nft 1.8.9 had made.
const NFT_OF_IPTABLES: &str = include_str!("../fixtures/nft-1.0.6-of-iptables.txt");
/// Printed there by `iptables-legacy-save -c` and `iptables-nft-save -c` (iptables 1.8.9).
const LEGACY: &str = include_str!("../fixtures/iptables-legacy-save-1.8.9.txt");
const MODERN: &str = include_str!("../fixtures/iptables-nft-save-1.8.9.txt");

fn against(rules: &Rules, names: Names, own: &str, peer: &str) -> String {
    let (own, peer) = (own.parse().unwrap(), peer.parse().unwrap());
    let lines = rules.against(names, own, peer);
    let line = |a: &crate::calico::path::rules::Against<'_>| {
        let partly = if a.partly { " [partly]" } else { "" };
        let narrowed = if a.rule.narrowed { " [narrowed]" } else { "" };
        format!("{}{narrowed}{partly}", a.rule)
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn legacy(text: &str) -> Rules {
    iptables::parse(text, "iptables-save", "ip", 179)
}

#[test]
fn rules_of_nft_that_name_the_port_of_a_hosts_own_packets() {
    let rules = nft::parse(NFT, 179);
    insta::assert_snapshot!(against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.2"), @r#"
    `tcp dport { 25, 100-200 } counter packets 0 bytes 0 drop comment "no bgp; really"` in table inet filter, chain input, handle 13 (as nft shows it; it has matched 0 packets)
    `tcp dport 179 reject with tcp reset` in table inet filter, chain input, handle 14 (as nft shows it)
    `tcp dport < 1024 log prefix "tcp dport 179 drop " drop` in table inet filter, chain input, handle 18 (as nft shows it)
    `meta l4proto { tcp, udp } th dport 179 drop` in table inet filter, chain input, handle 21 (as nft shows it)
    `tcp dport vmap { 22 : accept, 179 : drop, 1024-65535 : jump more }` in table inet filter, chain input, handle 27 (as nft shows it)
    `ip saddr @known tcp dport 179 limit rate 5/second drop` in table inet filter, chain input, handle 28 (as nft shows it) [narrowed]
    `tcp flags syn tcp dport 179 ct state new drop` in table inet filter, chain input, handle 29 (as nft shows it) [narrowed]
    `tcp dport 179 ip daddr 10.0.0.2 drop` in table inet filter, chain output, handle 34 (as nft shows it)
    `tcp dport 179 drop` in table netdev d, chain in, handle 2 (as nft shows it)
    "#);
    // From this peer, a rule accepts all of it first; one of another protocol family goes on.
    insta::assert_snapshot!(against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.9"), @"`tcp dport 179 drop` in table netdev d, chain in, handle 2 (as nft shows it)");
    insta::assert_snapshot!(against(&rules, Names::Bgp, "10.0.0.1", "192.0.2.7"), @r#"
    `iifname "eth1" ip saddr 192.0.2.0/24 tcp sport 179 counter packets 0 bytes 0 drop` in table inet filter, chain more, handle 7 (as nft shows it; it has matched 0 packets) [narrowed]
    `tcp dport { 25, 100-200 } counter packets 0 bytes 0 drop comment "no bgp; really"` in table inet filter, chain input, handle 13 (as nft shows it; it has matched 0 packets)
    `tcp dport 179 reject with tcp reset` in table inet filter, chain input, handle 14 (as nft shows it)
    `tcp dport < 1024 log prefix "tcp dport 179 drop " drop` in table inet filter, chain input, handle 18 (as nft shows it)
    `meta l4proto { tcp, udp } th dport 179 drop` in table inet filter, chain input, handle 21 (as nft shows it)
    `tcp dport vmap { 22 : accept, 179 : drop, 1024-65535 : jump more }` in table inet filter, chain input, handle 27 (as nft shows it)
    `ip saddr @known tcp dport 179 limit rate 5/second drop` in table inet filter, chain input, handle 28 (as nft shows it) [narrowed]
    `tcp flags syn tcp dport 179 ct state new drop` in table inet filter, chain input, handle 29 (as nft shows it) [narrowed]
    `tcp dport 179 drop` in table netdev d, chain in, handle 2 (as nft shows it)
    "#);
    insta::assert_snapshot!(against(&rules, Names::Bgp, "fd00::1", "fd00::2"), @r#"
    `tcp dport { 25, 100-200 } counter packets 0 bytes 0 drop comment "no bgp; really"` in table inet filter, chain input, handle 13 (as nft shows it; it has matched 0 packets)
    `tcp dport 179 reject with tcp reset` in table inet filter, chain input, handle 14 (as nft shows it)
    `tcp dport < 1024 log prefix "tcp dport 179 drop " drop` in table inet filter, chain input, handle 18 (as nft shows it)
    `meta l4proto { tcp, udp } th dport 179 drop` in table inet filter, chain input, handle 21 (as nft shows it)
    `tcp dport vmap { 22 : accept, 179 : drop, 1024-65535 : jump more }` in table inet filter, chain input, handle 27 (as nft shows it)
    `ip saddr @known tcp dport 179 limit rate 5/second drop` in table inet filter, chain input, handle 28 (as nft shows it) [narrowed]
    `tcp flags syn tcp dport 179 ct state new drop` in table inet filter, chain input, handle 29 (as nft shows it) [narrowed]
    `ip6 saddr fd00::2 tcp dport 179 drop` in table ip6 x, chain i, handle 2 (as nft shows it)
    `tcp dport 179 drop` in table netdev d, chain in, handle 2 (as nft shows it)
    "#);
}

#[test]
fn rules_of_nft_against_protocol_4() {
    let rules = nft::parse(NFT, 179);
    insta::assert_snapshot!(against(&rules, Names::Protocol4, "10.0.0.1", "10.0.0.2"), @"
    `meta l4proto ipencap counter packets 0 bytes 0 drop` in table inet filter, chain input, handle 22 (as nft shows it; it has matched 0 packets)
    `ip protocol ipencap drop` in table inet filter, chain input, handle 23 (as nft shows it)
    `ip protocol { ipencap, gre } reject with icmp port-unreachable` in table inet filter, chain input, handle 25 (as nft shows it)
    ");
}

#[test]
fn policies_that_drop_count_where_no_rule_accepts_the_port() {
    let rules = nft::parse(NFT, 179);
    let policies = |peer: &str| {
        rules
            .policies_against("10.0.0.1".parse().unwrap(), peer.parse().unwrap())
            .len()
    };
    assert_eq!((policies("10.0.0.2"), policies("10.0.0.9")), (1, 0));
}

#[test]
fn rules_of_iptables_that_name_the_port_of_a_hosts_own_packets() {
    let rules = legacy(LEGACY);
    insta::assert_snapshot!(against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.2"), @r#"
    `-A PREROUTING -p tcp -m tcp --dport 179 -j DROP` in table ip raw, chain PREROUTING (as iptables-save shows it; it has matched 0 packets)
    `-A INPUT -p tcp -m tcp --dport 179 -j DROP` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 0 packets)
    `-A INPUT -p tcp -m multiport --dports 25,100:200 -m comment --comment "say \"no\"" -j REJECT --reject-with tcp-reset` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 0 packets)
    `-A bgp -s 10.0.0.2/32 -p tcp -m tcp --sport 179 -j DROP` in table ip filter, chain bgp (as iptables-save shows it; it has matched 0 packets)
    `-A bgp -p tcp -m multiport --ports 179 -j DROP` in table ip filter, chain bgp (as iptables-save shows it; it has matched 0 packets)
    "#);
    insta::assert_snapshot!(against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.3"), @r#"
    `-A PREROUTING -p tcp -m tcp --dport 179 -j DROP` in table ip raw, chain PREROUTING (as iptables-save shows it; it has matched 0 packets)
    `-A INPUT -p tcp -m tcp --dport 179 -j DROP` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 0 packets)
    `-A INPUT -p tcp -m multiport --dports 25,100:200 -m comment --comment "say \"no\"" -j REJECT --reject-with tcp-reset` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 0 packets)
    `-A OUTPUT -d 10.0.0.3/32 -p tcp -m tcp --dport 179 -j REJECT --reject-with icmp-port-unreachable` in table ip filter, chain OUTPUT (as iptables-save shows it; it has matched 0 packets)
    `-A bgp -p tcp -m multiport --ports 179 -j DROP` in table ip filter, chain bgp (as iptables-save shows it; it has matched 0 packets)
    "#);
    assert_eq!(legacy(MODERN).rules.len(), rules.rules.len());
    // IPv6 has rules of its own.
    assert_eq!(against(&rules, Names::Bgp, "fd00::1", "fd00::2"), "");
}

#[test]
fn rules_of_iptables_against_protocol_4() {
    let rules = legacy(LEGACY);
    // The rule before accepts it from 10.0.0.0/24.
    assert_eq!(
        against(&rules, Names::Protocol4, "10.0.0.1", "10.0.0.2"),
        ""
    );
    insta::assert_snapshot!(against(&rules, Names::Protocol4, "10.0.0.1", "10.1.0.2"), @"`-A INPUT -p ipencap -j DROP` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 0 packets)");
}

#[test]
fn what_two_tools_show_is_there_once() {
    let mut rules = nft::parse(NFT_OF_IPTABLES, 179);
    let own = rules.rules.len();
    rules.add(legacy(MODERN), true);
    // `--ports` is what nft shows as a set of pairs, which is not read.
    assert_eq!(rules.rules.len(), own + 1);
    assert_eq!(
        rules.rules.last().unwrap().text,
        "-A bgp -p tcp -m multiport --ports 179 -j DROP"
    );
    assert_eq!(rules.policies.len(), 1);
    // Legacy tables are others, although they have the same names.
    rules.add(legacy(LEGACY), false);
    assert_eq!(rules.rules.len(), 2 * own + 2);
    assert_eq!(rules.policies.len(), 2);
}

/// Synthetic: after Calico v3.31, felix/rules/static.go and its names of chains.
const FELIX: &str = "\
# Generated by iptables-save v1.8.9
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-INPUT - [0:0]
:cali-wl-to-host - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-po-x - [0:0]
[9:9] -A INPUT -m comment --comment \"cali:Cz_u1IQiXIMmKD4c\" -j cali-INPUT
[3:3] -A cali-INPUT -p ipv4 -m comment --comment \"Allow IPIP packets from Calico hosts\" -m set --match-set cali40all-hosts-net src -m addrtype --dst-type LOCAL -j ACCEPT
[0:0] -A cali-INPUT -p ipv4 -m comment --comment \"Drop IPIP packets from non-Calico hosts\" -j DROP
[1:1] -A cali-INPUT -i cali+ -m comment --comment x -g cali-wl-to-host
[1:1] -A cali-wl-to-host -j cali-from-wl-dispatch
[1:1] -A cali-from-wl-dispatch -j cali-po-x
[1:1] -A cali-po-x -p tcp -m multiport --dports 179 -j DROP
COMMIT
";

#[test]
fn felix_accepts_ipip_of_calicos_nodes_and_its_policies_are_of_pods() {
    let rules = legacy(FELIX);
    assert_eq!(against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.2"), "");
    let (own, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let four = rules.against(Names::Protocol4, own, peer);
    assert_eq!(four.iter().map(|a| a.partly).collect::<Vec<_>>(), [true]);
}

/// Each a rule of nft (synthetic), and whether it is against TCP 179.
#[test]
fn what_names_the_port() {
    for (rule, named) in [
        ("tcp dport 179 drop", true),
        ("tcp dport bgp drop", true),
        ("tcp dport 170-180 reject", true),
        ("tcp dport { 22, 170-180 } drop", true),
        ("tcp dport <= 179 drop", true),
        ("meta l4proto tcp th sport 179 drop", true),
        ("tcp dport vmap { 22 : accept, 179 : drop }", true),
        (
            "ct state new tcp dport 179 log prefix \"x # handle 1\" drop",
            true,
        ),
        ("tcp dport 1179 drop", false),
        ("tcp dport { 17, 9 } drop", false),
        ("tcp dport != 179 drop", false),
        ("tcp dport != { 179, 180 } drop", false),
        ("tcp dport > 179 drop", false),
        ("tcp sport . tcp dport { 0-65535 . 22 } drop", false),
        ("ip saddr . tcp dport @peers drop", false),
        ("ip saddr . ip daddr @pairs tcp dport 179 drop", true),
        ("tcp dport @ports drop", false),
        ("tcp dport vmap { 22 : drop, 179 : accept }", false),
        ("tcp dport vmap { 179 : jump x, 22 : drop }", false),
        ("meta l4proto udp th dport 179 drop", false),
        ("udp dport 179 drop", false),
        ("tcp dport 179 accept", false),
        ("tcp dport 179 counter packets 3 bytes 9", false),
        ("tcp dport 22 comment \"tcp dport 179 drop\" drop", false),
        ("tcp dport 179 ct state vmap { new : drop }", false),
        ("drop", false),
    ] {
        let text = format!(
            "table inet t {{ # handle 1\n\tchain c {{ # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\t\t{rule} # handle 9\n\t}}\n}}\n"
        );
        let rules = nft::parse(&text, 179);
        let found = against(&rules, Names::Bgp, "10.0.0.1", "10.0.0.2");
        assert_eq!(!found.is_empty(), named, "{rule}: {found}");
    }
}

/// Each a rule of iptables (synthetic), and whether it is against TCP 179.
#[test]
fn what_names_the_port_in_iptables() {
    for (rule, named) in [
        ("-p tcp -m tcp --dport 179 -j DROP", true),
        ("-p tcp --sport 1:179 -j DROP", true),
        (
            "-p tcp -m multiport --sports 22,179 -j REJECT --reject-with tcp-reset",
            true,
        ),
        ("-s 10.0.0.0/8 -p tcp -m tcp --dport 179 -j DROP", true),
        ("-d 10.0.0.1/32 -p tcp -m tcp --dport 179 -j DROP", true),
        ("! -s 10.9.0.0/16 -p tcp -m tcp --dport 179 -j DROP", true),
        ("-s 10.9.0.0/16 -p tcp -m tcp --dport 179 -j DROP", false),
        ("-d 10.0.0.9/32 -p tcp -m tcp --dport 179 -j DROP", false),
        ("-p tcp -m tcp ! --dport 179 -j DROP", false),
        ("! -p tcp -m tcp --dport 179 -j DROP", false),
        ("-p udp -m udp --dport 179 -j DROP", false),
        ("-p tcp -m tcp --dport 179 -j LOG", false),
        ("-p tcp -m tcp --dport 1790 -j DROP", false),
        ("-p tcp -m comment --comment \"--dport 179\" -j DROP", false),
        ("-p tcp -j DROP", false),
    ] {
        let text = format!("*filter\n:INPUT ACCEPT [0:0]\n[0:0] -A INPUT {rule}\nCOMMIT\n");
        let found = against(&legacy(&text), Names::Bgp, "10.0.0.1", "10.0.0.2");
        assert_eq!(!found.is_empty(), named, "{rule}: {found}");
    }
}

#[test]
fn what_is_no_output_of_the_tools_has_no_rules() {
    for text in [
        "",
        "Error: x",
        "}\n}\n",
        "*filter\n-A INPUT -j",
        ":",
        "[",
        "-A",
        "table {",
        "chain {\n\ttype",
    ] {
        assert_eq!(nft::parse(text, 179), Rules::default(), "{text}");
        assert_eq!(legacy(text).rules, [], "{text}");
    }
}

/// Each the rules of a chain of iptables (synthetic), in their order, and what is against 10.0.0.2.
#[test]
fn what_comes_before_a_rule_and_what_it_excludes() {
    let drop = "-p tcp -m tcp --dport 179 -j DROP";
    let replies = "-p tcp -m tcp --sport 179 -j DROP";
    for (rules, found) in [
        (vec![drop], "all"),
        (vec!["-s 10.0.0.0/24 -i eth0 -j ACCEPT", drop], "partly"),
        (vec!["-m mark --mark 0x1/0x1 -j ACCEPT", drop], "partly"),
        (vec!["-s 10.0.0.0/24 -j ACCEPT", drop], "none"),
        (vec!["-s 10.0.0.0/24 -p tcp -j ACCEPT", drop], "none"),
        (vec!["-s 10.9.0.0/24 -j ACCEPT", drop], "all"),
        (vec!["-s 10.0.0.0/24 -p udp -j ACCEPT", drop], "all"),
        (vec!["-p tcp -m tcp --dport 22 -j ACCEPT", drop], "all"),
        (vec!["-j more", drop], "partly"),
        (vec!["-j none", drop], "all"),
        // One that only counts or logs what it names accepts nothing.
        (vec!["-j logs", drop], "all"),
        (vec!["-s 10.0.0.0/24 -j RETURN", drop], "none"),
        (vec!["-s 10.9.0.0/24 -j RETURN", drop], "all"),
        (vec!["-s 10.0.0.2/32 ! -i lo -j ACCEPT", drop], "none"),
        // What is usual at the beginning accepts no new connection from elsewhere.
        (vec!["-i lo -j ACCEPT", drop], "all"),
        (
            vec!["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", drop],
            "all",
        ),
        (vec!["-m conntrack --ctstate NEW -j ACCEPT", drop], "partly"),
        // An accept of one end's port is none of the other's.
        (vec!["-p tcp -m tcp --dport 179 -j ACCEPT", replies], "all"),
        (vec!["-p tcp -m tcp --sport 179 -j ACCEPT", replies], "none"),
        (
            vec!["-p tcp -m multiport --ports 179 -j ACCEPT", replies],
            "none",
        ),
        (
            vec!["! -s 10.0.0.0/24 -p tcp -m tcp --dport 179 -j DROP"],
            "none",
        ),
        (
            vec!["! -s 10.9.0.0/24 -p tcp -m tcp --dport 179 -j DROP"],
            "all",
        ),
    ] {
        let rules: String = rules
            .iter()
            .map(|r| format!("[5:9] -A INPUT {r}\n"))
            .collect();
        let text = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:more - [0:0]\n:less - [0:0]\n:none - [0:0]\n:logs - [0:0]\n{rules}[1:1] -A logs -p tcp -m tcp --dport 179 -j LOG\n[1:1] -A more -j less\n\
             [1:1] -A less -m mark --mark 0x1/0x1 -j ACCEPT\n[1:1] -A none -p udp -j ACCEPT\nCOMMIT\n"
        );
        assert_eq!(how(&legacy(&text)), found, "{rules}");
    }
}

fn how(rules: &Rules) -> &'static str {
    let (own, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let against = rules.against(Names::Bgp, own, peer);
    match against.as_slice() {
        [] => "none",
        [one] if one.partly => "partly",
        [one] if one.rule.narrowed => "narrowed",
        _ => "all",
    }
}

/// The same of nft.
#[test]
fn what_comes_before_a_rule_of_nft_and_what_it_excludes() {
    for (rules, found) in [
        ("tcp dport 179 drop", "all"),
        (
            "ip saddr { 10.0.0.2, 10.0.0.3 } accept; tcp dport 179 drop",
            "none",
        ),
        ("iifname \"eth0\" accept; tcp dport 179 drop", "partly"),
        ("iifname \"lo\" accept; tcp dport 179 drop", "all"),
        (
            "ct state established,related accept; tcp dport 179 drop",
            "all",
        ),
        (
            "ct state vmap { established : accept, related : accept }; tcp dport 179 drop",
            "all",
        ),
        ("icmp type echo-request accept; tcp dport 179 drop", "all"),
        ("meta l4proto udp accept; tcp dport 179 drop", "all"),
        ("meta l4proto tcp accept; tcp dport 179 drop", "none"),
        ("jump more; tcp dport 179 drop", "partly"),
        (
            "ip protocol vmap { icmp : accept, udp : accept, tcp : jump none }; tcp dport 179 drop",
            "all",
        ),
        (
            "meta l4proto vmap { tcp : accept, udp : accept }; tcp dport 179 drop",
            "partly",
        ),
        (
            "iifname vmap { \"lo\" : accept, \"eth0\" : jump none }; tcp dport 179 drop",
            "all",
        ),
        (
            "iifname vmap { \"eth0\" : accept }; tcp dport 179 drop",
            "partly",
        ),
        (
            "ct state vmap { established : accept, new : jump none }; tcp dport 179 drop",
            "all",
        ),
        ("ip saddr 10.0.0.0/24 return; tcp dport 179 drop", "none"),
        ("tcp dport @open accept; tcp dport 179 drop", "partly"),
        ("tcp dport @open jump more; tcp dport 179 drop", "partly"),
        ("tcp dport @open return; tcp dport 179 drop", "partly"),
        ("ip6 nexthdr tcp reject; tcp dport 179 drop", "all"),
        ("ip protocol tcp reject; tcp dport 179 drop", "all"),
        ("meta l4proto tcp reject; tcp dport 179 drop", "none"),
        ("ip saddr 10.9.0.0/24 return; tcp dport 179 drop", "all"),
        ("iifname \"eth0\" goto none; tcp dport 179 drop", "partly"),
        ("tcp dport 179 accept; tcp sport 179 drop", "all"),
        ("ip saddr != 10.0.0.0/24 tcp dport 179 drop", "none"),
        ("ip saddr != 10.9.0.0/24 tcp dport 179 drop", "all"),
        (
            "ip saddr { 10.0.0.3, 10.9.0.0/24 } tcp dport 179 drop",
            "none",
        ),
        (
            "ip saddr { 10.0.0.2, 10.9.0.0/24 } tcp dport 179 drop",
            "all",
        ),
        (
            "ip saddr != { 10.0.0.2, 10.9.0.0/24 } tcp dport 179 drop",
            "none",
        ),
        ("ip saddr 10.0.0.3-10.0.0.9 tcp dport 179 drop", "narrowed"),
        ("ip saddr @known tcp dport 179 drop", "narrowed"),
    ] {
        let lines = rules.replace("; ", " # handle 9\n\t\t");
        let text = format!(
            "table inet t {{ # handle 1\n\tchain c {{ # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\
             \t\t{lines} # handle 9\n\t}}\n\n\tchain more {{ # handle 2\n\t\tmeta mark 0x1 accept # handle 3\n\t}}\n\n\
             \tchain none {{ # handle 4\n\t\tcounter packets 1 bytes 1 # handle 5\n\t}}\n}}\n"
        );
        assert_eq!(how(&nft::parse(&text, 179)), found, "{rules}");
    }
}

/// A rule that names the port and leads to a chain of its own, as many write it to log what they drop.
#[test]
fn chains_to_which_a_rule_leads_do_what_their_rule_for_all_does() {
    let of_iptables = |rule: &str, chain: &[&str]| {
        let lines: String = chain
            .iter()
            .map(|line| format!("[1:1] -A LOGDROP {line}\n"))
            .collect();
        legacy(&format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:LOGDROP - [0:0]\n:near - [0:0]\n:elsewhere - [0:0]\n:dropped - [0:0]\n[5:9] -A INPUT {rule}\n{lines}\
             [1:1] -A elsewhere -j LOG\n[1:1] -A dropped -j DROP\n[1:1] -A near -s 10.0.0.0/24 -j ACCEPT\nCOMMIT\n"
        ))
    };
    let bgp = "-p tcp -m tcp --dport 179 -j LOGDROP";
    let log = "-m limit --limit 5/min -j LOG --log-prefix \"dropped: \"";
    for (rule, chain, found) in [
        (bgp, &[log, "-j DROP"][..], "all"),
        (bgp, &["-j REJECT --reject-with tcp-reset"], "all"),
        ("-p tcp -m tcp --dport 179 -g LOGDROP", &["-j DROP"], "all"),
        (
            "-i eth0 -p tcp -m tcp --dport 179 -j LOGDROP",
            &["-j DROP"],
            "narrowed",
        ),
        (
            "-p tcp -m tcp --sport 1024:65535 --dport 179 -j LOGDROP",
            &["-j DROP"],
            "narrowed",
        ),
        // Some come back from there, or are accepted.
        (bgp, &["-s 10.0.0.0/24 -j RETURN", "-j DROP"], "none"),
        (bgp, &["-s 10.9.0.0/24 -j RETURN", "-j DROP"], "all"),
        (bgp, &["-i eth0 -j RETURN", "-j DROP"], "partly"),
        (
            bgp,
            &["-p tcp -m tcp ! --dport 22 -j RETURN", "-j DROP"],
            "partly",
        ),
        (
            bgp,
            &["-p tcp -m tcp --sport 1024:65535 -j RETURN", "-j DROP"],
            "partly",
        ),
        (bgp, &["-s 10.0.0.0/24 -g elsewhere", "-j DROP"], "none"),
        (bgp, &["-s 10.0.0.0/24 -g dropped", "-j DROP"], "all"),
        (bgp, &["-s 10.0.0.0/24 -j ACCEPT", "-j DROP"], "none"),
        (bgp, &["-j near", "-j DROP"], "none"),
        (bgp, &["-j RETURN", "-j DROP"], "none"),
        // What is not of BGP is in nobody's way.
        (bgp, &["-j elsewhere", "-j DROP"], "all"),
        (bgp, &["-p tcp -m tcp --dport 179 -j LOG", "-j DROP"], "all"),
        (bgp, &["-p udp -j RETURN", "-j DROP"], "all"),
        (
            bgp,
            &["-p tcp -m tcp --dport 22 -j RETURN", "-j DROP"],
            "all",
        ),
        (bgp, &["-i cali+ -j RETURN", "-j DROP"], "all"),
        (bgp, &["-p tcp -j REJECT --reject-with tcp-reset"], "all"),
        (bgp, &["-p tcp -j DROP", "-j ACCEPT"], "all"),
        (bgp, &["-s 10.9.0.0/24 -p tcp -j DROP"], "none"),
        // Not all goes there, nothing of BGP does, or nothing is done there.
        (bgp, &["-p udp -j DROP"], "none"),
        (bgp, &[log], "none"),
        ("-p tcp -m tcp --dport 22 -j LOGDROP", &["-j DROP"], "none"),
        (
            "-m conntrack --ctstate INVALID -j LOGDROP",
            &["-j DROP"],
            "none",
        ),
        ("-p tcp -j LOGDROP", &["-j DROP"], "none"),
    ] {
        assert_eq!(how(&of_iptables(rule, chain)), found, "{rule}: {chain:?}");
    }
    let jump = "tcp dport 179 jump logdrop";
    for (rule, chain, found) in [
        (jump, "log prefix \"dropped: return\"; drop", "all"),
        (
            "tcp dport 179 counter packets 5 bytes 9 goto logdrop",
            "reject",
            "all",
        ),
        (
            "iifname \"eth0\" tcp dport 179 jump logdrop",
            "drop",
            "narrowed",
        ),
        (jump, "ip saddr 10.0.0.0/24 return; drop", "none"),
        (jump, "ip saddr 10.9.0.0/24 return; drop", "all"),
        (jump, "iifname \"eth0\" return; drop", "partly"),
        (jump, "ether saddr 02:00:00:00:00:01 return; drop", "partly"),
        (jump, "tcp dport != 22 return; drop", "partly"),
        (jump, "tcp dport vmap { 179 : return }; drop", "partly"),
        (jump, "ip saddr 10.0.0.0/24 goto other; drop", "none"),
        (jump, "ip saddr 10.0.0.0/24 goto gone; drop", "all"),
        (jump, "ip saddr 10.0.0.0/24 accept; drop", "none"),
        (jump, "ip saddr vmap { 10.0.0.2 : accept }; drop", "none"),
        (
            jump,
            "iifname vmap { \"eth0\" : return, \"eth1\" : drop }; drop",
            "partly",
        ),
        (jump, "iifname vmap { \"lo\" : accept }; drop", "all"),
        (
            jump,
            "tcp dport vmap { 22 : accept }; udp dport 53 return; drop",
            "all",
        ),
        (jump, "meta l4proto tcp reject with tcp reset", "all"),
        (jump, "return; drop", "none"),
        (jump, "log prefix \"dropped: \"", "none"),
        ("tcp dport 22 jump logdrop", "drop", "none"),
        ("udp dport 179 jump logdrop", "drop", "none"),
    ] {
        let lines = chain.replace("; ", " # handle 9\n\t\t");
        let text = format!(
            "table inet t {{ # handle 1\n\tchain logdrop {{ # handle 2\n\t\t{lines} # handle 9\n\t}}\n\n\
             \tchain other {{ # handle 3\n\t\tlog # handle 9\n\t}}\n\n\tchain gone {{ # handle 4\n\t\tdrop # handle 9\n\t}}\n\n\
             \tchain c {{ # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\t\t{rule} # handle 9\n\t}}\n}}\n"
        );
        assert_eq!(how(&nft::parse(&text, 179)), found, "{rule}: {chain}");
    }
}

/// As distributions ship it: the last rule of all rejects.
#[test]
fn a_rule_for_all_is_as_good_as_a_policy() {
    let (own, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let found = |rules: &super::super::rules::Rules| -> Vec<bool> {
        let all = rules.policies_against(own, peer);
        all.iter().map(|policy| policy.by_rule.is_some()).collect()
    };
    let iptables = |rule: &str| {
        legacy(&format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:dropped - [0:0]\n:back - [0:0]\n:near - [0:0]\n:none - [0:0]\n\
             [0:0] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n[0:0] -A INPUT {rule}\n\
             [0:0] -A dropped -j LOG\n[0:0] -A dropped -j DROP\n\
             [0:0] -A back -s 10.0.0.0/24 -j RETURN\n[0:0] -A back -j DROP\n\
             [0:0] -A near -s 10.0.0.0/24 -j ACCEPT\n[0:0] -A near -j DROP\n\
             [0:0] -A none -j LOG\nCOMMIT\n"
        ))
    };
    for (rule, is_one) in [
        ("-j REJECT --reject-with icmp-host-prohibited", true),
        ("-j DROP", true),
        ("-m conntrack --ctstate INVALID -j DROP", false),
        ("-i eth7 -j DROP", false),
        ("-s 10.9.0.0/24 -j DROP", false),
        ("-p udp -j DROP", false),
        ("-j ACCEPT", false),
        // All is sent to a chain that does so.
        ("-j dropped", true),
        ("-g dropped", true),
        ("-j back", false),
        ("-j near", false),
        ("-j none", false),
        ("-i eth7 -j dropped", false),
    ] {
        assert_eq!(
            found(&iptables(rule)),
            vec![true; usize::from(is_one)],
            "{rule}"
        );
    }
    for (rule, is_one) in [
        ("reject with icmpx admin-prohibited", true),
        ("counter packets 3 bytes 180 drop", true),
        ("ct state invalid drop", false),
        ("iifname \"eth7\" drop", false),
        ("ip saddr 10.9.0.0/24 drop", false),
        ("meta l4proto udp drop", false),
        ("jump dropped", true),
        ("meta l4proto udp jump dropped", false),
        ("jump back", false),
    ] {
        let text = format!(
            "table inet t {{ # handle 1\n\tchain c {{ # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 22 accept # handle 8\n\t\t{rule} # handle 9\n\t}}\n\n\tchain dropped {{ # handle 2\n\t\tcounter packets 1 bytes 1 drop # handle 3\n\t}}\n\n\
             \tchain back {{ # handle 4\n\t\tip saddr 10.0.0.0/24 return # handle 5\n\t\tdrop # handle 6\n\t}}\n}}\n"
        );
        assert_eq!(
            found(&nft::parse(&text, 179)),
            vec![true; usize::from(is_one)],
            "{rule}"
        );
    }
}

/// What is appended after it accepts nothing any more.
#[test]
fn nothing_comes_after_a_rule_for_all() {
    let (own, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    for (rules, against) in [
        (
            "-A INPUT -j REJECT\n-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT",
            1,
        ),
        (
            "-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT\n-A INPUT -j REJECT",
            0,
        ),
        // A chain that drops all is as good.
        (
            "-A INPUT -j dropped\n-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT\n-A dropped -j DROP",
            1,
        ),
        (
            "-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT\n-A INPUT -j dropped\n-A dropped -j DROP",
            0,
        ),
        ("-A INPUT -p tcp -j REJECT", 1),
        // Who is sent back before is left to the policy.
        ("-A INPUT -s 10.0.0.0/24 -j RETURN\n-A INPUT -j DROP", 0),
        (
            "-A INPUT -s 10.0.0.0/24 -j RETURN\n-A INPUT -j dropped\n-A dropped -j DROP",
            0,
        ),
        ("-A INPUT -j RETURN\n-A INPUT -j DROP", 0),
        ("-A INPUT -s 10.9.0.0/24 -j RETURN\n-A INPUT -j DROP", 1),
        (
            "-A INPUT -j dropped\n-A dropped -s 10.0.0.0/24 -j RETURN\n-A dropped -j DROP",
            0,
        ),
        (
            "-A INPUT -j dropped\n-A dropped -s 10.9.0.0/24 -j RETURN\n-A dropped -j DROP",
            1,
        ),
        (
            "-A INPUT -i eth0 -g public\n-A INPUT -j DROP\n-A public -j DROP",
            1,
        ),
        (
            "-A INPUT -p tcp -j REJECT\n-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT",
            1,
        ),
        // Some others are accepted there, and some are sent on.
        (
            "-A INPUT -j dropped\n-A dropped -s 10.9.0.5/32 -j ACCEPT\n-A dropped -j REJECT",
            1,
        ),
        (
            "-A INPUT -j dropped\n-A INPUT -j REJECT\n-A dropped -s 10.0.0.0/24 -j RETURN\n-A dropped -j DROP",
            1,
        ),
    ] {
        let text = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:dropped - [0:0]\n:public - [0:0]\n{rules}\nCOMMIT\n"
        );
        let read = legacy(&text);
        assert_eq!(read.policies_against(own, peer).len(), against, "{rules}");
        let text = text.replace("INPUT ACCEPT", "INPUT DROP");
        let accepts = rules.starts_with("-A INPUT -p tcp -m tcp --dport 179 -j ACCEPT");
        let read = legacy(&text);
        assert_eq!(
            read.policies_against(own, peer).len(),
            usize::from(!accepts),
            "{rules}"
        );
    }
    // What comes back from there, or never went there, goes on.
    let text = "*filter\n:INPUT ACCEPT [0:0]\n:some - [0:0]\n:tcp - [0:0]\n:all - [0:0]\n{rules}\n\
                -A INPUT -p tcp -m tcp --dport 179 -j DROP\n-A INPUT -p 4 -j DROP\n\
                -A some -s 10.0.0.0/24 -j RETURN\n-A some -j DROP\n-A tcp -p tcp -j DROP\n-A all -j DROP\nCOMMIT\n";
    for (rules, bgp, four) in [
        ("", 1, 1),
        ("-A INPUT -j some", 1, 1),
        ("-A INPUT -j tcp", 1, 1),
        ("-A INPUT -j all", 0, 0),
        (
            "-A INPUT -p tcp -j DROP\n-A INPUT -s 10.0.0.0/24 -j ACCEPT",
            0,
            0,
        ),
        // A chain for TCP alone keeps nothing else.
        ("-A INPUT -p tcp -j DROP", 0, 1),
    ] {
        let read = legacy(&text.replace("{rules}", rules));
        let found = |names| read.against(names, own, peer).len();
        assert_eq!(
            (found(Names::Bgp), found(Names::Protocol4)),
            (bgp, four),
            "{rules}"
        );
    }
    // What a gate sends back is rejected after it; what another table does is nobody's leave.
    let gate = "*filter\n:INPUT ACCEPT [0:0]\n:GATE - [0:0]\n-A INPUT -j GATE\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
                -A INPUT -j REJECT\n-A GATE {rule} -j RETURN\n-A GATE -j DROP\nCOMMIT\n";
    for (rule, does) in [
        ("-s 10.0.0.0/24", Does::Reject),
        ("-m limit --limit 5/min", Does::Reject),
        ("-s 10.9.0.0/24", Does::Drop),
    ] {
        let read = legacy(&gate.replace("{rule}", rule));
        let found = read.policies_against(own, peer);
        let found: Vec<_> = found.iter().map(|policy| policy.by_rule).collect();
        assert_eq!(found, [Some(does)], "{rule}");
    }
    for verdict in ["RETURN", "ACCEPT"] {
        let read = legacy(&format!(
            "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 10.0.0.0/24 -j {verdict}\nCOMMIT\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
        ));
        assert_eq!(read.policies_against(own, peer).len(), 1, "{verdict}");
    }
    // The first of them counts.
    let read = legacy(
        "*filter\n:INPUT ACCEPT [0:0]\n:dropped - [0:0]\n-A INPUT -j dropped\n-A INPUT -j REJECT\n-A dropped -j DROP\nCOMMIT\n",
    );
    assert_eq!(read.policies[0].by_rule, Some(Does::Drop));
    for later in ["-A INPUT -j DROP", "-A INPUT -j dropped"] {
        let read = legacy(&format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:dropped - [0:0]\n-A INPUT -p tcp -j REJECT\n{later}\n-A dropped -j DROP\nCOMMIT\n"
        ));
        assert_eq!(read.policies[0].by_rule, Some(Does::Reject), "{later}");
    }
}

#[test]
fn a_policy_is_no_cause_where_an_accept_covers_the_peer() {
    for (rule, against) in [
        ("-p tcp -m tcp --dport 22 -j ACCEPT", 1),
        ("-s 10.0.0.0/24 -j ACCEPT", 0),
        ("-s 10.9.0.0/24 -j ACCEPT", 1),
        ("-s 10.0.0.0/24 -p tcp -m tcp --dport 179 -j ACCEPT", 0),
        ("-p tcp -m tcp --sport 179 -j ACCEPT", 1),
    ] {
        let rules = legacy(&format!(
            "*filter\n:INPUT DROP [0:0]\n[0:0] -A INPUT {rule}\nCOMMIT\n"
        ));
        let (own, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!(rules.policies_against(own, peer).len(), against, "{rule}");
    }
}
