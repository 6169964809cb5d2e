//! The sessions that BGPPeers configure, beside those of the mesh (Calico v3.31,
//! confd/pkg/backends/calico/client.go).

use super::mesh::MeshNode;
use super::selector::Selector;
use serde_json::Value;
use std::net::IpAddr;

/// A BGPPeer: which nodes have sessions with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpPeer {
    pub name: String,
    /// Its sessions have one.
    pub password: bool,
    of: Nodes,
    to: To,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Nodes {
    All,
    Named(String),
    Selected(Selector),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Address(IpAddr, Option<u16>),
    Nodes(Selector),
    /// Workloads of the node, which come and go.
    Workloads,
}

impl BgpPeer {
    /// Reads an object, of the Kubernetes API or as calicoctl prints it.
    ///
    /// # Errors
    /// Says what of it is not understood.
    pub fn new(raw: &Value) -> Result<Self, String> {
        let name = raw.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let text = |key: &str| {
            let text = raw.pointer(&format!("/spec/{key}")).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let wrong = |why: String| format!("BGPPeer {name}: {why}");
        let of = match (text("nodeSelector"), text("node")) {
            (Some(selector), _) => Nodes::Selected(selector.parse().map_err(wrong)?),
            (None, Some(node)) => Nodes::Named(node.to_owned()),
            (None, None) => Nodes::All,
        };
        let to = match (text("localWorkloadSelector"), text("peerSelector")) {
            (Some(_), _) => To::Workloads,
            (None, Some(selector)) => To::Nodes(selector.parse().map_err(wrong)?),
            (None, None) => {
                let ip = text("peerIP").unwrap_or_default();
                let (ip, port) =
                    address(ip).ok_or_else(|| wrong(format!("its peerIP is `{ip}`")))?;
                To::Address(ip, port)
            }
        };
        Ok(Self {
            name,
            password: has_password(raw, "password"),
            of,
            to,
        })
    }

    /// The address that it names with a port, and that.
    pub fn at_port(&self) -> Option<(IpAddr, u16)> {
        match self.to {
            To::Address(address, port) => Some((address, port?)),
            To::Nodes(_) | To::Workloads => None,
        }
    }

    /// The addresses with which a node must have a session by it.
    pub fn sessions_of(&self, node: &MeshNode, all: &[MeshNode]) -> Vec<IpAddr> {
        let is_of = match &self.of {
            Nodes::All => true,
            Nodes::Named(name) => *name == node.calico_name,
            Nodes::Selected(selector) => selector.selects(&node.labels),
        };
        if !is_of {
            return Vec::new();
        }
        let own = node.addresses();
        let addresses = match &self.to {
            To::Address(address, _) => vec![*address],
            To::Workloads => Vec::new(),
            To::Nodes(selector) => {
                let peers = all.iter().filter(|peer| selector.selects(&peer.labels));
                peers.flat_map(MeshNode::addresses).collect()
            }
        };
        addresses
            .into_iter()
            .filter(|ip| !own.contains(ip))
            .filter(|ip| own.iter().any(|own| own.is_ipv4() == ip.is_ipv4()))
            .collect()
    }
}

/// Whether an object names a password for sessions (projectcalico/api v3.31, BGPPassword).
pub fn has_password(raw: &Value, key: &str) -> bool {
    let password = raw.pointer(&format!("/spec/{key}/secretKeyRef"));
    password.is_some_and(Value::is_object)
}

/// An address that may have a port: `10.0.0.1:1790`, `[fd00::1]:1790`.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    let (ip, port) = text.rsplit_once(':')?;
    Some((ip.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::super::mesh::tests::node;
    use super::*;
    use serde_json::json;

    fn nodes() -> Vec<MeshNode> {
        let mut nodes = vec![
            node("node01", "10.0.0.1", Some("10.0.0.1/24")),
            node("node02", "10.0.0.2", Some("10.0.0.2/24")),
            node("node03", "10.0.0.3", Some("10.0.0.3/24")),
        ];
        nodes[0].labels.insert("rr".into(), "true".into());
        nodes[0].advertised_v6 = Some("fd00::1/64".into());
        nodes[2].labels.insert("rack".into(), "b".into());
        nodes
    }

    fn sessions(spec: Value) -> String {
        let raw = json!({"metadata": {"name": "p"}, "spec": spec});
        let peer = match BgpPeer::new(&raw) {
            Ok(peer) => peer,
            Err(why) => return why,
        };
        let nodes = nodes();
        let line = |node: &MeshNode| {
            let to: Vec<String> = peer
                .sessions_of(node, &nodes)
                .iter()
                .map(ToString::to_string)
                .collect();
            format!("{} [{}]", node.name(), to.join(" "))
        };
        nodes.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn peers_are_expected_where_they_are_configured() {
        let all = [
            json!({"peerIP": "192.0.2.1", "asNumber": 64512}),
            json!({"peerIP": "192.0.2.1:1790", "node": "node02"}),
            json!({"peerIP": "[fd00::9]:1790"}),
            json!({"peerIP": "10.0.0.2", "nodeSelector": "has(rr)"}),
            json!({"peerSelector": "has(rr)", "nodeSelector": "!has(rr)"}),
            json!({"peerSelector": "has(rr)"}),
            json!({"localWorkloadSelector": "all()"}),
            json!({"peerIP": "x"}),
            json!({"peerSelector": "has("}),
        ]
        .map(sessions);
        insta::assert_snapshot!(all.join("\n"), @"
        node01 [192.0.2.1] node02 [192.0.2.1] node03 [192.0.2.1]
        node01 [] node02 [192.0.2.1] node03 []
        node01 [fd00::9] node02 [] node03 []
        node01 [10.0.0.2] node02 [] node03 []
        node01 [] node02 [10.0.0.1] node03 [10.0.0.1]
        node01 [] node02 [10.0.0.1] node03 [10.0.0.1]
        node01 [] node02 [] node03 []
        BGPPeer p: its peerIP is `x`
        BGPPeer p: a label is missing before ``
        ");
    }
}
