use super::*;
use crate::actions::told::told;
use crate::model::Scope;
use proptest::prelude::*;
use serde_json::json;

fn daemonset(image: &str, command: &[&str]) -> Value {
    let container = json!({"name": "kube-proxy", "image": image, "command": command});
    let other = json!({"name": "other", "command": ["--conntrack-min=1"]});
    json!({"spec": {"template": {"spec": {"containers": [other, container]}}}})
}

/// As kubeadm has it.
fn by_kubeadm(version: &str) -> Value {
    let image = format!("registry.k8s.io/kube-proxy:{version}");
    daemonset(
        &image,
        &[
            "/usr/local/bin/kube-proxy",
            "--config=/var/lib/kube-proxy/config.conf",
            "--hostname-override=$(NODE_NAME)",
        ],
    )
}

fn config(conntrack: &str) -> Value {
    let text =
        format!("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nconntrack:{conntrack}\nmode: ''\n");
    json!({"data": {"config.conf": text, "kubeconfig.conf": ""}})
}

fn node(cores: &str) -> Value {
    json!({"status": {"capacity": {"cpu": cores}}})
}

fn decided(seen: &Seen, max: u64) -> String {
    let action = ProxyConntrack { max };
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(seen, place, Prior { steps: &[] });
    told(&action, seen, decision)
}

fn of(daemonset: &Value, config: Option<&Value>, cores: &str) -> String {
    let proxy = Proxy::new(daemonset, config, &node(cores));
    decided(&proxy.map_or_else(Seen::Unread, Seen::Proxy), 1_000_000)
}

#[test]
fn what_it_sets_is_said_and_how_to_make_a_value_last() {
    let usual = "\n  maxPerCore: null\n  min: null";
    let alone = "\n  maxPerCore: 0\n  min: 5";
    let enough = "\n  maxPerCore: 32768\n  min: 1000000";
    let mut all = Vec::new();
    for (version, conntrack, cores) in [
        ("v1.34.4", usual, "1"),
        ("v1.34.4", usual, "8"),
        ("v1.34.4", usual, "64"),
        ("v1.34.4", " {}", "3500m"),
        ("v1.34.4", alone, "64"),
        ("v1.34.4", enough, "2"),
        ("v1.22.17", usual, "2"),
        ("v1.28.0", usual, "2"),
        ("v1.36.0", usual, "2"),
        ("v1.36.0", usual, "512"),
        ("v1.38.1", usual, "2"),
        ("stable@sha256:12", usual, "2"),
        ("v1.34.4", "\n  min: many", "2"),
        ("v1.34.4", "\n  min: [", "2"),
    ] {
        let said = of(&by_kubeadm(version), Some(&config(conntrack)), cores);
        all.push(format!(
            "{version}, {}, {cores} cores\n  {}",
            conntrack.trim().replace("\n ", ","),
            said.replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_comes_of_many_cores_is_capped_whatever_the_minimum_is() {
    let wants = config("\n  min: 2000000");
    let proxy = |version, cores| Proxy::new(&by_kubeadm(version), Some(&wants), &node(cores));
    for (version, cores, sets) in [
        ("v1.34.4", "64", 2_097_152),
        ("v1.36.0", "64", 1_048_576),
        ("v1.36.0", "32", 2_000_000),
    ] {
        assert_eq!(
            proxy(version, cores).unwrap().sets(),
            Some(sets),
            "{version} {cores}"
        );
    }
    // A larger minimum would be no help there.
    let seen = Seen::Proxy(proxy("v1.36.0", "64").unwrap());
    insta::assert_snapshot!(decided(&seen, 3_000_000), @"
    no change: kube-proxy 1.36 may set net.netfilter.nf_conntrack_max to 1048576 when it starts, as Kubernetes 1.29 to 1.35 does (by ConfigMap kube-system/kube-proxy: maxPerCore 32768 for 64 cores, min 2000000)
    note: with its next start, kube-proxy may take the node back to 1048576: to keep 3000000 for good, set conntrack.maxPerCore: 0, in ConfigMap kube-system/kube-proxy, and start its pods anew
    ");
}

#[test]
fn it_is_found_however_it_is_set_up() {
    let image = "registry:5000/kube-proxy:v1.30.1-eksbuild.2";
    let flags = ["kube-proxy", "--conntrack-max-per-core=0"];
    let words = ["kube-proxy", "--conntrack-min", "200000"];
    let odd = ["kube-proxy", "--conntrack-min=x"];
    let elsewhere = ["kube-proxy", "--config=/etc/other.conf"];
    let config = config(" {}");
    let said = [
        of(&daemonset(image, &flags), Some(&config), "4"),
        of(&daemonset(image, &words), None, "4"),
        of(&daemonset(image, &odd), None, "4"),
        of(&daemonset(image, &elsewhere), Some(&config), "4"),
        of(&by_kubeadm("v1.34.4"), None, "4"),
        of(&by_kubeadm("v1.34.4"), Some(&config), "four"),
        of(&json!({}), Some(&config), "4"),
        decided(&Seen::Absent, 5),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic_and_it_never_refuses(
        image in "\\PC{0,20}",
        word in "(--config=|--conntrack-min=?|--conntrack-max-per-core=)?\\PC{0,12}",
        text in "\\PC{0,30}",
        cores in "[0-9m]{0,21}",
        max: u64,
    ) {
        let map = json!({"data": {"config.conf": text}});
        let proxy = Proxy::new(&daemonset(&image, &[&word]), Some(&map), &node(&cores));
        let seen = proxy.map_or_else(Seen::Unread, Seen::Proxy);
        prop_assert!(decided(&seen, max).starts_with("no change: "));
    }

    /// It takes the larger of both, and less only where a version caps.
    #[test]
    fn a_larger_setting_never_gives_a_smaller_table(
        per_core in 1u64..1_000_000, min in 0u64..3_000_000, cores in 1u64..600, more in 0u64..1000, minor in 20u32..36,
    ) {
        let proxy = |max_per_core, min| Proxy { minor: Some(minor), by: "x", max_per_core, min, cores };
        let sets = proxy(per_core, min).sets();
        prop_assert!(sets >= Some(min.max(per_core * cores)));
        prop_assert!(proxy(per_core + more, min).sets() >= sets);
        prop_assert!(proxy(per_core, min + more).sets() >= sets);
    }
}
