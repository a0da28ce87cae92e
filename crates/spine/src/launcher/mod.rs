//! The launcher: owns the listeners, the state file and the daemon.
//!
//! ```text
//!   run: make way for the launcher that `state` names → file `level` → lock → bind → boot ─> next_binary (durable) ─> spawn ─> watch ─> settle ─┐
//!                                   ^                                             │
//!                                   └─────────────────────────────────────────────┘
//! ```
//! [`run`] is the process: one thread, `poll` over the signals, the link and the daemon's pidfd.
//!
//! *Invariant:* what [`State::on`](crate::State::on) answers is durable before it is acted on.
//! *Invariant:* the launcher that `state` names runs the node, or that of the active release if the level has outgrown the
//! other; any other reads the frozen lines of `state` and makes way.
//! *Invariant:* a clean stop is no crash; a hang is. A slow command is no hang, and work that advances is not killed.
//! *Invariant:* a node that may have ended with the only copy of a dataset does not end with code 0.
//! *Invariant:* clients and peers wait for the next daemon only while it is near; a node that cannot start refuses them.
//! *Invariant:* a service manager that asks for it is told what becomes of the node, and never of one daemon among others.
//! *Invariant:* the launcher removes no slot: what the log says is held here, only the daemon knows.

mod child;
mod config;
mod exec;
mod handover;
mod listeners;
mod notify;
mod orphans;
mod signals;
mod supervisor;
mod watch;

pub use child::{DAEMON_VERB, SpawnError};
pub use config::{LauncherConfig, LauncherLimits, ListenerSpec, WayBack};
pub use exec::{MakeWayError, make_way};
pub use handover::{
    HANDOVER_CONFIG_VARIABLE, HANDOVER_REFUSED_VARIABLE, HANDOVER_VARIABLE, HandoverError, NotAdmitted,
    handed_configuration, refuse_handover,
};
pub use listeners::{ListenersError, probe_listeners};

use crate::boot::BootError;
use crate::data_dir::{DataDir, LockError};
use crate::exit::DaemonExit;
use crate::outcome::Cause;
use crate::slot_store::{SlotError, SlotStore};
use ironcache_store::{DiskError, LevelError, LevelFile};
use ironcache_types::{Release, chain};
use std::time::Duration;

/// Why a launcher ended in good order; both are exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGTERM, or another signal that asks for an end.
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
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Outside of a trial there is no other release to go back to.
    #[error("{release} is the active release and does not run here: {cause}; {}", way_out(*exit))]
    DoesNotRun { release: Release, exit: DaemonExit, cause: Cause },
    /// Stopped as it was asked to be, and not in order.
    #[error("the node was stopped, and {}", left_behind(*exit))]
    StoppedBadly { exit: DaemonExit },
    #[error(transparent)]
    Handover(#[from] HandoverError),
    #[error(
        "log went back: this node must not go on under its id, and starting it again changes nothing; its daemon's own \
         words say what is missing and how it comes back as a new node"
    )]
    WentBack,
    #[error("waiting for the daemon failed")]
    Wait(#[source] std::io::Error),
}

/// Goes on as this launcher if the other cannot be run: a node is never without one.
fn give_way(config: &LauncherConfig) {
    if let Err(error) = make_way(&config.data_dir, &config.own_exe, config.levels) {
        tracing::error!(error = %chain(&error), "this launcher stays");
    }
}

fn way_out(exit: DaemonExit) -> &'static str {
    match exit {
        DaemonExit::AboveLevel | DaemonExit::BelowLevel => {
            "start a release that admits that level; nothing was changed (the file `level` in the data directory says which)"
        }
        DaemonExit::LauncherProtocol => {
            "start the node with that release's own launcher; nothing was changed"
        }
        DaemonExit::Done
        | DaemonExit::Failed
        | DaemonExit::Usage
        | DaemonExit::DatasetLost
        | DaemonExit::CutShort
        | DaemonExit::LogWentBack => "its own words say why",
    }
}

fn left_behind(exit: DaemonExit) -> &'static str {
    match exit {
        DaemonExit::DatasetLost => {
            "no other node held its dataset, and no checkpoint of it could be written: it is lost"
        }
        DaemonExit::CutShort => {
            "did not end by itself though nothing advanced any more: it was killed, and what it held is there only if \
             another node holds it"
        }
        DaemonExit::Done
        | DaemonExit::Failed
        | DaemonExit::Usage
        | DaemonExit::AboveLevel
        | DaemonExit::BelowLevel
        | DaemonExit::LauncherProtocol
        | DaemonExit::LogWentBack => "its daemon ended with an error: its own words say why",
    }
}

impl LauncherError {
    /// How the launcher's process ends.
    pub fn exit(&self) -> DaemonExit {
        match self {
            LauncherError::Level(LevelError::Above { .. }) => DaemonExit::AboveLevel,
            LauncherError::Level(LevelError::Below { .. }) => DaemonExit::BelowLevel,
            LauncherError::DoesNotRun { exit, .. } | LauncherError::StoppedBadly { exit } => *exit,
            LauncherError::WentBack => DaemonExit::LogWentBack,
            LauncherError::Level(LevelError::Unreadable { .. } | LevelError::Disk(_))
            | LauncherError::Lock(_)
            | LauncherError::Listeners(_)
            | LauncherError::Boot(_)
            | LauncherError::NoBinary { .. }
            | LauncherError::Disk(_)
            | LauncherError::Handover(_)
            | LauncherError::Wait(_) => DaemonExit::Failed,
        }
    }
}

/// The soft limit is there for programs that use `select`; a node, which inherits it from here, uses all that it may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(?current, ?maximum, %error, "the limit of descriptors stays as it is");
    }
}

/// Runs a node until it is stopped. Call it from the thread that lives as long as the process.
pub fn run(config: LauncherConfig) -> Result<Stopped, LauncherError> {
    // Started through a descriptor, the process is listed under that descriptor's number. Only a matter of looks: a system
    // that forbids the write runs as well.
    let _ = std::fs::write("/proc/self/comm", "ironcache");
    raise_descriptor_limit();
    if let Some(supervisor) = supervisor::Supervisor::arrive(&config)? {
        return supervisor.run();
    }
    let dir = DataDir::new(&config.data_dir);
    give_way(&config);
    LevelFile::new(&config.data_dir).admit(config.levels)?;
    let lock = dir.lock(Duration::from_millis(config.limits.lock_wait_ms))?;
    let signals = signals::StopSignals::block()?;
    let listeners = listeners::bind(&config.listeners)?;
    let store = SlotStore::open(&dir)?;
    let boot = crate::boot::boot(&dir, &store, &config.own_exe)?;
    // A state that was lost is now there again, and names a launcher too.
    give_way(&config);
    supervisor::Supervisor::new(config, &dir, lock, signals, listeners, store, boot).run()
}
