//! What waits for one node.
//!
//! *Invariant:* never more than [`QUEUE_BYTES_MAX`]; what comes on top of that is dropped, and what is older stays, so that a
//! node that is slow for a moment misses a piece and not the order.

use std::collections::VecDeque;
use std::sync::Arc;

/// For one node. A node that is restarted, or a link that stands still for a second, is bridged at 16 MiB a second; larger, and a
/// cluster of many nodes that do not answer would fill the memory of one that publishes.
pub(crate) const QUEUE_BYTES_MAX: usize = 16 << 20;
/// The longest message that goes to other nodes, name and payload. Larger, and one message would take all that a peer port takes
/// of bodies at a time, and raft's with it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A batch ends with the message that reaches it. Larger, and raft's own bodies wait behind it; smaller, and a busy publisher
/// takes more calls.
const BATCH_BYTES: usize = 256 << 10;
/// What a batch takes at most, with its head.
pub(crate) const BODY_BYTES_MAX: usize = BATCH_BYTES + MESSAGE_BYTES_MAX + 1024;
/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 64;

/// It was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Arc<[u8]>>,
    bytes: usize,
    /// Since it was last asked.
    dropped: u64,
}

impl Queue {
    pub(super) fn push(&mut self, message: &Arc<[u8]>) -> Result<(), Full> {
        let cost = message.len() + MESSAGE_COST;
        if message.len() > MESSAGE_BYTES_MAX || self.bytes + cost > QUEUE_BYTES_MAX {
            self.dropped += 1;
            return Err(Full);
        }
        self.bytes += cost;
        self.messages.push_back(Arc::clone(message));
        Ok(())
    }

    /// The next ones, for one batch; empty if there are none.
    pub(super) fn take(&mut self) -> Vec<Arc<[u8]>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(message) = self.messages.pop_front()
        {
            bytes += message.len();
            self.bytes -= message.len() + MESSAGE_COST;
            taken.push(message);
        }
        taken
    }

    /// Forgets all; answers how many those were.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        std::mem::take(&mut self.messages).len() as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many were dropped at the bound since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
