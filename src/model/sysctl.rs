//! The lines of sysctl.d(5), as systemd 252 reads them.

use super::setting::{SettingState, sysctl_path};

/// A line that sets one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysctlLine {
    /// Counted from 1.
    pub number: usize,
    /// The key's path under /proc/sys.
    pub path: String,
    pub value: String,
}

/// The path of the key by which the kernel's own variable is known here: this one has two (Linux 6.1,
/// net/netfilter/nf_conntrack_standalone.c), and files have either.
fn main_path(path: String) -> String {
    match path.as_str() {
        "net/nf_conntrack_max" => "net/netfilter/nf_conntrack_max".to_owned(),
        _ => path,
    }
}

/// Whether two keys are of the same variable of the kernel.
pub fn same_sysctl(one: &str, other: &str) -> bool {
    main_path(sysctl_path(one)) == main_path(sysctl_path(other))
}

impl SysctlLine {
    /// One line; `None` where it sets no single key: a comment, a pattern, an exclusion, what is broken.
    fn parse(number: usize, line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        // A hyphen says that a failure does not matter.
        let key = key.trim().trim_start_matches('-').trim();
        if key.is_empty() || key.contains(['*', '?', '[']) {
            return None;
        }
        Some(Self {
            number,
            path: main_path(sysctl_path(key)),
            value: value.trim().to_owned(),
        })
    }

    /// The lines of a file that set the key with this path.
    pub fn of(text: &str, path: &str) -> Vec<Self> {
        let path = main_path(path.to_owned());
        let lines = text.lines().enumerate();
        lines
            .filter_map(|(n, line)| Self::parse(n + 1, line))
            .filter(|line| line.path == path)
            .collect()
    }

    /// Its value, as a running one is told.
    pub fn state(&self) -> SettingState {
        SettingState::value(&self.value)
    }
}

/// A file's text in which a key has a value, once. Where it stands already, it is changed there, and
/// other lines of it go; all others stay as they are.
pub fn with_value(text: &str, key: &str, value: &str) -> String {
    let path = sysctl_path(key);
    let own = SysctlLine::of(text, &path);
    let last = own.last().map(|line| line.number);
    let mut new = String::with_capacity(text.len() + key.len() + value.len() + 4);
    let ending = match text.contains("\r\n") {
        true => "\r\n",
        false => "\n",
    };
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let number = Some(n + 1);
        if number == last {
            new.push_str(&format!("{key} = {value}{ending}"));
        } else if !own.iter().any(|own| Some(own.number) == number) {
            new.push_str(line);
        }
    }
    if last.is_none() {
        if !new.is_empty() && !new.ends_with('\n') {
            new.push_str(ending);
        }
        new.push_str(&format!("{key} = {value}{ending}"));
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        let text = "# net.a = 1\n; net.a = 2\nnet.a=3\n-net/a = 4 \nnet.* = 5\nnet.ab = 6\nnet.a\n\n net.a =  a  b\t";
        let values: Vec<(usize, String)> = SysctlLine::of(text, "net/a")
            .into_iter()
            .map(|line| (line.number, line.value))
            .collect();
        assert_eq!(
            values,
            [(3, "3".into()), (4, "4".into()), (9, "a  b".into())]
        );
    }

    #[test]
    fn a_key_stands_once_and_all_else_stays() {
        for (text, new) in [
            ("", "a.b = 2\n"),
            ("# c", "# c\na.b = 2\n"),
            ("a.b = 1\n", "a.b = 2\n"),
            ("a/b=1\nx = 1\na.b = 3\ny = 1", "x = 1\na.b = 2\ny = 1"),
            ("x = 1\r\n", "x = 1\r\na.b = 2\r\n"),
            ("a.b.c = 1\n", "a.b.c = 1\na.b = 2\n"),
        ] {
            assert_eq!(with_value(text, "a.b", "2"), new, "{text:?}");
        }
    }

    #[test]
    fn a_variable_with_two_keys_stands_once() {
        let (key, short) = ("net.netfilter.nf_conntrack_max", "net/nf_conntrack_max");
        assert!(same_sysctl(key, short) && !same_sysctl(key, "net.nf_conntrack_count"));
        let text = format!("{short} = 1\n{key} = 2\nx = 1\n");
        let new = with_value(&text, key, "3");
        assert_eq!(new, format!("{key} = 3\nx = 1\n"));
        assert_eq!(SysctlLine::of(&text, short).len(), 2);
    }

    proptest! {
        #[test]
        fn a_value_that_was_put_is_read_again(text in "([ab#;= .*/-]{0,9}\n){0,5}[ab.=]{0,5}", value in "[0-9]{1,4}") {
            let new = with_value(&text, "a.b", &value);
            let lines = SysctlLine::of(&new, "a/b");
            prop_assert_eq!(lines.len(), 1);
            prop_assert_eq!(&lines[0].value, &value);
            prop_assert_eq!(with_value(&new, "a.b", &value), new.clone());
            let others = |text: &str| -> Vec<String> {
                let own = SysctlLine::of(text, "a/b");
                let lines = text.lines().enumerate();
                lines.filter(|(n, _)| !own.iter().any(|own| own.number == n + 1)).map(|(_, l)| l.to_owned()).collect()
            };
            prop_assert_eq!(others(&new), others(&text));
        }
    }
}
