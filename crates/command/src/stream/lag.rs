//! How many entries a group has read, and how many it has yet to read, as far as that can be known.
//!
//! An entry that was deleted by name, somewhere among those to come, makes the count unknown. Source: the estimates of redis 7.

use ironcache_keyspace::{Group, Stream, StreamHead, StreamId};

/// What the estimates look at.
pub(super) struct Counted {
    len: u64,
    /// That of the first entry that there is.
    first_id: StreamId,
    head: StreamHead,
}

/// A group that does not know how many it has read.
const UNKNOWN: i64 = -1;

impl Counted {
    pub(super) fn of(stream: &Stream) -> Self {
        let first_id = stream.first_entry().map_or(StreamId::MIN, |entry| entry.id());
        Counted { len: stream.len(), first_id, head: stream.head() }
    }

    /// Whether an entry at `from` or later was deleted by name, while there are still some before it.
    fn has_gaps_from(&self, from: StreamId) -> bool {
        let deleted = self.head.max_deleted;
        self.len > 0 && deleted != StreamId::MIN && self.first_id <= deleted && from <= deleted
    }

    /// How many entries were ever added up to this id.
    fn count_until(&self, id: StreamId) -> Option<u64> {
        let Self { len, first_id, head: StreamHead { last_id, max_deleted, added } } = *self;
        if added == 0 {
            return Some(0);
        }
        if id == last_id || len == 0 && id < last_id {
            return Some(added);
        }
        let before = added.wrapping_sub(len);
        let is_whole = max_deleted == StreamId::MIN || max_deleted < first_id;
        match () {
            () if id > last_id || !is_whole => None,
            () if id < first_id => Some(before),
            () if id == first_id => Some(before.wrapping_add(1)),
            () => None,
        }
    }

    /// What a group has read when it was given the entry of this id, and had read so many before.
    pub(super) fn read(&self, entries_read: i64, id: StreamId) -> i64 {
        match () {
            () if entries_read != UNKNOWN && !self.has_gaps_from(id) => entries_read.wrapping_add(1),
            () if self.head.added > 0 => self.count_until(id).map_or(UNKNOWN, |count| count as i64),
            () => entries_read,
        }
    }

    /// How many entries there are that the group has not been given.
    pub(super) fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.head.added;
        let read = match () {
            () if added == 0 => return Some(0),
            () if group.entries_read() != UNKNOWN && !self.has_gaps_from(group.last_id()) => {
                group.entries_read()
            }
            () => self.count_until(group.last_id())? as i64,
        };
        Some((added as i64).wrapping_sub(read))
    }

    pub(super) fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// What a group that begins at this id has read, where nothing says so.
    pub(super) fn read_at(&self, id: StreamId) -> i64 {
        self.count_until(id).map_or(UNKNOWN, |count| count as i64)
    }
}

/// As replies show it: a number, or nothing if it is not known.
pub(super) fn known(entries_read: i64) -> Option<i64> {
    Some(entries_read).filter(|read| *read != UNKNOWN)
}
