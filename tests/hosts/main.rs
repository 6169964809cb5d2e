//! Tests of the transport on hosts: real sshd daemons, each a machine of its own, in namespaces that
//! end with the tests. Nothing of the machine underneath is changed, and nothing is skipped: without
//! root or one of the programs, this fails.

// A test: what is not there fails it, and the message names the place.
#![allow(clippy::indexing_slicing)]

mod applying;
mod becoming;
mod bgp_path;
mod calico_node;
mod client;
mod connections;
mod facts;
mod files;
mod files_left_alone;
mod kinds;
mod large;
mod leftovers;
mod machine;
mod network_manager;
#[path = "../permit/mod.rs"]
mod permit;
mod place;
mod programs;
mod shells;
mod sysctls;
mod units;

use libtest_mimic::{Arguments, Failed, Trial};
use place::Place;
use std::process::ExitCode;
use std::sync::Arc;

/// One test.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&Place) -> Result<(), String>,
}

fn main() -> ExitCode {
    if let Err(why) = leftovers::crash_if_asked() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        let trials = cases()
            .map(|case| Trial::test(case.name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    if !place::is_inside() {
        let why = place::enter();
        eprintln!("the tests of hosts cannot begin: {why}");
        return ExitCode::FAILURE;
    }
    let place = match Place::make() {
        Ok(place) => Arc::new(place),
        Err(why) => {
            eprintln!("the place for the tests of hosts cannot be made: {why}");
            return ExitCode::FAILURE;
        }
    };
    let trials = cases()
        .map(|case| {
            let place = place.clone();
            Trial::test(case.name, move || (case.run)(&place).map_err(Failed::from))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        applying::CASES,
        becoming::CASES,
        bgp_path::CASES,
        calico_node::CASES,
        connections::CASES,
        facts::CASES,
        files::CASES,
        files_left_alone::CASES,
        kinds::CASES,
        large::CASES,
        leftovers::CASES,
        network_manager::CASES,
        programs::CASES,
        shells::CASES,
        sysctls::CASES,
        units::CASES,
    ]
    .into_iter()
    .flatten()
}
