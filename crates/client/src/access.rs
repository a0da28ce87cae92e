//! As whom a client speaks, and whom it believes.
//!
//! ```text
//!   Open ──── as somebody said: to an insecure cluster, and for what a node tells everybody: plain HTTP
//!   Without ─ for want of credentials: plain HTTP too, for questions
//!   Keyed ─── the key of an operator, or of a node on its own machine; the pins of those that may answer
//! ```
//! *Invariant:* who has a key asks and orders nothing without TLS: what answers is a node of the cluster, or nothing is said to
//! it. (Where a seed's HTTP port is was asked before, in the open: see [`crate::seed`]; no answer to that makes anybody believed.)
//! *Invariant:* no order goes to whoever happens to answer, but where somebody said that the cluster is insecure.
//! *Invariant:* pins come from the credentials file and from nodes that proved one of them, and from nowhere else; one node adds
//! them, and two take them away (see [`crate::pins`]).
//! *Invariant:* a credentials file is not written over before what it held is in another beside it (`.before`).

use crate::pins::{Pins, Words};
use ironcache_identity::{Credentials, CredentialsError, KeyError, LinkError, PrivateKey, Tls};
use ironcache_types::{ClusterId, KeyHash};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// While nodes come and go, one knows of it before another. Shorter, and whoever watches asks a second node each time.
const SECOND_WORD_EVERY: Duration = Duration::from_secs(2);

/// As whom a client speaks.
#[derive(Clone, Debug)]
pub enum Access {
    /// As nobody, and somebody said so.
    Open,
    /// As nobody, for want of credentials. `looked` is where a file was looked for.
    Without {
        looked: Option<PathBuf>,
    },
    Keyed(Arc<Keyed>),
}

/// Somebody with a key.
#[derive(Debug)]
pub struct Keyed {
    tls: Tls,
    /// `None`: a node's own key, which the node's own cluster knows.
    cluster: Option<ClusterId>,
    known: Mutex<Known>,
    source: Source,
}

/// What the client has learned.
#[derive(Debug)]
struct Known {
    pins: Pins,
    /// When somebody was asked last to confirm what one had said.
    asked: Option<Instant>,
}

impl Known {
    fn of(pins: Pins) -> Mutex<Self> {
        Mutex::new(Known { pins, asked: None })
    }
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
    /// As nobody, because somebody said so.
    pub fn open() -> Self {
        Access::Open
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
        let Credentials { cluster, key, pins: _, heard: _ } = credentials;
        let (tls, known) = (Tls::new(key)?, Known::of(pins_of(credentials)));
        Ok(Access::Keyed(Arc::new(Keyed { tls, cluster: Some(*cluster), known, source })))
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
        let pins = Pins { pinned: BTreeSet::from([key.hash()]), heard: BTreeSet::new() };
        let source = Source::Node { dir: dir.to_owned() };
        Ok(Access::Keyed(Arc::new(Keyed {
            tls: Tls::new(&key)?,
            cluster: None,
            known: Known::of(pins),
            source,
        })))
    }

    /// Is one node alone believed at first?
    pub(crate) fn is_of_node(&self) -> bool {
        match self {
            Access::Open | Access::Without { looked: _ } => false,
            Access::Keyed(keyed) => matches!(keyed.source, Source::Node { .. }),
        }
    }
}

impl Keyed {
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Everybody who may answer.
    pub fn pins(&self) -> Arc<BTreeSet<KeyHash>> {
        Arc::new(self.lock().pins.all())
    }

    /// Credentials for somebody else, who believes whom this client believes.
    pub fn credentials_for(&self, cluster: ClusterId, key: PrivateKey) -> Credentials {
        let Pins { pinned, heard } = self.lock().pins.clone();
        Credentials { cluster, key, pins: pinned, heard }
    }

    /// The cluster that is meant; `None`: the node's own.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// One node says who the cluster's are: some have joined since the file was written, and some have left. `Some` if that is
    /// news: whose word would be the second.
    pub(crate) fn hear(&self, words: &Words) -> Option<BTreeSet<KeyHash>> {
        let mut known = self.lock();
        if words.named.is_empty() || known.pins.is(&words.named) {
            return None;
        }
        // Whoever speaks with the key of the node that it is on takes that node's word.
        let pins = match &self.source {
            Source::Node { dir: _ } if words.are_of(self.tls.hash()) => known.pins.told(words),
            Source::Node { dir: _ } | Source::Credentials { path: _ } | Source::Memory => {
                known.pins.heard(words)
            }
        };
        let seconds = pins.could_second(words);
        let is_news = known.pins != pins;
        known.pins = pins;
        let due = known.asked.is_none_or(|asked| asked.elapsed() >= SECOND_WORD_EVERY);
        if due {
            known.asked = Some(Instant::now());
        }
        drop(known);
        if is_news {
            self.store(|pins| Some(pins.heard(words)));
        }
        (due && !seconds.is_empty()).then_some(seconds)
    }

    /// Several nodes say who the cluster's are. Did that decide it?
    pub(crate) fn agree(&self, words: &Words) -> bool {
        let agreed = self.lock().pins.agreed(words);
        let Some(agreed) = agreed else { return false };
        self.lock().pins = agreed;
        self.store(|pins| pins.agreed(words));
        true
    }

    /// Makes the change in the file, too. One that cannot be written, or that became another's, stays: the next command learns
    /// it again.
    fn store(&self, change: impl Fn(&Pins) -> Option<Pins>) {
        let Source::Credentials { path } = &self.source else { return };
        let Ok(stored) = Credentials::load(path) else { return };
        if stored.key.hash() != self.tls.hash() {
            return;
        }
        let before = pins_of(&stored);
        if let Some(Pins { pinned, heard }) = change(&before).filter(|after| *after != before)
            && stored.replace(&beside(path)).is_ok()
        {
            let _ = Credentials { pins: pinned, heard, ..stored }.replace(path);
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while it holds the pins")
    }
}

fn pins_of(credentials: &Credentials) -> Pins {
    Pins { pinned: credentials.pins.clone(), heard: credentials.heard.clone() }
}

/// Where the last file is kept.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before");
    PathBuf::from(name)
}
