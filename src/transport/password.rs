//! The password by which one becomes another user: asked for once, kept in memory alone.

use crate::fault::Fault;
use crate::model::{Identity, Secret};
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::Mutex;

/// Asks a person; the argument says for what.
pub type AskPerson = Box<dyn Fn(&str) -> Result<Secret, Fault> + Send + Sync>;

/// Where the password comes from.
#[derive(Default)]
pub enum PasswordSource {
    /// There is none: users who need one cannot be used.
    #[default]
    None,
    Given(Secret),
    Ask(AskPerson),
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given",
            Self::Ask(_) => "Ask",
        })
    }
}

/// One password for all hosts, for each identity.
pub(super) struct Password {
    source: PasswordSource,
    known: Mutex<BTreeMap<Identity, Secret>>,
}

impl Password {
    pub fn new(source: PasswordSource) -> Self {
        Self {
            source,
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether there may be one.
    pub fn can_be_had(&self) -> bool {
        !matches!(self.source, PasswordSource::None)
    }

    /// The password; who comes second waits for the one who is asking.
    pub async fn get(&self, identity: &Identity, what: &str) -> Result<Secret, Fault> {
        let mut known = self.known.lock().await;
        if let Some(secret) = known.get(identity) {
            return Ok(secret.clone());
        }
        let secret = match &self.source {
            PasswordSource::None => {
                return Err(Fault::internal("a password was wanted where there is none"));
            }
            PasswordSource::Given(secret) => secret.clone(),
            PasswordSource::Ask(ask) => tokio::task::block_in_place(|| ask(what))?,
        };
        known.insert(identity.clone(), secret.clone());
        Ok(secret)
    }

    /// It was the wrong one: it is not tried again.
    pub async fn forget(&self, identity: &Identity) {
        self.known.lock().await.remove(identity);
    }
}
