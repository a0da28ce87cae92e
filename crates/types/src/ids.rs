//! Identifiers and counters.
//!
//! *Invariant:* what is drawn at random is text wherever a person or a script may read it. JavaScript and jq
//! round numbers above 2^53, and a rounded id names nobody. Counters stay numbers: they do not get there.

use crate::hex_id::hex_id;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A node's identity, drawn once when its data directory is made. Shown as 16 hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

hex_id!(NodeId(u64), "a node id");

impl NodeId {
    /// The 40 hex digits that `CLUSTER MYID` and `CLUSTER NODES` show: Redis clients expect this length.
    pub fn redis_id(self) -> String {
        format!("{:016x}{:024x}", self.0, 0)
    }
}

/// Drawn fresh at each start of a node's process; a role belongs to (node, incarnation), so that a
/// restarted process never inherits what its predecessor was trusted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

hex_id!(Incarnation(u64), "an incarnation");

/// One life of one node: what primaries and in-sync sets are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeId,
    pub incarnation: Incarnation,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, incarnation } = self;
        write!(f, "{node}/{incarnation}")
    }
}

/// A shard's number, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A value of the cluster's one monotonic counter. Ownership, in-sync set and step epochs are
/// separate compare targets, all drawn from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Self {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in a shard's replication stream, in bytes of frames since the shard was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A rollout's number, from 1, in the order in which plans were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanId(pub u64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names one attempt of one caller, so that a command whose outcome is unknown can be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

hex_id!(RequestId(u128), "a request id");

/// Names one cluster, drawn when it is created. Every RPC, replication link and checkpoint carries it, so
/// that a node never takes part in two clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

hex_id!(ClusterId(u128), "a cluster id");

/// A start of a machine, by its kernel's boot id. Two processes with the same one ran on one machine without a restart
/// in between; 0 is a machine that does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u128);

hex_id!(MachineId(u128), "a machine id");

impl MachineId {
    pub const UNKNOWN: MachineId = MachineId(0);

    /// As the kernel writes it: hex digits, with or without hyphens. Anything else is unknown.
    pub fn of_boot_id(text: &str) -> MachineId {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        digits.parse().unwrap_or(MachineId::UNKNOWN)
    }

    pub fn is_known(self) -> bool {
        self != MachineId::UNKNOWN
    }

    /// Certainly the same: two that are unknown are not.
    pub fn is_same(self, other: MachineId) -> bool {
        self.is_known() && self == other
    }
}

#[cfg(test)]
mod tests {
    use super::MachineId;

    #[test]
    fn a_machine_is_its_boot_id_and_unknown_ones_are_never_the_same() {
        let machine = MachineId::of_boot_id("0fedcba9-8765-4321-0fed-cba987654321\n");
        assert_eq!(machine, MachineId(0x0fed_cba9_8765_4321_0fed_cba9_8765_4321));
        assert!(machine.is_same(machine));
        for text in ["", "no id", "0fedcba9-8765-4321-0fed-cba9876543210"] {
            assert_eq!(MachineId::of_boot_id(text), MachineId::UNKNOWN, "{text:?}");
        }
        assert!(!MachineId::UNKNOWN.is_same(MachineId::UNKNOWN) && !machine.is_same(MachineId(1)));
    }
}
