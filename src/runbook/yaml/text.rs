//! What is refused before anything of a text is read as YAML: its size, its encoding, and characters
//! that nobody sees.

use super::super::problem::{Found, Problem, Problems};
use super::super::source::{Source, Span};

/// No runbook that a person wrote is larger.
pub(in super::super) const MAX_BYTES: usize = 1 << 20;

/// The text of a file's bytes.
pub(in super::super) fn check_bytes(bytes: Vec<u8>, file: &str) -> Result<String, Problems> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes().get(at).copied().unwrap_or_default();
        // Up to its end the text is good; the byte itself is shown as what it is.
        let text = String::from_utf8_lossy(e.as_bytes());
        let mut found = Found::default();
        found.push(
            Problem::new(
                "runbook::encoding",
                Span::new(at, at + 1),
                format!("the byte 0x{byte:02x} is not UTF-8"),
            )
            .help("save the file as UTF-8"),
        );
        found.into_problems(&Source::new(file, &text))
    })
}

/// Whether a text can be read as YAML at all.
pub(in super::super) fn check_text(source: &Source<'_>, found: &mut Found) -> bool {
    if source.text.len() > MAX_BYTES {
        found.push(too_large(source.text.len() as u64));
        return false;
    }
    let before = found.count();
    for (at, c) in source.text.char_indices() {
        let allowed = matches!(c, '\n' | '\t') || (c == '\r' && follows(source.text, at));
        // YAML takes these for ends of lines, and most editors do not.
        let breaks = matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
        if (c.is_control() && !allowed) || breaks {
            let name = c.escape_default();
            found.push(
                Problem::new(
                    "runbook::control_character",
                    Span::new(at, at + c.len_utf8()),
                    format!("the character `{name}` must not stand in a runbook"),
                )
                .help("remove it; in a text in double quotes, it can be written as an escape such as \"\\x1b\""),
            );
            if found.count() > before + 4 {
                break;
            }
        }
    }
    found.count() == before
}

fn follows(text: &str, at: usize) -> bool {
    text.as_bytes().get(at + 1) == Some(&b'\n')
}

pub(in super::super) fn too_large(bytes: u64) -> Problem {
    Problem::new(
        "runbook::size",
        Span::default(),
        format!("it has {bytes} bytes, and a runbook may have {MAX_BYTES}"),
    )
}
