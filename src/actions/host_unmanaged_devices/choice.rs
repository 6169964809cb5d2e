//! Which of NetworkManager's files is changed, and how: a pure function of what was read.

use crate::model::network_manager::{
    ConfigFile, OWN_FOLDER, Operator, Pattern, Unmanaged, earlier_than, hidden_by, printed,
    with_devices, with_file,
};
use crate::model::{Digest, FileState};
use crate::transport::{Device, NetworkManagerReading};

/// The name that Calico's own documentation gives it.
const USUAL: &str = "calico.conf";
/// Later names that are tried where others void it: `zz-calico.conf` up to as many.
const MOST_Z: usize = 6;
/// What makes the daemon read other files than those that were read here.
const OTHER_FILES: [&str; 4] = [
    "--config",
    "--config-dir",
    "--system-config-dir",
    "--intern-config",
];

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Nothing(String),
    Refuse(String, Option<String>),
    Write(Edit),
}

/// A change of one file, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub path: String,
    /// `None`: there is none yet.
    pub before: Option<Vec<u8>>,
    pub after: Vec<u8>,
    /// The list that counts.
    pub was: Option<Vec<String>>,
    pub is: Vec<String>,
    /// Devices that are meant, and that NetworkManager manages now.
    pub managed: Vec<Device>,
    /// Why it is not the usual file.
    pub instead: Option<String>,
}

impl Edit {
    /// Whether anything is to be written: it may be that it is only to be read anew.
    pub fn changes(&self) -> bool {
        self.before.as_deref() != Some(self.after.as_slice())
    }

    pub fn state_after(&self, before: &FileState) -> FileState {
        let (mode, uid, gid) = match before {
            FileState::Absent => (0o644, 0, 0),
            FileState::Present { mode, uid, gid, .. } => (*mode, *uid, *gid),
        };
        FileState::Present {
            mode,
            uid,
            gid,
            size: self.after.len() as u64,
            content: Digest::of(&self.after),
        }
    }
}

pub fn choose(
    reading: &NetworkManagerReading,
    node: &str,
    wanted: &[Pattern],
    file: Option<&str>,
) -> Choice {
    match chosen(reading, node, wanted, file) {
        Ok(choice) => choice,
        Err((why, next)) => Choice::Refuse(why, Some(next)),
    }
}

/// Why it is refused, and what to do next.
type Refusal = (String, String);

fn chosen(
    reading: &NetworkManagerReading,
    node: &str,
    wanted: &[Pattern],
    file: Option<&str>,
) -> Result<Choice, Refusal> {
    for pattern in wanted {
        if let Some((link, why)) = reading
            .needed
            .iter()
            .find(|(link, _)| pattern.matches(link))
        {
            return Err((
                format!("{pattern} means {link} of {node} too, and {why}"),
                "name devices so that this one is not among them".to_owned(),
            ));
        }
    }
    let now = effective(reading, node)?;
    let devices = reading.devices.as_ref().map_err(|why| {
        (
            format!("nmcli on {node} does not tell which devices there are: {why}"),
            "look there: systemctl status NetworkManager".to_owned(),
        )
    })?;
    no_exception(&now, node, wanted)?;
    let specs: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let meant: Vec<&Device> = devices
        .iter()
        .filter(|device| wanted.iter().any(|pattern| pattern.matches(&device.name)))
        .collect();
    let managed: Vec<Device> = meant
        .iter()
        .filter(|device| device.is_managed())
        .map(|device| (*device).clone())
        .collect();
    let lacks = specs.iter().any(|spec| !now.devices().contains(spec));
    if !lacks && managed.is_empty() {
        let there = match meant.len() {
            0 => {
                return Ok(Choice::Nothing(format!(
                    "the files of NetworkManager on {node} name these devices already; whether it has read that cannot be seen while none of them is there"
                )));
            }
            1 => "the one that is there is unmanaged".to_owned(),
            n => format!("the {n} that are there are unmanaged"),
        };
        return Ok(Choice::Nothing(format!(
            "NetworkManager on {node} leaves these devices alone already: {there}"
        )));
    }
    let edit = |path: &str, before: Option<Vec<u8>>, after: Vec<u8>, is: &Unmanaged| Edit {
        path: path.to_owned(),
        before,
        after,
        was: now.devices.clone(),
        is: is.devices().to_vec(),
        managed: managed.clone(),
        instead: None,
    };
    if !lacks {
        let origin = specs.first().and_then(|spec| now.origin(spec));
        let origin = origin.and_then(|path| reading.files.iter().find(|file| file.path == path));
        let origin = origin.ok_or_else(|| {
            (
                format!("which file of NetworkManager's on {node} names them cannot be told"),
                "have it read its configuration anew: nmcli general reload conf".to_owned(),
            )
        })?;
        let (path, content) = (&origin.path, origin.content.clone());
        return Ok(Choice::Write(edit(
            path,
            Some(content.clone()),
            content,
            &now,
        )));
    }
    let mut first = None;
    for path in candidates(file) {
        match written(&reading.files, &path, &specs, &now) {
            Ok((before, after, is)) => {
                let mut edit = edit(&path, before, after, &is);
                edit.instead = first.map(|(why, _)| why);
                return Ok(Choice::Write(edit));
            }
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    Err(first.unwrap_or_default())
}

/// The list that counts, by the files and by NetworkManager itself.
fn effective(reading: &NetworkManagerReading, node: &str) -> Result<Unmanaged, Refusal> {
    let by_hand = || "look there: NetworkManager --print-config".to_owned();
    let elsewhere = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default();
        OTHER_FILES.contains(&name)
    };
    if let Some(argument) = reading.arguments.iter().find(elsewhere) {
        return Err((
            format!(
                "NetworkManager on {node} was started with {argument}: it reads other files than the usual ones"
            ),
            "put the devices into its `[keyfile] unmanaged-devices` by hand".to_owned(),
        ));
    }
    let says = reading.printed.as_ref().map_err(|why| {
        (
            format!("NetworkManager on {node} cannot read its configuration: {why}"),
            "put that right first".to_owned(),
        )
    })?;
    let now =
        Unmanaged::of(&reading.files).map_err(|why| (format!("on {node}, {why}"), by_hand()))?;
    let says = printed(says);
    if says != now.devices {
        let list = |devices: &Option<Vec<String>>| match devices {
            None => "nothing".to_owned(),
            Some(devices) => format!("`{}`", devices.join(";")),
        };
        return Err((
            format!(
                "what NetworkManager on {node} leaves alone is {} by its files, and {} by its own word",
                list(&now.devices),
                list(&says)
            ),
            by_hand(),
        ));
    }
    Ok(now)
}

/// An exception in the list keeps a device managed, whatever else is in it.
fn no_exception(now: &Unmanaged, node: &str, wanted: &[Pattern]) -> Result<(), Refusal> {
    for spec in now.devices() {
        let Some(except) = spec.strip_prefix("except:") else {
            continue;
        };
        let except = Pattern::parse(except);
        let meets = |pattern: &&Pattern| except.as_ref().is_none_or(|except| except.meets(pattern));
        if let Some(pattern) = wanted.iter().find(meets) {
            let origin = now.origin(spec).unwrap_or("its configuration");
            return Err((
                format!(
                    "`{spec}` in {origin} on {node} keeps devices managed that {pattern} may mean"
                ),
                format!("take it out of {origin}, if that is right there"),
            ));
        }
    }
    Ok(())
}

/// The files that may be written, the best first. One that somebody has named is the only one.
fn candidates(file: Option<&str>) -> Vec<String> {
    match file {
        Some(file) => vec![file.to_owned()],
        None => {
            let later = (2..=MOST_Z).map(|z| format!("{OWN_FOLDER}/{}-{USUAL}", "z".repeat(z)));
            [format!("{OWN_FOLDER}/{USUAL}")]
                .into_iter()
                .chain(later)
                .collect()
        }
    }
}

/// What a file was, what it becomes, and the list that counts then.
type Written = (Option<Vec<u8>>, Vec<u8>, Unmanaged);

/// What the file at `path` becomes, and the list that counts then; or why it is not the one to write.
fn written(
    files: &[ConfigFile],
    path: &str,
    specs: &[String],
    now: &Unmanaged,
) -> Result<Written, Refusal> {
    let own = files.iter().find(|file| file.path == path);
    if own.is_none()
        && let Some(hidden) = hidden_by(files, path)
    {
        return Err((
            format!("{path} would hide {hidden}, and all that this says"),
            "name a `file` that is not called so".to_owned(),
        ));
    }
    let unclear = |why: String| (why, "look there".to_owned());
    let earlier = Unmanaged::of(&earlier_than(files, path)).map_err(unclear)?;
    let before = own.map(|file| file.content.clone());
    let content = before.clone().unwrap_or_default();
    let after = with_devices(&content, specs, !earlier.devices().is_empty());
    let is = Unmanaged::of(&with_file(files, path, &after)).map_err(unclear)?;
    let missing = |all: &[String]| {
        all.iter()
            .find(|spec| !is.devices().contains(spec))
            .cloned()
    };
    let Some(spec) = missing(specs).or_else(|| missing(now.devices())) else {
        return Ok((before, after, is));
    };
    let voids = is.by.iter().rfind(|by| {
        by.path != path
            && match by.operator {
                Operator::Set => true,
                Operator::Remove => by.devices.contains(&spec),
                Operator::Add => false,
            }
    });
    Err(match voids {
        Some(by) => (
            format!(
                "{} is read after {path}, and its `unmanaged-devices{}` makes what that says of {spec} void",
                by.path, by.operator
            ),
            format!(
                "leave `file` out, or name one that sorts after {}",
                by.path.rsplit('/').next().unwrap_or_default()
            ),
        ),
        None => (
            format!("{path} has lines that keep {spec} out of the list"),
            "name another `file`".to_owned(),
        ),
    })
}
