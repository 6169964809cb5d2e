//! A journal that cannot be written any more, in the middle of a drain.

use crate::Case;
use crate::program::{Ran, expect};
use crate::rule::{Rule, Then, What};
use crate::scene::Scene;
use lab::Lab;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
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
    let mut child = scene
        .program
        .command_of("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_runbook")])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut stderr = String::new();
    let mut limited = false;
    for line in BufReader::new(child.stderr.take().ok_or("no pipe")?).lines() {
        stderr.push_str(&line.map_err(|e| e.to_string())?);
        stderr.push('\n');
        if !limited && stderr.contains(words) {
            limited = true;
            let none = Rlimit {
                current: Some(1),
                maximum: Some(1),
            };
            prlimit(pid, Resource::Fsize, none).map_err(|e| format!("prlimit: {e}"))?;
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    expect(
        &format!("whether it said `{words}`:\n{stderr}"),
        &limited,
        &true,
    )?;
    Ok(Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr,
    })
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
