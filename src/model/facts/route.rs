//! Routes of the main table, as `ip -o route` prints them (iproute2 6.1, busybox 1.35).

use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// A network such as `10.0.0.0/24`, an address, or `default`.
    pub to: String,
    /// `unicast`, `blackhole`, `unreachable`, `prohibit`, …
    pub kind: String,
    /// The gateway; null where there is none.
    pub via: Option<String>,
    /// The interface; null where there is none.
    pub dev: Option<String>,
    /// The address that packets get as their source; null where none is said.
    pub src: Option<String>,
    /// Who put it there, such as `kernel`, `dhcp` or `bird`; null where none is said.
    pub proto: Option<String>,
    /// The lower counts; 0 where none is said.
    pub metric: u32,
}

/// Where packets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Routes {
    /// The default route of IPv4 that counts.
    pub default_v4: Fact<Route>,
    /// The default route of IPv6 that counts.
    pub default_v6: Fact<Route>,
    /// The main table of IPv4. Of a route with several next hops, the first stands here.
    pub v4: Fact<Vec<Route>>,
    /// The main table of IPv6.
    pub v6: Fact<Vec<Route>>,
}

impl Routes {
    pub(super) fn new(parts: &Parts) -> Self {
        let of = |name: &str| {
            parts.text(name).and_then(|text| {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                let read = |line: &str| route(line).ok_or_else(|| line.to_owned());
                match lines.map(read).collect::<Result<Vec<_>, _>>() {
                    Ok(routes) => Fact::Is(routes),
                    Err(line) => Fact::Unknown(format!("this route cannot be read: {line}")),
                }
            })
        };
        let (v4, v6) = (of("routes_v4"), of("routes_v6"));
        Self {
            default_v4: default(&v4, "IPv4"),
            default_v6: default(&v6, "IPv6"),
            v4,
            v6,
        }
    }
}

fn default(routes: &Fact<Vec<Route>>, family: &str) -> Fact<Route> {
    routes.as_ref().and_then(|routes| {
        let defaults = routes.iter().filter(|route| route.to == "default");
        match defaults.min_by_key(|route| route.metric) {
            Some(route) => Fact::Is(route.clone()),
            None => Fact::not_applicable(format!("there is no default route of {family}")),
        }
    })
}

/// Kinds that stand before the destination.
const KINDS: &[&str] = &[
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "anycast",
    "throw",
    "unreachable",
    "prohibit",
    "blackhole",
    "nat",
];

fn route(line: &str) -> Option<Route> {
    let mut words = line
        .split_whitespace()
        .filter(|word| *word != "\\")
        .peekable();
    let kind = words.next_if(|word| KINDS.contains(word));
    let mut route = Route {
        to: words.next()?.to_owned(),
        kind: kind.unwrap_or("unicast").to_owned(),
        via: None,
        dev: None,
        src: None,
        proto: None,
        metric: 0,
    };
    while let Some(word) = words.next() {
        let slot = match word.trim_start_matches('\\') {
            "via" => &mut route.via,
            "dev" => &mut route.dev,
            "src" => &mut route.src,
            "proto" => &mut route.proto,
            "metric" => {
                route.metric = words.next()?.parse().ok()?;
                continue;
            }
            _ => continue,
        };
        // A gateway of the other family has that before it.
        let value = match words.next()? {
            "inet" | "inet6" => words.next()?,
            value => value,
        };
        if slot.is_none() {
            *slot = Some(value.to_owned());
        }
    }
    Some(route)
}
