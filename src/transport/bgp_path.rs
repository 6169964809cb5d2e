//! How a host reaches its peers of BGP: what its own tools say of it, unjudged.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::HostRef;
use std::net::IpAddr;
use std::time::Duration;

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/bgp_path.sh")
);
/// All tries and all tools together end before that, each having a limit of its own.
const LIMIT: Duration = Duration::from_secs(180);

/// Parts of what a host says, each with the line that begins it.
pub type PathParts = Vec<(String, String)>;

impl Hosts {
    /// Reads how a host reaches these peers, and what may stand in the way. Takes no lock, and writes nothing.
    pub async fn read_bgp_path(
        &self,
        host: &Destination,
        of: &HostRef,
        port: u16,
        peers: &[IpAddr],
    ) -> Result<PathParts, Fault> {
        let words: Vec<String> = std::iter::once(port.to_string())
            .chain(peers.iter().map(ToString::to_string))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut script = Script::new(READ, &words);
        script.limit = LIMIT;
        let said = self.ask(host, of, &script).await?;
        if said.word != "read" {
            return Err(refusal(host, of, "the path of its BGP sessions", &said));
        }
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        Ok(said
            .parts
            .iter()
            .map(|(line, body)| (line.clone(), text(body)))
            .collect())
    }
}
