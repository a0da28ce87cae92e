//! Operators that come and go.

use crate::parts::v1::security::{AskedBy, OperatorRole};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddOperator {
    pub by: AskedBy,
    pub key: [u8; 32],
    pub name: String,
    pub role: OperatorRole,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevokeOperator {
    pub by: AskedBy,
    pub key: [u8; 32],
}
