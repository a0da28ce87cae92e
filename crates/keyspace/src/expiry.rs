//! Expiry: who may act on it, and which key is next.
//!
//! *Invariant:* for every key with an expiry there is exactly one deadline of its (time, slot, hash)
//! in the queue, shared by keys whose hashes collide; there is no other deadline.

use std::collections::BTreeSet;

/// What an expired key does when a command meets it. It reads as absent in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A primary: it is deleted, by an effect.
    Delete,
    /// A replica, or a fenced primary: it stays until the primary says so.
    Hide,
}

/// A moment at which keys of a slot expire. The key itself is found by its hash: 16 bytes a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub at_ms: u64,
    pub hash: u32,
    pub slot: u16,
}

pub(crate) type DeadlineQueue = BTreeSet<Deadline>;
