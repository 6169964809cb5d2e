//! The language: a runbook's text becomes a typed model, or one clear error.

mod condition;
mod kind;
mod library;
mod model;
mod param;
mod read;
mod start;
mod template;

pub use condition::Condition;
pub use kind::{Kind, Kinds, Record, Type};
pub use library::{Entry, Folder, Library, Located, Origin, untrusted};
pub use model::{Become, OnFailure, Retry, Runbook, Step, StepScope, TargetKind};
pub use param::{
    Binding, Bound, Given, Limit, Param, ParamFile, ParamProblem, ParamText, ParamTexts, ParamType,
    bind, check_names, parse_duration,
};
pub use read::{ReadError, read};
pub use start::start;
pub use template::{TemplateError, render_arguments};
