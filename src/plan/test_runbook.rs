//! Runbooks for tests.

use crate::runbook::{Runbook, include, read};

/// A runbook over nodes with these steps.
pub(crate) fn runbook(steps: &str) -> Runbook {
    named("x", steps)
}

fn named(name: &str, steps: &str) -> Runbook {
    let head = "summary: x\nrisk: low\ntargets: nodes\n";
    let text = format!("apiVersion: runbook/v1\nname: {name}\n{head}steps:\n{steps}");
    read(&text, name, &crate::actions::kinds()).unwrap()
}

/// One that includes the runbook `inner` with these steps.
pub(crate) fn including(steps: &str, inner: &str) -> Runbook {
    let mut outer = runbook(steps);
    include(&mut outer, &|name| Ok(named(name, inner))).unwrap();
    outer
}
