//! A node whose control state differs from the others' at one log index: it neither leads nor is promoted.

use crate::view::View;
use ironcache_types::NodeId;
use std::collections::BTreeMap;

/// Who differs, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    pub node: NodeId,
    pub log_index: u64,
}

/// The first node that holds another state than most others at one log index; of two halves the leader's is the one that
/// counts.
pub(crate) fn odd(view: View<'_>) -> Option<Odd> {
    let mut by_index: BTreeMap<u64, BTreeMap<u64, Vec<NodeId>>> = BTreeMap::new();
    for node in view.state.nodes.values() {
        let Ok(answer) = view.answer(node) else { continue };
        for at in &answer.state_hashes {
            by_index.entry(at.log_index).or_default().entry(at.hash).or_default().push(node.id);
        }
    }
    by_index.into_iter().find_map(|(log_index, holders)| {
        let (common, _) =
            holders.iter().max_by_key(|(_, nodes)| (nodes.len(), nodes.contains(&view.obs.leader)))?;
        let odd = holders.iter().filter(|(hash, _)| *hash != common).flat_map(|(_, nodes)| nodes).min()?;
        Some(Odd { node: *odd, log_index })
    })
}
