//! Looks at the paths between peers of BGP.

use super::Look;
use crate::calico::path::BGP;
use crate::fault::Fault;
use crate::model::Identity;
use crate::transport::PathParts;
use serde_json::Value;
use std::net::IpAddr;

impl Look<'_> {
    /// The port of BGP, which can be set for all nodes (BGPConfiguration `listenPort`, Calico v3.31).
    pub async fn bgp_port(&self) -> Result<u16, Fault> {
        let configuration = self.bgp_configuration().await?;
        let set = configuration.and_then(|c| c.pointer("/spec/listenPort"));
        let port = set.and_then(Value::as_u64).and_then(|p| p.try_into().ok());
        Ok(port.filter(|p| *p != 0).unwrap_or(BGP))
    }

    /// What the host of a node says of its paths to peers of BGP.
    pub async fn bgp_path(
        &self,
        node: &str,
        identity: &Identity,
        port: u16,
        peers: &[IpAddr],
    ) -> Result<PathParts, Fault> {
        let of = self.host(node, identity).await?;
        let host = self.world.inventory.destination(node);
        let read = self.world.hosts.read_bgp_path(&host, &of, port, peers);
        read.await
    }
}
