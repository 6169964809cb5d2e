//! The language: a runbook's text becomes a typed model, or all that is wrong with it.

mod arguments;
mod condition;
mod editor;
mod excerpt;
mod file;
mod kind;
mod language;
mod library;
mod model;
mod names;
mod param;
mod param_text;
mod problem;
mod read;
mod reference;
mod shape;
mod source;
mod steps;
mod tags;
mod template;
mod when;
mod yaml;

pub use condition::Condition;
pub use editor::schema;
pub use kind::{Kind, Kinds, Record, Type};
pub use language::language_kinds;
pub use library::{Library, untrusted};
pub use model::{Become, OnFailure, Retry, Runbook, Step, StepScope, TargetKind};
pub use param::{Param, ParamType, bind, parse_duration};
pub use problem::{Problem, Problems};
pub use read::read;
pub use reference::reference;
pub use shape::DURATION_FORMAT;
pub use template::{TemplateError, render_arguments};
