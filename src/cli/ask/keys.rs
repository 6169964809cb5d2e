//! Keys, one by one, from the terminal.

use crate::cli::signals::touch_terminal;
use console::{Key, Term};
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io;

/// Where keys come from.
pub trait Keys {
    /// The next one; an error, where there will be no more.
    fn next(&mut self) -> io::Result<Key>;
}

/// The terminal, for as long as something is asked on it: what is typed is not echoed, also between
/// two keys, and Ctrl-C and Ctrl-D are keys like others. Then it is again as it was.
pub struct Terminal {
    term: Term,
    before: Termios,
}

impl Terminal {
    pub fn open() -> io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // What is written still ends its lines as usual.
        raw.output_modes = before.output_modes;
        touch_terminal();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self {
            term: Term::stderr(),
            before,
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

impl Keys for Terminal {
    fn next(&mut self) -> io::Result<Key> {
        let key = self.term.read_key_raw()?;
        if matches!(key, Key::CtrlC | Key::Char('\u{3}')) {
            interrupt()?;
        }
        Ok(key)
    }
}

/// Ctrl-C means here what it means everywhere, and what that is, the signals know.
fn interrupt() -> io::Result<()> {
    kill_process(getpid(), Signal::INT)?;
    loop {
        std::thread::park();
    }
}

/// Whether a key means that there will be no answer.
pub fn cancels(key: &Key) -> bool {
    matches!(key, Key::Escape | Key::CtrlC | Key::Char('\u{3}' | '\u{4}'))
}

/// A terminal for tests, of which nothing is seen.
#[cfg(test)]
pub fn nowhere() -> Term {
    let null = |write: bool| {
        let mut options = std::fs::OpenOptions::new();
        options.read(!write).write(write).open("/dev/null").unwrap()
    };
    Term::read_write_pair(null(false), null(true))
}
