//! The tags of a template: which names it uses, and where. A template of a runbook knows names, `if`,
//! `unless` and `each`; all else that the engine could do is refused here.

/// Tags of one text: the engine takes long for many.
const MAX_TAGS: usize = 500;
/// Blocks within each other.
const MAX_DEPTH: usize = 8;
const HELP: &str = "a template knows `{{ name }}`, `{{#if name}}`, `{{#unless name}}`, `{{#each name}}`, `{{else}}` and the ends of these";

/// A name that a template uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// With dots, from the top.
    pub name: String,
    pub what: What,
    /// Whether it is put into the text.
    pub put: bool,
    /// As it is written, and where: in bytes of the text.
    pub written: String,
    pub at: usize,
}

/// What is taken of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Its value, put into the text.
    Value,
    /// Whether it is there and not empty.
    Truth,
    /// Each of its items.
    Items,
    /// What stands below each item of it; empty for the item itself.
    OfItem(String),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub help: String,
    /// Where, and how long it is, in bytes of the text.
    pub at: usize,
    pub length: usize,
}

struct Block {
    helper: &'static str,
    at: usize,
    /// Over whose items it goes, until its `else`.
    each: Option<String>,
}

#[derive(Default)]
struct Reader {
    uses: Vec<Use>,
    wrong: Vec<Wrong>,
    blocks: Vec<Block>,
}

/// The names that a template uses, and what is wrong with its form.
pub(super) fn read(text: &str) -> (Vec<Use>, Vec<Wrong>) {
    let mut reader = Reader::default();
    let mut from = 0;
    let mut tags = 0;
    while let Some(at) = find(text, from, "{{") {
        tags += 1;
        if tags > MAX_TAGS {
            let message = format!("a text has more than {MAX_TAGS} templates");
            reader.wrong(at, 2, message, "make several of it");
            return (reader.uses, reader.wrong);
        }
        let before = text.get(..at).unwrap_or_default();
        let slashes = before.len() - before.trim_end_matches('\\').len();
        if slashes == 1 {
            // Escaped: it stands for itself.
            from = at + 2;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with("{{{{") {
            reader.refuse(at, 4, "a raw block `{{{{` is not known in templates here");
            break;
        }
        let (open, close) = match rest.starts_with("{{{") {
            true => ("{{{", "}}}"),
            false => ("{{", "}}"),
        };
        let Some(end) = find(text, at + open.len(), close) else {
            let message = format!("`{open}` is not closed by `{close}`");
            reader.wrong(at, open.len(), message, "write '{{ name }}'");
            break;
        };
        let inner = text.get(at + open.len()..end).unwrap_or_default();
        reader.tag(inner, at + open.len(), open == "{{{");
        from = end + close.len();
    }
    while let Some(block) = reader.blocks.pop() {
        let helper = block.helper;
        let message = format!("`{{{{#{helper}}}}}` is not closed");
        let help = format!("end it with `{{{{/{helper}}}}}`");
        reader.wrong(block.at, helper.len() + 1, message, &help);
    }
    (reader.uses, reader.wrong)
}

fn find(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| from + at)
}

impl Reader {
    fn wrong(&mut self, at: usize, length: usize, message: impl Into<String>, help: &str) {
        self.wrong.push(Wrong {
            message: message.into(),
            help: help.to_owned(),
            at,
            length: length.max(1),
        });
    }

    fn refuse(&mut self, at: usize, length: usize, message: impl Into<String>) {
        self.wrong(at, length, message, HELP);
    }

    /// One tag; `inner` is what stands between the braces, and `at` where it begins.
    fn tag(&mut self, inner: &str, at: usize, triple: bool) {
        let trimmed = inner.trim_start_matches('~').trim_start();
        let at = at + (inner.len() - trimmed.len());
        let tag = trimmed.trim_end_matches('~').trim_end();
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        if let Some(block) = tag.strip_prefix('#') {
            return self.open(&words(block), tag, at, triple);
        }
        if let Some(block) = tag.strip_prefix('/') {
            return self.close(block.trim(), tag, at);
        }
        if tag == "else" {
            return match self.blocks.last_mut() {
                // What is done where there are no items is done without one.
                Some(block) => block.each = None,
                None => self.refuse(at, 4, "`else` stands in no `if`"),
            };
        }
        match words(tag).as_slice() {
            [] => self.wrong(
                at.saturating_sub(inner.len()),
                1,
                "a template is empty",
                "write '{{ name }}'",
            ),
            [name] => self.name(name, at, What::Value),
            [first, ..] if first == "else" => {
                self.wrong(
                    at,
                    tag.len(),
                    "`else` stands alone",
                    "put another `{{#if name}}` after it",
                );
            }
            [first, ..] => {
                let message = format!("`{first}` is not known in templates here");
                self.refuse(at, tag.len(), message);
            }
        }
    }

    fn open(&mut self, words: &[String], tag: &str, at: usize, triple: bool) {
        let helper = match words.first().map(String::as_str) {
            Some("if") => "if",
            Some("unless") => "unless",
            Some("each") => "each",
            _ => {
                return self.refuse(
                    at,
                    tag.len(),
                    format!("`{tag}` is not known in templates here"),
                );
            }
        };
        let [_, name] = words else {
            let message = format!("`#{helper}` takes one name");
            return self.refuse(at, tag.len(), message);
        };
        if triple {
            return self.refuse(at, tag.len(), "a block has two braces on each side");
        }
        if self.blocks.len() >= MAX_DEPTH {
            return self.refuse(at, tag.len(), "too many blocks within each other");
        }
        let inside = self.blocks.iter().any(|block| block.each.is_some());
        if helper == "each" && inside {
            return self.refuse(at, tag.len(), "an `each` stands within another one");
        }
        let name_at = at + tag.rfind(name.as_str()).unwrap_or_default();
        let what = match helper {
            "each" => What::Items,
            _ => What::Truth,
        };
        self.name(name, name_at, what);
        self.blocks.push(Block {
            helper,
            at,
            each: (helper == "each").then(|| name.clone()),
        });
    }

    fn close(&mut self, helper: &str, tag: &str, at: usize) {
        match self.blocks.pop() {
            Some(block) if block.helper == helper => {}
            Some(block) => {
                let help = format!("end it with `{{{{/{}}}}}`", block.helper);
                let message = format!("`{tag}` ends a block that began with `#{}`", block.helper);
                self.wrong(at, tag.len(), message, &help);
            }
            None => self.refuse(at, tag.len(), format!("`{tag}` ends nothing")),
        }
    }

    fn name(&mut self, written: &str, at: usize, what: What) {
        let each = self.blocks.iter().find_map(|block| block.each.clone());
        let is_name = |text: &str| {
            text.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        let put = what == What::Value;
        let (name, what) = match (each, written) {
            (Some(_), "@index" | "@key" | "@first" | "@last") => return,
            (Some(each), "this") => (each, What::OfItem(String::new())),
            (Some(each), text) if text.starts_with("this.") => {
                let below = text.trim_start_matches("this.");
                if !is_name(below) {
                    return self.not_a_name(written, at);
                }
                (each, What::OfItem(below.to_owned()))
            }
            (Some(_), text) => match text.strip_prefix("@root.").or(text.strip_prefix("../")) {
                Some(name) if is_name(name) => (name.to_owned(), what),
                None if is_name(text) => {
                    let help = format!("write `@root.{text}`, or `this` for the item");
                    let message = format!("within `each`, `{text}` would be looked up in the item");
                    return self.wrong(at, written.len(), message, &help);
                }
                _ => return self.not_a_name(written, at),
            },
            (None, text) if is_name(text) && text != "this" => (text.to_owned(), what),
            (None, _) => return self.not_a_name(written, at),
        };
        self.uses.push(Use {
            name,
            what,
            put,
            written: written.to_owned(),
            at,
        });
    }

    fn not_a_name(&mut self, written: &str, at: usize) {
        let message = format!("`{written}` is not a name that a template can use here");
        self.refuse(at, written.len(), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let (uses, wrong) = read(text);
        assert!(wrong.is_empty(), "{text}: {wrong:?}");
        for used in &uses {
            assert!(text[used.at..].starts_with(&used.written), "{text}");
        }
        // What is accepted here is a template for the engine as well.
        handlebars::Template::compile(text).unwrap();
        uses.into_iter().map(|used| used.name).collect()
    }

    fn wrong(text: &str) -> String {
        let wrong = read(text).1;
        let words = |w: &Wrong| format!("{} [{}]", w.message, &text[w.at..w.at + w.length]);
        wrong.iter().map(words).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn names_are_found_in_every_tag() {
        assert_eq!(
            names("a {{ params.x }}{{~b~}} {{{ c.d }}}"),
            ["params.x", "b", "c.d"]
        );
        assert_eq!(names("{{#if a}}{{b}}{{else}}{{c}}{{/if}}"), ["a", "b", "c"]);
        let each =
            "{{#each l}}{{this}}{{this.x}}{{@index}}{{@root.y}}{{../z}}{{else}}{{w}}{{/each}}";
        assert_eq!(names(each), ["l", "l", "l", "y", "z", "w"]);
        assert!(names("\\{{ not.one }}").is_empty());
        assert_eq!(names("\\\\{{ one }}"), ["one"]);
    }

    #[test]
    fn all_else_is_refused() {
        for (bad, says) in [
            ("{{> part}}", "`>` is not known"),
            ("{{lookup a b}}", "`lookup` is not known"),
            ("{{#with a}}{{/with}}", "`#with a` is not known"),
            ("{{{{raw}}}}", "raw block"),
            ("{{! said }}", "`!` is not known"),
            ("{{!said}}", "`!said` is not a name"),
            ("{{& a}}", "`&` is not known"),
            ("{{*d}}", "not a name"),
            ("{{a", "`{{` is not closed"),
            ("{{}}", "is empty"),
            ("{{#if a}}", "`{{#if}}` is not closed"),
            ("{{#if a b}}{{/if}}", "takes one name"),
            ("{{#if a}}{{/each}}", "ends a block that began with `#if`"),
            ("{{/if}}", "ends nothing"),
            ("{{else}}", "stands in no `if`"),
            ("{{#if a}}{{else if b}}{{/if}}", "`else` stands alone"),
            (
                "{{#each a}}{{b}}{{/each}}",
                "would be looked up in the item",
            ),
            (
                "{{#each a}}{{#each this}}{{/each}}{{/each}}",
                "within another",
            ),
            ("{{a-b}}", "not a name"),
            ("{{(a)}}", "not a name"),
            ("{{a.[0]}}", "not a name"),
        ] {
            assert!(wrong(bad).contains(says), "{bad}: {}", wrong(bad));
        }
        assert!(wrong(&"{{#if a}}".repeat(100_000)).contains("too many blocks"));
    }
}
