//! What a node begins with: its key, what binds it, and the code that it obeys until something does.

use super::{Binding, BindingError, Code, CodeBy, Doors, Known};
use crate::config::Config;
use crate::keepalive::Keepalive;
use ironcache_control::Security;
use ironcache_host::exec::spawn_blocking;
use ironcache_identity::{
    JoinCode, KeyError, LinkError, ParseJoinCodeError, PrivateKey, SecretFileError, Tls,
};
use ironcache_store::{DiskError, at, disk, read_durably};
use ironcache_types::{KeyHash, NodeId};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
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
    #[error(
        "this node has joined a cluster of which its log has no entry yet, and `binding.json`, which says by what keys its \
         members are known, is missing: restore it; or start the node with an empty data directory, as a new one"
    )]
    NotBound,
    #[error(
        "this node is a member of a cluster, and its key {} is missing: the others know the node by it. Restore it; or start \
         with an empty data directory, as a new node that takes this one's place (`ironcache cluster replace-node`)",
        path.display()
    )]
    KeyLost { path: PathBuf },
    #[error(
        "the key of this node is {found}, and its cluster knows node {node} by {pinned}: restore the file (`key-file`); or \
         start with an empty data directory, as a new node that takes this one's place (`ironcache cluster replace-node`)"
    )]
    OtherKey { node: NodeId, pinned: KeyHash, found: KeyHash },
}

impl Doors {
    /// Of the node of `config`'s directory, whose key is made if there is none, and nobody knows the node by one yet.
    pub(crate) fn of(config: &Arc<Config>) -> Result<Doors, StartError> {
        let dir = config.data_dir.clone();
        disk::create_dir_all(&dir)
            .map_err(|source| StartError::Dir(at("make the directory", &dir)(source)))?;
        let path = match &*config.key_file {
            "" => dir.join("node.key"),
            given => PathBuf::from(given),
        };
        close_to_others(&dir, if disk::metadata(&path).is_err() { 0o077 } else { 0o007 });
        let binding = Binding::read(&dir)?.map(Arc::new);
        // One that cannot be read stops the node a moment later, and by name.
        let is_member = crate::identity::is_member(&dir).unwrap_or(true);
        // In an insecure cluster nobody knows a node by its key.
        let is_known = binding.is_some() || (is_member && !config.insecure);
        let key = match is_known {
            false => PrivateKey::load_or_make(&path)?,
            true => PrivateKey::load(&path).map_err(|error| match error {
                KeyError::Missing { path } => StartError::KeyLost { path },
                other => StartError::Key(other),
            })?,
        };
        let tls = Tls::new(&key).map_err(StartError::Tls)?;
        let code = if is_member { forget_code(&dir) } else { code(config, &dir)? };
        Ok(Doors {
            tls,
            keepalive: Keepalive::new(config.tcp_keepalive),
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
            keepalive: Keepalive::new(config.tcp_keepalive),
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

    /// May node `me` run as what its log says that it is? To be asked once the log is attached; `has_joined` is whether the
    /// node is in a raft group.
    ///
    /// # Errors
    /// Its cluster is insecure and its settings do not permit that; or it is known by another key than the one it has.
    pub(crate) fn check(&self, me: NodeId, has_joined: bool) -> Result<(), StartError> {
        let (view, binding) = (self.views.get().map(|views| Arc::clone(&views.borrow())), self.binding());
        let state = view.as_ref().map(|view| &view.state).filter(|state| state.cluster_id.is_some());
        let pinned = match state {
            Some(state) => state.security.pin(me),
            None => binding.as_ref().and_then(|binding| binding.nodes.get(&me).copied()),
        };
        let found = self.tls.hash();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
            return Err(StartError::OtherKey { node: me, pinned, found });
        }
        let (permits, is_bound) = (self.config.insecure, binding.is_some());
        match state.map(|state| &state.security) {
            Some(Security::Insecure) if !permits && !is_bound => Err(StartError::NotPermitted),
            None if has_joined && !permits && !is_bound => Err(StartError::NotBound),
            Some(Security::Insecure | Security::Keys(_)) | None => Ok(()),
        }
    }
}

/// Keys, datasets and the log lie in it, and other users of the machine have no business there: what `bits` permit is taken
/// away. A new node's is its owner's alone; later a group keeps what it was given: whoever makes copies, say.
#[cfg(not(turmoil))]
fn close_to_others(dir: &Path, bits: u32) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::metadata(dir) else { return };
    let mode = found.permissions().mode() & 0o7777;
    let closed = mode & !bits;
    if closed != mode
        && let Err(error) = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(closed))
    {
        // A volume that belongs to somebody else: whoever made it says who may read it.
        tracing::warn!(dir = %dir.display(), %error, "other users of this machine may read the data directory");
    }
}

/// A simulated disk has no modes.
#[cfg(turmoil)]
fn close_to_others(_dir: &Path, _bits: u32) {}

/// Whoever's `create` or `add-node` broke off names the file again, and goes on: sooner, and there is none for that; later, and
/// a secret that is good for nothing lies about.
pub(crate) const CODE_KEPT_FOR: Duration = Duration::from_secs(3600);

impl Doors {
    /// Returns when the file of the code is gone: so long after the node has come to belong to a cluster.
    pub(crate) async fn forget_code(self: Arc<Self>, kept_for: Duration) {
        let Some(mut views) = self.views.get().cloned() else { return };
        if views.wait_for(|view| view.state.cluster_id.is_some()).await.is_err() {
            return;
        }
        drop(views);
        tokio::time::sleep(kept_for).await;
        let dir = self.dir.clone();
        let _ = spawn_blocking(move || forget_code(&dir)).await;
    }
}

/// The node belongs to a cluster: the code that it drew is good for nothing any more, whatever has become of its file.
fn forget_code(dir: &Path) -> Option<Code> {
    // It may be gone for long, and does no harm where it cannot be removed.
    let _ = disk::remove_file(dir.join("join.code"));
    None
}

/// The one that it was given; else one of its own, the same at each start. A node that permits everybody needs none.
fn code(config: &Config, dir: &Path) -> Result<Option<Code>, StartError> {
    if config.join_code_file.is_empty() {
        if config.insecure {
            return Ok(None);
        }
        let drawn = JoinCode::load_or_draw(&dir.join("join.code")).map_err(|error| match error {
            ironcache_identity::CodeFileError::File(error) => StartError::Code(error),
            ironcache_identity::CodeFileError::Random(error) => StartError::Random(error),
            ironcache_identity::CodeFileError::NotACode { path, source } => {
                StartError::BadCode { path, source }
            }
        })?;
        return Ok(Some(Code { code: drawn, by: CodeBy::Drawn }));
    }
    // Whoever carries it in says who may read it: a Secret that is mounted belongs to somebody else.
    let path = PathBuf::from(&config.join_code_file);
    let Some(bytes) = read_durably(&path)? else { return Err(StartError::NoCode { path }) };
    let text = String::from_utf8_lossy(&bytes);
    match text.trim().parse() {
        Ok(code) => Ok(Some(Code { code, by: CodeBy::Given })),
        Err(source) => Err(StartError::BadCode { path, source }),
    }
}
