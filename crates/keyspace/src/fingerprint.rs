//! A hash of the whole content, for tests and for comparing a replica with its primary.

use crate::entry::Entry;
use crate::hash::stable_hash;
use crate::keyspace::Keyspace;
use crate::value::Value;

impl Keyspace {
    /// Equal for equal keys, values and expiries, in whatever order they came to be; the same on
    /// every release. O(bytes held).
    pub fn fingerprint(&self) -> u64 {
        self.entries().map(entry_hash).fold(self.len() as u64, u64::wrapping_add)
    }
}

impl Entry {
    /// Equal for equal values and expiries under whatever key; the same on every release. O(bytes of the value).
    pub fn value_fingerprint(&self) -> u64 {
        stable_hash(0, &value_hash(self))
    }
}

fn entry_hash(entry: &Entry) -> u64 {
    stable_hash(stable_hash(0, entry.key()), &value_hash(entry))
}

fn value_hash(entry: &Entry) -> [u8; 17] {
    let pair = |a: &[u8], b: &[u8]| stable_hash(stable_hash(0, a), b);
    let (kind, content) = match entry.value() {
        Value::String(text) => (1, stable_hash(0, text)),
        Value::List(list) => (2, list.items().iter().fold(0, |hash, item| stable_hash(hash, item))),
        Value::Hash(hash) => (3, sum(hash.iter(), |(name, value)| pair(name, value))),
        Value::Set(set) => (4, sum(set.iter(), |member| stable_hash(0, member))),
        Value::Zset(zset) => (5, sum(zset.iter(), |s| pair(s.member, &s.score.to_bits().to_le_bytes()))),
        Value::Stream(stream) => (6, stream.fingerprint()),
    };
    let mut tail = [0; 17];
    tail[0] = kind;
    tail[1..9].copy_from_slice(&content.to_le_bytes());
    tail[9..].copy_from_slice(&entry.expire_at_ms().unwrap_or(u64::MAX).to_le_bytes());
    tail
}

/// Order-independent.
fn sum<T>(elements: impl Iterator<Item = T>, hash: impl Fn(T) -> u64) -> u64 {
    elements.map(|element| hash(element).wrapping_add(1)).fold(0, u64::wrapping_add)
}
