//! One effect: the smallest thing that is done to the world. It says itself what was before and
//! what is after, so whether it happened is decided by looking, not by remembering.

use super::blob::Digest;
use super::difference::difference;
use super::fields::{FieldChange, FieldPath, Segment, with_changes};
use super::file::{FileNow, FileRef, FileState, HostRef};
use super::object::{bare, differing, restorable, tells_only_which};
use super::program::{ProgramNow, Programs};
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

impl ObjectRef {
    /// The path under which the API server serves it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The path under which it is made.
    pub fn collection(&self) -> String {
        let root = match self.api_version.as_str() {
            "v1" => "/api/v1".to_owned(),
            group => format!("/apis/{group}"),
        };
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
    /// A file of a host is put into another state, where it is still in the one it was in.
    PutFile {
        file: FileRef,
        before: FileState,
        after: FileState,
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
    Program(&'e Programs),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::File(file) => file.fmt(f),
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
            Self::ReplacePod { pod, .. } => Subject::Object(pod),
            Self::PutFile { file, .. } => Subject::File(file),
            Self::RunProgram { programs } => Subject::Program(programs),
            Self::PutObject { object, .. } => Subject::Object(object),
        }
    }

    /// The host on which it is done. There, looking after a lost answer keeps what was under way from
    /// happening still.
    pub fn on_host(&self) -> Option<&HostRef> {
        match self {
            Self::PutFile { file, .. } => Some(&file.host),
            Self::RunProgram { programs } => Some(&programs.host),
            Self::SetFields { .. } | Self::ReplacePod { .. } | Self::PutObject { .. } => None,
        }
    }

    /// The inverse that is run in any case, where some of what it takes back may have been done.
    pub fn blind_inverse(&self) -> Option<Self> {
        match self.inverse()? {
            Self::RunProgram { programs } => Some(Self::RunProgram {
                programs: Box::new(Programs {
                    blind: true,
                    ..*programs
                }),
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
            | Self::PutFile { .. }
            | Self::PutObject { .. } => true,
        }
    }

    /// The object of a cluster that it is done to, and the verb of Kubernetes' RBAC that it needs
    /// there.
    pub fn on_object(&self) -> Option<(&ObjectRef, &'static str)> {
        match self {
            Self::SetFields { object, .. } => Some((object, "patch")),
            Self::ReplacePod { pod, .. } => Some((pod, "delete")),
            Self::PutObject {
                object,
                after: Some(_),
                ..
            } => Some((object, "create")),
            Self::PutObject { object, .. } => Some((object, "delete")),
            Self::PutFile { .. } | Self::RunProgram { .. } => None,
        }
    }

    /// Whether it deletes an object, which then stays until nothing holds it any more.
    pub fn deletes(&self) -> bool {
        matches!(self, Self::PutObject { after: None, .. })
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
            | Self::RunProgram { .. }
            | Self::PutObject { .. } => (None, None),
        };
        before.into_iter().chain(after)
    }

    /// The effect that takes this one back, where there is one: a deleted pod does not come back,
    /// its successor has taken its place, and a program may have no `undo`.
    pub fn inverse(&self) -> Option<Self> {
        match self {
            Self::SetFields { object, fields } => Some(Self::SetFields {
                object: object.clone(),
                fields: fields.iter().rev().map(FieldChange::inverse).collect(),
            }),
            Self::ReplacePod { .. } => None,
            Self::PutFile {
                file,
                before,
                after,
            } => Some(Self::PutFile {
                file: file.clone(),
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
            // Whatever its check says, or fails to say.
            (Self::RunProgram { programs }, Now::Program(_)) => Some(Self::RunProgram {
                programs: Box::new(Programs {
                    blind: true,
                    ..(**programs).clone()
                }),
            }),
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
            | Self::PutFile { .. }
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
            (Self::RunProgram { programs }, Now::Program(now)) => match now {
                ProgramNow::Begun => Standing::Before,
                ProgramNow::Is { done } if *done != programs.back => Standing::After,
                ProgramNow::Is { .. } => Standing::Before,
                ProgramNow::Unclear(why) => Standing::Unclear { why: why.clone() },
            },
            (_, Now::Object(now)) => self.standing_of(now.as_ref()),
            (_, Now::File(now)) => Standing::Other {
                now: now.to_string(),
            },
            (_, Now::Program(_)) => Standing::Other {
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
            (Self::PutFile { .. } | Self::RunProgram { .. }, _) => Standing::Other {
                now: format!("{} was not read", self.subject()),
            },
            (
                Self::PutObject {
                    object,
                    before,
                    after,
                    ..
                },
                now,
            ) => standing_of_whole(object, before.as_ref(), after.as_ref(), now),
            (Self::ReplacePod { .. }, None) => Standing::After,
            (Self::ReplacePod { pod, .. }, Some(now)) => {
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
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> ObjectRef {
        ObjectRef {
            api_version: "v1".into(),
            kind: "Node".into(),
            resource: "nodes".into(),
            namespace: None,
            name: "node02".into(),
            uid: "u-2".into(),
        }
    }

    fn address(before: Option<&str>, after: Option<&str>) -> Effect {
        Effect::SetFields {
            object: node(),
            fields: vec![FieldChange {
                path: FieldPath::annotation("projectcalico.org/IPv4Address"),
                before: before.map(Value::from),
                after: after.map(Value::from),
            }],
        }
    }

    fn node_with(uid: &str, address: Option<&str>) -> Value {
        match address {
            Some(a) => {
                json!({"metadata": {"uid": uid, "annotations": {"projectcalico.org/IPv4Address": a}}})
            }
            None => json!({"metadata": {"uid": uid}}),
        }
    }

    #[test]
    fn fields_tell_whether_they_were_written() {
        let effect = address(Some("172.18.0.1/16"), Some("10.0.0.2/24"));
        let stands = |now: Option<&Value>| effect.standing_of(now);
        assert_eq!(
            stands(Some(&node_with("u-2", Some("172.18.0.1/16")))),
            Standing::Before
        );
        assert_eq!(
            stands(Some(&node_with("u-2", Some("10.0.0.2/24")))),
            Standing::After
        );
        let Standing::Other { now } = stands(Some(&node_with("u-2", Some("10.9.9.9/24")))) else {
            panic!()
        };
        insta::assert_snapshot!(now, @"metadata.annotations[projectcalico.org/IPv4Address] is 10.9.9.9/24");
        assert!(matches!(
            stands(Some(&node_with("u-2", None))),
            Standing::Other { .. }
        ));
        assert!(matches!(stands(None), Standing::Other { .. }));
        // The same name and value, but another node.
        assert!(matches!(
            stands(Some(&node_with("u-9", Some("10.0.0.2/24")))),
            Standing::Other { .. }
        ));
    }

    #[test]
    fn the_inverse_swaps_before_and_after() {
        let effect = address(None, Some("10.0.0.2/24"));
        let back = effect.inverse().unwrap();
        assert_eq!(back, address(Some("10.0.0.2/24"), None));
        assert_eq!(back.inverse().unwrap(), effect);
        assert_eq!(
            back.standing_of(Some(&node_with("u-2", None))),
            Standing::After
        );
    }

    #[test]
    fn a_program_is_told_by_its_check() {
        let run = |programs: Programs| Effect::RunProgram {
            programs: Box::new(programs),
        };
        let programs = Programs::for_test;
        let effect = run(programs());
        let is = |done| Now::Program(ProgramNow::Is { done });
        let unclear = Now::Program(ProgramNow::Unclear("cut".into()));
        assert_eq!(effect.standing(&is(true)), Standing::After);
        assert_eq!(effect.standing(&is(false)), Standing::Before);
        let why = "cut".to_owned();
        assert_eq!(effect.standing(&unclear), Standing::Unclear { why });
        assert!(matches!(
            effect.standing(&Now::Object(None)),
            Standing::Other { .. }
        ));

        let back = effect.inverse().unwrap();
        assert_eq!(back.standing(&is(true)), Standing::Before);
        assert_eq!(back.standing(&is(false)), Standing::After);
        assert_eq!(back.inverse().unwrap(), effect);
        assert_eq!(effect.done_to(is(false)), is(true));
        assert_eq!(back.done_to(is(true)), is(false));
        let blind = run(Programs {
            blind: true,
            ..programs()
        });
        assert_eq!(effect.over(&unclear), Some(blind));
        assert_eq!(back.blind_inverse().unwrap().inverse().unwrap(), back);
        assert_eq!(
            effect.standing(&Now::Program(ProgramNow::Begun)),
            Standing::Before
        );
        assert_eq!(effect.over(&Now::Object(None)), None);
        assert_eq!(effect.subject().to_string(), "`apply` on node02");

        let no_undo = run(Programs {
            undo: None,
            ..programs()
        });
        assert_eq!(no_undo.inverse(), None);
        let blind = Programs {
            check: None,
            ..programs()
        };
        assert!(effect.can_be_verified());
        assert!(run(blind.clone()).can_be_verified());
        // What verifies it there says nothing on the way back.
        assert!(!run(blind.inverse().unwrap()).can_be_verified());
        assert!(
            !run(Programs {
                verify: None,
                ..blind
            })
            .can_be_verified()
        );
    }

    fn replace() -> Effect {
        Effect::ReplacePod {
            pod: ObjectRef {
                kind: "Pod".into(),
                resource: "pods".into(),
                namespace: Some("kube-system".into()),
                name: "calico-node-x".into(),
                uid: "p-1".into(),
                ..node()
            },
            owner: "ds".into(),
            node: "node02".into(),
        }
    }

    #[test]
    fn a_pod_is_replaced_when_it_is_gone_ending_or_another() {
        let effect = replace();
        let pod = |uid: &str| json!({"metadata": {"uid": uid}});
        assert_eq!(effect.standing_of(Some(&pod("p-1"))), Standing::Before);
        assert_eq!(effect.standing_of(Some(&pod("p-2"))), Standing::After);
        assert_eq!(effect.standing_of(None), Standing::After);
        let mut ending = pod("p-1");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(effect.standing_of(Some(&ending)), Standing::After);
        assert_eq!(effect.inverse(), None);
        assert_eq!(effect.on_object().unwrap().1, "delete");
        assert!(!effect.rolls_pods());
    }

    #[test]
    fn a_successor_counts_when_it_is_the_owners_on_that_node_and_runs() {
        let Effect::ReplacePod { pod: gone, .. } = replace() else {
            panic!()
        };
        let pod = |uid: &str, node: &str, owner: &str, running: bool, ready: &str| {
            json!({
                "metadata": {"uid": uid, "name": uid, "ownerReferences": [{"uid": owner}]},
                "spec": {"nodeName": node},
                "status": {
                    "containerStatuses": [{"state": if running { json!({"running": {}}) } else { json!({"waiting": {}}) }}],
                    "conditions": [{"type": "Ready", "status": ready}],
                },
            })
        };
        let look = |pods: &[Value], ready| succeeded(pods, &gone, "ds", "node02", ready);
        assert_eq!(
            look(&[pod("p-2", "node02", "ds", true, "True")], true),
            Settled::Yes
        );
        assert_eq!(
            look(&[pod("p-2", "node02", "ds", true, "False")], false),
            Settled::Yes
        );
        for (pods, ready) in [
            (vec![], false),
            (vec![pod("p-1", "node02", "ds", true, "True")], false),
            (vec![pod("p-2", "node03", "ds", true, "True")], false),
            (vec![pod("p-2", "node02", "other", true, "True")], false),
            (vec![pod("p-2", "node02", "ds", false, "False")], false),
            (vec![pod("p-2", "node02", "ds", true, "False")], true),
        ] {
            assert!(matches!(look(&pods, ready), Settled::NotYet(_)), "{pods:?}");
        }
        let mut ending = pod("p-2", "node02", "ds", true, "True");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(matches!(look(&[ending], false), Settled::NotYet(_)));
    }

    #[test]
    fn only_a_workloads_template_rolls_pods() {
        let mut object = node();
        object.kind = "DaemonSet".into();
        object.api_version = "apps/v1".into();
        let set = |path: FieldPath| Effect::SetFields {
            object: object.clone(),
            fields: vec![FieldChange {
                path,
                before: None,
                after: None,
            }],
        };
        assert!(set(FieldPath::container_env("calico-node", "IP")).rolls_pods());
        assert!(!set(FieldPath::annotation("x")).rolls_pods());
        for (kind, api_version, rolls) in [
            ("Deployment", "apps/v1", true),
            ("StatefulSet", "apps/v1", true),
            ("ReplicaSet", "apps/v1", false),
            ("Deployment", "example.com/v1", false),
        ] {
            let object = ObjectRef {
                kind: kind.into(),
                api_version: api_version.into(),
                ..object.clone()
            };
            let effect = Effect::SetFields {
                object,
                fields: vec![FieldChange {
                    path: FieldPath::root().key("spec").key("template").key("x"),
                    before: None,
                    after: None,
                }],
            };
            assert_eq!(effect.rolls_pods(), rolls, "{kind} {api_version}");
        }
        assert!(!address(None, None).rolls_pods());
    }

    #[test]
    fn an_object_is_made_or_deleted_as_its_uid_and_its_fields_tell() {
        let made = |uid: &str, value: &str| json!({"metadata": {"uid": uid, "name": "node02"}, "data": {"a": value}, "status": {}});
        let ending = |uid: &str| {
            let mut object = made(uid, "1");
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            object
        };
        let image = || json!({"metadata": {"name": "node02"}, "data": {"a": "1"}});
        let effect = |uid: &str, before: Option<Value>, after: Option<Value>| Effect::PutObject {
            object: ObjectRef {
                uid: uid.into(),
                ..node()
            },
            before,
            after,
            propagation: Propagation::Background,
        };
        let create = effect("", None, Some(image()));
        let delete = effect("u-2", Some(image()), None);
        let back = create.inverse().unwrap();
        assert_eq!(back, effect("", Some(image()), None));
        assert_eq!(delete.inverse().unwrap(), create);
        let stands = |effect: &Effect, now: Option<Value>| match effect.standing(&Now::Object(now))
        {
            Standing::Before => "before",
            Standing::After => "after",
            Standing::Other { .. } => "other",
            Standing::Unclear { .. } => "unclear",
        };
        for (now, created, deleted, taken_back) in [
            (None, "before", "after", "after"),
            (Some(made("u-2", "1")), "after", "before", "before"),
            (Some(made("u-2", "2")), "other", "other", "other"),
            (Some(made("u-9", "1")), "after", "after", "before"),
            (Some(made("u-9", "2")), "other", "after", "other"),
            (Some(ending("u-2")), "other", "after", "after"),
        ] {
            assert_eq!(stands(&create, now.clone()), created, "create {now:?}");
            assert_eq!(stands(&delete, now.clone()), deleted, "delete {now:?}");
            assert_eq!(stands(&back, now.clone()), taken_back, "back {now:?}");
        }
        assert_eq!(create.on_object().unwrap().1, "create");
        assert_eq!(delete.on_object().unwrap().1, "delete");
        assert_eq!(create.over(&Now::Object(Some(made("u", "2")))), None);
        let mut image = image();
        image["data"]["a"] = json!("2");
        let forced = effect("u-9", Some(image), None);
        assert_eq!(
            back.over(&Now::Object(Some(made("u-9", "2")))),
            Some(forced)
        );
        assert_eq!(
            create.done_to(Now::Object(None)).clone(),
            Now::Object(Some(
                json!({"metadata": {"name": "node02"}, "data": {"a": "1"}})
            ))
        );
        assert_eq!(
            delete.done_to(Now::Object(Some(made("u-2", "1")))),
            Now::Object(None)
        );
        // As journals have it: what is not there is `null`, and the usual propagation is left out.
        insta::assert_snapshot!(serde_json::to_string(&back).unwrap(), @r#"{"effect":"put_object","object":{"api_version":"v1","kind":"Node","resource":"nodes","name":"node02","uid":""},"before":{"data":{"a":"1"},"metadata":{"name":"node02"}},"after":null}"#);
    }

    /// An undo makes it again from its image alone.
    #[test]
    fn what_others_added_to_a_whole_object_keeps_it_from_being_deleted() {
        let delete = |before: Value| Effect::PutObject {
            object: node(),
            before: Some(before),
            after: None,
            propagation: Propagation::Background,
        };
        let now = json!({"kind": "ConfigMap", "metadata": {"uid": "u-2", "name": "node02", "resourceVersion": "9"},
            "data": {"a": "1", "b": "2"}, "status": {"x": 1}});
        let stands = |before: Value| delete(before).standing(&Now::Object(Some(now.clone())));
        let mut image = bare(&now);
        assert_eq!(stands(image.clone()), Standing::Before);
        image["metadata"]["labels"] = json!({});
        assert_eq!(stands(image), Standing::Before);
        let Standing::Other { now: what } = stands(
            json!({"kind": "ConfigMap", "metadata": {"name": "node02"}, "data": {"a": "1"}}),
        ) else {
            panic!()
        };
        assert_eq!(what, "data.b is 2");
        // A map that had nothing in it.
        let empty = json!({"kind": "ConfigMap", "metadata": {"name": "node02"}});
        assert!(matches!(stands(empty), Standing::Other { .. }));
        // What cannot come back is only told by its name.
        let which = json!({"kind": "Namespace", "metadata": {"name": "node02"}});
        let labelled = json!({"kind": "Namespace", "metadata": {"name": "node02", "uid": "u-2", "labels": {"a": "b"}}});
        assert_eq!(
            delete(which).standing(&Now::Object(Some(labelled))),
            Standing::Before
        );
    }

    /// Undo deletes it: what others put into it would go with it.
    #[test]
    fn what_a_run_made_is_left_alone_where_others_put_something_into_it() {
        let manifest =
            json!({"kind": "x", "metadata": {"name": "node02"}, "data": {"a": "1"}, "spec": {}});
        let made = |uid: &str| Effect::PutObject {
            object: ObjectRef {
                uid: uid.into(),
                ..node()
            },
            before: Some(manifest.clone()),
            after: None,
            propagation: Propagation::Background,
        };
        let now = |key: &str, value: Value| {
            let mut now = manifest.clone();
            now["metadata"]["uid"] = json!("u-2");
            let (at, last) = key.rsplit_once('|').unwrap_or(("", key));
            let mut place = &mut now;
            for key in at.split('|').filter(|key| !key.is_empty()) {
                place = &mut place[key];
            }
            place[last] = value;
            Now::Object(Some(now))
        };
        for (key, value) in [
            ("data|b", json!("2")),
            ("binaryData|b", json!("2")),
            ("metadata|labels|team", json!("x")),
            ("metadata|annotations|example.com/a", json!("x")),
            ("metadata|annotations|notkubernetes.io/a", json!("x")),
            ("rules", json!([{"verbs": ["get"]}])),
            ("subjects", json!([{"kind": "User", "name": "x"}])),
        ] {
            let stands = made("").standing(&now(key, value));
            assert!(matches!(stands, Standing::Other { .. }), "{key}");
        }
        // What the API server and controllers put in by themselves.
        for (key, value) in [
            ("metadata|labels|kubernetes.io/metadata.name", json!("x")),
            (
                "metadata|annotations|deployment.kubernetes.io/revision",
                json!("1"),
            ),
            (
                "metadata|annotations|cni.projectcalico.org/podIP",
                json!("x"),
            ),
            ("spec|clusterIP", json!("10.0.0.1")),
            ("status", json!({})),
        ] {
            assert_eq!(
                made("").standing(&now(key, value)),
                Standing::Before,
                "{key}"
            );
        }
        let Standing::Other { now: what } = made("").standing(&now("data|b", json!("2"))) else {
            panic!()
        };
        assert_eq!(what, "others have put data.b into it");
        // Forced, it goes with what is there.
        let over = made("").over(&now("data|b", json!("2"))).unwrap();
        assert_eq!(over.standing(&now("data|b", json!("2"))), Standing::Before);
    }

    #[test]
    fn a_deleted_object_stays_until_its_finalizers_let_it_go() {
        let ending = json!({"metadata": {"uid": "u-2", "deletionTimestamp": "t", "finalizers": ["a/b", "c/d"]}});
        let Settled::NotYet(what) = gone(&node(), &ending) else {
            panic!()
        };
        insta::assert_snapshot!(what, @"Node node02 is being deleted, and its finalizers hold it: a/b, c/d");
        let another = json!({"metadata": {"uid": "u-3", "deletionTimestamp": "t"}});
        assert_eq!(gone(&node(), &another), Settled::Yes);
    }

    #[test]
    fn an_object_knows_its_path_and_group() {
        assert_eq!(node().path(), "/api/v1/nodes/node02");
        assert_eq!(node().group(), "");
        let daemonset = ObjectRef {
            api_version: "apps/v1".into(),
            resource: "daemonsets".into(),
            namespace: Some("kube-system".into()),
            name: "calico-node".into(),
            kind: "DaemonSet".into(),
            uid: String::new(),
        };
        assert_eq!(
            daemonset.path(),
            "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
        );
        assert_eq!(daemonset.group(), "apps");
        assert_eq!(daemonset.to_string(), "DaemonSet kube-system/calico-node");
    }
}
