//! `host.module`: whether a module of the kernel is loaded, now and after a boot.

use super::file_change::{self, check_path};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{
    DropIn, Prior, Setting, SettingRef, SettingState, UndoClass, hidden_by, in_order,
};
use crate::transport::OwnerNames;
use async_trait::async_trait;
use serde_json::Value;

/// The folders of modules-load.d(5) (systemd 252), the one that hides others first.
const FOLDERS: &[&str] = &[
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
];

/// A module of the kernel is loaded, and is loaded after each boot. What is part of the kernel itself is
/// always there.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Its name, such as `nf_conntrack`.
    name: String,
    /// Whether it is loaded at each boot as well, as modules-load.d(5) has it. A file that names it already
    /// is enough.
    #[serde(default = "super::yes")]
    at_boot: bool,
    /// The file that says so; `/etc/modules-load.d/` and the name with `.conf` if this is left out.
    file: Option<String>,
}

pub struct HostModule {
    name: String,
    file: Option<String>,
}

pub struct Seen {
    setting: SettingRef,
    state: SettingState,
    /// Where it is to be loaded at boot: what is there.
    boot: Option<(Vec<DropIn>, file_change::Seen)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Loads it.
    load: Option<SettingRef>,
    file: Option<file_change::Change>,
}

/// The names under which /sys and modprobe know it, which take both for the same.
fn module_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        true => Ok(name.replace('-', "_")),
        false => Err(format!(
            "`name` is the name of a module, and `{name}` is not"
        )),
    }
}

/// Whether a file of modules-load.d(5) names a module.
fn names(text: &str, module: &str) -> bool {
    text.lines()
        .map(str::trim)
        .any(|line| line.replace('-', "_") == module)
}

#[async_trait]
impl Action for HostModule {
    const USES: &'static str = "host.module";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        let name = module_name(&args.name)?;
        let file = match (args.at_boot, args.file) {
            (false, Some(_)) => {
                return Err("`file` is for `at_boot: true`".to_owned());
            }
            (false, None) => None,
            (true, given) => {
                let file = given.unwrap_or_else(|| format!("/etc/modules-load.d/{name}.conf"));
                check_path(&file)?;
                let folder = file.rsplit_once('/').map(|(folder, _)| folder);
                // Those of /run are gone after a boot; the others are a distribution's own.
                if folder != FOLDERS.first().copied() || !file.ends_with(".conf") {
                    return Err(format!(
                        "`file` stands in /etc/modules-load.d and ends in .conf, and `{file}` does not"
                    ));
                }
                Some(file)
            }
        };
        Ok(Self { name, file })
    }

    fn lost(_with: &Value) -> Option<&'static str> {
        Some("a module that is in use by then cannot be unloaded, and stays until the next boot")
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
        let name = self.name.clone();
        let setting = Setting::Module { name }.of(&host);
        let state = look.setting(&setting).await?;
        let boot = match &self.file {
            None => None,
            Some(file) => Some((
                look.drop_ins(&host, FOLDERS).await?,
                file_change::Seen::read(look, place, file, &OwnerNames::default()).await?,
            )),
        };
        Ok(Seen {
            setting,
            state,
            boot,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let (name, host) = (&self.name, &seen.setting.host.node);
        let load = match seen.state.as_str() {
            "loaded" | "in_use" => None,
            // It needs no loading, at no boot.
            "built_in" => {
                return Decision::NoChange {
                    why: format!("{name} is part of the kernel of {host}"),
                };
            }
            "not_loaded" => Some(seen.setting.clone()),
            _ => {
                return Decision::Refuse {
                    why: format!("the kernel of {host} has no module {name}"),
                    next: Some("install it there, or look for its name with `modinfo`".to_owned()),
                };
            }
        };
        let file = match &seen.boot {
            None => None,
            Some((found, own)) => {
                let path = self.file.as_deref().unwrap_or_default();
                let by = in_order(found)
                    .into_iter()
                    .find(|file| names(&file.text, name));
                match by {
                    None if hidden_by(found, path).is_some() => {
                        return Decision::Refuse {
                            why: format!(
                                "{path} would hide a file of that name in another folder, with the modules that it loads"
                            ),
                            next: Some("give `file` another name".to_owned()),
                        };
                    }
                    Some(_) => None,
                    None => match own.decide(prior, None, "", |old| {
                        let mut text = old.unwrap_or_default().to_vec();
                        if !text.is_empty() && !text.ends_with(b"\n") {
                            text.push(b'\n');
                        }
                        text.extend_from_slice(format!("{name}\n").as_bytes());
                        Ok(Some(text))
                    }) {
                        Decision::Change(change) => Some(change),
                        Decision::NoChange { .. } => None,
                        Decision::Refuse { why, next } => return Decision::Refuse { why, next },
                        Decision::Check { .. }
                        | Decision::Unknown { .. }
                        | Decision::Late { .. }
                        | Decision::Foreseen => None,
                    },
                }
            }
        };
        match (&load, &file) {
            (None, None) => Decision::NoChange {
                why: match self.file {
                    Some(_) => format!("{name} is loaded on {host}, and is at each boot"),
                    None => format!("{name} is loaded on {host}"),
                },
            },
            _ => Decision::Change(Change { load, file }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut compiled = Compiled::nothing();
        if let Some(setting) = change.load {
            let (before, after) = (SettingState::new("not_loaded"), SettingState::new("loaded"));
            compiled.put(setting, before, after);
            compiled.undo = UndoClass::BestEffort {
                lost: "a module that is in use by then cannot be unloaded, and stays until the next boot"
                    .to_owned(),
            };
        }
        match change.file {
            Some(file) => compiled.and(file.compile(false)),
            None => compiled,
        }
    }
}

#[cfg(test)]
mod tests;
