//! Words for people, on standard error. A terminal that is gone stops nothing, and panics nothing.

use super::text::harmless;
use std::io::{IsTerminal, Write};

/// Writes a line for people, as `eprintln!` does.
macro_rules! inform {
    () => { $crate::views::to_people("\n") };
    ($($words:tt)*) => { $crate::views::to_people(&format!("{}\n", format_args!($($words)*))) };
}
pub(crate) use inform;

/// Writes to standard error. Whoever forgot to clean what came from outside is covered here.
pub fn to_people(text: &str) {
    // What cannot be read by anybody can only be dropped.
    let _ = std::io::stderr().write_all(harmless(text).as_bytes());
}

/// Writes what was asked for to standard output: to a terminal so that it is harmless there, else as
/// it is. A reader that has seen enough and closed its end is no error.
pub fn to_output(text: &str) {
    let mut out = std::io::stdout().lock();
    let shown = match out.is_terminal() {
        true => harmless(text),
        false => text.to_owned(),
    };
    let _ = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
}

/// Where log lines go: one a write, each on a line of its own whatever is in it.
#[derive(Debug, Clone, Copy)]
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = super::text::clean(text.strip_suffix('\n').unwrap_or(&text));
        super::live::beside(&line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
