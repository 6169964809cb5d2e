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
        name: "conntrack::a_host_without_the_module_needs_no_leave",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: without_the_module,
    },
    Case {
        name: "conntrack::what_kube_proxy_makes_of_it_is_said",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: kube_proxy,
    },
];

const NAME: &str = "sysctl-conntrack";
const NODE: &str = "node02";
const KEYS: &str =
    "/proc/sys/net/netfilter/nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_buckets";

fn on_host(lab: &Lab, script: &str) -> Result<String, String> {
    let node = node(2)?;
    // 255 is ssh's own failure.
    let output = again(
        || lab.ssh(node, script).map_err(|e| e.to_string()),
        |output| output.as_ref().is_ok_and(|o| o.status.code() == Some(255)),
    )?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{script}: {}", text(&output.stderr))),
    }
}

/// Of a full table new logins are dropped as well, and a person tries again then.
fn again<T>(attempt: impl Fn() -> T, failed: impl Fn(&T) -> bool) -> T {
    let mut last = attempt();
    for _ in 0..5 {
        if !failed(&last) {
            break;
        }
        last = attempt();
    }
    last
}

fn run(program: &Program<'_>, args: &[&str]) -> Result<Ran, String> {
    let unreached = |ran: &Result<Ran, String>| {
        ran.as_ref().is_ok_and(|ran| {
            ran.code == 4
                && ran
                    .stderr
                    .contains("node02 (10.77.0.12) cannot be reached over SSH")
        })
    };
    again(|| program.run(args), unreached)
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

/// For scripts: how many packets were dropped since the machine came up, as the table was full, how many
/// connections are in it, and waiting. Each login leaves an entry for two minutes: they are few.
const LOOK: &str = r#"
drops() {
    perl -lane 'if ($. == 1) { ($at) = grep { $F[$_] eq "drop" } 0..$#F; next } $n += hex $F[$at]; END { print $n }' \
        /proc/net/stat/nf_conntrack
}
count() { cat /proc/sys/net/netfilter/nf_conntrack_count; }
above() {
    n=0
    until [ "$($1)" -gt "$2" ]; do
        n=$((n + 1))
        [ $n -le 60 ] || { echo "$1 is $($1), and not above $2" >&2; exit 9; }
        sleep 1
    done
}
"#;

fn packets_are_dropped(lab: &Lab) -> Result<(), String> {
    on_host(lab, &format!("{LOOK} above drops $(drops)")).map(|_| ())
}

/// The program's questions get into the table, more than it took before, and none is dropped any more.
fn nothing_is_dropped(lab: &Lab) -> Result<(), String> {
    let script = "above count 600; before=$(drops); above count 800; echo $(($(drops) - before))";
    let since = on_host(lab, &format!("{LOOK} {script}"))?;
    expect("packets dropped since", &since.as_str(), &"0")
}

fn apply(program: &Program<'_>) -> Result<Ran, String> {
    run(program, &["apply", NAME, "--node", NODE, "--yes"])
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
fn undo_restores(program: &Program<'_>, of: &str, before: &str) -> Result<(), String> {
    run(program, &["undo", of, "--yes"])?.exits(0)?.says(&[
        "is taken back",
        "The fault that it had healed is back",
        "the table of connections of node02 is full or nearly so",
    ])?;
    expect("the settings", &settings(program.lab)?.as_str(), &before)
}

fn healed_and_taken_back(lab: &Lab) -> Result<(), String> {
    breaks(lab, false)?;
    packets_are_dropped(lab)?;
    let before = settings(lab)?;
    let program = Program::new(lab)?;
    run(&program, &["plan", NAME, "--node", NODE])?
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
            "1000000 tracked connections take about 430 MiB of memory that is never swapped",
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
    packets_are_dropped(lab)
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
    wait_until(180, "what fills the table to run again", || {
        Ok(on_host(lab, "systemctl is-active lab-chatter").is_ok())
    })?;
    expect("the settings after the reboot", &settings(lab)?, &after)?;
    nothing_is_dropped(lab)?;
    let full = on_host(
        lab,
        "journalctl -k -b -o cat | grep -c 'table full' || true",
    )?;
    expect("complaints of the kernel since", &full.as_str(), &"0")?;
    wait_until(180, "the API server's word on the node", || {
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

/// Nothing tracks connections before kubelet's own rules: a boot without kubelet has no such keys.
fn without_the_module(lab: &Lab) -> Result<(), String> {
    let keys = || on_host(lab, &format!("ls {KEYS} 2>/dev/null || true"));
    on_host(lab, "systemctl -q disable kubelet")?;
    lab.reboot(node(2)?).map_err(|e| e.to_string())?;
    expect("keys", &keys()?.as_str(), &"")?;
    let files = "cd /etc; find sysctl.d modules-load.d -type f -exec sha256sum {} + | sort";
    let before = on_host(lab, files)?;
    let program = Program::new(lab)?;
    let ran = apply(&program)?.exits(0)?.says(&[
        "kernel module nf_conntrack of node02 - not loaded + loaded",
        "? values Set how many connections are followed, now and at boot later",
        "it is decided when its turn comes, and done then",
        "net.netfilter.nf_conntrack_max becomes 1000000, unless the kernel itself makes it larger; what it is \
         before is seen once its module is loaded, and shown before it is changed",
        "1 step changes something. 1 is decided when its turn comes.",
        // Shown before it is done.
        "running value of net.netfilter.nf_conntrack_max of node02 - 5120 + 1000000",
        "✓ node02: See room in the table",
    ])?;
    expect(
        "the values",
        &on_host(lab, &format!("cat {KEYS}"))?.as_str(),
        &"1000000\n253952",
    )?;
    second_apply_does_nothing(&program)?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    expect("keys", &keys()?.as_str(), &"")?;
    expect("the files", &on_host(lab, files)?, &before)?;
    on_host(lab, "systemctl -q enable --now kubelet").map(|_| ())
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
