//! `host.conntrack`: room in the table in which a kernel follows connections.

use super::{Action, Compiled, Decision, Look, Needs, Patience, Place, duration};
use crate::fault::Fault;
use crate::model::{Exception, HostRef, Prior, Setting, Settled};
use crate::runbook::{DURATION_FORMAT, Record, Type};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// The entries that are in use, and the most that there may be.
const COUNT: &str = "net.netfilter.nf_conntrack_count";
pub(super) const MAX: &str = "net.netfilter.nf_conntrack_max";

/// The share of its entries, in percent, from which on a table is said to be full: new connections come in
/// bursts.
pub(super) const FULL: u64 = 90;

/// Holds that the table in which the kernel follows connections has room. Where nothing is followed, there is
/// no table, and nothing to hold.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The share of the table, in percent, that must not be reached.
    #[serde(default = "full")]
    below: u64,
    /// How long it may take to come about, where earlier steps bring it about; 60s if left out.
    #[schemars(extend("format" = DURATION_FORMAT))]
    within: Option<String>,
}

const fn full() -> u64 {
    FULL
}

pub struct HostConntrack {
    below: u64,
    within: Duration,
}

/// How full the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub count: u64,
    pub max: u64,
}

impl Table {
    /// Reads it; `None` where the kernel has none.
    pub(super) async fn read(look: &Look<'_>, host: &HostRef) -> Result<Option<Self>, Fault> {
        let number = async |key: &str| {
            let key = key.to_owned();
            let setting = Setting::Sysctl { key }.of(host);
            let state = look.setting(&setting).await?;
            Ok::<_, Fault>(state.as_value().and_then(|value| value.parse().ok()))
        };
        let (count, max) = (number(COUNT).await?, number(MAX).await?);
        Ok(count.zip(max).map(|(count, max)| Self { count, max }))
    }

    /// In percent, rounded down. A kernel that was told 0 takes any number of connections.
    pub const fn share(self) -> u64 {
        match self.max {
            0 => 0,
            max => self.count.saturating_mul(100) / max,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max == 0 {
            return write!(
                f,
                "{} entries are in use, and there is no limit",
                self.count
            );
        }
        write!(
            f,
            "{} of {} entries are in use ({} %)",
            self.count,
            self.max,
            self.share()
        )
    }
}

pub struct Seen {
    host: HostRef,
    table: Option<Table>,
}

#[async_trait]
impl Action for HostConntrack {
    const USES: &'static str = "host.conntrack";
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        if !(1..=100).contains(&args.below) {
            return Err(format!(
                "`below` is a share in percent, from 1 to 100, and {} is not",
                args.below
            ));
        }
        Ok(Self {
            below: args.below,
            within: duration("within", args.within.as_deref(), Duration::from_secs(60))?,
        })
    }

    fn outputs() -> Record {
        Record::of(&[
            ("count", Type::Int),
            ("max", Type::Int),
            ("summary", Type::String),
        ])
    }

    fn needs(_with: &Value) -> Needs {
        Needs::of_host(false)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let host = look.host(&place.target()?.name, place.identity).await?;
        let table = Table::read(look, &host).await?;
        Ok(Seen { host, table })
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Self::Change> {
        let node = &seen.host.node;
        if prior.changes_on(&seen.host) {
            return Decision::Check {
                expects: format!(
                    "less than {} % of the table of connections of {node} is in use",
                    self.below
                ),
                except: Vec::new(),
            };
        }
        match seen.table {
            None => Decision::NoChange {
                why: format!(
                    "not applicable: the kernel of {node} follows no connections (nf_conntrack is not loaded)"
                ),
            },
            Some(table) if table.share() < self.below => Decision::NoChange {
                why: format!("{node}: {table}"),
            },
            Some(table) => Decision::Refuse {
                why: format!("{node}: {table}"),
                next: Some(
                    "give the table more entries than it has, or look who takes them: \
                     conntrack -L 2>/dev/null | sed 's/^[^=]*\\(src=[^ ]* dst=[^ ]*\\).*/\\1/' | sort | uniq -c | sort -rn | head"
                        .to_owned(),
                ),
            },
        }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    fn verify(&self, seen: &Seen, _: Prior<'_>, _: &[Exception]) -> Settled {
        match seen.table {
            Some(table) if table.share() >= self.below => {
                Settled::NotYet(format!("{}: {table}", seen.host.node))
            }
            _ => Settled::Yes,
        }
    }

    fn found(&self, seen: &Seen) -> Map<String, Value> {
        let Some(table) = seen.table else {
            return Map::new();
        };
        let mut found = Map::new();
        found.insert("count".to_owned(), table.count.into());
        found.insert("max".to_owned(), table.max.into());
        found.insert("summary".to_owned(), table.to_string().into());
        found
    }

    fn patience(&self) -> Patience {
        Patience {
            within: self.within,
            ..Patience::default()
        }
    }
}

#[cfg(test)]
mod tests;
