//! The processes that the lab starts: recorded with their start time, so that no other process is ever ended.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::network::Network;

pub struct Processes<'a> {
    pub network: &'a Network,
    /// Where the records are.
    pub run: &'a Path,
    pub log: &'a Path,
}

impl Processes<'_> {
    /// Starts a program inside the namespace, in a session of its own: it outlives this program.
    pub fn start(
        &self,
        name: &str,
        program: &Path,
        args: &[String],
        stdin: Option<OwnedFd>,
    ) -> Result<()> {
        let log = self.log.join(format!("{name}.log"));
        let out = File::create(&log).map_err(Error::file("write", &log))?;
        let err = out.try_clone().map_err(Error::file("write", &log))?;
        let spawned = self.network.inside(|| {
            // It does not fork here, so the process id stays.
            Command::new("setsid")
                .arg(program)
                .args(args)
                .current_dir("/")
                .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
                .stdout(out)
                .stderr(err)
                .spawn()
        })?;
        let child = spawned.map_err(|source| Error::Start {
            program: program.display().to_string(),
            source,
        })?;
        let pid = child.id();
        let record = format!("{pid} {}\n", start_time(pid).unwrap_or_default());
        let path = self.record(name);
        fs::write(&path, record).map_err(Error::file("write", &path))
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.pid(name).is_some()
    }

    /// Ends one process and waits until it is gone.
    pub fn stop(&self, name: &str) -> Result<()> {
        if let Some(pid) = self.pid(name) {
            // A user-mode-linux machine is several processes; they share the session that it was started in.
            let mut left = vec![pid];
            for _ in 0..6000 {
                left.iter().copied().for_each(kill);
                // One that is ending leaves the namespace before it closes its tap: it counts until it is gone.
                left.extend(self.network.processes()?);
                left.sort_unstable();
                left.dedup();
                left.retain(|other| session(*other) == Some(pid));
                if left.is_empty() {
                    break;
                }
                sleep(Duration::from_millis(10));
            }
            if !left.is_empty() {
                return Err(Error::state(
                    format!("{name} (process {pid}) does not end"),
                    "see what holds it",
                ));
            }
        }
        match fs::remove_file(self.record(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &self.record(name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Ends whatever is inside the namespace: only the lab puts processes there.
    pub fn end_all(&self) -> Result<()> {
        for _ in 0..6000 {
            let mut left = self.network.processes()?;
            left.retain(|pid| *pid != std::process::id());
            if left.is_empty() {
                return Ok(());
            }
            left.into_iter().for_each(kill);
            sleep(Duration::from_millis(10));
        }
        Err(Error::state(
            "some processes in the lab's namespace do not end",
            "see `ip netns pids`",
        ))
    }

    /// Seconds since the process was started.
    pub fn age(&self, name: &str) -> Option<u64> {
        self.pid(name)?;
        let started = fs::metadata(self.record(name)).ok()?.modified().ok()?;
        started.elapsed().ok().map(|age| age.as_secs())
    }

    /// The recorded process, if it is still that one.
    fn pid(&self, name: &str) -> Option<u32> {
        let record = fs::read_to_string(self.record(name)).ok()?;
        let (pid, started) = record.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == started).then_some(pid)
    }

    fn record(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.pid"))
    }
}

fn kill(pid: u32) {
    // One that is already gone is what we want.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The start time of a living process in clock ticks; None for one that is gone or a zombie.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<String> {
    field(stat, 22)
}

fn session(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    field(&stat, 6)?.parse().ok()
}

/// A field of /proc/PID/stat by its number in proc(5), if the process lives.
fn field(stat: &str, number: usize) -> Option<String> {
    // The name in brackets may itself contain spaces and brackets.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let dead = matches!(fields.first(), Some(&("Z" | "X")));
    (!dead)
        .then(|| {
            fields
                .get(number.checked_sub(3)?)
                .map(|field| (*field).to_owned())
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(
            parse_start_time(&format!("42 (a) b) S {rest}")).as_deref(),
            Some("777")
        );
        assert_eq!(parse_start_time(&format!("42 (a) Z {rest}")), None);
        assert!(start_time(std::process::id()).is_some());
    }
}
