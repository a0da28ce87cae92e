//! Replies on their way to one client, in order: those that wait for an acknowledgement, and those that the client does not
//! take yet; and when all of them have gone, the messages that answer nothing, unless a request came meanwhile (`Inbox`). Meanwhile the connection goes on reading: a client
//! may send all its commands before it reads a reply.
//!
//! ```text
//!  replies ─┬─► [ waits for offset 17 | 4 KiB ][ 96 B ][ waits for 21 | 8 KiB ] ─► socket
//!    Inbox ─┘
//! ```
//! *Invariant:* bytes leave in the order in which they came, and none before what they tell of may be acknowledged.

use super::DataNode;
use super::acks::{Ticket, Verdict};
use super::inbox::Inbox;
use ironcache_settings::OutputLimit;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Replies that nothing holds back are joined up to this. Longer, and what was sent of a chunk is kept for longer; shorter,
/// and a pipeline of small replies takes more writes.
const JOIN_BYTES: usize = 64 << 10;

/// What a chunk costs besides its bytes.
const CHUNK_BYTES: usize = size_of::<Chunk>();

#[derive(Default)]
pub(super) struct Output {
    queue: VecDeque<Chunk>,
    /// Of the first chunk.
    sent: usize,
    /// Kept of all of them.
    bytes: usize,
    /// Once the client listens to something.
    inbox: Option<Rc<Inbox>>,
    /// Since when it has been above the soft limit.
    above_soft_since: Option<Instant>,
}

struct Chunk {
    bytes: Vec<u8>,
    /// What they wait for.
    after: Option<Wait>,
}

struct Wait {
    ticket: Ticket,
    since: Instant,
}

/// The connection cannot be answered any more.
#[derive(Debug)]
pub(super) struct Lost;

/// A client took too little of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Hard { bytes: usize },
    Soft { bytes: usize, for_s: u64 },
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Is there nothing to send, and nothing that may come by itself?
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.inbox.is_none()
    }

    /// Messages come from there.
    pub(super) fn listen(&mut self, inbox: &Rc<Inbox>) {
        self.inbox.get_or_insert_with(|| Rc::clone(inbox));
    }

    /// What waits for the client.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.inbox.as_ref().map_or(0, |inbox| inbox.bytes())
    }

    pub(super) fn chunks(&self) -> usize {
        self.queue.len()
    }

    /// Takes `out`, which is not empty, and of which `sent` bytes have gone already; leaves it empty, for the next replies.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, sent: usize, after: Option<Ticket>) {
        let free = after.is_none();
        if let Some(Chunk { bytes, after: None }) = self.queue.back_mut()
            && free
            && bytes.len() + out.len() <= JOIN_BYTES
        {
            self.bytes += out.len();
            bytes.append(out);
            return self.tell_beside();
        }
        // A buffer grown for something else is not kept behind a few bytes.
        let bytes =
            if out.capacity() / 2 > out.len() { out.as_slice().to_vec() } else { std::mem::take(out) };
        out.clear();
        if self.queue.is_empty() {
            self.sent = sent;
        }
        self.bytes += bytes.len() + CHUNK_BYTES;
        let after = after.map(|ticket| Wait { ticket, since: Instant::now() });
        self.queue.push_back(Chunk { bytes, after });
        self.tell_beside();
    }

    /// Whoever leaves a message sees what waits already.
    fn tell_beside(&self) {
        if let Some(inbox) = &self.inbox {
            inbox.set_beside(self.bytes.saturating_sub(self.sent));
        }
    }

    /// What is not taken waits in the inbox, where it is bounded.
    fn take_messages(&mut self) {
        let Some(mut messages) = self.inbox.as_ref().map(|inbox| inbox.take()) else { return };
        if !messages.is_empty() {
            self.push(&mut messages, 0, None);
        }
    }

    /// One step: the first replies may go, some bytes of them went, or there is something to send. Cancelled, nothing is lost.
    ///
    /// # Errors
    /// The client is gone, the role is, or nobody can tell what became of what the replies tell of.
    pub(super) async fn advance(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        node: &DataNode,
    ) -> Result<(), Lost> {
        if self.queue.is_empty() {
            self.take_messages();
        }
        let Some(Chunk { bytes, after }) = self.queue.front_mut() else {
            if let Some(inbox) = &self.inbox {
                inbox.told().await;
            }
            return Ok(());
        };
        if let Some(wait) = after {
            wait.acknowledged(node).await?;
            *after = None;
        }
        match to.write(&bytes[self.sent..]).await {
            Ok(written @ 1..) => {
                self.sent += written;
                node.plane.borrow_mut().stats.sent(written);
            }
            Ok(0) | Err(_) => return Err(Lost),
        }
        if self.sent == bytes.len() {
            self.bytes -= bytes.len() + CHUNK_BYTES;
            self.sent = 0;
            self.queue.pop_front();
        }
        self.tell_beside();
        Ok(())
    }

    /// Sends until `other` happens.
    ///
    /// # Errors
    /// As of [`Output::advance`].
    pub(super) async fn until<T>(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        node: &DataNode,
        other: impl Future<Output = T>,
    ) -> Result<T, Lost> {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                happened = &mut other => return Ok(happened),
                moved = self.advance(to, node), if !self.is_idle() => moved?,
            }
        }
    }

    /// Sends all of it, the messages that came until now included.
    ///
    /// # Errors
    /// As of [`Output::advance`].
    pub(super) async fn flush(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        node: &DataNode,
    ) -> Result<(), Lost> {
        self.take_messages();
        while !self.is_empty() {
            self.advance(to, node).await?;
        }
        Ok(())
    }

    /// Is there more than a client may leave unread? Looked at whenever there is more, and at [`Output::look_again_at`].
    pub(super) fn excess(&mut self, limit: OutputLimit, now: Instant) -> Option<Excess> {
        let OutputLimit { hard_bytes, soft_bytes, soft_s } = limit;
        let bytes = self.bytes();
        let is_above = |most: u64| most > 0 && bytes as u64 > most;
        if is_above(hard_bytes) {
            return Some(Excess::Hard { bytes });
        }
        if !is_above(soft_bytes) {
            self.above_soft_since = None;
            return None;
        }
        let since = *self.above_soft_since.get_or_insert(now);
        (now - since >= Duration::from_secs(soft_s)).then_some(Excess::Soft { bytes, for_s: soft_s })
    }

    /// When the soft limit will have been exceeded for too long, if nothing changes.
    pub(super) fn look_again_at(&self, limit: OutputLimit) -> Option<Instant> {
        Some(self.above_soft_since? + Duration::from_secs(limit.soft_s))
    }
}

impl Wait {
    /// What was executed and is not acknowledged while the cluster is down may be lost or not: nobody can tell, and the
    /// connection is closed instead of kept waiting for ever.
    async fn acknowledged(&mut self, node: &DataNode) -> Result<(), Lost> {
        loop {
            let park_max = Duration::from_millis(node.plane.borrow().view.state.policy.park_ms_max);
            tokio::select! {
                biased;
                verdict = &mut self.ticket => return match verdict {
                    Verdict::Acknowledged => Ok(()),
                    Verdict::Lost => Err(Lost),
                },
                () = tokio::time::sleep_until(self.since + park_max) => {
                    if node.plane.borrow().is_down().is_some() {
                        return Err(Lost);
                    }
                    self.since = Instant::now();
                }
            }
        }
    }
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Excess::Hard { bytes } => write!(f, "{bytes} bytes of replies wait, above the hard limit"),
            Excess::Soft { bytes, for_s } => {
                write!(f, "{bytes} bytes of replies wait, above the soft limit for {for_s} s")
            }
        }
    }
}
