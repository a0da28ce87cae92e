//! The agent: what a node does about its own binary, from the applied state and what it knows of itself.
//!
//! ```text
//!   register ─► fetch ─► staged ┄┄ UpgradeSelf ┄┄► activate ─► (new binary) register ─► wait
//!                                                                   ┌─ Confirm ◄───────────┘
//!                                                                   ▼
//!                                              launcher idle ─► Confirmed      │ failed, or abandoned:
//!                                                                              └► old binary ─► StepFailed
//! ```
//!
//! The caller's duties: call [`next()`] whenever the applied state or a fact changes and on a timer, carry out
//! the one action, take fresh facts, call again. An action whose outcome is unknown is simply met again.
//!
//! *Invariant:* pure, total and level-triggered: it acts on what is, never on an entry as it passes.
//! *Invariant:* a binary is activated only for a committed step whose epoch is above the launcher's
//! `last_done`, never on a primary or a member of an in-sync set, never a quarantined one.

mod action;
mod facts;
mod level;
mod next;
mod preflight;
mod slots;
mod staging;
mod step;

pub use action::{Action, Waiting};
pub use facts::{LauncherFacts, LauncherPhase, LocalFacts, PreflightResult, StepOutcome, StepResult};
pub use next::next;
pub use slots::kept_slots;
