//! Where nothing else is said, what a host prints here is synthetic, in the form of the version that is
//! named beside it.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Parts by the lines that begin them.
fn parts(all: &[(&str, &str)]) -> Parts {
    let mut parts = Parts::default();
    for (line, text) in all {
        parts.take(line, text.as_bytes());
    }
    parts
}

fn read(all: &[(&str, &str)]) -> Value {
    serde_json::to_value(Facts::new(&parts(all), 1_000_000.9)).unwrap()
}

/// What stands below a dotted name.
fn at(all: &[(&str, &str)], name: &str) -> Value {
    let pointer = format!("/{}", name.replace('.', "/"));
    read(all).pointer(&pointer).cloned().unwrap_or_else(|| {
        panic!("there is no {name} in {}", read(all));
    })
}

#[test]
fn a_part_says_why_it_is_not_there() {
    for (line, wanted) in [
        ("got machine_id", json!("5e5e")),
        (
            "no machine_id no permission to read /etc/machine-id",
            json!({"unknown": "no permission to read /etc/machine-id"}),
        ),
        (
            "none machine_id there is no /etc/machine-id",
            json!({"not_applicable": "there is no /etc/machine-id"}),
        ),
        ("what machine_id", json!({"unknown": "it was not read"})),
    ] {
        assert_eq!(at(&[(line, "5e5e\n")], "machine_id"), wanted, "{line}");
    }
    // What broke off after it was begun.
    let broken = [("got machine_id", "5e"), ("no machine_id it broke", "")];
    assert_eq!(at(&broken, "machine_id"), json!({"unknown": "it broke"}));
    let long = "a".repeat(262_145);
    let why = at(&[("got machine_id", &long)], "machine_id");
    assert!(why["unknown"].as_str().unwrap().contains("longer"), "{why}");
}

/// The first is Debian 12's, as it is there.
#[test]
fn which_linux_it_is() {
    let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
    assert_eq!(
        at(&[("got os", debian)], "os"),
        json!({"id": "debian", "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"})
    );
    let arch = "# rolls\nID='arch'\nPRETTY_NAME=Arch\\ Linux\n";
    assert_eq!(
        at(&[("got os", arch)], "os"),
        json!({"id": "arch", "version_id": {"not_applicable": "os-release has no VERSION_ID"}, "pretty_name": "Arch Linux"})
    );
    assert_eq!(at(&[("got os", "")], "os.id"), json!("linux"));
}

#[test]
fn a_hostname_that_the_next_boot_changes_is_seen() {
    let names = |now: &str, configured: &str| {
        read(&[
            ("got hostname", now),
            ("got hostname_configured", configured),
        ])["hostname"]
            .clone()
    };
    assert_eq!(
        names("node1\n", "# ours\n\nnode2\n"),
        json!({"name": "node1", "configured": "node2", "same": false})
    );
    assert_eq!(names("node1\n", "node1")["same"], json!(true));
    assert_eq!(
        names("node1\n", "")["same"],
        json!({"not_applicable": "/etc/hostname has no name"})
    );
}

#[test]
fn the_clock_is_compared_with_ours() {
    // Ours is 1000000.9.
    for (clock, skew) in [
        ("999999", -1),
        ("1000000", 0),
        ("1000002", 1),
        ("1000061", 60),
        ("999100", -900),
    ] {
        assert_eq!(
            at(&[("got clock", clock)], "time.skew"),
            json!(skew),
            "{clock}"
        );
    }
    // The reading took three seconds; what it may have taken tells nothing.
    for (clock, skew) in [
        (999_996, -3),
        (999_999, 0),
        (1_000_000, 0),
        (1_000_003, 0),
        (1_000_004, 0),
        (1_000_005, 1),
    ] {
        let clock = clock.to_string();
        let facts = Facts::read_within(
            &parts(&[("got clock", clock.as_str())]),
            1_000_000.4..=1_000_003.6,
        );
        assert_eq!(facts.time.skew.is(), Some(&skew), "{clock}");
    }
    let zone = |text: &str| at(&[("got timezone", text)], "time.timezone");
    assert_eq!(
        zone("/usr/share/zoneinfo/Europe/Berlin\n"),
        json!("Europe/Berlin")
    );
    assert_eq!(zone("Etc/UTC\n"), json!("Etc/UTC"));
    let synchronized = |text: &str| at(&[("got synchronized", text)], "time.synchronized");
    assert_eq!(synchronized("NTPSynchronized=yes\n"), json!(true));
    assert_eq!(synchronized("NTPSynchronized=no\n"), json!(false));
    // busybox 1.35, as it is there.
    let adjtimex = "    mode:         0\n    status:       64 (UNSYNC)\n-p  timeconstant: 2\n";
    assert_eq!(synchronized(adjtimex), json!(false));
    assert_eq!(
        synchronized(&adjtimex.replace("64 (UNSYNC)", "1 (PLL)")),
        json!(true)
    );
    assert!(synchronized("something else")["unknown"].is_string());
}

#[test]
fn which_cgroups_are_mounted() {
    let cgroup = |text: &str| at(&[("got cgroup", text)], "cgroup");
    assert_eq!(
        cgroup("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"),
        json!("v2")
    );
    // As it is there, on a kernel with both.
    assert_eq!(
        cgroup(
            "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
        ),
        json!("hybrid")
    );
    assert_eq!(
        cgroup("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"),
        json!("v1")
    );
    assert!(cgroup("")["not_applicable"].is_string());
}

#[test]
fn memory_is_said_in_bytes() {
    let text = "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\nSwapTotal:      512 kB\nSwapFree:        500 kB\n";
    assert_eq!(
        at(&[("got memory", text)], "memory"),
        json!({"total": 2_097_152, "available": 1_048_576, "swap_total": 524_288, "swap_free": 512_000, "swap_used": 12_288})
    );
    assert_eq!(
        at(
            &[("got memory", &text.replace("MemAvailable", "Other"))],
            "memory.available"
        ),
        json!({"unknown": "/proc/meminfo has no MemAvailable"})
    );
}

#[test]
fn what_swap_is_on_and_what_brings_it_back() {
    let all = [
        (
            "got swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda2                               partition\t1048572\t\t12\t\t-2\n/var/a\\040swap\\040file\\040(deleted)         file\t\t4\t\t0\t\t10\n/dev/zram0                              partition\t8\t\t0\t\t100\n",
        ),
        (
            "got by_uuid",
            "total 0\nlrwxrwxrwx 1 root root 10 Nov 22 04:00 1234-abcd -> ../../sda2\n",
        ),
        (
            "got by_label",
            "total 0\nlrwxrwxrwx 1 root root 10 Nov 22 04:00 my\\x20swap -> ../../sda2\n",
        ),
        (
            "got fstab",
            "# /etc/fstab\nUUID=1 / ext4 defaults 0 1\nUUID=1234-abcd none swap sw 0 0\n#/old none swap sw 0 0\n/mnt/swap /mnt/swap ext4\n/a\\040b none swap\nPARTLABEL='swap' none swap sw\nLABEL=other none swap sw\n/dev/vg/swap none swap sw\n",
        ),
        (
            "got by_partlabel",
            "lrwxrwxrwx 1 root root 10 Nov 22 04:00 swap -> ../../sda2\n",
        ),
        ("got swap_links", "/dev/vg/swap\t/dev/dm-0\n"),
        ("got gpt_auto", "/dev/sda2\n"),
        // In the form of systemd 252.
        (
            "got swap_units",
            "Id=dev-sda2.swap\nFollowing=\nLoadState=loaded\nActiveState=active\nUnitFileState=generated\nFragmentPath=/run/systemd/generator/dev-sda2.swap\nSourcePath=/etc/fstab\nWhat=/dev/sda2\n\nId=dev-disk-by\\x2duuid-1.swap\nFollowing=dev-sda2.swap\nLoadState=loaded\nActiveState=active\n\nId=dev-sdb1.swap\nFollowing=\nLoadState=loaded\nActiveState=inactive\nUnitFileState=generated\nFragmentPath=/run/systemd/generator.late/dev-sdb1.swap\nDocumentation=man:systemd-gpt-auto-generator(8)\nWhat=/dev/sdb1\n\nId=dev-zram0.swap\nLoadState=loaded\nActiveState=active\nFragmentPath=/run/systemd/generator/dev-zram0.swap\nDocumentation=man:zram-generator(8) man:zram-generator.conf(5)\n\nId=swapfile.swap\nLoadState=loaded\nActiveState=active\nFragmentPath=\nWhat=/swapfile\n\nId=own.swap\nLoadState=loaded\nActiveState=active\nFragmentPath=/etc/systemd/system/own.swap\n\nId=off.swap\nLoadState=masked\nActiveState=inactive\nFragmentPath=/etc/systemd/system/off.swap\n\nId=gone.swap\nLoadState=not-found\nActiveState=inactive\n",
        ),
    ];
    let swap = at(&all, "swap");
    assert_eq!(swap["on"], json!(true));
    assert_eq!(
        swap["devices"],
        json!([
            {"path": "/dev/sda2", "kind": "partition", "size": 1_073_737_728, "used": 12_288, "priority": -2, "uuid": "1234-abcd", "label": "my swap", "removed": false},
            {"path": "/var/a swap file", "kind": "file", "size": 4096, "used": 0, "priority": 10, "uuid": null, "label": null, "removed": true},
            {"path": "/dev/zram0", "kind": "zram", "size": 8192, "used": 0, "priority": 100, "uuid": null, "label": null, "removed": false},
        ])
    );
    assert_eq!(
        swap["fstab"],
        json!([
            {"line": 3, "what": "UUID=1234-abcd", "device": "/dev/sda2", "options": "sw"},
            {"line": 6, "what": "/a b", "device": "/a b", "options": "defaults"},
            {"line": 7, "what": "PARTLABEL='swap'", "device": "/dev/sda2", "options": "sw"},
            {"line": 8, "what": "LABEL=other", "device": null, "options": "sw"},
            {"line": 9, "what": "/dev/vg/swap", "device": "/dev/dm-0", "options": "sw"},
        ])
    );
    assert_eq!(swap["gpt_auto"], json!(["/dev/sda2"]));
    let made: Vec<String> = swap["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| format!("{} {}", u["unit"], u["made_by"]).replace('"', ""))
        .collect();
    assert_eq!(
        made,
        [
            "dev-sda2.swap fstab-generator",
            "dev-sdb1.swap gpt-auto-generator",
            "dev-zram0.swap zram-generator",
            "off.swap masked",
            "own.swap unit-file",
            "swapfile.swap swapon",
        ]
    );
}

#[test]
fn a_kernel_without_swap_has_none_on_and_what_cannot_be_read_is_not_none() {
    assert_eq!(
        at(&[("none swaps this kernel has no swap", "")], "swap.on"),
        json!(false)
    );
    assert_eq!(at(&[("got swaps", "Filename\n")], "swap.on"), json!(false));
    for broken in ["Filename\n/dev/sda2 partition\n", "Filename\nx\n"] {
        assert!(
            at(&[("got swaps", broken)], "swap.on")["unknown"].is_string(),
            "{broken}"
        );
    }
    assert_eq!(
        at(&[("none swap_units no systemd", "")], "swap.units"),
        json!({"not_applicable": "no systemd"})
    );
}

#[test]
fn units_are_those_that_were_asked_for() {
    let one = |id: &str| {
        format!(
            "Id={id}\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nFragmentPath=/lib/{id}\nNeedDaemonReload=no\n\n"
        )
    };
    let all: String = UNITS
        .split_whitespace()
        .map(|unit| match unit {
            // An alias is shown as the unit that it stands for.
            "chronyd.service" => one("chrony.service"),
            "kubelet.service" => one("kubelet.service").replace("=loaded", "=not-found"),
            unit => one(unit),
        })
        .collect();
    let units = at(&[("got units", &all)], "units");
    assert_eq!(units["kubelet"]["there"], json!(false));
    assert_eq!(units["chronyd"]["active"], json!(true));
    assert_eq!(
        units["network_manager"]["fragment_path"],
        json!("/lib/NetworkManager.service")
    );
    let some = at(&[("got units", &one("docker.service"))], "units");
    assert_eq!(some["docker"]["sub_state"], json!("running"));
    assert!(some["crio"]["unknown"].is_string());
    assert_eq!(
        at(&[("none units no systemd", "")], "units"),
        json!({"not_applicable": "no systemd"})
    );
    // Each is a name in conditions.
    assert_eq!(
        units.as_object().unwrap().len(),
        UNITS.split_whitespace().count()
    );
}

/// The links of a real machine, as it is there, and made-up ones.
const LINKS: &str = "eth0|4|4|1500|up|0x1003|02:fc:00:00:00:01|1|device\nlo|1|1|65536|unknown|0x9|00:00:00:00:00:00|772|\nifb0|2|2|1500|down|0x82|06:c7:23:af:6a:23|1|\ncali1|7|3|1480|up|0x1043|ee:ee:ee:ee:ee:ee|1|\ntunl0|8|0|1480|unknown|0xc1|00:00:00:00|768|\nbr0|9|9|1500|up|0x1003|02:00:00:00:00:09|1|bridge\n";

#[test]
fn interfaces_with_all_their_addresses() {
    // iproute2 6.1; the first six lines as they are there.
    let addresses = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n1: lo    inet6 ::1/128 scope host \\       valid_lft forever preferred_lft forever\n4: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever\n4: eth0    inet6 fd00::2/64 scope global \\       valid_lft forever preferred_lft forever\n4: eth0    inet6 fe80::fc:ff:fe00:1/64 scope link \\       valid_lft forever preferred_lft forever\n4: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global secondary eth0\\       valid_lft forever preferred_lft forever\n4: eth0    inet 192.0.2.100/32 scope global eth0\\       valid_lft forever preferred_lft forever\n4: eth0    inet 192.0.2.101/24 scope global secondary eth0:vip\\       valid_lft forever preferred_lft forever\n4: eth0    inet6 fd00::5/128 scope global dynamic noprefixroute \\       valid_lft 1sec preferred_lft 1sec\n8: tunl0    inet 10.244.1.0/32 scope global tunl0\\       valid_lft forever preferred_lft forever\n7: cali1@if3    inet 169.254.1.1 peer 10.0.0.2/32 scope link cali1\\    valid_lft forever\n";
    let found = at(
        &[("got links", LINKS), ("got addresses", addresses)],
        "interfaces",
    );
    let mut shown = String::new();
    for i in found.as_array().unwrap() {
        shown += &format!("{} {} {} up={}", i["name"], i["kind"], i["state"], i["up"]);
        for a in i["addresses"].as_array().unwrap() {
            shown += &format!("\n  {}/{} {}", a["address"], a["prefix"], a["scope"]);
            for mark in ["secondary", "dynamic", "vip"] {
                if a[mark] == json!(true) {
                    shown += &format!(" {mark}");
                }
            }
        }
        shown += "\n";
    }
    insta::assert_snapshot!(shown.replace('"', ""), @"
    lo loopback unknown up=true
      127.0.0.1/8 host
      ::1/128 host
    ifb0 virtual down up=false
    eth0 device up up=true
      192.0.2.2/24 global
      fd00::2/64 global
      fe80::fc:ff:fe00:1/64 link
      192.0.2.7/24 global secondary
      192.0.2.100/32 global vip
      192.0.2.101/24 global secondary vip
      fd00::5/128 global dynamic
    cali1 veth up up=true
      169.254.1.1/32 link
    tunl0 tunnel unknown up=true
      10.244.1.0/32 global
    br0 bridge up up=true
    ");
}

#[test]
fn busybox_says_the_same_of_addresses() {
    // busybox 1.35, as it is there.
    let busybox = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n4: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever\n4: eth0    inet6 fd00::2/64 scope global flags 02 \\       valid_lft forever preferred_lft forever\n";
    let iproute = busybox.replace(" flags 02", "");
    let read = |text: &str| {
        at(
            &[("got links", LINKS), ("got addresses", text)],
            "interfaces",
        )
    };
    assert_eq!(read(busybox), read(&iproute));
    assert_eq!(
        read(busybox)[2]["addresses"][1]["address"],
        json!("fd00::2")
    );
    assert_eq!(
        at(
            &[("got links", LINKS), ("no addresses no such tool: ip", "")],
            "interfaces"
        ),
        json!({"unknown": "no such tool: ip"})
    );
}

#[test]
fn routes_of_both_families() {
    // The first two lines as iproute2 6.1 and busybox 1.35 print them there.
    let v4 = "default via 192.0.2.1 dev eth0 \n192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2 \ndefault via 192.0.2.9 dev eth0 proto dhcp metric 100 \nblackhole 10.244.1.0/26 proto bird \n10.9.0.0/16 proto static \\\tnexthop via 192.0.2.3 dev eth0 weight 1 \\\tnexthop via 192.0.2.4 dev eth0 weight 1 \n10.8.0.0/16 via inet6 fe80::1 dev eth0 \n";
    let all = [("got routes_v4", v4), ("got routes_v6", "")];
    let routes = at(&all, "routes");
    assert_eq!(
        routes["default_v4"],
        json!({"to": "default", "kind": "unicast", "via": "192.0.2.1", "dev": "eth0", "src": null, "proto": null, "metric": 0})
    );
    assert_eq!(
        routes["default_v6"],
        json!({"not_applicable": "there is no default route of IPv6"})
    );
    let v4 = routes["v4"].as_array().unwrap();
    assert_eq!(v4.len(), 6);
    assert_eq!(
        (&v4[1]["src"], &v4[2]["metric"]),
        (&json!("192.0.2.2"), &json!(100))
    );
    assert_eq!(
        (&v4[3]["kind"], &v4[3]["dev"]),
        (&json!("blackhole"), &json!(null))
    );
    assert_eq!(v4[4]["via"], json!("192.0.2.3"));
    assert_eq!(v4[5]["via"], json!("fe80::1"));
    // What cannot be read does not pass for no route.
    let broken = at(&[("got routes_v4", "default metric x\n")], "routes");
    assert!(broken["default_v4"]["unknown"].is_string(), "{broken}");
}

/// In the form of systemd 252, with the drop-in of kubeadm 1.34.
const START: &str = "ExecStart={ path=/usr/bin/kubelet ; argv[]=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\nEnvironment=\"KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/a --kubeconfig=/b\" KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\nEnvironmentFiles=/var/lib/kubelet/kubeadm-flags.env (ignore_errors=yes)\nEnvironmentFiles=/etc/default/kubelet (ignore_errors=yes)\n";
const DOWN: (&str, &str) = ("none kubelet_running kubelet does not run", "");
const NO_FLAGS: (&str, &str) = (
    "none kubelet_file=/var/lib/kubelet/kubeadm-flags.env there is none",
    "",
);
const NO_EXTRA: (&str, &str) = ("none kubelet_file=/etc/default/kubelet there is none", "");
const LOADED: (&str, &str) = ("got units", "Id=kubelet.service\nLoadState=loaded\n");
const CONFIG: &str = "got kubelet_config=/var/lib/kubelet/config.yaml";

fn fail_swap_on(all: &[(&str, &str)]) -> String {
    let kubelet = at(all, "kubelet");
    let text = |key: &str| kubelet[key].to_string().replace('"', "");
    format!("{} by {}", text("fail_swap_on"), text("fail_swap_on_from"))
}

#[test]
fn a_flag_of_kubelet_counts_before_its_files() {
    let start = ("got kubelet_start", START);
    let flags = (
        "got kubelet_file=/var/lib/kubelet/kubeadm-flags.env",
        "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/crio/crio.sock --pod-infra-container-image=x\"\n",
    );
    let of = |extra: (&str, &str), config: (&str, &str)| {
        fail_swap_on(&[LOADED, DOWN, start, flags, extra, config])
    };
    let extra = |text: &'static str| ("got kubelet_file=/etc/default/kubelet", text);
    let says = |text: &'static str| (CONFIG, text);
    let all = [
        of(NO_EXTRA, says("kind: KubeletConfiguration\n")),
        of(NO_EXTRA, says("failSwapOn: false\n")),
        of(
            extra("# x\nKUBELET_EXTRA_ARGS=--fail-swap-on=false\n"),
            says("failSwapOn: true\n"),
        ),
        of(
            extra("KUBELET_EXTRA_ARGS='--v=2 --fail-swap-on'\n"),
            says("failSwapOn: false\n"),
        ),
        of(
            extra("KUBELET_EXTRA_ARGS=--fail_swap_on=F --fail-swap-on=1\n"),
            says("{}"),
        ),
        of(
            extra("KUBELET_EXTRA_ARGS=--fail-swap-on=maybe\n"),
            says("{}"),
        ),
        of(NO_EXTRA, says("failSwapOn: maybe\n")),
        of(NO_EXTRA, says("a: b: c\n")),
        of(
            NO_EXTRA,
            (
                "no kubelet_config=/var/lib/kubelet/config.yaml no permission to look into /var/lib/kubelet",
                "",
            ),
        ),
        of(
            NO_EXTRA,
            ("none kubelet_config=/var/lib/kubelet/config.yaml x", ""),
        ),
        of(
            (
                "no kubelet_file=/etc/default/kubelet no permission to read it",
                "",
            ),
            says("{}"),
        ),
        // The file that was read is not the one that counts.
        of(
            extra("KUBELET_EXTRA_ARGS=--config=/etc/other.yaml\n"),
            says("failSwapOn: false\n"),
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    true by default
    false by /var/lib/kubelet/config.yaml
    false by flag --fail-swap-on in /etc/default/kubelet
    true by flag --fail-swap-on in /etc/default/kubelet
    true by flag --fail-swap-on in /etc/default/kubelet
    {unknown:flag --fail-swap-on in /etc/default/kubelet: `maybe` is not true or false} by {unknown:flag --fail-swap-on in /etc/default/kubelet: `maybe` is not true or false}
    {unknown:/var/lib/kubelet/config.yaml: `maybe` is not true or false} by {unknown:/var/lib/kubelet/config.yaml: `maybe` is not true or false}
    {unknown:kubelet's configuration /var/lib/kubelet/config.yaml: mapping values are not allowed in this context at line 1 column 5} by {unknown:kubelet's configuration /var/lib/kubelet/config.yaml: mapping values are not allowed in this context at line 1 column 5}
    {unknown:kubelet's configuration /var/lib/kubelet/config.yaml: no permission to look into /var/lib/kubelet} by {unknown:kubelet's configuration /var/lib/kubelet/config.yaml: no permission to look into /var/lib/kubelet}
    {unknown:kubelet's configuration /var/lib/kubelet/config.yaml is not there} by {unknown:kubelet's configuration /var/lib/kubelet/config.yaml is not there}
    {unknown:/etc/default/kubelet, with flags of kubelet: no permission to read it} by {unknown:/etc/default/kubelet, with flags of kubelet: no permission to read it}
    {unknown:kubelet's configuration /etc/other.yaml: it was not read} by {unknown:kubelet's configuration /etc/other.yaml: it was not read}
    ");
}

#[test]
fn where_kubelet_runs_its_command_line_counts() {
    let line = "/usr/bin/kubelet\0--config\0/var/lib/kubelet/config.yaml\0--config-dir=/etc/kubelet.d\0--node-ip=10.0.0.5\0";
    let all = [
        LOADED,
        ("got kubelet_running 77", line),
        ("got kubelet_start", START),
        NO_FLAGS,
        // Written since it was started.
        (
            "got kubelet_file=/etc/default/kubelet",
            "KUBELET_EXTRA_ARGS=--fail-swap-on=false\n",
        ),
        (
            CONFIG,
            "cgroupDriver: systemd\nfailSwapOn: false\nmemorySwap:\n  swapBehavior: NoSwap\n",
        ),
        ("got kubelet_folder=/etc/kubelet.d", ""),
        (
            "got kubelet_more=/etc/kubelet.d/20-b.conf",
            "failSwapOn: true\nmemorySwap: {swapBehavior: LimitedSwap}\n",
        ),
        (
            "got kubelet_more=/etc/kubelet.d/10-a.conf",
            "failSwapOn: false\nmaxPods: 50\n",
        ),
        (
            "got kubelet_more=/etc/kubelet.d/30-c.conf",
            "maxPods: null\n",
        ),
    ];
    insta::assert_snapshot!(format!("{:#}", at(&all, "kubelet")), @r#"
    {
      "arguments": [
        "--config",
        "/var/lib/kubelet/config.yaml",
        "--config-dir=/etc/kubelet.d",
        "--node-ip=10.0.0.5"
      ],
      "cgroup_driver": "systemd",
      "config": "/var/lib/kubelet/config.yaml",
      "config_dir": "/etc/kubelet.d",
      "fail_swap_on": true,
      "fail_swap_on_from": "/etc/kubelet.d/20-b.conf",
      "hostname_override": {
        "not_applicable": "kubelet is started without --hostname-override"
      },
      "max_pods": 110,
      "running": true,
      "swap_behavior": "LimitedSwap"
    }
    "#);
    assert_eq!(
        at(&all, "container_runtime.endpoint"),
        json!("unix:///run/containerd/containerd.sock")
    );
}

#[test]
fn no_kubelet_is_not_one_that_cannot_be_read() {
    let none = at(&[DOWN, ("none units no systemd", "")], "kubelet");
    assert_eq!(
        none,
        json!({"not_applicable": "no unit kubelet.service and no process kubelet (k3s has it inside its own process)"})
    );
    let hidden = [
        ("no kubelet_running no permission to see it", ""),
        ("none units no systemd", ""),
    ];
    assert_eq!(
        at(&hidden, "kubelet.fail_swap_on"),
        json!({"unknown": "no permission to see it"})
    );
    let silent = at(&[DOWN, ("no units systemctl failed (1)", "")], "kubelet");
    assert_eq!(silent, json!({"unknown": "systemctl failed (1)"}));
}

#[test]
fn sockets_that_nobody_may_look_at_are_not_absent() {
    let sockets = |text: &str| at(&[("got sockets", text)], "container_runtime.sockets");
    assert_eq!(
        sockets("there /run/crio/crio.sock\n"),
        json!(["/run/crio/crio.sock"])
    );
    assert_eq!(sockets(""), json!([]));
    assert!(sockets("closed /run/crio/crio.sock\n")["unknown"].is_string());
}

#[test]
fn conntrack_that_is_not_loaded_does_not_apply() {
    let all = [
        ("got conntrack_count", "12\n"),
        ("got conntrack_max", "262144\n"),
        ("got conntrack_buckets", "65536\n"),
        ("no conntrack_hashsize no permission to read it", ""),
    ];
    assert_eq!(
        at(&all, "conntrack"),
        json!({"loaded": true, "count": 12, "max": 262_144, "buckets": 65_536, "hash_size": {"unknown": "no permission to read it"}})
    );
    assert_eq!(
        at(
            &[("none conntrack_max nf_conntrack is not loaded", "")],
            "conntrack.loaded"
        ),
        json!(false)
    );
}

#[test]
fn what_network_manager_leaves_alone() {
    // In the form of NetworkManager 1.42.
    let config = "# NetworkManager configuration: /etc/NetworkManager/NetworkManager.conf (conf.d: a.conf)\n\n[main]\nplugins=keyfile\nunmanaged-devices=no\n\n[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:tunl*;\n\n[device]\nunmanaged-devices=no\n";
    let all = [
        ("got manager", "yes\n"),
        ("none units no systemd", ""),
        ("got manager_config", config),
        (
            "got manager_devices",
            "eth0:connected\nveth\\:1:unmanaged\nlo:connected (externally)\n",
        ),
    ];
    assert_eq!(
        at(&all, "network_manager"),
        json!({
            "installed": true, "active": true,
            "unmanaged_devices": ["interface-name:cali*", "interface-name:tunl*"],
            "devices": [
                {"device": "eth0", "state": "connected"},
                {"device": "veth:1", "state": "unmanaged"},
                {"device": "lo", "state": "connected (externally)"},
            ],
        })
    );
    // Escapes, and what has no list.
    let list = |config: &str| {
        at(
            &[("got manager_config", config)],
            "network_manager.unmanaged_devices",
        )
    };
    assert_eq!(
        list("[keyfile]\nunmanaged-devices=interface-name:a\\,b;mac:x\n"),
        json!(["interface-name:a,b", "mac:x"])
    );
    assert_eq!(list("[main]\n"), json!([]));
    let absent = "NetworkManager is not installed";
    assert_eq!(
        at(
            &[(&format!("none manager {absent}"), "")],
            "network_manager.active"
        ),
        json!(false)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a host prints: it is read, or said to be unreadable.
    #[test]
    fn nothing_that_a_host_prints_is_too_much(
        texts in proptest::collection::vec(
            prop_oneof![".{0,80}", "([a-zA-Z0-9=:/|\\\\.$\"'{}; -]{0,30}\n){0,6}", "(\\PC|\n|\\\\|\0){0,60}"], 30),
    ) {
        let names = [
            "os", "kernel_release", "hostname", "hostname_configured", "clock", "timezone",
            "synchronized", "cgroup", "memory", "swaps", "fstab", "by_uuid", "by_label", "swap_units",
            "units", "links", "addresses", "routes_v4", "routes_v6", "kubelet_start",
            "kubelet_running", "kubelet_file=/etc/default/kubelet",
            "kubelet_config=/var/lib/kubelet/config.yaml", "sockets", "conntrack_count",
            "conntrack_max", "manager", "manager_config", "manager_devices", "kubelet_more=/x",
        ];
        let mut parts = Parts::default();
        for (name, text) in names.iter().zip(&texts) {
            parts.take(&format!("got {name}"), text.as_bytes());
        }
        let facts = serde_json::to_value(Facts::new(&parts, 0.0)).unwrap();
        prop_assert!(facts.is_object());
    }

    /// The same with forms that are nearly right.
    #[test]
    fn nor_what_is_nearly_right(cut in 0usize..400, line in "[ -~]{0,40}") {
        let cut = |text: &str| text.get(..cut.min(text.len())).unwrap_or_default().to_owned() + &line;
        let all = [
            ("got units", cut(LOADED.1)), ("got kubelet_start", cut(START)),
            ("got links", cut(LINKS)), (CONFIG, cut("failSwapOn: false\nmemorySwap: {swapBehavior: x}\n")),
            ("got addresses", cut("4: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\  x")),
        ];
        let mut parts = Parts::default();
        for (name, text) in &all {
            parts.take(name, text.as_bytes());
        }
        parts.take("none kubelet_running x", b"");
        Facts::new(&parts, 0.0);
    }
}
