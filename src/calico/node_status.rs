//! What `calicoctl node status` prints. It exits 0 whatever the sessions' state, so its text is all
//! there is (calicoctl v3.31, calicoctl/commands/node/status.go; the wrapping of long cells is that
//! of its table writer).

use std::net::IpAddr;

/// One BGP session as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// `node-to-node mesh`, `global` or `node specific`.
    pub kind: String,
    /// State of BIRD's protocol: `up`, `start`, ….
    pub state: String,
    pub since: String,
    /// `Established`, or BGP's state and what BIRD adds to it.
    pub info: String,
}

impl Peer {
    pub fn is_established(&self) -> bool {
        self.state == "up" && self.info == "Established"
    }
}

/// A node's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    pub peers: Vec<Peer>,
}

/// Why a node's sessions are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    #[error("Calico does not run there")]
    NotRunning,
    #[error("BIRD does not run there")]
    NoBird,
    #[error("BIRD does not answer: {0}")]
    BirdSilent(String),
    #[error("calicoctl is not there, and without it its sessions cannot be read")]
    NoCalicoctl,
    #[error("calicoctl must be run as root")]
    NotRoot,
    #[error("`calicoctl node status` printed what cannot be read: {0}")]
    Unreadable(String),
}

/// Reads what `calicoctl node status` printed, standard output and error together.
pub fn parse_node_status(text: &str) -> Result<NodeStatus, StatusError> {
    let has = |what: &str| text.contains(what);
    if has("Need super user privileges") {
        return Err(StatusError::NotRoot);
    }
    if has("Calico process is not running") {
        return Err(StatusError::NotRunning);
    }
    if has("The BGP backend process (BIRD) is not running")
        || has("INFO: BIRDv4 process: 'bird' is not running")
    {
        return Err(StatusError::NoBird);
    }
    if let Some(line) = text.lines().find(|l| l.contains("Error querying BIRD")) {
        return Err(StatusError::BirdSilent(line.trim().to_owned()));
    }
    let mut peers: Vec<Peer> = Vec::new();
    let mut known = has("No IPv4 peers found") || has("No IPv6 peers found");
    for line in text.lines() {
        let line = line.trim();
        if !line.starts_with('|') {
            continue;
        }
        let unreadable = || StatusError::Unreadable(line.to_owned());
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [address, kind, state, since, info] = cells.as_slice() else {
            return Err(unreadable());
        };
        if address.eq_ignore_ascii_case("peer address") {
            known = true;
        } else if address.is_empty() {
            // A cell that was too long goes on here.
            let last = peers.last_mut().ok_or_else(unreadable)?;
            for (cell, more) in [
                (&mut last.kind, kind),
                (&mut last.state, state),
                (&mut last.since, since),
                (&mut last.info, info),
            ] {
                if !more.is_empty() {
                    cell.push(' ');
                    cell.push_str(more);
                }
            }
        } else {
            peers.push(Peer {
                address: address.parse().map_err(|_| unreadable())?,
                kind: (*kind).to_owned(),
                state: (*state).to_owned(),
                since: (*since).to_owned(),
                info: (*info).to_owned(),
            });
        }
    }
    if !known {
        let first = text.lines().find(|l| !l.trim().is_empty());
        return Err(StatusError::Unreadable(
            first.unwrap_or("nothing").trim().to_owned(),
        ));
    }
    Ok(NodeStatus { peers })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by calicoctl v3.31 with three nodes.
    const ESTABLISHED: &str = "\
Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+----------+-------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+--------------+-------------------+-------+----------+-------------+
| 10.77.0.12   | node-to-node mesh | up    | 10:41:02 | Established |
| 10.77.0.13   | node-to-node mesh | up    | 2026-01-03 | Established |
+--------------+-------------------+-------+----------+-------------+

INFO: BIRDv6 process: 'bird6' is not running.

";

    fn infos(text: &str) -> Vec<String> {
        parse_node_status(text)
            .unwrap()
            .peers
            .iter()
            .map(|p| format!("{} {} {}", p.address, p.state, p.info))
            .collect()
    }

    #[test]
    fn established_sessions() {
        let status = parse_node_status(ESTABLISHED).unwrap();
        assert_eq!(status.peers.len(), 2);
        assert!(status.peers.iter().all(Peer::is_established));
        assert_eq!(status.peers[0].since, "10:41:02");
        assert_eq!(status.peers[1].kind, "node-to-node mesh");
    }

    /// Made after the table writer's rule: 30 characters, then the next row.
    #[test]
    fn a_wrapped_cell_is_one_again() {
        let text = "\
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |              INFO              |
| 172.18.0.1   | node-to-node mesh | start | 10:41:02 | Active Socket: Connection      |
|              |                   |       |          | refused                        |
| 10.0.0.3 | node-to-node mesh |   start| 10:41:02 | Passive |
";
        assert_eq!(
            infos(text),
            [
                "172.18.0.1 start Active Socket: Connection refused",
                "10.0.0.3 start Passive"
            ]
        );
        assert!(
            !parse_node_status(text)
                .unwrap()
                .peers
                .iter()
                .any(Peer::is_established)
        );
    }

    #[test]
    fn no_peers_is_an_answer() {
        assert!(
            infos("Calico process is running.\n\nIPv4 BGP status\nNo IPv4 peers found.\n")
                .is_empty()
        );
    }

    #[test]
    fn up_without_established_is_not_established() {
        let mut peer = parse_node_status(ESTABLISHED).unwrap().peers.remove(0);
        peer.info = "Idle".into();
        assert!(!peer.is_established());
        peer.info = "Established".into();
        peer.state = "start".into();
        assert!(!peer.is_established());
    }

    #[test]
    fn what_is_no_answer_says_which() {
        let error = |text: &str| parse_node_status(text).unwrap_err();
        assert_eq!(
            error("Need super user privileges: Operation not permitted"),
            StatusError::NotRoot
        );
        assert_eq!(
            error("Calico process is not running.\n"),
            StatusError::NotRunning
        );
        assert_eq!(
            error("Calico process is running.\n\nThe BGP backend process (BIRD) is not running.\n"),
            StatusError::NoBird
        );
        assert_eq!(
            error("Calico process is running.\n\nINFO: BIRDv4 process: 'bird' is not running.\n"),
            StatusError::NoBird
        );
        assert!(matches!(
            error(
                "IPv4 BGP status\nError querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: no such file"
            ),
            StatusError::BirdSilent(_)
        ));
        for unreadable in [
            "",
            "sh: calicoctl: not found",
            "Calico process is running.\n",
            "| a | b |",
            "| PEER ADDRESS | T | S | S | I |\n| x | y | z | u | v |",
            "|  | y | z | u | v |",
        ] {
            assert!(
                matches!(error(unreadable), StatusError::Unreadable(_)),
                "{unreadable}"
            );
        }
    }
}
