//! The program, as an operator runs it in the lab, and what the tests look at themselves.

use lab::Lab;
use lab::machine::{NODES, Node};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

pub const NAME: &str = "fix-bgp-wrong-ip";

/// What a run of the program gave back.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Holds that it ended with `code`.
    pub fn exits(self, code: i32) -> Result<Self, String> {
        if self.code == code {
            return Ok(self);
        }
        Err(format!(
            "it exited with {} and not {code}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.stdout, self.stderr
        ))
    }

    /// Holds that it said all of this, wherever lines were broken.
    pub fn says(self, words: &[&str]) -> Result<Self, String> {
        let said = flat(&format!("{} {}", self.stdout, self.stderr));
        match words.iter().find(|w| !said.contains(&flat(w))) {
            None => Ok(self),
            Some(missing) => Err(format!(
                "it did not say `{missing}`\n--- stdout\n{}--- stderr\n{}",
                self.stdout, self.stderr
            )),
        }
    }

    /// The run's id, from the line that starts it.
    pub fn run(&self) -> Result<String, String> {
        self.stderr
            .lines()
            .find_map(|line| line.strip_prefix("Run "))
            .map(str::to_owned)
            .ok_or_else(|| format!("it names no run\n{}", self.stderr))
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The program in the lab's namespace, with a state directory and sockets of this test's own.
pub struct Program<'l> {
    pub lab: &'l Lab,
    dir: tempfile::TempDir,
}

impl<'l> Program<'l> {
    pub fn new(lab: &'l Lab) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("rb")
            .tempdir()
            .map_err(|e| e.to_string())?;
        Ok(Self { lab, dir })
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Prepared, without a terminal.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_runbook"));
        command.args(args);
        command
    }

    /// Another program in the same surroundings: one that runs this one.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = self.lab.command(program);
        command
            .env("RUNBOOK_STATE_DIR", self.path().join("state"))
            .env("TMPDIR", self.path())
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Result<Ran, String> {
        finish(&mut self.command(args))
    }

    pub fn run_with(&self, args: &[&str], env: &[(&str, &OsStr)]) -> Result<Ran, String> {
        finish(self.command(args).envs(env.iter().copied()))
    }

    /// On a pseudo-terminal: when it asks, `before` happens, and then `typed` is typed.
    pub fn at_the_prompt(
        &self,
        args: &[&str],
        typed: &str,
        before: impl FnOnce() -> Result<(), String>,
    ) -> Result<Ran, String> {
        self.when_it_says("[y/N]", args, typed, before)
    }

    /// The same, when it has said `sign`.
    pub fn when_it_says(
        &self,
        sign: &str,
        args: &[&str],
        typed: &str,
        before: impl FnOnce() -> Result<(), String>,
    ) -> Result<Ran, String> {
        use std::io::{Read, Write};
        let line = [&[env!("CARGO_BIN_EXE_runbook")], args].concat().join(" ");
        let mut command = self.command_of("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let (mut stdin, mut stdout) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or("no pipes")?;
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&said).contains(sign) {
            let read = stdout.read(&mut buffer).map_err(|e| e.to_string())?;
            if read == 0 {
                let said = String::from_utf8_lossy(&said);
                return Err(format!("it ended without asking:\n{said}"));
            }
            said.extend(&buffer[..read]);
        }
        before()?;
        stdin
            .write_all(typed.as_bytes())
            .map_err(|e| e.to_string())?;
        // Nothing more is typed.
        drop(stdin);
        stdout.read_to_end(&mut said).map_err(|e| e.to_string())?;
        let status = child.wait().map_err(|e| e.to_string())?;
        Ok(Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: String::from_utf8_lossy(&said).replace('\r', ""),
        })
    }

    /// Starts it, to be followed by what it says.
    pub fn start(&self, args: &[&str]) -> Result<Running, String> {
        Running::of(&mut self.command(args))
    }

    /// Starts it, and kills it as soon as it says something.
    pub fn kill_when_it_says(&self, args: &[&str], words: &str) -> Result<(), String> {
        let mut run = self.start(args)?;
        run.until_it_says(words)?;
        run.kill().map(drop)
    }

    /// The latest run, as the program lists it.
    pub fn latest(&self) -> Result<String, String> {
        let list = self.run(&["history"])?.exits(0)?.stdout;
        let run = list.split_whitespace().next().map(str::to_owned);
        run.ok_or_else(|| "there are no runs".to_owned())
    }

    /// The runs that have a journal.
    pub fn journals(&self) -> usize {
        std::fs::read_dir(self.path().join("state/runs")).map_or(0, Iterator::count)
    }
}

/// The program while it runs, without a terminal: what it says on standard error is read line by line.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    pub fn of(command: &mut Command) -> Result<Self, String> {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("it cannot be run: {e}"))?;
        let lines = BufReader::new(child.stderr.take().ok_or("no pipe")?).lines();
        Ok(Self {
            child,
            lines,
            said: String::new(),
        })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(self.pid(), signal).map_err(|e| e.to_string())
    }

    /// Reads until it has said `words`, wherever lines were broken.
    pub fn until_it_says(&mut self, words: &str) -> Result<(), String> {
        self.until(words, |said| flat(said).contains(&flat(words)))
    }

    /// Reads until what it has said is as it should be.
    pub fn until(&mut self, what: &str, is_said: impl Fn(&str) -> bool) -> Result<(), String> {
        while !is_said(&self.said) {
            match self.lines.next() {
                Some(line) => self.hear(line)?,
                None => return Err(format!("it never said `{what}`:\n{}", self.said)),
            }
        }
        Ok(())
    }

    fn hear(&mut self, line: std::io::Result<String>) -> Result<(), String> {
        self.said.push_str(&line.map_err(|e| e.to_string())?);
        self.said.push('\n');
        Ok(())
    }

    /// Kills it; what it has said so far. What it has started may hold its standard error still, so that is
    /// not read on.
    pub fn kill(mut self) -> Result<Ran, String> {
        self.child.kill().map_err(|e| e.to_string())?;
        self.ended()
    }

    /// Reads what it says to its end.
    pub fn end(mut self) -> Result<Ran, String> {
        while let Some(line) = self.lines.next() {
            self.hear(line)?;
        }
        self.ended()
    }

    fn ended(&mut self) -> Result<Ran, String> {
        let status = self.child.wait().map_err(|e| e.to_string())?;
        Ok(Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: std::mem::take(&mut self.said),
        })
    }
}

/// A test that fails leaves nothing running.
impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn finish(command: &mut Command) -> Result<Ran, String> {
    collect(command.output())
}

fn collect(output: std::io::Result<std::process::Output>) -> Result<Ran, String> {
    let output = output.map_err(|e| format!("it cannot be run: {e}"))?;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub fn node(number: usize) -> Result<Node, String> {
    NODES
        .get(number - 1)
        .copied()
        .ok_or_else(|| format!("there is no node {number}"))
}

/// What every node advertises, as the API server has it.
pub fn advertised(lab: &Lab) -> Result<Vec<(String, String)>, String> {
    Ok(lab
        .advertised()
        .map_err(|e| e.to_string())?
        .into_iter()
        .map(|(node, address)| (node.name(), address.unwrap_or_default()))
        .collect())
}

/// Holds that every node advertises its own address.
pub fn all_advertise_their_own(lab: &Lab) -> Result<(), String> {
    let wanted: Vec<(String, String)> = NODES
        .iter()
        .map(|node| (node.name(), format!("{}/24", node.address())))
        .collect();
    expect("the addresses", &advertised(lab)?, &wanted)
}

/// The DaemonSet's environment, as it stands.
pub fn calico_env(lab: &Lab) -> Result<serde_json::Value, String> {
    let daemonset = lab
        .kubectl_json(&["-n", "kube-system", "get", "daemonset", "calico-node"])
        .map_err(|e| e.to_string())?;
    Ok(daemonset["spec"]["template"]["spec"]["containers"][0]["env"].clone())
}

/// The autodetection method in an environment.
pub fn method(env: &serde_json::Value) -> Option<String> {
    env.as_array()?
        .iter()
        .find(|e| e["name"] == "IP_AUTODETECTION_METHOD")
        .map(|e| e["value"].as_str().unwrap_or_default().to_owned())
}

/// Holds that every node sees every other one established, and no session besides.
pub fn mesh_is_established(lab: &Lab) -> Result<(), String> {
    for node in NODES {
        let mut seen: Vec<String> = lab
            .peers(node)
            .map_err(|e| e.to_string())?
            .into_iter()
            .map(|p| {
                let mark = if p.is_established() {
                    ""
                } else {
                    " (not established)"
                };
                format!("{}{mark}", p.address)
            })
            .collect();
        seen.sort();
        let wanted: Vec<String> = node.others().map(Node::address).collect();
        expect(&format!("the sessions of {}", node.name()), &seen, &wanted)?;
    }
    Ok(())
}

pub fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), String> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}, and not {wanted:?}")),
    }
}

/// Looks again and again until it is so; each look takes its own time.
pub fn wait_until(
    seconds: u64,
    what: &str,
    look: impl Fn() -> Result<bool, String>,
) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed().as_secs() < seconds {
        if look()? {
            return Ok(());
        }
        // Whoever looks slows down what is waited for.
        std::thread::sleep(Duration::from_millis(300));
    }
    Err(format!("{what} did not come about within {seconds} s"))
}
