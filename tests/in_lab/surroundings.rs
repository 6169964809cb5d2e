//! All that a run could have changed, so that "nothing was written" can be shown: the objects of the
//! cluster and the files of the nodes, but for what changes by itself.

use crate::tries::WRITTEN;
use lab::Lab;
use lab::machine::NODES;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Kinds whose objects come and go without anybody's doing.
const OWN_LIFE_KINDS: &[&str] = &[
    "events",
    "events.events.k8s.io",
    // Heartbeats of nodes and controllers.
    "leases.coordination.k8s.io",
];

/// Fields that change without anybody's doing: heartbeats and conditions, and what counts writes.
const OWN_LIFE_FIELDS: &[&str] = &[
    "/metadata/resourceVersion",
    "/metadata/managedFields",
    "/status",
];

/// The users of the API server that are a cluster's own components: what they alone wrote changed
/// without anybody's doing.
const COMPONENTS: &[&str] = &[
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:node:",
    "system:serviceaccount:kube-system:",
];

/// Folders and files of a node that change without anybody's doing.
const OWN_LIFE_FILES: &[&str] = &[
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    // Logs, and who logged in when.
    "/var/log",
    // Kubelet's and containerd's own state: container status, probes' exec, images. Pods that are gone
    // for the API server have their addresses for a while still.
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    // systemd: timers' stamps, random seed, clock.
    "/var/lib/systemd",
    "/var/lib/NetworkManager/timestamps",
    "/var/tmp",
];

/// Links that come and go with pods.
const OWN_LIFE_LINKS: &str = "veth|cali|cni0";

pub struct Surroundings {
    /// Where the audit log ended.
    audited: u64,
    objects: BTreeMap<Object, Value>,
    files: BTreeMap<String, Vec<String>>,
}

/// An object, by what an audit log says of it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    group: String,
    namespace: String,
    name: String,
}

impl Surroundings {
    pub fn of(lab: &Lab) -> Result<Self, String> {
        let pruned: Vec<String> = OWN_LIFE_FILES
            .iter()
            .map(|path| format!("-path {path}"))
            .collect();
        // A folder's own time changes with what comes and goes in it; its name stays.
        let list = format!(
            "find / -xdev \\( {} \\) -prune -o -type d -printf '%p %m %U\\n' -o -printf '%p %s %T@ %m %U\\n' | sort; \
             {{ ip -o link show | sed 's/ state .*//' | cut -d: -f2; ip -o -4 address show | awk '{{print $2, $4}}'; }} | \
             grep -Ev '^ *({OWN_LIFE_LINKS})'",
            pruned.join(" -o ")
        );
        let audited = audit_log(lab)?.metadata().map_err(|e| e.to_string())?.len();
        // Of all nodes at once: most of it is waiting for them.
        let files = lab
            .on_each(&NODES, |node| {
                let text = lab.ssh_text(node, &list)?;
                Ok((node.name(), text.lines().map(str::to_owned).collect()))
            })
            .map_err(|e| e.to_string())?
            .into_iter()
            .collect();
        Ok(Self {
            audited,
            objects: objects(lab)?,
            files,
        })
    }

    /// Holds that all is now as it was then.
    pub fn still_there(&self, lab: &Lab) -> Result<(), String> {
        let later = Self::of(lab)?;
        let written = written(lab, self.audited)?;
        let mut changed = Vec::new();
        let objects = self.objects.keys().chain(later.objects.keys());
        for object in objects.collect::<BTreeSet<_>>() {
            let (before, after) = (self.objects.get(object), later.objects.get(object));
            let by = written.iter().find(|write| write.is_of(object));
            if let Some(by) = by.filter(|_| before != after) {
                let by = &by.by;
                changed.push(format!(
                    "{object:?}: {before:?} became {after:?}, written by {by}"
                ));
            }
        }
        for (node, before) in &self.files {
            let after = later.files.get(node).cloned().unwrap_or_default();
            changed.extend(
                before
                    .iter()
                    .filter(|line| !after.contains(line))
                    .map(|line| format!("{node}: no longer {line}")),
            );
            changed.extend(
                after
                    .iter()
                    .filter(|line| !before.contains(line))
                    .map(|line| format!("{node}: now {line}")),
            );
        }
        match changed.is_empty() {
            true => Ok(()),
            false => Err(format!("{WRITTEN}:\n{}", changed.join("\n"))),
        }
    }
}

/// Every object of every kind that can be listed.
fn objects(lab: &Lab) -> Result<BTreeMap<Object, Value>, String> {
    let kinds = lab
        .kubectl_text(&["api-resources", "--verbs=list", "-o", "name"])
        .map_err(|e| e.to_string())?;
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !OWN_LIFE_KINDS.contains(kind))
        .collect();
    let list = lab
        .kubectl_json(&["get", &kinds.join(","), "--all-namespaces"])
        .map_err(|e| e.to_string())?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        return Err("the cluster shows no objects at all".to_owned());
    }
    Ok(items
        .into_iter()
        .map(|mut object| {
            let text = |at: &str| {
                object
                    .pointer(at)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let version = text("/apiVersion");
            let key = Object {
                kind: text("/kind").to_lowercase(),
                group: version
                    .rsplit_once('/')
                    .map_or("", |(group, _)| group)
                    .to_owned(),
                namespace: text("/metadata/namespace"),
                name: text("/metadata/name"),
            };
            for field in OWN_LIFE_FIELDS {
                let (parent, last) = field.rsplit_once('/').unwrap_or_default();
                if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
                    map.remove(last);
                }
            }
            (key, object)
        })
        .collect())
}

/// One that somebody else than the cluster's components has sent, and that was not a trial.
struct Write {
    /// Who asked for it, and for what.
    by: String,
    group: String,
    namespace: String,
    /// Empty where it is about all.
    name: String,
}

impl Write {
    /// From a line of the audit log; `None` where it says nothing of that kind.
    fn of(line: &str) -> Result<Option<Self>, String> {
        let event: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        let text = |at: &str| {
            event
                .pointer(at)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let user = text("/user/username");
        let writes = !COMPONENTS
            .iter()
            .any(|component| user.starts_with(component))
            && !text("/requestURI").contains("dryRun=");
        let object = |key: &str| text(&format!("/objectRef/{key}")).to_owned();
        Ok(writes.then(|| Self {
            by: format!("{user} ({})", text("/verb")),
            group: object("apiGroup"),
            namespace: object("namespace"),
            name: object("name"),
        }))
    }

    fn is_of(&self, object: &Object) -> bool {
        self.group == object.group
            && (self.namespace == object.namespace || object.kind == "namespace")
            && (self.name.is_empty() || self.name == object.name)
    }
}

fn audit_log(lab: &Lab) -> Result<File, String> {
    let path = lab.audit_log();
    File::open(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// What the audit log tells since it was so long.
fn written(lab: &Lab, since: u64) -> Result<Vec<Write>, String> {
    let mut log = audit_log(lab)?;
    if log.metadata().map_err(|e| e.to_string())?.len() < since {
        return Err(
            "the audit log was begun anew meanwhile: who wrote what is not known".to_owned(),
        );
    }
    let mut text = String::new();
    log.seek(SeekFrom::Start(since))
        .and_then(|_| log.read_to_string(&mut text))
        .map_err(|e| e.to_string())?;
    // The last line may be on its way.
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    whole
        .lines()
        .filter_map(|line| Write::of(line).transpose())
        .collect()
}
