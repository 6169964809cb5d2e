//! What runs containers.

use super::kubelet::KubeletSeen;
use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;

/// Sockets of the runtimes that kubelet can use, and of docker.
pub const SOCKETS: &str = "/run/containerd/containerd.sock /run/crio/crio.sock \
    /run/cri-dockerd.sock /run/docker.sock /run/k3s/containerd/containerd.sock";

/// What runs containers here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ContainerRuntime {
    /// Where kubelet finds it: its flag `--container-runtime-endpoint`, else `containerRuntimeEndpoint` of its
    /// configuration, else what kubelet takes by default (since Kubernetes 1.27).
    pub endpoint: Fact<String>,
    /// Of the sockets of containerd, CRI-O, cri-dockerd and docker, those that are there.
    pub sockets: Fact<Vec<String>>,
}

impl ContainerRuntime {
    pub(super) fn new(parts: &Parts, kubelet: &Fact<KubeletSeen>) -> Self {
        let endpoint = kubelet.as_ref().and_then(|kubelet| {
            kubelet.setting(
                "container-runtime-endpoint",
                "/containerRuntimeEndpoint",
                |value| match value {
                    "" => Err("it is empty".to_owned()),
                    value => Ok(value.to_owned()),
                },
                "unix:///run/containerd/containerd.sock".to_owned(),
            )
        });
        Self {
            endpoint: endpoint.map(|(endpoint, _)| endpoint),
            sockets: parts.text("sockets").and_then(|text| {
                let mut there = Vec::new();
                for line in text.lines() {
                    match line.split_once(' ') {
                        Some(("there", socket)) => there.push(socket.to_owned()),
                        Some(("closed", socket)) => {
                            return Fact::Unknown(format!(
                                "no permission to look whether {socket} is there"
                            ));
                        }
                        _ => {}
                    }
                }
                Fact::Is(there)
            }),
        }
    }
}
