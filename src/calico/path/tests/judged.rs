//! Sessions that are down, and what is said of them.

use crate::calico::path::{HostPath, Hosts, Judgement, NoHost, Setup, judge, pairs};
use crate::calico::{Mesh, Reading, StatusError, test_healthy, test_node, test_sees, test_stray};
use std::collections::BTreeMap;

const DOWN: &str = "start";
const REFUSED: &str = "Active Socket: Connection refused";

/// node02 has lost its sessions, and the other two have theirs.
pub fn lost() -> Mesh {
    let up = |a| (a, "up", "Established");
    let mut mesh = test_healthy();
    let down = |a| (a, DOWN, "Connect");
    mesh.readings = [
        ("node01", test_sees(&[down("10.0.0.2"), up("10.0.0.3")])),
        ("node02", test_sees(&[down("10.0.0.1"), down("10.0.0.3")])),
        ("node03", test_sees(&[down("10.0.0.2"), up("10.0.0.1")])),
    ]
    .map(|(name, reading)| (name.to_owned(), reading))
    .into();
    mesh
}

/// A host at which all is well, with what it says of its peers.
struct Host {
    parts: Vec<(String, String)>,
}

impl Host {
    fn new() -> Self {
        Self { parts: vec![] }
            .says("listens tcp", "   0: 00000000:00B3 00000000:0000 0A")
            .says("listens tcp6", "")
            .says(
                "sockets",
                "0: 00000002 00000000 00010000 0001 01 1 /var/run/calico/bird.ctl",
            )
    }

    fn says(mut self, line: &str, body: &str) -> Self {
        // What is said again is so.
        let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        if ["sockets", "listens"].contains(&word(line).as_str()) {
            self.parts.retain(|(old, _)| old != line);
        }
        self.parts.push((line.to_owned(), body.to_owned()));
        self
    }

    fn peer(self, to: &str, ping: bool, tcp: &str) -> Self {
        self.routed(
            to,
            &format!("{to} dev eth0 src 10.0.0.9 uid 0"),
            "0",
            ping,
            tcp,
        )
    }

    fn routed(self, to: &str, route: &str, code: &str, ping: bool, tcp: &str) -> Self {
        let (code_of_ping, said) = match ping {
            true => ("0", "64 bytes"),
            false => ("1", "100% packet loss"),
        };
        self.says(&format!("peer {to}"), "")
            .says(&format!("route {code}"), route)
            .says(&format!("ping {code_of_ping}"), said)
            .says(&format!("tcp {tcp}"), "")
    }

    fn read(self) -> Result<HostPath, NoHost> {
        Ok(HostPath::of(&self.parts, 179))
    }
}

fn hosts<const N: usize>(hosts: [(&str, Result<HostPath, NoHost>); N]) -> Hosts {
    hosts.map(|(name, host)| (name.to_owned(), host)).into()
}

/// All that is said of node02's sessions.
fn said(mesh: &Mesh, hosts: &Hosts) -> String {
    said_of(mesh, hosts, &["node02"])
}

fn said_of(mesh: &Mesh, hosts: &Hosts, targets: &[&str]) -> String {
    let targets: Vec<String> = targets.iter().map(|t| (*t).to_owned()).collect();
    let pods = BTreeMap::from([("node02".to_owned(), true), ("node03".to_owned(), false)]);
    let found = judge(
        mesh,
        &pairs(mesh, &targets),
        hosts,
        &Setup {
            pods: &pods,
            port: 179,
            own_ports: &BTreeMap::from([("node09".to_owned(), 1790)]),
            namespace: "calico-system",
        },
    );
    let Judgement {
        total,
        established,
        down,
        ..
    } = found;
    let mut lines = vec![format!("{total}: {established} established, {down} down")];
    for found in &found.causes {
        let (cause, sessions) = (&found.cause, found.sessions.join(", "));
        lines.push(format!("{:?} [{sessions}]: {}", cause.certain, cause.said));
        lines.push(format!("  {}", cause.next));
    }
    let told = |word: &'static str| move |text: &String| format!("{word}: {text}");
    lines.extend(found.unexplained.iter().map(told("unexplained")));
    lines.extend(found.unknown.iter().map(told("unknown")));
    lines.extend(
        found
            .protocol_4
            .iter()
            .map(|c| format!("protocol 4: {}", c.said)),
    );
    lines.extend(found.unread.iter().map(told("unread")));
    lines.extend(found.table);
    lines.join("\n")
}

/// node02 is reached by ping, and TCP 179 becomes this from and to it.
fn tried(to: &str, from: &str) -> (Host, Host, Host) {
    (
        Host::new().peer("10.0.0.2", true, to),
        Host::new()
            .peer("10.0.0.1", true, from)
            .peer("10.0.0.3", true, from),
        Host::new().peer("10.0.0.2", true, to),
    )
}

fn three(tried: (Host, Host, Host)) -> Hosts {
    hosts([
        ("node01", tried.0.read()),
        ("node02", tried.1.read()),
        ("node03", tried.2.read()),
    ])
}

#[test]
fn sessions_that_are_established_have_no_cause() {
    let hosts = hosts([("node02", Host::new().read())]);
    insta::assert_snapshot!(said(&test_healthy(), &hosts), @"2: 2 established, 0 down");
}

#[test]
fn an_address_that_is_not_its_own_comes_before_all_else() {
    insta::assert_snapshot!(said(&test_stray(), &three(tried("silent", "silent"))), @"
    2: 0 established, 2 down
    Seen [node01 ↔ node02, node02 ↔ node03]: node02 advertises 172.18.0.1, which is not its own address
      runbook plan fix-bgp-wrong-ip --node node02
    from → to        route                             ping     TCP 179    BIRD here  session
    node01 → node02  unknown                           unknown  unknown    listens    start Passive
    node02 → node01  eth0 as 10.0.0.9, not 172.18.0.1  answers  no answer  listens    start Active Socket: Connection refused
    node02 → node03  eth0 as 10.0.0.9, not 172.18.0.1  answers  no answer  listens    start Connect
    node03 → node02  unknown                           unknown  unknown    listens    start Passive
    ");
}

/// In another network than the others', of no use, and on a link, as it is as a rule: the way to it does not count.
#[test]
fn a_wrong_address_that_is_on_a_link() {
    let mut mesh = test_stray();
    let links = r#"[{"ifindex":9,"ifname":"docker0","operstate":"UP","addr_info":[{"local":"172.18.0.1","prefixlen":16}]}]"#;
    mesh.readings.get_mut("node02").unwrap().links = crate::calico::parse_links(links).unwrap();
    let told = said(&mesh, &three(tried("silent", "silent")));
    let first: Vec<&str> = told.lines().skip(1).take(3).collect();
    assert_eq!(
        first,
        [
            "Seen [node01 ↔ node02, node02 ↔ node03]: node02 advertises 172.18.0.1, which is on its link docker0 and is not the InternalIP of its Node",
            "  runbook plan fix-bgp-wrong-ip --node node02",
            "from → to        route                             ping     TCP 179    BIRD here  session",
        ],
        "{told}"
    );
}

#[test]
fn a_node_that_only_calico_has_still() {
    let mut mesh = lost();
    mesh.nodes[1].object.uid.clear();
    mesh.readings.remove("node02");
    let no = NoHost {
        reached: true,
        why: "there is no such node".into(),
    };
    let from = Host::new().peer("10.0.0.2", false, "silent bash").read();
    let all = hosts([("node01", from), ("node02", Err(no))]);
    let told = said_of(&mesh, &all, &["node01"]);
    let lines: Vec<&str> = told.lines().skip(1).take(3).collect();
    assert_eq!(
        lines[..2],
        [
            "Seen [node01 ↔ node02]: Calico still has node02 as a node, and Kubernetes has no such node",
            "  where it is gone for good: calicoctl delete node node02",
        ],
        "{told}"
    );
}

#[test]
fn an_address_that_no_link_has() {
    let mut mesh = lost();
    let links = r#"[{"ifindex":2,"ifname":"eth0","operstate":"UP","addr_info":[{"local":"10.0.0.22","prefixlen":24}]}]"#;
    mesh.readings.get_mut("node02").unwrap().links = crate::calico::parse_links(links).unwrap();
    insta::assert_snapshot!(said(&mesh, &three(tried("silent", "silent"))).lines().nth(1).unwrap(), @"Seen [node01 ↔ node02, node02 ↔ node03]: node02 advertises 10.0.0.2, and none of its links has that address");
}

#[test]
fn a_rule_that_has_dropped_packets() {
    let mut all = tried("silent", "connected");
    all.1 = all.1.says(
        "rules ip iptables-save",
        "# Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n[7:420] -A INPUT -p tcp -m tcp --dport 179 -j DROP\nCOMMIT\n",
    );
    insta::assert_snapshot!(said(&lost(), &three(all)), @"
    2: 0 established, 2 down
    Seen [node01 ↔ node02, node02 ↔ node03]: a rule on node02 drops TCP 179: `-A INPUT -p tcp -m tcp --dport 179 -j DROP` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 7 packets)
      take that rule away where it comes from; runbook changes no firewall, and a rule that only is deleted comes back
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  no answer  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    start Connect
    node02 → node03  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    start Connect
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  answers  no answer  listens    start Connect
    ");
}

#[test]
fn a_rule_that_has_matched_nothing_is_hardly_it() {
    let mut all = tried("silent", "silent");
    all.0 = all.0.says(
        "rules ip iptables-save",
        "# Generated by iptables-save v1.8.9\n*filter\n:ufw-x - [0:0]\n:OUTPUT ACCEPT [0:0]\n[1:4] -A OUTPUT -j ufw-x\n[0:0] -A ufw-x -p tcp -m tcp --dport 179 -j REJECT\nCOMMIT\n",
    );
    insta::assert_snapshot!(said_of(&lost(), &three(all), &["node01"]), @"
    2: 1 established, 1 down
    Likely [node01 ↔ node02]: a ping is answered, TCP 179 is not let through, and no rule on either end is seen to stop it: something between them drops it, such as a switch or a security group, or a rule that does not name the port
      look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp port 179` on both
    Hardly [node01 ↔ node02]: a rule on node01 rejects TCP 179: `-A ufw-x -p tcp -m tcp --dport 179 -j REJECT` in table ip filter, chain ufw-x (as iptables-save shows it; it has matched 0 packets)
      take that rule away where it comes from (by the name of its chain, ufw); runbook changes no firewall, and a rule that only is deleted comes back
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  no answer  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  answers  no answer  listens    start Connect
    ");
}

#[test]
fn no_rule_is_blamed_where_tcp_connects() {
    let mut all = tried("connected", "connected");
    all.1 = all.1.says(
        "rules ip iptables-save",
        "# Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n[7:420] -A INPUT -s 10.0.0.0/24 -i eth9 -p tcp -m tcp --dport 179 -j DROP\nCOMMIT\n",
    );
    insta::assert_snapshot!(said(&lost(), &three(all)), @"
    2: 0 established, 2 down
    Perhaps [node01 ↔ node02]: the path is free (TCP 179 connects), and BGP itself does not come about
      compare AS numbers and passwords of both ends, and look at BIRD's log in calico-node; where it is stuck: runbook plan restart-calico-node --node node01
    Perhaps [node02 ↔ node03]: the path is free (TCP 179 connects), and BGP itself does not come about
      compare AS numbers and passwords of both ends, and look at BIRD's log in calico-node; where it is stuck: runbook plan restart-calico-node --node node02
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  connected  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    start Connect
    node02 → node03  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    start Connect
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  answers  connected  listens    start Connect
    ");
}

#[test]
fn without_a_rule_it_is_something_between() {
    insta::assert_snapshot!(said(&lost(), &three(tried("silent", "silent"))), @"
    2: 0 established, 2 down
    Likely [node01 ↔ node02, node02 ↔ node03]: a ping is answered, TCP 179 is not let through, and no rule on either end names it: something between them drops it, such as a switch or a security group, or a rule that does not name the port
      look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp port 179` on both
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  no answer  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  answers  no answer  listens    start Connect
    node02 → node03  eth0 as 10.0.0.9, not 10.0.0.2  answers  no answer  listens    start Connect
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  answers  no answer  listens    start Connect
    ");
}

#[test]
fn who_tries_without_the_password_of_a_session_is_told_nothing() {
    let mut mesh = lost();
    mesh.password = true;
    let silent = || three(tried("silent", "silent"));
    insta::assert_snapshot!(said(&mesh, &silent()).lines().take(3).collect::<Vec<_>>().join("\n"), @"
    2: 0 established, 2 down
    Perhaps [node01 ↔ node02, node02 ↔ node03]: a ping is answered, and TCP 179 is not, which tells nothing here: the session has a password (by BGPConfiguration default), and no kernel answers who tries without it
      compare the passwords of both ends (`nstat -az TcpExtTCPMD5Failure` counts those that do not fit), see whether packets arrive (`tcpdump -ni any tcp port 179` on both), and look at BIRD's log in calico-node
    ");

    // A rule that has dropped something is not the certain cause any more.
    let mut all = tried("silent", "silent");
    all.1 = all.1.says(
        "rules ip iptables-save",
        "# Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n[7:420] -A INPUT -p tcp -m tcp --dport 179 -j DROP\nCOMMIT\n",
    );
    insta::assert_snapshot!(said(&mesh, &three(all)).lines().nth(1).unwrap(), @"Likely [node01 ↔ node02, node02 ↔ node03]: a rule on node02 drops TCP 179: `-A INPUT -p tcp -m tcp --dport 179 -j DROP` in table ip filter, chain INPUT (as iptables-save shows it; it has matched 7 packets)");

    // Who says that there is no way tells something all the same.
    let told = said(&mesh, &three(tried("silent", "unreachable bash")));
    assert!(told.contains("something between them drops it"), "{told}");
    let off = || Host::new().peer("10.0.0.2", false, "silent");
    let from = || {
        Host::new()
            .peer("10.0.0.1", false, "silent")
            .peer("10.0.0.3", false, "silent")
    };
    let told = said(&mesh, &three((off(), from(), off())));
    assert!(
        told.contains(
            "node02 (10.0.0.2) answers no ping of node01: something between them drops it, or node02 (10.0.0.2) is off; that \
             TCP 179 is silent tells nothing, as the session has a password (by BGPConfiguration default)"
        ),
        "{told}"
    );

    // One that is refused is not said to be silent beside that.
    let from = Host::new()
        .peer("10.0.0.1", false, "refused")
        .peer("10.0.0.3", false, "refused");
    let told = said(&mesh, &three((off(), from, off())));
    assert!(!told.contains("answers node02 neither"), "{told}");
    assert!(told.contains("answers node01 neither a ping"), "{told}");

    // Sessions that the mesh does not make have none of it.
    mesh.full = false;
    let told = said(&mesh, &silent());
    assert!(told.contains("something between them drops it"), "{told}");

    let peer = |password: bool| {
        let mut raw = serde_json::json!({"metadata": {"name": "near"}, "spec": {"nodeSelector": "all()", "peerSelector": "all()"}});
        if password {
            raw["spec"]["password"] =
                serde_json::json!({"secretKeyRef": {"name": "bgp", "key": "near"}});
        }
        crate::calico::BgpPeer::new(&raw).unwrap()
    };
    mesh.peers = vec![peer(false)];
    let told = said(&mesh, &silent());
    assert!(told.contains("something between them drops it"), "{told}");
    mesh.peers = vec![peer(false), peer(true)];
    let told = said(&mesh, &silent());
    assert!(told.contains("has a password (by BGPPeer near)"), "{told}");
}

#[test]
fn a_rule_that_could_not_be_read_is_not_taken_for_none() {
    let mut all = tried("silent", "silent");
    all.1 = all.1.says(
        "unread there is no nft here to read the rules of nftables with",
        "",
    );
    insta::assert_snapshot!(said(&lost(), &three(all)).lines().take(5).collect::<Vec<_>>().join("\n"), @"
    2: 0 established, 2 down
    Perhaps [node01 ↔ node02, node02 ↔ node03]: a ping is answered, and TCP 179 is not let through: something between the two drops it, or a rule that nobody could read (node02: there is no nft here to read the rules of nftables with)
      look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp port 179` on both
    unread: node02: there is no nft here to read the rules of nftables with
    from → to        route                           ping     TCP 179    BIRD here  session
    ");
}

#[test]
fn a_policy_that_drops() {
    let mut all = tried("silent", "connected");
    all.1 = all.1.says(
        "rules ip iptables-save",
        "# Generated by iptables-save v1.8.9\n*filter\n:INPUT DROP [9:540]\n[7:420] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    );
    insta::assert_snapshot!(said(&lost(), &three(all)).lines().take(5).collect::<Vec<_>>().join("\n"), @"
    2: 0 established, 2 down
    Perhaps [node01 ↔ node02, node02 ↔ node03]: node02 drops what no rule accepts (table ip filter, chain INPUT, by its policy, as iptables-save shows it), and no rule is seen that accepts TCP 179
      have TCP 179 of the other nodes accepted on node02, where its rules come from
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  no answer  listens    start Connect
    ");
}

#[test]
fn no_route_and_a_blackhole() {
    let none = "RTNETLINK answers: Network is unreachable";
    let host = Host::new()
        .routed("10.0.0.1", none, "2", false, "unreachable bash")
        .routed(
            "10.0.0.3",
            "RTNETLINK answers: Invalid argument",
            "2",
            false,
            "unreachable bash",
        );
    let all = tried("silent", "");
    insta::assert_snapshot!(said(&lost(), &three((all.0, host, all.2))), @"
    2: 0 established, 2 down
    Seen [node01 ↔ node02]: node02 has no route to node01 (10.0.0.1): RTNETLINK answers: Network is unreachable
      look on node02 (`ip route get 10.0.0.1`, `ip route show table all match 10.0.0.1`, `ip rule`), and put the route right where it is configured
    Seen [node02 ↔ node03]: node02 has only a blackhole route to node03 (10.0.0.3): RTNETLINK answers: Invalid argument
      look on node02 (`ip route get 10.0.0.3`, `ip route show table all match 10.0.0.3`, `ip rule`), and put the route right where it is configured
    from → to        route                           ping       TCP 179          BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers    no answer        listens    start Connect
    node02 → node01  no route                        no answer  it said nothing  listens    start Connect
    node02 → node03  a blackhole route               no answer  it said nothing  listens    start Connect
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  answers    no answer        listens    start Connect
    ");
}

#[test]
fn a_host_that_answers_nobody() {
    let off = || NoHost {
        reached: false,
        why: "node02 cannot be reached: timed out".into(),
    };
    let mut mesh = lost();
    mesh.readings.remove("node02");
    mesh.nodes[1].ready = false;
    let from = || {
        Host::new()
            .peer("10.0.0.2", false, "unreachable bash")
            .read()
    };
    let all = hosts([
        ("node01", from()),
        ("node02", Err(off())),
        ("node03", from()),
    ]);
    insta::assert_snapshot!(said(&mesh, &all), @"
    2: 0 established, 2 down
    Seen [node01 ↔ node02, node02 ↔ node03]: node02 does not answer at all, neither to ssh (node02 cannot be reached: timed out) nor to a ping from node01, node03, and its kubelet is not heard of either: it is off or cut off, and no firewall for one port does that
      look at node02 itself: power, console, cable, switch
    unread: node02 cannot be reached: timed out
    from → to        route                           ping       TCP 179          BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  no answer  it said nothing  listens    start Connect
    node02 → node01  unknown                         unknown    unknown          unknown    unknown
    node02 → node03  unknown                         unknown    unknown          unknown    unknown
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  no answer  it said nothing  listens    start Connect
    ");
    // Where somebody gets an answer, it is not down.
    let answered = Host::new().peer("10.0.0.2", true, "silent bash").read();
    let all = hosts([
        ("node01", from()),
        ("node02", Err(off())),
        ("node03", answered),
    ]);
    assert!(!said(&mesh, &all).contains("off or cut off"));
    // Silence of a way that is missing is no evidence.
    let lost_way = Host::new()
        .routed(
            "10.0.0.2",
            "RTNETLINK answers: Network is unreachable",
            "2",
            false,
            "unreachable bash",
        )
        .read();
    let all = hosts([("node01", lost_way), ("node02", Err(off()))]);
    assert!(!said_of(&mesh, &all, &["node01"]).contains("off or cut off"));
}

#[test]
fn bird_that_does_not_run_or_listen_or_answer() {
    let told = |mesh: &Mesh, host: Host| {
        let all = tried("refused bash", "connected");
        let all = three((all.0, host, all.2));
        said(mesh, &all)
            .lines()
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let host = || Host::new().peer("10.0.0.1", true, "connected bash");
    let idle = host().says("sockets", "").says("listens tcp", "");
    insta::assert_snapshot!(told(&lost(), idle), @"
    Seen [node01 ↔ node02, node02 ↔ node03]: node02: BIRD for IPv4 does not run (nobody waits on its control socket), while calico-node's pod is there
      runbook plan restart-calico-node --node node02
    ");
    insta::assert_snapshot!(told(&lost(), host().says("listens tcp", "")), @"
    Seen [node01 ↔ node02, node02 ↔ node03]: node02: BIRD runs, and nothing listens on TCP 179, while calico-node's pod is there
      runbook plan restart-calico-node --node node02
    ");
    insta::assert_snapshot!(told(&lost(), host().says("listens tcp", "   0: 010012AC:00B3 00000000:0000 0A")), @"
    Seen [node01 ↔ node02, node02 ↔ node03]: node02: nothing listens on TCP 179 at 10.0.0.2, only at 172.18.0.1, while calico-node's pod is there
      runbook plan restart-calico-node --node node02
    ");
    let mut mesh = lost();
    let mut broken = |error| {
        let reading = Reading {
            links: vec![],
            sessions: Err(error),
        };
        mesh.readings.insert("node02".into(), reading);
        told(&mesh, host())
    };
    insta::assert_snapshot!(broken(StatusError::NotRunning), @"
    Seen [node01 ↔ node02, node02 ↔ node03]: node02: Calico does not run there, while calico-node's pod is there
      runbook plan restart-calico-node --node node02
    ");
    insta::assert_snapshot!(broken(StatusError::BirdSilent("i/o timeout".into())), @"
    Seen [node01 ↔ node02, node02 ↔ node03]: node02: BIRD is there and does not answer (i/o timeout), while calico-node's pod is there
      runbook plan restart-calico-node --node node02
    ");
}

#[test]
fn without_a_pod_no_restart_is_advised() {
    let mut mesh = lost();
    let reading = Reading {
        links: vec![],
        sessions: Err(StatusError::NotRunning),
    };
    mesh.readings.insert("node03".into(), reading);
    let all = tried("silent", "silent");
    let gone = Host::new().says("sockets", "").says("listens tcp", "");
    let told = said_of(&mesh, &three((all.0, all.1, gone)), &["node03"]);
    insta::assert_snapshot!(told.lines().skip(1).take(2).collect::<Vec<_>>().join("\n"), @"
    Seen [node01 ↔ node03, node02 ↔ node03]: there is no calico-node pod on node03
      look why: kubectl get node node03, and kubectl -n calico-system describe daemonset calico-node
    ");
}

#[test]
fn a_session_that_bird_was_not_told_of() {
    let mut mesh = lost();
    mesh.readings.insert("node02".into(), test_sees(&[]));
    insta::assert_snapshot!(said(&mesh, &three(tried("connected bash", "connected bash"))), @"
    2: 0 established, 2 down
    Perhaps [node01 ↔ node02, node02 ↔ node03]: node02: its BIRD shows no such session: not configured, or down with nothing to say
      runbook plan restart-calico-node --node node02
    Perhaps [node01 ↔ node02]: the path is free (TCP 179 connects), and BGP itself does not come about
      compare AS numbers and passwords of both ends, and look at BIRD's log in calico-node; where it is stuck: runbook plan restart-calico-node --node node01
    Perhaps [node02 ↔ node03]: the path is free (TCP 179 connects), and BGP itself does not come about
      compare AS numbers and passwords of both ends, and look at BIRD's log in calico-node; where it is stuck: runbook plan restart-calico-node --node node02
    from → to        route                           ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  answers  connected  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    no such session is shown
    node02 → node03  eth0 as 10.0.0.9, not 10.0.0.2  answers  connected  listens    no such session is shown
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  answers  connected  listens    start Connect
    ");
}

#[test]
fn refused_although_bird_listens() {
    let told = said(&lost(), &three(tried("refused bash", "connected bash")));
    insta::assert_snapshot!(told.lines().skip(1).take(2).collect::<Vec<_>>().join("\n"), @"
    Likely [node01 ↔ node02]: TCP 179 from node01 to node02 (10.0.0.2) is refused although something listens there: a rule that answers in its place does that, or something on the way
      look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp port 179` on both
    ");
}

#[test]
fn neither_a_ping_nor_tcp_gets_through() {
    let silent = |to: &str| Host::new().peer(to, false, "unreachable bash");
    let missing = silent("10.0.0.2").says("neighbour 10.0.0.2", "10.0.0.2 dev eth0 FAILED ");
    let all = three((
        missing,
        silent("10.0.0.1").peer("10.0.0.3", true, "connected bash"),
        silent("10.0.0.2"),
    ));
    insta::assert_snapshot!(said(&lost(), &all), @"
    2: 0 established, 2 down
    Likely [node02 ↔ node03]: a ping is answered, TCP 179 is not let through, and no rule on either end names it: something between them drops it, such as a switch or a security group, or a rule that does not name the port
      look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp port 179` on both
    Likely [node01 ↔ node02]: nobody answers for 10.0.0.2 on node01's link eth0 (its neighbour entry is FAILED), and so node02 (10.0.0.2) is not reached
      look at the links of both, and at the switch and VLAN between them: `ip neigh` and `ip -s link show eth0` on node01
    Perhaps [node01 ↔ node02]: node01 (10.0.0.1) answers node02 neither a ping nor TCP 179: something between them drops all of it, or it is off
      look at what lies between them: `ip route get 10.0.0.1` on node02, routers, security groups
    from → to        route                           ping                TCP 179          BIRD here  session
    node01 → node02  eth0 as 10.0.0.9, not 10.0.0.1  no answer (FAILED)  it said nothing  listens    start Connect
    node02 → node01  eth0 as 10.0.0.9, not 10.0.0.2  no answer           it said nothing  listens    start Connect
    node02 → node03  eth0 as 10.0.0.9, not 10.0.0.2  answers             connected        listens    start Connect
    node03 → node02  eth0 as 10.0.0.9, not 10.0.0.3  no answer           it said nothing  listens    start Connect
    ");
}

#[test]
fn a_peer_that_is_no_node() {
    let mut mesh = test_healthy();
    let up = |a| (a, "up", "Established");
    let peers = [up("10.0.0.1"), up("10.0.0.3"), ("192.0.2.1", DOWN, REFUSED)];
    mesh.readings.insert("node02".into(), test_sees(&peers));
    let all = hosts([(
        "node02",
        Host::new().peer("192.0.2.1", true, "refused bash").read(),
    )]);
    insta::assert_snapshot!(said(&mesh, &all), @"
    3: 2 established, 1 down
    Perhaps [node02 ↔ 192.0.2.1]: TCP 179 from node02 to 192.0.2.1 is refused: nothing listens there, or a rule says so
      look at 192.0.2.1, which is no node of this cluster
    from → to           route                           ping     TCP 179  BIRD here  session
    node02 → 192.0.2.1  eth0 as 10.0.0.9, not 10.0.0.2  answers  refused  listens    start Active Socket: Connection refused
    ");
}

#[test]
fn a_rule_against_protocol_4() {
    let host = Host::new().says(
        "rules nft nft",
        "table ip filter { # handle 1\n\tchain INPUT { # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\t\tmeta l4proto ipencap counter packets 4 bytes 9 drop # handle 8\n\t}\n}\n",
    );
    let hosts = hosts([("node02", host.read())]);
    insta::assert_snapshot!(said(&test_healthy(), &hosts), @"
    2: 2 established, 0 down
    protocol 4: a rule on node02 drops IP protocol 4: `meta l4proto ipencap counter packets 4 bytes 9 drop` in table ip filter, chain INPUT, handle 8 (as nft shows it; it has matched 4 packets)
    ");
}

#[test]
fn peers_of_ipv6_beside_those_of_ipv4() {
    let mut mesh = test_healthy();
    mesh.nodes.truncate(2);
    for (at, ip) in ["fd00::1", "fd00::2"].into_iter().enumerate() {
        mesh.nodes[at].internal_ips.push(ip.parse().unwrap());
        mesh.nodes[at].advertised_v6 = Some(format!("{ip}/64"));
    }
    let (up, down) = ("Established", "Connect");
    for (node, v4, v6) in [
        ("node01", "10.0.0.2", "fd00::2"),
        ("node02", "10.0.0.1", "fd00::1"),
    ] {
        let peers = [(v4, "up", up), (v6, DOWN, down)];
        mesh.readings.insert(node.into(), test_sees(&peers));
    }
    mesh.readings.remove("node03");
    let host = |to: &str, tcp: &str| {
        Host::new()
            .says("listens tcp6", "   0: 00000000000000000000000000000000:00B3 00000000000000000000000000000000:0000 0A")
            .says(
                "sockets",
                "0: 00000002 00000000 00010000 0001 01 1 /var/run/calico/bird.ctl\n0: 00000002 00000000 00010000 0001 01 1 /var/run/calico/bird6.ctl",
            )
            .routed(to, &format!("{to} from :: dev eth0 proto kernel src fd00::9"), "0", true, tcp)
    };
    let rule = "# Generated by ip6tables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n[7:420] -A INPUT -p tcp -m tcp --dport 179 -j DROP\nCOMMIT\n";
    let all = hosts([
        ("node01", host("fd00::2", "silent bash").read()),
        (
            "node02",
            host("fd00::1", "connected bash")
                .says("rules ip6 ip6tables-save", rule)
                .read(),
        ),
    ]);
    insta::assert_snapshot!(said(&mesh, &all), @"
    2: 1 established, 1 down
    Seen [node01 ↔ node02]: a rule on node02 drops TCP 179: `-A INPUT -p tcp -m tcp --dport 179 -j DROP` in table ip6 filter, chain INPUT (as ip6tables-save shows it; it has matched 7 packets)
      take that rule away where it comes from; runbook changes no firewall, and a rule that only is deleted comes back
    from → to        route                         ping     TCP 179    BIRD here  session
    node01 → node02  eth0 as fd00::9, not fd00::1  answers  no answer  listens    start Connect
    node02 → node01  eth0 as fd00::9, not fd00::2  answers  connected  listens    start Connect
    ");
}

#[test]
fn sessions_of_which_nobody_says_anything_are_unknown() {
    let mut mesh = test_healthy();
    mesh.readings.clear();
    mesh.nodes
        .push(test_node("node04", "10.0.0.4", Some("10.0.0.4/24")));
    let hosts = hosts([]);
    insta::assert_snapshot!(said(&mesh, &hosts), @"
    3: 0 established, 0 down
    unknown: node01 ↔ node02
    unknown: node02 ↔ node03
    unknown: node02 ↔ node04
    from → to        route    ping     TCP 179  BIRD here  session
    node01 → node02  unknown  unknown  unknown  unknown    unknown
    node02 → node01  unknown  unknown  unknown  unknown    unknown
    node02 → node03  unknown  unknown  unknown  unknown    unknown
    node03 → node02  unknown  unknown  unknown  unknown    unknown
    node02 → node04  unknown  unknown  unknown  unknown    unknown
    node04 → node02  unknown  unknown  unknown  unknown    unknown
    ");
}

#[test]
fn what_a_bgp_peer_configures_is_a_session_too() {
    let mut mesh = test_healthy();
    mesh.full = false;
    mesh.readings.insert("node02".into(), test_sees(&[]));
    let raw = serde_json::json!({"metadata": {"name": "tor"}, "spec": {"peerIP": "192.0.2.1", "node": "node02"}});
    mesh.peers.push(crate::calico::BgpPeer::new(&raw).unwrap());
    let host = Host::new().peer("192.0.2.1", true, "silent bash");
    let told = said(&mesh, &hosts([("node02", host.read())]));
    assert!(told.contains("[node02 ↔ 192.0.2.1]"), "{told}");
    assert!(told.contains("no such session is shown"), "{told}");
    // The row that is missing does not hide what the tries tell.
    assert!(
        told.contains("Perhaps [node02 ↔ 192.0.2.1]: a ping is answered"),
        "{told}"
    );
}

#[test]
fn the_other_end_is_not_believed_where_bird_is_dead() {
    let mut mesh = test_healthy();
    let sessions = Err(StatusError::NoBird);
    let links = vec![];
    mesh.readings
        .insert("node02".into(), Reading { links, sessions });
    let told = said(&mesh, &hosts([]));
    assert!(told.starts_with("2: 0 established, 2 down"), "{told}");
}

#[test]
fn a_family_of_which_its_bird_says_nothing_has_no_missing_session() {
    let with = |daemon: crate::calico::Daemon| {
        let mut mesh = lost();
        let mut reading = test_sees(&[]);
        reading.sessions.as_mut().unwrap().bird = daemon;
        mesh.readings.insert("node02".into(), reading);
        said(&mesh, &hosts([]))
    };
    use crate::calico::Daemon;
    assert!(with(Daemon::Answers).contains("no such session"));
    assert!(!with(Daemon::Silent("x".into())).contains("no such session"));
    assert!(!with(Daemon::NotSaid).contains("no such session"));
    assert!(with(Daemon::NotRunning).contains("its BIRD for IPv4 does not run"));
}

/// A rule is measured by the tries whose packets come by it.
#[test]
fn a_rule_is_seen_to_be_the_cause_by_the_tries_of_its_own_direction() {
    let told = |to: &str, from: &str, rule: &str| {
        let mut all = tried(to, from);
        all.1 = all.1.says(
            "rules ip iptables-save",
            &format!("# Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[7:420] -A {rule}\nCOMMIT\n"),
        );
        let said = said_of(&lost(), &three(all), &["node01"]);
        let line = said.lines().find(|l| l.contains("a rule on node02"));
        line.map_or("-", |l| l.split(' ').next().unwrap())
            .to_owned()
    };
    let (silent, refused, connected) = ("silent bash", "refused bash", "connected bash");
    for (to, from, rule, certain) in [
        (
            silent,
            connected,
            "INPUT -p tcp -m tcp --dport 179 -j DROP",
            "Seen",
        ),
        (
            connected,
            silent,
            "INPUT -p tcp -m tcp --dport 179 -j DROP",
            "-",
        ),
        (
            refused,
            silent,
            "INPUT -p tcp -m tcp --dport 179 -j DROP",
            "Hardly",
        ),
        (
            refused,
            connected,
            "INPUT -p tcp -m tcp --dport 179 -j REJECT",
            "Seen",
        ),
        (
            silent,
            connected,
            "INPUT -p tcp -m tcp --dport 179 -j REJECT",
            "Perhaps",
        ),
        (
            connected,
            silent,
            "OUTPUT -p tcp -m tcp --dport 179 -j DROP",
            "Seen",
        ),
        (
            silent,
            connected,
            "OUTPUT -p tcp -m tcp --dport 179 -j DROP",
            "-",
        ),
        (
            connected,
            silent,
            "INPUT -p tcp -m tcp --sport 179 -j DROP",
            "Seen",
        ),
        (
            silent,
            connected,
            "OUTPUT -p tcp -m tcp --sport 179 -j REJECT",
            "Seen",
        ),
        (
            "untried",
            "untried",
            "INPUT -p tcp -m tcp --dport 179 -j DROP",
            "Likely",
        ),
    ] {
        assert_eq!(told(to, from, rule), certain, "{to} {from} {rule}");
    }
}

#[test]
fn a_policy_does_not_hide_a_link_that_is_dead() {
    let silent = |to: &str| Host::new().peer(to, false, "silent bash");
    let rules = "# Generated by iptables-save v1.8.9\n*filter\n:INPUT DROP [9:540]\nCOMMIT\n";
    let near = silent("10.0.0.2").says("neighbour 10.0.0.2", "10.0.0.2 dev eth0 FAILED ");
    let far = silent("10.0.0.1").says("rules ip iptables-save", rules);
    let all = hosts([("node01", near.read()), ("node02", far.read())]);
    let told = said_of(&lost(), &all, &["node01"]);
    assert!(
        told.contains("Likely [node01 ↔ node02]: nobody answers for 10.0.0.2"),
        "{told}"
    );
    assert!(!told.contains("by its policy"), "{told}");
    // Where only silence is seen, both are told.
    let far = silent("10.0.0.1").says("rules ip iptables-save", rules);
    let all = hosts([
        ("node01", silent("10.0.0.2").read()),
        ("node02", far.read()),
    ]);
    let told = said_of(&lost(), &all, &["node01"]);
    assert!(
        told.contains("answers node01 neither a ping") && told.contains("by its policy"),
        "{told}"
    );
}

#[test]
fn a_node_that_lives_is_not_said_to_be_off() {
    let off = NoHost {
        reached: false,
        why: "timed out".into(),
    };
    let with = |ready: bool, tcp: &str| {
        let mut mesh = lost();
        mesh.readings.remove("node02");
        mesh.nodes[1].ready = ready;
        let from = Host::new().peer("10.0.0.2", false, tcp).read();
        said_of(
            &mesh,
            &hosts([("node01", from), ("node02", Err(off.clone()))]),
            &["node01"],
        )
    };
    assert!(
        with(false, "silent bash")
            .contains("Seen [node01 ↔ node02]: node02 does not answer at all")
    );
    let ready = with(true, "silent bash");
    assert!(
        ready.contains("Perhaps [node01 ↔ node02]: node02 answers neither ssh"),
        "{ready}"
    );
    assert!(!ready.contains("it is off or cut off"), "{ready}");
    for tcp in ["refused bash", "connected bash"] {
        assert!(
            !with(false, tcp).contains("does not answer at all"),
            "{tcp}"
        );
    }
}

#[test]
fn an_address_of_its_own_that_kubelet_did_not_register() {
    let mut mesh = lost();
    mesh.nodes[1].internal_ips = vec!["192.0.2.2".parse().unwrap()];
    let links = r#"[{"ifindex":2,"ifname":"eth1","operstate":"UP","addr_info":[{"local":"10.0.0.2","prefixlen":24}]}]"#;
    mesh.readings.get_mut("node02").unwrap().links = crate::calico::parse_links(links).unwrap();
    let told = said(&mesh, &three(tried("silent bash", "silent bash")));
    assert!(told.contains("Perhaps [node01 ↔ node02, node02 ↔ node03]: node02 advertises 10.0.0.2, which is on its link eth1 and is not the InternalIP"), "{told}");
    assert!(told.contains("a ping is answered"), "{told}");
}

#[test]
fn a_session_of_another_port_has_no_cause_by_the_usual_one() {
    let raw =
        serde_json::json!({"metadata": {"name": "tor"}, "spec": {"peerIP": "192.0.2.1:1790"}});
    let mut mesh = lost();
    mesh.nodes
        .push(test_node("node09", "10.0.0.9", Some("10.0.0.9/24")));
    mesh.peers.push(crate::calico::BgpPeer::new(&raw).unwrap());
    let host = Host::new().peer("10.0.0.9", true, "refused bash");
    let host = host.peer("192.0.2.1", true, "refused bash").read();
    let told = said(&mesh, &hosts([("node02", host)]));
    assert!(!told.contains("is refused:"), "{told}");
    assert!(
        told.contains("BGPPeer tor names TCP 1790, and TCP 179 was tried"),
        "{told}"
    );
    assert!(
        told.contains("node09 listens on TCP 1790 by its own BGPConfiguration"),
        "{told}"
    );
}
