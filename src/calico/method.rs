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

    /// Reads what an Installation has there, as an operator does (tigera/operator v1.25 to v1.40,
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
    let not = || format!("`{text}` is not a network, as `10.0.0.0/24` is");
    match text.split_once('/') {
        None => Err(text.parse::<Cidr>().map_or_else(
            |_| not(),
            |network| format!("`{text}` lacks the length of its prefix, as in `{network}`"),
        )),
        Some((_, prefix)) if prefix.starts_with('+') => Err(not()),
        Some(_) => text.parse().map_err(|_| not()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_and_written_as_calico_does() {
        for (text, written) in [
            ("", "first-found"),
            ("first-found", "first-found"),
            ("can-reach=8.8.8.8", "can-reach=8.8.8.8"),
            ("interface=^eth0$,^ens3$", "interface=^eth0$,^ens3$"),
            ("interface=^eth0$ ,\t^ens3$", "interface=^eth0$,^ens3$"),
            // Blanks at the ends are part of the expressions.
            ("interface= eth0 ", "interface= eth0 "),
            ("interface=", "interface="),
            ("skip-interface=a,,b", "skip-interface=a,,b"),
            ("cidr=10.0.0.5/24 , fd00::/8", "cidr=10.0.0.5/24,fd00::/8"),
            ("kubernetes-internal-ip", "kubernetes-internal-ip"),
            ("kubernetes-internal-ips", "kubernetes-internal-ip"),
        ] {
            let method: Method = text.parse().unwrap();
            assert_eq!(method.to_string(), written);
            assert_eq!(serde_json::to_value(&method).unwrap(), written);
            assert_eq!(
                serde_json::from_value::<Method>(json!(written)).unwrap(),
                method
            );
        }
    }

    #[test]
    fn what_calico_does_not_accept_says_what_there_is() {
        let said: Vec<String> = [
            "interfaces=eth0",
            "first-found ",
            "kubernetes-internal",
            "autodetect",
            "cidr=10.0.0.0",
            "cidr=",
            "cidr= 10.0.0.0/8",
            "cidr=10.0.0.0/+8",
            "cidr=10.0.0.0/33",
        ]
        .into_iter()
        .map(|text| text.parse::<Method>().unwrap_err())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @"
        `interfaces=eth0` is no method by which Calico detects addresses (did you mean `interface=`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
        `first-found ` is no method by which Calico detects addresses (did you mean `first-found`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
        `kubernetes-internal` is no method by which Calico detects addresses (did you mean `kubernetes-internal-ip`?); there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
        `autodetect` is no method by which Calico detects addresses; there are: first-found, can-reach=, interface=, skip-interface=, cidr=, kubernetes-internal-ip
        `10.0.0.0` lacks the length of its prefix, as in `10.0.0.0/32`
        `` is not a network, as `10.0.0.0/24` is
        ` 10.0.0.0/8` is not a network, as `10.0.0.0/24` is
        `10.0.0.0/+8` is not a network, as `10.0.0.0/24` is
        `10.0.0.0/33` is not a network, as `10.0.0.0/24` is
        ");
    }

    #[test]
    fn anchored_expressions_match_whole_names() {
        for (text, anchored) in [
            ("interface=eth0", "interface=^eth0$"),
            ("interface=eth.*,ens3", "interface=^(eth.*)$,^ens3$"),
            ("interface=^eth0$", "interface=^eth0$"),
            ("interface=^eth.*", "interface=^eth.*$"),
            ("interface=eth[0-9]+$", "interface=^eth[0-9]+$"),
            ("interface=^eth0|ens3$", "interface=^(^eth0|ens3$)$"),
            ("interface=^(eth0|ens3)$", "interface=^(eth0|ens3)$"),
            ("interface=^eth0$|^ens3$", "interface=^eth0$|^ens3$"),
            (r"interface=^eth\$", r"interface=^eth\$$"),
            ("interface=eth0.100", "interface=^(eth0.100)$"),
            ("skip-interface=br-.*", "skip-interface=^(br-.*)$"),
            ("interface=", "interface=^$"),
            // What is not understood stays as it is.
            ("interface=a)|(b", "interface=a)|(b"),
            (r"interface=\Qeth\E", r"interface=\Qeth\E"),
            ("first-found", "first-found"),
            ("cidr=10.0.0.0/8", "cidr=10.0.0.0/8"),
        ] {
            assert_eq!(
                text.parse::<Method>().unwrap().anchored().to_string(),
                anchored
            );
        }
    }

    #[test]
    fn an_installation_says_the_same() {
        for (text, object) in [
            ("first-found", json!({"firstFound": true})),
            (
                "kubernetes-internal-ip",
                json!({"kubernetes": "NodeInternalIP"}),
            ),
            (
                "interface=^eth0$,^ens3$",
                json!({"interface": "^eth0$,^ens3$"}),
            ),
            ("skip-interface=br-.*", json!({"skipInterface": "br-.*"})),
            ("can-reach=8.8.8.8", json!({"canReach": "8.8.8.8"})),
            (
                "cidr=10.0.0.0/8,fd00::/8",
                json!({"cidrs": ["10.0.0.0/8", "fd00::/8"]}),
            ),
        ] {
            let method: Method = text.parse().unwrap();
            assert_eq!(method.to_installation(), object);
            assert_eq!(Method::from_installation(&object), Ok(method));
        }
        // An empty text would switch detection off.
        let all: Method = "interface=".parse().unwrap();
        assert_eq!(all.to_installation(), json!({"interface": ".*"}));
        // What is nulled or empty is not there.
        let object =
            json!({"firstFound": null, "interface": "", "cidrs": [], "canReach": "a.example"});
        assert_eq!(
            Method::from_installation(&object).unwrap().to_string(),
            "can-reach=a.example"
        );
        let object = json!({"firstFound": false, "kubernetes": "NodeInternalIP"});
        assert_eq!(
            Method::from_installation(&object),
            Ok(Method::KubernetesInternalIp)
        );
    }

    #[test]
    fn what_an_installation_must_not_say_is_refused() {
        let said: Vec<String> = [
            Value::Null,
            json!({}),
            json!({"firstFound": false}),
            json!({"firstFound": true, "kubernetes": "NodeInternalIP"}),
            json!({"kubernetes": "ExternalIP"}),
            json!({"firstFound": "yes"}),
            json!({"interface": 3}),
            json!({"cidrs": [1]}),
            json!({"cidrs": ["10.0.0.1"]}),
            json!({"last": true}),
            json!("first-found"),
        ]
        .iter()
        .map(|object| Method::from_installation(object).unwrap_err())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        it names no method, so that addresses are not detected
        it names no method, so that addresses are not detected
        it names no method, so that addresses are not detected
        it names 2 methods, and one is allowed: first-found and kubernetes-internal-ip
        `kubernetes` must be `NodeInternalIP`, and is "ExternalIP"
        `firstFound` cannot be "yes"
        `interface` must be a text, and is 3
        `cidrs` must be a list of texts
        `10.0.0.1` lacks the length of its prefix, as in `10.0.0.1/32`
        there is no method `last`
        "first-found" is no method
        "#);
    }

    #[test]
    fn older_versions_lack_methods() {
        let since = |text: &str| text.parse::<Method>().unwrap().since();
        assert_eq!(since("skip-interface=a"), None);
        let v = |minor| Some(Version { major: 3, minor });
        assert_eq!(since("cidr=10.0.0.0/8"), v(16));
        assert_eq!(since("kubernetes-internal-ip"), v(22));
    }
}
