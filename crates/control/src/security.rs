//! Who the cluster knows, and by what.
//!
//! ```text
//!   Insecure ─ whoever reaches a port is believed: nobody has a key
//!   Keys ───── nodes:     one key each, from the entry that took the node in until raft has let it go
//!              operators: one key each, with a name and a role; never none that may do everything
//!              codes:     those of the join codes that were used: one code, one node
//!              gone:      the keys of nodes that left for good: they open nothing, and whoever comes with one is told so
//! ```
//! Chosen when the cluster is created, and never changed: no cluster has some members with keys and others without.
//!
//! *Invariant:* a key has one holder: one node, or one operator.
//! *Invariant:* a node's key never changes. A lost or a stolen one means another node in its place.
//! *Invariant:* an insecure cluster pins nothing, so nobody takes it for a locked one.

use ironcache_types::{Digest, KeyHash, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    Insecure,
    Keys(Keys),
}

/// What a cluster with keys pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub nodes: BTreeMap<NodeId, KeyHash>,
    pub operators: BTreeMap<KeyHash, Operator>,
    /// Of used join codes, oldest first; at most [`Keys::CODES_MAX`].
    pub codes: VecDeque<Digest>,
    /// Of nodes that raft has let go, oldest first; at most [`crate::ControlState::REMOVED_MAX`].
    pub gone: VecDeque<(NodeId, KeyHash)>,
}

/// A person, or a program that acts for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    pub role: OperatorRole,
}

/// What an operator may do: everything that the roles before it may, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperatorRole {
    /// Reads.
    Viewer,
    /// Releases, plans and policies.
    Operator,
    /// Nodes, operators and accepted losses.
    Admin,
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    Node(NodeId),
    Operator(&'a Operator),
}

/// Who asks for an entry about operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// The operator of this key, as the proposing node has seen it proved.
    Operator(KeyHash),
    /// Whoever holds this node's directory, and so its key.
    Node(NodeId),
}

/// How the cluster that is created is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSecurity {
    Insecure,
    Keys {
        /// Of every node of the layout.
        nodes: BTreeMap<NodeId, KeyHash>,
        /// The first operator, who may do everything.
        admin: NewOperator,
        /// Of the join codes by which the nodes were met: none of them is good for another.
        codes: Vec<Digest>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperator {
    pub key: KeyHash,
    pub name: String,
}

/// How a node that joins a cluster with keys was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub key: KeyHash,
    /// Of the join code that both sides proved.
    pub code: Digest,
}

impl OperatorRole {
    pub fn word(self) -> &'static str {
        match self {
            OperatorRole::Viewer => "viewer",
            OperatorRole::Operator => "operator",
            OperatorRole::Admin => "admin",
        }
    }
}

impl Security {
    /// Whose key this is, if the cluster knows it.
    pub fn holder(&self, key: KeyHash) -> Option<Holder<'_>> {
        match self {
            Security::Insecure => None,
            Security::Keys(keys) => keys.holder(key),
        }
    }

    /// What the operator of this key is called.
    pub fn operator_name(&self, key: KeyHash) -> Option<&str> {
        match self.holder(key)? {
            Holder::Operator(operator) => Some(&operator.name),
            Holder::Node(_) => None,
        }
    }

    /// The node that had this key until it left for good.
    pub fn gone(&self, key: KeyHash) -> Option<NodeId> {
        match self {
            Security::Insecure => None,
            Security::Keys(keys) => keys.gone.iter().rfind(|(_, gone)| *gone == key).map(|(node, _)| *node),
        }
    }

    /// The key that `node` has to prove.
    pub fn pin(&self, node: NodeId) -> Option<KeyHash> {
        match self {
            Security::Insecure => None,
            Security::Keys(keys) => keys.nodes.get(&node).copied(),
        }
    }
}

impl Keys {
    /// Used codes that are remembered: more than a cluster takes nodes in within the time that anybody keeps a code.
    pub const CODES_MAX: usize = 256;

    /// Operators at a time; all of them are in every snapshot. A team of people, and programs that act for them.
    pub const OPERATORS_MAX: usize = 256;

    /// Longer ones are no names.
    pub const NAME_BYTES_MAX: usize = 64;

    pub fn holder(&self, key: KeyHash) -> Option<Holder<'_>> {
        if let Some(operator) = self.operators.get(&key) {
            return Some(Holder::Operator(operator));
        }
        self.nodes.iter().find(|(_, pinned)| **pinned == key).map(|(node, _)| Holder::Node(*node))
    }

    pub fn admins(&self) -> usize {
        self.operators.values().filter(|operator| operator.role == OperatorRole::Admin).count()
    }
}
