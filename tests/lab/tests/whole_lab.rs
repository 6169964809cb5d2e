//! Brings a whole lab up, beside any other, and takes it through everything that it offers. Minutes, and root:
//! `cargo test -p lab -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::breakage::{Incident, Variant};
use lab::calico::Family;
use lab::datastore::Datastore;
use lab::machine::{NODES, Node};
use lab::{Lab, Profile};

/// A lab of its own, which is gone at the end whatever happens.
struct Own(Lab, PathBuf);

impl Own {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("lab-test-{name}-{}", std::process::id()));
        Self(Lab::at(&dir).unwrap(), dir)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.down();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn is_healthy(lab: &Lab) -> bool {
    let addresses = lab.advertised().unwrap();
    let right = |(node, address): &(Node, Option<String>)| {
        *address == Some(format!("{}/24", node.address()))
    };
    let meshed = |node: &Node| {
        let peers = lab.peers(*node).unwrap_or_default();
        peers.len() == NODES.len() - 1 && peers.iter().all(lab::calico::Peer::is_established)
    };
    addresses.iter().all(right) && NODES.iter().all(meshed)
}

/// What faults of Calico's leave, seen from outside.
fn traces_of_mesh(lab: &Lab, node: Node) -> String {
    let look = "iptables -S | grep 'port 179'; ip route show type blackhole; ip route show 10.77.0.1; \
                ls -d /run/lab-routes /var/lib/lab/calicoctl 2>/dev/null; grep ' vec0$' /proc/net/if_inet6; \
                calicoctl version | grep Client | grep -v v3.31.0; grep -h stopped /proc/[0-9]*/status; \
                ip route show 10.77.0.0/24 | grep -c . | grep -v 1; true";
    lab.ssh_text(node, look).unwrap()
}

/// The path between nodes, and what is on them for it.
fn faults_of_paths(lab: &Lab) {
    let node = Node::named("node02").unwrap();
    let first = Node::named("node01").unwrap();
    let faults = [
        (
            Incident::BgpPortBlocked,
            Variant::Input,
            node,
            "10.77.0.12 start",
        ),
        // All of its sessions are opened by the others.
        (
            Incident::BgpPortBlocked,
            Variant::Output,
            first,
            "10.77.0.11 start",
        ),
        (
            Incident::RouteMissing,
            Variant::NoRoute,
            node,
            "Network is unreachable",
        ),
        (
            Incident::RouteMissing,
            Variant::Blackhole,
            node,
            "Invalid argument",
        ),
        (Incident::PeerDown, Variant::Link, node, "node02 NotReady"),
        (Incident::PeerDown, Variant::Power, node, "node02 NotReady"),
        (Incident::Calicoctl, Variant::Missing, node, "not found"),
        (Incident::Calicoctl, Variant::Old, node, "version mismatch"),
        (
            Incident::BgpWrongIp,
            Variant::Ipv6,
            node,
            "advertises fd99::1/64",
        ),
    ];
    for (incident, variant, at, symptom) in faults {
        let seen = lab.break_(incident, variant, at, false).unwrap();
        assert!(seen.contains(symptom), "{seen}");
        lab.heal().unwrap();
        assert!(is_healthy(lab), "after {incident:?} {variant:?}");
        let left = traces_of_mesh(lab, at);
        assert_eq!(left, "", "after {incident:?} {variant:?}");
    }
    let ipv6 = lab.advertised_in(Family::V6).unwrap();
    assert!(ipv6.iter().all(|(_, address)| address.is_none()));
}

#[test]
#[ignore = "brings a whole lab up: minutes, and root"]
fn both_datastores() {
    let own = Own::new("datastores");
    let lab = &own.0;
    lab.up_with(Profile::Full, Some(Datastore::Etcd)).unwrap();
    assert_eq!(lab.datastore(), Datastore::Etcd);
    assert!(is_healthy(lab));
    let annotated = lab.kubectl_text(&["get", "nodes", "-o", "yaml"]).unwrap();
    assert!(!annotated.contains("projectcalico.org/IPv4Address"));
    let node = Node::named("node02").unwrap();
    // As on a host of such a cluster: by its own configuration, and not without a certificate.
    let own_way = "calicoctl get node node02 -o yaml | grep ipv4Address";
    let found = || lab.ssh_text(node, own_way).unwrap();
    assert!(found().contains("10.77.0.12"));
    let stranger = "curl -s --cacert /etc/calico/certs/ca.crt https://10.77.0.1:2389/health";
    assert!(!lab.ssh(node, stranger).unwrap().status.success());
    for variant in [Variant::SecondNic, Variant::BridgeDown, Variant::Ipv6] {
        lab.break_(Incident::BgpWrongIp, variant, node, false)
            .unwrap();
        assert!(lab.switch_datastore(Datastore::Kubernetes).is_err());
        lab.heal().unwrap();
        assert!(is_healthy(lab), "after {variant:?} in etcd");
    }
    // A remedy may take Calico's files along.
    let spoilt = "rm -r /etc/calico/certs /etc/cni/net.d/calico-tls";
    lab.ssh_text(node, spoilt).unwrap();
    lab.heal().unwrap();
    assert!(found().contains("10.77.0.12"));
    lab.reset(Some(node)).unwrap();
    assert!(found().contains("10.77.0.12"));

    lab.switch_datastore(Datastore::Kubernetes).unwrap();
    assert_eq!(lab.datastore(), Datastore::Kubernetes);
    assert!(is_healthy(lab));
    let secrets = lab.kubectl_text(&["-n", "kube-system", "get", "secrets"]);
    assert!(!secrets.unwrap().contains("calico-etcd-secrets"));
    let certificates = lab.ssh(node, "test -e /etc/calico/certs").unwrap();
    assert!(!certificates.status.success());
    lab.switch_datastore(Datastore::Etcd).unwrap();
    assert!(is_healthy(lab));
    assert!(found().contains("10.77.0.12"));
    lab.down().unwrap();
    assert_eq!(leftovers(lab), "");
}

#[test]
#[ignore = "brings a whole lab up: minutes, and root"]
fn faults_of_a_mesh() {
    let own = Own::new("mesh");
    let lab = &own.0;
    lab.up(Profile::Full).unwrap();
    let node = Node::named("node02").unwrap();
    faults_of_paths(lab);
    let seen = lab.break_(Incident::MethodWrong, None, node, false);
    let seen = seen.unwrap();
    assert!(seen.contains("interface=.*"), "{seen}");
    assert!(seen.contains("172.18.0.2/16"), "{seen}");
    let pick = "calico-autodetect -method 'interface=.*'";
    assert_eq!(lab.ssh_text(node, pick).unwrap().trim(), "172.18.0.1/16");
    lab.heal().unwrap();
    let seen = lab.break_(Incident::CalicoStuck, None, node, false);
    let seen = seen.unwrap();
    assert!(seen.contains("calico-node is Running"), "{seen}");
    assert!(seen.contains("(stopped)"), "{seen}");
    // As its remedy does.
    lab.restart_calico_node(&[node]).unwrap();
    lab.wait_for_mesh(300).unwrap();
    lab.heal().unwrap();
    assert!(is_healthy(lab));

    lab.become_operator_install().unwrap();
    assert_eq!(lab.calico_namespace(), "calico-system");
    assert!(is_healthy(lab));
    let method = r#"{"spec":{"calicoNetwork":{"nodeAddressAutodetectionV4":{"kubernetes":"NodeInternalIP"}}}}"#;
    let patch = ["patch", "installation", "default", "--type=merge", "-p"];
    lab.kubectl_text(&[&patch[..], &[method]].concat()).unwrap();
    lab.heal().unwrap();
    assert_eq!(lab.calico_namespace(), "kube-system");
    assert!(is_healthy(lab));
    let kinds = lab.kubectl_text(&["get", "crd", "-o", "name"]).unwrap();
    assert!(!kinds.contains("operator.tigera.io"), "{kinds}");
    assert_eq!(traces_of_mesh(lab, node), "");
    lab.down().unwrap();
    assert_eq!(leftovers(lab), "");
}

fn from_operator(lab: &Lab, node: Node, args: &[&str]) -> String {
    let output = lab.operator_command(node, args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn leftovers(lab: &Lab) -> String {
    let dir = lab.dir().display().to_string();
    let mut found = String::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&dir) {
            found += &format!("process {}\n", process.file_name().to_string_lossy());
        }
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&dir) || line.contains(lab.netns())),
    );
    if PathBuf::from("/run/netns").join(lab.netns()).exists() {
        found += "the namespace\n";
    }
    found
}

#[test]
#[ignore = "brings a whole lab up: minutes, and root"]
fn everything_once() {
    let own = Own::new("whole");
    let lab = &own.0;
    lab.up(Profile::Full).unwrap();
    assert!(is_healthy(lab));
    lab.up(Profile::Full).unwrap();

    let outside = Command::new("ip")
        .args(["-br", "address"])
        .output()
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&outside.stdout).contains("10.77."),
        "an address outside the namespace"
    );

    let node = Node::named("node02").unwrap();
    for variant in [
        Variant::SecondNic,
        Variant::BridgeUp,
        Variant::BridgeDown,
        Variant::TwoNodes,
    ] {
        let symptom = lab
            .break_(Incident::BgpWrongIp, variant, node, false)
            .unwrap();
        assert!(
            symptom.contains("BGP not established with 172.18.0."),
            "{symptom}"
        );
        assert!(
            lab.break_(Incident::BgpWrongIp, variant, node, false)
                .is_err(),
            "a fault over a fault"
        );
        lab.heal().unwrap();
        assert!(is_healthy(lab), "after {variant:?}");
        assert_eq!(lab.fault(), None);
    }

    lab.break_(Incident::BgpWrongIp, Variant::SecondNic, node, true)
        .unwrap();
    lab.reboot(node).unwrap();
    assert!(
        lab.ssh_text(node, "ip -br address show ens9")
            .unwrap()
            .contains("172.18.0.1/16")
    );
    lab.heal().unwrap();
    // A program whose result shows what the product would meet there.
    lab.operator(node, Path::new("/usr/bin/env")).unwrap();
    lab.ssh_text(node, "echo 1 > /root/kept; sync; echo 1 > /root/lost")
        .unwrap();
    lab.cut_power(node).unwrap();
    assert!(lab.cut_power(node).is_err(), "cut twice");
    lab.power_on(node).unwrap();
    assert!(!lab.ssh(node, "ip link show ens9").unwrap().status.success());
    lab.ssh_text(node, "[ -s /root/kept ] && ! [ -s /root/lost ]")
        .unwrap();
    assert_eq!(
        from_operator(lab, node, &["printenv", "RUNBOOK_STATE_DIR"]),
        "/root/operator/state\n"
    );
    assert_eq!(
        from_operator(lab, node, &["printf", "%s", "a 'b'"]),
        "a 'b'"
    );
    assert_eq!(
        from_operator(lab, node, &["kubectl", "get", "--raw", "/readyz"]),
        "ok"
    );
    from_operator(
        lab,
        node,
        &["sh", "-c", "ssh -F $RUNBOOK_SSH_CONFIG node03 true"],
    );
    lab.up(Profile::Full).unwrap();
    assert!(is_healthy(lab));

    lab.ssh_text(node, "touch /root/trace").unwrap();
    lab.reset(Some(node)).unwrap();
    assert!(
        !lab.ssh(node, "test -e /root/trace")
            .unwrap()
            .status
            .success()
    );
    lab.kubectl_text(&["create", "namespace", "trace"]).unwrap();
    lab.reset(None).unwrap();
    assert!(
        !lab.kubectl(&["get", "namespace", "trace"])
            .unwrap()
            .status
            .success()
    );
    assert!(is_healthy(lab));

    lab.down().unwrap();
    assert_eq!(leftovers(lab), "");
}

/// What differs on a node from how it was at first, in what faults of hosts change.
fn traces(lab: &Lab, node: Node) -> String {
    let look = "tail -n +2 /proc/swaps; ls -d /swapfile /dev/ubdc?* /usr/local/sbin/lab-chatter 2>/dev/null; \
                ip -br link | grep -E '^(cali|tunl|vxlan)'; sysctl -n net.netfilter.nf_conntrack_max | grep -v 5120; \
                cd /var/lib/lab/healthy; find . ! -type d ! -type l | while read -r f; do cmp $f /$f; done; \
                find etc/systemd/system etc/NetworkManager etc/sysctl.d etc/modules-load.d | sort > /run/was; \
                cd /; find etc/systemd/system etc/NetworkManager etc/sysctl.d etc/modules-load.d | sort | diff - /run/was; true";
    lab.ssh_text(node, look).unwrap()
}

#[test]
#[ignore = "brings a whole lab up: minutes, and root"]
fn faults_of_hosts() {
    const REFUSED: &str = "running with swap on is not supported";
    const FULL: &str = "table full, dropping packet";
    let own = Own::new("hosts");
    let lab = &own.0;
    lab.up(Profile::Full).unwrap();
    let node = Node::named("node02").unwrap();
    let faults = [
        (Incident::SwapFile, None, REFUSED),
        (Incident::SwapPartition, None, REFUSED),
        (Incident::SwapUnit, None, REFUSED),
        (Incident::SwapIntended, Some(Variant::Config), "Ready with"),
        (Incident::SwapIntended, Some(Variant::Flag), "Ready with"),
        (Incident::ConntrackFull, Some(Variant::Busy), FULL),
        (Incident::ConntrackFull, Some(Variant::Shut), FULL),
        (Incident::NmManagesCalico, Some(Variant::NoConfig), "tunl0:"),
        (
            Incident::NmManagesCalico,
            Some(Variant::Overridden),
            "tunl0:",
        ),
        (Incident::NmManagesCalico, Some(Variant::OwnList), "tunl0:"),
    ];
    for (incident, variant, symptom) in faults {
        let seen = lab.break_(incident, variant, node, false).unwrap();
        assert!(seen.contains(symptom), "{seen}");
        lab.heal().unwrap();
        assert_eq!(traces(lab, node), "", "after {incident:?} {variant:?}");
        assert!(is_healthy(lab), "after {incident:?} {variant:?}");
    }
    assert!(
        lab.break_(Incident::SwapFile, Variant::Shut, node, false)
            .is_err(),
        "a variant of another incident"
    );
    // A remedy leaves its own files, and masks; power is cut over all of it.
    lab.break_(Incident::SwapPartition, None, node, false)
        .unwrap();
    lab.ssh_text(
        node,
        "swapoff -a; systemctl mask dev-ubdc1.swap; sed -i s/^UUID/#UUID/ /etc/fstab; \
         echo a=1 > /etc/sysctl.d/99-x.conf; chmod 600 /etc/default/kubelet; sync",
    )
    .unwrap();
    lab.cut_power(node).unwrap();
    lab.power_on(node).unwrap();
    lab.heal().unwrap();
    assert_eq!(traces(lab, node), "");
    lab.break_(Incident::SwapPartition, None, node, false)
        .unwrap();
    lab.reset(Some(node)).unwrap();
    assert_eq!(traces(lab, node), "", "after a reset");
    lab.down().unwrap();
    assert_eq!(leftovers(lab), "");
}

#[test]
#[ignore = "brings a control plane up: root"]
fn a_crash_is_cleaned_up() {
    let own = Own::new("crash");
    let lab = &own.0;
    let program = env!("CARGO_BIN_EXE_lab");
    let mut up = Command::new(program)
        .arg("up")
        .env("LAB_DIR", lab.dir())
        .spawn()
        .unwrap();
    let api_server = lab.dir().join("run/kube-apiserver.pid");
    let start = Instant::now();
    while !api_server.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(900),
            "no API server was started"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    up.kill().unwrap();
    up.wait().unwrap();
    assert_ne!(leftovers(lab), "");
    lab.up(Profile::ControlPlane).unwrap();
    assert!(
        lab.kubectl(&["get", "--raw", "/readyz"])
            .unwrap()
            .status
            .success()
    );
    lab.down().unwrap();
    assert_eq!(leftovers(lab), "");
}
