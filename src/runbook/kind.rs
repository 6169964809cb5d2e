//! What the language knows of a kind of step: its arguments and what it gives to later steps.

use super::model::StepScope;
use super::template::Rendering;
use schemars::Schema;
use serde_json::Value;

/// The type of a name in conditions and templates.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Bool,
    Int,
    String,
    List(Box<Type>),
    /// Closed: no other names stand below it.
    Record(Record),
    /// Whatever is found there; any name may stand below it.
    Any,
    /// What nobody may see: it reaches programs as a variable of theirs, and nothing else.
    Secret,
}

impl Type {
    /// What it is, for people.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::String => "text",
            Self::List(_) => "a list",
            Self::Record(_) => "a map",
            Self::Any => "anything",
            Self::Secret => "a secret",
        }
    }
}

/// Names and their types, in the order in which they are shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record(pub Vec<(String, Type)>);

impl Record {
    pub fn of(names: &[(&str, Type)]) -> Self {
        let owned = |(name, kind): &(&str, Type)| ((*name).to_owned(), kind.clone());
        Self(names.iter().map(owned).collect())
    }

    /// The type of what stands directly below it.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, t)| t)
    }

    /// The type of what a dotted name stands for; `None`: for nothing.
    pub fn find(&self, dotted: &str) -> Option<&Type> {
        let (first, rest) = match dotted.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (dotted, None),
        };
        match (self.get(first), rest) {
            (Some(Type::Record(below)), Some(rest)) => below.find(rest),
            (Some(Type::Any), _) => Some(&Type::Any),
            (Some(found), None) => Some(found),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// The type of what a name stands for in which `[]` is any item of a list.
    pub fn find_item(&self, path: &str) -> Option<&Type> {
        let mut parts = path.split("[]");
        let mut found = self.find(parts.next()?)?;
        for below in parts {
            let item = match found {
                Type::List(item) => &**item,
                Type::Any => return Some(&Type::Any),
                _ => return None,
            };
            found = match (below.strip_prefix('.'), item) {
                (None, item) => item,
                (Some(_), Type::Any) => return Some(&Type::Any),
                (Some(name), Type::Record(record)) => record.find(name)?,
                (Some(_), _) => return None,
            };
        }
        Some(found)
    }

    /// Whether a dotted name stands for something.
    pub fn knows(&self, dotted: &str) -> bool {
        self.find(dotted).is_some()
    }

    /// All names for a person, of which facts are too many: they stand as one.
    pub fn names_in_short(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| !name.starts_with("facts."));
        if self.get("facts").is_some() {
            names.push("facts.…".to_owned());
        }
        names
    }

    /// All names in dotted form, without records themselves.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, kind) in &self.0 {
            match kind {
                Type::Record(below) => {
                    names.extend(below.names().iter().map(|rest| format!("{name}.{rest}")));
                }
                _ => names.push(name.clone()),
            }
        }
        names
    }
}

/// One kind of step.
#[derive(Debug, Clone)]
pub struct Kind {
    /// `domain.noun`.
    pub uses: &'static str,
    /// What it was called earlier, as journals have it.
    pub formerly: Option<&'static str>,
    /// JSON Schema of `with`, with the kind's description and that of each argument.
    pub schema: Schema,
    /// What stands below `steps.<id>` besides `changed`.
    pub outputs: Record,
    /// Arguments that are literal: scripts, in which no template may stand.
    pub literal: &'static [&'static str],
    /// Arguments that are names of earlier steps, and tell whether these change something.
    pub changes: &'static [&'static str],
    /// Whether `source` names a file beside the runbook, which is its `template`.
    pub beside: bool,
    /// Where a step of it must happen; `None`: at each target or once for the run, as it says.
    pub scope: Option<StepScope>,
    /// What an undo does not bring back, as far as arguments tell that are not rendered; `None`: it brings
    /// all of it back, or there is nothing to.
    pub lost: fn(&Value) -> Option<&'static str>,
    /// What is wrong with arguments, once they are rendered.
    pub check: fn(&Value) -> Result<(), String>,
}

impl Kind {
    /// How its arguments are rendered.
    pub fn rendering(&self) -> Rendering {
        Rendering {
            literal: self.literal,
            beside: self.beside,
        }
    }

    /// What it does, for people.
    pub fn about(&self) -> &str {
        let about = self.schema.get("description").and_then(Value::as_str);
        about.unwrap_or_default()
    }
}

/// All kinds of steps.
#[derive(Debug, Clone, Default)]
pub struct Kinds(pub Vec<Kind>);

impl Kinds {
    pub fn find(&self, uses: &str) -> Option<&Kind> {
        self.0
            .iter()
            .find(|kind| kind.uses == uses || kind.formerly == Some(uses))
    }
}

#[cfg(test)]
impl Kinds {
    /// Kinds that take anything.
    pub(crate) fn that_take_anything(all: &[&'static str]) -> Self {
        let kind = |uses: &&'static str| Kind {
            uses,
            formerly: None,
            schema: schemars::json_schema!({"description": "Takes anything."}),
            outputs: Record::default(),
            literal: &[],
            changes: &[],
            beside: false,
            scope: None,
            lost: |_| None,
            check: |_| Ok(()),
        };
        Self(all.iter().map(kind).collect())
    }
}
