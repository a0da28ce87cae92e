//! Who is at the other end of a connection.

use super::Doors;
use crate::doorkeeper::Standing;
use ironcache_control::OperatorRole;
use ironcache_identity::Session;
use ironcache_types::{KeyHash, NodeId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What is known of a connection, in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    /// By TLS.
    session: Option<Session>,
    /// From this machine.
    is_local: bool,
    /// It has proved the join code.
    met: AtomicBool,
}

/// Who that is, as this node knows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody is asked who they are.
    Open,
    /// No key was shown.
    Nobody,
    /// A key that nobody here is known by.
    Unknown(KeyHash),
    /// It holds the join code of this node, which belongs to no cluster yet.
    Met(KeyHash),
    Member(NodeId),
    Operator {
        key: KeyHash,
        name: String,
        role: OperatorRole,
    },
}

impl Caller {
    pub(crate) fn plain(is_local: bool) -> Self {
        Caller(Arc::new(Facts { session: None, is_local, met: AtomicBool::new(false) }))
    }

    pub(crate) fn secured(session: Session, is_local: bool) -> Self {
        Caller(Arc::new(Facts { session: Some(session), is_local, met: AtomicBool::new(false) }))
    }

    pub(crate) fn is_local(&self) -> bool {
        self.0.is_local
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.0.session.as_ref()
    }

    /// The key that it proved.
    pub(crate) fn key(&self) -> Option<KeyHash> {
        self.0.session.as_ref()?.peer
    }

    /// It has proved the join code, on this very connection.
    pub(crate) fn meet(&self) {
        self.0.met.store(true, Ordering::Release);
    }

    pub(crate) fn has_met(&self) -> bool {
        self.0.met.load(Ordering::Acquire)
    }

    /// Is it one who makes room for strangers? `None`: nobody is asked who they are.
    pub(crate) fn standing(&self, doors: &Doors) -> Option<Standing> {
        match self.who(doors) {
            Who::Open => None,
            Who::Nobody | Who::Unknown(_) => Some(Standing::Stranger),
            Who::Met(_) | Who::Member(_) | Who::Operator { .. } => Some(Standing::Known),
        }
    }

    pub(crate) fn who(&self, doors: &Doors) -> Who {
        let Some(key) = self.key() else {
            return match doors.mode() {
                super::Mode::Open => Who::Open,
                _ => Who::Nobody,
            };
        };
        match doors.holder(key) {
            Who::Unknown(key) if self.has_met() && doors.code().is_some() => Who::Met(key),
            who => who,
        }
    }
}

/// When a connection is to be closed: the state names its key no longer.
#[derive(Clone, Debug)]
pub(crate) struct Revocation {
    /// `None`: it came, or was made, without a key, and is never revoked.
    key: Option<KeyHash>,
    /// Since this was made. Who looks for the first time later, on another thread, still learns of what came in between.
    was_named: bool,
    doors: Arc<Doors>,
    changes: watch::Receiver<u64>,
}

impl Doors {
    /// Of a connection whose key may be named only later: who binds a new node, say.
    pub(crate) fn revocation(self: &Arc<Self>, key: Option<KeyHash>) -> Revocation {
        let mut revocation = self.revocation_of_member(key);
        revocation.was_named = key.is_some_and(|key| revocation.is_named(key));
        revocation
    }

    /// Of a connection that is there because its key was named: if it is not any more, it ends at once.
    pub(crate) fn revocation_of_member(self: &Arc<Self>, key: Option<KeyHash>) -> Revocation {
        Revocation { key, was_named: true, doors: Arc::clone(self), changes: self.changes.subscribe() }
    }
}

impl Revocation {
    fn is_named(&self, key: KeyHash) -> bool {
        match self.doors.holder(key) {
            Who::Open | Who::Member(_) | Who::Operator { .. } => true,
            Who::Nobody | Who::Unknown(_) | Who::Met(_) => false,
        }
    }

    /// Returns when the key was named, and is no longer; never for a connection without one.
    pub(crate) async fn revoked(&mut self) {
        let Some(key) = self.key else { return std::future::pending().await };
        loop {
            let is_named = self.is_named(key);
            if self.was_named && !is_named {
                return;
            }
            self.was_named |= is_named;
            if self.changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
