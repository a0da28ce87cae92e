//! The shard's brain: what a node of a shard is, may do and asks of the log, decided without a clock, a socket or a file.
//!
//! ```text
//!   applied state ─┐                                        ┌─► Action: propose, clear the dataset, begin the stream at,
//!   ticks          ├─► Engine::on(Event, Now) ──► Actions ──┤           settle replies, wake, tell, end the process
//!   the log's "no" ┘                                        └─► done by the shell, in order, before the next event
//!
//!   a command      ──► route, on_frame, may_reply ──► an answer at once: nothing is allocated on the way of a write
//!   a link         ──► introduce, follow, stream  (towards the primary)      register, attach, on_ack, sent  (from it)
//! ```
//! The shell (`node/src/data`) keeps the sockets, the timers, the dataset and the bytes of the backlog. It hands every event
//! in, and does what comes back; it decides nothing. The simulator can be such a shell as well.
//!
//! What may be relied on:
//! - [`Engine`] is the only place that says who executes, whom this node follows, who is proposed for the in-sync set or
//!   removed from it, and when a handover is fenced, promoted or given up.
//! - [`Asked`] is the only form of "it was asked, and nothing has come of it yet": a proposal is made again, never at once
//!   after a rejection, and what it required stays required until the log has spoken.
//! - [`keeper::Keepers`] is what a node keeps of shards that it does not hold; it knows nothing of the engine.
//! - [`Grantor`] is the leader's side of the lease, [`Lease`] the primary's.
//!
//! *Invariant:* pure: time is passed in ([`Now`]), in ms of clocks that the shell reads.
//! *Invariant:* a role changes only by an applied entry that names this life of the node.

mod action;
mod asked;
mod at;
mod copies;
mod engine;
mod event;
mod follower;
mod grantor;
mod handover;
mod hello;
mod holding;
pub mod keeper;
mod keeping;
mod lease;
mod link;
mod ownership;
mod replies;
mod retention;
mod role;
mod routing;
mod serving;
mod set;
#[cfg(test)]
mod tests;

pub use action::{Action, HandedOver, Note, Weight};
pub use asked::{About, Ask, Asked};
pub use copies::{CheckpointFate, OnTrial, fate_of_checkpoint, is_only_copy};
pub use engine::Engine;
pub use event::{Event, Now};
pub use follower::{Follow, Hinted};
pub use grantor::{Deposing, Grantor, NotGranted, Round, depose_after_ms, deposed};
pub use hello::Objection;
pub use holding::{Held, Holds};
pub use keeping::NotKept;
pub use lease::{Grant, Lease, Leased};
pub use link::{Attached, Attachment, Link, NotAttached, StandBy};
pub use replies::{Owed, Reply};
pub use retention::Retention;
pub use role::{CannotServe, Primary, Replica, Role};
pub use routing::{Routing, ShardRoute};
pub use serving::Route;
