//! What `WATCH` remembers. It goes by slot (docs/adr/0010): any write to the slots of the keys, and any change of primary,
//! disturbs it. A slot holds few keys, so a transaction is retried a little more often than a watch by key would have it, and
//! never wrongly executed.

use crate::site::Site;
use ironcache_types::{Epoch, Slot};

#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// In their order, each with the offset of its last write when it was first watched.
    slots: Vec<(Slot, u64)>,
    /// The ownership epoch in which the first of them was watched. Another one's offsets say nothing about it.
    epoch: Option<Epoch>,
}

impl Watch {
    pub(crate) fn add(&mut self, slot: Slot, site: &impl Site) {
        if self.slots.is_empty() {
            self.epoch = site.epoch();
        }
        // The first look counts: what was written since is what it is watched for.
        if let Err(at) = self.slots.binary_search_by_key(&slot, |(slot, _)| *slot) {
            self.slots.insert(at, (slot, site.written(Some(slot))));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_disturbed(&self, site: &impl Site) -> bool {
        let elsewhere = !self.slots.is_empty() && self.epoch != site.epoch();
        elsewhere || self.slots.iter().any(|&(slot, seen)| site.written(Some(slot)) != seen)
    }
}
