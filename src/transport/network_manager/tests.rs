use super::*;
use crate::model::{Digest, Identity};
use proptest::prelude::*;
use std::process::Command;

fn part(line: &str, body: &str) -> (String, Vec<u8>) {
    (line.to_owned(), body.as_bytes().to_vec())
}

/// As a Debian 12 with NetworkManager 1.42.4 printed it, shortened.
#[test]
fn what_a_host_says_is_read() {
    let reading = NetworkManagerReading::of(&[
        part("daemon running", ""),
        part("tool NetworkManager", ""),
        part("tool nmcli", ""),
        part("arguments", "/usr/sbin/NetworkManager\0--no-daemon\0"),
        part("file /etc/NetworkManager/conf.d/.b c.conf", "# hid\n"),
        part("printed 0", "[main]\n"),
        part(
            "devices 0",
            "eth9:ethernet:connected (externally)\na\\:b:bridge:unmanaged\n",
        ),
        part(
            "route 10.9.0.7",
            "10.9.0.7 dev eth9 src 10.9.0.1 uid 0 \n    cache \n",
        ),
        part(
            "routes4",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth9\t00000000\t0200090A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth8\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
        ),
        part(
            "routes6",
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth7\nfe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth8\n",
        ),
    ]);
    insta::assert_debug_snapshot!(reading, @r#"
    NetworkManagerReading {
        daemon: Running,
        tools: [
            "NetworkManager",
            "nmcli",
        ],
        arguments: [
            "--no-daemon",
        ],
        files: [
            ConfigFile {
                path: "/etc/NetworkManager/conf.d/.b c.conf",
                content: [
                    35,
                    32,
                    104,
                    105,
                    100,
                    10,
                ],
            },
        ],
        printed: Ok(
            [
                91,
                109,
                97,
                105,
                110,
                93,
                10,
            ],
        ),
        devices: Ok(
            [
                Device {
                    name: "eth9",
                    kind: "ethernet",
                    state: "connected (externally)",
                },
                Device {
                    name: "a:b",
                    kind: "bridge",
                    state: "unmanaged",
                },
            ],
        ),
        needed: [
            (
                "eth9",
                "the connection from 10.9.0.7 comes over it",
            ),
            (
                "eth9",
                "a default route goes over it",
            ),
            (
                "eth7",
                "a default route goes over it",
            ),
        ],
    }
    "#);
    assert!(reading.has("nmcli") && !reading.has("systemd"));
}

#[test]
fn a_tool_that_fails_says_why() {
    let reading = NetworkManagerReading::of(&[
        part("daemon running", ""),
        part("printed 1", "Failed to read configuration: x\n"),
        part("devices 8", ""),
    ]);
    assert_eq!(
        reading.printed,
        Err("Failed to read configuration: x".into())
    );
    assert_eq!(reading.devices, Err("exit code 8".into()));
    assert_eq!(NetworkManagerReading::of(&[]).daemon, Daemon::Idle);
}

/// The shells that hosts have.
const SHELLS: [&[&str]; 2] = [&["/bin/dash"], &["/bin/busybox", "sh"]];

/// A change of a file in a folder of the test's own, with a NetworkManager that says what is in that
/// file, and a nmcli that goes by it once it was told to reload.
struct Place {
    dir: tempfile::TempDir,
    unmanaged: UnmanagedDevices,
}

impl Place {
    fn new(before: Option<&[u8]>, after: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let state = |mode, content: &[u8]| FileState::Present {
            mode,
            uid,
            gid,
            size: content.len() as u64,
            content: Digest::of(content),
        };
        let path = dir.path().join("calico.conf");
        if let Some(content) = before {
            std::fs::write(&path, content).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        let mode = if before.is_some() { 0o640 } else { 0o644 };
        let unmanaged = UnmanagedDevices {
            file: FileRef {
                host: HostRef {
                    node: "n".into(),
                    machine_id: "m".into(),
                    identity: Identity::root(),
                },
                path: path.to_string_lossy().into_owned(),
            },
            before: before.map_or((FileState::Absent, vec![]), |content| {
                (state(mode, content), content.to_vec())
            }),
            after: (state(mode, after), after.to_vec()),
            devices: vec!["interface-name:cali*".into()],
            may_restart: false,
        };
        Self { dir, unmanaged }
    }

    /// Its exit code, and what it printed.
    fn run(&self, shell: &[&str], program: &Program) -> (i32, String) {
        // What it needs of the host is told by functions, and its mark is kept beside the file.
        let stand_ins = format!(
            "cd {0}\nNetworkManager() {{ grep -a '^\\[key\\|^unm' calico.conf; true; }}\n\
             nmcli() {{ case $* in *reload*) echo >>reloads; [ ! -e deaf ] && touch loaded; true;; *) \
             if [ -e loaded ]; then echo cali0:unmanaged; else echo 'cali0:connected (externally)'; fi; esac; }}\n\
             systemctl() {{ false; }}\nsleep() {{ :; }}\n",
            self.dir.path().display()
        );
        let script = program.text().replace(
            "/run/runbook/",
            &format!("{}/run/", self.dir.path().display()),
        );
        let script = script.replace("\nrun() {", "\nnone() {").replacen(
            "\n\"$what\" \"$@\"\n",
            "\nruns() { :; }\n\"$what\" \"$@\"\n",
            1,
        );
        let out = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", &(stand_ins + &script)])
            .output()
            .unwrap();
        (
            out.status.code().unwrap(),
            String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
        )
    }

    fn content(&self) -> Option<Vec<u8>> {
        std::fs::read(&self.unmanaged.file.path).ok()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

const AFTER: &[u8] = b"# \\0101 %s \xff\0\n[keyfile]\nunmanaged-devices=interface-name:cali*\n";

#[test]
fn a_file_is_written_read_and_put_back_byte_for_byte() {
    for shell in SHELLS {
        for before in [None, Some(&b""[..]), Some(&b"# '\\n\x01\x80\n\n"[..])] {
            let place = Place::new(before, AFTER);
            let UnmanagedDevices { file, .. } = &place.unmanaged;
            let run = |program: Program| place.run(shell, &program);
            assert_eq!(
                run(place.unmanaged.check()),
                (1, String::new()),
                "{shell:?}"
            );
            assert_eq!(
                run(place.unmanaged.apply()),
                (0, String::new()),
                "{shell:?}"
            );
            assert_eq!(place.content().as_deref(), Some(AFTER), "{shell:?}");
            assert_eq!(run(place.unmanaged.check()), (0, String::new()));
            // Once more is nothing more.
            assert_eq!(run(place.unmanaged.apply()), (0, String::new()));
            let mode =
                std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file.path).unwrap());
            assert_eq!(mode & 0o7777, if before.is_some() { 0o640 } else { 0o644 });
            assert_eq!(place.names(), ["calico.conf", "loaded", "reloads", "run"]);
            assert_eq!(run(place.unmanaged.undo()), (0, String::new()));
            assert_eq!(place.content().as_deref(), before);
            assert_eq!(run(place.unmanaged.check()), (1, String::new()));
            // It was not told to read that.
            assert_eq!(
                std::fs::read(place.dir.path().join("reloads")).unwrap(),
                b"\n\n"
            );
        }
    }
}

#[test]
fn what_others_wrote_is_left_alone() {
    for shell in SHELLS {
        let place = Place::new(None, AFTER);
        std::fs::write(&place.unmanaged.file.path, "theirs").unwrap();
        let (code, said) = place.run(shell, &place.unmanaged.check());
        assert_eq!(code, 2);
        assert!(
            said.contains("is neither as it was before nor as this leaves it: it is file "),
            "{said}"
        );
        for program in [place.unmanaged.apply(), place.unmanaged.undo()] {
            let (code, said) = place.run(shell, &program);
            assert_eq!(code, 1);
            assert!(
                said.contains("is no longer as it was, and is left alone"),
                "{said}"
            );
        }
        assert_eq!(place.content().unwrap(), b"theirs");
        assert!(!place.names().contains(&"reloads".to_owned()));
    }
}

#[test]
fn what_network_manager_does_not_go_by_is_not_done() {
    for shell in SHELLS {
        // It is told, and keeps the device: until it lets go, it is not done.
        let place = Place::new(None, AFTER);
        std::fs::write(place.dir.path().join("deaf"), "").unwrap();
        let (code, said) = place.run(shell, &place.unmanaged.apply());
        assert_eq!(code, 1);
        assert!(
            said.contains("keeps cali0 (connected (externally)) until it is started anew"),
            "{said}"
        );
        assert_eq!(place.run(shell, &place.unmanaged.check()).0, 1);
        std::fs::remove_file(place.dir.path().join("deaf")).unwrap();
        assert_eq!(place.run(shell, &place.unmanaged.apply()).0, 0);
        assert_eq!(place.run(shell, &place.unmanaged.check()).0, 0);
        // Another file voids it: NetworkManager is not even told.
        let place = Place::new(
            None,
            b"[keyfile]\nunmanaged-devices=interface-name:calico\n",
        );
        let (code, said) = place.run(shell, &place.unmanaged.apply());
        assert_eq!(code, 1);
        assert!(
            said.contains("interface-name:cali* is not in NetworkManager's list all the same"),
            "{said}"
        );
        assert!(!place.names().contains(&"reloads".to_owned()));
    }
}

/// The file of an earlier run stays known for what that left, so that it can be taken back.
#[test]
fn a_file_that_was_only_to_be_read_again_is_not_in_doubt() {
    for shell in SHELLS {
        let place = Place::new(None, AFTER);
        assert_eq!(place.run(shell, &place.unmanaged.apply()).0, 0);
        std::fs::remove_file(place.dir.path().join("loaded")).unwrap();
        std::fs::write(place.dir.path().join("deaf"), "").unwrap();
        let again = UnmanagedDevices {
            before: place.unmanaged.after.clone(),
            ..place.unmanaged.clone()
        };
        assert_eq!(place.run(shell, &again.apply()).0, 1);
        assert_eq!(place.run(shell, &again.check()).0, 1);
        assert_eq!(place.run(shell, &place.unmanaged.check()).0, 0);
        assert_eq!(place.run(shell, &place.unmanaged.undo()).0, 0);
        assert_eq!(place.content(), None);
    }
}

#[test]
fn what_was_not_even_written_is_not_in_doubt() {
    for shell in SHELLS {
        let place = Place::new(None, AFTER);
        let blocked = place.dir.path().join(".calico.conf.runbook-new");
        std::fs::create_dir(&blocked).unwrap();
        let (code, said) = place.run(shell, &place.unmanaged.apply());
        assert_eq!(code, 1);
        assert!(said.contains("cannot be made"), "{said}");
        let begun = place.dir.path().join("run/network-manager");
        assert!(!begun.exists(), "{shell:?}");
    }
}

/// Where nobody has come back, its link may be gone: it comes back. Where somebody has, addresses stay.
#[test]
fn a_host_to_which_nobody_came_back_has_it_read_again() {
    for (why, reloads) in [
        ("time", 2),
        ("long", 2),
        ("boot", 2),
        ("apply 1", 1),
        ("check 1", 1),
        ("cut", 1),
    ] {
        let place = Place::new(None, AFTER);
        assert_eq!(place.run(SHELLS[0], &place.unmanaged.apply()).0, 0);
        let mut undo = place.unmanaged.undo();
        undo.env.insert("RUNBOOK_PUTS_BACK".into(), why.into());
        assert_eq!(place.run(SHELLS[0], &undo), (0, String::new()));
        let seen = std::fs::read(place.dir.path().join("reloads")).unwrap();
        assert_eq!(seen.len(), reloads, "{why}");
    }
}

/// What one that was ended in the middle left goes also where there is nothing more to write.
#[test]
fn half_a_file_does_not_stay() {
    for shell in SHELLS {
        let place = Place::new(None, AFTER);
        let half = place.dir.path().join(".calico.conf.runbook-new");
        std::fs::write(&half, "[key").unwrap();
        assert_eq!(place.run(shell, &place.unmanaged.undo()).0, 0);
        assert!(!half.exists(), "{shell:?}");
    }
}

/// Whoever is reached over a bond, a bridge or a VLAN is reached over what lies under it.
#[test]
fn what_lies_under_a_link_that_is_needed_is_needed() {
    let reading = NetworkManagerReading::of(&[
        part("daemon running", ""),
        part("route fe80::1%br0", "dev br0\n"),
        part(
            "lower",
            "bond0 eth0\nbr0 bond0.10\nbond0.10 bond0\nbr1 eth9\nx y z\nodd\n",
        ),
    ]);
    let needed: Vec<String> = reading
        .needed
        .iter()
        .map(|(link, why)| format!("{link}: {why}"))
        .collect();
    insta::assert_snapshot!(needed.join("\n"), @"
    br0: the connection from fe80::1%br0 comes over it
    bond0.10: br0 lies over it, and of that, the connection from fe80::1%br0 comes over it
    bond0: bond0.10 lies over it, and of that, br0 lies over it, and of that, the connection from fe80::1%br0 comes over it
    eth0: bond0 lies over it, and of that, bond0.10 lies over it, and of that, br0 lies over it, and of that, the connection from fe80::1%br0 comes over it
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn bytes_reach_a_host_as_they_are(content in prop::collection::vec(any::<u8>(), 0..60)) {
        for shell in SHELLS {
            let text = format!("printf %b {}", crate::model::shell_quote(&for_printf(&content)));
            let out = Command::new(shell[0]).args(&shell[1..]).args(["-c", &text]).output().unwrap();
            prop_assert_eq!(&out.stdout, &content);
        }
    }
}
