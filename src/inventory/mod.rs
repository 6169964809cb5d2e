//! How hosts are reached: which SSH destination stands for which node.

use crate::fault::{Fault, nearest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const API_VERSION: &str = "runbook.inventory/v1";

/// One host. What is left out is decided by OpenSSH's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Address or name to connect to; the host's name in the inventory if left out.
    pub address: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    /// The Kubernetes node that runs there, if its name is another.
    pub node: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: String,
    /// An OpenSSH client configuration, relative to the inventory.
    ssh_config: Option<PathBuf>,
    #[serde(default)]
    hosts: BTreeMap<String, Option<Host>>,
}

/// Where a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// What the host is called in messages.
    pub name: String,
    pub address: String,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// The hosts that are known, and how OpenSSH is configured for them.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: BTreeMap<String, Host>,
    ssh_config: Option<PathBuf>,
}

impl Inventory {
    /// Reads an inventory file.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Fault::input(
                "inventory_unreadable",
                format!("the inventory {} cannot be read: {e}", path.display()),
            )
            .next("give another with --inventory FILE, or set RUNBOOK_INVENTORY")
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Fault> {
        let wrong = |what: String| {
            Fault::input(
                "inventory_wrong",
                format!("the inventory {} is wrong: {what}", path.display()),
            )
            .next(format!(
                "its form is: apiVersion: {API_VERSION}, hosts: {{NAME: {{address, user, port, node}}}}"
            ))
        };
        let file: File = serde_yaml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if file.api_version != API_VERSION {
            return Err(wrong(format!(
                "apiVersion is `{}` and not `{API_VERSION}`",
                file.api_version
            )));
        }
        let hosts: BTreeMap<String, Host> = file
            .hosts
            .into_iter()
            .map(|(name, host)| (name, host.unwrap_or_default()))
            .collect();
        let mut owners = BTreeMap::new();
        for (name, host) in &hosts {
            let node = host.node.as_deref().unwrap_or(name);
            if let Some(other) = owners.insert(node, name) {
                return Err(wrong(format!(
                    "hosts `{other}` and `{name}` both stand for node `{node}`"
                )));
            }
            for (what, value) in [("address", &host.address), ("user", &host.user)] {
                if value.as_ref().is_some_and(|v| {
                    v.is_empty() || v.starts_with('-') || v.contains(char::is_whitespace)
                }) {
                    return Err(wrong(format!("`{what}` of host `{name}` is not a name")));
                }
            }
        }
        let ssh_config = file
            .ssh_config
            .map(|config| path.parent().unwrap_or(Path::new(".")).join(config));
        Ok(Self { hosts, ssh_config })
    }

    pub fn ssh_config(&self) -> Option<&Path> {
        self.ssh_config.as_deref()
    }

    /// The names of its hosts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Whether a host is in it. Without an inventory, any name may be one.
    pub fn knows(&self, name: &str) -> Result<(), Fault> {
        if self.hosts.is_empty() || self.hosts.contains_key(name) {
            return Ok(());
        }
        let fault = Fault::input(
            "unknown_host",
            format!("there is no host `{name}` in the inventory"),
        );
        let list = match self.hosts.len() {
            ..=12 => format!(
                "its hosts are {}",
                self.names().collect::<Vec<_>>().join(", ")
            ),
            many => format!("it has {many} hosts"),
        };
        Err(match nearest(name, self.names()) {
            Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
            None => fault.next(list),
        })
    }

    /// Whether a node's host is in it. Without an inventory, any name may be one.
    pub fn knows_node(&self, node: &str) -> Result<(), Fault> {
        let nodes = || {
            self.hosts
                .iter()
                .map(|(name, host)| host.node.as_deref().unwrap_or(name))
        };
        if self.hosts.is_empty() || nodes().any(|known| known == node) {
            return Ok(());
        }
        let fault = Fault::input(
            "unknown_node",
            format!(
                "there is no host of a node `{node}` in the inventory, and the API server does not answer"
            ),
        );
        Err(match nearest(node, nodes()) {
            Some(near) => fault.next(format!("did you mean `{near}`?")),
            None => fault,
        })
    }

    /// How a host is reached by its own name, or by that of the node that runs there. Without an inventory,
    /// any name may be one.
    pub fn named(&self, name: &str) -> Result<Destination, Fault> {
        let node = match self.hosts.get(name) {
            Some(host) => host.node.as_deref().unwrap_or(name),
            None => name,
        };
        if self.knows_node(node).is_err() {
            self.knows(name)?;
        }
        Ok(self.destination(node))
    }

    /// The node that a host is, by the host's name.
    pub fn node_of<'n>(&'n self, name: &'n str) -> &'n str {
        let host = self.hosts.get(name);
        host.and_then(|host| host.node.as_deref()).unwrap_or(name)
    }

    /// How the host of a node is reached. A node that is not in the inventory is reached by its own
    /// name, as OpenSSH's configuration resolves it.
    pub fn destination(&self, node: &str) -> Destination {
        let known = self
            .hosts
            .iter()
            .find(|(name, host)| host.node.as_deref().unwrap_or(name) == node);
        match known {
            Some((name, host)) => Destination {
                name: name.clone(),
                address: host.address.clone().unwrap_or_else(|| name.clone()),
                user: host.user.clone(),
                port: host.port,
            },
            None => Destination {
                name: node.to_owned(),
                address: node.to_owned(),
                user: None,
                port: None,
            },
        }
    }
}

/// The nodes that were asked for, among those of the cluster.
pub fn select(wanted: &[String], known: &[String]) -> Result<Vec<String>, Fault> {
    let mut selected = Vec::new();
    for name in wanted {
        if !known.contains(name) {
            let mut fault = Fault::input(
                "unknown_node",
                format!("there is no node `{name}` in this cluster"),
            );
            let list = match known {
                [] => "it has none".to_owned(),
                known if known.len() <= 12 => format!("its nodes are {}", known.join(", ")),
                known => format!("it has {} nodes", known.len()),
            };
            fault = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => fault.next(format!("did you mean `{near}`? {list}")),
                None => fault.next(list),
            };
            return Err(fault);
        }
        if !selected.contains(name) {
            selected.push(name.clone());
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Inventory, Fault> {
        Inventory::parse(text, Path::new("dir/hosts.yaml"))
    }

    #[test]
    fn a_host_is_found_by_its_node() {
        let inventory = parse(
            "apiVersion: runbook.inventory/v1\nssh_config: conf\nhosts:\n  a: {address: 10.0.0.1, user: ops, port: 2222, node: node-a}\n  b:\n",
        )
        .unwrap();
        assert_eq!(inventory.ssh_config(), Some(Path::new("dir/conf")));
        assert_eq!(
            inventory.destination("node-a"),
            Destination {
                name: "a".into(),
                address: "10.0.0.1".into(),
                user: Some("ops".into()),
                port: Some(2222)
            }
        );
        assert_eq!(inventory.destination("b").address, "b");
        // `a` is the host of node-a, so a node called `a` is another one.
        assert_eq!(inventory.destination("a").address, "a");
        assert_eq!(inventory.destination("elsewhere").address, "elsewhere");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| parse(text).unwrap_err().message;
        insta::assert_snapshot!(wrong("apiVersion: v2\n"), @"the inventory dir/hosts.yaml is wrong: apiVersion is `v2` and not `runbook.inventory/v1`");
        insta::assert_snapshot!(wrong("apiVersion: runbook.inventory/v1\nhosts: {a: {adress: x}}\n"), @"the inventory dir/hosts.yaml is wrong: hosts.a: unknown field `adress`, expected one of `address`, `user`, `port`, `node` at line 2 column 13");
        insta::assert_snapshot!(wrong("apiVersion: runbook.inventory/v1\nhosts: {a: {node: x}, x: }\n"), @"the inventory dir/hosts.yaml is wrong: hosts `a` and `x` both stand for node `x`");
        insta::assert_snapshot!(wrong("apiVersion: runbook.inventory/v1\nhosts: {a: {address: -oProxyCommand=x}}\n"), @"the inventory dir/hosts.yaml is wrong: `address` of host `a` is not a name");
    }

    #[test]
    fn a_host_that_is_not_in_the_inventory_is_an_error_with_a_suggestion() {
        let inventory =
            parse("apiVersion: runbook.inventory/v1\nhosts: {db01: , db02: }\n").unwrap();
        assert_eq!(inventory.knows("db02"), Ok(()));
        let fault = inventory.knows("db2").unwrap_err();
        let next = "did you mean `db02`? its hosts are db01, db02";
        assert_eq!(fault.next.as_deref(), Some(next));
        assert_eq!(Inventory::default().knows("anything"), Ok(()));
    }

    #[test]
    fn a_host_is_named_by_its_own_name_or_its_nodes() {
        let inventory = parse(
            "apiVersion: runbook.inventory/v1\nhosts: {a: {address: 10.0.0.1, node: node-a}, b: }\n",
        )
        .unwrap();
        for (name, address) in [("a", "10.0.0.1"), ("node-a", "10.0.0.1"), ("b", "b")] {
            assert_eq!(inventory.named(name).unwrap().address, address, "{name}");
        }
        assert_eq!(inventory.named("c").unwrap_err().code, "unknown_host");
        assert_eq!(Inventory::default().named("c").unwrap().address, "c");
    }

    #[test]
    fn nodes_are_selected_once_each() {
        let known = ["node01".to_owned(), "node02".to_owned()];
        let select = |wanted: &[&str]| {
            super::select(
                &wanted.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(),
                &known,
            )
        };
        assert_eq!(
            select(&["node02", "node01", "node02"]).unwrap(),
            ["node02", "node01"]
        );
        let fault = select(&["node2"]).unwrap_err();
        assert_eq!(fault.message, "there is no node `node2` in this cluster");
        assert_eq!(
            fault.next.as_deref(),
            Some("did you mean `node02`? its nodes are node01, node02")
        );
    }
}
