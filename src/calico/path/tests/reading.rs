//! What hosts say, in parts, as the script on the host gave it in a network namespace of Debian 12 (iproute2
//! 6.1, iputils 20221126, bash 5.2).

use crate::calico::Family;
use crate::calico::path::reading::{HostPath, Ping, Route, Tcp};

fn of(parts: &[(&str, &str)]) -> HostPath {
    let own = |(line, body): &(&str, &str)| ((*line).to_owned(), (*body).to_owned());
    HostPath::of(&parts.iter().map(own).collect::<Vec<_>>(), 179)
}

fn route(code: &str, text: &str) -> Route {
    let parts = [("peer 10.0.0.3", ""), (&format!("route {code}"), text)];
    of(&parts).peers.remove(0).route
}

#[test]
fn routes() {
    let out = |dev: &str, via: Option<&str>, src: Option<&str>| Route::Out {
        dev: dev.to_owned(),
        via: via.map(str::to_owned),
        src: src.map(|s| s.parse().unwrap()),
    };
    for (text, wanted) in [
        (
            "10.0.0.3 dev eth0 src 10.0.0.1 uid 0 \n    cache \n",
            out("eth0", None, Some("10.0.0.1")),
        ),
        (
            "10.9.9.9 via 10.0.0.254 dev eth0 src 10.0.0.1 uid 0 \n    cache \n",
            out("eth0", Some("10.0.0.254"), Some("10.0.0.1")),
        ),
        (
            "fd00::3 from :: dev eth0 proto kernel src fd00::1 metric 256 pref medium\n",
            out("eth0", None, Some("fd00::1")),
        ),
        (
            "10.0.0.3 dev eth0  src 10.0.0.1 \n",
            out("eth0", None, Some("10.0.0.1")),
        ),
        (
            "local 10.0.0.1 dev lo src 10.0.0.1 uid 0 \n    cache <local> \n",
            Route::Own,
        ),
        // Synthetic.
        (
            "10.0.0.3 via inet6 fe80::1 dev eth0",
            out("eth0", Some("fe80::1"), None),
        ),
    ] {
        assert_eq!(route("0", text), wanted, "{text}");
    }
    for (text, wanted) in [
        ("RTNETLINK answers: Network is unreachable", "no route"),
        ("ip: RTNETLINK answers: Network is unreachable", "no route"),
        ("RTNETLINK answers: Invalid argument", "a blackhole route"),
        (
            "RTNETLINK answers: No route to host",
            "an unreachable route",
        ),
        ("RTNETLINK answers: Permission denied", "a prohibit route"),
    ] {
        let Route::None { what, lines } = route("2", text) else {
            panic!("{text}");
        };
        assert_eq!((what, lines), (wanted, vec![text.to_owned()]));
    }
    assert_eq!(route("124", ""), Route::Unknown("it said nothing".into()));
}

#[test]
fn a_route_of_no_way_out_is_named_by_its_line() {
    let host = of(&[
        ("peer 10.0.0.7", ""),
        ("route 2", "RTNETLINK answers: Invalid argument"),
        ("routes", "blackhole 10.0.0.7 \n"),
    ]);
    let Route::None { lines, .. } = &host.peers[0].route else {
        panic!();
    };
    assert_eq!(lines, &["blackhole 10.0.0.7"]);
}

#[test]
fn pings() {
    let ping = |code: &str, text: &str| {
        let parts = [("peer 10.0.0.3", ""), (&format!("ping {code}"), text)];
        of(&parts).peers.remove(0).ping
    };
    let lost = "From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n\n1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms";
    assert_eq!(ping("0", "64 bytes from 10.0.0.3"), Ping::Answers);
    assert_eq!(ping("1", lost), Ping::Silent);
    assert_eq!(
        ping("2", "ping: connect: Network is unreachable"),
        Ping::Silent
    );
    for (code, text) in [
        ("none", ""),
        ("1", "ping: permission denied (are you root?)"),
        ("2", ""),
    ] {
        assert!(
            matches!(ping(code, text), Ping::Unknown(_)),
            "{code} {text}"
        );
    }
}

#[test]
fn attempts_to_connect() {
    let tcp = |line: &str, text: &str| {
        of(&[("peer 10.0.0.3", ""), (line, text)])
            .peers
            .remove(0)
            .tcp
    };
    assert_eq!(tcp("tcp connected bash", ""), Tcp::Connected);
    assert_eq!(tcp("tcp refused nc", "x"), Tcp::Refused);
    assert_eq!(tcp("tcp silent curl", "x"), Tcp::Silent);
    assert_eq!(
        tcp(
            "tcp unreachable bash",
            "10.0.0.3: connect: No route to host\n10.0.0.3: line 1: /dev/tcp/10.0.0.3/179: No route to host"
        ),
        Tcp::NoWay("No route to host".into())
    );
    assert_eq!(tcp("tcp untried", ""), Tcp::Untried);
    assert_eq!(tcp("tcp", ""), Tcp::Untried);
}

#[test]
fn who_listens() {
    // The first two lines are real, the others synthetic.
    let host = of(&[
        ("arch", "x86_64\n"),
        (
            "listens tcp",
            "   0: 0100000A:00B3 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 204047 2",
        ),
        (
            "listens tcp6",
            "   0: 000000FD000000000000000001000000:00B3 00000000000000000000000000000000:0000 0A 00000000",
        ),
        (
            "sockets",
            "00000000d543845f: 00000002 00000000 00010000 0001 01 204048 /var/run/calico/bird.ctl\n00000000d543845e: 00000003 00000000 00000000 0001 03 204049 /var/run/calico/bird6.ctl\n",
        ),
    ]);
    let listens = |ip: &str| host.listens_at(ip.parse().unwrap());
    assert_eq!(
        (listens("10.0.0.1"), listens("10.0.0.2")),
        (Some(true), Some(false))
    );
    assert_eq!(
        (listens("fd00::1"), listens("fd00::2")),
        (Some(true), Some(false))
    );
    // A connection to a socket is not the socket.
    assert_eq!(host.bird, Some(vec![Family::Ipv4]));
    let any = of(&[("listens tcp", "   0: 00000000:00B3 00000000:0000 0A")]);
    assert_eq!(any.listens_at("10.0.0.2".parse().unwrap()), Some(true));
    assert_eq!(any.listens_at("fd00::2".parse().unwrap()), Some(false));
    let big = of(&[
        ("arch", "s390x\n"),
        ("listens tcp", "   0: 0A000001:00B3 00000000:0000 0A"),
    ]);
    assert_eq!(big.listens_at("10.0.0.1".parse().unwrap()), Some(true));
    // What was not read is not taken for nothing.
    assert_eq!(of(&[]).listens_at("10.0.0.1".parse().unwrap()), None);
    assert_eq!(of(&[]).bird, None);
}

#[test]
fn tables_that_nothing_could_read_are_said() {
    let dump = "# Generated by iptables-save v1.8.9 on x\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    let modern = "# Generated by iptables-nft-save v1.8.9 (nf_tables) on x\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    let unread = |parts: &[(&str, &str)]| of(parts).unread;
    assert_eq!(
        unread(&[("rules ip iptables-save", dump), ("legacy ip", "")]),
        [""; 0]
    );
    insta::assert_debug_snapshot!(unread(&[("rules ip iptables-save", modern), ("legacy ip", ""), ("unread nft failed (1): x", "")]), @r#"
    [
        "nft failed (1): x",
        "there is no iptables-legacy-save here to read the kernel's tables with",
    ]
    "#);
}
