//! The hash that pins a key.

use crate::digest::{Digest, ParseDigestError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// sha256 of a public key as X.509 writes it (its SubjectPublicKeyInfo): what a node or an operator is known by. Shown as 64
/// lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub Digest);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({})", self.0.short())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the hash of a key: 64 hex digits are expected")]
pub struct ParseKeyHashError {
    pub text: String,
}

impl FromStr for KeyHash {
    type Err = ParseKeyHashError;

    fn from_str(text: &str) -> Result<Self, ParseKeyHashError> {
        text.parse().map(KeyHash).map_err(|ParseDigestError { text }| ParseKeyHashError { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_what_it_shows() {
        let hash = KeyHash(Digest(std::array::from_fn(|i| i as u8 * 5)));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let error = "abc".parse::<KeyHash>().unwrap_err();
        assert_eq!(error.to_string(), "\"abc\" is not the hash of a key: 64 hex digits are expected");
    }
}
