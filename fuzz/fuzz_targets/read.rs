//! The reader of runbooks: any text is read, or refused with places that are in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runbook::runbook::{Kinds, read};
use std::sync::LazyLock;

static KINDS: LazyLock<Kinds> = LazyLock::new(runbook::actions::kinds);

fuzz_target!(|text: &str| {
    if let Err(problems) = read(text, "x.yaml", &KINDS) {
        assert!(!problems.problems.is_empty());
        for problem in &problems.problems {
            assert!(problem.line <= text.lines().count() + 1);
            assert!(problem.span.start <= text.len());
        }
        let shown = problems.to_string();
        let harmless = |c: char| c == '\n' || !c.is_control();
        assert!(shown.chars().all(harmless));
    }
});
