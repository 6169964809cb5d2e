//! One effect: the smallest thing that is done to the world. It says itself what was before and
//! what is after, so whether it happened is decided by looking, not by remembering.

use super::blob::{Digest, LARGE};
use super::difference::difference;
use super::fields::{FieldChange, FieldPath, Segment, with_changes};
use super::file::{FileNow, FileRef, FileState, HostRef};
use super::object::{bare, differing, restorable, tells_only_which};
use super::program::{ProgramNow, Programs};
use super::setting::{SettingRef, SettingState};
use super::verb::Verb;
use crate::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// One object of a cluster, known by its UID: an object that was deleted and made again is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub api_version: String,
    pub kind: String,
    /// The plural name under which the API serves it.
    pub resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// Empty where it is not known: of an object that is yet to be made, or that a run has made.
    pub uid: String,
}

/// The path under which the API server serves a version.
pub(crate) fn served_under(api_version: &str) -> String {
    match api_version {
        "v1" => "/api/v1".to_owned(),
        group => format!("/apis/{group}"),
    }
}

impl ObjectRef {
    /// The path under which the API server serves it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The path under which it is made.
    pub fn collection(&self) -> String {
        let root = served_under(&self.api_version);
        match &self.namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.resource),
            None => format!("{root}/{}", self.resource),
        }
    }

    /// Whether what was read is this object, or may be where its UID is not known.
    pub fn may_be(&self, read: &Value) -> bool {
        self.uid.is_empty() || self.is(read)
    }

    /// Whether both are the same object, as far as their UIDs are known.
    pub fn same(&self, other: &Self) -> bool {
        let uids = self.uid.is_empty() || other.uid.is_empty() || self.uid == other.uid;
        uids && self.kind == other.kind && self.path() == other.path()
    }

    /// Whether what was read is this object, and not another by its name.
    pub fn is(&self, read: &Value) -> bool {
        read.pointer("/metadata/uid").and_then(Value::as_str) == Some(self.uid.as_str())
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }
}

#[cfg(test)]
impl ObjectRef {
    /// A node with the UID `u`.
    pub(crate) fn node_for_test(name: &str) -> Self {
        Self {
            namespace: None,
            ..Self::for_test("v1", "Node", "", name)
        }
    }

    /// An object in a namespace, with the UID `u`.
    pub(crate) fn for_test(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            resource: format!("{}s", kind.to_lowercase()),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            uid: "u".to_owned(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Something that is done to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "effect")]
pub enum Effect {
    /// Fields of one object are written, where they are still what they were.
    SetFields {
        object: ObjectRef,
        fields: Vec<FieldChange>,
    },
    /// A pod is deleted, by its UID, so that its controller puts another in its place.
    ReplacePod {
        pod: ObjectRef,
        /// UID of the controller.
        owner: String,
        node: String,
    },
    /// A pod is evicted from its node, by its UID.
    EvictPod {
        pod: ObjectRef,
        node: String,
        /// Seconds that it is given to end; `None`: those of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<u64>,
        /// It is deleted, whatever budgets say.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deletes: bool,
        /// What may put another in its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Owner>,
        /// What is lost with it, which somebody allowed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        loses: Vec<String>,
    },
    /// A file of a host is put into another state, where it is still in the one it was in.
    PutFile {
        file: FileRef,
        before: FileState,
        after: FileState,
    },
    /// A setting of a host is put into another state, where it is still in the one it was in.
    PutSetting {
        setting: SettingRef,
        before: SettingState,
        after: SettingState,
    },
    /// A program of the runbook's author is run on a host, once.
    RunProgram { programs: Box<Programs> },
    /// An object is made or deleted: one of its sides is there, and the other is not.
    PutObject {
        object: ObjectRef,
        before: Option<Value>,
        after: Option<Value>,
        #[serde(default, skip_serializing_if = "Propagation::is_background")]
        propagation: Propagation,
    },
}

/// The controller of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

/// What becomes of the objects that belong to a deleted one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// They are deleted after it.
    #[default]
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, and belong to nothing.
    Orphan,
}

impl Propagation {
    /// As the API names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }

    // As serde calls it.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_background(&self) -> bool {
        *self == Self::Background
    }
}

/// What an effect is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'e> {
    Object(&'e ObjectRef),
    File(&'e FileRef),
    Setting(&'e SettingRef),
    Program(&'e Programs),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::File(file) => file.fmt(f),
            Self::Setting(setting) => setting.fmt(f),
            Self::Program(programs) => programs.fmt(f),
        }
    }
}

/// The subject of an effect, as it was just read.
#[derive(Debug, Clone, PartialEq)]
pub enum Now {
    /// `None`: there is no such object.
    Object(Option<Value>),
    File(FileNow),
    Setting(SettingState),
    Program(ProgramNow),
}

/// How the world stands to an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it was before: it has not happened.
    Before,
    /// As it is after: it has happened, by whomever.
    After,
    /// Neither; `now` says what is there.
    Other { now: String },
    /// It happened, and its host has put it back by itself, as nobody came back.
    PutBack { fault: Fault },
    /// Nobody can tell.
    Unclear { why: String },
}

/// Whether the world has come to rest after an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Yes,
    /// What is waited for, as it stands.
    NotYet(String),
}

impl Effect {
    /// What tells whether the effect has happened.
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Self::SetFields { object, .. } => Subject::Object(object),
            Self::ReplacePod { pod, .. } | Self::EvictPod { pod, .. } => Subject::Object(pod),
            Self::PutFile { file, .. } => Subject::File(file),
            Self::PutSetting { setting, .. } => Subject::Setting(setting),
            Self::RunProgram { programs } => Subject::Program(programs),
            Self::PutObject { object, .. } => Subject::Object(object),
        }
    }

    /// The host on which it is done. There, looking after a lost answer keeps what was under way from
    /// happening still.
    pub fn on_host(&self) -> Option<&HostRef> {
        match self {
            Self::PutFile { file, .. } => Some(&file.host),
            Self::PutSetting { setting, .. } => Some(&setting.host),
            Self::RunProgram { programs } => Some(&programs.host),
            Self::SetFields { .. }
            | Self::ReplacePod { .. }
            | Self::EvictPod { .. }
            | Self::PutObject { .. } => None,
        }
    }

    /// The inverse that is run in any case, where some of what it takes back may have been done.
    pub fn blind_inverse(&self) -> Option<Self> {
        match self.inverse()? {
            Self::RunProgram { programs } => Some(Self::RunProgram {
                programs: Box::new(programs.blindly()),
            }),
            _ => None,
        }
    }

    /// Whether the world shows that it was done. A program without check and verification only says
    /// itself that it ended well.
    pub fn can_be_verified(&self) -> bool {
        match self {
            Self::RunProgram { programs } => {
                programs.check.is_some() || (programs.verify.is_some() && !programs.back)
            }
            Self::SetFields { .. }
            | Self::ReplacePod { .. }
            | Self::EvictPod { .. }
            | Self::PutFile { .. }
            | Self::PutSetting { .. }
            | Self::PutObject { .. } => true,
        }
    }

    /// The object of a cluster that it is done to, and the verb of Kubernetes' RBAC that it needs
    /// there.
    pub fn on_object(&self) -> Option<(&ObjectRef, Verb)> {
        match self {
            Self::SetFields { object, .. } => Some((object, Verb::Patch)),
            Self::ReplacePod { pod, .. } => Some((pod, Verb::Delete)),
            Self::EvictPod {
                pod, deletes: true, ..
            } => Some((pod, Verb::Delete)),
            Self::EvictPod { pod, .. } => Some((pod, Verb::Create)),
            Self::PutObject {
                object,
                after: Some(_),
                ..
            } => Some((object, Verb::Create)),
            Self::PutObject { object, .. } => Some((object, Verb::Delete)),
            Self::PutFile { .. } | Self::PutSetting { .. } | Self::RunProgram { .. } => None,
        }
    }

    /// Whether it deletes an object, which then stays until nothing holds it any more.
    pub fn deletes(&self) -> bool {
        matches!(self, Self::PutObject { after: None, .. })
    }

    /// Whether it is one of many evictions, which are done side by side.
    pub fn evicts(&self) -> bool {
        matches!(self, Self::EvictPod { .. })
    }

    /// What is lost with an evicted pod.
    pub fn loses(&self) -> impl Iterator<Item = &str> {
        let losses = match self {
            Self::EvictPod { loses, .. } => loses.as_slice(),
            _ => &[],
        };
        losses.iter().map(String::as_str)
    }

    /// Whether all that it does is to take finalizers off an object. One that is being deleted then
    /// goes.
    pub fn lets_go(&self) -> bool {
        let Self::SetFields { fields, .. } = self else {
            return false;
        };
        let fewer = |change: &FieldChange| {
            let before = finalizers(change.before.as_ref());
            let after = finalizers(change.after.as_ref());
            is_finalizers(&change.path) && after.iter().all(|held| before.contains(held))
        };
        !fields.is_empty() && fields.iter().all(fewer)
    }

    /// The bytes that it needs, and that its inverse needs.
    pub fn contents(&self) -> impl Iterator<Item = &Digest> {
        let (before, after) = match self {
            Self::PutFile { before, after, .. } => (before.content(), after.content()),
            Self::SetFields { .. }
            | Self::ReplacePod { .. }
            | Self::EvictPod { .. }
            | Self::PutSetting { .. }
            | Self::RunProgram { .. }
            | Self::PutObject { .. } => (None, None),
        };
        before.into_iter().chain(after)
    }

    /// The bytes that it overwrites, where they are too many to be read for a plan: they are kept right
    /// before it is done. And how many they are.
    pub fn kept_late(&self) -> Option<(&Digest, u64)> {
        match self {
            Self::PutFile {
                before: FileState::Present { size, content, .. },
                after,
                ..
            } if *size > LARGE && after.content() != Some(content) => Some((content, *size)),
            _ => None,
        }
    }

    /// The effect that takes this one back, where there is one: a deleted pod does not come back,
    /// its successor has taken its place, and a program may have no `undo`.
    pub fn inverse(&self) -> Option<Self> {
        match self {
            Self::SetFields { object, fields } => Some(Self::SetFields {
                object: object.clone(),
                fields: fields.iter().rev().map(FieldChange::inverse).collect(),
            }),
            Self::ReplacePod { .. } | Self::EvictPod { .. } => None,
            Self::PutFile {
                file,
                before,
                after,
            } => Some(Self::PutFile {
                file: file.clone(),
                before: after.clone(),
                after: before.clone(),
            }),
            Self::PutSetting {
                setting,
                before,
                after,
            } => Some(Self::PutSetting {
                setting: setting.clone(),
                before: after.clone(),
                after: before.clone(),
            }),
            Self::RunProgram { programs } => Some(Self::RunProgram {
                programs: Box::new(programs.inverse()?),
            }),
            // What is made again is another object, and which one a run makes it does not know before.
            Self::PutObject {
                object,
                before,
                after,
                ..
            } => Some(Self::PutObject {
                object: ObjectRef {
                    uid: String::new(),
                    ..object.clone()
                },
                before: after.clone(),
                after: before.clone(),
                propagation: Propagation::Background,
            }),
        }
    }

    /// The same effect, from what is there now: what overwrites a state that was not expected.
    /// `None` where nothing can be written there.
    pub fn over(&self, now: &Now) -> Option<Self> {
        match (self, now) {
            (Self::SetFields { object, fields }, Now::Object(Some(now))) => {
                object.is(now).then(|| Self::SetFields {
                    object: object.clone(),
                    fields: fields
                        .iter()
                        .map(|change| FieldChange {
                            path: change.path.clone(),
                            before: change.path.read(now).cloned(),
                            after: change.after.clone(),
                        })
                        .filter(|change| change.before != change.after)
                        .collect(),
                })
            }
            (Self::PutFile { file, after, .. }, Now::File(FileNow::Is(now))) => {
                Some(Self::PutFile {
                    file: file.clone(),
                    before: now.clone(),
                    after: after.clone(),
                })
            }
            (Self::PutSetting { setting, after, .. }, Now::Setting(now)) => {
                Some(Self::PutSetting {
                    setting: setting.clone(),
                    before: now.clone(),
                    after: after.clone(),
                })
            }
            // One that was made by others is not made again over theirs.
            (
                Self::PutObject {
                    object,
                    before: Some(_),
                    after: None,
                    propagation,
                },
                Now::Object(Some(now)),
            ) => Some(Self::PutObject {
                object: ObjectRef {
                    uid: now
                        .pointer("/metadata/uid")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                    ..object.clone()
                },
                before: Some(bare(now)),
                after: None,
                propagation: *propagation,
            }),
            // Whatever its check says, or fails to say. Ours write over nothing that they do not know: it could
            // not be put back.
            (Self::RunProgram { programs }, Now::Program(_)) if programs.own.is_none() => {
                Some(Self::RunProgram {
                    programs: Box::new(programs.as_ref().clone().blindly()),
                })
            }
            _ => None,
        }
    }

    /// Its subject as it will be once this is done; as it is now, where this does not fit it.
    pub fn done_to(&self, now: Now) -> Now {
        match (self, now) {
            (Self::SetFields { object, fields }, Now::Object(Some(now))) if object.is(&now) => {
                let changed = with_changes(&now, fields);
                Now::Object(Some(changed.unwrap_or(now)))
            }
            (Self::PutFile { before, after, .. }, Now::File(FileNow::Is(now)))
                if now == *before =>
            {
                Now::File(FileNow::Is(after.clone()))
            }
            (Self::PutSetting { before, after, .. }, Now::Setting(now)) if now == *before => {
                Now::Setting(after.clone())
            }
            (
                Self::PutObject {
                    after: Some(after), ..
                },
                Now::Object(None),
            ) => Now::Object(Some(after.clone())),
            (
                Self::PutObject {
                    object,
                    after: None,
                    ..
                },
                Now::Object(Some(now)),
            ) if object.may_be(&now) => Now::Object(None),
            // Without a check, each stands for itself.
            (Self::RunProgram { programs }, Now::Program(ProgramNow::Is { .. }))
                if programs.check.is_some() =>
            {
                Now::Program(ProgramNow::Is {
                    done: !programs.back,
                })
            }
            (_, now) => now,
        }
    }

    /// The part of it that still fits what is there, and the fields that are neither before nor
    /// after. `None` where all of it stands or falls together.
    pub fn narrowed(&self, now: &Now) -> Option<(Self, Vec<FieldPath>)> {
        let (Self::SetFields { object, fields }, Now::Object(Some(now))) = (self, now) else {
            return None;
        };
        if !object.is(now) {
            return None;
        }
        let is =
            |field: &FieldChange, value: &Option<Value>| field.path.read(now) == value.as_ref();
        let fits: Vec<FieldChange> = fields
            .iter()
            .filter(|field| is(field, &field.before))
            .cloned()
            .collect();
        let strange: Vec<FieldPath> = fields
            .iter()
            .filter(|field| !is(field, &field.before) && !is(field, &field.after))
            .map(|field| field.path.clone())
            .collect();
        let part = Self::SetFields {
            object: object.clone(),
            fields: fits,
        };
        (!strange.is_empty()).then_some((part, strange))
    }

    /// Whether it changes the template of a workload, whose controller then replaces its pods.
    pub fn rolls_pods(&self) -> bool {
        match self {
            Self::SetFields { object, fields } => {
                object.group() == "apps"
                    && ["DaemonSet", "Deployment", "StatefulSet"].contains(&object.kind.as_str())
                    && fields.iter().any(|change| {
                        matches!(change.path.segments(),
                            [Segment::Key(a), Segment::Key(b), ..] if a == "spec" && b == "template")
                    })
            }
            Self::ReplacePod { .. }
            | Self::EvictPod { .. }
            | Self::PutFile { .. }
            | Self::PutSetting { .. }
            | Self::RunProgram { .. }
            | Self::PutObject { .. } => false,
        }
    }

    /// How its subject, as it was just read, stands to this effect.
    pub fn standing(&self, now: &Now) -> Standing {
        match (self, now) {
            (Self::PutFile { before, after, .. }, Now::File(now)) => match now {
                FileNow::Is(now) if now == after => Standing::After,
                FileNow::Is(now) if now == before => Standing::Before,
                now => Standing::Other {
                    now: format!("it is {now}"),
                },
            },
            (Self::PutSetting { before, after, .. }, Now::Setting(now)) => {
                if now == after || now.is_more_than(after) {
                    Standing::After
                } else if now == before {
                    Standing::Before
                } else {
                    Standing::Other {
                        now: format!("it is {now}"),
                    }
                }
            }
            (Self::RunProgram { programs }, Now::Program(now)) => match now {
                ProgramNow::Begun => Standing::Before,
                ProgramNow::Is { done } if *done != programs.back => Standing::After,
                ProgramNow::Is { .. } => Standing::Before,
                ProgramNow::PutBack(_) if programs.back => Standing::After,
                ProgramNow::PutBack(fault) => Standing::PutBack {
                    fault: fault.clone(),
                },
                ProgramNow::Unclear(why) => Standing::Unclear { why: why.clone() },
            },
            (_, Now::Object(now)) => self.standing_of(now.as_ref()),
            (_, Now::File(now)) => Standing::Other {
                now: now.to_string(),
            },
            (_, Now::Program(_) | Now::Setting(_)) => Standing::Other {
                now: "something else was read".to_owned(),
            },
        }
    }

    /// Whether an object that finalizers are taken off is gone, or goes and is held by no more than it
    /// is to be.
    fn let_go(&self, object: &ObjectRef, fields: &[FieldChange], now: Option<&Value>) -> bool {
        let held_less = |now: &Value| {
            let ends = now.pointer("/metadata/deletionTimestamp").is_some();
            let held = finalizers(now.pointer("/metadata/finalizers"));
            let may = |change: &FieldChange| {
                let after = finalizers(change.after.as_ref());
                held.iter().all(|held| after.contains(held))
            };
            ends && fields.iter().all(may)
        };
        self.lets_go() && now.is_none_or(|now| !object.is(now) || held_less(now))
    }

    /// How an object stands to this effect; `None`: there is none.
    fn standing_of(&self, now: Option<&Value>) -> Standing {
        match (self, now) {
            (Self::SetFields { object, fields }, now) if self.let_go(object, fields, now) => {
                Standing::After
            }
            (Self::SetFields { object, .. }, None) => Standing::Other {
                now: format!("{object} is gone"),
            },
            (Self::SetFields { object, fields }, Some(now)) => {
                if !object.is(now) {
                    return Standing::Other {
                        now: format!("{object} was deleted and made again"),
                    };
                }
                if fields.iter().all(|f| f.path.read(now) == f.after.as_ref()) {
                    Standing::After
                } else if fields.iter().all(|f| f.path.read(now) == f.before.as_ref()) {
                    Standing::Before
                } else {
                    let fields: Vec<String> = fields
                        .iter()
                        .filter(|f| f.path.read(now) != f.before.as_ref())
                        .map(|f| format!("{} is {}", f.path, value_text(f.path.read(now))))
                        .collect();
                    Standing::Other {
                        now: fields.join("; "),
                    }
                }
            }
            (Self::PutFile { .. } | Self::PutSetting { .. } | Self::RunProgram { .. }, _) => {
                Standing::Other {
                    now: format!("{} was not read", self.subject()),
                }
            }
            (
                Self::PutObject {
                    object,
                    before,
                    after,
                    ..
                },
                now,
            ) => standing_of_whole(object, before.as_ref(), after.as_ref(), now),
            (Self::ReplacePod { .. } | Self::EvictPod { .. }, None) => Standing::After,
            (Self::ReplacePod { pod, .. } | Self::EvictPod { pod, .. }, Some(now)) => {
                let ending = now.pointer("/metadata/deletionTimestamp").is_some();
                if pod.is(now) && !ending {
                    Standing::Before
                } else {
                    Standing::After
                }
            }
        }
    }
}

/// How an object stands to being made or deleted.
fn standing_of_whole(
    object: &ObjectRef,
    before: Option<&Value>,
    after: Option<&Value>,
    now: Option<&Value>,
) -> Standing {
    let ends = |now: &Value| now.pointer("/metadata/deletionTimestamp").is_some();
    let other = |now: &Value, wanted: &Value| {
        let paths = differing(now, wanted);
        let fields: Vec<String> = paths
            .iter()
            .map(|path| format!("{path} is {}", value_text(path.read(now))))
            .collect();
        (!fields.is_empty()).then(|| Standing::Other {
            now: fields.join("; "),
        })
    };
    match (before, after, now) {
        (None, Some(_), None) => Standing::Before,
        (None, Some(_), Some(now)) if ends(now) => Standing::Other {
            now: format!("{object} is there, and is being deleted"),
        },
        (None, Some(after), Some(now)) => other(now, after).unwrap_or(Standing::After),
        (Some(_), None, None) => Standing::After,
        (Some(_), None, Some(now)) if !object.may_be(now) || ends(now) => Standing::After,
        // Its image is all that an undo has: what it does not name would be lost.
        (Some(before), None, Some(now)) if !object.uid.is_empty() && !tells_only_which(before) => {
            let changed: Vec<String> = changed_since(before, now)
                .iter()
                .map(|path| format!("{path} is {}", value_text(path.read(now))))
                .collect();
            match changed.is_empty() {
                true => Standing::Before,
                false => Standing::Other {
                    now: changed.join("; "),
                },
            }
        }
        (Some(before), None, Some(now)) => {
            if let Some(other) = other(now, before) {
                return other;
            }
            // What a run made is known by its manifest: what others put into it since would go too.
            let added = match object.uid.is_empty() {
                true => put_in_by_others(before, now),
                false => Vec::new(),
            };
            match added.is_empty() {
                true => Standing::Before,
                false => Standing::Other {
                    now: format!("others have put {} into it", added.join(", ")),
                },
            }
        }
        (Some(_), Some(_), _) | (None, None, _) => Standing::Unclear {
            why: "it says neither that it is made nor that it is deleted".to_owned(),
        },
    }
}

/// The fields of an object that are no longer as its image has them, those too that came since. A map
/// that is empty is as good as none: the API server does not keep all of them.
fn changed_since(image: &Value, now: &Value) -> Vec<FieldPath> {
    let nothing = |value: &Option<Value>| match value {
        None => true,
        Some(value) => value.as_object().is_some_and(serde_json::Map::is_empty),
    };
    difference(&restorable(image.clone()), &restorable(bare(now)))
        .into_iter()
        .filter(|change| !(nothing(&change.before) && nothing(&change.after)))
        .map(|change| change.path)
        .collect()
}

/// What is in an object that was made of a manifest, and is not in the manifest. Only where neither the
/// API server nor a controller puts anything in by itself: elsewhere nobody can tell whose it is.
fn put_in_by_others(manifest: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let root = FieldPath::root();
    for key in ["data", "stringData", "binaryData"] {
        found.extend(more_keys(manifest, now, &root.clone().key(key), |_| true));
    }
    // A Job has its labels from its template, and both from its UID.
    let templated = ["Job", "ReplicationController"];
    let kind = now.get("kind").and_then(Value::as_str).unwrap_or_default();
    let metadata = root.clone().key("metadata");
    if !templated.contains(&kind) {
        let labels = metadata.clone().key("labels");
        let others = |key: &str| key != "kubernetes.io/metadata.name";
        found.extend(more_keys(manifest, now, &labels, others));
    }
    let annotations = metadata.key("annotations");
    found.extend(more_keys(manifest, now, &annotations, |key| {
        !of_the_cluster(key)
    }));
    // A ClusterRole that is put together of others has its rules from them.
    let rules = now.get("aggregationRule").is_none();
    for key in ["rules", "subjects"] {
        if key == "rules" && !rules {
            continue;
        }
        let count = |object: &Value| {
            let items = object.get(key).and_then(Value::as_array);
            items.map_or(0, Vec::len)
        };
        if count(now) > count(manifest) {
            found.push(format!("{key} (now {})", count(now)));
        }
    }
    found
}

/// The keys of a map that its manifest does not have.
fn more_keys(
    manifest: &Value,
    now: &Value,
    at: &FieldPath,
    counts: impl Fn(&str) -> bool,
) -> Vec<String> {
    let named = at.read(manifest).and_then(Value::as_object);
    let map = at.read(now).and_then(Value::as_object);
    map.into_iter()
        .flat_map(serde_json::Map::keys)
        .filter(|key| counts(key) && !named.is_some_and(|named| named.contains_key(*key)))
        .map(|key| at.clone().key(key).to_string())
        .collect()
}

/// Whether controllers of Kubernetes, Calico or kubectl write an annotation by themselves.
fn of_the_cluster(annotation: &str) -> bool {
    let Some((domain, _)) = annotation.split_once('/') else {
        return annotation == "deprecated.daemonset.template.generation";
    };
    ["kubernetes.io", "k8s.io", "projectcalico.org"]
        .iter()
        .any(|of| {
            domain
                .strip_suffix(of)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

/// A field's value in a sentence.
pub(crate) fn value_text(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) if map.contains_key("name") => match map.get("value") {
            Some(Value::String(text)) => format!("`{text}`"),
            _ => map
                .get("valueFrom")
                .map_or_else(|| "empty".to_owned(), |from| format!("from {from}")),
        },
        Some(other) => other.to_string(),
    }
}

fn is_finalizers(path: &FieldPath) -> bool {
    matches!(path.segments(),
        [Segment::Key(a), Segment::Key(b)] if a == "metadata" && b == "finalizers")
}

fn finalizers(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

/// Whether a deleted object is gone; `now` is what is there under its name.
pub(crate) fn gone(object: &ObjectRef, now: &Value) -> Settled {
    let ends = now.pointer("/metadata/deletionTimestamp").is_some();
    if !object.may_be(now) || !ends {
        return Settled::Yes;
    }
    let held = finalizers(now.pointer("/metadata/finalizers"));
    Settled::NotYet(match held.as_slice() {
        [] => format!("{object} is being deleted"),
        held => format!(
            "{object} is being deleted, and its finalizers hold it: {}",
            held.join(", ")
        ),
    })
}

/// Whether a replaced pod's successor stands on the node: started, or ready too.
pub(crate) fn succeeded(
    pods: &[Value],
    gone: &ObjectRef,
    owner: &str,
    node: &str,
    ready: bool,
) -> Settled {
    let successor = pods.iter().find(|pod| {
        let text = |at: &str| pod.pointer(at).and_then(Value::as_str);
        text("/metadata/uid") != Some(gone.uid.as_str())
            && text("/spec/nodeName") == Some(node)
            && pod.pointer("/metadata/deletionTimestamp").is_none()
            && owned_by(pod, owner)
    });
    let Some(pod) = successor else {
        return Settled::NotYet(format!(
            "the controller has not put another pod on {node} yet"
        ));
    };
    let name = pod
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let running = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array)
        .is_some_and(|all| {
            !all.is_empty() && all.iter().all(|c| c.pointer("/state/running").is_some())
        });
    if !running {
        Settled::NotYet(format!("{name} is starting"))
    } else if ready && !is_ready(pod) {
        Settled::NotYet(format!("{name} runs, and is not ready yet"))
    } else {
        Settled::Yes
    }
}

pub(crate) fn owned_by(object: &Value, owner: &str) -> bool {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|owners| {
            owners
                .iter()
                .any(|o| o.get("uid").and_then(Value::as_str) == Some(owner))
        })
}

/// A pod's or node's condition `Ready`.
pub(crate) fn is_ready(object: &Value) -> bool {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .is_some_and(|all| {
            all.iter().any(|c| {
                c.get("type").and_then(Value::as_str) == Some("Ready")
                    && c.get("status").and_then(Value::as_str) == Some("True")
            })
        })
}

#[cfg(test)]
mod tests;
