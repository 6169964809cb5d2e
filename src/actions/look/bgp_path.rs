//! Looks at the paths between peers of BGP.

use super::Look;
use crate::calico::path::BGP;
use crate::fault::Fault;
use crate::model::Identity;
use crate::transport::PathParts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Look<'_> {
    /// The port of BGP, which can be set for all nodes (BGPConfiguration `listenPort`, Calico v3.31).
    pub async fn bgp_port(&self) -> Result<u16, Fault> {
        let configuration = self.bgp_configuration().await?;
        let set = configuration.and_then(|c| c.pointer("/spec/listenPort"));
        let port = set.and_then(Value::as_u64).and_then(|p| p.try_into().ok());
        Ok(port.filter(|p| *p != 0).unwrap_or(BGP))
    }

    /// The ports of nodes that have one of their own (BGPConfiguration `node.<name>`, Calico v3.31,
    /// confd/pkg/backends/calico/client.go).
    pub async fn bgp_ports(&self) -> Result<BTreeMap<String, u16>, Fault> {
        let own = |raw: &Value| {
            let name = raw.pointer("/metadata/name")?.as_str()?;
            let port = raw.pointer("/spec/listenPort")?.as_u64()?.try_into().ok()?;
            Some((name.strip_prefix("node.")?.to_owned(), port))
        };
        let ports: BTreeMap<String, u16> = self
            .bgp_configurations()
            .await?
            .iter()
            .filter_map(own)
            .collect();
        // They are by the names of Calico's datastore.
        let nodes = self.mesh_nodes().await?.iter();
        let named = nodes.filter_map(|n| Some((n.name().to_owned(), *ports.get(&n.calico_name)?)));
        Ok(named.collect())
    }

    /// Whether a pool wraps pods' traffic in IP protocol 4; `None`: its pools are not read.
    pub async fn has_ipip(&self) -> Result<Option<bool>, Fault> {
        if self.calico().await?.etcd().is_some() {
            return Ok(None);
        }
        match self.all_of("ippools").await {
            Ok(pools) => Ok(Some(pools.iter().any(wraps))),
            Err(fault) if fault.code == "api_forbidden" => Ok(None),
            Err(fault) => Err(fault),
        }
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

/// Whether a pool wraps traffic by IPIP.
fn wraps(pool: &Value) -> bool {
    let mode = pool.pointer("/spec/ipipMode").and_then(Value::as_str);
    !matches!(mode, None | Some("" | "Never"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pools_wrap_by_their_mode() {
        let wraps = |spec: Value| super::wraps(&json!({"spec": spec}));
        assert!(wraps(json!({"ipipMode": "Always"})) && wraps(json!({"ipipMode": "CrossSubnet"})));
        assert!(!wraps(json!({"ipipMode": "Never"})) && !wraps(json!({"cidr": "10.1.0.0/16"})));
    }
}
