//! The kinds of messages: their numbers, since when each exists, and how large it may be.
//!
//! *Invariant:* a number is used once: what replaces a kind takes a new one. [`since`] is the one table of versions.

use crate::version::LinkVersion;

// The handshake.
pub(crate) const HELLO: u8 = 1;
pub(crate) const ACCEPT: u8 = 2;
pub(crate) const REFUSE: u8 = 3;
// Version 1.
pub(crate) const ACK: u8 = 4;
pub(crate) const SYNC_BEGIN: u8 = 5;
pub(crate) const SYNC_CHUNK: u8 = 6;
pub(crate) const SYNC_END: u8 = 7;
pub(crate) const EFFECTS: u8 = 8;
pub(crate) const FENCE: u8 = 9;
pub(crate) const PROMOTED: u8 = 10;
pub(crate) const PING: u8 = 11;
pub(crate) const PROGRESS: u8 = 12;
pub(crate) const EFFECTS_PART: u8 = 13;
// Of the feature `next`.
#[cfg(feature = "next")]
pub(crate) const CLOCK: u8 = 64;

/// The largest body that carries data. What is larger is cut: effects into a group of frames, a slot into chunks. Smaller,
/// and a chunk could not hold the largest element of a collection (512 MiB), which is not cut; larger, and damage in a
/// length makes a reader buffer that much in vain.
pub const DATA_BODY_BYTES_MAX: usize = (1 << 30) + (64 << 10);

/// The largest body of any other kind: a full lineage is 1 KiB. Of the handshake it is frozen, too.
pub const CONTROL_BODY_BYTES_MAX: usize = 4 << 10;

/// The link version since which a kind exists; `None`: this release knows no such kind.
pub(crate) const fn since(kind: u8) -> Option<LinkVersion> {
    match kind {
        HELLO | ACCEPT | REFUSE => Some(LinkVersion::HANDSHAKE),
        ACK | SYNC_BEGIN | SYNC_CHUNK | SYNC_END | EFFECTS | FENCE | PROMOTED | PING | PROGRESS
        | EFFECTS_PART => Some(LinkVersion(1)),
        #[cfg(feature = "next")]
        CLOCK => Some(crate::version::LINK_NEXT),
        _ => None,
    }
}

pub(crate) const fn body_bytes_max(kind: u8) -> usize {
    match kind {
        EFFECTS | EFFECTS_PART | SYNC_CHUNK => DATA_BODY_BYTES_MAX,
        _ => CONTROL_BODY_BYTES_MAX,
    }
}
