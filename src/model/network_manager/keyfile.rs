//! A key file, as GLib reads it: of keys that come twice the last counts, at the place of the first.

/// Its groups, each with its keys; the same group may have stood in several places.
pub struct KeyFile(Vec<(String, Vec<(String, String)>)>);

/// A line, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'l> {
    Group(&'l str),
    /// A key, and its value without the blanks before it.
    Pair(&'l str, &'l str),
    Other,
}

impl<'l> Line<'l> {
    pub fn parse(line: &'l str) -> Self {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = line.trim_start_matches(|c: char| c.is_ascii_whitespace());
        if line.is_empty() || line.starts_with('#') {
            return Self::Other;
        }
        if let Some(group) = line.trim_ascii_end().strip_prefix('[') {
            return match group.strip_suffix(']') {
                Some(group) => Self::Group(group),
                None => Self::Other,
            };
        }
        match line.split_once('=') {
            Some((key, value)) => Self::Pair(key.trim_ascii_end(), value.trim_ascii_start()),
            None => Self::Other,
        }
    }
}

impl KeyFile {
    /// What is no key file is passed over: NetworkManager says itself what it cannot read.
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let mut groups: Vec<(String, Vec<(String, String)>)> = Vec::new();
        let mut current: Option<usize> = None;
        for line in text.split('\n') {
            match Line::parse(line) {
                Line::Group(name) => {
                    let at = groups.iter().position(|(group, _)| group == name);
                    current = Some(at.unwrap_or(groups.len()));
                    if at.is_none() {
                        groups.push((name.to_owned(), Vec::new()));
                    }
                }
                Line::Pair(key, value) => {
                    let Some((_, keys)) = current.and_then(|at| groups.get_mut(at)) else {
                        continue;
                    };
                    match keys.iter_mut().find(|(known, _)| known == key) {
                        Some((_, old)) => value.clone_into(old),
                        None => keys.push((key.to_owned(), value.to_owned())),
                    }
                }
                Line::Other => {}
            }
        }
        Self(groups)
    }

    /// The keys of a group with their values.
    pub fn keys(&self, group: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name == group)
            .flat_map(|(_, keys)| keys)
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn value(&self, group: &str, key: &str) -> Option<&str> {
        self.keys(group).find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}
