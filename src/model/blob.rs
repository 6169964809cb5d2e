//! Bytes that are too many for an event: kept under their digest, beside the events.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// SHA-256 of some bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        use fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(bytes) {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
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

/// Some bytes, each under its own digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blobs(BTreeMap<Digest, Vec<u8>>);

impl Blobs {
    pub fn insert(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.0.insert(digest.clone(), bytes);
        digest
    }

    pub fn get(&self, digest: &Digest) -> Option<&[u8]> {
        self.0.get(digest).map(Vec::as_slice)
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &[u8])> {
        self.0
            .iter()
            .map(|(digest, bytes)| (digest, bytes.as_slice()))
    }

    /// How many bytes there are in all.
    pub fn size(&self) -> u64 {
        self.0.values().map(|bytes| bytes.len() as u64).sum()
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
    }
}
