//! The language: a runbook's text becomes a typed model, or one clear error.

mod condition;
mod kind;
mod library;
mod model;
mod param;
mod read;
mod template;

pub use condition::Condition;
pub use kind::{Kind, Kinds, Record, Type};
pub use library::{Library, untrusted};
pub use model::{Become, OnFailure, Retry, Runbook, Step, StepScope, TargetKind};
pub use param::{Param, ParamType, bind, parse_duration};
pub use read::{ReadError, read};
pub use template::{TemplateError, render_arguments};
