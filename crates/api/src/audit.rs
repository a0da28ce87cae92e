//! Who had the cluster do what.

use ironcache_types::{AuditLink, AuditRecord};
use serde::{Deserialize, Serialize};

/// `GET /v1/audit`. Each record is as it was hashed, so whoever gets it can verify the chain without trusting who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTrail {
    /// The newest record that is no longer kept: what the first of `records` is chained to.
    pub anchor: AuditLink,
    /// The newest record.
    pub head: AuditLink,
    /// Oldest first.
    pub records: Vec<AuditRecord>,
}
