//! What a process leaves behind that is killed, and who ends it.

use super::Case;
use super::client::{Client, block, login, run, same};
use super::machine::{Machine, until};
use super::place::{Place, text};
use runbook::inventory::Destination;
use runbook::model::Identity;
use runbook::transport::{Hosts, SshOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const CASES: &[Case] = &[
    Case {
        name: "a_crash_leaves_no_connection_behind",
        run: a_crash_leaves_no_connection_behind,
    },
    Case {
        name: "what_is_in_use_is_not_swept",
        run: what_is_in_use_is_not_swept,
    },
];

/// Set for a process that connects and is killed then: where to, with which configuration.
const CRASHES: &str = "RUNBOOK_HOSTS_CRASHES";

/// Whether this process is to crash. Then it does not come back.
pub fn crash_if_asked() -> Result<(), String> {
    let Ok(asked) = std::env::var(CRASHES) else {
        return Ok(());
    };
    let (config, address) = asked.split_once(' ').ok_or("no configuration")?;
    let hosts = Hosts::new(SshOptions {
        config: Some(PathBuf::from(config)),
        ..SshOptions::default()
    });
    let at = Destination {
        name: address.to_owned(),
        address: address.to_owned(),
        user: Some("root".to_owned()),
        port: None,
    };
    block(async {
        run(&hosts, &at, Identity::Login, "true")
            .await
            .map_err(text)?;
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).map_err(text)
    })
}

/// The folders of sockets that there are.
fn folders() -> Vec<PathBuf> {
    let base = std::env::temp_dir().join("runbook-ssh.0");
    let found = std::fs::read_dir(base).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).collect()
}

/// Lets a process connect to a machine and be killed, with its sockets below a folder.
fn crash(sockets: &Path, client: &Client, machine: &Machine) -> Result<(), String> {
    let asked = format!("{} {}", client.config().display(), machine.name);
    let ended = Command::new(std::env::current_exe().map_err(text)?)
        .env(CRASHES, asked)
        .env("TMPDIR", sockets)
        .stdin(Stdio::null())
        .status()
        .map_err(text)?;
    same("how it was ended", ended.signal(), Some(9))?;
    same("the masters that it left", client.masters().len(), 1)
}

fn a_crash_leaves_no_connection_behind(place: &Place) -> Result<(), String> {
    let machines = [Machine::start(place)?, Machine::start(place)?];
    let clients = [Client::of(&[&machines[0]])?, Client::of(&[&machines[1]])?];
    // Of its own, so that no other test sweeps it.
    let sockets = tempfile::tempdir().map_err(text)?;
    let base = sockets.path().join("runbook-ssh.0");
    crash(sockets.path(), &clients[0], &machines[0])?;
    same("the folders that it left", count(&base), 1)?;
    // The next one of that user sweeps.
    crash(sockets.path(), &clients[1], &machines[1])?;
    same("the folders that are left", count(&base), 1)?;
    block(async {
        until("its master is gone", || {
            let left = clients[0].masters();
            Ok((!left.is_empty()).then(|| format!("{left:?}")))
        })
        .await?;
        machines[0].comes_to_rest().await
    })
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn what_is_in_use_is_not_swept(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let root = login(&machine, "root");
        let all: Vec<Hosts> = (0..6).map(|_| client.hosts()).collect();
        for _ in 0..2 {
            let runs = all
                .iter()
                .map(|hosts| run(hosts, &root, Identity::Login, "true"));
            for ran in futures::future::join_all(runs).await {
                ran.map_err(text)?;
            }
        }
        same("the count of execs", machine.sessions(), all.len())?;
        let before = folders().len();
        same("whether they have folders", before >= all.len(), true)?;
        for hosts in all {
            hosts.close().await;
        }
        machine.comes_to_rest().await?;
        until("no master is left", || {
            let left = client.masters();
            Ok((!left.is_empty()).then(|| format!("{left:?}")))
        })
        .await
    })
}
