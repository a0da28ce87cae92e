//! Upgraded and not final: what would happen next, and what stands in the way of going back.

use crate::unknown::Unknown;
use ironcache_types::{Level, NodeId};
use serde::{Deserialize, Serialize};

/// A plan whose nodes all run the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soaking {
    /// Unix ms, by the clock of the node that led then.
    pub since_ms: u64,
    /// How long it has soaked, in ms: counted by those who have led, each by its monotonic clock. What is left until it
    /// finalizes is the difference to `finalize_after_s`.
    pub soaked_ms: u64,
    /// `finalize-after-s` of the plan; `None`: only by command.
    pub finalize_after_s: Option<u64>,
    /// The level before finalize, and the one after.
    pub level: Level,
    pub finalizes_to: Level,
    pub can_roll_back: bool,
    /// Why not; empty if it can.
    pub blockers: Vec<RollbackBlocker>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackBlocker {
    /// The old binary would not start on this node.
    Preflight { node: NodeId, problem: Problem },
    /// The old binary has not been tried on this node yet.
    NotChecked { node: NodeId },
    /// The node does not hold the old binary any more.
    NotHeld { node: NodeId },
    /// The cluster writes what the old release does not read.
    LevelRaised { level: Level, reads_up_to: Level },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// What a binary says that was asked whether it would start here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub code: String,
    /// The configuration key that it stumbles over, if it is one.
    #[serde(default)]
    pub key: Option<String>,
    /// For people.
    pub text: String,
}
