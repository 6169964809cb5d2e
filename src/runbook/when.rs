//! A step's condition: its form, and the names in it.

use super::condition;
use super::facts::uses_facts;
use super::kind::Type;
use super::names::Names;
use super::problem::{Found, Problem};
use super::source::{Source, Span};
use super::steps::{Around, secret, unknown_name};
use super::yaml::Node;

pub(super) fn check_condition(
    when: &Node,
    names: &Names<'_>,
    around: &Around<'_>,
    found: &mut Found,
) {
    let Some(text) = when.text() else {
        return;
    };
    if text.contains("{{") {
        found.push(
            Problem::new(
                "runbook::condition",
                when.span,
                "a condition has no templates",
            )
            .help("it names things directly: when: params.x == 'y'"),
        );
        return;
    }
    let used = match condition::names_in(text) {
        Ok(used) => used,
        Err(wrong) => {
            let span = wrong
                .place
                .and_then(|(line, column)| in_plain(around.source, when, text, line, column));
            let words = ["and", "or", "not"];
            let help = match text.split_whitespace().any(|word| words.contains(&word)) {
                true => "write && for and, || for or, and ! for not",
                false => {
                    "a condition is an expression in CEL, such as steps.x.changed && params.y != 'z'"
                }
            };
            let message = format!("this is not a condition: {}", wrong.why);
            let span = span.unwrap_or(when.span);
            found.push(Problem::new("runbook::condition", span, message).help(help));
            return;
        }
    };
    for misuse in used.misuses(&names.known) {
        let span = find_word(around.source, when.span, &misuse.name).unwrap_or(when.span);
        found.push(Problem::new("runbook::condition", span, misuse.message).help(misuse.help));
    }
    for name in &used.names {
        let span = find_word(around.source, when.span, name).unwrap_or(when.span);
        match names.find(name) {
            Err(unknown) => found.push(unknown_name(span, unknown)),
            Ok(Type::Secret) => found.push(secret(span, name)),
            // That it is no value was said.
            Ok(Type::Record(_)) if uses_facts(name) => {}
            // Nothing but a name: it must be true or false.
            Ok(Type::String | Type::Int | Type::List(_) | Type::Record(_))
                if name == text.trim() =>
            {
                let message = format!("`{name}` is not true or false");
                found.push(
                    Problem::new("runbook::condition", span, message)
                        .help(format!("compare it with something: {name} == …")),
                );
            }
            Ok(_) => {}
        }
    }
}

/// The place of a character of a text that stands in one line as it is.
fn in_plain(
    source: &Source<'_>,
    node: &Node,
    text: &str,
    line: usize,
    column: usize,
) -> Option<Span> {
    let slice = source.slice(node.span);
    let offset = slice.find(text)?;
    if line > 0 {
        return None;
    }
    let at = text
        .char_indices()
        .nth(column)
        .map_or(text.len(), |(at, _)| at);
    let at = node.span.start + offset + at;
    Some(Span::new(at, at + 1))
}

/// Where a dotted name stands as it is.
fn find_word(source: &Source<'_>, span: Span, name: &str) -> Option<Span> {
    let slice = source.slice(span);
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let at = slice.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = slice.get(..*at).unwrap_or_default();
        let after = slice.get(at + name.len()..).unwrap_or_default();
        !before.ends_with(part)
            && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })?;
    Some(Span::new(span.start + at, span.start + at + name.len()))
}
