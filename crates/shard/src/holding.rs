//! What a node says of itself to the leader: what it does, and what it could begin with.

use crate::engine::Engine;
use crate::role::Role;
use ironcache_control::Shard;
use ironcache_replication::{Lineage, SavedPosition};
use ironcache_types::{Epoch, Incarnation, Offset};

/// What a node could begin with, were it made primary of its shard now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Nothing,
    /// Everything below `offset`, the last of it of this epoch or an earlier one.
    UpTo {
        epoch: Epoch,
        offset: Offset,
        /// When it was written to this node's disk, Unix ms, if it was read from there and is unchanged.
        as_of_ms: Option<u64>,
    },
    /// All that the shard's last owner had.
    Sealed {
        offset: Offset,
    },
}

/// A whole dataset that was read from this node's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub lineage: Lineage,
    pub offset: Offset,
    /// The life that stopped with exactly this as a primary; `None` of a snapshot, and of what began with one.
    pub sealed_by: Option<Incarnation>,
    /// Unix ms.
    pub taken_ms: u64,
}

impl Engine {
    /// Nothing is said while the checkpoint is read.
    pub fn holds(&self, shard: &Shard) -> Option<Holds> {
        match &self.role {
            Role::Loading => None,
            Role::Primary(primary) => Some(up_to(&primary.lineage, primary.gate.end(), None)),
            Role::Replica(replica) => Some(match self.sealed_end(shard) {
                Some(offset) => Holds::Sealed { offset },
                // Without a lineage that reaches back to its position it could not be continued from.
                None => match replica.cursor.saved_position().ok()? {
                    Some(saved) => {
                        let as_of_ms = replica.unchanged().map(|read| read.taken_ms);
                        up_to(&saved.lineage, saved.position.offset, as_of_ms)
                    }
                    None => Holds::Nothing,
                },
            }),
        }
    }

    /// The ownership epoch under which this node serves: it is the primary, the log says where that begins, and its lease
    /// runs. A handover in flight changes nothing: it is over in a moment.
    pub fn serves(&self) -> Option<Epoch> {
        let shard = self.my_shard()?;
        match &self.role {
            Role::Primary(primary) if shard.is_primary(self.me) && primary.begun && self.leased => {
                Some(primary.epoch)
            }
            Role::Loading | Role::Replica(_) | Role::Primary(_) => None,
        }
    }

    /// The ownership epoch of the primary from which this node, its dataset whole, receives.
    pub fn follows(&self) -> Option<Epoch> {
        let shard = self.my_shard()?;
        match &self.role {
            Role::Replica(replica) if !shard.is_primary(self.me) && replica.link_up => {
                replica.cursor.ack().map(|ack| ack.source.epoch)
            }
            Role::Loading | Role::Replica(_) | Role::Primary(_) => None,
        }
    }

    /// Is the node what the applied state says it is: serving, or following with its dataset whole?
    pub fn is_settled(&self) -> bool {
        match self.my_shard() {
            Some(_) => self.serves().is_some() || self.follows().is_some(),
            None => !self.state.nodes.is_empty(),
        }
    }

    /// Where its dataset is, for a checkpoint; `None` if it holds no whole one.
    pub fn saved_position(&self) -> Option<SavedPosition> {
        match &self.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.saved_position().ok().flatten(),
            Role::Primary(primary) => SavedPosition::at(&primary.lineage, primary.gate.end()),
        }
    }
}

/// A primary whose start was never reached wrote nothing of it.
fn up_to(lineage: &Lineage, offset: Offset, as_of_ms: Option<u64>) -> Holds {
    let reached = lineage.entries().iter().rev().find(|(_, start)| *start <= offset);
    reached.map_or(Holds::Nothing, |(epoch, _)| Holds::UpTo { epoch: *epoch, offset, as_of_ms })
}
