//! How calico-node is told to find its address: `IP_AUTODETECTION_METHOD` and
//! `IP6_AUTODETECTION_METHOD` (Calico v3.31, node/pkg/lifecycle/startup/autodetection; that it has
//! been so since v3.0 is from its history).

use super::address::Cidr;
use super::daemonset::Version;
use super::go_regex;
use crate::fault::nearest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// A way to find a node's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Method {
    /// The first address of the last link that is not known to be a container's or Calico's.
    FirstFound,
    /// The address from which a host, or an address, is reached.
    CanReach(String),
    /// The last link whose name one of these regular expressions is found in.
    Interface(Vec<String>),
    /// As with [`Method::FirstFound`], without the links that one of these is found in.
    SkipInterface(Vec<String>),
    /// The first address within one of these networks.
    Cidr(Vec<Cidr>),
    /// The InternalIP that kubelet registered.
    KubernetesInternalIp,
}

/// The methods as they are written.
const FORMS: [&str; 6] = [
    "first-found",
    "can-reach=",
    "interface=",
    "skip-interface=",
    "cidr=",
    "kubernetes-internal-ip",
];

impl Method {
    /// The first version that knows it; `None` for what all of Calico v3 knows. An earlier one ends at
    /// its start.
    pub const fn since(&self) -> Option<Version> {
        match self {
            Self::FirstFound | Self::CanReach(_) | Self::Interface(_) | Self::SkipInterface(_) => {
                None
            }
            Self::Cidr(_) => Some(Version {
                major: 3,
                minor: 16,
            }),
            Self::KubernetesInternalIp => Some(Version {
                major: 3,
                minor: 22,
            }),
        }
    }

    /// The method with regular expressions that match whole names only: `eth0` is found in `veth0` too,
    /// `^eth0$` is not. None matches more than before.
    pub fn anchored(self) -> Self {
        let all = |expressions: Vec<String>| {
            expressions
                .iter()
                .map(|expression| go_regex::anchored(expression))
                .collect()
        };
        match self {
            Self::Interface(expressions) => Self::Interface(all(expressions)),
            Self::SkipInterface(expressions) => Self::SkipInterface(all(expressions)),
            other => other,
        }
    }

    /// What an Installation has at `spec.calicoNetwork.nodeAddressAutodetectionV4` or `…V6` for it. An
    /// operator takes an empty text for none, so what means the same stands for it.
    pub fn to_installation(&self) -> Value {
        let or = |text: String, otherwise: &str| {
            if text.is_empty() {
                otherwise.to_owned()
            } else {
                text
            }
        };
        match self {
            Self::FirstFound => json!({"firstFound": true}),
            Self::CanReach(to) => json!({"canReach": or(to.clone(), "localhost")}),
            Self::Interface(names) => json!({"interface": or(names.join(","), ".*")}),
            Self::SkipInterface(names) => json!({"skipInterface": or(names.join(","), ".*")}),
            Self::Cidr(networks) => json!({"cidrs": networks}),
            Self::KubernetesInternalIp => json!({"kubernetes": "NodeInternalIP"}),
        }
    }

    /// Reads what an Installation has there, as an operator does (tigera/operator v1.40,
    /// pkg/render/node.go and pkg/controller/installation/validation.go).
    ///
    /// # Errors
    /// Says what is wrong: none is given, which switches detection off, or two, which an operator
    /// refuses.
    pub fn from_installation(object: &Value) -> Result<Self, String> {
        let fields = match object {
            Value::Object(fields) => fields.clone(),
            Value::Null => serde_json::Map::new(),
            other => return Err(format!("{other} is no method")),
        };
        let mut methods: Vec<String> = Vec::new();
        for (field, value) in &fields {
            let of_text = |prefix: &str| match value {
                Value::String(text) if text.is_empty() => Ok(None),
                Value::String(text) => Ok(Some(format!("{prefix}{text}"))),
                other => Err(format!("`{field}` must be a text, and is {other}")),
            };
            let method = match (field.as_str(), value) {
                (_, Value::Null) | ("firstFound", Value::Bool(false)) => None,
                ("firstFound", Value::Bool(true)) => Some("first-found".to_owned()),
                ("kubernetes", Value::String(from)) if from == "NodeInternalIP" => {
                    Some("kubernetes-internal-ip".to_owned())
                }
                ("kubernetes", other) => {
                    return Err(format!(
                        "`kubernetes` must be `NodeInternalIP`, and is {other}"
                    ));
                }
                ("interface", _) => of_text("interface=")?,
                ("skipInterface", _) => of_text("skip-interface=")?,
                ("canReach", _) => of_text("can-reach=")?,
                ("cidrs", Value::Array(networks)) if networks.is_empty() => None,
                ("cidrs", Value::Array(networks)) => {
                    let networks: Option<Vec<&str>> = networks.iter().map(Value::as_str).collect();
                    let networks = networks.ok_or("`cidrs` must be a list of texts")?;
                    Some(format!("cidr={}", networks.join(",")))
                }
                (field @ ("firstFound" | "cidrs"), other) => {
                    return Err(format!("`{field}` cannot be {other}"));
                }
                (other, _) => return Err(format!("there is no method `{other}`")),
            };
            methods.extend(method);
        }
        match methods.as_slice() {
            [] => Err("it names no method, so that addresses are not detected".to_owned()),
            [method] => method.parse(),
            more => Err(format!(
                "it names {} methods, and one is allowed: {}",
                more.len(),
                more.join(" and ")
            )),
        }
    }
}

/// Splits a list as calico-node does, at `\s*,\s*`.
pub(super) fn split(list: &str) -> Vec<String> {
    let blank = [' ', '\t', '\n', '\r', '\u{c}'];
    let last = list.matches(',').count();
    list.split(',')
        .enumerate()
        .map(|(i, part)| {
            let part = if i == 0 {
                part
            } else {
                part.trim_start_matches(blank)
            };
            if i == last {
                part
            } else {
                part.trim_end_matches(blank)
            }
            .to_owned()
        })
        .collect()
}

/// A network as Go reads it: with the length of its prefix, in digits.
fn network(text: &str) -> Result<Cidr, String> {
    let digits = |(_, prefix): (&str, &str)| prefix.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<Cidr>() {
        Ok(network) if text.split_once('/').is_some_and(digits) => Ok(network),
        Ok(network) => Err(format!(
            "`{text}` lacks the length of its prefix, as in `{network}`"
        )),
        Err(_) => Err(format!("`{text}` is not a network, as `10.0.0.0/24` is")),
    }
}

impl FromStr for Method {
    type Err = String;

    /// Reads what calico-node accepts.
    fn from_str(s: &str) -> Result<Self, String> {
        if s.is_empty() || s == "first-found" {
            return Ok(Self::FirstFound);
        }
        if let Some(names) = s.strip_prefix("interface=") {
            return Ok(Self::Interface(split(names)));
        }
        if let Some(networks) = s.strip_prefix("cidr=") {
            return split(networks)
                .iter()
                .map(|text| network(text))
                .collect::<Result<_, _>>()
                .map(Self::Cidr);
        }
        if let Some(to) = s.strip_prefix("can-reach=") {
            return Ok(Self::CanReach(to.to_owned()));
        }
        if let Some(names) = s.strip_prefix("skip-interface=") {
            return Ok(Self::SkipInterface(split(names)));
        }
        // Calico looks at the begin only.
        if s.starts_with("kubernetes-internal-ip") {
            return Ok(Self::KubernetesInternalIp);
        }
        let name = s.split_inclusive('=').next().unwrap_or(s);
        let meant = nearest(name, FORMS)
            .map_or_else(String::new, |form| format!(" (did you mean `{form}`?)"));
        Err(format!(
            "`{s}` is no method by which Calico detects addresses{meant}; there are: {}",
            FORMS.join(", ")
        ))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstFound => f.write_str("first-found"),
            Self::CanReach(to) => write!(f, "can-reach={to}"),
            Self::Interface(names) => write!(f, "interface={}", names.join(",")),
            Self::SkipInterface(names) => write!(f, "skip-interface={}", names.join(",")),
            Self::Cidr(networks) => {
                let networks: Vec<String> = networks.iter().map(Cidr::to_string).collect();
                write!(f, "cidr={}", networks.join(","))
            }
            Self::KubernetesInternalIp => f.write_str("kubernetes-internal-ip"),
        }
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.to_string()
    }
}
