//! Passwords as the sha256 of what a person types: 64 hexadecimal digits in text.

use sha2::{Digest, Sha256};
use std::fmt;

/// Of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// `None` unless it is 64 digits, letters in lower case: so Redis has it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
            *byte = digit(&pair[0])? << 4 | digit(&pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Compared to the end in any case, so that the time says nothing about where they differ.
    pub(crate) fn is(&self, other: &PasswordHash) -> bool {
        self.0.iter().zip(other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whoever logs a user does not log this.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let hash = PasswordHash::of(b"p");
        assert_eq!(hash.to_string(), "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940");
        assert_eq!(PasswordHash::parse(hash.to_string().as_bytes()), Some(hash));
        assert!(hash.is(&hash) && !hash.is(&PasswordHash::of(b"q")));
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    #[test]
    fn what_is_no_hash_in_lower_case_is_none() {
        let upper = PasswordHash::of(b"p").to_string().to_uppercase();
        for text in ["", "abc", &upper, &"g".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert_eq!(PasswordHash::parse(text.as_bytes()), None, "{text}");
        }
    }
}
