//! What somebody else does to a pod just before the request for its eviction is dealt with.

use crate::api::good;
use crate::pods;
use crate::request::{About, Asked};
use kube::Client;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
pub enum Behind {
    Nothing,
    /// The pod is deleted.
    Deletes,
    /// The pod is deleted, and there is another by its name, as well as it was.
    Recreates,
}

pub async fn happen(behind: Behind, asked: &Asked, client: &Client) -> Result<(), String> {
    let About::Eviction(pod) = &asked.about else {
        return Ok(());
    };
    let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
    let all = format!("/api/v1/namespaces/{namespace}/pods");
    let one = format!("{all}/{name}");
    match behind {
        Behind::Nothing => {}
        Behind::Deletes => {
            good(client, &("DELETE", one, at_once())).await?;
        }
        Behind::Recreates => {
            let mut pod = good(client, &("GET", one.clone(), Value::Null)).await?;
            good(client, &("DELETE", one.clone(), at_once())).await?;
            if let Some(metadata) = pod["metadata"].as_object_mut() {
                metadata.remove("uid");
                metadata.remove("resourceVersion");
                metadata.remove("managedFields");
            }
            good(client, &("POST", all, pod)).await?;
            let ready = pods::ready();
            good(client, &("PATCH", format!("{one}/status"), ready)).await?;
        }
    }
    Ok(())
}

fn at_once() -> Value {
    json!({"gracePeriodSeconds": 0})
}
