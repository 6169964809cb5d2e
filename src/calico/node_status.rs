//! What `calicoctl node status` prints. It exits 0 whatever the sessions' state, so its text is all
//! there is (calicoctl v3.31, calicoctl/commands/node/status.go; the wrapping of long cells is that
//! of its table writer, tablewriter v0.0.5). From v3.9 to v3.32 only what it says of GoBGP, which v3.9
//! still knew, and the case of a letter have changed.
//!
//! A session of which BIRD says nothing but its state, as of one that is down without an error, is left
//! out by calicoctl. Whoever reads this must know which sessions there should be.

#[cfg(test)]
mod tests;

use super::family::Family;
use std::net::IpAddr;

/// One BGP session as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// `node-to-node mesh`, `global` or `node specific`.
    pub kind: String,
    /// State of BIRD's protocol: `up`, `start`, ….
    pub state: String,
    /// A time or a date, as BIRD says it.
    pub since: String,
    /// `Established`, or BGP's state and what BIRD adds to it.
    pub info: String,
}

/// BGP's states as BIRD names them (BIRD 1.6, proto/bgp). `Passive` waits for the other end.
const BGP_STATES: [&str; 9] = [
    "Idle",
    "Connect",
    "Active",
    "OpenSent",
    "OpenConfirm",
    "Established",
    "Close",
    "Passive",
    "Down",
];

/// What the two C libraries that calico-node was built with say of the same error: musl, glibc.
const SAME_ERROR: [(&str, &str); 3] = [
    ("Network unreachable", "Network is unreachable"),
    ("Host is unreachable", "No route to host"),
    ("Operation timed out", "Connection timed out"),
];

impl Peer {
    pub fn is_established(&self) -> bool {
        self.state == "up" && self.info == "Established"
    }

    /// BGP's state; `None` where BIRD does not say it, as of a session that is down.
    pub fn bgp_state(&self) -> Option<&str> {
        let first = self.info.split_whitespace().next()?;
        BGP_STATES.contains(&first).then_some(first)
    }

    /// What BIRD adds to the state: the last error. It is the same for the same error, in whatever words.
    pub fn reason(&self) -> Option<String> {
        let rest = match self.bgp_state() {
            Some(state) => self.info.trim_start().strip_prefix(state)?.trim(),
            None => self.info.trim(),
        };
        let said = SAME_ERROR
            .iter()
            .fold(rest.to_owned(), |text, (musl, glibc)| {
                text.replace(musl, glibc)
            });
        (!said.is_empty()).then_some(said)
    }
}

/// What is known of one family's BIRD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Daemon {
    /// Nothing was said of it.
    #[default]
    NotSaid,
    Answers,
    /// No fault where the family is not used.
    NotRunning,
    /// It runs and does not answer; what was said of that.
    Silent(String),
}

/// A node's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Those of both families.
    pub peers: Vec<Peer>,
    /// IPv4's BIRD.
    pub bird: Daemon,
    /// IPv6's.
    pub bird6: Daemon,
}

impl NodeStatus {
    pub fn peers_of(&self, family: Family) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(move |p| family.has(p.address))
    }

    pub const fn daemon(&self, family: Family) -> &Daemon {
        match family {
            Family::Ipv4 => &self.bird,
            Family::Ipv6 => &self.bird6,
        }
    }

    const fn daemon_mut(&mut self, family: Family) -> &mut Daemon {
        match family {
            Family::Ipv4 => &mut self.bird,
            Family::Ipv6 => &mut self.bird6,
        }
    }
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
    #[error("calico-node's report of its sessions is of no use: {0}")]
    NotReported(String),
}

impl StatusError {
    /// Whether it says nothing of the sessions: they may be established.
    pub const fn leaves_open(&self) -> bool {
        match self {
            Self::NoCalicoctl | Self::NotRoot | Self::Unreadable(_) | Self::NotReported(_) => true,
            Self::NotRunning | Self::NoBird | Self::BirdSilent(_) => false,
        }
    }
}

/// The address in the name of a session, in which a port may follow: `10.0.0.1.port.180`. One of a link
/// has the link's name behind it.
pub(super) fn peer_address(text: &str) -> Option<IpAddr> {
    let alone = [".port.", ":port:"]
        .iter()
        .find_map(|mark| text.split_once(mark))
        .map_or(text, |(address, _)| address);
    alone.split('%').next()?.parse().ok()
}

/// Reads what `calicoctl node status` printed, standard output and error together. What is said of one
/// family only does not hide the other.
///
/// # Errors
/// Where neither family's sessions are known, or IPv4's are not and IPv6 has none.
pub fn parse_node_status(text: &str) -> Result<NodeStatus, StatusError> {
    if text.contains("Need super user privileges") {
        return Err(StatusError::NotRoot);
    }
    if text.contains("Calico process is not running") {
        return Err(StatusError::NotRunning);
    }
    let mut status = NodeStatus::default();
    let mut section = None;
    let mut known = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('|') {
            known |= row(line, &mut status.peers)?;
            if let Some(family) = section {
                *status.daemon_mut(family) = Daemon::Answers;
            }
        } else if let Some(family) = Family::BOTH
            .into_iter()
            .find(|family| line == format!("{family} BGP status"))
        {
            section = Some(family);
        } else if let Some((said_of, daemon)) = said_of_daemons(line, section) {
            known = true;
            for family in said_of {
                *status.daemon_mut(*family) = daemon.clone();
            }
        }
    }
    if !known {
        let first = text.lines().find(|l| !l.trim().is_empty());
        return Err(StatusError::Unreadable(
            first.unwrap_or("nothing").trim().to_owned(),
        ));
    }
    let v6_has_any = status.peers_of(Family::Ipv6).next().is_some();
    match (&status.bird, &status.bird6) {
        (Daemon::NotRunning, _) if !v6_has_any => Err(StatusError::NoBird),
        (Daemon::Silent(line), _) if !v6_has_any => Err(StatusError::BirdSilent(line.clone())),
        (Daemon::NotSaid, Daemon::NotRunning) if status.peers.is_empty() => {
            Err(StatusError::NoBird)
        }
        (Daemon::NotSaid, Daemon::Silent(line)) if status.peers.is_empty() => {
            Err(StatusError::BirdSilent(line.clone()))
        }
        _ => Ok(status),
    }
}

/// What a line that belongs to no table says of BIRD, and of which families.
fn said_of_daemons(line: &str, section: Option<Family>) -> Option<(&'static [Family], Daemon)> {
    const V4: &[Family] = &[Family::Ipv4];
    const V6: &[Family] = &[Family::Ipv6];
    let of = |family| match family {
        Family::Ipv4 => V4,
        Family::Ipv6 => V6,
    };
    // v3.9 knew GoBGP besides.
    if line.contains("The BGP backend process (BIRD) is not running")
        || line.contains("None of the BGP backend processes")
    {
        return Some((&Family::BOTH, Daemon::NotRunning));
    }
    for (family, number, program) in [(Family::Ipv4, '4', "bird"), (Family::Ipv6, '6', "bird6")] {
        if line.contains(&format!("No IPv{number} peers found")) {
            return Some((of(family), Daemon::Answers));
        }
        if line.contains(&format!(
            "BIRDv{number} process: '{program}' is not running"
        )) {
            return Some((of(family), Daemon::NotRunning));
        }
        if line.contains("Error querying BIRD") && line.contains(&format!("BIRDv{number} ")) {
            return Some((of(family), Daemon::Silent(line.to_owned())));
        }
    }
    // With these it ends: `Error …` up to v3.30, `error …` later.
    let ended = line.contains("Error querying BIRD") || line.contains("rror executing command:");
    ended.then(|| (section.map_or(V4, of), Daemon::Silent(line.to_owned())))
}

/// Reads a row of a table. Returns whether it is the header.
fn row(line: &str, peers: &mut Vec<Peer>) -> Result<bool, StatusError> {
    let unreadable = || StatusError::Unreadable(line.to_owned());
    let inner = line.strip_prefix('|').unwrap_or(line);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let [address, kind, state, since, info] = cells.as_slice() else {
        return Err(unreadable());
    };
    if address.eq_ignore_ascii_case("peer address") {
        return Ok(true);
    }
    if address.is_empty() {
        // A cell that was too long goes on here; it was cut at a blank.
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
        return Ok(false);
    }
    peers.push(Peer {
        address: peer_address(address).ok_or_else(unreadable)?,
        kind: (*kind).to_owned(),
        state: (*state).to_owned(),
        since: (*since).to_owned(),
        info: (*info).to_owned(),
    });
    Ok(false)
}
