//! Between the program and the API server: forwards all requests, but for those that a rule disturbs,
//! and keeps what was asked. It asks the API server as the admin, whoever asks it.

use crate::answers::Answer;
use crate::api::Api;
use crate::behind::{Behind, happen};
use crate::request::Asked;
use crate::rule::{Rule, Then};
use crate::streams::{cut_in_first, later, mute};
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use lab::Lab;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub type Trouble = Box<dyn std::error::Error + Send + Sync>;
pub type Reply = Response<UnsyncBoxBody<Bytes, Trouble>>;

/// What a cut connection is to the server: it closes without another byte.
pub const CUT: &str = "the connection is cut";

/// What is known of the requests so far.
#[derive(Default)]
struct Kept {
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    evicting: usize,
    most_evicting: usize,
}

#[derive(Clone)]
struct Shared {
    client: Client,
    kept: Arc<Mutex<Kept>>,
}

pub struct Proxy {
    kubeconfig: PathBuf,
    shared: Shared,
}

impl Proxy {
    /// Listens inside the lab's network; its kubeconfig is made in `folder`.
    pub fn start(lab: &Lab, api: &Api, folder: &Path) -> Result<Self, String> {
        let acceptor = acceptor(lab)?;
        let shared = Shared {
            client: api.client.clone(),
            kept: Arc::default(),
        };
        let listener = api
            .wait_for(TcpListener::bind("127.0.0.1:0"))?
            .map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let serving = shared.clone();
        api.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), serving.clone()));
            }
        });
        let mut config = lab
            .kubectl_json(&["config", "view", "--raw"])
            .map_err(|e| e.to_string())?;
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
        let kubeconfig = folder.join("through-the-proxy.yaml");
        // JSON is YAML.
        fs::write(&kubeconfig, config.to_string()).map_err(|e| e.to_string())?;
        Ok(Self { kubeconfig, shared })
    }

    /// Leads to it.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig.to_string_lossy().into_owned()
    }

    /// Of several rules for a request, the first counts.
    pub fn rule(&self, rule: Rule) {
        self.shared.keep(|kept| kept.rules.push(rule));
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.keep(|kept| kept.asked.clone())
    }

    /// How many evictions were under way at a time, at most.
    pub fn most_evicting(&self) -> usize {
        self.shared.keep(|kept| kept.most_evicting)
    }
}

impl Shared {
    fn keep<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn acceptor(lab: &Lab) -> Result<TlsAcceptor, String> {
    // The API server's own certificate, which is good for 127.0.0.1 as well.
    let file = |name: &str| lab.dir().join("pki").join(name);
    let certificate =
        CertificateDer::from_pem_file(file("apiserver.crt")).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_file(file("apiserver.key")).map_err(|e| e.to_string())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|e| e.to_string())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Shared) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(|request| handle(request, shared.clone()));
    // A connection that is cut ends in an error: that is meant.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Counts an eviction as under way, until it is dropped.
struct Evicting(Shared);

impl Evicting {
    fn new(shared: &Shared) -> Self {
        shared.keep(|kept| {
            kept.evicting += 1;
            kept.most_evicting = kept.most_evicting.max(kept.evicting);
        });
        Self(shared.clone())
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        self.0.keep(|kept| kept.evicting -= 1);
    }
}

async fn handle(request: Request<Incoming>, shared: Shared) -> Result<Reply, Trouble> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let asked = Asked::new(head.method.as_str(), head.uri.path(), query, &body);
    let (behind, then) = shared.keep(|kept| {
        kept.asked.push(asked.clone());
        let rule = kept.rules.iter_mut().find_map(|rule| rule.take(&asked));
        rule.unwrap_or((Behind::Nothing, Then::Forwarded))
    });
    let _under_way = asked.is_eviction().then(|| Evicting::new(&shared));
    happen(behind, &asked, &shared.client).await?;
    let forwarded = || forward(&shared.client, &head, body);
    match then {
        Then::Forwarded => forwarded().await,
        Then::Late(by) => {
            tokio::time::sleep(by).await;
            forwarded().await
        }
        Then::Answered(answer) => answered(answer),
        Then::CutBefore => Err(CUT.into()),
        Then::CutAfter => {
            forwarded().await?.into_body().collect().await?;
            Err(CUT.into())
        }
        Then::CutInAnEvent => Ok(cut_in_first(forwarded().await?)),
        Then::Quiet(time) => Ok(later(forwarded().await?, time)),
        Then::Mute => Ok(mute(forwarded().await?)),
    }
}

fn answered(answer: Answer) -> Result<Reply, Trouble> {
    let mut response = Response::builder()
        .status(answer.code)
        .header("content-type", answer.kind)
        .header("cache-control", "no-cache, private");
    if let Some(seconds) = answer.retry_after {
        response = response.header("retry-after", seconds.to_string());
    }
    let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {});
    Ok(response.body(body.boxed_unsync())?)
}

async fn forward(
    client: &Client,
    head: &http::request::Parts,
    body: Bytes,
) -> Result<Reply, Trouble> {
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut request = Request::builder().method(head.method.clone()).uri(path);
    if let Some(headers) = request.headers_mut() {
        *headers = without_hops(&head.headers);
        // They are the client's own for this connection.
        headers.remove("host");
        headers.remove("content-length");
    }
    let response = client.send(request.body(Body::from(body))?).await?;
    let (mut head, body) = response.into_parts();
    head.headers = without_hops(&head.headers);
    Ok(Response::from_parts(
        head,
        body.map_err(Trouble::from).boxed_unsync(),
    ))
}

fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
    headers
}
