//! The rows of `src/lib.rs`: a part uses the rows above its own, never those below.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    const ROWS: &[&str] = &[
        "fault",
        "model",
        "runbook",
        "inventory",
        "journal",
        "transport",
        "calico",
        "drain",
        "actions",
        "plan",
        "engine",
        "views",
        "cli",
    ];

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }

    /// The names after `crate::`, also those in braces.
    fn used(text: &str) -> Vec<String> {
        text.split("crate::")
            .skip(1)
            .map(|rest| {
                rest.chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect()
            })
            .collect()
    }

    #[test]
    fn no_part_uses_a_row_below_its_own() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        files(&source, &mut found);
        let row = |name: &str| ROWS.iter().position(|r| *r == name);
        let mut seen = 0;
        for path in found {
            let inside = path.strip_prefix(&source).unwrap();
            let first = inside.components().next().unwrap().as_os_str();
            let part = first.to_str().unwrap().trim_end_matches(".rs");
            let Some(own) = row(part) else {
                assert!(["lib", "main"].contains(&part), "{part} has no row");
                continue;
            };
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains("crate::{"),
                "{}: one `use crate::part::…` a part, so that this test can read it",
                inside.display()
            );
            for name in used(&text) {
                let Some(other) = row(&name) else {
                    panic!("{}: crate::{name} has no row", inside.display());
                };
                assert!(
                    other <= own,
                    "{}: {part} uses {name}, which stands below it",
                    inside.display()
                );
                seen += usize::from(other < own);
            }
        }
        assert!(
            seen > 50,
            "only {seen} uses were found: does this test still read them?"
        );
    }
}
