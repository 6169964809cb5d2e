//! The real API server, asked from inside the lab's network: what the tests make and look at.

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lab::Lab;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How many requests of a batch are under way at a time.
const AT_ONCE: usize = 16;
/// Leases are renewed this often, so that nobody takes a node without a kubelet for dead.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A request: method, path, body.
pub type Call = (&'static str, String, Value);

#[derive(Clone)]
pub struct Api {
    runtime: Arc<Runtime>,
    pub client: Client,
}

impl Api {
    /// As the admin.
    pub fn of(lab: &Lab) -> Result<Self, String> {
        Self::by(lab, &lab.kubeconfig())
    }

    /// As a kubeconfig leads to it.
    pub fn by(lab: &Lab, kubeconfig: &Path) -> Result<Self, String> {
        // Whatever these threads open is inside.
        let runtime = lab
            .inside(|| {
                Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
            })
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig).map_err(|e| e.to_string())?;
        let (sender, made) = mpsc::channel();
        runtime.spawn(async move {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            let client = config.map_err(|e| e.to_string()).and_then(|mut config| {
                config.default_retry = false;
                config.read_timeout = None;
                Client::try_from(config).map_err(|e| e.to_string())
            });
            let _ = sender.send(client);
        });
        let client = made.recv().map_err(|e| e.to_string())??;
        Ok(Self {
            runtime: Arc::new(runtime),
            client,
        })
    }

    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Does it inside, and waits for it.
    pub fn wait_for<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let (sender, done) = mpsc::channel();
        self.spawn(async move {
            let _ = sender.send(work.await);
        });
        done.recv().map_err(|e| e.to_string())
    }

    /// The answer, whatever it is.
    pub fn ask(&self, call: Call) -> Result<(u16, Value), String> {
        let client = self.client.clone();
        self.wait_for(async move { ask(&client, &call, &[]).await })?
    }

    /// The answer that somebody else gets.
    pub fn ask_as(&self, user: &str, call: Call) -> Result<(u16, Value), String> {
        let (client, user) = (self.client.clone(), user.to_owned());
        self.wait_for(async move { ask(&client, &call, &[("impersonate-user", &user)]).await })?
    }

    /// The answer, which must be a good one.
    pub fn call(&self, method: &'static str, path: &str, body: Value) -> Result<Value, String> {
        let client = self.client.clone();
        let call = (method, path.to_owned(), body);
        self.wait_for(async move { good(&client, &call).await })?
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        self.call("GET", path, Value::Null)
    }

    /// Many, several at a time; each must go well.
    pub fn all(&self, calls: Vec<Call>) -> Result<(), String> {
        let mut rest = calls.into_iter().peekable();
        while rest.peek().is_some() {
            let batch: Vec<Call> = rest.by_ref().take(AT_ONCE).collect();
            let client = self.client.clone();
            self.wait_for(async move {
                let each = batch.iter().map(|call| good(&client, call));
                futures::future::join_all(each)
                    .await
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()
            })??;
        }
        Ok(())
    }

    /// A node without a machine, which is Ready as long as this is there. One that a run left that did
    /// not come to its end is taken away, with its pods.
    pub fn make_node(&self, name: &str) -> Result<(), String> {
        self.empty(&format!(
            "/api/v1/pods?fieldSelector=spec.nodeName%3D{name}"
        ))?;
        self.delete(&format!("/api/v1/nodes/{name}"), Value::Null)?;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        self.call("POST", "/api/v1/nodes", node)?;
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}});
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let made = self.ask(("POST", leases.to_owned(), lease))?;
        if made.0 != 201 && made.0 != 409 {
            return Err(format!("the lease of {name}: {made:?}"));
        }
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
            "reason": "KubeletReady", "message": "there is none"}]}});
        self.call("PATCH", &format!("/api/v1/nodes/{name}/status"), ready)?;
        let (client, path) = (self.client.clone(), format!("{leases}/{name}"));
        self.spawn(async move {
            let mut beat = tokio::time::interval(HEARTBEAT);
            loop {
                beat.tick().await;
                let now = jiff::Timestamp::now().to_string();
                let renewed = json!({"spec": {"renewTime": now}});
                // The node is gone, or the API server is: then nobody is misled.
                if good(&client, &("PATCH", path.clone(), renewed))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Deletes what may have gone by itself.
    fn delete(&self, path: &str, options: Value) -> Result<(), String> {
        match self.ask(("DELETE", path.to_owned(), options))? {
            (200..300 | 404, _) => Ok(()),
            (code, said) => Err(format!("{path} could not be deleted: {code} {said}")),
        }
    }

    /// Takes all pods of a list away, whatever keeps them there.
    pub fn empty(&self, list: &str) -> Result<(), String> {
        let pods = self.get(list)?;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let metadata = &pod["metadata"];
            let of = |key: &str| metadata[key].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{}", of("namespace"), of("name"));
            if metadata["finalizers"].is_array() {
                let free = json!({"metadata": {"finalizers": null}});
                self.call("PATCH", &path, free)?;
            }
            self.delete(&path, json!({"gracePeriodSeconds": 0}))?;
        }
        Ok(())
    }

    /// A namespace that pods can be put into at once, without waiting for controllers.
    pub fn make_namespace(&self, name: &str) -> Result<(), String> {
        let named = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        self.call("POST", "/api/v1/namespaces", named("Namespace", name))?;
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        // A controller may have been faster.
        match self.ask(("POST", accounts, named("ServiceAccount", "default")))? {
            (201 | 409, _) => Ok(()),
            (code, said) => Err(format!("a service account: {code} {said}")),
        }
    }
}

pub async fn good(client: &Client, call: &Call) -> Result<Value, String> {
    let (code, said) = ask(client, call, &[]).await?;
    match code {
        200..300 => Ok(said),
        _ => Err(format!("{} {}: {code} {said}", call.0, call.1)),
    }
}

async fn ask(
    client: &Client,
    (method, path, body): &Call,
    headers: &[(&str, &str)],
) -> Result<(u16, Value), String> {
    let text = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let kind = match *method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let mut request = http::Request::builder()
        .method(*method)
        .uri(path)
        .header("content-type", kind);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(text)).map_err(|e| e.to_string())?;
    let failed = |e: kube::Error| format!("{method} {path}: {e}");
    let response = client.send(request).await.map_err(failed)?;
    let code = response.status().as_u16();
    let said = response.into_body().collect_bytes().await.map_err(failed)?;
    let said = serde_json::from_slice(&said)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&said).into_owned()));
    Ok((code, said))
}
