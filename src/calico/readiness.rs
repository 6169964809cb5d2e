//! What calico-node's readiness probe says (Calico v3.31, node/pkg/health; v3.5 to v3.32 say the same).
//!
//! From v3.6 on, a node older than 30 s is ready as soon as one session is established. So what is said
//! for long is said by the node at fault, and names the addresses of those that are well.

use super::node_status::peer_address;
use regex::Regex;
use std::net::IpAddr;
use std::sync::LazyLock;

/// In v3.9 a line of its log follows without a break, which begins with the date.
static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\d").ok());

/// The peers with which it has no session, as a message of the probe, an event about it, or what
/// `kubectl describe` prints says them. `None` where it says nothing of the kind; empty where it names
/// none that can be read.
pub fn not_established(message: &str) -> Option<Vec<IpAddr>> {
    let mut peers = Vec::new();
    let mut parts = message.split("BGP not established with");
    // What is before the first.
    parts.next()?;
    let mut said = false;
    for part in parts {
        said = true;
        let date = DATE.as_ref().and_then(|date| date.find(part));
        let part = date
            .and_then(|date| part.get(..date.start()))
            .unwrap_or(part);
        for peer in list(part).split(',') {
            let peer = peer_address(peer.trim());
            peers.extend(peer.filter(|peer| !peers.contains(peer)));
        }
    }
    said.then_some(peers)
}

/// The list at the begin of a text: words that each go on with a comma, and the last of them.
fn list(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t']);
    let mut end = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        end += word.len();
        let ends_line = word.ends_with(['\n', '\r']);
        if ends_line || !word.trim_end().ends_with(',') {
            break;
        }
    }
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(message: &str) -> Option<String> {
        let peers = not_established(message)?;
        let peers: Vec<String> = peers.iter().map(IpAddr::to_string).collect();
        Some(peers.join(" "))
    }

    #[test]
    fn the_peers_of_a_message_are_read() {
        for (message, expected) in [
            // After Calico v3.31's source, with what kubelet puts before it.
            (
                "Readiness probe failed: calico/node is not ready: BIRD is not ready: BGP not established with 172.18.0.1\n",
                "172.18.0.1",
            ),
            (
                "Readiness probe failed: calico/node is not ready: BIRD is not ready: BGP not established with 10.0.0.2,10.0.0.3",
                "10.0.0.2 10.0.0.3",
            ),
            // Calico v3.9, from an incident: the line of the log follows at once.
            (
                "Readiness probe failed: calico/node is not ready: BIRD is not ready: BGP not established with 10.0.0.662020-05-27 03:45:40.461 [INFO][142] health.go 156: Number of node(s) with BGP peering established = 0",
                "10.0.0.66",
            ),
            // Synthetic from here on.
            (
                "Readiness probe failed: caliconode is not ready: BIRD is not ready: BGP not established with 10.0.0.2,10.0.0.32020-05-27 03:45:40.461 [INFO][142] health.go 156: x 10.0.0.9",
                "10.0.0.2 10.0.0.3",
            ),
            // The line of the log comes before.
            (
                "Readiness probe failed: 2021-11-03 10:11:12.123 [INFO][512] confd/health.go 180: Number of node(s) with BGP peering established = 0\ncalico/node is not ready: BIRD is not ready: BGP not established with 10.0.0.2\n",
                "10.0.0.2",
            ),
            (
                "(combined from similar events): Readiness probe failed: calico/node is not ready: BIRD is not ready: BGP not established with 10.0.0.2, 10.0.0.3 ",
                "10.0.0.2 10.0.0.3",
            ),
            (
                "calico/node is not ready: BIRD6 is not ready: BGP not established with fd00::2,fd00::32020-05-27 03:45:40.461 [INFO]",
                "fd00::2 fd00::3",
            ),
            (
                "BGP not established with 10.0.0.2.port.180,fd00::2:port:180",
                "10.0.0.2 fd00::2",
            ),
            (
                "BGP not established with 10.0.0.2\n10.0.0.3\nBGP not established with 10.0.0.2,10.0.0.4",
                "10.0.0.2 10.0.0.4",
            ),
            ("BGP not established with ", ""),
            ("BGP not established with nothing of sense", ""),
        ] {
            assert_eq!(peers(message).as_deref(), Some(expected), "{message}");
        }
    }

    #[test]
    fn other_messages_name_no_peers() {
        for message in [
            "",
            "Readiness probe failed: calico/node is not ready: felix is not ready: readiness probe reporting 503",
            "Readiness probe failed: calico/node is not ready: BIRD is not ready: Error querying BIRD: unable to connect to BIRDv4 socket: dial unix /var/run/bird/bird.ctl: connect: no such file or directory",
            "Liveness probe failed: calico/node is not ready: bird/confd is not live: exit status 1",
            "Readiness probe failed: calico/node is not ready: BIRD is not ready: graceful restart in progress",
        ] {
            assert_eq!(peers(message), None, "{message}");
        }
    }
}
