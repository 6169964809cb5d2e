//! The difference of two texts, as people read it.

use similar::{ChangeTag, TextDiff};

/// Lines of a difference that are shown; the rest is counted.
pub(super) const SHOWN_LINES: usize = 40;

/// Line by line, each with `-`, `+` or a blank before it, and only what is near a change.
pub fn line_difference(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut all = Vec::new();
    for group in diff.grouped_ops(2) {
        if !all.is_empty() {
            all.push("  …".to_owned());
        }
        for op in group {
            for line in diff.iter_changes(&op) {
                let sign = match line.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => ' ',
                };
                let text = line.value().trim_end_matches('\n');
                let end = match line.missing_newline() {
                    true => "  (no newline at its end)",
                    false => "",
                };
                all.push(format!("{sign} {text}{end}"));
            }
        }
    }
    if all.len() > SHOWN_LINES {
        let more = all.len() - SHOWN_LINES;
        all.truncate(SHOWN_LINES);
        all.push(format!("  … and {more} lines more"));
    }
    all
}
