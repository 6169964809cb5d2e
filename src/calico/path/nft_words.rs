//! The words of a rule of nftables, and what something is compared with in it.

use super::rules::{Does, Networks, has_port};

/// What something is compared with.
pub(super) struct Value<'w> {
    /// `!=`, `<`, … or nothing.
    operator: &'w str,
    /// Each with the verdict that a map gives it.
    items: Vec<Vec<&'w str>>,
    set: bool,
}

/// The value that begins at a place, and how many words it has.
pub(super) fn value(words: &[String], at: usize) -> (Value<'_>, usize) {
    let word = |i: usize| words.get(i).map(String::as_str).unwrap_or_default();
    let mut next = at;
    let mut operator = "";
    if matches!(word(next), "!=" | "==" | "<" | ">" | "<=" | ">=") {
        operator = word(next);
        next += 1;
    }
    if word(next) == "vmap" {
        next += 1;
    }
    let mut items = Vec::new();
    let set = word(next) == "{";
    if word(next) == "." {
        // Several things are looked up together: their values are not read.
        while next < words.len() && !matches!(word(next), "{" | "#") && !word(next).starts_with('@')
        {
            next += 1;
        }
        let end = |w: &String| w == "}";
        let more = words.get(next..).unwrap_or_default();
        if word(next) == "{" {
            next += more.iter().position(end).unwrap_or(more.len());
        }
        next += 1;
    } else if set {
        next += 1;
        let mut item = Vec::new();
        while next < words.len() && word(next) != "}" {
            match word(next) {
                "," => items.push(std::mem::take(&mut item)),
                other => item.push(other),
            }
            next += 1;
        }
        items.push(item);
        next += 1;
    } else {
        items.push(vec![word(next)]);
        next += 1;
        // A list without braces, such as `established,related`.
        while word(next) == "," {
            items.push(vec![word(next + 1)]);
            next += 2;
        }
    }
    let value = Value {
        operator,
        items,
        set,
    };
    (value, next - at)
}

impl<'w> Value<'w> {
    pub(super) fn affirms(&self) -> bool {
        matches!(self.operator, "" | "==")
    }

    /// Whether it asks for one of these.
    pub(super) fn any(&self, is: fn(&str) -> bool) -> bool {
        let first = |item: &Vec<&str>| item.first().is_some_and(|w| is(w));
        self.affirms() && self.items.iter().any(first)
    }

    /// Whether it names one of these, be it to exclude it.
    pub(super) fn has(&self, is: impl Fn(&str) -> bool) -> bool {
        self.items
            .iter()
            .any(|item| item.first().is_some_and(|w| is(w)))
    }

    /// The addresses that it asks for; none where it says others than networks, or verdicts.
    pub(super) fn networks(&self) -> Networks {
        let network = |item: &Vec<&str>| match item.as_slice() {
            [word] => word.parse().ok(),
            _ => None,
        };
        let list: Option<Vec<_>> = self.items.iter().map(network).collect();
        let known = matches!(self.operator, "" | "==" | "!=");
        Networks {
            list: list.filter(|_| known).unwrap_or_default(),
            not: self.operator == "!=",
        }
    }

    /// The only one that it asks for.
    pub(super) fn one(&self) -> Option<&'w str> {
        match self.items.as_slice() {
            [item] if self.affirms() => item.first().copied(),
            _ => None,
        }
    }

    /// Whether it names a port, with the verdict that it has for that.
    pub(super) fn port(&self, port: u16) -> Option<Option<Does>> {
        let first = |item: &Vec<&str>| item.first().and_then(|w| w.parse::<u16>().ok());
        if !self.affirms() {
            let number = self.items.first().and_then(first)?;
            let fits = match self.operator {
                "<" => port < number,
                "<=" => port <= number,
                ">" => port > number,
                ">=" => port >= number,
                _ => false,
            };
            return fits.then_some(None);
        }
        let named = |item: &&Vec<&str>| item.first().is_some_and(|w| has_port(w, '-', port));
        let item = self.items.iter().find(named)?;
        let does = match (self.set, item.as_slice()) {
            (true, [_, ":", "drop"]) => Some(Does::Drop),
            (true, [_, ":", "accept"]) => Some(Does::Accept),
            // It leads elsewhere, or does nothing of this kind.
            (true, [_, ":", ..]) => return None,
            _ => None,
        };
        Some(does)
    }

    pub(super) fn is_map(&self) -> bool {
        self.items.iter().any(|item| item.get(1) == Some(&":"))
    }

    /// Whether it has this verdict for a key that fits.
    pub(super) fn says(&self, verdict: &str, fits: impl Fn(&str) -> bool) -> bool {
        let says = |item: &Vec<&str>| match item.as_slice() {
            [key, ":", said] => *said == verdict && fits(key),
            _ => false,
        };
        self.items.iter().any(says)
    }

    /// Chains to which its verdicts lead.
    pub(super) fn jumps(&self) -> Vec<String> {
        let jump = |item: &Vec<&str>| match item.as_slice() {
            [_, ":", "jump" | "goto", chain, ..] => Some((*chain).to_owned()),
            _ => None,
        };
        self.items.iter().filter_map(jump).collect()
    }
}

/// Words; a text in quotes is one and keeps them, braces and commas stand alone.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            _ if quoted => word.push(c),
            ' ' | '\t' | ',' | '{' | '}' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if !c.is_whitespace() {
                    words.push(c.to_string());
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
