//! A certificate for both sides of a comparison.

use crate::Bench;
use anyhow::Result;
use std::path::PathBuf;

/// Files of a certificate that names 127.0.0.1, signed by itself, and of its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub(crate) fn make(bench: &Bench) -> Result<Self> {
        let dir = bench.fresh_dir()?;
        let (cert, key) = (dir.join("node.crt"), dir.join("node.key"));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        std::fs::write(&cert, pem("CERTIFICATE", made.cert.der()))?;
        std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der()))?;
        Ok(Self { cert, key })
    }

    /// As `playground` and `demo` take it, and redis-server too.
    pub(crate) fn args(&self) -> [String; 4] {
        let Self { cert, key } = self;
        [
            "--tls-cert-file".to_owned(),
            cert.display().to_string(),
            "--tls-key-file".to_owned(),
            key.display().to_string(),
        ]
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are a line of 64 digits.
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits =
                three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for digit in 0..4 {
                let at = (bits >> (18 - 6 * digit)) & 63;
                text.push(if digit <= three.len() { char::from(DIGITS[at as usize]) } else { '=' });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_in_lines_and_filled_up() {
        assert_eq!(pem("X", b"any"), "-----BEGIN X-----\nYW55\n-----END X-----\n");
        assert_eq!(pem("X", b"carnal"), "-----BEGIN X-----\nY2FybmFs\n-----END X-----\n");
        assert_eq!(pem("X", b"a"), "-----BEGIN X-----\nYQ==\n-----END X-----\n");
        assert_eq!(pem("X", b"ab"), "-----BEGIN X-----\nYWI=\n-----END X-----\n");
        assert_eq!(pem("X", &[0; 49]).lines().map(str::len).collect::<Vec<_>>(), [17, 64, 4, 15]);
    }
}
