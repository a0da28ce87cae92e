//! The launcher: owns the listeners, the state file and the daemon.
//!
//! ```text
//!   run: lock → bind → boot ─> next_binary (durable) ─> spawn ─> watch ─> settle ─┐
//!                                   ^                                             │
//!                                   └─────────────────────────────────────────────┘
//! ```
//! [`run`] is the process: one thread, `poll` over the signals, the link and the daemon's pidfd.
//!
//! *Invariant:* what [`State::on`](crate::State::on) answers is durable before it is acted on.
//! *Invariant:* a clean stop is no crash; a hang is.
//! *Invariant:* the launcher removes no slot: what the log says is held here, only the daemon knows.

mod child;
mod config;
mod listeners;
mod signals;
mod supervisor;
mod watch;

pub(crate) use child::prepare;
pub use child::{DAEMON_VERB, SpawnError};
pub use config::{LauncherConfig, LauncherLimits, ListenerSpec};
pub use listeners::ListenersError;

use crate::boot::BootError;
use crate::data_dir::{DataDir, LockError};
use crate::slot_store::{SlotError, SlotStore};
use ironcache_store::DiskError;
use ironcache_types::Release;
use std::time::Duration;

/// Why a launcher ended in good order; both are exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGTERM or SIGINT.
    BySignal,
    /// The daemon exited with code 0 without being asked, outside of a trial.
    ByDaemon,
}

#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Listeners(#[from] ListenersError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(
        "{release} is the active release and cannot be run; put its binary back, or start this node with that release's launcher"
    )]
    NoBinary { release: Release, source: Box<SlotError> },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("waiting for the daemon failed")]
    Wait(#[source] std::io::Error),
}

/// Runs a node until it is stopped. Call it from the thread that lives as long as the process.
pub fn run(config: LauncherConfig) -> Result<Stopped, LauncherError> {
    let dir = DataDir::new(&config.data_dir);
    let lock = dir.lock(Duration::from_millis(config.limits.lock_wait_ms))?;
    let signals = signals::StopSignals::block()?;
    let listeners = listeners::bind(&config.listeners)?;
    let store = SlotStore::open(&dir)?;
    let boot = crate::boot::boot(&dir, &store, &config.own_exe)?;
    supervisor::Supervisor::new(config, &dir, lock, signals, listeners, store, boot).run()
}
