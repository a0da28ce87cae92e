//! Nodes that join and leave.

use super::membership::NodeSpec;
use crate::parts::v1::security::Admitted;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddNode {
    pub spec: NodeSpec,
    pub replaces: Option<u64>,
    pub admitted: Option<Admitted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveNode {
    pub node: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeLeft {
    pub change: u64,
    pub node: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembershipDone {
    pub change: u64,
}
