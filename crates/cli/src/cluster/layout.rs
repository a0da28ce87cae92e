//! Who votes and who holds what, for a new cluster.
//!
//! *Invariant:* the number of voters is odd and at most seven, where there are enough nodes to choose:
//! a further voter of an even number costs a vote and tolerates nothing more.

use ironcache_api::{AckMode, CreateCluster, CreateNode, CreateShard};
use ironcache_types::{NodeId, ShardId, SlotSet};
use std::collections::BTreeMap;

/// More voters make every commit wait for more disks and tolerate what nobody has yet seen fail at once.
pub const VOTERS_MAX: usize = 7;

/// A pristine node, as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub node: NodeId,
    pub http_addr: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error(
        "{nodes} nodes cannot be divided into shards of {group} ({replicas} replicas each): give a multiple of {group}"
    )]
    Uneven { nodes: usize, group: usize, replicas: u16 },
    #[error("no node was given that could hold data")]
    NoNodes,
    #[error("{shards} shards are more than the {max} slots")]
    TooManyShards { shards: usize, max: u16 },
    #[error("{addr} was given twice")]
    Twice { addr: String },
}

/// The first nodes become the primaries, the rest replicas in the same order, round by round.
pub fn layout(
    data: &[Candidate],
    witnesses: &[Candidate],
    replicas: u16,
    mode: AckMode,
) -> Result<CreateCluster, LayoutError> {
    let group = usize::from(replicas) + 1;
    if data.is_empty() {
        return Err(LayoutError::NoNodes);
    }
    if !data.len().is_multiple_of(group) {
        return Err(LayoutError::Uneven { nodes: data.len(), group, replicas });
    }
    let all = || data.iter().chain(witnesses);
    for (i, candidate) in all().enumerate() {
        if all().skip(i + 1).any(|other| other.node == candidate.node) {
            return Err(LayoutError::Twice { addr: candidate.http_addr.clone() });
        }
    }
    let too_many = |shards| LayoutError::TooManyShards { shards, max: ironcache_types::SLOT_COUNT };
    let count = u16::try_from(data.len() / group).ok().filter(|n| *n <= ironcache_types::SLOT_COUNT);
    let count = count.ok_or_else(|| too_many(data.len() / group))?;

    let shard_of = |position: usize| ShardId((position % usize::from(count)) as u16);
    let shards = (0..count).map(|index| CreateShard {
        id: ShardId(index),
        slots: SlotSet::part(index, count),
        nodes: data
            .iter()
            .enumerate()
            .filter(|(at, _)| shard_of(*at).0 == index)
            .map(|(_, c)| c.node)
            .collect(),
    });
    // A witness is there to vote; of the data nodes the last replicas are the first to go without.
    let votes = voters(data.len() + witnesses.len());
    let of_witnesses = witnesses.len().min(votes);
    let of_data = votes - of_witnesses;
    let node = |candidate: &Candidate, voter, shard| CreateNode {
        http_addr: candidate.http_addr.clone(),
        node: candidate.node,
        voter,
        shard,
    };
    let data_nodes = data.iter().enumerate().map(|(at, c)| node(c, at < of_data, Some(shard_of(at))));
    let witness_nodes = witnesses.iter().enumerate().map(|(at, c)| node(c, at < of_witnesses, None));
    let (nodes, shards) = (data_nodes.chain(witness_nodes).collect(), shards.collect());
    Ok(CreateCluster { nodes, shards, mode, set: BTreeMap::new(), security: None })
}

/// How many of `nodes` vote.
pub fn voters(nodes: usize) -> usize {
    match nodes.min(VOTERS_MAX) {
        few @ 0..=2 => few,
        more => more - (1 - more % 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(ids: std::ops::Range<u64>) -> Vec<Candidate> {
        ids.map(|id| Candidate { node: NodeId(id), http_addr: format!("n{id}:1") }).collect()
    }

    fn voting(create: &CreateCluster) -> Vec<u64> {
        create.nodes.iter().filter(|n| n.voter).map(|n| n.node.0).collect()
    }

    #[test]
    fn an_even_cluster_leaves_its_last_replica_a_learner() {
        let create = layout(&candidates(0..6), &[], 1, AckMode::Primary).unwrap();
        assert_eq!(voting(&create), [0, 1, 2, 3, 4]);
        let nodes: Vec<_> = create.shards.iter().map(|s| s.nodes.clone()).collect();
        assert_eq!(nodes, [[NodeId(0), NodeId(3)], [NodeId(1), NodeId(4)], [NodeId(2), NodeId(5)]]);
        assert_eq!(create.shards.iter().map(|s| s.slots.count()).sum::<u32>(), 16384);
    }

    #[test]
    fn a_witness_votes_and_holds_nothing() {
        let create = layout(&candidates(0..2), &candidates(9..10), 1, AckMode::InSync).unwrap();
        assert_eq!(voting(&create), [0, 1, 9]);
        assert_eq!(create.nodes[2].shard, None);
    }

    #[test]
    fn voters_are_odd_and_at_most_seven() {
        assert_eq!([1, 2, 3, 4, 6, 7, 8, 20].map(voters), [1, 2, 3, 3, 5, 7, 7, 7]);
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        let error = layout(&candidates(0..5), &[], 1, AckMode::Primary).unwrap_err();
        assert_eq!(error, LayoutError::Uneven { nodes: 5, group: 2, replicas: 1 });
        let error = layout(&candidates(0..2), &candidates(1..2), 1, AckMode::Primary).unwrap_err();
        assert!(matches!(error, LayoutError::Twice { .. }));
        assert_eq!(layout(&[], &[], 1, AckMode::Primary).unwrap_err(), LayoutError::NoNodes);
    }
}
