//! Which devices are meant: `interface-name:` with `*` and `?`, in lists that `;` or `,` separates.

use std::fmt;

/// Splits a value into its specs, as `nm_match_spec_split` does: blanks around each do not count, and
/// `\` keeps `;`, `,` and itself from meaning anything.
pub fn split(value: &str) -> Vec<String> {
    let mut specs = Vec::new();
    let mut spec = String::new();
    // Up to here, blanks at its end were written on purpose.
    let mut kept = 0;
    let mut chars = value.trim_ascii_start().chars();
    let mut finish = |spec: &mut String, kept: &mut usize| {
        let end = spec.trim_ascii_end().len().max(*kept);
        spec.truncate(end);
        if !spec.is_empty() {
            specs.push(std::mem::take(spec));
        }
        spec.clear();
        *kept = 0;
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                match chars.next() {
                    Some('s') => spec.push(' '),
                    Some('n') => spec.push('\n'),
                    Some('t') => spec.push('\t'),
                    Some('r') => spec.push('\r'),
                    Some(c @ ('\\' | ';' | ',')) => spec.push(c),
                    Some(c) => spec.extend(['\\', c]),
                    None => {}
                }
                kept = spec.len();
            }
            ';' | ',' => finish(&mut spec, &mut kept),
            // Those before a spec do not count.
            c if c.is_ascii_whitespace() && spec.is_empty() => {}
            c => spec.push(c),
        }
    }
    finish(&mut spec, &mut kept);
    specs
}

/// An `interface-name:` spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    spec: String,
    /// `*` and `?` stand for themselves.
    literal: bool,
    name: String,
}

impl Pattern {
    /// `None`: it is told by something else than the device's name.
    pub fn parse(spec: &str) -> Option<Self> {
        let name = spec.strip_prefix("interface-name:")?;
        let (literal, name) = match (name.strip_prefix('='), name.strip_prefix('~')) {
            (Some(name), _) => (true, name),
            (None, Some(name)) => (false, name),
            (None, None) => (false, name),
        };
        Some(Self {
            spec: spec.to_owned(),
            literal,
            name: name.to_owned(),
        })
    }

    /// Whether it means the device of this name.
    pub fn matches(&self, device: &str) -> bool {
        let literal: Vec<Part> = device.bytes().map(Part::Is).collect();
        meet(&self.parts(), &literal)
    }

    /// Whether there can be a device that both mean.
    pub fn meets(&self, other: &Self) -> bool {
        meet(&self.parts(), &other.parts())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn parts(&self) -> Vec<Part> {
        let part = |byte| match byte {
            b'*' if !self.literal => Part::Any,
            b'?' if !self.literal => Part::One,
            byte => Part::Is(byte),
        };
        self.name.bytes().map(part).collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Is(u8),
    One,
    /// Any number of characters.
    Any,
}

/// Whether there is a text that fits both.
fn meet(one: &[Part], other: &[Part]) -> bool {
    // `reached[j]`: what was taken of `one` so far can be that much of `other`.
    let mut reached = vec![false; other.len() + 1];
    let may_be_empty = |reached: &mut Vec<bool>| {
        for (at, part) in other.iter().enumerate() {
            if *part == Part::Any && reached.get(at) == Some(&true) {
                set(reached, at + 1);
            }
        }
    };
    set(&mut reached, 0);
    may_be_empty(&mut reached);
    for part in one {
        let mut next = vec![false; other.len() + 1];
        if *part == Part::Any {
            // All from the first on that was reached.
            let from = reached.iter().position(|is| *is).unwrap_or(reached.len());
            for at in from..reached.len() {
                set(&mut next, at);
            }
        } else {
            for (at, theirs) in other.iter().enumerate() {
                if reached.get(at) != Some(&true) {
                    continue;
                }
                match (part, theirs) {
                    (_, Part::Any) => set(&mut next, at),
                    (Part::Is(a), Part::Is(b)) if a != b => {}
                    _ => set(&mut next, at + 1),
                }
            }
            // What comes after a `*` at the end is taken by it too.
            if other.last() == Some(&Part::Any) && reached.last() == Some(&true) {
                set(&mut next, other.len());
            }
        }
        may_be_empty(&mut next);
        reached = next;
    }
    reached.last() == Some(&true)
}

fn set(all: &mut [bool], at: usize) {
    if let Some(is) = all.get_mut(at) {
        *is = true;
    }
}
