//! Releases that are not run again, or not by themselves, and what an aborted plan left.

use crate::BadField;
use crate::parts::version;
use crate::state::v1::release::{Declined, Quarantine, Unfinished};
use ironcache_control as live;
use ironcache_types::{NodeId, PlanId};

impl From<&live::Quarantine> for Quarantine {
    fn from(live::Quarantine { version, node, reason }: &live::Quarantine) -> Self {
        Quarantine { version: version.to_string(), node: node.0, reason: reason.into() }
    }
}

impl TryFrom<Quarantine> for live::Quarantine {
    type Error = BadField;

    fn try_from(quarantine: Quarantine) -> Result<Self, BadField> {
        let Quarantine { version: text, node, reason } = quarantine;
        Ok(live::Quarantine { version: version(&text)?, node: NodeId(node), reason: reason.into() })
    }
}

impl From<&live::Declined> for Declined {
    fn from(live::Declined { version, plan, reason }: &live::Declined) -> Self {
        Declined { version: version.to_string(), plan: plan.0, reason: reason.into() }
    }
}

impl TryFrom<Declined> for live::Declined {
    type Error = BadField;

    fn try_from(Declined { version: text, plan, reason }: Declined) -> Result<Self, BadField> {
        Ok(live::Declined { version: version(&text)?, plan: PlanId(plan), reason: reason.into() })
    }
}

impl From<&live::Unfinished> for Unfinished {
    fn from(live::Unfinished { origin, target }: &live::Unfinished) -> Self {
        Unfinished { origin: origin.into(), target: target.into() }
    }
}

impl TryFrom<Unfinished> for live::Unfinished {
    type Error = BadField;

    fn try_from(Unfinished { origin, target }: Unfinished) -> Result<Self, BadField> {
        Ok(live::Unfinished { origin: origin.try_into()?, target: target.try_into()? })
    }
}
