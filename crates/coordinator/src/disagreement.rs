//! A node whose control state differs from the others' at one log index: it neither leads nor is promoted, and begins anew
//! from theirs where most of all nodes agree.

use crate::bars::Bars;
use crate::observation::Observation;
use crate::view::View;
use ironcache_control::ControlState;
use ironcache_types::NodeId;
use std::collections::BTreeMap;

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
    by_index(view).into_iter().find_map(|(log_index, holders)| {
        let (hash, _) = holders.iter().find(|(_, nodes)| nodes.len() * 2 > state.nodes.len())?;
        let others = holders.iter().filter(|(other, _)| *other != hash).flat_map(|(_, nodes)| nodes);
        let node = *others.filter(|node| **node != obs.leader).min()?;
        Some(Outvoted { node, log_index, hash: *hash })
    })
}

/// The first node that holds another state than most others at one log index; of two halves the leader's is the one that
/// counts.
pub(crate) fn odd(view: View<'_>) -> Option<Odd> {
    by_index(view).into_iter().find_map(|(log_index, holders)| {
        let (common, _) =
            holders.iter().max_by_key(|(_, nodes)| (nodes.len(), nodes.contains(&view.obs.leader)))?;
        let odd = holders.iter().filter(|(hash, _)| *hash != common).flat_map(|(_, nodes)| nodes).min()?;
        Some(Odd { node: *odd, log_index })
    })
}

/// Who holds which hash, at each index.
fn by_index(view: View<'_>) -> BTreeMap<u64, BTreeMap<u64, Vec<NodeId>>> {
    let mut by_index: BTreeMap<u64, BTreeMap<u64, Vec<NodeId>>> = BTreeMap::new();
    for node in view.state.nodes.values() {
        let Ok(answer) = view.answer(node) else { continue };
        for at in &answer.state_hashes {
            by_index.entry(at.log_index).or_default().entry(at.hash).or_default().push(node.id);
        }
    }
    by_index
}
