//! Who asked for what an entry says.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub by: Credential,
    pub from: Option<String>,
    pub at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Credential {
    Insecure,
    Operator([u8; 32]),
    Node(u64),
    Policy,
}
