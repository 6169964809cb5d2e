//! What a host knows of Calico: its links and sessions, its calicoctl, and Calico's own datastore.

use super::script::{Said, Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::HostRef;
use std::net::IpAddr;
use std::time::Duration;

const HOST: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/calico_host.sh")
);
const STORE: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/calico_store.sh")
);
const VERSION: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/calico_version.sh")
);

const ROUTE: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/route_source.sh")
);

/// What a host has that the mesh rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalicoHost {
    /// As `ip -json -details address show` prints it.
    pub links: String,
    /// As `calicoctl node status` prints it; `None` where there is no calicoctl.
    pub sessions: Option<String>,
}

/// What Calico's own datastore has, as calicoctl prints it in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalicoStore {
    pub nodes: String,
    pub peers: String,
    pub configurations: String,
}

/// The calicoctl of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calicoctl {
    pub path: String,
    /// As it names it, such as `v3.31.0`; empty where it names none.
    pub version: String,
    /// Its configuration file, where there is one.
    pub config: Option<String>,
    /// The datastore that it is set up for; empty where that cannot be told.
    pub stores: String,
}

fn text(said: &Said, word: &str) -> Option<String> {
    let named = |line: &str| line.split(' ').next() == Some(word);
    let (_, body) = said.parts.iter().find(|(line, _)| named(line))?;
    Some(String::from_utf8_lossy(body).into_owned())
}

impl Hosts {
    /// The links and the BGP sessions of a host.
    pub async fn read_calico_host(
        &self,
        host: &Destination,
        of: &HostRef,
    ) -> Result<CalicoHost, Fault> {
        let script = Script::new(HOST, &[]);
        let said = self.ask(host, of, &script).await?;
        match (said.word.as_str(), text(&said, "links")) {
            ("read", Some(links)) => Ok(CalicoHost {
                links,
                sessions: text(&said, "calicoctl"),
            }),
            _ => Err(refusal(host, of, "the mesh", &said)),
        }
    }

    /// Calico's nodes and how they peer, by the calicoctl of a host.
    ///
    /// # Errors
    /// Where calicoctl is not there, works on another store, or fails: then with what each endpoint of
    /// etcd says of itself.
    pub async fn read_calico_store(
        &self,
        host: &Destination,
        of: &HostRef,
        endpoints: &str,
    ) -> Result<CalicoStore, Fault> {
        let args = [endpoints];
        let mut script = Script::new(STORE, &args);
        script.limit += Duration::from_secs(30);
        let said = self.ask(host, of, &script).await?;
        let name = &host.name;
        match said.word.as_str() {
            "read" => {
                let part = |word: &str| text(&said, word).unwrap_or_default();
                Ok(CalicoStore {
                    nodes: part("nodes"),
                    peers: part("bgppeers"),
                    configurations: part("bgpconfigurations"),
                })
            }
            "unread" => {
                let why = text(&said, "said").unwrap_or_default();
                let fault = Fault::refused(
                    "calico_store",
                    format!(
                        "Calico's datastore cannot be read by calicoctl on {name}: {}",
                        why.trim()
                    ),
                )
                .list(endpoints_of(&said));
                Err(match why.to_lowercase().contains("version mismatch") {
                    true => fault.next(format!(
                        "put calicoctl of Calico's own version there: runbook apply install-calicoctl --node {}",
                        of.node
                    )),
                    false => fault.next("look at etcd, and at /etc/calico/calicoctl.cfg there"),
                })
            }
            "tools" if said.rest.trim() == "calicoctl" => Err(no_calicoctl(name, &of.node)),
            "failed" => Err(Fault::refused(
                "calico_store",
                format!("Calico's datastore cannot be read on {name}: {}", said.rest),
            )
            .next("set calicoctl up there for Calico's etcd: /etc/calico/calicoctl.cfg")),
            _ => Err(refusal(host, of, "Calico's datastore", &said)),
        }
    }

    /// The address by which a host reaches another one, as it prints it; `None`: it has no way there.
    pub async fn route_source(
        &self,
        host: &Destination,
        of: &HostRef,
        to: IpAddr,
    ) -> Result<Option<String>, Fault> {
        let to = to.to_string();
        let said = self.ask(host, of, &Script::new(ROUTE, &[&to])).await?;
        match said.word.as_str() {
            "from" => Ok(Some(said.rest)),
            "none" => Ok(None),
            _ => Err(refusal(host, of, &format!("the way to {to}"), &said)),
        }
    }

    /// The calicoctl of a host; `None`: it has none.
    pub async fn read_calicoctl(
        &self,
        host: &Destination,
        of: &HostRef,
    ) -> Result<Option<Calicoctl>, Fault> {
        let said = self.ask(host, of, &Script::new(VERSION, &[])).await?;
        match (said.word.as_str(), said.part("calicoctl")) {
            ("absent", _) => Ok(None),
            ("read", Some(path)) => {
                let line = |word: &str| text(&said, word).unwrap_or_default().trim().to_owned();
                Ok(Some(Calicoctl {
                    path: path.to_owned(),
                    version: line("calicoctl"),
                    config: said
                        .part("config")
                        .filter(|config| *config != "none")
                        .map(str::to_owned),
                    stores: line("config"),
                }))
            }
            _ => Err(refusal(host, of, "calicoctl", &said)),
        }
    }
}

/// The fault of a host without calicoctl.
pub fn no_calicoctl(host: &str, node: &str) -> Fault {
    Fault::refused(
        "no_calicoctl",
        format!("calicoctl is not on {host}, and without it Calico there cannot be looked at"),
    )
    .next(format!(
        "put calicoctl of Calico's own version there: runbook apply install-calicoctl --node {node}"
    ))
}

/// What each endpoint of etcd says of itself, one a line.
fn endpoints_of(said: &Said) -> Vec<String> {
    let endpoint = |(line, body): &(String, Vec<u8>)| {
        let endpoint = line.strip_prefix("endpoint ")?;
        let health = String::from_utf8_lossy(body);
        Some(format!("{endpoint}: {}", health.trim()))
    };
    said.parts.iter().filter_map(endpoint).collect()
}
