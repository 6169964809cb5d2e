//! The table in which the kernel follows connections.

use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;

/// The kernel's table of connections, by `/proc/sys/net/netfilter/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Conntrack {
    /// Whether it is there: nf_conntrack is loaded, or built in.
    pub loaded: Fact<bool>,
    /// Connections in it.
    pub count: Fact<u64>,
    /// Connections that it takes.
    pub max: Fact<u64>,
    /// Buckets of its hash.
    pub buckets: Fact<u64>,
    /// What the module was told about them: `hashsize`, which only root may read.
    pub hash_size: Fact<u64>,
}

impl Conntrack {
    pub(super) fn new(parts: &Parts) -> Self {
        let max = parts.number("conntrack_max");
        Self {
            loaded: match &max {
                Fact::NotApplicable(_) => Fact::Is(false),
                other => other.as_ref().map(|_| true),
            },
            count: parts.number("conntrack_count"),
            max,
            buckets: parts.number("conntrack_buckets"),
            hash_size: parts.number("conntrack_hashsize"),
        }
    }
}
