//! Which requests the proxy disturbs, and how.

use crate::answers::Answer;
use crate::behind::Behind;
use crate::request::{About, Asked};
use std::time::Duration;

/// Which requests.
pub enum What {
    /// Any eviction.
    Evictions,
    /// The eviction of `NAMESPACE/NAME`.
    EvictionOf(String),
    /// A watch of pods.
    Watches,
    /// A list of pods.
    Lists,
}

impl What {
    fn is(&self, asked: &Asked) -> bool {
        match self {
            Self::Evictions => asked.is_eviction(),
            Self::EvictionOf(pod) => asked.evicts(pod),
            Self::Watches => asked.about == About::Pods { watch: true },
            Self::Lists => asked.about == About::Pods { watch: false },
        }
    }
}

/// What becomes of the request.
#[derive(Debug, Clone)]
pub enum Then {
    Forwarded,
    /// Forwarded after a while.
    Late(Duration),
    /// Answered in place of the API server, which does not hear of it.
    Answered(Answer),
    /// The connection is cut, and the API server does not hear of it.
    CutBefore,
    /// The connection is cut when the API server has done it.
    CutAfter,
    /// A watch is cut in the middle of its first event.
    CutInAnEvent,
    /// A watch says nothing for a while, and then all that happened meanwhile.
    Quiet(Duration),
    /// A watch that is there and never says anything, until its own time is up.
    Mute,
}

/// A rule for the requests that it is about, as often as it says.
pub struct Rule {
    pub what: What,
    /// `None`: each time.
    pub times: Option<u32>,
    pub behind: Behind,
    pub then: Then,
}

impl Rule {
    pub fn once(what: What, then: Then) -> Self {
        Self {
            what,
            times: Some(1),
            behind: Behind::Nothing,
            then,
        }
    }

    pub fn always(what: What, then: Then) -> Self {
        Self {
            times: None,
            ..Self::once(what, then)
        }
    }

    pub fn behind(self, behind: Behind) -> Self {
        Self { behind, ..self }
    }

    /// What it does to this request, which counts; nothing where it is none of its.
    pub fn take(&mut self, asked: &Asked) -> Option<(Behind, Then)> {
        if !self.what.is(asked) || self.times == Some(0) {
            return None;
        }
        self.times = self.times.map(|left| left - 1);
        Some((self.behind, self.then.clone()))
    }
}
