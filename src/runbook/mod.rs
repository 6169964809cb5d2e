//! The language: a runbook's text becomes a typed model, or one clear error.

mod condition;
mod include;
mod kind;
mod library;
mod model;
mod param;
mod read;
mod template;

pub use condition::Condition;
pub use include::{include, include_texts};
pub use kind::{Kind, Kinds, Record, Type};
pub use library::{Library, untrusted};
pub use model::{Become, CONFIRM, INCLUDE, Runbook, Step, StepScope, TargetKind};
pub use param::{Param, ParamType, bind, bind_values, parse_duration};
pub use read::{ReadError, read};
pub use template::{TemplateError, render_arguments};
