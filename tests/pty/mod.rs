//! A program on a pseudo-terminal of its own: what it shows there, what is typed, which signals reach
//! it, how it leaves the terminal, and what it does when the terminal is closed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Result<T> = std::result::Result<T, String>;

/// What the program has shown, and whether there will be more.
#[derive(Default)]
struct Shown {
    text: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// All that it has shown.
    pub said: String,
    /// How it left the terminal; nothing where that was closed.
    pub settings: String,
}

pub struct Pty {
    /// The terminal's own side; none once it is closed.
    screen: Option<(File, JoinHandle<()>)>,
    closing: Arc<AtomicBool>,
    shown: Arc<Shown>,
    /// The program's side, to see how the terminal is set.
    terminal: OwnedFd,
    pid: u32,
    ended: Receiver<i32>,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Pty {
    /// Starts a program as the leader of a session of its own, with the terminal as its own.
    pub fn start(command: &Command) -> Result<Self> {
        let screen =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).map_err(text)?;
        grantpt(&screen)
            .and_then(|()| unlockpt(&screen))
            .map_err(text)?;
        let name = ptsname(&screen, Vec::new()).map_err(text)?;
        let terminal: OwnedFd = rustix::fs::open(
            name.as_c_str(),
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(text)?;
        let size = Winsize {
            ws_row: 24,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).map_err(text)?;
        let end = || terminal.try_clone().map(Stdio::from).map_err(text);
        let mut child = session(command)
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()
            .map_err(text)?;
        let pid = child.id();
        let (sender, ended) = channel();
        std::thread::spawn(move || {
            let code = child.wait().ok().and_then(|status| status.code());
            let _ = sender.send(code.unwrap_or(-1));
        });
        let screen = File::from(screen);
        let (shown, closing) = (Arc::<Shown>::default(), Arc::<AtomicBool>::default());
        let reader = reader(screen.try_clone().map_err(text)?, &shown, &closing);
        Ok(Self {
            screen: Some((screen, reader)),
            closing,
            shown,
            terminal,
            pid,
            ended,
        })
    }

    /// Waits until it has shown `sign`; gives all that it has shown.
    pub fn shows(&self, sign: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        let mut text = self.shown.text.lock().map_err(|e| e.to_string())?;
        loop {
            let said = String::from_utf8_lossy(&text.0).into_owned();
            if said.contains(sign) {
                return Ok(said);
            }
            let left = until.saturating_duration_since(Instant::now());
            if text.1 || left.is_zero() {
                return Err(format!("it did not show `{sign}`:\n{said}"));
            }
            text = self
                .shown
                .more
                .wait_timeout(text, left)
                .map_err(|e| e.to_string())?
                .0;
        }
    }

    pub fn types(&self, keys: &str) -> Result<()> {
        let (screen, _) = self.screen.as_ref().ok_or("it is closed")?;
        let mut screen: &File = screen;
        screen.write_all(keys.as_bytes()).map_err(text)
    }

    /// How the terminal is set just now, for comparison.
    pub fn settings(&self) -> Result<String> {
        tcgetattr(&self.terminal)
            .map(|t| format!("{t:?}"))
            .map_err(text)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no pid")?, signal).map_err(text)
    }

    /// Closes the terminal, as when its window is closed or its connection breaks.
    pub fn close(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some((screen, reader)) = self.screen.take() {
            let _ = reader.join();
            drop(screen);
        }
    }

    /// Waits for its end.
    pub fn ends(mut self) -> Result<Ended> {
        let code = self
            .ended
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("it did not end:\n{}", self.said()))?;
        let settings = self.settings().unwrap_or_default();
        // What it has written before is still to be read.
        self.close();
        Ok(Ended {
            code,
            said: self.said(),
            settings,
        })
    }

    fn said(&self) -> String {
        self.shown
            .text
            .lock()
            .map(|text| String::from_utf8_lossy(&text.0).replace('\r', ""))
            .unwrap_or_default()
    }
}

/// The same command as the leader of a session that has the terminal, and as a shell there would start it:
/// where the tests run in the background or under nohup(1), some signals are ignored, which is inherited.
fn session(command: &Command) -> Command {
    let mut session = Command::new("setsid");
    session
        .args(["--ctty", "env", "--default-signal=HUP,INT,QUIT,TERM"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => session.env(name, value),
            None => session.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        session.current_dir(folder);
    }
    session
}

/// Reads what is shown until the terminal is closed from here, or nobody has it open any more.
fn reader(mut screen: File, shown: &Arc<Shown>, closing: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (shown, closing) = (shown.clone(), closing.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            let ready = poll(
                &mut [PollFd::new(&screen.as_fd(), PollFlags::IN)],
                Some(&wait),
            );
            match ready {
                Ok(0) if closing.load(Ordering::Relaxed) => break,
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            match screen.read(&mut buffer) {
                Ok(read @ 1..) => {
                    if let (Ok(mut text), Some(new)) = (shown.text.lock(), buffer.get(..read)) {
                        text.0.extend_from_slice(new);
                    }
                    shown.more.notify_all();
                }
                _ => break,
            }
        }
        if let Ok(mut text) = shown.text.lock() {
            text.1 = true;
        }
        shown.more.notify_all();
    })
}
