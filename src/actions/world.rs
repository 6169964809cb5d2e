//! What can be looked at and changed: the hosts and the cluster of a run.

use crate::fault::Fault;
use crate::inventory::Inventory;
use crate::journal::Permit;
use crate::model::{Effect, Now, Subject};
use crate::transport::{Cluster, Hosts};

pub struct World {
    pub cluster: Cluster,
    pub hosts: Hosts,
    pub inventory: Inventory,
}

impl World {
    /// The subject of an effect, as it is now.
    pub async fn now(&self, effect: &Effect) -> Result<Now, Fault> {
        match effect.subject() {
            Subject::Object(object) => Ok(Now::Object(self.cluster.object(object).await?)),
            Subject::File(file) => {
                let host = self.inventory.destination(&file.host.node);
                Ok(Now::File(self.hosts.read_file(&host, file).await?.now))
            }
        }
    }

    /// Like [`Self::now`], after what was begun on a host has ended. A cluster has no such moment: a
    /// request may still be on its way to it.
    pub async fn at_rest(&self, effect: &Effect) -> Result<Now, Fault> {
        match effect.subject() {
            Subject::Object(_) => self.now(effect).await,
            Subject::File(file) => {
                let host = self.inventory.destination(&file.host.node);
                Ok(Now::File(self.hosts.find_file(&host, file).await?))
            }
        }
    }

    /// Carries an effect out, once. `now` is its subject as it was just read, `content` the bytes that
    /// it puts there, `who` what others are told while it is under way.
    pub async fn perform(
        &self,
        permit: Permit,
        now: Option<&Now>,
        content: &[u8],
        who: &str,
    ) -> Result<(), Fault> {
        match permit.effect() {
            Effect::PutFile { file, .. } => {
                let host = self.inventory.destination(&file.host.node);
                self.hosts.put_file(&host, permit, content, who).await
            }
            Effect::SetFields { .. } | Effect::ReplacePod { .. } => {
                let object = match now {
                    Some(Now::Object(object)) => object.as_ref(),
                    Some(Now::File(_)) | None => None,
                };
                self.cluster.perform(permit, object).await
            }
        }
    }
}
