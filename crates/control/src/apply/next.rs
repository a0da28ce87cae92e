//! What the level of the feature `next` brings: every node stands in a zone.
//!
//! *Invariant:* below that level no node has a zone, and from it on every node has one.

use super::Result;
use crate::rejection::{Applied, Rejection};
use crate::state::{ControlState, Node};
use ironcache_types::{Level, NEXT, NodeId};

/// The zone of a node that nobody gave one.
const DEFAULT: &str = "default";

/// Longer ones say something else than where a node stands.
const BYTES_MAX: usize = 64;

/// The zone of a node in a cluster that begins at `level`.
pub(super) fn first_zone(level: Level) -> Option<String> {
    (level >= NEXT).then(|| DEFAULT.to_owned())
}

impl ControlState {
    pub(super) fn raise_to_next(&mut self) {
        for node in self.nodes.values_mut() {
            node.zone = first_zone(NEXT);
        }
    }

    pub(super) fn set_zone(&mut self, node: NodeId, zone: &str) -> Result {
        let known = self.nodes.get(&node).ok_or(Rejection::UnknownNode { node })?;
        let zone = self.zone_of(known, Some(&zone.to_owned()))?;
        if zone == known.zone {
            return Ok(Applied::Unchanged);
        }
        if let Some(known) = self.nodes.get_mut(&node) {
            known.zone = zone;
        }
        self.fresh_epoch();
        self.changed()
    }

    /// Where `node` stands once it, or somebody for it, has named `zone`.
    pub(super) fn zone_of(&self, node: &Node, zone: Option<&String>) -> Result<Option<String>> {
        let Some(zone) = zone else { return Ok(node.zone.clone()) };
        if self.cluster_level < NEXT {
            return Err(Rejection::NotYet { level: NEXT, state: self.cluster_level });
        }
        if zone.is_empty() || zone.len() > BYTES_MAX {
            let (key, value) = ("zone".to_owned(), zone.clone());
            return Err(Rejection::BadSetting {
                key,
                value,
                why: format!("1 to {BYTES_MAX} bytes are wanted"),
            });
        }
        Ok(Some(zone.clone()))
    }
}
