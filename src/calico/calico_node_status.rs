//! The object CalicoNodeStatus, into which calico-node writes what its BIRD says (Calico v3.21 and
//! later; v3.31, node/pkg/status and api/pkg/apis/projectcalico/v3/nodestatus.go).
//!
//! Two things are not what they seem. `lastUpdated` is when what is reported last *changed*: it does not
//! move while nothing changes. And where one family's BIRD cannot be reached, the sessions of both are
//! emptied.

use super::node_status::{Daemon, NodeStatus, Peer, StatusError, peer_address};
use serde_json::Value;

/// Reads a CalicoNodeStatus, with the time of its last change as it is written.
///
/// # Errors
/// Where calico-node has not written it, or what it wrote does not tell which sessions there are.
pub fn parse_calico_node_status(object: &Value) -> Result<(NodeStatus, String), StatusError> {
    let unusable = |why: &str| Err(StatusError::NotReported(why.to_owned()));
    let has_class = |class: &str| {
        object
            .pointer("/spec/classes")
            .and_then(Value::as_array)
            .is_some_and(|classes| classes.iter().any(|c| c.as_str() == Some(class)))
    };
    if !has_class("BGP") {
        return unusable("its classes do not have `BGP`");
    }
    let updated = object
        .pointer("/status/lastUpdated")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bgp = object.pointer("/status/bgp");
    let (Some(bgp), false) = (bgp, updated.is_empty()) else {
        return unusable("calico-node has not written it yet");
    };
    let daemon = |of: &str| match object
        .pointer(&format!("/status/agent/{of}/state"))
        .and_then(Value::as_str)
    {
        Some("Ready") => Daemon::Answers,
        Some(state) => Daemon::Silent(state.to_owned()),
        None => Daemon::NotSaid,
    };
    let mut status = NodeStatus {
        peers: Vec::new(),
        bird: daemon("birdV4"),
        bird6: daemon("birdV6"),
    };
    for family in ["V4", "V6"] {
        let peers = match bgp.get(format!("peers{family}")) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(peers)) => peers.iter().map(peer).collect::<Result<Vec<_>, _>>()?,
            Some(_) => return unusable("its peers are no list"),
        };
        let number = |of: &str| {
            bgp.get(format!("number{of}{family}"))
                .and_then(Value::as_u64)
        };
        let (Some(established), Some(others)) = (number("Established"), number("NotEstablished"))
        else {
            return unusable("it lacks the numbers of sessions");
        };
        // It counts those whose protocol is up in BIRD.
        let count = |of: bool| peers.iter().filter(|p| p.is_established() == of).count() as u64;
        if (count(true), count(false)) != (established, others) {
            return unusable("its numbers of sessions are not those of its peers");
        }
        status.peers.extend(peers);
    }
    let both = status.bird == Daemon::Answers && status.bird6 == Daemon::Answers;
    if status.peers.is_empty() && !both {
        return unusable(
            "it names no session, and calico-node empties it too where one of its BIRDs does not answer",
        );
    }
    Ok((status, updated.to_owned()))
}

fn peer(value: &Value) -> Result<Peer, StatusError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let address = peer_address(text("peerIP")).ok_or_else(|| {
        StatusError::NotReported(format!("it has a peer without an address: {value}"))
    })?;
    // BIRD's own state is not in it. BGP's is not either where the session is down or waits for the
    // other end.
    let (state, info) = match text("state") {
        "Established" => ("up", "Established"),
        "" => ("not up", "waiting or down"),
        other => ("not up", other),
    };
    let kind = match text("type") {
        "NodeMesh" => "node-to-node mesh",
        "NodePeer" => "node specific",
        "GlobalPeer" => "global",
        other => other,
    };
    Ok(Peer {
        address,
        kind: kind.to_owned(),
        state: state.to_owned(),
        since: text("since").to_owned(),
        info: info.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Made after the types and populators of Calico v3.31; not printed by one.
    fn object() -> Value {
        json!({
            "apiVersion": "crd.projectcalico.org/v1",
            "kind": "CalicoNodeStatus",
            "metadata": {"name": "node01"},
            "spec": {"node": "node01", "classes": ["Agent", "BGP"], "updatePeriodSeconds": 10},
            "status": {
                "agent": {
                    "birdV4": {"state": "Ready", "version": "v0.3.3+birdv1.6.8", "routerID": "10.0.0.1",
                        "lastBootTime": "2026-01-03 10:00:00", "lastReconfigurationTime": "2026-01-03 10:00:00"},
                    "birdV6": {"state": "Ready", "version": "v0.3.3+birdv1.6.8"},
                },
                "bgp": {
                    "numberEstablishedV4": 1, "numberNotEstablishedV4": 2,
                    "numberEstablishedV6": 1, "numberNotEstablishedV6": 0,
                    "peersV4": [
                        {"peerIP": "10.0.0.2", "type": "NodeMesh", "state": "Established", "since": "10:41:02"},
                        {"peerIP": "172.18.0.1", "type": "NodePeer", "state": "Active", "since": "2026-01-03"},
                        {"peerIP": "10.0.0.3", "type": "GlobalPeer", "since": "10:41:02"},
                    ],
                    "peersV6": [{"peerIP": "fd00::2", "type": "NodeMesh", "state": "Established", "since": "10:41:02"}],
                },
                "lastUpdated": "2026-01-03T10:42:00Z",
                "routes": {},
            },
        })
    }

    #[test]
    fn sessions_are_read_as_calicoctl_would_print_them() {
        let (status, updated) = parse_calico_node_status(&object()).unwrap();
        assert_eq!(updated, "2026-01-03T10:42:00Z");
        assert_eq!(
            (&status.bird, &status.bird6),
            (&Daemon::Answers, &Daemon::Answers)
        );
        let peers: Vec<String> = status
            .peers
            .iter()
            .map(|p| {
                format!(
                    "{} | {} | {} | {} | {} | {}",
                    p.address,
                    p.kind,
                    p.state,
                    p.since,
                    p.info,
                    p.is_established()
                )
            })
            .collect();
        insta::assert_snapshot!(peers.join("\n"), @"
        10.0.0.2 | node-to-node mesh | up | 10:41:02 | Established | true
        172.18.0.1 | node specific | not up | 2026-01-03 | Active | false
        10.0.0.3 | global | not up | 10:41:02 | waiting or down | false
        fd00::2 | node-to-node mesh | up | 10:41:02 | Established | true
        ");
        assert_eq!(status.peers[2].bgp_state(), None);
    }

    #[test]
    fn what_does_not_tell_the_sessions_says_why() {
        let why = |change: &dyn Fn(&mut Value)| {
            let mut object = object();
            change(&mut object);
            parse_calico_node_status(&object).unwrap_err().to_string()
        };
        let said = [
            why(&|o| o["spec"]["classes"] = json!(["Agent", "Routes"])),
            why(&|o| o["status"] = json!({})),
            why(&|o| o["status"]["lastUpdated"] = Value::Null),
            why(&|o| o["status"]["bgp"]["numberNotEstablishedV4"] = json!(0)),
            why(&|o| o["status"]["bgp"]["peersV4"] = json!("none")),
            why(&|o| o["status"]["bgp"]["peersV6"][0]["peerIP"] = json!("x")),
            why(&|o| {
                o["status"]["bgp"] = json!({"numberEstablishedV4": 0, "numberNotEstablishedV4": 0})
            }),
            // IPv6's BIRD does not answer, and IPv4's sessions are gone from the report as well.
            why(&|o| {
                o["status"]["agent"]["birdV6"] = json!({"state": "NotReady"});
                o["status"]["bgp"] = json!({"numberEstablishedV4": 0, "numberNotEstablishedV4": 0, "numberEstablishedV6": 0, "numberNotEstablishedV6": 0});
            }),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        calico-node's report of its sessions is of no use: its classes do not have `BGP`
        calico-node's report of its sessions is of no use: calico-node has not written it yet
        calico-node's report of its sessions is of no use: calico-node has not written it yet
        calico-node's report of its sessions is of no use: its numbers of sessions are not those of its peers
        calico-node's report of its sessions is of no use: its peers are no list
        calico-node's report of its sessions is of no use: it has a peer without an address: {"peerIP":"x","since":"10:41:02","state":"Established","type":"NodeMesh"}
        calico-node's report of its sessions is of no use: it lacks the numbers of sessions
        calico-node's report of its sessions is of no use: it names no session, and calico-node empties it too where one of its BIRDs does not answer
        "#);
    }

    #[test]
    fn no_sessions_are_an_answer_where_both_daemons_give_it() {
        let mut object = object();
        object["status"]["bgp"] = json!({"numberEstablishedV4": 0, "numberNotEstablishedV4": 0, "numberEstablishedV6": 0, "numberNotEstablishedV6": 0});
        let (status, _) = parse_calico_node_status(&object).unwrap();
        assert!(status.peers.is_empty());
    }

    #[test]
    fn a_daemon_that_is_not_ready_beside_sessions_is_told() {
        let mut object = object();
        object["status"]["agent"] =
            json!({"birdV4": {"state": "Ready"}, "birdV6": {"state": "NotReady"}});
        let (status, _) = parse_calico_node_status(&object).unwrap();
        assert_eq!(status.bird6, Daemon::Silent("NotReady".into()));
        object["status"]["agent"] = json!({});
        let (status, _) = parse_calico_node_status(&object).unwrap();
        assert_eq!(status.bird, Daemon::NotSaid);
    }
}
