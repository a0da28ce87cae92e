//! As whom a command speaks: an operator's credentials file, or a node's own key.
//!
//! *Invariant:* of a node's directory nothing but its key is read, and only with `--as-node`.

use crate::exit::Failure;
use ironcache_client::{Access, AccessError};
use ironcache_identity::{CREDENTIALS_VARIABLE, CredentialsError, default_path};
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
        let given = credentials.is_some() || std::env::var_os(CREDENTIALS_VARIABLE).is_some();
        let path = match credentials {
            Some(path) => Some(path.clone()),
            None => default_path(|name| std::env::var_os(name)),
        };
        access_of(path, given)
    }
}

/// A file that somebody named has to be there; without one the cluster may be insecure, and says so if it is not.
fn access_of(path: Option<PathBuf>, given: bool) -> Result<Access, Failure> {
    let path = match path {
        None => return Ok(Access::open()),
        Some(path) if path == Path::new(NONE) => return Ok(Access::open()),
        Some(path) => path,
    };
    match Access::of_file(&path) {
        Err(AccessError::Credentials(CredentialsError::Missing { path })) if !given => {
            Ok(Access::Open { missing: Some(path) })
        }
        access => Ok(access?),
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
        assert!(matches!(silent, Access::Open { missing: Some(missing) } if missing == path));
        let none = access_of(Some(PathBuf::from(NONE)), true).unwrap();
        assert!(matches!(none, Access::Open { missing: None }));
        let key = PrivateKey::generate().unwrap();
        Credentials { cluster: ClusterId(7), pins: [key.hash()].into(), key }.create(&path).unwrap();
        assert!(matches!(access_of(Some(path), false).unwrap(), Access::Keyed(_)));
    }
}
