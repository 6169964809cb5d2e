//! What `kubectl drain` says that it would do.

use crate::program::Ran;
use crate::random::{Reason, Said};
use regex::Regex;

/// How kubectl says why, in its own words (k8s.io/kubectl/pkg/drain/filters.go).
const REASONS: &[(Reason, &str)] = &[
    (
        Reason::DaemonSet,
        r"DaemonSet-managed Pods \(use --ignore-daemonsets to ignore\)",
    ),
    (
        Reason::GoneDaemonSet,
        r#"daemonsets\.apps "[^"]+" not found"#,
    ),
    (
        Reason::EmptyDir,
        r"Pods with local storage \(use --delete-emptydir-data to override\)",
    ),
    (
        Reason::NoController,
        r"cannot delete Pods that declare no controller \(use --force to override\)",
    ),
];

/// Reads a `kubectl drain --dry-run=client`; pods are named without their namespace.
pub fn said(ran: &Ran, namespace: &str) -> Result<Said, String> {
    let mut said = Said::default();
    let evicting = format!("evicting pod {namespace}/");
    for line in ran.stdout.lines() {
        let name = line
            .strip_prefix(&evicting)
            .and_then(|l| l.strip_suffix(" (dry run)"));
        said.goes.extend(name.map(str::to_owned));
    }
    if ran.code == 0 {
        return Ok(said);
    }
    let odd = || format!("kubectl says what is not understood:\n{}", ran.stderr);
    let (_, error) = ran.stderr.split_once(" due to error: ").ok_or_else(odd)?;
    let (error, _) = error
        .split_once(", continuing command...")
        .ok_or_else(odd)?;
    let mut rest = error.to_owned();
    for (reason, words) in REASONS {
        let pod = format!(r"{}/[a-z0-9]+", regex::escape(namespace));
        let pattern = format!(r"cannot delete {words}: ({pod}(?:, {pod})*)");
        let pattern = Regex::new(&pattern).map_err(|e| e.to_string())?;
        // Of a DaemonSet each, there may be several.
        for found in pattern.captures_iter(error) {
            let names = found[1].split(", ").filter_map(|pod| pod.split('/').nth(1));
            said.blocks
                .extend(names.map(|name| (name.to_owned(), *reason)));
        }
        rest = pattern.replace_all(&rest, "").into_owned();
    }
    match rest.trim_matches(['[', ']', ',', ' ']) {
        "" => Ok(said),
        _ => Err(odd()),
    }
}
