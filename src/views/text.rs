//! Words on a terminal: safe, wrapped, and coloured where that is wanted.

use crate::fault::hidden;
use std::time::Duration;

/// Text from hosts and clusters, made harmless: control characters are shown, never sent.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = if hidden(c) {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            };
            escaped
        })
        .collect()
}

/// What a terminal gets at last: of control characters only ends of lines and colours are left.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let colour = colour(rest);
        let (part, after) = rest.split_at(colour.unwrap_or(first.len_utf8()));
        match colour.is_some() || first == '\n' || !hidden(first) {
            true => shown.push_str(part),
            false => shown.push_str(&clean(part)),
        }
        rest = after;
    }
    shown
}

/// How long the colour is that the text begins with, if it begins with one.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers.get(end..)?.starts_with('m').then_some(end + 3)
}

/// One paragraph: the first line begins with `first`, the others with as many blanks.
pub(super) fn paragraph(first: &str, text: &str, width: usize) -> String {
    let blanks = " ".repeat(console::measure_text_width(first));
    filled(first, &blanks, text, width)
}

/// One paragraph: the first line begins with `first`, the others with `rest`.
pub(super) fn filled(first: &str, rest: &str, text: &str, width: usize) -> String {
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        // Names, paths and commands are copied from here: no line ends within one, whatever textwrap does
        // by default with the features that others ask of it.
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(&clean(text), options)
}

/// How wide the terminal is; pipes get lines that fit anywhere.
pub(super) fn width() -> usize {
    console::Term::stderr()
        .size_checked()
        .map_or(100, |(_, columns)| usize::from(columns).clamp(40, 120))
}

/// How many changes were made.
pub(super) fn changes(made: usize, put_back: usize) -> String {
    match made {
        0 if put_back > 0 => "all that was changed was put back by its host".to_owned(),
        0 => "nothing was written".to_owned(),
        1 => "1 change".to_owned(),
        n => format!("{n} changes"),
    }
}

/// `8 s`, `1 min 5 s`.
pub fn seconds(duration: Duration) -> String {
    let all = duration.as_secs();
    match (all / 60, all % 60) {
        (0, s) => format!("{s} s"),
        (m, 0) => format!("{m} min"),
        (m, s) => format!("{m} min {s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(
            clean("a\u{1b}[31mb\r\n\u{202e}c"),
            "a\\u{1b}[31mb\\r\\n\\u{202e}c"
        );
        assert_eq!(clean("Größe → ok"), "Größe → ok");
    }

    #[test]
    fn of_control_characters_only_ends_of_lines_and_colours_reach_a_terminal() {
        assert_eq!(
            harmless(
                "\u{1b}[1;31ma\u{1b}[0m\nb\u{1b}[2K\u{1b}]0;x\u{7}\rc\u{9b}31md\u{202e}ö\u{1b}["
            ),
            "\u{1b}[1;31ma\u{1b}[0m\nb\\u{1b}[2K\\u{1b}]0;x\\u{7}\\rc\\u{9b}31md\\u{202e}ö\\u{1b}["
        );
    }

    #[test]
    fn no_line_ends_within_a_name_or_a_path() {
        let path = "/var/lib/kubelet/config-of-a-node/that-is-long.json";
        let text = paragraph("  ", &format!("it is in {path} now"), 30);
        assert!(text.contains(path), "{text}");
    }

    #[test]
    fn paragraphs_hang() {
        insta::assert_snapshot!(paragraph("  - ", "one two three four", 12), @"
        - one two
          three
          four
        ");
    }

    #[test]
    fn durations_are_said() {
        assert_eq!(seconds(Duration::from_millis(7900)), "7 s");
        assert_eq!(seconds(Duration::from_secs(65)), "1 min 5 s");
        assert_eq!(seconds(Duration::from_secs(120)), "2 min");
    }
}
