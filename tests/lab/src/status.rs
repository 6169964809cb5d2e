//! What runs, since when, and whether it is well.

use std::fmt::Write as _;

use serde_json::Value;

use crate::Lab;
use crate::calico::{Family, items};
use crate::control_plane::{CALICO_ETCD, PROCESSES};
use crate::datastore::Datastore;
use crate::error::Result;
use crate::kwok::KWOK;
use crate::machine::NODES;

impl Lab {
    /// The end of `up`: how to use it.
    pub fn usage(&self) -> String {
        let lab = "cargo run -q -p lab --";
        let mut text = String::from("\n");
        for (command, what) in [
            ("status", "what runs and whether it is well"),
            (
                "kubectl get nodes",
                "any kubectl command; calicoctl likewise",
            ),
            (
                "ssh node02",
                "root on a node; add a command to run just that",
            ),
            (
                "exec -- PROGRAM",
                "any program inside the lab's network, with KUBECONFIG and RUNBOOK_INVENTORY set",
            ),
            (
                "break bgp-wrong-ip --node node02",
                "a real fault; `heal` undoes it",
            ),
            ("reset [NODE]", "fresh overlays, clean cluster objects"),
            ("down", "end and remove everything"),
        ] {
            let _ = writeln!(text, "  {lab} {command:<34} {what}");
        }
        let _ = writeln!(text, "  files for tests: {}", self.dir().display());
        text
    }

    pub fn status(&self) -> Result<String> {
        let processes = self.processes();
        let age = |name: &str| {
            processes
                .age(name)
                .map_or_else(|| "not running".into(), since)
        };
        let mut text = format!(
            "lab in {}, network namespace {}\n",
            self.dir().display(),
            self.netns()
        );
        if self.need_up().is_err() {
            text += "not up; `cargo run -p lab -- up` brings it up\n";
            return Ok(text);
        }
        let own_etcd = (self.datastore() == Datastore::Etcd).then_some(CALICO_ETCD);
        for name in PROCESSES.iter().copied().chain(own_etcd) {
            let _ = writeln!(text, "{name:<24} {}", age(name));
        }
        let objects = self.kubectl_json(&["get", "nodes"])?;
        if self.is_fake() {
            let _ = writeln!(text, "{KWOK:<24} {}", age(KWOK));
            let all: Vec<_> = items(&objects).collect();
            let ready = all
                .iter()
                .filter(|node| ready_status(node) == Some("True"))
                .count();
            let _ = writeln!(
                text,
                "{:<24} {}, {ready} of them Ready",
                "fake nodes",
                all.len()
            );
            return Ok(text);
        }
        let advertised = self.advertised()?;
        let running: Vec<_> = NODES
            .into_iter()
            .filter(|node| processes.is_running(&node.name()))
            .collect();
        // One that does not answer is no reason to be silent about the others.
        let peers = self.on_each(&running, |node| Ok((node, self.peers(node).ok())))?;
        for node in NODES {
            let name = node.name();
            let ready = items(&objects).find(|object| {
                object.pointer("/metadata/name").and_then(Value::as_str) == Some(&name)
            });
            let ready = match ready.and_then(ready_status) {
                Some("True") => "Ready",
                Some(_) => "NotReady",
                None => "not joined",
            };
            let address = advertised
                .iter()
                .find(|(other, _)| *other == node)
                .and_then(|(_, address)| address.clone());
            let mesh = match peers.iter().find(|(other, _)| *other == node) {
                Some((_, Some(peers))) => {
                    let up = |family: Family| {
                        let up = peers.iter().filter(|peer| peer.is_established());
                        up.filter(|peer| Family::of(&peer.address) == family)
                            .count()
                    };
                    let all = NODES.len() - 1;
                    let mut mesh = format!("mesh {} of {all}", up(Family::V4));
                    if peers
                        .iter()
                        .any(|peer| Family::of(&peer.address) == Family::V6)
                    {
                        let _ = write!(mesh, ", IPv6 {} of {all}", up(Family::V6));
                    }
                    mesh
                }
                _ => "mesh unknown".into(),
            };
            let address = address.unwrap_or_else(|| "no address".into());
            let _ = writeln!(
                text,
                "{name:<24} {:<14} {ready:<10} {address:<16} {mesh}",
                age(&name)
            );
        }
        let _ = writeln!(
            text,
            "fault                    {}",
            self.fault().unwrap_or_else(|| "none".into())
        );
        Ok(text)
    }
}

pub(crate) fn ready_condition(node: &Value) -> Option<&Value> {
    let conditions = node.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
}

/// Whether its kubelet, or the lack of one, says Ready.
pub(crate) fn ready_status(node: &Value) -> Option<&str> {
    ready_condition(node)?.get("status")?.as_str()
}

fn since(seconds: u64) -> String {
    match seconds {
        0..60 => format!("since {seconds} s"),
        60..7200 => format!("since {} min", seconds / 60),
        _ => format!("since {} h", seconds / 3600),
    }
}
