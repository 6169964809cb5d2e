//! Claims on hosts: for which sitting of a run things may begin there.

use super::script::{Script, refusal};
use super::shell_loop::Lost;
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::journal::ClaimPermit;
use crate::model::{Holder, HostRef, RunId, Sitting};
use jiff::Timestamp;
use std::fmt;

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/read_claim.sh")
);
const CLAIM: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/claim.sh")
);
const RELEASE: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/staged.sh"),
    include_str!("host/release.sh")
);

/// Who has a host, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHolder {
    pub run: RunId,
    pub sitting: Sitting,
    /// Whether its run has a Lease in the cluster, which tells whether it is still there.
    pub leased: bool,
    pub since: Timestamp,
    /// For people.
    pub who: String,
}

impl HostHolder {
    /// Of the words `RUN SITTING leased|alone SINCE WHO`.
    pub(super) fn parse(words: &str) -> Option<Self> {
        let mut parts = words.splitn(5, ' ');
        Some(Self {
            run: parts.next()?.parse().ok()?,
            sitting: parts.next()?.parse().ok()?,
            leased: parts.next()? == "leased",
            since: parts.next()?.parse().ok()?,
            who: parts.next().unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for HostHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)
    }
}

impl Hosts {
    /// Who has a host.
    pub async fn claim_of(
        &self,
        host: &Destination,
        of: &HostRef,
    ) -> Result<Option<HostHolder>, Fault> {
        let said = self.ask(host, of, &Script::new(READ, &[])).await?;
        match (said.word.as_str(), HostHolder::parse(&said.rest)) {
            ("held", Some(holder)) => Ok(Some(holder)),
            // What cannot be understood is no claim of a run.
            ("held" | "free", _) => Ok(None),
            _ => Err(refusal(host, of, "its claim", &said)),
        }
    }

    /// Claims a host, where nobody else has it but runs of `over`. `Some`: somebody has.
    pub async fn claim(
        &self,
        permit: ClaimPermit,
        host: &Destination,
        of: &HostRef,
        (holder, leased): (&Holder, bool),
        over: &[RunId],
    ) -> Result<Option<HostHolder>, Fault> {
        self.sits(permit.sitting());
        let text = [
            permit.sitting().to_string(),
            permit.run().to_string(),
            match leased {
                true => "leased".to_owned(),
                false => "alone".to_owned(),
            },
            holder.since.to_string(),
            holder.to_string(),
        ];
        let over: Vec<String> = over.iter().map(ToString::to_string).collect();
        let args: Vec<&str> = text.iter().chain(&over).map(String::as_str).collect();
        let told = self.tell(host, of, &Script::new(CLAIM, &args)).await;
        let said = told.map_err(Lost::fault)?;
        match said.word.as_str() {
            "claimed" => Ok(None),
            "held" => HostHolder::parse(&said.rest)
                .map(Some)
                .ok_or_else(|| refusal(host, of, "its claim", &said)),
            _ => Err(refusal(host, of, "its claim", &said)),
        }
    }

    /// Lets a host go, if it is still this sitting's.
    pub async fn release(
        &self,
        permit: ClaimPermit,
        host: &Destination,
        of: &HostRef,
    ) -> Result<(), Fault> {
        let sitting = permit.sitting().to_string();
        let args = [sitting.as_str()];
        let told = self.tell(host, of, &Script::new(RELEASE, &args)).await;
        let said = told.map_err(Lost::fault)?;
        match said.word.as_str() {
            "released" => Ok(()),
            _ => Err(refusal(host, of, "its claim", &said)),
        }
    }
}
