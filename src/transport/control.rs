//! The folder in which OpenSSH's masters have their sockets: one for each process of ours, so that
//! what a killed one left behind can be told from what is in use, and ended.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ulid::Ulid;

/// A socket's path may have 107 bytes, and OpenSSH needs these for itself.
const MOST_BYTES: usize = 107 - 52;

pub(super) struct ControlDir {
    path: PathBuf,
    /// Held for as long as this process lives.
    _lock: File,
}

impl ControlDir {
    /// Makes one, and ends the masters that killed processes left behind.
    pub async fn make() -> io::Result<Self> {
        let base = base()?;
        sweep(&base).await;
        let name = Ulid::generate().to_string();
        let name = name.get(name.len() - 10..).unwrap_or(&name);
        let path = base.join(name);
        if path.as_os_str().len() > MOST_BYTES {
            return Err(io::Error::other(format!(
                "{} is too long a path for OpenSSH's sockets: set XDG_RUNTIME_DIR or TMPDIR to a shorter one",
                path.display()
            )));
        }
        // Nobody else sees it before its lock is held.
        let new = base.join(format!(".{name}"));
        own_folder(&new)?;
        let lock = File::create(new.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&new, &path)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlDir {
    fn drop(&mut self) {
        // What stays is swept by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A folder that is this user's alone: where a session has its own, or else among what is temporary.
fn base() -> io::Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("runbook-ssh.{uid}"));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    if let Some(dir) = runtime {
        // It may be that of another session, or of a session that is over.
        let base = PathBuf::from(dir).join("runbook");
        if own_folder(&base).is_ok() {
            return Ok(base);
        }
    }
    own_folder(&temporary)?;
    Ok(temporary)
}

fn own_folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    let own = found.uid() == rustix::process::getuid().as_raw();
    match found.is_dir() && own && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} is not a folder of this user alone",
            path.display()
        ))),
    }
}

/// Ends what processes left behind that are no more.
async fn sweep(base: &Path) {
    for folder in fs::read_dir(base).into_iter().flatten().flatten() {
        // One that is being made: its lock may not be held yet.
        if folder.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let folder = folder.path();
        let Ok(lock) = File::open(folder.join("lock")) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        for socket in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let socket = socket.path().join("master");
            if socket.exists() {
                tracing::debug!("ending the master that was left at {}", socket.display());
                let mut exit = tokio::process::Command::new("ssh");
                exit.arg("-S")
                    .arg(&socket)
                    .args(["-O", "exit", "left-behind"])
                    .stdin(std::process::Stdio::null())
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .kill_on_drop(true);
                let _ = tokio::time::timeout(Duration::from_secs(5), exit.status()).await;
            }
        }
        let _ = fs::remove_dir_all(&folder);
    }
}
