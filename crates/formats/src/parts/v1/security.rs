//! What a cluster pins, and what it is asked to.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Security {
    Insecure,
    Keys {
        nodes: BTreeMap<u64, [u8; 32]>,
        operators: BTreeMap<[u8; 32], Operator>,
        /// Oldest first.
        codes: Vec<[u8; 32]>,
        /// Oldest first.
        gone: Vec<(u64, [u8; 32])>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operator {
    pub name: String,
    pub role: OperatorRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperatorRole {
    Viewer,
    Operator,
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NewSecurity {
    Insecure,
    Keys { nodes: BTreeMap<u64, [u8; 32]>, admin_key: [u8; 32], admin_name: String, codes: Vec<[u8; 32]> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admitted {
    pub key: [u8; 32],
    pub code: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AskedBy {
    Operator([u8; 32]),
    Node(u64),
}
