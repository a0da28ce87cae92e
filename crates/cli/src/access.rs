//! As whom a command speaks: an operator's credentials file, or a node's own key.
//!
//! *Invariant:* of a node's directory nothing but its key is read, and only with `--as-node`.

use crate::exit::Failure;
use ironcache_client::{Access, AccessError};
use ironcache_identity::{CREDENTIALS_VARIABLE, CredentialsError, default_path};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Instead of a file's name: speak as nobody.
const NONE: &str = "none";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AccessArgs {
    /// Whose key is used: a credentials file, or `none` for an insecure cluster
    /// [IRONCACHE_CREDENTIALS, else ironcache/credentials.json of the user's configuration]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// For who is locked out: speak with the key of the node on this machine whose data directory (or key file) this is
    #[arg(long, value_name = "DIR", conflicts_with = "credentials")]
    as_node: Option<PathBuf>,
}

impl AccessArgs {
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let AccessArgs { credentials, as_node } = self;
        if let Some(dir) = as_node {
            return Ok(Access::as_node(dir)?);
        }
        let variable = std::env::var_os(CREDENTIALS_VARIABLE).filter(|value| !value.is_empty());
        let given = credentials.is_some() || variable.is_some();
        let path = match credentials {
            Some(path) => Some(path.clone()),
            None => default_path(|name| std::env::var_os(name)),
        };
        access_of(path, given)
    }
}

/// A file that somebody named has to be there; without one the cluster may be insecure, and may be asked whether it is.
fn access_of(path: Option<PathBuf>, given: bool) -> Result<Access, Failure> {
    let path = match path {
        None => return Ok(Access::Without { looked: None }),
        Some(path) if path == Path::new(NONE) => return Ok(Access::Open),
        Some(path) => path,
    };
    match Access::of_file(&path) {
        Err(AccessError::Credentials(CredentialsError::Missing { path })) if !given => {
            Ok(Access::Without { looked: Some(path) })
        }
        access => Ok(access?),
    }
}

/// What whoever asks without credentials, and did not say that none are needed, has to know before they believe the answer.
pub(crate) fn warn(access: &Access) {
    if let Access::Without { looked } = access {
        let file =
            looked.as_ref().map_or_else(String::new, |path| format!(" ({} is not there)", path.display()));
        // Where nobody reads stderr, the answer is all that is wanted.
        let _ = writeln!(
            std::io::stderr(),
            "ironcache: no credentials{file}: whoever answers is believed, and nothing is ordered; `--credentials none` for an \
             insecure cluster"
        );
    }
}

/// Where a new cluster's credentials go.
pub(crate) fn new_file(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = given.or_else(|| default_path(|name| std::env::var_os(name)));
    path.filter(|path| path != Path::new(NONE)).ok_or_else(|| {
        Failure::Usage(
            "where shall the credentials go? Give --credentials FILE (the environment has neither a home nor \
             IRONCACHE_CREDENTIALS)"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_identity::{Credentials, PrivateKey};
    use ironcache_types::ClusterId;

    #[test]
    fn a_file_that_was_named_has_to_be_there_and_another_only_if_the_cluster_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let named = access_of(Some(path.clone()), true).unwrap_err();
        assert_eq!(named.code(), 2);
        assert!(named.to_string().contains("there is no credentials file"), "{named}");
        let silent = access_of(Some(path.clone()), false).unwrap();
        assert!(matches!(silent, Access::Without { looked: Some(looked) } if looked == path));
        assert!(matches!(access_of(None, false).unwrap(), Access::Without { looked: None }));
        assert!(matches!(access_of(Some(PathBuf::from(NONE)), true).unwrap(), Access::Open));
        let key = PrivateKey::generate().unwrap();
        let (cluster, pins, heard) = (ClusterId(7), [key.hash()].into(), [].into());
        Credentials { cluster, pins, heard, key }.create(&path).unwrap();
        assert!(matches!(access_of(Some(path), false).unwrap(), Access::Keyed(_)));
    }
}
