//! Tests of the program in the lab: real machines, a real cluster, Calico's own parts. One after
//! another, in an order that is shuffled anew each time; what a test dirties it says, and it is
//! cleaned before the next. Nothing is skipped: without a lab, this fails.

// A test: what is not there fails it, and the message names the place.
#![allow(clippy::indexing_slicing)]

mod bgp_path;
mod bgp_wrong_ip;
mod calicoctl;
mod claims;
mod cluster_down;
mod connection;
mod conntrack;
mod cut;
mod drain;
mod examples;
mod five;
mod kube_kinds;
mod language;
mod mesh;
mod network_manager;
mod program;
mod programs;
mod promises;
#[path = "../pty/mod.rs"]
mod pty;
mod refusals;
mod rights;
mod settings;
mod signals;
mod surroundings;
mod swapoff;
mod sweep;
mod switch;
mod tries;

use lab::datastore::Datastore;
use lab::{Lab, Profile};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tries::Tries;

/// What a test leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dirties {
    Nothing,
    /// A fault of the mesh, and what heals it: links, annotations, the DaemonSet, calico-node's pods.
    Mesh,
}

/// Which run a test belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// The main paths.
    Quick,
    /// Matrices over variants; with `RUNBOOK_TEST_FULL=1`.
    Full,
}

/// One test.
pub struct Case {
    pub name: &'static str,
    pub suite: Suite,
    pub dirties: Dirties,
    pub run: fn(&Lab) -> Result<(), String>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One lab, one test at a time.
    arguments.test_threads = Some(1);
    if arguments.list {
        let trials = cases()
            .iter()
            .map(|c| Trial::test(c.name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let lab = match Lab::open().and_then(|lab| lab.up(Profile::Full).map(|()| lab)) {
        Ok(lab) => Arc::new(lab),
        Err(e) => {
            eprintln!("the lab is not up: {e}");
            return ExitCode::FAILURE;
        }
    };
    let full = std::env::var("RUNBOOK_TEST_FULL").is_ok_and(|v| v == "1");
    let (mut chosen, left): (Vec<Case>, Vec<Case>) = cases()
        .into_iter()
        .partition(|case| full || case.suite == Suite::Quick);
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|case| case.name).collect();
        println!("left out without --full: {}", names.join(", "));
    }
    let seed = seed();
    println!("order: RUNBOOK_TEST_SEED={seed}");
    shuffle(&mut chosen, seed);
    let dirt = Arc::new(Mutex::new(Dirties::Mesh));
    let took = Arc::new(Mutex::new(Vec::new()));
    let tries = Arc::new(Tries::new());
    let trials = chosen
        .into_iter()
        .map(|case| {
            let (lab, dirt, took) = (lab.clone(), dirt.clone(), took.clone());
            let tries = tries.clone();
            Trial::test(case.name, move || {
                let begun = Instant::now();
                let outcome = tries.run(case.name, || run(&lab, &dirt, &case));
                if let Ok(mut took) = took.lock() {
                    took.push((begun.elapsed().as_secs(), case.name));
                }
                outcome.map_err(Failed::from)
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // By these, a test is Quick or Full.
    if let Ok(mut took) = took.lock() {
        took.sort_unstable_by(|a, b| b.cmp(a));
        println!("seconds that each test took, with the cleaning before it:");
        for (seconds, name) in took.iter() {
            println!("{seconds:>6}  {name}");
        }
    }
    tries.tell();
    if let Err(e) = lab.heal() {
        eprintln!("the lab could not be healed after the tests: {e}");
    }
    conclusion.exit_code()
}

fn cases() -> Vec<Case> {
    [
        bgp_path::CASES,
        bgp_wrong_ip::CASES,
        calicoctl::CASES,
        claims::CASES,
        cluster_down::CASES,
        connection::CASES,
        conntrack::CASES,
        cut::CASES,
        drain::CASES,
        examples::CASES,
        kube_kinds::CASES,
        language::CASES,
        mesh::CASES,
        network_manager::CASES,
        programs::CASES,
        promises::CASES,
        refusals::CASES,
        rights::CASES,
        signals::CASES,
        swapoff::CASES,
        sweep::CASES,
        switch::CASES,
    ]
    .into_iter()
    .flatten()
    .map(|case| Case { ..*case })
    .collect()
}

/// Cleans what the test before left, runs this one, and holds that a clean test was one.
fn run(lab: &Lab, dirt: &Mutex<Dirties>, case: &Case) -> Result<(), String> {
    let mut dirt = dirt.lock().map_err(|e| e.to_string())?;
    if *dirt != Dirties::Nothing {
        lab.heal()
            .map_err(|e| format!("cleaning before the test: {e}"))?;
        // Each test finds the datastore that is the usual one.
        lab.switch_datastore(Datastore::Kubernetes)
            .map_err(|e| format!("switching the datastore back: {e}"))?;
        five::clear(lab)?;
        claims::clear(lab)?;
    }
    // Until the test has ended well, the worst is assumed.
    *dirt = Dirties::Mesh;
    let before = match case.dirties {
        Dirties::Nothing => Some(surroundings::Surroundings::of(lab)?),
        Dirties::Mesh => None,
    };
    (case.run)(lab)?;
    if let Some(before) = before {
        before.still_there(lab)?;
    }
    *dirt = case.dirties;
    Ok(())
}

fn seed() -> u64 {
    std::env::var("RUNBOOK_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |now| now.as_secs())
        })
}

/// Fisher and Yates with a small generator: the order need not be unpredictable, only varied and
/// repeatable.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bound = last as u64 + 1;
        items.swap(last, usize::try_from(state % bound).unwrap_or(0));
    }
}
