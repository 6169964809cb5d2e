//! Calico's selectors over labels, by which peers are chosen (Calico v3.31, libcalico-go/lib/selector).

use std::collections::BTreeMap;

/// A selector, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    All,
    Has(String),
    Equals(String, String),
    /// Also where there is no such label.
    Differs(String, String),
    In(String, Vec<String>),
    /// Also where there is no such label.
    NotIn(String, Vec<String>),
    Contains(String, String),
    StartsWith(String, String),
    EndsWith(String, String),
    Not(Box<Selector>),
    And(Vec<Selector>),
    Or(Vec<Selector>),
}

/// How deep parentheses may stand in each other.
const DEEPEST: usize = 50;

impl Selector {
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |key: &str| labels.get(key).map(String::as_str);
        match self {
            Self::All => true,
            Self::Has(key) => value(key).is_some(),
            Self::Equals(key, wanted) => value(key) == Some(wanted),
            Self::Differs(key, other) => value(key) != Some(other),
            Self::In(key, wanted) => value(key).is_some_and(|v| wanted.iter().any(|w| w == v)),
            Self::NotIn(key, others) => !value(key).is_some_and(|v| others.iter().any(|o| o == v)),
            Self::Contains(key, part) => value(key).is_some_and(|v| v.contains(part.as_str())),
            Self::StartsWith(key, part) => value(key).is_some_and(|v| v.starts_with(part.as_str())),
            Self::EndsWith(key, part) => value(key).is_some_and(|v| v.ends_with(part.as_str())),
            Self::Not(inner) => !inner.selects(labels),
            Self::And(all) => all.iter().all(|one| one.selects(labels)),
            Self::Or(any) => any.iter().any(|one| one.selects(labels)),
        }
    }
}

impl std::str::FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            rest: text.trim(),
            depth: 0,
        };
        if reader.rest.is_empty() {
            return Ok(Self::All);
        }
        let selector = reader.any()?;
        match reader.rest {
            "" => Ok(selector),
            rest => Err(format!("`{rest}` is too much in the selector `{text}`")),
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    /// Goes over a sign, if it is next.
    fn take(&mut self, sign: &str) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(format!("`{sign}` is missing before `{}`", self.rest)),
        }
    }

    /// A word, if it is next and nothing more belongs to it.
    fn word(&mut self, word: &str) -> bool {
        let ends = self
            .rest
            .strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(is_of_label));
        ends && self.take(word)
    }

    fn any(&mut self) -> Result<Selector, String> {
        let mut any = vec![self.all()?];
        while self.take("||") {
            any.push(self.all()?);
        }
        Ok(single(any, Selector::Or))
    }

    fn all(&mut self) -> Result<Selector, String> {
        let mut all = vec![self.one()?];
        while self.take("&&") {
            all.push(self.one()?);
        }
        Ok(single(all, Selector::And))
    }

    fn one(&mut self) -> Result<Selector, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("its parentheses stand too deep in each other".to_owned());
        }
        let one = self.one_below();
        self.depth -= 1;
        one
    }

    fn one_below(&mut self) -> Result<Selector, String> {
        if self.take("!") {
            return Ok(Selector::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            self.need(")")?;
            return Ok(inner);
        }
        for everything in ["all", "global"] {
            if self.word(everything) {
                self.need("(")?;
                self.need(")")?;
                return Ok(Selector::All);
            }
        }
        if self.word("has") {
            self.need("(")?;
            let key = self.label()?;
            self.need(")")?;
            return Ok(Selector::Has(key));
        }
        let key = self.label()?;
        if self.take("==") {
            return Ok(Selector::Equals(key, self.text()?));
        }
        if self.take("!=") {
            return Ok(Selector::Differs(key, self.text()?));
        }
        if self.word("not") {
            return match self.word("in") {
                true => Ok(Selector::NotIn(key, self.set()?)),
                false => Err(format!("`in` is missing before `{}`", self.rest)),
            };
        }
        if self.word("in") {
            return Ok(Selector::In(key, self.set()?));
        }
        if self.word("contains") {
            return Ok(Selector::Contains(key, self.text()?));
        }
        for (first, make) in [
            ("starts", Selector::StartsWith as fn(_, _) -> _),
            ("ends", Selector::EndsWith),
        ] {
            if self.word(first) {
                return match self.word("with") {
                    true => Ok(make(key, self.text()?)),
                    false => Err(format!("`with` is missing before `{}`", self.rest)),
                };
            }
        }
        Err(format!("no comparison follows the label `{key}`"))
    }

    fn label(&mut self) -> Result<String, String> {
        let end = self
            .rest
            .find(|c| !is_of_label(c))
            .unwrap_or(self.rest.len());
        let (label, rest) = self.rest.split_at(end);
        if label.is_empty() {
            return Err(format!("a label is missing before `{}`", self.rest));
        }
        self.rest = rest.trim_start();
        Ok(label.to_owned())
    }

    fn text(&mut self) -> Result<String, String> {
        let missing = || format!("a text in quotes is missing before `{}`", self.rest);
        let quote = self.rest.chars().next().filter(|c| "'\"".contains(*c));
        let quote = quote.ok_or_else(missing)?;
        let inner = self.rest.get(1..).unwrap_or_default();
        let (text, rest) = inner.split_once(quote).ok_or_else(missing)?;
        let text = text.to_owned();
        self.rest = rest.trim_start();
        Ok(text)
    }

    fn set(&mut self) -> Result<Vec<String>, String> {
        self.need("{")?;
        let mut set = Vec::new();
        while !self.take("}") {
            if !set.is_empty() {
                self.need(",")?;
            }
            set.push(self.text()?);
        }
        Ok(set)
    }
}

fn is_of_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./-".contains(c)
}

fn single(mut several: Vec<Selector>, make: fn(Vec<Selector>) -> Selector) -> Selector {
    match (several.len(), several.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            several.extend(last);
            make(several)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selects(text: &str) -> bool {
        let labels = [("rack", "r1"), ("kubernetes.io/os", "linux"), ("rr", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.parse::<Selector>()
            .unwrap_or_else(|why| panic!("{text}: {why}"))
            .selects(&labels.into())
    }

    #[test]
    fn nodes_are_selected_as_calico_does() {
        for yes in [
            "",
            "all()",
            "global()",
            "has(rr)",
            "has( kubernetes.io/os )",
            "!has(none)",
            "rack == 'r1'",
            "rack=='r1' && kubernetes.io/os == \"linux\"",
            "rack == 'r2' || has(rr)",
            "rack != 'r2'",
            "none != 'x'",
            "rack in {'r0', 'r1'}",
            "rack not in {'r2'}",
            "none not in {'r2'}",
            "none not in {}",
            "rack contains '1'",
            "rack starts with 'r'",
            "rack ends with '1'",
            "!(rack == 'r2' || rack == 'r3')",
            "has(rr) && (rack == 'r2' || rack == 'r1')",
            "rack == 'r2' && has(none) || all()",
        ] {
            assert!(selects(yes), "{yes}");
        }
        for no in [
            "has(none)",
            "!all()",
            "rack == 'r2'",
            "rack != 'r1'",
            "rack in {}",
            "none in {'x'}",
            "none contains ''",
            "rack starts with '1'",
            "rack ends with 'r'",
            "rack == 'r1' && !has(rr)",
        ] {
            assert!(!selects(no), "{no}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for wrong in [
            "rack",
            "rack = 'x'",
            "rack == x",
            "rack == 'x",
            "has(rack",
            "all",
            "rack in 'x'",
            "rack in {'x' 'y'}",
            "rack not 'x'",
            "rack starts 'x'",
            "(all()",
            "all() x",
            "&& all()",
            "== 'x'",
        ] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
        assert!("!".repeat(10_000).parse::<Selector>().is_err());
        assert!("(".repeat(10_000).parse::<Selector>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z(){}!&|='\", ]{0,30}|\\PC{0,20}") {
            let _ = text.parse::<Selector>();
        }
    }
}
