//! The verb of the feature `next`: `POST /v1/cluster/zone`.

use ironcache_types::{Level, NEXT, NodeId};
use serde::{Deserialize, Serialize};

/// Says where a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetZone {
    pub node: NodeId,
    pub zone: String,
}

impl SetZone {
    /// Since which the verb exists.
    pub const LEVEL: Level = NEXT;
}
