//! The Lease of a run while it works: renewed again and again, and lost where that was not so for too
//! long.

use crate::fault::{API_SILENT, Fault, claim_lost};
use crate::journal::ClaimPermit;
use crate::model::LEASE_SECONDS;
use crate::transport::{Cluster, Renewed};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

const LASTS: Duration = Duration::from_secs(LEASE_SECONDS);
const EVERY: Duration = Duration::from_secs(5);
/// An API server that is slower is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Renews a Lease for as long as it is there.
pub struct Pulse {
    beat: Arc<Beat>,
    renewing: JoinHandle<()>,
}

struct Beat {
    cluster: Cluster,
    permit: ClaimPermit,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    /// When this process last ran, for certain.
    awake: Duration,
    /// When the Lease was last known to be renewed.
    renewed: Duration,
    version: String,
    lost: Option<Fault>,
}

/// Time that also passes while this machine sleeps.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

impl State {
    /// Takes down that this process runs now. A process that slept for longer than a Lease lasts may find
    /// its targets changed by others, and must not act on what it knew before.
    fn wake(&mut self, now: Duration) {
        let slept = now.saturating_sub(self.awake);
        if slept > LASTS && self.lost.is_none() {
            self.lost = Some(claim_lost(&format!(
                "it stood still for {} s, and its Lease lasts {LEASE_SECONDS} s: others may have \
                 taken its targets meanwhile",
                slept.as_secs()
            )));
        }
        self.awake = now;
    }

    fn is_valid(&self, now: Duration) -> bool {
        now.saturating_sub(self.renewed) <= LASTS
    }
}

impl Beat {
    /// Renews it once; what does not answer is tried again later.
    async fn renew(&self) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        state.wake(now());
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let asked = now();
        let version = state.version.clone();
        let renewing = self.cluster.renew_lease(self.permit, &self.name, &version);
        let answer = tokio::time::timeout(PATIENCE, renewing).await;
        state.wake(now());
        match answer {
            Ok(Ok(Renewed::Yes { version })) => {
                state.version = version;
                state.renewed = asked;
                Ok(())
            }
            Ok(Ok(Renewed::Lost(by))) => {
                let lost = claim_lost(&match by {
                    Some(lease) => format!("{} has taken its place", lease.holder),
                    None => "its Lease was deleted, as if it had been given up".to_owned(),
                });
                state.lost = Some(lost.clone());
                Err(lost)
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::unreachable(
                API_SILENT,
                format!(
                    "the API server does not answer within {} s, and so the run's Lease is not renewed",
                    PATIENCE.as_secs()
                ),
            )),
        }
    }
}

impl Pulse {
    /// For a Lease that was just written.
    pub fn begin(cluster: Cluster, permit: ClaimPermit, name: String, version: String) -> Self {
        let beat = Arc::new(Beat {
            cluster,
            permit,
            name,
            state: Mutex::new(State {
                awake: now(),
                renewed: now(),
                version,
                lost: None,
            }),
        });
        let renewing = tokio::spawn({
            let beat = beat.clone();
            async move {
                loop {
                    tokio::time::sleep(EVERY).await;
                    if let Err(fault) = beat.renew().await {
                        tracing::debug!("{fault}");
                    }
                }
            }
        });
        Self { beat, renewing }
    }

    /// Holds that the run still has its claims. For writing in the cluster, the Lease must have been
    /// renewed of late; a host itself knows who has it.
    pub async fn may_write(&self, in_cluster: bool) -> Result<(), Fault> {
        let mut state = self.beat.state.lock().await;
        state.wake(now());
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let valid = state.is_valid(now());
        drop(state);
        match in_cluster && !valid {
            true => self.beat.renew().await,
            false => Ok(()),
        }
    }

    /// Renews it no more; why it was lost, if it was.
    pub async fn end(self) -> Option<Fault> {
        self.renewing.abort();
        self.beat.state.lock().await.lost.clone()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            awake: Duration::from_secs(100),
            renewed: Duration::from_secs(100),
            version: String::new(),
            lost: None,
        }
    }

    #[test]
    fn a_process_that_stood_still_for_longer_than_its_lease_has_lost_it() {
        let mut short = state();
        short.wake(Duration::from_secs(130));
        assert_eq!(short.lost, None);
        short.wake(Duration::from_secs(161));
        insta::assert_snapshot!(short.lost.unwrap().message, @"this run writes nothing more: it stood still for 31 s, and its Lease lasts 30 s: others may have taken its targets meanwhile");
    }

    #[test]
    fn what_is_lost_stays_lost() {
        let mut state = state();
        state.wake(Duration::from_secs(200));
        state.wake(Duration::from_secs(201));
        assert!(state.lost.is_some());
    }

    #[test]
    fn a_lease_is_valid_for_its_time() {
        let state = state();
        assert!(state.is_valid(Duration::from_secs(130)));
        assert!(!state.is_valid(Duration::from_secs(131)));
    }
}
