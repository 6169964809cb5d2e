use super::*;
use crate::actions::told::told;
use crate::journal::test_events::{change as change_of, host, step as step_of};
use crate::model::Scope;
use serde_json::json;

fn made(args: Value) -> Result<HostSysctl, String> {
    HostSysctl::new(serde_json::from_value(args).unwrap())
}

const OWN: &str = "/etc/sysctl.d/50-own.conf";

/// Running values, and files with their text.
struct Host<'a>(&'a [&'a str], &'a [(&'a str, &'a str)]);

fn seen(action: &HostSysctl, Host(running, files): Host<'_>) -> Seen {
    let own = files.iter().find(|(path, _)| *path == OWN);
    Seen {
        host: host(),
        running: running
            .iter()
            .map(|state| SettingState::new(*state))
            .collect(),
        boot: action.file.as_ref().map(|path| Boot {
            unknown: None,
            found: files
                .iter()
                .map(|(path, text)| DropIn {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            own: file_change::Seen::for_test(path, own.map(|(_, text)| text.as_bytes())),
        }),
        table: None,
    }
}

fn decided(mut args: Value, on: Host<'_>) -> String {
    if args["at_boot"] != json!(false) {
        args["file"] = json!(OWN);
    }
    let action = made(args).unwrap();
    let seen = seen(&action, on);
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(&seen, place, Prior { steps: &[] });
    told(&action, &seen, decision)
}

#[test]
fn values_are_set_running_and_after_a_boot() {
    let early = "/usr/lib/sysctl.d/10-a.conf";
    let late = "/etc/sysctl.d/99-z.conf";
    let one = || json!({"values": {"a.b": 5}});
    let least = || json!({"values": {"a.b": 5}, "at_least": true});
    let running = || json!({"values": {"a.b": "5 6"}, "at_boot": false});
    let mut all = Vec::new();
    for (args, now, files) in [
        (one(), "is 1", &[][..]),
        (one(), "is 5", &[]),
        (one(), "is 5", &[(early, "a/b=5\n")]),
        (one(), "is 9", &[(early, "a.b = 5\na.b = 6\n")]),
        (one(), "is 5", &[(OWN, "# mine\na.b = 4\nc = 1\na.b = 3\n")]),
        (one(), "is 1", &[(late, "\na.b = 7\n")]),
        (one(), "is 1", &[(late, "a.b = 5\n")]),
        (one(), "is 1", &[("/run/sysctl.d/50-own.conf", "x = 1\n")]),
        (one(), "absent", &[]),
        (one(), "other a folder of settings", &[]),
        (least(), "is 9", &[(late, "a.b = 8\n")]),
        (least(), "is 9", &[(early, "a.b = 2\n")]),
        (least(), "is 4", &[(late, "a.b = 8\n")]),
        (least(), "is 4", &[(late, "a.b = 3\n")]),
        (running(), "is 5 6", &[]),
        (running(), "is 5 7", &[]),
    ] {
        let decided = decided(args.clone(), Host(&[now], files));
        all.push(format!(
            "{args} {now}, {files:?}\n  {}",
            decided.replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_table_of_connections_has_whole_pages_and_takes_memory() {
    let args = json!({
        "values": {"net.netfilter.nf_conntrack_max": 1000000, "net.netfilter.nf_conntrack_buckets": 250000},
        "at_least": true,
    });
    insta::assert_snapshot!(decided(args, Host(&["is 65536", "is 65536"], &[])));
}

/// What is decided of a table's size, with what is in it.
fn of_a_table(max: &str, count: u64, files: &[(&str, &str)]) -> String {
    let args =
        json!({"values": {"net.netfilter.nf_conntrack_max": 1000}, "at_least": true, "file": OWN});
    let action = made(args).unwrap();
    let mut seen = seen(&action, Host(&[&format!("is {max}")], files));
    let max = max.parse().unwrap();
    seen.table = Some(Table { count, max });
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(&seen, place, Prior { steps: &[] });
    told(&action, &seen, decision)
}

#[test]
fn a_full_table_is_a_fault_that_goes_with_its_size() {
    let said = [
        of_a_table("512", 510, &[]),
        of_a_table("512", 400, &[(OWN, "net.nf_conntrack_max = 512\n")]),
        of_a_table(
            "4096",
            4096,
            &[(OWN, "net.netfilter.nf_conntrack_max = 512\n")],
        ),
    ];
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn a_table_without_limit_gets_none() {
    let said = of_a_table("0", 400, &[(OWN, "net/nf_conntrack_max=0\n")]);
    insta::assert_snapshot!(said, @"
    no change: node02 has these values, and so it is after a boot
    note: now 400 entries are in use, and there is no limit
    note: after a boot net.netfilter.nf_conntrack_max is 0: /etc/sysctl.d/50-own.conf line 1 has the last word
    ");
}

#[test]
fn the_other_name_of_a_key_wins_as_well() {
    let late = "/etc/sysctl.d/99-z.conf";
    let said = of_a_table("512", 1, &[(late, "net.nf_conntrack_max = 65536\n")]);
    insta::assert_snapshot!(said, @"
    running value of net.netfilter.nf_conntrack_max of node02: 512 -> 1000
    undo: exact
    note: now 1 of 512 entries are in use (0 %)
    note: after a boot net.netfilter.nf_conntrack_max is 65536: /etc/sysctl.d/99-z.conf line 1 has the last word
    note: 1000 tracked connections take about 1 MiB of memory that is never swapped
    ");
    let said = of_a_table("512", 1, &[(late, "net.nf_conntrack_max = 512\n")]);
    assert!(said.starts_with("refused: "), "{said}");
}

#[test]
fn what_a_module_brings_is_foreseen() {
    let action = made(json!({"values": {"a.b": 5}, "at_least": true})).unwrap();
    let loads = crate::model::Effect::PutSetting {
        setting: SettingRef {
            host: host(),
            setting: Setting::Module { name: "a".into() },
        },
        before: SettingState::new("not_loaded"),
        after: SettingState::new("loaded"),
    };
    let earlier = [step_of("a", Scope::Run, change_of(vec![loads]))];
    let decided = |files| {
        let seen = seen(&action, Host(&["absent"], files));
        let place = Place::for_test(&Scope::Run, &[]);
        let decision = action.decide(&seen, place, Prior { steps: &earlier });
        told(&action, &seen, decision)
    };
    let said = [
        decided(&[]),
        decided(&[("/etc/sysctl.d/99-zzz.conf", "a.b = 7\n")]),
        decided(&[("/etc/sysctl.d/99-zzz.conf", "a.b = 4\n")]),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    foreseen
    note: a.b becomes 5, unless the kernel itself makes it larger; what it is before is seen once its module is loaded, and shown before it is changed
    note: /etc/sysctl.d/99-zz-runbook.conf has the last word on a.b after a boot
    foreseen
    note: a.b becomes 5, unless the kernel itself makes it larger; what it is before is seen once its module is loaded, and shown before it is changed
    note: after a boot a.b is 7: /etc/sysctl.d/99-zzz.conf line 1 has the last word
    refused: /etc/sysctl.d/99-zzz.conf line 1 sets a.b to 4, and is read after /etc/sysctl.d/99-zz-runbook.conf: after a boot it would win [put it right there (host.line), or give `file` a name that comes after 99-zzz.conf]
    ");
}

#[test]
fn a_key_is_set_by_one_step() {
    let action = made(json!({"values": {"a.b": 5}, "at_boot": false})).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = seen(&action, Host(&["is 1"], &[]));
    let Decision::Change(change) = action.decide(&seen, place, Prior { steps: &[] }) else {
        panic!()
    };
    let earlier = [step_of(
        "a",
        Scope::Run,
        change_of(action.compile(change).effects),
    )];
    let again = action.decide(&seen, place, Prior { steps: &earlier });
    assert!(matches!(again, Decision::Refuse { .. }));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        json!({"values": {}}),
        json!({"values": {"": 1}}),
        json!({"values": {"a..b": 1}}),
        json!({"values": {"../a": 1}}),
        json!({"values": {"a b": 1}}),
        json!({"values": {"a": ""}}),
        json!({"values": {"a": "1\nb = 2"}}),
        json!({"values": {"a": "x"}, "at_least": true}),
        json!({"values": {"a": 1}, "file": "/etc/sysctl.conf"}),
        json!({"values": {"a": 1}, "file": "/etc/sysctl.d/a"}),
        json!({"values": {"a": 1}, "file": "/etc/sysctl.d/../a.conf"}),
    ] {
        assert!(made(args.clone()).is_err(), "{args}");
    }
}
