//! Undoing faults: what differs from a healthy lab is put right, whoever changed it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::Lab;
use crate::bgp_wrong_ip::{BOOT_FILES, BRIDGE, CONTAINER, NIC};
use crate::breakage::Incident;
use crate::calico::{SELECTOR, items};
use crate::command;
use crate::error::{Error, Result};
use crate::machine::{NODES, Node, PODS_BRIDGE, TRACKED};
use crate::status::ready_condition;

/// The objects of Calico's manifests whose content decides how Calico runs.
const OBJECTS: &str = "daemonset/calico-node,deployment/calico-kube-controllers,configmap/calico-config,\
                       configmap/kubernetes-services-endpoint,secret/calico-etcd-secrets";

/// How often it is tried to log in to a node before it counts as shut; each try takes 10 s then.
const LOGINS: usize = 3;

impl Lab {
    /// Undoes whatever `break`, or a remedy for it, did.
    pub fn heal(&self) -> Result<()> {
        let _held = self.lock()?;
        self.need_up()?;
        let mut restored = self.bring_back_machines()?;
        let of_hosts = self
            .progress
            .part("hosts checked", || self.restore_hosts())?;
        restored.extend(of_hosts);
        for what in &restored {
            self.progress.say(what);
        }
        self.progress.part("nodes Ready", || {
            NODES.iter().try_for_each(|node| {
                let restarted = restored.iter().find_map(|line| {
                    line.strip_prefix(&format!("{}: kubelet restarted at ", node.name()))
                });
                self.wait_for_ready(*node, restarted.unwrap_or_default())
            })
        })?;
        let changed = self
            .progress
            .part("manifests checked", || self.restore_manifests())?;
        let had_ipv6 = self.forget_ipv6_addresses()?;
        let restart = self.nodes_to_restart()?;
        let before = self.calico_node_pods()?;
        if !restart.is_empty() {
            let names: Vec<String> = restart.iter().map(|node| node.name()).collect();
            self.progress.part(
                &format!("calico-node restarted on {}", names.join(", ")),
                || self.restart_calico_node(&restart),
            )?;
        }
        self.progress.part("addresses right", || {
            restart
                .iter()
                .try_for_each(|node| self.wait_for_right_address(*node))
        })?;
        self.progress
            .part("kube-controllers available", || self.wait_for_controllers())?;
        self.progress
            .part("calico-node Ready, mesh established", || {
                match self.wait_for_calico_node(&restart, &before, 180) {
                    // Whoever is stuck without anybody's having said so.
                    Err(Error::Late { .. }) => {
                        let before = self.calico_node_pods()?;
                        self.restart_calico_node(&NODES)?;
                        self.wait_for_calico_node(&NODES, &before, 300)
                    }
                    seen => seen,
                }
            })?;
        if had_ipv6 {
            // One that ended only now may have stored it once more.
            self.forget_ipv6_addresses()?;
        }
        match fs::remove_file(self.fault_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &self.fault_file())(error));
            }
            _ => {}
        }
        let nothing = restored.is_empty() && !changed && restart.is_empty();
        self.progress.say(if nothing {
            "healthy, nothing to do"
        } else {
            "healed"
        });
        Ok(())
    }

    /// Plugs all links in, and powers machines on that have none.
    fn bring_back_machines(&self) -> Result<Vec<String>> {
        if self.current_image().is_err() {
            // A lab without machines: what it says of them is right.
            self.need_machines()?;
        }
        let mut done = Vec::new();
        for node in NODES {
            let name = node.name();
            if !self.processes().is_running(&name) {
                self.progress.part(&format!("{name} powered on"), || {
                    self.start_machine(node)?;
                    let answer = format!("an answer of {name} over ssh");
                    self.until(&answer, 180, || self.boot_id(node))
                })?;
                done.push(format!("{name}: powered on"));
            } else if !self.network.is_plugged(node)? {
                self.network.plug(node, true)?;
                done.push(format!("{name}: link plugged in"));
            }
        }
        Ok(done)
    }

    /// Waits until a node is Ready, by what its kubelet said since then (in UTC, as the API writes it).
    pub(crate) fn wait_for_ready(&self, node: Node, since: &str) -> Result<()> {
        let name = node.name();
        self.until(&format!("Ready from {name}'s kubelet"), 180, || {
            let object = self.kubectl_json(&["get", "node", &name])?;
            let ready = ready_condition(&object);
            let of = |key: &str| ready?.get(key)?.as_str();
            let is_new = of("lastHeartbeatTime").is_some_and(|time| time >= since);
            Ok((of("status") == Some("True") && is_new).then_some(()))
        })
    }

    /// Waits until calico-node is Ready on all nodes, and on these in a pod that was not there `before`: one that is
    /// deleted without grace runs for a while still, and its sessions are taken for those of its successor. Then for
    /// the mesh.
    fn wait_for_calico_node(
        &self,
        restarted: &[Node],
        before: &[String],
        seconds: u64,
    ) -> Result<()> {
        self.until("Ready from calico-node's pods", seconds, || {
            let pods =
                self.kubectl_json(&["-n", self.calico_namespace(), "get", "pods", "-l", SELECTOR])?;
            let is_well = |node: &Node| {
                items(&pods).any(|pod| {
                    let of = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
                    let is_old = before.iter().any(|uid| of("/metadata/uid") == Some(uid));
                    let ready =
                        ready_condition(pod).and_then(|ready| ready.get("status")?.as_str());
                    of("/spec/nodeName") == Some(&node.name())
                        && of("/metadata/deletionTimestamp").is_none()
                        && ready == Some("True")
                        && !(is_old && restarted.contains(node))
                })
            };
            Ok(NODES.iter().all(is_well).then_some(()))
        })?;
        self.wait_for_mesh(seconds)
    }

    /// Remembers the objects as they are when freshly applied.
    pub(crate) fn remember_manifests(&self) -> Result<()> {
        let path = self.applied_file();
        // With the keys of Calico's etcd in it.
        crate::write_private(&path, &self.contents()?.to_string())
    }

    /// Puts the objects back to what was applied; says whether any of them had been changed.
    pub(crate) fn restore_manifests(&self) -> Result<bool> {
        let path = self.applied_file();
        let applied = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let applied: Value = serde_json::from_str(&applied).map_err(|error| Error::Unreadable {
            what: path.display().to_string(),
            answer: error.to_string(),
        })?;
        let left = self.leave_operator()?;
        if self.contents()? == applied {
            return Ok(left);
        }
        self.replace_manifests()?;
        Ok(true)
    }

    fn contents(&self) -> Result<Value> {
        let args = ["-n", self.calico_namespace(), "get", "--ignore-not-found"];
        let mut args = args.to_vec();
        args.extend(OBJECTS.split(',').map(str::trim));
        let list = self.kubectl_json(&args)?;
        let one = |object: &Value| {
            let of = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
            Value::Array(vec![
                of("/kind"),
                of("/metadata/name"),
                of("/spec"),
                of("/data"),
            ])
        };
        Ok(items(&list).map(one).collect())
    }

    /// Files, swap, the table of connections, the kubelet and links of each node, over one login.
    ///
    /// containerd takes an inotify instance for each container that it starts, and keeps some: after many pods, kubelet
    /// gets none any more. networkd keeps what it once read: a link of the same name made later would be given what a file said that
    /// is gone. The bridge of pods stays when they are gone, and `interface=.*` would pick it; what still ends is waited for.
    fn restore_hosts(&self) -> Result<Vec<String>> {
        let script = format!(
            "set -e; sysctl -qw fs.inotify.max_user_instances=4096; read_anew=; for link in {NIC} {BRIDGE}; do \
             if [ -e /sys/class/net/$link ]; then ip link delete $link; echo $link removed; fi; done; \
             if [ -e /run/netns/{CONTAINER} ]; then ip netns delete {CONTAINER}; fi; \
             for file in {BOOT_FILES}.netdev {BOOT_FILES}.network; do \
             if [ -e $file ]; then rm $file; read_anew=yes; echo $file removed; fi; done; \
             if [ $read_anew ]; then networkctl reload; fi; \
             tries=0; while ls /sys/class/net/{PODS_BRIDGE}/brif/* && [ $tries -lt 180 ]; do sleep 1; tries=$((tries + 1)); done \
             >/dev/null 2>&1; if [ -e /sys/class/net/{PODS_BRIDGE} ] && [ $tries -lt 180 ]; then \
             ip link delete {PODS_BRIDGE}; echo {PODS_BRIDGE} removed; fi; lab-heal {TRACKED}"
        );
        let restored = self.on_each(&NODES, |node| {
            let said = match self.run_if_let_in(node, &script)? {
                Some(said) => said,
                None => self.power_cycled(node, &script)?,
            };
            let on = |line: &str| format!("{}: {line}", node.name());
            Ok(said.lines().map(on).collect::<Vec<_>>())
        })?;
        Ok(restored.into_iter().flatten().collect())
    }

    /// What a script on a node prints; None if nobody can log in there.
    fn run_if_let_in(&self, node: Node, script: &str) -> Result<Option<String>> {
        for _ in 0..LOGINS {
            let output = self.ssh(node, script)?;
            // 255 is ssh's own failure.
            if output.status.code() != Some(255) {
                let doing = format!("healing {}", node.name());
                return command::checked(output, &doing).map(Some);
            }
        }
        Ok(None)
    }

    /// Runs a script on a node after its power was cut, which ends whatever kept everybody out.
    fn power_cycled(&self, node: Node, script: &str) -> Result<String> {
        self.power_cycle(node)?;
        let answer = format!("an answer of {} over ssh", node.name());
        self.until(&answer, 180, || self.boot_id(node))?;
        let said = self.ssh_text(node, script)?;
        Ok(format!("let nobody in, so its power was cut\n{said}"))
    }

    fn wrong_nodes(&self) -> Result<Vec<Node>> {
        let all = self.advertised()?.into_iter();
        Ok(all
            .filter(|(node, address)| address.as_deref() != Some(&format!("{}/24", node.address())))
            .map(|(n, _)| n)
            .collect())
    }

    /// Nodes with a wrong address, or whose calico-node was not made from the DaemonSet as it is now.
    fn nodes_to_restart(&self) -> Result<Vec<Node>> {
        let newest = self.newest_revision()?;
        let namespace = self.calico_namespace();
        let pods = self.kubectl_json(&["-n", namespace, "get", "pods", "-l", SELECTOR])?;
        let mut restart = self.wrong_nodes()?;
        for node in self.nodes_of_fault(Incident::CalicoStuck) {
            if !restart.contains(&node) {
                restart.push(node);
            }
        }
        for pod in items(&pods).filter(|pod| revision_hash(pod) != newest.as_deref()) {
            let on = pod
                .pointer("/spec/nodeName")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let node = NODES.into_iter().find(|node| node.name() == on);
            restart.extend(node.filter(|node| !restart.contains(node)));
        }
        Ok(restart)
    }

    /// The hash of the DaemonSet's newest revision, once its controller has seen the newest specification.
    pub(crate) fn newest_revision(&self) -> Result<Option<String>> {
        let namespace = self.calico_namespace();
        self.until("the controller's look at the DaemonSet", 60, || {
            let daemonset =
                self.kubectl_json(&["-n", namespace, "get", "daemonset", "calico-node"])?;
            if daemonset.pointer("/status/observedGeneration")
                != daemonset.pointer("/metadata/generation")
            {
                return Ok(None);
            }
            let revisions = self.kubectl_json(&[
                "-n",
                namespace,
                "get",
                "controllerrevisions",
                "-l",
                SELECTOR,
            ])?;
            let newest = items(&revisions)
                .max_by_key(|revision| revision.get("revision").and_then(Value::as_u64));
            Ok(Some(newest.and_then(revision_hash).map(str::to_owned)))
        })
    }

    fn applied_file(&self) -> PathBuf {
        self.run.join("applied.json")
    }
}

fn revision_hash(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/labels/controller-revision-hash")?
        .as_str()
}
