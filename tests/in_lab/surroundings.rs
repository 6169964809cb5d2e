//! All that a run could have changed, so that "nothing was written" can be shown: the objects of the
//! cluster and the files of the nodes, but for what changes by itself.

use lab::Lab;
use lab::machine::NODES;
use serde_json::Value;
use std::collections::BTreeMap;

/// Kinds whose objects come and go without anybody's doing.
const OWN_LIFE_KINDS: &[&str] = &[
    "events",
    "events.events.k8s.io",
    // Heartbeats of nodes and controllers.
    "leases.coordination.k8s.io",
    // Their keys are signed anew.
    "configmaps/kube-system/cluster-info",
];

/// Fields that change without anybody's doing: heartbeats and conditions, and what counts writes.
const OWN_LIFE_FIELDS: &[&str] = &[
    "/metadata/resourceVersion",
    "/metadata/managedFields",
    "/status",
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
    // Kubelet's and containerd's own state: container status, probes' exec, images.
    "/var/lib/kubelet",
    "/var/lib/containerd",
    // systemd: timers' stamps, random seed, clock.
    "/var/lib/systemd",
    "/var/lib/NetworkManager/timestamps",
    "/var/tmp",
];

pub struct Surroundings {
    objects: BTreeMap<String, Value>,
    files: BTreeMap<String, Vec<String>>,
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
             ip -o link show | sed 's/ state .*//' | cut -d: -f2; ip -o -4 address show | awk '{{print $2, $4}}'",
            pruned.join(" -o ")
        );
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
            objects: objects(lab)?,
            files,
        })
    }

    pub fn same_as(&self, later: &Self) -> Result<(), String> {
        let mut changed = Vec::new();
        let keys = self.objects.keys().chain(later.objects.keys());
        for key in keys.collect::<std::collections::BTreeSet<_>>() {
            let (before, after) = (self.objects.get(key), later.objects.get(key));
            if before != after {
                changed.push(format!("{key}: {before:?} became {after:?}"));
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
            false => Err(format!("something was written:\n{}", changed.join("\n"))),
        }
    }
}

/// Every object of every kind that can be listed.
fn objects(lab: &Lab) -> Result<BTreeMap<String, Value>, String> {
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
            let key = format!(
                "{}/{}/{}/{}",
                text("/apiVersion"),
                text("/kind").to_lowercase(),
                text("/metadata/namespace"),
                text("/metadata/name")
            );
            for field in OWN_LIFE_FIELDS {
                let (parent, last) = field.rsplit_once('/').unwrap_or_default();
                if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
                    map.remove(last);
                }
            }
            (key, object)
        })
        .filter(|(key, _)| !OWN_LIFE_KINDS.iter().any(|own| key.ends_with(own)))
        .collect())
}
