//! A private key, and the file that it lies in.

use crate::certificate;
use crate::secret_file::{self, Made, SecretFileError};
use ironcache_types::{Digest, KeyHash};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};

/// What comes before the seed in PKCS #8, version 1 (RFC 8410, section 7): what every tool reads.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PKCS8_BYTES: usize = PKCS8_PREFIX.len() + 32;

/// A node's key, or an operator's. Its file is PEM, as `openssl genpkey -algorithm ed25519` writes it.
pub struct PrivateKey {
    pkcs8: [u8; PKCS8_BYTES],
    pair: Ed25519KeyPair,
    hash: KeyHash,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the system gives no random numbers for a key")]
    Random(#[source] getrandom::Error),
    #[error("this is no private key of Ed25519 in PEM")]
    NotAKey,
    #[error("{} holds no private key of Ed25519 in PEM", path.display())]
    BadFile { path: PathBuf },
    #[error("there is no key in {}", path.display())]
    Missing { path: PathBuf },
    #[error(transparent)]
    File(#[from] SecretFileError),
}

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Self::from_seed(&seed)
    }

    fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::NotAKey)?;
        let public: &[u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotAKey)?;
        let hash = hash_of(&certificate::spki(public));
        let mut pkcs8 = [0; PKCS8_BYTES];
        pkcs8[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
        pkcs8[PKCS8_PREFIX.len()..].copy_from_slice(seed);
        Ok(PrivateKey { pkcs8, pair, hash })
    }

    /// The key in `path`; a new one, durable there, if there is no such file. Whoever does so at the same time gets the same.
    ///
    /// # Errors
    /// The file cannot be read or written, others may read it, or it holds something else.
    pub fn load_or_make(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing { .. }) => {
                let key = Self::generate()?;
                match secret_file::create(path, key.to_pem().as_bytes())? {
                    Made::Now => Ok(key),
                    Made::Before => Self::load(path),
                }
            }
            loaded => loaded,
        }
    }

    /// The key in `path`.
    ///
    /// # Errors
    /// There is none, the file cannot be read, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let missing = || KeyError::Missing { path: path.to_owned() };
        let bytes = secret_file::read(path)?.ok_or_else(missing)?;
        let text = String::from_utf8(bytes).map_err(|_| KeyError::BadFile { path: path.to_owned() })?;
        Self::from_pem(&text).map_err(|error| match error {
            KeyError::NotAKey => KeyError::BadFile { path: path.to_owned() },
            other => other,
        })
    }

    /// # Errors
    /// The text holds no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NotAKey)?;
        let seed = der.secret_pkcs8_der().strip_prefix(&PKCS8_PREFIX).ok_or(KeyError::NotAKey)?;
        Self::from_seed(seed)
    }

    /// What its file holds.
    pub fn to_pem(&self) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&self.pkcs8))
    }

    /// What the key is pinned by.
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        let public: &[u8; 32] =
            self.pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        let sign = |message: &[u8]| {
            self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
        };
        CertificateDer::from(certificate::self_signed(public, sign))
    }

    pub(crate) fn pkcs8(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(&self.pkcs8[..])
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pkcs8: _, pair: _, hash } = self;
        f.debug_struct("PrivateKey").field("hash", hash).finish_non_exhaustive()
    }
}

/// The hash that pins the key of this SubjectPublicKeyInfo.
pub(crate) fn hash_of(spki: &[u8]) -> KeyHash {
    KeyHash(Digest(Sha256::digest(spki).into()))
}

/// 48 bytes are 64 letters, without padding.
fn base64(bytes: &[u8; PKCS8_BYTES]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[(bits >> shift) as usize & 63]))
    };
    bytes.chunks_exact(3).flat_map(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_reads_what_it_writes() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.hash(), key.hash());
        assert_ne!(PrivateKey::generate().unwrap().hash(), key.hash());
    }

    /// RFC 8410, section 10.3 and 10.1: the key of its examples, and what its public half is written as.
    #[test]
    fn a_key_is_what_the_standard_and_other_tools_write() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pem(pem).unwrap();
        assert_eq!(key.to_pem(), pem);
        let public: &[u8; 32] = key.pair.public_key().as_ref().try_into().unwrap();
        let spki = certificate::spki(public);
        assert_eq!(spki[12..16], [0x19, 0xbf, 0x44, 0x09]);
    }

    #[test]
    fn a_nodes_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let made = PrivateKey::load_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(PrivateKey::load_or_make(&path).unwrap().hash(), made.hash());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_starts_at_once_in_one_directory_have_one_key() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let (path, start) = (dir.path().join("node.key"), std::sync::Barrier::new(4));
            let begin = || {
                start.wait();
                PrivateKey::load_or_make(&path).unwrap().hash()
            };
            let made: Vec<KeyHash> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let kept = PrivateKey::load(&path).unwrap().hash();
            assert!(made.iter().all(|made| *made == kept), "{made:?}, and {kept} is in the file");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_and_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        PrivateKey::load_or_make(&path).unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = PrivateKey::load_or_make(&path).unwrap_err().to_string();
            let expected = format!("may be read by others (mode {mode:o}); chmod 600 it");
            assert!(error.ends_with(&expected), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        PrivateKey::load_or_make(&path).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        for bytes in [
            &b""[..],
            b"secret",
            b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            b"\xff\xfe",
        ] {
            secret_file::write(&path, bytes).unwrap();
            let error = PrivateKey::load_or_make(&path).unwrap_err();
            assert!(error.to_string().ends_with("holds no private key of Ed25519 in PEM"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert!(!format!("{:?}", PrivateKey::generate().unwrap()).contains("pkcs8"));
    }
}
