//! What a host is and has, as it is read there.

use super::Case;
use super::client::{Client, block, host_as, login, same};
use super::machine::{Kind, Machine};
use super::place::{Place, text};
use super::shells::{APPLETS, over_sh};
use runbook::model::Identity;
use runbook::transport::Hosts;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

pub const CASES: &[Case] = &[
    Case {
        name: "facts_under_dash",
        run: |place| facts_are_read(place, over_sh("dash")),
    },
    Case {
        name: "facts_under_bash",
        run: |place| facts_are_read(place, over_sh("bash")),
    },
    Case {
        name: "facts_under_busybox_sh",
        run: |place| facts_are_read(place, over_sh("busybox")),
    },
    Case {
        name: "facts_where_all_tools_are_busyboxs",
        run: |place| facts_are_read(place, over_sh("busybox") + APPLETS),
    },
    Case {
        name: "facts_of_a_kubelet",
        run: facts_of_a_kubelet,
    },
    Case {
        name: "facts_of_a_host_without_tools",
        run: facts_of_a_host_without_tools,
    },
    Case {
        name: "facts_that_systemd_gives",
        run: facts_that_systemd_gives,
    },
    Case {
        name: "facts_of_swap_to_come",
        run: facts_of_swap_to_come,
    },
    Case {
        name: "facts_that_systemd_does_not_give",
        run: facts_that_systemd_does_not_give,
    },
    Case {
        name: "facts_of_a_kubelet_that_systemd_does_not_know",
        run: facts_of_a_kubelet_that_systemd_does_not_know,
    },
    Case {
        name: "facts_decide_what_a_plan_does",
        run: facts_decide_what_a_plan_does,
    },
    Case {
        name: "facts_are_printed",
        run: facts_are_printed,
    },
];

async fn facts(
    hosts: &Hosts,
    machine: &Machine,
    user: &str,
    identity: Identity,
) -> Result<Value, String> {
    let of = host_as(identity);
    let facts = hosts.facts(&login(machine, user), &of).await;
    serde_json::to_value(facts.map_err(text)?).map_err(text)
}

fn at<'v>(facts: &'v Value, name: &str) -> &'v Value {
    static NONE: Value = Value::Null;
    let pointer = format!("/{}", name.replace('.', "/"));
    facts.pointer(&pointer).unwrap_or(&NONE)
}

/// What does not change while it is looked at.
fn lasting(mut facts: Value) -> Value {
    for name in ["memory", "time"] {
        facts[name] = Value::Null;
    }
    facts["conntrack"]["count"] = Value::Null;
    facts
}

fn facts_are_read(place: &Place, prepare: String) -> Result<(), String> {
    let kind = Kind {
        prepare: &prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let root = facts(&hosts, &machine, "root", Identity::Login).await?;
        let no_systemd = json!({"not_applicable": "no systemd"});
        for (name, wanted) in [
            ("machine_id", json!("5e".repeat(16))),
            ("hostname.name", json!("localhost")),
            ("time.skew", json!(0)),
            ("units", no_systemd.clone()),
            ("swap.units", no_systemd),
            (
                "kubelet",
                json!({"not_applicable": "no unit kubelet.service and no process kubelet (k3s has it inside its own process)"}),
            ),
            ("container_runtime.sockets", json!([])),
        ] {
            same(name, at(&root, name), &wanted)?;
        }
        for name in ["os.id", "kernel.release", "boot_id", "arch", "cgroup"] {
            same(name, at(&root, name).is_string(), true)?;
        }
        for name in ["memory.total", "memory.swap_used"] {
            same(name, at(&root, name).is_u64(), true)?;
        }
        same("swap.on", at(&root, "swap.on").is_boolean(), true)?;
        let lo = at(&root, "interfaces.0");
        same("lo", at(lo, "kind"), &json!("loopback"))?;
        let addresses = at(lo, "addresses").as_array().cloned();
        let address = addresses.and_then(|all| all.first().cloned());
        let address = address.ok_or("lo has no address")?;
        same("its address", at(&address, "address"), &json!("127.0.0.1"))?;
        same("its scope", at(&address, "scope"), &json!("host"))?;
        same("routes", at(&root, "routes.v4").is_array(), true)?;

        // Whoever becomes root sees what root sees; others see what they may, and are told what they may not.
        let by_sudo = facts(&hosts, &machine, "ops", Identity::root()).await?;
        same("as root by sudo", lasting(by_sudo), lasting(root.clone()))?;
        let other = facts(&hosts, &machine, "nosudo", Identity::Login).await?;
        for name in ["machine_id", "os", "interfaces", "swap", "units"] {
            same(name, at(&other, name), at(&root, name))?;
        }
        if at(&root, "conntrack.hash_size").is_u64() {
            same(
                "what only root may read",
                at(&other, "conntrack.hash_size.unknown"),
                &json!("no permission to read /sys/module/nf_conntrack/parameters/hashsize"),
            )?;
        }
        hosts.close().await;
        machine.comes_to_rest().await
    })
}

/// A kubelet that does nothing but be there.
const KUBELET: &str = r#"
mkdir -m 700 /var/lib/kubelet
echo 'failSwapOn: true' >/var/lib/kubelet/config.yaml
mkdir /run/kubelet.d
echo 'failSwapOn: false' >/run/kubelet.d/10-swap.conf
printf '#!/bin/sh\nwhile :; do sleep 1000; done\n' >/run/kubelet
chmod 755 /run/kubelet
/run/kubelet --config /var/lib/kubelet/config.yaml --config-dir=/run/kubelet.d --max-pods=42 &
"#;

fn facts_of_a_kubelet(place: &Place) -> Result<(), String> {
    for shell in ["dash", "busybox"] {
        let kind = Kind {
            prepare: &(over_sh(shell) + KUBELET),
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        block(async {
            let hosts = client.hosts();
            let root = facts(&hosts, &machine, "ops", Identity::root()).await?;
            for (name, wanted) in [
                ("running", json!(true)),
                ("fail_swap_on", json!(false)),
                ("fail_swap_on_from", json!("/run/kubelet.d/10-swap.conf")),
                ("max_pods", json!(42)),
                ("config", json!("/var/lib/kubelet/config.yaml")),
            ] {
                same(name, at(&root, &format!("kubelet.{name}")), &wanted)?;
            }
            let other = facts(&hosts, &machine, "nosudo", Identity::Login).await?;
            let why = "kubelet's configuration /var/lib/kubelet/config.yaml: no permission to look into /var/lib/kubelet";
            same(
                "what others may not read",
                at(&other, "kubelet.fail_swap_on"),
                &json!({"unknown": why}),
            )?;
            same(
                "what a flag says",
                at(&other, "kubelet.max_pods"),
                &json!(42),
            )
        })?;
    }
    Ok(())
}

fn facts_of_a_host_without_tools(place: &Place) -> Result<(), String> {
    let prepare = r#"
: >/run/nothing
for tool in ip swapon uname readlink; do
    for at in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
        [ ! -e "$at/$tool" ] || mount --bind /run/nothing "$at/$tool"
    done
done
"#;
    let kind = Kind {
        prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let root = facts(&hosts, &machine, "root", Identity::Login).await?;
        let lacks = |tool: &str| json!({"unknown": format!("no such tool: {tool}")});
        for (name, wanted) in [
            ("interfaces", lacks("ip")),
            ("routes.default_v4", lacks("ip")),
            ("arch", lacks("uname")),
            (
                "network_manager.devices",
                json!({"not_applicable": "NetworkManager is not installed"}),
            ),
            ("network_manager.active", json!(false)),
        ] {
            same(name, at(&root, name), &wanted)?;
        }
        same(
            "what needs no tool",
            at(&root, "swap.on").is_boolean(),
            true,
        )
    })
}

/// In the place of systemd's own: prints what that of systemd 252 does for a kubelet that is down.
const SYSTEMCTL: &str = r#"
mkdir -p /run/systemd/system /run/tools
cat >/run/tools/systemctl <<'END'
#!/bin/sh
all=$*
case $all in
    *list-units*)
        echo 'dev-disk-by\x2duuid-1.swap loaded inactive dead A swap'
        echo 'dev-sda2.swap loaded inactive dead B swap'
        ;;
    *ExecStart*)
        echo 'ExecStart={ path=/usr/bin/kubelet ; argv[]=/usr/bin/kubelet $CONFIG $MORE ; ignore_errors=no ; pid=0 }'
        echo 'Environment="CONFIG=--v=2 --config=/run/kubelet.yaml"'
        echo 'EnvironmentFiles=/run/kubelet.env (ignore_errors=yes)'
        ;;
    *' -- dev-disk-by\x2duuid-1.swap dev-sda2.swap')
        printf '%s\n' 'Id=dev-sda2.swap' 'Following=' LoadState=loaded ActiveState=inactive \
            FragmentPath=/run/systemd/generator/dev-sda2.swap SourcePath=/etc/fstab What=/dev/sda2 ''
        printf '%s\n' 'Id=dev-disk-by\x2duuid-1.swap' Following=dev-sda2.swap LoadState=loaded
        ;;
    *' kubelet.service '*)
        printf '%s\n' "MainPID=$(cat /run/main)" Id=kubelet.service LoadState=loaded ActiveState=activating \
            SubState=auto-restart UnitFileState=enabled NeedDaemonReload=no ''
        printf '%s\n' MainPID=7 Id=docker.service LoadState=loaded ActiveState=active ''
        printf '%s\n' MainPID=8 Id=NetworkManager.service LoadState=loaded ActiveState=active
        ;;
    *) exit 3 ;;
esac
END
printf '#!/bin/sh\necho NTPSynchronized=yes\n' >/run/tools/timedatectl
chmod 755 /run/tools/*
mount --bind /run/tools /usr/local/sbin
printf '%s\n' 'failSwapOn: true' 'maxPods: 31' >/run/kubelet.yaml
printf '%s\n' "MORE='--fail-swap-on=false'" '# MORE=--config=/run/no.yaml' >/run/kubelet.env
# One link as it is, and one that went while it was read.
mkdir -p /run/net/gone
ln -s /sys/devices/virtual/net/lo /run/net/lo
echo 77 >/run/net/gone/ifindex
mount --bind /run/net /sys/class/net
"#;

fn facts_that_systemd_gives(place: &Place) -> Result<(), String> {
    // One that is down; one that has ended since systemd was asked, as one does that fails again and
    // again: it is no longer there, or nobody has waited for it yet.
    for (shell, main) in [
        ("dash", "echo 0"),
        ("dash", "echo 4194304"),
        ("busybox", "sh -c 'true & echo $!; exec sleep 600 >&-'"),
    ] {
        let main = format!("{main} >/run/main &\nuntil [ -s /run/main ]; do :; done\n");
        let kind = Kind {
            prepare: &(over_sh(shell) + SYSTEMCTL + &main),
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        block(async {
            let hosts = client.hosts();
            let root = facts(&hosts, &machine, "root", Identity::Login).await?;
            for (name, wanted) in [
                ("units.kubelet.sub_state", json!("auto-restart")),
                ("units.docker.active", json!(true)),
                ("kubelet.running", json!(false)),
                ("kubelet.fail_swap_on", json!(false)),
                (
                    "kubelet.fail_swap_on_from",
                    json!("flag --fail-swap-on in /run/kubelet.env"),
                ),
                ("kubelet.config", json!("/run/kubelet.yaml")),
                ("kubelet.max_pods", json!(31)),
                ("swap.units.0.unit", json!("dev-sda2.swap")),
                ("swap.units.0.made_by", json!("fstab-generator")),
                ("swap.units.1", Value::Null),
                ("time.synchronized", json!(true)),
                ("interfaces.0.name", json!("lo")),
                ("interfaces.1", Value::Null),
                ("network_manager.active", json!(true)),
                (
                    "network_manager.unmanaged_devices",
                    json!({"unknown": "no such tool: NetworkManager"}),
                ),
            ] {
                same(name, at(&root, name), &wanted)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Partitions as the kernel and udev tell them: that of the root, one of swap on its disk, one that is not to
/// be turned on by itself, one of another type, and one on another disk. And a link in fstab.
const PARTITIONS: &str = r#"
mkdir -p /run/disks/vda/vda1 /run/disks/vda/vda2 /run/disks/vda/vda3 /run/disks/vda/vda4 /run/disks/vdb/vdb1
mkdir -p /run/block /run/numbers /run/udev/data
minor=16
for partition in vda1 vda2 vda3 vda4 vdb1; do
    minor=$((minor + 1)) at=/run/disks/${partition%?}/$partition
    echo "${partition#???}" >"$at/partition"
    echo "254:$minor" >"$at/dev"
    ln -s "$at" "/run/block/$partition"
    type=0657fd6d-a4ab-43c4-84e5-0933c84b4f4f
    [ "$partition" != vda4 ] || type=0fc63daf-8483-4772-8e79-3d69d8477de4
    printf '%s\n' S:x E:ID_PART_ENTRY_SCHEME=gpt "E:ID_PART_ENTRY_TYPE=$type" >"/run/udev/data/b254:$minor"
done
echo E:ID_PART_ENTRY_FLAGS=0x8000000000000000 >>/run/udev/data/b254:19
while read -r _ _ device _ mount _; do
    [ "$mount" != / ] || root=$device
done </proc/self/mountinfo
ln -s /run/disks/vda/vda1 "/run/numbers/$root"
mount --bind /run/block /sys/class/block
mount --bind /run/numbers /sys/dev/block
mount -t tmpfs none /usr/lib/systemd
mkdir /usr/lib/systemd/system-generators
printf '#!/bin/sh\n' >/usr/lib/systemd/system-generators/systemd-gpt-auto-generator
chmod 755 /usr/lib/systemd/system-generators/systemd-gpt-auto-generator
mkdir /run/links && : >/run/real && ln -s /run/real /run/links/swap
printf '%s\n' '# a comment' '/run/links/swap none swap sw' '/run/links/swap /mnt ext4' >/run/fstab
mount --bind /run/fstab /etc/fstab
"#;

fn facts_of_swap_to_come(place: &Place) -> Result<(), String> {
    for shell in ["dash", "busybox"] {
        let kind = Kind {
            prepare: &(over_sh(shell) + PARTITIONS),
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        block(async {
            let hosts = client.hosts();
            let root = facts(&hosts, &machine, "root", Identity::Login).await?;
            // The swap on the root's own partition's disk; what is on another disk is nobody's.
            same(
                "swap.gpt_auto",
                at(&root, "swap.gpt_auto"),
                &json!(["/dev/vda1", "/dev/vda2"]),
            )?;
            same(
                "swap.fstab",
                at(&root, "swap.fstab"),
                &json!([{"line": 2, "what": "/run/links/swap", "device": "/run/real", "options": "sw"}]),
            )
        })?;
    }
    Ok(())
}

/// One that hangs is asked once; one that fails does not say that nothing runs.
fn facts_that_systemd_does_not_give(place: &Place) -> Result<(), String> {
    let hangs = "systemctl did not end within 15 s";
    for (fails, units, others) in [
        (
            r#"case $2 in systemctl | timedatectl) echo >>/run/asked; exit 124 ;; esac"#,
            hangs,
            Some(hangs),
        ),
        (
            r#"case $2 in systemctl) echo >>/run/asked; exit 1 ;; esac"#,
            "systemctl failed (1)",
            None,
        ),
    ] {
        for shell in [over_sh("dash"), over_sh("busybox")] {
            let timeout = format!(
                "printf '#!/bin/sh\n%s\nexec /usr/bin/timeout \"$@\"\n' '{fails}' >/run/tools/timeout\nchmod 755 /run/tools/timeout\n"
            );
            let kind = Kind {
                prepare: &(shell + SYSTEMCTL + &timeout),
                ..Kind::default()
            };
            let machine = Machine::of_kind(place, &kind)?;
            let client = Client::of(&[&machine])?;
            block(async {
                let hosts = client.hosts();
                let root = facts(&hosts, &machine, "root", Identity::Login).await?;
                let unknown = |why: &str| json!({"unknown": why});
                same("units", at(&root, "units"), &unknown(units))?;
                same(
                    "kubelet.running",
                    at(&root, "kubelet.running"),
                    &unknown("systemctl does not say"),
                )?;
                if let Some(others) = others {
                    for name in ["swap.units", "time.synchronized"] {
                        same(name, at(&root, name), &unknown(others))?;
                    }
                    let asked = fs::read_to_string(machine.inside("/run/asked"));
                    same("how often", asked.map_err(text)?.as_str(), "\n")?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// It may run under another unit, or where this user does not see it.
fn facts_of_a_kubelet_that_systemd_does_not_know(place: &Place) -> Result<(), String> {
    let unknown = json!({"unknown": "no permission to see the processes of others"});
    let absent = "sed -i 's/Id=kubelet.service LoadState=loaded/Id=kubelet.service LoadState=not-found/' /run/tools/systemctl\n";
    let hide = "mount -o remount,hidepid=2 /proc\n";
    for (prepare, user, running, pods) in [
        (
            format!("{absent}echo 0 >/run/main\n"),
            "root",
            json!(true),
            json!(42),
        ),
        (
            format!("{absent}{hide}echo 0 >/run/main\n"),
            "nosudo",
            unknown.clone(),
            unknown.clone(),
        ),
        (
            format!("echo $! >/run/main\n{hide}"),
            "nosudo",
            unknown.clone(),
            unknown.clone(),
        ),
        (
            format!("echo $! >/run/main\n{hide}"),
            "root",
            json!(true),
            json!(42),
        ),
    ] {
        for shell in ["dash", "busybox"] {
            let kind = Kind {
                prepare: &(over_sh(shell) + SYSTEMCTL + KUBELET + &prepare),
                ..Kind::default()
            };
            let machine = Machine::of_kind(place, &kind)?;
            let client = Client::of(&[&machine])?;
            block(async {
                let hosts = client.hosts();
                let seen = facts(&hosts, &machine, user, Identity::Login).await?;
                same(&prepare, at(&seen, "kubelet.running"), &running)?;
                same(&prepare, at(&seen, "kubelet.max_pods"), &pods)
            })?;
        }
    }
    Ok(())
}

/// The kubelet's configuration is changed by the first step, so that the second is needed. There is no
/// API server: the inventory knows the host.
const RUNBOOK: &str = r#"apiVersion: runbook/v1
name: by-facts
summary: Act by what a host is
risk: low
targets: nodes
become: {user: root}
steps:
  - id: here
    uses: host.assert
    with: {that: "facts.hostname.name == 'localhost' && !facts.kubelet.fail_swap_on", because: it is another}
  - id: left_out
    uses: host.script
    when: has(facts.units) && facts.units.kubelet.active
    with: {check: "false", apply: "false"}
  - id: strict
    uses: host.file
    when: facts.kubelet.max_pods == 42
    with: {path: /run/kubelet.d/10-swap.conf, content: "failSwapOn: true\n"}
  - id: after
    uses: host.file
    when: facts.kubelet.fail_swap_on
    with: {path: /srv/after, content: "{{ facts.kubelet.fail_swap_on_from }}\n"}
  - id: seen
    uses: host.assert
    with: {that: facts.kubelet.fail_swap_on, because: kubelet would start with swap}
"#;

fn facts_decide_what_a_plan_does(place: &Place) -> Result<(), String> {
    let kind = Kind {
        prepare: KUBELET,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let folder = tempfile::tempdir().map_err(text)?;
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).map_err(text).map(|()| path)
    };
    let runbook = write("by-facts.yaml", RUNBOOK)?;
    let hosts = format!(
        "apiVersion: runbook.inventory/v1\nhosts:\n  {}: {{user: ops}}\n",
        machine.name
    );
    let inventory = write("inventory.yaml", &hosts)?;
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
    let kubeconfig = write("kubeconfig", nobody)?;
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(&arguments[..1])
            .arg(&runbook)
            .args(["--node", &machine.name])
            .args(&arguments[1..])
            .arg("--ssh-config")
            .arg(client.config())
            .arg("--inventory")
            .arg(&inventory)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .output()
            .map_err(text)?;
        let words =
            [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        let words = words.concat();
        let words: Vec<&str> = words.split_whitespace().collect();
        Ok::<_, String>((words.join(" "), output.status.code()))
    };
    let says = |said: &str, wanted: &str| match said.contains(wanted) {
        true => Ok(()),
        false => Err(format!("`{wanted}` is not in: {said}")),
    };
    let (plan, code) = run(&["plan"])?;
    same(&plan, code, Some(0))?;
    says(
        &plan,
        "not needed: `has(facts.units) && facts.units.kubelet.active` does not hold",
    )?;
    says(
        &plan,
        "it rests on facts of its host, which `strict` may change first (now `facts.kubelet.fail_swap_on` is false, and so it would not be needed)",
    )?;
    says(&plan, "now `facts.kubelet.fail_swap_on` is false")?;
    let (applied, code) = run(&["apply", "--yes", "--allow-unknown", "after"])?;
    same(&applied, code, Some(0))?;
    let written = fs::read_to_string(machine.inside("/srv/after")).map_err(text)?;
    same(
        "what was written by what was read anew",
        written.as_str(),
        "/run/kubelet.d/10-swap.conf\n",
    )?;
    // Now it is another.
    let (refused, code) = run(&["plan"])?;
    same(&refused, code, Some(3))?;
    says(
        &refused,
        "it is another (`facts.hostname.name` is \"localhost\", `facts.kubelet.fail_swap_on` is true)",
    )
}

fn facts_are_printed(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let folder = tempfile::tempdir().map_err(text)?;
    let inventory = folder.path().join("inventory.yaml");
    let hosts = format!(
        "apiVersion: runbook.inventory/v1\nhosts:\n  {}: {{user: ops, node: a-node}}\n",
        machine.name
    );
    fs::write(&inventory, hosts).map_err(text)?;
    let print = |host: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(["inventory", "facts", host])
            .args(more)
            .arg("--ssh-config")
            .arg(client.config())
            .arg("--inventory")
            .arg(&inventory)
            // Neither a cluster nor a configuration of one.
            .env("HOME", folder.path())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(text)?;
        let words = |bytes| String::from_utf8(bytes).map_err(text);
        Ok::<_, String>((
            words(output.stdout)?,
            words(output.stderr)?,
            output.status.code(),
        ))
    };
    let (out, err, code) = print("a-node", &[])?;
    same("what it said besides", err.as_str(), "")?;
    same("its exit", code, Some(0))?;
    let head = format!("{}, read as the user of the connection\n", machine.name);
    same("its head", out.starts_with(&head), true)?;
    let words: Vec<String> = out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "hostname.name localhost",
        "units not applicable: no systemd",
    ] {
        same(line, words.iter().any(|words| words == line), true)?;
    }
    let more = ["--output", "json", "--become", "root"];
    let (out, _, code) = print(&machine.name, &more)?;
    same("its exit", code, Some(0))?;
    let printed: Value = serde_json::from_str(&out).map_err(text)?;
    for (name, wanted) in [
        ("schema", json!("runbook.facts/v1")),
        ("host", json!(machine.name)),
        ("read_as", json!("root (by sudo)")),
        ("facts.machine_id", json!("5e".repeat(16))),
    ] {
        same(name, at(&printed, name), &wanted)?;
    }
    let (_, err, code) = print("nobody-knows", &[])?;
    same("its exit", code, Some(2))?;
    same("its code", err.contains("[unknown_host]"), true)?;
    // It may be a node's: nobody knows.
    let words: Vec<&str> = err.split_whitespace().collect();
    let asked = words
        .join(" ")
        .contains("`nobody-knows` in the inventory, and whether it is a node could not be asked: ");
    same(&err, asked, true)
}
