//! How the tests use hosts.

use super::machine::{Machine, processes};
use super::place::{path, text};
use runbook::fault::Fault;
use runbook::inventory::Destination;
use runbook::model::{HostRef, Identity, Method, Program, Ran};
use runbook::transport::{Hosts, SshOptions};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Seconds that a program may take where its time is not what is tested.
pub const LIMIT: u64 = 20;

/// A client configuration for some machines, in a folder of its own.
pub struct Client {
    folder: tempfile::TempDir,
}

impl Client {
    /// Knows these machines, and their keys.
    pub fn of(machines: &[&Machine]) -> Result<Self, String> {
        let client = Self {
            folder: tempfile::tempdir().map_err(text)?,
        };
        let known: Result<String, String> = machines.iter().map(|m| m.known()).collect();
        client.knows(&known?)?;
        client.configure(machines, "")?;
        Ok(client)
    }

    /// Its configuration, with `more` before all else.
    pub fn configure(&self, machines: &[&Machine], more: &str) -> Result<(), String> {
        let mut config = format!("{more}\n");
        for machine in machines {
            config += &format!("Host {}\n  HostName {}\n", machine.name, machine.address);
        }
        config += &format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n",
            path("keys/client").display(),
            self.known_hosts().display(),
        );
        fs::write(self.config(), config).map_err(text)
    }

    pub fn knows(&self, keys: &str) -> Result<(), String> {
        fs::write(self.known_hosts(), keys).map_err(text)
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn options(&self) -> SshOptions {
        SshOptions {
            config: Some(self.config()),
            ..SshOptions::default()
        }
    }

    /// Kills its masters, as a crash or a network that is gone would.
    pub fn kill_masters(&self) -> Result<(), String> {
        self.signal_masters(Signal::KILL)
    }

    pub fn signal_masters(&self, signal: Signal) -> Result<(), String> {
        let masters = self.masters();
        for master in &masters {
            let id = i32::try_from(*master).map_err(text)?;
            let id = Pid::from_raw(id).ok_or("no process has the number 0")?;
            kill_process(id, signal).map_err(text)?;
        }
        match masters.is_empty() {
            true => Err("it has no masters".to_owned()),
            false => Ok(()),
        }
    }

    /// The processes of ssh that use its configuration.
    pub fn masters(&self) -> Vec<u32> {
        let config = self.config().to_string_lossy().into_owned();
        processes()
            .into_iter()
            .filter(|p| p.command.starts_with("ssh ") && p.command.contains(&config))
            .map(|p| p.id)
            .collect()
    }

    pub fn hosts(&self) -> Hosts {
        Hosts::new(self.options())
    }
}

/// A machine as `user` logs in there.
pub fn login(machine: &Machine, user: &str) -> Destination {
    Destination {
        name: machine.name.clone(),
        address: machine.name.clone(),
        user: Some(user.to_owned()),
        port: None,
    }
}

pub fn host_as(identity: Identity) -> HostRef {
    HostRef {
        node: "a node".to_owned(),
        machine_id: String::new(),
        identity,
    }
}

pub fn su_to(user: &str) -> Identity {
    Identity::Become {
        user: user.to_owned(),
        method: Method::Su,
    }
}

pub fn sudo_to(user: &str) -> Identity {
    Identity::Become {
        user: user.to_owned(),
        method: Method::Sudo,
    }
}

pub fn script(text: &str, args: &[&str]) -> Program {
    Program {
        script: Some(text.to_owned()),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
        secrets: Default::default(),
    }
}

/// Runs a script there as `identity`, and gives what it printed.
pub async fn run(
    hosts: &Hosts,
    at: &Destination,
    identity: Identity,
    text: &str,
) -> Result<Ran, Fault> {
    let program = script(text, &[]);
    hosts
        .read_program(at, &host_as(identity), &program, LIMIT)
        .await
}

/// Password prompts block a thread, as the product's do: there must be another.
pub fn block<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(text)?
        .block_on(future)
}

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, wanted: T) -> Result<(), String> {
    match is == wanted {
        true => Ok(()),
        false => Err(format!("{what} is {is:?} and not {wanted:?}")),
    }
}

/// Holds that something was refused, with this code.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Fault>, code: &str) -> Result<Fault, String> {
    match result {
        Err(fault) if fault.code == code => Ok(fault),
        other => Err(format!("instead of {code} there was {other:?}")),
    }
}
