//! Messages for one client that answer none of its requests, until its connection takes them.
//!
//! *Invariant:* they are taken in the order in which they came, and nobody waits for them to be taken: who leaves more than
//! `client-output-buffer-limit` is ended by whoever sends the next one, or by time.
//! *Invariant:* an inbox that is closed keeps nothing.

use ironcache_resp::Protocol;
use ironcache_session::{Message, Session};
use ironcache_settings::OutputLimit;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::output::Excess;

pub(crate) struct Inbox {
    client: u64,
    messages: RefCell<Vec<u8>>,
    told: Notify,
    /// In which the client is told.
    protocol: Cell<Protocol>,
    /// What waits beside: what the connection has taken, and replies.
    beside: Cell<usize>,
    /// It was told that its channels of the shard are no more, and its session was not yet.
    lost_shard: Cell<bool>,
    is_closed: Cell<bool>,
    above_soft_since: Cell<Option<Instant>>,
}

impl Inbox {
    pub(super) fn new(client: u64, protocol: Protocol) -> Self {
        Inbox {
            client,
            messages: RefCell::default(),
            told: Notify::new(),
            protocol: Cell::new(protocol),
            beside: Cell::new(0),
            lost_shard: Cell::new(false),
            is_closed: Cell::new(false),
            above_soft_since: Cell::new(None),
        }
    }

    pub(super) fn client(&self) -> u64 {
        self.client
    }

    /// Leaves a message; answers how many bytes wait for the client now, with what waits beside.
    pub(super) fn push(&self, message: &Message) -> usize {
        self.leave(|messages| message.write(self.protocol.get(), messages))
    }

    /// The same for one that is the same in either protocol.
    pub(super) fn push_bytes(&self, message: &[u8]) -> usize {
        self.leave(|messages| messages.extend_from_slice(message))
    }

    fn leave(&self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if !self.is_closed.get() {
            write(&mut self.messages.borrow_mut());
            self.told.notify_one();
        }
        self.waiting_bytes()
    }

    /// It lost its channels of the shard, and is told so by now.
    pub(super) fn lose_shard(&self) {
        self.lost_shard.set(true);
    }

    /// What came before the client's next request is before the reply to it.
    pub(super) fn catch_up(&self, session: &mut Session, out: &mut Vec<u8>) {
        self.protocol.set(session.protocol());
        if self.lost_shard.take() {
            session.end_shard();
        }
        let mut messages = self.messages.borrow_mut();
        if !messages.is_empty() {
            out.append(&mut messages);
            // A buffer grown for a burst is given back.
            *messages = Vec::new();
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// The client goes on in this one.
    pub(super) fn speak(&self, protocol: Protocol) {
        self.protocol.set(protocol);
    }

    pub(super) fn bytes(&self) -> usize {
        self.messages.borrow().len()
    }

    pub(super) fn set_beside(&self, bytes: usize) {
        self.beside.set(bytes);
    }

    fn waiting_bytes(&self) -> usize {
        self.bytes() + self.beside.get()
    }

    pub(super) fn take(&self) -> Vec<u8> {
        self.messages.take()
    }

    /// Its client is ended.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        drop(self.messages.take());
    }

    /// Is it above the soft limit for too long? Looked at now and then, since a client that takes nothing does nothing.
    pub(super) fn excess(&self, limit: OutputLimit, now: Instant) -> Option<Excess> {
        let bytes = self.waiting_bytes();
        if limit.soft_bytes == 0 || bytes as u64 <= limit.soft_bytes {
            self.above_soft_since.set(None);
            return None;
        }
        let since = self.above_soft_since.get().unwrap_or(now);
        self.above_soft_since.set(Some(since));
        let is_over = now - since >= Duration::from_secs(limit.soft_s);
        is_over.then_some(Excess::Soft { bytes, for_s: limit.soft_s })
    }

    /// Until there is one. Of one task at a time.
    pub(super) async fn told(&self) {
        while self.bytes() == 0 {
            self.told.notified().await;
        }
    }
}
