//! Values of parameters from a file.

use crate::fault::Fault;
use serde_json::{Map, Value};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Nobody gives more than this.
const MAX_BYTES: u64 = 1 << 20;

/// A file of `--params`: a map in YAML, from names to values.
#[derive(Clone)]
pub struct ParamFile {
    pub(super) path: String,
    pub(super) values: Map<String, Value>,
    /// Others than its owner can read it.
    pub(super) shared: bool,
}

impl fmt::Debug for ParamFile {
    /// Without its values: there may be secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ParamFile").field(&self.path).finish()
    }
}

impl ParamFile {
    /// What a step gives to the runbook that it includes.
    pub(super) fn of_step(values: Map<String, Value>) -> Self {
        Self {
            path: "params".to_owned(),
            values,
            shared: false,
        }
    }

    /// Of what it has values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub fn read(path: &Path) -> Result<Self, Fault> {
        let unusable = |why: String| {
            Fault::input(
                "param_file",
                format!("the parameters in {} cannot be read: {why}", path.display()),
            )
            .next("its form is a map in YAML, NAME: VALUE in each line")
        };
        let read = || {
            let file = File::open(path)?;
            let found = file.metadata()?;
            let mut bytes = Vec::new();
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
            Ok((bytes, found))
        };
        let (bytes, found) = read().map_err(|e: std::io::Error| unusable(e.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unusable(format!("it has more than {MAX_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
        Ok(Self {
            path: path.display().to_string(),
            values: parse(&text).map_err(unusable)?,
            // A pipe is nobody else's to read.
            shared: found.is_file() && found.mode() & 0o077 != 0,
        })
    }
}

/// What goes wrong is said without the values: there may be secrets among them.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    // By way of YAML's own values, which refuse a name that is there twice.
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|e| match e.location() {
        Some(at) => format!(
            "it is not YAML, or a name is in it twice, at line {}",
            at.line()
        ),
        None => "it is not YAML, or a name is in it twice".to_owned(),
    })?;
    match serde_json::to_value(yaml) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("it is not a map".to_owned()),
        Err(_) => Err("a name in it is not text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_keep_their_types_and_mistakes_do_not_show_them() {
        let values = parse("a: 1\nb: '1'\nc: [x, true]\n").unwrap();
        assert_eq!(
            Value::from(values),
            json!({"a": 1, "b": "1", "c": ["x", true]})
        );
        assert_eq!(parse("# nothing\n").unwrap(), Map::new());
        for bad in [
            "- hunter2",
            "hunter2",
            "a: hunter2\na: x",
            "a: 'hunter2",
            "[hunter2]: x",
        ] {
            let why = parse(bad).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
