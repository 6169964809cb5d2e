//! Pods, and what protects them.

use super::super::kube_object::Of;
use super::super::world::World;
use super::Look;
use crate::drain::{Budget, Daemons, DrainNode, Pod};
use crate::fault::Fault;
use crate::model::served_under;
use crate::transport::PodsOf;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many lists are asked for at a time.
const AT_ONCE: usize = 8;

/// Pods, and what decides what becomes of them.
#[derive(Debug, Clone)]
pub struct PodsSeen {
    pub pods: Vec<Pod>,
    pub daemons: Daemons,
    pub budgets: Vec<Budget>,
}

/// Of a namespace, the pods that run no more, or of which nobody knows.
const ENDED: &str = "pods?fieldSelector=status.phase%21%3DRunning%2Cstatus.phase%21%3DPending";

impl World {
    /// All nodes, as draining sees them.
    pub async fn drain_nodes(&self) -> Result<Vec<DrainNode>, Fault> {
        let raw = self.cluster.list("/api/v1/nodes").await?;
        Ok(raw.iter().filter_map(DrainNode::new).collect())
    }

    /// The DaemonSets and budgets that there are: what keeps pods from being evicted.
    pub async fn protection(&self) -> Result<(Daemons, Vec<Budget>), Fault> {
        let (daemons, budgets) = futures::join!(
            self.cluster.list("/apis/apps/v1/daemonsets"),
            self.cluster.list("/apis/policy/v1/poddisruptionbudgets"),
        );
        let name = |raw: &Value| {
            let text = |at: &str| raw.pointer(at)?.as_str().map(str::to_owned);
            Some(format!(
                "{}/{}",
                text("/metadata/namespace")?,
                text("/metadata/name")?
            ))
        };
        Ok((
            Daemons(daemons?.iter().filter_map(name).collect()),
            budgets?.iter().filter_map(Budget::new).collect(),
        ))
    }
}

impl Look<'_> {
    pub async fn drain_nodes(&self) -> Result<Vec<DrainNode>, Fault> {
        self.world.drain_nodes().await
    }

    /// The pods of a node or a namespace, with the DaemonSets and budgets that there are.
    pub async fn pods(&self, of: &PodsOf) -> Result<PodsSeen, Fault> {
        let budgets = Of {
            api_version: "policy/v1".to_owned(),
            kind: "PodDisruptionBudget".to_owned(),
            namespace: Some("default".to_owned()),
            name: "any".to_owned(),
        };
        self.served(&budgets)
            .await
            .map_err(|fault| match fault.code.as_str() {
                "no_such_version" => Fault {
                    next: Some("pods are evicted by Kubernetes 1.22 or newer".to_owned()),
                    ..fault
                },
                _ => fault,
            })?;
        let cluster = &self.world.cluster;
        let (pods, protection) = futures::join!(cluster.pods(of), self.world.protection());
        let (daemons, mut budgets) = protection?;
        let pods: Vec<Pod> = pods?.iter().filter_map(Pod::new).collect();
        let asks = |b: &&Budget| b.asks_for_ended() && pods.iter().any(|pod| b.protects(pod));
        let namespaces: BTreeSet<&str> = budgets
            .iter()
            .filter(asks)
            .map(|b| b.namespace.as_str())
            .collect();
        let ended = self.in_namespaces("v1", ENDED, &namespaces).await?;
        let ended: Vec<Pod> = ended.iter().filter_map(Pod::new).collect();
        if !ended.is_empty() {
            let count = |budget: Budget| budget.with_ended(&ended);
            budgets = budgets.into_iter().map(count).collect();
        }
        Ok(PodsSeen {
            pods,
            daemons,
            budgets,
        })
    }

    /// What is of a kind in some namespaces, by the version and the plural under which it is served.
    pub async fn in_namespaces(
        &self,
        api_version: &str,
        plural: &str,
        namespaces: &BTreeSet<&str>,
    ) -> Result<Vec<Value>, Fault> {
        let cluster = &self.world.cluster;
        let at = served_under(api_version);
        let path = |namespace| format!("{at}/namespaces/{namespace}/{plural}");
        let paths: Vec<String> = namespaces.iter().map(path).collect();
        let lists: Vec<Vec<Value>> = stream::iter(paths)
            .map(|path: String| async move { cluster.list(&path).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(lists.concat())
    }
}
