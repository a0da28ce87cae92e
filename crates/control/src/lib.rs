//! The replicated control state: what the raft log decides, and nothing else.
//!
//! ```text
//!   operator ─┐
//!   leader  ──┼─► Command ─► raft log ─► ControlState::apply ─► Applied | Rejection
//!   nodes   ──┘                               │
//!                                             └─► watched by data plane, agent and coordinator
//! ```
//!
//! *Invariant:* `apply` is a function of state, log id, command and who asked only: no clock, no randomness, no
//! I/O. Times inside commands are the proposer's, kept for people, and never compared.
//! *Invariant:* `apply` is total: it accepts, or rejects with a typed reason and changes nothing.
//! *Invariant:* health is not log state. `apply` checks counts and roles; whether a node answers is a
//! gate of whoever proposes.

mod apply;
mod audit;
mod command;
mod invariants;
mod libraries;
mod log_id;
mod membership;
mod origin;
mod plan;
mod policy;
mod reason;
mod rejection;
mod role;
mod security;
mod shard;
mod speaks_for;
mod state;
mod users;

pub use audit::{Act, Audit, Audited, Unaudited};
pub use command::{Command, InitCluster, NodeSpec, Recover, ShardSpec};
pub use invariants::Violation;
pub use libraries::Libraries;
pub use log_id::LogId;
pub use membership::{MembershipChange, MembershipStage};
pub use origin::{Credential, Origin, Proposal};
pub use plan::{
    Direction, HandoverRecord, HistoryEntry, HoldReason, Outcome, Phase, Plan, PlanOptions, StartedBy,
    StepRecord, StepRole, StepState,
};
pub use policy::{AutoRollout, FinalizeAfter, OnFailure, OnTotalLoss, Policy, RaftTimers};
pub use reason::Reason;
pub use rejection::{Applied, NoRollback, NotByPolicy, Rejection};
pub use security::{
    Admitted, AskedBy, Holder, Keys, NewOperator, NewSecurity, Operator, OperatorRole, Security,
};
pub use shard::{
    AckMode, Handover, HandoverVia, Keeper, KeeperBase, LastLease, LineageEntry, Losses, NewKeeper,
    Ownership, RecoveredBy, Recovery, Shard,
};
pub use state::{
    ControlState, Declined, Node, NodeRole, OutStep, Preflight, Quarantine, ReleaseInfo, StageHold,
    TrialPhase, Unfinished,
};
pub use users::Users;
