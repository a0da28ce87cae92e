//! Live types, and the newest version of each part.

mod origin;
mod plan;
mod policy;
mod release;
mod security;

use crate::parts::v1::{
    AckMode, KeeperBase, LevelRange, Member, NodeRole, ProtocolRange, Reason, RecoveredBy, SlotRange,
};
use ironcache_control as live;
use ironcache_types as types;
use ironcache_types::{Incarnation, NodeId, SlotSet};

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

impl From<types::LevelRange> for LevelRange {
    fn from(types::LevelRange { min, max }: types::LevelRange) -> Self {
        LevelRange { min: min.0, max: max.0 }
    }
}

impl From<LevelRange> for types::LevelRange {
    fn from(LevelRange { min, max }: LevelRange) -> Self {
        types::LevelRange::new(min, max)
    }
}

impl From<types::WireRange> for ProtocolRange {
    fn from(types::WireRange { min, max }: types::WireRange) -> Self {
        ProtocolRange { min, max }
    }
}

impl From<ProtocolRange> for types::WireRange {
    fn from(ProtocolRange { min, max }: ProtocolRange) -> Self {
        types::WireRange { min, max }
    }
}

impl From<&live::Reason> for Reason {
    fn from(live::Reason { code, text }: &live::Reason) -> Self {
        Reason { code: code.clone(), text: text.clone() }
    }
}

impl From<Reason> for live::Reason {
    fn from(Reason { code, text }: Reason) -> Self {
        live::Reason { code, text }
    }
}

pub(crate) fn slots(SlotSet(ranges): &SlotSet) -> Vec<SlotRange> {
    ranges.iter().map(|types::SlotRange { start, end }| SlotRange { start: *start, end: *end }).collect()
}

pub(crate) fn slot_set(ranges: &[SlotRange]) -> SlotSet {
    SlotSet(
        ranges.iter().map(|SlotRange { start, end }| types::SlotRange { start: *start, end: *end }).collect(),
    )
}

impl From<live::AckMode> for AckMode {
    fn from(mode: live::AckMode) -> Self {
        match mode {
            live::AckMode::Primary => AckMode::Primary,
            live::AckMode::InSync => AckMode::InSync,
        }
    }
}

impl From<AckMode> for live::AckMode {
    fn from(mode: AckMode) -> Self {
        match mode {
            AckMode::Primary => live::AckMode::Primary,
            AckMode::InSync => live::AckMode::InSync,
        }
    }
}

impl From<live::NodeRole> for NodeRole {
    fn from(role: live::NodeRole) -> Self {
        match role {
            live::NodeRole::Data => NodeRole::Data,
            live::NodeRole::Witness => NodeRole::Witness,
        }
    }
}

impl From<NodeRole> for live::NodeRole {
    fn from(role: NodeRole) -> Self {
        match role {
            NodeRole::Data => live::NodeRole::Data,
            NodeRole::Witness => live::NodeRole::Witness,
        }
    }
}

impl From<live::KeeperBase> for KeeperBase {
    fn from(base: live::KeeperBase) -> Self {
        match base {
            live::KeeperBase::Leaver => KeeperBase::Leaver,
            live::KeeperBase::Own => KeeperBase::Own,
        }
    }
}

impl From<KeeperBase> for live::KeeperBase {
    fn from(base: KeeperBase) -> Self {
        match base {
            KeeperBase::Leaver => live::KeeperBase::Leaver,
            KeeperBase::Own => live::KeeperBase::Own,
        }
    }
}

impl From<live::RecoveredBy> for RecoveredBy {
    fn from(by: live::RecoveredBy) -> Self {
        match by {
            live::RecoveredBy::Policy => RecoveredBy::Policy,
            live::RecoveredBy::Operator => RecoveredBy::Operator,
        }
    }
}

impl From<RecoveredBy> for live::RecoveredBy {
    fn from(by: RecoveredBy) -> Self {
        match by {
            RecoveredBy::Policy => live::RecoveredBy::Policy,
            RecoveredBy::Operator => live::RecoveredBy::Operator,
        }
    }
}
