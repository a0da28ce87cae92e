//! Messages of channels on their way to the other nodes: best effort, in the order in which this node took them.
//!
//! ```text
//!  PUBLISH ─► data thread: Outbox ─┬─► Line to node 2: Queue ─► courier ─► POST /node/messages ─► node 2: its data thread
//!                                  └─► Line to node 3: …                     one batch at a time
//! ```
//! *Invariant:* nobody waits for a message: what a node does not take in time is dropped, counted and said.
//! *Invariant:* a node hears the messages of another one in the order in which that one took them, each at most once: a
//! batch is under way at a time, and one that comes after its successor is not heard (`Heard`).
//! *Invariant:* nothing is sent to a node that does not admit the level since which there are messages.

mod batch;
mod courier;
mod hear;
mod queue;

pub(crate) use batch::{Batch, BatchError, Message};
pub(crate) use courier::{Postman, run};
pub(crate) use hear::{Heard, MESSAGES_PATH, Turn, post};
pub(crate) use queue::BODY_BYTES_MAX;
#[cfg(test)]
pub(crate) use queue::{MESSAGE_BYTES_MAX, QUEUE_BYTES_MAX};

use ironcache_control::Node;
use ironcache_types::{Level, NodeId};
use queue::Queue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Since which there are messages between nodes.
const SINCE: Level = Level(2);

/// The data thread's end.
pub(crate) struct Outbox {
    lines: BTreeMap<NodeId, Arc<Line>>,
    opened: mpsc::UnboundedSender<(NodeId, Arc<Line>)>,
    dropped: Arc<AtomicU64>,
}

/// What goes to one node.
pub(crate) struct Line {
    /// A std mutex: held to push or to take, never across an await.
    queue: Mutex<Queue>,
    more: Notify,
    /// Of all lines.
    dropped: Arc<AtomicU64>,
}

/// Both ends.
pub(crate) fn pair() -> (Outbox, Postman) {
    let (opened, lines) = mpsc::unbounded_channel();
    (Outbox { lines: BTreeMap::new(), opened, dropped: Arc::default() }, Postman::new(lines))
}

/// Is it a node that messages may be sent to?
pub(crate) fn takes(node: &Node) -> bool {
    node.levels.admits(SINCE)
}

impl Outbox {
    /// Leaves a message for each of these nodes.
    pub(crate) fn send(&mut self, to: impl Iterator<Item = NodeId>, message: &Message<'_>) {
        let mut encoded = None;
        for node in to {
            let line = self.lines.entry(node).or_insert_with(|| {
                let line = Arc::new(Line {
                    queue: Mutex::default(),
                    more: Notify::new(),
                    dropped: Arc::clone(&self.dropped),
                });
                // Whoever would take it is gone: the process ends.
                let _ = self.opened.send((node, Arc::clone(&line)));
                line
            });
            line.push(encoded.get_or_insert_with(|| message.encode()));
        }
    }

    /// How many messages wait for each node.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Vec<(NodeId, usize)> {
        self.lines.iter().map(|(node, line)| (*node, line.queue().len())).collect()
    }

    /// How many messages were dropped on the way to another node.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Line {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: &Arc<[u8]>) {
        match self.queue().push(message) {
            Ok(()) => self.more.notify_one(),
            Err(queue::Full) => self.count_dropped(1),
        }
    }

    fn count_dropped(&self, messages: u64) {
        self.dropped.fetch_add(messages, Ordering::Relaxed);
    }
}

/// The body of a call, as `sender` would make it.
#[cfg(test)]
pub(crate) fn body_of_tests(
    sender: ironcache_types::Member,
    number: u64,
    messages: &[Message<'_>],
) -> Vec<u8> {
    let encoded: Vec<_> = messages.iter().map(Message::encode).collect();
    batch::encode(sender, number, &encoded)
}

#[cfg(test)]
mod tests;
