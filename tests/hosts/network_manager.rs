//! NetworkManager on hosts, as root and by sudo, under dash and busybox. Where it is not there, a process
//! of its name and two programs that tell what is on the host's disk stand for it: what a real one does is
//! seen in the lab.

use super::Case;
use super::client::{Client, block, host_as, login, same, script};
use super::machine::{Kind, Machine};
use super::permit::permit;
use super::place::{Place, text};
use super::shells::{APPLETS, over_sh};
use runbook::inventory::Destination;
use runbook::model::{
    Digest, Effect, Exit, FileRef, FileState, HostRef, Identity, Own, ProgramNow, Programs,
};
use runbook::transport::{Daemon, Hosts, UnmanagedDevices};

pub const CASES: &[Case] = &[
    Case {
        name: "a_host_without_network_manager_says_so",
        run: a_host_without_network_manager_says_so,
    },
    Case {
        name: "network_manager_is_read_and_kept_off_devices_under_dash",
        run: |place| kept_off(place, &over_sh("dash")),
    },
    Case {
        name: "network_manager_is_read_and_kept_off_devices_by_busybox",
        run: |place| kept_off(place, &(over_sh("busybox") + APPLETS)),
    },
    Case {
        name: "network_manager_that_may_not_be_seen_is_not_absent",
        run: may_not_be_seen,
    },
    Case {
        name: "network_manager_of_a_container_is_not_the_hosts",
        run: of_a_container,
    },
];

const PATH: &str = "/srv/calico.conf";
const CONTENT: &[u8] = b"[keyfile]\nunmanaged-devices=interface-name:cali*\n";

/// What stands for NetworkManager. It reads the file when it is told to.
const STAND_IN: &str = r#"
mkdir -p /run/NetworkManager/conf.d /run/nm /run/daemon
echo '# a' >/run/NetworkManager/conf.d/a.conf
cp "$(readlink -f "$(command -v sleep)")" /run/daemon/NetworkManager
cat >/run/nm/NetworkManager <<'END'
#!/bin/sh
cat /srv/calico.conf 2>/dev/null
exit 0
END
cat >/run/nm/nmcli <<'END'
#!/bin/sh
case $* in
    *reload*) cp /srv/calico.conf /run/nm/loaded; exit 0 ;;
    *TYPE*) kind=dummy: ;;
    *) kind= ;;
esac
state='connected (externally)'
! grep -q cali /run/nm/loaded 2>/dev/null || state=unmanaged
echo "cali0:$kind$state"
END
chmod 755 /run/nm/NetworkManager /run/nm/nmcli
mount --bind /run/nm /usr/local/bin
/run/daemon/NetworkManager 71002 &
"#;

fn a_host_without_network_manager_says_so(place: &Place) -> Result<(), String> {
    for prepare in [over_sh("dash"), over_sh("busybox") + APPLETS] {
        let kind = Kind {
            prepare: &prepare,
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        block(async {
            let hosts = client.hosts();
            for (user, identity) in [
                ("root", Identity::Login),
                ("ops", Identity::Login),
                ("ops", Identity::root()),
            ] {
                let host = login(&machine, user);
                let reading = hosts.read_network_manager(&host, &host_as(identity)).await;
                same(user, reading.map_err(text)?.daemon, Daemon::Absent)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Whoever may not see it is told what is hidden from them.
fn may_not_be_seen(place: &Place) -> Result<(), String> {
    for (hide, what) in [
        ("mount -o remount,hidepid=2 /proc", "may not read /proc on"),
        (
            "chmod 711 /run/NetworkManager/conf.d",
            "may not read /run/NetworkManager/conf.d on",
        ),
    ] {
        for shell in [over_sh("dash"), over_sh("busybox") + APPLETS] {
            let kind = Kind {
                prepare: &format!("{STAND_IN}{hide}\n{shell}"),
                ..Kind::default()
            };
            let machine = Machine::of_kind(place, &kind)?;
            let client = Client::of(&[&machine])?;
            block(async {
                let (hosts, host) = (client.hosts(), login(&machine, "ops"));
                let own = host_as(Identity::Login);
                let reading = hosts.read_network_manager(&host, &own).await;
                let fault = reading.err().ok_or(format!("{hide}: it was read"))?;
                match fault.message.contains(what) {
                    true => {}
                    false => return Err(format!("`{what}` is not in: {fault}")),
                }
                let root = host_as(Identity::root());
                let reading = hosts.read_network_manager(&host, &root).await;
                same(hide, reading.map_err(text)?.daemon, Daemon::Running)
            })?;
        }
    }
    Ok(())
}

/// Neither when it is read nor when it is changed.
fn of_a_container(place: &Place) -> Result<(), String> {
    let kind = Kind {
        prepare: &STAND_IN.replace(
            "\n/run/daemon/NetworkManager",
            "\nunshare --pid --fork /run/daemon/NetworkManager",
        ),
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let own = host_as(Identity::Login);
        for user in ["ops", "root"] {
            let reading = hosts
                .read_network_manager(&login(&machine, user), &own)
                .await;
            same(user, reading.map_err(text)?.daemon, Daemon::Idle)?;
        }
        let host = login(&machine, "root");
        let apply = unmanaged(own.clone()).apply();
        let ran = hosts.read_program(&host, &own, &apply, 20).await;
        let wanted = "NetworkManager does not run any more: nothing was changed\n";
        same("a change", ran.map_err(text)?.head.as_str(), wanted)
    })
}

fn kept_off(place: &Place, prepare: &str) -> Result<(), String> {
    // What it needs of the machine comes before the shells that hide it.
    let prepare = format!("{STAND_IN}{prepare}");
    let kind = Kind {
        prepare: &prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for (user, identity) in [("root", Identity::Login), ("ops", Identity::root())] {
            there_and_back(&hosts, &login(&machine, user), identity).await?;
        }
        Ok(())
    })
}

async fn there_and_back(hosts: &Hosts, at: &Destination, identity: Identity) -> Result<(), String> {
    let host = host_as(identity);
    let reading = hosts.read_network_manager(at, &host).await.map_err(text)?;
    same("whether it runs", reading.daemon, Daemon::Running)?;
    same(
        "the tools",
        (reading.has("NetworkManager"), reading.has("nmcli")),
        (true, true),
    )?;
    same(
        "what it was started with",
        reading.arguments,
        vec!["71002".to_owned()],
    )?;
    let files: Vec<&str> = reading
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    same(
        "its files",
        files,
        vec!["/run/NetworkManager/conf.d/a.conf"],
    )?;
    same("what it prints", reading.printed, Ok(b"\n".to_vec()))?;
    let devices = reading.devices.map_err(text)?;
    let devices: Vec<(&str, bool)> = devices
        .iter()
        .map(|d| (d.name.as_str(), d.is_managed()))
        .collect();
    same("its devices", devices, vec![("cali0", true)])?;
    // Behind sudo as well it is seen where we came from.
    let over = reading
        .needed
        .iter()
        .any(|(link, why)| link == "lo" && why.starts_with("the connection from 127."));
    same("the link of the connection", over, true)?;

    let unmanaged = unmanaged(host.clone());
    let programs = Programs {
        host,
        check: Some(unmanaged.check()),
        apply: unmanaged.apply(),
        verify: None,
        undo: Some(unmanaged.undo()),
        limit: 20,
        undo_limit: None,
        sensitive: false,
        back: false,
        blind: false,
        put_back_after: None,
        restarts: None,
        own: Some(Own {
            title: "a test".to_owned(),
            does: vec![],
            undoes: vec![],
        }),
    };
    let key = carried_out(hosts, at, &programs).await?;
    let found = hosts.find_program(at, &programs, &key).await;
    same(
        "what is found",
        found.map_err(text)?,
        ProgramNow::Is { done: true },
    )?;
    let look = "cat /srv/calico.conf; stat -c '%a %u %g' /srv/calico.conf; nmcli; ls -A /srv";
    let seen = shell(hosts, at, &programs, look).await?;
    let wanted = "[keyfile]\nunmanaged-devices=interface-name:cali*\n644 0 0\ncali0:unmanaged\ncalico.conf\n";
    same("what is there", seen.as_str(), wanted)?;
    // What somebody else has written is not taken back.
    let inverse = programs.inverse().ok_or("it has no inverse")?;
    shell(hosts, at, &programs, "echo more >>/srv/calico.conf").await?;
    let found = hosts.find_program(at, &programs, &key).await;
    let fault = found.err().ok_or("it is found as it was left")?;
    same("the fault", fault.code.as_str(), "check_failed")?;
    shell(hosts, at, &programs, "sed -i '$d' /srv/calico.conf").await?;
    carried_out(hosts, at, &inverse).await?;
    let left = shell(hosts, at, &programs, "ls -A /srv; rm /run/nm/loaded").await?;
    same("what is left", left.as_str(), "")
}

fn unmanaged(host: HostRef) -> UnmanagedDevices {
    UnmanagedDevices {
        file: FileRef {
            host,
            path: PATH.to_owned(),
        },
        before: (FileState::Absent, Vec::new()),
        after: (
            FileState::Present {
                mode: 0o644,
                uid: 0,
                gid: 0,
                size: CONTENT.len() as u64,
                content: Digest::of(CONTENT),
            },
            CONTENT.to_vec(),
        ),
        devices: vec!["interface-name:cali*".to_owned()],
        may_restart: false,
    }
}

/// Does it, and gives the key of the attempt.
async fn carried_out(
    hosts: &Hosts,
    at: &Destination,
    programs: &Programs,
) -> Result<String, String> {
    let effect = Effect::RunProgram {
        programs: Box::new(programs.clone()),
    };
    let (permit, key) = permit(effect, &[])?;
    let (result, ran) = hosts.run_program(at, permit, &key, "a test").await;
    result.map_err(|fault| format!("{fault}: {ran:?}"))?;
    Ok(key)
}

async fn shell(
    hosts: &Hosts,
    at: &Destination,
    programs: &Programs,
    line: &str,
) -> Result<String, String> {
    let program = script(&format!("set -e; {line}"), &[]);
    let ran = hosts
        .read_program(at, &programs.host, &program, 20)
        .await
        .map_err(text)?;
    match ran.exit {
        Exit::Code(0) => Ok(ran.head),
        exit => Err(format!("{line}: {exit}: {}", ran.head)),
    }
}
