//! Drains of a fake node with many pods, in one run: by this program, by `kubectl drain`, and by nothing but the
//! evictions themselves. Prints times and their ratios, and holds none of them to a number: they are this machine's.
//!
//! `cargo bench --features lab-tests --bench drain [-- quick] [WAY…]`, as root; `quick` leaves the large node out.

mod ways;

use lab::fake::{Budget, FakeNode, FakePods};
use lab::{Lab, Profile};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use ways::Way;

/// The node that is drained; the others take its pods.
const NODE: &str = "fake-1";
const NODES: usize = 4;
const PODS: &str = "bench";

/// What is drained, and how often.
struct Case {
    pods: usize,
    /// `maxUnavailable` of the pods' budget.
    budget: Option<&'static str>,
    rounds: usize,
    /// kubectl takes minutes for a thousand pods.
    rounds_of_kubectl: usize,
}

const CASES: &[Case] = &[
    case(100, None, 3, 2),
    case(100, Some("100%"), 3, 1),
    case(100, Some("10%"), 3, 1),
    case(1000, None, 3, 1),
    case(1000, Some("100%"), 1, 0),
    case(1000, Some("10%"), 1, 0),
];

const fn case(
    pods: usize,
    budget: Option<&'static str>,
    rounds: usize,
    rounds_of_kubectl: usize,
) -> Case {
    Case {
        pods,
        budget,
        rounds,
        rounds_of_kubectl,
    }
}

/// How long one drain took.
#[derive(Clone, Copy)]
struct Took {
    /// Until it said that it is done.
    drained: Duration,
    /// Until the pods that replace the evicted ones were all Ready elsewhere.
    ready: Duration,
}

fn main() -> ExitCode {
    // What cargo itself passes on.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match measure(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("drain: {e}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[String]) -> Result<(), String> {
    let is_quick = words.iter().any(|word| word == "quick");
    let mut chosen = Vec::new();
    for word in words.iter().filter(|word| *word != "quick") {
        let way = Way::ALL.into_iter().find(|way| way.name() == word);
        chosen.push(way.ok_or(format!("there is only quick, and {}", Way::names()))?);
    }
    if chosen.is_empty() {
        chosen = Way::ALL.to_vec();
    }
    let lab = Lab::open_beside("fake").map_err(text)?;
    let was_up = lab.need_up().is_ok();
    lab.up(Profile::Fake).map_err(text)?;
    let done = on_fresh_nodes(&lab, &chosen, is_quick);
    if was_up {
        lab.remove_fake_nodes().map_err(text)?;
    } else {
        lab.down().map_err(text)?;
    }
    done
}

fn on_fresh_nodes(lab: &Lab, chosen: &[Way], is_quick: bool) -> Result<(), String> {
    // What a run left that was cut short.
    lab.remove_fake_pods(&FakePods::new(PODS, NODE, 0))
        .map_err(text)?;
    lab.remove_fake_nodes().map_err(text)?;
    lab.make_fake_nodes(&FakeNode::numbered(NODES))
        .map_err(text)?;
    let bench = Bench {
        lab,
        state: tempfile::tempdir().map_err(text)?,
    };
    println!(
        "\n{:>5} {:<7} {:<8} {:>9} {:>9}   seconds until drained, and until all are Ready elsewhere",
        "pods", "budget", "way", "drained", "ready"
    );
    for case in CASES.iter().filter(|case| !is_quick || case.pods <= 100) {
        bench.case(case, chosen)?;
    }
    Ok(())
}

struct Bench<'l> {
    lab: &'l Lab,
    /// The journals of this program.
    state: tempfile::TempDir,
}

impl Bench<'_> {
    fn case(&self, case: &Case, chosen: &[Way]) -> Result<(), String> {
        let mut took: Vec<(Way, Vec<Took>)> = chosen.iter().map(|way| (*way, vec![])).collect();
        for round in 0..case.rounds {
            // Who is first in a round is another one in the next.
            took.rotate_left(1);
            for (way, of_way) in &mut took {
                if *way != Way::Kubectl || round < case.rounds_of_kubectl {
                    of_way.push(self.one(case, *way)?);
                }
            }
        }
        let budget = case.budget.unwrap_or("none");
        for way in Way::ALL {
            if let Some(medians) = medians(&took, way) {
                println!(
                    "{:>5} {budget:<7} {:<8} {:>9.2} {:>9.2}",
                    case.pods,
                    way.name(),
                    medians.drained.as_secs_f64(),
                    medians.ready.as_secs_f64(),
                );
            }
        }
        for (one, other) in [(Way::Runbook, Way::Bare), (Way::Kubectl, Way::Runbook)] {
            let both = medians(&took, one).zip(medians(&took, other));
            if let Some((one_took, other_took)) = both {
                println!(
                    "{:>5} {budget:<7} {} / {}: {:.2} drained, {:.2} ready",
                    case.pods,
                    one.name(),
                    other.name(),
                    one_took.drained.as_secs_f64() / other_took.drained.as_secs_f64(),
                    one_took.ready.as_secs_f64() / other_took.ready.as_secs_f64(),
                );
            }
        }
        Ok(())
    }

    /// Pods that are there and Ready, then a drain by one of the ways.
    fn one(&self, case: &Case, way: Way) -> Result<Took, String> {
        let pods = FakePods {
            budget: case.budget.map(Budget::MaxUnavailable),
            ..FakePods::new(PODS, NODE, case.pods)
        };
        self.lab.make_fake_pods(&pods).map_err(text)?;
        let begun = Instant::now();
        let drain = way.drain(self.lab, self.state.path(), &pods);
        let drained = begun.elapsed();
        drain
            .and_then(|()| ways::is_empty(self.lab, NODE))
            .map_err(|e| format!("{}: {e}", way.name()))?;
        let ready = ways::wait_until_ready(self.lab, &pods, begun)?;
        self.lab.remove_fake_pods(&pods).map_err(text)?;
        self.lab
            .kubectl_text(&["uncordon", NODE])
            .map_err(text)
            .map(drop)?;
        Ok(Took { drained, ready })
    }
}

fn medians(took: &[(Way, Vec<Took>)], way: Way) -> Option<Took> {
    let (_, of_way) = took.iter().find(|(other, _)| *other == way)?;
    let median = |of: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = of_way.iter().map(of).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    };
    Some(Took {
        drained: median(|took| took.drained)?,
        ready: median(|took| took.ready)?,
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
