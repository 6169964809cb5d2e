//! Draining, where the API server or the way to it gives trouble: between the program and a real API
//! server there is a proxy that disturbs what a test chooses. And which pods go: compared with kubectl,
//! over pods of all kinds. A control plane is enough; its nodes have no machines.

// A test: what is not there fails it, and the message names the place.
#![allow(clippy::indexing_slicing)]

mod answers;
mod api;
mod behind;
mod blocked;
mod delete_pods;
mod dice;
mod differential;
mod evictions;
mod faithful;
mod following;
mod journal;
mod kubectl;
mod ours;
mod pods;
// The other suite needs more of it.
#[allow(dead_code)]
#[path = "../in_lab/program.rs"]
mod program;
mod proxy;
mod random;
mod request;
mod rule;
mod scene;
mod streams;

use lab::{Lab, Profile};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// One test.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&Lab) -> Result<(), String>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One stops the controllers.
    arguments.test_threads = Some(1);
    if arguments.list {
        let trials = cases().map(|case| Trial::test(case.name, || Ok(())));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    let lab = match lab() {
        Ok(lab) => Arc::new(lab),
        Err(e) => {
            eprintln!("the lab is not up: {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("chance: RUNBOOK_TEST_SEED={}", dice::seed());
    let trials = cases().map(|case| {
        let lab = lab.clone();
        Trial::test(case.name, move || (case.run)(&lab).map_err(Failed::from))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A control plane, with its controllers, which a test before may have stopped.
fn lab() -> lab::Result<Lab> {
    let lab = Lab::open_beside("control-plane")?;
    lab.up(Profile::ControlPlane)?;
    lab.start_controllers()?;
    Ok(lab)
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        faithful::CASES,
        evictions::CASES,
        blocked::CASES,
        following::CASES,
        journal::CASES,
        delete_pods::CASES,
        differential::CASES,
    ]
    .into_iter()
    .flatten()
}
