//! Built parts, kept by a key over everything they are made from.
//!
//! A part is built under a lock into a folder with a temporary name, which is renamed when it is whole: what an
//! interrupted build left is never taken for a part.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// `LAB_CACHE`, or a folder of the user's cache.
pub fn default_dir() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("LAB_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/cache"))
            .join("runbook-lab")
    })
}

/// What a part is made from.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    pub fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// A file, or a folder with all that is below it.
    pub fn files(mut self, path: &Path) -> Result<Self> {
        for file in walk(path)? {
            let content = fs::read(&file).map_err(Error::file("read", &file))?;
            let name = file
                .strip_prefix(path)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            self = self.text(&name);
            self.0.update((content.len() as u64).to_le_bytes());
            self.0.update(&content);
        }
        Ok(self)
    }

    pub fn finish(self) -> String {
        hex(&self.0.finalize()).chars().take(16).collect()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the part is, or will be.
pub fn place(cache: &Path, name: &str, key: &str) -> PathBuf {
    cache.join(format!("{name}-{key}"))
}

/// The part's folder; `build` fills a new one when there is none yet.
pub fn part(
    cache: &Path,
    name: &str,
    key: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let whole = place(cache, name, key);
    if whole.is_dir() {
        return Ok(whole);
    }
    fs::create_dir_all(cache).map_err(Error::file("make", cache))?;
    let lock = cache.join(format!("{name}.lock"));
    let held = File::create(&lock).map_err(Error::file("write", &lock))?;
    if held.try_lock().is_err() {
        println!(
            "{:10}waiting for another lab command, which builds {name} …",
            ""
        );
        held.lock().map_err(Error::file("lock", &lock))?;
    }
    // Whoever held the lock before may have built it.
    if whole.is_dir() {
        return Ok(whole);
    }
    clear_unfinished(cache, name)?;
    let unfinished = cache.join(format!("{name}.unfinished-{}", std::process::id()));
    fs::create_dir(&unfinished).map_err(Error::file("make", &unfinished))?;
    build(&unfinished)?;
    fs::rename(&unfinished, &whole).map_err(Error::file("rename", &unfinished))?;
    Ok(whole)
}

fn clear_unfinished(cache: &Path, name: &str) -> Result<()> {
    let prefix = format!("{name}.unfinished-");
    for entry in fs::read_dir(cache)
        .map_err(Error::file("read", cache))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path()).map_err(Error::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn walk(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(path).map_err(Error::file("read", path))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read", path))?;
        found.extend(walk(&entry.path())?);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_build_is_not_taken_for_a_part() {
        let cache = std::env::temp_dir().join(format!("lab-cache-{}", std::process::id()));
        let broken = part(&cache, "thing", "k1", |dir| {
            fs::write(dir.join("half"), "x").map_err(Error::file("write", dir))?;
            Err(Error::state("interrupted", "again"))
        });
        assert!(broken.is_err());
        let whole = part(&cache, "thing", "k1", |dir| {
            fs::write(dir.join("all"), "x").map_err(Error::file("write", dir))
        });
        let whole = whole.unwrap();
        assert!(whole.join("all").exists() && !whole.join("half").exists());
        let again = part(&cache, "thing", "k1", |_| {
            Err(Error::state("built twice", ""))
        });
        assert_eq!(again.unwrap(), whole);
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn keys_tell_inputs_apart() {
        assert_ne!(
            Key::default().text("ab").text("c").finish(),
            Key::default().text("a").text("bc").finish()
        );
    }
}
