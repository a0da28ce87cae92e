//! Since level 1.

use super::version;
use crate::BadField;
use ironcache_control::{AckMode as LiveAckMode, HoldReason as LiveHoldReason, NodeRole as LiveNodeRole};
use ironcache_control::{PlanOptions as LivePlanOptions, ReleaseInfo as LiveReleaseInfo};
use ironcache_types as types;
use ironcache_types::{Digest, Incarnation, NodeId, SlotSet, WireRange};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub node: u64,
    pub incarnation: u64,
}

impl From<types::Member> for Member {
    fn from(types::Member { node, incarnation }: types::Member) -> Self {
        Member { node: node.0, incarnation: incarnation.0 }
    }
}

impl From<Member> for types::Member {
    fn from(Member { node, incarnation }: Member) -> Self {
        types::Member { node: NodeId(node), incarnation: Incarnation(incarnation) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub version: String,
    pub digest: [u8; 32],
}

impl From<&types::Release> for Release {
    fn from(types::Release { version, digest }: &types::Release) -> Self {
        Release { version: version.to_string(), digest: digest.0 }
    }
}

impl TryFrom<Release> for types::Release {
    type Error = BadField;

    fn try_from(release: Release) -> Result<Self, BadField> {
        Ok(types::Release { version: version(&release.version)?, digest: Digest(release.digest) })
    }
}

/// The levels that a release admits, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelRange {
    pub min: u16,
    pub max: u16,
}

impl From<WireRange> for LevelRange {
    fn from(WireRange { min, max }: WireRange) -> Self {
        LevelRange { min, max }
    }
}

impl From<LevelRange> for WireRange {
    fn from(LevelRange { min, max }: LevelRange) -> Self {
        WireRange { min, max }
    }
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRange {
    pub start: u16,
    pub end: u16,
}

pub(crate) fn slots(SlotSet(ranges): &SlotSet) -> Vec<SlotRange> {
    ranges.iter().map(|types::SlotRange { start, end }| SlotRange { start: *start, end: *end }).collect()
}

pub(crate) fn slot_set(ranges: &[SlotRange]) -> SlotSet {
    SlotSet(
        ranges.iter().map(|SlotRange { start, end }| types::SlotRange { start: *start, end: *end }).collect(),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AckMode {
    Primary,
    InSync,
}

impl From<LiveAckMode> for AckMode {
    fn from(mode: LiveAckMode) -> Self {
        match mode {
            LiveAckMode::Primary => AckMode::Primary,
            LiveAckMode::InSync => AckMode::InSync,
        }
    }
}

impl From<AckMode> for LiveAckMode {
    fn from(mode: AckMode) -> Self {
        match mode {
            AckMode::Primary => LiveAckMode::Primary,
            AckMode::InSync => LiveAckMode::InSync,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeRole {
    Data,
    Witness,
}

impl From<LiveNodeRole> for NodeRole {
    fn from(role: LiveNodeRole) -> Self {
        match role {
            LiveNodeRole::Data => NodeRole::Data,
            LiveNodeRole::Witness => NodeRole::Witness,
        }
    }
}

impl From<NodeRole> for LiveNodeRole {
    fn from(role: NodeRole) -> Self {
        match role {
            NodeRole::Data => LiveNodeRole::Data,
            NodeRole::Witness => LiveNodeRole::Witness,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanOptions {
    pub max_parallel: u16,
    pub settle_ms: u64,
    pub step_timeout_ms: u64,
}

impl From<LivePlanOptions> for PlanOptions {
    fn from(LivePlanOptions { max_parallel, settle_ms, step_timeout_ms }: LivePlanOptions) -> Self {
        PlanOptions { max_parallel, settle_ms, step_timeout_ms }
    }
}

impl From<PlanOptions> for LivePlanOptions {
    fn from(PlanOptions { max_parallel, settle_ms, step_timeout_ms }: PlanOptions) -> Self {
        LivePlanOptions { max_parallel, settle_ms, step_timeout_ms }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldReason {
    StepFailed { node: u64, reason: String },
    StepInconclusive { node: u64, reason: String },
    StepTimedOut { node: u64, waited_ms: u64 },
    StateMismatch { node: u64, log_index: u64 },
}

impl From<&LiveHoldReason> for HoldReason {
    fn from(reason: &LiveHoldReason) -> Self {
        match reason {
            LiveHoldReason::StepFailed { node, reason } => {
                HoldReason::StepFailed { node: node.0, reason: reason.clone() }
            }
            LiveHoldReason::StepInconclusive { node, reason } => {
                HoldReason::StepInconclusive { node: node.0, reason: reason.clone() }
            }
            LiveHoldReason::StepTimedOut { node, waited_ms } => {
                HoldReason::StepTimedOut { node: node.0, waited_ms: *waited_ms }
            }
            LiveHoldReason::StateMismatch { node, log_index } => {
                HoldReason::StateMismatch { node: node.0, log_index: *log_index }
            }
        }
    }
}

impl From<HoldReason> for LiveHoldReason {
    fn from(reason: HoldReason) -> Self {
        match reason {
            HoldReason::StepFailed { node, reason } => {
                LiveHoldReason::StepFailed { node: NodeId(node), reason }
            }
            HoldReason::StepInconclusive { node, reason } => {
                LiveHoldReason::StepInconclusive { node: NodeId(node), reason }
            }
            HoldReason::StepTimedOut { node, waited_ms } => {
                LiveHoldReason::StepTimedOut { node: NodeId(node), waited_ms }
            }
            HoldReason::StateMismatch { node, log_index } => {
                LiveHoldReason::StateMismatch { node: NodeId(node), log_index }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseInfo {
    pub release: Release,
    pub size_bytes: u64,
    pub min_from: Option<String>,
    pub levels: LevelRange,
}

impl From<&LiveReleaseInfo> for ReleaseInfo {
    fn from(LiveReleaseInfo { release, size_bytes, min_from, wire }: &LiveReleaseInfo) -> Self {
        ReleaseInfo {
            release: release.into(),
            size_bytes: *size_bytes,
            min_from: min_from.as_ref().map(ToString::to_string),
            levels: (*wire).into(),
        }
    }
}

impl TryFrom<ReleaseInfo> for LiveReleaseInfo {
    type Error = BadField;

    fn try_from(
        ReleaseInfo { release, size_bytes, min_from, levels }: ReleaseInfo,
    ) -> Result<Self, BadField> {
        Ok(LiveReleaseInfo {
            release: release.try_into()?,
            size_bytes,
            min_from: min_from.as_deref().map(version).transpose()?,
            wire: levels.into(),
        })
    }
}
