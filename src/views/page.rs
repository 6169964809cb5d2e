//! Lines and paragraphs for a terminal, one after another.

use super::text::{paragraph, width};

pub(super) struct Page {
    pub out: String,
    width: usize,
}

impl Page {
    pub fn new() -> Self {
        Self {
            out: String::new(),
            width: width(),
        }
    }

    pub fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    pub fn paragraph(&mut self, first: &str, text: &str) {
        let text = paragraph(first, text, self.width);
        self.line(&text);
    }

    /// As wide as it is.
    pub fn wrapped(&self, first: &str, text: &str) -> String {
        paragraph(first, text, self.width)
    }
}
