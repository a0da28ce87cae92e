//! The control plane's log: openraft over our own log file, our own wire format and HTTP.
//!
//! ```text
//!            RaftNode ── propose, confirm_index, transfer_leader, membership, applied() ──► the daemon
//!               │
//!   network ◄─ openraft ─► LogStore ─► wal (file, fsync)
//!   (peers)     │
//!               └────────► StateMachine ─► ControlState ─► watch<AppliedView>
//!                              └─► snapshot (file)
//! ```
//!
//! *Invariant:* this is the only crate that names openraft.
//! *Invariant:* an entry is bytes, from the proposer's seal to its apply: nothing in between looks into its body.
//! *Invariant:* a vote or an entry is fsynced before it is acknowledged; a snapshot before the log is purged.
//! *Invariant:* whoever knows that a node's log went back counts neither its vote nor its acknowledgement.
//! *Invariant:* nothing here decides anything about the cluster: that is `ironcache-control`.

mod admission;
mod answers;
mod ask;
pub mod bodies;
mod compact;
mod contact;
mod ended;
mod foreign;
#[cfg(test)]
mod fuzz;
mod identity;
mod leader;
mod led;
mod level;
mod lives;
mod machine;
mod network;
mod node;
mod options;
mod reload;
mod snapshot;
mod timers;
mod types;
mod view;
mod wal;

pub use admission::Admission;
pub use contact::{Contact, NoLeader};
pub use ended::Ended;
pub use foreign::Foreign;
pub use identity::{AnyCluster, IdentityError, MayJoin};
pub use led::{Led, NotLed};
pub use level::RaiseError;
pub use lives::WentBack;
pub use machine::{AppliedView, HASH_EVERY, HASHES_KEPT, MachineError, StateHash};
pub use network::client::CallError;
pub use network::server::{Proved, REQUEST_BYTES_MAX};
pub use node::{AskError, InitializeNodeError, OpenError, RaftNode};
pub use options::RaftOptions;
pub use reload::{ReloadError, TakenOver};
pub use snapshot::SnapshotError;
pub use timers::Timers;
pub use types::{PeerAddr, Proposed, REMOVED, Refusal, Response, Role};
pub use view::{LeaderView, RaftView};
pub use wal::WalError;
