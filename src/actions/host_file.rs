//! `host.file`: the content, the mode and the owner of a file of a host, or its absence.

use super::line_difference::line_difference;
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Detail, Digest, Effect, FileNow, FileRef, FileState, Prior, Subject, UndoClass,
};
use crate::transport::{FileReading, MAX_FILE, OwnerNames};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Whether a file is there.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The file is there.
    #[default]
    Present,
    /// There is no such file.
    Absent,
}

/// Content, mode and owner of a file of a host, or its absence.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The path of the file, from `/` on, without `.` and `..`.
    path: String,
    /// Whether it is there.
    #[serde(default)]
    state: State,
    /// All that is in it; an old file keeps its own if this is left out.
    content: Option<String>,
    /// Octal, such as `"0644"`; a new file gets 0644, an old one keeps its own.
    mode: Option<String>,
    /// Name or number; a new file gets root's or that of the identity, an old one keeps its own.
    owner: Option<String>,
    /// Name or number, as with `owner`.
    group: Option<String>,
    /// Whether what is in it is never shown.
    #[serde(default)]
    sensitive: bool,
}

pub struct HostFile {
    path: String,
    wanted: Wanted,
    owner: OwnerNames,
    sensitive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Absent,
    Present {
        /// `None`: as it is.
        content: Option<String>,
        mode: Option<u32>,
    },
}

pub struct Seen {
    file: FileRef,
    reading: FileReading,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    file: FileRef,
    before: (FileState, Vec<u8>),
    after: (FileState, Vec<u8>),
    keeps_attributes: bool,
}

fn check_path(path: &str) -> Result<(), String> {
    let parts = || path.split('/').skip(1);
    if !path.starts_with('/') {
        Err(format!("`path` must be absolute, and `{path}` is not"))
    } else if parts().any(|part| ["", ".", ".."].contains(&part)) {
        Err(format!(
            "`path` must be plain: `{path}` has an empty part, `.` or `..`"
        ))
    } else if path.chars().any(char::is_control) {
        Err("`path` must be without control characters".to_owned())
    } else if ["/proc/", "/sys/", "/dev/"]
        .iter()
        .any(|p| path.starts_with(p))
    {
        Err(format!("`{path}` is no file on a disk"))
    } else {
        Ok(())
    }
}

/// The name of a user or a group, or its number.
fn check_name(what: &str, name: Option<String>) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
    match name {
        None => Ok(String::new()),
        Some(name) if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) => Err(
            format!("`{what}` is a name or a number, and `{name}` is neither"),
        ),
        Some(name) => Ok(name),
    }
}

/// Whether both are the same file, whoever reads it.
fn same_place(one: &FileRef, other: &FileRef) -> bool {
    (&one.host.node, &one.path) == (&other.host.node, &other.path)
}

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && text.len() >= 3)
        .ok_or_else(|| format!("`mode` is octal, such as \"0644\", and `{text}` is not"))
}

#[async_trait]
impl Action for HostFile {
    const USES: &'static str = "host.file";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let mode = args.mode.as_deref().map(parse_mode).transpose()?;
        let owned = args.owner.is_some() || args.group.is_some();
        let owner = OwnerNames {
            user: check_name("owner", args.owner)?,
            group: check_name("group", args.group)?,
        };
        let wanted = match (args.state, args.content, mode) {
            (State::Absent, None, None) if !owned => Wanted::Absent,
            (State::Absent, ..) => {
                return Err(
                    "an absent file has no `content`, `mode`, `owner` or `group`".to_owned(),
                );
            }
            (State::Present, None, None) if !owned => {
                return Err(
                    "give `content`, `mode`, `owner` or `group`, or `state: absent`".to_owned(),
                );
            }
            (State::Present, Some(content), _) if content.len() as u64 > MAX_FILE => {
                return Err(format!("`content` has more than {MAX_FILE} bytes"));
            }
            (State::Present, content, mode) => Wanted::Present { content, mode },
        };
        Ok(Self {
            path: args.path,
            wanted,
            owner,
            sensitive: args.sensitive,
        })
    }

    fn lost(with: &serde_json::Value) -> Option<&'static str> {
        match with.get("state").and_then(serde_json::Value::as_str) {
            Some("absent") => Some(
                "content, mode and owner come back; an ACL, a label or other attributes do not",
            ),
            _ => None,
        }
    }

    fn needs(_with: &serde_json::Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(&self, look: &Look<'_>, place: Place<'_>) -> Result<Seen, Fault> {
        let file = FileRef {
            host: look.host(&place.target()?.name, place.identity).await?,
            path: self.path.clone(),
        };
        let reading = look.file(&file, &self.owner).await?;
        Ok(Seen { file, reading })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let file = &seen.file;
        if prior.effects().any(
            |effect| matches!(effect.subject(), Subject::File(other) if same_place(other, file)),
        ) {
            return Decision::Refuse {
                why: format!("an earlier step of this runbook writes {file} as well"),
                next: Some("make one step of the two".to_owned()),
            };
        }
        let (before, content) = match (&seen.reading.now, &seen.reading.content) {
            (FileNow::Is(state), Some(content)) => (state.clone(), content.clone()),
            (FileNow::Is(_), None) => {
                return Decision::Refuse {
                    why: format!(
                        "{file} has more than {MAX_FILE} bytes, or was written while it was read: \
                         it could not be put back"
                    ),
                    next: None,
                };
            }
            (FileNow::Strange(what), _) => {
                return Decision::Refuse {
                    why: format!("{file} is {what}: that is not replaced by a file"),
                    next: None,
                };
            }
        };
        match self.after(&before, &content, &seen.reading) {
            Ok((after, _)) if after == before => Decision::NoChange {
                why: match after {
                    FileState::Absent => format!("{file} is absent already"),
                    FileState::Present { .. } => format!("{file} is so already"),
                },
            },
            Ok(after) => Decision::Change(Change {
                file: file.clone(),
                before: (before, content),
                after,
                keeps_attributes: seen.reading.keeps_attributes,
            }),
            Err(why) => Decision::Refuse {
                why: format!("{file} {why}"),
                next: None,
            },
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut blobs = Blobs::default();
        for (state, bytes) in [&change.before, &change.after] {
            if state.content().is_some() {
                blobs.insert(bytes.clone());
            }
        }
        let words = |state: &FileState| match self.sensitive {
            true => state.words_without_content(),
            false => state.words(),
        };
        let undo = match (&change.before.0, &change.after.0) {
            (_, FileState::Absent) => UndoClass::BestEffort {
                lost: "content, mode and owner come back; an ACL, a label or other attributes do not"
                    .to_owned(),
            },
            (FileState::Present { .. }, _) if !change.keeps_attributes => UndoClass::BestEffort {
                lost: "content, mode and owner come back; an ACL, a label or other attributes are lost \
                       when it is written, as this host's busybox does not keep them"
                    .to_owned(),
            },
            _ => UndoClass::Exact,
        };
        Compiled {
            details: vec![Detail {
                subject: change.file.to_string(),
                before: words(&change.before.0),
                after: words(&change.after.0),
                lines: match self.sensitive {
                    true => vec!["  (not shown, as it is sensitive)".to_owned()],
                    false => lines(&change),
                },
                ..Detail::default()
            }],
            effects: vec![Effect::PutFile {
                file: change.file,
                before: change.before.0,
                after: change.after.0,
            }],
            blobs,
            follows: Vec::new(),
            undo,
            predicted: None,
            heals: None,
        }
    }
}

impl HostFile {
    /// What the file becomes, from what it is.
    fn after(
        &self,
        before: &FileState,
        now: &[u8],
        reading: &FileReading,
    ) -> Result<(FileState, Vec<u8>), &'static str> {
        let Wanted::Present { content, mode } = &self.wanted else {
            return Ok((FileState::Absent, Vec::new()));
        };
        let bytes = match (content, before) {
            (Some(content), _) => content.clone().into_bytes(),
            (None, FileState::Present { .. }) => now.to_vec(),
            (None, FileState::Absent) => {
                return Err("is absent, and the step gives no `content`");
            }
        };
        let (old_mode, uid, gid) = match before {
            FileState::Absent => (0o644, reading.reader, reading.reader_group),
            FileState::Present { mode, uid, gid, .. } => (*mode, *uid, *gid),
        };
        let (uid, gid) = (reading.uid.unwrap_or(uid), reading.gid.unwrap_or(gid));
        if reading.reader != 0 && uid != reading.reader {
            return Err("would belong to another user, and only root can give files away");
        }
        let state = FileState::Present {
            mode: mode.unwrap_or(old_mode),
            uid,
            gid,
            size: bytes.len() as u64,
            content: Digest::of(&bytes),
        };
        Ok((state, bytes))
    }
}

/// The difference of two texts, line by line. What not everybody may read is not shown, and what is
/// no text is told by size and digest alone.
fn lines(change: &Change) -> Vec<String> {
    let everybodys = |state: &FileState| match state {
        FileState::Absent => true,
        FileState::Present { mode, .. } => mode & 0o004 != 0,
    };
    if !everybodys(&change.before.0) || !everybodys(&change.after.0) {
        return vec!["  (not shown, as not everybody may read it)".to_owned()];
    }
    let (Ok(before), Ok(after)) = (
        std::str::from_utf8(&change.before.1),
        std::str::from_utf8(&change.after.1),
    ) else {
        return vec!["  (not shown, as it is no text)".to_owned()];
    };
    line_difference(before, after)
}

#[cfg(test)]
mod tests;
