//! Version 1 of what is around a state.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    /// Of `state`, as its writer kept it.
    pub hash: u64,
    pub state: Vec<u8>,
}
