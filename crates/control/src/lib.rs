//! The replicated control state: what the raft log decides, and nothing else.
//!
//! ```text
//!   operator ─┐
//!   leader  ──┼─► Command ─► raft log ─► ControlState::apply ─► Applied | Rejection
//!   nodes   ──┘                               │
//!                                             └─► watched by data plane, agent and coordinator
//! ```
//!
//! *Invariant:* `apply` is a function of state, log index and command only: no clock, no randomness, no
//! I/O. Times inside commands are the proposer's, kept for people, and never compared.
//! *Invariant:* `apply` is total: it accepts, or rejects with a typed reason and changes nothing.
//! *Invariant:* health is not log state. `apply` checks counts and roles; whether a node answers is a
//! gate of whoever proposes.

mod apply;
mod command;
mod invariants;
mod plan;
mod rejection;
mod shard;
mod state;

pub use command::{Command, InitCluster, NodeSpec, ShardSpec};
pub use invariants::Violation;
pub use plan::{
    HandoverRecord, HistoryEntry, HoldReason, Outcome, Phase, Plan, PlanOptions, StepRecord, StepRole,
    StepState,
};
pub use rejection::{Applied, Rejection};
pub use shard::{AckMode, Handover, LineageEntry, Ownership, Shard};
pub use state::{ControlState, Node, NodeRole, OutStep, Quarantine, ReleaseInfo, TrialPhase};
