//! What draining would do, for people.

use super::budget::{Budget, Held, Simulated, simulate};
use super::filter::{Daemons, InTheWay, Judged, Loss, OnBlocked, Options, Stays};
use super::pod::Pod;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Up to so many pods are shown one by one, more of them by their controllers.
const ONE_BY_ONE: usize = 20;
/// So many names are shown of a controller's pods.
const NAMES: usize = 3;

/// Who goes, who stays, and who is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// In the order in which they are evicted.
    pub goes: Vec<(Pod, Vec<Loss>)>,
    pub stays: Vec<(Pod, Stays)>,
    pub in_the_way: Vec<(Pod, Vec<InTheWay>)>,
    pub simulated: Simulated,
}

impl Preview {
    pub fn of(
        mut pods: Vec<Pod>,
        options: &Options,
        (daemons, budgets): (&Daemons, &[Budget]),
        now: Timestamp,
    ) -> Self {
        pods.sort_by_cached_key(|pod| options.rank(pod));
        let mut preview = Self::default();
        for pod in pods {
            match options.judge(&pod, daemons, now) {
                Judged::Goes(losses) => preview.goes.push((pod, losses)),
                Judged::Stays(why) => preview.stays.push((pod, why)),
                Judged::InTheWay(why) => preview.in_the_way.push((pod, why)),
            }
        }
        let going: Vec<&Pod> = preview.to_evict().collect();
        // What is forced waits for nobody.
        let ranks = options.by_priority && options.on_blocked != OnBlocked::Force;
        preview.simulated = simulate(&going, budgets, ranks);
        preview
    }

    /// Those that go, and are not being deleted already.
    pub fn to_evict(&self) -> impl Iterator<Item = &Pod> {
        let goes = self.goes.iter().map(|(pod, _)| pod);
        goes.filter(|pod| !pod.is_going())
    }

    /// Those that are being deleted for longer than is waited for.
    pub fn long_gone(&self) -> impl Iterator<Item = &Pod> {
        let long = self.stays.iter().filter(|(_, why)| *why == Stays::LongGone);
        long.map(|(pod, _)| pod)
    }

    /// Every pod that is in the way, with all reasons.
    pub fn objections(&self) -> String {
        let each = self.in_the_way.iter().map(|(pod, why)| {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            format!("{}: {}", pod.name(), why.join("; "))
        });
        each.collect::<Vec<_>>().join("\n")
    }

    /// The parameters that would allow it.
    pub fn would_allow(&self) -> Vec<&'static str> {
        let all = self.in_the_way.iter().flat_map(|(_, why)| why);
        let mut names: Vec<&str> = all.map(|why| why.parameter()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Options {
    /// Where a pod stands in the order: the least important first, if that is wanted.
    pub fn rank(&self, pod: &Pod) -> (i64, String) {
        let priority = if self.by_priority { pod.priority } else { 0 };
        (priority, pod.name())
    }
}

/// Which pods go and which stay, line by line. `newcomers`: it need not be just these, so that of many, not each is named.
pub fn lines_of(preview: &Preview, newcomers: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let goes = preview.goes.iter().map(|(pod, losses)| {
        let mut said: Vec<String> = losses.iter().map(ToString::to_string).collect();
        if pod.is_going() {
            said.insert(0, "being deleted already: it is waited for".to_owned());
        }
        (pod, said.join("; "))
    });
    let names = if newcomers { NAMES } else { usize::MAX };
    section(&mut lines, ("-", "goes", "go"), goes.collect(), names);
    let stays = preview
        .stays
        .iter()
        .map(|(pod, why)| (pod, why.to_string()));
    section(&mut lines, (" ", "stays", "stay"), stays.collect(), NAMES);
    lines
}

/// Up to `most` names are shown of a controller's pods.
fn section(
    lines: &mut Vec<String>,
    (mark, one, many): (&str, &str, &str),
    pods: Vec<(&Pod, String)>,
    most: usize,
) {
    match pods.len() {
        0 => return,
        1 => lines.push(format!("1 pod {one}:")),
        n => lines.push(format!("{n} pods {many}:")),
    }
    let because = |why: &str| match why {
        "" => String::new(),
        why => format!(": {why}"),
    };
    if pods.len() <= ONE_BY_ONE {
        for (pod, why) in pods {
            let of = pod.controller_name();
            lines.push(format!("{mark} {} ({of}){}", pod.name(), because(&why)));
        }
        return;
    }
    let mut groups: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for (pod, why) in pods {
        let key = match &pod.controller {
            Some(_) => format!("of {}", pod.controller_name()),
            None => format!("without a controller, in {}", pod.namespace()),
        };
        groups.entry((key, why)).or_default().push(&pod.object.name);
    }
    for ((of, why), names) in groups {
        let shown = names.iter().take(most).copied().collect::<Vec<_>>();
        let more = match names.len().saturating_sub(most) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        lines.push(format!(
            "{mark} {} {of}: {}{more}{}",
            names.len(),
            shown.join(", "),
            because(&why)
        ));
    }
}

/// What becomes of the evictions under their budgets; `force`: what they hold is deleted.
pub fn sentence(preview: &Preview, force: bool) -> Vec<String> {
    let Simulated {
        at_once,
        held,
        several,
        behind,
    } = &preview.simulated;
    let mut said = Vec::new();
    if held.is_empty() && several.is_empty() {
        return said;
    }
    let mut parts: Vec<String> = match at_once {
        0 => Vec::new(),
        1 => vec!["1 pod goes at once".to_owned()],
        n => vec![format!("{n} pods go at once")],
    };
    for held in held {
        let then = if parts.is_empty() { "" } else { "then " };
        parts.push(format!("{then}{}", words(held, force)));
    }
    match behind {
        0 => {}
        1 => parts.push("1 of higher priority waits until those are gone".to_owned()),
        n => parts.push(format!("{n} of higher priority wait until those are gone")),
    }
    if !parts.is_empty() {
        said.push(parts.join("; "));
    }
    for (pod, names) in several {
        let end = match force {
            true => "it is deleted, whatever they say",
            false => "it will not end by itself",
        };
        said.push(format!(
            "{pod} has {} PodDisruptionBudgets ({}), and the API server evicts no pod that has more than one: {end}",
            names.len(),
            names.join(", ")
        ));
    }
    said
}

fn words(held: &Held, force: bool) -> String {
    let budget = &held.budget;
    let allows = match (budget.stale, held.first) {
        (true, _) if held.never.is_none() => "which its controller has yet to look at".to_owned(),
        (_, 0) => format!(
            "which allows 0 now ({} of {} pods are healthy, {} must be)",
            budget.healthy, budget.expected, budget.desired
        ),
        (_, first) => format!("which allows {first} at a time"),
    };
    if force {
        let deleted = match held.pods.len() {
            1 => "1 is deleted".to_owned(),
            n => format!("{n} are deleted"),
        };
        let pods = held.pods.join(", ");
        return format!("{deleted}, whatever {budget} says, {allows}: {pods}");
    }
    let wait = match held.pods.len() {
        1 => "1 waits".to_owned(),
        n => format!("{n} wait"),
    };
    let end = match &held.never {
        Some(never) => format!("it will not end by itself, as {never}"),
        None => "each goes on once the budget allows it".to_owned(),
    };
    format!("{wait} for {budget}, {allows}: {end}")
}

/// What is said at the end of pods that are left.
pub fn not_waited_for(pods: &[String]) -> String {
    format!(
        "being deleted still, and not waited for: {}",
        pods.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::budget::tests::budget;
    use super::super::pod::tests::pod;
    use super::*;
    use serde_json::json;

    fn preview(pods: Vec<Pod>, options: &Options, budgets: &[Budget]) -> Preview {
        let daemons = Daemons(["shop/there".to_owned()].into());
        Preview::of(pods, options, (&daemons, budgets), Timestamp::UNIX_EPOCH)
    }

    fn all() -> Options {
        Options {
            ignore_daemonsets: true,
            delete_emptydir_data: true,
            force: true,
            ..Options::default()
        }
    }

    fn some() -> Vec<Pod> {
        let daemon = json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "there", "uid": "d", "controller": true}]}});
        let mut pods = vec![
            pod(
                "lone",
                json!({"metadata": {"ownerReferences": []}, "spec": {"volumes": [{"name": "t", "emptyDir": {}}]}}),
            ),
            pod("daemon", daemon),
            pod(
                "ending",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            ),
        ];
        pods.extend(["b", "a"].map(|name| pod(name, json!({}))));
        pods
    }

    #[test]
    fn few_pods_are_shown_one_by_one() {
        let text = lines_of(&preview(some(), &all(), &[]), true).join("\n");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn many_are_shown_by_their_controllers() {
        let mut pods: Vec<Pod> = (0..30)
            .map(|n| pod(&format!("web-{n:02}"), json!({})))
            .collect();
        pods.extend(some());
        let preview = preview(pods, &all(), &[]);
        insta::assert_snapshot!(lines_of(&preview, true).join("\n"));
        // Where it is just these, each is named.
        let each = lines_of(&preview, false).join("\n");
        assert!(
            (0..30).all(|n| each.contains(&format!("web-{n:02}"))),
            "{each}"
        );
    }

    #[test]
    fn what_is_in_the_way_is_said_whole() {
        let preview = preview(some(), &Options::default(), &[]);
        insta::assert_snapshot!(preview.objections());
        assert_eq!(
            preview.would_allow(),
            ["delete_emptydir_data", "force", "ignore_daemonsets"]
        );
    }

    #[test]
    fn budgets_in_words() {
        let pods = |n: usize| -> Vec<Pod> {
            let web = (0..n).map(|n| pod(&format!("web-{n}"), json!({})));
            let other = pod("db", json!({"metadata": {"labels": {"app": "db"}}}));
            web.chain([other]).collect()
        };
        let said = |n: usize, budgets: &[Budget]| {
            sentence(&preview(pods(n), &all(), budgets), false).join("\n")
        };
        let forced = |n: usize, budgets: &[Budget]| {
            sentence(&preview(pods(n), &all(), budgets), true).join("\n")
        };
        assert_eq!(said(3, &[]), "");
        let mut stale = budget("web", 0, 2, 3);
        stale.stale = true;
        let both = [budget("one", 1, 1, 2), budget("two", 1, 1, 2)];
        let options = Options {
            by_priority: true,
            ..all()
        };
        let last = pod("last", json!({"spec": {"priority": 9}}));
        let pods_by_rank = pods(1).into_iter().chain([last]).collect();
        let ranked = preview(pods_by_rank, &options, &[budget("web", 0, 2, 2)]);
        insta::assert_snapshot!(
            [
                said(2, &[budget("web", 0, 2, 2)]),
                said(3, &[budget("web", 1, 2, 3)]),
                said(2, &[budget("web", 1, 2, 3)]),
                said(2, &[stale]),
                said(1, &both),
                forced(2, &[budget("web", 0, 2, 2)]),
                forced(1, &both),
                sentence(&ranked, false).join("\n"),
            ]
            .join("\n\n")
        );
    }

    #[test]
    fn the_least_important_go_first_where_that_is_wanted() {
        let of = |name: &str, priority: i64| -> Pod {
            pod(name, json!({"spec": {"priority": priority}}))
        };
        let order = |by_priority: bool| -> Vec<String> {
            let options = Options {
                by_priority,
                ..all()
            };
            let preview = preview(vec![of("a", 9), of("c", -1), of("b", 0)], &options, &[]);
            preview
                .to_evict()
                .map(|pod| pod.object.name.clone())
                .collect()
        };
        assert_eq!(order(true), ["c", "b", "a"]);
        assert_eq!(order(false), ["a", "b", "c"]);
    }
}
