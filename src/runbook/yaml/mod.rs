//! YAML to a tree in which each value knows its place. What a runbook does not need is refused with
//! what to write instead, and how much there may be of everything is bounded.

mod scalar;
mod text;
mod words;

pub(super) use text::{MAX_BYTES, check_bytes, check_text, too_large};

use super::problem::{Found, Problem};
use super::source::{Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Number;
use std::collections::HashMap;

/// Events of the parser: about as many as a file has values.
const MAX_EVENTS: usize = 100_000;
/// Lists and maps within each other.
const MAX_DEPTH: usize = 64;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// With the text by which it was written, which may be another than it would be shown by.
    Number(Number, String),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Of what was said to be wrong; nothing more is said of it.
    Refused,
}

/// A key of a map: always text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub text: String,
    pub span: Span,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    pub fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        let entries = self.entries().iter();
        let mut found = entries.filter(|(own, _)| own.text == key);
        found.next().map(|(key, node)| (key, node))
    }

    /// The entries of a map; of anything else, none.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of anything else, none.
    pub fn items_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            Value::List(items) => items,
            _ => &mut [],
        }
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => entries
                .iter_mut()
                .find(|(key, _)| key.text == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Where it begins, for what is wrong with the whole of it: a map's first key.
    pub fn head(&self) -> Span {
        match self.entries().first() {
            Some((key, _)) => key.span,
            None => self.span,
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Refused => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Number(number, _) => number.clone().into(),
            Value::String(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), node.to_json()))
                .collect(),
        }
    }
}

/// What reading cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub events: usize,
    pub nodes: usize,
}

/// A list or a map that has not ended.
struct Open {
    start: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        /// A key whose value comes next.
        key: Option<Key>,
        /// Where each key stands.
        seen: HashMap<String, Span>,
    },
    /// A list or a map where a key should stand: what is in it is passed over.
    Key,
}

struct Builder<'a> {
    source: &'a Source<'a>,
    /// The byte at which each character begins, if they are not the same.
    bytes: Option<Vec<usize>>,
    open: Vec<Open>,
    root: Option<Node>,
    cost: Cost,
}

/// The tree of a text, or `None` with the reasons. What is wrong with a tree that can be read all the
/// same is added to what was found.
pub(super) fn parse(source: &Source<'_>, found: &mut Found) -> (Option<Node>, Cost) {
    let bytes = (!source.text.is_ascii()).then(|| {
        let starts = source.text.char_indices().map(|(at, _)| at);
        starts.chain([source.text.len()]).collect()
    });
    let mut builder = Builder {
        source,
        bytes,
        open: Vec::new(),
        root: None,
        cost: Cost::default(),
    };
    match builder.run(found) {
        Ok(()) => {
            if builder.root.is_none() && found.count() == 0 {
                found.push(
                    Problem::new("runbook::yaml", Span::default(), "there is nothing in it")
                        .help("a runbook begins with `apiVersion: runbook/v1`"),
                );
            }
            (builder.root, builder.cost)
        }
        Err(problem) => {
            found.push(*problem);
            (None, builder.cost)
        }
    }
}

impl Builder<'_> {
    fn run(&mut self, found: &mut Found) -> Result<(), Box<Problem>> {
        let mut documents = 0;
        for event in Parser::new_from_str(self.source.text) {
            let (event, span) = event.map_err(|e| {
                let at = self.byte(e.marker().index());
                Box::new(words::explain(self.source, at, e.info()))
            })?;
            let span = Span::new(self.byte(span.start.index()), self.byte(span.end.index()));
            self.cost.events += 1;
            if self.cost.events > MAX_EVENTS {
                return Err(Box::new(
                    Problem::new("runbook::size", span, "there is too much in this file")
                        .help(format!("a runbook may have {MAX_EVENTS} keys and values")),
                ));
            }
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Box::new(
                            Problem::new("runbook::documents", span, "a second document begins here")
                                .help("a file has one runbook: put each into a file of its own, and leave out `---`"),
                        ));
                    }
                }
                Event::Alias(_) => {
                    found.push(refused_anchor(span));
                    self.value(span, Value::Refused, found);
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse(span, anchor, tag.is_some(), found);
                    self.scalar(span, &text, style, found);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse(span, anchor, tag.is_some(), found);
                    self.begin(span, Inside::List(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse(span, anchor, tag.is_some(), found);
                    let inside = Inside::Map {
                        entries: Vec::new(),
                        key: None,
                        seen: HashMap::new(),
                    };
                    self.begin(span, inside)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(span, found),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn byte(&self, index: usize) -> usize {
        let length = self.source.text.len();
        match &self.bytes {
            None => index.min(length),
            Some(bytes) => bytes.get(index).copied().unwrap_or(length),
        }
    }

    fn refuse(&self, span: Span, anchor: usize, tag: bool, found: &mut Found) {
        if anchor > 0 {
            found.push(refused_anchor(self.before(span, '&')));
        }
        if tag {
            found.push(
                Problem::new(
                    "runbook::tag",
                    self.before(span, '!'),
                    "a text that begins with `!` is a tag in YAML, and runbooks have none",
                )
                .help("put the text in quotes: '!…'"),
            );
        }
    }

    /// An anchor or a tag stands before its value, in the same line.
    fn before(&self, span: Span, mark: char) -> Span {
        let (start, _) = self.source.line_text(self.source.line(span.start));
        let line = self.source.slice(Span::new(start, span.start));
        match line.rfind(mark) {
            Some(at) => Span::new(start + at, start + line.trim_end().len()),
            None => span,
        }
    }

    fn begin(&mut self, span: Span, inside: Inside) -> Result<(), Box<Problem>> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Box::new(
                Problem::new(
                    "runbook::size",
                    span,
                    "too many lists and maps within each other",
                )
                .help(format!("a runbook may have {MAX_DEPTH}")),
            ));
        }
        let for_key = matches!(
            self.open.last().map(|open| &open.inside),
            Some(Inside::Map { key: None, .. } | Inside::Key)
        );
        self.open.push(Open {
            start: span.start,
            inside: match for_key {
                true => Inside::Key,
                false => inside,
            },
        });
        Ok(())
    }

    fn end(&mut self, span: Span, found: &mut Found) {
        let Some(Open { start, inside }) = self.open.pop() else {
            return;
        };
        // The end of a block is seen where the next thing begins.
        let whole = Span::new(start, span.end.max(start));
        let trimmed = self.source.slice(whole).trim_end().len();
        let span = Span::new(start, start + trimmed);
        match inside {
            Inside::List(items) => self.value(span, Value::List(items), found),
            Inside::Map { entries, .. } => {
                let value = match entries.iter().any(|(key, _)| key.text.is_empty()) {
                    true => Value::Refused,
                    false => Value::Map(entries),
                };
                self.value(span, value, found);
            }
            Inside::Key => {
                if !matches!(self.open.last().map(|o| &o.inside), Some(Inside::Key)) {
                    found.push(words::key_of_values(self.source, span));
                }
                self.key(None, span, found);
            }
        }
    }

    fn scalar(&mut self, span: Span, text: &str, style: ScalarStyle, found: &mut Found) {
        let trimmed = self.source.slice(span).trim_end().len();
        let span = Span::new(span.start, span.start + trimmed);
        match self.open.last().map(|open| &open.inside) {
            Some(Inside::Map { key: None, .. }) => self.key(Some((text, style)), span, found),
            Some(Inside::Key) => {}
            _ => {
                let value = match style {
                    ScalarStyle::Plain if scalar::has_leading_zero(text) => {
                        found.push(leading_zero(span, text));
                        Value::Refused
                    }
                    ScalarStyle::Plain => scalar::resolve(text),
                    _ => Value::String(text.to_owned()),
                };
                self.value(span, value, found);
            }
        }
    }

    fn key(&mut self, text: Option<(&str, ScalarStyle)>, span: Span, found: &mut Found) {
        let Some(Open {
            inside: Inside::Map { key, seen, .. },
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        let name = match text {
            Some((text, _)) => text.to_owned(),
            // Already said; what stands below it is read all the same.
            None => String::new(),
        };
        if let Some((text, style)) = text {
            if text == "<<" && style == ScalarStyle::Plain {
                found.push(
                    Problem::new(
                        "runbook::merge_key",
                        span,
                        "maps are not merged by `<<` here",
                    )
                    .help("write out what it stands for"),
                );
            } else if text.is_empty() {
                found.push(Problem::new("runbook::yaml", span, "a key is empty"));
            } else if let Some(first) = seen.get(text) {
                found.push(
                    Problem::new(
                        "runbook::duplicate_key",
                        span,
                        format!("`{text}` is there twice"),
                    )
                    .label("again here")
                    .also(*first, "first here")
                    .help("leave one of them out"),
                );
            }
        }
        seen.entry(name.clone()).or_insert(span);
        *key = Some(Key { text: name, span });
    }

    fn value(&mut self, span: Span, value: Value, found: &mut Found) {
        self.cost.nodes += 1;
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(Node { span, value }),
            Some(Inside::List(items)) => items.push(Node { span, value }),
            Some(Inside::Map { entries, key, .. }) => match key.take() {
                // An empty value has no place of its own.
                Some(key) if value == Value::Null && span.start == span.end => {
                    let span = key.span;
                    entries.push((key, Node { span, value }));
                }
                Some(key) => entries.push((key, Node { span, value })),
                None => self.key(None, span, found),
            },
            Some(Inside::Key) => {}
        }
    }
}

fn leading_zero(span: Span, text: &str) -> Problem {
    let without = text.trim_start_matches(['+', '-', '0']);
    let without = match without.starts_with(|c: char| c.is_ascii_digit()) {
        true => without.to_owned(),
        false => format!("0{without}"),
    };
    let sign = if text.starts_with('-') { "-" } else { "" };
    let octal = text.strip_prefix('0').filter(|rest| {
        let octal = |c: char| ('0'..='7').contains(&c);
        rest.chars().all(octal)
    });
    let octal = octal.map_or(String::new(), |digits| {
        format!("0o{digits} if it is octal, ")
    });
    Problem::new(
        "runbook::leading_zero",
        span,
        format!("`{text}` is octal for some programs and decimal for others"),
    )
    .help(format!("write {octal}\"{text}\" in quotes if it is text, or {sign}{without} if it is a decimal number"))
}

fn refused_anchor(span: Span) -> Problem {
    Problem::new("runbook::anchor", span, "runbooks have no anchors and no aliases")
        .help("write the value out, or make a parameter of it; a text that begins with `&` or `*` goes in quotes")
}

#[cfg(test)]
mod tests;
