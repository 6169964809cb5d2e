//! `kube.proxy_conntrack`: what kube-proxy makes of a node's table of connections when it starts.
//!
//! By Kubernetes' cmd/kube-proxy/app/conntrack.go and server_linux.go (1.22.17 to 1.34.4) and
//! pkg/proxy/conntrack/sysctls.go (1.36.0), and its pull requests 103174 (1.23: a larger value stays), 120448
//! (1.29: it does not), 137002 (1.36: a cap) and 142035 (1.38: a larger value stays).

use super::host_conntrack::MAX as KEY;
use super::kube_object::Of;
use super::{Action, Compiled, Decision, Look, Needs, Patience, Place};
use crate::fault::{API_SILENT, Fault};
use crate::model::{Prior, Verb};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-proxy";

/// Says what kube-proxy sets `net.netfilter.nf_conntrack_max` to on the node when it starts, by the DaemonSet
/// and the ConfigMap `kube-proxy` in kube-system, and what to write there so that the node's own value lasts.
/// By `conntrack.maxPerCore` (32768) times the node's cores, and no less than `conntrack.min` (131072);
/// nothing where `maxPerCore` is 0. Kubernetes up to 1.22 and from 1.29 on lowers a larger value as well (read
/// in cmd/kube-proxy of 1.22.17, 1.23.0, 1.28.0, 1.29.0, 1.34.4 and 1.36.0), which its pull request 142035
/// ends for 1.38 and for later patches of 1.36 and 1.37. It changes nothing and stops no run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// What `net.netfilter.nf_conntrack_max` is to be on the node.
    max: u64,
}

pub struct ProxyConntrack {
    max: u64,
}

/// How kube-proxy is set up, as far as it was found.
pub enum Seen {
    Absent,
    Unread(String),
    Proxy(Proxy),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The second number of its version, where its image tells it.
    minor: Option<u32>,
    /// Where its settings stand, for people.
    by: &'static str,
    max_per_core: u64,
    min: u64,
    cores: u64,
}

/// Whether kube-proxy lowers a value that is larger than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lowers {
    Yes,
    No,
    /// It depends on what its image does not tell.
    Perhaps,
}

impl Proxy {
    /// Since 1.36, what comes of the cores is no more than this, whatever the minimum is.
    const MOST_BY_CORES: u64 = 1_048_576;
    const BY_CONFIG: &'static str = "ConfigMap kube-system/kube-proxy";
    const BY_FLAGS: &'static str = "the arguments in DaemonSet kube-system/kube-proxy";

    /// By its DaemonSet, its ConfigMap and the node.
    fn new(daemonset: &Value, config: Option<&Value>, node: &Value) -> Result<Self, String> {
        let containers = daemonset.pointer("/spec/template/spec/containers");
        let container = containers
            .and_then(Value::as_array)
            .and_then(|all| {
                let own = all.iter().find(|one| one.get("name") == Some(&NAME.into()));
                own.or_else(|| all.first())
            })
            .ok_or("its DaemonSet has no container")?;
        let words = ["/command", "/args"].iter().flat_map(|at| {
            let list = container.pointer(at).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str)
        });
        let words: Vec<&str> = words.flat_map(|word| word.splitn(2, '=')).collect();
        let flag = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let number = |value: Option<&Value>, usual: u64| match value {
            None | Some(Value::Null) => Ok(usual),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| format!("`{value}` in its configuration is not a number")),
        };
        let told = |name: &str, usual: u64| match flag(name) {
            None => Ok(usual),
            Some(text) => text
                .parse()
                .map_err(|_| format!("its argument {name} is `{text}`, which is not a number")),
        };
        let (by, max_per_core, min) = match flag("--config") {
            // With a file, it takes these from nowhere else.
            Some(path) => {
                let file = path.rsplit('/').next().unwrap_or_default();
                let text = config
                    .and_then(|map| map.get("data")?.get(file)?.as_str())
                    .ok_or_else(|| {
                        format!(
                            "its configuration {path} is not {file} of {}",
                            Self::BY_CONFIG
                        )
                    })?;
                let config: Value = serde_yaml::from_str(text)
                    .map_err(|e| format!("{file} of {}: {e}", Self::BY_CONFIG))?;
                (
                    Self::BY_CONFIG,
                    number(config.pointer("/conntrack/maxPerCore"), 32768)?,
                    number(config.pointer("/conntrack/min"), 131_072)?,
                )
            }
            None => (
                Self::BY_FLAGS,
                told("--conntrack-max-per-core", 32768)?,
                told("--conntrack-min", 131_072)?,
            ),
        };
        let image = container.get("image").and_then(Value::as_str);
        Ok(Self {
            minor: image.and_then(minor),
            by,
            max_per_core,
            min,
            cores: node
                .pointer("/status/capacity/cpu")
                .and_then(Value::as_str)
                .and_then(cores)
                .ok_or("the node does not say how many cores it has")?,
        })
    }

    /// What it sets; `None`: it leaves the value alone.
    fn sets(&self) -> Option<u64> {
        let scaled = self.max_per_core.saturating_mul(self.cores);
        match self.max_per_core {
            0 => None,
            _ if self.caps() && scaled > Self::MOST_BY_CORES => Some(Self::MOST_BY_CORES),
            _ => Some(scaled.max(self.min)).filter(|sets| *sets > 0),
        }
    }

    fn caps(&self) -> bool {
        self.minor.is_some_and(|minor| minor >= 36)
    }

    /// Where it does not count its minimum at all.
    fn passes_over_min(&self) -> bool {
        self.caps() && self.max_per_core.saturating_mul(self.cores) > Self::MOST_BY_CORES
    }

    fn lowers(&self) -> Lowers {
        match self.minor {
            Some(23..=28 | 38..) => Lowers::No,
            Some(36 | 37) | None => Lowers::Perhaps,
            Some(_) => Lowers::Yes,
        }
    }

    /// What it is called, with its version.
    fn title(&self) -> String {
        match self.minor {
            Some(minor) => format!("kube-proxy 1.{minor}"),
            None => "kube-proxy".to_owned(),
        }
    }

    /// How it comes by its value.
    fn reckoning(&self) -> String {
        let cores = match self.cores {
            1 => "1 core".to_owned(),
            n => format!("{n} cores"),
        };
        format!(
            "by {}: maxPerCore {} for {cores}, min {}",
            self.by, self.max_per_core, self.min
        )
    }
}

/// The second number of a version of Kubernetes, by the tag of an image.
fn minor(image: &str) -> Option<u32> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    let (_, tag) = name.split_once(':')?;
    let mut numbers = tag.trim_start_matches('v').split('.');
    match numbers.next()? {
        "1" => numbers.next()?.parse().ok(),
        _ => None,
    }
}

/// Whole cores of a quantity such as `4` or `3500m`.
fn cores(quantity: &str) -> Option<u64> {
    match quantity.strip_suffix('m') {
        Some(thousandths) => Some(thousandths.parse::<u64>().ok()?.div_ceil(1000)),
        None => quantity.parse().ok(),
    }
}

fn object(api_version: &str, kind: &str) -> Of {
    Of::any_of(api_version, kind, NAMESPACE).named(NAME)
}

#[async_trait]
impl Action for ProxyConntrack {
    const USES: &'static str = "kube.proxy_conntrack";
    type Args = Args;
    type Seen = Seen;
    type Change = std::convert::Infallible;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self { max: args.max })
    }

    fn needs(_with: &Value) -> Needs {
        Needs::default()
            .look(Verb::Get, &Of::targets())
            .look(Verb::Get, &object("apps/v1", "DaemonSet"))
            .look(Verb::Get, &object("v1", "ConfigMap"))
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        let read = async {
            let (_, daemonset) = look.object_of(&object("apps/v1", "DaemonSet")).await?;
            let Some(daemonset) = daemonset else {
                return Ok(Seen::Absent);
            };
            let (_, config) = look.object_of(&object("v1", "ConfigMap")).await?;
            let (_, node) = look.node_object(&place.target()?.name).await?;
            let proxy = Proxy::new(&daemonset, config.as_ref(), &node);
            Ok(proxy.map_or_else(Seen::Unread, Seen::Proxy))
        };
        match read.await {
            // It only warns: nothing fails for want of it.
            Err(Fault { code, message, .. }) if code != API_SILENT => Ok(Seen::Unread(message)),
            read => read,
        }
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, _: Prior<'_>) -> Decision<Self::Change> {
        let max = self.max;
        let why = match seen {
            Seen::Absent => {
                "there is no DaemonSet kube-system/kube-proxy; one that runs in another way sets it by \
                 its --conntrack-max-per-core and --conntrack-min"
                    .to_owned()
            }
            Seen::Unread(why) => format!("what kube-proxy sets cannot be told: {why}"),
            Seen::Proxy(proxy) => match (proxy.sets(), proxy.lowers()) {
                (None, _) => format!(
                    "{} leaves {KEY} alone ({})",
                    proxy.title(),
                    proxy.reckoning()
                ),
                (Some(sets), _) if sets >= max => format!(
                    "{} sets {KEY} to {sets} when it starts, which is no less than {max} ({})",
                    proxy.title(),
                    proxy.reckoning()
                ),
                (Some(sets), Lowers::No) => format!(
                    "{} sets {KEY} to {sets} when it starts, but only where it is less ({})",
                    proxy.title(),
                    proxy.reckoning()
                ),
                (Some(sets), Lowers::Yes) => format!(
                    "{} sets {KEY} to {sets} when it starts ({})",
                    proxy.title(),
                    proxy.reckoning()
                ),
                (Some(sets), Lowers::Perhaps) => format!(
                    "{} may set {KEY} to {sets} when it starts, as Kubernetes 1.29 to 1.35 does ({})",
                    proxy.title(),
                    proxy.reckoning()
                ),
            },
        };
        Decision::NoChange { why }
    }

    fn compile(&self, change: Self::Change) -> Compiled {
        match change {}
    }

    /// Nobody waits long for a warning.
    fn patience(&self) -> Patience {
        Patience {
            within: Duration::from_secs(10),
            ..Patience::default()
        }
    }

    fn notes(&self, seen: &Seen, _: &Decision<Self::Change>) -> Vec<String> {
        let max = self.max;
        let Seen::Proxy(proxy) = seen else {
            return Vec::new();
        };
        match (proxy.sets(), proxy.lowers()) {
            (Some(sets), Lowers::Yes | Lowers::Perhaps) if sets < max => {
                let (nothing, least) = match proxy.by == Proxy::BY_FLAGS {
                    true => ("--conntrack-max-per-core=0".to_owned(), "--conntrack-min"),
                    false => ("conntrack.maxPerCore: 0".to_owned(), "conntrack.min"),
                };
                let takes = match proxy.lowers() {
                    Lowers::Perhaps => "may take",
                    _ => "takes",
                };
                let or = match proxy.passes_over_min() {
                    true => String::new(),
                    false => format!(", or {least} to {max} or more"),
                };
                vec![format!(
                    "with its next start, kube-proxy {takes} the node back to {sets}: to keep {max} for good, \
                     set {nothing}{or}, in {}, and start its pods anew",
                    proxy.by
                )]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
