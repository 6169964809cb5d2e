//! What is seen of the pods: who is there, who came, and who is gone.

use super::entry::Entry;
use super::{Draining, Moment};
use crate::drain::{Judged, Pod, PodUid, Stays};
use crate::fault::Fault;
use crate::journal::Outcome;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// So many times as many pods may come onto a node as it had of the same controller.
pub(super) const COMING_BACK: usize = 3;

/// What is to become of a pod.
enum Whether {
    /// With what is lost.
    Goes(Vec<String>),
    Stays,
    /// It is being deleted for longer than is waited for.
    Left,
    InTheWay(String),
}

impl Draining {
    /// All pods that there are.
    pub fn listed(&mut self, now: Moment, pods: Vec<Pod>) {
        self.alive();
        let there: BTreeMap<PodUid, bool> = pods
            .iter()
            .map(|pod| (pod.uid().to_owned(), pod.is_going()))
            .collect();
        for pod in pods {
            self.is(now, pod);
        }
        let gone: Vec<PodUid> = self
            .pods
            .keys()
            .filter(|uid| !there.contains_key(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.gone(&uid);
        }
        self.objections.retain(|uid, _| there.contains_key(uid));
        if self.listed {
            return;
        }
        self.listed = true;
        for (uid, record) in std::mem::take(&mut self.open) {
            if there.get(&uid) == Some(&false) {
                let what = format!(
                    "{} is still there, and is not to go now",
                    record.effect.subject()
                );
                let fault = Fault::definite("not_begun", what);
                self.outcome(record.id, Outcome::NotDone { fault });
                continue;
            }
            // It went, or goes, since nobody looked.
            self.outcome(record.id.clone(), Outcome::Done);
            self.made.push(record.id);
        }
        if !self.objections.is_empty() {
            let what = self.objections();
            let fault = Fault::refused(
                "drift",
                format!(
                    "nothing is evicted from {}, as it is not as it was when this was planned: {what}",
                    self.of.place
                ),
            );
            self.fatal = Some(fault.next("make a new plan, and look what changed"));
        }
    }

    /// A pod came or changed.
    pub fn is(&mut self, now: Moment, pod: Pod) {
        self.alive();
        if let Some(entry) = self.pods.get_mut(pod.uid()) {
            let records = entry.seen(pod);
            self.note(records);
            return;
        }
        // Those that were being deleted already when it began are waited for, too.
        let waited_for = pod.is_going() && !self.listed;
        let only = self.of.only.as_ref();
        if only.is_some_and(|only| !only.contains(pod.uid()) && !waited_for) {
            return;
        }
        self.objections.remove(pod.uid());
        // Whoever made it meanwhile is there.
        if let Some(owner) = pod.controller.as_ref().filter(|_| self.listed)
            && owner.kind == "DaemonSet"
        {
            let daemon = format!("{}/{}", pod.namespace(), owner.name);
            self.of.daemons.0.insert(daemon);
        }
        let losses = match self.judge(&pod, now.at) {
            Whether::Goes(losses) => losses,
            Whether::Stays => return,
            Whether::Left => return self.admit(pod, Vec::new()),
            Whether::InTheWay(objection) => {
                self.objections.insert(pod.uid().to_owned(), objection);
                return;
            }
        };
        let finished = pod.finished();
        let owner = pod
            .controller
            .as_ref()
            .map_or("", |owner| owner.uid.as_str());
        let (first, later) = self.owners.entry(owner.to_owned()).or_default();
        if !self.listed {
            *first += 1;
        } else if !finished {
            // What kubelet turns away may come without end, and is in nobody's way.
            *later += 1;
            if !owner.is_empty() && *later > COMING_BACK * (*first).max(1) {
                let of = pod.controller_name();
                let fault = Fault::definite(
                    "comes_back",
                    format!(
                        "{of} puts pods onto {} again and again: {} is the latest",
                        self.of.place,
                        pod.name()
                    ),
                );
                let next =
                    "look whether it is cordoned still, and at their nodeName and tolerations";
                self.fatal.get_or_insert(fault.next(next));
            }
        }
        self.admit(pod, losses);
    }

    /// It is followed from now on.
    fn admit(&mut self, pod: Pod, losses: Vec<String>) {
        let uid = pod.uid().to_owned();
        let mut entry = Entry::new(pod, losses);
        if let Some(record) = self.open.remove(&uid) {
            let records = entry.recall(record);
            self.note(records);
        }
        self.pods.insert(uid, entry);
    }

    /// What is in the way, in words.
    pub(super) fn objections(&self) -> String {
        let all: Vec<&str> = self.objections.values().map(String::as_str).collect();
        all.join("; ")
    }

    fn judge(&self, pod: &Pod, at: Timestamp) -> Whether {
        match self.of.options.judge(pod, &self.of.daemons, at) {
            Judged::Stays(Stays::LongGone) => Whether::Left,
            Judged::Stays(_) => Whether::Stays,
            Judged::InTheWay(why) => {
                let why: Vec<String> = why.iter().map(ToString::to_string).collect();
                Whether::InTheWay(format!("{}: {}", pod.name(), why.join("; ")))
            }
            Judged::Goes(losses) => {
                let new = losses
                    .iter()
                    .find(|loss| !self.of.seen.contains(loss.as_str()));
                match new {
                    Some(loss) => Whether::InTheWay(format!("{}: {loss}", pod.name())),
                    None => Whether::Goes(losses.iter().map(|l| l.as_str().to_owned()).collect()),
                }
            }
        }
    }

    /// A pod is there no more.
    pub fn gone(&mut self, uid: &str) {
        self.alive();
        self.objections.remove(uid);
        if let Some(entry) = self.pods.get_mut(uid) {
            let records = entry.gone();
            self.note(records);
        }
    }
}
