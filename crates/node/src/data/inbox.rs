//! Messages for one client that answer none of its requests, until its connection takes them.
//!
//! *Invariant:* they are taken in the order in which they came, and nobody waits for them to be taken: who leaves more than
//! `client-output-buffer-limit` is ended by whoever sends the next one.

use std::cell::RefCell;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Inbox {
    messages: RefCell<Vec<u8>>,
    told: Notify,
}

impl Inbox {
    /// Leaves a message, already in the client's protocol; answers how many bytes wait now.
    pub(crate) fn push(&self, message: &[u8]) -> usize {
        let mut messages = self.messages.borrow_mut();
        messages.extend_from_slice(message);
        self.told.notify_one();
        messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.messages.borrow().len()
    }

    pub(super) fn take(&self) -> Vec<u8> {
        self.messages.take()
    }

    /// Until there is one. Of one task at a time.
    pub(super) async fn told(&self) {
        while self.bytes() == 0 {
            self.told.notified().await;
        }
    }
}
