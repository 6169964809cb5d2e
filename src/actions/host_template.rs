//! `host.template`: a file of a host whose content is made of a template, which lies beside the runbook.

use super::file_change::{Attributes, Change, Seen, check_path};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::Prior;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A file of a host whose content is made of a template in a file beside the runbook. The template knows
/// the names that arguments know, and `vars`; a name that is not there is an error, and values are data:
/// what they have in them is not rendered. The template's text belongs to the runbook's: a saved plan and
/// a run keep it, and `resume` does not look for its file again. What is short stands as `content` in
/// `host.file`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The path of the file, from `/` on, without `.` and `..`.
    path: String,
    /// The template's file, from the runbook's own folder on and never out of it, such as `motd.hbs`; a
    /// text of at most 64 KiB in UTF-8.
    #[serde(rename = "source")]
    _source: String,
    /// What the template knows as `vars.NAME`.
    #[serde(default, rename = "vars")]
    _vars: Map<String, Value>,
    /// Octal, such as `"0644"`; a new file gets 0644, an old one keeps its own.
    mode: Option<String>,
    /// Name or number; a new file gets root's or that of the identity, an old one keeps its own.
    owner: Option<String>,
    /// Name or number, as with `owner`.
    group: Option<String>,
    /// Whether what is in the file is never shown.
    #[serde(default)]
    sensitive: bool,
    /// The template's text, which the reader of runbooks puts here, rendered.
    #[schemars(skip)]
    template: Option<String>,
}

pub struct HostTemplate {
    path: String,
    content: String,
    attributes: Attributes,
    sensitive: bool,
}

#[async_trait]
impl Action for HostTemplate {
    const USES: &'static str = "host.template";
    const BESIDE: bool = true;
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let attributes = Attributes::read(args.mode.as_deref(), args.owner, args.group)?;
        let content = args.template.ok_or("the file of `source` was not read")?;
        Ok(Self {
            path: args.path,
            content,
            attributes,
            sensitive: args.sensitive,
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
        Seen::read(look, place, &self.path, &self.attributes.owner).await
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        seen.decide(prior, self.attributes.mode, "is so already", |_| {
            Ok(Some(self.content.clone().into_bytes()))
        })
    }

    fn compile(&self, change: Change) -> Compiled {
        change.compile(self.sensitive)
    }
}

#[cfg(test)]
mod tests;
