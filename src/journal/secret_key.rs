//! Whether a secret that is given again is the one that a run was begun with. Its value is kept
//! nowhere; what is kept is a digest with a key that never leaves this state directory, so that a
//! journal in other hands gives nothing to guess at.

use super::error::JournalError;
use super::state_dir::StateDir;
use super::store::{make_dir, sync};
use crate::model::Secret;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const KEY_FILE: &str = "secret.key";
const KEY_BYTES: usize = 32;

/// Whether a secret is the one of which a digest was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSecret {
    Yes,
    No,
    /// It was kept with another key, on another machine.
    CannotBeTold,
}

impl StateDir {
    /// A digest of a secret, to be kept in a run's plan.
    pub fn secret_digest(&self, secret: &Secret) -> Result<String, JournalError> {
        let key = self.secret_key()?;
        Ok(digest(&key, secret))
    }

    /// Compares a secret that is given again with the digest that was kept.
    pub fn same_secret(&self, kept: &str, secret: &Secret) -> Result<SameSecret, JournalError> {
        let now = self.secret_digest(secret)?;
        let key_of = |digest: &str| digest.split_once(':').map(|(key, _)| key.to_owned());
        Ok(match kept == now {
            true => SameSecret::Yes,
            false if key_of(kept) == key_of(&now) => SameSecret::No,
            false => SameSecret::CannotBeTold,
        })
    }

    /// The key, made where there is none yet.
    fn secret_key(&self) -> Result<Vec<u8>, JournalError> {
        let path = self.path().join(KEY_FILE);
        let failed = |source| JournalError::Folder {
            path: path.clone(),
            source,
        };
        if let Some(key) = read_key(&path).map_err(failed)? {
            return Ok(key);
        }
        make_dir(self.path())?;
        let mut key = vec![0; KEY_BYTES];
        let mut random = File::open("/dev/urandom").map_err(failed)?;
        random.read_exact(&mut key).map_err(failed)?;
        // Whole, or not at all: whoever else makes one at the same moment is first or second.
        let own = self
            .path()
            .join(format!("{KEY_FILE}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&own).map_err(failed)?;
        file.write_all(&key)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        let made = fs::hard_link(&own, &path);
        let _ = fs::remove_file(&own);
        match made {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(e)),
        }
        sync(self.path())?;
        read_key(&path).map_err(failed)?.ok_or_else(|| {
            failed(std::io::Error::new(
                ErrorKind::InvalidData,
                "the key of secrets is gone or cut short",
            ))
        })
    }
}

/// `None`: there is none.
fn read_key(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(key) if key.len() == KEY_BYTES => Ok(Some(key)),
        Ok(_) => Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "the key of secrets is cut short: remove it, and secrets of earlier runs cannot be checked any more",
        )),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The key's own name, and the digest: nested, so that nothing can be appended to what was digested.
fn digest(key: &[u8], secret: &Secret) -> String {
    let of = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize()
    };
    let inner = of(&[key, secret.reveal().as_bytes()]);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let name = hex(&of(&[b"name", key]));
    let name = name.get(..8).unwrap_or_default();
    format!("{name}:{}", hex(&of(&[key, &inner])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_secret_is_known_again_and_its_digest_does_not_give_it_away() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        let secret = |text: &str| Secret::new(text.to_owned());
        let kept = state.secret_digest(&secret("canary")).unwrap();
        assert!(!kept.contains("canary"));
        let same = |state: &StateDir, text| state.same_secret(&kept, &secret(text)).unwrap();
        assert_eq!(same(&state, "canary"), SameSecret::Yes);
        assert_eq!(same(&state, "canary2"), SameSecret::No);
        let other = StateDir::new(dir.path().join("other"));
        assert_eq!(same(&other, "canary"), SameSecret::CannotBeTold);
        let key = fs::metadata(dir.path().join("state").join(KEY_FILE)).unwrap();
        assert_eq!(key.mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("state")).unwrap().count(), 1);
    }
}
