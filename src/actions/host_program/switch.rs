//! Whether a host can put back by itself what cuts it off.

use super::{Does, LONGEST, USUAL_LIMIT, ended, literal};
use crate::actions::Look;
use crate::fault::Fault;
use crate::model::{Exit, HostRef};
use crate::runbook::parse_duration;

/// Seconds after which a host puts back by itself what cut it off.
pub(super) fn put_back_after(text: Option<&str>, does: &Does) -> Result<Option<u64>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let seconds = switch_seconds(text)?;
    match does {
        Does::Changes(parts) if parts.undo.is_none() => {
            Err("`put_back_after` needs `undo`: what the host is to run by itself".to_owned())
        }
        Does::Changes(parts) if parts.check.is_none() && parts.verify.is_none() => Err(
            "`put_back_after` needs `check` or `verify`, by which it is seen that it may stay"
                .to_owned(),
        ),
        Does::Changes(_) => Ok(Some(seconds)),
        Does::Reads(_) => Err("what only reads needs no `put_back_after`".to_owned()),
    }
}

/// Seconds, from the text of `put_back_after`.
pub(in crate::actions) fn switch_seconds(text: &str) -> Result<u64, String> {
    parse_duration(text)
        .map(|time| time.as_secs())
        .filter(|seconds| (10..=LONGEST).contains(seconds))
        .ok_or_else(|| {
            format!("`put_back_after` is a duration from 10s to 1h, and `{text}` is not")
        })
}

/// Why a host cannot put anything back by itself, and what to do about it; only looks.
pub(in crate::actions) async fn no_switch(
    look: &Look<'_>,
    host: &HostRef,
) -> Result<Option<(String, String)>, Fault> {
    let ran = look.program(host, &literal(NO_SWITCH), USUAL_LIMIT).await?;
    let node = &host.node;
    let because = |why: String, next: &str| Ok(Some((why, next.to_owned())));
    match (ran.exit, ran.output().trim()) {
        (Exit::Code(0), "") => Ok(None),
        (Exit::Code(0), "root") => because(
            format!(
                "{} cannot have {node} put it back by itself: that is not possible without root",
                host.identity.user()
            ),
            "name root in `become`",
        ),
        (Exit::Code(0), "systemd") => because(
            format!("{node} cannot put it back by itself: that is not possible without systemd"),
            "leave `put_back_after` out only if you can get at its console",
        ),
        (Exit::Code(0), key) => because(
            format!("{node} may yet put back by itself what another run has done: attempt {key}"),
            "`runbook resume` that run first: the attempt begins with the run's id",
        ),
        _ => because(
            format!(
                "whether {node} can put it back by itself cannot be seen: {}",
                ended(&ran, false)
            ),
            "look there",
        ),
    }
}

/// Prints what is missing, or which attempt has a switch that is armed.
const NO_SWITCH: &str = r#"
[ "$(id -u)" = 0 ] || { echo root; exit 0; }
[ -d /run/systemd/system ] && command -v systemctl >/dev/null || { echo systemd; exit 0; }
for armed in /var/lib/runbook/switch/*/armed; do
    armed=${armed%/armed}
    [ ! -e "$armed/armed" ] || { echo "${armed##*/}"; exit 0; }
done
"#;
