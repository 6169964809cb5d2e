//! What can be looked at and changed: the hosts and the cluster of a run.

use crate::fault::Fault;
use crate::inventory::Inventory;
use crate::journal::Permit;
use crate::model::{Content, Effect, Exit, Now, ProgramNow, Programs, Ran};
use crate::transport::{Cluster, Hosts, MayMoveOn, OwnerNames, check_failed};

pub struct World {
    pub cluster: Cluster,
    pub hosts: Hosts,
    pub inventory: Inventory,
}

impl World {
    /// The subject of an effect that is yet to begin, as it is now.
    pub async fn now(&self, effect: &Effect) -> Result<Now, Fault> {
        match effect {
            Effect::SetFields { object, .. }
            | Effect::ReplacePod { pod: object, .. }
            | Effect::EvictPod { pod: object, .. }
            | Effect::PutObject { object, .. } => {
                Ok(Now::Object(self.cluster.object(object).await?))
            }
            Effect::PutFile { file, .. } => {
                let host = self.inventory.destination(&file.host.node);
                let as_it_is = OwnerNames::default();
                let reading = self.hosts.read_file(&host, file, &as_it_is).await?;
                Ok(Now::File(reading.now))
            }
            Effect::PutSetting { setting, .. } => {
                let host = self.inventory.destination(&setting.host.node);
                let now = self.hosts.read_setting(&host, setting).await?;
                Ok(Now::Setting(now))
            }
            Effect::RunProgram { programs } => {
                let Programs {
                    host: of,
                    check: Some(check),
                    limit,
                    ..
                } = &**programs
                else {
                    // Nothing tells how it stands but that it has not begun.
                    return Ok(Now::Program(ProgramNow::Is {
                        done: programs.back,
                    }));
                };
                if programs.blind {
                    return Ok(Now::Program(ProgramNow::Begun));
                }
                let host = self.inventory.destination(&of.node);
                let ran = self.hosts.read_program(&host, of, check, *limit).await?;
                match ran.exit {
                    Exit::Code(0) => Ok(Now::Program(ProgramNow::Is { done: true })),
                    Exit::Code(1) => Ok(Now::Program(ProgramNow::Is { done: false })),
                    exit => Err(check_failed(programs, exit, &ran)),
                }
            }
        }
    }

    /// The subject of an effect after what was begun of it has ended. On a host, the attempt `key` does
    /// not begin any more after this. A cluster has no such moment: a request may still be on its way.
    pub async fn at_rest(&self, effect: &Effect, key: &str) -> Result<Now, Fault> {
        match effect {
            Effect::SetFields { .. }
            | Effect::ReplacePod { .. }
            | Effect::EvictPod { .. }
            | Effect::PutObject { .. } => self.now(effect).await,
            Effect::PutFile { file, .. } => {
                let host = self.inventory.destination(&file.host.node);
                Ok(Now::File(self.hosts.find_file(&host, file, key).await?))
            }
            Effect::PutSetting { setting, .. } => {
                let host = self.inventory.destination(&setting.host.node);
                let found = self.hosts.find_setting(&host, setting, key).await?;
                Ok(Now::Setting(found))
            }
            Effect::RunProgram { programs } => {
                let host = self.inventory.destination(&programs.host.node);
                let found = self.hosts.find_program(&host, programs, key).await?;
                Ok(Now::Program(found))
            }
        }
    }

    /// The bytes that an effect overwrites, piece by piece; whether they are those that it names is for
    /// the caller to find out.
    pub async fn old_content(
        &self,
        effect: &Effect,
        each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match (effect, effect.kept_late()) {
            (Effect::PutFile { file, .. }, Some((_, size))) => {
                let host = self.inventory.destination(&file.host.node);
                self.hosts.read_large(&host, file, size, each).await
            }
            _ => Err(Fault::internal("this overwrites nothing large")),
        }
    }

    /// Carries an effect out, once, and gives what programs printed meanwhile. `now` is its subject as it
    /// was just read, `content` the bytes that it puts there, with what is asked while they are on their way,
    /// `key` what tells this attempt from all
    /// others, `who` what others are told while it is under way.
    pub async fn perform(
        &self,
        permit: Permit,
        now: Option<&Now>,
        (content, may_move_on): (&Content, &MayMoveOn<'_>),
        key: &str,
        who: &str,
    ) -> (Result<(), Fault>, Vec<Ran>) {
        match permit.effect() {
            Effect::PutFile { file, .. } => {
                let host = self.inventory.destination(&file.host.node);
                let hosts = &self.hosts;
                let put = match content {
                    Content::Bytes(bytes) => hosts.put_file(&host, permit, bytes, key, who).await,
                    Content::File { path, .. } => {
                        let content = (path.as_path(), may_move_on);
                        hosts.put_large(&host, permit, content, key, who).await
                    }
                };
                (put, Vec::new())
            }
            Effect::PutSetting { setting, .. } => {
                let host = self.inventory.destination(&setting.host.node);
                let put = self.hosts.put_setting(&host, permit, key, who);
                (put.await, Vec::new())
            }
            Effect::RunProgram { programs } => {
                let host = self.inventory.destination(&programs.host.node);
                self.hosts.run_program(&host, permit, key, who).await
            }
            Effect::SetFields { .. }
            | Effect::ReplacePod { .. }
            | Effect::EvictPod { .. }
            | Effect::PutObject { .. } => {
                let object = match now {
                    Some(Now::Object(object)) => object.as_ref(),
                    Some(Now::File(_) | Now::Setting(_) | Now::Program(_)) | None => None,
                };
                (self.cluster.perform(permit, object).await, Vec::new())
            }
        }
    }
}
