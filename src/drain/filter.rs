//! Which pods go, which stay and which are in the way: kubectl's filters, in kubectl's order (kubectl v0.34,
//! pkg/drain/filters.go). Where kubectl keeps only the last message, all of them are kept here.

use super::label_selector::LabelSelector;
use super::pod::Pod;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How long pods are given to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grace {
    /// As long as each says itself.
    #[default]
    Own,
    Seconds(u64),
}

impl Grace {
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::Own => None,
            Self::Seconds(seconds) => Some(seconds),
        }
    }
}

/// What becomes of a pod that a budget holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBlocked {
    /// It is waited for.
    #[default]
    Wait,
    /// Refused where the plan sees that a budget would hold one. Where that shows only later, the step fails once
    /// all the others have gone.
    Fail,
    /// It is deleted, whatever its budget says. The run is then confirmed like one of high risk.
    Force,
}

/// How a node is drained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub grace: Grace,
    pub ignore_daemonsets: bool,
    /// Pods of DaemonSets go like all others: that others come at once is what is wanted.
    pub of_daemonsets_too: bool,
    pub delete_emptydir_data: bool,
    pub force: bool,
    pub skip_terminating_longer_than: Option<Duration>,
    pub selector: LabelSelector,
    pub by_priority: bool,
    pub on_blocked: OnBlocked,
}

/// The DaemonSets that there are, as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Daemons(pub BTreeSet<String>);

/// Why a pod stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stays {
    /// The selector does not select it.
    NotSelected,
    /// It is being deleted for longer than is waited for.
    LongGone,
    /// Its DaemonSet would put another there at once.
    OfDaemonSet,
    /// kubelet runs it from a file of its host.
    OfKubelet,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSelected => "the selector does not select it",
            Self::LongGone => {
                "it is being deleted for longer than `skip_terminating_longer_than`, and is not waited for"
            }
            Self::OfDaemonSet => "its DaemonSet would put another there at once",
            Self::OfKubelet => "kubelet runs it from a file on its host",
        })
    }
}

/// Why nothing on the node is evicted, unless somebody allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InTheWay {
    OfDaemonSet,
    DaemonSetGone,
    EmptyDir,
    NoController,
}

impl InTheWay {
    /// The parameter that allows it.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::OfDaemonSet => "ignore_daemonsets",
            Self::DaemonSetGone | Self::NoController => "force",
            Self::EmptyDir => "delete_emptydir_data",
        }
    }
}

impl fmt::Display for InTheWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::OfDaemonSet => "it is of a DaemonSet, and would stay",
            Self::DaemonSetGone => "its DaemonSet is gone, and nothing puts another in its place",
            Self::EmptyDir => "what it has in emptyDir volumes is lost with it",
            Self::NoController => "no controller puts another in its place",
        };
        write!(f, "{why} (`{}: true` allows that)", self.parameter())
    }
}

/// What is lost with a pod that goes, which somebody allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    EmptyDir,
    NoController,
    DaemonSetGone,
}

impl Loss {
    /// Under which name plans and journals keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyDir => "emptydir_data",
            Self::NoController => "no_controller",
            Self::DaemonSetGone => "daemonset_gone",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyDir => "its emptyDir data is lost",
            Self::NoController => "no controller makes it again",
            Self::DaemonSetGone => "its DaemonSet is gone, so nothing makes it again",
        })
    }
}

/// What the filters say of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    Goes(Vec<Loss>),
    Stays(Stays),
    InTheWay(Vec<InTheWay>),
}

impl Options {
    pub fn judge(&self, pod: &Pod, daemons: &Daemons, now: Timestamp) -> Judged {
        if !self.selector.selects(&pod.labels) {
            return Judged::Stays(Stays::NotSelected);
        }
        if self.skips(pod, now) {
            return Judged::Stays(Stays::LongGone);
        }
        let mut in_the_way = Vec::new();
        let mut losses = Vec::new();
        let judged = !self.of_daemonsets_too;
        let daemon = pod
            .controller
            .as_ref()
            .filter(|owner| owner.kind == "DaemonSet" && owner.api_version == "apps/v1")
            .filter(|_| judged);
        if let Some(owner) = daemon.filter(|_| !pod.finished()) {
            let there = daemons
                .0
                .contains(&format!("{}/{}", pod.namespace(), owner.name));
            match (there, self.force, self.ignore_daemonsets) {
                (true, _, true) => return Judged::Stays(Stays::OfDaemonSet),
                (true, _, false) => in_the_way.push(InTheWay::OfDaemonSet),
                (false, true, _) => losses.push(Loss::DaemonSetGone),
                (false, false, _) => in_the_way.push(InTheWay::DaemonSetGone),
            }
        }
        // Whatever else is said of it: it stays.
        if pod.mirror && in_the_way.is_empty() {
            return Judged::Stays(Stays::OfKubelet);
        }
        // One that stays in any case loses nothing.
        let would_go = !in_the_way.contains(&InTheWay::OfDaemonSet) && !pod.mirror;
        if would_go && !pod.empty_dirs.is_empty() && !pod.finished() {
            match self.delete_emptydir_data {
                true => losses.push(Loss::EmptyDir),
                false => in_the_way.push(InTheWay::EmptyDir),
            }
        }
        if would_go && pod.controller.is_none() && !pod.finished() {
            match self.force {
                true => losses.push(Loss::NoController),
                false => in_the_way.push(InTheWay::NoController),
            }
        }
        match in_the_way.is_empty() {
            true => Judged::Goes(losses),
            false => Judged::InTheWay(in_the_way),
        }
    }

    /// Whether it is being deleted for longer than is waited for.
    pub fn skips(&self, pod: &Pod, now: Timestamp) -> bool {
        match (self.skip_terminating_longer_than, pod.ends) {
            (Some(longest), Some(ends)) => {
                let longer = Duration::try_from(now.duration_since(ends)).unwrap_or_default();
                longer.as_secs() > longest.as_secs()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::tests::pod;
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn judge(options: &Options, more: Value) -> Judged {
        let daemons = Daemons(["shop/there".to_owned()].into());
        options.judge(&pod("a", more), &daemons, at("2026-01-01T00:10:00Z"))
    }

    fn daemon(name: &str) -> Value {
        json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": name, "uid": "d", "controller": true}]}})
    }

    fn finished(mut pod: Value, phase: &str) -> Value {
        pod["status"] = json!({"phase": phase});
        pod
    }

    fn all() -> Options {
        Options {
            ignore_daemonsets: true,
            delete_emptydir_data: true,
            force: true,
            ..Options::default()
        }
    }

    #[test]
    fn a_pod_of_a_controller_goes() {
        assert_eq!(judge(&Options::default(), json!({})), Judged::Goes(vec![]));
        assert_eq!(judge(&all(), json!({})), Judged::Goes(vec![]));
    }

    #[test]
    fn those_that_the_selector_does_not_select_stay() {
        let options = |text: &str| Options {
            selector: text.parse().unwrap(),
            ..Options::default()
        };
        assert_eq!(judge(&options("app=web"), json!({})), Judged::Goes(vec![]));
        let other = judge(&options("app=db"), json!({}));
        assert_eq!(other, Judged::Stays(Stays::NotSelected));
    }

    #[test]
    fn those_that_are_being_deleted_for_too_long_are_skipped() {
        let options = |seconds: u64| Options {
            skip_terminating_longer_than: Some(Duration::from_secs(seconds)),
            ..Options::default()
        };
        let ending = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:09:00Z"}});
        let skipped = Judged::Stays(Stays::LongGone);
        assert_eq!(judge(&options(59), ending()), skipped);
        // kubectl compares whole seconds, and means more than that many.
        assert_eq!(judge(&options(60), ending()), Judged::Goes(vec![]));
        assert_eq!(judge(&Options::default(), ending()), Judged::Goes(vec![]));
        assert_eq!(judge(&options(1), json!({})), Judged::Goes(vec![]));
        let later = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:11:00Z"}});
        assert_eq!(judge(&options(1), later), Judged::Goes(vec![]));
    }

    #[test]
    fn pods_of_daemonsets() {
        let ignoring = Options {
            ignore_daemonsets: true,
            ..Options::default()
        };
        let forced = Options {
            force: true,
            ..Options::default()
        };
        let there = daemon("there");
        let gone = daemon("gone");
        let way = |why| Judged::InTheWay(vec![why]);
        assert_eq!(
            judge(&Options::default(), there.clone()),
            way(InTheWay::OfDaemonSet)
        );
        assert_eq!(judge(&forced, there.clone()), way(InTheWay::OfDaemonSet));
        assert_eq!(
            judge(&ignoring, there.clone()),
            Judged::Stays(Stays::OfDaemonSet)
        );
        assert_eq!(judge(&ignoring, gone.clone()), way(InTheWay::DaemonSetGone));
        assert_eq!(
            judge(&forced, gone.clone()),
            Judged::Goes(vec![Loss::DaemonSetGone])
        );
        for phase in ["Succeeded", "Failed"] {
            for pod in [&there, &gone] {
                let judged = judge(&Options::default(), finished(pod.clone(), phase));
                assert_eq!(judged, Judged::Goes(vec![]));
            }
        }
        // Only apps/v1 is asked about.
        let mut old = daemon("there");
        old["metadata"]["ownerReferences"][0]["apiVersion"] = json!("extensions/v1beta1");
        assert_eq!(judge(&Options::default(), old), Judged::Goes(vec![]));
    }

    #[test]
    fn mirror_pods_stay() {
        let mirror = json!({"metadata": {"ownerReferences": [], "annotations": {"kubernetes.io/config.mirror": "h"}},
            "spec": {"volumes": [{"name": "t", "emptyDir": {}}]}});
        for options in [Options::default(), all()] {
            let judged = judge(&options, mirror.clone());
            assert_eq!(judged, Judged::Stays(Stays::OfKubelet));
        }
    }

    #[test]
    fn local_data_is_in_the_way_until_it_may_go() {
        let local = json!({"spec": {"volumes": [{"name": "t", "emptyDir": {}}]}});
        let may = Options {
            delete_emptydir_data: true,
            ..Options::default()
        };
        assert_eq!(
            judge(&Options::default(), local.clone()),
            Judged::InTheWay(vec![InTheWay::EmptyDir])
        );
        assert_eq!(
            judge(&may, local.clone()),
            Judged::Goes(vec![Loss::EmptyDir])
        );
        for phase in ["Succeeded", "Failed"] {
            let judged = judge(&Options::default(), finished(local.clone(), phase));
            assert_eq!(judged, Judged::Goes(vec![]));
        }
    }

    #[test]
    fn pods_without_a_controller_are_in_the_way_until_it_is_forced() {
        let alone = json!({"metadata": {"ownerReferences": []}});
        let forced = Options {
            force: true,
            ..Options::default()
        };
        assert_eq!(
            judge(&Options::default(), alone.clone()),
            Judged::InTheWay(vec![InTheWay::NoController])
        );
        assert_eq!(
            judge(&forced, alone.clone()),
            Judged::Goes(vec![Loss::NoController])
        );
        for phase in ["Succeeded", "Failed"] {
            let judged = judge(&Options::default(), finished(alone.clone(), phase));
            assert_eq!(judged, Judged::Goes(vec![]));
        }
    }

    #[test]
    fn all_reasons_are_said_at_once_each_with_what_allows_it() {
        let worst = json!({"metadata": {"ownerReferences": []}, "spec": {"volumes": [{"name": "t", "emptyDir": {}}]}});
        let Judged::InTheWay(why) = judge(&Options::default(), worst.clone()) else {
            panic!()
        };
        let text: Vec<String> = why.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        what it has in emptyDir volumes is lost with it (`delete_emptydir_data: true` allows that)
        no controller puts another in its place (`force: true` allows that)
        ");
        assert_eq!(
            judge(&all(), worst),
            Judged::Goes(vec![Loss::EmptyDir, Loss::NoController])
        );
    }
}
