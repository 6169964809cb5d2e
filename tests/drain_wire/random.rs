//! Pods of all kinds, and what a drain may be told about them.

use crate::dice::Dice;
use crate::pods;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What is longer than this has been terminating for long.
pub const LONG: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    None,
    /// It is an owner, and not the controller.
    NoController,
    Keeper,
    DaemonSet,
    /// There is no DaemonSet by its name.
    GoneDaemonSet,
    /// Of a version that has not been served for long: it is just some controller.
    OldDaemonSet,
}

/// Whether it is terminating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    No,
    /// Its time was up long ago, and a finalizer keeps it.
    Long,
    /// It has an hour.
    Ahead,
}

#[derive(Debug, Clone)]
pub struct RandomPod {
    pub name: String,
    pub node: String,
    pub phase: &'static str,
    pub owner: Owner,
    pub mirror: bool,
    pub empty_dir: bool,
    pub deleted: Deleted,
    pub app: Option<&'static str>,
    pub tier: Option<&'static str>,
}

impl RandomPod {
    pub fn new(dice: &mut Dice, number: usize, nodes: &[String]) -> Self {
        let owners = [
            Owner::None,
            Owner::NoController,
            Owner::Keeper,
            Owner::Keeper,
            Owner::Keeper,
            Owner::DaemonSet,
            Owner::GoneDaemonSet,
            Owner::OldDaemonSet,
        ];
        Self {
            name: format!("p{number:03}"),
            node: nodes[number % nodes.len()].clone(),
            phase: dice.one_of(&[
                "Pending",
                "Running",
                "Running",
                "Succeeded",
                "Failed",
                "Unknown",
            ]),
            owner: dice.one_of(&owners),
            mirror: dice.percent(10),
            empty_dir: dice.percent(30),
            deleted: dice.one_of(&[
                Deleted::No,
                Deleted::No,
                Deleted::No,
                Deleted::Long,
                Deleted::Ahead,
            ]),
            app: dice.one_of(&[None, Some("a"), Some("b")]),
            tier: dice.one_of(&[None, Some("x"), Some("y")]),
        }
    }

    /// The object, with the UIDs of the owners that there are.
    pub fn object(&self, namespace: &str, keeper: &str, daemon_set: &str) -> Value {
        let mut pod = pods::bare(namespace, &self.name, &self.node);
        let nobody = "11111111-2222-3333-4444-555555555555";
        let owner = match self.owner {
            Owner::None => None,
            Owner::NoController => Some(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "name": "keeper", "uid": keeper})),
            Owner::Keeper => Some(pods::owner("v1", "ConfigMap", "keeper", keeper)),
            Owner::DaemonSet => Some(pods::owner("apps/v1", "DaemonSet", "agent", daemon_set)),
            Owner::GoneDaemonSet => Some(pods::owner("apps/v1", "DaemonSet", "gone", nobody)),
            Owner::OldDaemonSet => Some(pods::owner(
                "extensions/v1beta1",
                "DaemonSet",
                "agent",
                daemon_set,
            )),
        };
        if let Some(owner) = owner {
            pod["metadata"]["ownerReferences"] = json!([owner]);
        }
        let labels = [("app", self.app), ("tier", self.tier)];
        for (name, value) in labels {
            if let Some(value) = value {
                pod["metadata"]["labels"][name] = value.into();
            }
        }
        if self.mirror {
            pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash".into();
        }
        if self.empty_dir {
            pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
        }
        if self.deleted != Deleted::No {
            pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
        }
        pod
    }

    fn finished(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.phase)
    }

    /// What becomes of it: the filters, in their order.
    pub fn expected(&self, options: &Options) -> Verdict {
        if options.skip_long && self.deleted == Deleted::Long {
            return Verdict::Stays;
        }
        match self.owner {
            _ if self.finished() => {}
            Owner::DaemonSet if options.ignore_daemonsets => return Verdict::Stays,
            Owner::DaemonSet => return Verdict::Blocks(Reason::DaemonSet),
            Owner::GoneDaemonSet if !options.force => {
                return Verdict::Blocks(Reason::GoneDaemonSet);
            }
            _ => {}
        }
        if self.mirror {
            return Verdict::Stays;
        }
        if self.finished() {
            return Verdict::Goes;
        }
        if self.empty_dir && !options.delete_emptydir_data {
            return Verdict::Blocks(Reason::EmptyDir);
        }
        if [Owner::None, Owner::NoController].contains(&self.owner) && !options.force {
            return Verdict::Blocks(Reason::NoController);
        }
        Verdict::Goes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Goes,
    Stays,
    Blocks(Reason),
}

/// Why nothing of a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    DaemonSet,
    GoneDaemonSet,
    EmptyDir,
    NoController,
}

/// A label selector, and which pods it selects.
#[derive(Clone, Copy)]
pub struct Selector {
    pub text: &'static str,
    pub selects: fn(&RandomPod) -> bool,
}

const SELECTORS: &[Selector] = &[
    Selector {
        text: "",
        selects: |_| true,
    },
    Selector {
        text: "",
        selects: |_| true,
    },
    Selector {
        text: "app=a",
        selects: |p| p.app == Some("a"),
    },
    Selector {
        text: "app!=a",
        selects: |p| p.app != Some("a"),
    },
    Selector {
        text: "app in (a,b)",
        selects: |p| p.app.is_some(),
    },
    Selector {
        text: "app notin (b),tier=x",
        selects: |p| p.app != Some("b") && p.tier == Some("x"),
    },
    Selector {
        text: "tier",
        selects: |p| p.tier.is_some(),
    },
    Selector {
        text: "!tier",
        selects: |p| p.tier.is_none(),
    },
];

/// What a drain is told.
#[derive(Clone, Copy)]
pub struct Options {
    pub ignore_daemonsets: bool,
    pub delete_emptydir_data: bool,
    pub force: bool,
    pub skip_long: bool,
    pub selector: Selector,
}

impl Options {
    /// Those that differ from the most permissive in one thing, and so many of all kinds.
    pub fn several(dice: &mut Dice, random: usize) -> Vec<Self> {
        let permissive = Self {
            ignore_daemonsets: true,
            delete_emptydir_data: true,
            force: true,
            skip_long: false,
            selector: SELECTORS[0],
        };
        let mut all = vec![permissive; 5];
        all[1].ignore_daemonsets = false;
        all[2].delete_emptydir_data = false;
        all[3].force = false;
        all[4].skip_long = true;
        all.extend((0..random).map(|_| Self::random(dice)));
        all
    }

    fn random(dice: &mut Dice) -> Self {
        // Without most of them, some pod is always in the way, and nothing is told about the others.
        Self {
            ignore_daemonsets: dice.percent(75),
            delete_emptydir_data: dice.percent(75),
            force: dice.percent(75),
            skip_long: dice.percent(50),
            selector: dice.one_of(SELECTORS),
        }
    }

    /// As kubectl takes them.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--ignore-daemonsets={}", self.ignore_daemonsets),
            format!("--delete-emptydir-data={}", self.delete_emptydir_data),
            format!("--force={}", self.force),
            format!("--skip-wait-for-delete-timeout={}", self.skip_seconds()),
            format!("--pod-selector={}", self.selector.text),
        ]
    }

    /// As the runbook takes them.
    pub fn params(&self) -> Vec<String> {
        vec![
            format!("ignore_daemonsets={}", self.ignore_daemonsets),
            format!("delete_emptydir_data={}", self.delete_emptydir_data),
            format!("force={}", self.force),
            format!("skip_terminating_longer_than={}s", self.skip_seconds()),
            format!("selector={}", self.selector.text),
        ]
    }

    fn skip_seconds(&self) -> u64 {
        if self.skip_long { LONG } else { 0 }
    }
}

/// What is said about the pods of a node: who goes, or, where any is in the way, who is and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub goes: BTreeSet<String>,
    pub blocks: BTreeSet<(String, Reason)>,
}

impl Said {
    /// What is to be said, by the names of the pods.
    pub fn expected<'p>(pods: impl Iterator<Item = &'p RandomPod>, options: &Options) -> Self {
        let mut said = Self::default();
        for pod in pods.filter(|pod| (options.selector.selects)(pod)) {
            match pod.expected(options) {
                Verdict::Goes => {
                    said.goes.insert(pod.name.clone());
                }
                Verdict::Stays => {}
                Verdict::Blocks(reason) => {
                    said.blocks.insert((pod.name.clone(), reason));
                }
            }
        }
        if !said.blocks.is_empty() {
            said.goes.clear();
        }
        said
    }
}
