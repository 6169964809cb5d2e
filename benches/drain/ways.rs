//! The ways to drain a node.

use crate::text;
use futures::StreamExt;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lab::Lab;
use lab::fake::FakePods;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many evictions are under way at once.
const AT_ONCE: usize = 16;
/// And how many under one budget: each writes its count, and the API server lets those that come at the same time wait
/// for half a second.
const AT_ONCE_UNDER_A_BUDGET: usize = 4;
/// After a budget said no.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A cordon and the evictions, by a loop in this program.
    Bare,
    Runbook,
    Kubectl,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Bare, Self::Runbook, Self::Kubectl];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Runbook => "runbook",
            Self::Kubectl => "kubectl",
        }
    }

    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Drains the node.
    pub fn drain(self, lab: &Lab, state: &Path, pods: &FakePods) -> Result<(), String> {
        let node = pods.node;
        match self {
            Self::Bare => {
                let at_once = match pods.budget {
                    Some(_) => AT_ONCE_UNDER_A_BUDGET,
                    None => AT_ONCE,
                };
                in_cluster(lab, async |client| evict_all(&client, node, at_once).await)
            }
            Self::Runbook => {
                let mut command = lab.command(env!("CARGO_BIN_EXE_runbook"));
                command
                    .args(["apply", "drain-node", "--node", node, "--yes"])
                    .args(["--param", "grace_period=0s", "--param", "force=true"])
                    // kubectl does not wait for that either.
                    .args(["--param", "ready_within=0s"])
                    .env("RUNBOOK_STATE_DIR", state)
                    .env_remove("XDG_RUNTIME_DIR");
                run(&mut command)
            }
            Self::Kubectl => run(lab.command("kubectl").args([
                "drain",
                node,
                "--ignore-daemonsets",
                "--grace-period=0",
                "--force",
            ])),
        }
    }
}

/// Holds that no pod is left on a node that is drained.
pub fn is_empty(lab: &Lab, node: &str) -> Result<(), String> {
    in_cluster(lab, async |client| {
        match pods_of(&client, node).await?.len() {
            0 => Ok(()),
            left => Err(format!("it is done, and {left} pods are on the node")),
        }
    })
}

/// Waits until as many pods are Ready again as there were; hands back how long that is since then.
pub fn wait_until_ready(lab: &Lab, pods: &FakePods, since: Instant) -> Result<Duration, String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}",
        pods.namespace,
        pods.selector().replace('=', "%3D")
    );
    in_cluster(lab, async |client| {
        while since.elapsed() < Duration::from_secs(600) {
            let list = ask(&client, Method::GET, &path, None).await?;
            let ready = items(&list).filter(|pod| is_ready(pod)).count();
            if ready == pods.count {
                return Ok(since.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the pods did not become Ready elsewhere".to_owned())
    })
}

async fn evict_all(client: &Client, node: &str, at_once: usize) -> Result<(), String> {
    let cordon = json!({"spec": {"unschedulable": true}});
    let path = format!("/api/v1/nodes/{node}");
    ask(client, Method::PATCH, &path, Some(&cordon)).await?;
    let pods = pods_of(client, node).await?;
    let evictions = pods.iter().map(|pod| evict(client, pod));
    let mut under_way = futures::stream::iter(evictions).buffer_unordered(at_once);
    while let Some(evicted) = under_way.next().await {
        evicted?;
    }
    while !pods_of(client, node).await?.is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn evict(client: &Client, pod: &Value) -> Result<(), String> {
    let of = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    let (Some(name), Some(namespace)) = (of("/metadata/name"), of("/metadata/namespace")) else {
        return Err("a pod has no name".to_owned());
    };
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": of("/metadata/uid")},
        },
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    loop {
        let request = request(Method::POST, &path, Some(&body))?;
        match client.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(said)) => match said.code {
                404 => return Ok(()),
                429 => tokio::time::sleep(PAUSE).await,
                409 if is_of_budget(&said) => {}
                // Another pod has its name by now.
                409 => return Ok(()),
                _ => return Err(text(said)),
            },
            Err(e) => return Err(text(e)),
        }
    }
}

/// Others wrote the budget's count at the same time, again and again; nothing was evicted.
fn is_of_budget(said: &kube::core::Status) -> bool {
    let of = said.details.as_ref().map(|details| details.kind.as_str());
    of == Some("poddisruptionbudgets")
}

async fn pods_of(client: &Client, node: &str) -> Result<Vec<Value>, String> {
    let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    let list = ask(client, Method::GET, &path, None).await?;
    Ok(items(&list).cloned().collect())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let of = |key: &str| condition.get(key).and_then(Value::as_str);
        of("type") == Some("Ready") && of("status") == Some("True")
    })
}

async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, String> {
    let request = request(method, path, body)?;
    client.request(request).await.map_err(text)
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, String> {
    let kind = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", kind)
        .body(
            body.map(|body| body.to_string().into_bytes())
                .unwrap_or_default(),
        )
        .map_err(text)
}

/// Runs `work` inside the lab's network, with a client that tries nothing again by itself.
fn in_cluster<T: Send>(
    lab: &Lab,
    work: impl AsyncFnOnce(Client) -> Result<T, String> + Send,
) -> Result<T, String> {
    let done = lab.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(text)?;
        runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).map_err(text)?;
            let options = KubeConfigOptions::default();
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(text)?;
            config.default_retry = false;
            work(Client::try_from(config).map_err(text)?).await
        })
    });
    done.map_err(text)?
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(text)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{:?} ended with {}\n{}{}",
            command.get_program(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
