//! One line of fstab(5) as an entry. It is read as util-linux reads it (`libmount/src/tab_parse.c`): blanks
//! and tabs stand between fields, the first three must be there, and `\ooo` in a field is a byte.

use crate::actions::file_lines::Line;
use std::ops::Range;

/// Fields of an entry: spec, mount point, type, options, dump, pass.
const FIELDS: usize = 6;
pub const OPTIONS: usize = 3;
pub const DUMP: usize = 4;
pub const PASS: usize = 5;

/// An entry, with the places of its fields in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'b> {
    text: &'b [u8],
    fields: Vec<Range<usize>>,
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What stands from there on, without the bytes at its begin that are `skipped`.
fn skip(text: &[u8], skipped: impl Fn(&u8) -> bool) -> &[u8] {
    let begin = text.iter().position(|byte| !skipped(byte));
    text.get(begin.unwrap_or(text.len())..).unwrap_or_default()
}

impl<'b> Entry<'b> {
    /// The entry that a line is; `None`: it is a comment, or empty, or nobody reads it as an entry.
    pub fn read(text: &'b [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        let mut begin = None;
        for (at, byte) in text.iter().chain(b" ").enumerate() {
            match (is_blank(byte), begin) {
                (true, Some(from)) => {
                    fields.push(from..at);
                    begin = None;
                }
                (false, None) => begin = Some(at),
                _ => {}
            }
        }
        let entry = Self { text, fields };
        let comment = entry.raw(0).is_none_or(|first| first.starts_with(b"#"));
        (!comment && entry.fields.len() >= 3).then_some(entry)
    }

    /// The entry that a comment was before it was one. Only what looks like nothing else is taken for one.
    pub fn read_commented(text: &'b [u8]) -> Option<Self> {
        let comment = skip(text, is_blank).strip_prefix(b"#")?;
        let entry = Self::read(skip(comment, |byte| is_blank(byte) || *byte == b'#'))?;
        let place = entry.mount_point();
        let place = place.starts_with(b"/") || is_no_place(&place);
        let whole = (OPTIONS + 1..=FIELDS).contains(&entry.fields.len());
        (whole && entry.is_number(DUMP) && entry.is_number(PASS) && place).then_some(entry)
    }

    /// The line from its first field on.
    pub fn text(&self) -> &'b [u8] {
        let begin = self.fields.first().map_or(0, |first| first.start);
        self.text.get(begin..).unwrap_or_default()
    }

    fn raw(&self, n: usize) -> Option<&'b [u8]> {
        self.text.get(self.fields.get(n)?.clone())
    }

    /// A field, decoded; empty where there is none.
    pub fn field(&self, n: usize) -> Vec<u8> {
        self.raw(n).map(decoded).unwrap_or_default()
    }

    /// The whole line.
    pub fn line(&self) -> &'b [u8] {
        self.text
    }

    /// Whether a field is a number, or not there.
    pub fn is_number(&self, n: usize) -> bool {
        let digits = |field: &[u8]| field.iter().all(u8::is_ascii_digit);
        self.raw(n).is_none_or(digits)
    }

    pub fn has(&self, n: usize) -> bool {
        self.raw(n).is_some()
    }

    /// The device, without the quotes that a tag's value may have.
    pub fn spec(&self) -> Vec<u8> {
        plain_spec(&self.field(0))
    }

    pub fn mount_point(&self) -> Vec<u8> {
        plain_place(&self.field(1))
    }

    pub fn is_at(&self, mount_point: &str) -> bool {
        self.mount_point() == plain_place(mount_point.as_bytes())
    }

    pub fn fs_type(&self) -> Vec<u8> {
        self.field(2)
    }

    pub fn is_swap(&self) -> bool {
        self.fs_type() == b"swap"
    }

    /// The line with other bytes for a field; those that are missing before it get their usual value.
    pub fn with(&self, n: usize, value: &str) -> Vec<u8> {
        let value = encoded(value).into_bytes();
        if let Some(place) = self.fields.get(n) {
            let before = self.text.get(..place.start).unwrap_or_default();
            let after = self.text.get(place.end..).unwrap_or_default();
            return [before, &value, after].concat();
        }
        let mut line = self.text.to_vec();
        if let Some(last) = self.fields.last() {
            line.truncate(last.end);
        }
        for missing in self.fields.len()..n {
            let usual: &[u8] = match missing {
                OPTIONS => b" defaults",
                _ => b" 0",
            };
            line.extend(usual);
        }
        line.push(b' ');
        line.extend(value);
        line
    }
}

/// Whether nothing is mounted there, as with swap.
pub fn is_no_place(mount_point: &[u8]) -> bool {
    matches!(mount_point, b"none" | b"swap")
}

/// `TAG="value"` and `TAG=value` are the same device.
pub fn plain_spec(spec: &[u8]) -> Vec<u8> {
    let quoted = spec.iter().position(|byte| *byte == b'=').and_then(|at| {
        let (tag, value) = spec.split_at(at + 1);
        let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some([tag, inner].concat())
    });
    quoted.unwrap_or_else(|| spec.to_vec())
}

/// A path without slashes at its end.
pub fn plain_place(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte != b'/');
    match end {
        None => path.iter().take(1).copied().collect(),
        Some(last) => path.iter().take(last + 1).copied().collect(),
    }
}

/// All entries, with the indices of their lines.
pub fn entries<'b>(all: &[Line<'b>]) -> Vec<(usize, Entry<'b>)> {
    let entry = |(n, line): (usize, &Line<'b>)| Some((n, Entry::read(line.text)?));
    all.iter().enumerate().filter_map(entry).collect()
}

fn decoded(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    bytes
}

/// As a field stands in the file.
pub fn encoded(value: &str) -> String {
    let code = |c: char| match c {
        ' ' => "\\040".to_owned(),
        '\t' => "\\011".to_owned(),
        '\n' => "\\012".to_owned(),
        '\\' => "\\134".to_owned(),
        other => other.to_string(),
    };
    value.chars().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_has_three_fields_and_is_no_comment() {
        for none in ["", " \t", "# a b c", "  #a b c d", "a b", "/dev/sda1 /"] {
            assert_eq!(Entry::read(none.as_bytes()), None, "{none}");
        }
        let entry = Entry::read(b"\t/dev/my\\040disk \t /mnt/  ext4 rw # said 0").unwrap();
        assert_eq!(entry.spec(), b"/dev/my disk");
        assert_eq!(entry.mount_point(), b"/mnt");
        assert_eq!(entry.fs_type(), b"ext4");
        assert_eq!(entry.field(DUMP), b"#");
        assert_eq!(Entry::read(b"LABEL=\"a\" / x").unwrap().spec(), b"LABEL=a");
        assert_eq!(Entry::read(b"a / x").unwrap().mount_point(), b"/");
        assert!(Entry::read(b"a none swap").unwrap().is_swap());
    }

    #[test]
    fn what_was_an_entry_is_told_from_prose() {
        for none in [
            "/dev/sda2 none swap sw",
            "# /dev/sda2 none swap",
            "# / was on /dev/sda1 during installation",
            "# the disk /data is ext4 now",
            "#a /b c d e f",
            "# a /b c d 0 0 0",
            "# <file system> <mount point> <type> <options> <dump> <pass>",
            "#",
        ] {
            assert_eq!(Entry::read_commented(none.as_bytes()), None, "{none}");
        }
        for (text, entry) in [
            ("#/dev/sda2 none swap sw 0 0", "/dev/sda2 none swap sw 0 0"),
            (" # \t/dev/sda2 none swap sw", "/dev/sda2 none swap sw"),
            ("##  a\t/b c d 1 ", "a\t/b c d 1 "),
        ] {
            let found = Entry::read_commented(text.as_bytes()).unwrap();
            assert_eq!(found.text(), entry.as_bytes());
        }
    }

    #[test]
    fn a_field_is_set_and_the_rest_stays() {
        let with = |text: &str, n: usize, value: &str| {
            let entry = Entry::read(text.as_bytes()).unwrap();
            String::from_utf8(entry.with(n, value)).unwrap()
        };
        assert_eq!(
            with(" a\t /b  c \t d  0\t0 ", OPTIONS, "x y"),
            " a\t /b  c \t x\\040y  0\t0 "
        );
        assert_eq!(
            with("a /b c d 0 0 # said", PASS, "2"),
            "a /b c d 0 2 # said"
        );
        assert_eq!(with("a /b c  ", PASS, "2"), "a /b c defaults 0 2");
        assert_eq!(with("a /b c", OPTIONS, "d"), "a /b c d");
    }

    #[test]
    fn bytes_that_a_field_cannot_have_are_written_as_numbers() {
        assert_eq!(encoded("a b\t\\\n"), "a\\040b\\011\\134\\012");
        for (field, bytes) in [
            ("a\\040b", &b"a b"[..]),
            ("\\134040", b"\\040"),
            ("\\400\\08\\04", b"\\400\\08\\04"),
            ("\\", b"\\"),
            ("\\377", b"\xff"),
        ] {
            assert_eq!(decoded(field.as_bytes()), bytes, "{field}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in "\\PC{1,20}|[ \\\\0-7\t\n]{1,20}") {
            prop_assert_eq!(decoded(encoded(&value).as_bytes()), value.as_bytes());
        }

        #[test]
        fn no_line_is_too_odd(text: Vec<u8>) {
            if let Some(entry) = Entry::read(&text) {
                for n in 0..FIELDS {
                    let line = entry.with(n, "x");
                    prop_assert_eq!(Entry::read(&line).unwrap().field(n), b"x");
                }
            }
            let _ = Entry::read_commented(&text);
        }
    }
}
