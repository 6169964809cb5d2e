//! The rights of a runbook, as a manifest that `kubectl apply -f -` takes.

use super::text::{clean, filled};
use crate::actions::Purpose;
use crate::model::Verb;
use crate::plan::{Grant, Rights, Why};
use std::collections::{BTreeMap, BTreeSet};

/// Whom the rights are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    ServiceAccount { namespace: String, name: String },
    User(String),
    Group(String),
}

const API: &str = "rbac.authorization.k8s.io";
/// Of comments: a manifest is read in an editor as well.
const WIDTH: usize = 110;

/// What a rule is about: group, resource, and the object's name.
type About = (String, String, Option<String>);

/// What a rule gives: each verb, and what for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rule {
    verbs: BTreeMap<Verb, BTreeSet<Why>>,
    templates: BTreeSet<String>,
    wide: BTreeSet<&'static str>,
    /// The namespace that the runbook makes itself, so that no Role can be in it before.
    made: BTreeSet<String>,
}

/// A manifest of the roles, and of what binds them to `subject`; without one, comments say how.
pub fn render_rbac(rights: &Rights, subject: Option<&Subject>) -> String {
    let name = format!("runbook-{}", rights.runbook);
    let mut out = head(&rights.runbook);
    if rights.grants.iter().any(is_of_calico_node) {
        out.push_str(OF_OPERATOR);
    }
    let roles = roles(rights);
    for (namespace, rules) in &roles {
        role(&mut out, &name, namespace.as_deref(), rules);
    }
    match subject {
        Some(subject) => {
            for namespace in roles.keys() {
                binding(&mut out, &name, namespace.as_deref(), subject);
            }
        }
        None => by_hand(&mut out, &name, roles.keys()),
    }
    out
}

/// The place of calico-node is known only in the cluster, and a Role needs its namespace to be there.
const OF_OPERATOR: &str = "# Where Calico's operator installs it: the same in calico-system as here in kube-system, and get and patch of\n\
     # installations.operator.tigera.io `default`.\n";

fn is_of_calico_node(grant: &Grant) -> bool {
    let of = (grant.right.resource.as_str(), grant.right.name.as_deref());
    of == ("daemonsets", Some("calico-node"))
}

fn head(runbook: &str) -> String {
    format!(
        "# What the runbook {runbook} needs in the cluster, to be planned, applied, verified, resumed and undone,\n\
         # computed from its steps; nothing else.\n\
         # What the API serves, and what one may do oneself, everybody who is known to it may ask (by Kubernetes'\n\
         # own roles system:discovery and system:basic-user).\n"
    )
}

/// The rules of each role; `None`: of the ClusterRole.
fn roles(rights: &Rights) -> BTreeMap<Option<String>, BTreeMap<About, Rule>> {
    let mut roles: BTreeMap<_, BTreeMap<About, Rule>> = BTreeMap::new();
    for grant in &rights.grants {
        let widest = widest(grant, rights);
        let made = |namespace: &&String| rights.makes.contains(*namespace);
        let right = &widest.right;
        let made = right.namespace.as_ref().filter(made);
        let place = match made {
            Some(_) => None,
            None => right.namespace.clone(),
        };
        let about = (
            right.group.clone(),
            right.resource.clone(),
            right.name.clone(),
        );
        let rule = roles.entry(place).or_default().entry(about).or_default();
        let whys = rule.verbs.entry(right.verb).or_default();
        whys.insert(grant.why.clone());
        rule.templates.extend(widest.templates.iter().cloned());
        rule.wide.extend(widest.wide);
        rule.made.extend(made.cloned());
    }
    roles
}

/// The widest of the grants that give what this one gives.
fn widest<'g>(grant: &'g Grant, rights: &'g Rights) -> &'g Grant {
    let wider = |than: &&Grant, other: &&Grant| {
        other.right.covers(&than.right) && !than.right.covers(&other.right)
    };
    let mut widest = grant;
    while let Some(other) = rights.grants.iter().find(|other| wider(&widest, other)) {
        widest = other;
    }
    widest
}

fn role(out: &mut String, name: &str, namespace: Option<&str>, rules: &BTreeMap<About, Rule>) {
    let kind = match namespace {
        None => "ClusterRole",
        Some(_) => "Role",
    };
    out.push_str(&format!("---\napiVersion: {API}/v1\nkind: {kind}\n"));
    metadata(out, name, namespace);
    out.push_str("rules:\n");
    // What differs in nothing but the object's name is one rule, and then what differs in the kind.
    let mut merged: Vec<Merged<'_>> = Vec::new();
    for ((group, resource, of), rule) in rules {
        let same = |other: &&mut Merged<'_>| {
            other.group == group && other.rule == rule && other.resources == [resource]
        };
        let named = |other: &&mut Merged<'_>| of.is_some() && !other.names.is_empty();
        match merged.iter_mut().filter(same).find(named) {
            Some(other) => other.names.extend(of.as_deref()),
            None => merged.push(Merged {
                group,
                resources: vec![resource],
                names: of.iter().map(String::as_str).collect(),
                rule,
            }),
        }
    }
    let mut rules: Vec<Merged<'_>> = Vec::new();
    for one in merged {
        let same = rules.iter_mut().find(|other| {
            (other.group, &other.names, other.rule) == (one.group, &one.names, one.rule)
        });
        match same {
            Some(other) => other.resources.extend(one.resources),
            None => rules.push(one),
        }
    }
    for merged in rules {
        merged.write(out);
    }
}

/// A rule about one kind of object or several.
struct Merged<'r> {
    group: &'r str,
    resources: Vec<&'r str>,
    names: Vec<&'r str>,
    rule: &'r Rule,
}

impl Merged<'_> {
    fn write(&self, out: &mut String) {
        let Self { group, rule, .. } = self;
        // Verbs that are for the same stand together.
        let mut said: Vec<(String, Vec<&str>)> = Vec::new();
        for (verb, whys) in &rule.verbs {
            let why = reasons(whys);
            match said.iter_mut().find(|(other, _)| *other == why) {
                Some((_, verbs)) => verbs.push(verb.as_str()),
                None => said.push((why, vec![verb.as_str()])),
            }
        }
        for (why, verbs) in said {
            comment(out, &format!("{}: {why}", verbs.join(", ")));
        }
        for why in &rule.wide {
            comment(out, why);
        }
        if !rule.templates.is_empty() {
            let all: Vec<String> = rule.templates.iter().map(|t| format!("`{t}`")).collect();
            let all = all.join(" or ");
            comment(
                out,
                &format!("not for single objects: nobody knows before what {all} gives"),
            );
        }
        for namespace in &rule.made {
            let text = format!(
                "in every namespace: the runbook makes `{namespace}` itself, and no Role can be in it before"
            );
            comment(out, &text);
        }
        let gives = |verb: &Verb| matches!(verb, Verb::Create | Verb::Patch);
        if *group == API && rule.verbs.keys().any(gives) {
            comment(
                out,
                "the API server lets nobody give rights that they lack: add those that are given",
            );
        }
        let verbs: Vec<&str> = rule.verbs.keys().map(|verb| verb.as_str()).collect();
        out.push_str(&format!("  - apiGroups: {}\n", list(&[group])));
        out.push_str(&format!("    resources: {}\n", list(&self.resources)));
        if !self.names.is_empty() {
            out.push_str(&format!("    resourceNames: {}\n", list(&self.names)));
        }
        out.push_str(&format!("    verbs: {}\n", list(&verbs)));
    }
}

/// What a verb is for: words of its own, and the steps by what they need it for.
fn reasons(whys: &BTreeSet<Why>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut steps: BTreeMap<&str, BTreeSet<Purpose>> = BTreeMap::new();
    for why in whys {
        match why {
            Why::Base(what) => parts.push((*what).to_owned()),
            Why::Step(purpose, step) => {
                steps.entry(step.as_str()).or_default().insert(*purpose);
            }
        }
    }
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (step, purposes) in steps {
        of.entry(words(&purposes))
            .or_default()
            .push(format!("`{step}`"));
    }
    parts.extend(
        of.iter()
            .map(|(words, steps)| format!("{words} {}", steps.join(", "))),
    );
    parts.join("; ")
}

fn words(purposes: &BTreeSet<Purpose>) -> String {
    let words: Vec<&str> = purposes
        .iter()
        .map(|purpose| match purpose {
            Purpose::Look => "read by",
            Purpose::Apply => "apply",
            Purpose::Undo => "undo",
        })
        .collect();
    match words.as_slice() {
        ["read by"] => "read by".to_owned(),
        _ => format!("to {}", words.join(" and ")),
    }
}

fn binding(out: &mut String, name: &str, namespace: Option<&str>, subject: &Subject) {
    let kind = match namespace {
        None => "ClusterRole",
        Some(_) => "Role",
    };
    out.push_str(&format!("---\napiVersion: {API}/v1\nkind: {kind}Binding\n"));
    metadata(out, name, namespace);
    out.push_str(&format!(
        "roleRef: {{apiGroup: {API}, kind: {kind}, name: {}}}\n",
        quoted(name)
    ));
    let subject = match subject {
        Subject::ServiceAccount { namespace, name } => format!(
            "{{kind: ServiceAccount, namespace: {}, name: {}}}",
            quoted(namespace),
            quoted(name)
        ),
        Subject::User(name) => format!("{{apiGroup: {API}, kind: User, name: {}}}", quoted(name)),
        Subject::Group(name) => format!("{{apiGroup: {API}, kind: Group, name: {}}}", quoted(name)),
    };
    out.push_str(&format!("subjects:\n  - {subject}\n"));
}

fn by_hand<'a>(out: &mut String, name: &str, roles: impl Iterator<Item = &'a Option<String>>) {
    out.push_str("---\n# Bind them, or have --rbac-for print what binds them:\n");
    for namespace in roles {
        let line = match namespace {
            None => format!("create clusterrolebinding {name} --clusterrole={name}"),
            Some(namespace) => format!("-n {namespace} create rolebinding {name} --role={name}"),
        };
        out.push_str(&format!(
            "#   kubectl {line} --serviceaccount=NAMESPACE:NAME\n"
        ));
    }
}

fn metadata(out: &mut String, name: &str, namespace: Option<&str>) {
    out.push_str("metadata:\n");
    out.push_str(&format!("  name: {}\n", quoted(name)));
    if let Some(namespace) = namespace {
        out.push_str(&format!("  namespace: {}\n", quoted(namespace)));
    }
}

fn comment(out: &mut String, text: &str) {
    out.push_str(&filled("  # ", "  #   ", text, WIDTH));
    out.push('\n');
}

/// JSON is YAML. What is hidden on a terminal stands escaped in it.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    clean(&json)
}

fn list(texts: &[&str]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests;
