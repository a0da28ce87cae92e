//! The spine: how one node changes its own binary, and always comes back on a verified one.
//!
//! ```text
//!   peer ──bytes──> staged/<sha256>.part ──sha256, stamp, fsync──> slots/<sha256>/ironcache
//!                                                                        │ hash the fd, exec that fd
//!   launcher: lock · listeners · `state` ──────────spawn──────────────> daemon
//!                  ^                                                      │
//!                  └───────── Ready, Heartbeat, Activate, Confirm ────────┘
//! ```
//!
//! The **launcher** is the process that an operator starts. It owns the listening sockets, the
//! `state` file and one child, the **daemon**; it keeps the sockets open while daemons come and go,
//! so a client that connects in between waits instead of being refused.
//!
//! The launcher is upgraded too: after a trial it becomes the launcher of the release that was confirmed, in the same process.
//!
//! *Invariant:* no async runtime and no network in here: nothing that decides which binary runs
//! waits for a peer.
//! *Invariant:* `state` is the only truth about which binary runs, as the daemon and as the launcher, and is durable before the act
//! that it describes.
//! *Invariant:* only bytes that were hashed through the very descriptor that is executed are run.
//! *Invariant:* the launcher changes the binary only when its daemon asks (`Activate`), and by itself
//! only back, from a trial that failed.
//!
//! With `--cfg turmoil` binaries and `state` lie on a simulated disk, and the simulation plays the launcher: processes,
//! descriptors and signals are not simulated (docs/adr/0030).
//!
//! Linux only: `signalfd`, `pidfd`, `/proc/self/fd` and the parent-death signal carry the design.

// What only the launcher's process calls has nobody there.
#![cfg_attr(turmoil, allow(dead_code, unused_imports))]

mod artifact;
mod binary;
mod boot;
mod clock;
mod data_dir;
mod exit;
#[cfg(not(turmoil))]
mod launcher;
mod link;
mod outcome;
mod preflight;
mod protocol;
mod slot_store;
mod state;
mod state_file;

pub use artifact::{ArtifactError, PartialArtifact};
pub use binary::{Artifact, Inspected, inspect};
pub use boot::{Boot, BootError, boot};
pub use clock::{CLOCK_VARIABLE, boottime_ms, unix_ms};
pub use data_dir::{DataDir, DataDirLock, LockError};
pub use exit::DaemonExit;
pub use ironcache_store::{DiskError, LevelError, LevelFile};
#[cfg(not(turmoil))]
pub use launcher::{
    DAEMON_VERB, HANDOVER_CONFIG_VARIABLE, HANDOVER_REFUSED_VARIABLE, HANDOVER_VARIABLE, HandoverError,
    LauncherConfig, LauncherError, LauncherLimits, ListenerSpec, ListenersError, MakeWayError, NotAdmitted,
    SpawnError, Stopped, WayBack, handed_configuration, make_way, probe_listeners, refuse_handover, run,
};
pub use link::{FDS_VARIABLE, Inherited, LISTEN_BACKLOG, LauncherLink, LinkError, LinkReceiver, LinkSender};
pub use outcome::{Cause, Failure, Outcome, StepRef, Verdict};
pub use preflight::{
    LAUNCHER_PROTOCOL_FLAG, PREFLIGHT_TIMEOUT, PREFLIGHT_VERB, PROBLEMS_FOUND, PreflightError, PreflightOf,
    PreflightReport, Problem, ProblemCode, preflight,
};
pub use protocol::{
    LAUNCHER_PROTOCOL, MessageError, Refusal, Request, Snapshot, StopReason, ToDaemon, ToLauncher,
};
pub use slot_store::{SlotError, SlotStore, VerifiedBinary};
pub use state::{Event, IllegalTransition, Phase, Quarantined, State};
pub use state_file::{ReadState, StateFile, StateHead, StateReadError};
