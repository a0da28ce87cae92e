//! By what a cluster knows its members and its operators.

use crate::unknown::words;
use ironcache_types::KeyHash;
use serde::{Deserialize, Serialize};

words! {
    /// Chosen when the cluster is created.
    pub enum SecurityMode {
        /// It knows nobody: whoever reaches a peer or HTTP port is believed.
        Insecure = "insecure",
        /// Every node and every operator proves a key that the log pins.
        Keys = "keys",
    }
}

words! {
    /// What an operator may do: everything that the roles before it may, too.
    pub enum OperatorRole {
        Viewer = "viewer",
        Operator = "operator",
        Admin = "admin",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub key: KeyHash,
    pub name: String,
    pub role: OperatorRole,
}
