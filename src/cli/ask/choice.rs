//! A choice from a list that is searched by typing.

use super::keys::{Keys, cancels};
use crate::views::clean;
use console::{Key, Term, style, truncate_str};
use std::collections::BTreeSet;
use std::io;

/// How much of a list is shown at a time, where the terminal has room for it.
const ROWS: usize = 10;
/// Lines besides: the question, the search, how much there is below, and where the cursor rests.
const BESIDES: usize = 4;

/// The list as it is being searched.
struct Choice<'a> {
    items: &'a [String],
    /// The marked ones are chosen; otherwise it is the one the cursor is at.
    several: bool,
    rows: usize,
    search: String,
    /// Among those that are found.
    at: usize,
    marked: BTreeSet<usize>,
}

enum Pressed {
    GoesOn,
    Done(Vec<usize>),
    Cancelled,
}

impl<'a> Choice<'a> {
    fn new(items: &'a [String], several: bool, height: usize) -> Self {
        Self {
            items,
            several,
            rows: height.saturating_sub(BESIDES).clamp(1, ROWS),
            search: String::new(),
            at: 0,
            marked: BTreeSet::new(),
        }
    }

    /// What has the search in it.
    fn found(&self) -> Vec<(usize, &'a str)> {
        let wanted = self.search.to_lowercase();
        let all = self.items.iter().map(String::as_str).enumerate();
        all.filter(|(_, item)| item.to_lowercase().contains(&wanted))
            .collect()
    }

    fn press(&mut self, key: &Key) -> Pressed {
        let found = self.found();
        let last = found.len().saturating_sub(1);
        let here = found.get(self.at).map(|(index, _)| *index);
        match (key, here) {
            (key, _) if cancels(key) => return Pressed::Cancelled,
            (Key::ArrowUp | Key::BackTab, _) => {
                self.at = self.at.checked_sub(1).unwrap_or(last);
            }
            (Key::ArrowDown | Key::Tab, _) => {
                self.at = if self.at >= last { 0 } else { self.at + 1 };
            }
            (Key::PageUp, _) => self.at = self.at.saturating_sub(self.rows),
            (Key::PageDown, _) => self.at = (self.at + self.rows).min(last),
            (Key::Enter, _) if self.several && !self.marked.is_empty() => {
                return Pressed::Done(self.marked.iter().copied().collect());
            }
            (Key::Enter, Some(here)) if !self.several => return Pressed::Done(vec![here]),
            (Key::Char(' '), _) if self.several => self.mark(here),
            (Key::Backspace, _) => {
                self.search.pop();
                self.at = 0;
            }
            (Key::Char('\u{15}'), _) => {
                self.search.clear();
                self.at = 0;
            }
            (Key::Char(c), _) if !c.is_control() => {
                self.search.push(*c);
                self.at = 0;
            }
            _ => {}
        }
        Pressed::GoesOn
    }

    /// Marks one, or no longer.
    fn mark(&mut self, item: Option<usize>) {
        if let Some(item) = item
            && !self.marked.remove(&item)
        {
            self.marked.insert(item);
        }
    }

    fn screen(&self, question: &str) -> Vec<String> {
        let keys = match (self.several, self.marked.len()) {
            (true, 0) => {
                "type to search, mark with the space bar, then Enter; Esc stops".to_owned()
            }
            (true, marked) => format!("{marked} marked; Enter goes on, Esc stops"),
            (false, _) => "type to search, Enter takes it, Esc stops".to_owned(),
        };
        let mut lines = vec![
            format!(
                "{} {}",
                clean(question),
                style(format!("({keys})")).dim().for_stderr()
            ),
            format!("  search: {}", clean(&self.search)),
        ];
        let found = self.found();
        let first = (self.at + 1).saturating_sub(self.rows);
        for (row, (index, item)) in found.iter().enumerate().skip(first).take(self.rows) {
            let cursor = if row == self.at { ">" } else { " " };
            let mark = match (self.several, self.marked.contains(index)) {
                (false, _) => "",
                (true, true) => "[x] ",
                (true, false) => "[ ] ",
            };
            lines.push(format!("{cursor} {mark}{}", clean(item)));
        }
        let unseen = found.len().saturating_sub(first + self.rows);
        match found.len() {
            0 => lines.push("  (none is called so)".to_owned()),
            _ if unseen > 0 => lines.push(format!("  ({unseen} more below)")),
            _ => {}
        }
        lines
    }
}

/// Asks for one of a list, or for several; nothing, where it is cut off.
pub fn ask(
    keys: &mut dyn Keys,
    term: &Term,
    question: &str,
    items: &[String],
    several: bool,
) -> io::Result<Option<Vec<String>>> {
    let mut choice = Choice::new(items, several, usize::from(term.size().0));
    let chosen = loop {
        let lines = choice.screen(question);
        // A line that wraps could not be taken away again.
        let width = usize::from(term.size().1).saturating_sub(1);
        for line in &lines {
            term.write_line(&truncate_str(line, width, "…"))?;
        }
        // An input that has ended answers nothing.
        let pressed = choice.press(&keys.next().unwrap_or(Key::Escape));
        term.clear_last_lines(lines.len())?;
        match pressed {
            Pressed::GoesOn => {}
            Pressed::Done(chosen) => break chosen,
            Pressed::Cancelled => {
                term.write_line(&clean(question))?;
                return Ok(None);
            }
        }
    };
    let names: Vec<String> = chosen
        .iter()
        .filter_map(|at| items.get(*at).cloned())
        .collect();
    term.write_line(&format!("{} {}", clean(question), clean(&names.join(", "))))?;
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<String> {
        (1..=14).map(|n| format!("node{n:02}")).collect()
    }

    fn press(choice: &mut Choice, keys: &[Key]) -> Option<Vec<usize>> {
        let mut done = None;
        for key in keys {
            match choice.press(key) {
                Pressed::GoesOn => {}
                Pressed::Done(chosen) => done = Some(chosen),
                Pressed::Cancelled => return Some(Vec::new()),
            }
        }
        done
    }

    #[test]
    fn a_list_is_searched_by_typing() {
        let items = items();
        let mut choice = Choice::new(&items, false, 24);
        let key = Key::Char;
        assert_eq!(
            press(&mut choice, &[key('0'), key('3'), Key::Enter]),
            Some(vec![2])
        );
        assert_eq!(
            press(&mut choice, &[Key::Backspace, Key::ArrowDown, Key::Enter]),
            Some(vec![1])
        );
        assert_eq!(
            press(&mut choice, &[key('x'), Key::Enter, Key::ArrowDown]),
            None
        );
        assert!(
            choice
                .screen("Which?")
                .join("\n")
                .contains("none is called so")
        );
        assert_eq!(
            press(&mut choice, &[key('\u{15}'), Key::ArrowUp, Key::Enter]),
            Some(vec![13])
        );
    }

    #[test]
    fn several_are_marked_and_without_a_mark_nothing_is_chosen() {
        let items = items();
        let mut choice = Choice::new(&items, true, 24);
        assert_eq!(press(&mut choice, &[Key::Enter]), None);
        let space = || Key::Char(' ');
        let down = Key::ArrowDown;
        let keys = [
            down.clone(),
            space(),
            down,
            space(),
            space(),
            Key::Char('4'),
            space(),
            Key::Enter,
        ];
        assert_eq!(press(&mut choice, &keys), Some(vec![1, 3]));
        insta::assert_snapshot!(choice.screen("Which nodes?").join("\n"));
    }

    #[test]
    fn the_cursor_stays_in_sight() {
        let items = items();
        let mut choice = Choice::new(&items, false, 24);
        press(&mut choice, &vec![Key::ArrowDown; 11]);
        insta::assert_snapshot!(choice.screen("Which node?").join("\n"));
        for height in [0, 5, 6, 24, 80] {
            let mut choice = Choice::new(&items, false, height);
            for _ in 0..20 {
                let lines = choice.screen("Which node?");
                assert!(lines.len() < height.max(BESIDES + 1), "{height}: {lines:?}");
                assert_eq!(lines.iter().filter(|l| l.starts_with("> ")).count(), 1);
                choice.press(&Key::ArrowDown);
            }
        }
    }

    #[test]
    fn what_is_cut_off_chooses_nothing() {
        let items = items();
        for end in [Key::Escape, Key::CtrlC, Key::Char('\u{4}')] {
            let mut choice = Choice::new(&items, true, 24);
            assert_eq!(press(&mut choice, &[Key::Char(' '), end]), Some(Vec::new()));
        }
        struct Gone;
        impl Keys for Gone {
            fn next(&mut self) -> io::Result<Key> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let term = super::super::keys::nowhere();
        assert_eq!(
            ask(&mut Gone, &term, "Which?", &items, false).unwrap(),
            None
        );
    }
}
