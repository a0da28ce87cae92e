//! Version 1 of the state.

mod node;
mod plan;
mod release;
mod shard;

use super::Answer as LiveAnswer;
use crate::BadField;
use crate::parts::{all, each};
use ironcache_control::ControlState;
use ironcache_types::{ClusterId, Digest, Epoch, Level, NodeId, PlanId, RequestId, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use node::Node;
use plan::{Ended, Plan};
use release::{Declined, Quarantine, Unfinished};
use shard::Shard;

use crate::parts::v1::{Policy, ReleaseInfo};

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

impl From<&LiveAnswer> for Answer {
    fn from(LiveAnswer { request, index, refused }: &LiveAnswer) -> Self {
        Answer { request: request.0, index: *index, refused: refused.clone() }
    }
}

impl From<Answer> for LiveAnswer {
    fn from(Answer { request, index, refused }: Answer) -> Self {
        LiveAnswer { request: RequestId(request), index, refused }
    }
}

impl State {
    pub(super) fn new<'a>(state: &ControlState, answers: impl IntoIterator<Item = &'a LiveAnswer>) -> Self {
        let ControlState {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
        } = state;
        State {
            cluster_id: cluster_id.map(|id| id.0),
            epoch: epoch.0,
            cluster_level: cluster_level.0,
            policy: policy.into(),
            policy_epoch: policy_epoch.0,
            nodes: nodes.iter().map(|(id, node)| (id.0, node.into())).collect(),
            shards: shards.iter().map(|(id, shard)| (id.0, shard.into())).collect(),
            releases: releases.iter().map(|(digest, info)| (digest.0, info.into())).collect(),
            quarantined: quarantined.iter().map(|(digest, why)| (digest.0, why.into())).collect(),
            declined: declined.iter().map(|(digest, why)| (digest.0, why.into())).collect(),
            unfinished: unfinished.as_ref().map(Into::into),
            plan: plan.as_ref().map(Into::into),
            last_plan: last_plan.0,
            history: each(history),
            answers: each(answers),
        }
    }

    pub(super) fn into_live(self) -> Result<(ControlState, Vec<LiveAnswer>), BadField> {
        let State {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
            answers,
        } = self;
        let state = ControlState {
            cluster_id: cluster_id.map(ClusterId),
            epoch: Epoch(epoch),
            cluster_level: Level(cluster_level),
            policy: policy.into(),
            policy_epoch: Epoch(policy_epoch),
            nodes: map(nodes, NodeId)?,
            shards: map(shards, ShardId)?,
            releases: map(releases, Digest)?,
            quarantined: map(quarantined, Digest)?,
            declined: map(declined, Digest)?,
            unfinished: unfinished.map(TryInto::try_into).transpose()?,
            plan: plan.map(TryInto::try_into).transpose()?,
            last_plan: PlanId(last_plan),
            history: all(history)?,
        };
        Ok((state, each(answers)))
    }
}

fn map<K, V, L: Ord, W: TryFrom<V>>(
    map: BTreeMap<K, V>,
    key: impl Fn(K) -> L,
) -> Result<BTreeMap<L, W>, BadField>
where
    BadField: From<W::Error>,
{
    map.into_iter().map(|(k, v)| Ok((key(k), W::try_from(v)?))).collect()
}
