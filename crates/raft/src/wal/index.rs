//! What the log file says, in memory: the log is small, so all of it is kept.
//!
//! *Invariant:* entries are consecutive, and start right behind what was purged (if anything was).

use super::record::Record;
use crate::bodies::BodyError;
use crate::types::{Entry, LogId, Vote};
use ironcache_types::{ClusterId, Incarnation, Level};
use openraft::{EntryPayload, LogIdOptionExt};
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

#[derive(Debug, Default)]
pub(super) struct Index {
    pub vote: Option<Vote>,
    pub cluster: Option<ClusterId>,
    /// The newest life of this node that was admitted.
    pub life: Option<Incarnation>,
    pub purged: Option<LogId>,
    pub committed: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("entry {found} is not the next one: {expected} is")]
    Hole { found: u64, expected: u64 },
    #[error("entry {index} cannot be read")]
    Body { index: u64, source: BodyError },
}

impl Index {
    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    pub(super) fn append(&mut self, entry: Entry) -> Result<(), IndexError> {
        let found = entry.log_id.index;
        // An empty log may start anywhere: openraft's own suite starts some at 1.
        let expected = if self.last().is_none() { found } else { self.last().next_index() };
        if found != expected {
            return Err(IndexError::Hole { found, expected });
        }
        self.entries.insert(found, entry);
        Ok(())
    }

    pub(super) fn truncate_after(&mut self, after: Option<LogId>) {
        self.entries.split_off(&after.next_index());
    }

    pub(super) fn purge(&mut self, upto: LogId) {
        self.entries = self.entries.split_off(&(upto.index + 1));
        self.purged = self.purged.max(Some(upto));
    }

    pub(super) fn range(&self, range: impl RangeBounds<u64>) -> Vec<Entry> {
        if is_empty(&range) {
            return Vec::new();
        }
        self.entries.range(range).map(|(_, entry)| entry.clone()).collect()
    }

    /// Blank entries and memberships have no level.
    pub(super) fn oldest_level(&self) -> Option<Level> {
        let level = |entry: &Entry| match &entry.payload {
            EntryPayload::Normal(entry) => Some(entry.header().level),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        self.entries.values().filter_map(level).min()
    }

    /// Does to this index what writing `record` did to the file.
    pub(super) fn replay(&mut self, record: Record) -> Result<(), IndexError> {
        match record {
            Record::Vote(vote) => self.vote = Some(vote.into()),
            Record::Entry(entry) => {
                let index = entry.log_id.index;
                let entry = entry.into_raft().map_err(|source| IndexError::Body { index, source })?;
                self.append(entry)?;
            }
            Record::Truncate(after) => self.truncate_after(after.map(Into::into)),
            Record::Purge(upto) => self.purge(upto.into()),
            Record::Committed(upto) => self.committed = upto.map(Into::into),
            Record::Cluster(id) => self.cluster = Some(id),
            Record::Life(life) => self.life = Some(life),
        }
        Ok(())
    }

    /// The shortest list of records that builds this index: what compaction writes.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let Self { vote, cluster, life, purged, committed, entries } = self;
        let vote = vote.map(|vote| Record::Vote(vote.into()));
        let cluster = cluster.map(Record::Cluster);
        let life = life.map(Record::Life);
        let purged = purged.map(|upto| Record::Purge(upto.into()));
        let committed = committed.map(|upto| Record::Committed(Some(upto.into())));
        let head = [cluster, life, vote, purged, committed].into_iter().flatten();
        head.chain(entries.values().map(|entry| Record::Entry(entry.into())))
    }
}

/// `BTreeMap::range` panics on a reversed range; openraft may ask for an empty one.
fn is_empty(range: &impl RangeBounds<u64>) -> bool {
    let start = match range.start_bound() {
        Bound::Included(start) => Some(*start),
        Bound::Excluded(start) => start.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(end) => Some(*end),
        Bound::Excluded(end) => end.checked_sub(1),
        Bound::Unbounded => Some(u64::MAX),
    };
    match (start, end) {
        (Some(start), Some(end)) => start > end,
        _ => true,
    }
}
