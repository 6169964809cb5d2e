//! Objects of any kind that the API server serves, found by their kind.

use super::super::kube_object::Of;
use super::super::served::Served;
use super::Look;
use crate::fault::{Fault, nearest};
use crate::model::{ObjectRef, served_under};
use crate::transport::{Trial, Tried};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The kinds of each version of a group, as they were asked for.
#[derive(Default)]
pub(super) struct Kinds(Mutex<BTreeMap<String, Arc<Vec<Served>>>>);

impl Look<'_> {
    /// An object as it is, and what it is called; without a UID where there is none.
    pub async fn object_of(&self, of: &Of) -> Result<(ObjectRef, Option<Value>), Fault> {
        let kinds = self.kinds_of(&of.api_version).await?;
        let served = Served::find(&kinds, of)?;
        let mut object = ObjectRef {
            api_version: of.api_version.clone(),
            kind: of.kind.clone(),
            resource: served.plural.clone(),
            namespace: of.namespace.clone(),
            name: of.name.clone(),
            uid: String::new(),
        };
        let now = self.world.cluster.object(&object).await?;
        let uid = now.as_ref().and_then(|now| now.pointer("/metadata/uid"));
        if let Some(uid) = uid.and_then(Value::as_str) {
            object.uid = uid.to_owned();
        }
        Ok((object, now))
    }

    /// How the cluster serves the kind of an object.
    pub async fn served(&self, of: &Of) -> Result<Served, Fault> {
        let kinds = self.kinds_of(&of.api_version).await?;
        Served::find(&kinds, of).cloned()
    }

    /// What the API server would make of a change; it keeps nothing of it.
    pub async fn tried(&self, object: &ObjectRef, trial: Trial<'_>) -> Result<Tried, Fault> {
        let path = match trial {
            Trial::Create(_) => object.collection(),
            _ => object.path(),
        };
        self.world.cluster.dry_run(&path, trial).await
    }

    async fn kinds_of(&self, api_version: &str) -> Result<Arc<Vec<Served>>, Fault> {
        let mut known = self.kinds.0.lock().await;
        if let Some(kinds) = known.get(api_version) {
            return Ok(kinds.clone());
        }
        let path = served_under(api_version);
        let Some(list) = self.world.cluster.get(&path).await? else {
            return Err(self.no_version(api_version).await?);
        };
        let kinds = Arc::new(kinds(&list));
        known.insert(api_version.to_owned(), kinds.clone());
        Ok(kinds)
    }

    /// The fault of an `api_version` that is not served.
    async fn no_version(&self, api_version: &str) -> Result<Fault, Fault> {
        let groups = self.world.cluster.get("/apis").await?;
        let mut versions = vec!["v1".to_owned()];
        let all = groups.as_ref().and_then(|g| g.get("groups")?.as_array());
        for group in all.into_iter().flatten() {
            let of = group.get("versions").and_then(Value::as_array);
            let names = of.into_iter().flatten();
            let names = names.filter_map(|v| v.get("groupVersion")?.as_str());
            versions.extend(names.map(str::to_owned));
        }
        let fault = Fault::refused(
            "no_such_version",
            format!("the API server does not serve `{api_version}`"),
        );
        Ok(
            match nearest(api_version, versions.iter().map(String::as_str)) {
                Some(near) => fault.next(format!("did you mean `{near}`?")),
                None => fault.next("see what it serves: kubectl api-versions"),
            },
        )
    }
}

/// The kinds of an APIResourceList; parts of an object, such as `deployments/scale`, are none.
fn kinds(list: &Value) -> Vec<Served> {
    let all = list.get("resources").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(|resource| {
            let plural = resource.get("name")?.as_str()?;
            (!plural.contains('/')).then_some(Served {
                kind: resource.get("kind")?.as_str()?.to_owned(),
                plural: plural.to_owned(),
                namespaced: resource.get("namespaced")?.as_bool()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_is_found_among_those_that_are_served() {
        let kinds = kinds(&json!({"resources": [
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true},
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
            {"name": "nodes", "kind": "Node", "namespaced": false},
        ]}));
        let of = |kind: &str, namespace: Option<&str>| Of {
            api_version: "apps/v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: "x".into(),
        };
        let found = |kind, namespace| match Served::find(&kinds, &of(kind, namespace)) {
            Ok(served) => served.plural.clone(),
            Err(fault) => format!("{} ({})", fault.message, fault.next.unwrap_or_default()),
        };
        let all = [
            found("Deployment", Some("n")),
            found("Node", None),
            found("Deploiment", Some("n")),
            found("Scale", Some("n")),
            found("Deployment", None),
            found("Node", Some("n")),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        deployments
        nodes
        the API server serves no kind `Deploiment` in `apps/v1` (did you mean `Deployment`?)
        the API server serves no kind `Scale` in `apps/v1` (see what it serves there, and give the right `api_version`: kubectl api-resources | grep -i Scale)
        a Deployment is in a namespace: give `namespace` ()
        a Node is in no namespace: leave `namespace` out ()
        ");
    }
}
