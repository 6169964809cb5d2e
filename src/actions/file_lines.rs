//! The lines of a file, so that what is not changed stays byte for byte: how each line ends, whether the
//! last one does, and bytes that are no UTF-8.

/// A line with its end, which is empty where the file ends without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'b> {
    pub text: &'b [u8],
    pub end: &'b [u8],
}

impl<'b> Line<'b> {
    fn of(whole: &'b [u8]) -> Self {
        let bare = whole.strip_suffix(b"\n");
        let text = match bare {
            Some(bare) => bare.strip_suffix(b"\r").unwrap_or(bare),
            None => whole,
        };
        Self {
            text,
            end: whole.get(text.len()..).unwrap_or_default(),
        }
    }
}

/// All lines; together they are the bytes again.
pub fn lines(bytes: &[u8]) -> Vec<Line<'_>> {
    bytes
        .split_inclusive(|b| *b == b'\n')
        .map(Line::of)
        .collect()
}

/// The bytes of lines.
pub fn joined(lines: &[Line<'_>]) -> Vec<u8> {
    let parts = lines.iter().flat_map(|line| [line.text, line.end]);
    parts.flatten().copied().collect()
}

/// Puts lines before the one at `at`, or at the end. They end as the lines around them do; where the last
/// line has no end, the new last line has none either.
pub fn insert<'b>(all: &mut Vec<Line<'b>>, at: usize, new: &[&'b [u8]]) {
    let at = at.min(all.len());
    let around = all.iter().take(at).rev().chain(all.iter().skip(at));
    let end = around
        .map(|line| line.end)
        .find(|end| !end.is_empty())
        .unwrap_or(b"\n");
    let open = at == all.len() && all.last().is_some_and(|last| last.end.is_empty());
    if let (true, false, Some(last)) = (open, new.is_empty(), all.last_mut()) {
        last.end = end;
    }
    let count = new.len();
    let new = new.iter().enumerate().map(|(n, text)| Line {
        text,
        end: match open && n + 1 == count {
            true => b"",
            false => end,
        },
    });
    all.splice(at..at, new);
}

/// Numbers of lines, from 1, for people.
pub fn numbers(indices: &[usize]) -> String {
    let shown: Vec<String> = indices
        .iter()
        .take(8)
        .map(|n| (n + 1).to_string())
        .collect();
    match (shown.as_slice(), indices.len() - shown.len()) {
        ([one], 0) => format!("line {one}"),
        ([rest @ .., last], 0) => format!("lines {} and {last}", rest.join(", ")),
        (_, more) => format!("lines {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inserted(text: &str, at: usize, new: &[&str]) -> String {
        let mut all = lines(text.as_bytes());
        let new: Vec<&[u8]> = new.iter().map(|line| line.as_bytes()).collect();
        insert(&mut all, at, &new);
        String::from_utf8(joined(&all)).unwrap()
    }

    #[test]
    fn what_is_new_ends_as_what_is_around_it() {
        for (text, at, new, becomes) in [
            ("", 0, &["a"][..], "a\n"),
            ("a\n", 1, &["b", "c"], "a\nb\nc\n"),
            ("a\n", 0, &["b"], "b\na\n"),
            ("a\r\nb\n", 1, &["x"], "a\r\nx\r\nb\n"),
            ("a\nb\r\n", 0, &["x"], "x\na\nb\r\n"),
            ("a\r\nb", 9, &["c", "d"], "a\r\nb\r\nc\r\nd"),
            ("a", 1, &["b"], "a\nb"),
            ("a", 0, &["b"], "b\na"),
            ("a", 1, &[], "a"),
        ] {
            assert_eq!(inserted(text, at, new), becomes, "{text:?}");
        }
    }

    #[test]
    fn lines_are_told_by_their_numbers() {
        let ten: Vec<usize> = (0..10).collect();
        let all = [
            numbers(&[0]),
            numbers(&[0, 4]),
            numbers(&[0, 1, 2]),
            numbers(&ten),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        line 1
        lines 1 and 5
        lines 1, 2 and 3
        lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more
        ");
    }

    proptest! {
        #[test]
        fn together_they_are_the_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(joined(&lines(&bytes)), bytes);
        }

        #[test]
        fn what_was_there_stays(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xff)], 0..30),
            at in 0..12usize,
        ) {
            let mut all = lines(&bytes);
            let at = at.min(all.len());
            let ended = |line: &Line<'_>| line.text.to_vec();
            let mut before: Vec<Vec<u8>> = all.iter().map(ended).collect();
            insert(&mut all, at, &[b"new"]);
            let after = joined(&all);
            prop_assert_eq!(after.ends_with(b"\n"), bytes.is_empty() || bytes.ends_with(b"\n"));
            before.insert(at, b"new".to_vec());
            // A line that ended with the file and a carriage return ends differently now.
            if !bytes.ends_with(b"\r") {
                let after: Vec<Vec<u8>> = lines(&after).iter().map(ended).collect();
                prop_assert_eq!(after, before);
            }
        }
    }
}
