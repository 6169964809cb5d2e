//! The right to one effect.

use crate::model::{Effect, EffectId, RunId, Sitting};

/// Exists only once the intent of its effect is durable, and is used up by carrying the effect out:
/// whatever can write to the world asks for one, so that a dry run cannot write, and nothing can
/// happen that the journal does not know.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    id: EffectId,
    effect: Effect,
}

impl Permit {
    /// Only the journal makes permits, after the commit of the intent.
    pub(super) fn new(id: EffectId, effect: Effect) -> Self {
        Self { id, effect }
    }

    /// For tests of the engine, whose world is a script.
    #[cfg(test)]
    pub(crate) fn for_test(id: EffectId, effect: Effect) -> Self {
        Self::new(id, effect)
    }

    pub fn id(&self) -> &EffectId {
        &self.id
    }

    pub fn effect(&self) -> &Effect {
        &self.effect
    }
}

/// The right to claim targets for one sitting of a run, and to let them go again; it exists only once the
/// journal knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimPermit {
    run: RunId,
    sitting: Sitting,
}

impl ClaimPermit {
    pub(super) fn new(run: RunId, sitting: Sitting) -> Self {
        Self { run, sitting }
    }

    pub fn run(&self) -> RunId {
        self.run
    }

    pub fn sitting(&self) -> Sitting {
        self.sitting
    }
}
