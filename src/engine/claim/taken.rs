//! Somebody else has a target: who, what for, since when, and what can be done about it.

use crate::fault::Fault;
use crate::model::{Lease, RunId};
use crate::transport::HostHolder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// A target that somebody else has.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What they have.
    pub at: String,
    /// They are not there any more, and did not end what they had begun.
    pub left: bool,
    by: By,
}

#[derive(Debug, Clone)]
enum By {
    Lease(Lease),
    Host(HostHolder),
}

impl Taken {
    pub(super) fn by_lease(at: &str, lease: Lease, left: bool) -> Self {
        Self {
            at: at.to_owned(),
            left,
            by: By::Lease(lease),
        }
    }

    pub(super) fn by_host(at: &str, holder: HostHolder, left: bool) -> Self {
        Self {
            at: at.to_owned(),
            left,
            by: By::Host(holder),
        }
    }

    fn run(&self) -> RunId {
        match &self.by {
            By::Lease(lease) => lease.holder.run,
            By::Host(holder) => holder.run,
        }
    }

    fn since(&self) -> Timestamp {
        match &self.by {
            By::Lease(lease) => lease.holder.since,
            By::Host(holder) => holder.since,
        }
    }

    /// What the operator is told; `waited` is how long it was waited for.
    pub fn fault(&self, waited: Duration) -> Fault {
        let run = self.run();
        match self.left {
            true => Fault::refused("left_behind", self.to_string()).next(format!(
                "where it was begun, `runbook resume {run}` goes on with it, and `runbook undo {run}` takes \
                 it back; `--abandon {run}` gives it up, and what it did stays"
            )),
            false if waited.as_secs() > 0 => Fault::refused(
                "busy",
                format!("{self}; it was waited for, for {} s", waited.as_secs()),
            )
            .next("wait longer with `--wait 30m`, or ask them"),
            false => Fault::refused("busy", self.to_string())
                .next("wait for it with `--wait 5m`, or ask them"),
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (since, now) = (self.since(), Timestamp::now());
        let form = match now.duration_since(since).as_hours() {
            0..20 => "%H:%M:%S",
            _ => "%H:%M:%S on %Y-%m-%d",
        };
        let since = since
            .to_zoned(TimeZone::system())
            .strftime(form)
            .to_string();
        let at = match self.by {
            By::Lease(_) => self.at.clone(),
            By::Host(_) => format!("the host of {}", self.at),
        };
        let by: &dyn fmt::Display = match &self.by {
            By::Lease(lease) => &lease.holder,
            By::Host(holder) => holder,
        };
        match self.left {
            true => write!(f, "{at} was left in the middle by {by}, begun {since}")?,
            false => write!(f, "{at} is held by {by}, since {since}")?,
        }
        match &self.by {
            By::Lease(lease) if !lease.ended => {
                write!(
                    f,
                    "; it was last heard of {} s ago",
                    lease.silence(now).as_secs()
                )
            }
            _ => Ok(()),
        }
    }
}
