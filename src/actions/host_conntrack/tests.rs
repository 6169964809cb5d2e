use super::*;
use crate::actions::told::told;
use crate::journal::test_events::{change, host, step};
use crate::model::{Effect, PlannedStep, Scope, SettingState};
use serde_json::json;

fn made(args: Value) -> Result<HostConntrack, String> {
    HostConntrack::new(serde_json::from_value(args).unwrap())
}

fn seen(table: Option<(u64, u64)>) -> Seen {
    Seen {
        host: host(),
        table: table.map(|(count, max)| Table { count, max }),
    }
}

fn decided(table: Option<(u64, u64)>, steps: &[PlannedStep]) -> String {
    let action = made(json!({})).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(&seen(table), place, Prior { steps });
    told(&action, &seen(table), decision)
}

#[test]
fn a_table_has_room_or_the_run_does_not_begin() {
    let raises = Effect::PutSetting {
        setting: Setting::Sysctl {
            key: MAX.to_owned(),
        }
        .of(&host()),
        before: SettingState::value("512"),
        after: SettingState::value("9999"),
    };
    let mut there = raises.clone();
    if let Effect::PutSetting { setting, .. } = &mut there {
        setting.host.node = "node09".into();
    }
    let elsewhere = [step("b", Scope::Run, change(vec![there]))];
    let raised = [step("a", Scope::Run, change(vec![raises]))];
    let said = [
        decided(Some((459, 512)), &[]),
        decided(Some((461, 512)), &[]),
        decided(Some((7, 0)), &[]),
        decided(None, &[]),
        decided(Some((512, 512)), &raised),
        decided(None, &raised),
        // On another host, this is as it was before.
        decided(Some((512, 512)), &elsewhere),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    no change: node02: 459 of 512 entries are in use (89 %)
    refused: node02: 461 of 512 entries are in use (90 %) [give the table more entries than it has, or look who takes them: conntrack -L 2>/dev/null | sed 's/^[^=]*\(src=[^ ]* dst=[^ ]*\).*/\1/' | sort | uniq -c | sort -rn | head]
    no change: node02: 7 entries are in use, and there is no limit
    no change: not applicable: the kernel of node02 follows no connections (nf_conntrack is not loaded)
    check: less than 90 % of the table of connections of node02 is in use
    check: less than 90 % of the table of connections of node02 is in use
    refused: node02: 512 of 512 entries are in use (100 %) [give the table more entries than it has, or look who takes them: conntrack -L 2>/dev/null | sed 's/^[^=]*\(src=[^ ]* dst=[^ ]*\).*/\1/' | sort | uniq -c | sort -rn | head]
    ");
}

#[test]
fn it_waits_until_there_is_room_and_says_how_much() {
    let action = made(json!({"below": 50, "within": "5s"})).unwrap();
    let prior = Prior { steps: &[] };
    let verified = |table| Action::verify(&action, &seen(table), prior, &[]);
    assert_eq!(verified(Some((4, 10))), Settled::Yes);
    assert_eq!(verified(None), Settled::Yes);
    let full = verified(Some((5, 10)));
    insta::assert_debug_snapshot!(full, @r#"
    NotYet(
        "node02: 5 of 10 entries are in use (50 %)",
    )
    "#);
    assert_eq!(
        Value::from(action.found(&seen(Some((4, 10))))),
        json!({"count": 4, "max": 10, "summary": "4 of 10 entries are in use (40 %)"})
    );
    assert!(action.found(&seen(None)).is_empty());
    assert_eq!(action.patience().within, Duration::from_secs(5));
}

#[test]
fn a_share_is_in_percent() {
    for args in [
        json!({"below": 0}),
        json!({"below": 101}),
        json!({"within": "soon"}),
    ] {
        assert!(made(args.clone()).is_err(), "{args}");
    }
}
