//! The types of parameters, and what is a value of each.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

/// What a parameter's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// `90s`, `5m`, `1h30m`.
    Duration,
    /// An address of IPv4 or IPv6.
    Ip,
    /// An address with the length of its prefix: `10.0.0.0/24`.
    Cidr,
    /// The name of a node of the cluster.
    Node,
    /// The name of a host of the inventory.
    Host,
    /// One of `values`.
    Enum,
    /// Any number of `items`.
    List,
    /// Text that is never shown nor kept. It is not taken from the command line.
    Secret,
}

impl ParamType {
    /// What runbooks call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::Ip => "ip",
            Self::Cidr => "cidr",
            Self::Node => "node",
            Self::Host => "host",
            Self::Enum => "enum",
            Self::List => "list",
            Self::Secret => "secret",
        }
    }

    /// One of them, and several.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::String => ("a string", "strings"),
            Self::Int => ("a whole number", "whole numbers"),
            Self::Bool => ("true or false", "true or false"),
            Self::Duration => (
                "a duration such as 90s, 5m or 1h30m",
                "durations such as 90s, 5m or 1h30m",
            ),
            Self::Ip => (
                "an IP address such as 192.0.2.7",
                "IP addresses such as 192.0.2.7",
            ),
            Self::Cidr => (
                "a network such as 10.0.0.0/24",
                "networks such as 10.0.0.0/24",
            ),
            Self::Node => ("the name of a node", "names of nodes"),
            Self::Host => ("the name of a host", "names of hosts"),
            Self::Enum => ("one of", "any of"),
            Self::List => ("a list", "lists"),
            Self::Secret => ("a secret", "secrets"),
        }
    }

    /// Whether a list may have items of it.
    pub(super) fn is_scalar(self) -> bool {
        !matches!(self, Self::List | Self::Secret)
    }

    /// Whether `pattern` can be said of it.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Secret)
    }

    /// Reads text as the value that it stands for; what it cannot be stays text, and fits nowhere.
    pub(super) fn value(self, text: &str) -> Value {
        let plain = || Value::from(text);
        match self {
            Self::Int => text.parse::<i64>().map_or_else(|_| plain(), Value::from),
            Self::Bool => text.parse::<bool>().map_or_else(|_| plain(), Value::from),
            _ => plain(),
        }
    }

    /// Whether a value is of the type, as far as the type alone tells.
    pub(super) fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String | Self::Enum | Self::Secret, Value::String(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::List, Value::Array(_)) => true,
            (Self::Int, Value::Number(number)) => number.is_i64(),
            (Self::Duration, Value::String(text)) => parse_duration(text).is_some(),
            (Self::Ip, Value::String(text)) => text.parse::<IpAddr>().is_ok(),
            (Self::Cidr, Value::String(text)) => is_cidr(text),
            (Self::Node | Self::Host, Value::String(text)) => is_name(text),
            _ => false,
        }
    }
}

/// A duration of more than nothing, as people write it.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    parse_time(text).filter(|duration| !duration.is_zero())
}

/// A hundred years: what is longer is a slip, and no clock goes so far.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);

/// A duration such as `90s`, or none, as `0s`.
pub fn parse_time(text: &str) -> Option<std::time::Duration> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    let duration = std::time::Duration::try_from(duration).ok()?;
    (duration <= LONGEST).then_some(duration)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.bytes().all(|b| b.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|n| n <= most)
}

/// The form that names of nodes and hosts have.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn no_duration_is_longer_than_a_clock_goes() {
        assert_eq!(parse_time("876000h"), Some(LONGEST));
        assert_eq!(parse_time("876001h"), None);
        assert_eq!(parse_time("9223372036854775807s"), None);
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(parse_duration("65s"), Some(Duration::from_secs(65)));
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        for bad in ["", "0s", "-5s", "5", "s", "5 parsecs"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_of_a_type_and_what_is_not() {
        for (kind, good, bad) in [
            (
                ParamType::Int,
                &["0", "-7"][..],
                &["", "1.5", "x", "9223372036854775808"][..],
            ),
            (ParamType::Bool, &["true", "false"], &["yes", "1", "True"]),
            (
                ParamType::Ip,
                &["192.0.2.7", "2001:db8::7"],
                &["192.0.2.7/24", "300.1.1.1", "node01"],
            ),
            (
                ParamType::Cidr,
                &["10.0.0.0/24", "0.0.0.0/0", "2001:db8::/128"],
                &[
                    "10.0.0.0",
                    "10.0.0.0/33",
                    "10.0.0.0/+8",
                    "10.0.0.0/",
                    "x/8",
                    "2001:db8::/129",
                ],
            ),
            (
                ParamType::Node,
                &["node-01.example"],
                &["", "-oProxyCommand=x", "a b", "a/b"],
            ),
            (ParamType::Duration, &["5m"], &["5", "soon"]),
        ] {
            for text in good {
                assert!(kind.is(&kind.value(text)), "{} {text}", kind.word());
            }
            for text in bad {
                assert!(!kind.is(&kind.value(text)), "{} {text}", kind.word());
            }
        }
    }
}
