//! What one test needs: a node without a machine, pods on it in a namespace of their own, and the
//! program with the proxy before the API server.

use crate::api::Api;
use crate::pods;
use crate::program::{Program, Ran, expect, finish, wait_until};
use crate::proxy::Proxy;
use crate::request::{About, Asked};
use crate::rule::What;
use lab::Lab;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;

pub struct Scene<'l> {
    pub lab: &'l Lab,
    pub api: Api,
    pub proxy: Proxy,
    pub program: Program<'l>,
    pub node: String,
    pub namespace: String,
    pub keeper: String,
    /// What the program said at last.
    last: RefCell<String>,
}

impl<'l> Scene<'l> {
    /// Runs a test with a node of this name, and takes everything away after it.
    pub fn with(
        lab: &'l Lab,
        node: &str,
        test: impl FnOnce(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let scene = Self::new(lab, node)?;
        let tested = test(&scene).map_err(|e| scene.explained(&e));
        let cleaned = scene.clean();
        tested.and(cleaned)
    }

    fn new(lab: &'l Lab, node: &str) -> Result<Self, String> {
        let api = Api::of(lab)?;
        let program = Program::new(lab)?;
        let proxy = Proxy::start(lab, &api, &program.path())?;
        // A namespace takes its time to go: another one each time.
        let namespace = format!("{node}{}", jiff::Timestamp::now().as_millisecond());
        api.make_node(node)?;
        api.make_namespace(&namespace)?;
        let keeper =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keeper"}});
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let keeper = api.call("POST", &path, keeper)?["metadata"]["uid"].clone();
        Ok(Self {
            lab,
            api,
            proxy,
            program,
            node: node.to_owned(),
            namespace,
            keeper: keeper.as_str().unwrap_or_default().to_owned(),
            last: RefCell::default(),
        })
    }

    /// An error with what the program said at last, and what it asked for.
    fn explained(&self, error: &str) -> String {
        let mut text = error.to_owned();
        if !error.contains("--- stderr") {
            text += &self.last.borrow();
        }
        text += "--- requests about pods\n";
        let first = self.proxy.asked().first().map(|asked| asked.at);
        for asked in self.proxy.asked() {
            if let Some(first) = first.filter(|_| asked.about != About::Other) {
                let after = asked.at.duration_since(first).as_millis();
                let (method, path, query) = (&asked.method, &asked.path, &asked.query);
                text += &format!("{after:>6} ms  {method} {path}?{query} {}\n", asked.body);
            }
        }
        text
    }

    fn clean(&self) -> Result<(), String> {
        let name = &self.namespace;
        self.api.empty(&self.path("pods"))?;
        self.api
            .call("DELETE", &format!("/api/v1/namespaces/{name}"), Value::Null)?;
        self.api
            .call(
                "DELETE",
                &format!("/api/v1/nodes/{}", self.node),
                Value::Null,
            )
            .map(drop)
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Pods on the node that are well.
    pub fn pods(&self, names: &[&str]) -> Result<(), String> {
        let make = |name: &&str| {
            let pod = pods::kept(&self.namespace, name, &self.node, &self.keeper);
            ("POST", self.path("pods"), pod)
        };
        let well = |name: &&str| {
            (
                "PATCH",
                self.path(&format!("pods/{name}/status")),
                pods::ready(),
            )
        };
        self.api.all(names.iter().map(make).collect())?;
        self.api.all(names.iter().map(well).collect())
    }

    /// A budget for pods that are well, once it has been counted for.
    pub fn budget(&self, name: &str, at_least: u32, has: u32) -> Result<(), String> {
        self.make_budget(name, at_least)?;
        let path = format!("{}/{name}", self.budgets());
        wait_until(180, &format!("a count for {name}"), || {
            Ok(self.api.get(&path)?["status"]["currentHealthy"] == has)
        })
    }

    pub fn make_budget(&self, name: &str, at_least: u32) -> Result<(), String> {
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"minAvailable": at_least, "selector": {"matchLabels": {"app": "web"}}}});
        self.api.call("POST", &self.budgets(), budget).map(drop)
    }

    pub fn forget_budget(&self, name: &str) -> Result<(), String> {
        let path = format!("{}/{name}", self.budgets());
        self.api.call("DELETE", &path, json!({})).map(drop)
    }

    fn budgets(&self) -> String {
        let namespace = &self.namespace;
        format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
    }

    pub fn eviction_of(&self, pod: &str) -> What {
        What::EvictionOf(self.full(pod))
    }

    /// `NAMESPACE/NAME`.
    pub fn full(&self, pod: &str) -> String {
        format!("{}/{pod}", self.namespace)
    }

    pub fn uid(&self, pod: &str) -> Result<String, String> {
        let pod = self.api.get(&self.path(&format!("pods/{pod}")))?;
        Ok(pod["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Drains the node, through the proxy.
    pub fn drain(&self, params: &[&str]) -> Result<Ran, String> {
        self.apply(&["drain-node", "--node", &self.node], params)
    }

    /// The same, confirmed as a high risk.
    pub fn drain_confirmed(&self, params: &[&str]) -> Result<Ran, String> {
        let confirmed = ["drain-node", "--node", &self.node, "--confirm", &self.node];
        self.apply(&confirmed, params)
    }

    /// Deletes pods of the namespace, through the proxy.
    pub fn delete_pods(&self, params: &[&str]) -> Result<Ran, String> {
        let namespace = format!("namespace={}", self.namespace);
        self.apply(&["delete-pods"], &[&[namespace.as_str()], params].concat())
    }

    /// Drains the node until it says this, and kills it then. Gives the run.
    pub fn drain_killed_at(&self, words: &str) -> Result<String, String> {
        let node = ["drain-node", "--node", &self.node];
        self.applying(&node, &[], |args| {
            self.program.kill_when_it_says(args, words)?;
            self.program.latest()
        })
    }

    /// Drains the node in a way of the test's own.
    pub fn drain_with(
        &self,
        run: impl FnOnce(&[&str]) -> Result<Ran, String>,
    ) -> Result<Ran, String> {
        self.applying(&["drain-node", "--node", &self.node], &[], run)
    }

    fn apply(&self, runbook: &[&str], params: &[&str]) -> Result<Ran, String> {
        let ran = self.applying(runbook, params, |args| self.program.run(args))?;
        let (code, out, err) = (ran.code, &ran.stdout, &ran.stderr);
        let said = format!("\nit exited with {code}\n--- stdout\n{out}--- stderr\n{err}");
        self.last.replace(said);
        Ok(ran)
    }

    fn applying<T>(
        &self,
        runbook: &[&str],
        params: &[&str],
        run: impl FnOnce(&[&str]) -> Result<T, String>,
    ) -> Result<T, String> {
        let kubeconfig = self.proxy.kubeconfig();
        let mut args = [&["apply", "--yes", "--kubeconfig", &kubeconfig], runbook].concat();
        let mut all = vec!["grace_period=0s", "ready_within=0s", "within=1m"];
        // What a test says of its own is what counts.
        for param in params {
            let name = param.split('=').next().unwrap_or_default();
            all.retain(|other| other.split('=').next() != Some(name));
            all.push(param);
        }
        args.extend(all.iter().flat_map(|param| ["--param", *param]));
        run(&args)
    }

    /// kubectl, through the proxy.
    pub fn kubectl(&self, args: &[&str]) -> Result<Ran, String> {
        let mut command = self.lab.command("kubectl");
        let kubeconfig = self.proxy.kubeconfig();
        finish(command.args(["--kubeconfig", &kubeconfig]).args(args))
    }

    /// The evictions of a pod that were asked for.
    pub fn evictions(&self, pod: &str) -> Vec<Asked> {
        let mut asked = self.proxy.asked();
        asked.retain(|asked| asked.evicts(&self.full(pod)));
        asked
    }

    /// Holds that these pods are there, and no other.
    pub fn left(&self, names: &[&str]) -> Result<(), String> {
        let pods = self.api.get(&self.path("pods"))?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let found: BTreeSet<&str> = pods
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str())
            .collect();
        expect(
            "the pods that are left",
            &found,
            &names.iter().copied().collect(),
        )
    }

    pub fn cordoned(&self) -> Result<bool, String> {
        let node = self.api.get(&format!("/api/v1/nodes/{}", self.node))?;
        Ok(node["spec"]["unschedulable"] == true)
    }

    /// Holds that the journal tells what was done, and how it ended.
    pub fn told(&self, ran: &Ran, pods: &[&str]) -> Result<(), String> {
        let run = ran.run()?;
        self.program
            .run(&["history", "show", &run])?
            .exits(0)?
            .says(pods)?;
        let list = self.program.run(&["history"])?.exits(0)?.stdout;
        let line = list.lines().find(|line| line.contains(&run));
        let done = line.is_some_and(|line| line.contains(": done"));
        expect(
            "whether the list of runs says done",
            &done,
            &(ran.code == 0),
        )
    }
}
