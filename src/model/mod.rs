//! What is planned, done and recorded: plain data, without any reading or writing of the world.

mod blob;
mod effect;
mod fields;
mod file;
mod identity;
mod ids;
mod plan;
mod program;
mod secret;

pub use blob::{Blobs, Digest};
pub use effect::{Effect, Now, ObjectRef, Settled, Standing, Subject};
pub(crate) use effect::{
    is_ready, owned_by, rolled_out, seen_by_controller, succeeded, value_text,
};
pub use fields::{FieldChange, FieldPath, PatchError, Segment, json_patch, with_changes};
pub use file::{FileNow, FileRef, FileState, HostRef};
pub use identity::{Identity, Method};
pub use ids::{EffectId, RunId, Scope, StepId, Target};
pub use plan::{
    Actor, ClusterId, Detail, Exception, Plan, PlanKind, PlannedStep, Prior, Risk, UndoClass,
    Verdict,
};
pub use program::{Exit, Program, ProgramNow, Programs, Ran};
pub(crate) use program::{indented, shell_quote, shell_word};
pub use secret::Secret;
