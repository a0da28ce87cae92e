//! What a session asks of the node that it is on.
//!
//! *Invariant:* a view of one moment that is read only: nothing that a session asks changes anything, so no answer contradicts
//! the one before it.

use crate::account::Accounts;
use crate::pause::Paused;
use crate::refusal::Endpoint;
use crate::watch::Watches;
use ironcache_types::{Epoch, Level, Offset, ReadFrom, Slot};

pub trait Site {
    /// What the cluster may write.
    fn level(&self) -> Level;

    /// Who serves a slot to this client.
    fn owner(&self, slot: Slot, read: ReadFrom) -> Owner;

    /// Who executes a write without keys.
    fn owner_without_keys(&self) -> Owner;

    /// May a write be acknowledged with the members that are in sync?
    fn has_enough_in_sync(&self) -> bool;

    /// Is there no memory left, and no key that may go for more?
    fn is_out_of_memory(&self) -> bool;

    /// Do writes wait until replicas have taken more of what was written?
    fn is_backed_up(&self) -> bool;

    /// What is held back on every connection; `None` as a rule.
    fn paused(&self) -> Option<Paused>;

    /// What runs that keeps everybody else waiting; `None` as a rule.
    fn busy(&self) -> Option<Busy>;

    /// Are there libraries of the cluster that this node has not executed yet? For a moment, after they have changed.
    fn is_loading_libraries(&self) -> bool;

    /// Is there a function of this name?
    fn has_function(&self, name: &[u8]) -> bool;

    /// In which this node is the primary of its shard; `None` if it is not.
    fn epoch(&self) -> Option<Epoch>;

    /// Is a key there, now?
    fn look(&self, key: &[u8]) -> Looked;

    /// Who watches which keys, of all sessions of this node: the sessions keep it, and the node tells it of what is written.
    fn watches(&self) -> &Watches;

    /// Is a client of this number here?
    fn has_client(&self, id: u64) -> bool;

    /// How many replicas have applied everything below `offset`.
    fn holders(&self, offset: Offset) -> usize;

    /// The users that it knows.
    fn accounts(&self) -> &Accounts;

    /// As whom the node shows itself.
    fn introduction(&self) -> Introduction;
}

/// What keeps everybody else waiting. `Display` is what they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    #[error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")]
    Script,
    #[error("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.")]
    Function,
}

/// What is there of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    Absent,
    /// Its time is up, and it is not deleted yet: it reads as absent.
    Expired,
    Present,
}

/// Who executes a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Here,
    At(Endpoint),
    /// It is being decided.
    Undecided,
    Nobody,
}

/// What `HELLO` tells of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The Redis whose commands and replies are offered.
    pub redis_version: &'static str,
    pub shown_as: ShownAs,
}

/// In the words of cluster clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownAs {
    Master,
    Replica,
}
