//! As whom a client speaks, and whom it believes.
//!
//! ```text
//!   Open ──── to an insecure cluster, and for what a node tells everybody: plain HTTP
//!   Keyed ─── the key of an operator, or of a node on its own machine; the pins of those that may answer
//! ```
//! *Invariant:* who has a key never speaks without TLS: what answers is a node of the cluster, or nothing is said to it.
//! *Invariant:* pins come from the credentials file and from nodes that proved one of them, and from nowhere else.

use ironcache_api::ControlView;
use ironcache_identity::{Credentials, CredentialsError, KeyError, LinkError, PrivateKey, Tls};
use ironcache_types::{ClusterId, KeyHash};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// As whom a client speaks.
#[derive(Clone, Debug)]
pub enum Access {
    /// As nobody. `missing` is where a credentials file was looked for.
    Open {
        missing: Option<PathBuf>,
    },
    Keyed(Arc<Keyed>),
}

/// Somebody with a key.
#[derive(Debug)]
pub struct Keyed {
    tls: Tls,
    /// `None`: a node's own key, which the node's own cluster knows.
    cluster: Option<ClusterId>,
    pins: Mutex<Arc<BTreeSet<KeyHash>>>,
    source: Source,
}

/// Where the key is from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Credentials { path: PathBuf },
    Node { dir: PathBuf },
    Memory,
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the key of the node in {} cannot be used", dir.display())]
    NodeKey { dir: PathBuf, source: KeyError },
    #[error(transparent)]
    Tls(#[from] LinkError),
}

impl Access {
    /// As nobody, and nobody wonders.
    pub fn open() -> Self {
        Access::Open { missing: None }
    }

    /// As the operator of a credentials file, which is kept up with the cluster's nodes.
    ///
    /// # Errors
    /// There is none, others may read it, or it holds something else.
    pub fn of_file(path: &Path) -> Result<Self, AccessError> {
        let credentials = Credentials::load(path)?;
        Self::keyed(&credentials, Source::Credentials { path: path.to_owned() })
    }

    /// As an operator whose file is written by somebody else, or not yet.
    ///
    /// # Errors
    /// The TLS library does not take the key.
    pub fn of(credentials: &Credentials) -> Result<Self, AccessError> {
        Self::keyed(credentials, Source::Memory)
    }

    fn keyed(credentials: &Credentials, source: Source) -> Result<Self, AccessError> {
        let Credentials { cluster, key, pins } = credentials;
        let (tls, pins) = (Tls::new(key)?, Mutex::new(Arc::new(pins.clone())));
        Ok(Access::Keyed(Arc::new(Keyed { tls, cluster: Some(*cluster), pins, source })))
    }

    /// As the node whose data directory is `dir`, or whose key file it is. Only that node is believed, until it has named the
    /// others.
    ///
    /// # Errors
    /// There is no key, or it cannot be used.
    pub fn as_node(dir: &Path) -> Result<Self, AccessError> {
        let file = if dir.is_dir() { dir.join("node.key") } else { dir.to_owned() };
        let key =
            PrivateKey::load(&file).map_err(|source| AccessError::NodeKey { dir: dir.to_owned(), source })?;
        let (tls, pins) = (Tls::new(&key)?, Mutex::new(Arc::new(BTreeSet::from([key.hash()]))));
        let source = Source::Node { dir: dir.to_owned() };
        Ok(Access::Keyed(Arc::new(Keyed { tls, cluster: None, pins, source })))
    }

    /// Is one node alone believed at first?
    pub(crate) fn is_of_node(&self) -> bool {
        match self {
            Access::Open { .. } => false,
            Access::Keyed(keyed) => matches!(keyed.source, Source::Node { .. }),
        }
    }
}

impl Keyed {
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    pub fn pins(&self) -> Arc<BTreeSet<KeyHash>> {
        self.lock().clone()
    }

    /// The cluster that is meant; `None`: the node's own.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Takes over who the cluster's nodes are, as one of them says: some have joined since the file was written, and some
    /// have left.
    pub(crate) fn keep_up(&self, control: &ControlView) {
        let pins: BTreeSet<KeyHash> = control.pins.values().copied().collect();
        if pins.is_empty() || *self.pins() == pins {
            return;
        }
        *self.lock() = Arc::new(pins.clone());
        if let Source::Credentials { path } = &self.source {
            // A file that cannot be written, or that became another's, stays: the next command learns it again.
            if let Ok(stored) = Credentials::load(path)
                && stored.key.hash() == self.tls.hash()
            {
                let _ = Credentials { pins, ..stored }.replace(path);
            }
        }
    }

    /// Who was expected, for people.
    pub(crate) fn expected(&self) -> String {
        match &self.source {
            Source::Credentials { path } => format!("a node of the cluster of {}", path.display()),
            Source::Node { dir } => format!("the node whose key is in {}", dir.display()),
            Source::Memory => "a node of that cluster".to_owned(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<BTreeSet<KeyHash>>> {
        self.pins.lock().expect("nothing panics while it holds the pins")
    }
}
