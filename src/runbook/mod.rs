//! The language: a runbook's text becomes a typed model, or one clear error.

mod condition;
mod library;
mod model;
mod param;
mod read;
mod template;

pub use condition::{Condition, Names};
pub use library::{Library, untrusted};
pub use model::{Become, Runbook, Step, StepScope, TargetKind};
pub use param::{Param, ParamType, bind, parse_duration};
pub use read::{ReadError, read};
pub use template::{TemplateError, render_arguments};
