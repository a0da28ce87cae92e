//! Users of the access control list.

use crate::state::v2::Users;
use ironcache_control as live;
use ironcache_types::Epoch;
use std::collections::BTreeMap;
use std::sync::Arc;

impl From<&live::Users> for Users {
    fn from(live::Users { epoch, by_name }: &live::Users) -> Self {
        Users { epoch: epoch.0, by_name: BTreeMap::clone(by_name) }
    }
}

impl From<Users> for live::Users {
    fn from(Users { epoch, by_name }: Users) -> Self {
        live::Users { epoch: Epoch(epoch), by_name: Arc::new(by_name) }
    }
}
