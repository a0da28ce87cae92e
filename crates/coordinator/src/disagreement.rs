//! A node whose control state differs from the others' at one log index: it neither leads nor is promoted, and begins anew
//! from theirs where most of all nodes agree.

use crate::bars::Bars;
use crate::observation::{Observation, StateHash};
use crate::view::View;
use ironcache_control::ControlState;
use ironcache_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Who differs, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    pub node: NodeId,
    pub log_index: u64,
}

/// A node that more than half of all nodes contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outvoted {
    pub node: NodeId,
    pub log_index: u64,
    /// What those have there.
    pub hash: u64,
}

/// The first such node besides the leader, whose own turn comes when it leads no more.
pub fn outvoted(state: &ControlState, obs: &Observation, bars: &Bars) -> Option<Outvoted> {
    let view = View { state, obs, bars };
    by_index(answers(view)).into_iter().find_map(|(log_index, holders)| {
        let hash = common_to_most(&holders, state.nodes.len())?;
        let others = holders.iter().filter(|(other, _)| **other != hash).flat_map(|(_, nodes)| nodes);
        let node = *others.filter(|node| **node != obs.leader).min()?;
        Some(Outvoted { node, log_index, hash })
    })
}

/// How a node stands to the others, as itself sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// More than half of all nodes hold what it holds, wherever most agree.
    Agrees,
    /// Too few answer, or nothing can be compared.
    Unknown,
    Contradicted(Outvoted),
}

/// How `node` stands to the others, of `all` nodes, by the hashes that each was heard to hold, its own among them.
pub fn standing(node: NodeId, all: usize, held: &BTreeMap<NodeId, Vec<StateHash>>) -> Standing {
    let mut standing = Standing::Unknown;
    for (log_index, holders) in by_index(held.iter().map(|(id, hashes)| (*id, hashes.as_slice()))) {
        let Some(hash) = common_to_most(&holders, all) else { continue };
        if holders.iter().any(|(other, nodes)| *other != hash && nodes.contains(&node)) {
            return Standing::Contradicted(Outvoted { node, log_index, hash });
        }
        if holders.get(&hash).is_some_and(|nodes| nodes.contains(&node)) {
            standing = Standing::Agrees;
        }
    }
    standing
}

/// The first node that holds another state than most others at one log index; of two halves the leader's is the one that
/// counts.
pub(crate) fn odd(view: View<'_>) -> Option<Odd> {
    by_index(answers(view)).into_iter().find_map(|(log_index, holders)| {
        let (common, _) =
            holders.iter().max_by_key(|(_, nodes)| (nodes.len(), nodes.contains(&view.obs.leader)))?;
        let odd = holders.iter().filter(|(hash, _)| *hash != common).flat_map(|(_, nodes)| nodes).min()?;
        Some(Odd { node: *odd, log_index })
    })
}

/// Who holds which hash at one index; a node that says so twice is one.
type Holders = BTreeMap<u64, BTreeSet<NodeId>>;

/// What more than half of `all` nodes hold.
fn common_to_most(holders: &Holders, all: usize) -> Option<u64> {
    holders.iter().find(|(_, nodes)| nodes.len() * 2 > all).map(|(hash, _)| *hash)
}

fn answers<'a>(view: View<'a>) -> impl Iterator<Item = (NodeId, &'a [StateHash])> {
    view.state
        .nodes
        .values()
        .filter_map(move |node| Some((node.id, view.answer(node).ok()?.state_hashes.as_slice())))
}

fn by_index<'a>(held: impl Iterator<Item = (NodeId, &'a [StateHash])>) -> BTreeMap<u64, Holders> {
    let mut by_index: BTreeMap<u64, Holders> = BTreeMap::new();
    for (node, hashes) in held {
        for at in hashes {
            by_index.entry(at.log_index).or_default().entry(at.hash).or_default().insert(node);
        }
    }
    by_index
}
