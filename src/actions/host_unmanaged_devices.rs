//! `host.unmanaged_devices`: devices that NetworkManager leaves alone, by `[keyfile] unmanaged-devices`.

mod choice;
mod words;

use super::host_program::{no_switch, switch_seconds};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::network_manager::{OWN_FOLDER, Pattern};
use crate::model::{
    Blobs, Effect, FileNow, FileRef, FileState, HostRef, Prior, Programs, Subject, UndoClass,
};
use crate::runbook::DURATION_FORMAT;
use crate::transport::{Daemon, FileReading, NetworkManagerReading, OwnerNames, UnmanagedDevices};
use async_trait::async_trait;
use choice::{Choice, Edit};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Seconds that each program may take: a restart of NetworkManager, and what it is waited for.
const LIMIT: u64 = 90;
/// The least seconds after which the host puts it back: it is not cut short while it is under way, and
/// somebody has time to come back after it.
const LEAST: u64 = 100;
/// What its programs are called in sentences; by it, those of an earlier step are known.
const TITLE: &str = "what keeps NetworkManager off devices";

/// Whether NetworkManager is started anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Restart {
    /// It only reads its configuration anew; where it keeps a device all the same, the step fails.
    #[default]
    Never,
    /// It is, where it keeps a device after it has read its configuration.
    IfNeeded,
}

/// Devices that NetworkManager leaves alone. They are put into one of its files, which it then reads
/// without being restarted. Lists of other files stay as they are. Where NetworkManager is not there or
/// does not run, and where `nmcli` or, for `put_back_after`, systemd is missing, nothing is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Each as `interface-name:NAME`, in which `*` and `?` may stand for other characters. None may mean
    /// a link over which the host is reached, or that has its default route.
    devices: Vec<String>,
    /// The file in `/etc/NetworkManager/conf.d`. If it is left out or empty, that is `calico.conf`, or
    /// `zz-calico.conf` and so on where a file that is read later would make that one's list void.
    file: Option<String>,
    /// Whether NetworkManager may be restarted where it does not let go of a device otherwise.
    #[serde(default)]
    restart: Restart,
    /// After this time, from 100s to 1h, the host puts the file back by itself, also after a reboot, unless it
    /// was reached again over a new connection by then. It needs root and systemd.
    #[schemars(extend("format" = DURATION_FORMAT))]
    put_back_after: Option<String>,
}

pub struct HostUnmanagedDevices {
    devices: Vec<Pattern>,
    file: Option<String>,
    restart: Restart,
    put_back_after: Option<u64>,
}

pub struct Seen {
    host: HostRef,
    reading: NetworkManagerReading,
    /// The file that is to be written, where there is something to do.
    file: Option<FileReading>,
    /// Why the host cannot put anything back by itself, where it is to, and what to do about it.
    no_switch: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    unmanaged: UnmanagedDevices,
    edit: Edit,
    put_back_after: Option<u64>,
    keeps_attributes: bool,
}

/// A device as the runbook names it.
fn pattern(text: &str) -> Result<Pattern, String> {
    let wrong = || {
        format!(
            "`devices`: `{text}` is not `interface-name:NAME`, in which `*` and `?` may stand for other characters"
        )
    };
    let pattern = Pattern::parse(text).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@+*?".contains(c);
    let name = pattern.name();
    let literal = text.starts_with("interface-name:=");
    match !name.is_empty() && name.chars().all(plain) && !(literal && name.contains(['*', '?'])) {
        true => Ok(pattern),
        false => Err(wrong()),
    }
}

fn check_file(path: &str) -> Result<(), String> {
    let name = path.strip_prefix(OWN_FOLDER);
    let name = name.and_then(|rest| rest.strip_prefix('/'));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match name {
        Some(name) if name.len() > 5 && name.ends_with(".conf") && name.chars().all(plain) => {
            Ok(())
        }
        _ => Err(format!(
            "`file` is in {OWN_FOLDER} and ends in .conf, or NetworkManager does not read it; `{path}` does not fit"
        )),
    }
}

#[async_trait]
impl Action for HostUnmanagedDevices {
    const USES: &'static str = "host.unmanaged_devices";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let devices: Vec<Pattern> = args
            .devices
            .iter()
            .map(|device| pattern(device))
            .collect::<Result<_, _>>()?;
        if devices.is_empty() {
            return Err("`devices` names none".to_owned());
        }
        let file = args.file.filter(|file| !file.is_empty());
        file.as_deref().map(check_file).transpose()?;
        let seconds = |text: &str| match switch_seconds(text) {
            Ok(seconds) if seconds < LEAST => Err(format!(
                "`put_back_after` is at least {LEAST}s here, as this may take {LIMIT} s before the host can be reached again, and `{text}` is less"
            )),
            other => other,
        };
        let seconds = args.put_back_after.as_deref().map(seconds);
        Ok(Self {
            devices,
            file,
            restart: args.restart,
            put_back_after: seconds.transpose()?,
        })
    }

    fn needs(_with: &Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        let reading = look.network_manager(&host).await?;
        let (mut file, mut without) = (None, None);
        if let Choice::Write(edit) = self.choose(&reading, &host.node) {
            let at = FileRef {
                host: host.clone(),
                path: edit.path,
            };
            file = Some(look.file(&at, &OwnerNames::default()).await?);
            if self.put_back_after.is_some() && reading.has("systemd") {
                without = no_switch(look, &host).await?;
            }
        }
        Ok(Seen {
            host,
            reading,
            file,
            no_switch: without,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let node = &seen.host.node;
        match earlier(&seen.host, prior) {
            Earlier::Nothing => {}
            Earlier::File(path) => {
                return Decision::Late {
                    why: format!(
                        "an earlier step writes {path}, which NetworkManager on {node} reads as well"
                    ),
                };
            }
            Earlier::Same => {
                return Decision::Refuse {
                    why: format!(
                        "an earlier step keeps NetworkManager on {node} off devices as well"
                    ),
                    next: Some("make one step of the two".to_owned()),
                };
            }
        }
        let edit = match self.choose(&seen.reading, node) {
            Choice::Nothing(why) => return Decision::NoChange { why },
            Choice::Refuse(why, next) => return Decision::Refuse { why, next },
            Choice::Write(edit) => edit,
        };
        if let Some((why, next)) = &seen.no_switch {
            return Decision::Refuse {
                why: why.clone(),
                next: Some(next.clone()),
            };
        }
        match self.change(seen, edit) {
            Ok(change) => Decision::Change(change),
            Err((why, next)) => Decision::Refuse {
                why,
                next: next.map(str::to_owned),
            },
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let Change {
            unmanaged,
            edit,
            put_back_after,
            keeps_attributes,
        } = change;
        let node = unmanaged.file.host.node.clone();
        let changes_file = unmanaged.before != unmanaged.after;
        let undo = match &unmanaged.before.0 {
            _ if !changes_file => UndoClass::None {
                why: "the file is not changed, and NetworkManager keeps what it has read".to_owned(),
            },
            FileState::Present { .. } if !keeps_attributes => UndoClass::BestEffort {
                lost: "content, mode and owner come back; an ACL, a label or other attributes are lost \
                       when it is written, as this host's busybox does not keep them"
                    .to_owned(),
            },
            _ => UndoClass::Exact,
        };
        let mut follows = vec![words::reload(&node, unmanaged.may_restart, &edit)];
        if let Some(seconds) = put_back_after.filter(|_| changes_file) {
            follows.push(format!(
                "{node} puts the file back by itself, and has NetworkManager read that, if it cannot be reached again within {seconds} s, also after a reboot"
            ));
        }
        let own = words::own(TITLE, &unmanaged, &edit);
        let programs = Programs {
            host: unmanaged.file.host.clone(),
            check: Some(unmanaged.check()),
            apply: unmanaged.apply(),
            verify: None,
            undo: changes_file.then(|| unmanaged.undo()),
            limit: LIMIT,
            undo_limit: None,
            sensitive: false,
            back: false,
            blind: false,
            put_back_after: put_back_after.filter(|_| changes_file),
            restarts: None,
            own: Some(own.clone()),
        };
        Compiled {
            effects: vec![Effect::RunProgram {
                programs: Box::new(programs),
            }],
            blobs: Blobs::default(),
            details: own.does,
            follows,
            undo,
            predicted: None,
            heals: Some(words::fault(&node, &edit)),
        }
    }

    fn notes(&self, seen: &Seen, decision: &Decision<Change>) -> Vec<String> {
        match decision {
            Decision::Change(change) => words::notes(&seen.host.node, change, self.restart),
            _ => Vec::new(),
        }
    }
}

/// What an earlier step of the same plan does that this one rests on.
enum Earlier<'p> {
    Nothing,
    /// It writes a file of NetworkManager's.
    File(&'p str),
    /// It is of this kind.
    Same,
}

fn earlier<'p>(host: &HostRef, prior: Prior<'p>) -> Earlier<'p> {
    for effect in prior.effects() {
        match effect.subject() {
            Subject::File(file)
                if file.host.node == host.node && file.path.contains("/NetworkManager/") =>
            {
                return Earlier::File(&file.path);
            }
            Subject::Program(programs)
                if programs.host.node == host.node
                    && programs.own.as_ref().is_some_and(|own| own.title == TITLE) =>
            {
                return Earlier::Same;
            }
            _ => {}
        }
    }
    Earlier::Nothing
}

impl HostUnmanagedDevices {
    fn choose(&self, reading: &NetworkManagerReading, node: &str) -> Choice {
        let not_applicable = |why: String| Choice::Nothing(format!("not applicable: {why}"));
        match reading.daemon {
            Daemon::Absent => return not_applicable(format!("{node} has no NetworkManager")),
            Daemon::Idle => {
                return not_applicable(format!("NetworkManager does not run on {node}"));
            }
            Daemon::Running => {}
        }
        for tool in ["nmcli", "NetworkManager"] {
            if !reading.has(tool) {
                return not_applicable(format!(
                    "{node} has no program {tool}, without which nobody sees what NetworkManager manages there"
                ));
            }
        }
        let choice = choice::choose(reading, node, &self.devices, self.file.as_deref());
        match &choice {
            Choice::Write(_) if self.put_back_after.is_some() && !reading.has("systemd") => {
                not_applicable(format!(
                    "{node} has no systemd, without which it cannot put anything back by itself (`put_back_after`)"
                ))
            }
            _ => choice,
        }
    }

    /// The change of the file, as it was read just now.
    fn change(&self, seen: &Seen, edit: Edit) -> Result<Change, (String, Option<&'static str>)> {
        let file = FileRef {
            host: seen.host.clone(),
            path: edit.path.clone(),
        };
        let reading = seen
            .file
            .as_ref()
            .ok_or_else(|| (format!("{file} was not read"), None))?;
        if reading.reader != 0 {
            return Err((
                format!(
                    "{} is not root, and nobody else may write {file} and have NetworkManager read it",
                    seen.host.identity.user()
                ),
                Some("name root in `become`"),
            ));
        }
        let before = match &reading.now {
            FileNow::Is(state) => state.clone(),
            FileNow::Strange(what) => {
                return Err((
                    format!("{file} is {what}: that is not replaced by a file"),
                    None,
                ));
            }
        };
        let content = reading.content.clone().unwrap_or_default();
        if edit.before.clone().unwrap_or_default() != content
            || edit.before.is_some() != before.content().is_some()
        {
            return Err((
                format!("{file} was written while it was read"),
                Some("look what else writes it, and try again"),
            ));
        }
        let after = match edit.changes() {
            true => edit.state_after(&before),
            false => before.clone(),
        };
        Ok(Change {
            keeps_attributes: reading.keeps_attributes,
            put_back_after: self.put_back_after,
            unmanaged: UnmanagedDevices {
                file,
                before: (before, content),
                after: (after, edit.after.clone()),
                devices: self.devices.iter().map(ToString::to_string).collect(),
                may_restart: self.restart == Restart::IfNeeded && seen.reading.has("systemd"),
            },
            edit,
        })
    }
}

#[cfg(test)]
mod tests;
