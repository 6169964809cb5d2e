//! What is written about the language is what the program reads.

#[cfg(test)]
mod tests {
    use runbook::actions::kinds;
    use runbook::runbook::{language_kinds, reference, schema};
    use serde_json::Value;

    /// `RUNBOOK_UPDATE=1 cargo test --test reference` writes the file anew.
    #[test]
    fn the_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let text = reference(&kinds());
        if std::env::var_os("RUNBOOK_UPDATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == text,
            "docs/reference.md is not current: RUNBOOK_UPDATE=1 cargo test --test reference"
        );
    }

    #[test]
    fn the_reference_has_the_keys_of_maps_and_what_stands_in_texts() {
        let text = reference(&kinds());
        for part in [
            "| `of.namespace` |",
            "| `attempts` * |",
            "## Names",
            "`target.node`",
            "## Templates",
            "`@root.",
            "## Conditions",
            "1024 bytes, and at most 24 brackets",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn every_kind_and_each_of_its_arguments_is_described() {
        let own = language_kinds();
        for kind in kinds().0.iter().chain(&own) {
            assert!(!kind.about().is_empty(), "{}", kind.uses);
            let arguments = kind.schema.get("properties").and_then(Value::as_object);
            for (name, argument) in arguments.into_iter().flatten() {
                let about = argument.get("description").and_then(Value::as_str);
                assert!(about.is_some(), "{}: {name}", kind.uses);
            }
        }
    }

    #[test]
    fn the_schema_for_editors_has_every_kind() {
        let schema = schema(&kinds());
        let step = schema.pointer("/$defs/StepText").unwrap();
        let cases = step["allOf"].as_array().unwrap().len();
        assert_eq!(cases, kinds().0.len() + language_kinds().len());
        for kind in &kinds().0 {
            let path = format!("/$defs/with {}", kind.uses);
            assert!(schema.pointer(&path).is_some(), "{path}");
        }
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
    }
}
