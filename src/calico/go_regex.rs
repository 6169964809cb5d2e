//! Regular expressions as calico-node understands them: those of Go's package `regexp`. What the two
//! engines may understand differently is called unclear rather than guessed.

use regex::Regex;
use regex_syntax::ast::{self, Ast, Visitor};
use regex_syntax::hir::Look;

/// What can be said of an expression that is written for Go.
#[derive(Debug, Clone)]
pub(super) enum Understood {
    /// Both engines understand it, and alike.
    Is(Pattern),
    /// Go refuses it too.
    Invalid(String),
    /// It is not known what Go makes of it.
    Unclear(String),
}

/// An expression that is searched for in names of links.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    /// Whether it may match letters outside ASCII otherwise than Go.
    ascii_only: bool,
}

impl Pattern {
    /// Whether it is found in a name; `None` where the engines may differ.
    pub fn is_in(&self, name: &str) -> Option<bool> {
        (name.is_ascii() || !self.ascii_only).then(|| self.regex.is_match(name))
    }
}

/// More repetitions than this Go refuses (`regexp/syntax`, Go 1.26).
const MOST_REPETITIONS: u32 = 1000;

pub(super) fn understand(expression: &str) -> Understood {
    let unclear = |what: &str| {
        Understood::Unclear(format!(
            "it is not known what Go makes of the regular expression `{expression}`: {what}"
        ))
    };
    let ast = match ast::parse::Parser::new().parse(expression) {
        Ok(ast) => ast,
        Err(e) => {
            return if is_invalid_in_go(expression, e.kind()) {
                Understood::Invalid(format!(
                    "`{expression}` is no regular expression: {}",
                    e.kind()
                ))
            } else {
                unclear(&e.kind().to_string())
            };
        }
    };
    // Sets of characters may be combined by these here, and are just characters there.
    let mut operators = ["--", "&&", "~~"].into_iter();
    if expression.contains('[')
        && let Some(operator) = operators.find(|o| expression.contains(o))
    {
        return unclear(&format!("it has `{operator}`"));
    }
    if expression.contains('{') && expression.contains(char::is_whitespace) {
        return unclear("it has blanks besides braces");
    }
    if let Err(what) = ast::visit(&ast, Difference { repetitions: 1 }) {
        return unclear(what);
    }
    match Regex::new(expression) {
        Ok(regex) => Understood::Is(Pattern {
            regex,
            ascii_only: ["\\", "(?", "[:"].iter().any(|s| expression.contains(s)),
        }),
        Err(e) => unclear(&e.to_string()),
    }
}

/// Whether an error here is certainly one in Go.
fn is_invalid_in_go(expression: &str, kind: &ast::ErrorKind) -> bool {
    use ast::ErrorKind as E;
    // Quoted text, flags and braces, which the two read differently, may hide what looks like a mistake.
    if ["\\Q", "(?", "{"].iter().any(|s| expression.contains(s)) {
        return false;
    }
    match kind {
        E::GroupUnclosed | E::GroupUnopened | E::RepetitionMissing | E::EscapeUnexpectedEof => {
            !expression.contains('[')
        }
        // A bracket within a set opens another one here only.
        E::ClassUnclosed => expression.matches('[').count() == 1,
        _ => false,
    }
}

/// Looks for what the engines understand differently.
struct Difference {
    /// How often the part that is being looked at is repeated, at the most, by counts.
    repetitions: u32,
}

impl Visitor for Difference {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), &'static str> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), &'static str> {
        match ast {
            Ast::Flags(flags) => known_flags(&flags.flags),
            Ast::Literal(literal) => known_literal(literal),
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::StartLine
                | ast::AssertionKind::EndLine
                | ast::AssertionKind::StartText
                | ast::AssertionKind::EndText
                | ast::AssertionKind::WordBoundary
                | ast::AssertionKind::NotWordBoundary => Ok(()),
                _ => Err("it has a mark of a word's begin or end"),
            },
            Ast::ClassUnicode(_) => Err("it has a class of Unicode"),
            Ast::Group(group) => match &group.kind {
                ast::GroupKind::CaptureIndex(_) => Ok(()),
                ast::GroupKind::NonCapturing(flags) => known_flags(flags),
                ast::GroupKind::CaptureName { .. } => Err("it has a group with a name"),
            },
            Ast::Repetition(repetition) => {
                if matches!(*repetition.ast, Ast::Repetition(_)) {
                    return Err("it repeats a repetition");
                }
                self.repetitions = self.repetitions.saturating_mul(counted(repetition));
                if self.repetitions > MOST_REPETITIONS {
                    return Err("it repeats too often");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), &'static str> {
        if let Ast::Repetition(repetition) = ast {
            self.repetitions /= counted(repetition);
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), &'static str> {
        match item {
            ast::ClassSetItem::Literal(literal) => known_literal(literal),
            ast::ClassSetItem::Range(range) => {
                known_literal(&range.start).and_then(|()| known_literal(&range.end))
            }
            ast::ClassSetItem::Unicode(_) => Err("it has a class of Unicode"),
            ast::ClassSetItem::Bracketed(_) => Err("it has a set within a set"),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        _: &ast::ClassSetBinaryOp,
    ) -> Result<(), &'static str> {
        Err("it combines sets")
    }
}

/// How often a part is repeated by a count; 1 where there is none.
fn counted(repetition: &ast::Repetition) -> u32 {
    match repetition.op.kind {
        ast::RepetitionKind::Range(ast::RepetitionRange::Exactly(n)) => n,
        ast::RepetitionKind::Range(ast::RepetitionRange::AtLeast(n)) => n,
        ast::RepetitionKind::Range(ast::RepetitionRange::Bounded(_, n)) => n,
        _ => 1,
    }
    .max(1)
}

fn known_flags(flags: &ast::Flags) -> Result<(), &'static str> {
    let known = flags.items.iter().all(|item| match item.kind {
        ast::FlagsItemKind::Negation => true,
        ast::FlagsItemKind::Flag(flag) => matches!(
            flag,
            ast::Flag::CaseInsensitive
                | ast::Flag::MultiLine
                | ast::Flag::DotMatchesNewLine
                | ast::Flag::SwapGreed
        ),
    });
    known.then_some(()).ok_or("it has flags that Go has not")
}

fn known_literal(literal: &ast::Literal) -> Result<(), &'static str> {
    match literal.kind {
        ast::LiteralKind::Verbatim | ast::LiteralKind::Meta | ast::LiteralKind::Superfluous => {
            Ok(())
        }
        _ => Err("it has a character by its number"),
    }
}

/// The expression as one that matches whole names only. One that is so already, and one that is not
/// understood, stays as it is.
pub(super) fn anchored(expression: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if expression.chars().all(plain) {
        return format!("^{expression}$");
    }
    if !matches!(understand(expression), Understood::Is(_)) {
        return expression.to_owned();
    }
    let Ok(hir) = regex_syntax::parse(expression) else {
        return expression.to_owned();
    };
    let marks = hir.properties();
    let starts = marks.look_set_prefix().contains(Look::Start);
    let ends = marks.look_set_suffix().contains(Look::End);
    match (starts, ends) {
        (true, true) => expression.to_owned(),
        (true, false) if !expression.contains('|') => format!("{expression}$"),
        (false, true) if !expression.contains('|') => format!("^{expression}"),
        _ => format!("^({expression})$"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(expression: &str) -> &'static str {
        match understand(expression) {
            Understood::Is(_) => "is",
            Understood::Invalid(_) => "invalid",
            Understood::Unclear(_) => "unclear",
        }
    }

    /// Each was tried with Go 1.26; what is unclear may be valid there or not.
    #[test]
    fn what_go_makes_of_an_expression_is_known_or_said_to_be_unclear() {
        for (expression, expected) in [
            ("(eth0)|(ens.*)", "is"),
            ("()", "is"),
            (r"^eth\d+$", "is"),
            ("[[:alpha:]]+[0-9]{1,3}", "is"),
            ("(?i)ETH", "is"),
            ("^*", "is"),
            ("eth--0", "is"),
            ("(eth()", "invalid"),
            ("eth)", "invalid"),
            ("*eth", "invalid"),
            ("[a", "invalid"),
            (r"eth\", "invalid"),
            // Valid there, not here, or with another meaning.
            ("[[a]", "unclear"),
            ("[a--z]", "unclear"),
            ("[a&&b]", "unclear"),
            ("a{", "unclear"),
            ("{a", "unclear"),
            ("a{ 2 }", "unclear"),
            ("(?)", "unclear"),
            (r"\Q(\E", "unclear"),
            (r"\<a", "unclear"),
            ("(?<n>a)", "unclear"),
            // Not valid there.
            ("a**", "unclear"),
            ("a{1001}", "unclear"),
            ("(a{500}){3}", "unclear"),
            ("(?x)a", "unclear"),
            ("(?u)a", "unclear"),
            (r"\u0041", "unclear"),
        ] {
            assert_eq!(said(expression), expected, "{expression}");
        }
    }

    #[test]
    fn counts_beside_each_other_are_not_multiplied() {
        assert_eq!(said("(a{500})(b{500})"), "is");
    }
}
