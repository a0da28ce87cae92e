//! What an operator's machine keeps: which cluster, whose key, and the keys by which the cluster's nodes are known.
//!
//! *Invariant:* the file is its owner's alone (0600), and written as a whole.
//! *Invariant:* the number of its format stands in every format, and is looked at first: a file of a newer release is told
//! from a damaged one.

use crate::key::{KeyError, PrivateKey};
use crate::secret_file::{self, Made, SecretFileError};
use ironcache_types::{ClusterId, KeyHash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the file, whatever the user's configuration has.
pub const CREDENTIALS_VARIABLE: &str = "IRONCACHE_CREDENTIALS";

const FORMAT: u16 = 1;

/// A credentials file, read.
#[derive(Debug)]
pub struct Credentials {
    pub cluster: ClusterId,
    pub key: PrivateKey,
    /// The keys of the cluster's nodes: any of them may answer, at whatever address.
    pub pins: BTreeSet<KeyHash>,
    /// Those that one of its nodes named and no other has confirmed: they may answer, and no pin goes by their word.
    pub heard: BTreeSet<KeyHash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u16,
    cluster: ClusterId,
    /// PEM.
    key: String,
    pins: BTreeSet<KeyHash>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    heard: BTreeSet<KeyHash>,
}

/// Of any format.
#[derive(Deserialize)]
struct Numbered {
    format: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "there is no credentials file {}; `ironcache cluster create` makes one, an admin another (`ironcache cluster \
         operator add`), and {CREDENTIALS_VARIABLE} names one that lies elsewhere", path.display()
    )]
    Missing { path: PathBuf },
    #[error("{} is no credentials file of this release: {problem}", path.display())]
    Unusable { path: PathBuf, problem: String },
    #[error("the key in {} cannot be used", path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("{} exists; credentials are not written over others", path.display())]
    Exists { path: PathBuf },
}

impl Credentials {
    /// # Errors
    /// There is no such file, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, CredentialsError> {
        let missing = || CredentialsError::Missing { path: path.to_owned() };
        let bytes = secret_file::read(path)?.ok_or_else(missing)?;
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CredentialsError> {
        let at = || path.to_owned();
        // Where it went wrong and not what stands there: that may be the key.
        let problem = |error: &serde_json::Error| format!("line {}, column {}", error.line(), error.column());
        let unreadable = |error| CredentialsError::Unusable { path: at(), problem: problem(&error) };
        let Numbered { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            let problem = format!("format {format} is unknown, run the release that wrote it");
            return Err(CredentialsError::Unusable { path: at(), problem });
        }
        let Stored { format: _, cluster, key, pins, heard } =
            serde_json::from_slice(bytes).map_err(unreadable)?;
        let key =
            PrivateKey::from_pem(&key).map_err(|source| CredentialsError::Key { path: at(), source })?;
        Ok(Credentials { cluster, key, pins, heard })
    }

    /// Writes a new file. Its directory has to be there.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), CredentialsError> {
        match secret_file::create(path, &self.text())? {
            Made::Now => Ok(()),
            Made::Before => Err(CredentialsError::Exists { path: path.to_owned() }),
        }
    }

    /// Writes the file anew: the cluster has other nodes now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn replace(&self, path: &Path) -> Result<(), CredentialsError> {
        Ok(secret_file::write(path, &self.text())?)
    }

    fn text(&self) -> Vec<u8> {
        let Self { cluster, key, pins, heard } = self;
        let (pins, heard) = (pins.clone(), heard.clone());
        let stored = Stored { format: FORMAT, cluster: *cluster, key: key.to_pem(), pins, heard };
        let mut text = serde_json::to_vec_pretty(&stored).expect("text, numbers and lists are JSON");
        text.push(b'\n');
        text
    }
}

/// Where the credentials are: what [`CREDENTIALS_VARIABLE`] says, else a file of the user's configuration. `None`: the
/// environment has neither, nor a home.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = given(CREDENTIALS_VARIABLE) {
        return Some(PathBuf::from(path));
    }
    let configuration = match given("XDG_CONFIG_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(given("HOME")?).join(".config"),
    };
    Some(configuration.join("ironcache").join("credentials.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn credentials() -> Credentials {
        let key = PrivateKey::generate().unwrap();
        let heard = BTreeSet::from([KeyHash(ironcache_types::Digest([9; 32]))]);
        Credentials { cluster: ClusterId(7), pins: BTreeSet::from([key.hash()]), heard, key }
    }

    #[test]
    fn credentials_read_what_they_wrote_and_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let written = credentials();
        written.create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Credentials::load(&path).unwrap();
        assert_eq!((read.cluster, read.key.hash()), (written.cluster, written.key.hash()));
        assert_eq!((read.pins, read.heard), (written.pins, written.heard));
        let again = credentials().create(&path).unwrap_err();
        assert!(matches!(again, CredentialsError::Exists { .. }), "{again}");
        assert_eq!(Credentials::load(&path).unwrap().key.hash(), written.key.hash());
    }

    /// This file never changes: it lies on operators' machines.
    #[test]
    fn format_1_stays_as_it_is() {
        let golden = include_str!("../tests/golden/credentials-1.json");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        secret_file::write(&path, golden.as_bytes()).unwrap();
        let read = Credentials::load(&path).unwrap();
        assert_eq!((read.cluster, read.pins.len()), (ClusterId(7), 2));
        assert!(read.pins.contains(&read.key.hash()), "a key is pinned by the hash that it always had");
        read.replace(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    }

    #[test]
    fn a_file_of_a_newer_release_is_told_from_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        secret_file::write(&path, br#"{"format": 2, "whatever": "the future needs"}"#).unwrap();
        let error = Credentials::load(&path).unwrap_err().to_string();
        assert!(error.contains("format 2 is unknown"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_credentials_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let absent = Credentials::load(&path).unwrap_err().to_string();
        assert!(absent.contains("`ironcache cluster create` makes one"), "{absent}");
        credentials().create(&path).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let secret = whole.split("\\n").nth(1).unwrap().to_owned();
        for damaged in [
            whole.replace("\"format\": 1", "\"format\": 2"),
            whole.replace("\"format\": 1", "\"format\": 1, \"more\": 1"),
            whole.replace(&secret, &secret[..40]),
            whole[..whole.len() / 2].to_owned(),
        ] {
            secret_file::write(&path, damaged.as_bytes()).unwrap();
            let error = Credentials::load(&path).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(&secret[..40]), "{error:?}");
        }
    }

    #[test]
    fn the_variable_comes_first_then_the_users_configuration() {
        let path = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let path = default_path(|name| {
                set.iter().find(|(known, _)| known == name).map(|(_, value)| OsString::from(value))
            });
            path.map(|path| path.display().to_string())
        };
        let all = [(CREDENTIALS_VARIABLE, "/c"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(path(&all).as_deref(), Some("/c"));
        assert_eq!(path(&all[1..]).as_deref(), Some("/x/ironcache/credentials.json"));
        assert_eq!(path(&all[2..]).as_deref(), Some("/h/.config/ironcache/credentials.json"));
        assert_eq!(path(&[("HOME", "")]), None);
    }

    #[test]
    fn fuzz_credentials_and_the_keys_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let written = credentials();
        written.create(&path).unwrap();
        let file = std::fs::read(&path).unwrap();
        let pem = written.key.to_pem();
        let words = ["\"", "\\n", "-----", "[", "{"];
        ironcache_fuzz::Campaign::of("credentials").from([file, pem.into_bytes()]).words(words).run(
            |bytes| {
                drop(PrivateKey::from_pem(&String::from_utf8_lossy(bytes)));
                Credentials::parse(Path::new(""), bytes)
                    .map(drop)
                    .map_err(|error| std::mem::discriminant(&error))
            },
        );
    }
}
