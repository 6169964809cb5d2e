//! Signals. Before a run they end the program at once, as nothing was written; during a run nothing
//! more is begun after the first, and the second ends the program.

use super::exit::Exit;
use crate::fault::Fault;
use crate::model::RunId;
use crate::views::{beside, clear_live, inform};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::io::{IsTerminal, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A terminal that is closed says so several times: the system does, and the shell in it.
const SAME_HANGUP: Duration = Duration::from_secs(2);
/// Some send a signal to a program and then to its whole group, such as timeout(1).
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// What signals have to do with: one for the whole program, so that a stop holds for all that would
/// come after.
struct Sitting {
    /// The terminal as it was found.
    terminal: Option<Termios>,
    phase: Mutex<Phase>,
    stop: watch::Sender<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Nothing is written yet; what is said then.
    Before(&'static str),
    /// A run is under way, and this signal was the latest.
    Run(RunId, Option<(SignalKind, Instant)>),
    /// It is over, and lets its targets go.
    After(RunId),
}

static SITTING: OnceLock<Sitting> = OnceLock::new();

fn sitting() -> &'static Sitting {
    SITTING.get_or_init(|| Sitting {
        terminal: tcgetattr(stdin()).ok(),
        phase: Mutex::new(Phase::Before("Nothing was written.")),
        stop: watch::channel(false).0,
    })
}

/// From here on, signals do what they mean here. `nothing` is said where one comes before a run.
pub fn heed(nothing: &'static str) -> Result<(), Fault> {
    *phase() = Phase::Before(nothing);
    for (kind, number) in [
        (SignalKind::interrupt(), 2),
        (SignalKind::terminate(), 15),
        (SignalKind::hangup(), 1),
    ] {
        // Whoever started this wants it so: nohup(1), or a script that put it into the background.
        if is_ignored(number) {
            continue;
        }
        let mut signals = signal(kind)
            .map_err(|e| Fault::internal(format!("signals cannot be listened to: {e}")))?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                came(kind);
            }
        });
    }
    Ok(())
}

/// A run begins: what a signal ends is no longer the program.
pub fn run_begins(run: RunId) {
    let mut phase = phase();
    let latest = match *phase {
        Phase::Before(_) | Phase::After(_) => None,
        Phase::Run(_, latest) => latest,
    };
    *phase = Phase::Run(run, latest);
    // What Ctrl-C echoes would break what moves on the screen.
    touch_terminal();
    if let Some(mut quiet) = own_terminal().cloned() {
        quiet.local_modes.remove(LocalModes::ECHOCTL);
        let _ = tcsetattr(stdin(), OptionalActions::Now, &quiet);
    }
}

/// All was said; what is left is to let the targets go.
pub fn run_is_over(run: RunId) {
    *phase() = Phase::After(run);
}

/// Whether the terminal is set otherwise than it was found. A pager beside this program sets it, too, and
/// is left alone.
static TOUCHED: AtomicBool = AtomicBool::new(false);

/// Says that the terminal is about to be set otherwise.
pub fn touch_terminal() {
    sitting();
    TOUCHED.store(true, Ordering::Relaxed);
}

/// The terminal as it was found, unless it belongs to another program by now, or there is none.
fn own_terminal() -> Option<&'static Termios> {
    let mine = tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
    sitting().terminal.as_ref().filter(|_| mine)
}

/// Leaves the terminal as it was found.
pub fn leave_terminal() {
    if TOUCHED.load(Ordering::Relaxed)
        && let Some(terminal) = own_terminal()
    {
        let _ = tcsetattr(stdin(), OptionalActions::Now, terminal);
    }
}

/// Becomes true when the operator wants the run to end.
pub fn stop() -> watch::Receiver<bool> {
    sitting().stop.subscribe()
}

fn phase() -> MutexGuard<'static, Phase> {
    let phase = &sitting().phase;
    phase.lock().unwrap_or_else(PoisonError::into_inner)
}

fn came(kind: SignalKind) {
    let mut phase = phase();
    match *phase {
        Phase::Before(nothing) => end(&format!("Interrupted. {nothing}")),
        Phase::Run(run, None) => {
            *phase = Phase::Run(run, Some((kind, Instant::now())));
            beside("Stopping: no further change is begun. Ctrl-C again ends the program at once.");
            sitting().stop.send_replace(true);
        }
        Phase::After(run) => end(&format!(
            "The run is over, and its targets may stay claimed.\n\
             Let them go:    runbook resume {run}"
        )),
        Phase::Run(_, Some((earlier, at))) if is_same(kind, earlier, at.elapsed()) => {}
        Phase::Run(run, Some(_)) => end(&format!(
            "Ended at once. Whether the step under way came to its end is not known here.\n\
             Go on with it:  runbook resume {run}"
        )),
    }
}

/// Whether a signal is but the echo of another.
fn is_same(kind: SignalKind, earlier: SignalKind, since: Duration) -> bool {
    match kind == SignalKind::hangup() {
        true => since < SAME_HANGUP,
        false => kind == earlier && since < SAME_SIGNAL,
    }
}

/// Ends the program at once, and leaves the terminal as it was found.
fn end(words: &str) -> ! {
    clear_live();
    leave_terminal();
    // What was asked, or ^C, may stand on the line.
    if std::io::stderr().is_terminal() {
        inform!();
    }
    inform!("{words}");
    // Whoever was just about to read a key sets it once more, and then waits for a key.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        leave_terminal();
    }
    std::process::exit(Exit::Interrupted as i32)
}

/// Whether a signal was ignored when the program was started.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_of_a_signal_is_no_second_one() {
        let (int, term, hup) = (
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        );
        let (soon, later) = (Duration::from_millis(20), Duration::from_secs(1));
        assert!(is_same(int, int, soon) && !is_same(int, int, later));
        assert!(!is_same(term, int, soon) && !is_same(int, term, soon));
        // A closed terminal tells the shell, which tells its jobs, and then the system does.
        assert!(is_same(hup, hup, later) && is_same(hup, term, later));
        assert!(!is_same(hup, hup, 3 * later) && !is_same(int, hup, later));
    }
}
