//! Starting a unit of systemd anew.

use crate::model::{Detail, Effect, HostRef, Own, Program, Programs, Restarts};
use crate::transport::UnitReading;
use std::collections::BTreeMap;

/// Seconds that a unit may take to stop and to start; systemd's own limit is 90 for each.
const LIMIT: u64 = 300;

/// Whether a unit runs, by another start than the one that is the second argument, where there is one:
/// it has for three seconds, and one that systemd had to start again for fifteen (as `setting.sh` has
/// it). Without InvocationID (systemd before 232), the time of its start tells one from the next.
const RUNS: &str = "\
look() {
    systemctl show --property=ActiveState,InvocationID,ActiveEnterTimestampMonotonic,NRestarts -- \"$1\"
}
value() { printf '%s\\n' \"$first\" | sed -n \"s/^$1=//p\"; }
first=$(look \"$1\")
[ \"$(value ActiveState)\" = active ] || exit 1
since=$(value ActiveEnterTimestampMonotonic)
start=$(value InvocationID)
[ -z \"$2\" ] || [ \"${start:-$since}\" != \"$2\" ] || exit 1
wait=3
case $(value NRestarts) in
    '' | 0) ;;
    *)
        read -r up _ </proc/uptime
        wait=$((15 - ${up%%.*} + ${since:-0} / 1000000))
        [ \"$wait\" -ge 3 ] || wait=3
        ;;
esac
sleep \"$wait\"
[ \"$(look \"$1\")\" = \"$first\" ]
";

/// Starts a unit anew, by its files as they are now. The second argument may be `--no-block`.
const RESTART: &str = "\
case $(systemctl show --property=NeedDaemonReload -- \"$1\") in
    *=yes) systemctl daemon-reload || exit ;;
esac
# So that systemd counts anew how often it had to start it.
systemctl reset-failed -- \"$1\" 2>/dev/null
exec systemctl restart ${2:+\"$2\"} -- \"$1\"
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
        (false, false) => Some(program(Some(RUNS), &[unit, &now.invocation])),
    };
    let apply = match may_fail {
        true => program(Some(RESTART), &[unit, "--no-block"]),
        false => program(Some(RESTART), &[unit]),
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
            apply,
            verify: None,
            undo: None,
            limit: LIMIT,
            undo_limit: None,
            sensitive: false,
            back: false,
            // Somebody else may start it anew as well, before what it is to read is there.
            blind: !may_fail && !failing,
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
