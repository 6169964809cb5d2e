//! Puts devices into one file of NetworkManager's, and leaves all else in it byte for byte.

use super::keyfile::{KeyFile, Line};
use super::{GROUP, KEY, split};

/// The file with `wanted` among its unmanaged devices. A line that is there already is made longer;
/// a new one begins a list of its own, or adds to that of other files (`adds`).
pub fn with_devices(content: &[u8], wanted: &[String], adds: bool) -> Vec<u8> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    // What is no text is left where it is: only lines that are read here are changed.
    let texts: Vec<String> = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let mut group = "";
    let (mut header, mut pairs) = (None, Vec::new());
    for (at, text) in texts.iter().enumerate() {
        match Line::parse(text) {
            Line::Group(name) => {
                group = name;
                if name == GROUP {
                    header = Some(at);
                }
            }
            Line::Pair(key, value) if group == GROUP => pairs.push((at, key, value)),
            Line::Pair(..) | Line::Other => {}
        }
    }
    let newline = match texts.first().is_some_and(|line| line.ends_with("\r\n")) {
        true => "\r\n",
        false => "\n",
    };
    // Of both `=` and `+=`, what counts last.
    let longer = KeyFile::parse(content)
        .keys(GROUP)
        .map(|(key, _)| key.to_owned())
        .filter(|key| [KEY, &format!("{KEY}+")].contains(&key.as_str()))
        .last();
    let longer = longer.and_then(|key| pairs.iter().rfind(|(_, other, _)| *other == key));
    let operator = if adds { "+=" } else { "=" };
    let new_line = format!("{KEY}{operator}{}{newline}", wanted.join(";"));
    let mut all: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    match (longer, header) {
        (Some((at, _, value)), _) => {
            let there = split(value);
            let missing: Vec<&str> = wanted
                .iter()
                .filter(|spec| !there.contains(spec))
                .map(String::as_str)
                .collect();
            if let Some(line) = all.get_mut(*at)
                && !missing.is_empty()
            {
                append(line, value, &missing.join(";"));
            }
        }
        (None, Some(at)) => {
            if let Some(line) = all.get_mut(at) {
                end_line(line, newline);
                line.extend(new_line.bytes());
            }
        }
        (None, None) => {
            if let Some(line) = all.last_mut() {
                end_line(line, newline);
                line.extend(newline.bytes());
            }
            all.push(format!("[{GROUP}]{newline}{new_line}").into_bytes());
        }
    }
    all.concat()
}

fn end_line(line: &mut Vec<u8>, newline: &str) {
    if !line.ends_with(b"\n") {
        line.extend(newline.bytes());
    }
}

/// Makes the list at the end of a line longer.
fn append(line: &mut Vec<u8>, value: &str, more: &str) {
    let end = line.iter().rposition(|byte| !b"\r\n".contains(byte));
    let rest = line.split_off(end.map_or(0, |end| end + 1));
    let value = value.trim_ascii_end();
    let separated =
        value.ends_with([';', ',']) && !value.ends_with("\\;") && !value.ends_with("\\,");
    if !value.is_empty() && !separated {
        line.push(b';');
    }
    line.extend(more.bytes());
    line.extend(rest);
}
