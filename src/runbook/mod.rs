//! The language: a runbook's text becomes a typed model, or all that is wrong with it.

mod arguments;
mod beside;
mod condition;
mod editor;
mod excerpt;
mod facts;
mod file;
mod include;
mod kind;
mod language;
mod library;
mod model;
mod names;
mod param;
mod problem;
mod read;
mod reference;
mod shape;
mod source;
mod start;
mod steps;
mod tags;
mod template;
mod template_file;
mod when;
mod yaml;

pub use beside::Beside;
pub use condition::Condition;
pub use editor::schema;
pub use facts::{Absent, FactNames, record as facts_record, uses_facts};
pub use include::{include, read_kept};
pub use kind::{Kind, Kinds, Record, Type};
pub use language::language_kinds;
pub use library::{Entry, Folder, Library, Located, Origin, untrusted};
pub use model::{Become, CONFIRM, INCLUDE, Runbook, Step, StepScope, TargetKind};
pub use param::{
    Binding, Bound, Given, Limit, Param, ParamFile, ParamProblem, ParamText, ParamTexts, ParamType,
    bind, bind_values, check_names, parse_duration, parse_time, secret_refs,
};
pub use problem::{Problem, Problems};
pub use read::{read, read_beside};
pub use reference::reference;
pub use shape::DURATION_FORMAT;
pub use start::start;
pub use template::{Rendering, TemplateError, names_in_templates, render_arguments};
