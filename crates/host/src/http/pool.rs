//! Connections between two calls.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use ironcache_types::NodeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Where a connection goes, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub addr: String,
    pub to: Option<NodeId>,
}

/// Kept for one way. More than raft, reports and a lease need at a time are dialled when they are needed.
const KEPT_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Pool {
    /// A std mutex: held to look and to change, never across an await.
    kept: Mutex<BTreeMap<Way, Vec<Kept>>>,
}

struct Kept {
    sender: Sender,
    since: Instant,
    generation: u64,
}

impl Pool {
    /// One that can be used at once, if there is one.
    pub(super) fn take(&self, way: &Way, generation: u64, idle: Duration) -> Option<Sender> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let of_way = kept.get_mut(way)?;
        of_way.retain(|one| {
            !one.sender.is_closed() && one.generation == generation && one.since.elapsed() < idle
        });
        of_way.pop().map(|one| one.sender)
    }

    pub(super) fn keep(&self, way: Way, generation: u64, idle: Duration, sender: Sender) {
        if cfg!(turmoil) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody calls any more is let go by whoever calls others.
        kept.retain(|_, of_way| {
            of_way.retain(|one| !one.sender.is_closed() && one.since.elapsed() < idle);
            !of_way.is_empty()
        });
        let of_way = kept.entry(way).or_default();
        if of_way.len() < KEPT_MAX {
            of_way.push(Kept { sender, since: Instant::now(), generation });
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(kept.iter().map(|(way, of_way)| (way, of_way.len()))).finish()
    }
}
