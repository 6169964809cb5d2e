//! A table of connections that is full: its own symptom, the plan, the healing, a reboot, and back.

use crate::program::{Program, Ran, expect, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};

pub const CASES: &[Case] = &[
    Case {
        name: "conntrack::a_full_table_gets_room_and_is_taken_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: healed_and_taken_back,
    },
    Case {
        name: "conntrack::the_room_survives_a_reboot_and_is_taken_back_after_it",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: survives_a_reboot,
    },
    Case {
        name: "conntrack::what_kube_proxy_makes_of_it_is_said",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: kube_proxy,
    },
];

const NAME: &str = "sysctl-conntrack";
const NODE: &str = "node02";
const KEYS: &str =
    "/proc/sys/net/netfilter/nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_buckets";

fn on_host(lab: &Lab, script: &str) -> Result<String, String> {
    let text = lab.ssh_text(node(2)?, script);
    Ok(text.map_err(|e| e.to_string())?.trim().to_owned())
}

fn number(lab: &Lab, script: &str) -> Result<u64, String> {
    let text = on_host(lab, script)?;
    text.parse().map_err(|e| format!("{script}: {text}: {e}"))
}

/// The running values, and each file that a boot reads them from, with mode and content.
fn settings(lab: &Lab) -> Result<String, String> {
    on_host(
        lab,
        &format!(
            "cat {KEYS}; cd /etc; find sysctl.d modules-load.d sysctl.conf -exec stat -c '%n %a %u %g' {{}} + | sort; \
             find sysctl.d modules-load.d sysctl.conf -type f -exec sha256sum {{}} + | sort"
        ),
    )
}

fn breaks(lab: &Lab, persistent: bool) -> Result<(), String> {
    let broken = lab.break_(Incident::ConntrackFull, Variant::Busy, node(2)?, persistent);
    let seen = broken.map_err(|e| format!("making the fault: {e}"))?;
    match seen.contains("table full, dropping packet") {
        true => Ok(()),
        false => Err(format!("the kernel does not say it: {seen}")),
    }
}

/// Packets that were dropped since the machine came up, as the table was full.
fn drops(lab: &Lab) -> Result<u64, String> {
    // Hexadecimal, in a column of its own, a line for each processor.
    number(
        lab,
        "perl -lane 'if ($. == 1) { ($at) = grep { $F[$_] eq \"drop\" } 0..$#F; next } $n += hex $F[$at]; \
         END { print $n }' /proc/net/stat/nf_conntrack",
    )
}

/// The program's questions get into the table, more than it took before, and none is dropped any more.
fn nothing_is_dropped(lab: &Lab) -> Result<(), String> {
    let count = || number(lab, "cat /proc/sys/net/netfilter/nf_conntrack_count");
    wait_until(60, "more connections than there was room for", || {
        Ok(count()? > 600)
    })?;
    let before = drops(lab)?;
    wait_until(60, "still more connections", || Ok(count()? > 1000))?;
    expect("packets dropped since", &(drops(lab)? - before), &0)
}

fn apply(program: &Program<'_>) -> Result<Ran, String> {
    program.run(&["apply", NAME, "--node", NODE, "--yes"])
}

fn second_apply_does_nothing(program: &Program<'_>) -> Result<(), String> {
    let (journals, before) = (program.journals(), settings(program.lab)?);
    apply(program)?.exits(0)?.says(&[
        "Nothing to do",
        "Nothing was written",
        "of 1000000 entries are in use",
    ])?;
    expect("journals", &program.journals(), &journals)?;
    expect("the settings", &settings(program.lab)?, &before)
}

/// Running values and files are what they were, and the fault is said to be back.
fn undo_restores(program: &Program<'_>, run: &str, before: &str) -> Result<(), String> {
    program.run(&["undo", run, "--yes"])?.exits(0)?.says(&[
        "is taken back",
        "The fault that it had healed is back",
        "the table of connections of node02 is full or nearly so",
    ])?;
    expect("the settings", &settings(program.lab)?.as_str(), &before)
}

fn healed_and_taken_back(lab: &Lab) -> Result<(), String> {
    breaks(lab, false)?;
    let dropped = drops(lab)?;
    wait_until(30, "packets that are dropped", || Ok(drops(lab)? > dropped))?;
    let before = settings(lab)?;
    let program = Program::new(lab)?;
    program
        .run(&["plan", NAME, "--node", NODE])?
        .exits(0)?
        .says(&[
            "file /etc/modules-load.d/nf_conntrack.conf of node02",
            "+ nf_conntrack",
            "running value of net.netfilter.nf_conntrack_max of node02 - 512 + 1000000",
            "running value of net.netfilter.nf_conntrack_buckets of node02 - 512 + 253952",
            "file /etc/sysctl.d/99-zz-conntrack.conf of node02",
            "+ net.netfilter.nf_conntrack_buckets = 253952",
            "+ net.netfilter.nf_conntrack_max = 1000000",
            "of 512 entries are in use",
            "99-zz-conntrack.conf has the last word on net.netfilter.nf_conntrack_max after a boot",
            "1000000 tracked connections may take up to 306 MiB of memory that is never swapped",
            "reads until less than 90 % of the table of connections of node02 is in use",
            "there is no DaemonSet kube-system/kube-proxy",
            "2 steps change something.",
            "Undo brings the fault back as well: the table of connections of node02 is full",
            "is taken back by itself",
            "Nothing was written.",
        ])?;
    expect("the settings", &settings(lab)?, &before)?;

    let ran = apply(&program)?.exits(0)?.says(&[
        "✓ node02: See room in the table",
        "of 1000000 entries are in use",
        "No longer so: the table of connections of node02 is full or nearly so",
    ])?;
    expect(
        "the values",
        &on_host(lab, &format!("cat {KEYS}"))?.as_str(),
        &"1000000\n253952",
    )?;
    nothing_is_dropped(lab)?;
    second_apply_does_nothing(&program)?;
    undo_restores(&program, &ran.run()?, &before)?;
    wait_until(30, "packets that are dropped again", || {
        let dropped = drops(lab)?;
        wait_until(10, "one more", || Ok(drops(lab)? > dropped)).map(|()| true)
    })
}

fn survives_a_reboot(lab: &Lab) -> Result<(), String> {
    breaks(lab, true)?;
    // A boot would pass over the values now: nothing loads the module before it sets them.
    on_host(lab, "rm /etc/modules-load.d/conntrack.conf; sync")?;
    let before = settings(lab)?;
    let program = Program::new(lab)?;
    let ran = apply(&program)?.exits(0)?.says(&[
        "/etc/sysctl.d/99-zz-conntrack.conf is read after /etc/sysctl.d/60-conntrack.conf line 2, which says \
         512, and has the last word on net.netfilter.nf_conntrack_max",
        "+ nf_conntrack",
    ])?;
    let after = settings(lab)?;

    lab.reboot(node(2)?).map_err(|e| e.to_string())?;
    on_host(lab, "systemctl is-active lab-chatter")?;
    expect("the settings after the reboot", &settings(lab)?, &after)?;
    nothing_is_dropped(lab)?;
    let full = on_host(
        lab,
        "journalctl -k -b -o cat | grep -c 'table full' || true",
    )?;
    expect("complaints of the kernel since", &full.as_str(), &"0")?;
    wait_until(120, "the API server's word on the node", || {
        let ready = [
            "wait",
            "--for=condition=Ready",
            "node/node02",
            "--timeout=5s",
        ];
        Ok(lab.kubectl_text(&ready).is_ok())
    })?;
    second_apply_does_nothing(&program)?;
    undo_restores(&program, &ran.run()?, &before)
}

/// As kubeadm makes it, but that it runs on no node: only what is written down counts.
const KUBE_PROXY: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data:
  config.conf: |
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    conntrack: {maxPerCore: PER_CORE, min: null}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-proxy}}
  template:
    metadata: {labels: {k8s-app: kube-proxy}}
    spec:
      nodeSelector: {no-such: node}
      containers:
        - name: kube-proxy
          image: registry.k8s.io/kube-proxy:v1.34.4
          command: [/usr/local/bin/kube-proxy, --config=/var/lib/kube-proxy/config.conf]
"#;

fn kube_proxy(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let kubectl = |args: &[&str]| lab.kubectl_text(args).map_err(|e| e.to_string());
    let file = program.path().join("kube-proxy.yaml");
    let path = file.display().to_string();
    let says = |per_core: &str, words: &[&str]| {
        let text = KUBE_PROXY.replace("PER_CORE", per_core);
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        kubectl(&["apply", "-f", &path])?;
        program
            .run(&["plan", NAME, "--node", NODE])?
            .exits(0)?
            .says(words)
    };
    let warned = says(
        "null",
        &[
            "kube-proxy 1.34 sets net.netfilter.nf_conntrack_max to 131072 when it starts (by ConfigMap \
             kube-system/kube-proxy: maxPerCore 32768 for 1 core, min 131072)",
            "note: with its next start, kube-proxy takes the node back to 131072: to keep 1000000 for good, \
             set conntrack.maxPerCore: 0",
        ],
    );
    let alone = says(
        "0",
        &["kube-proxy 1.34 leaves net.netfilter.nf_conntrack_max alone"],
    );
    kubectl(&["delete", "-f", &path])?;
    warned.and(alone).map(|_| ())
}
