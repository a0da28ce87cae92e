//! Why a plan goes no further by itself.

use crate::soaking::Problem;
use crate::unknown::Unknown;
use ironcache_types::{NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// What a node or an operator gave as the reason of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs; `None` from who gives text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For people.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// The new binary failed on this node, which went back to the old one. The digest is quarantined.
    StepFailed {
        node: NodeId,
        #[serde(flatten)]
        reason: Reason,
    },
    /// The node went back although the binary was not at fault (cut off during its trial, say).
    StepInconclusive {
        node: NodeId,
        #[serde(flatten)]
        reason: Reason,
    },
    /// The node has been out for longer than the plan allows.
    StepTimedOut { node: NodeId, waited_ms: u64 },
    /// Nodes disagree on the state at the same log index.
    StateMismatch { node: NodeId, log_index: u64 },
    /// What the shard acknowledges is in one process only.
    Exposed { shard: ShardId },
    /// The binary would not start on this node as it is configured today.
    PreflightFailed { node: NodeId, problem: Problem },
    #[serde(untagged)]
    Unknown(Unknown),
}
