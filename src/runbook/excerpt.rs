//! The lines of a file to which a problem belongs, as a person sees them.

use super::problem::Problem;
use super::source::{Source, Span};
use crate::fault::hidden;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use std::fmt;

/// Characters of a line that are shown; a longer line is cut around the place.
const SHOWN: usize = 100;
const WIDTH: usize = 100;

/// Text from a file, made harmless.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut cleaned, c));
    cleaned
}

fn push(text: &mut String, c: char) {
    match hidden(c) {
        true => text.extend(c.escape_default()),
        false => text.push(c),
    }
}

/// A line, cut and cleaned.
#[derive(Debug)]
struct Line {
    /// From 0.
    number: usize,
    /// Where it begins in the excerpt's text.
    start: usize,
}

#[derive(Debug)]
struct Mark {
    at: SourceSpan,
    label: String,
    /// From 0, in the file.
    column: usize,
}

/// One or two lines of a file.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    lines: Vec<Line>,
    marks: Vec<Mark>,
}

impl Excerpt {
    pub fn new(source: &Source<'_>, problem: &Problem) -> Self {
        let mut places = vec![(problem.span, problem.label.as_str())];
        if let Some((span, label)) = &problem.other {
            places.push((*span, label));
        }
        // What comes first in the file comes first here.
        places.sort_by_key(|(span, _)| span.start);
        let mut excerpt = Self {
            name: clean(source.name),
            text: String::new(),
            lines: Vec::new(),
            marks: Vec::new(),
        };
        for (n, (span, label)) in places.iter().enumerate() {
            let same_line = places
                .iter()
                .skip(n + 1)
                .find(|(other, _)| source.line(other.start) == source.line(span.start));
            match same_line {
                // Both are marked in one line.
                Some(second) => {
                    excerpt.line(source, &[(*span, label), (second.0, second.1)]);
                    break;
                }
                None => excerpt.line(source, &[(*span, label)]),
            }
        }
        // The place itself is named in the head, wherever the other one stands.
        let own = source.place(problem.span.start).1 - 1;
        excerpt
            .marks
            .sort_by_key(|mark| !(mark.label == clean(&problem.label) && mark.column == own));
        excerpt
    }

    fn line(&mut self, source: &Source<'_>, places: &[(Span, &str)]) {
        let Some((first, _)) = places.first() else {
            return;
        };
        let number = source.line(first.start);
        let (begin, text) = source.line_text(number);
        let start = self.text.len();
        self.lines.push(Line { number, start });
        let column = |at: usize| {
            let before = at.saturating_sub(begin).min(text.len());
            text.char_indices().take_while(|(i, _)| *i < before).count()
        };
        let skipped = match column(first.start) {
            c if c + 30 > SHOWN => c - SHOWN / 3,
            _ => 0,
        };
        let mut ends: Vec<usize> = Vec::new();
        if skipped > 0 {
            self.text.push('…');
        }
        for c in text.chars().skip(skipped).take(SHOWN) {
            ends.push(self.text.len());
            push(&mut self.text, c);
        }
        ends.push(self.text.len());
        if text.chars().count() > skipped + SHOWN {
            self.text.push('…');
        }
        let last = self.text.len();
        self.text.push('\n');
        let shown = |column: usize| {
            let at = column.saturating_sub(skipped);
            ends.get(at).copied().unwrap_or(last)
        };
        for (span, label) in places {
            let (from, to) = (column(span.start), column(span.end));
            let at = shown(from);
            let length = shown(to.max(from + 1)).saturating_sub(at).max(1);
            self.marks.push(Mark {
                at: (at, length).into(),
                label: clean(label),
                column: from,
            });
        }
    }

    /// The problem with its lines, in plain characters.
    pub fn rendered(&self, problem: &Problem) -> String {
        let theme = GraphicalTheme {
            characters: ThemeCharacters::ascii(),
            styles: ThemeStyles::none(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH)
            .with_links(false)
            .with_context_lines(1)
            .with_break_words(false)
            .without_cause_chain()
            .without_syntax_highlighting();
        let mut text = String::new();
        let report = Report {
            problem,
            excerpt: self,
        };
        // A text takes everything: writing to it does not fail.
        if handler.render_report(&mut text, &report).is_err() {
            text = format!("{}:{}: {}", self.name, problem.line, problem.message);
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_matches('\n').to_owned() + "\n"
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len().saturating_sub(1));
        let line = |at: usize| self.lines.iter().rposition(|line| line.start <= at);
        let (Some(first), Some(last)) = (line(from), line(to)) else {
            return Err(MietteError::OutOfBounds);
        };
        let number = |at: usize| self.lines.get(at).map_or(0, |line| line.number);
        let begin = self.lines.get(first).map_or(0, |line| line.start);
        let end = self
            .lines
            .get(last + 1)
            .map_or(self.text.len(), |line| line.start);
        let column = self.marks.iter().find(|mark| mark.at.offset() == from);
        // Asked for without lines around it, it is asked where the place is.
        let (begin, column) = match before {
            0 => (from, column.map_or(0, |mark| mark.column)),
            _ => (begin, 0),
        };
        let data = self.text.get(begin..end).unwrap_or_default().as_bytes();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            data,
            (begin, data.len()).into(),
            number(first),
            column,
            last - first + 1,
        )))
    }
}

#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    excerpt: &'a Excerpt,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.problem.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.excerpt.marks.iter().enumerate().map(|(n, mark)| {
            let label = Some(mark.label.clone());
            match n {
                0 => LabeledSpan::new_primary_with_span(label, mark.at),
                _ => LabeledSpan::new_with_span(label, mark.at),
            }
        });
        Some(Box::new(labels))
    }
}
