//! What is planned, done and recorded: plain data, without any reading or writing of the world.

mod blob;
mod claim;
mod difference;
mod drop_in;
mod effect;
pub mod facts;
mod fields;
mod file;
mod identity;
mod ids;
pub mod network_manager;
mod object;
mod plan;
mod program;
mod rollout;
mod secret;
mod setting;
mod sysctl;
mod verb;

pub use blob::{Blobs, Content, Digest, LARGE, Sum};
pub use claim::{CLAIM, Holder, LEASE_SECONDS, LEASES, Lease, lease_name, micro};
pub use difference::difference;
pub use drop_in::{DropIn, hidden_by, in_order, is_after};
pub use effect::{Effect, Now, ObjectRef, Owner, Propagation, Settled, Standing, Subject};
pub(crate) use effect::{gone, is_ready, owned_by, served_under, succeeded, value_text};
pub use fields::{FieldChange, FieldPath, PatchError, Segment, json_patch, with_changes};
pub use file::{FileNow, FileRef, FileState, HostRef};
pub use identity::{Identity, Method};
pub use ids::{EffectId, RunId, Scope, Sitting, StepId, Target};
pub use object::{bare, differing, named_by, restorable};
pub use plan::{
    Actor, Ask, ClusterId, Detail, Exception, OnFailure, Plan, PlanKind, PlannedStep, Prior, Retry,
    Risk, UndoClass, Verdict,
};
pub use program::{Exit, Own, Program, ProgramNow, Programs, Ran, Restarts};
pub(crate) use program::{indented, shell_quote, shell_word};
pub(crate) use rollout::{all_replaced, rolled_out, seen_by_controller, stands_still};
pub use secret::{Secret, Secrets};
pub use setting::{Setting, SettingRef, SettingState, sysctl_path};
pub use sysctl::{SysctlLine, same_sysctl, with_value};
pub use verb::Verb;
