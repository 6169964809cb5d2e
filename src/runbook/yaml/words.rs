//! What the parser of YAML trips over, in the words of people who write runbooks.

use super::super::problem::Problem;
use super::super::source::{Source, Span};

const CODE: &str = "runbook::yaml";

/// What is wrong at a place where the parser gave up.
pub(super) fn explain(source: &Source<'_>, at: usize, info: &str) -> Problem {
    let own = source.line(at);
    if let Some(problem) = tab(source, own).or_else(|| tab(source, own + 1)) {
        return problem;
    }
    // The parser often gives up one line late.
    for line in [Some(own), own.checked_sub(1)].into_iter().flatten() {
        if let Some(problem) = in_line(source, line, info) {
            return problem;
        }
    }
    if info.contains("unknown anchor") {
        return super::refused_anchor(Span::new(at, at + 1));
    }
    if info.contains("quoted scalar") && info.contains("invalid indentation") {
        return not_closed(at);
    }
    if info.contains("quoted scalar") && info.contains("end of stream") {
        return unclosed_quote(source, at);
    }
    let flow = info.contains("flow")
        || info.contains("',' or")
        || info.contains("misplaced bracket")
        || info.contains("illegal placement");
    if flow && let Some(at) = open_bracket(source.text.get(..at).unwrap_or(source.text)) {
        return Problem::new(CODE, Span::new(at, at + 1), "this bracket is not closed")
            .label("opened here")
            .help("close it with `]` or `}`, and put commas between what is inside; a text with brackets or commas in it goes in quotes");
    }
    if info.contains("misplaced bracket") {
        return Problem::new(CODE, Span::new(at, at + 1), "this bracket was never opened")
            .help("remove it; a text with brackets in it goes in quotes");
    }
    let has = |words: &[&str]| words.iter().any(|word| info.contains(word));
    let (message, help) = if has(&["escape"]) {
        (
            "an escape that YAML does not know stands in this text".to_owned(),
            "in double quotes, a backslash begins an escape such as \\n; in single quotes it is a backslash",
        )
    } else if has(&["mapping values are not allowed"]) {
        (
            "a `:` stands where no key can be".to_owned(),
            "a text with `: ` in it goes in quotes; the keys of one map stand below each other, equally far from the left",
        )
    } else if has(&["block scalar"]) {
        (
            "the lines of this text are not indented alike".to_owned(),
            "the lines of a text after `|` stand equally far from the left, and farther than its key",
        )
    } else if has(&["trailing content"]) {
        (
            "more text stands after the closing quote".to_owned(),
            "put all of the text within the quotes",
        )
    } else if has(&[
        "'-' indicator",
        "expected key",
        "simple key",
        "indentation",
        "block sequence",
    ]) {
        (
            "this does not fit to the lines before it".to_owned(),
            "what belongs together stands equally far from the left: look whether a line is indented otherwise than those around it, or lacks its `:`",
        )
    } else {
        (
            format!("this is not YAML: {info}"),
            "a text with special characters in it goes in quotes",
        )
    };
    Problem::new(CODE, Span::new(at, at + 1), message).help(help)
}

fn tab(source: &Source<'_>, line: usize) -> Option<Problem> {
    let (start, text) = source.line_text(line);
    let indent = text.len() - text.trim_start().len();
    let tab = text.get(..indent)?.find('\t')?;
    let span = Span::new(start + tab, start + tab + 1);
    let problem = Problem::new(CODE, span, "a tab stands at the beginning of this line")
        .label("a tab")
        .help("indent with blanks: YAML does not take tabs for that");
    (indent < text.len()).then_some(problem)
}

/// What is plainly wrong with one line.
fn in_line(source: &Source<'_>, line: usize, info: &str) -> Option<Problem> {
    let (start, text) = source.line_text(line);
    let blank = text.len() - text.trim_start().len();
    let content = text.trim_start();
    if let Some(problem) = template_without_quotes(source, line) {
        return Some(problem);
    }
    let content_at = start + blank;
    let (dash, entry) = match content.strip_prefix("- ") {
        Some(rest) => (content.len() - rest.trim_start().len(), rest.trim_start()),
        None => (0, content),
    };
    let name = entry
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(entry.len());
    let after = entry.get(name..).unwrap_or_default();
    if name > 0
        && after.starts_with(':')
        && after.len() > 1
        && !after.starts_with(": ")
        && !after.starts_with(":\t")
    {
        let at = content_at + dash + name;
        return Some(
            Problem::new(
                CODE,
                Span::new(at, at + 1),
                "there is no blank after this colon",
            )
            .help("write `key: value`"),
        );
    }
    if info.contains("-")
        && content.starts_with('-')
        && !content.starts_with("- ")
        && content.len() > 1
        && !content.starts_with("--")
    {
        let span = Span::new(content_at, content_at + 1);
        return Some(
            Problem::new(CODE, span, "there is no blank after this `-`").help("write `- item`"),
        );
    }
    let value = after.strip_prefix(": ").map(str::trim_start)?;
    let at = content_at + content.len() - value.len();
    let first = value.chars().next()?;
    if matches!(first, '@' | '`' | '%')
        || (matches!(first, '*' | '&') && !info.contains("unknown anchor"))
    {
        return Some(
            Problem::new(
                CODE,
                Span::new(at, at + 1),
                format!("a text cannot begin with `{first}`"),
            )
            .help("put it in quotes"),
        );
    }
    let plain = !matches!(first, '"' | '\'' | '{' | '[' | '|' | '>' | '#');
    if plain && let Some(colon) = value.find(": ") {
        let span = Span::new(at + colon, at + colon + 1);
        return Some(
            Problem::new(CODE, span, "a second `: ` stands in this line")
                .help("a text with `: ` in it goes in quotes"),
        );
    }
    None
}

/// A template that YAML takes for brackets.
fn template_without_quotes(source: &Source<'_>, line: usize) -> Option<Problem> {
    let (start, text) = source.line_text(line);
    let before = |at: usize| text.get(..at).unwrap_or_default().trim_end();
    let bare = text.match_indices("{{").map(|(at, _)| at).find(|at| {
        // Not within a text that is quoted already, nor in the middle of a plain one.
        let before = before(*at);
        before.is_empty() || before.ends_with([':', ',', '[', '{', '-'])
    })?;
    let rest = text.get(bare..).unwrap_or_default();
    let length = rest.find("}}").map_or(2, |end| end + 2);
    Some(unquoted(
        Span::new(start + bare, start + bare + length),
        rest.get(..length).unwrap_or_default(),
    ))
}

fn unquoted(span: Span, template: &str) -> Problem {
    let problem = Problem::new(
        CODE,
        span,
        "a template is not in quotes: YAML takes `{` for a map",
    );
    match template.ends_with("}}") {
        true => problem.help(format!("quote it: '{template}'")),
        false => problem.help("quote it: '{{ … }}'"),
    }
}

/// What is wrong with a list or a map where a key should stand.
pub(super) fn key_of_values(source: &Source<'_>, span: Span) -> Problem {
    let (_, line) = source.line_text(source.line(span.start));
    if line.contains("{{") {
        // The outer bracket is the map whose key this is.
        let (start, _) = source.line_text(source.line(span.start));
        let from = source.slice(Span::new(start, span.start));
        let begin = match from.ends_with('{') {
            true => span.start - 1,
            false => span.start,
        };
        let rest = source.text.get(begin..).unwrap_or_default();
        let length = rest.find("}}").map_or(2, |end| end + 2);
        if rest.starts_with("{{") {
            return unquoted(
                Span::new(begin, begin + length),
                rest.get(..length).unwrap_or_default(),
            );
        }
    }
    Problem::new(CODE, span, "a list or a map stands where a key is wanted")
        .help("a key is a word; a text with brackets in it goes in quotes")
}

fn unclosed_quote(source: &Source<'_>, at: usize) -> Problem {
    let before = source.text.get(..at).unwrap_or(source.text);
    // The last key whose value begins with a quote is the one that was not closed.
    let opened = before.rmatch_indices(['"', '\'']).find(|(at, _)| {
        let before = before.get(..*at).unwrap_or_default();
        before.is_empty() || before.ends_with([' ', '\n', '[', '{', ',', ':'])
    });
    let place = opened.map_or(at, |(at, _)| at);
    not_closed(place)
}

fn not_closed(at: usize) -> Problem {
    Problem::new(CODE, Span::new(at, at + 1), "a quote is not closed")
        .label("perhaps this one")
        .help("end the text with the same quote; a single quote within single quotes is written twice")
}

/// The innermost bracket that is open at the end of a text, as far as can be told without YAML.
fn open_bracket(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), '\n') | (Some(_), _) => {}
            (None, '\'' | '"') => {
                let before = text.get(..at).unwrap_or_default();
                if before.ends_with([' ', '[', '{', ',', ':', '\n']) {
                    quote = Some(c);
                }
            }
            (None, '[' | '{') => open.push(at),
            (None, ']' | '}') => {
                open.pop();
            }
            (None, _) => {}
        }
    }
    open.pop()
}
