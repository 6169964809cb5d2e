//! The kinds of steps that belong to the language itself, and the names that stand in its conditions
//! and templates.

use super::kind::{Kind, Kinds, Record, Type};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Applies another runbook in place of this step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunbookArgs {
    /// The name of the other runbook.
    runbook: String,
    /// The values of its parameters; those left out have their defaults.
    #[serde(default)]
    #[serde(rename = "params")]
    _params: Map<String, Value>,
}

/// Asks a person, and stops the run where the answer is no.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmArgs {
    /// What is asked.
    message: String,
}

/// The kinds that are not actions.
pub fn language_kinds() -> Vec<Kind> {
    vec![
        kind::<ConfirmArgs>("confirm", |args| {
            let args: ConfirmArgs = read(args)?;
            match args.message.trim().is_empty() {
                true => Err("`message` is what is asked, and it is empty".to_owned()),
                false => Ok(()),
            }
        }),
        kind::<RunbookArgs>("runbook", |args| {
            let args: RunbookArgs = read(args)?;
            match is_runbook_name(&args.runbook) {
                true => Ok(()),
                false => Err(format!(
                    "`runbook` is the name of a runbook, and `{}` is none",
                    args.runbook
                )),
            }
        }),
    ]
}

fn kind<A: JsonSchema>(uses: &'static str, check: fn(&Value) -> Result<(), String>) -> Kind {
    Kind {
        uses,
        formerly: None,
        schema: schemars::schema_for!(A),
        outputs: Record::default(),
        literal: &[],
        changes: &[],
        beside: false,
        scope: None,
        lost: |_| None,
        check,
    }
}

fn read<A: DeserializeOwned>(args: &Value) -> Result<A, String> {
    serde_json::from_value(args.clone()).map_err(|e| e.to_string())
}

/// All kinds that a step may use: those of the language, and those given.
pub(super) fn all_kinds(kinds: &Kinds) -> Kinds {
    let mut all = kinds.clone();
    let own = language_kinds();
    all.0.extend(
        own.into_iter()
            .filter(|kind| kinds.find(kind.uses).is_none()),
    );
    all.0.sort_by_key(|kind| kind.uses);
    all
}

/// Lower-case letters, digits and hyphens, beginning with a letter.
pub(super) fn is_runbook_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain)
}

/// What later steps may name of a step. Of one that is repeated, there is not the one output.
pub(super) fn outcome(kind: Option<&Kind>, repeated: bool) -> Type {
    let mut names = Record::of(&[("changed", Type::Bool)]);
    match kind {
        Some(_) if repeated => {}
        Some(kind) => names.0.extend(kind.outputs.0.iter().cloned()),
        // Its kind is wrong, which is said elsewhere.
        None => return Type::Any,
    }
    Type::Record(names)
}

/// What is known where a step stands.
pub(super) fn names(params: &Record, earlier: &Record, target: bool, item: Option<Type>) -> Record {
    let mut names = Record::of(&[("params", Type::Record(params.clone()))]);
    if target {
        let target = Record::of(&[("name", Type::String), ("node", Type::String)]);
        names.0.push(("target".to_owned(), Type::Record(target)));
        let facts = Type::Record(super::facts::record().clone());
        names.0.push(("facts".to_owned(), facts));
    }
    if let Some(item) = item {
        names.0.push(("item".to_owned(), item));
    }
    names
        .0
        .push(("steps".to_owned(), Type::Record(earlier.clone())));
    names
}
