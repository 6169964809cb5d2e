//! The text that a new runbook begins with.

use crate::fault::Fault;

const START: &str = include_str!("start.yaml");
/// What the runbook is called there.
const NAME: &str = "my-runbook";

/// A commented runbook of that name, which does something small and can be changed step by step. In the
/// commands that it shows, its file is called `path`.
pub fn start(name: &str, path: &str) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !first || !name.chars().all(plain) || name.len() > 63 {
        return Err(Fault::input(
            "runbook_name",
            format!("`{name}` is not a name for a runbook"),
        )
        .next("use lower-case letters, digits and -, beginning with a letter, at most 63"));
    }
    // A path with blanks in it is one word only in quotes.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@".contains(c);
    let path = match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    };
    let file = format!("{NAME}.yaml");
    let text = START.replace(&file, &path).replace(NAME, name);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Kinds, Param, read};

    #[test]
    fn the_start_is_a_runbook_that_shows_what_there_is() {
        let kinds = Kinds::that_take_anything(&["host.assert", "host.file", "host.script"]);
        let runbook = read(
            &start("clean-up", "./runbooks/clean-up.yaml").unwrap(),
            "clean-up.yaml",
            &kinds,
        )
        .unwrap();
        assert_eq!(runbook.name, "clean-up");
        assert!(!runbook.text.contains(NAME));
        let names: Vec<&str> = runbook
            .params
            .iter()
            .map(|p: &Param| p.name.as_str())
            .collect();
        assert_eq!(names, ["owner", "mode"]);
        assert!(runbook.steps.iter().any(|step| step.when.is_some()));
        for part in ["check", "apply", "undo"] {
            assert!(
                runbook
                    .steps
                    .iter()
                    .any(|step| step.with.get(part).is_some()),
                "{part}"
            );
        }
        for command in ["validate", "plan", "apply"] {
            let command = format!("runbook {command} ./runbooks/clean-up.yaml");
            assert!(runbook.text.contains(&command), "{command}");
        }
        assert!(runbook.text.contains("runbook undo "));
    }
}
