use super::*;
use crate::actions::told::told;
use crate::journal::test_events::host;
use crate::model::Scope;
use serde_json::json;

fn made(args: Value) -> Result<HostModule, String> {
    HostModule::new(serde_json::from_value(args).unwrap())
}

fn decided(args: Value, state: &str, files: &[(&str, &str)], own: Option<&str>) -> String {
    let action = made(args).unwrap();
    let boot = action.file.as_ref().map(|path| {
        let found = files.iter().map(|(path, text)| DropIn {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        });
        (
            found.collect(),
            file_change::Seen::for_test(path, own.map(str::as_bytes)),
        )
    });
    let seen = Seen {
        setting: SettingRef {
            host: host(),
            setting: Setting::Module {
                name: action.name.clone(),
            },
        },
        state: SettingState::new(state),
        boot,
    };
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(&seen, place, Prior { steps: &[] });
    told(&action, &seen, decision)
}

#[test]
fn a_module_is_loaded_now_and_at_boot() {
    let args = || json!({"name": "nf-conntrack"});
    let own = "/etc/modules-load.d/nf_conntrack.conf";
    let other = "/usr/lib/modules-load.d/k8s.conf";
    let hidden = ("/etc/modules-load.d/k8s.conf", "");
    let mut all = Vec::new();
    for (args, state, files, there) in [
        (args(), "not_loaded", &[][..], None),
        (args(), "loaded", &[(other, "# x\n nf_conntrack \n")], None),
        (args(), "in_use", &[(other, "nf_conntrack_netlink\n")], None),
        (args(), "not_loaded", &[(other, "nf-conntrack\n")], None),
        (args(), "loaded", &[hidden, (other, "nf_conntrack\n")], None),
        (args(), "loaded", &[(own, "overlay")], Some("overlay")),
        (args(), "built_in", &[], None),
        (args(), "absent", &[], None),
        (json!({"name": "x", "at_boot": false}), "loaded", &[], None),
        (
            json!({"name": "x", "at_boot": false}),
            "not_loaded",
            &[],
            None,
        ),
    ] {
        let decided = decided(args.clone(), state, files, there);
        all.push(format!(
            "{args} {state} {files:?}\n  {}",
            decided.replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        json!({"name": ""}),
        json!({"name": "-r"}),
        json!({"name": "a b"}),
        json!({"name": "a/b"}),
        json!({"name": "a", "at_boot": false, "file": "/etc/modules-load.d/a.conf"}),
        json!({"name": "a", "file": "/etc/modules"}),
        json!({"name": "a", "file": "/etc/modules-load.d/a"}),
        json!({"name": "a", "file": "/etc/modules-load.d/../a.conf"}),
    ] {
        assert!(made(args.clone()).is_err(), "{args}");
    }
}
