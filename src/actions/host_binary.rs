//! `host.binary`: a file of any size, with the content of a file of the machine where runbook runs.

use super::file_change::{Attributes, Refusal, Seen as OnHost, check_path, undo_class};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::{
    Blobs, Content, Detail, Digest, Effect, FileNow, FileRef, FileState, LARGE, Prior,
};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// A file of a host with the content of a file of the machine where runbook runs, of any size: a program,
/// as a rule. It is sent in pieces, checked on the host, and takes the old one's place at once; a process
/// that runs the old one goes on with it. What is replaced is kept in the run's folder, and comes back with
/// the undo; where it has more than 1 MiB, it is fetched right before it is replaced.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The path of the file on the host, from `/` on, without `.` and `..`.
    path: String,
    /// The path of the file on the machine where runbook runs, from the folder on in which it is started;
    /// `~` is not expanded. A run keeps a copy, and needs the file no longer.
    source: String,
    /// The SHA-256 that `source` must have, in hexadecimal, as `sha256sum` prints it. If it has another,
    /// the step is refused.
    sha256: String,
    /// Octal; `"0755"` if left out.
    mode: Option<String>,
    /// Name or number; root if left out.
    owner: Option<String>,
    /// Name or number; root's if left out.
    group: Option<String>,
}

pub struct HostBinary {
    path: String,
    source: PathBuf,
    sha256: Digest,
    attributes: Attributes,
}

pub struct Seen {
    on_host: OnHost,
    /// Digest and size of the source, or why it cannot be read.
    source: Result<(Digest, u64), String>,
    /// What the host has too little room for.
    no_room: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    file: FileRef,
    before: FileState,
    /// Its bytes, where they are few.
    old: Option<Vec<u8>>,
    after: FileState,
    source: PathBuf,
    keeps_attributes: bool,
}

#[async_trait]
impl Action for HostBinary {
    const USES: &'static str = "host.binary";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let root = || Some("root".to_owned());
        let mode = args.mode.as_deref().unwrap_or("0755");
        let attributes = Attributes::read(
            Some(mode),
            args.owner.or_else(root),
            args.group.or_else(root),
        )?;
        if args.source.is_empty() || args.source.contains('\0') {
            return Err("`source` is the path of a file".to_owned());
        }
        if args.source.starts_with('~') {
            return Err(format!(
                "`source` is a whole path, and `~` is not expanded: `{}`",
                args.source
            ));
        }
        let sha256 = args.sha256.to_ascii_lowercase();
        Ok(Self {
            path: args.path,
            source: PathBuf::from(args.source),
            sha256: sha256.parse().map_err(|e| format!("`sha256`: {e}"))?,
            attributes,
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
        let source = look.local_file(&self.source).await;
        let on_host = OnHost::read(look, place, &self.path, &self.attributes.owner).await?;
        let no_room = match &source {
            // What is small has room wherever there is some.
            Ok((_, size)) if *size > LARGE => look.room_for(&on_host.file, *size).await?,
            _ => None,
        };
        Ok(Seen {
            on_host,
            source,
            no_room,
        })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let OnHost { file, reading } = &seen.on_host;
        if let Some(twice) = seen.on_host.written_before(prior) {
            return twice;
        }
        match self.after(seen) {
            Err(refusal) => seen.on_host.refuse(refusal),
            Ok((before, after)) if before == after => Decision::NoChange {
                why: format!("{file} is so already"),
            },
            Ok((before, after)) => Decision::Change(Change {
                file: file.clone(),
                old: reading.content.clone().filter(|_| before.size() <= LARGE),
                before,
                after,
                source: self.source.clone(),
                keeps_attributes: reading.keeps_attributes,
            }),
        }
    }

    fn compile(&self, change: Change) -> Compiled {
        let mut blobs = Blobs::default();
        if let Some(old) = change.old
            && change.before.content().is_some()
        {
            blobs.insert(old);
        }
        blobs.add(
            self.sha256.clone(),
            Content::File {
                path: change.source,
                size: change.after.size(),
            },
        );
        Compiled {
            undo: undo_class(&change.before, &change.after, change.keeps_attributes),
            details: vec![Detail {
                subject: change.file.to_string(),
                before: change.before.words(),
                after: change.after.words(),
                ..Detail::default()
            }],
            effects: vec![Effect::PutFile {
                file: change.file,
                before: change.before,
                after: change.after,
            }],
            blobs,
            ..Compiled::nothing()
        }
    }
}

impl HostBinary {
    /// The states before and after.
    fn after(&self, seen: &Seen) -> Result<(FileState, FileState), Refusal> {
        let OnHost { reading, .. } = &seen.on_host;
        let source = self.source.display();
        let before = match &reading.now {
            FileNow::Is(state) if state.size() <= LARGE && reading.content.is_none() => {
                return Err(Refusal::torn());
            }
            FileNow::Is(state) => state.clone(),
            FileNow::Strange(what) => return Err(Refusal::strange(what)),
        };
        let (digest, size) = seen.source.as_ref().map_err(|why| {
            Refusal::new(format!(
                "is not written: {source} cannot be read here: {why}"
            ))
            .next("give the path of the file on the machine where runbook runs")
        })?;
        if *digest != self.sha256 {
            return Err(Refusal::new(format!(
                "is not written: {source} is another file than it should be, as its sha256 is {digest}, \
                 and not {}",
                self.sha256
            ))
            .next("fetch the file again, or give the digest that its publisher names"));
        }
        let content = (digest.clone(), *size);
        let after = seen
            .on_host
            .becomes(&before, content, self.attributes.mode)?;
        match &seen.no_room {
            Some(why) if before != after => {
                Err(Refusal::new(format!("is not written: {why}")).next("make room there"))
            }
            _ => Ok((before, after)),
        }
    }
}

#[cfg(test)]
mod tests;
