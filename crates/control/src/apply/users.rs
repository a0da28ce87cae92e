//! Users that are set and deleted.
//!
//! *Invariant:* whoever changes them has seen them as they are: rules are worked out from the ones before, and two who do that
//! at once would undo each other's.

use super::{Result, stale};
use crate::rejection::{Applied, Rejection};
use crate::state::ControlState;
use crate::users::Users;
use ironcache_types::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl ControlState {
    pub(super) fn change_users(
        &mut self,
        seen: Epoch,
        set: &BTreeMap<Vec<u8>, Vec<u8>>,
        deleted: &BTreeSet<Vec<u8>>,
    ) -> Result {
        if self.cluster_level < Users::SINCE {
            return Err(Rejection::NotYet { level: Users::SINCE, state: self.cluster_level });
        }
        if seen != self.users.epoch {
            return Err(stale("the list of users".to_owned(), seen, self.users.epoch));
        }
        let mut users = self.users.clone();
        let by_name = Arc::make_mut(&mut users.by_name);
        by_name.retain(|name, _| !deleted.contains(name));
        by_name.extend(set.iter().map(|(name, rules)| (name.clone(), rules.clone())));
        if users == self.users {
            return Ok(Applied::Unchanged);
        }
        if users.by_name.len() > Users::COUNT_MAX || users.bytes() > Users::BYTES_MAX {
            return Err(Rejection::TooManyUsers { users_max: Users::COUNT_MAX, bytes_max: Users::BYTES_MAX });
        }
        users.epoch = self.fresh_epoch();
        self.users = users;
        self.changed()
    }
}
