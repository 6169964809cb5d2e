//! As whom a host is read and changed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How one becomes another user.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By `sudo`.
    #[default]
    Sudo,
    /// By `su`.
    Su,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sudo => "sudo",
            Self::Su => "su",
        })
    }
}

/// As whom a host is read and changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "identity")]
pub enum Identity {
    /// Whoever the connection logs in as.
    Login,
    /// Another user; nothing is done to become who one is already.
    Become { user: String, method: Method },
}

impl Identity {
    /// Root, by sudo where the login is somebody else.
    pub fn root() -> Self {
        Self::Become {
            user: "root".to_owned(),
            method: Method::Sudo,
        }
    }

    /// The user alone, for people.
    pub fn user(&self) -> &str {
        match self {
            Self::Login => "the user of the connection",
            Self::Become { user, .. } => user,
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        *self == Self::root()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login => f.write_str("the user of the connection"),
            Self::Become { user, method } => write!(f, "{user} (by {method})"),
        }
    }
}
