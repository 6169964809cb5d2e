//! NetworkManager's configuration, as far as it says which devices it leaves alone: which of its files
//! count, in what order, and what `[keyfile] unmanaged-devices` then is.
//!
//! The rules are those of NetworkManager.conf(5) and of `src/core/nm-config.c`; they were compared with
//! what NetworkManager 1.42.4 prints with `--print-config`.

mod edit;
mod keyfile;
mod spec;

pub use edit::with_devices;
pub use spec::{Pattern, split};

use keyfile::KeyFile;
use std::collections::BTreeSet;
use std::fmt;

/// Packages', the boot's and the administrator's files, in the order in which they are read.
const FOLDERS: [&str; 3] = [
    "/usr/lib/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
    OWN_FOLDER,
];
/// The folder of the administrator's files.
pub const OWN_FOLDER: &str = "/etc/NetworkManager/conf.d";
/// It is read before the administrator's other files, and after all others.
const MAIN: &str = "/etc/NetworkManager/NetworkManager.conf";
const GROUP: &str = "keyfile";
const KEY: &str = "unmanaged-devices";

/// One file, as it is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    pub path: String,
    pub content: Vec<u8>,
}

impl ConfigFile {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Where it stands in the order: that of its folder, and its name. `None`: it is not read.
    fn rank(&self) -> Option<(usize, &str)> {
        if self.path == MAIN {
            return Some((2, ""));
        }
        let (folder, name) = self.path.rsplit_once('/')?;
        let at = FOLDERS.iter().position(|f| *f == folder)?;
        // The main file comes between the boot's and the administrator's.
        let at = if at == 2 { 3 } else { at };
        name.ends_with(".conf").then_some((at, name))
    }
}

/// What one file does to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`: what was before it no longer counts.
    Set,
    /// `+=`
    Add,
    /// `-=`
    Remove,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set => "=",
            Self::Add => "+=",
            Self::Remove => "-=",
        })
    }
}

/// One line that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub path: String,
    pub operator: Operator,
    pub devices: Vec<String>,
}

/// Which devices NetworkManager leaves alone by its files, and what makes it so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmanaged {
    /// `None`: no file says anything.
    pub devices: Option<Vec<String>>,
    /// In the order in which they are read.
    pub by: Vec<Assignment>,
}

impl Unmanaged {
    /// Reads what counts in the files, which may come in any order. The error says why that cannot be told.
    pub fn of(files: &[ConfigFile]) -> Result<Self, String> {
        let mut unmanaged = Self::default();
        for file in in_order(files) {
            unmanaged.read(file)?;
        }
        Ok(unmanaged)
    }

    fn read(&mut self, file: &ConfigFile) -> Result<(), String> {
        let keyfile = KeyFile::parse(&file.content);
        let assignments: Vec<Assignment> = keyfile
            .keys(GROUP)
            .filter_map(|(key, value)| {
                let operator = match key.strip_prefix(KEY)? {
                    "" => Operator::Set,
                    "+" => Operator::Add,
                    "-" => Operator::Remove,
                    _ => return None,
                };
                Some(Assignment {
                    path: file.path.clone(),
                    operator,
                    devices: split(value),
                })
            })
            .collect();
        if assignments.is_empty() {
            return Ok(());
        }
        if file.path != MAIN {
            match keyfile.value(".config", "enable").map(str::trim) {
                None => {}
                Some("true" | "yes" | "on" | "1") => {}
                Some("false" | "no" | "off" | "0" | "") => return Ok(()),
                Some(other) => {
                    return Err(format!(
                        "whether {} counts depends on `[.config] enable={other}`, which only NetworkManager itself can tell",
                        file.path
                    ));
                }
            }
        }
        for assignment in assignments {
            self.apply(&assignment);
            self.by.push(assignment);
        }
        Ok(())
    }

    fn apply(&mut self, assignment: &Assignment) {
        let new = &assignment.devices;
        let old = self.devices.take().unwrap_or_default();
        self.devices = Some(match assignment.operator {
            Operator::Set => new.clone(),
            Operator::Add => {
                let more = new.iter().filter(|spec| !old.contains(spec));
                old.iter().chain(more).cloned().collect()
            }
            Operator::Remove => old.into_iter().filter(|spec| !new.contains(spec)).collect(),
        });
    }

    pub fn devices(&self) -> &[String] {
        self.devices.as_deref().unwrap_or_default()
    }

    /// The last line that counts and has `spec` in it.
    pub fn origin(&self, spec: &str) -> Option<&str> {
        let has = |by: &&Assignment| by.devices.iter().any(|device| device == spec);
        self.by.iter().rfind(has).map(|by| by.path.as_str())
    }
}

/// The files that count, in the order in which they are read. One of the same name in a later folder
/// hides those in earlier ones.
pub fn in_order(files: &[ConfigFile]) -> Vec<&ConfigFile> {
    let mut ranked: Vec<((usize, &str), &ConfigFile)> = files
        .iter()
        .filter_map(|file| Some((file.rank()?, file)))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut seen = BTreeSet::new();
    let mut counting: Vec<&ConfigFile> = ranked
        .into_iter()
        .rev()
        .filter(|((at, name), _)| *at == 2 || seen.insert((*name).to_owned()))
        .map(|(_, file)| file)
        .collect();
    counting.reverse();
    counting
}

/// The files with another content of one of them; it may be new.
pub fn with_file(files: &[ConfigFile], path: &str, content: &[u8]) -> Vec<ConfigFile> {
    let others = files.iter().filter(|file| file.path != path).cloned();
    let this = ConfigFile {
        path: path.to_owned(),
        content: content.to_vec(),
    };
    others.chain([this]).collect()
}

/// The files that are read before the one at `path`, whether that is there or not.
pub fn earlier_than(files: &[ConfigFile], path: &str) -> Vec<ConfigFile> {
    let all = match files.iter().any(|file| file.path == path) {
        true => files.to_vec(),
        false => with_file(files, path, b""),
    };
    let counting = in_order(&all);
    counting
        .into_iter()
        .take_while(|file| file.path != path)
        .cloned()
        .collect()
}

/// A file of a package or of the boot that a new file of the administrator's would hide.
pub fn hidden_by<'f>(files: &'f [ConfigFile], path: &str) -> Option<&'f str> {
    let name = path.rsplit('/').next()?;
    files
        .iter()
        .find(|file| file.path != path && file.path != MAIN && file.name() == name)
        .map(|file| file.path.as_str())
}

/// The list in what `NetworkManager --print-config` prints; `None`: it prints none.
pub fn printed(text: &[u8]) -> Option<Vec<String>> {
    KeyFile::parse(text).value(GROUP, KEY).map(split)
}

/// The fields of a line that `nmcli -t` prints; `\` stands before a `:` or a `\` within one.
pub fn nmcli_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => fields.push(String::new()),
            '\\' => fields
                .last_mut()
                .into_iter()
                .for_each(|f| f.extend(chars.next())),
            c => fields.last_mut().into_iter().for_each(|f| f.push(c)),
        }
    }
    fields
}

#[cfg(test)]
mod tests;
