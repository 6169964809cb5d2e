//! What differs between calico-node's releases when it detects an address, by the tags of
//! projectcalico/node (v3.2 to v3.21) and projectcalico/calico (before and after).

use crate::calico::daemonset::Version;

/// What differs between releases.
#[derive(Debug)]
pub(super) struct Rules {
    /// The first release that has these.
    pub from: &'static str,
    /// The first and the last minor version of v3 with releases that have these.
    minors: (u32, u32),
    /// Words in the names of links that `first-found` and `skip-interface=` leave out.
    words: &'static [&'static [&'static str]],
    /// Whether names must begin with these; else they are found anywhere, such as `lo` in `flow0`.
    anchored: bool,
    /// Whether `kubernetes-internal-ip` loses the bits of the host: it makes 10.0.0.0/24 of
    /// 10.0.0.5/24.
    pub masks: bool,
}

const OLDEST: &[&str] = &[
    "docker",
    "cbr",
    "dummy",
    "virbr",
    "lxcbr",
    "veth",
    "lo",
    "cali",
    "tunl",
    "flannel",
    "kube-ipvs",
];
const CNI: &[&str] = &["cni"];
const TUNNELS: &[&str] = &[
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
];
const DNS: &[&str] = &["nodelocaldns"];
const BRIDGES: &[&str] = &["podman", "br-"];

const fn since(
    from: &'static str,
    minors: (u32, u32),
    words: &'static [&'static [&'static str]],
    anchored: bool,
    masks: bool,
) -> Rules {
    Rules {
        from,
        minors,
        words,
        anchored,
        masks,
    }
}

/// All that there have been, the oldest first.
pub(super) static RULES: [Rules; 13] = [
    since("v3.0", (0, 14), &[OLDEST], false, false),
    since("v3.15", (15, 21), &[OLDEST, CNI], false, false),
    since("v3.22.0", (22, 22), &[OLDEST, CNI], false, true),
    since("v3.22.4", (22, 22), &[OLDEST, CNI], false, false),
    since("v3.23.0", (23, 23), &[OLDEST, CNI], false, true),
    since("v3.23.2", (23, 23), &[OLDEST, CNI], false, false),
    since("v3.23.4", (23, 23), &[OLDEST, CNI], true, false),
    since("v3.23.5", (23, 23), &[OLDEST, CNI, TUNNELS], true, false),
    since("v3.24.0", (24, 24), &[OLDEST, CNI], false, false),
    since("v3.24.3", (24, 24), &[OLDEST, CNI], true, false),
    since("v3.24.4", (24, 24), &[OLDEST, CNI, TUNNELS], true, false),
    since(
        "v3.24.6",
        (24, 24),
        &[OLDEST, CNI, TUNNELS, DNS],
        true,
        false,
    ),
    since(
        "v3.25",
        (25, u32::MAX),
        &[OLDEST, CNI, TUNNELS, DNS, BRIDGES],
        true,
        false,
    ),
];

impl Rules {
    /// Whether a release of this version has these.
    pub fn may_be_of(&self, version: Option<Version>) -> bool {
        version.is_none_or(|version| {
            // There is no Calico v4 yet; it would be later than all.
            let minor = if version.major > 3 {
                u32::MAX
            } else {
                version.minor
            };
            (self.minors.0..=self.minors.1).contains(&minor)
        })
    }

    pub fn leaves_out(&self, name: &str) -> bool {
        self.words.iter().copied().flatten().any(|word| {
            if self.anchored {
                name.starts_with(word)
            } else {
                name.contains(word)
            }
        })
    }
}
