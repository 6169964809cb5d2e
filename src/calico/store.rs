//! Calico's own datastore, as `calicoctl get … -o json` prints it (calicoctl v3.31): its nodes, and how they
//! peer.

use super::family::Family;
use super::mesh::{MeshNode, labels};
use crate::model::ObjectRef;
use serde_json::Value;
use std::collections::BTreeMap;

/// Calico's nodes beside those of Kubernetes: what each advertises. One that Kubernetes does not have comes
/// without a UID.
pub fn nodes_of_store(json: &str, kubernetes: &[MeshNode]) -> Result<Vec<MeshNode>, String> {
    let items = items_of_store(json)?;
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    let mut nodes: Vec<MeshNode> = kubernetes
        .iter()
        .map(|node| MeshNode {
            reflector: false,
            advertised: None,
            advertised_v6: None,
            ..node.clone()
        })
        .collect();
    for item in &items {
        let name = item
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .ok_or("calicoctl printed a node without a name")?;
        let bgp = |field: &str| {
            let value = item.pointer("/spec/bgp")?.get(field)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let kubernetes_name = node_of(item).unwrap_or(name);
        if let Some(of) = node_of(item)
            && let Some(other) = named.insert(of, name)
        {
            return Err(format!(
                "two of Calico's nodes say that they are the node {of}: {other} and {name}; which of them is left over, only people can tell"
            ));
        }
        let at = nodes.iter().position(|n| n.name() == kubernetes_name);
        let found = match at.and_then(|at| nodes.get_mut(at)) {
            // Two of Calico's nodes for one of Kubernetes: the one that says so itself is it, the other is left over.
            Some(node) if !node.takes_part() || node_of(item).is_some() => {
                let before = node.clone();
                node.calico_name = name.to_owned();
                if before.takes_part() {
                    nodes.push(left_over(&before.calico_name, &before, kubernetes));
                }
                nodes.iter_mut().find(|n| n.name() == kubernetes_name)
            }
            _ => {
                nodes.push(left_over(name, &bare(item), kubernetes));
                nodes.last_mut()
            }
        };
        if let Some(node) = found {
            node.reflector = bgp("routeReflectorClusterID").is_some();
            node.advertised = bgp(Family::Ipv4.field());
            node.advertised_v6 = bgp(Family::Ipv6.field());
            node.labels = labels(item);
        }
    }
    Ok(nodes)
}

/// The Kubernetes node that a node of Calico's says it is (`spec.orchRefs`).
fn node_of(item: &Value) -> Option<&str> {
    let refs = item.pointer("/spec/orchRefs")?.as_array()?;
    refs.iter()
        .find(|r| r.get("orchestrator").and_then(Value::as_str) == Some("k8s"))?
        .get("nodeName")?
        .as_str()
}

/// A node of Calico's that is none of Kubernetes'.
fn left_over(name: &str, like: &MeshNode, kubernetes: &[MeshNode]) -> MeshNode {
    // Another node may be called so in Kubernetes.
    let taken = kubernetes.iter().any(|node| node.name() == name);
    MeshNode {
        object: ObjectRef {
            name: match taken {
                true => format!("{name} (Calico's)"),
                false => name.to_owned(),
            },
            uid: String::new(),
            ..like.object.clone()
        },
        calico_name: name.to_owned(),
        ready: false,
        machine_id: String::new(),
        internal_ips: Vec::new(),
        ..like.clone()
    }
}

fn bare(item: &Value) -> MeshNode {
    MeshNode {
        object: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            resource: "nodes".to_owned(),
            namespace: None,
            name: String::new(),
            uid: String::new(),
        },
        calico_name: String::new(),
        ready: false,
        machine_id: String::new(),
        reflector: false,
        labels: labels(item),
        internal_ips: Vec::new(),
        advertised: None,
        advertised_v6: None,
    }
}

/// The objects of a list that calicoctl printed.
pub fn items_of_store(json: &str) -> Result<Vec<Value>, String> {
    let mut list: Value = serde_json::from_str(json.trim())
        .map_err(|e| format!("calicoctl printed what cannot be read: {e}"))?;
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        // An empty list comes as null.
        Some(Value::Null) => Ok(Vec::new()),
        _ => Err("calicoctl printed no list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mesh::tests::node;
    use super::*;
    use serde_json::json;

    fn calico(name: &str, of: Option<&str>, address: &str) -> Value {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"zone": "a"}},
            "spec": {"bgp": {"ipv4Address": address}},
        });
        if let Some(of) = of {
            node["spec"]["orchRefs"] = json!([{"nodeName": of, "orchestrator": "k8s"}]);
        }
        node
    }

    fn told(items: Value) -> String {
        let kubernetes = [
            node("node01", "10.0.0.1", None),
            node("node02", "10.0.0.2", None),
        ];
        let list = json!({"kind": "NodeList", "items": items}).to_string();
        let nodes = nodes_of_store(&list, &kubernetes).unwrap();
        let line = |n: &MeshNode| {
            let uid = if n.in_kubernetes() {
                ""
            } else {
                " (not in Kubernetes)"
            };
            let address = n.advertised.as_deref().unwrap_or("nothing");
            format!("{} as {}: {address}{uid}\n", n.name(), n.calico_name)
        };
        nodes.iter().map(line).collect()
    }

    /// Made after calicoctl v3.31's form.
    #[test]
    fn a_node_is_known_by_what_it_says_it_is_and_not_by_its_name() {
        insta::assert_snapshot!(told(json!([
            calico("cloud01", Some("node01"), "10.0.0.1/24"),
            calico("node02", None, "172.18.0.1/16"),
            calico("node09", Some("node09"), "10.0.0.9/24"),
        ])), @"
        node01 as cloud01: 10.0.0.1/24
        node02 as node02: 172.18.0.1/16
        node09 as node09: 10.0.0.9/24 (not in Kubernetes)
        ");
    }

    #[test]
    fn of_two_for_one_the_one_that_names_it_is_it() {
        for order in [false, true] {
            let mut items = vec![
                calico("node01", None, "10.0.0.7/24"),
                calico("cloud01", Some("node01"), "10.0.0.1/24"),
            ];
            if order {
                items.reverse();
            }
            let told = told(Value::from(items));
            assert!(told.contains("node01 as cloud01: 10.0.0.1/24"), "{told}");
            assert!(
                told.contains("node01 (Calico's) as node01: 10.0.0.7/24 (not in Kubernetes)"),
                "{told}"
            );
            assert!(told.contains("node02 as node02: nothing"), "{told}");
        }
    }

    #[test]
    fn two_that_claim_to_be_one_are_not_guessed_between() {
        let items = json!([
            calico("live", Some("node01"), "10.0.0.1/24"),
            calico("old", Some("node01"), "10.0.0.7/24"),
        ]);
        let list = json!({"items": items}).to_string();
        let kubernetes = [node("node01", "10.0.0.1", None)];
        insta::assert_snapshot!(nodes_of_store(&list, &kubernetes).unwrap_err(), @"two of Calico's nodes say that they are the node node01: live and old; which of them is left over, only people can tell");
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert!(nodes_of_store("", &[]).is_err());
        assert!(nodes_of_store("{}", &[]).is_err());
        assert!(nodes_of_store(r#"{"items":[{}]}"#, &[]).is_err());
        assert!(items_of_store(r#"{"items":null}"#).unwrap().is_empty());
        assert_eq!(items_of_store(r#"{"items":[1]}"#).unwrap().len(), 1);
        assert!(items_of_store("x").is_err());
    }
}
