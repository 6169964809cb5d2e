//! A journal that cannot be written any more, in the middle of a drain.

use crate::Case;
use crate::program::{Ran, Running, expect};
use crate::rule::{Rule, Then, What};
use crate::scene::Scene;
use lab::Lab;
use rustix::process::{Resource, Rlimit, prlimit};
use std::time::Duration;

pub const CASES: &[Case] = &[Case {
    name: "journal::that_fails_in_the_middle_does_not_forget_what_was_evicted",
    run: fails,
}];

/// More than the intents of one commit are for.
const PODS: usize = 100;

/// Runs it, and keeps it from writing to its files, as a disk that is full does, once it says this.
fn full_when_it_says(scene: &Scene<'_>, args: &[&str], words: &str) -> Result<Ran, String> {
    // It is told, and not killed, where it is over the limit.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut command = scene.program.command_of("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_runbook")])
        .args(args);
    let mut run = Running::of(&mut command)?;
    run.until_it_says(words)?;
    let none = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    prlimit(Some(run.pid()), Resource::Fsize, none).map_err(|e| format!("prlimit: {e}"))?;
    run.end()
}

fn fails(lab: &Lab) -> Result<(), String> {
    Scene::with(lab, "journal", |scene| {
        let names: Vec<String> = (0..PODS).map(|n| format!("p{n:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        scene.pods(&names)?;
        let late = Then::Late(Duration::from_secs(3));
        scene.proxy.rule(Rule::always(What::Evictions, late));
        let ran = scene.drain_with(|args| {
            full_when_it_says(scene, args, &format!("0 of {PODS} pods are gone"))
        })?;
        let ran = ran
            .exits(6)?
            .says(&["made or begun", "not taken back", "[journal_"])?;
        let nothing = ran.stderr.contains("Nothing was written");
        expect("whether it says that nothing was done", &nothing, &false)?;
        let run = scene.program.latest()?;
        let resumed = scene.program.run(&["resume", &run])?.exits(0)?;
        scene.left(&[])?;
        let all = format!("{PODS} pods evicted");
        scene.told(&resumed, &[&all])
    })
}
