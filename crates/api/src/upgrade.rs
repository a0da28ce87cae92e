//! A roll as its leader sees it, and what an operator says to it.

use crate::plan::{HistoryEntry, Plan};
use crate::soaking::Soaking;
use crate::unknown::words;
use crate::waiting_on::WaitingOn;
use ironcache_types::{Digest, NodeId, PlanId, Release, ShardId, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST /v1/upgrade/plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    pub target: Version,
    /// What the version is taken for: refused if it is another binary's by then. `None`: whichever it names.
    #[serde(default)]
    pub digest: Option<Digest>,
    pub dry_run: bool,
    pub max_parallel: Option<u16>,
    pub settle_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// `None` for a dry run.
    pub plan: Option<PlanId>,
    pub from: Version,
    pub target: Release,
    /// What will happen, in order, for people.
    pub steps: Vec<String>,
}

/// `POST /v1/upgrade/rollback`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// For the history, and for whoever reads it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `GET /v1/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeStatus {
    pub leader: NodeId,
    /// The leader's clock, Unix ms: what the times of plans are compared with.
    #[serde(default)]
    pub now_ms: Option<u64>,
    /// The active plan.
    pub plan: Option<Plan>,
    /// What the coordinator waits for now.
    pub waiting_on: Vec<WaitingOn>,
    /// Where the cluster's nodes serve clients: reasons and steps name nodes by their ids.
    #[serde(default)]
    pub addresses: BTreeMap<NodeId, String>,
    /// Set while the active plan soaks.
    #[serde(default)]
    pub soaking: Option<Soaking>,
    /// Ended plans, oldest first.
    pub history: Vec<HistoryEntry>,
    pub nodes: Vec<UpgradeNode>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeNode {
    pub node: NodeId,
    pub client_addr: String,
    pub shard: Option<ShardId>,
    pub role: ServingRole,
    pub leader: bool,
    pub release: Release,
    pub step: NodeStep,
    pub in_sync: bool,
    pub reachable: bool,
}

words! {
    /// What a node is, by the log.
    pub enum ServingRole {
        Primary = "primary",
        Replica = "replica",
        Witness = "witness",
    }
}

words! {
    /// How far a node is on its way to the target.
    pub enum NodeStep {
        /// There is no plan, and was none.
        Idle = "idle",
        Waiting = "waiting",
        /// It holds the artifact.
        Staged = "staged",
        Out = "out",
        Trial = "trial",
        /// On the target, for good.
        Confirmed = "confirmed",
        Failed = "failed",
    }
}
