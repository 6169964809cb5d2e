//! What is known of Calico before anything is done about it, as `runbook inventory facts` prints it.

use crate::model::facts::Fact;
use serde::Serialize;

/// Calico, as the cluster and one host of it have it.
#[derive(Debug, Clone, Serialize)]
pub struct CalicoFacts {
    /// `manifests` or `operator`.
    pub installed_by: Fact<String>,
    /// `kubernetes`, or `etcdv3` with its endpoints.
    pub datastore: Fact<String>,
    /// calico-node's, by its image.
    pub version: Fact<String>,
    /// `bird`, or what has the mesh's place.
    pub backend: Fact<String>,
    /// Whether every node peers with every other one.
    pub full_mesh: Fact<bool>,
    /// How calico-node finds the addresses of its node.
    pub ipv4_detection: Fact<String>,
    pub ipv6_detection: Fact<String>,
    /// Who else writes how Calico is set up.
    pub managed_by: Fact<Vec<String>>,
    /// The host's node: its name in Calico's datastore, and what it advertises.
    pub node: Fact<String>,
    pub ipv4: Fact<String>,
    pub ipv6: Fact<String>,
    /// The host's calicoctl.
    pub calicoctl: Fact<CalicoctlFacts>,
}

/// A host's calicoctl.
#[derive(Debug, Clone, Serialize)]
pub struct CalicoctlFacts {
    pub path: String,
    pub version: Fact<String>,
    /// Its configuration file, which replaces the whole environment.
    pub config: Fact<String>,
    /// The datastore that it is set up for by that file.
    pub datastore: Fact<String>,
}

impl CalicoFacts {
    /// Of a cluster of which nothing is known.
    pub fn unknown(why: &str, calicoctl: Fact<CalicoctlFacts>) -> Self {
        let unknown = || Fact::unknown(why);
        Self {
            installed_by: unknown(),
            datastore: unknown(),
            version: unknown(),
            backend: unknown(),
            full_mesh: Fact::unknown(why),
            ipv4_detection: unknown(),
            ipv6_detection: unknown(),
            managed_by: Fact::unknown(why),
            node: unknown(),
            ipv4: unknown(),
            ipv6: unknown(),
            calicoctl,
        }
    }
}
