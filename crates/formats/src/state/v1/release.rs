//! Releases that are not run again.

use crate::BadField;
use crate::parts::version;
use ironcache_control as live;
use ironcache_types::NodeId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    pub version: String,
    pub node: u64,
    pub reason: String,
}

impl From<&live::Quarantine> for Quarantine {
    fn from(live::Quarantine { version, node, reason }: &live::Quarantine) -> Self {
        Quarantine { version: version.to_string(), node: node.0, reason: reason.clone() }
    }
}

impl TryFrom<Quarantine> for live::Quarantine {
    type Error = BadField;

    fn try_from(quarantine: Quarantine) -> Result<Self, BadField> {
        let Quarantine { version: text, node, reason } = quarantine;
        Ok(live::Quarantine { version: version(&text)?, node: NodeId(node), reason })
    }
}
