//! Starting a unit of systemd anew.

use crate::model::{Detail, Effect, HostRef, Own, Program, Programs, Restarts};
use crate::transport::UnitReading;
use std::collections::BTreeMap;

/// Seconds that a unit may take to stop and to start; systemd's own limit is 90 for each.
const LIMIT: u64 = 300;

/// Whether a unit runs, and has for three seconds. Its argument is the unit.
const RUNS: &str = "\
look() { systemctl show --property=ActiveState,InvocationID -- \"$1\"; }
first=$(look \"$1\")
case $first in *ActiveState=active*) ;; *) exit 1 ;; esac
sleep 3
[ \"$(look \"$1\")\" = \"$first\" ]
";

/// Whether a unit runs, has for three seconds, and was started after the start that is the second
/// argument.
const RUNS_ANEW: &str = "\
look() { systemctl show --property=ActiveState,InvocationID -- \"$1\"; }
first=$(look \"$1\")
case $first in *\"InvocationID=$2\"*) exit 1 ;; *ActiveState=active*) ;; *) exit 1 ;; esac
sleep 3
[ \"$(look \"$1\")\" = \"$first\" ]
";

fn program(script: Option<&str>, args: &[&str]) -> Program {
    Program {
        script: script.map(str::to_owned),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
    }
}

/// How a unit runs, in words.
pub fn activity(now: &UnitReading) -> String {
    match now.activity.as_str() {
        "restarting" => "failing: systemd starts it again and again".to_owned(),
        _ => now.activity.to_string(),
    }
}

/// What starts a unit anew. It is done once the unit runs, by another start than the one it has now. One
/// that `may_fail` is started, and what becomes of it then is not looked at.
pub fn start_anew(host: &HostRef, unit: &str, now: &UnitReading, may_fail: bool) -> Effect {
    let failing = now.activity.as_str() != "running";
    let check = match (may_fail, failing) {
        (true, _) => None,
        (false, true) => Some(program(Some(RUNS), &[unit])),
        (false, false) => Some(program(Some(RUNS_ANEW), &[unit, &now.invocation])),
    };
    let detail = Detail {
        subject: format!("{unit} of {}", host.node),
        before: Some(activity(now)),
        after: Some(match may_fail {
            true => "started anew".to_owned(),
            false => "running, started anew".to_owned(),
        }),
        ..Detail::default()
    };
    Effect::RunProgram {
        programs: Box::new(Programs {
            host: host.clone(),
            check,
            apply: program(None, &["systemctl", "restart", "--", unit]),
            verify: None,
            undo: None,
            limit: LIMIT,
            undo_limit: None,
            sensitive: false,
            back: false,
            blind: false,
            put_back_after: None,
            own: Some(Own {
                title: format!("a new start of {unit}"),
                does: vec![detail],
                undoes: Vec::new(),
            }),
            restarts: Some(Restarts {
                unit: unit.to_owned(),
                failing,
            }),
        }),
    }
}
