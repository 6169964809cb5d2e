//! Running other programs: with their output taken, or sent to a log.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// How many lines of a failed program's output the error repeats.
const TAIL: usize = 12;

/// Runs to the end and hands back whatever came out; only a program that cannot start is an error.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| not_started(command, source))
}

/// Runs to the end; a failure is an error. Hands back what was printed.
pub fn text(command: &mut Command, doing: &str) -> Result<String> {
    let output = output(command)?;
    checked(output, doing)
}

/// Like [`text`], with `input` on the program's standard input.
pub fn feed(command: &mut Command, input: &str, doing: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| not_started(command, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|source| not_started(command, source))?;
    checked(output, doing)
}

/// Like [`feed`], with the content of a file, which need not be text.
pub fn feed_file(command: &mut Command, input: File, doing: &str) -> Result<String> {
    let output = command
        .stdin(input)
        .output()
        .map_err(|source| not_started(command, source))?;
    checked(output, doing)
}

/// Runs to the end with all output in `log`, whose end is repeated if the program fails.
pub fn logged(command: &mut Command, log: &Path, doing: &str) -> Result<()> {
    let file = File::create(log).map_err(Error::file("write", log))?;
    let again = file.try_clone().map_err(Error::file("write", log))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(again)
        .status()
        .map_err(|source| not_started(command, source))?;
    if status.success() {
        return Ok(());
    }
    let written = std::fs::read(log).unwrap_or_default();
    Err(Error::Failed {
        doing: doing.into(),
        status: status.to_string(),
        output: tail(&String::from_utf8_lossy(&written)),
        log: Some(log.to_path_buf()),
    })
}

/// A command that dies with the thread that runs it, so that a killed `up` leaves no build behind.
pub fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// What was printed; a failure is an error.
pub fn checked(output: Output, doing: &str) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.trim().is_empty() {
        said = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    Err(Error::Failed {
        doing: doing.into(),
        status: output.status.to_string(),
        output: tail(&said),
        log: None,
    })
}

fn not_started(command: &Command, source: std::io::Error) -> Error {
    Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(TAIL);
    lines.get(start..).unwrap_or_default().join("\n")
}
