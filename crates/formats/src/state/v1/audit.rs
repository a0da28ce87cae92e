//! The audit chain.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    pub anchor: Link,
    pub head: Link,
    /// Oldest first.
    pub records: Vec<Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub seq: u64,
    pub hash: [u8; 32],
}

/// As it was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub seq: u64,
    pub at_ms: u64,
    pub epoch: u64,
    pub log_index: u64,
    pub who: BTreeMap<String, String>,
    pub from: Option<String>,
    pub act: String,
    pub details: BTreeMap<String, String>,
    pub previous: [u8; 32],
}
