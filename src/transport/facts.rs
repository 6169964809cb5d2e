//! What a host is and has, read in one go.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::HostRef;
use crate::model::facts::{Facts, Parts, SOCKETS, UNITS};
use std::time::{Duration, SystemTime};

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/find_process.sh"),
    include_str!("host/facts.sh")
);
/// Longer than its tools may take that are known to hang where something else does.
const LIMIT: Duration = Duration::from_secs(120);

impl Hosts {
    /// Reads what a host is and has. Takes no lock, and writes nothing.
    pub async fn facts(&self, host: &Destination, of: &HostRef) -> Result<Facts, Fault> {
        let mut script = Script::new(READ, &[UNITS, SOCKETS]);
        script.limit = LIMIT;
        let begun = now();
        let said = self.ask(host, of, &script).await?;
        let ended = now();
        if said.word != "facts" {
            return Err(refusal(host, of, "what it is and has", &said));
        }
        let mut parts = Parts::default();
        for (line, bytes) in &said.parts {
            parts.take(line, bytes);
        }
        Ok(Facts::read_within(&parts, begun..=ended))
    }
}

/// Seconds of Unix time.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
