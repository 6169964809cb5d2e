//! Observations to decisions: makes the plan of a run, and the plan of taking one back.

mod apply;
mod automatic;
mod later;
mod meant;
mod names;
mod order;
mod rights;
mod saved;
mod step;
#[cfg(test)]
mod test_runbook;
mod undo;

pub use apply::{Planned, Request, plan};
pub use automatic::{Automatic, automatic};
pub use later::{Gate, decide_now, found_so_far, question};
pub use rights::{Grant, Rights, Why, rights};
pub use saved::{Difference, SavedPlan, approval, differences, digest};
pub use undo::{Extent, UndoPlan, undo_plan};
#[cfg(test)]
pub(crate) use undo::{after, take_back};

use crate::fault::{API_SILENT, Fault};
use crate::journal::RunRecord;
use crate::model::{Actor, ClusterId, Plan};
use crate::transport::{Cluster, Right};
use futures::{StreamExt, TryStreamExt, stream};

/// How many rights are asked for at a time.
const AT_ONCE: usize = 16;

/// Holds that a run is taken up where it was: the cluster's identity, if so. One that does not answer, or
/// did not when the run began, is known by its address alone.
pub async fn same_cluster(cluster: &Cluster, record: &RunRecord) -> Result<ClusterId, Fault> {
    let then = &record.plan.cluster;
    let (now, same) = match cluster.identity().await {
        Ok(now) if !then.uid.is_empty() => (now.clone(), now.uid == then.uid),
        Ok(now) => (now.clone(), now.server == then.server),
        Err(fault) if fault.code == API_SILENT => {
            let now = cluster.unanswered_identity();
            let same = now.server == then.server;
            let uid = then.uid.clone();
            (ClusterId { uid, ..now }, same)
        }
        Err(fault) => return Err(fault),
    };
    match same {
        true => Ok(now),
        false => Err(Fault::refused(
            "another_cluster",
            format!(
                "run {} was on another cluster (context {}, {}) than context {} ({})",
                record.run, then.context, then.server, now.context, now.server
            ),
        )
        .next("name its context with --context")),
    }
}

/// The rights that carrying the plan out and taking it back need, and this identity lacks.
pub async fn missing_rights(cluster: &Cluster, plan: &Plan) -> Result<Vec<Right>, Fault> {
    let rights = rights::of_plan(plan);
    // Whoever may do it to all nodes need not be asked about each.
    let spared = allowed(cluster, rights::sparing(&rights)).await?;
    let spared = |right: &Right| spared.iter().any(|(wide, may)| *may && wide.covers(right));
    let asked = rights.into_iter().filter(|right| !spared(right)).collect();
    let missing = allowed(cluster, asked).await?.into_iter();
    Ok(missing
        .filter(|(_, may)| !may)
        .map(|(right, _)| right)
        .collect())
}

/// Of each right, whether this identity has it.
async fn allowed(cluster: &Cluster, rights: Vec<Right>) -> Result<Vec<(Right, bool)>, Fault> {
    let asked = rights.into_iter().map(async |right| {
        let may = cluster.may(&right).await?;
        Ok::<_, Fault>((right, may))
    });
    let asked: Vec<_> = asked.collect();
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

/// Who runs this, for the journal and the plan's head.
pub fn actor() -> Actor {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| {
            let uid = rustix::process::getuid().as_raw();
            let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            account(&accounts, uid).unwrap_or_else(|| format!("uid {uid}"))
        });
    Actor { user, host }
}

/// The name of a user in the text of `/etc/passwd`.
fn account(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn a_user_is_found_by_its_number() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(account(accounts, 1000).as_deref(), Some("ann"));
        assert_eq!(account(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account(accounts, 7), None);
    }
}
