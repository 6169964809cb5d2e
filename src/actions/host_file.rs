//! `host.file`: the content, the mode and the owner of a file of a host, or its absence.

use super::file_change::{Attributes, Change, LOST_WITH_IT, Refusal, Seen, check_path};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::Prior;
use crate::transport::MAX_FILE;
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
    attributes: Attributes,
    sensitive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Absent,
    /// With this content; `None`: as it is.
    Present(Option<String>),
}

#[async_trait]
impl Action for HostFile {
    const USES: &'static str = "host.file";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let attributes = Attributes::read(args.mode.as_deref(), args.owner, args.group)?;
        let wanted = match (
            args.state,
            args.content,
            attributes == Attributes::default(),
        ) {
            (State::Absent, None, true) => Wanted::Absent,
            (State::Absent, ..) => {
                return Err(
                    "an absent file has no `content`, `mode`, `owner` or `group`".to_owned(),
                );
            }
            (State::Present, None, true) => {
                return Err(
                    "give `content`, `mode`, `owner` or `group`, or `state: absent`".to_owned(),
                );
            }
            (State::Present, Some(content), _) if content.len() as u64 > MAX_FILE => {
                return Err(format!("`content` has more than {MAX_FILE} bytes"));
            }
            (State::Present, content, _) => Wanted::Present(content),
        };
        Ok(Self {
            path: args.path,
            wanted,
            attributes,
            sensitive: args.sensitive,
        })
    }

    fn lost(with: &serde_json::Value) -> Option<&'static str> {
        match with.get("state").and_then(serde_json::Value::as_str) {
            Some("absent") => Some(LOST_WITH_IT),
            _ => None,
        }
    }

    fn needs(_with: &serde_json::Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        Seen::read(look, place, &self.path, &self.attributes.owner).await
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let so = match self.wanted {
            Wanted::Absent => "is absent already",
            Wanted::Present(_) => "is so already",
        };
        seen.decide(prior, self.attributes.mode, so, |now| {
            match (&self.wanted, now) {
                (Wanted::Absent, _) => Ok(None),
                (Wanted::Present(Some(content)), _) => Ok(Some(content.clone().into_bytes())),
                (Wanted::Present(None), Some(now)) => Ok(Some(now.to_vec())),
                (Wanted::Present(None), None) => {
                    Err(Refusal::new("is absent, and the step gives no `content`"))
                }
            }
        })
    }

    fn compile(&self, change: Change) -> Compiled {
        change.compile(self.sensitive)
    }
}

#[cfg(test)]
mod tests;
