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
    Host {
        holder: HostHolder,
        /// Whether its run's Lease was looked at.
        known: bool,
    },
}

impl Taken {
    pub(super) fn by_lease(at: &str, lease: Lease, left: bool) -> Self {
        Self {
            at: at.to_owned(),
            left,
            by: By::Lease(lease),
        }
    }

    /// `known` says whether its run's Lease was looked at.
    pub(super) fn by_host(at: &str, holder: HostHolder, left: bool, known: bool) -> Self {
        Self {
            at: at.to_owned(),
            left,
            by: By::Host { holder, known },
        }
    }

    fn run(&self) -> RunId {
        match &self.by {
            By::Lease(lease) => lease.holder.run,
            By::Host { holder, .. } => holder.run,
        }
    }

    fn since(&self) -> Timestamp {
        match &self.by {
            By::Lease(lease) => lease.holder.since,
            By::Host { holder, .. } => holder.since,
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
            false if matches!(self.by, By::Host { known: false, .. }) => {
                Fault::refused("busy", self.to_string()).next(format!(
                    "wait for it with `--wait`, or ask them; if it is certainly gone, `--abandon {run}` gives \
                     it up, and what it did stays"
                ))
            }
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
            By::Host { .. } => format!("the host of {}", self.at),
        };
        let by: &dyn fmt::Display = match &self.by {
            By::Lease(lease) => &lease.holder,
            By::Host { holder, .. } => holder,
        };
        match self.left {
            true => write!(f, "{at} was left in the middle by {by}, begun {since}")?,
            false => write!(f, "{at} is held by {by}, since {since}")?,
        }
        match &self.by {
            By::Lease(lease) => {
                write!(
                    f,
                    "; it was last heard of {} s ago",
                    lease.silence(now).as_secs()
                )
            }
            By::Host { known: false, .. } if !self.left => {
                f.write_str("; whether it is still there cannot be told now")
            }
            By::Host { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Holder, Sitting};

    fn lease(seconds_ago: i64) -> Lease {
        let now = Timestamp::now();
        let holder = Holder {
            run: RunId::generate(),
            sitting: Sitting::generate(),
            actor: Actor {
                user: "ann".into(),
                host: "ops1".into(),
            },
            what: "swapoff".into(),
            targets: "node02".into(),
            reason: Some("a page".into()),
            since: now - jiff::SignedDuration::from_secs(seconds_ago + 60),
        };
        let renewed = now - jiff::SignedDuration::from_secs(seconds_ago);
        let written = holder.lease(Some("1"), renewed);
        Lease::read(&written).unwrap()
    }

    fn host(leased: bool) -> HostHolder {
        HostHolder {
            run: RunId::generate(),
            sitting: Sitting::generate(),
            leased,
            since: Timestamp::now(),
            who: "run RUN (swapoff on node02) of ann@ops1".into(),
        }
    }

    /// What is told, without what is another each time.
    fn told(taken: &Taken, waited: u64) -> String {
        let run = taken.run().to_string();
        let fault = taken.fault(Duration::from_secs(waited));
        let text = format!(
            "[{}] {} -> {}",
            fault.code,
            fault.message,
            fault.next.unwrap()
        );
        let text = text.replace(&run, "RUN");
        let clock = text.split("since ").nth(1).or(text.split("begun ").nth(1));
        match clock.and_then(|rest| rest.get(..8)) {
            Some(clock) => text.replace(clock, "HH:MM:SS"),
            None => text,
        }
    }

    #[test]
    fn who_has_a_target_is_said_with_what_can_be_done() {
        let all = [
            told(&Taken::by_lease("node02", lease(3), false), 0),
            told(&Taken::by_lease("node02", lease(3), false), 300),
            told(&Taken::by_lease("node02", lease(100), true), 0),
            told(&Taken::by_host("node02", host(true), false, true), 0),
            told(&Taken::by_host("node02", host(false), false, false), 0),
            told(&Taken::by_host("node02", host(false), true, false), 0),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
