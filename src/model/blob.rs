//! Bytes that are too many for an event: kept under their digest, beside the events.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

/// Contents with more bytes than this are kept, and moved between this machine and hosts, in pieces: a run
/// never holds one in memory as a whole. Its export does, as it is one text with all of its contents.
pub const LARGE: u64 = 1 << 20;

/// SHA-256 of some bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Sum::default();
        sum.add(bytes);
        sum.digest().0
    }

    /// That of all that is yet to be read, and how many bytes that is.
    pub fn of_all(mut from: impl Read) -> io::Result<(Self, u64)> {
        let mut sum = Sum::default();
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                return Ok(sum.digest());
            }
            sum.add(piece.get(..read).unwrap_or_default());
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The beginning, by which people tell one from another.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let hex = s.len() == 64 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match hex {
            true => Ok(Self(s.to_owned())),
            false => Err(format!("`{s}` is not a SHA-256 in hexadecimal")),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// A digest that comes about piece by piece.
#[derive(Debug, Default)]
pub struct Sum {
    sum: Sha256,
    bytes: u64,
}

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The digest, and of how many bytes it is.
    pub fn digest(self) -> (Digest, u64) {
        use fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in self.sum.finalize() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        (Digest(text), self.bytes)
    }
}

/// Bytes, or the file of this machine in which they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    File { path: PathBuf, size: u64 },
}

impl Content {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// Some contents, each under its own digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blobs(BTreeMap<Digest, Content>);

impl Blobs {
    pub fn insert(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.add(digest.clone(), Content::Bytes(bytes));
        digest
    }

    /// Whoever keeps what is in a file holds that it has this digest still.
    pub fn add(&mut self, digest: Digest, content: Content) {
        self.0.insert(digest, content);
    }

    /// Where they are in memory.
    pub fn get(&self, digest: &Digest) -> Option<&[u8]> {
        match self.0.get(digest)? {
            Content::Bytes(bytes) => Some(bytes),
            Content::File { .. } => None,
        }
    }

    pub fn has(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &Content)> {
        self.0.iter()
    }

    /// How many bytes there are in all.
    pub fn size(&self) -> u64 {
        self.0.values().map(Content::size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha_256_and_nothing_else_is_one() {
        let digest = Digest::of(b"abc");
        // NIST FIPS 180-2, appendix B.1.
        insta::assert_snapshot!(digest, @"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.short(), "ba7816bf8f01");
        let piecewise = Digest::of_all(b"a".chain(&b"bc"[..])).unwrap();
        assert_eq!(piecewise, (digest.clone(), 3));
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        for bad in [
            "",
            "ba78",
            &digest.as_str().to_uppercase(),
            &"g".repeat(64),
            "../x",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn blobs_are_kept_under_their_digest() {
        let mut blobs = Blobs::default();
        let one = blobs.insert(b"one".to_vec());
        let mut more = Blobs::default();
        let two = more.insert(b"two!".to_vec());
        blobs.extend(more);
        assert_eq!(blobs.get(&one), Some(&b"one"[..]));
        assert_eq!(blobs.get(&two), Some(&b"two!"[..]));
        assert_eq!(blobs.get(&Digest::of(b"three")), None);
        assert_eq!((blobs.iter().count(), blobs.size()), (2, 7));
        let of_file = Digest::of(b"three");
        let path = PathBuf::from("/x");
        blobs.add(of_file.clone(), Content::File { path, size: 5 });
        assert_eq!(
            (blobs.get(&of_file), blobs.has(&of_file), blobs.size()),
            (None, true, 12)
        );
    }
}
