//! Whether a hello is meant for this node, as far as its applied state goes.
//!
//! *Invariant:* whoever is let in is of this cluster, is the registered life of its node, and reads the level that this
//! node writes at.

use crate::engine::Engine;
use ironcache_replication::{Hello, Purpose};
use ironcache_types::{Level, LevelRange, Member, NodeId, ShardId};

/// Why a hello is not accepted. It may be in a moment: this node's view may lag behind the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    #[error("the replica belongs to another cluster")]
    OtherCluster,
    #[error("this node does not hold shard {shard}")]
    OtherShard { shard: ShardId },
    #[error(
        "the cluster is at level {level}, and the replica's release admits levels {admits}: start one that admits it"
    )]
    CannotRead { level: Level, admits: LevelRange },
    #[error("node {node} is not part of the cluster")]
    UnknownNode { node: NodeId },
    #[error("{member} is not the registered life of its node")]
    OtherLife { member: Member },
    #[error("node {node} holds another shard")]
    NotOfShard { node: NodeId },
}

impl Engine {
    /// What speaks against `hello`; `level` is what this node writes at.
    pub fn objection(&self, hello: &Hello, level: Level) -> Option<Objection> {
        if self.state.cluster_id != Some(hello.cluster_id) {
            return Some(Objection::OtherCluster);
        }
        let mine = self.my_shard().map(|shard| shard.id);
        if mine != Some(hello.shard) {
            return Some(Objection::OtherShard { shard: hello.shard });
        }
        if !hello.levels.admits(level) {
            return Some(Objection::CannotRead { level, admits: hello.levels });
        }
        match self.state.nodes.get(&hello.member.node) {
            None => Some(Objection::UnknownNode { node: hello.member.node }),
            Some(node) if node.incarnation != hello.member.incarnation => {
                Some(Objection::OtherLife { member: hello.member })
            }
            // A keeper holds no part of the shard: whether it may keep is asked next.
            Some(node) if node.shard != mine && hello.purpose != Purpose::Keep => {
                Some(Objection::NotOfShard { node: node.id })
            }
            Some(_) => None,
        }
    }
}
