//! What a node begins with: its key, what binds it, and the code that it obeys until something does.

use super::{Binding, BindingError, Doors, Known};
use crate::config::Config;
use ironcache_identity::{
    JoinCode, KeyError, LinkError, ParseJoinCodeError, PrivateKey, SecretFileError, Tls,
};
use ironcache_store::{DiskError, at, disk, read_durably};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data directory cannot be made")]
    Dir(#[source] DiskError),
    #[error("this node's key cannot be used")]
    Key(#[from] KeyError),
    #[error("this node's key is of no use for TLS")]
    Tls(#[source] LinkError),
    #[error("what binds this node to its cluster cannot be read")]
    Binding(#[from] BindingError),
    #[error("the join code cannot be kept")]
    Code(#[from] SecretFileError),
    #[error("the system gives no randomness for a join code")]
    Random(#[source] getrandom::Error),
    #[error("the join code cannot be read")]
    CodeFile(#[from] DiskError),
    #[error("there is no join code in {} (`join-code-file`)", path.display())]
    NoCode { path: PathBuf },
    #[error("{}: {source}", path.display())]
    BadCode { path: PathBuf, source: ParseJoinCodeError },
    #[error(
        "this node belongs to an insecure cluster, in which whoever reaches its peer or HTTP port owns it, and `insecure` \
         does not permit that: start it with `insecure yes`, or as a new node of a cluster with keys"
    )]
    NotPermitted,
}

impl Doors {
    /// Of the node of `config`'s directory, whose key is made if there is none.
    pub(crate) fn of(config: &Arc<Config>) -> Result<Doors, StartError> {
        let dir = config.data_dir.clone();
        disk::create_dir_all(&dir)
            .map_err(|source| StartError::Dir(at("make the directory", &dir)(source)))?;
        let path = match &*config.key_file {
            "" => dir.join("node.key"),
            given => PathBuf::from(given),
        };
        let tls = Tls::new(&PrivateKey::load_or_make(&path)?).map_err(StartError::Tls)?;
        let binding = Binding::read(&dir)?.map(Arc::new);
        let code = code(config, &dir)?;
        Ok(Doors {
            tls,
            config: Arc::clone(config),
            dir,
            code,
            views: OnceLock::new(),
            known: Mutex::new(Known { binding, ..Known::default() }),
            changes: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            control: Handle::try_current().ok(),
            unknown: Notify::new(),
        })
    }

    /// Of a node that believes everybody, and is known by a key of its own.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Arc<Doors> {
        let config = Arc::new(Config { insecure: true, ..Config::default() });
        Arc::new(Doors {
            tls: Tls::new(&PrivateKey::generate().unwrap()).unwrap(),
            dir: PathBuf::new(),
            config,
            code: None,
            views: OnceLock::new(),
            known: Mutex::default(),
            changes: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            control: Handle::try_current().ok(),
            unknown: Notify::new(),
        })
    }

    /// # Errors
    /// The node belongs to a cluster (`is_member`) that is insecure, and its settings do not permit that.
    pub(crate) fn check_permitted(&self, is_member: bool) -> Result<(), StartError> {
        if is_member && self.binding().is_none() && !self.config.insecure {
            return Err(StartError::NotPermitted);
        }
        Ok(())
    }
}

/// The one that it was given; else one of its own, the same at each start. A node that permits everybody needs none.
fn code(config: &Config, dir: &Path) -> Result<Option<JoinCode>, StartError> {
    if config.join_code_file.is_empty() {
        return match config.insecure {
            true => Ok(None),
            false => JoinCode::load_or_draw(&dir.join("join.code")).map(Some).map_err(|error| match error {
                ironcache_identity::CodeFileError::File(error) => StartError::Code(error),
                ironcache_identity::CodeFileError::Random(error) => StartError::Random(error),
                ironcache_identity::CodeFileError::NotACode { path, source } => {
                    StartError::BadCode { path, source }
                }
            }),
        };
    }
    // Whoever carries it in says who may read it: a Secret that is mounted belongs to somebody else.
    let path = PathBuf::from(&config.join_code_file);
    let Some(bytes) = read_durably(&path)? else {
        // It is of no use any more once the node belongs to a cluster, and may be gone.
        return match crate::identity::is_member(dir) {
            Ok(true) => Ok(None),
            Ok(false) | Err(_) => Err(StartError::NoCode { path }),
        };
    };
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map(Some).map_err(|source| StartError::BadCode { path, source })
}
