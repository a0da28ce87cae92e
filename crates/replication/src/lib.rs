//! Replication of one shard: frames, positions, backlog, and who has applied what. Pure.
//!
//! ```text
//!  primary                                                    replica
//!  ───────                                                    ───────
//!  command executed                                           ReplicaCursor::position ─► Hello ─┐
//!    │ effects (opaque here)                                                                    │
//!    ▼                                       ◄──────────────────────────────────────────────────┘
//!  encode_group ───► Backlog::push          Accept{version}; Lineage::can_resume
//!    │               AckGate::on_frame        ├─► SyncBegin{Partial} ─► Backlog::read_from
//!    │                                        └─► SyncBegin{Full}    ─► FullSync: SyncChunk…, SyncEnd
//!    │
//!    └───────── Effects{level, epoch, start, scope} ────────► ReplicaCursor::accept ─► apply ─► applied
//!                                                                                               │
//!  AckGate::on_ack ◄──────────── Ack{source, applied} ──────────────────────────────────────────┘
//!    │ acknowledged / may_acknowledge
//!    ▼
//!  the client's reply leaves
//!
//!  handover:  Fence{e, O} in-band ─► ReplicaCursor::on_fence ─► FenceMet ─► Promote (log) ─► ReplicaCursor::promote
//!             NextSources: who else stands at O
//! ```
//!
//! What may be relied on:
//! - One frame, or one [`Group`] of frames, is one command or one EXEC: applied whole, acknowledged whole. Its encoded
//!   length advances the offset.
//! - Frames travel and are kept verbatim, so equal (epoch, offset) means equal content on every node ([`Lineage`]).
//! - "Acknowledged by a replica" means contiguous, of the primary's epoch and incarnation ([`Source`]), and applied.
//! - [`AckGate`] is the only place that decides whether a reply may leave, whom a primary may propose, and who has to
//!   leave the set. Members leave by time, never by size.
//! - [`Backlog`] keeps what somebody still asks for, however large; who writes waits then.
//! - [`KeptTail`] decides what a keeper, which applies nothing, may put into its file and acknowledge.
//!
//! *Invariant:* pure: no I/O, no clock, no randomness; time is passed in as milliseconds of a monotonic clock.
//! *Invariant:* nothing here knows what an effect means, or what the log says: both are handed in.

mod ack_gate;
mod backlog;
mod body;
mod frame;
mod full_sync;
mod group;
mod handshake;
mod kind;
mod lag_log;
mod lineage;
mod message;
mod next_sources;
mod patience;
mod position;
mod replica_cursor;
mod resync;
mod running_clock;
mod tail;
mod tail_head;
mod verdict;
mod version;
mod wire;

pub use ack_gate::{AckGate, AckMode, GateLimits, Link, Proposal};
pub use backlog::Backlog;
pub use frame::{
    EFFECTS_OVERHEAD_BYTES, EncodeError, FrameError, FrameTooLarge, HEADER_BYTES, decode, encode,
    encode_effects, encode_sync_chunk,
};
pub use full_sync::{Duty, FullSync};
pub use group::{Group, NotOfOneGroup, PART_BYTES_MAX, encode_group};
pub use handshake::{Accept, CODE_BYTES_MAX, Hello, Purpose, REASON_BYTES_MAX, Refuse};
pub use kind::{CONTROL_BODY_BYTES_MAX, DATA_BODY_BYTES_MAX};
pub use lineage::{LINEAGE_MAX, Lineage, LineageError};
pub use message::{
    Ack, Effects, Fence, Message, Progress, Promoted, Scope, Source, SyncBegin, SyncChunk, SyncEnd,
};
pub use next_sources::NextSources;
pub use patience::Patience;
pub use position::{Position, PositionError, SavedPosition};
pub use replica_cursor::{Admitted, Begin, ChunkAct, FenceMet, ReplicaCursor, Standing, StreamError};
pub use resync::{FullReason, Resync, SyncMode};
pub use running_clock::{Look, RunningClock};
pub use tail::{KeptTail, TailError, TailMark};
pub use tail_head::{TAIL_VERSION, TailHead, TailHeadError};
pub use verdict::{
    AckError, AckStep, AttachError, Eligibility, FollowerView, Gate, LacksAcknowledged, ProposeError,
    RaiseError, Requirement, Silence, Silent,
};
#[cfg(feature = "next")]
pub use version::LINK_NEXT;
pub use version::{LINK_VERSIONS, LinkVersion, LinkVersions};
