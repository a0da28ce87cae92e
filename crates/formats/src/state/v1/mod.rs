//! Version 1 of the state.

pub(crate) mod audit;
pub(crate) mod members;
pub(crate) mod node;
pub(crate) mod plan;
pub(crate) mod release;
pub(crate) mod shard;

use crate::parts::v1::security::Security;
use crate::parts::v1::{Policy, ReleaseInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use audit::Audit;
use members::MembershipChange;
use node::Node;
use plan::{Ended, Plan};
use release::{Declined, Quarantine, Unfinished};
use shard::Shard;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub cluster_id: Option<u128>,
    pub epoch: u64,
    pub cluster_level: u16,
    pub policy: Policy,
    pub policy_epoch: u64,
    pub nodes: BTreeMap<u64, Node>,
    pub shards: BTreeMap<u16, Shard>,
    pub releases: BTreeMap<[u8; 32], ReleaseInfo>,
    pub quarantined: BTreeMap<[u8; 32], Quarantine>,
    pub declined: BTreeMap<[u8; 32], Declined>,
    pub unfinished: Option<Unfinished>,
    pub plan: Option<Plan>,
    pub last_plan: u64,
    /// Oldest first.
    pub history: Vec<Ended>,
    pub membership: Option<MembershipChange>,
    /// Oldest first.
    pub removed: Vec<u64>,
    pub security: Security,
    pub audit: Audit,
    /// Oldest first.
    pub answers: Vec<Answer>,
}

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub request: u128,
    pub index: u64,
    pub refused: Option<String>,
}
