//! What lies between two ends, as the tries of both tell it.

use super::cause::{Cause, Certain, restart};
use super::judge::{Judge, named, told};
use super::reading::{PeerPath, Ping, Route, Tcp};
use super::sessions::{End, Pair};
use std::collections::BTreeSet;

impl Judge<'_> {
    /// What the tries alone tell, where no rule is seen to do it; some may be there and `idle`.
    /// Where a ping is answered, chains that drop by their `policies` are the better reason.
    pub(super) fn on_the_way(&self, pair: &Pair, idle: bool, policies: bool) -> BTreeSet<Cause> {
        if self.connects(pair) {
            return self.not_agreed(pair).into_iter().collect();
        }
        let tried = || {
            let tried = |(from, to)| Some((from, to, self.tried(from, to)?));
            pair.both().into_iter().filter_map(tried)
        };
        let mut causes = BTreeSet::new();
        for (from, to, _) in tried().filter(|(_, _, t)| t.tcp == Tcp::Refused) {
            causes.insert(self.refused(from, to));
        }
        let lost = |t: &PeerPath| matches!(t.tcp, Tcp::Silent | Tcp::NoWay(_));
        if !tried().any(|(_, _, t)| lost(t)) {
            return causes;
        }
        let mute = self.mute(pair);
        if tried().any(|(_, _, t)| t.ping == Ping::Answers) {
            if let Some(by) = &mute {
                causes.insert(self.not_told(by));
            } else if !policies {
                causes.insert(self.dropped(pair, idle));
            }
            return causes;
        }
        for (from, to, tried) in tried().filter(|(_, _, t)| lost(t) && t.ping == Ping::Silent) {
            causes.insert(self.silent(from, to, tried, mute.as_deref()));
        }
        causes
    }

    fn refused(&self, from: &End, to: &End) -> Cause {
        let (port, a, b) = (self.place.port, &from.name, named(to));
        let listens = self.host(to).and_then(|h| h.listens_at(to.address));
        match listens {
            Some(true) => Cause::new(
                Certain::Likely,
                format!(
                    "TCP {port} from {a} to {b} is refused although something listens there: a rule that answers in its place \
                     does that, or something on the way"
                ),
                self.see_packets(),
            ),
            _ => Cause::new(
                Certain::Perhaps,
                format!(
                    "TCP {port} from {a} to {b} is refused: nothing listens there, or a rule says so"
                ),
                match to.is_node {
                    true => restart(&to.name),
                    false => format!("look at {b}, which is no node of this cluster"),
                },
            ),
        }
    }

    /// Pings come through, and TCP does not.
    fn dropped(&self, pair: &Pair, idle: bool) -> Cause {
        let port = self.place.port;
        let doubts = self.doubts(pair);
        match doubts.is_empty() {
            true => Cause::new(
                Certain::Likely,
                format!(
                    "a ping is answered, TCP {port} is not let through, and no rule on either end {}: something between them \
                     drops it, such as a switch or a security group, or a rule that does not name the port",
                    if idle {
                        "is seen to stop it"
                    } else {
                        "names it"
                    }
                ),
                self.see_packets(),
            ),
            false => Cause::new(
                Certain::Perhaps,
                format!(
                    "a ping is answered, and TCP {port} is not let through: something between the two drops it, or a rule that \
                     nobody could read ({})",
                    doubts.join("; ")
                ),
                self.see_packets(),
            ),
        }
    }

    /// The sessions have a password, and so nobody answers who tries without it.
    fn not_told(&self, by: &str) -> Cause {
        let port = self.place.port;
        Cause::new(
            Certain::Perhaps,
            format!(
                "a ping is answered, and TCP {port} is not, which tells nothing here: the session has a password \
                 (by {by}), and no kernel answers who tries without it"
            ),
            format!(
                "compare the passwords of both ends (`nstat -az TcpExtTCPMD5Failure` counts those that do not fit), see whether \
                 packets arrive (`tcpdump -ni any tcp port {port}` on both), and look at BIRD's log in calico-node"
            ),
        )
    }

    /// Nothing comes through.
    fn silent(&self, from: &End, to: &End, tried: &PeerPath, mute: Option<&str>) -> Cause {
        let (port, a, b) = (self.place.port, &from.name, named(to));
        let dev = match &tried.route {
            Route::Out { dev, .. } => dev.as_str(),
            _ => "its link",
        };
        match tried.neighbour.as_ref().filter(|n| n.is_missing()) {
            Some(neighbour) => Cause::new(
                Certain::Likely,
                format!(
                    "nobody answers for {} on {a}'s link {dev} (its neighbour entry is {}), and so {b} is not reached",
                    neighbour.hop, neighbour.state
                ),
                format!(
                    "look at the links of both, and at the switch and VLAN between them: `ip neigh` and `ip -s link show {dev}` \
                     on {a}"
                ),
            ),
            None => Cause::new(
                Certain::Perhaps,
                match mute {
                    None => format!(
                        "{b} answers {a} neither a ping nor TCP {port}: something between them drops all of it, or it is off"
                    ),
                    Some(by) => format!(
                        "{b} answers no ping of {a}: something between them drops it, or {b} is off; that TCP {port} is \
                         silent tells nothing, as the session has a password (by {by})"
                    ),
                },
                format!(
                    "look at what lies between them: `ip route get {}` on {a}, routers, security groups",
                    to.address
                ),
            ),
        }
    }

    fn not_agreed(&self, pair: &Pair) -> Option<Cause> {
        let down = |end: &&End| end.says.is_down();
        let node = &pair.ends.iter().find(down)?.name;
        Some(Cause::new(
            Certain::Perhaps,
            format!(
                "the path is free (TCP {} connects), and BGP itself does not come about",
                self.place.port
            ),
            format!(
                "compare AS numbers and passwords of both ends, and look at BIRD's log in calico-node; where it is stuck: {}",
                restart(node)
            ),
        ))
    }

    fn see_packets(&self) -> String {
        format!(
            "look at security groups and switches between the two, and see where the packets end: `tcpdump -ni any tcp \
             port {}` on both",
            self.place.port
        )
    }

    /// Why rules may have been missed at these ends.
    fn doubts(&self, pair: &Pair) -> Vec<String> {
        let mut doubts = Vec::new();
        for end in &pair.ends {
            match self.hosts.get(&end.name) {
                Some(Ok(host)) => {
                    doubts.extend(host.unread.iter().map(|why| told(&end.name, why)));
                }
                Some(Err(no)) => doubts.push(told(&end.name, &no.why)),
                None if end.is_node => doubts.push(format!("{}: not looked at", end.name)),
                None => doubts.push(format!("{} is no node", end.name)),
            }
        }
        doubts
    }
}
