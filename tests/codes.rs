//! The codes of errors, by which scripts tell them apart: none goes away or changes its class
//! unnoticed.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                sources(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "simulator.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.push(code.to_owned());
            }
        }
    }

    /// The name in quotes that comes right after `text`, if one does.
    fn quoted(text: &str) -> Option<&str> {
        let text = text.trim_start().strip_prefix('"')?;
        let (name, _) = text.split_once('"')?;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then_some(name)
    }

    /// The same for a constant of `src/fault.rs`.
    fn named<'c>(text: &str, constants: &'c str) -> Option<&'c str> {
        let (name, _) = text.trim_start().split_once(',')?;
        let (_, value) = constants.split_once(&format!("pub const {name}: &str = "))?;
        quoted(value)
    }

    #[test]
    fn codes_are_stable() {
        let constants = include_str!("../src/fault.rs");
        let mut texts = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let mut codes = BTreeSet::new();
        for text in &texts {
            for class in [
                "input",
                "refused",
                "unreachable",
                "definite",
                "indeterminate",
            ] {
                let calls = ["Fault::", "Self::"].map(|of| format!("{of}{class}("));
                for call in calls {
                    let code = |text| quoted(text).or_else(|| named(text, constants));
                    let found = text.split(&call).skip(1).filter_map(code);
                    codes.extend(found.map(|code| format!("{code} ({class})")));
                }
            }
            for (class, name) in [
                ("Input", "input"),
                ("Refused", "refused"),
                ("Internal", "internal"),
            ] {
                let after = format!("Class::{class},");
                let found = text.split(&after).skip(1).filter_map(quoted);
                codes.extend(found.map(|code| format!("{code} ({name})")));
            }
        }
        let codes: Vec<String> = codes.into_iter().collect();
        insta::assert_snapshot!(codes.join("\n"));
    }
}
