//! What a host printed, part by part.

use super::Fact;
use std::collections::BTreeMap;

/// Bytes that a part may have; the host sends one more where there are more.
const MOST: usize = 262_144;

/// The parts of an answer, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts(BTreeMap<String, Fact<Vec<u8>>>);

impl Parts {
    /// Takes in a part: the line that begins it, and its bytes. The later word on one counts.
    pub fn take(&mut self, line: &str, bytes: &[u8]) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, why) = rest.split_once(' ').unwrap_or((rest, ""));
        let part = match what {
            "got" if bytes.len() > MOST => {
                Fact::Unknown(format!("it is longer than the {MOST} bytes that are read"))
            }
            "got" => Fact::Is(bytes.to_vec()),
            "no" => Fact::Unknown(why.to_owned()),
            "none" => Fact::NotApplicable(why.to_owned()),
            _ => return,
        };
        self.0.insert(name.to_owned(), part);
    }

    pub(super) fn bytes(&self, name: &str) -> Fact<&[u8]> {
        match self.0.get(name) {
            Some(part) => part.as_ref().map(Vec::as_slice),
            None => Fact::unknown("it was not read"),
        }
    }

    pub(super) fn text(&self, name: &str) -> Fact<String> {
        self.bytes(name)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The first line, without blanks around it. An empty one says nothing.
    pub(super) fn line(&self, name: &str) -> Fact<String> {
        self.text(name).and_then(|text| {
            match text.lines().next().map(str::trim).unwrap_or_default() {
                "" => Fact::not_applicable("it is empty"),
                line => Fact::Is(line.to_owned()),
            }
        })
    }

    pub(super) fn number(&self, name: &str) -> Fact<u64> {
        self.line(name).and_then(|line| {
            let number = line.parse().ok();
            Fact::of(number, || format!("`{line}` is not a number"))
        })
    }

    /// The parts with this name and a path of their own, by the paths.
    pub(super) fn paths(&self, name: &str) -> impl Iterator<Item = (&str, &Fact<Vec<u8>>)> {
        self.0.iter().filter_map(move |(known, part)| {
            let path = known.strip_prefix(name)?.strip_prefix('=')?;
            Some((path, part))
        })
    }
}
