//! What effects need, under its digest, in files beside a run's events. What is large goes there and
//! comes from there in pieces.

use super::error::JournalError;
use super::store::{BLOBS, at, private, sync};
use crate::model::{Content, Digest, LARGE, Sum};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What a content is called until it is whole, instead of by its digest alone.
const PART: &str = "part";
/// How many bytes are copied at a time.
const PIECE: usize = 256 << 10;

fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(BLOBS).join(digest.as_str())
}

fn lacks(folder: &Path, digest: &Digest) -> JournalError {
    JournalError::NoBlob {
        path: folder.to_owned(),
        digest: digest.clone(),
    }
}

/// The bytes under a digest.
pub(super) fn read_blob(folder: &Path, digest: &Digest) -> Result<Vec<u8>, JournalError> {
    let bytes = fs::read(path(folder, digest))
        .ok()
        .filter(|bytes| Digest::of(bytes) == *digest);
    bytes.ok_or_else(|| lacks(folder, digest))
}

/// Holds that the bytes under a digest are there and whole.
pub(super) fn check_blob(folder: &Path, digest: &Digest) -> Result<(), JournalError> {
    let found = File::open(path(folder, digest)).and_then(Digest::of_all);
    match found {
        Ok((found, _)) if found == *digest => Ok(()),
        _ => Err(lacks(folder, digest)),
    }
}

/// What is under a digest; whether what is large is whole, [`check_blob`] says.
pub(super) fn content(folder: &Path, digest: &Digest) -> Result<Content, JournalError> {
    let path = path(folder, digest);
    match fs::metadata(&path) {
        Ok(found) if found.len() > LARGE => Ok(Content::File {
            path,
            size: found.len(),
        }),
        _ => read_blob(folder, digest).map(Content::Bytes),
    }
}

/// Puts a content under its digest, down to the disk. What is there already and whole is left alone.
pub(super) fn write_blob(
    folder: &Path,
    digest: &Digest,
    content: &Content,
) -> Result<(), JournalError> {
    if check_blob(folder, digest).is_ok() {
        return Ok(());
    }
    let mut keeping = Keeping::begin(folder, digest)?;
    match content {
        Content::Bytes(bytes) => keeping.add(bytes)?,
        Content::File { path, .. } => {
            let mut file = File::open(path).map_err(at(path))?;
            let mut piece = vec![0; PIECE];
            loop {
                let read = file.read(&mut piece).map_err(at(path))?;
                if read == 0 {
                    break;
                }
                keeping.add(piece.get(..read).unwrap_or_default())?;
            }
        }
    }
    match (keeping.end()?, content) {
        (true, _) => Ok(()),
        (false, Content::File { path, .. }) => Err(JournalError::Another {
            path: path.clone(),
            digest: digest.clone(),
        }),
        (false, Content::Bytes(_)) => Err(lacks(folder, digest)),
    }
}

/// Removes what is left of contents that did not become whole, as the run was killed meanwhile.
pub(super) fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder.join(BLOBS)).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    for part in paths.filter(|path| path.extension().is_some_and(|end| end == PART)) {
        // It is in nobody's way; the next run that takes this up tries again.
        let _ = fs::remove_file(part);
    }
}

/// A content on its way to its digest. It is there only once it has come to its end; where it does not
/// come there, nothing of it is kept.
#[derive(Debug)]
pub struct Keeping {
    digest: Digest,
    path: PathBuf,
    part: PathBuf,
    file: File,
    sum: Sum,
}

impl Keeping {
    pub(super) fn begin(folder: &Path, digest: &Digest) -> Result<Self, JournalError> {
        let path = path(folder, digest);
        let part = path.with_extension(PART);
        let file = private()
            .create(true)
            .truncate(true)
            .open(&part)
            .map_err(at(&part))?;
        Ok(Self {
            digest: digest.clone(),
            path,
            part,
            file,
            sum: Sum::default(),
        })
    }

    pub fn add(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.sum.add(bytes);
        self.file.write_all(bytes).map_err(at(&self.part))
    }

    /// Whether it is what its digest names. Then it is on the disk, under its name.
    pub fn end(mut self) -> Result<bool, JournalError> {
        let (found, _) = std::mem::take(&mut self.sum).digest();
        if found != self.digest {
            return Ok(false);
        }
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.part, &self.path))
            .map_err(at(&self.path))?;
        self.path.parent().map_or(Ok(()), sync)?;
        Ok(true)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // Once it is whole, there is none.
        let _ = fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BLOBS)).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(BLOBS)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_is_large_stays_in_its_file_and_is_kept_only_as_what_it_was() {
        let folder = folder();
        let folder = folder.path();
        let bytes: Vec<u8> = (0..LARGE + 7).map(|n| (n % 251) as u8).collect();
        let source = folder.join("source");
        fs::write(&source, &bytes).unwrap();
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let from = Content::File {
            path: source.clone(),
            size,
        };
        write_blob(folder, &digest, &from).unwrap();
        let path = path(folder, &digest);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(
            content(folder, &digest).unwrap(),
            Content::File {
                path: path.clone(),
                size
            }
        );
        check_blob(folder, &digest).unwrap();

        // One byte of it is another now.
        fs::write(&path, &bytes[1..]).unwrap();
        assert!(check_blob(folder, &digest).is_err());
        fs::write(&source, &bytes[1..]).unwrap();
        let kept = write_blob(folder, &digest, &from);
        assert!(
            matches!(kept, Err(JournalError::Another { .. })),
            "{kept:?}"
        );
        fs::remove_file(&path).unwrap();
        assert!(write_blob(folder, &digest, &from).is_err());
        assert_eq!(names(folder), Vec::<String>::new());
    }

    #[test]
    fn what_comes_in_pieces_is_there_once_it_is_whole() {
        let folder = folder();
        let folder = folder.path();
        let digest = Digest::of(b"one two");
        let mut keeping = Keeping::begin(folder, &digest).unwrap();
        keeping.add(b"one").unwrap();
        assert!(check_blob(folder, &digest).is_err());
        assert!(!keeping.end().unwrap());
        let mut keeping = Keeping::begin(folder, &digest).unwrap();
        keeping.add(b"one ").unwrap();
        keeping.add(b"two").unwrap();
        assert!(keeping.end().unwrap());
        assert_eq!(read_blob(folder, &digest).unwrap(), b"one two");
        assert_eq!(names(folder), [digest.as_str()]);
    }

    #[test]
    fn what_does_not_become_whole_leaves_nothing() {
        let folder = folder();
        let folder = folder.path();
        let digest = Digest::of(b"one two");
        let mut keeping = Keeping::begin(folder, &digest).unwrap();
        keeping.add(b"one").unwrap();
        assert_eq!(names(folder), [format!("{digest}.part")]);
        drop(keeping);
        assert_eq!(names(folder), Vec::<String>::new());
    }
}
