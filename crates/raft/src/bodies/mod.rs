//! The bodies of RPCs, of the log's records and of the snapshot file: plain structs of our own, in the envelope or the frame
//! of whoever carries them. They stand here and not in `ironcache-formats`, because they convert openraft's types.
//!
//! Field order and variant order are the format: a changed body is a new version of its format, in the table of
//! [`ironcache_formats::levels`]. `tests/golden` holds one encoding of each.
//!
//! *Invariant:* no type of openraft is serialised: a change of its layout cannot change ours silently.

pub mod v1;

use ironcache_formats::entry::HeaderError;

/// A body that was readable, and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It names a voter without an address, or an empty voter set.
    #[error("the membership is not usable: {reason}")]
    Membership { reason: String },
    #[error("a log entry is damaged")]
    Entry(#[from] HeaderError),
}
