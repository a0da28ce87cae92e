//! The live state, and the newest version of it.
//!
//! *Invariant:* what a live type becomes is said here and never in `vN`, which stays what a release made of it.

mod audit;
mod libraries;
mod members;
mod node;
mod plan;
mod release;
mod shard;
mod users;

use super::Answer as LiveAnswer;
#[cfg(feature = "next")]
use super::next::State;
use super::v1::Answer;
#[cfg(not(feature = "next"))]
use super::v2::State;
use crate::BadField;
use crate::parts::{all, each};
use ironcache_control::ControlState;
use ironcache_types::{ClusterId, Digest, Epoch, Level, NodeId, PlanId, RequestId, ShardId};
use std::collections::BTreeMap;

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
            membership,
            removed,
            security,
            audit,
            users,
            libraries,
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
            membership: membership.as_ref().map(Into::into),
            removed: removed.iter().map(|node| node.0).collect(),
            security: security.into(),
            audit: audit.into(),
            answers: each(answers),
            users: users.into(),
            libraries: libraries.into(),
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
            membership,
            removed,
            security,
            audit,
            answers,
            users,
            libraries,
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
            membership: membership.map(Into::into),
            removed: removed.into_iter().map(NodeId).collect(),
            security: security.into(),
            audit: audit.into(),
            users: users.into(),
            libraries: libraries.into(),
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
