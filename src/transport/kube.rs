//! A cluster, over its API server.

mod claim;
mod eviction;
mod pods;
mod trial;

pub use claim::{Claimable, Claimed, Renewed};
pub use eviction::Evicted;
pub use pods::{Following, PodNews, PodsOf};
pub use trial::{Conflict, Rejection, Trial, Tried};

use crate::fault::{API_SILENT, Fault};
use crate::journal::Permit;
use crate::model::{ClusterId, Effect, ObjectRef, PatchError, Verb, json_patch};
use http::{Method, Request, StatusCode};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The name under which managed fields show what this program wrote.
const FIELD_MANAGER: &str = "runbook";

/// Which cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Instead of KUBECONFIG or ~/.kube/config.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; its current one if left out.
    pub context: Option<String>,
}

/// A right that is needed: verb and resource, of one object or of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Right {
    pub verb: Verb,
    pub group: String,
    pub resource: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

impl Right {
    /// What carrying out `effect` needs in the cluster.
    pub fn of(effect: &Effect) -> Option<Self> {
        let (object, verb) = effect.on_object()?;
        let right = Self {
            verb,
            group: object.group().to_owned(),
            resource: object.resource.clone(),
            namespace: object.namespace.clone(),
            // What is yet to be made has no name for the API server's judgement.
            name: verb.names_its_object().then(|| object.name.clone()),
        };
        Some(match effect {
            // Whoever evicts one pod of a namespace evicts others there.
            Effect::EvictPod { deletes, .. } => Self {
                resource: match deletes {
                    true => right.resource,
                    false => format!("{}/eviction", right.resource),
                },
                name: None,
                ..right
            },
            _ => right,
        })
    }

    /// What looking at the subject of `effect` needs in the cluster.
    pub fn to_look(effect: &Effect) -> Option<Self> {
        // Nobody looks at each pod of many: they are followed together.
        let (object, _) = effect.on_object().filter(|_| !effect.evicts())?;
        Some(Self {
            verb: Verb::Get,
            name: Some(object.name.clone()),
            ..Self::of(effect)?
        })
    }

    /// Whether whoever has this right has `other`, too.
    pub fn covers(&self, other: &Self) -> bool {
        let all = |own: &str, other: &str| own == "*" || own == other;
        let any = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        self.verb == other.verb
            && all(&self.group, &other.group)
            && all(&self.resource, &other.resource)
            && any(&self.namespace, &other.namespace)
            && any(&self.name, &other.name)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        Ok(())
    }
}

/// A connection to an API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    context: String,
}

impl Cluster {
    /// Reads the kubeconfig; nothing is asked of the API server yet.
    pub async fn connect(options: &ClusterOptions) -> Result<Self, Fault> {
        let wrong = |what: String| {
            Fault::input("kubeconfig", what)
                .next("look at --kubeconfig, KUBECONFIG or ~/.kube/config, and at --context")
        };
        let kubeconfig = match &options.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
        .map_err(|e| wrong(format!("no kubeconfig can be read: {}", chain(&e))))?;
        let context = options
            .context
            .clone()
            .or_else(|| kubeconfig.current_context.clone())
            .ok_or_else(|| wrong("the kubeconfig names no current context".to_owned()))?;
        if !kubeconfig.contexts.iter().any(|c| c.name == context) {
            let known: Vec<&str> = kubeconfig
                .contexts
                .iter()
                .map(|c| c.name.as_str())
                .collect();
            return Err(wrong(format!(
                "the kubeconfig has no context `{context}`; it has {}",
                known.join(", ")
            )));
        }
        let mut config = Config::from_custom_kubeconfig(
            kubeconfig,
            &KubeConfigOptions {
                context: Some(context.clone()),
                ..KubeConfigOptions::default()
            },
        )
        .await
        .map_err(|e| wrong(format!("context `{context}` cannot be used: {e}")))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        // It would hide for minutes that a disruption budget blocks an eviction.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|e| wrong(format!("context `{context}` cannot be used: {e}")))?;
        Ok(Self {
            client,
            server: server.trim_end_matches('/').to_owned(),
            context,
        })
    }

    /// The cluster's identity.
    pub async fn identity(&self) -> Result<ClusterId, Fault> {
        let system = self.get("/api/v1/namespaces/kube-system").await?;
        let uid = system
            .as_ref()
            .and_then(|s| s.pointer("/metadata/uid"))
            .and_then(Value::as_str)
            .ok_or_else(|| {
                Fault::refused("no_kube_system", "the cluster has no namespace kube-system")
            })?;
        Ok(ClusterId {
            context: self.context.clone(),
            server: self.server.clone(),
            uid: uid.to_owned(),
        })
    }

    /// Where it is reached, while it does not say which it is.
    pub fn unanswered_identity(&self) -> ClusterId {
        ClusterId {
            context: self.context.clone(),
            server: self.server.clone(),
            uid: String::new(),
        }
    }

    /// One object; `None` where there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, Fault> {
        match self.call(Method::GET, path, None).await {
            Ok(value) => Ok(Some(value)),
            Err(Answer::Status {
                code: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(answer) => Err(self.read_fault(path, answer)),
        }
    }

    /// The items of a list, all pages of it.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = format!("{path}{sign}limit=500{next}");
            let mut list = self
                .call(Method::GET, &page, None)
                .await
                .map_err(|answer| self.read_fault(path, answer))?;
            if let Some(Value::Array(more)) = list.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match list.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => return Ok(items),
            }
        }
    }

    /// The pods of a namespace on a node.
    pub async fn pods_on(&self, namespace: &str, node: &str) -> Result<Vec<Value>, Fault> {
        self.list(&format!(
            "/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.nodeName%3D{node}"
        ))
        .await
    }

    /// Whether this identity has a right, as the API server judges it.
    pub async fn may(&self, right: &Right) -> Result<bool, Fault> {
        let (resource, part) = match right.resource.split_once('/') {
            Some((resource, part)) => (resource, Some(part)),
            None => (right.resource.as_str(), None),
        };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": right.verb.as_str(),
                "group": right.group,
                "resource": resource,
                "subresource": part,
                "namespace": right.namespace,
                "name": right.name,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = self
            .call(Method::POST, path, Some(("application/json", &review)))
            .await
            .map_err(|answer| self.read_fault(path, answer))?;
        Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }

    /// Reads the object that an effect is about.
    pub async fn object(&self, object: &ObjectRef) -> Result<Option<Value>, Fault> {
        self.get(&object.path()).await
    }

    /// Carries an effect out, once. `now` is its object as it was just read: the write rests on that
    /// state and on no other.
    pub async fn perform(&self, permit: Permit, now: Option<&Value>) -> Result<(), Fault> {
        let effect = permit.effect();
        let Some((object, _)) = effect.on_object() else {
            return Err(Fault::internal(
                "this is not done to an object of a cluster",
            ));
        };
        let (method, kind, body) = match effect {
            Effect::PutFile { .. } | Effect::PutSetting { .. } | Effect::RunProgram { .. } => {
                return Err(Fault::internal(
                    "this is not done to an object of a cluster",
                ));
            }
            Effect::EvictPod { .. } => {
                return Err(Fault::internal("a pod is evicted together with others"));
            }
            Effect::SetFields { fields, .. } => {
                let Some(now) = now else {
                    return Err(Fault::definite("gone", format!("{object} is gone")));
                };
                let patch = json_patch(now, fields).map_err(|e| {
                    let code = match e {
                        PatchError::Drift { .. } => "drift",
                        PatchError::NoPlace(_) => "no_place",
                    };
                    Fault::definite(code, format!("{object}: {e}"))
                })?;
                (
                    Method::PATCH,
                    "application/json-patch+json",
                    Value::Array(patch),
                )
            }
            Effect::PutObject {
                after: Some(after), ..
            } => (Method::POST, "application/json", after.clone()),
            Effect::PutObject { propagation, .. } => {
                let Some(now) = now.filter(|now| object.may_be(now)) else {
                    return Err(Fault::definite("gone", format!("{object} is gone")));
                };
                let metadata = |key: &str| now.pointer(&format!("/metadata/{key}"));
                (
                    Method::DELETE,
                    "application/json",
                    json!({
                        "apiVersion": "v1",
                        "kind": "DeleteOptions",
                        "preconditions": {
                            "uid": metadata("uid"),
                            "resourceVersion": metadata("resourceVersion"),
                        },
                        "propagationPolicy": propagation.as_str(),
                    }),
                )
            }
            Effect::ReplacePod { pod, .. } => (
                Method::DELETE,
                "application/json",
                json!({
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": pod.uid},
                }),
            ),
        };
        let path = match method {
            Method::POST => object.collection(),
            _ => object.path(),
        };
        let path = match method {
            Method::DELETE => path,
            _ => format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"),
        };
        let makes = method == Method::POST;
        match self.call(method, &path, Some((kind, &body))).await {
            Ok(_) => Ok(()),
            // A test of the patch that does not hold and a change that is not valid are answered
            // alike; whether the object has moved tells them apart.
            Err(Answer::Status {
                code: StatusCode::UNPROCESSABLE_ENTITY,
                message,
                ..
            }) if !makes => {
                let version = |object: Option<&Value>| {
                    object
                        .and_then(|o| o.pointer("/metadata/resourceVersion"))
                        .cloned()
                };
                let later = self.object(object).await?;
                Err(match version(later.as_ref()) == version(now) {
                    true => rejected(object, &message),
                    false => conflict(object, &message),
                })
            }
            // What it was to be made in is not there.
            Err(Answer::Status {
                code: StatusCode::NOT_FOUND,
                message,
                ..
            }) if makes => Err(rejected(object, &message)),
            Err(answer) => Err(self.write_fault(object, answer)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value, Answer> {
        tracing::debug!(%method, path, "API");
        let reads = method == Method::GET;
        let mut request = Request::builder().method(method).uri(path);
        let bytes = match body {
            Some((kind, body)) => {
                request = request.header("Content-Type", kind);
                serde_json::to_vec(body).map_err(|e| Answer::NotSent(e.to_string()))?
            }
            None => Vec::new(),
        };
        let request = request
            .header("Accept", "application/json")
            .body(bytes)
            .map_err(|e| Answer::NotSent(e.to_string()))?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(value),
            Err(e) => Err(Answer::of(&e, reads)),
        }
    }

    fn unreachable(&self, why: &str) -> Fault {
        Fault::unreachable(
            API_SILENT,
            format!(
                "the API server {} (context {}) does not answer: {why}",
                self.server, self.context
            ),
        )
        .next("look whether it runs and whether this machine reaches it; --context names another cluster")
    }

    fn read_fault(&self, path: &str, answer: Answer) -> Fault {
        match answer {
            Answer::NotSent(why) | Answer::Lost(why) => self.unreachable(&why),
            Answer::Unusable(why) => self.unusable(&why),
            Answer::Status { code, message, .. } => match code {
                StatusCode::UNAUTHORIZED => Fault::refused(
                    "api_unauthorized",
                    format!(
                        "the API server {} does not know this identity: {message}",
                        self.server
                    ),
                )
                .next("the credentials in the kubeconfig may have expired"),
                StatusCode::FORBIDDEN => Fault::refused(
                    "api_forbidden",
                    format!("this identity lacks a right that is needed: {message}"),
                )
                .next("ask for the right, or use another identity with --context"),
                // Something before it answers in its place, or it cannot reach its own store.
                code if code.is_server_error() || code == StatusCode::TOO_MANY_REQUESTS => {
                    self.unreachable(&format!("it answers with {code}: {message}"))
                }
                _ => Fault::unreachable(
                    "api_error",
                    format!("the API server answered {path} with {code}: {message}"),
                ),
            },
        }
    }

    fn unusable(&self, why: &str) -> Fault {
        Fault::refused(
            "api_unusable",
            format!(
                "the API server {} (context {}) cannot be used from here: {why}",
                self.server, self.context
            ),
        )
        .next("look at the credentials and the certificates in the kubeconfig, and at what is between")
    }

    /// What a failed write means. A 5xx, or no answer, leaves open whether it was done.
    fn write_fault(&self, object: &ObjectRef, answer: Answer) -> Fault {
        match answer {
            Answer::NotSent(why) => self.unreachable(&why),
            Answer::Unusable(why) => self.unusable(&why),
            Answer::Lost(why) => Fault::indeterminate(
                "api_lost",
                format!("writing {object}: the connection to the API server broke: {why}"),
            ),
            Answer::Status { code, message, .. } if code.is_server_error() => Fault::indeterminate(
                "api_error",
                format!("writing {object}: the API server answered {code}: {message}"),
            ),
            Answer::Status {
                code: StatusCode::FORBIDDEN,
                message,
                ..
            } => Fault::definite(
                "api_forbidden",
                format!("writing {object} was refused: {message}"),
            ),
            Answer::Status {
                code: StatusCode::NOT_FOUND,
                ..
            } => Fault::definite("gone", format!("{object} is gone")),
            Answer::Status {
                code: StatusCode::CONFLICT,
                message,
                ..
            } => conflict(object, &message),
            Answer::Status { message, .. } => rejected(object, &message),
        }
    }
}

/// Somebody else was faster.
fn conflict(object: &ObjectRef, message: &str) -> Fault {
    Fault::definite(
        "api_conflict",
        format!("{object} changed at the same moment: {message}"),
    )
}

fn rejected(object: &ObjectRef, message: &str) -> Fault {
    Fault::definite(
        "api_rejected",
        format!("the API server rejected the change of {object}: {message}"),
    )
}

/// How a request failed.
enum Answer {
    Status {
        code: StatusCode,
        message: String,
        /// Who else keeps what was to be applied.
        conflicts: Vec<Conflict>,
        /// What it comes from: each the reason for programs, and the message for people.
        causes: Vec<(String, String)>,
        /// The kind of what it is about, as the answer names it.
        about: String,
        /// Seconds after which it may be asked again; 0 where it does not say.
        retry_after: u64,
    },
    /// It certainly did not reach the API server.
    NotSent(String),
    /// It may have.
    Lost(String),
    /// It was not sent, or not answered by an API server, and will not be.
    Unusable(String),
}

impl Answer {
    /// What a failed request means; `reads`: it was to change nothing.
    fn of(e: &kube::Error, reads: bool) -> Self {
        if let kube::Error::Api(status) = e {
            return Self::status(status);
        }
        let text = chain(e);
        // Nothing left this machine if not even the connection came to be.
        let not_sent = ["(Connect)", "connect error", "tcp connect", "dns error"]
            .iter()
            .any(|sign| text.contains(sign))
            || text.contains("deadline has elapsed") && text.contains("connect");
        match e {
            // Nothing was sent without credentials, or over a connection that is not trusted.
            kube::Error::Auth(_) => Self::Unusable(text),
            _ if text.contains("certificate") => Self::Unusable(text),
            // Something else answered; a write may have been done behind it.
            kube::Error::SerdeError(_) if reads => Self::Unusable(text),
            _ if not_sent => Self::NotSent(text),
            _ => Self::Lost(text),
        }
    }

    fn status(status: &kube::core::Status) -> Self {
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::status_with(status, code, None)
    }

    fn status_with(status: &kube::core::Status, code: StatusCode, after: Option<u64>) -> Self {
        let details = status.details.as_ref();
        Self::Status {
            code,
            message: status.message.clone(),
            conflicts: trial::conflicts(status),
            causes: causes(status),
            about: details.map_or_else(String::new, |details| details.kind.clone()),
            retry_after: after
                .or_else(|| details.map(|details| details.retry_after_seconds.into()))
                .unwrap_or_default(),
        }
    }
}

fn causes(status: &kube::core::Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .map(|cause| (cause.reason.clone(), cause.message.clone()))
        .collect()
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(e) = source {
        let part = e.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = e.source();
    }
    text
}
