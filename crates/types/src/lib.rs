//! The nouns that every ironcache crate shares.
//!
//! Ids are newtypes so that a shard is never taken for a node, and an epoch never for an offset.
//!
//! *Invariant:* pure; no I/O, no clock, no randomness. Whoever needs a fresh [`Incarnation`] draws
//! it outside and passes it in.

mod audit;
mod binary;
mod chain;
mod crc32;
mod digest;
mod elf;
mod hex_id;
mod ids;
mod key_hash;
mod level;
mod range_text;
mod read_from;
mod slots;
pub mod stamp;
mod version_text;
mod wire_range;

pub use audit::{AuditBroken, AuditLink, AuditRecord, ParseAuditLinkError, verify_audit, verify_kept};
pub use binary::{BinaryError, BinaryReader, MAX_ARTIFACT_BYTES};
pub use chain::chain;
pub use digest::{Digest, ParseDigestError};
pub use hex_id::ParseIdError;
pub use ids::{ClusterId, Epoch, Incarnation, MachineId, Member, NodeId, Offset, PlanId, RequestId, ShardId};
pub use key_hash::{KeyHash, ParseKeyHashError};
#[cfg(feature = "next")]
pub use level::NEXT;
pub use level::{LEVELS, Level, LevelRange};
pub use range_text::ParseRangeError;
pub use read_from::ReadFrom;
pub use slots::{SLOT_COUNT, Slot, SlotRange, SlotSet, key_slot};
pub use stamp::{Manifest, STAMP_LEN, Stamp, StampError};
#[cfg(feature = "next")]
pub use version_text::NEXT_VERSION;
pub use version_text::VersionText;
pub use wire_range::WireRange;

pub use semver::Version;

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a node runs: a version for people, and the digest that names the binary for machines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Release {
    pub version: Version,
    /// sha256 of the executable file.
    pub digest: Digest,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, digest } = self;
        write!(f, "{version} ({})", digest.short())
    }
}
