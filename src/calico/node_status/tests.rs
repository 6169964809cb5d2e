use super::*;

/// Synthetic: in the form that calicoctl v3.31 prints with three nodes, with a session that is older than a day.
const ESTABLISHED: &str = "\
Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+----------+-------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+--------------+-------------------+-------+----------+-------------+
| 10.77.0.12   | node-to-node mesh | up    | 10:41:02 | Established |
| 10.77.0.13   | node-to-node mesh | up    | 2026-01-03 | Established |
+--------------+-------------------+-------+----------+-------------+

INFO: BIRDv6 process: 'bird6' is not running.

";

fn infos(text: &str) -> Vec<String> {
    parse_node_status(text)
        .unwrap()
        .peers
        .iter()
        .map(|p| format!("{} {} {}", p.address, p.state, p.info))
        .collect()
}

#[test]
fn established_sessions() {
    let status = parse_node_status(ESTABLISHED).unwrap();
    assert_eq!(status.peers.len(), 2);
    assert!(status.peers.iter().all(Peer::is_established));
    assert_eq!(status.peers[0].since, "10:41:02");
    assert_eq!(status.peers[1].kind, "node-to-node mesh");
}

/// Made after the table writer's rule: 30 characters, then the next row.
#[test]
fn a_wrapped_cell_is_one_again() {
    let text = "\
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |              INFO              |
| 172.18.0.1   | node-to-node mesh | start | 10:41:02 | Active Socket: Connection      |
|              |                   |       |          | refused                        |
| 10.0.0.3 | node-to-node mesh |   start| 10:41:02 | Passive |
";
    assert_eq!(
        infos(text),
        [
            "172.18.0.1 start Active Socket: Connection refused",
            "10.0.0.3 start Passive"
        ]
    );
    assert!(
        !parse_node_status(text)
            .unwrap()
            .peers
            .iter()
            .any(Peer::is_established)
    );
}

#[test]
fn no_peers_is_an_answer() {
    assert!(
        infos("Calico process is running.\n\nIPv4 BGP status\nNo IPv4 peers found.\n").is_empty()
    );
}

#[test]
fn up_without_established_is_not_established() {
    let mut peer = parse_node_status(ESTABLISHED).unwrap().peers.remove(0);
    peer.info = "Idle".into();
    assert!(!peer.is_established());
    peer.info = "Established".into();
    peer.state = "start".into();
    assert!(!peer.is_established());
}

#[test]
fn what_is_no_answer_says_which() {
    let error = |text: &str| parse_node_status(text).unwrap_err();
    assert_eq!(
        error("Need super user privileges: Operation not permitted"),
        StatusError::NotRoot
    );
    assert_eq!(
        error("Calico process is not running.\n"),
        StatusError::NotRunning
    );
    assert_eq!(
        error("Calico process is running.\n\nThe BGP backend process (BIRD) is not running.\n"),
        StatusError::NoBird
    );
    assert_eq!(
        error("Calico process is running.\n\nINFO: BIRDv4 process: 'bird' is not running.\n"),
        StatusError::NoBird
    );
    assert!(matches!(
        error(
            "IPv4 BGP status\nError querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: no such file"
        ),
        StatusError::BirdSilent(_)
    ));
    for unreadable in [
        "",
        "sh: calicoctl: not found",
        "Calico process is running.\n",
        "| a | b |",
        "| PEER ADDRESS | T | S | S | I |\n| x | y | z | u | v |",
        "|  | y | z | u | v |",
    ] {
        assert!(
            matches!(error(unreadable), StatusError::Unreadable(_)),
            "{unreadable}"
        );
    }
}

/// Synthetic, after calicoctl v3.31's source: both daemons run.
const BOTH: &str = "\
Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+----------+-------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+--------------+-------------------+-------+----------+-------------+
| 10.77.0.12   | node-to-node mesh | up    | 10:41:02 | Established |
+--------------+-------------------+-------+----------+-------------+

IPv6 BGP status
No IPv6 peers found.

";

fn said(text: &str) -> String {
    match parse_node_status(text) {
        Ok(status) => format!(
            "{} {} peers, bird {:?}, bird6 {:?}",
            status.peers_of(Family::Ipv4).count(),
            status.peers_of(Family::Ipv6).count(),
            status.daemon(Family::Ipv4),
            status.daemon(Family::Ipv6)
        ),
        Err(e) => format!("{e:?}"),
    }
}

const SILENT_4: &str = "IPv4 BGP status\nError querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: connect: no such file or directory";
const SILENT_6: &str = "IPv6 BGP status\nError querying BIRD: unable to connect to BIRDv6 socket: dial unix /var/run/bird/bird6.ctl: connect: connection refused";
const PEER_4: &str = "IPv4 BGP status\n| PEER ADDRESS | PEER TYPE | STATE | SINCE | INFO |\n| 10.0.0.2 | node-to-node mesh | up | 10:41:02 | Established |";
const PEER_6: &str = "IPv6 BGP status\n| PEER ADDRESS | PEER TYPE | STATE | SINCE | INFO |\n| fd00::2 | node-to-node mesh | up | 10:41:02 | Established |";

/// Synthetic, after calicoctl v3.31's source: each family has its own say.
#[test]
fn one_family_does_not_hide_the_other() {
    let lines = [
        said(ESTABLISHED),
        said(BOTH),
        said(&format!("{PEER_4}\n\n{PEER_6}\n\n")),
        said(&format!("{PEER_4}\n\n{SILENT_6}\n")),
        // `Error querying` ends without a break, and the next section begins with one.
        said(&format!("{SILENT_4}\n{PEER_6}\n")),
        said(&format!(
            "{SILENT_4}\nIPv6 BGP status\nNo IPv6 peers found.\n"
        )),
        said(&format!("{SILENT_4}\n{SILENT_6}\n")),
        said(&format!(
            "INFO: BIRDv4 process: 'bird' is not running.\n\n{PEER_6}\n"
        )),
        said(
            "INFO: BIRDv4 process: 'bird' is not running.\n\nIPv6 BGP status\nNo IPv6 peers found.\n",
        ),
        said(&format!(
            "IPv4 BGP status\nNo IPv4 peers found.\n\n{PEER_6}\n"
        )),
        // It ends with status 1 there.
        said(&format!(
            "{PEER_4}\n\nIPv6 BGP status\nerror executing command: unexpected output line from BIRD\n"
        )),
        said(
            "Calico process is running.\n\nIPv4 BGP status\nError executing command: read unix @->/var/run/calico/bird.ctl: i/o timeout\n",
        ),
        // calicoctl v3.9.
        said(
            "Calico process is running.\n\nNone of the BGP backend processes (BIRD or GoBGP) are running.\n",
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 0 peers, bird Answers, bird6 NotRunning
    1 0 peers, bird Answers, bird6 Answers
    1 1 peers, bird Answers, bird6 Answers
    1 0 peers, bird Answers, bird6 Silent("Error querying BIRD: unable to connect to BIRDv6 socket: dial unix /var/run/bird/bird6.ctl: connect: connection refused")
    0 1 peers, bird Silent("Error querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: connect: no such file or directory"), bird6 Answers
    BirdSilent("Error querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: connect: no such file or directory")
    BirdSilent("Error querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: connect: no such file or directory")
    0 1 peers, bird NotRunning, bird6 Answers
    NoBird
    0 1 peers, bird Answers, bird6 Answers
    1 0 peers, bird Answers, bird6 Silent("error executing command: unexpected output line from BIRD")
    BirdSilent("Error executing command: read unix @->/var/run/calico/bird.ctl: i/o timeout")
    NoBird
    "#);
}

/// Synthetic: BIRD's names of sessions with a port, and of a link's address.
#[test]
fn a_peer_with_a_port_has_an_address() {
    for (name, address) in [
        ("10.0.0.1", Some("10.0.0.1")),
        ("10.0.0.1.port.180", Some("10.0.0.1")),
        ("fd00::1:port:180", Some("fd00::1")),
        ("fe80::1%eth0", Some("fe80::1")),
        ("10.0.0", None),
        ("", None),
    ] {
        assert_eq!(
            peer_address(name).map(|ip| ip.to_string()).as_deref(),
            address,
            "{name}"
        );
    }
}

/// What BIRD 1.6 adds to a state; the words for an error are the C library's.
#[test]
fn the_same_error_in_other_words_is_the_same() {
    let peer = |info: &str| Peer {
        address: "10.0.0.2".parse().unwrap(),
        kind: "node-to-node mesh".into(),
        state: "start".into(),
        since: "10:41:02".into(),
        info: info.into(),
    };
    for (info, state, reason) in [
        ("Established", Some("Established"), None),
        ("Passive", Some("Passive"), None),
        (
            "Active Socket: Connection refused",
            Some("Active"),
            Some("Socket: Connection refused"),
        ),
        (
            "Connect Socket: Network unreachable",
            Some("Connect"),
            Some("Socket: Network is unreachable"),
        ),
        (
            "Connect Socket: Network is unreachable",
            Some("Connect"),
            Some("Socket: Network is unreachable"),
        ),
        (
            "Active Socket: Host is unreachable",
            Some("Active"),
            Some("Socket: No route to host"),
        ),
        (
            "Idle Received: Administrative shutdown",
            Some("Idle"),
            Some("Received: Administrative shutdown"),
        ),
        (
            "OpenSent BGP Error: Bad peer AS",
            Some("OpenSent"),
            Some("BGP Error: Bad peer AS"),
        ),
        // Of a session that is down, BIRD says no state of BGP's.
        (
            "Automatic shutdown: Maximum restarts",
            None,
            Some("Automatic shutdown: Maximum restarts"),
        ),
        ("Idleness", None, Some("Idleness")),
        ("", None, None),
    ] {
        let peer = peer(info);
        assert_eq!(peer.bgp_state(), state, "{info}");
        assert_eq!(peer.reason().as_deref(), reason, "{info}");
    }
}

/// Synthetic: an empty last cell, with and without a blank in it.
#[test]
fn empty_cells_are_cells() {
    for row in [
        "| 10.0.0.3 | global | down | 10:41:02 |  |",
        "|10.0.0.3|global|down|10:41:02||",
    ] {
        let text = format!("| PEER ADDRESS | T | S | S | I |\n{row}\n");
        assert_eq!(infos(&text), ["10.0.0.3 down "]);
    }
}
