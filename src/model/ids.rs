//! Names of runs, steps, targets and effects. Never positions in a list, so that they hold when a
//! runbook is edited.

use super::blob::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use ulid::Ulid;

/// One run of a runbook, or of its undoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Ulid);

impl RunId {
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }

    /// How long ago it was made; nothing, where the clock has gone back since.
    pub fn age(self) -> Duration {
        self.0.datetime().elapsed().unwrap_or_default()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(s)
            .map(Self)
            .map_err(|e| format!("`{s}` is not the id of a run: {e}"))
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

/// One sitting of a run: from its beginning, or from where it is gone on with, to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sitting(Ulid);

impl Sitting {
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }
}

impl fmt::Display for Sitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Sitting {
    type Err = ulid::DecodeError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(s).map(Self)
    }
}

/// A step's `id`, or the slug of its name, unique within its runbook; in a plan the way to it: the
/// steps that include its runbook, and the items that each of them is repeated for, as in
/// `disks[/dev/vdb]/format`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(String);

impl TryFrom<String> for StepId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        is_path(&text)
            .then(|| Self(text.clone()))
            .ok_or_else(|| format!("`{}` is not the id of a step", text.escape_default()))
    }
}

impl From<StepId> for String {
    fn from(id: StepId) -> Self {
        id.0
    }
}

impl StepId {
    /// Letters, digits and underscores, beginning with a letter: it must be usable as a name in a
    /// condition.
    pub fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        (first && rest).then(|| Self(text.to_owned()))
    }

    /// The id of a step that has only a name.
    pub fn slug(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in name.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.ends_with('_') && !slug.is_empty() {
                slug.push('_');
            }
        }
        Self::new(slug.trim_end_matches('_'))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The step of a runbook that this one includes.
    #[must_use]
    pub fn inner(&self, step: &Self) -> Self {
        Self(format!("{self}/{step}"))
    }

    /// The step for one item of those that it is repeated for.
    #[must_use]
    pub fn item(&self, key: &str) -> Self {
        let mut text = format!("{self}[");
        for c in key.chars() {
            match c {
                '[' | ']' | '%' => text.push_str(&format!("%{:02X}", u32::from(c))),
                c if c.is_whitespace() || crate::fault::hidden(c) => {
                    text.push_str(&format!("%{:02X}", u32::from(c)));
                }
                c => text.push(c),
            }
        }
        text.push(']');
        Self(text)
    }

    /// The `n`th of several that would have the same name.
    #[must_use]
    pub fn nth(&self, n: usize) -> Self {
        Self(format!("{self}_{n}"))
    }

    /// Whether this is `step`, one of its items, or a step of the runbook that it includes.
    pub fn is_of(&self, step: &Self) -> bool {
        match self.0.strip_prefix(step.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with(['[', '/']),
            None => false,
        }
    }
}

/// Whether a text is the way to a step: names, each with the key of an item after it or none.
fn is_path(text: &str) -> bool {
    let mut rest = text;
    loop {
        let end = rest.find(['[', '/']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if StepId::new(name).is_none() {
            return false;
        }
        rest = match after.strip_prefix('[') {
            None => after,
            Some(keyed) => match keyed.split_once(']') {
                Some((key, after)) if !key.contains('[') => {
                    after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_')
                }
                _ => return false,
            },
        };
        match rest.strip_prefix('/') {
            Some(next) => rest = next,
            None => return rest.is_empty(),
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run is about: a node of the cluster, known by its UID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `node/<UID>`.
    pub id: String,
    /// The name people use.
    pub name: String,
}

impl Target {
    pub fn node(name: &str, uid: &str) -> Self {
        Self {
            id: format!("node/{uid}"),
            name: name.to_owned(),
        }
    }

    /// The node's UID; `None` where it is known by its host alone.
    pub fn uid(&self) -> Option<&str> {
        self.id.strip_prefix("node/")
    }

    /// The host of a node, while the cluster does not say which node that is.
    pub fn host(name: &str) -> Self {
        Self {
            id: format!("host/{name}"),
            name: name.to_owned(),
        }
    }
}

/// Whether a step happens for one target, or once for the whole run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Target(Target),
    Run,
}

impl Scope {
    /// Whether what happens here concerns a step there: the run's steps concern all, and all concern
    /// the run's.
    pub fn is_seen_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Run, _) | (_, Self::Run) => true,
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => f.write_str(&target.name),
            Self::Run => f.write_str("the run"),
        }
    }
}

/// One effect of a run: step, where, which item of it, which attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    pub step: StepId,
    pub scope: Scope,
    /// What tells this effect from the step's others; empty where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    pub attempt: u32,
}

impl EffectId {
    /// Tells this attempt of a run from all others, in a form that can be a file's name.
    pub fn key(&self, run: RunId) -> String {
        let id = Digest::of(self.to_string().as_bytes());
        format!("{run}-{}", id.short())
    }

    /// Whether both are attempts at the same effect.
    pub fn same_effect(&self, other: &Self) -> bool {
        (&self.step, &self.scope, &self.item) == (&other.step, &other.scope, &other.item)
    }
}

impl fmt::Display for EffectId {
    /// The key under which the journal files an effect's events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match &self.scope {
            Scope::Target(target) => target.id.as_str(),
            Scope::Run => "run",
        };
        write!(f, "{}@{scope}", self.step)?;
        if !self.item.is_empty() {
            write!(f, "[{}]", self.item)?;
        }
        write!(f, "#{}", self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_ids_are_names() {
        assert!(StepId::new("swap_off").is_some());
        for bad in ["", "1st", "_x", "a-b", "a b", "Ä", "Swap"] {
            assert!(StepId::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_way_to_a_step_is_read_as_it_was_written() {
        let id = |text: &str| StepId::new(text).unwrap();
        let item = id("disks").item("/dev/vd b]");
        assert_eq!(item.as_str(), "disks[/dev/vd%20b%5D]");
        let deep = item.inner(&id("format")).item("x").nth(2);
        assert_eq!(deep.as_str(), "disks[/dev/vd%20b%5D]/format[x]_2");
        for known in [
            &item,
            &deep,
            &id("a").inner(&id("b")),
            &id("a").item("").nth(3),
        ] {
            let text = String::from(known.clone());
            assert_eq!(StepId::try_from(text).as_ref(), Ok(known));
        }
        for bad in [
            "", "a/", "/a", "a[", "a[x", "a[x]b", "a[[x]", "a]", "a/B", "a b", "a[x]//b",
        ] {
            assert!(StepId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(deep.is_of(&id("disks")) && deep.is_of(&item) && item.is_of(&item));
        assert!(!item.is_of(&deep) && !id("disks_2").is_of(&id("disks")));
    }

    #[test]
    fn a_name_becomes_a_slug() {
        let slug = |name| StepId::slug(name).map(|s| s.to_string());
        assert_eq!(
            slug("Turn swap off now!").as_deref(),
            Some("turn_swap_off_now")
        );
        assert_eq!(slug("  --  "), None);
        assert_eq!(slug("2nd"), None);
    }

    #[test]
    fn an_effect_is_filed_by_step_scope_item_and_attempt() {
        let mut id = EffectId {
            step: StepId::new("address").unwrap(),
            scope: Scope::Target(Target::node("node02", "u-2")),
            item: String::new(),
            attempt: 1,
        };
        assert_eq!(id.to_string(), "address@node/u-2#1");
        id.scope = Scope::Run;
        id.item = "pod/x".into();
        assert_eq!(id.to_string(), "address@run[pod/x]#1");
    }

    #[test]
    fn a_run_id_survives_text() {
        let id = RunId::generate();
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!("nonsense".parse::<RunId>().is_err());
    }
}
