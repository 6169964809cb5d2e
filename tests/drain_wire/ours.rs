//! What the plan of `drain-node` says that it would do.

use crate::program::Ran;
use crate::random::{Reason, Said};
use serde_json::Value;
use std::path::Path;

/// What a refusal has to say of a pod that is in the way.
fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::DaemonSet | Reason::GoneDaemonSet => "DaemonSet",
        Reason::EmptyDir => "emptyDir",
        Reason::NoController => "controller",
    }
}

const REASONS: &[Reason] = &[
    Reason::DaemonSet,
    Reason::GoneDaemonSet,
    Reason::EmptyDir,
    Reason::NoController,
];

/// Reads a plan, which was saved to `file` unless it is refused; pods are named without their
/// namespace. Where several reasons are given, each is there.
pub fn said(ran: &Ran, file: &Path, namespace: &str) -> Result<Said, String> {
    match ran.code {
        0 => goes(file, namespace),
        3 => Ok(blocks(&ran.stderr, namespace)),
        code => Err(format!(
            "it exited with {code}\n{}{}",
            ran.stdout, ran.stderr
        )),
    }
}

fn goes(file: &Path, namespace: &str) -> Result<Said, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let saved: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let steps = saved["plan"]["steps"].as_array().into_iter().flatten();
    let effects = steps
        .filter(|step| step["uses"] == "kube.drain")
        .flat_map(|step| step["verdict"]["effects"].as_array().into_iter().flatten())
        .filter(|effect| effect["effect"] == "evict_pod" && effect["pod"]["namespace"] == namespace)
        .filter_map(|effect| effect["pod"]["name"].as_str());
    Ok(Said {
        goes: effects.map(str::to_owned).collect(),
        ..Said::default()
    })
}

/// Each pod is named before its reasons.
fn blocks(text: &str, namespace: &str) -> Said {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut said = Said::default();
    for piece in text.split(&format!("{namespace}/")).skip(1) {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric());
        let (name, why) = piece.split_at(end.unwrap_or(piece.len()));
        let reasons = REASONS
            .iter()
            .filter(|reason| why.contains(words(**reason)));
        said.blocks
            .extend(reasons.map(|reason| (name.to_owned(), *reason)));
    }
    said
}
