//! The change of one file of a host, whatever decides what becomes of it: what was read, what is refused
//! of every file, and the one effect with its before-image.

use super::line_difference::line_difference;
use super::{Compiled, Decision, Look, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Detail, Digest, Effect, FileNow, FileRef, FileState, Prior, Subject, UndoClass,
};
use crate::transport::{FileReading, MAX_FILE, OwnerNames};
use std::borrow::Cow;

/// What is lost with a file that is removed.
pub(super) const LOST_WITH_IT: &str =
    "content, mode and owner come back; an ACL, a label or other attributes do not";

/// A file, as it was read.
pub struct Seen {
    pub file: FileRef,
    pub reading: FileReading,
}

/// From one state of a file to another, each with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub file: FileRef,
    pub before: (FileState, Vec<u8>),
    pub after: (FileState, Vec<u8>),
    pub keeps_attributes: bool,
}

/// Why a file is not changed, said after its name, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub why: String,
    pub next: Option<String>,
}

impl Refusal {
    pub fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            next: None,
        }
    }

    /// What is there is no plain file.
    pub fn strange(what: &str) -> Self {
        Self::new(format!("is {what}: that is not replaced by a file"))
    }

    /// What was read is not all of one file.
    pub fn torn() -> Self {
        Self::new("was written while it was read: it could not be put back")
            .next("see what writes it, and try again once it rests")
    }

    pub fn next(self, next: impl Into<String>) -> Self {
        Self {
            next: Some(next.into()),
            ..self
        }
    }
}

/// A path that can be written to on every host.
pub fn check_path(path: &str) -> Result<(), String> {
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

/// The mode, the owner and the group that a file is to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `None`: as it is, and 0644 of a new file.
    pub mode: Option<u32>,
    pub owner: OwnerNames,
}

impl Attributes {
    pub fn read(
        mode: Option<&str>,
        owner: Option<String>,
        group: Option<String>,
    ) -> Result<Self, String> {
        Ok(Self {
            mode: mode.map(parse_mode).transpose()?,
            owner: OwnerNames {
                user: check_name("owner", owner)?,
                group: check_name("group", group)?,
            },
        })
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

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && text.len() >= 3)
        .ok_or_else(|| format!("`mode` is octal, such as \"0644\", and `{text}` is not"))
}

/// Whether both are the same file, whoever reads it.
fn same_place(one: &FileRef, other: &FileRef) -> bool {
    one.host.same(&other.host) && one.path == other.path
}

impl Seen {
    pub async fn read(
        look: &Look<'_>,
        place: Place<'_>,
        path: &str,
        owner: &OwnerNames,
    ) -> Result<Self, Fault> {
        let file = FileRef {
            host: look.host(&place.target()?.name, place.identity).await?,
            path: path.to_owned(),
        };
        let reading = look.file(&file, owner).await?;
        Ok(Self { file, reading })
    }

    /// Decides what becomes of the file. `after` gives the bytes that it gets from those that it has,
    /// `None` where there is no file; and `so` says that nothing is to be done.
    pub fn decide(
        &self,
        prior: Prior<'_>,
        mode: Option<u32>,
        so: &str,
        after: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal>,
    ) -> Decision<Change> {
        let file = &self.file;
        if let Some(twice) = self.written_before(prior) {
            return twice;
        }
        let (before, content) = match (&self.reading.now, &self.reading.content) {
            (FileNow::Is(state), Some(content)) => (state.clone(), content.clone()),
            (FileNow::Is(_), None) => {
                return self.refuse(Refusal::new(format!(
                    "has more than {MAX_FILE} bytes, or was written while it was read: it could not be \
                     put back"
                )));
            }
            (FileNow::Strange(what), _) => return self.refuse(Refusal::strange(what)),
        };
        let there = before.content().is_some().then_some(content.as_slice());
        let after = after(there).and_then(|bytes| self.after(&before, bytes, mode));
        match after {
            Ok((after, _)) if after == before => Decision::NoChange {
                why: format!("{file} {so}"),
            },
            Ok(after) => Decision::Change(Change {
                file: file.clone(),
                before: (before, content),
                after,
                keeps_attributes: self.reading.keeps_attributes,
            }),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// The refusal of a file that an earlier step of the same plan writes.
    pub fn written_before<C>(&self, prior: Prior<'_>) -> Option<Decision<C>> {
        let file = &self.file;
        let twice = prior.effects().any(
            |effect| matches!(effect.subject(), Subject::File(other) if same_place(other, file)),
        );
        twice.then(|| Decision::Refuse {
            why: format!("an earlier step of this runbook writes {file} as well"),
            next: Some("make one step of the two".to_owned()),
        })
    }

    pub fn refuse<C>(&self, refusal: Refusal) -> Decision<C> {
        Decision::Refuse {
            why: format!("{} {}", self.file, refusal.why),
            next: refusal.next,
        }
    }

    /// The state with these bytes: an old file keeps what it is not to get.
    fn after(
        &self,
        before: &FileState,
        bytes: Option<Vec<u8>>,
        mode: Option<u32>,
    ) -> Result<(FileState, Vec<u8>), Refusal> {
        let Some(bytes) = bytes else {
            return Ok((FileState::Absent, Vec::new()));
        };
        if bytes.len() as u64 > MAX_FILE {
            return Err(Refusal::new(format!(
                "would have more than {MAX_FILE} bytes: it could not be put back"
            )));
        }
        let content = (Digest::of(&bytes), bytes.len() as u64);
        Ok((self.becomes(before, content, mode)?, bytes))
    }

    /// The state with this content: its digest, and its size.
    pub fn becomes(
        &self,
        before: &FileState,
        (content, size): (Digest, u64),
        mode: Option<u32>,
    ) -> Result<FileState, Refusal> {
        let reading = &self.reading;
        let (old_mode, uid, gid) = match before {
            FileState::Absent => (0o644, reading.reader, reading.reader_group),
            FileState::Present { mode, uid, gid, .. } => (*mode, *uid, *gid),
        };
        let (uid, gid) = (reading.uid.unwrap_or(uid), reading.gid.unwrap_or(gid));
        let state = FileState::Present {
            mode: mode.unwrap_or(old_mode),
            uid,
            gid,
            size,
            content,
        };
        if state != *before && reading.reader != 0 && uid != reading.reader {
            return Err(Refusal::new(
                "would belong to another user, and only root can give files away",
            ));
        }
        Ok(state)
    }
}

/// How well a file is put back.
pub fn undo_class(before: &FileState, after: &FileState, keeps_attributes: bool) -> UndoClass {
    match (before, after) {
        (_, FileState::Absent) => UndoClass::BestEffort {
            lost: LOST_WITH_IT.to_owned(),
        },
        (FileState::Present { .. }, _) if !keeps_attributes => UndoClass::BestEffort {
            lost:
                "content, mode and owner come back; an ACL, a label or other attributes are lost \
                   when it is written, as this host's busybox does not keep them"
                    .to_owned(),
        },
        _ => UndoClass::Exact,
    }
}

impl Change {
    /// `sensitive`: nothing of its content is shown.
    pub fn compile(self, sensitive: bool) -> Compiled {
        let mut blobs = Blobs::default();
        for (state, bytes) in [&self.before, &self.after] {
            if state.content().is_some() {
                blobs.insert(bytes.clone());
            }
        }
        let words = |state: &FileState| match sensitive {
            true => state.words_without_content(),
            false => state.words(),
        };
        let undo = undo_class(&self.before.0, &self.after.0, self.keeps_attributes);
        Compiled {
            details: vec![Detail {
                subject: self.file.to_string(),
                before: words(&self.before.0),
                after: words(&self.after.0),
                lines: match sensitive {
                    true => vec!["  (not shown, as it is sensitive)".to_owned()],
                    false => self.lines(),
                },
                ..Detail::default()
            }],
            effects: vec![Effect::PutFile {
                file: self.file,
                before: self.before.0,
                after: self.after.0,
            }],
            blobs,
            follows: Vec::new(),
            undo,
            predicted: None,
            heals: None,
        }
    }

    /// The difference of two texts, line by line. What not everybody may read is not shown, and what is
    /// no text is told by size and digest alone.
    pub(super) fn lines(&self) -> Vec<String> {
        let everybodys = |state: &FileState| match state {
            FileState::Absent => true,
            FileState::Present { mode, .. } => mode & 0o004 != 0,
        };
        if !everybodys(&self.before.0) || !everybodys(&self.after.0) {
            return vec!["  (not shown, as not everybody may read it)".to_owned()];
        }
        let (Some(before), Some(after)) = (text(&self.before.1), text(&self.after.1)) else {
            return vec!["  (not shown, as it is no text)".to_owned()];
        };
        line_difference(&before, &after)
    }
}

/// A text, in which the few bytes that are not UTF-8 stand as `\xNN`; nothing where it is none.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(Cow::Borrowed(text));
    }
    let mut text = String::new();
    let mut odd = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            odd += 1;
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    (odd * 10 <= bytes.len() && !bytes.contains(&0)).then_some(Cow::Owned(text))
}

#[cfg(test)]
impl Seen {
    /// Read by root on a host that keeps attributes; everybody may read the file.
    pub fn for_test(path: &str, content: Option<&[u8]>) -> Self {
        let state = content.map_or(FileState::Absent, |bytes| FileState::Present {
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: bytes.len() as u64,
            content: Digest::of(bytes),
        });
        Self {
            file: FileRef {
                host: crate::journal::test_events::host(),
                path: path.to_owned(),
            },
            reading: FileReading {
                now: FileNow::Is(state),
                content: Some(content.unwrap_or_default().to_vec()),
                reader: 0,
                reader_group: 0,
                uid: None,
                gid: None,
                keeps_attributes: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(seen: &Seen, becomes: Option<&[u8]>) -> Decision<Change> {
        let becomes = becomes.map(<[u8]>::to_vec);
        seen.decide(Prior { steps: &[] }, None, "is so", |_| Ok(becomes))
    }

    #[test]
    fn what_others_own_may_stay_and_is_not_changed() {
        let mut seen = Seen::for_test("/etc/x", Some(b"a"));
        seen.reading.reader = 7;
        assert!(matches!(
            decide(&seen, Some(b"a")),
            Decision::NoChange { .. }
        ));
        assert!(matches!(decide(&seen, Some(b"b")), Decision::Refuse { .. }));
    }

    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let seen = Seen::for_test("/etc/x", Some(b"a"));
        let long = vec![b'a'; 1 + MAX_FILE as usize];
        let Decision::Refuse { why, .. } = decide(&seen, Some(&long)) else {
            panic!()
        };
        insta::assert_snapshot!(why, @"file /etc/x of node02 would have more than 1048576 bytes: it could not be put back");
        assert!(matches!(
            decide(&seen, Some(&long[1..])),
            Decision::Change(_)
        ));
    }

    #[test]
    fn a_few_bytes_of_another_encoding_are_shown_as_they_are() {
        let shown = |before: &[u8], after: &[u8]| {
            let seen = Seen::for_test("/etc/x", Some(before));
            match decide(&seen, Some(after)) {
                Decision::Change(change) => change.lines().join("\n"),
                other => panic!("{other:?}"),
            }
        };
        let before = b"# caf\xe9, and more of the comment\na = 1\n";
        let after = b"# caf\xe8, and more of the comment\na = 2\n";
        insta::assert_snapshot!(shown(before, after), @r"
        - # caf\xe9, and more of the comment
        - a = 1
        + # caf\xe8, and more of the comment
        + a = 2
        ");
        insta::assert_snapshot!(shown(b"\0\0\0\0\0\0\0\0\0\0\0\xff", b"a"), @"  (not shown, as it is no text)");
    }
}
