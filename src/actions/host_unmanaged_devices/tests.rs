use super::*;
use crate::model::network_manager::ConfigFile;
use crate::model::{
    Blobs, Digest, Identity, PlannedStep, Scope, StepId, Target, Verdict, network_manager,
};
use crate::transport::Device;
use proptest::prelude::*;
use serde_json::json;

const CALICO: &str = "/etc/NetworkManager/conf.d/calico.conf";

fn action(with: Value) -> HostUnmanagedDevices {
    HostUnmanagedDevices::new(serde_json::from_value(with).unwrap()).unwrap()
}

fn usual() -> HostUnmanagedDevices {
    action(json!({"devices": ["interface-name:cali*", "interface-name:tunl0"]}))
}

fn etc(name: &str, line: &str) -> ConfigFile {
    ConfigFile {
        path: format!("/etc/NetworkManager/conf.d/{name}"),
        content: format!("[keyfile]\nunmanaged-devices{line}\n").into_bytes(),
    }
}

/// A host with these files and devices; what NetworkManager prints agrees with the files.
fn reading(files: &[ConfigFile], devices: &[(&str, &str)]) -> NetworkManagerReading {
    let list = network_manager::Unmanaged::of(files).unwrap().devices;
    let printed = list.map(|list| format!("[keyfile]\nunmanaged-devices={}\n", list.join(",")));
    let device = |(name, state): &(&str, &str)| Device {
        name: (*name).to_owned(),
        kind: "tun".to_owned(),
        state: (*state).to_owned(),
    };
    NetworkManagerReading {
        daemon: Daemon::Running,
        tools: ["NetworkManager", "nmcli", "systemd"]
            .map(str::to_owned)
            .to_vec(),
        arguments: vec!["--no-daemon".to_owned()],
        files: files.to_vec(),
        printed: Ok(printed.unwrap_or_default().into_bytes()),
        devices: Ok(devices.iter().map(device).collect()),
        needed: vec![("eth0".to_owned(), "a default route goes over it".to_owned())],
    }
}

const MANAGED: &[(&str, &str)] = &[
    ("tunl0", "connected (externally)"),
    ("cali0", "unmanaged"),
    ("eth0", "connected"),
];

/// The file that would be written is as it is among those that were read.
fn seen(action: &HostUnmanagedDevices, reading: NetworkManagerReading) -> Seen {
    let file = match action.choose(&reading, "node02") {
        Choice::Write(edit) => Some(FileReading {
            now: FileNow::Is(match &edit.before {
                None => FileState::Absent,
                Some(content) => FileState::Present {
                    mode: 0o644,
                    uid: 0,
                    gid: 0,
                    size: content.len() as u64,
                    content: Digest::of(content),
                },
            }),
            content: Some(edit.before.unwrap_or_default()),
            reader: 0,
            reader_group: 0,
            uid: None,
            gid: None,
            keeps_attributes: true,
        }),
        _ => None,
    };
    Seen {
        host: HostRef {
            node: "node02".into(),
            machine_id: "m".into(),
            identity: Identity::root(),
        },
        reading,
        file,
        no_switch: None,
    }
}

fn decide_after(
    action: &HostUnmanagedDevices,
    seen: &Seen,
    steps: &[PlannedStep],
) -> Decision<Change> {
    let target = Target::node("node02", "u");
    let scope = Scope::Target(target.clone());
    let targets = [target];
    action.decide(seen, Place::for_test(&scope, &targets), Prior { steps })
}

fn decide(action: &HostUnmanagedDevices, reading: NetworkManagerReading) -> Decision<Change> {
    decide_after(action, &seen(action, reading), &[])
}

fn words(decision: &Decision<Change>) -> String {
    match decision {
        Decision::NoChange { why } => format!("no change: {why}"),
        Decision::Refuse { why, next } => {
            format!("refused: {why}; next: {}", next.as_deref().unwrap_or("-"))
        }
        Decision::Late { why } => format!("late: {why}"),
        Decision::Change(change) => {
            let (state, content) = &change.unmanaged.after;
            assert_eq!(state.content(), Some(&Digest::of(content)));
            format!(
                "{}: {}",
                change.unmanaged.file.path,
                String::from_utf8_lossy(content).replace('\n', "|")
            )
        }
        other => panic!("{other:?}"),
    }
}

fn change(action: &HostUnmanagedDevices, reading: NetworkManagerReading) -> Change {
    match decide(action, reading) {
        Decision::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_file_gets_what_is_missing() {
    for (files, wanted) in [
        (
            vec![],
            "calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
        // A list of others stays, wherever it stands.
        (
            vec![etc("10-site.conf", "=mac:02:00:00:00:00:01")],
            "calico.conf: [keyfile]|unmanaged-devices+=interface-name:cali*;interface-name:tunl0|",
        ),
        (
            vec![etc("zz-site.conf", "+=interface-name:x")],
            "calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
        (
            vec![etc("10-site.conf", "=")],
            "calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
        // Its own is made longer.
        (
            vec![etc("calico.conf", "=interface-name:cali*")],
            "calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
        (
            vec![etc("calico.conf", "+=interface-name:x")],
            "calico.conf: [keyfile]|unmanaged-devices+=interface-name:x;interface-name:cali*;interface-name:tunl0|",
        ),
        // What a later one makes void is said in one that is later still.
        (
            vec![
                etc("calico.conf", "=interface-name:cali*;interface-name:tunl0"),
                etc("m.conf", "=interface-name:x"),
            ],
            "zz-calico.conf: [keyfile]|unmanaged-devices+=interface-name:cali*;interface-name:tunl0|",
        ),
        (
            vec![etc("zz-site.conf", "=interface-name:x")],
            "zzz-calico.conf: [keyfile]|unmanaged-devices+=interface-name:cali*;interface-name:tunl0|",
        ),
        (
            vec![etc("d.conf", "-=interface-name:tunl0")],
            "zz-calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
        // A package's file is not hidden.
        (
            vec![ConfigFile {
                path: "/usr/lib/NetworkManager/conf.d/calico.conf".into(),
                content: b"[main]\n".to_vec(),
            }],
            "zz-calico.conf: [keyfile]|unmanaged-devices=interface-name:cali*;interface-name:tunl0|",
        ),
    ] {
        let decision = decide(&usual(), reading(&files, MANAGED));
        let words = words(&decision).replace("/etc/NetworkManager/conf.d/", "");
        assert_eq!(words, wanted, "{files:?}");
    }
}

#[test]
fn where_there_is_nothing_to_do_it_says_why() {
    let done = [etc(
        "site.conf",
        "=interface-name:tunl0;interface-name:cali*",
    )];
    insta::assert_snapshot!(words(&decide(&usual(), reading(&done, &[("cali0", "unmanaged"), ("tunl0", "unmanaged")]))), @"no change: NetworkManager on node02 leaves these devices alone already: the 2 that are there are unmanaged");
    insta::assert_snapshot!(words(&decide(&usual(), reading(&done, &[]))), @"no change: the files of NetworkManager on node02 name these devices already; whether it has read that cannot be seen while none of them is there");
    let with = |change: fn(&mut NetworkManagerReading)| {
        let mut reading = reading(&[], MANAGED);
        change(&mut reading);
        words(&decide(
            &action(json!({"devices": ["interface-name:tunl0"], "put_back_after": "2m"})),
            reading,
        ))
    };
    insta::assert_snapshot!(with(|r| r.daemon = Daemon::Absent), @"no change: not applicable: node02 has no NetworkManager");
    insta::assert_snapshot!(with(|r| r.daemon = Daemon::Idle), @"no change: not applicable: NetworkManager does not run on node02");
    insta::assert_snapshot!(with(|r| r.tools.retain(|t| t != "nmcli")), @"no change: not applicable: node02 has no program nmcli, without which nobody sees what NetworkManager manages there");
    insta::assert_snapshot!(with(|r| r.tools.retain(|t| t != "systemd")), @"no change: not applicable: node02 has no systemd, without which it cannot put anything back by itself (`put_back_after`)");
    // Without a switch, systemd is not needed.
    let mut without = reading(&[], MANAGED);
    without.tools.retain(|tool| tool != "systemd");
    assert!(matches!(decide(&usual(), without), Decision::Change(_)));
}

#[test]
fn what_cannot_be_told_or_would_cut_the_host_off_is_refused() {
    let refused = |with: Value, files: &[ConfigFile], change: fn(&mut NetworkManagerReading)| {
        let mut reading = reading(files, MANAGED);
        change(&mut reading);
        words(&decide(&action(with), reading))
    };
    let usual = || json!({"devices": ["interface-name:tunl0"]});
    insta::assert_snapshot!(refused(json!({"devices": ["interface-name:tunl0", "interface-name:e*"]}), &[], |_| ()), @"refused: interface-name:e* means eth0 of node02 too, and a default route goes over it; next: name devices so that this one is not among them");
    insta::assert_snapshot!(refused(usual(), &[etc("a.conf", "=x")], |r| r.printed = Ok(b"[keyfile]\nunmanaged-devices=y\n".to_vec())), @"refused: what NetworkManager on node02 leaves alone is `x` by its files, and `y` by its own word; next: look there: NetworkManager --print-config");
    insta::assert_snapshot!(refused(usual(), &[], |r| r.printed = Err("Key file contains line".into())), @"refused: NetworkManager on node02 cannot read its configuration: Key file contains line; next: put that right first");
    insta::assert_snapshot!(refused(usual(), &[], |r| r.devices = Err("Error: NetworkManager is not running.".into())), @"refused: nmcli on node02 does not tell which devices there are: Error: NetworkManager is not running.; next: look there: systemctl status NetworkManager");
    insta::assert_snapshot!(refused(usual(), &[], |r| r.arguments.push("--config=/x".into())), @"refused: NetworkManager on node02 was started with --config=/x: it reads other files than the usual ones; next: put the devices into its `[keyfile] unmanaged-devices` by hand");
    insta::assert_snapshot!(refused(usual(), &[etc("a.conf", "=*;except:interface-name:t*")], |_| ()), @"refused: `except:interface-name:t*` in /etc/NetworkManager/conf.d/a.conf on node02 keeps devices managed that interface-name:tunl0 may mean; next: take it out of /etc/NetworkManager/conf.d/a.conf, if that is right there");
    assert!(
        refused(usual(), &[etc("a.conf", "=*;except:type:tun")], |_| ())
            .starts_with("refused: `except:type:tun`")
    );
    // An exception for something else is in nobody's way.
    assert!(
        !refused(
            usual(),
            &[etc("a.conf", "=except:interface-name:eth*")],
            |_| ()
        )
        .starts_with("refused")
    );
    let named = json!({"devices": ["interface-name:tunl0"], "file": CALICO});
    insta::assert_snapshot!(refused(named.clone(), &[etc("zz.conf", "=x")], |_| ()), @"refused: /etc/NetworkManager/conf.d/zz.conf is read after /etc/NetworkManager/conf.d/calico.conf, and its `unmanaged-devices=` makes what that says of interface-name:tunl0 void; next: leave `file` out, or name one that sorts after zz.conf");
    insta::assert_snapshot!(refused(named, &[ConfigFile { path: "/run/NetworkManager/conf.d/calico.conf".into(), content: vec![] }], |_| ()), @"refused: /etc/NetworkManager/conf.d/calico.conf would hide /run/NetworkManager/conf.d/calico.conf, and all that this says; next: name a `file` that is not called so");
}

#[test]
fn the_file_must_be_one_that_can_be_written_and_put_back() {
    let refused = |change: fn(&mut Seen)| {
        let action = usual();
        let mut seen = seen(&action, reading(&[], MANAGED));
        change(&mut seen);
        words(&decide_after(&action, &seen, &[]))
    };
    let file = |seen: &mut Seen| seen.file.take().unwrap();
    insta::assert_snapshot!(refused(|seen| seen.file.as_mut().unwrap().now = FileNow::Strange("a symbolic link".into())), @"refused: file /etc/NetworkManager/conf.d/calico.conf of node02 is a symbolic link: that is not replaced by a file; next: -");
    insta::assert_snapshot!(refused(|seen| seen.file.as_mut().unwrap().reader = 1000), @"refused: root is not root, and nobody else may write file /etc/NetworkManager/conf.d/calico.conf of node02 and have NetworkManager read it; next: name root in `become`");
    insta::assert_snapshot!(refused(|seen| seen.file.as_mut().unwrap().content = Some(b"x".to_vec())), @"refused: file /etc/NetworkManager/conf.d/calico.conf of node02 was written while it was read; next: look what else writes it, and try again");
    insta::assert_snapshot!(refused(|seen| seen.no_switch = Some(("armed".into(), "resume".into()))), @"refused: armed; next: resume");
    let mut without = seen(&usual(), reading(&[], MANAGED));
    file(&mut without);
    assert!(words(&decide_after(&usual(), &without, &[])).contains("was not read"));
}

#[test]
fn the_plan_says_exactly_what_happens() {
    let action = action(
        json!({"devices": ["interface-name:cali*", "interface-name:tunl0"], "put_back_after": "2m"}),
    );
    let site = etc("zz-site.conf", "=interface-name:docker0");
    let seen = seen(
        &action,
        reading(
            &[etc("calico.conf", "=interface-name:cali*"), site],
            MANAGED,
        ),
    );
    let decision = decide_after(&action, &seen, &[]);
    insta::assert_debug_snapshot!(action.notes(&seen, &decision), @r#"
    [
        "the file is /etc/NetworkManager/conf.d/zzz-calico.conf: /etc/NetworkManager/conf.d/zz-site.conf is read after /etc/NetworkManager/conf.d/calico.conf, and its `unmanaged-devices=` makes what that says of interface-name:cali* void",
        "an undo puts the file back, and does not have NetworkManager read it, which would take these devices' addresses off at once: the fault is back when it next reads its configuration, at a reload, a restart or a boot of node02",
    ]
    "#);
    let Decision::Change(change) = decision else {
        panic!()
    };
    let compiled = action.compile(change);
    insta::assert_json_snapshot!(json!({
        "details": compiled.details,
        "follows": compiled.follows,
        "heals": compiled.heals,
    }), @r#"
    {
      "details": [
        {
          "after": "71 bytes, sha256 3b4f888a8dcc, mode 0644, owner 0:0",
          "before": null,
          "lines": [
            "+ [keyfile]",
            "+ unmanaged-devices+=interface-name:cali*;interface-name:tunl0"
          ],
          "subject": "file /etc/NetworkManager/conf.d/zzz-calico.conf of node02"
        },
        {
          "after": "interface-name:docker0;interface-name:cali*;interface-name:tunl0",
          "before": "interface-name:docker0",
          "subject": "what NetworkManager on node02 leaves alone, by all its files"
        },
        {
          "after": null,
          "before": null,
          "lines": [
            "- tunl0 (tun): connected (externally)",
            "+ tunl0 (tun): unmanaged"
          ],
          "subject": "devices that it manages now, and then leaves alone"
        }
      ],
      "follows": [
        "NetworkManager on node02 reads its configuration anew (nmcli general reload conf); it is not restarted, and links stay as they are",
        "node02 puts the file back by itself, and has NetworkManager read that, if it cannot be reached again within 120 s, also after a reboot"
      ],
      "heals": "the configuration of NetworkManager on node02 lets it manage interface-name:cali*, interface-name:tunl0"
    }
    "#);
    assert_eq!(compiled.undo, UndoClass::Exact);
    let [Effect::RunProgram { programs }] = &compiled.effects[..] else {
        panic!()
    };
    let inverse = programs.inverse().unwrap();
    insta::assert_json_snapshot!(inverse.own.unwrap().does, @r#"
    [
      {
        "subject": "file /etc/NetworkManager/conf.d/zzz-calico.conf of node02",
        "before": "71 bytes, sha256 3b4f888a8dcc, mode 0644, owner 0:0",
        "after": null,
        "lines": [
          "- [keyfile]",
          "- unmanaged-devices+=interface-name:cali*;interface-name:tunl0"
        ]
      },
      {
        "subject": "NetworkManager on node02 is not told to read it, which would take addresses off the devices at once: it goes by it from its next reload, restart or boot on",
        "before": null,
        "after": null
      }
    ]
    "#);
    assert_eq!(
        programs.to_string(),
        "what keeps NetworkManager off devices on node02"
    );
    assert_eq!((programs.put_back_after, programs.limit), (Some(120), 90));
    let args = &programs.apply.args;
    assert_eq!(
        args[..2],
        ["apply", "/etc/NetworkManager/conf.d/zzz-calico.conf"]
    );
    assert_eq!(args[2], "absent");
    assert!(args[3].starts_with("file 644 0 0 "), "{}", args[3]);
    assert_eq!(
        args[4],
        "[keyfile]\\nunmanaged-devices+=interface-name:cali*;interface-name:tunl0\\n"
    );
    assert_eq!(
        args[5..],
        ["never", "interface-name:cali*", "interface-name:tunl0"]
    );
    assert_eq!(programs.undo.as_ref().unwrap().args[4], "");
}

#[test]
fn a_file_that_is_right_and_was_not_read_is_only_read() {
    let done = [etc(
        "site.conf",
        "=interface-name:tunl0;interface-name:cali*",
    )];
    let change = change(&usual(), reading(&done, MANAGED));
    let compiled = usual().compile(change);
    assert!(matches!(compiled.undo, UndoClass::None { .. }));
    insta::assert_json_snapshot!(compiled.details, @r#"
    [
      {
        "subject": "file /etc/NetworkManager/conf.d/site.conf of node02 says so already, and NetworkManager has not read it yet, or does not go by it",
        "before": null,
        "after": null
      },
      {
        "subject": "devices that it manages now, and then leaves alone",
        "before": null,
        "after": null,
        "lines": [
          "- tunl0 (tun): connected (externally)",
          "+ tunl0 (tun): unmanaged"
        ]
      }
    ]
    "#);
    insta::assert_snapshot!(compiled.heals.unwrap(), @"NetworkManager on node02 manages tunl0 (connected (externally))");
    let [Effect::RunProgram { programs }] = &compiled.effects[..] else {
        panic!()
    };
    assert!(programs.undo.is_none());
    let args = &programs.check.as_ref().unwrap().args;
    assert_eq!(args[2], args[3]);
}

#[test]
fn a_device_that_network_manager_may_keep_is_named() {
    let stuck = &[("tunl0", "disconnected")];
    let notes = |action: HostUnmanagedDevices| {
        let seen = seen(&action, reading(&[], stuck));
        let decision = decide_after(&action, &seen, &[]);
        action.notes(&seen, &decision).last().unwrap().clone()
    };
    insta::assert_snapshot!(notes(usual()), @"some versions of NetworkManager (1.42 is one) keep a device in a state like that of tunl0 (disconnected) until they are restarted; then this step fails, and `restart: if_needed` would restart it");
    // What it set up itself is not promised to stay.
    let follows = |action: HostUnmanagedDevices, state: &str| {
        let devices = &[("tunl0", "connected (externally)"), ("cali0", state)];
        let compiled = action.compile(change(&action, reading(&[], devices)));
        compiled.follows[0]
            .rsplit_once("conf); ")
            .unwrap()
            .1
            .to_owned()
    };
    insta::assert_snapshot!(follows(usual(), "unmanaged"), @"it is not restarted, and links stay as they are");
    insta::assert_snapshot!(follows(usual(), "connected"), @"it is not restarted; it may take off the addresses of cali0 (connected) when it lets go");
    let restart = action(
        json!({"devices": ["interface-name:tunl0", "interface-name:cali0"], "restart": "if_needed"}),
    );
    insta::assert_snapshot!(follows(restart, "connected"), @"where it keeps one of the devices all the same, it is restarted; it may take off the addresses of cali0 (connected) when it lets go");
    let restart = action(json!({"devices": ["interface-name:tunl0"], "restart": "if_needed"}));
    assert!(!notes(restart).contains("1.42"));
    let change = change(
        &action(json!({"devices": ["interface-name:tunl0"], "restart": "if_needed"})),
        reading(&[], stuck),
    );
    assert!(change.unmanaged.may_restart);
}

#[test]
fn earlier_steps_that_touch_the_same_are_minded() {
    let compiled = usual().compile(change(&usual(), reading(&[], MANAGED)));
    let step = |effects: Vec<Effect>| {
        let verdict = Verdict::Change {
            effects,
            details: vec![],
            follows: vec![],
            undo: UndoClass::Exact,
            predicted: None,
            heals: None,
        };
        PlannedStep::new(StepId::new("a").unwrap(), Scope::Run, "", "x", verdict)
    };
    let seen = seen(&usual(), reading(&[], MANAGED));
    let after =
        |step: &PlannedStep| words(&decide_after(&usual(), &seen, std::slice::from_ref(step)));
    insta::assert_snapshot!(after(&step(compiled.effects)), @"refused: an earlier step keeps NetworkManager on node02 off devices as well; next: make one step of the two");
    let put = |node: &str, path: &str| {
        step(vec![Effect::PutFile {
            file: FileRef {
                host: HostRef {
                    node: node.into(),
                    ..seen.host.clone()
                },
                path: path.into(),
            },
            before: FileState::Absent,
            after: FileState::Absent,
        }])
    };
    insta::assert_snapshot!(after(&put("node02", "/etc/NetworkManager/conf.d/x.conf")), @"late: an earlier step writes /etc/NetworkManager/conf.d/x.conf, which NetworkManager on node02 reads as well");
    assert!(after(&put("node03", "/etc/NetworkManager/conf.d/x.conf")).starts_with(CALICO));
    assert!(after(&put("node02", "/etc/motd")).starts_with(CALICO));
}

#[test]
fn bad_arguments_are_refused() {
    let wrong = |with: Value| {
        HostUnmanagedDevices::new(serde_json::from_value(with).unwrap())
            .map(|_| ())
            .unwrap_err()
    };
    insta::assert_snapshot!(wrong(json!({"devices": []})), @"`devices` names none");
    insta::assert_snapshot!(wrong(json!({"devices": ["cali*"]})), @"`devices`: `cali*` is not `interface-name:NAME`, in which `*` and `?` may stand for other characters");
    for device in [
        "mac:02:00:00:00:00:01",
        "interface-name:",
        "interface-name:a;b",
        "interface-name:a b",
        "interface-name:[ab]",
        "interface-name:=a*",
        "except:interface-name:a",
        "interface-name:$(x)",
        "interface-name:a'b",
    ] {
        assert!(
            wrong(json!({"devices": [device]})).contains("is not `interface-name:NAME`"),
            "{device}"
        );
    }
    let file = |path: &str| json!({"devices": ["interface-name:a"], "file": path});
    insta::assert_snapshot!(wrong(file("/etc/calico.conf")), @"`file` is in /etc/NetworkManager/conf.d and ends in .conf, or NetworkManager does not read it; `/etc/calico.conf` does not fit");
    for path in [
        "/etc/NetworkManager/conf.d/x",
        "/etc/NetworkManager/conf.d/../x.conf",
        "/etc/NetworkManager/conf.d/a b.conf",
        "/etc/NetworkManager/conf.d.conf",
        "/etc/NetworkManager/conf.d/.conf",
    ] {
        assert!(wrong(file(path)).contains("does not fit"), "{path}");
    }
    insta::assert_snapshot!(wrong(json!({"devices": ["interface-name:a"], "put_back_after": "1s"})), @"`put_back_after` is a duration from 10s to 1h, and `1s` is not");
    insta::assert_snapshot!(wrong(json!({"devices": ["interface-name:a"], "put_back_after": "99s"})), @"`put_back_after` is at least 100s here, as this may take 90 s before the host can be reached again, and `99s` is less");
    let least = json!({"devices": ["interface-name:a"], "put_back_after": "100s"});
    assert_eq!(action(least).put_back_after, Some(100));
    assert_eq!(action(file("")).file, None);
}

proptest! {
    /// Whatever other files say: what is written makes the devices count, keeps what counted, and is
    /// then left as it is.
    #[test]
    fn what_is_written_counts_and_is_written_once(
        files in prop::collection::btree_map("(10|calico|m|zz|zz-calico|zzzz)", ("(=|\\+=|-=)", "(interface-name:(cali\\*|tunl0|x);?){0,3}"), 0..4)
    ) {
        let mut files: Vec<ConfigFile> = files.iter().map(|(name, (op, list))| etc(&format!("{name}.conf"), &format!("{op}{list}"))).collect();
        let before = network_manager::Unmanaged::of(&files).unwrap();
        if let Decision::Change(change) = decide(&usual(), reading(&files, MANAGED)) {
            let UnmanagedDevices { file, after, .. } = &change.unmanaged;
            files = network_manager::with_file(&files, &file.path, &after.1);
            let now = network_manager::Unmanaged::of(&files).unwrap();
            prop_assert_eq!(now.devices(), &change.edit.is);
            for spec in before.devices().iter().map(String::as_str).chain(["interface-name:cali*", "interface-name:tunl0"]) {
                prop_assert!(now.devices().iter().any(|device| device == spec), "{spec}");
            }
            let again = decide(&usual(), reading(&files, &[("tunl0", "unmanaged")]));
            let nothing = matches!(again, Decision::NoChange { .. });
            prop_assert!(nothing);
        }
    }
}

#[test]
fn its_effect_needs_no_other_bytes() {
    let compiled = usual().compile(change(&usual(), reading(&[], MANAGED)));
    assert_eq!(compiled.blobs, Blobs::default());
    assert!(
        compiled
            .effects
            .iter()
            .all(|effect| effect.contents().next().is_none())
    );
}
