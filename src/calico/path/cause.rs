//! Why a session is not established, and what heals it.

use std::net::IpAddr;

/// How certain a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certain {
    /// It was seen, and it alone is enough.
    Seen,
    /// It was seen, and explains all that was.
    Likely,
    /// It would explain it.
    Perhaps,
    /// It was seen, and hardly is it.
    Hardly,
}

impl Certain {
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "also",
            Self::Likely => "likely",
            Self::Perhaps => "perhaps",
            Self::Hardly => "hardly",
        }
    }
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    pub certain: Certain,
    pub said: String,
    /// What heals it, or where to look.
    pub next: String,
}

impl Cause {
    pub(super) fn new(certain: Certain, said: String, next: String) -> Self {
        Self {
            certain,
            said,
            next,
        }
    }

    pub(super) fn stray(node: &str, address: IpAddr) -> Self {
        let said = format!("{node} advertises {address}, which is not its own address");
        let next = format!("runbook plan fix-bgp-wrong-ip --node {node}");
        Self::new(Certain::Seen, said, next)
    }

    /// A node that only Calico has still.
    pub(super) fn left_over(node: &str, calico_name: &str) -> Self {
        Self::new(
            Certain::Seen,
            format!("Calico still has {node} as a node, and Kubernetes has no such node"),
            format!("where it is gone for good: calicoctl delete node {calico_name}"),
        )
    }

    /// An address of its own that kubelet did not register.
    pub(super) fn not_internal(certain: Certain, node: &str, address: IpAddr, link: &str) -> Self {
        let said = format!(
            "{node} advertises {address}, which is on its link {link} and is not the InternalIP of its Node"
        );
        let heal = format!("runbook plan fix-bgp-wrong-ip --node {node}");
        let next = match certain {
            Certain::Seen => heal,
            _ => format!(
                "see which of the two the others are to reach; where it is the InternalIP: {heal}"
            ),
        };
        Self::new(certain, said, next)
    }

    pub(super) fn no_route(node: &str, to: &str, ip: IpAddr, what: &str, lines: &[String]) -> Self {
        let has = if what == "no route" {
            "has"
        } else {
            "has only"
        };
        Self::new(
            Certain::Seen,
            format!("{node} {has} {what} to {to}: {}", lines.join("; ")),
            format!(
                "look on {node} (`ip route get {ip}`, `ip route show table all match {ip}`, `ip rule`), and put the \
                 route right where it is configured"
            ),
        )
    }

    pub(super) fn own_address(node: &str, to: &str, ip: IpAddr) -> Self {
        Self::new(
            Certain::Seen,
            format!(
                "{node} has {ip}, the address of {to}, on itself, and so nothing leaves for it"
            ),
            format!(
                "look on {node} which link has it (`ip address show to {ip}`), and take it away there"
            ),
        )
    }

    /// `namespace`: where calico-node is.
    pub(super) fn no_pod(node: &str, namespace: &str) -> Self {
        Self::new(
            Certain::Seen,
            format!("there is no calico-node pod on {node}"),
            format!(
                "look why: kubectl get node {node}, and kubectl -n {namespace} describe daemonset calico-node"
            ),
        )
    }

    /// BIRD does not do its part.
    pub(super) fn bird(node: &str, what: &str, certain: Certain) -> Self {
        let said = format!("{node}: {what}");
        Self::new(certain, said, restart(node))
    }

    pub(super) fn down(node: &str, why: &str, unanswered: &[&str], ready: bool) -> Self {
        let unanswered = unanswered.join(", ");
        match ready {
            true => Self::new(
                Certain::Perhaps,
                format!(
                    "{node} answers neither ssh ({why}) nor a ping from {unanswered}, and yet its Node is Ready: its kubelet \
                     reaches the API server, and something keeps these away from it, or it went off a moment ago"
                ),
                format!("look at {node} itself, and at what lies between it and {unanswered}"),
            ),
            false => Self::new(
                Certain::Seen,
                format!(
                    "{node} does not answer at all, neither to ssh ({why}) nor to a ping from {unanswered}, and its kubelet \
                     is not heard of either: it is off or cut off, and no firewall for one port does that"
                ),
                format!("look at {node} itself: power, console, cable, switch"),
            ),
        }
    }

    pub(super) fn rule(
        certain: Certain,
        node: &str,
        does: &str,
        what: &str,
        rule: &str,
        from: &str,
    ) -> Self {
        Self::new(
            certain,
            format!("a rule on {node} {does} {what}: {rule}"),
            format!(
                "take that rule away where it comes from{from}; runbook changes no firewall, and a rule that only is \
                 deleted comes back"
            ),
        )
    }
}

/// What heals a calico-node that does not do its part.
pub(super) fn restart(node: &str) -> String {
    format!("runbook plan restart-calico-node --node {node}")
}
