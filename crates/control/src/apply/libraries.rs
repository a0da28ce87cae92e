//! Libraries that are loaded and deleted.
//!
//! *Invariant:* whoever changes them has seen them as they are: two libraries with a function of one name would hide each
//! other, and only who has all of the code knows what functions there are.

use super::{Result, stale};
use crate::libraries::Libraries;
use crate::rejection::{Applied, Rejection};
use crate::state::ControlState;
use ironcache_types::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl ControlState {
    pub(super) fn change_libraries(
        &mut self,
        seen: Epoch,
        set: &BTreeMap<Vec<u8>, Vec<u8>>,
        deleted: &BTreeSet<Vec<u8>>,
    ) -> Result {
        if self.cluster_level < Libraries::SINCE {
            return Err(Rejection::NotYet { level: Libraries::SINCE, state: self.cluster_level });
        }
        if seen != self.libraries.epoch {
            return Err(stale("the list of libraries".to_owned(), seen, self.libraries.epoch));
        }
        let mut libraries = self.libraries.clone();
        let by_name = Arc::make_mut(&mut libraries.by_name);
        by_name.retain(|name, _| !deleted.contains(name));
        by_name.extend(set.iter().map(|(name, code)| (name.clone(), code.clone())));
        if libraries == self.libraries {
            return Ok(Applied::Unchanged);
        }
        if libraries.by_name.len() > Libraries::COUNT_MAX || libraries.bytes() > Libraries::BYTES_MAX {
            return Err(Rejection::TooManyLibraries {
                libraries_max: Libraries::COUNT_MAX,
                bytes_max: Libraries::BYTES_MAX,
            });
        }
        libraries.epoch = self.fresh_epoch();
        self.libraries = libraries;
        self.changed()
    }
}
