use super::*;
use crate::actions::told::told;
use crate::journal::test_events::{change as change_of, host, step as step_of};
use crate::model::Scope;
use serde_json::json;

fn made(args: Value) -> Result<HostService, String> {
    HostService::new(serde_json::from_value(args).unwrap())
}

fn unit(activity: &str, file: &str, path: &str) -> Seen {
    Seen::Unit(
        host(),
        UnitReading {
            activity: SettingState::new(activity),
            file: SettingState::new(file),
            under: SettingState::new(match path {
                "/lib/systemd/system/static.service" => "static",
                _ => "disabled",
            }),
            invocation: "abc".into(),
            path: path.into(),
        },
    )
}

fn decided(args: Value, seen: &Seen) -> String {
    let action = made(args).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(seen, place, Prior { steps: &[] });
    told(&action, seen, decision)
}

#[test]
fn each_state_becomes_the_wanted_one() {
    let (lib, etc) = (
        "/lib/systemd/system/x.service",
        "/etc/systemd/system/x.service",
    );
    let running = || json!({"unit": "x", "state": "running"});
    let stopped = || json!({"unit": "x", "state": "stopped"});
    let enabled = |on: bool| json!({"unit": "x", "enabled": on});
    let masked = || json!({"unit": "x", "masked": true});
    let unmasked = |on: bool| json!({"unit": "x", "masked": false, "enabled": on});
    let changed =
        |on: bool| json!({"unit": "x", "state": "running", "restart_when_changed": [false, on]});
    let only_changed = || json!({"unit": "x", "restart_when_changed": [true]});
    let mut all = Vec::new();
    for (args, active, file, path) in [
        (running(), "running", "enabled", lib),
        (running(), "stopped", "disabled", lib),
        (running(), "failed", "enabled", lib),
        (running(), "restarting", "enabled", lib),
        (running(), "stopped", "masked", lib),
        (running(), "absent", "absent", ""),
        (stopped(), "running", "enabled", lib),
        (stopped(), "failed", "enabled", lib),
        (stopped(), "restarting", "enabled", lib),
        (stopped(), "absent", "absent", ""),
        (enabled(true), "running", "enabled", lib),
        (enabled(true), "running", "disabled", lib),
        (enabled(true), "running", "static", lib),
        (enabled(false), "running", "enabled", lib),
        (enabled(false), "running", "static", lib),
        (enabled(false), "running", "enabled-runtime", lib),
        (masked(), "stopped", "masked", lib),
        (
            masked(),
            "stopped",
            "generated",
            "/run/systemd/generator/x.swap",
        ),
        (masked(), "running", "enabled", lib),
        (masked(), "running", "enabled", etc),
        (masked(), "running", "masked-runtime", lib),
        (unmasked(true), "stopped", "masked", lib),
        (unmasked(false), "stopped", "masked", lib),
        (unmasked(false), "stopped", "disabled", lib),
        (
            unmasked(false),
            "stopped",
            "masked",
            "/lib/systemd/system/static.service",
        ),
        (
            unmasked(true),
            "stopped",
            "masked",
            "/lib/systemd/system/static.service",
        ),
        (stopped(), "starting", "enabled", lib),
        (changed(false), "running", "enabled", lib),
        (changed(true), "running", "enabled", lib),
        (changed(true), "stopped", "enabled", lib),
        (only_changed(), "running", "enabled", lib),
        (only_changed(), "restarting", "enabled", lib),
        (only_changed(), "failed", "enabled", lib),
        (only_changed(), "stopped", "enabled", lib),
    ] {
        all.push(format!(
            "{args} where {active}, {file}\n  {}",
            decided(args.clone(), &unit(active, file, path)).replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_host_without_systemd_is_left_alone() {
    let seen = Seen::None("node02 is not run by systemd".into());
    insta::assert_snapshot!(decided(json!({"unit": "x", "state": "running"}), &seen), @"no change: not applicable: node02 is not run by systemd");
}

#[test]
fn a_unit_is_changed_by_one_step() {
    let action = made(json!({"unit": "x", "state": "stopped"})).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = unit("running", "enabled", "");
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
    let other = made(json!({"unit": "y", "state": "stopped"})).unwrap();
    let other = other.decide(&seen, place, Prior { steps: &earlier });
    assert!(matches!(other, Decision::Change(_)));
}

#[test]
fn only_a_start_anew_leaves_something_that_an_undo_does_not_bring_back() {
    assert_eq!(
        HostService::lost(&json!({"unit": "x", "state": "running"})),
        None
    );
    let restarts = json!({"unit": "x", "restart_when_changed": ["a"]});
    assert_eq!(HostService::lost(&restarts), Some(RESTARTED));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        json!({"unit": "x"}),
        json!({"unit": "", "state": "running"}),
        json!({"unit": "-x", "state": "running"}),
        json!({"unit": "a b", "state": "running"}),
        json!({"unit": "../x", "state": "running"}),
        json!({"unit": "x", "masked": true, "enabled": true}),
        json!({"unit": "x", "masked": true, "state": "running"}),
        json!({"unit": "x", "masked": false}),
        json!({"unit": "x", "state": "stopped", "restart_when_changed": [true]}),
    ] {
        assert!(made(args.clone()).is_err(), "{args}");
    }
}
