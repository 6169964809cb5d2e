//! A file of a host, and the states it can be in.

use super::blob::Digest;
use super::identity::Identity;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A host, known by its machine-id: an address that leads to another host is found out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostRef {
    /// The node that runs there.
    pub node: String,
    /// Empty where the node does not tell it.
    pub machine_id: String,
    /// As whom it is read and changed.
    #[serde(
        rename = "as",
        default = "Identity::root",
        skip_serializing_if = "Identity::is_root"
    )]
    pub identity: Identity,
}

impl HostRef {
    /// Whether both are the same host, whoever works there.
    pub fn same(&self, other: &Self) -> bool {
        (&self.node, &self.machine_id) == (&other.node, &other.machine_id)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileRef {
    pub host: HostRef,
    /// Absolute.
    pub path: String,
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {} of {}", self.path, self.host.node)
    }
}

/// A state that a file can be put into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum FileState {
    Absent,
    Present {
        /// Permission bits, at most `0o7777`.
        mode: u32,
        uid: u32,
        gid: u32,
        /// In bytes.
        size: u64,
        content: Digest,
    },
}

impl FileState {
    /// For people; nothing where it is absent.
    pub fn words(&self) -> Option<String> {
        self.content()
            .map(|_| FileNow::Is(self.clone()).to_string())
    }

    /// For people, of a file whose content is nobody's business.
    pub fn words_without_content(&self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Present { mode, uid, gid, .. } => Some(format!(
                "content not shown, mode {mode:04o}, owner {uid}:{gid}"
            )),
        }
    }

    /// In bytes; of an absent file none.
    pub fn size(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Present { size, .. } => *size,
        }
    }

    /// The digest of its content.
    pub fn content(&self) -> Option<&Digest> {
        match self {
            Self::Absent => None,
            Self::Present { content, .. } => Some(content),
        }
    }
}

impl fmt::Display for FileState {
    /// As hosts print it and compare it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Present {
                mode,
                uid,
                gid,
                size,
                content,
            } => write!(f, "file {mode:o} {uid} {gid} {size} {content}"),
        }
    }
}

/// What was found where a file is meant to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileNow {
    Is(FileState),
    /// Something that is not put back and forth: a directory, a link; in words.
    Strange(String),
}

impl FileNow {
    /// Reads what a host printed.
    pub fn parse(line: &str) -> Option<Self> {
        if line == "absent" {
            return Some(Self::Is(FileState::Absent));
        }
        if let Some(what) = line.strip_prefix("other ") {
            return Some(Self::Strange(what.to_owned()));
        }
        let fields: Vec<&str> = line.strip_prefix("file ")?.split(' ').collect();
        let [mode, uid, gid, size, content] = fields.as_slice() else {
            return None;
        };
        Some(Self::Is(FileState::Present {
            mode: u32::from_str_radix(mode, 8).ok().filter(|m| *m <= 0o7777)?,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            size: size.parse().ok()?,
            content: content.parse().ok()?,
        }))
    }
}

impl fmt::Display for FileNow {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strange(what) => f.write_str(what),
            Self::Is(FileState::Absent) => f.write_str("absent"),
            Self::Is(FileState::Present {
                mode,
                uid,
                gid,
                size,
                content,
            }) => write!(
                f,
                "{size} bytes, sha256 {}, mode {mode:04o}, owner {uid}:{gid}",
                content.short()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states() -> impl Strategy<Value = FileState> {
        prop_oneof![
            Just(FileState::Absent),
            (
                0..=0o7777u32,
                any::<u32>(),
                any::<u32>(),
                any::<u64>(),
                any::<Vec<u8>>()
            )
                .prop_map(|(mode, uid, gid, size, bytes)| FileState::Present {
                    mode,
                    uid,
                    gid,
                    size,
                    content: Digest::of(&bytes)
                }),
        ]
    }

    proptest! {
        #[test]
        fn a_state_survives_being_printed(state in states()) {
            prop_assert_eq!(FileNow::parse(&state.to_string()), Some(FileNow::Is(state)));
        }

        #[test]
        fn no_line_makes_the_parser_panic(line in "\\PC{0,80}") {
            let _ = FileNow::parse(&line);
            let _ = FileNow::parse(&format!("file {line}"));
        }
    }

    #[test]
    fn what_a_host_prints_is_read() {
        let sum = Digest::of(b"");
        for bad in [
            String::new(),
            "absent ".into(),
            "file".into(),
            format!("file 644 0 0 0 {sum} x"),
            format!("file 10000 0 0 0 {sum}"),
            format!("file 8 0 0 0 {sum}"),
            format!("file 644 root 0 0 {sum}"),
            "file 644 0 0 0 abc".into(),
        ] {
            assert_eq!(FileNow::parse(&bad), None, "{bad}");
        }
        assert_eq!(
            FileNow::parse("other a directory"),
            Some(FileNow::Strange("a directory".into()))
        );
        let shown = FileNow::parse(&format!("file 644 0 42 0 {sum}")).unwrap();
        insta::assert_snapshot!(shown, @"0 bytes, sha256 e3b0c44298fc, mode 0644, owner 0:42");
    }
}
