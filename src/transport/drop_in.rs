//! Folders of hosts whose files are read one after another.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::{DropIn, HostRef};

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    "seen=\n",
    include_str!("host/drop_ins.sh")
);

impl Hosts {
    /// The files in these folders that end in `.conf`, folder by folder. Takes no lock.
    pub async fn read_drop_ins(
        &self,
        host: &Destination,
        of: &HostRef,
        folders: &[&str],
    ) -> Result<Vec<DropIn>, Fault> {
        let said = self.ask(host, of, &Script::new(READ, folders)).await?;
        match said.word.as_str() {
            "read" => Ok(said
                .parts
                .iter()
                .filter_map(|(line, bytes)| {
                    Some(DropIn {
                        path: line.strip_prefix("file ")?.to_owned(),
                        text: String::from_utf8_lossy(bytes).into_owned(),
                    })
                })
                .collect()),
            "denied" => Err(Fault::refused(
                "setting_denied",
                format!(
                    "{} may not look at {} on {}",
                    of.identity.user(),
                    said.rest,
                    host.name
                ),
            )
            .next("name a user in `become` who may")),
            _ => Err(refusal(host, of, "its configuration", &said)),
        }
    }
}
