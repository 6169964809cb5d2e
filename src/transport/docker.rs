//! Docker on a host, asked whose a bridge is.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::HostRef;

const NETWORK: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/docker_network.sh")
);

/// What docker says of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerNetwork {
    Is {
        network: String,
        containers: Vec<String>,
    },
    /// It has no such network.
    Unknown,
    /// It does not answer, or is not there.
    Silent(String),
}

impl Hosts {
    /// Which of docker's networks is on a bridge, known by the bridge's name.
    pub async fn docker_network(
        &self,
        host: &Destination,
        of: &HostRef,
        bridge: &str,
    ) -> Result<DockerNetwork, Fault> {
        let said = self.ask(host, of, &Script::new(NETWORK, &[bridge])).await?;
        match said.word.as_str() {
            "is" => {
                let mut words = said.rest.split(' ').map(str::to_owned);
                Ok(DockerNetwork::Is {
                    network: words.next().unwrap_or_default(),
                    containers: words.collect(),
                })
            }
            "unknown" => Ok(DockerNetwork::Unknown),
            "silent" => Ok(DockerNetwork::Silent(said.rest.clone())),
            _ => Err(refusal(host, of, "docker", &said)),
        }
    }
}
