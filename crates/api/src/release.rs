//! Binaries that the cluster knows.

use crate::hold::Reason;
use ironcache_types::{LevelRange, NodeId, PlanId, Release, Version};
use serde::{Deserialize, Serialize};

/// `GET /v1/releases`, and the answer to a staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRelease {
    pub release: Release,
    pub size_bytes: u64,
    /// How many nodes hold it, of how many.
    pub held_by: usize,
    pub nodes: usize,
    /// The levels that it reads and writes at.
    #[serde(default)]
    pub levels: Option<LevelRange>,
    /// The lowest version that it can be rolled out from.
    #[serde(default)]
    pub min_from: Option<Version>,
    /// Staged with `--hold`: no policy starts it.
    #[serde(default)]
    pub hold: bool,
    pub quarantined: Option<Quarantine>,
    #[serde(default)]
    pub declined: Option<Declined>,
}

/// A release as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseInfo {
    pub release: Release,
    pub size_bytes: u64,
    pub min_from: Option<Version>,
    pub levels: LevelRange,
    #[serde(default)]
    pub hold: bool,
}

/// It failed on a node, and is never activated again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub version: Version,
    pub node: NodeId,
    #[serde(flatten)]
    pub reason: Reason,
}

/// A plan to it did not end well: only an operator starts it again, or allows it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    pub version: Version,
    pub plan: PlanId,
    #[serde(flatten)]
    pub reason: Reason,
}

/// May a policy start the release that is being staged? `POST /v1/releases?hold=1` says no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StageHold {
    #[default]
    Free,
    Held,
}

/// `POST /v1/releases/allow`: the release is declined no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowRelease {
    pub version: Version,
}
