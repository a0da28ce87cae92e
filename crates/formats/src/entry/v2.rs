//! The bodies that came with level 2.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeUsers {
    pub seen: u64,
    pub by: Vec<u8>,
    /// Rules, by name.
    pub set: BTreeMap<Vec<u8>, Vec<u8>>,
    pub deleted: BTreeSet<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeLibraries {
    pub seen: u64,
    pub by: Vec<u8>,
    /// Code, by name.
    pub set: BTreeMap<Vec<u8>, Vec<u8>>,
    pub deleted: BTreeSet<Vec<u8>>,
}
