//! A runbook's text, and places in it.

/// A stretch of a text, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A text with its name.
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub fn new(name: &'a str, text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            name,
            text,
            starts: std::iter::once(0).chain(breaks).collect(),
        }
    }

    /// The line, from 0, of a place.
    pub fn line(&self, at: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    }

    /// A line, without its end, and where it begins.
    pub fn line_text(&self, line: usize) -> (usize, &'a str) {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let text = rest.split('\n').next().unwrap_or_default();
        (start, text.strip_suffix('\r').unwrap_or(text))
    }

    /// Line and column, both from 1 and the column in characters.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let (start, _) = self.line_text(line);
        let before = self.text.get(start..at).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    pub fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column() {
        let source = Source::new("x", "a\r\nä b\n");
        assert_eq!(source.place(0), (1, 1));
        assert_eq!(source.place(6), (2, 3));
        assert_eq!(source.place(99), (3, 1));
        assert_eq!(source.line_text(0), (0, "a"));
        assert_eq!(source.line_text(1), (3, "ä b"));
        assert_eq!(source.line_text(9), (8, ""));
    }
}
