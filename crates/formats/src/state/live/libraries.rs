//! Libraries of functions.

use crate::state::v2::Libraries;
use ironcache_control as live;
use ironcache_types::Epoch;
use std::collections::BTreeMap;
use std::sync::Arc;

impl From<&live::Libraries> for Libraries {
    fn from(live::Libraries { epoch, by_name }: &live::Libraries) -> Self {
        Libraries { epoch: epoch.0, by_name: BTreeMap::clone(by_name) }
    }
}

impl From<Libraries> for live::Libraries {
    fn from(Libraries { epoch, by_name }: Libraries) -> Self {
        live::Libraries { epoch: Epoch(epoch), by_name: Arc::new(by_name) }
    }
}
