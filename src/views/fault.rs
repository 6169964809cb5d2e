//! An error: what happened, and what to do next.

use super::text::{clean, paragraph, width};
use crate::fault::Fault;
use console::style;

/// `error: …` and, below it, what it is in detail and the next step; above it, what stands in a file.
pub fn render_fault(fault: &Fault) -> String {
    let width = width();
    let mut text = paragraph("error: ", &fault.message, width);
    if let Some(rest) = text.strip_prefix("error:") {
        text = format!("{}{rest}", style("error:").red().bold().for_stderr());
    }
    for line in &fault.list {
        text.push('\n');
        text.push_str(&paragraph("  - ", line, width));
    }
    if let Some(excerpt) = &fault.excerpt {
        let lines: Vec<String> = excerpt.lines().map(clean).collect();
        text.insert_str(0, &format!("{}\n\n", lines.join("\n").trim_end()));
    }
    if let Some(next) = &fault.next {
        text.push('\n');
        text.push_str(&paragraph("  next: ", next, width));
    }
    text.push_str(&format!(
        "\n  {}",
        style(format!("[{}]", clean(&fault.code)))
            .dim()
            .for_stderr()
    ));
    text
}
