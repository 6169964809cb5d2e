//! One line that is typed.

use super::keys::{Keys, cancels};
use console::{Key, Term};
use std::io;

/// A line as it grows.
#[derive(Default)]
struct Line {
    text: String,
}

enum Pressed {
    GoesOn,
    Done,
    Cancelled,
}

impl Line {
    fn press(&mut self, key: &Key) -> Pressed {
        match key {
            key if cancels(key) => return Pressed::Cancelled,
            Key::Enter => return Pressed::Done,
            Key::Backspace => {
                self.text.pop();
            }
            // Ctrl-U
            Key::Char('\u{15}') => self.text.clear(),
            Key::Char(c) if !c.is_control() => self.text.push(*c),
            _ => {}
        }
        Pressed::GoesOn
    }

    /// The end of it, where the whole does not fit.
    fn end(&self, width: usize) -> &str {
        let mut left = width.saturating_sub(1);
        let mut fits = |c: char| {
            let wide = console::measure_text_width(c.encode_utf8(&mut [0; 4]));
            left.checked_sub(wide).map(|rest| left = rest).is_some()
        };
        let shown: usize = self
            .text
            .chars()
            .rev()
            .take_while(|c| fits(*c))
            .map(char::len_utf8)
            .sum();
        self.text.get(self.text.len() - shown..).unwrap_or_default()
    }
}

/// Asks for a line until `read` takes it; nothing, where it is cut off. What is secret is not shown.
pub fn ask<T>(
    keys: &mut dyn Keys,
    term: &Term,
    question: &str,
    secret: bool,
    read: impl Fn(&str) -> Result<T, String>,
) -> io::Result<Option<T>> {
    let room = usize::from(term.size().1).saturating_sub(console::measure_text_width(question));
    loop {
        let mut line = Line::default();
        loop {
            let shown = match secret {
                true => "",
                false => line.end(room),
            };
            term.write_str(&format!("\r\u{1b}[2K{question}{shown}"))?;
            // An input that has ended answers nothing.
            let key = keys.next().unwrap_or(Key::Escape);
            match line.press(&key) {
                Pressed::GoesOn => {}
                Pressed::Done => break,
                Pressed::Cancelled => {
                    term.write_line("")?;
                    return Ok(None);
                }
            }
        }
        term.write_line("")?;
        match read(&line.text) {
            Ok(value) => return Ok(Some(value)),
            Err(why) => term.write_line(&format!("  {}", crate::views::clean(&why)))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, and then the end of the input.
    struct Typed(Vec<Key>);

    impl Keys for Typed {
        fn next(&mut self) -> io::Result<Key> {
            match self.0.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(self.0.remove(0)),
            }
        }
    }

    fn asked(keys: &[Key]) -> Option<i64> {
        let term = super::super::keys::nowhere();
        let read = |text: &str| text.parse::<i64>().map_err(|e| e.to_string());
        ask(&mut Typed(keys.to_vec()), &term, "n = ", false, read).unwrap()
    }

    #[test]
    fn a_line_is_asked_for_until_it_fits() {
        let key = Key::Char;
        assert_eq!(asked(&[key('1'), key('2'), Key::Enter]), Some(12));
        assert_eq!(
            asked(&[
                key('x'),
                Key::Enter,
                key('3'),
                key('x'),
                Key::Backspace,
                Key::Enter
            ]),
            Some(3)
        );
        assert_eq!(
            asked(&[key('x'), key('\u{15}'), key('4'), Key::Enter]),
            Some(4)
        );
    }

    #[test]
    fn what_is_cut_off_is_no_answer() {
        let one = Key::Char('1');
        for end in [
            Key::Escape,
            Key::CtrlC,
            Key::Char('\u{4}'),
            Key::Char('\u{3}'),
        ] {
            assert_eq!(asked(&[one.clone(), end]), None);
        }
        assert_eq!(asked(&[one]), None);
    }

    #[test]
    fn of_a_long_line_the_end_is_shown() {
        let line = Line {
            text: "abcdef".to_owned(),
        };
        assert_eq!(line.end(4), "def");
        assert_eq!(line.end(40), "abcdef");
        assert_eq!(
            Line {
                text: "aöö".to_owned()
            }
            .end(3),
            "öö"
        );
        assert_eq!(line.end(0), "");
    }
}
