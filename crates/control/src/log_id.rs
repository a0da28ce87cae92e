//! Where an entry stands in the log.

/// The log id of an entry: the term of the leader that appended it, and its index. It stays what it is when a later leader
/// commits the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    pub term: u64,
    pub index: u64,
}

/// An entry of a log that knows no terms: of a rehearsal, say. Its commands name term 0 as well.
impl From<u64> for LogId {
    fn from(index: u64) -> Self {
        LogId { term: 0, index }
    }
}
