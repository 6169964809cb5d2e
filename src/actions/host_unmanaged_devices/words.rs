//! What people read about devices that NetworkManager is to leave alone.

use super::choice::Edit;
use super::{Change, Restart};
use crate::actions::line_difference::line_difference;
use crate::model::{Detail, FileState, Own};
use crate::transport::{Device, UnmanagedDevices};

/// How it comes to know.
pub fn reload(node: &str, may_restart: bool, edit: &Edit) -> String {
    let own = managed(edit, |device| device.state != "connected (externally)");
    let restart = match (may_restart, own.is_empty()) {
        (false, true) => "it is not restarted, and links stay as they are",
        (false, false) => "it is not restarted",
        (true, _) => "where it keeps one of the devices all the same, it is restarted",
    };
    // What it has set up by a profile of its own, it may take down.
    let addresses = match own.is_empty() {
        true => String::new(),
        false => format!(
            "; it may take off the addresses of {} when it lets go",
            names(&own)
        ),
    };
    format!(
        "NetworkManager on {node} reads its configuration anew (nmcli general reload conf); {restart}{addresses}"
    )
}

fn managed(edit: &Edit, which: impl Fn(&Device) -> bool) -> Vec<Device> {
    let devices = edit.managed.iter();
    devices.filter(|device| which(device)).cloned().collect()
}

/// The fault that goes, and that an undo brings back.
pub fn fault(node: &str, edit: &Edit) -> String {
    if !edit.changes() {
        return format!("NetworkManager on {node} manages {}", names(&edit.managed));
    }
    let was = edit.was.as_deref().unwrap_or_default();
    let new: Vec<&str> = added(was, &edit.is).collect();
    format!(
        "the configuration of NetworkManager on {node} lets it manage {}",
        new.join(", ")
    )
}

pub fn notes(node: &str, change: &Change, restart: Restart) -> Vec<String> {
    let edit = &change.edit;
    let mut notes = Vec::new();
    if let Some(why) = &edit.instead {
        notes.push(format!("the file is {}: {why}", edit.path));
    }
    if edit.changes() {
        notes.push(format!(
            "an undo puts the file back, and does not have NetworkManager read it, which would take these devices' addresses off at once: the fault is back when it next reads its configuration, at a reload, a restart or a boot of {node}"
        ));
    }
    // It lets go at once of what others have set up, and not of what it took over itself, which its state
    // does not always tell.
    let kept = managed(edit, |device| !device.state.starts_with("connected"));
    if !kept.is_empty() && restart == Restart::Never {
        notes.push(format!(
            "some versions of NetworkManager (1.42 is one) keep a device in a state like that of {} until they are restarted; then this step fails, and `restart: if_needed` would restart it",
            names(&kept)
        ));
    }
    notes
}

/// What the programs do, forth and back.
pub fn own(title: &str, unmanaged: &UnmanagedDevices, edit: &Edit) -> Own {
    let node = &unmanaged.file.host.node;
    let list = |devices: &Option<Vec<String>>| devices.as_ref().map(|devices| devices.join(";"));
    let mut does = Vec::new();
    let mut undoes = Vec::new();
    if edit.changes() {
        does.push(file(unmanaged, &unmanaged.before, &unmanaged.after));
        does.push(Detail {
            subject: format!("what NetworkManager on {node} leaves alone, by all its files"),
            before: list(&edit.was),
            after: list(&Some(edit.is.clone())),
            ..Detail::default()
        });
        undoes.push(file(unmanaged, &unmanaged.after, &unmanaged.before));
        undoes.push(Detail {
            subject: format!(
                "NetworkManager on {node} is not told to read it, which would take addresses off the devices at once: it goes by it from its next reload, restart or boot on"
            ),
            ..Detail::default()
        });
    } else {
        does.push(Detail {
            subject: format!(
                "{} says so already, and NetworkManager has not read it yet, or does not go by it",
                unmanaged.file
            ),
            ..Detail::default()
        });
    }
    does.push(match edit.managed.is_empty() {
        true => Detail {
            subject: "it manages none of them now; those that come are left alone".to_owned(),
            ..Detail::default()
        },
        false => Detail {
            subject: "devices that it manages now, and then leaves alone".to_owned(),
            lines: edit.managed.iter().flat_map(device).collect(),
            ..Detail::default()
        },
    });
    Own {
        title: title.to_owned(),
        does,
        undoes,
    }
}

fn device(device: &Device) -> [String; 2] {
    let Device { name, kind, state } = device;
    [
        format!("- {name} ({kind}): {state}"),
        format!("+ {name} ({kind}): unmanaged"),
    ]
}

fn file(
    unmanaged: &UnmanagedDevices,
    from: &(FileState, Vec<u8>),
    to: &(FileState, Vec<u8>),
) -> Detail {
    let everybodys = |state: &FileState| match state {
        FileState::Absent => true,
        FileState::Present { mode, .. } => mode & 0o004 != 0,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Detail {
        subject: unmanaged.file.to_string(),
        before: from.0.words(),
        after: to.0.words(),
        lines: match everybodys(&from.0) && everybodys(&to.0) {
            true => line_difference(&text(&from.1), &text(&to.1)),
            false => vec!["  (not shown, as not everybody may read it; saved plans and the run's journal have all of it)".to_owned()],
        },
        ..Detail::default()
    }
}

fn names(devices: &[Device]) -> String {
    let named: Vec<String> = devices
        .iter()
        .map(|device| format!("{} ({})", device.name, device.state))
        .collect();
    named.join(", ")
}

fn added<'d>(was: &'d [String], is: &'d [String]) -> impl Iterator<Item = &'d str> {
    is.iter()
        .filter(|spec| !was.contains(spec))
        .map(String::as_str)
}
