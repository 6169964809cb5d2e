//! The pods of a node or of a namespace, followed by one list and one watch.

use super::{Answer, Cluster};
use crate::fault::Fault;
use futures::TryStreamExt;
use http::{Method, Request, StatusCode};
use kube::core::WatchEvent;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A watch ends by itself after so many seconds, before the connection counts as dead, and goes on.
const SECONDS: u64 = 25;
/// What is not read from the channel yet; the API server waits meanwhile.
const WAITING: usize = 256;
const PAUSE: Duration = Duration::from_millis(500);

/// Which pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodsOf {
    Node(String),
    /// All of them: a watch by labels tells of a pod that loses its label that it is gone.
    Namespace(String),
}

impl PodsOf {
    fn path(&self) -> String {
        match self {
            Self::Node(node) => format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"),
            Self::Namespace(namespace) => format!("/api/v1/namespaces/{namespace}/pods?"),
        }
    }
}

/// What is new.
#[derive(Debug)]
pub enum PodNews {
    /// All that there are: any other is gone.
    All(Vec<Value>),
    /// One came, or changed.
    Is(Value),
    /// One is gone.
    Gone(Value),
    /// Nothing can be seen just now.
    Silent(Fault),
}

/// Pods that are followed, until this is dropped.
pub struct Following {
    news: mpsc::Receiver<PodNews>,
    task: JoinHandle<()>,
}

impl Following {
    /// What is new. Nothing is lost where this is not waited for to its end.
    pub async fn next(&mut self) -> PodNews {
        match self.news.recv().await {
            Some(news) => news,
            None => PodNews::Silent(Fault::internal("nobody follows the pods any more")),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a watch ended.
enum Watched {
    /// It goes on from here.
    Until(String),
    /// What it rests on is no longer kept: all must be listed anew.
    Expired,
    Silent(Fault),
    /// Nobody listens any more.
    Left,
}

impl Cluster {
    /// The pods as they are.
    pub async fn pods(&self, of: &PodsOf) -> Result<Vec<Value>, Fault> {
        Ok(self.pods_at(of).await?.0)
    }

    /// Follows pods.
    pub fn follow(&self, of: PodsOf) -> Following {
        let (tell, news) = mpsc::channel(WAITING);
        let cluster = self.clone();
        let task = tokio::spawn(async move {
            loop {
                let listed = cluster.pods_at(&of).await;
                let mut from = match listed {
                    Ok((pods, from)) => {
                        if tell.send(PodNews::All(pods)).await.is_err() {
                            return;
                        }
                        from
                    }
                    Err(fault) => {
                        if tell.send(PodNews::Silent(fault)).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                loop {
                    match cluster.watch(&of, from, &tell).await {
                        Watched::Until(at) => from = at,
                        Watched::Left => return,
                        Watched::Expired => {
                            tokio::time::sleep(PAUSE).await;
                            break;
                        }
                        Watched::Silent(fault) => {
                            if tell.send(PodNews::Silent(fault)).await.is_err() {
                                return;
                            }
                            tokio::time::sleep(PAUSE).await;
                            break;
                        }
                    }
                }
            }
        });
        Following { news, task }
    }

    /// All pages, and the version of the list.
    async fn pods_at(&self, of: &PodsOf) -> Result<(Vec<Value>, String), Fault> {
        let path = of.path();
        let (mut pods, mut next) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}&limit=500{next}");
            let mut list = self
                .call(Method::GET, &page, None)
                .await
                .map_err(|answer| self.read_fault(&path, answer))?;
            if let Some(Value::Array(more)) = list.get_mut("items").map(Value::take) {
                pods.extend(more);
            }
            let text = |at: &str| list.pointer(at).and_then(Value::as_str).unwrap_or_default();
            match text("/metadata/continue") {
                "" => return Ok((pods, text("/metadata/resourceVersion").to_owned())),
                token => next = format!("&continue={token}"),
            }
        }
    }

    async fn watch(&self, of: &PodsOf, from: String, tell: &mpsc::Sender<PodNews>) -> Watched {
        let path = of.path();
        let uri = format!(
            "{path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={SECONDS}&resourceVersion={from}"
        );
        tracing::debug!(path = uri, "API");
        let request = Request::builder()
            .uri(&uri)
            .header("Accept", "application/json")
            .body(Vec::new());
        let Ok(request) = request else {
            return Watched::Silent(Fault::internal("the pods cannot be asked for"));
        };
        let silent = |answer| Watched::Silent(self.read_fault(&path, answer));
        let events = match self.client.request_events::<Value>(request).await {
            Ok(events) => events,
            Err(kube::Error::Api(status)) if status.code == StatusCode::GONE.as_u16() => {
                return Watched::Expired;
            }
            Err(e) => return silent(Answer::of(&e, true)),
        };
        let mut events = std::pin::pin!(events);
        let mut at = from;
        let mut heard = false;
        let version = |pod: &Value| {
            let version = pod.pointer("/metadata/resourceVersion");
            version.and_then(Value::as_str).map(str::to_owned)
        };
        loop {
            let news = match events.try_next().await {
                Ok(Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) => PodNews::Is(pod),
                Ok(Some(WatchEvent::Deleted(pod))) => PodNews::Gone(pod),
                Ok(Some(WatchEvent::Bookmark(bookmark))) => {
                    heard = true;
                    at = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(Some(WatchEvent::Error(_))) => return Watched::Expired,
                // Something between may only pretend to watch: one that says nothing is not believed.
                Ok(None) if !heard => return Watched::Expired,
                Ok(None) => return Watched::Until(at),
                Err(e) => return silent(Answer::of(&e, true)),
            };
            heard = true;
            if let PodNews::Is(pod) | PodNews::Gone(pod) = &news
                && let Some(version) = version(pod)
            {
                at = version;
            }
            if tell.send(news).await.is_err() {
                return Watched::Left;
            }
        }
    }
}
