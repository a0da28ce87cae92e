//! The coordinator: what the leader of raft does next about upgrades and lost primaries, and why not more.
//!
//! ```text
//!   ControlState (applied) ─┐
//!   Observation (answers) ──┼─► decide ─► Propose(command) │ TransferLeader │ Wait(why) │ Done
//!   Bars (what is enough) ──┘
//! ```
//!
//! The caller's duties, in order:
//! 1. call [`decide`] on every applied change and on a timer, with a fresh [`Observation`];
//! 2. do the one act it answers, wait until the log has applied it, and call again;
//! 3. treat a rejection or an unknown outcome as nothing done: the next call sees what is.
//!
//! *Invariant:* pure. No clock, no randomness, no I/O; equal inputs give an equal decision.
//! *Invariant:* one act a call, and its gates are checked in the same call.
//! *Invariant:* nothing is remembered that safety needs: [`LeaderMemory`] only paces, and a new leader
//! starts with an empty one. Whatever must not happen is refused by `apply`, whoever proposes it.

mod auto;
mod bars;
mod cannot_keep;
mod decide;
mod decision;
mod disagreement;
mod failover;
mod handover;
mod in_flight;
mod keeper;
mod members;
mod memory;
mod observation;
mod preview;
mod recover;
mod rehearsal;
mod rollback;
mod rolling;
mod soaking;
mod staging;
mod take_out;
mod transfer;
mod view;
mod waiting_on;

pub use bars::Bars;
pub use cannot_keep::CannotKeep;
pub use decide::decide;
pub use decision::Decision;
pub use disagreement::{Outvoted, Standing, outvoted, standing};
pub use memory::LeaderMemory;
pub use observation::{
    DataObservation, Duty, Holding, LeaseObservation, NodeObservation, Observation, RaftGroup,
    ReplicaObservation, StateHash, Timers,
};
pub use preview::preview;
pub use recover::{CannotRecover, Remains, by_operator};
pub use rehearsal::{Progress, Rehearsal, observe_perfect, rehearse};
pub use soaking::level_after;
pub use waiting_on::{OutStage, RecoverWhen, WaitingOn};
